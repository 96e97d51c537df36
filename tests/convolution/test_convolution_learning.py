import pickle

import naive
import numpy as np
import pytest
from making import assert_same, draw_atoms, interrupted, small_model, unit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from shl import SparseHebbianLearning
from shl.annex import convolution as study
from shl.convolution import (
    ConvolutionalCode,
    ConvolutionalSHL,
    convolutional_encode,
    gaussian_mask,
    plots,
    preprocess,
)
from shl.datasets import make_recording
from shl.learning.homeostasis import ActivationRule, EpochEXP, ShareHAP

# ----------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("is_ragged", [False, True])
def test_the_move_is_the_masked_hebbian_sum(rng, stride, is_ragged):
    X, height = rng.standard_normal((4, 2, 15, 16)), 3 if is_ragged else 5
    dictionary, mask = draw_atoms(rng, n_channels=2)[:, :, :height], gaussian_mask(5)[:height]
    if is_ragged:  # images of several sizes, with missing entries
        X[1, 0, 3:5, 4], X = np.nan, [X[0], X[1, :, 3:], X[2, :, :, :11]]
    how = {"l0_sparseness": 8, "n_iter": 1, "eta": 0.1, "homeo_method": "None", "stride": stride}
    how |= {"mask": mask, "dict_init": unit(dictionary), "atom_shape": (height, 5)}
    model = ConvolutionalSHL(7, **how).fit(X)
    total = mask * naive.convolutional_gradient(X, unit(dictionary), 8, stride=stride)
    total -= total.mean(axis=(1, 2, 3), keepdims=True)
    expected = unit(unit(dictionary) + 0.1 * unit(total))
    np.testing.assert_allclose(model.components_, expected, atol=1e-12)


@pytest.mark.parametrize("homeo_method", ["None", "shareHAP", "epochEXP"])
def test_learning_lowers_the_error_and_keeps_norms(homeo_method):
    images = preprocess(study.load("dead_leaves", n_images=9, size=33))
    model = small_model(homeo_method=homeo_method, n_iter=40).fit(images)
    two = clone(model).set_params(n_jobs=2).fit(images)
    np.testing.assert_array_equal(two.components_, model.components_)
    np.testing.assert_array_equal(two.record_["counts_own"], model.record_["counts_own"])
    explained = 1 - model.record_["error_own"] ** 2
    assert explained[-1] > 1.5 * explained[0]
    np.testing.assert_allclose(model.components_, unit(model.components_), rtol=1e-6)
    assert model.components_.dtype == np.float32
    assert model.record_["counts_own"].shape == (len(model.record_["steps"]), 6)
    assert model.record_["counts_own"][-1].sum() == 45


def code_of(counts):
    """One image's code of so many events of each atom, all at one place."""
    zeros, atoms = np.zeros(counts.sum(), np.int32), np.repeat(np.arange(len(counts)), counts)
    return ConvolutionalCode(zeros, atoms, zeros, zeros, zeros + 1.0, (1, len(counts), 1, 1))


def test_modulation_follows_its_equation(rng):
    rule, gain = EpochEXP(eta_homeo=0.1), np.zeros(4)
    state = rule.init(4, 0.25, np.float64)
    for _ in range(3):
        counts = rng.integers(0, 50, 4)
        tau = -(counts.max() - counts.mean()) / np.log(0.1)
        gain = 0.9 * gain - 0.1 * (counts - counts.mean()) / tau
        state = rule.update(state, code_of(counts))
        np.testing.assert_allclose(rule.competition(state).gain, np.exp(gain))


def test_probability_is_among_as_many_events_as_atoms(rng):
    """The probability that an atom of share q is not among n events is (1 - q)^n, about exp(-n q)
    for small q.
    """
    rule, n_atoms, share = ShareHAP(0.1), 400, np.full(400, 1 / 400)
    state = rule.init(n_atoms, 1 / n_atoms, np.float64)
    np.testing.assert_allclose(rule.competition(state).gain, 1)
    for _ in range(3):
        counts = rng.integers(0, 50, n_atoms)
        share = 0.9 * share + 0.1 * counts / counts.sum()
        state = rule.update(state, code_of(counts))
        expected = np.log(1 - (1 - share) ** n_atoms) / np.log(1 - (1 - 1 / n_atoms) ** n_atoms)
        np.testing.assert_allclose(rule.competition(state).gain, expected, rtol=0.05)


def test_modulation_moves_once_an_epoch(images):
    options = {"homeo_method": "epochEXP", "batch_size": 3, "n_iter": 7, "record_each": 1}
    gains = small_model(**options).fit(images).record_["gain"]
    moved = [not np.array_equal(a, b) for a, b in zip(gains[:-1], gains[1:], strict=True)]
    assert moved == [False, False, True, False, False, True, False]


def test_equal_usage_moves_no_gain():
    rule = EpochEXP(eta_homeo=0.5)
    state = rule.update(rule.init(2, 0.5, np.float64), code_of(np.array([3, 3])))
    np.testing.assert_array_equal(rule.competition(state).gain, 1)


def test_a_rule_of_ones_own(images, tmp_path):
    class Root(ActivationRule):
        def gain(self, p, target):
            return np.sqrt(target / p)

    model = small_model(homeo_method=Root(eta_homeo=0.5)).fit(images)
    assert np.ptp(model.gain_) > 0
    model.save(tmp_path / "model.npz")
    copy = ConvolutionalSHL.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(copy.gain_, model.gain_)
    with pytest.raises(ValueError, match="homeo_method, .* must not change"):
        copy.partial_fit(images)
    same = ConvolutionalSHL.load(tmp_path / "model.npz", homeo_method=Root(eta_homeo=0.5))
    np.testing.assert_array_equal(same.partial_fit(images).gain_, model.partial_fit(images).gain_)


def test_images_without_events_change_nothing():
    model = small_model(homeo_method="shareHAP", n_iter=2).fit(np.zeros((2, 1, 9, 9)))
    once = small_model(n_iter=1).fit(np.zeros((2, 1, 9, 9)))
    np.testing.assert_array_equal(model.components_, once.components_)
    assert model.record_["error_own"][-1] == 0


def test_homeostasis_flattens_usage(images):
    cv = {}
    options = {"eta_homeo": 0.02, "n_iter": 80, "random_state": 3}
    for method in ("None", "shareHAP", "epochEXP"):
        model = small_model(homeo_method=method, **options).fit(images)
        counts = model.transform(images, gain=model.gain_).counts()
        cv[method] = counts.std() / counts.mean()
    assert cv["shareHAP"] < 0.7 * cv["None"]
    assert cv["epochEXP"] < 0.7 * cv["None"]


def plant(rng, n_atoms=12, n_images=100, size=65, n_events=20, width=7):
    """Images that are sums of shifted atoms with soft borders, and the atoms."""
    atoms = draw_atoms(rng, n_atoms, width=width) * gaussian_mask(width, 0.5)
    atoms = unit(atoms - atoms.mean(axis=(1, 2, 3), keepdims=True))
    X = 0.01 * rng.standard_normal((n_images, 1, size, size))
    for image in X:
        for _ in range(n_events):
            row, column = rng.integers(size - width + 1, size=2)
            image[:, row : row + width, column : column + width] += (
                rng.uniform(0.5, 1.5) * atoms[rng.integers(n_atoms)]
            )
    return X.astype(np.float32), atoms


def similarity(found, atoms):
    """For each planted atom its largest |cosine| with a learned one, over all shifts of it."""
    wide, narrow = found.shape[2], atoms.shape[2]
    cosines = []
    for atom in atoms[:, 0]:
        canvas = np.zeros((3 * wide, 3 * wide))
        canvas[wide : wide + narrow, wide : wide + narrow] = atom
        shifted = np.lib.stride_tricks.sliding_window_view(canvas, (wide, wide))
        cosines.append(np.abs(np.einsum("yxij,kij->yxk", shifted, found[:, 0])).max())
    return np.array(cosines)


@pytest.mark.slow
@pytest.mark.parametrize("n_dictionary, homeo_method", [(12, "epochEXP"), (18, "shareHAP")])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_atoms_are_recovered(seed, n_dictionary, homeo_method):
    X, atoms = plant(np.random.default_rng(seed))
    options = {"homeo_method": homeo_method, "eta_homeo": 0.02, "random_state": seed, "n_jobs": 2}
    model = ConvolutionalSHL(n_dictionary, 9, 20, n_iter=200, mask=gaussian_mask(9), **options).fit(
        X
    )
    assert (similarity(model.components_, atoms) > 0.95).mean() >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 42])
def test_homeostasis_on_sample_images_costs_little(seed):
    X = preprocess(study.load("sample", seed=seed))
    figures = {}
    options = {"n_iter": 60, "mask": gaussian_mask(9), "random_state": seed, "n_jobs": 2}
    for method in ("None", "epochEXP", "shareHAP"):
        model = ConvolutionalSHL(20, 9, 20, homeo_method=method, **options).fit(X)
        figures[method] = study.measure(model, X)
    for method in ("epochEXP", "shareHAP"):
        assert figures[method]["cv_own"] <= figures["None"]["cv_own"] / 3
        assert figures[method]["error_own"] <= 1.05 * figures["None"]["error_own"]


# ------------------------------------------------------------------------------------------- habits


def test_a_clone_learns_the_same(images):
    model = small_model(mask=gaussian_mask(5)).fit(images)
    again = clone(model).fit(images)
    np.testing.assert_array_equal(model.components_, again.components_)
    assert model.get_params()["patch_width"] == 5
    with pytest.raises(NotFittedError):
        clone(model).transform(images)


def learners(images):
    """Models of images and of a recording, each with its data."""
    masked = small_model(homeo_method="epochEXP", mask=gaussian_mask(5))
    X = make_recording(6000, 3, width=16, overlap=0.4, random_state=0)[0]
    return [
        (masked, images),
        (small_model(homeo_method="shareHAP", batch_size=2), images),
        (ConvolutionalSHL(3, atom_shape=16, n_iter=20, random_state=0), X),
    ]


def test_pickle_and_save_keep_the_model(images, tmp_path):
    for model, X in learners(images):
        model.fit(X).save(tmp_path / "model.npz")
        copies = [pickle.loads(pickle.dumps(model)), ConvolutionalSHL.load(tmp_path / "model.npz")]
        for copy in copies:
            assert_same(copy.transform(X), model.transform(X))
            np.testing.assert_array_equal(copy.gain_, model.gain_)
            np.testing.assert_array_equal(copy.record_["counts_own"], model.record_["counts_own"])
        model.partial_fit(X)
        for copy in copies:  # they learn on with the same bits
            np.testing.assert_array_equal(copy.partial_fit(X).components_, model.components_)


def test_interrupted_learning_is_resumed(images):
    for model, X in learners(images):
        whole = clone(model).set_params(n_jobs=2).fit(X)
        model.fit(X, resume=interrupted(clone(model), X, 3))
        np.testing.assert_array_equal(model.components_, whole.components_)
        for name in whole.record_.keys() & {"gain", "counts_own"}:
            np.testing.assert_array_equal(model.record_[name], whole.record_[name])


def test_load_refuses_something_else(tmp_path, X):
    SparseHebbianLearning(5, n_iter=1, random_state=0).fit(X).save(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="holds SparseHebbianLearning, not a ConvolutionalSHL"):
        ConvolutionalSHL.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        ConvolutionalSHL.load(tmp_path / "nothing.npz")


def test_partial_fit_goes_on(images):
    model = small_model(batch_size=4).partial_fit(images).partial_fit(images)
    assert model.n_iter_ == 6
    with pytest.raises(ValueError, match="channels"):
        model.partial_fit(np.ones((2, 3, 19, 23)))


def test_transform_and_back(images):
    model = small_model().fit(images)
    code = model.transform(images)
    back = model.inverse_transform(code)
    assert back.shape == images.shape
    assert np.linalg.norm(images - back) < np.linalg.norm(images)
    np.testing.assert_allclose(model.inverse_transform(code.toarray()), back, atol=1e-6)
    assert model.transform(images, l0_sparseness=2).n_events == 2 * len(images)
    assert model.dictionary is model.components_ and model.record is model.record_
    strided = small_model(stride=4).fit(images)
    assert strided.inverse_transform(strided.transform(images), images.shape).shape == images.shape


def test_fewer_axes_are_accepted(images):
    expected = small_model().fit(images).components_
    np.testing.assert_array_equal(small_model().fit(images[:, 0]).components_, expected)
    assert small_model().fit(images[0, 0]).transform(images[0, 0]).shape == (1, 6, 15, 19)


def test_an_atom_without_events_stays():
    X, dictionary = np.zeros((1, 1, 8, 8)), np.zeros((2, 1, 3, 3))
    X[0, 0, 2:5, 3:6] = dictionary[0, 0] = np.eye(3)
    dictionary[1, 0] = -np.eye(3)
    model = ConvolutionalSHL(2, 3, 1, n_iter=1, homeo_method="None", dict_init=dictionary).fit(X)
    np.testing.assert_allclose(model.components_[1], dictionary[1] / 3**0.5)


def test_two_layers(images):
    first = small_model().fit(images)
    code = first.transform(images).toarray()
    second = small_model(n_dictionary=4, patch_width=7, l0_sparseness=3).fit(code)
    assert second.components_.shape == (4, 6, 7, 7)
    seen = plots.project_atoms(second.components_, first.components_)
    assert seen.shape == (4, 1, 11, 11)
    np.testing.assert_allclose(np.linalg.norm(seen.reshape(4, -1), axis=1), 1, rtol=1e-5)


# ---------------------------------------------------------------------------------------- bad input


SIGNAL = {"atom_shape": 6, "l0_sparseness": None}
BAD = [
    ("X must have 2 axes", {"X": np.ones(5)}),
    ("X must have 2 axes", {"X": np.ones((1, 1, 1, 9, 9))}),
    ("X must hold no infinity", {"X": np.full((9, 9), np.inf)}),
    ("as large as an atom, atom_shape or patch_width = 5 x 5", {"X": np.ones((4, 9))}),
    ("X is empty", {"X": np.ones((0, 9, 9))}),
    ("real numbers", {"X": np.ones((9, 9), complex)}),
    ("l0_sparseness must be at least 1 and at most 2 ", {"X": np.ones((6, 5))}),
    ("at most 285 .the 15 x 19 places", {"l0_sparseness": 15 * 19 + 1}),
    ("mask must have one of the shapes", {"mask": np.ones((4, 5))}),
    ("mask must be at least 0", {"mask": -np.ones((5, 5))}),
    ("mask must hold no NaN", {"mask": np.full((5, 5), np.nan)}),
    ("not all 0", {"mask": np.zeros((5, 5))}),
    ("homeo_method must be one of", {"homeo_method": "HIP"}),
    ("must be a rule with a gain, such as 'HAP', not 'HEH'", {"homeo_method": "HEH"}),
    ("stride must be at least 1 and at most 5", {"stride": 6}),
    ("batch_size must be at least 1 and at most 9", {"batch_size": 10}),
    ("random_state", {"random_state": -1}),
    ("dict_init must have shape", {"dict_init": np.ones((6, 1, 4, 5))}),
    ("dict_init must have no row of zeros", {"dict_init": np.zeros((6, 1, 5, 5))}),
    ("n_jobs", {"n_jobs": 0}),
    ("atom_shape must be an int for signals", {"atom_shape": (3, 4, 5)}),
    ("Give one of l0_sparseness, fit_tol, floor", {"floor": 5, "l0_sparseness": 3}),
    (r"as large as an atom.*\(n_channels, n_times\)", {"X": np.ones((50, 2)), **SIGNAL}),
    ("may be the channels of one signal or signals of", {"X": [np.ones(50)] * 2, **SIGNAL}),
    ("one number of channels", {"X": [np.ones((2, 50)), np.ones((1, 60))], **SIGNAL}),
    (r"X\[0\] must have axes", {"X": [np.ones((1, 2, 50)), np.ones((2, 60))], **SIGNAL}),
    ("X must have axes", {"X": np.ones((1, 1, 2, 50)), **SIGNAL}),
    (r"no infinity .* is inf at \(0, 0\)", {"X": np.full((2, 50), np.inf), **SIGNAL}),
    ("X is empty", {"X": [np.ones((2, 50)), np.ones((2, 0))], **SIGNAL}),
]


@pytest.mark.parametrize(("match", "options"), BAD)
def test_bad_input_is_rejected(images, match, options):
    """Ranges of single parameters: tests/faults/test_fuzz.py."""
    options = {"X": images, **options}
    X = options.pop("X")
    with pytest.raises(ValueError, match=match):
        small_model(**options).fit(X)


def test_bad_dictionaries_and_gains_are_refused(rng, images):
    dictionary = draw_atoms(rng)
    for name, value in (
        ("unit norm", 2 * dictionary),
        ("unit norm", dictionary[..., :4]),
        ("axes", dictionary[0, 0]),
        ("channels", np.repeat(dictionary, 2, axis=1) / 2**0.5),
    ):
        with pytest.raises(ValueError, match=name):
            convolutional_encode(images, value)
    for gain in (np.ones(3), -np.ones(7), np.full(7, np.nan)):
        with pytest.raises(ValueError, match="gain"):
            convolutional_encode(images, dictionary, gain=gain)


def test_diverged_learning_is_an_error(images):
    steps, words = [], "diverged in step 1: a smaller eta than 1e.300"
    model = small_model(n_iter=50, eta=1e300)
    with pytest.raises(FloatingPointError, match=words), np.errstate(all="ignore"):
        model.fit(images, on_step=lambda state: steps.append(state.step))
    assert steps == []


def test_inverse_transform_refuses_what_does_not_fit(images):
    model = small_model().fit(images)
    with pytest.raises(ValueError, match="6 atoms"):
        model.inverse_transform(np.ones((1, 5, 4, 4)))
    with pytest.raises(ValueError, match="at least 19 x 23"):
        model.inverse_transform(model.transform(images), (1, 1, 18, 23))
    for shape in (19, (23,)):
        with pytest.raises(ValueError, match="shape must end in .height, width."):
            model.inverse_transform(model.transform(images), shape)


def test_only_a_state_of_the_same_model_is_resumed(images):
    model = small_model()
    state = model.fit(images)._state
    with pytest.raises(TypeError, match="resume must be a"):
        model.fit(images, resume="state")
    words = r"resume must hold atoms of shape \(5, 1, 5, 5\), not \(6, 1, 5, 5\)"
    with pytest.raises(ValueError, match=words):
        model.set_params(n_dictionary=5).fit(images, resume=state)
