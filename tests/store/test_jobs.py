import os
import signal
import threading

import joblib
import numpy as np
import pytest

from shl.store.entries import Store
from shl.store.jobs import Job, StoredFunction, failure_lines, run_function, run_jobs


def square(value):
    """A result, or an exception of any kind."""
    if value < 0:
        raise LookupError(f"no square of {value}")
    return {"square": value**2, "pid": os.getpid()}


def jobs_of(values, found=()):
    return [
        Job(value, square, (value,), {"square": value**2} if value in found else None)
        for value in values
    ]


def test_outcomes_are_in_order_and_computed_once():
    calls = []

    def count(value):
        calls.append(value)
        return {"value": value}

    outcomes = run_jobs([Job(value, count, (value,)) for value in (3, 1, 3, 2, 1)])
    assert [outcome["value"] for outcome in outcomes] == [3, 1, 3, 2, 1]
    assert calls == [3, 1, 2]
    assert run_jobs([]) == []


def test_what_is_found_is_not_computed(capsys):
    outcomes = run_jobs(jobs_of([1, 2, 3], found=[1, 3]), verbose=1, unit="squares")
    assert [outcome["cached"] for outcome in outcomes] == [True, False, True]
    assert "pid" not in outcomes[0] and "pid" in outcomes[1]
    bar = capsys.readouterr().err
    assert "squares" in bar and "3/3" in bar
    assert run_jobs([Job("k", square, (1,), {})])[0]["cached"]


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_any_exception_fails_alone(backend, n_jobs):
    with joblib.parallel_config(backend):
        outcomes = run_jobs(jobs_of([2, -1, 3]), n_jobs)
    assert [outcome["status"] for outcome in outcomes] == ["done", "failed", "done"]
    assert outcomes[1]["failure"] == "LookupError: no square of -1"
    lines = ["failed: it: LookupError: no square of -1"]
    assert failure_lines(outcomes, lambda outcome: "it") == lines


def interrupt():
    raise KeyboardInterrupt("stop")


def leave():
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("function", "error"), [(interrupt, KeyboardInterrupt), (leave, SystemExit)]
)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_stops_everything(function, error, n_jobs):
    jobs = [Job(0, function, ()), *jobs_of(range(1, 4))]
    with pytest.raises(error):
        run_jobs(jobs, n_jobs)


def die(folder, most):
    """Kill the worker, the first `most` times."""
    deaths = len(list(folder.iterdir()))
    if deaths < most:
        (folder / str(deaths)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"deaths": deaths}


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
@pytest.mark.parametrize(
    ("most", "status"), [(1, "done"), pytest.param(9, "failed", marks=pytest.mark.slow)]
)
def test_a_job_of_a_killed_worker_is_tried_again(tmp_path, most, status):
    outcomes = run_jobs([*jobs_of([1]), Job("die", die, (tmp_path, most)), *jobs_of([2])], n_jobs=2)
    assert [outcome["status"] for outcome in outcomes] == ["done", status, "done"]
    assert len(list(tmp_path.iterdir())) == min(most, 3)
    if status == "failed":
        assert outcomes[1]["failure"].startswith("its worker was killed")


def test_arguments_that_cannot_be_sent_fail_alone():
    outcomes = run_jobs([*jobs_of([1]), Job("lock", square, (threading.Lock(),))], n_jobs=2)
    assert [outcome["status"] for outcome in outcomes] == ["done", "failed"]
    assert "PicklingError" in outcomes[1]["failure"]


def both(a, b):
    return {"sum": a + b, "array": np.array([a, b]), "list": [a]}


def test_a_stored_function_keeps_arrays_and_values(tmp_path):
    function = StoredFunction(both, "both", Store(tmp_path), {"version": 1}, tag="mine")
    calls = [{"a": 1, "b": 2}, {"a": 1, "b": 3}]
    first, again = run_function(function, calls[:1]), run_function(function, calls, n_jobs=2)
    assert [record["cached"] for record in (*first, *again)] == [False, True, False]
    assert again[0]["b"] == 2 and again[0]["sum"] == 3 and again[0]["list"] == [1]
    np.testing.assert_array_equal(again[1]["array"], [1, 3])
    assert function.find(calls[0], has_arrays=False) == {"sum": 3, "list": [1]}
    assert len(list(tmp_path.glob("mine-both-*.npz"))) == 2
    other = StoredFunction(both, "both", Store(tmp_path), {"version": 2}, tag="mine")
    assert other.find(calls[0]) is None
    assert StoredFunction(both, "both").find(calls[0]) is None
