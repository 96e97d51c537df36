"""Images and recordings made ready for learning: local contrast, a radial window, a mask for atoms,
white noise.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from .._base.checks import as_array, check_count, check_memory
from .._base.constraints import Count, NotNegative, checked, number
from .._base.samples import scale_by
from .layout import check_images, read, scaled

PIECE = 32  # times the order: samples of a piece of a recording
QUIET = 0.25  # share of the pieces, those of least energy, that are taken for noise
MOST_PIECES = 4096

# Widths of windows whose squares are neither 0 nor infinite.
Sigma = Annotated[float, number(least=1e-6, most=1e6)]


@checked
def normalise_local_contrast(X: ArrayLike, width: Count = 9, sigma: Sigma = 0.5) -> np.ndarray:
    """Return images whose local mean is 0 and whose local contrast is even.

    v = x - w * x;   s = sqrt(w * v^2);   y = v / max(s, mean of s over the image)

    w is a Gaussian window of width x width pixels and sum 1, w(r) ~ exp(-r^2 / (2 (sigma R)^2)), R
    = (width - 1) / 2; images are mirrored at their borders and channels are treated alone.

    Parameters
    ----------
    X : array of shape (n_images, n_channels, height, width)
        Or with fewer axes, as in `convolutional_encode`.
    width : int, default=9
        Pixels of the window's side, odd.
    sigma : float, default=0.5
        Standard deviation of the window, in units of R, in [1e-6, 1e6].

    Returns
    -------
    Y : array of X's shape
        Of float32 if X is, else of float64.  A constant image becomes 0.

    References
    ----------
    Jarrett et al. (2009), ICCV, section 2.
    """
    X = as_array(X, "X")
    shape, X = X.shape, check_images(X)
    if width % 2 == 0:
        raise ValueError(f"width must be odd, so that the window has a centre, not {width}")
    window = gaussian(width, sigma)
    Y = np.empty_like(X)
    for image, target in zip(X.reshape(-1, *X.shape[2:]), Y.reshape(-1, *X.shape[2:]), strict=True):
        centred = image - _smooth(image, window)
        deviation = np.sqrt(np.maximum(_smooth(centred**2, window), 0))
        floor = max(deviation.mean(), np.finfo(X.dtype).tiny)
        target[:] = centred / np.maximum(deviation, floor)
    return Y.reshape(shape)


def gaussian(width: int, sigma: float) -> np.ndarray:
    """One side of the window, sum 1: exp(-x^2 / (2 (sigma R)^2)), R = (width - 1) / 2.

    x in pixels from the centre.
    """
    distance = np.arange(width) - (width - 1) / 2
    side = np.exp(-(distance**2) / (2 * (sigma * half_width(width)) ** 2))
    return side / side.sum()


def half_width(width: int) -> float:
    """Pixels from a patch's centre to that of its outermost pixel; a half for a single pixel."""
    return max(width - 1, 1) / 2


def _smooth(image, side):
    """The image convolved with side x side, mirrored at its borders."""
    for axis in (0, 1):
        image = ndimage.correlate1d(image, side, axis=axis, mode="reflect")
    return image


@checked
def radial_window(
    shape: Sequence[int], start_R: NotNegative = 15, sigma: Sigma = 0.25
) -> np.ndarray:
    """Return a window that is 1 up to start_R pixels from the centre and falls as a Gaussian
    beyond.

    exp(-max(r - start_R, 0)^2 / (2 (sigma R)^2)) with R half of the shorter side, so that an atom
    finds no border.

    Parameters
    ----------
    shape : (..., height, width)
        In pixels.
    start_R : float, default=15
        In pixels, at least 0.
    sigma : float, default=0.25
        In units of R, in [1e-6, 1e6].

    Returns
    -------
    window : array of shape (height, width), float64
    """
    if not isinstance(shape, Sequence) or len(shape) < 2:
        raise ValueError(f"shape must be (..., height, width), not {shape!r}")
    height, width = (check_count(size, f"shape {shape}") for size in shape[-2:])
    check_memory(16 * height * width, "shape", shape)
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in (height, width))
    beyond = np.maximum(np.hypot(rows[:, None], columns) - start_R, 0)
    return np.exp(-(beyond**2) / (2 * (sigma * min(height, width) / 2) ** 2))


@checked
def gaussian_mask(patch_width: Count, sigma: Sigma = 0.8) -> np.ndarray:
    """Return a mask of atoms, exp(-r^2 / (2 R^2 sigma^2)) with R = (patch_width - 1) / 2.

    Parameters
    ----------
    patch_width : int
        Pixels.
    sigma : float, default=0.8
        In units of R, in [1e-6, 1e6].

    Returns
    -------
    mask : array of shape (patch_width, patch_width), float64
    """
    check_memory(16 * patch_width**2, "patch_width", patch_width)
    distance = np.arange(patch_width) - (patch_width - 1) / 2
    squares = distance[:, None] ** 2 + distance**2
    return np.exp(-squares / (2 * (half_width(patch_width) * sigma) ** 2))


@checked
def preprocess(X: ArrayLike, start_R: NotNegative = 15, sigma: Sigma = 0.25) -> np.ndarray:
    """Normalise the local contrast of images, and fade them out towards their border."""
    X = normalise_local_contrast(X)
    return X * radial_window(X.shape, start_R, sigma).astype(X.dtype)


@checked
def whiten_recording(X: ArrayLike, order: Count = 8) -> tuple:
    """Return a recording whose noise is white and has standard deviation 1, and the filters.

    y(t) = (x(t) - sum_k c_k x(t - k)) / s,   k = 1 to order

    For each channel, c is the linear prediction with the least squared error in the quiet quarter
    of the recording, and s is the root of its mean squared error.  Quiet pieces of 32 order samples
    are those of least energy, so that events are hardly fitted.

    Parameters
    ----------
    X : array of shape (n_channels, n_times), (n_signals, n_channels, n_times), or a list
        A recording, or several.  NaN marks missing samples.
    order : int, default=8
        Samples that predict the next one.

    Returns
    -------
    Y : as X
        Of float32 if X is, else of float64.  The `order` samples after a missing one are missing.
    filters : array of shape (n_channels, order + 1), float64
        (1, -c) / s.  `scipy.signal.lfilter([1], filters[i], atom[i])` is channel i of an atom in
        the units of X.

    Examples
    --------
    >>> from shl.datasets import make_recording
    >>> X, *_ = make_recording(colour=0.8)
    >>> Y, filters = whiten_recording(X)
    >>> (filters[0, :2] / filters[0, 0]).round(1)
    array([ 1. , -0.8])
    """
    from scipy.signal import lfilter  # slow to import

    signals, layout = read(X, 1)
    signals = scaled(signals, -layout.exponent)
    channels = range(signals.shape[1])
    filters = np.stack([_predict([s[c, 0] for s in signals], order) for c in channels])
    done = [[lfilter(filters[c], 1, s[c, 0]) for c in channels] for s in signals]
    done = [np.array(s, signals.dtype)[:, None] for s in done]
    return layout.dress(done), scale_by(filters, -layout.exponent)


def _predict(rows, order):
    """The filter (order + 1,) that leaves white noise of a channel of some signals."""
    size = PIECE * order
    pieces = np.concatenate([row[: len(row) // size * size].reshape(-1, size) for row in rows])
    pieces = pieces[:: -(-len(pieces) // MOST_PIECES) or 1].astype(np.float64)
    energy = (pieces**2).sum(axis=1)
    pieces, energy = pieces[np.isfinite(energy)], energy[np.isfinite(energy)]
    if not energy.any():
        raise ValueError(
            f"order={order} needs {size} samples without missing values, not all 0, in each "
            f"channel of X. Give a smaller order, or drop the channel."
        )
    pieces = pieces[energy <= np.quantile(energy[energy > 0], QUIET)]
    runs = np.lib.stride_tricks.sliding_window_view(pieces, order + 1, axis=1)
    past, now = runs[..., -2::-1].reshape(-1, order), runs[..., -1].ravel()
    weights = np.linalg.lstsq(past, now, rcond=None)[0]
    error, whole = (np.sqrt(np.mean(x**2)) for x in (now - past @ weights, pieces))
    return np.append(1, -weights) / max(error, np.finfo(float).eps * whole)
