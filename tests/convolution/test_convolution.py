import tracemalloc

import naive
import numpy as np
import pytest
from making import draw_atoms

from shl._base.threads import Threads
from shl.coding.competition import Competition
from shl.coding.encode import sparse_encode
from shl.coding.preparing import prepare
from shl.convolution import (
    ConvolutionalCode,
    coder,
    coding,
    convolutional_encode,
    gaussian_mask,
    normalise_local_contrast,
    preprocess,
    radial_window,
)

CASES = {
    "plain": {},
    "symmetric": {"do_sym": True},
    "alpha": {"alpha_MP": 0.6},
    "stride 2": {"stride": 2},
    "stride 3, symmetric": {"stride": 3, "do_sym": True},
    "gain": {"gain": np.linspace(0.5, 1.5, 7)},
}


def as_naive(options):
    return {{"alpha_MP": "alpha"}.get(name, name): value for name, value in options.items()}


def columns(code, n):
    of_image = code.image == n
    return [part[of_image] for part in (code.atom, code.row, code.column, code.value)]


# ------------------------------------------------------------------------------------------ pursuit


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "n_channels, shape", [(1, (17, 17)), (3, (13, 22)), (2, (5, 40)), (1, (30, 5))]
)
def test_codes_equal_the_oracle(case, n_channels, shape):
    rng = np.random.default_rng(0)
    dictionary, X = (
        draw_atoms(rng, n_channels=n_channels),
        rng.standard_normal((3, n_channels, *shape)),
    )
    options = CASES[case]
    l0 = min(12, int(np.prod(coder.places(shape, (5, 5), options.get("stride", 1)))))
    code = convolutional_encode(X, dictionary, l0_sparseness=l0, **options)
    for n, image in enumerate(X):
        events, _ = naive.convolutional_pursuit(image, dictionary, l0, **as_naive(options))
        found = columns(code, n)
        assert len(found[0]) == len(events)
        for column, expected in zip(found, np.transpose(events), strict=True):
            np.testing.assert_allclose(column, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_residuals_are_those_of_the_oracle(case):
    rng = np.random.default_rng(2)
    dictionary, image = draw_atoms(rng, n_channels=2), rng.standard_normal((2, 20, 26))
    options = dict(CASES[case])
    competition = Competition(options.pop("gain", None))
    how = coding.ConvolutionalCoding(l0_sparseness=30, **options)
    with Threads() as threads:
        batch = prepare(how, dictionary, competition).code_batch(image[None], [0], threads)
    _, expected = naive.convolutional_pursuit(image, dictionary, 30, **as_naive(CASES[case]))
    np.testing.assert_allclose(batch.residual[0], expected, atol=1e-12)
    back = batch.code.reconstruct(dictionary, image.shape, how.stride)[0]
    np.testing.assert_allclose(image - back, expected, atol=1e-12)


def test_maps_are_the_correlations_with_every_atom(rng):
    dictionary, image = draw_atoms(rng, n_channels=2), rng.standard_normal((2, 20, 26))
    rho, _, _ = prepare(coding.ConvolutionalCoding(), dictionary).fill(image[None])
    expected = naive.correlate_places(image, dictionary)
    np.testing.assert_allclose(rho[0].reshape(expected.shape), expected, atol=1e-12)


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
    image = np.where(
        rng.random((n_channels, 21, 24)) < 0.05, rng.standard_normal((n_channels, 21, 24)), 0
    )
    assert np.count_nonzero(image) < coder.MOST_DENSE * image.size
    ready = prepare(coding.ConvolutionalCoding(), dictionary)
    rho = ready.allocate((1, *image.shape))[0]
    correlate, _ = ready.correlation(image, rho)
    for rows in (slice(0, 7), slice(7, 16), slice(16, 17)):
        correlate(rows)
    np.testing.assert_allclose(
        rho.reshape(17, 20, 7), naive.correlate_places(image, dictionary), atol=1e-12
    )


def test_ties_go_to_the_first_row_column_and_atom():
    image = np.zeros((6, 7))
    image[[1, 1, 4], [5, 2, 0]] = 1.0
    code = convolutional_encode(image, np.ones((2, 1, 1, 1)), l0_sparseness=3)
    assert list(zip(code.row, code.column, code.atom, strict=True)) == [
        (1, 2, 0),
        (1, 5, 0),
        (4, 0, 0),
    ]


def test_an_image_without_positive_scores_ends_early(rng):
    dictionary = np.abs(draw_atoms(rng))
    X = np.stack([np.zeros((1, 9, 9)), -np.ones((1, 9, 9)), np.ones((1, 9, 9))])
    code = convolutional_encode(X, dictionary, l0_sparseness=4)
    assert np.bincount(code.image, minlength=3)[:2].tolist() == [0, 0]
    assert len(columns(code, 2)[0]) > 0
    assert convolutional_encode(X[1:2], dictionary, l0_sparseness=4, do_sym=True).n_events == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_depend_on_no_thread_nor_batch(rng, dtype):
    dictionary, X = (
        draw_atoms(rng).astype(dtype),
        rng.standard_normal((40, 1, 20, 21)).astype(dtype),
    )
    one, two = (
        convolutional_encode(X, dictionary, l0_sparseness=9, n_jobs=n_jobs) for n_jobs in (1, 2)
    )
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
    monkeypatch.setattr(coder, "MOST_UNFOLDED", 46 * 25 * 9)  # strips of a few rows
    expected = convolutional_encode(X, dictionary, l0_sparseness=40)
    monkeypatch.setattr(coder, "LARGE", 1)
    monkeypatch.setattr(coder, "EVENTS_A_CALL", 7)
    found = convolutional_encode(X, dictionary, l0_sparseness=40, n_jobs=n_jobs)
    np.testing.assert_array_equal(expected.toarray(), found.toarray())
    np.testing.assert_array_equal(expected.value, found.value)


def test_large_images_may_end_early(monkeypatch):
    image = np.zeros((30, 30))
    image[3, 4] = 2.0
    monkeypatch.setattr(coder, "LARGE", 1)
    monkeypatch.setattr(coder, "EVENTS_A_CALL", 3)
    assert len(convolutional_encode(image, np.ones((1, 1, 1, 1)), l0_sparseness=10)) == 1


@pytest.mark.parametrize(
    "shape, n_events",
    [((500, 700), 2000), pytest.param((3000, 4000), 100_000, marks=pytest.mark.slow)],
)
def test_a_large_image_needs_little_more_than_its_maps(rng, shape, n_events):
    dictionary, X = (
        draw_atoms(rng, 20, width=9).astype(np.float32),
        rng.standard_normal(shape, np.float32),
    )
    n_places = np.prod(coder.places(shape, (9, 9), 1))
    tracemalloc.start()
    try:
        code = convolutional_encode(X, dictionary, l0_sparseness=n_events, n_jobs=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert code.n_events == n_events
    assert peak < 1.5 * 4 * 20 * n_places  # bytes: a half more than the maps
    residual = X - code.reconstruct(dictionary, shape)[0, 0]
    np.testing.assert_allclose(
        (X.astype(float) ** 2).sum() - (residual.astype(float) ** 2).sum(),
        (code.value.astype(float) ** 2).sum(),
        rtol=1e-3,
    )


# ----------------------------------------------------------------------------------------- the code


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
    np.testing.assert_allclose(
        again.reconstruct(dictionary, X.shape), code.reconstruct(dictionary, X.shape)
    )


def test_events_at_one_place_add_up():
    image = np.full((3, 3), 1.0)
    code = convolutional_encode(image, np.ones((1, 1, 1, 1)), l0_sparseness=9, alpha_MP=0.5)
    np.testing.assert_array_equal(code.toarray()[0, 0], np.full((3, 3), 0.5))
    twice = ConvolutionalCode(*np.zeros((4, 2), np.int32), np.array([1.0, 2.0]), (1, 1, 3, 3))
    assert twice.toarray()[0, 0, 0, 0] == 3


# ------------------------------------------------------------------------------------ preprocessing


def test_local_contrast_follows_its_equation(rng):
    image = rng.standard_normal((14, 15))
    found = normalise_local_contrast(image, width=5, sigma=0.5)
    x = np.arange(5) - 2
    window = np.exp(-(x[:, None] ** 2 + x**2) / (2 * (0.5 * 2) ** 2))
    window /= window.sum()

    def smooth(values):
        padded = np.pad(values, 2, mode="symmetric")
        return np.array(
            [[(window * padded[i : i + 5, j : j + 5]).sum() for j in range(15)] for i in range(14)]
        )

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


def test_channels_in_the_last_place_are_refused(rng):
    with pytest.raises(ValueError, match=r"np.moveaxis\(X, -1, 1\)"):
        convolutional_encode(rng.random((2, 20, 24, 3)), np.ones((1, 20, 3, 3)) / 180**0.5)
