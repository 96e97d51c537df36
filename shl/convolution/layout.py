"""Signals and images of any shape as images (n_channels, height, width): a signal has one row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._base.checks import as_array, check_array, check_magnitude
from .._base.samples import scale_by

SAFE = 12  # exponents of numbers that need no scaling

AXES = {
    1: "(n_channels, n_times) or (n_signals, n_channels, n_times)",
    2: "(height, width), (n_images, height, width) or (n_images, n_channels, height, width)",
}


class Images(Sequence):
    """Images of several sizes, indexed as an array (n_images, n_channels, height, width) is."""

    def __init__(self, images: Sequence[np.ndarray], dtype: DTypeLike | None = None) -> None:
        self.images = list(images)
        self.dtype = np.dtype(dtype or self.images[0].dtype)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n_images, n_channels, largest height, largest width)."""
        heights, widths = ([image.shape[axis] for image in self.images] for axis in (1, 2))
        return len(self.images), self.images[0].shape[0], max(heights), max(widths)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows):
        """An image; or `Images`, an array where all have one size, for a slice or an array."""
        if isinstance(rows, (int, np.integer)):
            return self.images[rows]
        rows = range(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        images = [self.images[row] for row in rows]
        is_one_size = len({image.shape for image in images}) == 1
        return np.stack(images) if is_one_size else Images(images, self.dtype)

    def __array__(self, dtype: DTypeLike | None = None, copy: Any = None) -> np.ndarray:
        """All pixels in a row, (n_pixels,)."""
        return np.concatenate([np.ravel(image) for image in self.images]).astype(
            dtype or self.dtype
        )


@dataclass(frozen=True)
class Layout:
    """How the user's X is laid out.

    Attributes
    ----------
    n_axes : int
        1 for signals, 2 for images.
    form : {'one', 'array', 'list'}
        A single signal, an array, or a list of arrays of several sizes.
    sizes : tuple of (height, width)
        Of each image.
    exponent : int, default=0
        X is divided by 2^exponent where its squares would leave the range of its dtype.
    """

    n_axes: int
    form: str
    sizes: tuple[tuple[int, int], ...]
    exponent: int = 0

    def dress(self, images: Sequence[np.ndarray]) -> np.ndarray | list[np.ndarray]:
        """Images (n_channels, height, width) in this layout."""
        if self.n_axes == 1:
            images = [image[:, 0] for image in images]
        if self.form == "list":
            return list(images)
        return images[0] if self.form == "one" else np.stack(images)


class Windows:
    """Windows of signals that overlap by half, read when they are asked for.

    Parameters
    ----------
    signals : sequence of arrays (n_channels, 1, n_times)
        Arrays or memory maps.
    width : int
        Samples of a window.
    dtype : dtype
    exponent : int, default=0
        Windows are divided by 2^exponent.
    """

    def __init__(
        self, signals: np.ndarray | Images, width: int, dtype: DTypeLike, exponent: int = 0
    ) -> None:
        self.signals, self.dtype, self.exponent = signals, np.dtype(dtype), exponent
        self.width = min([width, *(signal.shape[2] for signal in signals)])
        hop = max(1, self.width // 2)
        counts = [-(-(signal.shape[2] - self.width) // hop) + 1 for signal in signals]
        self._firsts, self._hop = np.cumsum([0, *counts]), hop

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n_windows, n_channels, 1, width)."""
        return int(self._firsts[-1]), self.signals[0].shape[0], 1, self.width

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows):
        """The windows of a row or of rows, in memory."""
        if isinstance(rows, (int, np.integer)):
            return self[np.array([rows])][0]
        rows = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        of_signal = np.searchsorted(self._firsts, rows, side="right") - 1
        firsts = (rows - self._firsts[of_signal]) * self._hop
        windows = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for window, n, first in zip(windows, of_signal, firsts, strict=True):
            first = min(first, self.signals[n].shape[2] - self.width)
            window[:] = self.signals[n][:, :, first : first + self.width]
        return scale_by(windows, -self.exponent)


def runs_of_size(X: "np.ndarray | Images") -> Iterator[slice]:
    """Slices of consecutive images of one size."""
    if isinstance(X, np.ndarray):
        yield slice(0, len(X))
        return
    first = 0
    for n in range(1, len(X) + 1):
        if n == len(X) or X[n].shape != X[first].shape:
            yield slice(first, n)
            first = n


def stacks(X: "np.ndarray | Images") -> Iterator[np.ndarray]:
    """Arrays of consecutive images of one size."""
    for rows in runs_of_size(X):
        yield np.asarray(X[rows]) if isinstance(X, np.ndarray) else np.stack(X[rows])


def without_gaps(samples: "np.ndarray | Images") -> "np.ndarray | Images":
    """Samples with 0 where an entry is missing."""
    if isinstance(samples, Images):
        return Images([np.nan_to_num(image, nan=0.0) for image in samples])
    return np.where(np.isnan(samples), 0, samples).astype(samples.dtype, copy=False)


def read(
    X: ArrayLike, n_axes: int, n_channels: int | None = None, dtype: DTypeLike | None = None
) -> "tuple[np.ndarray | Images, Layout]":
    """(images, layout) of what the user gave; NaN marks what is missing.

    Parameters
    ----------
    X : array or list of arrays
        Of signals (n_axes 1) or images (n_axes 2), as `AXES` says.
    n_axes : {1, 2}
        Axes of an atom beside its channels.
    n_channels : int, optional
        Channels that X must have.
    dtype : dtype, optional
        Of the images.  If None, float32 and float64 stay and others become float64.

    Returns
    -------
    images : array of shape (n_images, n_channels, height, width), or Images
    layout : Layout
    """
    sizes = {np.shape(part) for part in X} if isinstance(X, (list, tuple)) else {()}
    if len(sizes) > 1 and all(len(size) > 0 for size in sizes):
        return _read_list(X, n_axes, n_channels, dtype)
    if n_axes == 2:
        images = check_images(X, dtype=dtype, n_channels=n_channels, allows_nan=True)
        largest = max(np.fmax.reduce(images, axis=None), -np.fmin.reduce(images, axis=None))
        sizes = (images.shape[2:],) * len(images)
        return images, Layout(2, "array", sizes, _exponent_of(largest))
    if isinstance(X, (list, tuple)) and sizes and len(next(iter(sizes))) == 1:
        raise ValueError(
            f"X is a list of {len(X)} arrays of shape {sizes.pop()}, which may be the channels of "
            f"one signal or signals of one channel. Give numpy.stack(X) for channels, or "
            f"[x[None] for x in X] for signals."
        )
    signals = as_array(X, "X")
    if signals.ndim not in (1, 2, 3):
        raise ValueError(f"X must have axes {AXES[1]}, but its shape is {signals.shape}")
    form = "array" if signals.ndim == 3 else "one"
    signals = signals.reshape(-1, *signals.shape[-2:]) if signals.ndim > 1 else signals[None, None]
    return _finish([signal[:, None] for signal in signals], 1, form, n_channels, dtype)


def _read_list(X, n_axes, n_channels, dtype):
    """Signals or images of several sizes."""
    parts = [as_array(part, f"X[{n}]") for n, part in enumerate(X)]
    for n, part in enumerate(parts):
        if part.ndim not in (n_axes, n_axes + 1):
            axes = "(n_channels, n_times)" if n_axes == 1 else "(n_channels, height, width)"
            raise ValueError(f"X[{n}] must have axes {axes}, but its shape is {part.shape}")
    parts = [part if part.ndim > n_axes else part[None] for part in parts]
    parts = [part if n_axes == 2 else part[:, None] for part in parts]
    return _finish(parts, n_axes, "list", n_channels, dtype)


def _finish(images, n_axes, form, n_channels, dtype):
    """Checked images (n_channels, height, width) of any size."""
    found = sorted({image.shape[0] for image in images})
    if len(found) > 1:
        raise ValueError(f"X must have one number of channels, but it has {found}")
    if n_channels is not None and found != [n_channels]:
        raise ValueError(
            f"X must have {n_channels} channels, as the atoms, not {found[0]}. Its axes "
            f"are {AXES[n_axes]}."
        )
    if dtype is None:
        kinds = {image.dtype for image in images}
        dtype = np.float32 if kinds == {np.dtype(np.float32)} else np.float64
    largest = 0.0
    for n, image in enumerate(images):
        if not image.size:
            raise ValueError(f"X is empty, the shape of X[{n}] is {image.shape}")
        largest = max(largest, _check_values(image, n, np.dtype(dtype)))
    layout = Layout(n_axes, form, tuple(image.shape[1:] for image in images), _exponent_of(largest))
    return Images(images, dtype), layout


def _exponent_of(largest):
    """0 for numbers whose squares any dtype holds beside one another; else that of the largest."""
    exponent = int(np.frexp(np.float64(np.nan_to_num(largest)))[1])
    return exponent if abs(exponent) > SAFE else 0


def scaled(images: "np.ndarray | Images", exponent: int) -> "np.ndarray | Images":
    """Images times 2^exponent."""
    if isinstance(images, Images) and exponent:
        dtype = images.dtype
        return Images([scale_by(np.asarray(x, dtype), exponent) for x in images], dtype)
    return scale_by(images, exponent)


def _check_values(image, n, dtype, size=1 << 18):
    """The largest magnitude, or an error for infinity and for what is too large to be summed; in
    parts, so that a memory map stays one.
    """
    most, largest = float(np.finfo(dtype).max) / (8 * image[:, :, :size].size), 0.0
    for first in range(0, image.shape[2], size):
        part = image[:, :, first : first + size]
        peak = max(np.fmax.reduce(part, axis=None), -np.fmin.reduce(part, axis=None))
        if peak > most:
            channel, row, column = np.argwhere(np.abs(part) > most)[0]
            place = channel, *((row,) if image.shape[1] > 1 else ()), first + column
            raise ValueError(
                f"X must hold no infinity and no number beyond {most:.3g}, whose sums {dtype} "
                f"cannot hold, but X[{n}] is {part[channel, row, column]:.3g} at "
                f"{tuple(map(int, place))}. Mark missing entries with NaN, or scale X."
            )
        largest = np.fmax(largest, float(peak))
    return largest


def check_images(X, name="X", dtype=None, n_channels=None, allows_nan=False):
    """Finite images as (n_images, n_channels, height, width); one image (2-D) or a stack (3-D)
    gains axes.

    float32 and float64 are kept, other dtypes become float64.
    """
    X = as_array(X, name)
    ndim = X.ndim
    if ndim not in (2, 3, 4):
        raise ValueError(
            f"{name} must have 2 axes (height, width), 3 (n_images, height, width) or 4 (n_images, "
            f"n_channels, height, width), not shape {np.shape(X)}"
        )
    X = check_array(X, name, ndim=ndim, dtype=dtype, allows_nan=allows_nan)
    if ndim < 4:
        X = X.reshape(-1, 1, *X.shape[-2:])
    elif X.shape[3] in (3, 4) and X.shape[1] > 4:
        raise ValueError(
            f"{name} must have axes (n_images, n_channels, height, width), but shape "
            f"{X.shape} has its channels last. Call np.moveaxis({name}, -1, 1) first."
        )
    check_magnitude(X, name, float(np.finfo(X.dtype).max) / (8 * X[0].size))
    if n_channels is not None and X.shape[1] != n_channels:
        raise ValueError(f"{name} must have {n_channels} channels, as the atoms, not {X.shape[1]}")
    return X
