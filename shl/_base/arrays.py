"""Where arrays are: in the host's memory, or on a GPU.

Arrays of a GPU are PyTorch tensors inside the package.  Modules whose formulas serve both take
functions from `namespace`, which has NumPy's names for either, and never import PyTorch.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import config

CUDA, CUDA_MANAGED, HOST = 2, 13, 1  # kinds of devices, as DLPack numbers them
ON_DEVICE = CUDA, CUDA_MANAGED


def is_on_device(value: Any) -> bool:
    """Whether a value is an array on a GPU: it says so by DLPack or the CUDA array interface.

    Under numba's simulator of a GPU (NUMBA_ENABLE_CUDASIM=1) every tensor is.
    """
    if value is None or isinstance(value, (np.ndarray, np.generic, list, tuple, float, int)):
        return False
    if hasattr(type(value), "__dlpack_device__"):
        kind = value.__dlpack_device__()[0]
        is_simulated = bool(config.ENABLE_CUDASIM) and kind == HOST and is_tensor(value)
        return kind in ON_DEVICE or is_simulated
    return hasattr(type(value), "__cuda_array_interface__")


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of PyTorch, which need not be installed."""
    return _is_kind_of_tensor(type(value))


@cache
def _is_kind_of_tensor(kind):
    """Whether a type is PyTorch's Tensor or one made of it."""
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in kind.__mro__)


def is_dtype_of_tensors(dtype: Any) -> bool:
    """Whether a dtype is PyTorch's."""
    return type(dtype).__module__ == "torch"


def namespace(value: Any):
    """NumPy, or for a tensor what has the same functions."""
    if is_tensor(value):
        from . import tensors as arrays

        return arrays
    return np


def like(array: Any, given: Any) -> Any:
    """A tensor as an array of the library of what the user gave; what is in the host's memory as it
    is.
    """
    if not is_tensor(array) or is_tensor(given):
        return array
    from ..coding.gpu.launching import export

    return export(array, given)


def import_tensor(value: Any) -> Any:
    """An array on a GPU as a tensor in the same memory."""
    from ..coding.gpu.launching import tensor_of

    return tensor_of(value, "X")


def beside(array: Any, other: Any) -> Any:
    """An array where another one is: what a model learned follows the samples it is used for."""
    if is_tensor(other) and array is not None:
        from ..coding.gpu.launching import to_device

        return to_device(array, other.device)
    return to_host(array)


def copy_of(array: Any) -> Any:
    """A copy."""
    return array.clone() if is_tensor(array) else array.copy()


def host_dtype(array: Any) -> np.dtype:
    """NumPy's dtype of an array, wherever it is."""
    return np.dtype(str(array.dtype).removeprefix("torch.")) if is_tensor(array) else array.dtype


def number_type(array: Any) -> Callable[[float], Any]:
    """What makes a number by which an array is multiplied without a change of its dtype."""
    return float if is_tensor(array) else array.dtype.type


def all_beside(arrays: dict, other: Any) -> dict:
    """Arrays of a state where another one is; numbers stay in the host's memory."""
    is_moved = is_tensor(other) or any(map(is_tensor, arrays.values()))
    return (
        {
            name: beside(array, other) if np.ndim(array) or is_tensor(array) else array
            for name, array in arrays.items()
        }
        if is_moved
        else arrays
    )


def to_host(array: Any) -> Any:
    """A tensor as NumPy's array, anything else as it is."""
    return array.cpu().numpy() if is_tensor(array) else array


def astype(array: Any, dtype: Any) -> Any:
    """An array of another dtype."""
    return array.to(dtype) if is_tensor(array) else array.astype(dtype)
