"""What a key stands for: equal for the same parameters, never for two things."""

import os
import subprocess
import sys

import pytest

from shl import SHL, store
from shl.learning import checkpoints
from shl.learning.homeostasis import ActivationRule

OPTS = {"height": 64, "width": 64, "patch_width": 8, "N_patches": 300, "n_iter": 6}
OPTS |= {"n_dictionary": 20, "l0_sparseness": 2, "batch_size": 50, "record_each": 0}
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


def test_an_edited_rule_does_not_go_on_from_a_checkpoint(tmp_path):
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


def test_keys_are_the_same_in_every_process():
    code = (
        "from shl import store\n"
        "from shl.learning.homeostasis import ActivationRule\n"
        "class Mine(ActivationRule):\n"
        "    names = {'a', 'b', 'c'}\n"
        "    def gain(self, p, target):\n"
        "        return p if str(p) in {'x', 'yy', 'zzz'} else target\n"
        "print(store.key_of({'rule': Mine(), 'set': {'x', 'y', 'z'}}))\n"
    )
    command = [sys.executable, "-c", code]
    options = {"check": True, "capture_output": True, "text": True}
    keys = {
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, **options).stdout
        for seed in "123"
    }
    assert len(keys) == 1 and len(keys.pop().strip()) == 32
