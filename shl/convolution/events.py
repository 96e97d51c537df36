"""A convolutional sparse code: a list of events."""

from dataclasses import dataclass

import numpy as np

from . import kernels


@dataclass(frozen=True)
class ConvolutionalCode:
    """The events of images, in order of images and, within one, of selection.

    X[image] ~ the sum over its events of value * atom, the atom's corner at pixel (row, column) *
    stride

    Attributes
    ----------
    image, atom, row, column : arrays (n_events,) int32.  A place may occur more than once: its
        values add up.
    value : array (n_events,), float32 or float64.
    shape : (n_images, n_dictionary, n_rows, n_columns), that of the dense code.
    """

    image: np.ndarray
    atom: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray
    shape: tuple

    @classmethod
    def from_slots(cls, n_found, slots, n_dictionary, places):
        """From arrays (n_images, n_slots) of atoms, rows, columns and values, of which an image
        uses n_found.
        """
        used = np.arange(slots[0].shape[1]) < n_found[:, None]
        image = np.repeat(np.arange(len(n_found), dtype=np.int32), n_found)
        return cls(
            image,
            *(column[used] for column in slots),
            (len(n_found), n_dictionary, *map(int, places)),
        )

    @classmethod
    def from_dense(cls, code):
        """The events of a dense code (n_images, n_dictionary, n_rows, n_columns), one for each
        number but 0.

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

    def __repr__(self):
        n_images, n_dictionary, n_rows, n_columns = self.shape
        return (
            f"ConvolutionalCode({self.n_events} events of {n_dictionary} atoms at {n_rows} x "
            f"{n_columns} places in "
            f"{n_images} images)"
        )

    def toarray(self):
        """The dense code (n_images, n_dictionary, n_rows, n_columns); events of one atom at one
        place add up.
        """
        code = np.zeros(self.shape, self.value.dtype)
        for n in range(self.shape[0]):
            kernels.scatter(self._of_image(n), code[n])
        return code

    def _of_image(self, n):
        """Atoms, rows, columns and values of the events of image n."""
        first, last = np.searchsorted(self.image, (n, n + 1))
        return kernels.Slots(*(part[first:last] for part in self.slots))

    def counts(self):
        """How many events select each atom, (n_dictionary,) int64."""
        return np.bincount(self.atom, minlength=self.shape[1])

    def power_sums(self, power):
        """The sum of value^power over the events of each atom, (n_dictionary,) float64."""
        return np.bincount(self.atom, self.value.astype(np.float64) ** power, self.shape[1])

    def count_places(self):
        """How many events fall on each place, by atom: (n_dictionary, n_rows, n_columns) int64,
        over all images.
        """
        counts = np.zeros(self.shape[1:], np.int64)
        np.add.at(counts, (self.atom, self.row, self.column), 1)
        return counts

    def reconstruct(self, dictionary, shape, stride=1):
        """The images (n_images, n_channels, height, width) of this code, height and width from
        `shape`.
        """
        dictionary = np.ascontiguousarray(dictionary, self.value.dtype)
        images = np.zeros((self.shape[0], dictionary.shape[1], *shape[-2:]), self.value.dtype)
        for n in range(len(images)):
            atoms, rows, columns, values = self._of_image(n)
            negative = kernels.Slots(atoms, rows, columns, -values)
            kernels.subtract_events(negative, stride, dictionary, images[n])
        return images
