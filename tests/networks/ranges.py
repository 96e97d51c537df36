"""What is outside the ranges that a class or function declares."""

import pytest

from shl._base.constraints import constraints_of


def assert_rejects(owner, call, head=""):
    """Each bad value of each parameter is an error of the call that names it, after a head."""
    for name, constraint in constraints_of(owner).items():
        for value in constraint.bad:
            with pytest.raises((TypeError, ValueError), match=f"{head}{name}"):
                call(**{name: value})
