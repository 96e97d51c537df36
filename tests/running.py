"""Processes with time limits, and faults at a chosen step, for the tests that inject them."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from making import EXPERIMENT

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300  # after which something hangs, on the slowest machine
# A small experiment, as parameters and as flags.
SMALL = EXPERIMENT | {"N_patches": 300, "n_iter": 6, "n_dictionary": 20, "l0_sparseness": 2}
SMALL |= {"batch_size": 50, "record_num_batches": 50, "record_each": 2, "one_over_F": False}
FLAGS = "--patch-width 8 --n-patches 1200 --n-dictionary 20 --l0-sparseness 2 --n-iter 40"
FLAGS = [*FLAGS.split(), "--batch-size", "50", "--quiet"]

# Writes, syncs, renames and removals of files are points.  At the k-th the process is killed, or
# from the k-th on no write finds room.
FAULTS = """
import builtins, errno, io, os, signal
class Fault:
    n, k, kind = 0, int(os.environ.get("FAIL_AT", 10**9)), "full"
    @classmethod
    def point(cls, is_write=False):
        cls.n += is_write or cls.kind == "kill"
        if cls.n >= cls.k and cls.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if cls.n >= cls.k and is_write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
class Raw(io.FileIO):
    def write(self, data):
        Fault.point(is_write=True)
        return super().write(data)
true_open = io.open
def open_with_faults(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **k):
    is_written = bool(set(mode) & set("wxa+")) and not k and not isinstance(file, int)
    if not is_written or os.fspath(file).startswith("/dev/"):
        return true_open(file, mode, buffering, encoding, errors, newline, **k)
    raw = Raw(file, mode.replace("b", "").replace("t", ""))
    buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw, 4096)
    if "b" in mode:
        return buffered
    return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)
builtins.open = io.open = open_with_faults
def with_point(function):
    def call(*arguments, **options):
        Fault.point()
        return function(*arguments, **options)
    return call
os.fsync, os.replace, os.unlink = map(with_point, (os.fsync, os.replace, os.unlink))
"""
SERVE = """
import json, sys
import matplotlib.backends.backend_agg, matplotlib.backends.backend_pdf
from shl import convolution, experiments, plotting
from shl.cli import main as cli
for line in sys.stdin:
    Fault.k, Fault.kind, log, *arguments = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        code = cli.main(arguments)
        print(code, Fault.n, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(-1, 0, flush=True)
"""


def _hear_signals():
    """As in a terminal: what was started in the background may have been told to ignore some."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


HEAR = _hear_signals if os.name == "posix" else None


def python(code, *arguments, env=None, **options):
    """A process of the package in this tree that runs code; its output is text."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    env = {name: value for name, value in env.items() if value is not None}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(command, env=env, preexec_fn=HEAR, **options)


def run(code, *arguments, timeout=SECONDS, **options):
    """(exit code, stdout, stderr) of a process that must end within the time limit."""
    process = python(code, *arguments, start_new_session=True, **options)
    try:
        out, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, error = process.communicate()
        raise AssertionError(f"it did not end within {timeout} s: {error[-2000:]}") from None
    return process.returncode, out, error


@contextmanager
def commands_with_faults(log):
    """A function that gives (exit code, points, stderr) of a command with a fault at point k.

    Each command runs in a fork of one process, because to start takes longer than to learn.  The
    code of a command that was killed is -1.
    """

    def call(*arguments, k=10**9, kind="full"):
        process.stdin.write(json.dumps([k, kind, str(log), *map(str, arguments)]) + "\n")
        process.stdin.flush()
        code, n_points = map(int, process.stdout.readline().split())
        error = log.read_text()
        assert "Traceback" not in error, error
        return code, n_points, error

    env = {"PYTHONWARNINGS": "always::UserWarning"}
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with python(FAULTS + SERVE, env=env, **pipes) as process:
        yield call
        process.stdin.close()
