"""Where arrays are: in the host's memory, or on a GPU.

Arrays of a GPU are PyTorch tensors inside the package.  Modules whose formulas serve both take
functions from `namespace`, which has NumPy's names for either, and never import PyTorch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .devices import is_tensor


def namespace(value: Any) -> Any:
    """NumPy, or for a tensor what has the same functions."""
    if is_tensor(value):
        from . import tensors

        return tensors
    return np


def like(array: Any, given: Any) -> Any:
    """A tensor as an array of the library of what the user gave; what is in the host's memory as it
    is.
    """
    if not is_tensor(array) or is_tensor(given):
        return array
    from .tensors import export

    return export(array, given)


def import_tensor(value: Any) -> Any:
    """An array on a GPU as a tensor in the same memory."""
    from .tensors import tensor_of

    return tensor_of(value, "X")


def beside(array: Any, other: Any) -> Any:
    """An array where another one is: what a model learned follows the samples it is used for."""
    if is_tensor(other) and array is not None:
        from .tensors import to_device

        return to_device(array, other.device)
    return to_host(array)


def copy_of(array: Any) -> Any:
    """A copy."""
    return array.clone() if is_tensor(array) else array.copy()


def host_dtype(array: Any) -> np.dtype:
    """NumPy's dtype of an array, wherever it is."""
    return np.dtype(str(array.dtype).removeprefix("torch."))


def number_type(array: Any) -> Callable[[float], Any]:
    """What makes a number by which an array is multiplied without a change of its dtype."""
    return float if is_tensor(array) else array.dtype.type


def all_beside(arrays: dict, other: Any) -> dict:
    """Arrays of a state where another one is; numbers stay in the host's memory."""
    if not is_tensor(other) and not any(map(is_tensor, arrays.values())):
        return arrays
    moved = {name for name, array in arrays.items() if np.ndim(array) or is_tensor(array)}
    return arrays | {name: beside(arrays[name], other) for name in moved}


def to_host(array: Any) -> Any:
    """A tensor as NumPy's array, anything else as it is."""
    return array.cpu().numpy() if is_tensor(array) else array


def astype(array: Any, dtype: Any) -> Any:
    """An array of another dtype."""
    return array.to(dtype) if is_tensor(array) else array.astype(dtype)
