"""Metrics of a code and a dictionary: arrays or a code in, scalars (or one number per atom) out.

A code is what a coder returns, or an array (n_samples, n_dictionary), dense or sparse.
"""

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from ._base.arrays import namespace
from ._base.checks import as_array, check_array, check_code, check_magnitude, check_squares
from ._base.constraints import Flag, Matrix, Share, checked
from ._base.devices import is_tensor
from .coding.competition import check_P_cum
from .gabor import fit_gabor, orientation_entropy
from .images.patches import PatchShape

ORDERLY = 0.012  # the `disorder` of an atom that has a place and a frequency
SPREAD_OUT = 0.02  # above, Gabor functions explain less than half of nearly all atoms

if TYPE_CHECKING:
    from .coding.events import Events


class Code(Protocol):
    """What the metrics ask of a sparse code, of patches or of images."""

    def counts(self) -> np.ndarray:
        """Events of each atom, (n_dictionary,) int64."""

    def power_sums(self, power: int) -> np.ndarray:
        """The sum of a^power over the events of each atom, (n_dictionary,) float64."""

    @property
    def n_draws(self) -> float:
        """How often an atom could have been active: zeros are counted up to it."""


class _Array:
    """An array (n_samples, n_dictionary), dense or sparse, as a `Code`."""

    def __init__(self, code):
        self.code = sparse.csr_array(check_code(code, "code"))
        if not self.code.has_canonical_format:
            self.code = self.code.copy()
            self.code.sum_duplicates()
        if self.code.nnz:
            check_magnitude(self.code.data, "code", float(np.finfo(np.float64).max) ** 0.24)
        self.n_draws, self.n_dictionary = self.code.shape

    def counts(self):
        return np.bincount(self.code.indices[self.code.data != 0], minlength=self.n_dictionary)

    def power_sums(self, power):
        powers = self.code.data.astype(np.float64) ** power
        return np.bincount(self.code.indices, powers, self.n_dictionary)

    def count_pairs(self):
        is_active = (self.code != 0).astype(np.int64)
        return (is_active.T @ is_active).toarray()


def _as_code(code):
    """A code as it is, or an array with the methods of one."""
    return code if hasattr(code, "counts") else _Array(code)


def reconstruction_error(
    X: np.ndarray, residual: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Return |X - A D| / |X|, of Frobenius norms; 0 if X is all zeros.

    Parameters
    ----------
    X : array of shape (n_samples, n_pixels)
    residual : array of shape (n_samples, n_pixels)
        X - A D.
    weight : array of shape (n_samples,), default=None
        How often the squares of each sample count.
    """
    if not is_tensor(X):
        X, residual = as_array(X, "X"), as_array(residual, "residual")
    if not X.ndim or X.shape != residual.shape:
        raise ValueError(f"residual must have the shape of X, {X.shape}, not {residual.shape}")
    if weight is not None:
        weight = check_array(weight, "weight", ndim=1, shape=X.shape[:1])
        if weight.min() < 0:
            raise ValueError(f"weight must be at least 0, not {weight.min():.3g}")
        root = namespace(weight).sqrt(weight)[:, None]
        X, residual = root * X, root * residual
    with np.errstate(over="ignore", invalid="ignore"):
        xp = namespace(X)
        norms = xp.linalg.norm(residual), xp.linalg.norm(X)
        least = (xp.finfo(X.dtype).tiny / xp.finfo(X.dtype).eps) ** 0.5
        if not all(least < norm < np.inf for norm in norms):  # squares that X's dtype cannot hold
            peak = abs(X).max() if len(X) else 0
            if peak == 0:
                return 0.0
            norms = xp.linalg.norm(residual / peak), xp.linalg.norm(X / peak)
        return float(norms[0] / norms[1])


@checked
def quantization_error(P_cum: Matrix) -> float:
    """Return qerror = sum_ik |P_cum_ik - mean_j P_cum_jk|, 0 if all atoms are distributed alike."""
    check_P_cum(P_cum, "P_cum")
    return float(abs(P_cum - P_cum.mean(axis=0)).sum())


def usage(events: Code | ArrayLike) -> np.ndarray:
    """Return each atom's share of the events, (n_dictionary,), of sum 1; NaN if there are no
    events.
    """
    counts = _as_code(events).counts()
    return counts / counts.sum() if counts.sum() else np.full(len(counts), np.nan)


def usage_entropy(events: Code | ArrayLike) -> float:
    """Return -sum_i q_i log q_i / log n, q the atoms' shares of the events.

    1 if all atoms are used equally; NaN where there are no events or one atom.
    """
    shares = usage(events)
    used = shares[shares > 0]
    if not used.size or len(shares) == 1:
        return np.nan
    return float(-(used * np.log(used)).sum() / np.log(len(shares)))


def usage_variation(events: Code | ArrayLike) -> float:
    """Return std_i k_i / mean_i k_i, k the events of each atom.

    0 if all atoms are used equally; NaN if none is used.
    """
    counts = _as_code(events).counts()
    return float(counts.std() / counts.mean()) if counts.any() else np.nan


def probability_error(events: Code | ArrayLike) -> float:
    """Return perror = sum_i |q_i - 1/n| / 2, q the atoms' shares of the events.

    The share of events that would have to move for equal usage; NaN where there are no events.
    """
    shares = usage(events)
    return float(np.abs(shares - 1 / len(shares)).sum() / 2)


def log_likelihood(events: Code | ArrayLike) -> float:
    """Return logL = mean_i log N(k_i; mean k, sqrt(N p (1 - p))), p = mean k / N.

    How likely equal use makes the counts k: the normal approximation of a binomial with one
    probability for all atoms, N samples.  NaN if no or every coefficient is active.
    """
    events = _as_code(events)
    counts, n_samples = events.counts(), max(events.n_draws, 1)
    variance = counts.mean() * (1 - counts.mean() / n_samples)
    if variance <= 0:
        return np.nan
    return float(
        np.mean(-((counts - counts.mean()) ** 2) / (2 * variance))
        - np.log(2 * np.pi * variance) / 2
    )


def mutual_information(events: "Events | ArrayLike") -> float:
    """Return MI = sum_ij P_ij log(P_ij / (q_i q_j)), nats: how atoms' activations depend on each
    other.

    P_ij is the share of (sample, i, j) with both atoms active (i = j included) and q_i atom i's
    share of the events.

    Parameters
    ----------
    events : Events
        Or an array; of patches: which atoms occur together is not asked of images.

    Returns
    -------
    information : float
        NaN where there are no events.

    References
    ----------
    Cover & Thomas (2006), eq. 2.28.
    """
    events = _as_code(events)
    pairs = events.count_pairs()
    xp = namespace(pairs)
    i, j = xp.nonzero(pairs)
    if not len(i):
        return np.nan
    joint, shares = pairs[i, j] / pairs.sum(), usage(events)
    return float((joint * xp.log(joint / (shares[i] * shares[j]))).sum())


@checked
def mutual_coherence(dictionary: Matrix, do_sym: Flag = False) -> float:
    """Return MC = max_{i != j} <d_i, d_j> (Donoho & Elad 2003).

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_pixels)
    do_sym : bool, default=False
        Whether to take absolute values.
    """
    most = float(namespace(dictionary).finfo(dictionary.dtype).max) ** 0.5 / dictionary.shape[1]
    check_magnitude(dictionary, "dictionary", most)
    gram = dictionary @ dictionary.T
    namespace(gram).fill_diagonal(gram, 0)
    return float(abs(gram).max() if do_sym else gram.max())


@checked
def disorder(dictionary: Matrix, patch_shape: PatchShape | None = None) -> np.ndarray:
    """Return how spread an atom is: small for atoms that have a place or a frequency.  It is (sum_p
    e_p)^2 / (n sum_p e_p^2) with e the energy of pixels, times the same of the energy of
    frequencies.  Energies of channels are added.

    An edge has about 0.01, whitened 1/f noise in a disc 0.06 to 0.12, white noise 0.17.

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_pixels)
    patch_shape : (int, int) or (int, int, int), default=None
        Height and width of the atoms, and their channels.  If None, atoms are square and grey.

    Returns
    -------
    disorder : array of shape (n_dictionary,)
    """
    height, width, *_ = patch_shape or (check_squares(dictionary, "dictionary"),) * 2
    atoms = np.reshape(dictionary, (len(dictionary), height, width, -1)).astype(np.float64)
    pixels = (atoms**2).sum(axis=3)
    energy = pixels.mean(axis=0)
    n_pixels = max(1, np.count_nonzero(energy > 0.01 * energy.max()))  # a mask leaves fewer
    sizes = [2 ** int(np.ceil(np.log2(1.5 * side))) for side in (height, width)]
    spectra = (np.abs(np.fft.fft2(atoms, sizes, axes=(1, 2))) ** 2).sum(axis=3)
    shares = [
        _participation(energy.reshape(len(atoms), -1)) / n
        for energy, n in ((pixels, n_pixels), (spectra, sizes[0] * sizes[1]))
    ]
    return shares[0] * shares[1]


@checked
def is_formless(
    dictionary: Matrix,
    patch_shape: PatchShape | None = None,
    least_r2: Share = 0.5,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Tell which atoms have no form: no Gabor function explains more than half of their energy.

    is_formless_i = r2_i <= least_r2, with r2 of `fit_gabor`.  Functions are fitted only to atoms
    whose `disorder` is above 0.012: below, an atom has a place and a frequency.  Of atoms in colour
    or that are not square, those are formless whose `disorder` is above 0.02.

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_pixels)
    patch_shape : (int, int) or (int, int, int), default=None
        Height and width of the atoms, and their channels.  If None, atoms are square and grey.
    least_r2 : float, default=0.5
        Share of an atom's energy in [0, 1].
    n_jobs : int, optional
        Workers that fit; see `fit_gabor`.

    Returns
    -------
    is_formless : array of shape (n_dictionary,), bool

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((3, 225))
    >>> is_formless(noise)
    array([ True,  True,  True])
    """
    spread = disorder(dictionary, patch_shape)
    if patch_shape is not None:
        height, width, *channels = patch_shape
        if height != width or math.prod(channels) > 1:
            return spread > SPREAD_OUT
    found = spread > ORDERLY
    if found.any():
        atoms = np.asarray(dictionary)[found]
        found[found] = ~(fit_gabor(atoms, n_jobs=n_jobs)["r2"] > least_r2)
    return found


def _participation(energy):
    """How many numbers of a row share its sum: (sum e)^2 / sum e^2."""
    return energy.sum(axis=1) ** 2 / np.maximum((energy**2).sum(axis=1), np.finfo(float).tiny)


def kurtosis(events: Code | ArrayLike) -> np.ndarray:
    """Return mean_n a_ni^4 / (mean_n a_ni^2)^2 - 3 for each atom, zeros counted.

    NaN for an unused atom.
    """
    events = _as_code(events)
    second, fourth = (events.power_sums(power) / max(events.n_draws, 1) for power in (2, 4))
    return np.divide(fourth, second**2, out=np.full(len(second), np.nan), where=second > 0) - 3


def activation_probability(events: Code | ArrayLike) -> np.ndarray:
    """Return prob_active_i = mean_n(a_ni != 0), (n_dictionary,)."""
    events = _as_code(events)
    return events.counts() / max(events.n_draws, 1)


def variance(events: Code | ArrayLike) -> np.ndarray:
    """Return mean_n a_ni^2 for each atom, zeros counted."""
    events = _as_code(events)
    squares = events.power_sums(2) / max(events.n_draws, 1)
    with np.errstate(over="ignore"):  # the squares of doubles above 1e154 are infinite
        return namespace(squares).ldexp(squares, 2 * getattr(events, "exponent", 0))


def kl_divergence(events: Code | ArrayLike) -> float:
    """Return KL = sum_i q_i log(q_i n), nats, q the atoms' shares of the events.

    Their distance from equal usage, (1 - entropy) log n (Cover & Thomas 2006, eq. 2.94); NaN where
    there are no events.
    """
    shares = usage(events)
    used = shares[shares > 0]
    return float((used * np.log(used * len(shares))).sum()) if used.size else np.nan


@checked
def ks_distance(P_cum: Matrix) -> np.ndarray:
    """Return KS_i = max_k |P_cum_ik - mean_j P_cum_jk|, (n_dictionary,).

    Kolmogorov & Smirnov's distance of an atom's distribution to the mean of all.
    """
    check_P_cum(P_cum, "P_cum")
    return namespace(P_cum).amax(abs(P_cum - P_cum.mean(axis=0)), axis=1)


__all__ = [
    "Code",
    "activation_probability",
    "disorder",
    "fit_gabor",
    "is_formless",
    "kl_divergence",
    "ks_distance",
    "kurtosis",
    "log_likelihood",
    "mutual_coherence",
    "mutual_information",
    "orientation_entropy",
    "probability_error",
    "quantization_error",
    "reconstruction_error",
    "usage",
    "usage_entropy",
    "usage_variation",
    "variance",
]
