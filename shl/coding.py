"""Sparse coding: samples and a dictionary in, events out.

`sparse_encode` is the public edge.  Inside, a `Coding` (what the user chose) turns a dictionary and
a `Competition` into a `Coder` (filters, Gram matrix, bounds), which runs over fixed chunks of rows.

`shl.learning` asks the same of patches, here, and of images, in `shl.convolution.coding`:

    coding.prepare(dictionary, competition, precision, threads, former)     a coder
    coder.compete(competition)                      the same under another competition
    coder.code_batch(X, rows, threads)              a `Batch`: samples, their code, their residuals
    coder.gradient(batch, threads)                  of the dictionary's shape
    coder.cosines(), coder.is_signed                between atoms, for `shl.replacement`
    coder.cut_residuals(batch, n_most)              rows of the size of an atom, n_windows a sample
    coder.seen_share(batch)                         of the entries of its samples, 1 without gaps
    code.counts(), code.power_sums(k)               (n_dictionary,): events, sums of value^k
    code.n_draws                                    what counts are probabilities of
    code.count_quantiles(C, n_bins)                 (n_dictionary, n_bins); patches alone
    code.follow_quantiles(P_cum, C, rate)           P_cum after a batch; patches alone
    code.mean_positive()                            of coefficients above 0; patches alone
    code.count_pairs()                              (n_dictionary, n_dictionary); patches alone
    code.weight                                     (n_samples,), or None: each sample counts once
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from . import kernels
from ._arrays import is_tensor, like, namespace
from ._checks import (
    check_array,
    check_choice,
    check_count,
    check_flag,
    check_magnitude,
    check_memory,
    check_number,
    check_sparse,
    set_checked,
)
from ._threads import Threads, chunks, map_serially

HEEDED = {  # by each coder, of the ways that atoms may compete
    "mp": ("gain", "table"),
    "omp": ("gain",),
    **dict.fromkeys(("lars", "lasso_lars", "lasso_cd", "elastic", "threshold"), ()),
}
ALGORITHMS = tuple(HEEDED)
PURSUITS = ("mp", "omp")  # the coders that are our own, and let homeostasis bias the competition
SCALED = ("omp", "lars", "lasso_lars")  # their thresholds and squares want samples of size 1
PENALISED = ("lasso_lars", "lasso_cd", "elastic")  # a penalty, not a count, makes codes sparse
UNSIGNED = ("omp", "lars")  # cannot be told to keep codes positive
DEFAULT_SPARSENESS = 10
MISSING = ("error", "mask")  # what NaN is
DEFAULT_PENALTY = 0.1  # in units of a sample's largest correlation
# Of matching pursuit to a tolerance, for each pixel: a guard, not a limit one meets.
MOST_STEPS = 100
CACHED_ROWS = 512  # of samples, that are summed by atom while they are in a second-level cache
# Of an atom's squared norm, for it to be chosen by the entries that are seen of a sample.
LEAST_SEEN = 0.05
FEW_ROWS = 1024  # samples: up to as many are correlated atoms by atoms
LAID_OUT = 1024  # samples for which it pays to lay out the dictionary's transpose


# ------------------------------------------------------------------------------------ codes


@dataclass(frozen=True)
class Events:
    """A sparse code: for each sample the atoms it selects and their coefficients.

    Attributes
    ----------
    indices : array of shape (n_samples, n_slots), int32
        Each atom at most once; an unused slot has index 0 and value 0.
    values : array of shape (n_samples, n_slots)
        Float32 or float64.
    n_dictionary : int
    weight : array of shape (n_samples,), optional
        How often each sample counts in every sum; None: once.
    """

    indices: np.ndarray
    values: np.ndarray
    n_dictionary: int
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.indices)

    @property
    def n_draws(self) -> float:
        """Of how many draws `counts` counts the successes: each sample uses an atom or not."""
        return len(self) if self.weight is None else self.weight.sum(dtype=np.float64)

    def check(self) -> None:
        """ValueError for events of atoms that are not there: kernels look at no bounds."""
        indices, values = self.indices, self.values
        n_dictionary = check_count(self.n_dictionary, "n_dictionary")
        for name, part in (("indices", indices), ("values", values)):
            if not isinstance(part, np.ndarray):
                raise TypeError(f"{name} must be an array, not {part!r}")
        if indices.ndim != 2 or indices.shape != values.shape:
            raise ValueError(
                f"indices and values must have one shape (n_samples, n_slots), not {indices.shape} "
                f"and {values.shape}"
            )
        if indices.dtype.kind not in "iu" or values.dtype.kind != "f":
            raise ValueError(
                f"indices must be integers and values floats, not {indices.dtype} and "
                f"{values.dtype}"
            )
        if indices.size and not 0 <= indices.min() <= indices.max() < n_dictionary:
            raise ValueError(
                f"indices must be at least 0 and below n_dictionary = {n_dictionary}, not "
                f"{indices.min()} to {indices.max()}"
            )
        if self.weight is not None and np.shape(self.weight) != (len(self),):
            raise ValueError(f"weight must have shape ({len(self)},), not {np.shape(self.weight)}")

    def to_dense(self) -> np.ndarray:
        """The code as an array (n_samples, n_dictionary)."""
        self.check()
        n_bytes = self.values.itemsize * len(self) * self.n_dictionary
        check_memory(n_bytes, "n_dictionary", self.n_dictionary)
        code = np.zeros((len(self), self.n_dictionary), self.values.dtype)
        kernels.scatter(self.indices, self.values, code)
        return code

    def to_csr(self) -> sparse.csr_array:
        """The code as a SciPy CSR array (n_samples, n_dictionary) with sorted indices; the events
        are reordered.
        """
        self.check()
        n_used = kernels.sort_events(self.indices, self.values)
        offsets = np.concatenate(([0], np.cumsum(n_used, dtype=np.int64)))
        is_full = offsets[-1] == self.values.size
        used = slice(None) if is_full else np.arange(self.values.shape[1]) < n_used[:, None]
        parts = self.values[used].ravel(), self.indices[used].ravel(), offsets
        return sparse.csr_array(parts, shape=(len(self), self.n_dictionary))

    def counts(self) -> np.ndarray:
        """How many samples select each atom, (n_dictionary,) int64; float64 with weights."""
        self.check()
        if self.weight is None:
            counts = np.zeros(self.n_dictionary, np.int64)
            kernels.count_events(self.indices, self.values, counts)
            return counts
        used = self.values != 0
        weights = np.broadcast_to(self.weight[:, None], used.shape)[used]
        return np.bincount(self.indices[used], weights, self.n_dictionary)

    def power_sums(self, power: int) -> np.ndarray:
        """sum_n a_ni^power for each atom i, (n_dictionary,) float64."""
        self.check()
        weights = self.values.astype(np.float64) ** power
        if self.weight is not None:
            weights *= self.weight[:, None]
        return np.bincount(self.indices.ravel(), weights.ravel(), self.n_dictionary)

    def mean_positive(self) -> float:
        """The mean of the coefficients above 0; 0 where there are none."""
        used = self.values > 0
        if not used.any():
            return 0.0
        if self.weight is None:
            return float(self.values[used].mean(dtype=np.float64))
        weights = np.broadcast_to(self.weight[:, None], used.shape)[used]
        return float(np.average(self.values[used].astype(np.float64), weights=weights))

    def count_quantiles(self, C: float, n_bins: int) -> np.ndarray:
        """Samples whose 1 - exp(-max(a, 0) / C) falls in each of n_bins equal bins of [0, 1],
        (n_dictionary, n_bins) int64; an atom that a sample does not use counts in the first.
        """
        self.check()
        if self.weight is not None:
            return self._weigh_quantiles(C, n_bins)
        counts = np.empty((self.n_dictionary, n_bins), np.int64)
        kernels.count_quantiles(self.indices, self.values, C, counts)
        return counts

    def follow_quantiles(self, P_cum: np.ndarray, C: float, rate: float) -> np.ndarray:
        """(1 - rate) P_cum + rate CDF, the CDF of `count_quantiles` where each sample counts once,
        behind a column of zeros.
        """
        self.check()
        if len(P_cum) != self.n_dictionary:
            raise ValueError(f"P_cum must have {self.n_dictionary} rows, not {len(P_cum)}")
        P_cum = np.ascontiguousarray(P_cum)
        moved = np.empty(P_cum.shape, P_cum.dtype)
        kernels.follow_quantiles(self.indices, self.values, C, rate, P_cum, moved)
        return moved

    def _weigh_quantiles(self, C, n_bins):
        """`count_quantiles` of weighted samples, float64."""
        used = self.values != 0
        bins = (n_bins * -np.expm1(-np.maximum(self.values[used], 0) / C)).astype(np.int64)
        places = self.indices[used] * np.int64(n_bins) + np.minimum(bins, n_bins - 1)
        weights = np.broadcast_to(self.weight[:, None], used.shape)[used]
        counts = np.bincount(places, weights, self.n_dictionary * n_bins)
        counts = counts.reshape(self.n_dictionary, n_bins)
        counts[:, 0] += self.n_draws - counts.sum(axis=1)
        return counts

    def count_pairs(self) -> np.ndarray:
        """Samples that use both atoms i and j, (n_dictionary, n_dictionary) int64; float64 with
        weights.
        """
        self.check()
        if self.weight is not None:
            used = (self.to_dense() != 0).astype(np.float64)
            return used.T @ (self.weight[:, None] * used)
        pairs = np.zeros((self.n_dictionary, self.n_dictionary), np.int64)
        kernels.count_pairs(self.indices, self.values, pairs)
        return pairs

    def sum_rows(self, kernel: Callable, rows: np.ndarray, threads) -> np.ndarray:
        """A kernel's sums of rows (n_samples, n_pixels) over the events of each atom,
        (n_dictionary, n_pixels).

        Each thread owns a range of atoms and takes their events in order, so the sums have the same
        bits for any number.
        """
        self.check()
        if len(rows) != len(self):
            raise ValueError(f"rows must be those of {len(self)} samples, not {len(rows)}")
        total = np.empty((self.n_dictionary, rows.shape[1]), rows.dtype)
        parts = chunks(len(self), most=CACHED_ROWS, fewest=CACHED_ROWS)

        def order(part):
            return kernels.order_by_atom(self.indices[part], self.values[part], self.n_dictionary)

        ordered = threads.map(order, parts)

        def add(atoms):
            total[atoms] = 0
            for events, part in zip(ordered, parts, strict=True):
                kernel(events, rows[part], atoms.start, atoms.stop, total)

        threads.map(add, chunks(self.n_dictionary))
        return total

    def sum_products(self, rows: np.ndarray, threads) -> np.ndarray:
        """A^T rows for the code A, (n_dictionary, n_pixels)."""
        return self.sum_rows(kernels.accumulate, rows, threads)

    def sum_squares(self, rows: np.ndarray, threads) -> np.ndarray:
        """The sum of rows_n^2 over the samples n that use each atom, (n_dictionary, n_pixels)."""
        return self.sum_rows(kernels.accumulate_squares, rows, threads)

    @classmethod
    def join(cls, parts: list["Events"]) -> "Events":
        """The events of several chunks in order, each padded to the most slots among them."""
        n_slots = max(part.values.shape[1] for part in parts)

        def stack(arrays):
            padding = [((0, 0), (0, n_slots - array.shape[1])) for array in arrays]
            padded = [
                np.pad(array, pad) if pad[1][1] else array
                for array, pad in zip(arrays, padding, strict=True)
            ]
            return np.concatenate(padded)

        indices, values = stack([p.indices for p in parts]), stack([p.values for p in parts])
        return cls(indices, values, parts[0].n_dictionary)

    @classmethod
    def from_dense(cls, code, l0_sparseness: int | None = None) -> "Events":
        """The events of a dense or CSR code; with l0_sparseness, each sample's largest alone."""
        if sparse.issparse(code):
            code = check_sparse(code, "code").toarray()
        most = int((code != 0).sum(axis=1).max(initial=0))
        n_slots = max(1, most if l0_sparseness is None else min(l0_sparseness, code.shape[1]))
        order = np.argsort(-np.abs(code), axis=1, kind="stable")[:, :n_slots].astype(np.int32)
        values = np.take_along_axis(code, order, axis=1)
        return cls(np.where(values != 0, order, np.int32(0)), values, code.shape[1])

    def trim(self) -> "Events":
        """The same events without the slots that no sample uses."""
        n_slots = max(1, int((self.values != 0).sum(axis=1).max(initial=0)))
        return replace(
            self, indices=self.indices[:, :n_slots].copy(), values=self.values[:, :n_slots].copy()
        )


class Batch(NamedTuple):
    """Samples, their code, and what it leaves of them."""

    samples: np.ndarray
    code: Events
    residual: np.ndarray


# ------------------------------------------------------------------------------------ competition


@dataclass(frozen=True)
class Competition:
    """How atoms compete in pursuit: z_i(a) = gain_i a, or z_i(a) = P_cum_i(1 - exp(-a / C)).

    Neither gain nor P_cum is plain matching pursuit, z(a) = a.

    Attributes
    ----------
    gain : array of shape (n_dictionary,), optional
        Non-negative.
    P_cum : array of shape (n_dictionary, nb_quant), optional
        Non-decreasing along its rows, in [0, 1].
    C : float, optional
        The scale of coefficients in P_cum, without which the table means nothing.
    """

    gain: np.ndarray | None = None
    P_cum: np.ndarray | None = None
    C: float | None = None

    @property
    def kind(self) -> str:
        """'gain', 'table' or 'plain'."""
        if self.P_cum is not None:
            return "table"
        return "plain" if self.gain is None else "gain"


PLAIN = Competition()


# ------------------------------------------------------------------------------------ coding


@dataclass(frozen=True)
class Coding:
    """How samples are coded; a value out of its range is an error that names it.

    Parameters
    ----------
    algorithm, l0_sparseness, fit_tol, alpha_MP : str, int, float, float
    do_sym, positive_code, missing : bool, bool, str
        See `sparse_encode`; here l0_sparseness None is no limit.
    """

    algorithm: str = "mp"
    l0_sparseness: int | None = DEFAULT_SPARSENESS
    fit_tol: float | None = None
    alpha_MP: float = 1.0
    do_sym: bool = False
    positive_code: bool = False
    missing: str = "error"

    def __post_init__(self):
        check_choice(self.algorithm, "algorithm", ALGORITHMS)
        set_checked(
            self,
            l0_sparseness=check_count(self.l0_sparseness, "l0_sparseness", is_optional=True),
            fit_tol=check_number(self.fit_tol, "fit_tol", least=0, is_optional=True),
            alpha_MP=check_number(self.alpha_MP, "alpha_MP", above=0, most=1),
            do_sym=check_flag(self.do_sym, "do_sym"),
            positive_code=check_flag(self.positive_code, "positive_code"),
        )
        check_choice(self.missing, "missing", MISSING)
        if self.has_gaps and self.algorithm != "omp":
            raise ValueError(
                f"missing='mask' needs the algorithm 'omp', which codes by the entries that are "
                f"seen, not {self.algorithm!r}"
            )
        if self.positive_code and self.algorithm in UNSIGNED:
            raise ValueError(
                f"positive_code: Positive constraint not supported for {self.algorithm!r} coding "
                f"method; it is for {', '.join(a for a in ALGORITHMS if a not in UNSIGNED)}"
            )
        if self.positive_code and self.do_sym:
            raise ValueError("positive_code and do_sym ask for opposite signs: give one of them")

    @property
    def has_gaps(self) -> bool:
        """Whether NaN marks entries that are missing."""
        return self.missing == "mask"

    @property
    def is_signed(self) -> bool:
        """Whether coefficients may be negative."""
        return self.do_sym or (self.algorithm != "mp" and not self.positive_code)

    def check_fits(self, n_dictionary: int) -> None:
        """An error where a sample would have more events than there are atoms."""
        check_count(
            self.l0_sparseness,
            "l0_sparseness",
            most=n_dictionary,
            why="the number of atoms",
            is_optional=True,
        )

    def check_heeds(self, competition: "Competition") -> None:
        """An error for a table of quantiles where the algorithm heeds none."""
        if competition.kind == "table" and self.algorithm != "mp":
            raise ValueError(
                f"a table of quantiles P_cum decides in 'mp' alone, not in {self.algorithm!r}: "
                f"take a rule of homeostasis with a gain, or none"
            )

    def activity(self, n_dictionary: int) -> float:
        """The probability that a sample selects an atom, before anything is known."""
        return min((self.l0_sparseness or n_dictionary) / n_dictionary, 0.5)

    def prepare(
        self, dictionary, competition=PLAIN, precision=None, threads=None, former=None
    ) -> "Coder":
        """A `Coder` for a validated dictionary: its filters w d / n, Gram matrix and bounds.

        It takes over the memory of the Gram matrix of a former coder, whose use is over: new pages
        for a large one take as long as a sixth of its products.

        With a precision w: n_i = sqrt(<d_i, w_i d_i>), rho_i = <x, w_i d_i> / n_i and
        gram_ij = <d_i, w_j d_j> / n_j.
        """
        if is_tensor(dictionary):
            from .gpu.coding import prepare

            return prepare(self, dictionary, competition, precision)
        # One layout, one compiled form of each kernel.
        dictionary = np.require(dictionary, requirements=("C", "A", "W"))
        filters, scale = dictionary, np.ones(len(dictionary), dictionary.dtype)
        if precision is not None:
            filters = precision * dictionary
            scale = 1 / np.sqrt(np.einsum("ij,ij->i", filters, dictionary))
            filters = filters * scale[:, None]
        gram = np.empty((0, 0), dictionary.dtype)
        if self.algorithm in PURSUITS:
            run = map_serially if threads is None else threads.map
            gram = _gram(dictionary, filters, run, None if former is None else former.atoms.gram)
        atoms = kernels.Atoms(dictionary, gram, scale)
        return Coder(self, atoms, filters, filters.T, self._contest(atoms, competition))

    def _contest(self, atoms, competition):
        """What the kernels need of a competition, with the bounds of a table."""
        self.check_heeds(competition)
        n_dictionary, dtype = atoms.dictionary.shape[0], atoms.dictionary.dtype
        gain = _padded(1, n_dictionary, dtype)[0]
        if competition.kind != "table":
            gain[:n_dictionary] = 1 if competition.gain is None else competition.gain
            no_table, no_bounds = np.empty((n_dictionary, 0), dtype), np.empty((0, 0), dtype)
            levels = np.empty(0, dtype)
            return kernels.Contest(gain, no_table, dtype.type(1), levels, no_bounds, self.do_sym)
        P_cum = np.require(competition.P_cum, dtype, ("C", "A", "W"))
        levels = np.empty(P_cum.shape[1], dtype)
        bounds = _padded(len(levels), n_dictionary, dtype)
        bounds[:, n_dictionary:] = np.inf
        kernels.bound_scores(P_cum, competition.C, gain, levels, bounds)
        return kernels.Contest(gain, P_cum, dtype.type(competition.C), levels, bounds, self.do_sym)


def _seen(batch):
    """Where samples have entries: where they miss one, sample and residual are 0."""
    return (batch.samples != 0) | (batch.residual != 0)


def _padded(n_rows, n_columns, dtype):
    """An array of rows on which the kernels' vectors fit: aligned, of whole strips, zeros behind
    n_columns; what comes before is not set.

    Rows a power of 2 apart would share few places of a cache, as when a matrix is transposed.
    """
    strip = kernels.STRIP // dtype.itemsize
    n_padded = -(-n_columns // strip) * strip
    if n_padded % (8 * strip) == 0:
        n_padded += strip
    memory = np.empty(n_rows * n_padded * dtype.itemsize + kernels.VECTOR, np.uint8)
    start = -memory.ctypes.data % kernels.VECTOR
    memory = memory[start : start + n_rows * n_padded * dtype.itemsize]
    rows = memory.view(dtype).reshape(n_rows, n_padded)
    rows[:, n_columns:] = 0
    return rows


def _gram(dictionary, filters, run, memory=None):
    """Dictionary @ filters.T, tile by tile; only half of it is computed where symmetric.

    memory: another such matrix, which is written over.
    """
    blocks, n_dictionary = chunks(len(dictionary), most=512, fewest=256), len(dictionary)
    gram = memory
    if memory is None or (len(memory), memory.dtype) != (n_dictionary, dictionary.dtype):
        gram = _padded(n_dictionary, n_dictionary, dictionary.dtype)
    is_symmetric = filters is dictionary

    def fill(tile):
        rows, columns = tile
        np.matmul(dictionary[rows], filters[columns].T, out=gram[tile])
        if is_symmetric and rows != columns:
            kernels.transpose(gram[tile], gram[columns, rows])

    run(fill, [(a, b) for a in blocks for b in blocks if a.start >= b.start or not is_symmetric])
    return gram


@dataclass(frozen=True)
class Coder:
    """A dictionary made ready: what every chunk of samples shares."""

    coding: Coding
    atoms: kernels.Atoms
    filters: np.ndarray  # (n_dictionary, n_pixels)
    columns: np.ndarray  # (n_pixels, n_dictionary), their transpose: rho = X @ columns
    contest: kernels.Contest

    @property
    def dictionary(self) -> np.ndarray:
        """(n_dictionary, n_pixels), unit norms."""
        return self.atoms.dictionary

    n_windows = 1  # residuals that a sample gives

    @property
    def is_signed(self) -> bool:
        """Whether coefficients may be negative."""
        return self.coding.is_signed

    def cosines(self) -> np.ndarray:
        """D D^T, (n_dictionary, n_dictionary)."""
        is_gram = self.filters is self.dictionary and self.atoms.gram.size
        if is_gram:
            return self.atoms.gram[:, : len(self.dictionary)]  # without the padding of its rows
        return self.dictionary @ self.dictionary.T

    def cut_residuals(self, batch: Batch, n_most: int) -> np.ndarray:
        """At most so many residuals of a batch, (n, n_pixels), those of weighted samples scaled so
        that their squares count as often, those of which a share p is seen by p^-1.5: two of them
        share p^2 of their entries, and a unit vector along one has grown by p^-.5.
        """
        rows, weight = batch.residual[:n_most], batch.code.weight
        if self.coding.has_gaps:
            share = np.maximum(_seen(batch)[:n_most].mean(axis=1), LEAST_SEEN)
            rows = rows * (share**-1.5).astype(rows.dtype)[:, None]
        if weight is None:
            return rows
        return rows * np.sqrt(weight[:n_most, None] / weight.mean(), dtype=rows.dtype)

    def seen_share(self, batch: Batch) -> float:
        """The share of the entries of a batch that are not missing."""
        return float(_seen(batch).mean()) if self.coding.has_gaps else 1.0

    def compete(self, competition: Competition) -> "Coder":
        """The same coder under another competition: all else, above all the Gram matrix, stays."""
        return replace(self, contest=self.coding._contest(self.atoms, competition))

    def code(self, X: np.ndarray, rho: np.ndarray | None = None) -> Events:
        """The events of one chunk of samples (n_samples, n_pixels), on this thread; their
        correlations where they are known are overwritten.
        """
        X, algorithm = np.ascontiguousarray(X, self.dictionary.dtype), self.coding.algorithm
        if algorithm in PURSUITS and self.coding.has_gaps and np.isnan(X).any():
            return self._code_seen(X)
        exponents = np.zeros((len(X), 1), int)
        if algorithm in SCALED:
            exponents = np.frexp(np.abs(X).max(axis=1, keepdims=True))[1]
            X = np.ldexp(X, -exponents)
        if algorithm not in PURSUITS:
            return _encode_with_sklearn(X, self.dictionary, self.coding, exponents)
        n_dictionary, n_pixels = self.dictionary.shape
        n_slots = self.n_slots
        if self.coding.fit_tol is not None:  # it overrides l0_sparseness
            n_slots = n_dictionary if algorithm == "mp" else min(n_pixels, n_dictionary)
        events = Events(
            np.zeros((len(X), n_slots), np.int32),
            np.zeros((len(X), n_slots), X.dtype),
            n_dictionary,
        )
        if rho is None:
            rho = _padded(len(X), n_dictionary, X.dtype)
            np.matmul(X, self.columns, out=rho[:, :n_dictionary])
        if algorithm == "mp":
            self._pursue(X, rho, events)
        else:
            self._pursue_orthogonal(X, rho, events, exponents)
        return events if self.coding.fit_tol is None else events.trim()

    def _code_seen(self, X):
        """The events of one chunk of samples, by the entries that are not NaN.

        No Gram matrix serves samples that each see other entries: each step takes as long as the
        first correlations.
        """
        n_dictionary, n_pixels = self.dictionary.shape
        n_slots, number, fit_tol = self.n_slots, X.dtype.type, self.coding.fit_tol
        if fit_tol is not None:
            n_slots = min(n_pixels, n_dictionary)
        columns = _padded(n_pixels, n_dictionary, X.dtype)
        columns[:, :n_dictionary] = self.dictionary.T
        events = Events(
            np.zeros((len(X), n_slots), np.int32),
            np.zeros((len(X), n_slots), X.dtype),
            n_dictionary,
        )
        kernels.pursue_seen(
            X,
            self.dictionary,
            columns,
            columns**2,
            self.contest.gain,
            number(LEAST_SEEN),
            number(fit_tol or 0),
            events.indices,
            events.values,
        )
        return events if fit_tol is None else events.trim()

    @property
    def n_slots(self) -> int:
        """The most events of a sample, without a tolerance."""
        return min(self.coding.l0_sparseness or len(self.dictionary), len(self.dictionary))

    def _pursue(self, X, rho, events):
        number, fit_tol = X.dtype.type, self.coding.fit_tol
        residual, n_steps = np.empty((0, 0), X.dtype), self.n_slots
        if fit_tol is not None:
            residual, n_steps = X.copy(), MOST_STEPS * X.shape[1]
        limits = kernels.Limits(
            n_steps, number(self.coding.alpha_MP), number(-1 if fit_tol is None else fit_tol)
        )
        kernels.pursue(
            rho, residual, self.atoms, self.contest, limits, events.indices, events.values
        )

    def _pursue_orthogonal(self, X, rho, events, exponents):
        energy = np.einsum("ij,ij->i", X, X)
        with np.errstate(over="ignore"):  # any energy is below an infinite tolerance
            tolerances = _unscale(self.coding.fit_tol or 0, 2 * exponents[:, 0]).astype(X.dtype)
        kernels.pursue_orthogonal(
            rho,
            self.atoms.gram,
            self.contest.gain,
            energy,
            tolerances,
            events.indices,
            events.values,
        )
        np.ldexp(events.values, exponents, out=events.values)

    def _correlate(self, X, threads):
        """Rho of all samples where they are few, (n_samples, n_padded), else None.

        Chunks of few rows would have BLAS set up the whole dictionary for each: it is cut instead.
        """
        if not 0 < len(X) <= FEW_ROWS or self.coding.algorithm != "mp":
            return None
        rho = _padded(len(X), len(self.filters), self.dictionary.dtype)
        rows, atoms = chunks(len(X), fewest=512), chunks(len(self.filters), most=512, fewest=176)

        def fill(block):
            np.matmul(X[block[0]], self.columns[:, block[1]], out=rho[block])

        threads.map(fill, [(some, part) for some in rows for part in atoms])
        return rho

    def _lay_out(self, n_samples):
        """The same coder, whose `columns` are rows in memory if there are enough samples: BLAS then
        sets up each chunk faster.
        """
        if n_samples < LAID_OUT or self.coding.algorithm not in PURSUITS:
            return self
        return replace(self, columns=np.ascontiguousarray(self.columns))

    def encode(self, X: np.ndarray, threads: Threads) -> Events:
        """The events of all samples, in fixed chunks of rows."""
        coding, coder = self.coding, self._lay_out(len(X))
        if coding.algorithm not in PURSUITS or coding.fit_tol is not None or coding.has_gaps:
            return Events.join(threads.map(lambda rows: coder.code(X[rows]), chunks(len(X))))
        indices = np.empty((len(X), self.n_slots), np.int32)
        values = np.empty((len(X), self.n_slots), self.dictionary.dtype)

        def fill(rows):
            events = coder.code(X[rows])
            indices[rows], values[rows] = events.indices, events.values

        threads.map(fill, chunks(len(X)))
        return Events(indices, values, len(self.dictionary))

    def code_batch(self, X: np.ndarray, rows: np.ndarray, threads: Threads) -> Batch:
        """The samples X[rows], their events and residuals, chunk by chunk while in cache; 0 where
        entries are missing.
        """
        dtype, shape = self.dictionary.dtype, (len(rows), X.shape[1])
        samples, residual = np.empty(shape, dtype), np.empty(shape, dtype)
        coder, parts, rho = self._lay_out(len(rows)), chunks(len(rows)), None

        def gather(chunk):
            samples[chunk] = X[rows[chunk]]

        if len(rows) <= FEW_ROWS:
            threads.map(gather, parts)
            rho = self._correlate(samples, threads)

        def code(chunk):
            if len(rows) > FEW_ROWS:
                gather(chunk)
            events = coder.code(samples[chunk], None if rho is None else rho[chunk])
            kernels.subtract_reconstruction(
                events.indices, events.values, self.dictionary, samples[chunk], residual[chunk]
            )
            if self.coding.has_gaps:
                is_missing = np.isnan(samples[chunk])
                samples[chunk][is_missing] = residual[chunk][is_missing] = 0
            return events

        return Batch(samples, Events.join(threads.map(code, parts)), residual)

    def gradient(self, batch: Batch, threads: Threads) -> np.ndarray:
        """-(A^T R) / n_samples for code A and residuals R: (n_dictionary, n_pixels)."""
        factors = np.full((len(batch.code), 1), -1 / batch.code.n_draws)
        if batch.code.weight is not None:
            factors *= batch.code.weight[:, None]
        values = batch.code.values * factors.astype(batch.residual.dtype)
        return replace(batch.code, values=values).sum_products(batch.residual, threads)


def _unscale(penalty, exponents):
    """A penalty or tolerance in the units of X, for samples that were divided by 2^exponents."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(np.float64(penalty), -exponents)


def default_sparseness(n_pixels: int, n_dictionary: int) -> int:
    """Events a sample where nothing is said: n_pixels / 10, at least 1 and at most n_dictionary."""
    return min(max(1, n_pixels // 10), n_dictionary)


def limit_sparseness(l0_sparseness, default, algorithm, fit_tol):
    """l0_sparseness; where it is None the default, or no limit where a penalty makes codes few."""
    check_choice(algorithm, "algorithm", ALGORITHMS)
    has_penalty = algorithm in PENALISED or (algorithm == "threshold" and fit_tol is not None)
    return default if l0_sparseness is None and not has_penalty else l0_sparseness


def _encode_with_sklearn(X, dictionary, coding, exponents):
    """Events of scikit-learn's coders: at most l0_sparseness atoms a sample, fit_tol as penalty or
    threshold.

    lars follows the path for l0_sparseness steps; lasso_lars also stops where the penalty reaches
    fit_tol, and both were given X divided by 2^exponents; lasso_cd, elastic and threshold solve at
    the penalty fit_tol (default: a tenth of the sample's largest correlation; no threshold) and
    keep the largest coefficients.
    """
    from sklearn.decomposition import sparse_encode as sklearn_encode

    if coding.algorithm in ("lars", "lasso_lars"):
        code = _follow_path(X, dictionary, coding, exponents[:, 0])
    elif coding.algorithm == "threshold":
        code = sklearn_encode(
            X,
            dictionary,
            algorithm="threshold",
            alpha=coding.fit_tol or 0,
            positive=coding.positive_code,
        )
    else:
        code = _descend(X, dictionary, coding)
    code = np.ascontiguousarray(code, dictionary.dtype)
    return Events.from_dense(code, coding.l0_sparseness).trim()


def _follow_path(X, dictionary, coding, exponents):
    """The code of least angle regression, or of the lasso by it."""
    from sklearn.linear_model import lars_path

    penalty, l0_sparseness = coding.fit_tol, coding.l0_sparseness
    is_lasso, least = coding.algorithm == "lasso_lars", np.zeros(len(X))
    if is_lasso and penalty is not None:
        least = _unscale(penalty, exponents) / X.shape[1]
    elif is_lasso and l0_sparseness is None:
        least = DEFAULT_PENALTY * np.abs(X @ dictionary.T).max(axis=1) / X.shape[1]
    options = {
        "method": "lasso" if is_lasso else "lar",
        "max_iter": l0_sparseness or max(500, 4 * len(dictionary)),
        "positive": coding.positive_code,
    }
    kept = _distinct(dictionary)
    code = np.zeros((len(X), len(dictionary)), X.dtype)
    for row, (x, end) in enumerate(zip(X, least, strict=True)):
        path = lars_path(dictionary[kept].T, x, alpha_min=end, **options)
        code[row, kept] = path[2][:, _end(path[0])]
    return np.ldexp(code, exponents[:, None])


def _descend(X, dictionary, coding):
    """The code of the lasso or the elastic net by coordinate descent."""
    from sklearn.linear_model import ElasticNet

    penalty, scale = coding.fit_tol, 1.0
    if penalty is None:  # of each sample scaled to a largest correlation of 1
        scale = np.abs(X @ dictionary.T).max(axis=1, keepdims=True)
        X, penalty = X / np.where(scale > 0, scale, 1), DEFAULT_PENALTY
    # Coordinate descent reaches its tolerance in double precision only.
    model = ElasticNet(
        alpha=penalty / X.shape[1],
        l1_ratio={"lasso_cd": 1.0, "elastic": 0.5}[coding.algorithm],
        fit_intercept=False,
        precompute=True,
        max_iter=10_000,
        positive=coding.positive_code,
    )
    model.fit(dictionary.T.astype(np.float64), X.T.astype(np.float64))
    return scale * np.atleast_2d(model.coef_)


def _end(alphas):
    """Index of the last good point of a path.  The correlations fall along it: where they rise,
    scikit-learn has lost it, and coefficients grow without bound.
    """
    rises = np.flatnonzero(np.diff(alphas) > 4 * np.finfo(alphas.dtype).eps * alphas[0])
    return rises[0] if rises.size else -1


def _distinct(dictionary):
    """The atoms but for those that float32 cannot tell from an earlier one, or its negative: their
    coefficients would be large, and cancel.
    """
    gram = np.abs(np.tril(dictionary.astype(np.float64) @ dictionary.T, -1))
    is_like = gram > 1 - np.finfo(np.float32).eps
    kept = np.ones(len(dictionary), bool)
    for i in np.flatnonzero(is_like.any(axis=1)):
        kept[i] = not is_like[i, kept].any()
    return np.flatnonzero(kept)


# ---------------------------------------------------------------------------------- the public edge


def check_dictionary(dictionary, dtype, n_pixels=None, name="dictionary"):
    """A dictionary (n_dictionary, n_pixels) of the dtype with rows of unit norm, or an error."""
    dictionary = check_array(dictionary, name, ndim=2, dtype=dtype, n_columns=n_pixels)
    norms = namespace(dictionary).linalg.norm(dictionary, axis=1)
    if not norms.all():
        raise ValueError(
            f"{name}: row {int(norms.argmin())} is all zeros, an atom must have a direction"
        )
    worst = int(abs(norms - 1).argmax())
    if abs(norms[worst] - 1) > 1e-3:
        raise ValueError(
            f"{name} must have rows of unit norm; row {worst} has norm {norms[worst]:.3g}"
        )
    return dictionary


def check_competition(gain, P_cum, C, n_dictionary, dtype) -> Competition:
    """A `Competition` of valid arrays, or an error that names the one that is not."""
    if gain is not None and P_cum is not None:
        raise ValueError(
            "gain and P_cum: give one of them, atoms compete either by a gain or by a table"
        )
    if gain is not None:
        gain = check_array(gain, "gain", ndim=1, dtype=dtype, shape=(n_dictionary,))
        if gain.min() < 0:
            raise ValueError(f"gain must be non-negative, its least is {gain.min():.3g}")
    if P_cum is not None:
        P_cum = check_P_cum(P_cum, "P_cum", n_dictionary, dtype=dtype)
        if C is None:
            raise ValueError(
                "C must be given with P_cum, as the scale of its coefficients: model.C_ for "
                "model.P_cum_ (competition=model.competition_ brings both)"
            )
        C = check_number(C, "C", above=0)
    return Competition(gain, P_cum, C)


def check_P_cum(P_cum, name, n_dictionary=None, nb_quant=None, dtype=None):
    """Distributions (n_dictionary, nb_quant), non-decreasing along their rows from 0 to 1."""
    P_cum = check_array(P_cum, name, ndim=2, dtype=dtype)
    wanted = (n_dictionary or len(P_cum), nb_quant or max(2, P_cum.shape[1]))
    if tuple(P_cum.shape) != wanted:
        raise ValueError(
            f"{name} must have shape (n_dictionary, nb_quant) = {wanted}, not {tuple(P_cum.shape)}"
        )
    xp = namespace(P_cum)
    if xp.diff(P_cum, axis=1).min() < -1e-6 or P_cum.min() < -1e-6 or P_cum.max() > 1 + 1e-6:
        raise ValueError(f"{name} must be non-decreasing along its rows, within [0, 1]")
    return xp.maximum.accumulate(P_cum, axis=1)


def check_precision(precision, shape, dtype, name="precision"):
    """A precision of the dictionary's shape, positive, or None."""
    if precision is None:
        return None
    precision = check_array(precision, name, ndim=2, dtype=dtype, shape=shape)
    if precision.min() <= 0:
        raise ValueError(f"{name} must be positive, its least is {precision.min():.3g}")
    return precision


def refuse_unused(algorithm, gain=None, P_cum=None, precision=None):
    """An error for a competition or precision that the algorithm would silently ignore."""
    users = {
        "gain": [name for name, kinds in HEEDED.items() if "gain" in kinds],
        "P_cum": [name for name, kinds in HEEDED.items() if "table" in kinds],
        "precision": ("mp",),
    }
    given = {"gain": gain, "P_cum": P_cum, "precision": precision}
    for name, value in given.items():
        if value is not None and algorithm not in users[name]:
            raise ValueError(
                f"{name} has no effect with algorithm={algorithm!r}: it needs "
                f"{' or '.join(users[name])}"
            )


def sparse_encode(
    X,
    dictionary,
    precision=None,
    *,
    algorithm: str = "mp",
    l0_sparseness: int | None = None,
    fit_tol: float | None = None,
    alpha_MP: float = 1.0,
    competition: Competition | None = None,
    gain=None,
    P_cum=None,
    C: float | None = None,
    do_sym: bool = False,
    positive_code: bool = False,
    missing: str = "error",
    sparse_output: bool = False,
    n_jobs: int | None = None,
) -> np.ndarray | sparse.csr_array:
    """Code samples by a few atoms each: X ~ code @ dictionary.

    Matching pursuit repeats, l0_sparseness times a sample::

        i = argmax_i z_i(rho_i);   a = alpha_MP rho_i;   code_i += a;   rho -= a G_i

    with rho = dictionary @ x, G = dictionary @ dictionary.T, and the competition
    z_i(a) = gain_i max(a, 0) or P_cum_i(1 - exp(-max(a, 0) / C)).  Ties go to the lowest index.  A
    sample ends early where no z is above 0.

    Parameters
    ----------
    X : array of shape (n_samples, n_pixels)
        Of float32 or float64 (kept; others become float64); a memory map is read in chunks.  On a
        GPU, as a CUDA tensor of PyTorch or an array of another library, so must be all other
        arrays, and is the code (extra `gpu`; 'mp' and 'omp').
    dictionary : array of shape (n_dictionary, n_pixels)
        Rows of unit norm.
    precision : array of shape (n_dictionary, n_pixels), optional
        Positive, 'mp' only.  Weights w of the pixels of each atom: n_i = sqrt(<d_i, w_i d_i>),
        rho_i = <x, w_i d_i> / n_i, a = alpha_MP rho_i / n_i.
    algorithm : str, default='mp'
        'mp', 'omp' (orthogonal, signed), or by scikit-learn and signed: 'lars', 'lasso_lars',
        'lasso_cd', 'elastic', 'threshold'.
    l0_sparseness : int, optional
        Steps of a pursuit, and the most atoms a sample uses.  None is 10, or all where they are
        fewer; of codes that a penalty or a threshold makes sparse it is no limit.
    fit_tol : float, optional
        'mp', 'omp': a sample ends when its squared residual norm is at most this, and l0_sparseness
        is not used.  'lasso_lars', 'lasso_cd', 'elastic': the penalty of the L1 norm in
        |x - code D|^2 / 2 + fit_tol |code|_1 (elastic: half of it L1, half squared); without, a
        tenth of each sample's largest correlation ('lasso_lars' with l0_sparseness: none).
        'threshold': the threshold.
    alpha_MP : float, default=1.0
        In (0, 1], 'mp' only.  Share of a coefficient that one step takes.
    competition : Competition, optional
        Gain, or table and its scale, in one, as in `model.competition_`; or, instead, of
        the next three.
    gain : array of shape (n_dictionary,), optional
        Non-negative, 'mp' and 'omp'.
    P_cum : array of shape (n_dictionary, nb_quant), optional
        Non-decreasing rows in [0, 1], 'mp' only; needs C.
    C : float, optional
        Scale of coefficients in the table P_cum.
    do_sym : bool, default=False
        'mp' only.  True lets coefficients be negative: z is applied to |rho|.
    positive_code : bool, default=False
        True keeps coefficients from being negative: 'lasso_lars', 'lasso_cd', 'elastic',
        'threshold', and 'mp', where they are not without do_sym; 'omp' and 'lars' cannot.
    missing : str, default='error'
        'mask' lets NaN mark missing entries, 'omp' only: a sample is coded by those that it has,
        to fit_tol times their share.  It takes several times as long.
    sparse_output : bool, default=False
        True returns a SciPy CSR array.
    n_jobs : int, optional
        Threads; None is 1, -1 all cores.  The result has the same bits for any number.

    Returns
    -------
    code : array or CSR array of shape (n_samples, n_dictionary)
        Of X's dtype.

    Raises
    ------
    ValueError, TypeError
        Naming the parameter, its value and its range.

    References
    ----------
    Mallat & Zhang (1993), IEEE Trans. Signal Process. 41(12), eq. 14-20; Perrinet (2010), Neural
    Computation 22(7).

    Examples
    --------
    >>> import numpy as np
    >>> sparse_encode(np.array([[0.0, 2.0]]), np.eye(2), l0_sparseness=1)
    array([[0., 2.]])
    """
    check_choice(algorithm, "algorithm", ALGORITHMS)
    check_choice(missing, "missing", MISSING)
    given, X = X, check_array(X, "X", ndim=2, allows_nan=missing == "mask")
    dictionary = check_dictionary(dictionary, X.dtype, X.shape[1])
    default = min(DEFAULT_SPARSENESS, len(dictionary))
    l0_sparseness = limit_sparseness(l0_sparseness, default, algorithm, fit_tol)
    coding = Coding(algorithm, l0_sparseness, fit_tol, alpha_MP, do_sym, positive_code, missing)
    coding.check_fits(len(dictionary))
    if competition is not None:
        if not isinstance(competition, Competition):
            raise TypeError(f"competition must be a Competition, not {competition!r}")
        if gain is not None or P_cum is not None or C is not None:
            raise ValueError("competition brings gain, P_cum and C: give it or them, not both")
        gain, P_cum, C = competition.gain, competition.P_cum, competition.C
    refuse_unused(algorithm, gain, P_cum, precision)
    competition = check_competition(gain, P_cum, C, len(dictionary), X.dtype)
    precision = check_precision(precision, dictionary.shape, X.dtype)
    check_flag(sparse_output, "sparse_output")
    most = float(namespace(X).finfo(X.dtype).max)
    has_squares = algorithm not in SCALED and (algorithm != "mp" or fit_tol is not None)
    check_magnitude(X, "X", (most**0.5 if has_squares else most / 8) / X.shape[1])
    with Threads(n_jobs) as threads:
        events = coding.prepare(dictionary, competition, precision, threads).encode(X, threads)
    code = events.to_csr() if sparse_output else events.to_dense()
    return like(code, given)
