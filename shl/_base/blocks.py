"""Dask arrays: coded block by block on their workers, and learned from as a stream of blocks.

Dask is imported only if the input is Dask's.
"""

import contextlib
import functools
import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from .checks import check_generator

AHEAD = 2  # most blocks that workers compute while one is learned from


def is_dask(X: Any) -> bool:
    """Whether X is an array or a data frame of Dask."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "ndim")


def rows_of(X: Any) -> Any:
    """X as a Dask array whose blocks hold whole samples."""
    X = X.to_dask_array() if hasattr(X, "to_dask_array") else X
    is_cut = any(len(sizes) > 1 for sizes in X.chunks[1:])
    return X.rechunk(dict.fromkeys(range(1, X.ndim), -1)) if is_cut else X


def map_rows(function: Callable, X: Any, constants: tuple, options: dict) -> Any:
    """The Dask array of function(block, *constants, **options) for the blocks of rows of X.

    What a row of zeros gives declares columns, dtype and kind, and brings errors of parameters at
    once.  Constants travel to each worker once.
    """
    import dask

    X = rows_of(X)
    empty = function(np.zeros((1, *X.shape[1:]), X.dtype), *constants, **options)[:0]
    return X.map_blocks(
        _apply,
        empty,
        function,
        options,
        *(dask.delayed(constant, pure=True) for constant in constants),
        dtype=empty.dtype,
        chunks=(X.chunks[0], (empty.shape[1],)),
        meta=empty,
    )


def _apply(block, empty, function, options, *constants):
    """The function of a block; a block without rows has an empty result."""
    return function(block, *constants, **options) if block.shape[0] else empty


def by_blocks(function: Callable) -> Callable:
    """Make a function of samples lazy for Dask arrays: f(X, *constants, **options)."""

    @functools.wraps(function)
    def call(X, *constants, **options):
        if is_dask(X):
            return map_rows(call, X, constants, options)
        return function(X, *constants, **options)

    return call


def by_blocks_of_rows(method: Callable) -> Callable:
    """Make a method of samples lazy for Dask arrays; `_light()` gives what travels to workers."""

    @functools.wraps(method)
    def call(self, X, *arguments, **options):
        if is_dask(X):
            how = {"name": method.__name__, "arguments": arguments, "options": options}
            return map_rows(_call_method, X, (self._light(X),), how)
        return method(self, X, *arguments, **options)

    return call


def _call_method(block, estimator, name, arguments, options):
    return getattr(estimator, name)(block, *arguments, **options)


def compute_rows(function: Callable, X: Any, *constants: Any) -> tuple:
    """function(block, *constants) of each block of rows of X."""
    import dask

    constants = [dask.delayed(constant, pure=True) for constant in constants]
    parts = [dask.delayed(function)(block, *constants) for block in rows_of(X).to_delayed().ravel()]
    return dask.compute(*parts)


class Blocks:
    """The blocks of rows of a Dask array, as an iterable with any number of passes.

    A seed decides the order of the blocks, anew for each pass; learning draws the rows of each in
    an order of its own.  One block is held at a time, while workers compute the next ones.

    Parameters
    ----------
    X : dask Array or DataFrame
    random_state : int, Generator or None
        Decides the order.
    first : int, default=0
        The number of the first pass.
    """

    def __init__(self, X: Any, random_state: Any, first: int = 0) -> None:
        is_seed = isinstance(random_state, (int, np.integer))
        rng = check_generator(None if is_seed else random_state, "random_state")
        self._seed = int(random_state) if is_seed else int(rng.integers(2**63))
        self._blocks, self._n_passes = rows_of(X).to_delayed().ravel(), first

    def __iter__(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng([self._seed, self._n_passes])
        self._n_passes += 1
        order = rng.permutation(len(self._blocks))
        for block in _compute_ahead(self._blocks[order]):
            if len(block):
                yield np.asarray(block)


def _compute_ahead(blocks: Iterable) -> Iterator:
    """The values of delayed blocks, in order; the next ones are computed meanwhile.

    If the next block is ready, one more is computed ahead.  If learning waits for it, two are.
    Workers on this machine then leave learning its core.
    """
    with ThreadPoolExecutor(1) as pool:
        submit, gather, most = (lambda block: pool.submit(block.compute)), Future.result, 1
        if "distributed" in sys.modules:  # else the blocks ahead are held in this process
            import distributed

            with contextlib.suppress(ValueError):  # no client
                client = distributed.default_client()
                # A scheduler in this process would only pass the blocks on, at the cost of copies.
                is_here = isinstance(
                    getattr(client.cluster, "scheduler", None), distributed.Scheduler
                )
                submit, most = client.compute, AHEAD
                gather = functools.partial(client.gather, direct=is_here or None)
        rest = iter(blocks)
        futures = deque(map(submit, itertools.islice(rest, 1)))
        while futures:
            n_ahead = 1 if futures[0].done() else most
            futures.extend(map(submit, itertools.islice(rest, max(0, 1 + n_ahead - len(futures)))))
            yield gather(futures.popleft())
