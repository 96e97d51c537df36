"""One value of a scan that fails, in whatever way, stops no other; an edited rule is another."""

import os

import numpy as np
import pytest
from running import run

from shl import SHL, SHL_set, store
from shl.learning.homeostasis import ActivationRule

SMALL = {"height": 64, "width": 64, "patch_width": 8, "N_patches": 300, "n_iter": 6}
SMALL |= {"n_dictionary": 20, "l0_sparseness": 2, "batch_size": 50, "record_num_batches": 50}
SMALL |= {"record_each": 2, "one_over_F": False}


class Raising(ActivationRule):
    """A rule that raises from its second step on."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def gain(self, p, target):
        if p.std() > 0:
            raise self.error
        return np.ones_like(p)


class Broken(ActivationRule):
    """A rule whose gain is not one."""

    def __init__(self, gain):
        super().__init__()
        self.value = gain

    def gain(self, p, target):
        return np.ones_like(p) if p.std() == 0 else self.value


class Endless(ActivationRule):
    """A rule that has no key, for it refers to itself."""

    def __init__(self):
        super().__init__()
        self.me = [self]

    def gain(self, p, target):
        return np.ones_like(p)


ERRORS = (KeyError("lost"), RecursionError("deep"), AssertionError("no"), StopIteration("end"))
ERRORS += (MemoryError("full"), OSError(24, "Too many open files"), NotImplementedError("yet"))
CASES = {
    **{
        f"a rule that raises {type(error).__name__}": ("homeo_method", Raising(error))
        for error in ERRORS
    },
    "a short gain": ("homeo_method", Broken(np.ones(3))),
    "a gain of NaN": ("homeo_method", Broken(np.full(20, np.nan))),
    "a negative gain": ("homeo_method", Broken(-np.ones(20))),
    "a rule without a key": ("homeo_method", Endless()),
    "no rule": ("homeo_method", object()),
    "an impossible height": ("height", 10**5),
    "a height that is no number": ("height", "high"),
    "a missing database": ("name_database", "nowhere"),
    "a database that is no text": ("name_database", 7),
    "too many images": ("n_image", 77),
    "more patches than memory": ("N_patches", 10**12),
    "too few patches": ("N_patches", 60),
    "a huge table": ("nb_quant", 2**31),
    "a seed that is no number": ("seed", [1]),
    "an overflow": ("eta", 10**400),
}


@pytest.mark.parametrize("grid", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", CASES)
def test_a_value_that_fails_stops_nothing_else(tmp_path, how, grid):
    variable, bad = CASES[how]
    good = getattr(SHL(**SMALL, cache_dir=None), variable)
    good = 2 if variable == "n_image" else good
    experiments = SHL_set({**SMALL, "cache_dir": tmp_path}, values={variable: [bad, good]})
    variables = [variable, "alpha_MP"] if grid else [variable]
    if grid:
        experiments.values["alpha_MP"] = [0.9]
    records = experiments.run(variables, grid=grid)
    failed = "without a key" not in how
    assert [record["status"] for record in records] == ["failed", "done"] or not failed
    assert records[1]["status"] == "done" and np.isfinite(records[1]["F"])
    if failed:
        assert records[0]["failure"] and "F" not in records[0]


@pytest.mark.parametrize("n_jobs", [2])
def test_workers_record_what_fails(tmp_path, n_jobs):
    values = [CASES["a rule that raises KeyError"][1], "HAP", CASES["a gain of NaN"][1], "None"]
    experiments = SHL_set({**SMALL, "cache_dir": tmp_path}, values={"homeo_method": values})
    records = experiments.run(["homeo_method"], n_jobs=n_jobs)
    assert [r["status"] for r in records] == ["failed", "done", "failed", "done"]
    assert "lost" in records[0]["failure"] and "gain must hold no NaN" in records[2]["failure"]


@pytest.mark.skipif(os.name != "posix", reason="a pipe")
def test_a_database_that_cannot_be_used_stops_nothing_else(tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "x.png").mkdir()
    os.mkfifo(bad / "y.png")
    (bad / "z.png").symlink_to(bad / "z.png")
    opts = {**SMALL, "datapath": str(tmp_path), "cache_dir": tmp_path / "cache"}
    experiments = SHL_set(opts, values={"name_database": ["bad", "sample"]})
    with pytest.warns(UserWarning, match="skipped"):
        records = experiments.run(["name_database"])
    assert [record["status"] for record in records] == ["failed", "done"]
    assert "no usable image" in records[0]["failure"]


# ------------------------------------------------------------------------------ an edited rule

RULE = """
import sys
import numpy as np
from shl import SHL
from shl.learning import ActivationRule

class Mine(ActivationRule):
    strength = {strength}
    def gain(self, p, target):
        {comment}
        return (target / p) ** {power}

opts = {opts!r}
class Stop(Exception): pass
shl = SHL(**opts, homeo_method=Mine(), cache_dir=sys.argv[1], checkpoint_each=2)
model = shl._estimator()
path = shl.result_path(model, shl.get_data(), "own")
from shl.learning import checkpoints
with checkpoints.Checkpoints(shl.store, path, 2) as checkpoints:
    last = checkpoints.last()
    first = 0 if last is None else last.step
    def on_step(state):
        checkpoints.step_done(state)
        if state.step == 4 and sys.argv[2] == "stop": raise Stop
    try:
        model.fit(shl.get_data(), on_step=on_step, resume=last)
    except Stop:
        pass
print(first)
"""


def first_step(folder, what="go", strength=1, power=0.5, comment="pass"):
    """The step that a learning with a rule goes on from."""
    code = RULE.format(opts=SMALL, strength=strength, power=power, comment=comment)
    status, out, error = run(code, folder, what)
    assert status == 0, error
    return int(out)


@pytest.mark.slow
def test_an_edited_rule_does_not_go_on_from_a_checkpoint(tmp_path):
    assert first_step(tmp_path, "stop") == 0
    assert first_step(tmp_path, "stop", power=0.25) == 0  # another constant in the code
    assert first_step(tmp_path, "stop", strength=2) == 0  # of the class
    assert first_step(tmp_path, "stop", comment="p = p + 0") == 0  # another instruction
    assert first_step(tmp_path, comment="pass  # a comment") == 4


def test_keys_follow_the_code_of_rules_and_functions():
    def make(power, scale=1.0):
        class Mine(ActivationRule):
            def __init__(self):
                super().__init__()
                self.root = lambda x: x**power

            def gain(self, p, target):
                return scale * self.root(target / p) * (1 if p.size in {3, 4, 5} else 2)

        return Mine()

    key = store.key_of({"rule": make(0.5)})
    assert key == store.key_of({"rule": make(0.5)})
    assert (
        len({key, store.key_of({"rule": make(0.25)}), store.key_of({"rule": make(0.5, 2.0)})}) == 3
    )


def test_keys_are_the_same_in_every_process(tmp_path):
    code = (
        "from shl import store\n"
        "from shl.learning import ActivationRule\n"
        "class Mine(ActivationRule):\n"
        "    names = {'a', 'b', 'c'}\n"
        "    def gain(self, p, target):\n"
        "        return p if str(p) in {'x', 'yy', 'zzz'} else target\n"
        "print(store.key_of({'rule': Mine(), 'set': {'x', 'y', 'z'}}))\n"
    )
    keys = {run(code, env={"PYTHONHASHSEED": str(seed)})[1] for seed in (1, 2, 3)}
    assert len(keys) == 1 and len(keys.pop().strip()) == 32
