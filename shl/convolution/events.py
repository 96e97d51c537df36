"""A convolutional sparse code: a list of events."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .._base.checks import check_count, check_memory
from . import kernels


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
        (n_images, n_dictionary, n_rows, n_columns), that of the dense code.
    """

    image: np.ndarray
    atom: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray
    shape: tuple[int, ...]

    weight = None  # every image counts once

    def __post_init__(self):
        self.check()

    def check(self) -> None:
        """ValueError for events that no image has: kernels look at no bounds.

        Called whenever a code is used, as its arrays may have been edited.
        """
        names = ("image", "atom", "row", "column")
        for name in (*names, "value"):
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
        for name, length in zip(names, shape, strict=True):
            part = getattr(self, name)
            if part.shape != n_events or part.dtype.kind not in "iu":
                raise ValueError(f"{name} must be integers of shape {n_events}, one for each value")
            if part.size and not 0 <= part.min() <= part.max() < length:
                raise ValueError(
                    f"{name} must be at least 0 and below {length}, not {part.min()} to "
                    f"{part.max()}"
                )
        if (self.image[1:] < self.image[:-1]).any():
            raise ValueError("image must not decrease: events stand in order of their images")

    @classmethod
    def from_slots(
        cls,
        n_found: np.ndarray,
        slots: Sequence[np.ndarray],
        n_dictionary: int,
        places: Sequence[int],
    ) -> Self:
        """Make a code of slots of which an image uses the first few.

        Parameters
        ----------
        n_found : array of shape (n_images,)
            Slots that each image uses.
        slots : four arrays of shape (n_images, n_slots)
            Atoms, rows, columns and values.
        n_dictionary : int
        places : (n_rows, n_columns)

        Returns
        -------
        code : ConvolutionalCode
        """
        used = np.arange(slots[0].shape[1]) < n_found[:, None]
        image = np.repeat(np.arange(len(n_found), dtype=np.int32), n_found)
        return cls(
            image,
            *(column[used] for column in slots),
            (len(n_found), n_dictionary, *map(int, places)),
        )

    @classmethod
    def from_dense(cls, code: np.ndarray) -> Self:
        """Make a code of a dense one (n_images, n_dictionary, n_rows, n_columns), 0 left out.

        Events of an image are in order of decreasing absolute value.
        """
        image, atom, row, column = (axis.astype(np.int32) for axis in np.nonzero(code))
        value = code[image, atom, row, column]
        order = np.lexsort((-np.abs(value), image))
        return cls(
            *(part[order] for part in (image, atom, row, column, value)),
            tuple(map(int, code.shape)),
        )

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
        """Atoms, rows, columns and values, as the kernels take them."""
        return kernels.Slots(self.atom, self.row, self.column, self.value)

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
        np.add.at(code, (self.image, *self.slots[:3]), self.value)
        return code

    def _of_image(self, n):
        """Atoms, rows, columns and values of the events of image n."""
        first, last = np.searchsorted(self.image, (n, n + 1))
        return kernels.Slots(*(part[first:last] for part in self.slots))

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

    def reconstruct(
        self, dictionary: np.ndarray, shape: Sequence[int] | None = None, stride: int = 1
    ) -> np.ndarray:
        """The images of this code.

        Parameters
        ----------
        dictionary : array of shape (n_dictionary, n_channels, width, width)
        shape : (..., height, width), optional
            Pixels of an image.  If None, the smallest that has the places of the code.
        stride : int, default=1
            Pixels between places.

        Returns
        -------
        images : array of shape (n_images, n_channels, height, width)
            Of the dtype of the code's values.

        Raises
        ------
        ValueError
            For events, atoms or a shape that do not fit together.
        """
        self.check()
        stride = check_count(stride, "stride")
        dictionary = np.ascontiguousarray(dictionary, self.value.dtype)
        if dictionary.ndim != 4 or len(dictionary) != self.shape[1]:
            raise ValueError(
                f"dictionary must have shape ({self.shape[1]}, n_channels, width, width), as the "
                f"code is of {self.shape[1]} atoms, not {dictionary.shape}, of {len(dictionary)} "
                f"atoms"
            )
        least = [
            (n - 1) * stride + width
            for n, width in zip(self.shape[2:], dictionary.shape[2:], strict=True)
        ]
        shape = least if shape is None else shape[-2:] if np.ndim(shape) else ()
        if len(shape) != 2:
            raise ValueError("shape must end in (height, width)")
        if dictionary.shape[2] != dictionary.shape[3] or any(np.less(shape, least)):
            raise ValueError(
                f"shape must be at least {least[0]} x {least[1]} to hold the places of the code, "
                f"not {tuple(shape)}"
            )
        size = (self.shape[0], dictionary.shape[1], *shape)
        check_memory(self.value.itemsize * math.prod(map(int, size)), "shape", self.shape)
        images = np.zeros(size, self.value.dtype)
        for n in range(len(images)):
            atoms, rows, columns, values = self._of_image(n)
            negative = kernels.Slots(atoms, rows, columns, -values)
            kernels.subtract_events(negative, stride, dictionary, images[n])
        return images
