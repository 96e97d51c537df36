"""A sparse code on a GPU: the counterpart of `shl.coding.Events`, on tensors."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numba import config

from ..._base.arrays import to_host
from ..events import Events
from ..kernels import ByAtom
from . import kernels
from .launching import ITEMS_OF_THREAD, count_threads, launch


def sum_segments(starts: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The sums of values from each start to the next, float64."""
    n_segments = len(starts) - 1
    total = torch.empty(n_segments, dtype=torch.float64, device=values.device)
    n_threads = count_threads(len(values) // n_segments)
    launch(kernels.sum_segments, n_segments, n_threads, starts, values, total)
    return total


@dataclass(frozen=True)
class DeviceEvents(Events):
    """A sparse code, as `shl.coding.Events` has it, on a GPU.

    Methods that this class does not define and that compute (`check`, `follow_quantiles`) are for
    NumPy's arrays.
    """

    indices: torch.Tensor
    values: torch.Tensor
    weight: torch.Tensor | None = None

    @cached_property
    def by_atom(self) -> ByAtom:
        """The events ordered by atom, those of one atom by sample, unused slots last: sums over
        them need no atomics, whose order would change bits.
        """
        atoms = torch.where(self.values != 0, self.indices, self.n_dictionary)
        atoms, order = torch.sort(atoms.reshape(-1), stable=True)
        bounds = torch.arange(self.n_dictionary + 1, dtype=torch.int32, device=atoms.device)
        starts = torch.searchsorted(atoms, bounds)
        samples = (order // self.values.shape[1]).to(torch.int32)
        return ByAtom(starts, samples, self.values.reshape(-1)[order])

    def _weigh(self, values, samples):
        """Float64 values of events, each as often as its sample counts."""
        values = values.double()
        return values if self.weight is None else values * self.weight[samples].double()

    def counts(self) -> torch.Tensor:
        """How many samples select each atom, (n_dictionary,) float64."""
        starts, samples, values = self.by_atom
        if self.weight is None:
            return starts.diff().double()
        return sum_segments(starts, self._weigh(torch.ones_like(values), samples))

    def power_sums(self, power: int) -> torch.Tensor:
        """sum_n a_ni^power for each atom i, (n_dictionary,) float64."""
        starts, samples, values = self.by_atom
        return sum_segments(starts, self._weigh(values.double() ** power, samples))

    def mean_positive(self) -> float:
        """The mean of the coefficients above 0; 0 where there are none."""
        weights = self._weigh(self.values > 0, torch.arange(len(self))[:, None])
        total = float(weights.sum())
        mean = float((weights * self.values).sum()) / total if total else 0.0
        return float(np.ldexp(mean, self.exponent))

    def count_quantiles(self, C: float, n_bins: int) -> torch.Tensor:
        """Samples whose 1 - exp(-max(a, 0) / C) falls in each of n_bins equal bins of [0, 1],
        (n_dictionary, n_bins) float64; an atom that a sample does not use counts in the first.
        """
        C = float(np.ldexp(C, -self.exponent))
        ratio = 1 - torch.exp(-self.values.double().clamp(min=0) / C)
        bins = (ratio * n_bins).long().clamp(max=n_bins - 1)
        n_places = self.n_dictionary * n_bins
        places = self.indices.long() * n_bins + bins
        places = torch.where(self.values != 0, places, n_places).reshape(-1)
        if self.weight is None:
            counts = torch.bincount(places, minlength=n_places + 1)[:-1].double()
        else:
            places, order = torch.sort(places, stable=True)
            starts = torch.searchsorted(places, torch.arange(n_places + 1, device=places.device))
            samples = order // self.values.shape[1]
            counts = sum_segments(starts, self._weigh(torch.ones_like(samples), samples))
        counts = counts.reshape(self.n_dictionary, n_bins)
        counts[:, 0] += self.n_draws - counts.sum(dim=1)
        return counts

    def count_pairs(self) -> torch.Tensor:
        """Samples that use both atoms i and j, (n_dictionary, n_dictionary) float64."""
        used = (self.to_dense() != 0).double()
        return used.T @ (used if self.weight is None else used * self.weight[:, None])

    def sum_products(self, rows: torch.Tensor, threads: Any = None) -> torch.Tensor:
        """A^T rows for the code A, (n_dictionary, n_pixels)."""
        return self._sum_rows(kernels.accumulate, self.by_atom, rows)

    def sum_squares(self, rows: torch.Tensor, threads: Any = None) -> torch.Tensor:
        """The sum of rows_n^2 over the samples n that use each atom, (n_dictionary, n_pixels)."""
        return self._sum_rows(kernels.accumulate_squares, self.by_atom[:2], rows)

    def _sum_rows(self, kernel, events, rows):
        n_threads = count_threads(ITEMS_OF_THREAD * rows.shape[1])
        total = rows.new_empty((self.n_dictionary, rows.shape[1]))
        n_parts = 1 if config.ENABLE_CUDASIM else -(-rows.shape[1] // n_threads)
        launch(kernel, (self.n_dictionary, n_parts), n_threads, *events, rows, total)
        return total

    def subtract_from(self, residual: torch.Tensor, dictionary: torch.Tensor) -> None:
        """Residual -= A D, in place."""
        n_threads, events = count_threads(residual.shape[1]), (self.indices, self.values)
        launch(kernels.subtract_reconstruction, len(self), n_threads, *events, dictionary, residual)

    def in_host(self) -> "Summary":
        """What records ask of a code, in the host's memory."""
        return Summary(self)

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

    def trim(self) -> "DeviceEvents":
        """The same events without the slots that no sample uses."""
        n_slots = max(1, int((self.values != 0).sum(dim=1).max()))
        indices, values = (a[:, :n_slots].contiguous() for a in (self.indices, self.values))
        return replace(self, indices=indices, values=values)


class Summary:
    """Counts and sums of a code, (n_dictionary,) each, in the host's memory."""

    def __init__(self, events: DeviceEvents):
        self._events, self.n_draws, self.exponent = events, events.n_draws, events.exponent

    def counts(self) -> np.ndarray:
        """How many samples select each atom; float64 with weights, else int64."""
        counts = to_host(self._events.counts())
        return counts if self._events.weight is not None else counts.astype(np.int64)

    def power_sums(self, power: int) -> np.ndarray:
        """sum_n a_ni^power for each atom i, float64."""
        return to_host(self._events.power_sums(power))
