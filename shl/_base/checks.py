"""What may be passed: checks return the value, or their error names parameter, value and range."""

import math
import numbers
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import coo_array, csr_array, issparse

from .arrays import namespace
from .devices import is_dtype_of_tensors, is_on_device, is_tensor


def check_count(
    value: object, name: str, least: float = 1, most: float | None = None, why: str | None = None
) -> int:
    """An integer in [least, most], where `why` says what sets the upper bound."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    number = int(value)
    if number < least or (most is not None and number > most):
        upper = "" if most is None else f" and at most {most}" + (f" ({why})" if why else "")
        raise ValueError(f"{name} must be at least {least}{upper}, not {value!r}")
    return number


@cache
def memory_bytes() -> float:
    """The memory that this process may have: the machine's, or the limit of its container."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a system that says it
        return np.inf
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(total, int(text)) if text.isdigit() else total


def check_memory(n_bytes: float, name: str, value: object) -> None:
    """An error for a parameter that asks for more memory than there is, before it is taken."""
    if n_bytes > memory_bytes():
        needed = min(n_bytes, 10**300) / 1e9  # an int may be larger than any float
        raise ValueError(
            f"{name} = {value!r} needs about {needed:.3g} GB of memory, but this "
            f"machine has {memory_bytes() / 1e9:.3g} GB. Pass a smaller value."
        )


# Bounds of numbers: how a range is written, and what holds for a number and its bound.
BOUNDS = {
    "least": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "most": ("at most", operator.le),
    "below": ("below", operator.lt),
}


def check_number(value: object, name: str, **bounds: float) -> float:
    """A finite real number within some BOUNDS: least <= value <= most, above < value < below."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an int or a fraction that no float can hold
        number = np.inf
    is_within = all(BOUNDS[bound][1](number, at) for bound, at in bounds.items())
    if not math.isfinite(number) or not is_within:
        wanted = " and ".join(f"{BOUNDS[bound][0]} {at}" for bound, at in bounds.items())
        raise ValueError(f"{name} must be {wanted or 'finite'}, not {value!r}")
    return number


def check_sizes(
    value: object, name: str, wanted: str, lengths: Sequence[int] = (2, 3)
) -> tuple[int, ...]:
    """Whole numbers above 0, as many as one of some lengths; `wanted` says which."""
    if not isinstance(value, (tuple, list)) or len(value) not in lengths:
        raise TypeError(f"{name} must be {wanted}, not {value!r}")
    return tuple(check_count(size, f"each of {name}") for size in value)


def check_interval(value: object, name: str, least: float, most: float) -> tuple[float, float]:
    """(start, stop) with least <= start < stop <= most."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (start, stop), not {value!r}")
    start, stop = (
        check_number(bound, f"{name}[{i}]", least=least, most=most) for i, bound in enumerate(value)
    )
    if start >= stop:
        raise ValueError(f"{name} must have its start below its stop, not {value!r}")
    return start, stop


def check_file_name(value: object, name: str) -> str:
    """A text that names a file in a folder, and no place outside of it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {value!r}")
    if value in ("", ".", "..") or any(char in value for char in "/\\\0"):
        raise ValueError(f"{name} must be the name of a file, without folders, not {value!r}")
    return value


def check_names(values: object, name: str) -> tuple[str, ...]:
    """Texts; one alone is not a sequence of its letters."""
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) for v in values):
        raise TypeError(f"{name} must be a list of names, not {values!r}")
    return tuple(values)


def check_choice(value: Any, name: str, choices: Iterable) -> Any:
    """One of the choices."""
    choices = tuple(choices)
    if not any(isinstance(value, type(choice)) and value == choice for choice in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
    return value


def check_flag(value: object, name: str) -> bool:
    """A bool (0 and 1 count)."""
    is_flag = isinstance(value, (bool, np.bool_, numbers.Integral)) and value in (0, 1)
    if not is_flag:
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def check_generator(value: object, name: str) -> np.random.Generator:
    """The Generator of an integer at least 0, of a RandomState, or itself; None gives any."""
    if value is None or isinstance(value, np.random.Generator):
        return np.random.default_rng(value)
    if isinstance(value, np.random.RandomState):
        return np.random.default_rng(value.randint(2**31))
    return np.random.default_rng(check_count(value, name, least=0))


def as_array(value: Any, name: str) -> np.ndarray:
    """Return an array of real numbers (or of bools); what is masked becomes NaN."""
    if np.ma.is_masked(value) and value.dtype.kind in "fiub":
        return value.astype(np.result_type(value, np.float32)).filled(np.nan)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be an array of real numbers, not of dtype {array.dtype}")
    return array


@contextmanager
def wants_numbers(name: str) -> Iterator[None]:
    """Names the parameter in what scikit-learn and NumPy say of values that are no numbers."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        if not any(words in str(error) for words in ("float", "array element", "Complex data")):
            raise
        raise type(error)(f"{name} must hold numbers: {error}") from error


def check_array(
    value: Any,
    name: str,
    ndim: int | tuple[int, ...],
    dtype: DTypeLike | None = None,
    shape: Sequence[int] | None = None,
    n_columns: int | None = None,
    allows_nan: bool = False,
) -> np.ndarray:
    """A finite float array that is not empty.

    Parameters
    ----------
    value : array
        Real numbers.
    name : str
        Of the parameter, for the errors.
    ndim : int or tuple of int
        Axes it must have, or the numbers of axes that it may have.
    dtype : dtype, default=None
        Of the result; None keeps float32 and float64 and makes all others float64.
    shape : tuple of int, default=None
        Shape it must have.
    n_columns : int, default=None
        Length that its second axis must have.
    allows_nan : bool, default=False
        True refuses infinity alone.

    Returns
    -------
    array : array
        The value itself where its dtype is that of the result.

    Raises
    ------
    ValueError
        With the name, and what is wrong.
    """
    if issparse(value):
        raise TypeError(
            f"{name} is a sparse matrix, but a dense array is required. Call "
            f"{name}.toarray() first."
        )
    if is_on_device(value) or is_dtype_of_tensors(dtype):
        from .tensors import float_tensor

        array = float_tensor(value, name, dtype)
    else:
        array = as_array(value, name)
    check_shape(array, name, ndim, shape, n_columns)
    if not is_tensor(array):
        wanted = dtype or (array.dtype if array.dtype in (np.float32, np.float64) else np.float64)
        with np.errstate(over="ignore"):  # an infinity is rejected
            array = array.astype(wanted, copy=False)
    _refuse_non_finite(array, name, allows_nan)
    return array


def check_shape(
    array: Any,
    name: str,
    ndim: int | tuple[int, ...],
    shape: Sequence[int] | None = None,
    n_columns: int | None = None,
) -> None:
    """An error for an array that is empty or of another shape."""
    allowed = ndim if isinstance(ndim, tuple) else (ndim,)
    if array.ndim not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise ValueError(f"{name} must have {wanted} axes, not shape {tuple(array.shape)}")
    if shape is not None and tuple(array.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, not {tuple(array.shape)}")
    if 0 in array.shape:
        raise ValueError(f"{name} is empty, its shape is {tuple(array.shape)}")
    if n_columns is not None and array.shape[1] != n_columns:
        raise ValueError(f"{name} must have {n_columns} columns, not {array.shape[1]}")


def _in_parts(array, rows=4096):
    """(first row, rows) of an array, in parts so that a memory map stays one; a tensor is whole."""
    rows = len(array) if is_tensor(array) else rows
    return ((start, array[start : start + rows]) for start in range(0, len(array), rows))


def _refuse_non_finite(array, name, allows_nan):
    """An error for NaN or infinity."""
    refused, xp = "infinity" if allows_nan else "NaN or infinity", namespace(array)
    for start, part in _in_parts(array):
        if xp.isfinite(xp.vdot(part, part)):  # in a third of the time, where no square overflows
            continue
        is_fine = xp.isfinite(part)
        if allows_nan and not is_fine.all():
            is_fine |= xp.isnan(part)
        if not is_fine.all():
            bad, place = first_place(~is_fine, start)
            raise ValueError(f"{name} must hold no {refused}, but it is {part[bad]} at {place}")


def first_place(is_bad: Any, start: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The first bad place: among these rows, and in the array that they begin at `start`."""
    row, *columns = (int(i) for i in namespace(is_bad).argwhere(is_bad)[0])
    return (row, *columns), (start + row, *columns)


def check_squares(patches: np.ndarray, name: str) -> int:
    """The side, in pixels, of square patches (n_patches, width^2)."""
    width = round(patches.shape[1] ** 0.5)
    if width**2 != patches.shape[1]:
        raise ValueError(
            f"each row of {name} must be a square patch, but has {patches.shape[1]} pixels"
        )
    return width


def check_sparse(value: Any, name: str) -> csr_array:
    """A sparse array as CSR whose indices have been looked at: SciPy computes with any, and reads
    past its arrays.
    """
    if value.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, not {value.dtype}")
    try:
        if value.format in ("csr", "csc", "bsr"):
            value.check_format(full_check=True)
        elif value.format == "coo":  # looks when it is made
            value = coo_array((value.data, (value.row, value.col)), shape=value.shape)
        return value.tocsr()
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"{name} is a damaged sparse array: {error}") from error


def check_code(value: Any, name: str) -> np.ndarray | csr_array:
    """A code (n_samples, n_dictionary) of finite floats: a dense array, or CSR that is whole."""
    if not issparse(value):
        return check_array(value, name, ndim=2)
    code = check_sparse(value, name)
    if not code.data.size:  # no atom is used
        return code
    values = check_array(code.data, name, ndim=1)
    return csr_array((values, code.indices, code.indptr), shape=code.shape)


def check_magnitude(array: np.ndarray, name: str, most: float) -> None:
    """An error for a number of which sums or squares would overflow."""
    for start, part in _in_parts(array):
        if max(part.max(), -part.min()) > most:
            bad, place = first_place(abs(part) > most, start)
            raise ValueError(
                f"{name} must hold no number beyond {most:.3g}, whose sums {array.dtype} "
                f"cannot hold, but it is {part[bad]:.3g} at {place}. Scale {name}."
            )
