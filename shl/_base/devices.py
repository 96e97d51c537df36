"""Where a value is: in the memory of the host, or on a GPU; PyTorch need not be installed."""

from functools import cache
from typing import Any

import numpy as np

CUDA, CUDA_MANAGED, HOST = 2, 13, 1  # kinds of devices, as DLPack numbers them
ON_DEVICE = CUDA, CUDA_MANAGED


def is_on_device(value: Any) -> bool:
    """Whether a value is an array on a GPU: it says so by DLPack or the CUDA array interface.

    Under numba's simulator of a GPU (NUMBA_ENABLE_CUDASIM=1) every tensor is.
    """
    if value is None or isinstance(value, (np.ndarray, np.generic, list, tuple, float, int)):
        return False
    if hasattr(type(value), "__dlpack_device__"):
        from numba import config

        kind = value.__dlpack_device__()[0]
        is_simulated = bool(config.ENABLE_CUDASIM) and kind == HOST and is_tensor(value)
        return kind in ON_DEVICE or is_simulated
    return hasattr(type(value), "__cuda_array_interface__")


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of PyTorch, which need not be installed."""
    kind: Any = type(value)
    return _is_kind_of_tensor(kind)


@cache
def _is_kind_of_tensor(kind):
    """Whether a type is PyTorch's Tensor or one made of it."""
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in kind.__mro__)


def is_dtype_of_tensors(dtype: Any) -> bool:
    """Whether a dtype is PyTorch's."""
    return type(dtype).__module__ == "torch"
