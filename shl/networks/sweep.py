"""Runs of the teacher-student study in parallel, each result stored by the worker that made it;
their tables.
"""

from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict

import numpy as np
from tqdm.auto import tqdm

from .._jobs import finish
from ..store import read_info

KIND = "student"
SUMMARISED = ("n_weights", "n_weights_last", "relative_loss", "distance", "spread")
NOT_GROUPED = ("seed",)


def result_of(run, keeper=None, tag=""):
    """(arrays, metrics) of a `Run` as in `learn_run`, from the store or learned now and stored
    there.
    """
    path = keeper and keeper.path(KIND, run.key(), tag)
    found = keeper and keeper.get(path)
    if found:
        return found[0], found[1]["metrics"]
    from .teacher_student import learn_run

    arrays, metrics = learn_run(run)
    if keeper:
        keeper.put(path, arrays, {"run": asdict(run), "metrics": metrics})
    return arrays, metrics


def sweep(runs, keeper=None, tag="", n_jobs=1, verbose=0):
    """Learn what is not stored, on n_jobs workers; return a flat record for each run, in order.

    A record has the run's parameters, status ('done' or 'failed'), cached, failure (why it failed)
    and the metrics of `shl.networks.teacher_student.learn_run`.  A run that diverges or whose
    worker is killed fails alone.  n_jobs does not change any result.  Interrupted, a second call
    goes on with what is missing.

    Parameters
    ----------
    runs : list of `shl.networks.configs.Run`.
    keeper : `shl.store.Store`, or None to store nothing.
    tag : str.  A readable name in front of the results' files.
    n_jobs : int.  Workers; -1 is all cores.
    verbose : int.  1 shows a progress bar.
    """
    records = [_stored(run, keeper, tag) for run in runs]
    jobs = {
        index: (_learn, (runs[index], keeper, tag))
        for index, record in enumerate(records)
        if record is None
    }
    with tqdm(
        total=len(runs), initial=len(runs) - len(jobs), desc="students", disable=not verbose
    ) as bar:
        for index, record in finish(jobs, n_jobs):
            if isinstance(record, BrokenProcessPool):
                record = _record(runs[index], "failed", failure=f"its worker was killed: {record}")
            records[index] = record
            bar.update()
    return records


def _stored(run, keeper, tag):
    """The record of a run whose result is in the store, else None."""
    info = keeper and keeper.get(keeper.path(KIND, run.key(), tag), read_info)
    return _record(run, "done", True, metrics=info["metrics"]) if info else None


def _learn(run, keeper, tag):
    """The record of a run that is learned now."""
    try:
        return _record(run, "done", metrics=result_of(run, keeper, tag)[1])
    except ArithmeticError as error:
        return _record(run, "failed", failure=str(error))


def _record(run, status, is_cached=False, failure=None, metrics=None):
    """A flat record."""
    return {
        **asdict(run),
        "l1_path": list(run.l1_path),
        "status": status,
        "cached": is_cached,
        "failure": failure,
        **(metrics or {}),
    }


def summarise(records):
    """Mean and standard deviation over seeds: a dict for each group of records that differ in their
    seed alone.

    Keys: the parameters, n_runs, n_failed, n_recovered, n_all and n_teacher (weights of student and
    teacher), and <metric>_mean, <metric>_std of n_weights, n_weights_last, relative_loss, distance
    and spread over the runs done.
    """
    from .configs import Run

    names = [name for name in Run.__dataclass_fields__ if name not in NOT_GROUPED]
    groups = {}
    for record in records:
        groups.setdefault(tuple(str(record[name]) for name in names), []).append(record)
    return [_summary(group, names) for group in groups.values()]


def _summary(group, names):
    """One group's summary."""
    done = [record for record in group if record["status"] == "done"]
    found = {name: group[0][name] for name in names}
    found |= {
        "n_runs": len(group),
        "n_failed": len(group) - len(done),
        "n_recovered": sum(record["is_recovered"] for record in done),
        "n_all": sum(done[0]["n_all"]) if done else None,
        "n_teacher": sum(done[0]["teacher_weights"]) if done else None,
    }
    for name in SUMMARISED:
        values = [record[name] for record in done]
        found[f"{name}_mean"] = float(np.mean(values)) if done else None
        found[f"{name}_std"] = float(np.std(values)) if done else None
    return found


def table(groups):
    """Summaries as lines of text: every number of weights beside its loss."""
    yield (
        f"{'teacher -> student':<20}{'lr':>8}{'l1':>8}{'l2':>8}{'weights left':>18}"
        f"{'loss / var(y)':>20}"
        f"{'distance':>14}{'recovered':>11}"
    )
    for group in groups:
        pair = f"{group['teacher_activation']} -> {group['student_activation']}"
        row = f"{pair:<20}{group['lr']:>8.2g}{group['l1_norm']:>8.2g}{group['l2_norm']:>8.2g}"
        if group["n_all"] is None:
            yield f"{row}  all {group['n_runs']} failed"
            continue
        weights = f"{group['n_weights_mean']:.1f} +- {group['n_weights_std']:.1f}"
        loss = f"{group['relative_loss_mean']:.2g} +- {group['relative_loss_std']:.2g}"
        distance = f"{group['distance_mean']:.2f} +- {group['distance_std']:.2f}"
        recovered = f"{group['n_recovered']} of {group['n_runs']}"
        yield f"{row}{weights:>18}{loss:>20}{distance:>14}{recovered:>11}"
