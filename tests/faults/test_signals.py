"""Signals at any instant: what was learned is kept, the rerun equals the undisturbed run, and no
worker outlives its parent.
"""

import contextlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from running import python, run

from shl import store
from shl.store import jobs

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs /proc, and signals of POSIX"
)
N_KILLS = int(os.environ.get("SHL_FAULT_KILLS", 12))  # of the slow test; 200 is all of it
SECONDS = 300  # after which something hangs, on the slowest machine
OPTS = {"height": 64, "width": 64, "patch_width": 8, "N_patches": 600, "n_dictionary": 30}
OPTS |= {"l0_sparseness": 3, "n_iter": 300, "batch_size": 100, "record_each": 100}
OPTS |= {"record_num_batches": 100, "one_over_F": False}
# A learning that says from which step it goes on.  It says when it is at the step HOLD, and waits
# there for a signal; a step takes PACE seconds.
LEARN = f"""
import hashlib, os, signal, sys, time
from shl import SHL
from shl.learning import checkpoints, loop
true_step_done = checkpoints.Checkpoints.step_done
hold, pace = (float(os.environ.get(name, 0)) for name in ("HOLD", "PACE"))
context, came = [], []
def wait():
    print("holds", flush=True)
    while context[0]._signal is None and not came:
        time.sleep(0.01)
    print("goes on", flush=True)
def step_done(self, state):
    if not context:
        print("from", state.step, flush=True)
        context.append(self)
    if state.step == hold:
        wait()
    time.sleep(pace)
    true_step_done(self, state)
checkpoints.Checkpoints.step_done = step_done
HANDLER
each = int(os.environ.get("EACH", 0)) or None
shl = SHL(**{OPTS!r}, cache_dir=sys.argv[1], checkpoint_each=each)
dico = shl.learn_dico(matname="mine")
print("digest", hashlib.md5(dico.components_.tobytes()).hexdigest(), flush=True)
"""


def start(folder, handler="", hold=20, each=0):
    """Start a learning that waits at a step."""
    code = LEARN.replace("HANDLER", handler)
    process = python(
        code, folder, start_new_session=True, env={"HOLD": str(hold), "EACH": str(each)}
    )
    assert process.stdout.readline() == "from 1\n", process.communicate(timeout=SECONDS)[1]
    assert process.stdout.readline() == "holds\n"
    return process


def end(process):
    """(exit code, last line of stdout, stderr) of a process that ends by itself."""
    out, error = process.communicate(timeout=SECONDS)
    return process.returncode, out.strip().splitlines()[-1:], error


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, out, error = run(LEARN.replace("HANDLER", ""), folder, timeout=SECONDS)
    assert code == 0, error
    return out.splitlines()[-1:]


def finish(folder, digest):
    """Go on; the result is that of an undisturbed learning. Returns where it went on from, None
    where the learning had ended and its result was stored.
    """
    status, out, error = run(LEARN.replace("HANDLER", ""), folder, timeout=SECONDS)
    first, found = re.match(r"from (\d+)\n", out), out.splitlines()[-1:]
    assert status == 0 and found == digest, error
    assert not list(folder.glob("*.checkpoint"))
    return first and int(first[1])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SIGTERM", 143),
        pytest.param("SIGINT", -signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("SIGHUP", 129, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_the_step_and_says_how_to_go_on(tmp_path, digest, name, code):
    process = start(tmp_path)
    process.send_signal(getattr(signal, name))
    status, _, error = end(process)
    assert status == code
    assert "stopped after step 20; the same call goes on from there" in error
    assert finish(tmp_path, digest) == 21


def test_a_killed_learning_resumes_at_its_checkpoint(tmp_path, digest):
    process = start(tmp_path, each=8)
    process.kill()
    assert end(process)[0] == -signal.SIGKILL
    assert finish(tmp_path, digest) == 17


@pytest.mark.slow
def test_signals_that_are_ignored_or_handled_are_left_alone(tmp_path, digest):
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    own = "signal.signal(signal.SIGTERM, lambda *_: came.append(print('mine', file=sys.stderr)))"
    process = start(tmp_path, ignored + own)
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    code, found, error = end(process)
    assert code == 0 and found == digest
    assert error.count("mine") == 1


@pytest.mark.slow
def test_what_a_handler_of_one_s_own_raises_saves_the_step(tmp_path, digest):
    own = (
        "class Alarm(Exception): pass\n"
        "def stop(*_): raise Alarm('enough')\n"
        "signal.signal(signal.SIGUSR1, stop)\n"
    )
    process = start(tmp_path, own)
    process.send_signal(signal.SIGUSR1)
    code, _, error = end(process)
    assert code == 1 and "Alarm: enough" in error
    assert finish(tmp_path, digest) == 21


def test_a_second_interrupt_leaves_at_once(tmp_path, digest):
    slow = (  # a step that does not end
        "true_follow = loop.follow\n"
        "def follow(*arguments):\n"
        "    if arguments[0].step == 20:\n"
        "        wait()\n"
        "        time.sleep(1000)\n"
        "    true_follow(*arguments)\n"
        "loop.follow = follow\n"
    )
    process = start(tmp_path, slow, hold=0)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "goes on\n"
    assert process.poll() is None  # it waits for the end of the step
    process.send_signal(signal.SIGINT)
    code, _, error = end(process)
    assert code == -signal.SIGINT and "in the middle of a step" in error
    assert finish(tmp_path, digest) == 1


CONV = ["conv-learn", "--n-images", "12", "--size", "40", "--n-iter", "4000", "--quiet"]
CONV += ["--second-n-iter", "0", "--homeo-method", "None", "--n-jobs", "1"]


@pytest.mark.slow
def test_conv_learn_goes_on_from_its_checkpoint(tmp_path):
    flags = [*CONV, "--cache-dir", tmp_path / "cache", "--out", tmp_path / "out"]
    command = "import sys\nfrom shl.cli import main as cli\nsys.exit(cli.main(sys.argv[1:]))"
    process = python(command, *flags)
    deadline = time.monotonic() + SECONDS
    status = Path(f"/proc/{process.pid}/status")
    while time.monotonic() < deadline:  # until it learns, when SIGINT is caught to be noted
        with contextlib.suppress(OSError):
            caught = int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16)
            if caught & 1 << (signal.SIGHUP - 1):
                break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    code, _, error = end(process)
    assert code == 130 and "goes on from there" in error
    path = next((tmp_path / "cache").glob("*.checkpoint"))
    assert len(list((tmp_path / "cache").glob("*.checkpoint"))) == 1
    step = int(re.search(r"after step (\d+)", error)[1])
    assert store.read_info(path)["state"]["step"] == step > 0


# --------------------------------------------------------------------------------------- workers

SCAN = f"""
import json, sys
from shl import SHL_set
n_iter = int(sys.argv[2]) if len(sys.argv) > 2 else 900
experiments = SHL_set({{**{OPTS!r}, "n_iter": n_iter, "checkpoint_each": 100,
                       "cache_dir": sys.argv[1]}}, N_scan=4)
records = experiments.run(["eta"], n_jobs=2)
print(json.dumps([[r["value"], r["status"], r["F"], r["MI"]] for r in records]), flush=True)
"""


def descendants(pid):
    """Process ids of the children of a process, and of theirs."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    found = [int(child) for child in text.split()]
    return found + [grandchild for child in found for grandchild in descendants(child)]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workers_of(process, folder, n=2):
    """The workers of a scan, once so many have written a checkpoint."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if len(list(folder.glob("*.checkpoint"))) >= n:
            return descendants(process.pid)
        time.sleep(0.05)
    raise AssertionError("no worker computes")


def assert_gone(pids, seconds=10):
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in pids if is_alive(pid)]


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_no_worker_outlives_its_parent(tmp_path, number):
    process = python(SCAN, tmp_path, 10**6, start_new_session=True)  # steps: none ends by itself
    workers = workers_of(process, tmp_path)
    assert len(workers) >= 2
    process.send_signal(number)
    process.communicate(timeout=SECONDS)
    assert_gone(workers)
    assert not store.Store(tmp_path).verify()


WAITING = """
import time
from shl.store import jobs
class Slow:
    def __reduce__(self):
        print("on its way", flush=True)
        time.sleep(1000)
jobs.run_jobs([jobs.Job(n, print, (Slow(),)) for n in range(2)], n_jobs=2)
"""


@pytest.mark.skipif(not jobs.TAKES_INITIALIZER, reason="needs joblib 1.6")
def test_no_worker_waits_for_its_first_job_after_its_parent(tmp_path):
    process = python(WAITING, start_new_session=True)
    assert process.stdout.readline() == "on its way\n"
    workers = descendants(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate(timeout=SECONDS)
    assert_gone(workers, seconds=60)  # joblib's own limit is 300; they may still be starting


# --------------------------------------------------------------------------- kills, one by one

SAVE = """
import sys
import numpy as np
from shl import SparseHebbianLearning
X = np.random.default_rng(0).standard_normal((300, 36))
model = SparseHebbianLearning(200, n_iter=3, random_state=0).fit(X)
while True:
    model.save(sys.argv[1] + "/model.npz")
"""
CLEAR = """
import sys
from shl import store
while True:
    store.Store(sys.argv[1]).clear()
"""
KINDS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGABRT", "SIGUSR1", "SIGSEGV")
JOBS = {"learn": LEARN.replace("HANDLER", ""), "scan": SCAN, "save": SAVE}


def play(folder, job, number, to_group, choose, most_seconds):
    """Kill a job at some instant, unless it has ended; nothing of it is left after a while."""
    env = {"PACE": "0.005"}  # seconds: a learning is longer than its start
    process = python(JOBS[job], folder, env=env, start_new_session=True, stdout=subprocess.DEVNULL)
    clearer = python(CLEAR, folder) if job == "save" or choose.random() < 0.2 else None
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(choose.uniform(0.1, 1.0) * most_seconds)
        is_killed, family = process.poll() is None, [process.pid, *descendants(process.pid)]
        if is_killed:
            (os.killpg if to_group else os.kill)(process.pid, number)
        process.communicate(timeout=SECONDS)
        assert_gone(family, max(10, most_seconds))  # some may still be starting
    finally:
        for each in filter(None, (process, clearer)):
            each.kill()
            each.communicate(timeout=SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return is_killed


def known(folder):
    """Names of files that are no model of a user's, once `cache clear` has been there."""
    store.Store(folder).clear()
    return {path.name for path in folder.iterdir()} - {"model.npz"}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_kills_of_learnings_scans_and_saves(tmp_path, digest):
    choose, n_kills, began = random.Random(0), 0, time.monotonic()
    status, table, error = run(SCAN, tmp_path / "table", timeout=SECONDS)
    assert status == 0, error
    most_seconds = time.monotonic() - began  # on this machine, of a scan; a learning takes as long
    for n in itertools.count():
        job, folder = tuple(JOBS)[n % len(JOBS)], tmp_path / str(n)
        folder.mkdir()
        for _ in range(4):  # kills of one folder, before it is left to end
            number = getattr(signal, KINDS[n_kills % len(KINDS)])
            is_killed = play(folder, job, number, choose.random() < 0.5, choose, most_seconds)
            n_kills += is_killed
            assert not store.Store(folder).verify()
            if not is_killed:
                break
        if job == "learn":
            finish(folder, digest)
        elif job == "scan":
            status, again, error = run(SCAN, folder, timeout=SECONDS)
            assert status == 0 and json.loads(again) == json.loads(table), error
        elif (folder / "model.npz").exists():
            assert store.read_info(folder / "model.npz")["state"]["step"] == 3
        assert not known(folder)
        if n_kills >= N_KILLS and n + 1 >= len(JOBS):
            return
