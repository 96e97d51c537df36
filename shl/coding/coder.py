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

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._base.arrays import astype, namespace, to_host
from .._base.threads import Threads, chunks, map_serially
from .._base.warning import warn_user
from . import kernels
from .competition import PLAIN, Competition
from .events import Batch, Events, seen_entries
from .gram import gram_matrix, padded_rows
from .parameters import PURSUITS, Coding
from .solvers import encode_with_sklearn, unscale

# Of matching pursuit to a tolerance, for each pixel, where alpha_MP is 1.
MOST_STEPS = 300
# Of an atom's squared norm, for it to be chosen by the entries that are seen of a sample.
LEAST_SEEN = 0.05
# Squared norm of what is new in an atom, at which orthogonal pursuit ends: coefficients that would
# cancel are then at most 3e5 times the residual.
DEPENDENT = 1e-11
LOST = 2.0**13  # share of its energy, in eps, below which an energy is not known well enough
HUGE = 100  # times the energy of a sample: the squares of its coefficients
HARMLESS = 1e-4  # share that rounding may add to a squared residual
# Exponents of samples that are not scaled, by the bytes of a number: a fifth of all.
SAFE = {4: 25, 8: 204}
FEW_ROWS = 1024  # samples: up to as many are correlated atoms by atoms
LAID_OUT = 1024  # samples for which it pays to lay out the dictionary's transpose


class PatchCoder:
    """What coders of patches share, whatever library their arrays are of."""

    coding: Coding
    dictionary: Any  # (n_dictionary, n_pixels)
    n_windows = 1  # residuals that a sample gives

    @property
    def is_signed(self) -> bool:
        """Whether coefficients may be negative."""
        return self.coding.is_signed

    def seen_share(self, batch: Batch) -> float:
        """The share of the entries of a batch that are not missing."""
        return float(seen_entries(batch).mean()) if self.coding.has_gaps else 1.0

    def cut_residuals(self, batch: Batch, n_most: int) -> Any:
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
        return rows * namespace(rows).sqrt(weight[:n_most, None] / weight.mean())

    @property
    def n_slots(self) -> int:
        """The most events of a sample."""
        n_dictionary, n_pixels = self.dictionary.shape
        if self.coding.fit_tol is None:
            return min(self.coding.l0_sparseness or n_dictionary, n_dictionary)
        return n_dictionary if self.coding.algorithm == "mp" else min(n_pixels, n_dictionary)

    @property
    def n_steps(self) -> int:
        """The most steps of matching pursuit."""
        if self.coding.fit_tol is None:
            return self.n_slots
        return math.ceil(MOST_STEPS * self.dictionary.shape[1] / self.coding.alpha_MP)

    def n_averaged(self, batch: Batch) -> float:
        """Return the number of samples that `gradient` averages, each as often as its weight."""
        return float(batch.code.n_draws)

    def _join(self, parts):
        """Return the events of all chunks, and warn if samples miss their tolerance."""
        events, n_unfinished = zip(*parts, strict=True)
        if n := sum(n_unfinished):
            warn_user(self._describe(f"{n} of {sum(map(len, events))} samples"))
        return type(events[0]).join(events)

    def _describe(self, samples):
        """What a warning says of samples whose code is not what was asked for."""
        algorithm, fit_tol = self.coding.algorithm, self.coding.fit_tol
        if algorithm not in PURSUITS:
            return (
                f"{samples} have a code whose {algorithm!r} objective is not the minimum: its "
                f"solvers did not converge. Use a larger fit_tol, or scaled samples."
            )
        why = {
            "mp": f"'mp' ended them after {self.n_steps} steps. Use the algorithm 'omp'",
            "omp": "atoms are nearly dependent. Use more atoms, or float64",
        }[algorithm]
        return f"{samples} did not reach fit_tol = {fit_tol:.3g}: {why}, or a larger fit_tol."


@dataclass(frozen=True)
class Coder(PatchCoder):
    """A dictionary made ready: what every chunk of samples shares."""

    coding: Coding
    atoms: kernels.Atoms
    filters: np.ndarray  # (n_dictionary, n_pixels)
    columns: np.ndarray  # (n_pixels, n_dictionary), their transpose: rho = X @ columns
    contest: kernels.Contest
    by_pixel: dict = field(default_factory=dict)  # of each dtype, what `pursue_seen` takes

    @property
    def dictionary(self) -> np.ndarray:
        """(n_dictionary, n_pixels), unit norms."""
        return self.atoms.dictionary

    def cosines(self) -> np.ndarray:
        """D D^T, (n_dictionary, n_dictionary)."""
        is_gram = self.filters is self.dictionary and self.atoms.gram.size
        if is_gram:
            return self.atoms.gram[:, : len(self.dictionary)]  # without the padding of its rows
        return self.dictionary @ self.dictionary.T

    def compete(self, competition: Competition) -> "Coder":
        """The same coder under another competition: all else, above all the Gram matrix, stays."""
        return replace(self, contest=make_contest(self.coding, self.atoms, competition))

    def scale(self, X: Any) -> Any:
        """Return samples divided by powers of two, which is exact, and the exponents
        (n_samples, 1).

        Pursuits leave samples whose squares, and the squares of what is left of them, are in the
        range of the dtype.  With a table, samples are divided as its scale C is.
        """
        X = np.ascontiguousarray(X, self.dictionary.dtype)
        most, exponents = SAFE[X.itemsize], np.zeros((len(X), 1), int)
        is_pursuit, squares = self.coding.algorithm in PURSUITS, np.empty(len(X), X.dtype)
        kernels.sum_squares(X, squares)
        is_safe = (squares > 2.0 ** (-2 * most)) & (squares < 2.0 ** (2 * most))
        if is_pursuit and self.contest.exponent == 0 and is_safe.all():
            return X, exponents
        size = np.nan_to_num(np.fmax.reduce(np.abs(X), axis=1))
        exponents[:, 0] = np.frexp(size)[1]
        if self.contest.has_table:  # far above C, all quantiles are 1 at any scale
            exponents = np.maximum(self.contest.exponent, exponents - most)
        elif is_pursuit:
            exponents[np.abs(exponents) <= most] = 0
        return (np.ldexp(X, -exponents) if exponents.any() else X), exponents

    def code(
        self,
        X: np.ndarray,
        exponents: np.ndarray,
        rho: np.ndarray | None = None,
        first: int = 0,
        slots: Events | None = None,
    ) -> tuple[Events, int]:
        """Return the events of one chunk of samples (n_samples, n_pixels), coded on this thread,
        and how many of these are not coded as asked (see `_describe`).

        Samples come from `scale`.  Known correlations are overwritten.  Errors count samples from
        `first` on.  Events fill the empty slots, if there are any.
        """
        algorithm = self.coding.algorithm
        if algorithm not in PURSUITS:
            events, n_lost = encode_with_sklearn(X, self.dictionary, self.coding, exponents[:, 0])
            _unscale(events, exponents, first)
            return events, n_lost
        events = self._no_events(len(X)) if slots is None else slots
        tolerances = np.empty(0)
        if self.coding.fit_tol is not None:
            tolerances = unscale(self.coding.fit_tol, 2 * exponents[:, 0])
        if algorithm == "mp":
            n_unfinished = self._pursue(X, rho, tolerances, events)
        else:
            n_unfinished = self._pursue_orthogonal(X, tolerances, events)
        _unscale(events, exponents, first)
        return (events.trim() if tolerances.size else events), n_unfinished

    def _correlate_chunk(self, X):
        """Rho of one chunk, (n_samples, n_padded)."""
        rho = padded_rows(len(X), len(self.filters), X.dtype)
        np.matmul(X, self.columns, out=rho[:, : len(self.filters)])
        return rho

    def _no_events(self, n_samples):
        """Empty slots for the events of so many samples."""
        shape, dtype = (n_samples, self.n_slots), self.dictionary.dtype
        return Events(np.zeros(shape, np.int32), np.zeros(shape, dtype), len(self.dictionary))

    def _pursue(self, X, rho, tolerances, events):
        """Fill events by matching pursuit; return how many samples miss their tolerance."""
        rho = self._correlate_chunk(X) if rho is None else rho
        residual = X.copy() if tolerances.size else np.empty((0, 0), X.dtype)
        return kernels.pursue(
            rho,
            residual,
            self.atoms,
            self.contest,
            self.n_steps,
            X.dtype.type(self.coding.alpha_MP),
            tolerances,
            events.indices,
            events.values,
        )

    def _pursue_orthogonal(self, X, tolerances, events):
        """Fill events by the Gram matrix, and again in float64 where that loses too many digits;
        return how many samples miss their tolerance.

        No Gram matrix serves samples that each see other entries.
        """
        has_tolerance = tolerances.size > 0
        tolerances = tolerances if has_tolerance else np.zeros(len(X))
        whole, is_cut, share = X, np.zeros(len(X), bool), 1.0
        start, least = np.empty(len(X), X.dtype), np.empty(len(X))
        if self.coding.has_gaps:
            is_missing = np.isnan(X)
            is_cut, share = is_missing.any(axis=1), 1 - is_missing.mean(axis=1)
            whole = np.where(is_missing, X.dtype.type(0), X) if is_cut.any() else X
        kernels.sum_squares(whole, start)
        energy = np.where(is_cut, 0, start.astype(np.float64))  # 0: those end at once
        if not is_cut.all():
            kernels.pursue_orthogonal(
                self._correlate_chunk(whole),
                self.atoms.gram,
                self.contest.gain,
                energy,
                tolerances,
                least,
                events.indices,
                events.values,
            )
        if is_cut.any():
            energy[is_cut], least[is_cut] = self._pursue_by_atoms(X, tolerances, events, is_cut)
        is_left = is_doubtful(events.values, start, energy, least, has_tolerance)
        if X.dtype == np.float64:
            is_left &= ~is_cut
        if is_left.any():
            exact = self._pursue_by_atoms(X.astype(np.float64), tolerances, events, is_left)
            energy[is_left], least[is_left] = exact
        if not has_tolerance:
            return 0
        return count_missed(X, events, self.dictionary, start, energy, least, tolerances * share)

    def _pursue_by_atoms(self, X, tolerances, events, rows):
        """Fill the events of some rows by the atoms themselves, in the dtype of X."""
        (n_dictionary, n_pixels), dtype = self.dictionary.shape, X.dtype
        gain = padded_rows(1, n_dictionary, dtype)[0]
        gain[:n_dictionary] = self.contest.gain[:n_dictionary]
        if dtype not in self.by_pixel:
            columns = padded_rows(n_pixels, n_dictionary, dtype)
            columns[:, :n_dictionary] = self.dictionary.T
            self.by_pixel[dtype] = self.dictionary.astype(dtype, copy=False), columns, columns**2
        indices = np.zeros_like(events.indices[rows])
        values, (energy, least) = np.zeros(indices.shape, dtype), np.empty((2, len(indices)))
        dependent = max(DEPENDENT, n_pixels * np.finfo(dtype).eps)
        atoms, columns, squares = self.by_pixel[dtype]
        kernels.pursue_seen(
            X if rows.all() else X[rows],
            atoms,
            columns,
            squares,
            gain,
            (dtype.type(LEAST_SEEN), dtype.type(dependent)),
            tolerances[rows],
            energy,
            least,
            indices,
            values,
        )
        events.indices[rows], events.values[rows] = indices, values
        return energy, least

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
        coder, has_slots = self._lay_out(len(X)), self.coding.fit_tol is None
        whole = self._no_events(len(X) if has_slots else 0)

        def code(rows):
            slots = whole.part(rows) if has_slots else None
            return coder.code(*coder.scale(X[rows]), first=rows.start, slots=slots)

        parts = threads.map(code, chunks(len(X)))
        is_filled = has_slots and self.coding.algorithm in PURSUITS
        return whole if is_filled else self._join(parts)

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
            scaled, exponents = self.scale(samples)
            rho = self._correlate(scaled, threads)

        def code(chunk):
            if len(rows) > FEW_ROWS:
                gather(chunk)
                given = coder.scale(samples[chunk])
            else:
                given = scaled[chunk], exponents[chunk], None if rho is None else rho[chunk]
            events, n_unfinished = coder.code(*given, first=chunk.start)
            kernels.subtract_reconstruction(
                events.indices, events.values, self.dictionary, samples[chunk], residual[chunk]
            )
            if self.coding.has_gaps:
                is_missing = np.isnan(samples[chunk])
                samples[chunk][is_missing] = residual[chunk][is_missing] = 0
            return events, n_unfinished

        return Batch(samples, self._join(threads.map(code, parts)), residual)

    def gradient(self, batch: Batch, threads: Threads) -> np.ndarray:
        """-(A^T R) / n_samples for code A and residuals R: (n_dictionary, n_pixels)."""
        factors = np.full((len(batch.code), 1), -1 / batch.code.n_draws)
        if batch.code.weight is not None:
            factors *= batch.code.weight[:, None]
        values = batch.code.values * factors.astype(batch.residual.dtype)
        return replace(batch.code, values=values).sum_products(batch.residual, threads)


def is_doubtful(values, start, energy, least, has_tolerance):
    """Return which samples orthogonal pursuit by a Gram matrix may have coded too inexactly.

    values are coefficients (n_samples, n_slots); start and energy the squared norms of samples and
    residuals; least the smallest pivots p.  The pursuit updates energies, whose error is about
    eps start, and correlations: their error adds about n_slots eps^2 |values|^2 / p to the squared
    residual (Golub & Van Loan 2013, section 5.3.8, for normal equations).
    """
    eps = float(namespace(values).finfo(values.dtype).eps)
    lost = values.shape[1] * eps**2 * (values * values).sum(axis=1)
    floor = LOST * eps * start
    is_lost = lost > HARMLESS * least * namespace(values).maximum(energy, LOST * eps * floor)
    if has_tolerance or values.itemsize == 4:
        is_lost |= (energy < floor) & (start > 0)
    return is_lost


def count_missed(X, events, dictionary, start, energy, least, tolerances):
    """Return how many samples X of orthogonal pursuit miss their tolerance; other arguments are
    those of `is_doubtful`.

    The atoms that are left may depend on those selected.  Or coefficients are so large that to
    round them to their dtype leaves more: there the energy of the residual is computed again.
    """
    xp, values = namespace(X), events.values
    squares, eps = (values * values).sum(axis=1), float(xp.finfo(values.dtype).eps)
    is_rough = (tolerances > 0) & (eps**2 * squares > 0.05 * tolerances) & (squares > HUGE * start)
    for n in np.flatnonzero(to_host(is_rough)):
        atoms = astype(dictionary[events.indices[n]], xp.float64)
        energy[n] = xp.nansum((X[n] - astype(values[n], xp.float64) @ atoms) ** 2)
    is_missed = is_rough & (energy > 1.05 * tolerances)
    return int((is_missed | ((energy > tolerances) & (least == 0))).sum())


def _unscale(events, exponents, first):
    """Multiply the values of samples that were divided by 2^exponents, in place."""
    if not exponents.any():
        return
    with np.errstate(over="ignore", under="ignore"):
        values = np.ldexp(events.values, exponents)
    if not np.isfinite(values).all() and np.isfinite(events.values).all():
        n, slot = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"X: sample {first + n} has a coefficient of {events.values[n, slot]:.3g} x "
            f"2^{exponents[n, 0]}, which {values.dtype} cannot hold. Divide X by a power of two."
        )
    events.values[:] = values


def make_coder(
    coding: Coding,
    dictionary: Any,
    competition: Competition = PLAIN,
    precision: Any = None,
    threads: Any = None,
    former: Any = None,
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


def split_scale(C, dtype):
    """Return C divided by a power of two, and the exponent, which is 0 for moderate scales."""
    mantissa, exponent = np.frexp(C)
    is_moderate = abs(exponent) <= SAFE[np.dtype(dtype).itemsize]
    return (float(C), 0) if is_moderate else (float(mantissa), int(exponent))


def make_contest(coding, atoms, competition):
    """What the kernels need of a competition, with the bounds of a table."""
    coding.check_heeds(competition)
    n_dictionary, dtype = atoms.dictionary.shape[0], atoms.dictionary.dtype
    gain, is_signed = padded_rows(1, n_dictionary, dtype)[0], coding.do_sym
    if competition.kind != "table":
        gain[:n_dictionary] = 1 if competition.gain is None else competition.gain
        no_table, no_bounds = np.empty((n_dictionary, 0), dtype), np.empty((0, 0), dtype)
        levels = np.empty(0, dtype)
        return kernels.Contest(gain, no_table, dtype.type(1), levels, no_bounds, is_signed)
    P_cum = np.require(competition.P_cum, dtype, ("C", "A", "W"))
    levels = np.empty(P_cum.shape[1], dtype)
    bounds = padded_rows(len(levels), n_dictionary, dtype)
    bounds[:, n_dictionary:] = np.inf
    C, exponent = split_scale(competition.C, dtype)
    kernels.bound_scores(P_cum, C, gain, levels, bounds)
    return kernels.Contest(gain, P_cum, dtype.type(C), levels, bounds, is_signed, exponent)
