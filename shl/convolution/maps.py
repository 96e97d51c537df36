"""Correlations of images and signals with every atom at every place: the maps of a pursuit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from scipy import fft

from .._base.threads import chunks
from . import kernels

MOST_UNFOLDED = 1 << 18  # elements of a strip of patches: 1 MB in float32, a second-level cache
MOST_DENSE = 1 / 8  # share of pixels other than 0 under which an image is correlated pixel by pixel
# Runs of places of a signal in one product, and a number of runs at multiples of which signals and
# blocks begin: BLAS may round the rows of a product differently, with a period of 4 to 16 rows.
N_RUNS, ALIGNED = 96, 48


@dataclass(frozen=True)
class Filters:
    """A dictionary laid out for its correlations with images."""

    shape: tuple  # of the dictionary as the user sees it, without rows where it is of signals
    stride: int
    dictionary: np.ndarray  # (n_dictionary, n_channels, height, width), unit norms
    columns: np.ndarray  # (n_channels * height * width, n_dictionary), or as `lay_out_runs` says
    stamps: np.ndarray  # (n_channels, height, width * n_dictionary): what one pixel adds to maps
    gram: np.ndarray  # (n_dictionary, side, side * n_dictionary): what a unit of an atom takes off

    @classmethod
    def of(cls, dictionary: np.ndarray, stride: int) -> Self:
        """Lay out a dictionary (n_dictionary, n_channels, height, width) of images, or
        (n_dictionary, n_channels, n_times) of signals.
        """
        shape = dictionary.shape
        if len(shape) == 3:
            columns, dictionary = lay_out_runs(dictionary, stride), dictionary[:, :, None]
        else:
            columns = np.ascontiguousarray(dictionary.reshape(len(dictionary), -1).T)
        stamps = dictionary[:, :, ::-1, ::-1].transpose(1, 2, 3, 0)
        stamps = np.ascontiguousarray(stamps).reshape(*dictionary.shape[1:3], -1)
        gram = correlate_atoms(dictionary, stride)
        return cls(shape, stride, dictionary, columns, stamps, gram)

    @property
    def is_of_signals(self) -> bool:
        """Whether the dictionary is of signals, which are correlated by runs of places."""
        return len(self.shape) == 3

    def places(self, shape: Sequence[int]) -> tuple[int, int]:
        """(rows, columns) where an atom may sit in images of shape (..., height, width)."""
        return places(shape, self.dictionary.shape[2:], self.stride)

    def allocate(self, shape: Sequence[int]) -> np.ndarray:
        """Empty maps for images of a shape (n_images, n_channels, height, width)."""
        n_rows, n_columns = self.places(shape)
        return np.empty((shape[0], n_rows, n_columns * len(self.dictionary)), self.dictionary.dtype)

    def correlate(self, images: np.ndarray, run: Callable, is_packed: bool) -> np.ndarray:
        """Return the maps of images (n_images, n_channels, height, width) of one size.

        run(function, strips) may share the strips of the maps among threads.  Besides the maps
        there is a strip a thread.
        """
        rho = self.allocate(images.shape)
        if self.is_of_signals:
            self._correlate_runs(images, rho, is_packed)
        else:
            for image, maps in zip(images, rho, strict=True):
                run(*self.correlation(image, maps))
        return rho

    def correlation(self, image: np.ndarray, rho: np.ndarray) -> tuple[Callable, list]:
        """How to fill the maps rho of an image: a function of a slice of rows, and slices of all
        rows.

        An image of mostly zeros goes pixel by pixel; its strips are high, for each looks at the
        pixels it shares with the next.  Of other images the patches are unfolded, strip by strip so
        that these fit in the cache.
        """
        n_rows, n_columns = len(rho), rho.shape[1] // len(self.dictionary)
        if self.stride == 1 and np.count_nonzero(image) < MOST_DENSE * image.size:
            correlate, size = self._correlate_sparse, 8 * self.dictionary.shape[2]
        else:
            correlate = self._correlate_dense
            size = max(1, MOST_UNFOLDED // (n_columns * len(self.columns)))
        return partial(correlate, image, rho), chunks(n_rows, most=size, fewest=size)

    def _correlate_sparse(self, image, rho, rows):
        rho[rows] = 0
        width = self.dictionary.shape[3]
        kernels.correlate_sparse(image, self.stamps, width, rows.start, rho[rows])

    def _correlate_dense(self, image, rho, rows):
        n_dictionary, _, height, width = self.dictionary.shape
        n_places = (rows.stop - rows.start) * (rho.shape[1] // n_dictionary)
        patches = np.empty((n_places, len(self.columns)), rho.dtype)
        kernels.unfold(image, rows.start, self.stride, height, width, patches)
        np.matmul(patches, self.columns, out=rho[rows].reshape(n_places, n_dictionary))

    def _correlate_runs(self, signals, rho, is_packed):
        """Fill the maps rho of signals (n_signals, n_channels, 1, n_times) by runs of places.

        A product always has N_RUNS rows.  Unless signals are packed, each begins at a multiple of
        ALIGNED, and the bits of a place depend on its samples alone.
        """
        n_dictionary, n_channels = self.dictionary.shape[:2]
        n_columns, n_places = (a.shape[-1] // n_dictionary for a in (rho, self.columns))
        step, span = n_places * self.stride, len(self.columns) // n_channels
        n_runs = -(-n_columns // n_places)
        if not is_packed:
            n_runs = -(-n_runs // ALIGNED) * ALIGNED
        padded = np.zeros((len(signals), n_channels, (n_runs - 1) * step + span), rho.dtype)
        n_times = min(padded.shape[2], signals.shape[3])
        padded[:, :, :n_times] = signals[:, :, 0, :n_times]
        runs = np.lib.stride_tricks.sliding_window_view(padded, span, axis=2)[:, :, ::step]
        n_used = len(signals) * n_runs
        rows = np.zeros((-(-n_used // N_RUNS) * N_RUNS, n_channels, span), rho.dtype)
        laid_out = rows[:n_used].reshape(len(signals), n_runs, n_channels, span)
        laid_out[:] = runs.transpose(0, 2, 1, 3)
        rows = rows.reshape(len(rows), -1)
        found = np.empty((len(rows), self.columns.shape[1]), rho.dtype)
        for first in range(0, len(rows), N_RUNS):
            part = slice(first, first + N_RUNS)
            np.matmul(rows[part], self.columns, out=found[part])
        rho[:, 0] = found[:n_used].reshape(len(signals), -1)[:, : rho.shape[2]]

    def find_gaps(self, images: np.ndarray) -> tuple[kernels.Gaps, np.ndarray]:
        """What is missing of images, and the images with 0 there."""
        n_rows, n_columns = self.places(images.shape)
        is_seen = ~np.isnan(images[0])
        if is_seen.all() or len(images) > 1:
            nothing = np.empty((0, 0, 0), images.dtype)
            index, scales = np.empty((0, 0), np.int32), np.empty((0, 0), images.dtype)
            return kernels.Gaps(nothing, np.empty((0, 0, 0), bool), index, scales), images
        images = np.where(is_seen, images, 0).astype(images.dtype)
        height, width = self.dictionary.shape[2:]
        sums = np.pad((~is_seen).any(axis=0).astype(np.int64), ((1, 0), (1, 0)))
        sums = sums.cumsum(axis=0).cumsum(axis=1)  # missing pixels above and left of a corner
        n_missing = sums[height:, width:] - sums[:-height, width:]
        n_missing += sums[:-height, :-width] - sums[height:, :-width]
        is_part = n_missing[:: self.stride, :: self.stride] > 0
        index = np.where(is_part, is_part.cumsum().reshape(is_part.shape) - 1, -1)
        scales = np.zeros((np.count_nonzero(is_part), len(self.dictionary)), images.dtype)
        return kernels.Gaps(images[0], is_seen, index.astype(np.int32), scales), images


def places(shape: Sequence[int], atom: Sequence[int], stride: int) -> tuple[int, int]:
    """(rows, columns) where an atom of (height, width) may sit in images (..., height, width)."""
    return (shape[-2] - atom[0]) // stride + 1, (shape[-1] - atom[1]) // stride + 1


def lay_out_runs(dictionary, stride):
    """Filters (n_channels * span, n_places * n_dictionary): their product with a run of span
    samples gives the correlations at all its places.

    No patch is unfolded more than span / n_places times, and products are large although there are
    few atoms.
    """
    n_dictionary, n_channels, width = dictionary.shape
    n_places = 1 << int(np.clip(np.log2(width), 3, 6))
    span = (n_places - 1) * stride + width
    filters = np.zeros((n_channels, span, n_places, n_dictionary), dictionary.dtype)
    for place in range(n_places):
        times = slice(place * stride, place * stride + width)
        filters[:, times, place] = dictionary.transpose(1, 2, 0)
    return filters.reshape(n_channels * span, -1)


def correlate_atoms(dictionary, stride=1):
    """G_ij(s) = <d_i, d_j shifted by s>, for every shift s by multiples of stride at which they
    overlap.

    Returns (n_dictionary, side of rows, side of columns * n_dictionary) of the dictionary's dtype:
    [i, row of s, (column of s, j)], with side = 2 ((size - 1) // stride) + 1.  By Fourier
    transforms, in float64.
    """
    n_dictionary, n_channels, *sides = dictionary.shape
    size = [fft.next_fast_len(2 * side - 1, real=True) for side in sides]
    rows, columns = (
        stride * np.arange(-((side - 1) // stride), (side - 1) // stride + 1) for side in sides
    )
    spectra = fft.rfft2(dictionary.astype(np.float64), size)
    spectra = np.ascontiguousarray(spectra.reshape(n_dictionary, n_channels, -1).transpose(2, 0, 1))
    conjugates = spectra.conj().transpose(0, 2, 1)
    gram = np.empty((n_dictionary, rows.size, columns.size, n_dictionary), dictionary.dtype)
    for i in range(n_dictionary):  # d_i at u equals d_j at u - s: sum_u d_i(u) d_j(u - s)
        products = (spectra[:, None, i] @ conjugates).reshape(size[0], -1, n_dictionary)
        full = fft.irfft2(products, size, axes=(0, 1))
        gram[i] = full[rows[:, None] % size[0], columns % size[1]]
    return gram.reshape(n_dictionary, rows.size, -1)
