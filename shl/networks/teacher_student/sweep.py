"""Runs of the teacher-student study in parallel, each result stored by the worker that made it;
their means; the command `shl teacher-student`.
"""

import time
from dataclasses import asdict, fields, replace
from functools import partial

import numpy as np

from ..._base.progress import progress
from ..._base.tables import show_value
from ...store.entries import Store
from ...store.jobs import Job, StoredFunction, run_jobs, split_arrays
from ..studies.study import announce_runs, summarise, with_std
from .configs import IDENTITY, StudentRun

OUT = "shl_teacher_student"
SUMMARISED = ("n_weights", "n_large", "relative_loss", "var_y", "distance", "spread")
COLUMNS = {
    "teacher -> student": "{teacher_activation} -> {student_activation}".format_map,
    "lr": "lr",
    "l1": "l1_norm",
    "l2": "l2_norm",
    "weights left": with_std("n_weights"),
    "of 1e-4 or more": with_std("n_large"),
    "loss / var(y)": with_std("relative_loss"),
    "var(y)": lambda row: show_value(row["var_y"], 2),
    "distance": with_std("distance"),
    "recovered": "{n_recovered} of {n_runs}".format_map,
    "failed": "n_failed",
}


def _students(store, tag, watch=None):
    """The function that learns a run, given as a dict, or finds it in the store."""
    return StoredFunction(partial(_learn_flat, watch), "student", store, IDENTITY, tag, "networks")


def _learn_flat(watch, /, **parameters):
    """The arrays and metrics of `learn_run` in one dict."""
    from .learning import learn_run

    arrays, metrics = learn_run(StudentRun(**parameters), watch)
    return {**arrays, **metrics}


def _learn_metrics(students, parameters):
    """The metrics alone: arrays stay in the store."""
    return split_arrays(students(parameters))[1]


def result_of(
    run: StudentRun, store: Store | None = None, tag: str = "", verbose: int = 0
) -> tuple[dict[str, np.ndarray], dict]:
    """(arrays, metrics) of a run as in `shl.networks.teacher_student.learn_run`, from the store or
    learned now and stored there; verbose 1 shows an estimate, epochs, objective and weights.
    """
    if verbose and _students(store, tag).find(asdict(run), has_arrays=False) is None:
        _announce([run])
    with progress(unit=" epochs", mininterval=0.5, disable=not verbose) as bar:

        def show(learning):
            shown = {"objective": f"{learning.objective:.3g}", "weights": learning.n_weights}
            bar.set_postfix(shown, refresh=False)
            bar.update()

        return split_arrays(_students(store, tag, show if verbose else None)(asdict(run)))


def sweep(
    runs: list[StudentRun],
    store: Store | None = None,
    tag: str = "",
    n_jobs: int = 1,
    verbose: int = 0,
) -> list[dict]:
    """Learn what is not stored, on n_jobs workers; return a flat record for each run, in order.

    A record has the run's parameters, status ('done' or 'failed'), cached, failure (why it failed)
    and the metrics of `shl.networks.teacher_student.learn_run`.  A run that diverges or whose
    worker is killed fails alone.  n_jobs does not change any result.  Interrupted, a second call
    goes on with what is missing.

    Parameters
    ----------
    runs : list of shl.networks.configs.StudentRun
    store : shl.store.Store, default=None
        None stores nothing.
    tag : str, default=""
        A readable name in front of the results' files.
    n_jobs : int, default=1
        Workers; -1 is all cores.
    verbose : int, default=0
        1 shows an estimate and a progress bar.
    """
    students, calls = _students(store, tag), [asdict(run) for run in runs]
    found = [students.find(call, has_arrays=False) for call in calls]
    jobs = [
        Job(students.key(call), _learn_metrics, (students, call), old)
        for call, old in zip(calls, found, strict=True)
    ]
    missing = [run for run, old in zip(runs, found, strict=True) if old is None]
    if verbose and missing:
        _announce(missing, n_jobs)
    outcomes = run_jobs(jobs, n_jobs, verbose, "students")
    return [{**call, **outcome} for call, outcome in zip(calls, outcomes, strict=True)]


def _announce(runs, n_jobs=1):
    """Say how long runs will take at most, as most of them stop earlier."""
    from .learning import learn_run

    def time_epoch():
        times, first = [], replace(runs[0], num_epochs=3, restarts=1)
        learn_run(first, lambda _: times.append(time.perf_counter()))
        return min(np.diff(times), default=0.0)  # the first epoch may compile

    n_epochs = sum(run.num_epochs * run.restarts for run in runs)
    announce_runs(time_epoch, n_epochs, len(runs), n_jobs, is_bound=True)


def summarise_sweep(records: list[dict]) -> list[dict]:
    """Mean and standard deviation over seeds: a dict for each group of records that differ in their
    seed alone.

    Keys: the parameters, n_runs, n_failed, n_recovered, n_all and n_teacher (weights of student and
    teacher; None where all failed), and <metric>, <metric>_std of `SUMMARISED` over the runs done.
    """
    names = [item.name for item in fields(StudentRun) if item.name != "seed"]
    return summarise(records, names, SUMMARISED, _count_weights)


def _count_weights(done):
    """What a group's runs have found of the teacher's weights."""
    return {
        "n_recovered": sum(record["is_recovered"] for record in done),
        "n_all": sum(done[0]["n_all"]) if done else None,
        "n_teacher": sum(done[0]["teacher_weights"]) if done else None,
    }
