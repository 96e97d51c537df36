"""Jobs: what is in the store is read, the rest is computed by joblib's workers, some of which may
be killed.
"""

import os
from collections.abc import Callable, Hashable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from inspect import signature
from pickle import PicklingError
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from .._base.progress import progress
from .entries import Store
from .files import read, read_info
from .keys import key_of
from .orphans import follow_parent

MOST_TRIES = 2  # of a job, after its worker was killed
TAKES_INITIALIZER = "backend_kwargs" in signature(Parallel).parameters  # not before joblib 1.6


class Job(NamedTuple):
    """A call `function(*arguments)`, whose result is a dict that the worker itself stores.

    Jobs with equal keys have equal results.  `found` is the result where it is in the store.
    """

    key: Hashable
    function: Callable
    arguments: tuple
    found: dict | None = None


def run_jobs(jobs, n_jobs=1, verbose=0, unit="runs"):
    """The outcomes of jobs, in their order, with what is missing computed on n_jobs workers.

    An outcome is {"status": "done" or "failed", "cached", "failure", **result}.  A job that raises
    an exception fails alone, with its message in `failure`; one whose worker is killed is tried
    again by itself, `MOST_TRIES` times.  An ambient joblib backend (`joblib.parallel_config`) is
    respected; loky processes are the default.  Neither order nor n_jobs nor backend change a
    result.

    Parameters
    ----------
    jobs : list of Job
    n_jobs : int, default=1
        Workers; -1 is all cores.
    verbose : int, default=0
        1 shows a progress bar that counts finished jobs.
    unit : str, default="runs"
        What the bar counts.
    """
    outcomes: list = []
    twins: dict[Any, list[int]] = {}
    for index, job in enumerate(jobs):
        outcomes.append(None if job.found is None else as_done(job.found, is_cached=True))
        if job.found is None:
            twins.setdefault(job.key, []).append(index)
    missing = {key: jobs[indices[0]] for key, indices in twins.items()}
    n_found = len(jobs) - outcomes.count(None)
    with progress(total=len(jobs), initial=n_found, desc=unit, disable=not verbose) as bar:
        for key, outcome in _compute(missing, n_jobs):
            for index in twins[key]:
                outcomes[index] = outcome
            bar.update(len(twins[key]))
    return outcomes


def failure_lines(records, describe):
    """A line for each record that failed; `describe` says which one it is."""
    return [
        f"failed: {describe(record)}: {record['failure']}"
        for record in records
        if record["status"] == "failed"
    ]


def as_done(result, is_cached=False):
    """The outcome of a job with this result."""
    return {"status": "done", "cached": is_cached, "failure": None, **result}


def _failed(failure):
    return {"status": "failed", "cached": False, "failure": failure}


def _compute(jobs, n_jobs):
    """(key, outcome) of every job of a dict as it is done."""
    n_workers = effective_n_jobs(n_jobs)
    waiting, tries = dict(jobs), dict.fromkeys(jobs, 0)
    while waiting:
        suspects = [key for key in waiting if tries[key]]
        # One at a time, to find whose fault it was.
        batch = {suspects[0]: waiting[suspects[0]]} if suspects else dict(waiting)
        try:
            for key, outcome in _parallel(batch, n_jobs):
                del waiting[key]
                yield key, outcome
        except (BrokenProcessPool, PicklingError) as error:
            # Jobs are handed out in order and as many as there are workers: the first ones were
            # running.
            for key in [key for key in batch if key in waiting][:n_workers]:
                tries[key] += 1
                if tries[key] > MOST_TRIES:
                    del waiting[key]
                    yield key, _failed(_lost(error))


def _lost(error):
    """Why a job has no result."""
    if isinstance(error, BrokenProcessPool):
        return f"its worker was killed: {error}"
    return f"{type(error).__name__}: {error}"


def _parallel(jobs, n_jobs):
    """(key, outcome) of jobs from joblib's workers, as they come."""
    parent, options = os.getpid(), {}
    calls = [(key, job.function, job.arguments, parent) for key, job in jobs.items()]
    backend, _ = get_active_backend()
    if type(backend).__name__ == "DaskDistributedBackend":
        yield from _through_dask(backend, calls)
        return
    if TAKES_INITIALIZER:  # a worker may wait for its first job when its parent is killed
        options = {"initializer": follow_parent, "initargs": (parent,)}
    options |= {"n_jobs": n_jobs, "batch_size": 1, "pre_dispatch": "n_jobs"}
    try:
        parallel = Parallel(return_as="generator_unordered", **options)
    except ValueError:  # 'multiprocessing' gives all results at once
        options.pop("initializer", None), options.pop("initargs", None)
        parallel = Parallel(**options)
    yield from parallel(delayed(_try)(*call) for call in calls)


def _through_dask(backend, calls):
    """(key, outcome) of calls from Dask's workers: joblib waits for ever for a call that Dask gives
    up, because some workers died with it.
    """
    from distributed import as_completed

    def submit(call):
        future = backend.client.submit(_try, *call, pure=False, **backend.submit_kwargs)
        futures[future] = call
        return future

    futures: dict[Any, tuple] = {}
    tries = dict.fromkeys([call[0] for call in calls], 0)
    try:
        done = as_completed([submit(call) for call in calls])
        for future in done:
            call, error = futures.pop(future), future.exception()
            key = call[0]
            tries[key] += 1
            if error is None:
                yield future.result()
            elif tries[key] > MOST_TRIES:
                yield key, _failed(_lost(error))
            else:
                done.add(submit(call))
    finally:
        backend.client.cancel([*futures])


def _try(key, function, arguments, parent):
    """(key, outcome) of one job, in its worker, which does not outlive the process `parent`."""
    follow_parent(parent)
    try:
        return key, as_done(function(*arguments))
    except Exception as error:  # of any kind: the other jobs run
        return key, _failed(f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class StoredFunction:
    """A function of keyword parameters that keeps its results, dicts of arrays and JSON values.

    Parameters
    ----------
    function : callable
    kind : str
        What the results are, in the names of their files.
    store : Store or None
        None keeps nothing.
    identity : dict
        What decides a result beside the parameters; it is part of the key.
    tag : str, default=""
        A readable name in front of the results' files.
    package : str, default=None
        The sub-package of `shl` that makes the results, see `key_of`.
    """

    function: Callable
    kind: str
    store: Store | None = None
    identity: dict = field(default_factory=dict)
    tag: str = ""
    package: str | None = None

    def key(self, parameters):
        """The hash of all that decides a result."""
        return key_of({**self.identity, **parameters}, self.package)

    def find(self, parameters, has_arrays=True):
        """The result where it is in the store, with or without its arrays; else None."""
        if self.store is None:
            return None
        reader = _read if has_arrays else _read_values
        return self.store.get(self._path(parameters, self.store), reader)

    def __call__(self, parameters):
        """The result of `function(**parameters)`, from the store, or computed now and stored."""
        found = self.find(parameters)
        if found is not None:
            return found
        result = self.function(**parameters)
        if self.store is not None:
            arrays, metrics = split_arrays(result)
            info = {"run": parameters, "metrics": metrics}
            self.store.put(self._path(parameters, self.store), arrays, info)
        return result

    def _path(self, parameters, store):
        return store.path(self.kind, self.key(parameters), self.tag)


def _read(path):
    """The result in a file."""
    arrays, info = read(path)
    return {**arrays, **info["metrics"]}


def _read_values(path):
    """The result in a file without its arrays."""
    return {**read_info(path)["metrics"]}


def split_arrays(result):
    """(arrays, the rest) of a dict."""
    arrays = {name: value for name, value in result.items() if isinstance(value, np.ndarray)}
    return arrays, {name: value for name, value in result.items() if name not in arrays}


def run_function(function, calls, n_jobs=1, verbose=0, unit="runs"):
    """A record for each dict of parameters in calls: parameters and outcome, see `run_jobs`.

    function is a `StoredFunction`.
    """
    jobs = [Job(function.key(call), function, (call,), function.find(call)) for call in calls]
    outcomes = run_jobs(jobs, n_jobs, verbose, unit)
    return [{**call, **outcome} for call, outcome in zip(calls, outcomes, strict=True)]
