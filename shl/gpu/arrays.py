"""NumPy's functions over tensors: what the formulas of the package use, by NumPy's names.

PyTorch has most of them under the same name and takes NumPy's `axis` and `keepdims`: they are
looked up there.  Written out is what differs: functions that take numbers beside tensors, or give
one.
"""

from typing import Any

import torch


def __getattr__(name: str) -> Any:
    """The function of this name in PyTorch."""
    return getattr(torch, name)


class _Larger:
    """`numpy.maximum`."""

    def __call__(self, a: torch.Tensor | float, b: torch.Tensor | float) -> torch.Tensor:
        """The larger of each pair; one of both may be a number."""
        if not isinstance(a, torch.Tensor):
            a, b = b, a
        return torch.maximum(a, b) if isinstance(b, torch.Tensor) else a.clamp(min=b)

    @staticmethod
    def accumulate(a: torch.Tensor, axis: int) -> torch.Tensor:
        """The largest so far."""
        return a.cummax(axis).values


maximum = _Larger()


class linalg:
    """`numpy.linalg`."""

    @staticmethod
    def norm(a: torch.Tensor, axis: int | None = None) -> torch.Tensor:
        """Of each row, or of all."""
        return torch.linalg.vector_norm(a, dim=axis)


def vdot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The sum of products of all entries."""
    return torch.linalg.vector_norm(a) ** 2 if a is b else (a * b).sum()


def clip(a: torch.Tensor | float, low: float, high: float) -> torch.Tensor | float:
    """A within the bounds."""
    return a.clamp(low, high) if isinstance(a, torch.Tensor) else min(max(a, low), high)


def fill_diagonal(a: torch.Tensor, value: float) -> None:
    """In place."""
    a.fill_diagonal_(value)
