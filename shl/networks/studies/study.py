"""What a study of networks is: learnings that are stored, their means over seeds, and a table."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from joblib import effective_n_jobs

from ..._base.progress import announce
from ..._base.tables import mean_std, show_mean_std
from ...store.entries import Store
from ...store.jobs import StoredFunction, run_function
from .data import identity_of

VERSION = 3  # raise it when a learning would give another result: stored ones are then not used
LONG = 30  # seconds: what takes longer is announced


@dataclass(frozen=True)
class NetworkStudy:
    """A study: a function that learns, the values that it is given, and what its table says.

    Parameters
    ----------
    name : str
        Name of the command.
    learn : callable
        Learns once.  Its keyword parameters are data, seed, epochs, n_samples, those of `varied`,
        and others; it returns a dict of arrays and JSON values, seconds among them.
    varied : mapping
        From a parameter of `learn` to its values: there is a learning for each combination.
    settings : callable
        settings(data) is a dict of what else decides results: its `epochs` are the default.
    columns : mapping
        Of the table, see `shl._base.tables.table`.
    averaged : sequence of str
        Names of the results whose mean and deviation over the seeds the table has.
    draw : callable
        draw(records, data) is a dict from a name to a figure.
    texts : mapping, default={}
        Help of the parameters of `learn` beside data, seed, epochs and n_samples.
    head : str, default=""
        What the command says above the table.
    path : mapping, default={}
        Values of varied parameters for a second table, of the first data set and seed.
    data : tuple of str, default=('digits',)
    seeds : tuple of int, default=(0, 1, 2)
    n_jobs : int, default=-1
        Default number of workers of the command: 1 for times that compare.
    """

    name: str
    learn: Callable[..., dict]
    varied: Mapping[str, tuple]
    settings: Callable[[str], dict]
    columns: Mapping[str, object]
    averaged: Sequence[str]
    draw: Callable[[list[dict], str], dict]
    texts: Mapping[str, str] = field(default_factory=dict)
    head: str = ""
    path: Mapping[str, tuple] = field(default_factory=dict)
    data: tuple = ("digits",)
    seeds: tuple = (0, 1, 2)
    n_jobs: int = -1

    def run(
        self,
        data: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        epochs: int | None = None,
        n_jobs: int = 1,
        store: Store | None = None,
        verbose: int = 0,
        **values: Any,
    ) -> list[dict]:
        """Return a record for each data set, seed and combination of the varied parameters.

        A record has the parameters, status ('done' or 'failed'), cached, failure, and what `learn`
        returns.  A stored result is not learned again.  A learning that fails fails alone.

        Parameters
        ----------
        data, seeds : sequences, default=None
            None is the default of the study.
        epochs : int, default=None
            None is what the settings say for the data.
        n_jobs : int, default=1
            Workers; -1 is all cores.  The values of a varied parameter take turns within a seed.
        store : shl.store.Store, default=None
            None stores nothing.
        verbose : int, default=0
            1 shows a progress bar, and how long a long study will take.
        **values
            Sequences of values of varied parameters, and other parameters of `learn`.
        """
        axes = {name: tuple(values.pop(name, known)) for name, known in self.varied.items()}
        records = []
        for name in self.data if data is None else data:
            settings = self.settings(name)
            identity = {"study": self.name, "version": VERSION, "settings": settings}
            identity["content"] = identity_of(name)
            same = {"data": name, "epochs": epochs or settings["epochs"], **values}
            calls = [
                {**same, "seed": seed, **dict(zip(axes, combination, strict=True))}
                for seed in (self.seeds if seeds is None else seeds)
                for combination in itertools.product(*axes.values())
            ]
            function = StoredFunction(self.learn, self.name, store, identity, package="networks")
            missing = [call for call in calls if function.find(call, has_arrays=False) is None]
            if verbose and missing:
                n_epochs = sum(call["epochs"] for call in missing)
                time_epoch = partial(self._time_epoch, missing[0])
                announce_runs(time_epoch, n_epochs, len(missing), n_jobs, least=LONG)
            records += run_function(function, calls, n_jobs, verbose, "runs")
        return records

    def _time_epoch(self, call):
        """The seconds of an epoch; the first learning of a process is slow."""
        return min(self.learn(**call | {"epochs": 1})["seconds"] for _ in range(2))

    def tabulate(self, records: list[dict]) -> list[dict]:
        """Return a row for each data set and combination: means and deviations over the seeds.

        `relative_time` is the median time of a learning over that of the first row.
        """
        rows = summarise(records, ["data", *self.varied], self.averaged, _time)
        first = rows[0]["relative_time"]
        return [{**row, "relative_time": row["relative_time"] / first} for row in rows]


def _time(records):
    """The median time of some learnings; NaN for none."""
    times = [record["seconds"] for record in records]
    return {"relative_time": float(np.median(times or np.nan))}


def announce_runs(
    time_epoch: Callable[[], float],
    n_epochs: int,
    n_runs: int,
    n_jobs: int = 1,
    least: float = 0,
    is_bound: bool = False,
) -> None:
    """Write how long runs of n_epochs in all will take, or take at most, if that is over `least`.

    time_epoch() learns an epoch of a run and returns its seconds.
    """
    try:
        seconds = time_epoch()
    except Exception:  # of any kind: it will be that run's failure
        return
    n_workers = min(effective_n_jobs(n_jobs), n_runs)
    if (total := n_epochs * seconds / n_workers) > least:
        work = f"{n_epochs} epochs of {seconds:.2g} s, {n_runs} runs on {n_workers} workers"
        announce(total, work + "; most runs stop earlier" * is_bound, is_bound)


def fit_timed(model: Any, X: Any, X_test: Any, y: Any, y_test: Any) -> float:
    """Fit an estimator to (X, y), score (X_test, y_test) beside; return the seconds."""
    began = time.perf_counter()
    model.fit(X, y, X_test, y_test)
    return time.perf_counter() - began


def done(records: list[dict]) -> list[dict]:
    """Return the records of what did not fail; an error if all failed."""
    found = [record for record in records if record["status"] == "done"]
    if not found:
        raise RuntimeError(f"all {len(records)} runs failed: {records[0]['failure']}")
    return found


def of_first_seed(records: list[dict]) -> list[dict]:
    """Return the records that have the seed of the first."""
    return [record for record in records if record["seed"] == records[0]["seed"]]


def summarise(
    records: list[dict],
    by: Sequence[str],
    names: Sequence[str],
    more: Callable[[list[dict]], dict] | None = None,
) -> list[dict]:
    """Return a row for each group of records that agree in the names `by`.

    A row has their values, n_runs, n_failed, and <name>, <name>_std: mean and standard deviation
    over what did not fail and is not None (or None).

    Parameters
    ----------
    records : list of dict
    by : sequence of str
    names : sequence of str
        Names of numbers, or of arrays of one shape.
    more : callable, default=None
        What else to say of a group's records that did not fail, as a dict.
    """
    groups: dict[tuple, list] = {}
    rows = []
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
