"""Convolutional sparse coding: images and a dictionary in, events (image, atom, row, column, value)
out.

`convolutional_encode` is the public edge.  Inside, a `ConvolutionalCoding` (what the user chose)
turns a dictionary and a `shl.coding.Competition` into a `ConvolutionalCoder` (filters, Gram array),
in the protocol that `shl.coding.coder` describes.  What happens to an image depends on that
image alone: its code has the same bits in any batch and for any number of threads.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import fft
from scipy.ndimage import uniform_filter

from .._base.checks import (
    as_array,
    check_array,
    check_choice,
    check_count,
    check_magnitude,
    check_memory,
)
from .._base.constraints import Checked, Count, Flag, PositiveShare
from .._base.progress import progress
from .._base.threads import Threads, chunks, map_serially
from ..coding.competition import PLAIN, Competition, check_competition
from ..coding.encode import check_norms
from ..coding.events import Batch
from ..coding.preparing import prepare
from . import kernels
from .events import ConvolutionalCode

MOST_UNFOLDED = 1 << 18  # elements of a strip of patches: 1 MB in float32, a second-level cache
MOST_DENSE = 1 / 8  # share of pixels other than 0 under which an image is correlated pixel by pixel
TILE = 320  # numbers in a tile, about: places of a row times atoms
EVENTS_A_CALL = 4096  # between two steps of the progress bar
LARGE = 1 << 22  # numbers in an image's maps above which its strips are shared among threads


@dataclass(frozen=True)
class ConvolutionalCoding(Checked):
    """How images are coded; a value out of its range is an error that names it.

    Parameters
    ----------
    l0_sparseness, alpha_MP, do_sym, stride
        See `convolutional_encode`.
    mask : array that broadcasts to the dictionary's shape, optional
        Weights of an atom's pixels while it learns.
    is_quiet : bool, default=True
        False shows progress bars for large images.
    """

    l0_sparseness: Count = 20
    alpha_MP: PositiveShare = 1.0
    do_sym: Flag = False
    stride: Count = 1
    mask: np.ndarray | None = None
    is_quiet: bool = True

    def check_fits(self, shape: tuple, width: int, n_dictionary: int) -> None:
        """Errors for strides that skip pixels, images (..., height, width) smaller than an atom,
        more events than places, and for a Gram array or maps that are larger than the memory.
        """
        why = "the width of an atom: pixels between atoms would never be coded"
        check_count(self.stride, "stride", most=width, why=why)
        if min(shape[-2:]) < width:
            raise ValueError(
                f"X must have images of at least patch_width x patch_width = {width} x {width} "
                f"pixels, not {shape[-2]} x {shape[-1]}"
            )
        n_rows, n_columns = places(shape, width, self.stride)
        why = f"the {n_rows} x {n_columns} places of an atom in an image"
        check_count(self.l0_sparseness, "l0_sparseness", most=n_rows * n_columns, why=why)
        side = 2 * ((width - 1) // self.stride) + 1
        check_memory(4 * (n_dictionary * side) ** 2, "n_dictionary", n_dictionary)
        check_memory(4 * n_rows * n_columns * n_dictionary, "n_dictionary", n_dictionary)

    def activity(self, n_dictionary: int) -> float:
        """The probability that an event falls on an atom, before anything is known."""
        return 1 / n_dictionary


def places(shape, width, stride):
    """(rows, columns) where a width x width atom may sit in images of shape (..., height,
    width).
    """
    return (shape[-2] - width) // stride + 1, (shape[-1] - width) // stride + 1


@dataclass(frozen=True)
class ConvolutionalCoder:
    """A dictionary made ready: what every image shares."""

    coding: ConvolutionalCoding
    dictionary: np.ndarray  # (n_dictionary, n_channels, width, width), unit norms
    filters: np.ndarray  # (n_channels * width^2, n_dictionary)
    stamps: np.ndarray  # (n_channels, width, width * n_dictionary): what one pixel adds to the maps
    gram: np.ndarray  # (n_dictionary, side, side * n_dictionary): what a unit of an atom takes off
    contest: kernels.Contest

    n_windows = 2  # residuals that an image gives

    @property
    def is_signed(self) -> bool:
        """Whether values may be negative."""
        return self.coding.do_sym

    def cosines(self) -> np.ndarray:
        """The largest cosine over all shifts of two atoms, by absolute value where values are
        signed, (n_dictionary, n_dictionary).
        """
        n_dictionary = len(self.dictionary)
        gram = self.gram.reshape(n_dictionary, -1, n_dictionary)
        return (np.abs(gram) if self.is_signed else gram).max(axis=1)

    def n_averaged(self, batch: Batch) -> float:
        """Return 1: `gradient` is a sum."""
        return 1.0

    def seen_share(self, batch: Batch) -> float:
        """1: no pixels are missing."""
        return 1.0

    def cut_residuals(self, batch: Batch, n_most: int) -> np.ndarray:
        """Windows of the residuals where their energy is largest, n_windows an image, under the
        mask and of mean 0, (n, n_channels * width^2).
        """
        width, windows = self.dictionary.shape[2], []
        for residual in batch.residual[: n_most // self.n_windows]:
            energy = uniform_filter((residual.astype(np.float64) ** 2).sum(axis=0), width)
            half = width // 2
            energy = energy[half : half + residual.shape[1] - width + 1]
            energy = energy[:, half : half + residual.shape[2] - width + 1]
            for _ in range(self.n_windows):
                row, column = np.unravel_index(energy.argmax(), energy.shape)
                windows.append(residual[:, row : row + width, column : column + width])
                around = (
                    slice(max(0, row - half), row + half + 1),
                    slice(max(0, column - half), column + half + 1),
                )
                energy[around] = 0
        windows = np.array(windows)
        if self.coding.mask is not None:
            windows *= self.coding.mask
        windows -= windows.mean(axis=(1, 2, 3), keepdims=True)
        return windows.reshape(len(windows), -1)

    def compete(self, competition: Competition) -> "ConvolutionalCoder":
        """The same coder under another competition: all else stays."""
        return replace(self, contest=_make_contest(self.coding, self.dictionary, competition))

    # ------------------------------------------------------------------------------ one image

    def places(self, shape) -> tuple[int, int]:
        """(rows, columns) where an atom may sit in images of shape (..., height, width)."""
        return places(shape, self.dictionary.shape[2], self.coding.stride)

    def allocate(self, shape) -> np.ndarray:
        """Empty maps (n_rows, n_columns * n_dictionary) for images of this shape."""
        n_rows, n_columns = self.places(shape)
        return np.empty((n_rows, n_columns * len(self.dictionary)), self.dictionary.dtype)

    def allocate_ranking(self, rho) -> kernels.Ranking:
        """Memory for the best score of each tile, of each row, and for the scores of one tile."""
        dtype, size = f"i{rho.itemsize}", self.contest.gains.size
        tops = np.empty((len(rho), -(-rho.shape[1] // size)), dtype)
        return kernels.Ranking(tops, np.empty(len(rho), dtype), np.empty(size, dtype))

    def allocate_slots(self, n_images: int) -> kernels.Slots:
        """Room for l0_sparseness events of each image: arrays (n_images, l0_sparseness)."""
        shape = n_images, self.coding.l0_sparseness
        places = (np.zeros(shape, np.int32) for _ in range(3))
        return kernels.Slots(*places, np.zeros(shape, self.dictionary.dtype))

    def correlation(self, image, rho):
        """How to fill rho with the correlations of an image: a function of a slice of rows, and
        slices of all rows.

        An image of mostly zeros goes pixel by pixel; its strips are high, for each looks at the
        pixels it shares with the next.  Of other images the patches are unfolded, strip by strip so
        that these fit in the cache.
        """
        n_rows, n_columns = len(rho), rho.shape[1] // len(self.dictionary)
        if self.coding.stride == 1 and np.count_nonzero(image) < MOST_DENSE * image.size:
            correlate, size = self._correlate_sparse, 8 * self.dictionary.shape[2]
        else:
            correlate = self._correlate_dense
            size = max(1, MOST_UNFOLDED // (n_columns * len(self.filters)))
        return partial(correlate, image, rho), chunks(n_rows, most=size, fewest=size)

    def _correlate_sparse(self, image, rho, rows):
        rho[rows] = 0
        width = self.dictionary.shape[2]
        kernels.correlate_sparse(image, self.stamps, width, rows.start, rho[rows])

    def _correlate_dense(self, image, rho, rows):
        n_dictionary, width = len(self.dictionary), self.dictionary.shape[2]
        n_places = (rows.stop - rows.start) * (rho.shape[1] // n_dictionary)
        patches = np.empty((n_places, len(self.filters)), rho.dtype)
        kernels.unfold(image, rows.start, self.coding.stride, width, patches)
        np.matmul(patches, self.filters, out=rho[rows].reshape(n_places, n_dictionary))

    def rank(self, rho, ranking, rows) -> None:
        """Write the best scores of the tiles of these rows."""
        # Each thread needs its own memory for the scores of a tile.
        ranking = ranking._replace(keys=np.empty_like(ranking.keys))
        kernels.rank(rho, self.contest, rows.start, rows.stop, ranking)

    def pursue(self, rho, ranking, slots) -> int:
        """Fill the slots with events from the maps rho, in place; return how many were found."""
        alpha = rho.dtype.type(self.coding.alpha_MP)
        return kernels.pursue(rho, self.gram, self.contest, alpha, ranking, slots)

    def code(self, image, rho, ranking, slots, run=map_serially, is_quiet=True) -> int:
        """Fill rho with the correlations of an image, and the slots with events; return how many.

        run(function, strips) may share the strips of the maps among threads.  Besides the maps
        there is a strip a thread.
        """
        correlate, strips = self.correlation(image, rho)
        with progress(
            total=len(strips), desc="correlations", unit="strip", disable=is_quiet
        ) as bar:

            def fill(rows):
                correlate(rows)
                self.rank(rho, ranking, rows)
                bar.update()

            run(fill, strips)
        n_found, n_events = 0, slots.values.size
        with progress(total=n_events, desc="pursuit", unit="event", disable=is_quiet) as bar:
            while n_found < n_events:
                part = slice(n_found, min(n_found + EVENTS_A_CALL, n_events))
                n_here = self.pursue(rho, ranking, kernels.Slots(*(s[part] for s in slots)))
                n_found += n_here
                bar.update(n_here)
                if n_here < part.stop - part.start:
                    break
        return n_found

    # ------------------------------------------------------------------------------ many images

    def encode(self, X, threads: Threads, residual=None) -> ConvolutionalCode:
        """The `ConvolutionalCode` of images X (n_images, n_channels, height, width).

        residual, where given (an array of X's shape), receives X minus its reconstruction.
        """
        slots, n_found = self.allocate_slots(len(X)), np.zeros(len(X), np.int64)

        def code_group(group, *how):
            rho = self.allocate(X.shape)
            ranking = self.allocate_ranking(rho)
            for n in range(group.start, group.stop):
                image = np.ascontiguousarray(X[n], self.dictionary.dtype)
                mine = kernels.Slots(*(column[n] for column in slots))
                n_found[n] = self.code(image, rho, ranking, mine, *how)
                if residual is not None:
                    residual[n] = X[n]
                    found = kernels.Slots(*(column[: n_found[n]] for column in mine))
                    self.subtract(found, residual[n])

        if np.prod(self.places(X.shape)) * len(self.dictionary) < LARGE:
            threads.map(code_group, chunks(len(X), most=16, fewest=1))
        else:
            code_group(slice(0, len(X)), threads.map, self.coding.is_quiet)
        return ConvolutionalCode.from_slots(
            n_found, slots, len(self.dictionary), self.places(X.shape)
        )

    def subtract(self, slots, residual) -> None:
        """Subtract the events of an image from residual (n_channels, height, width), in place."""
        kernels.subtract_events(slots, self.coding.stride, self.dictionary, residual)

    def code_batch(self, X, rows, threads: Threads) -> Batch:
        """The images X[rows], in the order of X, their code and residuals."""
        # Rows occur once: all of them are X itself.
        samples = X if len(rows) == len(X) else X[np.sort(rows)]
        samples = np.asarray(samples, self.dictionary.dtype)
        residual = np.empty_like(samples)
        return Batch(samples, self.encode(samples, threads, residual), residual)

    def gradient(self, batch: Batch, threads: Threads) -> np.ndarray:
        """Minus the sum over an atom's events of value * mask * residual patch, of mean 0.

        Each thread owns a range of atoms and walks the events in order, so the sums have the same
        bits for any number.
        """
        total, code = np.zeros_like(self.dictionary), batch.code
        code.check()
        if code.shape != (len(batch.residual), len(total), *self.places(batch.residual.shape)):
            raise ValueError(f"the code of images {batch.residual.shape} must not be {code}")
        events = code.image, code.slots, self.coding.stride, batch.residual

        def add(atoms):
            kernels.accumulate(*events, atoms.start, atoms.stop, total)

        threads.map(add, chunks(len(total), most=32, fewest=8))
        if self.coding.mask is not None:
            total *= self.coding.mask
        return total.mean(axis=(1, 2, 3), keepdims=True) - total


@prepare.register
def _(
    coding: ConvolutionalCoding,
    dictionary,
    competition=PLAIN,
    precision=None,
    threads=None,
    former=None,
) -> "ConvolutionalCoder":
    """Return the `ConvolutionalCoder` of a dictionary (n_dictionary, n_channels, width, width).

    Images have no precision of pixels, and nothing of a former coder can be used again.
    """
    n_dictionary, n_channels, width = dictionary.shape[:3]
    filters = np.ascontiguousarray(dictionary.reshape(n_dictionary, -1).T)
    stamps = dictionary[:, :, ::-1, ::-1].transpose(1, 2, 3, 0)
    stamps = np.ascontiguousarray(stamps).reshape(n_channels, width, -1)
    gram = correlate_atoms(dictionary, coding.stride)
    return ConvolutionalCoder(
        coding, dictionary, filters, stamps, gram, _make_contest(coding, dictionary, competition)
    )


def _make_contest(coding, dictionary, competition):
    """What the kernels need of a competition."""
    if competition.kind == "table":
        raise ValueError(
            "homeo_method must be a rule with a gain, not a table P_cum: convolutional pursuit "
            "has no quantiles"
        )
    n_dictionary, dtype = len(dictionary), dictionary.dtype
    gain = np.ones(n_dictionary) if competition.gain is None else competition.gain
    gains = np.tile(gain.astype(dtype), max(1, round(TILE / n_dictionary)))
    return kernels.Contest(gains, coding.do_sym)


def correlate_atoms(dictionary, stride=1):
    """G_ij(s) = <d_i, d_j shifted by s>, for every shift s by multiples of stride at which they
    overlap.

    Returns (n_dictionary, side, side * n_dictionary) of the dictionary's dtype: [i, row of s,
    (column of s, j)], with side = 2 ((width - 1) // stride) + 1.  By Fourier transforms, in
    float64.
    """
    n_dictionary, n_channels, width = dictionary.shape[:3]
    size, reach = fft.next_fast_len(2 * width - 1, real=True), (width - 1) // stride
    shifts = stride * np.arange(-reach, reach + 1)
    spectra = fft.rfft2(dictionary.astype(np.float64), (size, size))
    spectra = np.ascontiguousarray(spectra.reshape(n_dictionary, n_channels, -1).transpose(2, 0, 1))
    conjugates = spectra.conj().transpose(0, 2, 1)
    gram = np.empty((n_dictionary, shifts.size, shifts.size, n_dictionary), dictionary.dtype)
    for i in range(n_dictionary):  # d_i at u equals d_j at u - s: sum_u d_i(u) d_j(u - s)
        products = (spectra[:, None, i] @ conjugates).reshape(size, -1, n_dictionary)
        full = fft.irfft2(products, (size, size), axes=(0, 1))
        gram[i] = full[shifts[:, None] % size, shifts % size]
    return gram.reshape(n_dictionary, shifts.size, -1)


# ---------------------------------------------------------------------------------- the public edge


def check_images(X, name="X", dtype=None, n_channels=None):
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
    X = check_array(X, name, ndim=ndim, dtype=dtype)
    if ndim < 4:
        X = X.reshape(-1, 1, *X.shape[-2:])
    elif X.shape[3] in (3, 4) and X.shape[1] > 4:
        raise ValueError(
            f"{name} must have axes (n_images, n_channels, height, width), but shape {X.shape} "
            f"has its "
            f"channels last: np.moveaxis({name}, -1, 1) brings them to their place"
        )
    check_magnitude(X, name, float(np.finfo(X.dtype).max) / (8 * X[0].size))
    if n_channels is not None and X.shape[1] != n_channels:
        raise ValueError(f"{name} must have {n_channels} channels, as the atoms, not {X.shape[1]}")
    return X


def check_filters(dictionary, dtype, name="dictionary"):
    """A dictionary (n_dictionary, n_channels, width, width) of unit norms; (n_dictionary, width,
    width) is widened.
    """
    dictionary = as_array(dictionary, name)
    check_choice(dictionary.ndim, f"the number of axes of {name}", (3, 4))
    dictionary = check_array(dictionary, name, ndim=dictionary.ndim, dtype=dtype)
    if dictionary.ndim == 3:
        dictionary = dictionary[:, None]
    if dictionary.shape[2] != dictionary.shape[3]:
        raise ValueError(
            f"{name} must hold square atoms, not {dictionary.shape[2]} x {dictionary.shape[3]}"
        )
    check_norms(dictionary.reshape(len(dictionary), -1), name)
    return np.ascontiguousarray(dictionary)


def convolutional_encode(
    X,
    dictionary,
    *,
    l0_sparseness=20,
    alpha_MP=1.0,
    gain=None,
    do_sym=False,
    stride=1,
    n_jobs=None,
    verbose=0,
):
    """Code images by few atoms, each at any place: X ~ sum over events of value * atom at (row,
    column).

    Matching pursuit repeats, `l0_sparseness` times an image::

        (i, p) = argmax gain_i max(rho_i(p), 0);   a = alpha_MP rho_i(p);   rho_j(p + s) -= a
        G_ij(s)

    with rho_i(p) = <image, d_i at place p> and G_ij(s) = <d_i, d_j shifted by s>.  Ties go to the
    first row, then column, then atom.  An image ends early where no score is above 0.  An event
    changes a window of the maps and its cost does not depend on the image's size.

    Parameters
    ----------
    X : array of shape (n_images, n_channels, height, width)
        Or (n_images, height, width), or one image (height, width).  Float32 or float64 (kept; other
        dtypes become float64), in the units of the values.
    dictionary : array of shape (n_dictionary, n_channels, patch_width, patch_width)
        Atoms of unit norm.
    l0_sparseness : int, default=20
        Events an image, at most the number of places; a place may be selected again.
    alpha_MP : float, default=1.0
        Share of a coefficient that one event takes, in (0, 1].
    gain : array of shape (n_dictionary,), optional
        At least 0; None is 1.
    do_sym : bool, default=False
        True lets values be negative: the score is gain_i |rho_i(p)|.
    stride : int, default=1
        Pixels between two places, at most patch_width.
    n_jobs : int, optional
        Threads; None is 1, -1 all cores.  The result has the same bits for any number.
    verbose : int, default=0
        1 shows progress bars for large images.

    Returns
    -------
    code : ConvolutionalCode

    Raises
    ------
    ValueError, TypeError
        Naming the parameter, its value and its range.

    References
    ----------
    Mallat & Zhang (1993), IEEE Trans. Signal Process. 41(12), eq. 14-20; Perrinet (2019), Vision
    3(3):47.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((5, 6))
    >>> image[2, 3] = 2.0
    >>> code = convolutional_encode(image, np.ones((1, 1, 1, 1)), l0_sparseness=1)
    >>> code.row, code.column, code.value
    (array([2], dtype=int32), array([3], dtype=int32), array([2.]))
    """
    coding = ConvolutionalCoding(l0_sparseness, alpha_MP, do_sym, stride, is_quiet=not verbose)
    return encode_images(X, dictionary, coding, gain, n_jobs)


def encode_images(X, dictionary, coding, gain=None, n_jobs=None, name="dictionary"):
    """The `ConvolutionalCode` of what the user gave."""
    X = check_images(X)
    dictionary = check_filters(dictionary, X.dtype, name)
    check_images(X[:1], n_channels=dictionary.shape[1])
    coding.check_fits(X.shape, dictionary.shape[2], len(dictionary))
    competition = check_competition(gain, None, None, len(dictionary), None)
    with Threads(n_jobs) as threads:
        return prepare(coding, dictionary, competition).encode(X, threads)
