"""NumPy's functions over tensors: what the formulas of the package use, by NumPy's names.

PyTorch has most of them under the same name and takes NumPy's `axis` and `keepdims`: they are
looked up there.  Written out is what differs: functions that take numbers beside tensors, or whose
sums depend on the order in which threads come.
"""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from numba import cuda

from .devices import is_on_device, is_tensor


def __getattr__(name: str) -> Any:
    """The function of this name in PyTorch."""
    return getattr(torch, name)


class _Larger:
    """`numpy.maximum`."""

    def __call__(self, a: Any, b: Any) -> torch.Tensor:
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


def cumsum(a: torch.Tensor, axis: int) -> torch.Tensor:
    """Sums up to each entry of the last axis; of floats PyTorch's own differ from run to run."""
    if not a.is_floating_point():
        return torch.cumsum(a, axis)
    return a @ torch.ones(2 * a.shape[-1:], dtype=a.dtype, device=a.device).triu()


def nonzero(a: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The indices along each axis."""
    return torch.nonzero(a, as_tuple=True)


def zeros_like(a: torch.Tensor, shape: tuple | None = None) -> torch.Tensor:
    """Zeros of the same dtype on the same device."""
    return a.new_zeros(a.shape if shape is None else shape)


def adam(
    dictionary: torch.Tensor,
    gradient: torch.Tensor,
    unit: float,
    moments: tuple[torch.Tensor, torch.Tensor],
    decays: tuple[float, float],
    rate: float,
    epsilon: float,
    corrections: tuple[float, float],
    moved: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    norms: torch.Tensor,
) -> None:
    """`shl.coding.kernels.adam`: a step (Kingma & Ba 2015, algorithm 1), to `moved` and norms."""
    (mean, square), (atoms, new_mean, new_square) = moments, moved
    gradient = gradient * (1 / unit)
    torch.mul(mean, decays[0], out=new_mean).add_(gradient, alpha=1 - decays[0])
    torch.mul(square, decays[1], out=new_square).addcmul_(gradient, gradient, value=1 - decays[1])
    spread = torch.sqrt(new_square).mul_(corrections[1] ** -0.5).add_(epsilon)
    torch.addcdiv(dictionary, new_mean, spread, value=-rate / corrections[0], out=atoms)
    normalise(atoms, norms)


def normalise(atoms: torch.Tensor, norms: torch.Tensor) -> None:
    """`shl.coding.kernels.normalise`: rows to norm 1, in place."""
    torch.sqrt(torch.einsum("ij,ij->i", atoms, atoms), out=norms)
    atoms /= torch.where(norms > 0, norms, 1)[:, None]


def explain(gram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`shl.coding.kernels.explain`: c and e of each atom, at most 1, float64."""
    others = gram.clone().fill_diagonal_(0)
    nearest = others.argmax(dim=1)
    c = others.amax(dim=1).clamp(0, 1)
    rest = others - c[:, None] * others[nearest]
    rest.fill_diagonal_(0).scatter_(1, nearest[:, None], 0)
    return c.double(), rest.amax(dim=1).clamp(0, 1).double()


def fill_diagonal(a: torch.Tensor, value: float) -> None:
    """In place."""
    a.fill_diagonal_(value)


# ------------------------------------------------------------- arrays of any library as tensors


def tensor_of(value: Any, name: str) -> torch.Tensor:
    """An array on a device as a tensor in the same memory; TypeError where it is on none."""
    if not is_on_device(value):
        raise TypeError(f"{name} must be an array on a GPU, as X is, not {_place(value)}")
    if is_tensor(value):
        return value.detach()
    if hasattr(type(value), "__dlpack__"):
        return torch.from_dlpack(value)
    return torch.as_tensor(value, device="cuda")


def float_tensor(value: Any, name: str, dtype: torch.dtype | None) -> torch.Tensor:
    """An array on a device as a contiguous tensor of real numbers of the dtype.

    None keeps float32 and float64 and makes all others float64.
    """
    tensor = tensor_of(value, name)
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"{name} must be in the host's memory, as X is, not on {tensor.device}")
    if tensor.is_complex() or tensor.is_sparse or tensor.layout != torch.strided:
        raise TypeError(
            f"{name} must be a dense tensor of real numbers, not {tensor.dtype} of layout "
            f"{tensor.layout}"
        )
    kept = tensor.dtype if tensor.dtype in (torch.float32, torch.float64) else torch.float64
    return tensor.to(dtype or kept).contiguous()


def to_device(array: Any, device: torch.device) -> torch.Tensor:
    """An array of the host, or of a GPU, as a tensor on the device."""
    return (array if is_tensor(array) else torch.from_numpy(np.array(array))).to(device)


def _place(value):
    """What an array is, for errors."""
    return f"{type(value).__module__.split('.')[0]}.{type(value).__name__} in the host's memory"


def export(tensor: torch.Tensor, value: Any) -> Any:
    """A tensor as an array of the library that the value is of, in the same memory."""
    library = import_module(type(value).__module__.split(".")[0])
    if tensor.layout != torch.strided:
        raise ValueError(
            f"sparse_output must be False for arrays of {library.__name__} on a GPU. "
            "Tensors of PyTorch have a sparse form here."
        )
    if hasattr(library, "from_dlpack"):
        return library.from_dlpack(tensor)
    return cuda.as_cuda_array(tensor)
