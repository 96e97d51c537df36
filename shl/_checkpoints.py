"""A learning that can be stopped at any time: its state on disk every half minute, and on SIGINT
and SIGTERM.
"""

import platform
import signal
import threading
import time

import llvmlite.binding
import numba
import numpy as np

from . import learning
from .store import damage_of, read, writer

EACH_SECONDS = 30.0


def machine():
    """What a bit-exact continuation depends on besides parameters and data: versions and the type
    of CPU.
    """
    return {
        "numpy": np.__version__,
        "numba": numba.__version__,
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "system": platform.system(),
    }


def _read_state(path):
    """The state of a checkpoint, None where it is of another machine or other versions."""
    arrays, info = read(path)
    with damage_of(path):
        return learning.from_arrays(arrays, info["state"]) if info["machine"] == machine() else None


class Checkpoints:
    """A context that keeps the state of a learning beside the file its result will go to.

    While it is open, SIGINT and SIGTERM wait for the end of a step: the state is written, and then
    KeyboardInterrupt or SystemExit is raised.  (Only in the main thread; others leave signals as
    they are.)
    """

    def __init__(self, store, result_path, each=None):
        """A checkpoint every `each` steps; None is every EACH_SECONDS."""
        self.store, self.path, self.each = store, result_path.with_suffix(".checkpoint"), each

    def __enter__(self):
        self._signal, self._former, self._written = None, {}, time.monotonic()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error):
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        """Remember a signal until the step is done."""
        self._signal = number

    def last(self):
        """The state of the last checkpoint, or None where there is none of this machine and these
        versions.
        """
        return self.store.get(self.path, _read_state)

    def step_done(self, state):
        """Write the state if it is time, or stop if a signal came."""
        if self._signal is None and not self._is_due(state.step):
            return
        arrays, info = learning.to_arrays(state)
        self.store.put(
            self.path,
            arrays,
            {"kind": "checkpoint", "state": info, "machine": machine(), "writer": writer()},
        )
        self._written = time.monotonic()
        if self._signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self._signal is not None:
            raise KeyboardInterrupt(
                f"stopped after step {state.step}; the same call goes on from there"
            )

    def _is_due(self, step):
        """True after every `each` steps, or after EACH_SECONDS."""
        return (
            time.monotonic() - self._written >= EACH_SECONDS
            if self.each is None
            else step % self.each == 0
        )

    def discard(self):
        """Remove the checkpoint: the learning is done."""
        self.path.unlink(missing_ok=True)
