"""Sparse coding on a GPU: the counterparts of `shl.coding.Events` and `Coder`, on tensors."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ..coders import MOST_STEPS, PURSUITS, SCALED, Coding
from ..competition import PLAIN, Competition
from . import kernels
from .launching import check_device, count_blocks, count_threads, launch, most_shared, number

CHUNK_BYTES = 2**29  # of the correlations and events of the samples that are coded at once


# ------------------------------------------------------------------------------------ codes


@dataclass(frozen=True)
class DeviceEvents:
    """A sparse code, as `shl.coding.Events` has it, on a GPU."""

    indices: torch.Tensor  # (n_samples, n_slots), int32
    values: torch.Tensor  # (n_samples, n_slots)
    n_dictionary: int
    weight: torch.Tensor | None = None  # (n_samples,)

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.indices)

    def to_dense(self) -> torch.Tensor:
        """The code (n_samples, n_dictionary)."""
        code = self.values.new_zeros((len(self), self.n_dictionary))
        n_threads = count_threads(self.indices.shape[1])
        launch(kernels.scatter, len(self), n_threads, self.indices, self.values, code)
        return code

    def to_csr(self) -> torch.Tensor:
        """The code as a sparse CSR tensor of PyTorch, its columns sorted."""
        is_used = self.values != 0
        behind = torch.where(is_used, self.indices, self.n_dictionary)
        columns, order = torch.sort(behind, dim=1, stable=True)
        is_used, values = is_used.gather(1, order), self.values.gather(1, order)
        offsets = torch.nn.functional.pad(is_used.sum(dim=1).cumsum(0), (1, 0))
        parts = offsets, columns[is_used].long(), values[is_used]
        with warnings.catch_warnings():  # PyTorch says once that such tensors are new
            warnings.simplefilter("ignore", UserWarning)
            return torch.sparse_csr_tensor(*parts, size=(len(self), self.n_dictionary))

    @classmethod
    def join(cls, parts: list["DeviceEvents"]) -> "DeviceEvents":
        """The events of several chunks in order, each padded to the most slots among them."""
        if len(parts) == 1:
            return parts[0]
        n_slots = max(part.values.shape[1] for part in parts)

        def stack(arrays):
            padded = [
                torch.nn.functional.pad(array, (0, n_slots - array.shape[1])) for array in arrays
            ]
            return torch.cat(padded)

        indices, values = stack([p.indices for p in parts]), stack([p.values for p in parts])
        return cls(indices, values, parts[0].n_dictionary)

    def trim(self) -> "DeviceEvents":
        """The same events without the slots that no sample uses."""
        n_slots = max(1, int((self.values != 0).sum(dim=1).max()))
        indices, values = (a[:, :n_slots].contiguous() for a in (self.indices, self.values))
        return replace(self, indices=indices, values=values)


# ------------------------------------------------------------------------------------ coding


def prepare(
    coding: Coding,
    dictionary: torch.Tensor,
    competition: Competition = PLAIN,
    precision: torch.Tensor | None = None,
) -> "DeviceCoder":
    """`Coding.prepare` for a dictionary on a GPU.

    Raises
    ------
    ValueError
        For a coder that is not there, and arrays of other devices.
    """
    if coding.algorithm not in PURSUITS or coding.has_gaps:
        what = "missing='mask'" if coding.has_gaps else f"algorithm={coding.algorithm!r}"
        raise ValueError(f"{what} is not for arrays on a GPU: 'mp' and 'omp' are, without NaN")
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
    gram = dictionary @ filters.T
    contest = make_contest(coding, dictionary, competition)
    return DeviceCoder(coding, dictionary, filters, gram, scale, contest)


@dataclass(frozen=True)
class Contest:
    """How atoms compete, as `shl.kernels.Contest` says."""

    gain: torch.Tensor
    has_table: bool
    P_cum: torch.Tensor
    C: float
    levels: torch.Tensor
    bounds: torch.Tensor


def make_contest(coding: Coding, dictionary: torch.Tensor, competition: Competition) -> Contest:
    """What the kernels need of a competition, with the bounds of a table."""
    coding.check_heeds(competition)
    n_dictionary, none = len(dictionary), dictionary.new_zeros((1, 1))
    if competition.kind != "table":
        gain = competition.gain
        gain = dictionary.new_ones(n_dictionary) if gain is None else gain.contiguous()
        return Contest(gain, False, none, 1.0, none[0], none)
    P_cum, C = competition.P_cum.to(dictionary.dtype).contiguous(), competition.C
    nb_quant, scalar = P_cum.shape[1], number(P_cum.dtype)
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
    return Contest(gain, True, P_cum, C, levels, bounds)


@dataclass(frozen=True)
class DeviceCoder:
    """A dictionary made ready, as `shl.coding.Coder`, on a GPU."""

    coding: Coding
    dictionary: torch.Tensor  # (n_dictionary, n_pixels), unit norms
    filters: torch.Tensor  # (n_dictionary, n_pixels): rho = X @ filters.T
    gram: torch.Tensor  # (n_dictionary, n_dictionary)
    scale: torch.Tensor  # (n_dictionary,): value of an event / rho
    contest: Contest

    def compete(self, competition: Competition) -> "DeviceCoder":
        """The same coder under another competition."""
        return replace(self, contest=make_contest(self.coding, self.dictionary, competition))

    @cached_property
    def n_slots(self) -> int:
        """The most events of a sample."""
        n_dictionary, n_pixels = self.dictionary.shape
        if self.coding.fit_tol is None:
            return min(self.coding.l0_sparseness or n_dictionary, n_dictionary)
        return n_dictionary if self.coding.algorithm == "mp" else min(n_pixels, n_dictionary)

    def encode(self, X: torch.Tensor, threads=None) -> DeviceEvents:
        """The events of all samples, in chunks of rows that depend on sizes alone."""
        check_device(self.dictionary, "dictionary", X.device)
        n_bytes = X.element_size() * (len(self.dictionary) + 2 * self.n_slots)
        n_rows = max(1, CHUNK_BYTES // n_bytes)
        return DeviceEvents.join([self.code(rows) for rows in X.split(n_rows)])

    def code(self, X: torch.Tensor) -> DeviceEvents:
        """The events of one chunk of samples (n_samples, n_pixels)."""
        X, exponents = X.contiguous(), None
        if self.coding.algorithm in SCALED:
            exponents = torch.frexp(X.abs().amax(dim=1, keepdim=True)).exponent
            X = scale_by_powers(X, -exponents)
        events = DeviceEvents(
            torch.zeros((len(X), self.n_slots), dtype=torch.int32, device=X.device),
            X.new_zeros((len(X), self.n_slots)),
            len(self.dictionary),
        )
        rho = X @ self.filters.T
        if self.coding.algorithm == "mp":
            self._pursue(X, rho, events)
        else:
            self._pursue_orthogonal(X, rho, events, exponents)
            events = replace(events, values=scale_by_powers(events.values, exponents))
        return events if self.coding.fit_tol is None else events.trim()

    def _pursue(self, X, rho, events):
        scalar, fit_tol, contest = number(X.dtype), self.coding.fit_tol, self.contest
        residual, n_steps = X[:1], self.n_slots
        if fit_tol is not None:
            residual, n_steps = X.clone(), MOST_STEPS * X.shape[1]
        self._launch(
            (kernels.pursue, kernels.pursue_in_place),
            len(X),
            0,
            rho,
            residual,
            self.dictionary,
            self.gram,
            self.scale,
            contest.gain,
            self.coding.do_sym,
            contest.has_table,
            contest.P_cum,
            scalar(contest.C),
            contest.levels,
            contest.bounds,
            n_steps,
            scalar(self.coding.alpha_MP),
            scalar(-1 if fit_tol is None else fit_tol),
            events.indices,
            events.values,
        )

    def _pursue_orthogonal(self, X, rho, events, exponents):
        scalar, n_slots = number(X.dtype), self.n_slots
        fit_tol = torch.full((len(X), 1), self.coding.fit_tol or 0.0, dtype=torch.float64)
        tolerances = scale_by_powers(fit_tol.to(X.device), -2 * exponents)[:, 0]
        n_blocks = min(len(X), count_blocks(X.device))
        self._launch(
            (kernels.pursue_orthogonal, kernels.pursue_orthogonal_in_place),
            n_blocks,
            3 * n_slots,
            rho,
            self.gram,
            self.contest.gain,
            (X * X).sum(dim=1),
            tolerances.to(X.dtype),
            scalar(len(self.dictionary) * np.finfo(scalar).eps),
            events.indices,
            events.values,
            X.new_zeros((n_blocks, n_slots, n_slots)),
        )

    def _launch(self, forms, n_blocks, n_shared, rho, *args):
        """A pursuit in the form for this many atoms, which has n_shared more numbers in shared
        memory.
        """
        n_dictionary, size = len(self.dictionary), rho.element_size()
        is_shared = size * (n_shared + n_dictionary) <= most_shared(rho.device)
        n_bytes = size * (n_shared + n_dictionary * is_shared)
        n_threads = count_threads(n_dictionary)
        launch(forms[not is_shared], n_blocks, n_threads, rho, *args, n_bytes=n_bytes)


def scale_by_powers(values: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    """Values * 2^exponents, exact where the result is no subnormal number."""
    half = exponents.div(2, rounding_mode="floor")
    for part in (half, exponents - half):  # the whole power may be out of the dtype's range
        power = (part.long() + 1023 << 52).view(torch.float64)
        values = values * power.to(values.dtype)
    return values
