"""SHL_set: experiments over values of parameters, in parallel, each result stored by the worker
that made it.

values of variables -> tasks (parameters) -> joblib workers, or the store -> flat records -> table
and figure
"""

import csv
import itertools
import json
import logging
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from . import store
from ._checks import check_array, check_choice, check_count, check_number
from ._jobs import finish
from .experiment import DATA_PARAMETERS, SHL

logger = logging.getLogger("shl")

NOT_SCANNED = (
    "datapath",
    "P_cum",
    "DEBUG_DOWNSCALE",
    "verbose",
    "cache_dir",
    "checkpoint_each",
    "n_jobs",
)
TOWARDS_ONE = ("beta1", "beta2")  # scanned over 1 - value
WHOLE = tuple(field.name for field in fields(SHL) if field.type is int or field.name == "n_image")
CHOICES = {
    "homeo_method": ("None", "OLS", "EMP", "HAP", "HEH2019", "HEH"),
    "learning_algorithm": ("mp", "omp", "lars", "lasso_lars", "lasso_cd", "elastic", "threshold"),
    "name_database": ("sample", "dead_leaves"),
}


class SHL_set:
    """Experiments that differ in one variable at a time, or in a full grid of several.

    >>> experiments = SHL_set({"homeo_method": "HEH"}, tag="study")           # doctest: +SKIP
    >>> experiments.run(variables=["eta", "eta_homeo"], n_jobs=-1)            # doctest: +SKIP
    >>> fig, ax = experiments.scan(variable="eta")                            # doctest: +SKIP

    Parameters
    ----------
    opts : dict, or an `SHL`.  Parameters that all experiments share; they are the middle of each
        scan.
    tag : str.  A readable name in front of the results' files.
    N_scan : int.  Values of a variable.
    base : float above 1.  Values are median * base^linspace(-1, 1, N_scan); alpha_MP:
        base^linspace(-1, 0); beta1, beta2: 1 - (1 - median) * base^...; seed: median, median + 1,
        ...; True and False; names: all of them.  Whole numbers stay whole, and doubles are left
        out.
    values : dict, optional.  Values for some variables, instead of those.
    data : array (n_patches, n_pixels), optional.  Patches for all; without, those of the
        parameters.
    """

    def __init__(self, opts=None, tag="shl", N_scan=9, base=4.0, values=None, data=None):
        if not isinstance(opts, (SHL, Mapping, type(None))):
            raise TypeError(f"opts must be a dict of parameters or an SHL, not {opts!r}")
        self.middle = opts if isinstance(opts, SHL) else SHL(**(opts or {}))
        if not isinstance(tag, str):
            raise TypeError(f"tag must be a str, not {tag!r}")
        self.tag = tag
        self.N_scan = check_count(N_scan, "N_scan")
        self.base = check_number(base, "base", above=1)
        self.values = dict(values or {})
        self.data = None if data is None else check_array(data, "data", ndim=2)
        self._records = []
        self.figures = {}

    # --------------------------------------------------------------------------------------- values

    def values_of(self, variable):
        """The values that `run` gives a variable.

        Raises
        ------
        ValueError
            For a variable that is unknown, cannot be scanned, or has no value.
        """
        names = [field.name for field in fields(SHL) if field.name not in NOT_SCANNED]
        check_choice(variable, "variable", names)
        if self.data is not None and variable in DATA_PARAMETERS and variable != "seed":
            raise ValueError(
                f"variable must not be {variable!r}, which changes the data, where data is given"
            )
        if variable in self.values:
            values = list(self.values[variable])
            if not values:
                raise ValueError(f"values[{variable!r}] is empty: there is nothing to scan")
            return values
        return self._spread(variable, getattr(self.middle, variable))

    def _spread(self, variable, median):
        """Values around the median of a variable."""
        if variable in CHOICES:
            return list(CHOICES[variable])
        if isinstance(median, bool):
            return [False, True]
        if variable == "seed":
            return list(range(median, median + self.N_scan))
        if median is None or median == 0:
            raise ValueError(
                f"{variable} cannot be scanned around {median!r}: give its values, "
                f"SHL_set(..., values={{{variable!r}: [...]}})"
            )
        if self.N_scan == 1:
            return [median]
        factors = self.base ** np.linspace(-1, 1, self.N_scan)
        if variable == "alpha_MP":
            values = self.base ** np.linspace(-1, 0, self.N_scan)
        elif variable in TOWARDS_ONE:
            values = 1 - np.minimum((1 - median) * factors, 1)
        else:
            values = median * factors
        if variable in WHOLE:
            return sorted({max(1, round(value)) for value in values.tolist()})
        return values.tolist()

    def tasks(self, variables, grid=False):
        """What `run` would do: a list of dicts with variable, value and params (only what differs
        from `opts`).
        """
        variables = [variables] if isinstance(variables, str) else list(dict.fromkeys(variables))
        if not variables:
            raise ValueError("variables is empty: name what to scan")
        values = {variable: self.values_of(variable) for variable in variables}
        if grid:
            name = " x ".join(variables)
            return [
                {
                    "variable": name,
                    "value": combined,
                    "params": dict(zip(variables, combined, strict=True)),
                }
                for combined in itertools.product(*values.values())
            ]
        return [
            {"variable": variable, "value": value, "params": {variable: value}}
            for variable in variables
            for value in values[variable]
        ]

    # -------------------------------------------------------------------------------------- running

    def run(self, variables=("eta",), n_jobs=1, verbose=0, grid=False):
        """Learn what is missing, on n_jobs workers, and return the flat records of all (see
        `results`).

        One learning runs on one thread of one worker.  An ambient joblib backend
        (`joblib.parallel_config`) is respected; loky processes are the default.  A value that fails
        is recorded with its error; one whose worker is killed is tried again, and then recorded as
        failed.  The order, n_jobs and backend do not change any result.

        Parameters
        ----------
        variables : name or list of names of `SHL`'s parameters.
        n_jobs : int.  Workers; -1 is all cores.
        verbose : int.  1 shows a progress bar that counts finished learnings.
        grid : bool.  True runs every combination of the variables' values.
        """
        tasks = self.tasks(variables, grid)
        records = {}
        with tqdm(total=len(tasks), desc="learnings", disable=not verbose) as bar:
            for index, record in self._finish(tasks, n_jobs):
                records[index] = record
                bar.update()
        found = [records[index] for index in range(len(tasks))]
        kept = [
            record
            for record in self._records
            if all(record["params"] != new["params"] for new in found)
        ]
        self._records = kept + found
        return found

    def stored(self, tasks):
        """The record of each task whose result is in the store, None for the others."""
        digests = {}
        for task in tasks:
            key = self._data_key(task)
            if key not in digests:
                digests[key] = self._digest(task)
        return [self._stored(task, digests[self._data_key(task)]) for task in tasks]

    def _finish(self, tasks, n_jobs):
        """(index, record) of every task as it is done: the stored ones first, then those of
        workers.
        """
        records = dict(enumerate(self.stored(tasks)))
        yield from ((index, record) for index, record in records.items() if record is not None)
        waiting, twins = {}, {}
        for index in (index for index, record in records.items() if record is None):
            same = twins.setdefault(store.key_of(self._parameters(tasks[index])), [])
            same.append(index)
            waiting |= {index: tasks[index]} if len(same) == 1 else {}
        twins = {same[0]: same for same in twins.values()}
        shared = self._shared_data(waiting.values())
        jobs = {
            index: (
                _learn,
                (task, self._parameters(task), shared.get(self._data_key(task)), self.tag),
            )
            for index, task in waiting.items()
        }
        for index, record in finish(jobs, n_jobs):
            if isinstance(record, BrokenProcessPool):
                record = _record(tasks[index], "failed", failure=f"its worker was killed: {record}")
            yield from ((twin, {**record, **_identity(tasks[twin])}) for twin in twins[index])

    def _parameters(self, task):
        """The parameters of a task's experiment; a worker validates them, where a bad value is
        recorded.
        """
        return {**self.middle.parameters(), **task["params"], "n_jobs": 1, "verbose": 0}

    # ----------------------------------------------------------------------------------------- data

    def _data_changes(self, task):
        """What a task changes of the data.  Not the seed: as in cross-validation, patches are those
        of `opts`.
        """
        return {
            name: value
            for name, value in task["params"].items()
            if name in DATA_PARAMETERS and name != "seed"
        }

    def _data_key(self, task):
        """Tasks with an equal key learn from the same patches."""
        return json.dumps(self._data_changes(task), sort_keys=True, default=str)

    def _source(self, task):
        """The experiment whose patches a task learns from, None where its parameters are bad (the
        worker says why).
        """
        try:
            return replace(self.middle, **self._data_changes(task), verbose=0)
        except (ValueError, TypeError) as error:
            logger.info("no patches for %s: %s", self._data_changes(task), error)
            return None

    def _digest(self, task):
        """The digest of a task's patches where they are known without making them, else None."""
        if self.data is not None:
            return store.digest(self.data)
        source = self._source(task)
        return None if source is None else source.data_digest()

    def _shared_data(self, tasks):
        """{data key: patches} of the tasks: the patches, or, where one task alone needs them, who
        can make them.
        """
        sources = {}
        for key, group in itertools.groupby(sorted(tasks, key=self._data_key), self._data_key):
            group = list(group)
            source = self.data if self.data is not None else self._source(group[0])
            if isinstance(source, SHL) and len(group) > 1:
                source = source.get_data()
            sources[key] = source
        return sources

    def _stored(self, task, digest):
        """The record of a task whose result is in the store, else None."""
        keeper = self.middle.store
        if keeper is None or digest is None:
            return None
        try:
            experiment = SHL(**self._parameters(task))
        except (ValueError, TypeError):
            return None
        if not isinstance(experiment.homeo_method, str):
            return None
        info = keeper.get(
            experiment.result_path(matname=self.tag, data_digest=digest), store.read_info
        )
        if info is None:
            return None
        return _record(task, "done", info["seconds"], True, info["metrics"], seed=experiment.seed)

    # -------------------------------------------------------------------------------------- results

    def results(self):
        """All records so far: dicts with variable, value, seed, params, status, seconds, cached,
        failure and metrics.

        seconds is the CPU time of the learning; the metrics of its last record stand under their
        names: F, error, qerror, entropy, ...; `failure` is the error message of a failed value.
        """
        return list(self._records)

    def to_frame(self):
        """The records as a pandas DataFrame (needs pandas)."""
        import pandas as pd

        return pd.DataFrame(self._records)

    def to_csv(self, path):
        """Write the records as CSV, params as JSON.

        Raises
        ------
        ValueError
            Before `run`, when there is nothing to write.
        """
        if not self._records:
            raise ValueError("there is no record to write: call run first")
        names = list(dict.fromkeys(name for record in self._records for name in record))
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for record in self._records:
                writer.writerow({**record, "params": json.dumps(record["params"], default=str)})

    def to_json(self, path):
        """Write the records as JSON."""
        Path(path).write_text(json.dumps(self._records, indent=1, default=str) + "\n")

    def scan(
        self,
        variable="eta",
        list_figures=(),
        display="final",
        display_variable="F",
        color=None,
        label=None,
        fig=None,
        ax=None,
        n_jobs=1,
        fname=None,
    ):
        """A figure over the values of a variable, learning what is missing; returns (fig, ax).

        Parameters
        ----------
        display : 'final', the display variable at the end of learning against the value; 'dynamic',
            over the steps.
        display_variable : a metric: F, error, qerror, entropy, ...
        list_figures : figures of `SHL.learn_dico`, drawn for every value into `figures[value]`.
        color, label, fig, ax, fname : as in `shl.plotting`.
        """
        from .plotting import plot_scan, time_plot

        check_choice(display, "display", ("final", "dynamic"))
        known = {
            store.key_of(record["params"]): record
            for record in self._records
            if record["status"] == "done"
        }
        records = [known.get(store.key_of(task["params"])) for task in self.tasks([variable])]
        if None in records:
            records = [
                record
                for record in self.run([variable], n_jobs=n_jobs)
                if record["status"] == "done"
            ]
        for record in records if list_figures else ():
            experiment = SHL(**self._parameters(record))
            experiment.learn_dico(
                data=self._patches(record), matname=self.tag, list_figures=list_figures
            )
            self.figures[record["value"]] = experiment.figures
        if display == "final":
            return plot_scan(
                [record["value"] for record in records],
                [record[display_variable] for record in records],
                variable,
                display_variable,
                color=color,
                label=label,
                fname=fname,
                fig=fig,
                ax=ax,
            )
        for record in records:
            dico = self.learned(record)
            value = record["value"]
            fig, ax = time_plot(
                None,
                dico,
                display_variable,
                color=color,
                fname=fname,
                fig=fig,
                ax=ax,
                label=f"{variable} = {value:.4g}" if isinstance(value, float) else f"{value}",
            )
        return fig, ax

    def learned(self, record):
        """The fitted `SparseHebbianLearning` of a record, from the store or learned again."""
        experiment = SHL(**self._parameters(record))
        digest = None if experiment.store is None else self._digest(record)
        found = digest and experiment.stored(
            experiment.result_path(matname=self.tag, data_digest=digest)
        )
        return found or experiment.learn_dico(data=self._patches(record), matname=self.tag)

    def _patches(self, task):
        """The patches that a task learns from."""
        return self.data if self.data is not None else self._source(task).get_data()


def _learn(task, parameters, source, tag):
    """The record of one learning: a value that fails says why, and does not stop the others."""
    try:
        experiment = SHL(**parameters)
        dico = experiment.learn_dico(
            data=source.get_data() if isinstance(source, SHL) else source, matname=tag
        )
    except (ValueError, TypeError, ArithmeticError, OSError, MemoryError) as error:
        return _record(
            task, "failed", seed=parameters["seed"], failure=f"{type(error).__name__}: {error}"
        )
    return _record(task, "done", dico.seconds_, metrics=dico.record_.last(), seed=experiment.seed)


def _identity(task):
    """What tells a task from one with the same parameters: the scan it is part of."""
    return {"variable": task["variable"], "value": task["value"], "params": task["params"]}


def _record(task, status, seconds=np.nan, cached=False, metrics=None, seed=None, failure=None):
    """A flat record of a task."""
    return {
        **_identity(task),
        "seed": seed,
        "status": status,
        "seconds": seconds,
        "cached": cached,
        "failure": failure,
        **(metrics or {}),
    }
