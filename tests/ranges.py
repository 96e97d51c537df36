"""What is outside the ranges that a class or function declares."""

import re

import numpy as np
import pytest

from shl._base.constraints import constraints_of


def assert_rejects(owner, call, head=""):
    """Each bad value of each parameter is an error of the call, which names it, range and value."""
    table = constraints_of(owner)
    assert table
    for name, constraint in table.items():
        assert constraint.bad, name
        for value in constraint.bad:
            words = rf"{head}\b{name}\b.* must (be|hold|have) .+, {shown_of(value)}"
            with pytest.raises((TypeError, ValueError), match=words):
                call(**{name: value})


def shown_of(value):
    """What an error shows of a bad value: itself, one of its parts, or what it is as an array."""
    if isinstance(value, np.ndarray):
        return "(not shape|but it is)"
    shown = [value, *value] if isinstance(value, list | tuple) else [value]
    texts = [*map(repr, shown), *([f"of dtype <U{len(value)}"] if isinstance(value, str) else [])]
    return f"not ({'|'.join(map(re.escape, texts))})"
