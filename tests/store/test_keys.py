"""What a key stands for: equal for the same parameters, never for two things."""

import functools
import importlib
import operator
import re
import shutil
import threading
import types
import weakref
from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import field, make_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from making import EXPERIMENT
from running import run
from scipy import sparse

import shl
from shl import SHL, store
from shl.learning import checkpoints
from shl.learning.homeostasis import ActivationRule
from shl.store import keys

OPTS = EXPERIMENT | {"N_patches": 300, "n_dictionary": 20, "batch_size": 50, "record_each": 0}
RULE = """
class Mine(ActivationRule):
    strength = {strength}
    def gain(self, p, target, *, power={power}):
        {comment}
        return (target / p) ** power
"""


def make_rule(strength=1, power=0.5, comment="pass"):
    """A rule of a user, as it is written in a file."""
    names = {"__name__": "mine", "ActivationRule": ActivationRule}
    exec(RULE.format(strength=strength, power=power, comment=comment), names)
    return names["Mine"](0.05, 0.05)


def test_an_edited_rule_uses_no_checkpoint(tmp_path):
    def last_step(rule):
        shl = SHL(**OPTS, homeo_method=rule, cache_dir=tmp_path)
        path = shl.result_path(data=shl.get_data(), matname="own")
        with checkpoints.Checkpoints(shl.store, path) as context:
            state = context.last()
        return state and state.step

    def stop(state):
        if state.step == 4:
            raise InterruptedError

    shl = SHL(**OPTS, homeo_method=make_rule(), cache_dir=tmp_path)
    path = shl.result_path(data=shl.get_data(), matname="own")
    with pytest.raises(InterruptedError), checkpoints.Checkpoints(shl.store, path) as context:
        shl._estimator().fit(
            shl.get_data(), on_step=lambda state: (context.step_done(state), stop(state))[1]
        )
    assert last_step(make_rule()) == last_step(make_rule(comment="pass  # a comment")) == 4
    edits = {"power": 0.25}, {"strength": 2}, {"comment": "p = p + 0"}
    assert [last_step(make_rule(**edit)) for edit in edits] == [None] * 3


# Two values that differ, of a kind; in each way an object can hold a value they give two objects.


def two_values(rng):
    """Two plain values of one kind that differ."""
    m, n = rng.choice(10**6, 2, replace=False).tolist()
    x, y = rng.standard_normal(2).tolist()
    kinds = [
        (m, n),
        (x, y),
        (1, True),
        (n, float(n)),
        (str(m), str(n)),
        (n, str(n)),
        (str(n).encode(), str(m).encode()),
        (str(n), str(n).encode()),
        (complex(x, y), complex(y, x)),
        (Fraction(n, m + 1), Fraction(n + 1, m + 1)),
        (Decimal(m), Decimal(n)),
        (np.float32(n), np.float64(n)),
        (np.float32(x), np.float32(y)),
        (np.int8(n % 99), np.int8(n % 99 + 1)),
        ((m, n), (n, m)),
        ((m, n), [m, n]),
        ({m, n}, {m, n + 10**6}),
        (frozenset({m}), frozenset({n})),
        (frozenset({m}), {m}),
        ({"a": m}, {"a": n}),
        ({"a": m}, {"b": m}),
        ({m: 1}, {str(m): 1}),
        (range(m), range(n)),
        (slice(m), slice(n)),
        (np.arange(m % 9 + 1), np.arange(m % 9 + 2)),
        (np.array([x, y]), np.array([y, x])),
        (np.array([n], np.int32), np.array([n], np.int64)),
        (np.array([(n, m)], "i8,i8"), np.array([(n, m)], [("a", "i8"), ("b", "i8")])),
        (np.ma.array([x, y], mask=[0, 1]), np.ma.array([x, y], mask=[1, 0])),
        (np.array([None, m]), np.array([None, n])),
        (datetime(2000, 1, 1 + n % 20), datetime(2000, 1, 2 + n % 20)),
        (np.datetime64(n, "D"), np.datetime64(n, "h")),
        (Path(str(m)), Path(str(n))),
        (re.compile(str(m)), re.compile(str(n))),
        (np.random.default_rng(m), np.random.default_rng(n)),
        (np.dtype("f4"), np.dtype("f8")),
        (sparse.csr_array([[x]]), sparse.csr_array([[y]])),
        (deque([m]), deque([n])),
        (OrderedDict(a=m, b=n), OrderedDict(b=n, a=m)),
        (operator.itemgetter(m), operator.itemgetter(n)),
        (np.sin, np.cos),
        (len, max),
        ([m].count, [n].count),
        (ValueError(m), ValueError(n)),
        (ValueError(m), KeyError(m)),
        (Enum("E", {"A": m}).A, Enum("E", {"A": n}).A),
    ]
    return kinds[rng.integers(len(kinds))]


def written(code, **names):
    """What code defines as `it`, as in a module of a user."""
    names |= {"__name__": "mine", "ActivationRule": ActivationRule, "functools": functools}
    exec(code, names)
    return names["it"]


def with_attribute(it, value):
    it.value = value
    return it


METHOD = "class A:\n    def f(self{}): return {}\nit = A()"
DECORATED = "class A:\n    @{}\n    def f(a, *, q=X): pass\nit = A()"
CACHED = "class A:\n    @functools.cached_property\n    def value(self): return X\nit = A()"
WAYS = {  # code is written with the value as X
    "attribute": "class A: pass\nit = A()\nit.value = X",
    "slot": "class A:\n    __slots__ = ('value',)\nit = A()\nit.value = X",
    "attribute of a rule": lambda v: with_attribute(make_rule(), v),
    "base class": "class B:\n    value = X\nclass A(B): pass\nit = A()",
    "subclass of list": "class A(list): pass\nit = A()\nit.append(X)",
    "class constant": "class A:\n    value = X\nit = A()",
    "class itself": "class A:\n    value = X\nit = A",
    "nested class": "class A:\n    class B:\n        v = X\nit = A()",
    "global": "def it(p): return p + X",
    "global of a method": METHOD.format("", "X"),
    "global inside": "def it(p): return lambda: X",
    "closure": lambda v: lambda p: v,
    "function of a bound method": lambda v: types.MethodType(lambda self: v, 3),
    "bound method": lambda v: types.MethodType(make_rule, v),
    "default": "def it(p, q=X): return q",
    "keyword-only default": "def it(p, *, q=X): return q",
    "default of a method": METHOD.format(", q=X", "q"),
    "static method": DECORATED.format("staticmethod"),
    "class method": DECORATED.format("classmethod"),
    "cached method": DECORATED.format("functools.cache"),
    "property": "class A:\n    f = property(lambda self: X)\nit=A()",
    "cached property": CACHED,
    "metaclass": lambda v: type("M", (type,), {"v": v, "__module__": "mine"})("A", (), {}),
    "partial": lambda v: functools.partial(make_rule, v),
    "partial's keyword": lambda v: functools.partial(make_rule, comment=v),
    "partial of a lambda": lambda v: functools.partial(lambda p: v),
    "partial method": lambda v: type("A", (), {"f": functools.partialmethod(print, v)})(),
    "cache": lambda v: functools.cache(lambda p: v),
    "wrapper": lambda v: functools.wraps(make_rule)(lambda p: v),
    "attribute of a function": lambda v: with_attribute(lambda p: p, v),
    "vectorize": lambda v: np.vectorize(lambda p: v),
    "dataclass": lambda v: make_dataclass("D", [("a", object, field(default_factory=lambda: v))])(),
    "named tuple": lambda v: namedtuple("N", "a")(v),
    "list": lambda v: [v],
    "tuple": lambda v: (1, v),
    "dictionary": lambda v: {"a": {"b": v}},
    "default dict": lambda v: defaultdict(lambda: v),
    "array of objects": lambda v: np.array([None, [v]], dtype=object),
    "itself inside": "class A: pass\nit = A()\nit.value = [X, it]",
}
SOURCE = {
    "constant": "def it(p): return p + {}",
    "constant inside": "def it(p): return lambda q: q + {}",
    "constant of a method": METHOD.format("", "{}"),
    "constant of a set": "def it(p): return p in {{1, 2, {}}}",
    "default": "def it(p, *, q={}): return q",
    "class constant": "class A(ActivationRule):\n    strength = {}\nit = A()",
    "name": "def it(p): return p.a{}",
    "operation": "def it(p): return p ** 2 {} 1",
}


def held(way, value):
    """An object that holds a value in one of the WAYS."""
    how = WAYS[way]
    return written(how, X=value) if isinstance(how, str) else how(value)


def two_objects(seed):
    """(how, object, the same made again, one that differs)."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.2:
        how = str(rng.choice([*SOURCE]))
        m, n = ("+", "-") if how == "operation" else rng.choice(10**6, 2, replace=False)
        return how, *(written(SOURCE[how].format(text)) for text in (m, m, n))
    ways = [str(way) for way in rng.choice([*WAYS], rng.integers(1, 4))]
    state = rng.bit_generator.state

    def make(which):
        rng.bit_generator.state = state
        value = two_values(rng)[which]
        for way in ways:
            value = held(way, value)
        return value

    return ways, make(0), make(0), make(1)


def list_wrong_keys(seeds):
    found = []
    for seed in seeds:
        how, one, again, other = two_objects(seed)
        key = store.key_of({"rule": one})
        found += [(seed, how, "equal")] * (key == store.key_of({"rule": other}))
        found += [(seed, how, "not the same")] * (key != store.key_of({"rule": again}))
    return found


def test_objects_that_differ_have_different_keys():
    assert list_wrong_keys(range(100)) == []


@pytest.mark.slow
def test_2000_pairs_of_objects_have_different_keys():
    assert list_wrong_keys(range(1000, 3000)) == []


NO_MEANING = {
    "lock": threading.Lock(),
    "generator": (n for n in range(3)),
    "ufunc": np.frompyfunc(lambda x: x, 1, 1),
    "view of memory": memoryview(b"x"),
    "weak reference": weakref.ref(make_rule),
    "data of a thread": threading.local(),
}


@pytest.mark.parametrize("name", NO_MEANING)
@pytest.mark.parametrize("way", ["attribute", "closure", "class constant", "partial", "global"])
def test_what_has_no_meaning_is_rejected_by_name(name, way):
    value = held(way, NO_MEANING[name])
    with pytest.raises(TypeError, match="rule.*of which no key can be made.*Use functions"):
        store.key_of({"rule": value})


def test_a_key_does_not_change_by_use():
    rule, function = held("cached property", 3), functools.cache(lambda p: p)
    before = store.key_of({"rule": rule, "function": function})
    assert rule.value == 3 and function(2) == 2
    assert store.key_of({"rule": rule, "function": function}) == before


def test_a_key_follows_the_modules_of_a_user(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for n in (1, 2):
        (tmp_path / f"mine_{n}.py").write_text(f"def helper(p):\n    return p + {n}\n")
        module = importlib.import_module(f"mine_{n}")
        found += [store.key_of({"f": module.helper})]
        found += [store.key_of({"f": written("def it(p): return helper(p)", helper=module.helper)})]
        found += [store.key_of({"f": written("def it(p): return m.helper(p)", m=module)})]
    assert len({*found}) == 6


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("learning/optimizers.py", {"experiments", "convolution", "annex", None}),
        ("images/patches.py", {"images", "experiments", "convolution", "annex", None}),
        ("networks/mlp.py", {"networks", None}),
        ("plotting/atoms.py", set()),
        ("cli/main.py", set()),
    ],
)
def test_an_edit_of_the_package_is_noticed(file, stale, tmp_path, monkeypatch):
    """Results are stale whose sources were edited, and no others."""

    def list_keys(root):
        monkeypatch.setattr(keys, "SOURCES", keys._read_sources(root))
        return {package: keys.sources_of.__wrapped__(package) for package in keys.USED}

    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(shl.__file__).parent, tmp_path / "shl", ignore=ignored)
    before = list_keys(tmp_path / "shl")
    assert before == list_keys(Path(shl.__file__).parent)
    with (tmp_path / "shl" / file).open("a") as source:
        source.write("\n")
    assert {
        name for name, key in list_keys(tmp_path / "shl").items() if key != before[name]
    } == stale


def test_keys_are_the_same_in_every_process():
    code = (
        "from shl import store\n"
        "class Mine:\n"
        "    names = {'a', 'b', 'c'}\n"
        "    def gain(self, p, target):\n"
        "        return p if str(p) in {'x', 'yy', 'zzz'} else target\n"
        "print(store.key_of({'rule': Mine(), 'set': {'x', 'y', 'z'}}))\n"
    )
    keys = {run(code, env={"PYTHONHASHSEED": seed})[1] for seed in "12"}
    assert len(keys) == 1 and len(keys.pop().strip()) == 32
