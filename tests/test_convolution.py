import argparse
import json
import pickle

import naive_convolution as naive
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from shl.coding import sparse_encode
from shl.convolution import (
    ConvolutionalCode,
    ConvolutionalSHL,
    EpochModulation,
    cli,
    coding,
    convolutional_encode,
    gaussian_mask,
    learning,
    normalise_local_contrast,
    plots,
    preprocess,
    radial_window,
    study,
)
from shl.homeostasis import ActivationRule
from shl.threads import Threads

CASES = {
    "plain": {}, "symmetric": {"do_sym": True}, "alpha": {"alpha_MP": 0.6},
    "stride 2": {"stride": 2}, "stride 3, symmetric": {"stride": 3, "do_sym": True},
    "gain": {"gain": np.linspace(0.5, 1.5, 7)},
}


def draw_atoms(rng, n_dictionary=7, n_channels=1, width=5):
    atoms = rng.standard_normal((n_dictionary, n_channels, width, width))
    return atoms / np.sqrt((atoms**2).sum(axis=(1, 2, 3), keepdims=True))


def as_naive(options):
    return {{"alpha_MP": "alpha"}.get(name, name): value for name, value in options.items()}


def columns(code, n):
    of_image = code.image == n
    return [part[of_image] for part in (code.atom, code.row, code.column, code.value)]


def small_model(**options):
    parameters = {"n_dictionary": 6, "patch_width": 5, "l0_sparseness": 5, "n_iter": 6, "record_each": 2,
                  "random_state": 0}
    return ConvolutionalSHL(**{**parameters, **options})


@pytest.fixture
def images():
    return np.random.default_rng(1).standard_normal((9, 1, 19, 23)).astype(np.float32)


# ------------------------------------------------------------------------------------------------ pursuit

@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n_channels, shape", [(1, (17, 17)), (3, (13, 22)), (2, (5, 40)), (1, (30, 5))])
def test_codes_equal_the_oracle(case, n_channels, shape):
    rng = np.random.default_rng(0)
    dictionary, X = draw_atoms(rng, n_channels=n_channels), rng.standard_normal((3, n_channels, *shape))
    options = CASES[case]
    l0 = min(12, int(np.prod(coding.places(shape, 5, options.get("stride", 1)))))
    code = convolutional_encode(X, dictionary, l0_sparseness=l0, **options)
    for n, image in enumerate(X):
        events, _ = naive.pursue(image, dictionary, l0, **as_naive(options))
        found = columns(code, n)
        assert len(found[0]) == len(events)
        for column, expected in zip(found, np.transpose(events), strict=True):
            np.testing.assert_allclose(column, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_maps_keep_the_correlations_of_the_residual(case):
    rng = np.random.default_rng(2)
    dictionary, image = draw_atoms(rng, n_channels=2), rng.standard_normal((2, 20, 26))
    coder = coding.prepare(dictionary, l0_sparseness=30, **CASES[case])
    rho = coder.allocate(image.shape)
    ranking, events = coder.allocate_ranking(rho), [column[0] for column in coding.allocate_events(1, coder)]
    assert coder.code(image, rho, ranking, events) == 30
    residual = image.copy()
    coding.subtract_events(residual, events, coder)
    expected = naive.correlate(residual, dictionary, coder.stride)
    np.testing.assert_allclose(rho.reshape(expected.shape), expected, atol=1e-12)
    code = convolutional_encode(image[None], dictionary, l0_sparseness=30, **CASES[case])
    back = code.reconstruct(dictionary, image.shape, coder.stride)[0]
    np.testing.assert_allclose(image - back, residual, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_energy_falls_with_every_event(case):
    rng = np.random.default_rng(3)
    dictionary, image = draw_atoms(rng), rng.standard_normal((1, 1, 18, 18))
    stride = CASES[case].get("stride", 1)
    energies = []
    for l0 in range(1, 25):
        code = convolutional_encode(image, dictionary, l0_sparseness=l0, **CASES[case])
        energies.append(((image - code.reconstruct(dictionary, image.shape, stride)) ** 2).sum())
    assert np.all(np.diff(energies) < 0)


def test_one_place_is_pursuit_of_a_patch(rng):
    dictionary, X = draw_atoms(rng, 12), rng.standard_normal((8, 1, 5, 5))
    code = convolutional_encode(X, dictionary, l0_sparseness=1)
    expected = sparse_encode(X.reshape(8, -1), dictionary.reshape(12, -1), l0_sparseness=1)
    np.testing.assert_allclose(code.toarray().reshape(8, 12), expected, atol=1e-12)


@pytest.mark.parametrize("n_channels", [1, 4])
def test_sparse_images_have_the_same_maps(rng, n_channels):
    dictionary = draw_atoms(rng, n_channels=n_channels)
    image = np.where(rng.random((n_channels, 21, 24)) < 0.05, rng.standard_normal((n_channels, 21, 24)), 0)
    assert np.count_nonzero(image) < coding.MOST_DENSE * image.size
    coder = coding.prepare(dictionary)
    rho = coder.allocate(image.shape)
    for rows in (slice(0, 7), slice(7, 16), slice(16, 17)):
        coder.correlate(image, rho, rows)
    np.testing.assert_allclose(rho.reshape(17, 20, 7), naive.correlate(image, dictionary), atol=1e-12)


def test_ties_go_to_the_first_row_column_and_atom():
    image = np.zeros((6, 7))
    image[[1, 1, 4], [5, 2, 0]] = 1.0
    code = convolutional_encode(image, np.ones((2, 1, 1, 1)), l0_sparseness=3)
    assert list(zip(code.row, code.column, code.atom, strict=True)) == [(1, 2, 0), (1, 5, 0), (4, 0, 0)]


def test_an_image_without_positive_scores_ends_early(rng):
    dictionary = np.abs(draw_atoms(rng))
    X = np.stack([np.zeros((1, 9, 9)), -np.ones((1, 9, 9)), np.ones((1, 9, 9))])
    code = convolutional_encode(X, dictionary, l0_sparseness=4)
    assert np.bincount(code.image, minlength=3)[:2].tolist() == [0, 0]
    assert len(columns(code, 2)[0]) > 0
    assert len(convolutional_encode(X[1:2], dictionary, l0_sparseness=4, do_sym=True)) == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_depend_on_no_thread_nor_batch(rng, dtype):
    dictionary, X = draw_atoms(rng).astype(dtype), rng.standard_normal((40, 1, 20, 21)).astype(dtype)
    one, two = (convolutional_encode(X, dictionary, l0_sparseness=9, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert one.value.dtype == dtype
    for n_jobs in (one, two):
        for name in ("image", "atom", "row", "column", "value"):
            np.testing.assert_array_equal(getattr(one, name), getattr(n_jobs, name))
    alone = convolutional_encode(X[17:18], dictionary, l0_sparseness=9)
    for expected, found in zip(columns(one, 17), columns(alone, 0), strict=True):
        np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_large_images_in_strips_give_the_same_bits(rng, monkeypatch, n_jobs):
    dictionary, X = draw_atoms(rng), rng.standard_normal((2, 1, 60, 50))
    monkeypatch.setattr(coding, "MOST_UNFOLDED", 46 * 25 * 9)  # strips of a few rows
    expected = convolutional_encode(X, dictionary, l0_sparseness=40)
    monkeypatch.setattr(coding, "LARGE", 1)
    monkeypatch.setattr(coding, "EVENTS_A_CALL", 7)
    found = convolutional_encode(X, dictionary, l0_sparseness=40, n_jobs=n_jobs)
    np.testing.assert_array_equal(expected.toarray(), found.toarray())
    np.testing.assert_array_equal(expected.value, found.value)


def test_large_images_may_end_early(monkeypatch):
    image = np.zeros((30, 30))
    image[3, 4] = 2.0
    monkeypatch.setattr(coding, "LARGE", 1)
    monkeypatch.setattr(coding, "EVENTS_A_CALL", 3)
    assert len(convolutional_encode(image, np.ones((1, 1, 1, 1)), l0_sparseness=10)) == 1


# ------------------------------------------------------------------------------------------------ the code

def test_dense_and_back(rng):
    dictionary, X = draw_atoms(rng), rng.standard_normal((3, 1, 12, 13))
    code = convolutional_encode(X, dictionary, l0_sparseness=6)
    dense = code.toarray()
    assert dense.shape == code.shape == (3, 7, 8, 9)
    again = ConvolutionalCode.from_dense(dense)
    np.testing.assert_array_equal(again.toarray(), dense)
    np.testing.assert_array_equal(code.counts(), np.bincount(code.atom, minlength=7))
    np.testing.assert_array_equal(code.count_places().sum(axis=(1, 2)), code.counts())
    np.testing.assert_allclose(code.power_sums(2).sum(), (code.value**2).sum())
    np.testing.assert_allclose(again.reconstruct(dictionary, X.shape), code.reconstruct(dictionary, X.shape))


def test_events_at_one_place_add_up():
    image = np.full((3, 3), 1.0)
    code = convolutional_encode(image, np.ones((1, 1, 1, 1)), l0_sparseness=9, alpha_MP=0.5)
    np.testing.assert_array_equal(code.toarray()[0, 0], np.full((3, 3), 0.5))
    twice = ConvolutionalCode(*np.zeros((4, 2), np.int32), np.array([1.0, 2.0]), (1, 1, 3, 3))
    assert twice.toarray()[0, 0, 0, 0] == 3


# ------------------------------------------------------------------------------------------------ learning

@pytest.mark.parametrize("stride", [1, 2])
def test_the_move_is_the_masked_hebbian_sum(rng, stride):
    X, dictionary, mask = rng.standard_normal((4, 2, 15, 16)), draw_atoms(rng, n_channels=2), gaussian_mask(5)
    model = ConvolutionalSHL(7, 5, 8, n_iter=1, eta=0.1, homeo_method="None", mask=mask, stride=stride,
                             dict_init=dictionary).fit(X)
    total = mask * naive.gradient(X, dictionary, 8, stride=stride)
    total -= total.mean(axis=(1, 2, 3), keepdims=True)
    norms = np.sqrt((total**2).sum(axis=(1, 2, 3), keepdims=True))
    expected = dictionary + 0.1 * total / np.where(norms > 0, norms, 1)
    expected /= np.sqrt((expected**2).sum(axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(model.components_, expected, atol=1e-12)


@pytest.mark.parametrize("homeo_method", ["None", "HAP", "EXP"])
def test_learning_lowers_the_error_and_keeps_norms(homeo_method):
    images = preprocess(study.load("dead_leaves", n_images=9, size=33))
    model = small_model(homeo_method=homeo_method, n_iter=40).fit(images)
    explained = 1 - model.record_["error"] ** 2
    assert explained[-1] > 1.5 * explained[0]
    np.testing.assert_allclose(np.linalg.norm(model.components_.reshape(6, -1), axis=1), 1, rtol=1e-6)
    assert model.components_.dtype == np.float32
    assert model.record_["counts"].shape == (len(model.record_["steps"]), 6)
    assert model.record_["counts"][-1].sum() == 45


@pytest.mark.parametrize("homeo_method", ["None", "HAP", "EXP"])
def test_learning_has_equal_bits_for_any_number_of_threads(images, homeo_method):
    one, two = (small_model(homeo_method=homeo_method, n_jobs=n_jobs).fit(images) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.components_, two.components_)
    np.testing.assert_array_equal(one.record_["counts"], two.record_["counts"])


def test_modulation_follows_its_equation(rng):
    rule, gain = EpochModulation(eta_homeo=0.1), np.zeros(4)
    state = rule.init(4, 0.25, np.float64)
    for _ in range(3):
        counts = rng.integers(0, 50, 4)
        code = ConvolutionalCode(*np.zeros((1, counts.sum()), np.int32), np.repeat(np.arange(4), counts),
                                 *np.zeros((2, counts.sum()), np.int32), np.ones(counts.sum()), (1, 4, 1, 1))
        tau = -(counts.max() - counts.mean()) / np.log(0.1)
        gain = 0.9 * gain - 0.1 * (counts - counts.mean()) / tau
        state = rule.update(state, code)
        np.testing.assert_allclose(rule.competition(state).gain, np.exp(gain))


def test_modulation_moves_once_an_epoch(images):
    gains = small_model(homeo_method="EXP", batch_size=3, n_iter=7, record_each=1).fit(images).record_["gain"]
    moved = [not np.array_equal(a, b) for a, b in zip(gains[:-1], gains[1:], strict=True)]
    assert moved == [False, False, True, False, False, True]


def test_equal_usage_moves_no_gain():
    rule = EpochModulation(eta_homeo=0.5)
    zeros = np.zeros(2, np.int32)
    code = ConvolutionalCode(zeros, np.arange(2), zeros, zeros, np.ones(2), (1, 2, 1, 1))
    state = rule.update(rule.init(2, 0.5, np.float64), code)
    np.testing.assert_array_equal(rule.competition(state).gain, 1)


def test_a_rule_of_ones_own(images):
    class Root(ActivationRule):
        def gain(self, p, target):
            return np.sqrt(target / p)

    model = small_model(homeo_method=Root(eta_homeo=0.5)).fit(images)
    assert np.ptp(model.gain_) > 0
    with pytest.raises(TypeError, match="homeo_method"):
        model.save("never.npz")


def test_images_without_events_change_nothing():
    model = small_model(homeo_method="HAP", n_iter=2).fit(np.zeros((2, 1, 9, 9)))
    np.testing.assert_array_equal(model.components_, small_model(n_iter=1).fit(np.zeros((2, 1, 9, 9))).components_)
    assert model.record_["error"][-1] == 0


def test_homeostasis_flattens_usage(images):
    cv = {}
    for method in ("None", "HAP", "EXP"):
        model = small_model(homeo_method=method, eta_homeo=0.02, n_iter=80, random_state=3).fit(images)
        counts = model.transform(images, gain=model.gain_).counts()
        cv[method] = counts.std() / counts.mean()
    assert cv["HAP"] < 0.7 * cv["None"]
    assert cv["EXP"] < 0.7 * cv["None"]


def plant(rng, n_atoms=12, n_images=100, size=65, n_events=20, width=7):
    """Images that are sums of shifted atoms with soft borders, and the atoms."""
    atoms = draw_atoms(rng, n_atoms, width=width) * gaussian_mask(width, 0.5)
    atoms -= atoms.mean(axis=(1, 2, 3), keepdims=True)
    atoms /= np.sqrt((atoms**2).sum(axis=(1, 2, 3), keepdims=True))
    X = 0.01 * rng.standard_normal((n_images, 1, size, size))
    for image in X:
        for _ in range(n_events):
            row, column = rng.integers(size - width + 1, size=2)
            image[:, row:row + width, column:column + width] += rng.uniform(0.5, 1.5) * atoms[rng.integers(n_atoms)]
    return X.astype(np.float32), atoms


def similarity(found, atoms):
    """For each planted atom its largest |cosine| with a learned one, over all shifts of it."""
    wide, narrow = found.shape[2], atoms.shape[2]
    cosines = []
    for atom in atoms[:, 0]:
        canvas = np.zeros((3 * wide, 3 * wide))
        canvas[wide:wide + narrow, wide:wide + narrow] = atom
        shifted = np.lib.stride_tricks.sliding_window_view(canvas, (wide, wide))
        cosines.append(np.abs(np.einsum("yxij,kij->yxk", shifted, found[:, 0])).max())
    return np.array(cosines)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_atoms_are_recovered(seed):
    X, atoms = plant(np.random.default_rng(seed))
    model = ConvolutionalSHL(18, 9, 20, n_iter=200, mask=gaussian_mask(9), homeo_method="HAP", eta_homeo=0.02,
                             random_state=seed, n_jobs=2).fit(X)
    assert (similarity(model.components_, atoms) > 0.95).mean() >= 0.95


@pytest.mark.slow
def test_homeostasis_on_sample_images_costs_little():
    X = preprocess(study.load("sample", n_images=200))
    figures = {}
    for method, eta_homeo in (("None", 0.0), ("EXP", 0.0025), ("HAP", 0.05)):
        model = ConvolutionalSHL(20, 9, 20, n_iter=150, mask=gaussian_mask(9), homeo_method=method,
                                 eta_homeo=eta_homeo, random_state=42, n_jobs=2).fit(X)
        figures[method] = study.measure(model, X)
    for method in ("EXP", "HAP"):
        assert figures[method]["cv_own"] <= figures["None"]["cv_own"] / 3
        assert figures[method]["error_own"] <= 1.05 * figures["None"]["error_own"]


# ------------------------------------------------------------------------------------------------ habits

def test_a_clone_learns_the_same(images):
    model = small_model(mask=gaussian_mask(5)).fit(images)
    again = clone(model).fit(images)
    np.testing.assert_array_equal(model.components_, again.components_)
    assert model.get_params()["patch_width"] == 5
    with pytest.raises(NotFittedError):
        clone(model).transform(images)


def test_pickle_and_save_keep_the_model(images, tmp_path):
    model = small_model(homeo_method="EXP", mask=gaussian_mask(5)).fit(images)
    model.save(tmp_path / "model.npz")
    copies = [pickle.loads(pickle.dumps(model)), ConvolutionalSHL.load(tmp_path / "model.npz")]
    for copy in copies:
        np.testing.assert_array_equal(copy.transform(images).value, model.transform(images).value)
        np.testing.assert_array_equal(copy.gain_, model.gain_)
        np.testing.assert_array_equal(copy.record_["counts"], model.record_["counts"])
    model.partial_fit(images)
    for copy in copies:  # they learn on with the same bits
        np.testing.assert_array_equal(copy.partial_fit(images).components_, model.components_)


def test_load_refuses_something_else(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="something else"):
        ConvolutionalSHL.load(tmp_path / "other.npz")


def test_partial_fit_goes_on(images):
    model = small_model(batch_size=4).partial_fit(images).partial_fit(images)
    assert model.n_iter_ == 4
    with pytest.raises(ValueError, match="channels"):
        model.partial_fit(np.ones((2, 3, 19, 23)))


def test_transform_and_back(images):
    model = small_model().fit(images)
    code = model.transform(images)
    back = model.inverse_transform(code)
    assert back.shape == images.shape
    assert np.linalg.norm(images - back) < np.linalg.norm(images)
    np.testing.assert_allclose(model.inverse_transform(code.toarray()), back, atol=1e-6)
    assert len(model.transform(images, l0_sparseness=2)) == 2 * len(images)
    strided = small_model(stride=4).fit(images)
    assert strided.inverse_transform(strided.transform(images), images.shape).shape == images.shape


def test_fewer_axes_are_accepted(images):
    expected = small_model().fit(images).components_
    np.testing.assert_array_equal(small_model().fit(images[:, 0]).components_, expected)
    assert small_model().fit(images[0, 0]).transform(images[0, 0]).shape == (1, 6, 15, 19)


def test_a_callback_may_stop_learning(images):
    class Enough(Exception):
        pass

    def stop(state):
        if state.step == 3:
            raise Enough

    with pytest.raises(Enough):
        small_model().fit(images, on_step=stop)


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


# ------------------------------------------------------------------------------------------------ bad input

@pytest.mark.parametrize("X, match", [
    (np.ones(5), "X must have 2 axes"), (np.ones((1, 1, 1, 9, 9)), "X must have 2 axes"),
    (np.full((9, 9), np.nan), "X must be finite"), (np.ones((4, 9)), "at least patch_width"),
    (np.ones((0, 9, 9)), "X is empty"), (np.ones((9, 9), complex), "real numbers"),
    (np.ones((6, 5)), "l0_sparseness must be at least 1 and at most 2 "),
])
def test_bad_images_are_refused(X, match):
    with pytest.raises(ValueError, match=match):
        small_model().fit(X)


@pytest.mark.parametrize("options, match", [
    ({"l0_sparseness": 15 * 19 + 1}, "at most 285 .the 15 x 19 places"), ({"l0_sparseness": 0}, "l0_sparseness"),
    ({"mask": np.ones((4, 5))}, "mask must have one of the shapes"), ({"mask": -np.ones((5, 5))}, "non-negative"),
    ({"mask": np.full((5, 5), np.nan)}, "mask must be finite"), ({"mask": np.zeros((5, 5))}, "not all 0"),
    ({"homeo_method": "HEH"}, "homeo_method must be one of"), ({"eta_homeo": 2}, "eta_homeo"),
    ({"eta_homeo": -1, "homeo_method": "EXP"}, "eta_homeo"), ({"alpha_MP": 0}, "alpha_MP"),
    ({"stride": 6}, "stride must be at least 1 and at most 5"), ({"eta": -0.1}, "eta"), ({"n_iter": 0}, "n_iter"),
    ({"batch_size": 10}, "batch_size must be at least 1 and at most 9"), ({"random_state": -1}, "random_state"),
    ({"dict_init": np.ones((6, 1, 4, 5))}, "dict_init must have shape"), ({"n_dictionary": 0}, "n_dictionary"),
    ({"dict_init": np.zeros((6, 1, 5, 5))}, "dict_init must have no atom of zeros"),
])
def test_bad_parameters_are_refused(images, options, match):
    with pytest.raises(ValueError, match=match):
        small_model(**options).fit(images)


def test_bad_types_are_refused(images):
    for options in ({"patch_width": 4.5}, {"do_sym": "yes"}, {"n_iter": "many"}):
        with pytest.raises(TypeError, match=next(iter(options))):
            small_model(**options).fit(images)


def test_bad_dictionaries_and_gains_are_refused(rng, images):
    dictionary = draw_atoms(rng)
    for name, value in (("unit norm", 2 * dictionary), ("square", dictionary[..., :4]), ("axes", dictionary[0, 0]),
                        ("channels", np.repeat(dictionary, 2, axis=1) / 2**0.5)):
        with pytest.raises(ValueError, match=name):
            convolutional_encode(images, value)
    for gain in (np.ones(3), -np.ones(7), np.full(7, np.nan)):
        with pytest.raises(ValueError, match="gain"):
            convolutional_encode(images, dictionary, gain=gain)


def test_diverged_learning_is_an_error(images):
    model = small_model(n_iter=2)
    plan = model._plan(images)
    state = learning.start(np.ones((6, 1, 5, 5), np.float32), plan, 0)
    state.dictionary[0] = np.nan
    with Threads() as threads, pytest.raises(FloatingPointError, match="diverged"):
        learning.learn(images, state, plan, 0, threads)


def test_inverse_transform_refuses_what_does_not_fit(images):
    model = small_model().fit(images)
    with pytest.raises(ValueError, match="6 atoms"):
        model.inverse_transform(np.ones((1, 5, 4, 4)))
    with pytest.raises(ValueError, match="at least 19 x 23"):
        model.inverse_transform(model.transform(images), (1, 1, 18, 23))


# ------------------------------------------------------------------------------------------------ preprocessing

def test_local_contrast_follows_its_equation(rng):
    image = rng.standard_normal((14, 15))
    found = normalise_local_contrast(image, width=5, sigma=0.5)
    x = np.arange(5) - 2
    window = np.exp(-(x[:, None]**2 + x**2) / (2 * (0.5 * 2) ** 2))
    window /= window.sum()

    def smooth(values):
        padded = np.pad(values, 2, mode="symmetric")
        return np.array([[(window * padded[i:i + 5, j:j + 5]).sum() for j in range(15)] for i in range(14)])

    centred = image - smooth(image)
    deviation = np.sqrt(smooth(centred**2))
    np.testing.assert_allclose(found, centred / np.maximum(deviation, deviation.mean()), atol=1e-12)


def test_preprocessing_keeps_shape_and_dtype(images):
    for X in (images, images[:, 0], images[0, 0], images.astype(np.float64)):
        Y = preprocess(X, start_R=5)
        assert Y.shape == X.shape and Y.dtype == X.dtype
    np.testing.assert_array_equal(preprocess(np.full((3, 20, 20), 7.0)), 0)
    with pytest.raises(ValueError, match="width must be odd"):
        normalise_local_contrast(images, width=8)


def test_windows():
    window = radial_window((41, 61), start_R=10, sigma=0.25)
    assert window[20, 30] == window[20, 40] == 1
    np.testing.assert_allclose(window[20, 45], np.exp(-25 / (2 * (0.25 * 20.5) ** 2)))
    mask = gaussian_mask(9)
    np.testing.assert_allclose(mask[4, 8], np.exp(-1 / (2 * 0.8**2)))
    np.testing.assert_allclose(mask, mask.T[::-1])
    assert gaussian_mask(1) == 1


# ------------------------------------------------------------------------------------------------ figures, study

def test_figures_show_what_they_are_given(images, tmp_path):
    model = small_model().fit(images)
    code = model.transform(images)
    _, ax = plots.show_atoms(model, n_columns=3)
    assert ax.images[0].get_array().shape == (2 * 6 + 1, 3 * 6 + 1)
    _, ax = plots.plot_convergence(model, label="a")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), model.record_["error"])
    fig, ax = plots.plot_usage(model)
    assert [bar.get_height() for bar in ax.patches] == model.counts_.tolist()
    _, same = plots.plot_usage(np.arange(6), fig=fig, ax=ax)
    assert same is ax
    _, ax = plots.show_where(code)
    assert np.nansum(ax.images[0].get_array()) == len(code)
    plots.show_reconstruction(images, model.inverse_transform(code), fname=tmp_path / "reconstruction.png")
    assert (tmp_path / "reconstruction.png").stat().st_size > 0


def run_command(arguments):
    parser = argparse.ArgumentParser()
    cli.add_commands(parser.add_subparsers())
    args = parser.parse_args(arguments)
    return args.run(args)


def test_the_command_writes_what_it_says(tmp_path, capsys):
    out = tmp_path / "out"
    run_command(["conv-learn", "--n-images", "6", "--size", "33", "--n-dictionary", "5", "--l0-sparseness", "4",
                 "--n-iter", "3", "--homeo-method", "None", "EXP", "--second", "2", "--second-n-dictionary", "3",
                 "--second-patch-width", "7", "--database", "dead_leaves", "--json", "--out", str(out)])
    summary = json.loads(capsys.readouterr().out)
    assert set(summary["rules"]) == {"None", "EXP"} and summary["second"]["seconds"] > 0
    assert json.loads((out / "summary.json").read_text()) == summary
    names = {path.name for path in out.iterdir()}
    assert {"atoms_None.png", "where_EXP.png", "reconstruction_EXP.png", "convergence.png", "atoms_second.png",
            "model_None.npz", "model_EXP.npz", "model_second.npz"} <= names
    assert ConvolutionalSHL.load(out / "model_EXP.npz").components_.shape == (5, 1, 9, 9)


def test_quiet_prints_nothing(tmp_path, capsys):
    run_command(["conv-learn", "--n-images", "4", "--size", "33", "--n-dictionary", "3", "--n-iter", "1",
                 "--homeo-method", "HAP", "--quiet", "--out", str(tmp_path)])
    assert capsys.readouterr() == ("", "")
