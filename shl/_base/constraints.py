"""Constraints of parameters, declared once, where a parameter is.

An annotation carries the constraint, as in `eta: Positive = 0.04`.  From it come the check, the
range in the errors, the command's help and the docs, and the values of the fuzz test.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial, wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np

from .checks import (
    BOUNDS,
    check_array,
    check_choice,
    check_count,
    check_flag,
    check_interval,
    check_names,
    check_number,
    check_sizes,
)
from .parameters import check_keywords


@dataclass(frozen=True, eq=False)
class Constraint:
    """What a parameter may be.

    Parameters
    ----------
    check : callable
        check(value, name) returns the value, or raises an error with name, value and range.
    text : str
        The range, for help and docs.
    good, bad : tuple
        Some values that it accepts, and some that it rejects.
    """

    check: Callable[[Any, str], Any]
    text: str
    good: tuple = ()
    bad: tuple = ("no such value", b"", (), 1j, np.nan)


def count(least: float = 1, most: float = np.inf) -> Constraint:
    """An integer in [least, most]."""
    text = f"an integer, at least {least}" + (f" and at most {most}" if most < np.inf else "")
    good = tuple(bound for bound in (least, most) if abs(bound) < np.inf)
    bad = (least - 1, most + 1, 1.5, np.nan, "1")
    check = partial(check_count, least=least, most=most if most < np.inf else None)
    return Constraint(check, text, good, bad)


def number(**bounds: Any) -> Constraint:
    """A finite number; bounds: least, above, most, below."""
    text = " and ".join(f"{BOUNDS[bound][0]} {value:g}" for bound, value in bounds.items())
    good = tuple(float(bounds[bound]) for bound in ("least", "most") if bound in bounds)
    signs = {"least": -1, "above": 0, "most": 1, "below": 0}
    outside = tuple(value + signs[bound] * (1 + abs(value)) for bound, value in bounds.items())
    bad = (*outside, np.nan, np.inf, "1", 1j, [1.0])
    return Constraint(partial(check_number, **bounds), f"a number {text}", good, bad)


def choice(choices: Iterable) -> Constraint:
    """One of the choices."""
    choices = tuple(choices)
    text = f"one of {', '.join(map(repr, choices))}"
    return Constraint(lambda value, name: check_choice(value, name, choices), text, choices)


def pair(least: float, most: float) -> Constraint:
    """(start, stop) with least <= start < stop <= most."""
    text = f"a pair (start, stop) with {least} <= start < stop <= {most}"
    bad = ((most, least), (least,), (least, most + 1), 0.5, "ab")
    check = partial(check_interval, least=least, most=most)
    return Constraint(check, text, ((least, most),), bad)


def sizes(text: str) -> Constraint:
    """Two or three whole numbers above 0, such as the shape of a patch."""
    bad = (4, (4,), (0, 4), (4, 4.5), "44")
    check = partial(check_sizes, wanted=text)
    return Constraint(check, text, ((4, 4), [2, 8], (1, 16, 1)), bad)


def array(ndim: int, **options: Any) -> Constraint:
    """An array of finite numbers with `ndim` axes, see `check_array`."""
    check = partial(check_array, ndim=ndim, **options)
    bad = (np.zeros((2,) * ndim + (0,)), np.full((1,) * ndim, np.inf), "ab")
    return Constraint(check, f"an array of {ndim} axes", (np.ones((1,) * ndim),), bad)


def instance(*kinds: type, text: str, good: tuple = ()) -> Constraint:
    """An object of one of the classes."""

    def check(value, name):
        if not isinstance(value, kinds):
            raise TypeError(f"{name} must be {text}, not {value!r}")
        return value

    return Constraint(check, text, good, bad=(0.5, object()))


Count = Annotated[int, count()]
CountOrZero = Annotated[int, count(0)]
Quantiles = Annotated[int, count(2)]
Text = Annotated[str, instance(str, text="a text")]
Flag = Annotated[bool, Constraint(check_flag, "True or False", (True, 0), (2, "yes", None, 0.5))]
Positive = Annotated[float, number(above=0)]
NotNegative = Annotated[float, number(least=0)]
Share = Annotated[float, number(least=0, most=1)]  # 0 and 1 included
PositiveShare = Annotated[float, number(above=0, most=1)]
ShareBelowOne = Annotated[float, number(least=0, below=1)]
InnerShare = Annotated[float, number(above=0, below=1)]
Names = Annotated[Sequence[str], Constraint(check_names, "a list of names", (["a"],), ("a", [1]))]
Interval = Annotated[tuple[float, float], pair(0, 1)]
Vector = Annotated[np.ndarray, array(1)]
Matrix = Annotated[np.ndarray, array(2)]
PathLike = Annotated[str, instance(str, Path, text="a text or a path", good=("folder",))]


# ------------------------------------------------------------------------------- tables of a class


def _constraint_of(annotation):
    """The constraint that an annotation carries, also in a union with None."""
    if get_origin(annotation) is Annotated:
        return next((m for m in annotation.__metadata__ if isinstance(m, Constraint)), None)
    found = (_constraint_of(part) for part in get_args(annotation))
    inner = next(filter(None, found), None)
    if inner is None or type(None) not in get_args(annotation):
        return inner

    def check(value, name):
        return None if value is None else inner.check(value, name)

    bad = tuple(value for value in inner.bad if value is not None)
    return Constraint(check, f"{inner.text}, or None", (*inner.good, None), bad)


def kinds_of(annotation: Any) -> tuple[type, ...]:
    """The plain types of an annotation, in their order."""
    if get_origin(annotation) is Annotated:
        return (annotation.__origin__,)
    parts = get_args(annotation)
    return tuple(kind for part in parts for kind in kinds_of(part)) if parts else (annotation,)


@cache
def constraints_of(owner: Callable) -> Mapping[str, Constraint]:
    """The table of a class or function: from the names of its parameters to their constraints."""
    if is_dataclass(owner):
        annotations = {field.name: field.type for field in fields(owner)}
    else:
        annotations = {n: p.annotation for n, p in signature(owner).parameters.items()}
    found = {name: _constraint_of(annotation) for name, annotation in annotations.items()}
    return {name: constraint for name, constraint in found.items() if constraint is not None}


def check_fields(thing: Any) -> dict[str, Any]:
    """The fields of an object, by name, as the constraints of its class return them."""
    owner: Any = type(thing)
    table = constraints_of(owner).items()
    return {name: constraint.check(getattr(thing, name), name) for name, constraint in table}


class Checked:
    """A dataclass whose fields are checked while an object is made."""

    def __post_init__(self) -> None:
        for name, value in check_fields(self).items():
            object.__setattr__(self, name, value)


def checked(function: Callable) -> Callable:
    """A function, or an `__init__`, that checks its arguments before it runs."""
    described, table = signature(function), constraints_of(function)

    @wraps(function)
    def call(*values, **parameters):
        given = described.bind(*values, **parameters)
        for name in given.arguments.keys() & table.keys():
            given.arguments[name] = table[name].check(given.arguments[name], name)
        return function(*given.args, **given.kwargs)

    return check_keywords(call)
