"""Coders: how samples are coded, and a dictionary made ready for it.

A `Coding` (what the user chose) turns a dictionary and a `Competition` into a `Coder` (filters,
Gram matrix, bounds), which runs over fixed chunks of rows.

`shl.learning` asks the same of patches, here, and of images, in `shl.convolution.coding`:

    prepare(coding, dictionary, competition, precision, threads, former)    a coder
    coder.compete(competition)                      the same under another competition
    coder.code_batch(X, rows, threads)              a `Batch`: samples, their code, their residuals
    coder.gradient(batch, threads)                  of the dictionary's shape
    coder.cosines(), coder.is_signed                between atoms, for `shl.learning`
    coder.cut_residuals(batch, n_most)              rows of the size of an atom, n_windows a sample
    coder.seen_share(batch)                         of the entries of its samples, 1 without gaps
    coder.n_averaged(batch)                         number of samples that `gradient` averages
    code.counts(), code.power_sums(k)               (n_dictionary,): events, sums of value^k
    code.n_draws                                    what counts are probabilities of
    code.count_quantiles(C, n_bins)                 (n_dictionary, n_bins); patches alone
    code.follow_quantiles(P_cum, C, rate)           P_cum after a batch; patches alone
    code.mean_positive()                            of coefficients above 0; patches alone
    code.count_pairs()                              (n_dictionary, n_dictionary); patches alone
    code.weight                                     (n_samples,), or None: each sample counts once
"""

from dataclasses import dataclass, replace

import numpy as np

from .._base.threads import Threads, chunks, map_serially
from . import kernels
from .competition import PLAIN, Competition
from .events import Batch, Events, seen_entries
from .gram import gram_matrix, padded_rows
from .parameters import PURSUITS, SCALED, Coding
from .solvers import encode_with_sklearn, unscale

# Of matching pursuit to a tolerance, for each pixel: a guard, not a limit one meets.
MOST_STEPS = 100
# Of an atom's squared norm, for it to be chosen by the entries that are seen of a sample.
LEAST_SEEN = 0.05
FEW_ROWS = 1024  # samples: up to as many are correlated atoms by atoms
LAID_OUT = 1024  # samples for which it pays to lay out the dictionary's transpose


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
            share = np.maximum(seen_entries(batch)[:n_most].mean(axis=1), LEAST_SEEN)
            rows = rows * (share**-1.5).astype(rows.dtype)[:, None]
        if weight is None:
            return rows
        return rows * np.sqrt(weight[:n_most, None] / weight.mean(), dtype=rows.dtype)

    def seen_share(self, batch: Batch) -> float:
        """The share of the entries of a batch that are not missing."""
        return float(seen_entries(batch).mean()) if self.coding.has_gaps else 1.0

    def n_averaged(self, batch: Batch) -> float:
        """Return the number of samples that `gradient` averages, each as often as its weight."""
        return float(batch.code.n_draws)

    def compete(self, competition: Competition) -> "Coder":
        """The same coder under another competition: all else, above all the Gram matrix, stays."""
        return replace(self, contest=make_contest(self.coding, self.atoms, competition))

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
            return encode_with_sklearn(X, self.dictionary, self.coding, exponents)
        events = self._no_events(len(X))
        if rho is None:
            rho = padded_rows(len(X), len(self.filters), X.dtype)
            np.matmul(X, self.columns, out=rho[:, : len(self.filters)])
        if algorithm == "mp":
            self._pursue(X, rho, events)
        else:
            self._pursue_orthogonal(X, rho, events, exponents)
        return events if self.coding.fit_tol is None else events.trim()

    def _no_events(self, n_samples):
        """Empty slots for the events of so many samples."""
        shape, (n_dictionary, n_pixels) = (n_samples, self.n_slots), self.dictionary.shape
        if self.coding.fit_tol is not None:  # it overrides l0_sparseness
            most = n_dictionary if self.coding.algorithm == "mp" else min(n_pixels, n_dictionary)
            shape = n_samples, most
        values = np.zeros(shape, self.dictionary.dtype)
        return Events(np.zeros(shape, np.int32), values, n_dictionary)

    def _code_seen(self, X):
        """The events of one chunk of samples, by the entries that are not NaN.

        No Gram matrix serves samples that each see other entries: each step takes as long as the
        first correlations.
        """
        n_dictionary, n_pixels = self.dictionary.shape
        number, fit_tol = X.dtype.type, self.coding.fit_tol
        columns, events = padded_rows(n_pixels, n_dictionary, X.dtype), self._no_events(len(X))
        columns[:, :n_dictionary] = self.dictionary.T
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
            tolerances = unscale(self.coding.fit_tol or 0, 2 * exponents[:, 0]).astype(X.dtype)
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
        rho = padded_rows(len(X), len(self.filters), self.dictionary.dtype)
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
        coder = self._lay_out(len(X))
        return Events.join(threads.map(lambda rows: coder.code(X[rows]), chunks(len(X))))

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


def make_coder(
    coding, dictionary, competition=PLAIN, precision=None, threads=None, former=None
) -> "Coder":
    """A `Coder` for a validated dictionary: its filters w d / n, Gram matrix and bounds.

    It takes over the memory of the Gram matrix of a former coder, whose use is over: new pages
    for a large one take as long as a sixth of its products.

    With a precision w: n_i = sqrt(<d_i, w_i d_i>), rho_i = <x, w_i d_i> / n_i and
    gram_ij = <d_i, w_j d_j> / n_j.
    """
    # One layout, one compiled form of each kernel.
    dictionary = np.require(dictionary, requirements=("C", "A", "W"))
    filters, scale = dictionary, np.ones(len(dictionary), dictionary.dtype)
    if precision is not None:
        filters = precision * dictionary
        scale = 1 / np.sqrt(np.einsum("ij,ij->i", filters, dictionary))
        filters = filters * scale[:, None]
    gram = np.empty((0, 0), dictionary.dtype)
    if coding.algorithm in PURSUITS:
        run = map_serially if threads is None else threads.map
        gram = gram_matrix(dictionary, filters, run, None if former is None else former.atoms.gram)
    atoms = kernels.Atoms(dictionary, gram, scale)
    return Coder(coding, atoms, filters, filters.T, make_contest(coding, atoms, competition))


def make_contest(coding, atoms, competition):
    """What the kernels need of a competition, with the bounds of a table."""
    coding.check_heeds(competition)
    n_dictionary, dtype = atoms.dictionary.shape[0], atoms.dictionary.dtype
    gain = padded_rows(1, n_dictionary, dtype)[0]
    if competition.kind != "table":
        gain[:n_dictionary] = 1 if competition.gain is None else competition.gain
        no_table, no_bounds = np.empty((n_dictionary, 0), dtype), np.empty((0, 0), dtype)
        levels = np.empty(0, dtype)
        return kernels.Contest(gain, no_table, dtype.type(1), levels, no_bounds, coding.do_sym)
    P_cum = np.require(competition.P_cum, dtype, ("C", "A", "W"))
    levels = np.empty(P_cum.shape[1], dtype)
    bounds = padded_rows(len(levels), n_dictionary, dtype)
    bounds[:, n_dictionary:] = np.inf
    kernels.bound_scores(P_cum, competition.C, gain, levels, bounds)
    return kernels.Contest(gain, P_cum, dtype.type(competition.C), levels, bounds, coding.do_sym)
