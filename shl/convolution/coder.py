"""A convolutional dictionary made ready: pursuit, residuals and gradients of images.

What happens to an image depends on that image alone: its code has the same bits in any batch, for
any number of threads and for any cut of a long signal into blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from .._base.progress import progress
from .._base.samples import scale_by
from .._base.threads import Threads, chunks, map_serially
from .._base.warning import warn_user
from ..coding.competition import Competition
from ..coding.events import Batch
from . import kernels
from .blocks import join_blocks
from .events import ConvolutionalCode
from .layout import Images, runs_of_size, stacks, without_gaps
from .maps import ALIGNED, Filters
from .parameters import ConvolutionalCoding

TILE = 320  # numbers in a tile, about: places of a row times atoms
EVENTS_A_CALL = 4096  # between two steps of the progress bar
LARGE = 1 << 22  # numbers in an image's maps above which its strips are shared among threads
MAPS = 400_000  # numbers in the maps of small images that are coded in one call
LEAST_SEEN = 0.05  # of an atom's squared norm, for it to be selected where entries are missing
BLOCK = 1 << 15  # places of a block of a signal
GUARD = 16  # lengths of an atom by which blocks of a signal overlap on either side
NOISE = 8, 23, 1024  # pieces, rows and columns of places of a piece, to measure the noise level
SPARED = 4  # places of which one is looked at, because neighbours are alike
SHARE = 0.2  # of an event, for another one above the floor to overlap with it
LEAST_OF_TOL = 1e-3  # of the root of a tolerance: smaller events would not bring it nearer
MOST_ROUNDS = 8  # of pursuit to a tolerance, each from a residual that was computed again


@dataclass(frozen=True)
class ConvolutionalCoder:
    """A dictionary made ready: what every image shares."""

    coding: ConvolutionalCoding
    filters: Filters
    competition: Competition
    noise: np.ndarray | None = None  # (n_dictionary,): standard deviation of correlations
    exponent: int = 0  # images are divided by 2^exponent, and values are not
    is_packed: bool = False  # whether the bits of a signal may depend on those beside it
    missed: list = field(default_factory=list)  # energies above the tolerance, in `encode`

    n_windows = 2  # residuals that an image gives

    @property
    def dictionary(self) -> np.ndarray:
        """The atoms, (n_dictionary, n_channels, height, width)."""
        return self.filters.dictionary

    @property
    def is_signed(self) -> bool:
        """Whether values may be negative."""
        return self.coding.do_sym

    @cached_property
    def contest(self) -> kernels.Contest:
        """What the kernels need of the competition: gains are over floors where there are some."""
        n_dictionary, dtype = len(self.dictionary), self.dictionary.dtype
        gain, share, least = self.competition.gain, 0.0, 0
        gain = np.ones(n_dictionary) if gain is None else gain
        if self.coding.fit_tol is not None:
            least = LEAST_OF_TOL * self.coding.fit_tol**0.5
        if self.noise is not None:
            floors = self.coding.floor * self.noise
            if self.competition.least is not None:
                floors = np.maximum(floors, self.competition.least)
            share = SHARE if self.competition.share is None else float(self.competition.share)
            gain, least = np.divide(gain, floors, np.zeros(n_dictionary), where=floors > 0), 1
        gains = np.tile(gain.astype(dtype), max(1, round(TILE / n_dictionary)))
        key = np.array(least, dtype).view(f"i{dtype.itemsize}")[()]
        return kernels.Contest(gains, self.is_signed, dtype.type(share), key)

    def cosines(self) -> np.ndarray:
        """The largest cosine over all shifts of two atoms, by absolute value where values are
        signed, (n_dictionary, n_dictionary).
        """
        n_dictionary = len(self.dictionary)
        gram = self.filters.gram.reshape(n_dictionary, -1, n_dictionary)
        return (np.abs(gram) if self.is_signed else gram).max(axis=1)

    def n_averaged(self, batch: Batch) -> float:
        """Return 1: `gradient` is a sum."""
        return 1.0

    def seen_share(self, batch: Batch) -> float:
        """1: missing entries are 0 in the residuals."""
        return 1.0

    def cut_residuals(self, batch: Batch, n_most: int) -> np.ndarray:
        """Windows of the residuals where their energy is largest, n_windows an image, under the
        mask and of mean 0 in images, (n, n_channels * height * width).
        """
        height, width = self.dictionary.shape[2:]
        windows, top, left = [], height // 2, width // 2
        for residuals in stacks(batch.residual[: n_most // self.n_windows]):
            energy = (residuals.astype(np.float64) ** 2).sum(axis=1)
            energy = uniform_filter(energy, (0, height, width))
            energy = energy[:, top : top + residuals.shape[2] - height + 1]
            energy = energy[:, :, left : left + residuals.shape[3] - width + 1]
            found = [_cut_largest(residuals, energy, height, width) for _ in range(self.n_windows)]
            windows += [*np.stack(found, axis=1).reshape(-1, *self.dictionary.shape[1:])]
        windows = np.array(windows)
        if self.coding.mask is not None:
            windows *= self.coding.mask
        if not self.filters.is_of_signals:
            windows -= windows.mean(axis=(1, 2, 3), keepdims=True)
        return windows.reshape(len(windows), -1)

    def compete(self, competition: Competition) -> "ConvolutionalCoder":
        """The same coder under another competition: all else stays."""
        return replace(self, competition=competition)

    # -------------------------------------------------------------------------------- pursuit

    def fill(self, images, run=map_serially):
        """(rho, ranking, gaps) of images (n_images, n_channels, height, width), NaN where an entry
        of a single image is missing.

        run as in `Filters.correlate`.
        """
        gaps, images = self.filters.find_gaps(images)
        rho, contest = self.filters.correlate(images, run, self.is_packed), self.contest
        if gaps.places.size:
            stride = self.coding.stride
            kernels.measure_gaps(gaps, self.dictionary, stride, LEAST_SEEN, rho[0])
        n_images, n_rows, n_columns = rho.shape[:3]
        n_tiles = -(-n_columns // contest.gains.size)
        dtype = f"i{rho.itemsize}"
        shades = np.zeros(rho.shape if contest.share else (n_images, n_rows, 0), rho.dtype)
        tops = np.empty((n_images, n_rows, n_tiles), dtype), np.empty((n_images, n_rows), dtype)
        ranking = kernels.Ranking(*tops, np.empty(contest.gains.size, dtype), shades)

        def rank(rows):  # each thread needs its own memory for the scores of a tile
            mine = ranking._replace(keys=np.empty_like(ranking.keys))
            kernels.rank(rho, contest, rows.start, rows.stop, mine)

        run(rank, chunks(n_rows, most=64, fewest=64))
        return rho, ranking, gaps

    def _load(self, images):
        """Images as the kernels take them, in units of 2^exponent."""
        return scale_by(np.ascontiguousarray(images, self.dictionary.dtype), -self.exponent)

    def encode(self, X: Any, threads: Threads, residual: Any = None) -> ConvolutionalCode:
        """The `ConvolutionalCode` of images X, an array (n_images, n_channels, height, width) or
        `Images`.

        residual, where given (of X's shape), receives X minus its reconstruction, 0 where an entry
        is missing.
        """
        coder = replace(self, is_packed=residual is not None, missed=[])
        coder = coder if self.coding.floor is None else coder._above_noise(X)
        small: list[slice] = []
        large: list[slice] = []
        for rows in runs_of_size(X):
            shape = X[rows.start].shape
            n_numbers = int(np.prod(self.filters.places(shape))) * len(self.dictionary)
            is_large = n_numbers >= LARGE or coder.may_cut(shape)
            step = 1 if is_large else min(32, max(1, MAPS // n_numbers))
            firsts = range(rows.start, rows.stop, step)
            parts = large if is_large else small
            parts += [slice(first, min(first + step, rows.stop)) for first in firsts]
        found = threads.map(lambda rows: coder.code_some(X, rows, residual), small)
        run = _show(threads.map, self.coding.is_quiet)
        found += [coder.code_large(X, rows, residual, run) for rows in large]
        if coder.missed:
            warn_user(
                f"{len(coder.missed)} of {len(X)} images did not reach fit_tol = "
                f"{self.coding.fit_tol:.3g}: no event takes enough off what is left. Use more "
                f"atoms, or a larger fit_tol."
            )
        slots = _join(found, self.dictionary.dtype)
        if self.coding.floor is not None and self.filters.is_of_signals:  # in the order of time
            order = np.lexsort((slots.columns, slots.images))
        else:
            order = np.argsort(slots.images, kind="stable")
        slots = kernels.Slots(*(part[order] for part in slots))
        slots = slots._replace(values=scale_by(slots.values, self.exponent))
        shape = len(X), len(self.dictionary), *self.filters.places(X.shape)
        return ConvolutionalCode(*slots, shape)

    def code_large(self, X: Any, rows: Any, residual: Any, run: Callable) -> kernels.Slots:
        """The events of a single large image."""
        if residual is None and self.may_cut(X[rows.start].shape):
            return self.code_blocks(X[rows.start], rows.start, run)
        return self.code_some(X, rows, residual, run)

    def code_some(
        self, X: Any, rows: Any, residual: Any = None, run: Callable = map_serially
    ) -> kernels.Slots:
        """The events of the images X[rows], all of one size."""
        images = self._load(X[rows])
        missing = np.isnan(images)
        has_gaps = missing.any()
        is_alone = len(images) > 1 and (self.coding.fit_tol is not None or has_gaps)
        if is_alone:
            parts = [self.pursue(images[n : n + 1], run) for n in range(len(images))]
            for n, part in enumerate(parts):
                part.images[:] = n
            slots = _join(parts, images.dtype)
        else:
            slots = self.pursue(images, run)
        if residual is not None:
            left = images.copy()
            self.subtract(slots, left)
            if has_gaps:
                left[missing] = 0
            for n, image in enumerate(left, start=rows.start):
                residual[n][...] = image
        slots.images[:] += rows.start
        return slots

    def pursue(self, images: Any, run: Callable = map_serially) -> kernels.Slots:
        """The events of images (n_images, n_channels, height, width) of one size, of a single one
        where an entry is missing or with a tolerance.
        """
        tol, most = self.coding.fit_tol, self.coding.l0_sparseness
        most = np.iinfo(np.int64).max if most is None else most
        n_found = np.zeros(len(images), np.int64)
        if tol is None:
            limits = kernels.Limits(most, -np.inf, n_found, np.zeros(len(images)))
            return self._pursue(images, limits, run)
        found: list[kernels.Slots] = []
        left = images
        # Rounding piles up in the maps: look at what is left.
        while (energy := np.nansum(left.astype(np.float64) ** 2)) > tol:
            if len(found) == MOST_ROUNDS:
                self.missed.append(energy)
                break
            limits = kernels.Limits(most, tol, n_found, np.array([energy]))
            found.append(self._pursue(left, limits, run))
            left = left.copy()
            self.subtract(found[-1], left)
        return _join(found, images.dtype)

    def _pursue(self, images, limits, run):
        """The events of images until their limits."""
        rho, ranking, gaps = self.fill(images, run)
        alpha, first, found = rho.dtype.type(self.coding.alpha_MP), 0, []
        size = min(EVENTS_A_CALL, limits.most * len(images))
        while first < len(images):
            slots = _allocate(size, rho.dtype)
            n_events, first = kernels.pursue(
                rho,
                self.filters.gram,
                self.contest,
                alpha,
                limits,
                ranking,
                gaps,
                self.dictionary,
                self.coding.stride,
                first,
                slots,
            )
            found.append(kernels.Slots(*(part[:n_events] for part in slots)))
        return _join(found, rho.dtype)

    def subtract(self, slots: Any, residuals: Any) -> None:
        """Subtract events from residuals (n_images, n_channels, height, width), in place."""
        kernels.subtract_events(slots, self.coding.stride, self.dictionary, residuals)

    # ------------------------------------------------------------------------ floors and blocks

    def _above_noise(self, X: Any) -> "ConvolutionalCoder":
        """The same coder with the noise level of X: sigma_i = median |rho_i| / .6745 over places of
        some pieces, at least what rounding leaves of the largest.
        """
        n_pieces, *most = NOISE
        plain = replace(self, competition=Competition(), noise=None)
        pieces, atom = [], self.dictionary.shape[2:]
        for piece in range(n_pieces):
            image = X[piece * len(X) // n_pieces]
            cut = [slice(None)]
            for size, side, n_most in zip(image.shape[1:], atom, most, strict=True):
                n_wanted = n_most + side - 1
                first = int(max(0, size - n_wanted) * (piece * 0.618 % 1))
                cut.append(slice(first, first + n_wanted))
            pieces.append(self._load(image[tuple(cut)]))
        found = []
        for stack in stacks(Images(pieces)):  # one by one where an entry is missing
            parts = stack[:, None] if np.isnan(stack).any() else stack[None]
            found += [plain.fill(part)[0].reshape(-1, len(self.dictionary)) for part in parts]
        found = np.abs(np.concatenate(found)[::SPARED])
        least = 64 * np.finfo(found.dtype).eps * found.max(initial=0)
        found[found == 0] = np.nan  # where too little of an atom is seen
        with np.errstate(all="ignore"):
            noise = np.nan_to_num(np.nanmedian(found, axis=0) / 0.6745)
        return replace(self, noise=np.maximum(noise, least).astype(np.float64))

    def may_cut(self, shape: Any) -> bool:
        """Whether images of this shape are signals that are coded by blocks."""
        return (
            self.noise is not None
            and self.filters.is_of_signals
            and self.filters.places(shape)[1] > BLOCK
        )

    def code_blocks(self, signal: Any, n: Any, run: Callable) -> kernels.Slots:
        """The events of a long signal (n_channels, 1, n_times), by blocks that overlap."""
        stride, width = self.coding.stride, self.dictionary.shape[3]
        n_places, guard = self.filters.places(signal.shape)[1], GUARD * width

        def code(places):
            times = slice(places.start * stride, (places.stop - 1) * stride + width)
            slots = self.pursue(self._load(signal[:, :, times])[None])
            slots.columns[:] += places.start
            return slots

        aligned = ALIGNED * (self.filters.columns.shape[1] // len(self.dictionary))
        reach = (width - 1) // stride
        return join_blocks(code, n_places, (BLOCK, guard, aligned), reach, run, n)

    # ------------------------------------------------------------------------------- learning

    def code_batch(self, X: Any, rows: Any, threads: Threads) -> Batch:
        """The images X[rows], in the order of X, their code and residuals."""
        # Rows occur once: all of them are X itself.
        samples = X if len(rows) == len(X) and isinstance(X, np.ndarray) else X[np.sort(rows)]
        if isinstance(samples, Images):
            residual = Images([np.empty(image.shape, self.dictionary.dtype) for image in samples])
        else:
            samples = np.asarray(samples, self.dictionary.dtype)
            residual = np.empty_like(samples)
        code = self.encode(samples, threads, residual)
        return Batch(without_gaps(samples), code, residual)

    def gradient(self, batch: Batch, threads: Threads) -> np.ndarray:
        """Minus the sum over an atom's events of value * mask * residual patch, of mean 0 in
        images.

        Each thread owns a range of atoms and walks the events in order, so the sums have the same
        bits for any number.
        """
        total, code = np.zeros_like(self.dictionary), batch.code
        if len(code) != len(batch.residual) or code.shape[1] != len(total):
            raise ValueError(f"the code of {len(batch.residual)} images must not be {code}")
        code.check_inside(batch.residual, self.dictionary.shape[2:], self.coding.stride)
        parts = [(code.slots, batch.residual)]
        if isinstance(batch.residual, Images):
            parts = [(code.of_image(n), image[None]) for n, image in enumerate(batch.residual)]

        def add(atoms):
            for slots, residuals in parts:
                part = atoms.start, atoms.stop, total
                kernels.accumulate(slots, self.coding.stride, residuals, *part)

        threads.map(add, chunks(len(total), most=32, fewest=8))
        if self.coding.mask is not None:
            total *= self.coding.mask
        if self.filters.is_of_signals:  # a waveform may have a mean
            return -total.reshape(self.filters.shape)
        return total.mean(axis=(1, 2, 3), keepdims=True) - total


def _cut_largest(residuals, energy, height, width):
    """Windows (height, width) of residuals where their energy (n_images, n_rows, n_columns) is
    largest; energies around are set to 0.
    """
    flat = energy.reshape(len(energy), -1).argmax(axis=1)
    rows, columns = (
        place[:, None, None, None] for place in np.unravel_index(flat, energy.shape[1:])
    )
    images, channels = np.ogrid[: len(residuals), : residuals.shape[1]]
    high, wide = np.arange(height)[:, None], np.arange(width)
    images, channels = images[:, :, None, None], channels[:, :, None, None]
    windows = residuals[images, channels, rows + high, columns + wide]
    high, wide = np.ogrid[: energy.shape[1], : energy.shape[2]]
    is_near = (abs(high - rows[:, 0]) <= height // 2) & (abs(wide - columns[:, 0]) <= width // 2)
    energy[is_near] = 0
    return windows


def _join(found, dtype):
    """The events of several calls."""
    found = found or [_allocate(0, dtype)]
    return kernels.Slots(*map(np.concatenate, zip(*found, strict=True)))


def _allocate(n_events, dtype):
    """Room for events."""
    dtypes = 4 * (np.int32,) + (dtype,)
    return kernels.Slots(*(np.zeros(n_events, dtype) for dtype in dtypes))


def _show(run, is_quiet):
    """`run` with a progress bar."""
    if is_quiet:
        return run

    def run_and_show(function, items):
        with progress(total=len(items), desc="coding", unit="part") as bar:

            def call(item):
                result = function(item)
                bar.update()
                return result

            return run(call, items)

    return run_and_show
