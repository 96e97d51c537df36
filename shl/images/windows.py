"""The overlapping patches of an image, and an image from its patches: for denoising and inpainting.

    X, means = extract(noisy, 8)
    model = SparseHebbianLearning(256, l0_sparseness=8).fit(X)
    code = model.transform(X, fit_tol=64 * (1.1 * sigma) ** 2)
    clean = reconstruct(model.inverse_transform(code), means, noisy.shape)

NaN marks missing pixels: with `missing="mask"` the same lines fill them in.
"""

import numpy as np
from numpy.typing import ArrayLike

from .._base.checks import check_array, check_count, check_memory, check_sizes

PatchShape = int | tuple[int, int]


def extract(
    image: ArrayLike, patch_shape: PatchShape, stride: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Extract the overlapping patches of an image, and subtract their means.

    Parameters
    ----------
    image : array of shape (height, width) or (height, width, n_channels)
        Grey levels or colours.  NaN marks missing pixels: they stay NaN in the patches, and a mean
        is that of the other pixels.
    patch_shape : int or (int, int)
        Height and width of a patch in pixels, at most those of the image.  An int is a square.
    stride : int, default=1
        Pixels between two patches, in both directions, at most the sides of a patch.  The last
        patches of each row and column end at the border: every pixel is in a patch.

    Returns
    -------
    patches : array of shape (n_patches, patch_height * patch_width * n_channels)
        Patches of mean 0 in each channel, row by row of the image, channels last.  float32 if the
        image is float32, else float64.
    means : array of shape (n_patches, n_channels)
        The means that were subtracted; 0 if all pixels of a patch are missing.

    Raises
    ------
    ValueError
        If a patch is larger than the image, or the patches do not fit in memory.

    Examples
    --------
    >>> patches, means = extract(np.arange(9.0).reshape(3, 3), 2)
    >>> patches.shape, means.ravel()
    ((4, 4), array([2., 3., 5., 6.]))
    """
    image = check_array(image, "image", ndim=(2, 3), allows_nan=True)
    (height, rows), (width, columns) = _grid(image.shape, patch_shape, stride)
    image = image.reshape(*image.shape[:2], -1)
    n_channels, n_patches = image.shape[2], len(rows) * len(columns)
    n_bytes = n_patches * height * width * n_channels * image.itemsize
    check_memory(n_bytes, f"for an image of shape {image.shape[:2]}, patch_shape", patch_shape)
    patches = np.empty((n_patches, height * width, n_channels), image.dtype)
    means = np.empty((n_patches, n_channels), image.dtype)
    for i, row in enumerate(rows):  # one row of patches at a time needs little memory
        strip = np.lib.stride_tricks.sliding_window_view(image[row : row + height], width, axis=1)
        here = slice(i * len(columns), (i + 1) * len(columns))
        part = patches[here]
        part[:] = strip[:, columns].transpose(1, 0, 3, 2).reshape(part.shape)
        n_known = np.maximum((~np.isnan(part)).sum(axis=1), 1)
        means[here] = np.nansum(part, axis=1, dtype=np.float64) / n_known
        part -= means[here, None]
    return patches.reshape(n_patches, -1), means


def reconstruct(
    patches: ArrayLike,
    means: ArrayLike,
    shape: tuple[int, ...],
    patch_shape: PatchShape | None = None,
    stride: int = 1,
) -> np.ndarray:
    """Reconstruct an image from patches and means as of `extract`; overlaps are averaged.

    Parameters
    ----------
    patches : array of shape (n_patches, patch_height * patch_width * n_channels)
        All patches of the image, row by row.
    means : array of shape (n_patches, n_channels)
        The means to add to the patches.
    shape : tuple of int
        Shape of the image, (height, width) or (height, width, n_channels).
    patch_shape : int or (int, int), default=None
        Height and width of a patch.  If None, patches are squares.
    stride : int, default=1
        The stride that was passed to `extract`.

    Returns
    -------
    image : array of this shape
        The image, in float32 if the patches are float32, else in float64.

    Raises
    ------
    ValueError
        If these are not all patches of an image of this shape.
    """
    patches = check_array(patches, "patches", ndim=2)
    means = check_array(means, "means", ndim=2, dtype=patches.dtype)
    shape = check_sizes(shape, "shape", "(height, width) or (height, width, n_channels)")
    n_channels = shape[2] if len(shape) == 3 else 1
    side = max(1, round((patches.shape[1] / n_channels) ** 0.5))
    patch_shape = side if patch_shape is None else patch_shape
    (height, rows), (width, columns) = _grid(shape, patch_shape, stride)
    n_patches = len(rows) * len(columns)
    wanted = (n_patches, height * width * n_channels), (n_patches, n_channels)
    if (patches.shape, means.shape) != wanted:
        raise ValueError(
            f"patches and means must be all those of an image of shape {shape}: of shapes "
            f"{wanted[0]} and {wanted[1]} for patches of {height} x {width} pixels and "
            f"stride={stride}, not {patches.shape} and {means.shape}"
        )
    total = np.zeros((*shape[:2], n_channels))
    patches = patches.reshape(len(rows), len(columns), height, width, n_channels)
    means = means.reshape(len(rows), len(columns), 1, n_channels)
    for row, part, mean in zip(rows, patches, means, strict=True):
        strip = total[row : row + height]
        for j in range(width):  # no pixel stands twice in columns + j
            strip[:, columns + j] += (part[:, :, j] + mean).swapaxes(0, 1)
    total /= np.multiply.outer(_count(rows, height), _count(columns, width))[:, :, None]
    return total.reshape(shape).astype(patches.dtype, copy=False)


def _count(starts, side):
    """How many of the patches of a side hold each row or column of an image."""
    return np.bincount(np.add.outer(starts, np.arange(side)).ravel())


def _grid(shape, patch_shape, stride):
    """Return (side of a patch, where patches begin) for both axes; the last ends at the border."""
    pair = patch_shape if isinstance(patch_shape, (tuple, list)) else (patch_shape, patch_shape)
    if len(pair) != 2:
        raise ValueError(f"patch_shape must be an int or (height, width), not {patch_shape!r}")
    axes = []
    for size, side in zip(shape, pair, strict=False):
        side = check_count(side, "patch_shape", most=size, why="the sides of the image")
        stride = check_count(stride, "stride", most=side, why="the sides of a patch")
        starts = np.arange(0, size - side + 1, stride)
        axes.append((side, np.union1d(starts, size - side)))
    return axes


__all__ = ["extract", "reconstruct"]
