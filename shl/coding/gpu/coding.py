"""Sparse coding on a GPU: the counterpart of `shl.coding.Coder`, on tensors."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..._base.arrays import host_dtype
from ..coder import DEPENDENT, SAFE, PatchCoder, count_missed, is_doubtful, split_scale
from ..competition import PLAIN, Competition
from ..events import Batch
from ..kernels import Contest
from ..parameters import PURSUITS, Coding
from . import kernels
from .events import DeviceEvents
from .launching import (
    ITEMS_OF_THREAD,
    check_device,
    count_blocks,
    count_threads,
    launch,
    split_atoms,
    total_memory,
)

CHUNK_BYTES = 2**29  # of the correlations and events of the samples that are coded at once


def make_device_coder(
    coding: Coding,
    dictionary: torch.Tensor,
    competition: Competition = PLAIN,
    precision: torch.Tensor | None = None,
) -> "DeviceCoder":
    """Return the `DeviceCoder` of a dictionary on a GPU, as `shl.coding.coder.make_coder`.

    Raises
    ------
    ValueError
        For a coder that is not there, and arrays of other devices.
    """
    if coding.algorithm not in PURSUITS or coding.has_gaps:
        what = "missing='mask'" if coding.has_gaps else f"algorithm={coding.algorithm!r}"
        raise ValueError(
            f"{what} is not possible for arrays on a GPU. Use 'mp' or 'omp', without "
            "missing values."
        )
    arrays = {"gain": competition.gain, "P_cum": competition.P_cum, "precision": precision}
    for name, array in arrays.items():
        if array is not None:
            check_device(array, name, dictionary.device)
    dictionary = dictionary.contiguous()
    filters, scale = dictionary, dictionary.new_ones(len(dictionary))
    if precision is not None:
        filters = precision * dictionary
        scale = 1 / torch.sqrt((filters * dictionary).sum(dim=1))
        filters = filters * scale[:, None]
    contest = make_contest(coding, dictionary, competition)
    return DeviceCoder(coding, dictionary, filters, scale, contest)


def make_contest(coding: Coding, dictionary: torch.Tensor, competition: Competition) -> Contest:
    """What the kernels need of a competition, with the bounds of a table."""
    coding.check_heeds(competition)
    n_dictionary, none = len(dictionary), dictionary.new_zeros((1, 1))
    if competition.kind != "table":
        gain = competition.gain
        gain = dictionary.new_ones(n_dictionary) if gain is None else gain.contiguous()
        return Contest(gain, none, 1.0, none[0], none, coding.do_sym)
    P_cum = competition.P_cum.to(dictionary.dtype).contiguous()
    nb_quant, scalar = P_cum.shape[1], host_dtype(P_cum).type
    C, exponent = split_scale(competition.C, scalar)
    levels = P_cum.mean(dim=0, dtype=torch.float64)
    levels[0] = 0
    levels = levels.to(P_cum.dtype)
    knots = -C * np.log(1 - np.arange(nb_quant) / nb_quant)
    gain, bounds = P_cum.new_empty(n_dictionary), P_cum.new_empty((nb_quant, n_dictionary))
    eps, least = np.finfo(scalar).eps, np.nextafter(scalar(0), scalar(1))
    n_threads = count_threads(n_dictionary)
    launch(
        kernels.bound_scores,
        -(-n_dictionary // n_threads),
        n_threads,
        P_cum,
        scalar(C),
        torch.from_numpy(knots).to(P_cum.device),
        levels,
        float(eps),
        least,
        gain,
        bounds,
    )
    levels[1:] += 8 * float(eps)
    return Contest(gain, P_cum, C, levels, bounds, coding.do_sym, exponent)


@dataclass(frozen=True)
class DeviceCoder(PatchCoder):
    """A dictionary made ready, as `shl.coding.Coder`, on a GPU."""

    coding: Coding
    dictionary: torch.Tensor  # (n_dictionary, n_pixels), unit norms
    filters: torch.Tensor  # (n_dictionary, n_pixels): rho = X @ filters.T
    scales: torch.Tensor  # (n_dictionary,): value of an event / rho
    contest: Contest

    _gram: dict = field(default_factory=dict)  # kept for coders under other competitions

    @property
    def gram(self) -> torch.Tensor:
        """What one unit of an atom takes off every rho, (n_dictionary, n_dictionary)."""
        if not self.has_room:
            raise ValueError(
                f"dictionary has {len(self.dictionary)} atoms, and their Gram matrix does "
                f"not fit on {self.dictionary.device}. Use 'mp' without replacement and "
                "records, which does not need it."
            )
        if not self._gram:
            self._gram["gram"] = self.dictionary @ self.filters.T
        return self._gram["gram"]

    @property
    def has_room(self) -> bool:
        """Whether the Gram matrix fits on the device, with as much again for all else."""
        n_bytes = self.dictionary.element_size() * len(self.dictionary) ** 2
        return 2 * n_bytes <= total_memory(self.dictionary.device)

    def cosines(self) -> torch.Tensor:
        """D D^T, (n_dictionary, n_dictionary)."""
        is_gram = self.filters is self.dictionary
        return self.gram if is_gram else self.dictionary @ self.dictionary.T

    def code_batch(self, X: torch.Tensor, rows: np.ndarray, threads: Any = None) -> Batch:
        """The samples X[rows], their events and residuals."""
        samples = X[torch.from_numpy(rows).to(X.device)].to(self.dictionary.dtype)
        events, residual = self._encode(samples), samples.clone()
        events.subtract_from(residual, self.dictionary)
        return Batch(samples, events, residual)

    def gradient(self, batch: Batch, threads: Any = None) -> torch.Tensor:
        """-(A^T R) / n_samples for code A and residuals R: (n_dictionary, n_pixels)."""
        rows, weight = batch.residual, batch.code.weight
        total = batch.code.sum_products(rows if weight is None else rows * weight[:, None])
        return total * (-1 / batch.code.n_draws)

    def compete(self, competition: Competition) -> "DeviceCoder":
        """The same coder under another competition."""
        return replace(self, contest=make_contest(self.coding, self.dictionary, competition))

    def encode(self, X: torch.Tensor, threads: Any = None) -> DeviceEvents:
        """The events of all samples, in chunks of rows that depend on sizes alone."""
        events = self._encode(X)
        if not torch.isfinite(events.values).all() and torch.isfinite(self.dictionary).all():
            sample = int((~torch.isfinite(events.values)).any(dim=1).nonzero()[0])
            raise ValueError(
                f"X: sample {sample} has a coefficient that {X.dtype} cannot hold. Divide X by a "
                f"power of two."
            )
        return events

    def _encode(self, X):
        """The same, without a look at the values."""
        check_device(self.dictionary, "dictionary", X.device)
        n_bytes = X.element_size() * (len(self.dictionary) + 2 * self.n_slots)
        n_rows, is_by_gram = max(1, CHUNK_BYTES // n_bytes), self.has_room
        return self._join([self.code(rows, is_by_gram) for rows in X.split(n_rows)])

    def scale(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return samples divided by powers of two, and the exponents (n_samples, 1), as
        `shl.coding.Coder.scale`.
        """
        exponents = torch.frexp(X.abs().amax(dim=1, keepdim=True)).exponent
        most = SAFE[X.element_size()]
        if self.contest.has_table:
            exponents = (exponents - most).clamp(min=self.contest.exponent)
        else:
            exponents = torch.where(exponents.abs() <= most, 0, exponents)
        return scale_by_powers(X.contiguous(), -exponents), exponents

    def code(self, X: torch.Tensor, is_by_gram: bool = True) -> tuple[DeviceEvents, int]:
        """Return the events of one chunk of samples (n_samples, n_pixels), by the Gram matrix or
        not, and how many of these are not coded as asked.
        """
        (X, exponents), fit_tol = self.scale(X), self.coding.fit_tol
        events = self._no_events(X)
        tolerances = torch.full((len(X), 1), -1.0, dtype=torch.float64, device=X.device)
        if fit_tol is not None:
            tolerances = scale_by_powers(tolerances.fill_(fit_tol), -2 * exponents)
        if self.coding.algorithm == "mp":
            n_unfinished = self._pursue(X, tolerances[:, 0], events, is_by_gram)
        else:
            n_unfinished = self._pursue_orthogonal(X, tolerances[:, 0], events)
        events = replace(events, values=scale_by_powers(events.values, exponents))
        return (events if fit_tol is None else events.trim()), n_unfinished

    def _no_events(self, X):
        """Empty slots for the events of samples."""
        shape = len(X), self.n_slots
        indices = torch.zeros(shape, dtype=torch.int32, device=X.device)
        return DeviceEvents(indices, X.new_zeros(shape), len(self.dictionary))

    def _pursue(self, X, tolerances, events, is_by_gram):
        """Fill events by matching pursuit; return how many samples miss their tolerance."""
        scalar, contest, n_steps = host_dtype(X).type, self.contest, self.n_steps
        has_tolerance, rho = self.coding.fit_tol is not None, X @ self.filters.T
        residual = X.clone() if has_tolerance else X[:1]
        table = contest.P_cum, scalar(contest.C), contest.levels, contest.bounds
        competition = (contest.gain, contest.is_signed, *table)
        found = scalar(self.coding.alpha_MP), tolerances, events.indices, events.values
        if not is_by_gram:
            return self._step(rho, residual, competition, n_steps, found)
        given = rho, residual, self.dictionary, self.gram, self.scales, *competition
        kernel = kernels.make_pursuit(*self._split, contest.has_table)
        n_bytes = 4 * -(-len(self.dictionary) // 32)  # a bit an atom
        launch(kernel, len(X), self._split[1], *given, n_steps, *found, n_bytes=n_bytes)
        return int((tolerances < 0).sum()) if has_tolerance else 0

    def _step(self, rho, residual, competition, n_steps, found):
        """Matching pursuit step by step, with the rows of the Gram matrix that each needs."""
        n_samples, n_threads = len(rho), count_threads(len(self.dictionary))
        kernel = kernels.make_step(ITEMS_OF_THREAD, n_threads, self.contest.has_table)
        lasts, counts = (rho.new_zeros(n_samples, dtype=torch.int32) for _ in range(2))
        steps, rows = rho.new_zeros(n_samples), rho  # of which the first step takes none
        tolerances, has_tolerance = found[1], self.coding.fit_tol is not None
        if has_tolerance:
            lasts -= ((residual.double() ** 2).sum(dim=1) <= tolerances).int()
        for step in range(n_steps):
            if step:
                rows = self.dictionary[lasts.clamp(min=0).long()] @ self.filters.T
            given = rho, residual, self.dictionary, rows, self.scales, *competition, *found
            launch(kernel, n_samples, n_threads, *given, lasts, steps, counts)
            if has_tolerance and not (lasts >= 0).any():
                return 0
        return int((lasts >= 0).sum()) if has_tolerance else 0

    def _pursue_orthogonal(self, X, tolerances, events):
        """Fill events by the Gram matrix, and those of float32 again by one in float64 where digits
        are lost; return how many samples miss their tolerance.
        """
        has_tolerance, is_single = self.coding.fit_tol is not None, X.dtype == torch.float32
        tolerances = tolerances.clamp(min=0)
        start = (X * X).sum(dim=1).double()
        energy, least = self._select_orthogonal(X, start, tolerances, events)
        is_left = is_doubtful(events.values, start, energy, least, has_tolerance)
        if is_single and is_left.any() and self._in_double.has_room:
            some = X[is_left].double()
            exact = self._in_double._no_events(some)
            energy[is_left], least[is_left] = self._in_double._select_orthogonal(
                some, (some * some).sum(dim=1), tolerances[is_left], exact
            )
            events.indices[is_left], events.values[is_left] = exact.indices, exact.values.float()
        if not has_tolerance:
            return 0
        return count_missed(X, events, self.dictionary, start, energy, least, tolerances)

    def _select_orthogonal(self, X, start, tolerances, events):
        """Fill events; return the squared norms that are left, and the smallest pivots."""
        scalar, n_slots = host_dtype(X).type, self.n_slots
        dependent = max(DEPENDENT, len(self.dictionary) * float(np.finfo(scalar).eps))
        most = max(1, CHUNK_BYTES // (X.element_size() * n_slots**2))  # of the inverse factors
        n_blocks = min(len(X), count_blocks(X.device), most)
        energy, least = start.clone(), torch.ones_like(start)
        launch(
            kernels.make_orthogonal_pursuit(*self._split),
            n_blocks,
            self._split[1],
            X @ self.filters.T,
            self.gram,
            self.contest.gain,
            energy,
            tolerances,
            scalar(dependent),
            least,
            events.indices,
            events.values,
            X.new_zeros((n_blocks, n_slots + 4, n_slots)),
        )
        return energy, least

    @cached_property
    def _in_double(self):
        """The same coder in float64."""
        atoms, contest = self.dictionary.double(), self.contest
        contest = contest._replace(gain=contest.gain.double())
        return DeviceCoder(self.coding, atoms, atoms, self.scales.double(), contest)

    @property
    def _split(self):
        """How threads share the atoms: see `split_atoms`."""
        return split_atoms(len(self.dictionary), self.dictionary.element_size())


def scale_by_powers(values: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    """Values * 2^exponents, exact where the result is no subnormal number."""
    half = exponents.div(2, rounding_mode="floor")
    for part in (half, exponents - half):  # the whole power may be out of the dtype's range
        power = (part.long() + 1023 << 52).view(torch.float64)
        values = values * power.to(values.dtype)
    return values
