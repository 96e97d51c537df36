"""Calls of the public functions with odd arguments: an error that names its parameter, or a result
without NaN, soon, and never the end of the process.
"""

import os
import time
import warnings
from datetime import timedelta
from fractions import Fraction

import numpy as np
import pytest
from calls import ATOMS, CALLS, IMAGES, KERNELS, LONG, OWNERS, TABLE, X
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ranges import assert_rejects
from scipy import sparse

from shl._base.constraints import constraints_of
from shl.coding.competition import Competition

N_CALLS = int(os.environ.get("SHL_FAULT_CALLS", 2000))  # of the slow test
MOST_SECONDS = 10


class Odd:
    """An object of no kind."""

    def __repr__(self):
        return "an odd object"


NUMBERS = st.one_of(
    st.integers(-3, 60),
    st.sampled_from([0, -1, 10**18, 10**400, -(10**400), 2**31, 2**63, True, False]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1e-300, 1e300, 0.5, -0.0, 1e-45, 3e38]),
    st.sampled_from([np.uint8(200), np.int8(-1), np.float16(0.5), np.uint64(3), np.bool_(True)]),
    st.sampled_from([Fraction(1, 3), 1j, np.float64("nan"), np.datetime64("2020-01-01")]),
)
OTHERS = st.sampled_from(
    [None, "", "mp", "omp", "HEH", "no such name", b"mp", "\0", "字" * 50, [], [1, 2], (0.2, 0.5)]
    + [(1, 0), {}, {"a": 1}, {1, 2}, Odd(), len, int, ..., range(3), [None], [[1.0], [2.0, 3.0]]]
    + [np.zeros(0), np.array([1, 0]), np.array(["mp", "omp"]), sparse.csr_array(X)]
    + [Competition(gain=np.ones(12)), Competition(gain=np.ones(3)), Competition(P_cum=TABLE, C=1.0)]
)
DTYPES = st.sampled_from(
    [float, np.float32, np.float16, int, np.uint8, bool, complex, object, "U3"]
)


@st.composite
def arrays(draw):
    """Arrays of odd shapes, dtypes and values, some of them near the good ones."""
    base = draw(st.sampled_from([X, ATOMS, IMAGES, KERNELS, TABLE, X[0], X[:0], X[:, :0], X[:1]]))
    array = base.copy()
    for _ in range(draw(st.integers(0, 2))):
        way, array = draw(st.integers(0, 7)), array.copy()
        if way == 0 and array.size:
            value = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e200, 1e-310, 1e19]))
            array.flat[draw(st.integers(0, array.size - 1))] = value
        elif way == 1:
            scale = draw(st.sampled_from([1e-300, 1e-160, 1e-30, 1e18, 1e150, 1e300, 0, -1]))
            with np.errstate(all="ignore"):
                array = array * scale
        elif way == 2:
            array = array.T
        elif way == 3:
            array = array[None]
        elif way == 4 and array.ndim:
            array = array[..., ::2]
        elif way == 5 and array.ndim > 1:
            array = np.asfortranarray(array)
        elif way == 6:
            array = np.repeat(array, 2, axis=0) if array.ndim else array
        elif way == 7:
            array.flags.writeable = False
    dtype = draw(DTYPES)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return array if draw(st.booleans()) else array.astype(dtype)


ANY = st.one_of(NUMBERS, OTHERS, arrays())
SHORT = st.one_of(st.integers(-3, 5), st.sampled_from([0.5, "x", None, np.uint8(3), np.nan, [2]]))


EXPECTED = (ValueError, TypeError, ArithmeticError)  # FloatingPointError is of learning
ALSO_NAMED = (
    "SparseCoder",
    "SparseHebbianLearning",
    "resume",
    "features",
    "sample",
    "learning",
    "homeo_method",
    "dict_init",
    "atoms",
)


def is_finite(value):
    """Whether an array of input has only numbers in it, or is none."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(np.isfinite(np.asarray(value, float)).all())
    except (TypeError, ValueError, OverflowError):
        return True


def holds_nan(found):
    arrays = [part.toarray() if sparse.issparse(part) else part for part in found]
    return any(
        np.asarray(part).dtype.kind in "fc" and not np.isfinite(np.asarray(part)).all()
        for part in arrays
    )


def attempt(function, options, tries=2):
    """What is wrong with a call, or None."""
    began = time.process_time()
    said = None
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = function(**options)
        except EXPECTED as error:
            said = str(error)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    seconds = time.process_time() - began
    if seconds > MOST_SECONDS and tries > 1:  # of these, some may have been a compiler's
        return attempt(function, options, tries - 1)
    if seconds > MOST_SECONDS:
        return f"took {seconds:.0f} s"
    if said is not None:
        known = (word.casefold() for word in (*options, *ALSO_NAMED))
        return None if any(word in said.casefold() for word in known) else f"names nothing: {said}"
    if all(map(is_finite, options.values())) and holds_nan(found):
        return "NaN"
    return None


@st.composite
def odd_calls(draw, table):
    """The name of a function, the function, and its arguments, a few of them odd."""
    name = draw(st.sampled_from(sorted(table)))
    function, good = table[name]
    changed = draw(st.lists(st.sampled_from(sorted(good)), min_size=1, max_size=3, unique=True))
    limits = constraints_of(OWNERS[name]) if name in OWNERS else {}
    odd = {each: draw(SHORT if each in LONG else ANY) for each in changed}
    for each in limits.keys() & odd.keys():  # near the bounds of its range
        if draw(st.booleans()):
            odd[each] = draw(st.sampled_from(limits[each].good + limits[each].bad))
    return name, function, {**good, **odd}


def profile(n_calls):
    return settings(
        max_examples=n_calls,
        deadline=timedelta(seconds=120),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def check(call):
    _, function, options = call
    assert attempt(function, options) is None, call


@profile(200)
@given(odd_calls(CALLS))
def test_some_odd_calls(call):
    check(call)


@pytest.mark.slow
@pytest.mark.timeout(0)
@profile(N_CALLS)
@given(odd_calls(CALLS))
def test_odd_calls(call):
    check(call)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_odd_calls_of_networks():
    pytest.importorskip("skorch")
    from network_calls import CALLS

    profile(N_CALLS // 4)(given(odd_calls(CALLS))(check))()


@pytest.mark.parametrize("name", OWNERS)
def test_values_out_of_range_are_rejected(name):
    function, good = CALLS[name]
    assert_rejects(OWNERS[name], lambda **values: function(**good | values))


def test_good_calls_are_good():
    for name, (function, good) in CALLS.items():
        assert attempt(function, good) is None, name
    assert len(CALLS) > 45
