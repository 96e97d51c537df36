"""What arrays from disk, or from users, must be before anything computes with them.

Kernels look at no bounds: an array of another shape would be read past its end.  A schema is a dict
from the names of arrays, `*` for any, to a `Field`; the first name that fits counts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np


@dataclass(frozen=True)
class Field:
    """What one array must be.

    Parameters
    ----------
    shape : tuple of str or int
        A name is one length in all arrays of a schema; a last name that begins with `...` stands
        for all axes that are left, which `...` alone does not compare.
    kinds : str, default="f"
        Kinds of dtype; floats are float32 or float64.
    least, most : float, optional
        Bounds of its values.
    is_finite : bool, default=True
        False lets it hold NaN and infinity.
    is_optional : bool, default=False
        True lets it be missing.
    fails : callable, optional
        fails(array) is what is wrong with it, or None.
    """

    shape: tuple
    kinds: str = "f"
    least: float | None = None
    most: float | None = None
    is_finite: bool = True
    is_optional: bool = False
    fails: Callable[[np.ndarray], str | None] | None = None


def check(arrays: Mapping[str, np.ndarray], schema: Mapping[str, Field]) -> dict[str, np.ndarray]:
    """The arrays, C-ordered, if they are what the schema says.

    Raises
    ------
    ValueError
        With the name of the array, and what is wrong.
    """
    missing = [
        name
        for name, field in schema.items()
        if not field.is_optional and "*" not in name and name not in arrays
    ]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    sizes: dict = {}
    return {name: _checked(name, array, schema, sizes) for name, array in arrays.items()}


def _checked(name, array, schema, sizes):
    """One array; sizes are those known from the arrays before, and this one's are added."""
    field = next((schema[pattern] for pattern in schema if fnmatchcase(name, pattern)), None)
    if field is None:
        raise ValueError(f"{name} is not known")
    array = np.asarray(array)
    if field.kinds == "iu" and array.dtype.kind in field.kinds:
        array = array.astype(np.int64, copy=False)  # counts go on growing
    dtype = array.dtype
    is_float = dtype.kind == "f" and dtype in (np.float32, np.float64) and dtype.isnative
    if dtype.kind not in field.kinds or (dtype.kind == "f" and not is_float):
        raise ValueError(f"{name} must not have the dtype {dtype}")
    _match_axes(name, array.shape, field.shape, sizes)
    if field.is_finite and not np.isfinite(array).all():
        raise ValueError(f"{name} must hold no NaN or infinity")
    if field.least is not None and array.size and array.min() < field.least:
        raise ValueError(f"{name} must be at least {field.least}, not {array.min()}")
    if field.most is not None and array.size and array.max() > field.most:
        raise ValueError(f"{name} must be at most {field.most}, not {array.max()}")
    wrong = field.fails and field.fails(array)
    if wrong:
        raise ValueError(f"{name} {wrong}")
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _match_axes(name, shape, wanted, sizes):
    """An error unless the axes have the lengths known so far; new ones are noted."""
    last = str(wanted[-1]) if wanted else ""
    if last.startswith("..."):
        wanted, rest = wanted[:-1], shape[len(wanted) - 1 :]
        is_right = len(shape) >= len(wanted) and (
            last == "..." or sizes.setdefault(last, rest) == rest
        )
    else:
        is_right = len(shape) == len(wanted)
    lengths = [axis if isinstance(axis, int) else sizes.get(axis) for axis in wanted]
    known = zip(shape, lengths, strict=False)
    if not is_right or any(length not in (None, size) for size, length in known):
        full = (*lengths, *sizes.get(last, ())) if last.startswith("...") else lengths
        text = ", ".join("any" if length is None else str(length) for length in full)
        raise ValueError(f"{name} must have the shape ({text}), not {tuple(map(int, shape))}")
    sizes.update(zip((axis for axis in wanted if isinstance(axis, str)), shape, strict=False))


def check_keys(found: Iterable[str], wanted: Iterable[str], name: str) -> None:
    """An error unless the names are those wanted."""
    if set(found) != set(wanted):
        raise ValueError(f"{name} must have the names {sorted(wanted)}, not {sorted(found)}")


# ------------------------------------------------------------------------------------ what is wrong


def not_of_norm_1(atoms: np.ndarray) -> str | None:
    """Atoms must have a direction, and a norm of 1."""
    if not atoms.size:
        return "is empty"
    flat = atoms.reshape(len(atoms), -1).astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    worst = int(np.argmax(np.abs(norms - 1)))
    if abs(norms[worst] - 1) > 1e-3:
        return f"must hold atoms of norm 1; atom {worst} has norm {norms[worst]:.3g}"
    return None


def not_distributions(P_cum: np.ndarray) -> str | None:
    """Distributions do not decrease."""
    if P_cum.shape[1] < 2:
        return "must have at least 2 columns"
    return "must not decrease along its rows" if np.diff(P_cum, axis=1).min() < -1e-6 else None
