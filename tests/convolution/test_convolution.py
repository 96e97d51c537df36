import tracemalloc

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import assert_same, draw_atoms, fitted, unit
from scipy.signal import lfilter

from shl.coding.encode import sparse_encode
from shl.convolution import (
    ConvolutionalCode,
    coder,
    convolutional_encode,
    gaussian_mask,
    maps,
    normalise_local_contrast,
    preprocess,
    radial_window,
    whiten_recording,
)
from shl.convolution.maps import MOST_DENSE, Filters, places
from shl.datasets import make_recording


def columns(code, n):
    of_image = code.image == n
    return [part[of_image] for part in (code.atom, code.row, code.column, code.value)]


# ------------------------------------------------------------------------------------------ pursuit


@st.composite
def problems(draw):
    """Images or signals of several sizes with missing entries, a dictionary and options."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_axes, n_channels = draw(st.sampled_from((1, 2))), draw(st.integers(1, 3))
    atom = [draw(st.integers(1, 7)) for _ in range(n_axes)]
    side = min([s for s in atom if s > 1] or [1])
    options = {"stride": draw(st.integers(1, side)), "do_sym": draw(st.booleans())}
    options["alpha_MP"] = draw(st.sampled_from((1.0, 0.95, 0.7)))
    share = draw(st.sampled_from((0.0, 0.03, 0.3)))
    images = []
    for _ in range(draw(st.integers(1, 3))):
        size = [s + draw(st.integers(0, 16)) for s in atom]
        image = rng.standard_normal((n_channels, *size))
        image[rng.random(image.shape) < share] = np.nan
        images.append(image)
    dictionary = unit(rng.standard_normal((draw(st.integers(1, 5)), n_channels, *atom)))
    gain = draw(st.sampled_from((None, np.linspace(0.5, 1.5, len(dictionary)))))
    return n_axes, images, dictionary, options, gain


@settings(max_examples=150, deadline=None)
@given(problems())
def test_any_shape_equals_the_oracle(problem):
    n_axes, images, dictionary, options, gain = problem
    wide, whole = dictionary, images
    if n_axes == 1:
        wide, whole = dictionary[:, :, None], [image[:, None] for image in images]
    model, stride = fitted(dictionary, **options), options["stride"]
    n_places = min(np.prod(places(image.shape, wide.shape[2:], stride)) for image in whole)
    most = 9 if options["alpha_MP"] < 1 else 3  # of whole events, a fourth may tie
    for l0 in (1, min(most, n_places)):
        code = model.transform(images, l0_sparseness=int(l0), gain=gain)
        back = code.reconstruct(dictionary, None, stride)
        for n, image in enumerate(whole):
            events, residual = naive.convolutional_pursuit(
                image, wide, l0, gain, options["alpha_MP"], options["do_sym"], stride
            )
            n_sure = sum(abs(event[3]) > 1e-9 for event in events)  # the rest is rounding
            found = columns(code, n)
            assert len(found[0]) >= n_sure
            for column, expected in zip(found, zip(*events, strict=True), strict=False):
                np.testing.assert_allclose(column[:n_sure], expected[:n_sure], rtol=0, atol=1e-9)
            left = images[n] - back[n]
            np.testing.assert_allclose(left, residual.reshape(left.shape), rtol=0, atol=1e-9)
            assert np.nansum(residual**2) <= np.nansum(image**2)


def test_one_place_is_pursuit_of_a_patch(rng):
    dictionary, X = draw_atoms(rng, 12), rng.standard_normal((8, 1, 5, 5))
    code = convolutional_encode(X, dictionary, l0_sparseness=1)
    expected = sparse_encode(X.reshape(8, -1), dictionary.reshape(12, -1), l0_sparseness=1)
    np.testing.assert_allclose(code.toarray().reshape(8, 12), expected, atol=1e-12)


@pytest.mark.parametrize("share, n_channels", [(1.0, 2), (0.05, 1), (0.05, 4)])
def test_maps_are_correlations_in_any_strips(rng, share, n_channels):
    dictionary, image = draw_atoms(rng, n_channels=n_channels), np.zeros((n_channels, 21, 24))
    image[rng.random(image.shape) < share] = 1.5
    assert (np.count_nonzero(image) < MOST_DENSE * image.size) == (share < 1)
    ready = Filters.of(dictionary, 1)
    rho = ready.allocate((1, *image.shape))[0]
    correlate, _ = ready.correlation(image, rho)
    for rows in (slice(0, 7), slice(7, 16), slice(16, 17)):
        correlate(rows)
    expected = naive.correlate_places(image, dictionary)
    np.testing.assert_allclose(rho.reshape(17, 20, 7), expected, atol=1e-12)


def test_ties_go_to_the_first_row_column_and_atom():
    image = np.zeros((6, 7))
    image[[1, 1, 4], [5, 2, 0]] = 1.0
    code = convolutional_encode(image, np.ones((2, 1, 1, 1)), l0_sparseness=3)
    found = np.stack((code.row, code.column, code.atom), axis=1)
    np.testing.assert_array_equal(found, [(1, 2, 0), (1, 5, 0), (4, 0, 0)])


def test_an_image_without_positive_scores_ends_early(rng):
    dictionary = np.abs(draw_atoms(rng))
    X = np.stack([np.zeros((1, 9, 9)), -np.ones((1, 9, 9)), np.ones((1, 9, 9))])
    code = convolutional_encode(X, dictionary, l0_sparseness=4)
    assert np.bincount(code.image, minlength=3)[:2].tolist() == [0, 0]
    assert len(columns(code, 2)[0]) > 0
    assert convolutional_encode(X[1:2], dictionary, l0_sparseness=4, do_sym=True).n_events == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 20, 21), (3, 90)])
def test_bits_depend_on_no_thread_nor_batch(rng, dtype, shape):
    X = rng.standard_normal((40, *shape)).astype(dtype)
    dictionary = unit(rng.standard_normal((7, shape[0], *(5,) * (len(shape) - 1)))).astype(dtype)
    codes = [convolutional_encode(X, dictionary, l0_sparseness=9, n_jobs=n) for n in (1, 2)]
    assert codes[0].value.dtype == dtype
    assert_same(*codes)
    alone = convolutional_encode(X[17:18], dictionary, l0_sparseness=9)
    for expected, found in zip(columns(codes[0], 17), columns(alone, 0), strict=True):
        np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_large_images_in_strips_give_the_same_bits(rng, monkeypatch, n_jobs):
    dictionary, X = draw_atoms(rng), rng.standard_normal((2, 1, 60, 50))
    monkeypatch.setattr(maps, "MOST_UNFOLDED", 46 * 25 * 9)  # strips of a few rows
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
    dictionary, X = draw_atoms(rng, 20, width=9).astype("f"), rng.standard_normal(shape, np.float32)
    n_places = np.prod(places(shape, (9, 9), 1))
    tracemalloc.start()
    try:
        code = convolutional_encode(X, dictionary, l0_sparseness=n_events, n_jobs=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert code.n_events == n_events
    assert peak < 1.5 * 4 * 20 * n_places  # bytes: a half more than the maps
    residual = X - code.reconstruct(dictionary, shape)[0, 0]
    before, after, coded = ((a.astype(float) ** 2).sum() for a in (X, residual, code.value))
    np.testing.assert_allclose(before - after, coded, rtol=1e-3)


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


def test_whitened_noise_is_white():
    X, atoms, *_ = make_recording(60_000, 3, 2, 32, overlap=0.1, colour=0.9, random_state=1)
    X[1] *= 128
    Y, filters = whiten_recording(X, order=4)
    assert Y.shape == X.shape and Y.dtype == X.dtype
    np.testing.assert_allclose(filters[0], 128 * filters[1], rtol=0.1, atol=3)
    noise, *_ = make_recording(60_000, 3, 2, 32, overlap=0, colour=0.9, random_state=2)
    white = lfilter(filters[0], 1, noise[0])
    assert 0.9 < white.std() < 1.1 and abs(white[1:] @ white[:-1]) < 0.1 * white @ white
    back = lfilter([1], filters[0], lfilter(filters[0], 1, atoms[0, 0]))
    np.testing.assert_allclose(back, atoms[0, 0], atol=1e-9)


def test_whitening_keeps_gaps_lists_and_scales():
    X, *_ = make_recording(4000, random_state=1)
    Y, filters = whiten_recording(X, order=3)
    np.testing.assert_array_equal(whiten_recording(2.0**40 * X, order=3)[0], Y)
    X[0, 100] = np.nan
    (one, two), _ = whiten_recording([X, X[:, 2000:]], order=3)
    assert np.isnan(one).sum() == 4 and not np.isnan(two).any() and two.shape == (1, 2000)
    with pytest.raises(ValueError, match="order=200 needs 6400 samples without missing values"):
        whiten_recording(X, order=200)
