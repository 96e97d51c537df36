"""A convolutional sparse code: a list of events."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from .._base.checks import check_count, check_memory, check_number
from . import kernels
from .layout import Layout

if TYPE_CHECKING:
    import pandas

PARTS = "image", "atom", "row", "column", "value"


@dataclass(frozen=True)
class ConvolutionalCode:
    """The events of images, in order of images and, within one, of selection.

    X[image] ~ the sum over its events of value * atom, the atom's corner at pixel (row, column) *
    stride

    Attributes
    ----------
    image, atom, row, column : arrays of shape (n_events,), int32
        A place may occur more than once: its values add up.
    value : array of shape (n_events,), float32 or float64
        The coefficients.
    shape : tuple of int
        (n_images, n_dictionary, n_rows, n_columns), that of the dense code.  Of images of several
        sizes, the most rows and columns.
    layout : Layout, optional
        How the X that was coded is laid out, and the sizes of its images.
    exponent : int, default=0
        The coefficients are 2^exponent times the values: learning scales images.
    """

    image: np.ndarray
    atom: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray
    shape: tuple[int, ...]
    layout: Layout | None = None
    exponent: int = 0

    weight = None  # every image counts once

    def __post_init__(self):
        self.check()

    def check(self) -> None:
        """ValueError for events that no image has: kernels look at no bounds.

        Called whenever a code is used, as its arrays may have been edited.
        """
        for name in PARTS:
            if not isinstance(getattr(self, name), np.ndarray):
                raise TypeError(f"{name} must be an array, not {getattr(self, name)!r}")
        n_events, shape = self.value.shape, self.shape
        is_shape = isinstance(shape, tuple) and len(shape) == 4
        if not is_shape or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape):
            raise ValueError(
                f"shape must be (n_images, n_dictionary, n_rows, n_columns), not {shape}"
            )
        if len(n_events) != 1 or self.value.dtype not in (np.float32, np.float64):
            raise ValueError("value must have the shape (n_events,) and be float32 or float64")
        if not np.isfinite(self.value).all():
            raise ValueError("value must hold no NaN or infinity")
        for name, length in zip(PARTS[:4], shape, strict=True):
            part = getattr(self, name)
            if part.shape != n_events or part.dtype.kind not in "iu":
                raise ValueError(f"{name} must be integers of shape {n_events}, one for each value")
            if part.size and not 0 <= part.min() <= part.max() < length:
                raise ValueError(
                    f"{name} must be at least 0 and below {length}, not {part.min()} to "
                    f"{part.max()}"
                )
        if (self.image[1:] < self.image[:-1]).any():
            raise ValueError(
                "image must not decrease, because coefficients stand in the order of their images"
            )

    @classmethod
    def from_dense(cls, code: np.ndarray) -> Self:
        """Make a code of a dense one (n_images, n_dictionary, n_rows, n_columns), 0 left out.

        Events of an image are in order of decreasing absolute value.
        """
        image, atom, row, column = (axis.astype(np.int32) for axis in np.nonzero(code))
        value = code[image, atom, row, column]
        order = np.lexsort((-np.abs(value), image))
        image, atom, row, column = (axis[order] for axis in (image, atom, row, column))
        return cls(image, atom, row, column, value[order], tuple(map(int, code.shape)))

    def __len__(self) -> int:
        """The number of images."""
        return self.shape[0]

    @property
    def n_events(self) -> int:
        """The number of events."""
        return len(self.value)

    @property
    def n_draws(self) -> int:
        """Of how many draws `counts` counts the successes: each event falls on an atom or not, for
        an image may use an atom many times.
        """
        return self.n_events

    @property
    def slots(self) -> kernels.Slots:
        """Images, atoms, rows, columns and values, as the kernels take them."""
        return kernels.Slots(self.image, self.atom, self.row, self.column, self.value)

    def __repr__(self) -> str:
        n_images, n_dictionary, n_rows, n_columns = self.shape
        return (
            f"ConvolutionalCode({self.n_events} events of {n_dictionary} atoms at {n_rows} x "
            f"{n_columns} places in {n_images} images)"
        )

    def toarray(self) -> np.ndarray:
        """The dense code (n_images, n_dictionary, n_rows, n_columns).

        Events of one atom at one place add up.
        """
        self.check()
        check_memory(self.value.itemsize * math.prod(map(int, self.shape)), "shape", self.shape)
        code = np.zeros(self.shape, self.value.dtype)
        np.add.at(code, self.slots[:4], self.value)
        return code

    def of_image(self, n: int) -> kernels.Slots:
        """The events of image n, as those of the first of one."""
        first, last = np.searchsorted(self.image, (n, n + 1))
        slots = kernels.Slots(*(part[first:last] for part in self.slots))
        return slots._replace(images=np.zeros_like(slots.images))

    def check_inside(self, images: Sequence[np.ndarray], atom: Sequence[int], stride: int) -> None:
        """ValueError for events whose atom of (height, width) is not inside its image."""
        sizes = np.array([image.shape[-2:] for image in images]).reshape(-1, 2)[self.image]
        ends = np.stack((self.row, self.column), axis=1) * stride + atom
        if (ends > sizes).any():
            n = int((ends > sizes).any(axis=1).argmax())
            raise ValueError(
                f"code has a coefficient at row {self.row[n]}, column {self.column[n]} of "
                f"image {self.image[n]}, which is outside its size "
                f"{tuple(map(int, sizes[n]))}"
            )

    def counts(self) -> np.ndarray:
        """How many events select each atom, (n_dictionary,) int64."""
        self.check()
        return np.bincount(self.atom, minlength=self.shape[1])

    def power_sums(self, power: int) -> np.ndarray:
        """The sum of value^power over the events of each atom, (n_dictionary,) float64."""
        self.check()
        return np.bincount(self.atom, self.value.astype(np.float64) ** power, self.shape[1])

    def count_places(self) -> np.ndarray:
        """How many events of all images fall on each place of each atom.

        Returns
        -------
        counts : array of shape (n_dictionary, n_rows, n_columns), int64
        """
        self.check()
        check_memory(8 * math.prod(map(int, self.shape[1:])), "shape", self.shape)
        counts = np.zeros(self.shape[1:], np.int64)
        np.add.at(counts, (self.atom, self.row, self.column), 1)
        return counts

    def rates(self, sampling_rate: float = 1.0) -> np.ndarray:
        """Return how often each atom occurs: its events over the samples or pixels of X.

        Parameters
        ----------
        sampling_rate : float, default=1
            Samples a second, above 0: rates are in events a second.  With 1, in events a sample.

        Returns
        -------
        rates : array of shape (n_dictionary,), float64
        """
        rate = check_number(sampling_rate, "sampling_rate", above=0)
        sizes = [self.shape[2:]] * len(self) if self.layout is None else self.layout.sizes
        return self.counts() * (rate / max(1, sum(math.prod(size) for size in sizes)))

    def to_frame(self) -> "pandas.DataFrame":
        """Return the events as a `pandas.DataFrame`, one a row.

        Columns are signal, atom, time and value.  Of images, they are signal (the index of the
        image), atom, row, column and value.  Needs pandas.
        """
        import pandas

        places = {"row": self.row, "column": self.column}
        if self.layout is not None and self.layout.n_axes == 1:
            places = {"time": self.column}
        columns = {"signal": self.image, "atom": self.atom, **places, "value": self.value}
        return pandas.DataFrame(columns)

    def reconstruct(
        self, dictionary: np.ndarray, shape: Sequence[int] | None = None, stride: int = 1
    ) -> np.ndarray | list[np.ndarray]:
        """Return what this code stands for, laid out as the X that was coded.

        Parameters
        ----------
        dictionary : array of shape (n_dictionary, n_channels, height, width)
            Atoms.  Of signals, (n_dictionary, n_channels, n_times).
        shape : (..., height, width), optional
            Pixels of an image.  If None, those of the X that was coded.  If these are not known,
            the smallest that has the places of the code.
        stride : int, default=1
            Pixels between places.

        Returns
        -------
        images : array of shape (n_images, n_channels, height, width)
            Of the dtype of the code's values.  Of signals, (n_signals, n_channels, n_times), or
            (n_channels, n_times) where X had these axes.  A list where X was a list of several
            sizes.

        Raises
        ------
        ValueError
            For events, atoms or a shape that do not fit together.
        """
        self.check()
        stride = check_count(stride, "stride")
        dictionary = np.ascontiguousarray(dictionary, self.value.dtype)
        if dictionary.ndim not in (3, 4) or len(dictionary) != self.shape[1]:
            raise ValueError(
                f"dictionary must have shape ({self.shape[1]}, n_channels, height, width), as the "
                f"code is of {self.shape[1]} atoms, not {dictionary.shape}, of {len(dictionary)} "
                f"atoms"
            )
        layout = self.layout or Layout(dictionary.ndim - 2, "array", ())
        if dictionary.ndim == 3:
            dictionary = dictionary[:, :, None]
        atom = dictionary.shape[2:]
        if shape is not None or not layout.sizes:
            size = self._size(shape, atom, stride)
            n_bytes = self.value.itemsize * dictionary.shape[1] * math.prod(size) * len(self)
            check_memory(n_bytes, "shape", self.shape)
            layout = Layout(layout.n_axes, "array", (size,) * len(self))
        n_bytes = self.value.itemsize * dictionary.shape[1] * sum(map(math.prod, layout.sizes))
        check_memory(n_bytes, "shape", self.shape)
        sizes = [(dictionary.shape[1], *size) for size in layout.sizes]
        images = [np.zeros(size, self.value.dtype) for size in sizes]
        self.check_inside(images, atom, stride)
        for n, image in enumerate(images):
            slots = self.of_image(n)
            slots = slots._replace(values=-slots.values)
            kernels.subtract_events(slots, stride, dictionary, image[None])
        return layout.dress(images)

    def _size(self, shape, atom, stride):
        """(height, width) that a user gave, at least the smallest, which is the default."""
        least = [(n - 1) * stride + side for n, side in zip(self.shape[2:], atom, strict=True)]
        shape = least if shape is None else shape[-2:] if np.ndim(shape) else ()
        if len(shape) != 2:
            raise ValueError("shape must end in (height, width)")
        if any(np.less(shape, least)):
            raise ValueError(
                f"shape must be at least {least[0]} x {least[1]} to hold the places of the code, "
                f"not {tuple(shape)}"
            )
        return tuple(map(int, shape))
