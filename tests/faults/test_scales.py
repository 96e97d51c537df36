"""Codes and learnings at any scale of X and for any integer type of a parameter."""

from functools import partial

import numpy as np
import pytest
from making import make

from shl import SHL, SparseHebbianLearning, metrics, sparse_encode
from shl.coding.events import Events
from shl.coding.parameters import ALGORITHMS
from shl.convolution import ConvolutionalSHL, convolutional_encode
from shl.images.patches import Patches


def problem(dtype, n_samples=40):
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((30, 16))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    return rng.standard_normal((n_samples, 16)).astype(dtype), atoms.astype(dtype)


@pytest.mark.parametrize("algorithm", ["omp", "lars", "lasso_lars"])
@pytest.mark.parametrize("distance", [0.0, 1e-9, 1e-7, 1e-6])
def test_twin_atoms_get_no_large_coefficients(algorithm, distance):
    for dtype in (np.float32, np.float64):
        X, atoms = problem(dtype)
        rng = np.random.default_rng(1)
        twins = atoms[:10] + distance * rng.standard_normal((10, 16))
        twins /= np.linalg.norm(twins, axis=1, keepdims=True)
        both = np.concatenate((atoms[:15], twins, -twins[:5])).astype(dtype)
        code = sparse_encode(X, both, algorithm=algorithm, l0_sparseness=12)
        assert np.abs(code).max() < 100
        residual = np.linalg.norm(X - code @ both, axis=1)
        assert (residual <= np.linalg.norm(X, axis=1) * (1 + 1e-5)).all()


def test_the_error_of_any_scale_is_the_same():
    rng = np.random.default_rng(0)
    X, residual = rng.standard_normal((2, 50, 9)).astype(np.float32)
    wanted = metrics.reconstruction_error(X, residual)
    for power in range(-120, 121, 15):
        scale = np.float32(2.0**power)
        found = metrics.reconstruction_error(X * scale, residual * scale)
        assert found == pytest.approx(wanted, rel=1e-5)
    assert metrics.reconstruction_error(np.zeros((3, 2)), np.zeros((3, 2))) == 0
    assert metrics.reconstruction_error(X, np.zeros_like(X)) == 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_coefficients_that_overflow_are_named(algorithm, dtype):
    X, atoms = problem(dtype)
    most = np.finfo(dtype).max
    options = {"algorithm": algorithm, "l0_sparseness": 5}
    bad = X.copy()
    bad[5] = most * np.sign(atoms[0])
    with pytest.raises(ValueError, match=r"X: sample 5 has a coefficient of .* cannot hold"):
        sparse_encode(bad, atoms, **options)
    for value in most * np.array([1e-1, 1e-3, 1e-9, 1e-25]).astype(dtype):
        bad = X.copy()
        bad[5, 3:9] = value
        assert np.isfinite(sparse_encode(bad, atoms, **options)).all()


LEARNINGS = {
    "default": {},
    "adam": {"optimizer": "adam"},
    "plain gradient": {"optimizer": "adam", "beta1": 0.0},
    "OLS": {"homeo_method": "OLS"},
    "HEH": {"homeo_method": "HEH"},
    "HEH2019": {"homeo_method": "HEH2019", "replace": False},
    "lasso_cd": {"learning_algorithm": "lasso_cd", "homeo_method": "None", "n_iter": 3},
    "precision": {"do_precision": True, "eta_precision": 0.1},
    "mask": {"missing": "mask"},
    "weights": {"weighted": True},
    "early": {"tol": 1e-3},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LEARNINGS)
def test_learning_at_any_scale_has_the_same_bits(name, dtype):
    X, _ = problem(dtype, 100)
    options = dict(LEARNINGS[name])
    weight = np.linspace(0, 2, 100) if options.pop("weighted", False) else None
    if name == "mask":
        X[::3, ::4] = np.nan

    def results(X):
        records = {"record_each": 2, "record_num_batches": 50}
        model = make(**{"n_iter": 12, "batch_size": 50, **records, **options})
        model.fit(X, sample_weight=weight)
        for kind in ("F", "F_own", "qerror"):
            assert np.isfinite(model.record_[kind]).all()
        found = [model.components_, model.score(X), model.transform(X) != 0]
        return [*found, model.partial_fit(X[:60]).components_, model.record_.get("error", 0)]

    plain = results(X)
    least, most = (np.log2(float(x)) for x in (np.finfo(dtype).tiny, np.finfo(dtype).max))
    for exponent in (int(least) + 20, int(least / 2), 7, int(most / 2), int(most) - 6):
        for found, wanted in zip(results(X * dtype(2.0**exponent)), plain, strict=True):
            np.testing.assert_array_equal(found, wanted, err_msg=f"2^{exponent}")


def test_images_that_overflow_are_refused_by_place():
    dtype = np.float32
    images = np.zeros((2, 9, 9), dtype)
    images[1, 4, 4] = np.finfo(dtype).max
    with pytest.raises(ValueError, match=r"X must hold no number beyond .* at \(1, 0, 4, 4\)"):
        convolutional_encode(images, np.ones((1, 1, 1, 1)), l0_sparseness=1)


# --------------------------------------------------------------------------------------- integers

SMALL = (np.uint8, np.int8, np.int16, np.uint64)


def as_type(kind, options):
    return {
        name: kind(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in options.items()
    }


def learn_patches(form):
    X, _ = problem(np.float32, 250)
    options = {"n_dictionary": 120, "l0_sparseness": 3, "n_iter": 12, "batch_size": 100}
    options |= {"epsilon": 10, "nb_quant": 100, "record_each": 4, "record_num_batches": 100}
    options |= {"random_state": 3, "n_jobs": 2, "homeo_fade": (0.2, 0.8)}
    for more in ({}, {"homeo_method": "HEH"}, {"learning_algorithm": "omp"}):
        model = SparseHebbianLearning(**form(options), **more).fit(X)
        yield from (model.components_, model.record_["F"])


def learn_images(form):
    images = np.random.default_rng(0).standard_normal((3, 1, 80, 90)).astype(np.float32)
    options = {"n_dictionary": 8, "patch_width": 9, "l0_sparseness": 50, "n_iter": 3, "stride": 7}
    options |= {"batch_size": 3, "record_each": 1, "random_state": 0}
    model = ConvolutionalSHL(**form(options)).fit(images)
    code = model.transform(images)
    yield from (model.components_, code.image, code.atom, code.row, code.column, code.value)
    yield model.inverse_transform(code)
    yield code.reconstruct(model.components_, (80, 90), **form({"stride": 7}))


def code_and_draw(form):
    rng = np.random.default_rng(0)
    images, kernels = rng.standard_normal((1, 100, 100)), rng.standard_normal((4, 7, 7))
    kernels /= np.sqrt((kernels**2).sum(axis=(1, 2), keepdims=True))
    yield sparse_encode(*problem(np.float32), **form({"l0_sparseness": 6, "n_jobs": 2}))
    yield convolutional_encode(images, kernels, **form({"l0_sparseness": 120, "stride": 3})).value
    options = {"height": 100, "width": 120, "patch_width": 12, "N_patches": 120, "over_patches": 16}
    options |= {"patch_ds": 2, "seed": 3, "n_image": 2, "patch_norm": False, "do_mask": True}
    options |= {"name_database": "sample", "datapath": "", "do_bandpass": True}
    patches = Patches(**form(options))
    yield from (patches.key(), patches.draw())


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("work", [learn_patches, learn_images, code_and_draw])
def test_small_integers_are_as_python_s(work, kind):
    for found, wanted in zip(work(partial(as_type, kind)), work(dict), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_an_experiment_keeps_python_numbers():
    options = {"patch_width": 12, "N_patches": 200, "n_dictionary": 100, "epsilon": 10, "seed": 1}
    options |= {"l0_sparseness": 3, "n_iter": 100, "batch_size": 90, "record_num_batches": 50}
    options |= {"DEBUG_DOWNSCALE": 2}
    one, two = (SHL(**form, cache_dir=None) for form in (options, as_type(np.uint8, options)))
    assert one == two and all(type(getattr(two, name)) is int for name in options)


def test_events_reject_indices_out_of_range():
    good = Events(np.array([[0, 2]], np.int32), np.ones((1, 2)), 3)
    good.to_dense()
    bad = [
        Events(np.array([[0, 100_000]], np.int32), np.ones((1, 2)), 3),
        Events(np.array([[0, -1]], np.int32), np.ones((1, 2)), 3),
        Events(np.array([[0, 2]], np.int32), np.ones((1, 1)), 3),
        Events(np.array([[0.0, 2.0]]), np.ones((1, 2)), 3),
        Events(np.array([0, 2], np.int32), np.ones(2), 3),
    ]
    for events in bad:
        for use in (
            Events.to_dense,
            Events.to_csr,
            Events.counts,
            Events.count_pairs,
            lambda events: events.power_sums(2),
            lambda events: events.count_quantiles(1.0, 5),
        ):
            with pytest.raises(ValueError, match="indices"):
                use(events)
    edited = Events(np.array([[0, 2]], np.int32), np.ones((1, 2)), 3)
    edited.indices[0, 0] = 77
    with pytest.raises(ValueError, match="indices must be at least 0 and below n_dictionary = 3"):
        edited.count_pairs()
