"""What the studies of `shl.networks` share: runs in parallel that are kept in the store, means over
seeds, and the flags and reports of their commands.
"""

import sys
from collections.abc import Callable, Sequence

from joblib import effective_n_jobs
from tqdm.auto import tqdm

from ..._base.tables import mean_std, show_mean_std
from ...store.entries import Store
from ...store.jobs import StoredFunction, run_function

VERSION = 2  # raise it when a learning would give another result: stored ones are then not used
LONG = 30  # seconds: what takes longer is announced


def count_parameters(model) -> tuple[int, int]:
    """Exact zeros and weights (without biases) of a fitted network: (n_zeros, n_weights), counted
    as w == 0.
    """
    return sum(int((w == 0).sum()) for w in model.coefs_), sum(w.size for w in model.coefs_)


# ----------------------------------------------------------------------------------- runs and means


def run_study(
    name: str,
    learn: Callable[..., dict],
    calls: list[dict],
    settings: object,
    store: Store | None = None,
    n_jobs: int = 1,
    verbose: int = 0,
) -> list[dict]:
    """A record for each dict of parameters in calls, in order: the parameters, status ('done' or
    'failed'), cached, failure, and what `learn(**parameters)` returns.

    What is in the store is not learned again, what is learned is stored at once, and a run that
    fails fails alone; see `shl.store.jobs.run_jobs`.

    Parameters
    ----------
    name : str
        Of the study.
    learn : callable
        Returns a dict of arrays and of JSON values.
    calls : list of dict
    settings : object
        What decides the results beside the parameters.
    store : shl.store.Store, default=None
        None stores nothing.
    n_jobs : int, default=1
        Workers; -1 is all cores.
    verbose : int, default=0
        1 shows how long it will take, where that is long, and a progress bar.
    """
    identity = {"study": name, "version": VERSION, "settings": settings}
    function = StoredFunction(learn, name, store, identity)
    missing = [call for call in calls if function.find(call, has_arrays=False) is None]
    if verbose and missing:
        _announce(learn, missing, n_jobs)
    return run_function(function, calls, n_jobs, verbose, "runs")


def _announce(learn, calls, n_jobs):
    """Say how long runs will take, where that is long, after an epoch of one of them.

    The parameters of a call have "epochs", and its results "seconds".
    """
    n_workers = min(effective_n_jobs(n_jobs), len(calls))
    for _ in range(2):  # the first learning of a process is slow
        try:
            seconds = learn(**calls[0] | {"epochs": 1})["seconds"]
        except Exception:  # of any kind: it will be that run's failure
            return
    total = seconds * sum(call["epochs"] or 1 for call in calls) / n_workers
    if total > LONG:
        time_left = f"{total / 60:.0f} minutes" if total > 90 else f"{total:.0f} seconds"
        text = f"about {time_left}: {len(calls)} runs on {n_workers} workers, "
        tqdm.write(f"{text}{seconds:.2g} s an epoch", file=sys.stderr)


def done(records: list[dict]) -> list[dict]:
    """The records of what did not fail; an error where all failed."""
    found = [record for record in records if record["status"] == "done"]
    if not found:
        raise RuntimeError(f"all {len(records)} runs failed: {records[0]['failure']}")
    return found


def summarise(
    records: list[dict],
    by: Sequence[str],
    names: Sequence[str],
    more: Callable[[list[dict]], dict] | None = None,
) -> list[dict]:
    """A row for each group of records that agree in the names `by`: their values, n_runs, n_failed,
    and <name>, <name>_std, mean and standard deviation over what did not fail and is not None (or
    None).

    Parameters
    ----------
    records : list of dict
    by : sequence of str
    names : sequence of str
        Of numbers, or of arrays of one shape.
    more : callable, default=None
        What else to say of a group's records that did not fail, as a dict.
    """
    groups, rows = {}, []
    for record in records:
        groups.setdefault(tuple(str(record[name]) for name in by), []).append(record)
    for group in groups.values():
        found = [record for record in group if record["status"] == "done"]
        row = {name: group[0][name] for name in by}
        row |= {"n_runs": len(group), "n_failed": len(group) - len(found)}
        for name in names:
            values = [record[name] for record in found if record[name] is not None]
            row[name], row[f"{name}_std"] = mean_std(values) if values else (None, None)
        rows.append(row | (more(found) if more else {}))
    return rows


def with_std(name):
    """A column of a table: the mean of a name in a row, and its deviation."""
    return lambda row: show_mean_std(row[name], row[f"{name}_std"])
