"""Processes with time limits, and faults of the disk, for the tests that inject them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FULL = """
import builtins, errno, io, os
class Disk:
    '''Every write to a file counts; the k-th and later ones find the disk full.'''
    n_writes, k = 0, int(os.environ.get("FAIL_AT", 10**9))
    @classmethod
    def use(cls):
        cls.n_writes += 1
        if cls.n_writes >= cls.k:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
class Raw(io.FileIO):
    def write(self, data):
        Disk.use()
        return super().write(data)
true_open = io.open
def full_open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **options):
    is_written = bool(set(mode) & set("wxa+")) and not options and not isinstance(file, int)
    if not is_written or os.fspath(file).startswith("/dev/"):
        return true_open(file, mode, buffering, encoding, errors, newline, **options)
    raw = Raw(file, mode.replace("b", "").replace("t", ""))
    buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw, 4096)
    if "b" in mode:
        return buffered
    return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)
builtins.open = io.open = full_open
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


def run(code, *arguments, timeout=120, **options):
    """(exit code, stdout, stderr) of a process that must end within the time limit."""
    process = python(code, *arguments, start_new_session=True, **options)
    try:
        out, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, error = process.communicate()
        raise AssertionError(f"it did not end within {timeout} s: {error[-2000:]}") from None
    return process.returncode, out, error
