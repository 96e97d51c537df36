"""Convolutional sparse coding: images and a dictionary in, events (image, atom, row, column, value)
out.

`convolutional_encode` is the public edge.  Inside, `prepare` makes a dictionary ready (filters,
Gram array), and `encode` runs the pursuit image by image.  What happens to an image depends on that
image alone: its code has the same bits in any batch and for any number of threads.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import fft
from tqdm.auto import tqdm

from .._checks import check_array, check_choice, check_count, check_flag, check_number
from .._threads import Threads, chunks
from . import kernels
from .code import ConvolutionalCode

MOST_UNFOLDED = (
    1 << 18
)  # elements of a strip of unfolded patches: 1 MB in float32, a core's second-level cache
MOST_DENSE = 1 / 8  # share of pixels other than 0 under which an image is correlated pixel by pixel
TILE = 320  # numbers in a tile, about: places of a row times atoms
EVENTS_A_CALL = 4096  # between two steps of the progress bar
LARGE = 1 << 22  # numbers in an image's maps above which its strips are shared among threads


@dataclass(frozen=True)
class ConvolutionalCoder:
    """A dictionary made ready: what every image shares."""

    dictionary: np.ndarray  # (n_dictionary, n_channels, width, width), unit norms
    filters: np.ndarray  # (n_channels * width^2, n_dictionary)
    stamps: np.ndarray  # (n_channels, width, width * n_dictionary): what one pixel adds to the maps
    gram: (
        np.ndarray
    )  # (n_dictionary, side, side * n_dictionary): what one unit of an atom takes off the maps
    gains: np.ndarray  # a tile's worth of the gain of each atom
    l0_sparseness: int
    alpha_MP: float = 1.0
    do_sym: bool = False
    stride: int = 1

    def places(self, shape):
        """(rows, columns) where an atom may sit in images of shape (..., height, width)."""
        return places(shape, self.dictionary.shape[2], self.stride)

    def allocate(self, shape):
        """Empty maps (n_rows, n_columns * n_dictionary) for images of this shape."""
        n_rows, n_columns = self.places(shape)
        return np.empty((n_rows, n_columns * len(self.dictionary)), self.dictionary.dtype)

    def correlation(self, image, rho):
        """How to fill rho with the correlations of an image: a function of a slice of rows, and
        slices of all rows.

        An image of mostly zeros goes pixel by pixel; its strips are high, for each looks at the
        pixels it shares with the next.  Of other images the patches are unfolded, strip by strip so
        that these fit in the cache.
        """
        n_rows, n_columns = len(rho), rho.shape[1] // len(self.dictionary)
        if self.stride == 1 and np.count_nonzero(image) < MOST_DENSE * image.size:
            correlate, size = self._correlate_sparse, 8 * self.dictionary.shape[2]
        else:
            correlate, size = (
                self._correlate_dense,
                max(1, MOST_UNFOLDED // (n_columns * len(self.filters))),
            )
        return partial(correlate, image, rho), chunks(n_rows, most=size, fewest=size)

    def _correlate_sparse(self, image, rho, rows):
        rho[rows] = 0
        kernels.correlate_sparse(
            image, self.stamps, self.dictionary.shape[2], rows.start, rho[rows]
        )

    def _correlate_dense(self, image, rho, rows):
        n_dictionary = len(self.dictionary)
        patches = np.empty(
            ((rows.stop - rows.start) * (rho.shape[1] // n_dictionary), len(self.filters)),
            rho.dtype,
        )
        kernels.unfold(image, rows.start, self.stride, self.dictionary.shape[2], patches)
        np.matmul(patches, self.filters, out=rho[rows].reshape(len(patches), n_dictionary))

    def correlate(self, image, rho):
        """Fill rho with the correlations of an image (n_channels, height, width) with every atom,
        on this thread.
        """
        correlate, strips = self.correlation(image, rho)
        for rows in strips:
            correlate(rows)

    def pursue(self, rho, ranking, events):
        """Fill `events` (atoms, rows, columns, values) from the maps rho, in place; return how many
        were found.
        """
        number = rho.dtype.type
        return kernels.pursue(
            rho,
            self.gram,
            self.gains,
            number(self.alpha_MP),
            number(self.do_sym),
            *ranking,
            *events,
        )

    def rank(self, rho, ranking, rows):
        """Write the best scores of the tiles of these rows."""
        kernels.rank(rho, self.gains, rho.dtype.type(self.do_sym), rows.start, rows.stop, *ranking)

    def code(self, image, rho, ranking, events):
        """One image on this thread: its correlations, then its events; return how many were
        found.
        """
        correlate, strips = self.correlation(image, rho)
        for rows in strips:
            correlate(rows)
            self.rank(rho, ranking, rows)
        return self.pursue(rho, ranking, events)

    def allocate_ranking(self, rho):
        """Memory for the best score of each tile, of each row, and for the scores of one tile."""
        dtype = f"i{rho.itemsize}"
        n_tiles = -(-rho.shape[1] // self.gains.size)
        return (
            np.empty((len(rho), n_tiles), dtype),
            np.empty(len(rho), dtype),
            np.empty(self.gains.size, dtype),
        )


def places(shape, width, stride):
    """(rows, columns) where a width x width atom may sit in images of shape (..., height,
    width).
    """
    return (shape[-2] - width) // stride + 1, (shape[-1] - width) // stride + 1


def prepare(dictionary, gain=None, *, l0_sparseness=20, alpha_MP=1.0, do_sym=False, stride=1):
    """A `ConvolutionalCoder` for a validated dictionary (n_dictionary, n_channels, width, width) of
    unit norms.
    """
    n_dictionary, n_channels, width = dictionary.shape[:3]
    filters = np.ascontiguousarray(dictionary.reshape(n_dictionary, -1).T)
    stamps = np.ascontiguousarray(dictionary[:, :, ::-1, ::-1].transpose(1, 2, 3, 0)).reshape(
        n_channels, width, -1
    )
    coder = ConvolutionalCoder(
        dictionary,
        filters,
        stamps,
        correlate_atoms(dictionary, stride),
        np.empty(0),
        l0_sparseness,
        alpha_MP,
        do_sym,
        stride,
    )
    return compete(coder, gain)


def compete(coder, gain):
    """The same coder under another gain of each atom (None: 1)."""
    n_dictionary, dtype = len(coder.dictionary), coder.dictionary.dtype
    gain = np.ones(n_dictionary) if gain is None else gain
    return replace(coder, gains=np.tile(gain.astype(dtype), max(1, round(TILE / n_dictionary))))


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


def encode(X, coder, threads, is_quiet=True, residual=None):
    """The `ConvolutionalCode` of images X (n_images, n_channels, height, width).

    residual, where given (an array of X's shape), receives X minus its reconstruction.
    """
    n_images, shape = len(X), X.shape
    events = allocate_events(n_images, coder)
    n_found = np.zeros(n_images, np.int64)
    n_numbers = np.prod(coder.places(shape)) * len(coder.dictionary)

    def subtract(n):
        if residual is not None:
            residual[n] = X[n]
            subtract_events(residual[n], [column[n, : n_found[n]] for column in events], coder)

    def code(group):
        rho = coder.allocate(shape)
        ranking = coder.allocate_ranking(rho)
        for n in range(group.start, group.stop):
            n_found[n] = coder.code(
                _contiguous(X[n], coder), rho, ranking, [column[n] for column in events]
            )
            subtract(n)

    if n_numbers < LARGE:
        threads.map(code, chunks(n_images, most=16, fewest=1))
    else:
        for n in range(n_images):
            n_found[n] = encode_large(
                _contiguous(X[n], coder), coder, threads, [column[n] for column in events], is_quiet
            )
            subtract(n)
    return ConvolutionalCode.from_slots(n_found, events, len(coder.dictionary), coder.places(shape))


def allocate_events(n_images, coder):
    """Arrays (n_images, l0_sparseness) for the atoms, rows, columns and values of events."""
    shape = n_images, coder.l0_sparseness
    return [*(np.zeros(shape, np.int32) for _ in range(3)), np.zeros(shape, coder.dictionary.dtype)]


def _contiguous(image, coder):
    return np.ascontiguousarray(image, coder.dictionary.dtype)


def subtract_events(residual, events, coder):
    """Subtract from residual (n_channels, height, width) the events (atoms, rows, columns, values)
    of an image.
    """
    kernels.subtract_events(*events, coder.stride, coder.dictionary, residual)


def encode_large(image, coder, threads, events, is_quiet):
    """One large image: strips of its maps are shared among threads, and a progress bar shows strips
    and events.

    The maps are held once; besides them there is a strip a thread.  Returns how many events were
    found.
    """
    rho = coder.allocate(image.shape)
    ranking = coder.allocate_ranking(rho)
    correlate, strips = coder.correlation(image, rho)
    with tqdm(total=len(strips), desc="correlations", unit="strip", disable=is_quiet) as bar:

        def fill(rows):
            correlate(rows)
            keys = np.empty_like(ranking[2])  # the scores of a tile: each thread needs its own
            coder.rank(rho, (*ranking[:2], keys), rows)
            bar.update()

        threads.map(fill, strips)
    n_found, n_events = 0, events[3].size
    with tqdm(total=n_events, desc="pursuit", unit="event", disable=is_quiet) as bar:
        while n_found < n_events:
            part = slice(n_found, min(n_found + EVENTS_A_CALL, n_events))
            n_here = coder.pursue(rho, ranking, [column[part] for column in events])
            n_found += n_here
            bar.update(n_here)
            if n_here < part.stop - part.start:
                break
    return n_found


# ---------------------------------------------------------------------------------- the public edge


def check_images(X, name="X", dtype=None, n_channels=None):
    """Finite images as (n_images, n_channels, height, width); one image (2-D) or a stack (3-D)
    gains axes.

    float32 and float64 are kept, other dtypes become float64.
    """
    ndim = np.ndim(X)
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
    if n_channels is not None and X.shape[1] != n_channels:
        raise ValueError(f"{name} must have {n_channels} channels, as the atoms, not {X.shape[1]}")
    return X


def check_places(shape, width, stride, l0_sparseness):
    """Errors for images smaller than an atom, and for more events than places in an image."""
    if min(shape[-2:]) < width:
        raise ValueError(
            f"X must have images of at least patch_width x patch_width = {width} x {width} pixels, "
            f"not {shape[-2]} x {shape[-1]}"
        )
    n_rows, n_columns = places(shape, width, stride)
    check_count(
        l0_sparseness,
        "l0_sparseness",
        most=n_rows * n_columns,
        why=f"the {n_rows} x {n_columns} places of an atom in an image",
    )


def check_coding(alpha_MP, do_sym, stride, width):
    """Errors, by name, for what `prepare` takes."""
    check_number(alpha_MP, "alpha_MP", above=0, most=1)
    check_flag(do_sym, "do_sym")
    check_count(
        stride,
        "stride",
        most=width,
        why="the width of an atom: pixels between atoms would never be coded",
    )


def check_dictionary(dictionary, dtype, name="dictionary"):
    """A dictionary (n_dictionary, n_channels, width, width) of unit norms; (n_dictionary, width,
    width) is widened.
    """
    check_choice(np.ndim(dictionary), f"the number of axes of {name}", (3, 4))
    dictionary = check_array(dictionary, name, ndim=np.ndim(dictionary), dtype=dtype)
    if dictionary.ndim == 3:
        dictionary = dictionary[:, None]
    if dictionary.shape[2] != dictionary.shape[3]:
        raise ValueError(
            f"{name} must hold square atoms, not {dictionary.shape[2]} x {dictionary.shape[3]}"
        )
    norms = np.sqrt((dictionary.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))
    worst = int(np.argmax(np.abs(norms - 1)))
    if abs(norms[worst] - 1) > 1e-3:
        raise ValueError(
            f"{name} must hold atoms of unit norm; atom {worst} has norm {norms[worst]:.3g}"
        )
    return np.ascontiguousarray(dictionary)


def check_gain(gain, n_dictionary):
    """A non-negative gain of each atom, or None."""
    if gain is None:
        return None
    gain = check_array(gain, "gain", ndim=1, shape=(n_dictionary,))
    if gain.min() < 0:
        raise ValueError(f"gain must be non-negative, its least is {gain.min():.3g}")
    return gain


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
    X : array (n_images, n_channels, height, width), or (n_images, height, width), or one image
        (height, width); float32 or float64 (kept; other dtypes become float64), in the units of the
        values.
    dictionary : array (n_dictionary, n_channels, patch_width, patch_width), atoms of unit norm.
    l0_sparseness : int, at most the number of places.  Events an image; a place may be selected
        again.
    alpha_MP : float in (0, 1].  Share of a coefficient that one event takes.
    gain : array (n_dictionary,), non-negative, optional.
    do_sym : bool.  True lets values be negative: the score is gain_i |rho_i(p)|.
    stride : int, at most patch_width.  Pixels between two places.
    n_jobs : int, optional.  Threads; None is 1, -1 all cores.  The result has the same bits for any
        number.
    verbose : int.  1 shows progress bars for large images.

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
    X = check_images(X)
    dictionary = check_dictionary(dictionary, X.dtype)
    check_coding(alpha_MP, do_sym, stride, dictionary.shape[2])
    check_images(X[:1], n_channels=dictionary.shape[1])
    check_places(X.shape, dictionary.shape[2], stride, l0_sparseness)
    gain = check_gain(gain, len(dictionary))
    with Threads(n_jobs) as threads:
        coder = prepare(
            dictionary,
            gain,
            l0_sparseness=l0_sparseness,
            alpha_MP=alpha_MP,
            do_sym=do_sym,
            stride=stride,
        )
        return encode(X, coder, threads, is_quiet=not verbose)
