"""A convolutional sparse code: a list of events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

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
        code = np.zeros(self.shape, self.value.dtype)
        for n in range(self.shape[0]):
            kernels.scatter(self._of_image(n), code[n])
        return code

    def _of_image(self, n):
        """Atoms, rows, columns and values of the events of image n."""
        first, last = np.searchsorted(self.image, (n, n + 1))
        return kernels.Slots(*(part[first:last] for part in self.slots))

    def counts(self) -> np.ndarray:
        """How many events select each atom, (n_dictionary,) int64."""
        return np.bincount(self.atom, minlength=self.shape[1])

    def power_sums(self, power: int) -> np.ndarray:
        """The sum of value^power over the events of each atom, (n_dictionary,) float64."""
        return np.bincount(self.atom, self.value.astype(np.float64) ** power, self.shape[1])

    def count_places(self) -> np.ndarray:
        """How many events of all images fall on each place of each atom.

        Returns
        -------
        counts : array of shape (n_dictionary, n_rows, n_columns), int64
        """
        counts = np.zeros(self.shape[1:], np.int64)
        np.add.at(counts, (self.atom, self.row, self.column), 1)
        return counts

    def reconstruct(
        self, dictionary: np.ndarray, shape: Sequence[int], stride: int = 1
    ) -> np.ndarray:
        """The images of this code.

        Parameters
        ----------
        dictionary : array of shape (n_dictionary, n_channels, width, width)
        shape : (..., height, width)
            Pixels of an image.
        stride : int, default=1
            Pixels between places.

        Returns
        -------
        images : array of shape (n_images, n_channels, height, width)
            Of the dtype of the code's values.
        """
        dictionary = np.ascontiguousarray(dictionary, self.value.dtype)
        images = np.zeros((self.shape[0], dictionary.shape[1], *shape[-2:]), self.value.dtype)
        for n in range(len(images)):
            atoms, rows, columns, values = self._of_image(n)
            negative = kernels.Slots(atoms, rows, columns, -values)
            kernels.subtract_events(negative, stride, dictionary, images[n])
        return images
