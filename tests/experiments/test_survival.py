"""Scans that are killed at random instants, again and again, end with the table of an undisturbed
one.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shl import store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc"),
]

N_KILLS = int(os.environ.get("SHL_FAULT_KILLS", 10))  # 50 and more are all of it
N_SHARE = 4  # processes of one folder, each with two workers
SECONDS = 300  # after which something hangs, on the slowest machine
OPTS = {
    "height": 64,
    "width": 64,
    "patch_width": 8,
    "N_patches": 600,
    "n_dictionary": 30,
    "l0_sparseness": 3,
    "n_iter": 900,
    "batch_size": 100,
    "record_each": 300,
    "record_num_batches": 100,
    "checkpoint_each": 100,
}
SCAN = """
import sys, json
from shl import SHL_set
experiments = SHL_set({{**{opts!r}, "cache_dir": sys.argv[1]}}, N_scan=6)
records = experiments.run(["eta"], n_jobs=2)
rows = [[record["value"], record["status"], record["F"], record["MI"]] for record in records]
with open(sys.argv[2], "w") as file:
    json.dump(rows, file)
"""


def start(folder, name="table"):
    """A process group that runs the scan on a folder of results and writes its table."""
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            SCAN.format(opts=OPTS),
            str(folder),
            str(folder / f"{name}.json"),
        ],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def table(folder, process=None, name="table"):
    """The table that a scan writes, once it has ended."""
    process = process or start(folder, name)
    assert process.wait(timeout=SECONDS) == 0
    return json.loads((folder / f"{name}.json").read_text())


def end(process):
    """SIGKILL to whatever is left of a scan: workers whose parent is gone wait for minutes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def children(process):
    """Process ids of the workers of a scan."""
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in text.split()]


def kill(process, choose):
    """SIGKILL to the scan or to one of its workers."""
    targets = [process.pid, *children(process)]
    with contextlib.suppress(ProcessLookupError):
        os.kill(choose.choice(targets), signal.SIGKILL)


def is_readable(folder):
    return not store.Store(folder).verify() and not list(folder.glob("*.bad"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The table of a scan, and the seconds that it takes on this machine."""
    began = time.monotonic()
    return table(tmp_path_factory.mktemp("undisturbed")), time.monotonic() - began


def test_kills_at_random_instants(tmp_path, undisturbed):
    choose, n_kills, n_scans = random.Random(0), 0, 0
    _, most_seconds = undisturbed
    while n_kills < N_KILLS:
        folder = tmp_path / str(n_scans)
        n_scans += 1
        for _ in range(5):  # kills of one scan, before it is left to end
            process = start(folder)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(choose.uniform(0.1, 0.8) * most_seconds)
            if process.poll() is None:
                kill(process, choose)
                n_kills += 1
                time.sleep(choose.uniform(0, 0.5))
            end(process)
        assert table(folder) == undisturbed[0]
        assert is_readable(folder)


def test_processes_share_a_folder_and_some_are_killed(tmp_path, undisturbed):
    processes = [start(tmp_path, name) for name in range(N_SHARE)]
    time.sleep(0.5 * undisturbed[1])
    for process in processes[:2]:
        end(process)
    for name, process in list(enumerate(processes))[2:]:
        assert table(tmp_path, process, name) == undisturbed[0]
    assert table(tmp_path) == undisturbed[0]
    assert is_readable(tmp_path)
