"""Signals at any instant: what was learned is kept, the rerun equals the undisturbed run, and no
worker outlives its parent.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import python, run

from shl import store

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs /proc, and signals of POSIX"
)
N_KILLS = int(os.environ.get("SHL_FAULT_KILLS", 24))  # of the slow test; 200 is all of it
OPTS = {"height": 64, "width": 64, "patch_width": 8, "N_patches": 600, "n_dictionary": 30}
OPTS |= {"l0_sparseness": 3, "n_iter": 300, "batch_size": 100, "record_each": 100}
OPTS |= {"record_num_batches": 100, "one_over_F": False}
# Says when it learns; steps take 5 ms, so that a signal finds it learning.
LEARN = f"""
import hashlib, signal, sys, time
from shl import SHL, _checkpoints
true_step_done = _checkpoints.Checkpoints.step_done
began = []
def step_done(self, state):
    if not began:
        print("from", state.step, flush=True)
        began.append(True)
    time.sleep(0.005)
    true_step_done(self, state)
_checkpoints.Checkpoints.step_done = step_done
HANDLER
shl = SHL(**{OPTS!r}, cache_dir=sys.argv[1])
dico = shl.learn_dico(matname="mine")
print("digest", hashlib.md5(dico.components_.tobytes()).hexdigest(), flush=True)
"""


def start(folder, handler="", **options):
    """A learning, and the step after which it goes on."""
    code = LEARN.replace("HANDLER", handler)
    process = python(code, folder, start_new_session=True, **options)
    line = process.stdout.readline().split()
    assert line, process.communicate(timeout=60)[1]
    return process, int(line[1])


def end(process, timeout=60):
    """(exit code, last line of stdout, stderr) of a process that ends by itself."""
    out, error = process.communicate(timeout=timeout)
    return process.returncode, out.strip().splitlines()[-1:], error


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    process, first = start(tmp_path_factory.mktemp("undisturbed"))
    code, found, _ = end(process)
    assert code == 0 and first == 1
    return found


def finish(folder, digest):
    """Go on; the result is that of an undisturbed learning. Returns where it went on from, None
    where the learning had ended and its result was stored.
    """
    status, out, error = run(LEARN.replace("HANDLER", ""), folder, timeout=60)
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
    process, first = start(tmp_path)
    time.sleep(0.3)
    process.send_signal(getattr(signal, name))
    status, _, error = end(process)
    assert status == code and first == 1
    step = int(re.search(r"stopped after step (\d+); the same call goes on from there", error)[1])
    assert finish(tmp_path, digest) == step + 1


@pytest.mark.slow
def test_signals_that_are_ignored_or_handled_are_left_alone(tmp_path, digest):
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    own = "signal.signal(signal.SIGTERM, lambda *_: print('mine', file=sys.stderr, flush=True))"
    process, _ = start(tmp_path, ignored + own)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
        time.sleep(0.1)
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
    process, _ = start(tmp_path, own)
    time.sleep(0.3)
    process.send_signal(signal.SIGUSR1)
    code, _, error = end(process)
    assert code == 1 and "Alarm: enough" in error
    assert finish(tmp_path, digest) > 5


def test_a_second_interrupt_leaves_at_once(tmp_path, digest):
    slow = (  # a step that does not end
        "from shl import learning\n"
        "true_follow = learning.follow\n"
        "def follow(*arguments):\n"
        "    time.sleep(60 if arguments[0].step == 20 else 0)\n"
        "    true_follow(*arguments)\n"
        "learning.follow = follow\n"
    )
    process, _ = start(tmp_path, slow)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None  # it waits for the end of the step
    process.send_signal(signal.SIGINT)
    code, _, error = end(process, timeout=20)
    assert code == -signal.SIGINT and "in the middle of a step" in error
    assert finish(tmp_path, digest) == 1


CONV = ["conv-learn", "--n-images", "12", "--size", "40", "--n-iter", "4000", "--quiet"]
CONV += ["--second-n-iter", "0", "--homeo-method", "None", "--n-jobs", "1"]


@pytest.mark.slow
def test_conv_learn_goes_on_from_its_checkpoint(tmp_path):
    flags = [*CONV, "--cache-dir", tmp_path / "cache", "--out", tmp_path / "out"]
    command = "import sys\nfrom shl import cli\nsys.exit(cli.main(sys.argv[1:]))"
    process = python(command, *flags)
    deadline = time.monotonic() + 60
    status = Path(f"/proc/{process.pid}/status")
    while time.monotonic() < deadline:  # until it learns, when SIGINT is caught to be noted
        with contextlib.suppress(OSError):
            caught = int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16)
            if caught & 1 << (signal.SIGHUP - 1):
                break
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    code, _, error = end(process)
    assert code == 130 and "goes on from there" in error
    assert len(list((tmp_path / "cache").glob("*.checkpoint"))) == 1
    step = int(re.search(r"after step (\d+)", error)[1])
    path = next((tmp_path / "cache").glob("*.checkpoint"))
    assert store.read_info(path)["state"]["step"] == step > 0


# --------------------------------------------------------------------------------------- workers

SCAN = f"""
import json, sys
from shl import SHL_set
experiments = SHL_set({{**{OPTS!r}, "n_iter": 900, "checkpoint_each": 100,
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


def workers_of(process, n=2, timeout=60):
    """The workers of a scan, once they compute."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = descendants(process.pid)
        busy = [pid for pid in found if cpu_seconds(pid) > 1.0]
        if len(busy) >= n or process.poll() is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("no worker computes")


def cpu_seconds(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def assert_gone(pids, seconds=10):
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in pids if is_alive(pid)]


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_no_worker_outlives_its_parent(tmp_path, number):
    process = python(SCAN, tmp_path, start_new_session=True)
    workers = workers_of(process)
    assert workers
    process.send_signal(number)
    process.communicate(timeout=60)
    assert_gone(workers)
    assert not store.Store(tmp_path).verify()


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


def play(folder, job, number, to_group, choose):
    """Kill a job at some instant; nothing of it is left after a while."""
    process = python(JOBS[job], folder, start_new_session=True, stdout=subprocess.DEVNULL)
    clearer = python(CLEAR, folder) if job == "save" or choose.random() < 0.2 else None
    try:
        time.sleep(choose.uniform(0.5, 6.0))
        family = [process.pid, *descendants(process.pid)]
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if to_group else os.kill)(process.pid, number)
        process.communicate(timeout=60)
        assert_gone(family)
    finally:
        for each in filter(None, (process, clearer)):
            each.kill()
            each.communicate(timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def known(folder):
    """Names of files that are no model of a user's, once `cache clear` has been there."""
    store.Store(folder).clear()
    return {path.name for path in folder.iterdir()} - {"model.npz"}


@pytest.mark.slow
def test_kills_of_learnings_scans_and_saves(tmp_path, digest):
    choose, n_kills = random.Random(0), 0
    status, table, error = run(SCAN, tmp_path / "table", timeout=300)
    assert status == 0, error
    while n_kills < N_KILLS:
        job = ("learn", "scan", "save")[n_kills // 4 % 3]
        folder = tmp_path / str(n_kills)
        folder.mkdir()
        for _ in range(4):  # kills of one folder, before it is left to end
            number = getattr(signal, KINDS[n_kills % len(KINDS)])
            play(folder, job, number, choose.random() < 0.5, choose)
            n_kills += 1
            assert not store.Store(folder).verify()
        if job == "learn":
            finish(folder, digest)
        elif job == "scan":
            status, again, error = run(SCAN, folder, timeout=300)
            assert status == 0 and json.loads(again) == json.loads(table), error
        elif (folder / "model.npz").exists():
            assert store.read_info(folder / "model.npz")["state"]["step"] == 3
        assert not known(folder)
    assert sys.platform == "linux"
