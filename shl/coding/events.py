"""What a sparse code is: events, a few for each sample."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import sparse

from .._base.arrays import namespace
from .._base.checks import check_count, check_memory, check_sparse
from .._base.threads import chunks
from . import kernels

CACHED_ROWS = 512  # of samples, that are summed by atom while they are in a second-level cache


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
    exponent : int, default=0
        The coefficients are 2^exponent times the values: learning scales samples.  Power sums are
        of the values.  Means, and the scale C of quantiles, are of the coefficients.
    """

    indices: np.ndarray
    values: np.ndarray
    n_dictionary: int
    weight: np.ndarray | None = None
    exponent: int = 0

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.indices)

    @property
    def n_draws(self) -> float:
        """Of how many draws `counts` counts the successes: each sample uses an atom or not."""
        if self.weight is None:
            return len(self)
        return float(self.weight.sum(dtype=namespace(self.weight).float64))

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
        used = self.values != 0
        return self._count(self.indices[used], used, self.n_dictionary)

    def _count(self, places, used, n_places):
        """How often each place occurs among the used slots, or the weight of its samples."""
        if self.weight is None:
            return np.bincount(places, minlength=n_places)
        counts = np.bincount(places, self._weights(used), n_places)
        return counts.astype(np.float64)  # NumPy's are int64 if nothing is used

    def _weights(self, used):
        """The weight of the sample of each used slot."""
        return np.broadcast_to(np.asarray(self.weight)[:, None], used.shape)[used]

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
            mean = self.values[used].mean(dtype=np.float64)
        else:
            mean = np.average(self.values[used].astype(float), weights=self._weights(used))
        return float(np.ldexp(mean, self.exponent))

    def count_quantiles(self, C: float, n_bins: int) -> np.ndarray:
        """Samples whose 1 - exp(-max(a, 0) / C) falls in each of n_bins equal bins of [0, 1],
        (n_dictionary, n_bins) int64, float64 with weights; an atom that a sample does not use
        counts in the first.
        """
        self.check()
        used = self.values != 0
        C = np.ldexp(C, -self.exponent)
        ratio = 1 - np.exp(-np.maximum(self.values[used].astype(np.float64), 0) / C)
        bins = np.minimum((ratio * n_bins).astype(np.int64), n_bins - 1)
        places = self.indices[used] * np.int64(n_bins) + bins
        counts = self._count(places, used, self.n_dictionary * n_bins)
        counts = counts.reshape(self.n_dictionary, n_bins)
        counts[:, 0] += self.n_draws - counts.sum(axis=1)
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
        C = float(np.ldexp(C, -self.exponent))
        kernels.follow_quantiles(self.indices, self.values, C, rate, P_cum, moved)
        return moved

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

    def sum_products(self, rows: np.ndarray, threads: Any) -> np.ndarray:
        """Return A^T rows for the code A and rows (n_samples, n_pixels), (n_dictionary, n_pixels).

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
                kernels.accumulate(events, rows[part], atoms.start, atoms.stop, total)

        threads.map(add, chunks(self.n_dictionary))
        return total

    def sum_squares(self, rows: np.ndarray, threads: Any) -> np.ndarray:
        """The sum of rows_n^2 over the samples n that use each atom, (n_dictionary, n_pixels)."""
        values = (self.values != 0).astype(rows.dtype)
        return replace(self, values=values).sum_products(rows * rows, threads)

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """The events of several chunks in order, each padded to the most slots among them."""
        if len(parts) == 1:
            return parts[0]
        shape = sum(map(len, parts)), max(part.values.shape[1] for part in parts)
        xp, first = namespace(parts[0].values), 0
        indices = xp.zeros_like(parts[0].indices, shape=shape)
        values = xp.zeros_like(parts[0].values, shape=shape)
        for part in parts:
            place = slice(first, first + len(part)), slice(part.values.shape[1])
            indices[place], values[place] = part.indices, part.values
            first += len(part)
        return cls(indices, values, parts[0].n_dictionary)

    @classmethod
    def from_dense(cls, code: Any, l0_sparseness: int | None = None) -> "Events":
        """The events of a dense or CSR code; with l0_sparseness, each sample's largest alone."""
        if sparse.issparse(code):
            code = check_sparse(code, "code").toarray()
        most = int((code != 0).sum(axis=1).max(initial=0))
        n_slots = max(1, most if l0_sparseness is None else min(l0_sparseness, code.shape[1]))
        order = np.argsort(-np.abs(code), axis=1, kind="stable")[:, :n_slots].astype(np.int32)
        values = np.take_along_axis(code, order, axis=1)
        return cls(np.where(values != 0, order, np.int32(0)), values, code.shape[1])

    def part(self, rows: slice) -> "Events":
        """Return the events of some samples, as views of the same memory."""
        return replace(self, indices=self.indices[rows], values=self.values[rows])

    def trim(self) -> "Events":
        """The same events without the slots that no sample uses."""
        n_slots = max(1, int((self.values != 0).sum(axis=1).max(initial=0)))
        return replace(
            self, indices=self.indices[:, :n_slots].copy(), values=self.values[:, :n_slots].copy()
        )


class Batch(NamedTuple):
    """Samples, their code, and what it leaves of them."""

    samples: Any  # an array, or in convolution perhaps `Images`
    code: Any  # `Events`, or what has its sums
    residual: Any  # as samples


def seen_entries(batch):
    """Where samples have entries: where they miss one, sample and residual are 0."""
    return (batch.samples != 0) | (batch.residual != 0)
