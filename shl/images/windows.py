"""All overlapping patches of an image, and an image of its patches: for denoising and inpainting.

    X, means = extract(noisy, 8)
    model = SparseHebbianLearning(256, l0_sparseness=8).fit(X)
    code = model.transform(X, fit_tol=64 * (1.1 * sigma) ** 2)
    clean = reconstruct(model.inverse_transform(code), means, noisy.shape)

NaN marks pixels that are not known: with `missing="mask"` the same lines fill them in.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from .._base.checks import as_array, check_array, check_count


def extract(image, patch_width: int) -> tuple[np.ndarray, np.ndarray]:
    """All overlapping patches of an image, less their means, and the means.

    Parameters
    ----------
    image : array of shape (height, width) or (height, width, n_channels)
        NaN marks missing pixels: their places in the patches are NaN, the means are of the others.
    patch_width : int
        In pixels, at most height and width.

    Returns
    -------
    patches : array of shape (n_patches, patch_width^2 n_channels)
        Of means 0 in each channel, row by row of the image.
    means : array of shape (n_patches, n_channels)
        0 where a patch has no pixel.
    """
    image = as_array(image, "image")
    ndim = 3 if image.ndim == 3 else 2
    image = check_array(image, "image", ndim=ndim, allows_nan=True)
    most = min(image.shape[:2])
    patch_width = check_count(patch_width, "patch_width", most=most, why="the sides of the image")
    n_channels = image.shape[2] if ndim == 3 else 1
    known = ~np.isnan(image)
    patches, seen = (
        extract_patches_2d(values, (patch_width, patch_width)).reshape(
            -1, patch_width**2, n_channels
        )
        for values in (np.where(known, image, 0), known.astype(image.dtype))
    )
    means = patches.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    patches = np.where(seen > 0, patches - means[:, None], np.nan)
    return patches.reshape(len(patches), -1), means


def reconstruct(patches, means, shape: tuple[int, ...]) -> np.ndarray:
    """The image of a shape that `extract` took patches and means from: overlaps are averaged.

    Parameters
    ----------
    patches : array of shape (n_patches, patch_width^2 n_channels)
    means : array of shape (n_patches, n_channels)
    shape : tuple of int
        (height, width) or (height, width, n_channels).

    Returns
    -------
    image : array of this shape
    """
    patches = check_array(patches, "patches", ndim=2)
    means = check_array(means, "means", ndim=2, dtype=patches.dtype)
    if not isinstance(shape, Sequence) or len(shape) not in (2, 3):
        raise ValueError(f"shape must be (height, width) or with n_channels too, not {shape!r}")
    shape = tuple(check_count(size, f"each of shape {shape}") for size in shape)
    n_channels = shape[2] if len(shape) == 3 else 1
    width = round((patches.shape[1] / n_channels) ** 0.5)
    n_patches = (shape[0] - width + 1) * (shape[1] - width + 1)
    if patches.shape != (n_patches, width**2 * n_channels) or means.shape != (
        n_patches,
        n_channels,
    ):
        raise ValueError(
            f"patches {patches.shape} and means {means.shape} must be all those of an image of "
            f"shape {shape}"
        )
    whole = patches.reshape(n_patches, -1, n_channels) + means[:, None]
    squares = whole.reshape(n_patches, width, width, *shape[2:])
    return reconstruct_from_patches_2d(squares, shape).astype(patches.dtype)


__all__ = ["extract", "reconstruct"]
