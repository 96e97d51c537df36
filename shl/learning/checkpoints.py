"""A learning that can be stopped at any time: its state on disk every half minute, on SIGINT,
SIGTERM and SIGHUP, and after an error.
"""

import contextlib
import logging
import os
import platform
import signal
import threading
import time
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np

from ..store.files import flock, hold, read
from ..store.orphans import is_orphan
from .state import from_arrays, to_arrays

logger = logging.getLogger("shl")

EACH_SECONDS = 30.0
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
DEFAULT = (signal.SIG_DFL, signal.default_int_handler)


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
    return from_arrays(arrays, info["state"]) if info["machine"] == machine() else None


def fit(model: Any, X: Any, results: Any, path: str | Path, each: int | None = None) -> Any:
    """The model fitted to X, from its last checkpoint on, and kept at path of a store.

    A result that cannot be kept is warned of; its last checkpoint then stays.
    """
    with Checkpoints(results, path, each) as checkpoints:
        model.fit(X, on_step=checkpoints.step_done, resume=checkpoints.last())
        if results.keep(path, lambda: model.save(path)):
            checkpoints.discard()
    return model


class Checkpoints:
    """A context that keeps the state of a learning beside the file its result will go to.

    While it is open, SIGINT, SIGTERM and SIGHUP wait for the end of a step: the state is written,
    and then KeyboardInterrupt or SystemExit is raised.  A second signal does not wait.  Signals
    that are ignored, or handled by the user, are left as they are, and all are where it is not the
    main thread.  Any error, too, leaves the state of the last step on disk.
    """

    def __init__(self, store, result_path, each=None):
        """A checkpoint every `each` steps; None is every EACH_SECONDS."""
        self.store, self.path, self.each = store, result_path.with_suffix(".checkpoint"), each

    def __enter__(self):
        self._signal, self._former, self._written = None, {}, time.monotonic()
        self._unwritten = None  # the state, where it has made steps since the last checkpoint
        self._held = contextlib.ExitStack()  # the checkpoint, open
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) in DEFAULT:
                    self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind, *error):
        self._restore_signals()
        if kind is not None and self._unwritten is not None:
            self._write(self._unwritten)
        self._held.close()

    def _restore_signals(self):
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def _note(self, number, frame):
        """Remember a signal until the step is done; a second one does not wait."""
        if self._signal is None:
            self._signal = number
            return
        self._unwritten = None
        self._restore_signals()
        if number != signal.SIGINT:
            raise SystemExit(128 + number)
        error = KeyboardInterrupt("stopped in the middle of a step")
        vars(error)["is_of_user"] = (
            True  # no model of a half learning takes the place of the result
        )
        raise error

    def last(self):
        """The state of the last checkpoint, or None where there is none of this machine and these
        versions.
        """
        self._hold()
        return self.store.get(self.path, _read_state)

    def step_done(self, state):
        """Write the state if it is time, or stop if a signal came."""
        self._unwritten = state
        if self._signal is None and not self._is_due(state.step) and not is_orphan():
            return
        self._write(state)
        if is_orphan():
            os._exit(1)  # nobody waits for the result
        if self._signal is not None:
            self._stop(state.step, self._signal)

    def _write(self, state):
        """Write a checkpoint; one that cannot be written is warned of."""
        arrays, info = to_arrays(state)
        about = {"kind": "checkpoint", "state": info, "machine": machine()}
        former, self._held = self._held, contextlib.ExitStack()
        with former:  # nobody removes the new one in the place of the old one
            self.store.put(self.path, arrays, about)
        self._hold()
        self._written, self._unwritten = time.monotonic(), None

    def _hold(self):
        """Keep the checkpoint from being cleared while it is needed."""
        if flock is None:  # Windows replaces no open file
            return
        with contextlib.suppress(OSError):  # it could not be written
            hold(self._held.enter_context(self.path.open("rb+")))

    def _stop(self, step, number):
        """Leave, as the signal asks for, with how to go on."""
        message = f"stopped after step {step}; the same call goes on from there"
        if number == signal.SIGINT:
            raise KeyboardInterrupt(message)
        logger.warning("%s", message)
        raise SystemExit(128 + number)

    def _is_due(self, step):
        """True after every `each` steps, or after EACH_SECONDS."""
        return (
            time.monotonic() - self._written >= EACH_SECONDS
            if self.each is None
            else step % self.each == 0
        )

    def discard(self):
        """Remove the checkpoint: the learning is done."""
        self._unwritten = None
        self.path.unlink(missing_ok=True)
