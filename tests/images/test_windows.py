import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shl.images import extract, reconstruct


@st.composite
def cuts(draw):
    """Draw the shape of an image, of a patch that fits into it, and a stride."""
    height, width = draw(st.integers(1, 15)), draw(st.integers(1, 15))
    channels = draw(st.sampled_from([(), (1,), (3,)]))
    patch = draw(st.integers(1, height)), draw(st.integers(1, width))
    return (height, width, *channels), patch, draw(st.integers(1, min(patch)))


@settings(deadline=None, max_examples=60)
@given(cuts(), st.sampled_from([np.float32, np.float64]))
def test_reconstruct_inverts_extract(cut, dtype):
    shape, patch, stride = cut
    image = np.random.default_rng(0).random(shape).astype(dtype)
    patches, means = extract(image, patch, stride)
    assert patches.dtype == means.dtype == dtype
    assert patches.shape[1] == patch[0] * patch[1] * (shape[2] if len(shape) == 3 else 1)
    found = reconstruct(patches, means, shape, patch, stride)
    assert found.dtype == dtype and found.shape == shape
    np.testing.assert_allclose(found, image, atol=10 * np.finfo(dtype).eps)


def test_patches_are_windows_row_by_row(rng):
    image = rng.random((7, 9, 3))
    patches, means = extract(image, (3, 4), stride=3)
    rows, columns = (0, 3, 4), (0, 3, 5)  # the last ones end at the border
    windows = [image[r : r + 3, c : c + 4].reshape(-1, 3) for r in rows for c in columns]
    np.testing.assert_allclose(means, [window.mean(axis=0) for window in windows])
    expected = [(window - window.mean(axis=0)).ravel() for window in windows]
    np.testing.assert_allclose(patches, expected)


def test_overlaps_are_averaged():
    patches, means = np.array([[0.0, 0.0], [0.0, 0.0]]), np.array([[1.0], [3.0]])
    found = reconstruct(patches, means, (1, 3), patch_shape=(1, 2))
    np.testing.assert_array_equal(found, [[1, 2, 3]])


def test_extract_needs_little_more_than_its_result(rng):
    image = rng.random((150, 150)).astype(np.float32)
    tracemalloc.start()
    patches, _ = extract(image, 12)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * patches.nbytes
