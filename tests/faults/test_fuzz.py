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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from shl import SHL, SHL_set, SparseHebbianLearning, images, metrics, sparse_encode, store
from shl.coding import Competition, Events
from shl.convolution import ConvolutionalCode, ConvolutionalSHL, convolutional_encode
from shl.datasets import make_sparse_coded_signals, make_spikes
from shl.homeostasis import RULES, make_rule
from shl.transformer import SparseCoder

N_CALLS = int(os.environ.get("SHL_FAULT_CALLS", 400))  # of the slow test; 20000 is all of it
MOST_SECONDS = 10
RNG = np.random.default_rng(0)
ATOMS = RNG.standard_normal((12, 9))
ATOMS /= np.linalg.norm(ATOMS, axis=1, keepdims=True)
X = RNG.standard_normal((40, 9))
IMAGES = RNG.standard_normal((2, 1, 12, 13))
KERNELS = RNG.standard_normal((4, 1, 3, 3))
KERNELS /= np.sqrt((KERNELS**2).sum(axis=(1, 2, 3), keepdims=True))
TABLE = np.tile(np.linspace(0, 1, 9), (12, 1))


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
# An integer that is no bad value, but asks for years.
SHORT = st.one_of(st.integers(-3, 5), st.sampled_from([0.5, "x", None, np.uint8(3), np.nan, [2]]))
LONG = ("n_iter", "n_jobs", "max_iter", "record_each")


def learn(X=X, sample_weight=None, **parameters):
    """A model, what it codes and decodes, and a pass more."""
    model = SparseHebbianLearning(**parameters).fit(X, sample_weight=sample_weight)
    code = model.transform(X)
    model.partial_fit(X)
    return [code, model.inverse_transform(code), model.components_, model.P_cum_]


def learn_images(X=IMAGES, gain=None, **parameters):
    model = ConvolutionalSHL(**parameters).fit(X)
    code = model.transform(X, gain=gain)
    return [code.value, model.inverse_transform(code), model.components_]


def experiment(**parameters):
    return [SHL(**{"cache_dir": None, **parameters}).patches.N_patches]


def scan(opts=None, values=None, variables="eta", **parameters):
    return [len(SHL_set({"cache_dir": None}, values=values, **parameters).tasks(variables))]


def use_events(indices, values, n_dictionary):
    events = Events(indices, values, n_dictionary)
    found = [events.to_dense(), events.counts(), events.power_sums(2), events.count_pairs()]
    return [*found, events.count_quantiles(1.0, 5), metrics.variance(events)]


def use_code(**parts):
    code = ConvolutionalCode(**parts)
    return [code.toarray(), code.counts(), code.reconstruct(KERNELS, (12, 13))]


def encode_images(X, dictionary, **parameters):
    return [convolutional_encode(X, dictionary, **parameters).value]


def code_by(X, **parameters):
    coder = SparseCoder(**parameters)
    code = coder.fit(X).transform(X)
    return [code, coder.inverse_transform(code), coder.score(X)]


def hide(X):
    """X with every third entry missing, where it is an array of floats."""
    if not isinstance(X, np.ndarray) or X.dtype.kind != "f":
        return X
    X = X.copy()
    X.flat[::3] = np.nan
    return X


def draw_rule(name="HAP", **parameters):
    rule = make_rule(name, **parameters)
    competition = rule.competition(rule.init(5, 0.2, np.float64))
    return [part for part in (competition.gain, competition.P_cum) if part is not None]


def events_of(n=5):
    return {
        "image": np.sort(RNG.integers(0, 2, n)).astype(np.int32),
        "atom": RNG.integers(0, 4, n).astype(np.int32),
        "row": RNG.integers(0, 10, n).astype(np.int32),
        "column": RNG.integers(0, 11, n).astype(np.int32),
        "value": RNG.standard_normal(n),
        "shape": (2, 4, 10, 11),
    }


def defaults(function, *left_out):
    import inspect

    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("self", *left_out)}


MODEL = defaults(SparseHebbianLearning.__init__, "verbose")
MODEL |= {"n_dictionary": 12, "l0_sparseness": 3, "n_iter": 3, "batch_size": 20, "X": X}
MODEL |= {"record_each": 2, "record_num_batches": 8, "random_state": 0, "sample_weight": None}
CONV = defaults(ConvolutionalSHL.__init__, "verbose")
CONV |= {"n_dictionary": 4, "patch_width": 3, "l0_sparseness": 4, "n_iter": 2, "X": IMAGES}
CONV |= {"gain": None, "random_state": 0, "record_each": 1}
EXPERIMENT = SHL(cache_dir=None).parameters()
del EXPERIMENT["verbose"]
CALLS = {
    "sparse_encode": (
        lambda **options: [sparse_encode(**options)],
        {**defaults(sparse_encode), "X": X, "dictionary": ATOMS, "l0_sparseness": 3}
        | {"sparse_output": False},
    ),
    "sparse_encode with gaps": (
        lambda X, **options: [sparse_encode(hide(X), **options)],
        {**defaults(sparse_encode), "X": X, "dictionary": ATOMS, "l0_sparseness": 3}
        | {"sparse_output": False, "algorithm": "omp", "missing": "mask"},
    ),
    "learning with gaps": (
        lambda X, **options: learn(hide(X), **options),
        {**MODEL, "missing": "mask"},
    ),
    "convolutional_encode": (
        encode_images,
        {**defaults(convolutional_encode, "verbose"), "X": IMAGES, "dictionary": KERNELS}
        | {"l0_sparseness": 4},
    ),
    "SparseHebbianLearning": (learn, MODEL),
    "ConvolutionalSHL": (learn_images, CONV),
    "SparseCoder": (code_by, {**defaults(SparseCoder.__init__), "X": X, "dictionary": ATOMS}),
    "SHL": (experiment, EXPERIMENT),
    "SHL_set": (
        scan,
        {"values": None, "variables": "eta", "N_scan": 3, "base": 4.0, "tag": "x", "data": None},
    ),
    "Events": (
        use_events,
        {"indices": RNG.integers(0, 7, (5, 3)).astype(np.int32), "values": RNG.random((5, 3))}
        | {"n_dictionary": 7},
    ),
    "ConvolutionalCode": (use_code, events_of()),
    "make_rule": (draw_rule, {"name": "HAP", "eta_homeo": 0.01, "alpha_homeo": 0.05, "C": 3.0}),
    "to_grey": (lambda pixels: [images.to_grey(pixels)], {"pixels": np.ones((3, 4, 3))}),
    "make_sparse_coded_signals": (
        lambda **options: list(make_sparse_coded_signals(**options)),
        {**defaults(make_sparse_coded_signals), "n_samples": 20, "n_pixels": 9, "n_atoms": 12},
    ),
    "make_spikes": (
        lambda **options: list(make_spikes(**options)),
        {**defaults(make_spikes), "n_samples": 20, "n_templates": 5},
    ),
    "key_of": (lambda value: [store.key_of({"value": value})], {"value": 3}),
    "path": (
        lambda tag: [store.Store("folder").path("data", "0" * 32, tag)],
        {"tag": "a readable name"},
    ),
}
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


def attempt(name, options, tries=2):
    """What is wrong with a call, or None."""
    function, began = CALLS[name][0], time.process_time()
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
        return attempt(name, options, tries - 1)
    if seconds > MOST_SECONDS:
        return f"took {seconds:.0f} s"
    if said is not None:
        known = (*options, *ALSO_NAMED)
        return None if any(word in said for word in known) else f"names nothing: {said}"
    if all(map(is_finite, options.values())) and holds_nan(found):
        return "NaN"
    return None


@st.composite
def calls(draw):
    """A function, and its arguments, a few of them odd."""
    name = draw(st.sampled_from(sorted(CALLS)))
    good = CALLS[name][1]
    changed = draw(st.lists(st.sampled_from(sorted(good)), min_size=1, max_size=3, unique=True))
    odd = {each: draw(SHORT if each in LONG else ANY) for each in changed}
    return name, {**good, **odd}


def profile(n_calls):
    return settings(
        max_examples=n_calls,
        deadline=timedelta(seconds=120),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


@profile(200)
@given(calls())
def test_some_odd_calls(call):
    name, options = call
    assert attempt(name, options) is None, call


@pytest.mark.slow
@pytest.mark.timeout(0)
@profile(N_CALLS)
@given(calls())
def test_odd_calls(call):
    name, options = call
    assert attempt(name, options) is None, call


def test_good_calls_are_good():
    for name, (_, good) in CALLS.items():
        assert attempt(name, good) is None, name
    assert set(RULES) and len(CALLS) > 12
