"""Fixed chunks of work on Python threads, with BLAS kept to one thread.

The chunks depend on the work alone, never on the number of threads, and no two of them write to the
same place: the result has the same bits for 1, 2 or 16 threads.  Numba's own threading layers are
not used: one aborts the process when two Python threads enter it, another hangs after a fork.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Self

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from .checks import check_count

MOST_ROWS = 512  # above, a matrix product costs no less per row
FEWEST_ROWS = 128  # below, it costs half more: it sets up the whole dictionary for each chunk
MOST_CHUNKS = 8  # of a small batch
KEPT = 2**25 - 2**16  # bytes: just under the largest threshold of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt


@cache
def _keep_freed_memory():
    """Have glibc keep what is freed for the next batch: pages that it hands back to the system come
    as new ones, at 1 us each, a fifth of a learning step of 256.

    This also undoes MALLOC_TRIM_THRESHOLD_, which Dask sets for its workers: coding in one takes
    1.6 times the CPU with it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT)
        mallopt(M_TRIM_THRESHOLD, 2 * KEPT)


@cache
def _libraries():
    """The loaded BLAS libraries (threads of the process, threads of each Python thread), looked up
    once: that takes a millisecond, limiting them less.
    """
    libraries = [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]
    layers = [getattr(lib, "threading_layer", None) for lib in libraries]
    shared = [lib for lib, layer in zip(libraries, layers, strict=True) if layer != "openmp"]
    return shared, [lib for lib in libraries if lib not in shared]


def _limit(libraries):
    """Set libraries to one thread; return what `_restore` takes."""
    former = [(library, library.num_threads) for library in libraries]
    _restore((library, 1) for library in libraries)
    return former


def _restore(settings):
    """Set the numbers of threads of libraries."""
    for library, n_threads in settings:
        # threadpoolctl (3.8) gives a library to the first Python thread that sets a limit, and
        # calls of all others silently do nothing: BLAS would use several threads.
        free = getattr(library, "clear_controlling_thread", lambda force: None)
        free(force=True)
        library.set_num_threads(n_threads)
        free(force=True)


class _OneBlasThread:
    """BLAS at one thread from the first context that enters to the last that leaves.

    The limit is one of the process, and contexts of several Python threads overlap: were each to
    restore what it found, one would undo the limit of another, and the last restore that limit.
    """

    def __init__(self):
        self._lock, self._n_inside, self._former = threading.Lock(), 0, []

    def enter(self):
        with self._lock:
            if self._n_inside == 0:
                self._former = _limit(_libraries()[0])
            self._n_inside += 1

    def leave(self):
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                _restore(self._former)

    def renew_lock(self):
        """After a fork, the thread that held the lock is not there."""
        self._lock = threading.Lock()


_one_blas_thread = _OneBlasThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_blas_thread.renew_lock)


def chunks(n_items: int, most: int = MOST_ROWS, fewest: int = FEWEST_ROWS) -> list[slice]:
    """Slices that cover range(n_items), of equal size but for the last."""
    size = min(most, max(fewest, -(-n_items // MOST_CHUNKS)))
    return [slice(start, min(start + size, n_items)) for start in range(0, n_items, size)]


def count_threads(n_jobs: int | None) -> int:
    """Threads that `n_jobs` asks for: None is 1, -1 all cores, -2 all but one."""
    if n_jobs is None:
        return 1
    n_jobs = check_count(n_jobs, "n_jobs", least=-np.inf)
    if n_jobs == 0:
        raise ValueError(
            "n_jobs must be None, a number of threads, or negative (-1 is all cores), not 0"
        )
    return n_jobs if n_jobs > 0 else max(1, joblib.cpu_count() + 1 + n_jobs)


def map_serially(function, items):
    """[function(item) for item in items], as `Threads.map` on one thread."""
    return [function(item) for item in items]


class Threads:
    """A context in which `map` runs a function over chunks on `n_jobs` threads, while BLAS has one.

    Parameters
    ----------
    n_jobs : int, default=None
        Threads; None is 1, -1 all cores.

    Examples
    --------
    >>> with Threads(2) as threads:
    ...     parts = threads.map(len, ["abc", "de"])
    >>> parts
    [3, 2]
    """

    def __init__(self, n_jobs: int | None = None) -> None:
        self.n_threads = count_threads(n_jobs)

    def __enter__(self) -> Self:
        _keep_freed_memory()
        _one_blas_thread.enter()
        own = _libraries()[1]
        self._former, self._pool = _limit(own), None
        if self.n_threads > 1:
            self._pool = ThreadPoolExecutor(self.n_threads, initializer=_limit, initargs=(own,))
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
        finally:
            _restore(self._former)
            _one_blas_thread.leave()

    def map(self, function: Callable, items: Sequence) -> list:
        """[function(item) for item in items], in this order; the first exception is raised."""
        if self._pool is None or len(items) == 1:
            return map_serially(function, items)
        return list(self._pool.map(function, items))
