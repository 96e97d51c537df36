"""Fixed chunks of work on Python threads, with BLAS kept to one thread.

The chunks depend on the work alone, never on the number of threads, and no two of them write to the
same place: the result has the same bits for 1, 2 or 16 threads.  Numba's own threading layers are
not used: one aborts the process when two Python threads enter it, another hangs after a fork.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Self

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from ._checks import check_count

MOST_ROWS = 512  # above, a matrix product costs no less per row
FEWEST_ROWS = 128  # below, it costs half more: it sets up the whole dictionary for each chunk
MOST_CHUNKS = 8  # of a small batch


@cache
def _controller():
    """The loaded BLAS libraries, looked up once: that takes a millisecond, limiting them less."""
    return ThreadpoolController()


def chunks(n_items: int, most: int = MOST_ROWS, fewest: int = FEWEST_ROWS) -> list[slice]:
    """Slices that cover range(n_items), of equal size but for the last."""
    size = min(most, max(fewest, -(-n_items // MOST_CHUNKS)))
    return [slice(start, min(start + size, n_items)) for start in range(0, n_items, size)]


def count_threads(n_jobs: int | None) -> int:
    """Threads that `n_jobs` asks for: None is 1, -1 all cores, -2 all but one."""
    if n_jobs is None:
        return 1
    if check_count(n_jobs, "n_jobs", least=-np.inf) == 0:
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
        self._limit = _controller().limit(limits=1, user_api="blas")
        self._limit.__enter__()
        self._pool = ThreadPoolExecutor(self.n_threads) if self.n_threads > 1 else None
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._limit.__exit__(*error)

    def map(self, function: Callable, items: Sequence) -> list:
        """[function(item) for item in items], in this order; the first exception is raised."""
        if self._pool is None or len(items) == 1:
            return map_serially(function, items)
        return list(self._pool.map(function, items))
