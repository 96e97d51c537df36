"""Jobs on joblib's workers, some of which may be killed."""

from concurrent.futures.process import BrokenProcessPool

from joblib import Parallel, delayed, effective_n_jobs

MOST_TRIES = 2  # of a job whose worker was killed


def finish(jobs, n_jobs):
    """(name, result) of every job as it is done, on n_jobs workers.

    An ambient joblib backend (`joblib.parallel_config`) is respected; loky processes are the
    default.  A job whose worker is killed is tried again by itself; after `MOST_TRIES` its result
    is the `BrokenProcessPool` error.

    Parameters
    ----------
    jobs : dict of name to (function, arguments).
    """
    waiting, tries = dict(jobs), dict.fromkeys(jobs, 0)
    while waiting:
        suspects = [
            name for name in waiting if tries[name]
        ]  # one at a time, to find whose fault it was
        batch = {suspects[0]: waiting[suspects[0]]} if suspects else dict(waiting)
        try:
            for name, result in _parallel(batch, n_jobs):
                del waiting[name]
                yield name, result
        except BrokenProcessPool as error:
            # Jobs are handed out in order and as many as there are workers: the first ones were
            # running.
            for name in [name for name in batch if name in waiting][: effective_n_jobs(n_jobs)]:
                tries[name] += 1
                if tries[name] > MOST_TRIES:
                    del waiting[name]
                    yield name, error


def _parallel(jobs, n_jobs):
    """(name, result) of jobs from joblib's workers, as they come."""
    calls = (
        delayed(_call)(name, function, arguments) for name, (function, arguments) in jobs.items()
    )
    yield from Parallel(
        n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
    )(calls)


def _call(name, function, arguments):
    return name, function(*arguments)
