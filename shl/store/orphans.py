"""Workers whose parent is gone: nobody waits for their results, and they must not stay."""

import multiprocessing
import os
import threading
import time

EACH_SECONDS = 0.5
GRACE_SECONDS = 5.0  # in which a learning ends its step and keeps its state

_parents: list[int] = []


def follow_parent(pid: int) -> None:
    """End this process some seconds after its parent, the process `pid` that hands out its jobs.

    Called when a worker starts, and with each job.  Processes that are no workers of joblib's are
    left alone.
    """
    is_worker = multiprocessing.current_process().name.startswith("LokyProcess")
    if os.name == "posix" and is_worker and os.getpid() != pid and not _parents:
        _parents.append(pid)
        threading.Thread(target=_watch, daemon=True).start()


def is_orphan() -> bool:
    """True in a worker whose parent is gone."""
    return bool(_parents) and os.getppid() != _parents[0]


def _watch():
    while not is_orphan():
        time.sleep(EACH_SECONDS)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
