"""Signals and kills at any step: the work is kept, a rerun gives the undisturbed result, and no
worker outlives its parent.
"""

import itertools
import json
import os
import re
import select
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from making import EXPERIMENT, some_slow
from running import FAULTS, FLAGS, SECONDS, commands_with_faults, python, run

from shl import SHL, SparseHebbianLearning, store
from shl.store import jobs

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs /proc, and signals of POSIX"
)
N_KILLS = int(os.environ.get("SHL_FAULT_KILLS", 12))  # of each slow test; 1000 is all of them
OPTS = EXPERIMENT | {"n_iter": 60, "record_each": 20, "one_over_F": False}
# At step 20 `wait` says so, and waits until the test has sent its signals and writes a line.
WAIT = """
import signal, sys
from shl import SHL
from shl.learning import checkpoints, loop
def wait():
    print("waits", flush=True)
    sys.stdin.readline()
true_step_done = checkpoints.Checkpoints.step_done
def step_done(self, state):
    if state.step == 20:
        wait()
    true_step_done(self, state)
checkpoints.Checkpoints.step_done = step_done
"""
LEARN = f"""
dico = SHL(**{OPTS!r}, cache_dir=sys.argv[1]).learn_dico(matname="mine")
"""


def start(*arguments, code=LEARN):
    """A process that waits at step 20."""
    process = python(WAIT + code, *arguments, start_new_session=True, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "waits\n", process.communicate(timeout=SECONDS)[1]
    return process


def end(process):
    """(exit code, stdout, stderr) of a process that no longer waits."""
    out, error = process.communicate("\n", timeout=SECONDS)
    return process.returncode, out, error


@pytest.fixture(scope="module")
def undisturbed():
    return SHL(**OPTS, cache_dir=None).learn_dico()


def finish(folder, wanted):
    """Resume; the result is the undisturbed one.  Returns the step of the last checkpoint."""
    checkpoints = list(folder.glob("*.checkpoint"))
    step = store.read_info(checkpoints[0])["state"]["step"] if checkpoints else 0
    found = SHL(**OPTS, cache_dir=folder).learn_dico(matname="mine")
    np.testing.assert_array_equal(found.components_, wanted.components_)
    np.testing.assert_array_equal(found.record["F"], wanted.record["F"])
    assert not list(folder.glob("*.checkpoint"))
    return step


SAID = "stopped after step 20; the same call resumes from there"
OWN_HANDLERS = """
class Alarm(Exception): pass
def stop(*_): raise Alarm("enough")
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, lambda *_: print("mine", file=sys.stderr))
signal.signal(signal.SIGUSR1, stop)
"""
# Code, signals, exit code, what stderr says, its lines of a handler, the step to resume from.
SIGNALS = {
    "SIGTERM": (LEARN, ["SIGTERM"], 143, SAID, 0, 20),
    "SIGINT": (LEARN, ["SIGINT"], -signal.SIGINT, SAID, 0, 20),
    "SIGHUP": (LEARN, ["SIGHUP"], 129, SAID, 0, 20),
    "SIGKILL": (LEARN.replace("cache", "checkpoint_each=8, cache", 1), ["SIGKILL"], -9, "", 0, 16),
    "handlers of the user": (
        OWN_HANDLERS + LEARN,
        ["SIGINT", "SIGINT", "SIGHUP", "SIGUSR1"],
        1,
        "Alarm: enough",
        1,
        20,
    ),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("SIGINT", "SIGHUP")]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "handlers of the user", *SLOW])
def test_a_signal_leaves_a_step_to_resume_from(tmp_path, undisturbed, name):
    code, signals, status, said, n_mine, step = SIGNALS[name]
    process = start(tmp_path, code=code)
    for each in signals:
        process.send_signal(getattr(signal, each))
    found, _, error = end(process)
    assert found == status and said in error and error.splitlines().count("mine") == n_mine
    assert finish(tmp_path, undisturbed) == step


def test_conv_learn_goes_on_from_its_checkpoint(tmp_path):
    flags = "--n-images 2 --size 40 --n-iter 400 --quiet --second-n-iter 0 --n-jobs 1"
    flags = [*flags.split(), "--cache-dir", tmp_path / "cache", "--out", tmp_path / "out"]
    code = "from shl.cli import main as cli\nsys.exit(cli.main(sys.argv[1:]))"
    process = start("conv-learn", *flags, code=code)
    process.send_signal(signal.SIGINT)
    code, _, error = end(process)
    assert code == 130 and SAID in error
    (path,) = (tmp_path / "cache").glob("*.checkpoint")
    assert store.read_info(path)["state"]["step"] == 20


def test_a_second_interrupt_leaves_at_once(tmp_path, undisturbed):
    inside = """  # a step that does not end
checkpoints.Checkpoints.step_done = true_step_done
true_follow = loop.follow
def follow(*arguments):
    if arguments[0].step == 20:
        wait()
        wait()
    true_follow(*arguments)
loop.follow = follow
"""
    process = start(tmp_path, code=inside + LEARN)
    process.send_signal(signal.SIGINT)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "waits\n"  # it has not left: the step must end first
    process.send_signal(signal.SIGINT)
    code, _, error = end(process)
    assert code == -signal.SIGINT and "in the middle of a step" in error
    assert finish(tmp_path, undisturbed) == 0


# --------------------------------------------------------------------------------------- workers


def descendants(pid):
    """Process ids of the children of a process, and of theirs."""
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [grandchild for child in found for grandchild in descendants(child)]


def assert_gone(processes, number):
    """Kill processes that have workers; they end, too."""
    watched = [[os.pidfd_open(pid) for pid in descendants(each.pid)] for each in processes]
    assert min(map(len, watched)) >= 2
    for process in processes:
        process.send_signal(number)
    for process in processes:
        process.communicate(timeout=SECONDS)
    for descriptor in itertools.chain(*watched):  # readable once its process has ended
        assert select.select([descriptor], [], [], 60)[0]  # joblib's own limit is 300 s
        os.close(descriptor)


BUSY = f"""
import sys
from shl import SHL
from shl.store import jobs
def learn(name):
    shl = SHL(**{OPTS | {"n_iter": 10**7, "checkpoint_each": 1000}!r}, cache_dir=sys.argv[1])
    model = shl._estimator()
    from shl.learning.checkpoints import Checkpoints
    with Checkpoints(shl.store, shl.store.path("dico", name * 32), 1000) as checkpoints:
        def step_done(state):
            if state.step == 1:
                with open(sys.argv[2], "w") as pipe:
                    pipe.write(name)
            checkpoints.step_done(state)
        model.fit(shl.get_data(), on_step=step_done)
jobs.run_jobs([jobs.Job(name, learn, (name,)) for name in "ab"], n_jobs=2)
"""
IDLE = """
import time
from shl.store import jobs
class Endless:
    def __reduce__(self):
        print("on its way", flush=True)
        time.sleep(1000)
jobs.run_jobs([jobs.Job(n, print, (Endless(),)) for n in range(2)], n_jobs=2)
"""


@pytest.mark.parametrize("number", some_slow([signal.SIGKILL, signal.SIGTERM]))
def test_no_worker_outlives_its_parent(tmp_path, number):
    """Neither one that learns, nor one that waits for its first job."""
    os.mkfifo(tmp_path / "pipe")
    code = BUSY.replace("sys.argv[1]", repr(str(tmp_path / "cache")))
    code = code.replace("sys.argv[2]", repr(str(tmp_path / "pipe")))
    processes, learning = [python(code, start_new_session=True)], b""
    if jobs.TAKES_INITIALIZER:  # of joblib 1.6, else workers do not know their parent at once
        processes.append(python(IDLE, start_new_session=True))
        assert processes[1].stdout.readline() == "on its way\n"
    pipe = os.open(tmp_path / "pipe", os.O_RDWR)  # so that it has a reader all the time
    while len(learning) < 2:
        learning += os.read(pipe, 2)
    os.close(pipe)
    assert_gone(processes, number)
    assert not store.Store(tmp_path / "cache").verify()


# ------------------------------------------------------------------- kills, at one point each


def some_of(n_points):
    """At most N_KILLS points, evenly."""
    return sorted({*np.linspace(1, n_points, min(n_points, N_KILLS)).round().astype(int).tolist()})


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("command", ["learn", "scan --variable eta --n-scan 2"])
def test_kills_lose_nothing(tmp_path, command):
    command = [*command.split(), "--n-jobs", "1", "--seed", "1", *FLAGS]

    def result(folder):
        name = "summary.json" if command[0] == "learn" else "scan.json"
        found = json.loads((folder / "out" / name).read_text())
        return [r["F"] for r in found] if command[0] == "scan" else found["F"]

    with commands_with_faults(tmp_path / "log") as call:

        def call_in(folder, **fault):
            return call(*command, "--cache-dir", folder / "c", "--out", folder / "out", **fault)

        code, n_points, _ = call_in(tmp_path / "whole", kind="kill")
        assert code == 0 and n_points > 10
        for k in some_of(n_points):
            folder = tmp_path / str(k)
            assert call_in(folder, k=k, kind="kill")[0] == -1
            assert not store.Store(folder / "c").verify()
            assert call_in(folder)[0] == 0
            assert result(folder) == result(tmp_path / "whole")
            store.Store(folder / "c").clear()
            assert not list((folder / "c").iterdir())


SHARE = f"""
import json, sys
from shl import SHL_set
opts = {{**{OPTS!r}, "checkpoint_each": 10, "cache_dir": sys.argv[1]}}
records = SHL_set(opts, N_scan=4).run(["eta"], n_jobs=2)
print(json.dumps([[r["value"], r["status"], r["F"], r["MI"]] for r in records]))
"""


@pytest.mark.slow
def test_processes_share_a_folder_and_some_are_killed(tmp_path):
    # With one job the process itself learns and writes, so that there are points to be killed at.
    faults = FAULTS + "Fault.kind = 'kill'\n" + SHARE.replace("n_jobs=2", "n_jobs=1")
    killed = [python(faults, tmp_path / "c", env={"FAIL_AT": str(k)}) for k in (3, 9)]
    others = [python(SHARE, tmp_path / folder) for folder in ("c", "c", "alone")]
    outputs = [process.communicate(timeout=SECONDS) for process in killed + others]
    assert [process.returncode for process in killed] == [-signal.SIGKILL] * 2, outputs
    assert len({out for out, _ in outputs[2:]}) == 1 and outputs[2][0], outputs
    assert run(SHARE, tmp_path / "c")[1] == outputs[2][0]
    assert not store.Store(tmp_path / "c").verify() and not list((tmp_path / "c").glob("*.bad"))


SAVE = """
from shl import SparseHebbianLearning
model = SparseHebbianLearning.load(sys.argv[1]).set_params(n_jobs=2)
code = 9
while code:
    Fault.k = 1 if Fault.k > 10**6 else Fault.k + 1
    if not os.fork():
        Fault.kind = "kill"
        model.save(sys.argv[1])
        os._exit(0)
    code = os.wait()[1]
    print(SparseHebbianLearning.load(sys.argv[1]).n_jobs, end="", flush=True)
"""


def test_a_killed_save_leaves_the_old_or_the_new_model(tmp_path):
    path, X = tmp_path / "model.npz", np.random.default_rng(0).standard_normal((300, 16))
    SparseHebbianLearning(20, n_iter=3, random_state=0, n_jobs=1).fit(X).save(path)
    code, out, error = run("import sys\n" + FAULTS + SAVE, path)
    assert code == 0 and re.fullmatch("1{3,}2+", out), error
