"""SHL_set: experiments over values of parameters, in parallel, each result stored by the worker
that made it.

values of variables -> tasks (parameters) -> the store, or joblib workers -> flat records -> table
and figure
"""

import csv
import io
import itertools
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from .. import images, store
from .._base import constraints
from .._base.checks import check_choice, check_memory, check_names
from .._base.threads import count_threads
from ..coding.parameters import ALGORITHMS
from ..estimators.dictionary import SparseHebbianLearning
from ..learning.homeostasis import RULES
from ..plotting import plot_grid, plot_scan, time_plot
from ..plotting.figures import get_axes, save
from ..store.files import json_text, lasting, write_bytes
from ..store.jobs import Job, as_done, run_jobs
from .experiment import DATA_PARAMETERS, SHL

if TYPE_CHECKING:
    import pandas

logger = logging.getLogger("shl")

NOT_SCANNED = {"datapath", "P_cum", "DEBUG_DOWNSCALE", "verbose", "cache_dir"}
NOT_SCANNED |= {"checkpoint_each", "n_jobs"}
BYTES_OF_RECORD = 8192  # of a task, its parameters and its record, about
TOWARDS_ONE = ("beta1", "beta2")  # scanned over 1 - value
OPTIONS = constraints.instance(Mapping, SHL, text="a dict of parameters or an SHL")
VALUES = constraints.instance(Mapping, text="a dict from variables to their values")
WHOLE = tuple(field.name for field in fields(SHL) if int in constraints.kinds_of(field.type))
CHOICES = {
    "homeo_method": tuple(RULES),
    "learning_algorithm": ALGORITHMS,
    "name_database": images.BUILT_IN,
}


class SHL_set:
    """Experiments that differ in one variable at a time, or in a full grid of several.

    >>> experiments = SHL_set({"homeo_method": "HEH"}, tag="study")           # doctest: +SKIP
    >>> experiments.run(variables=["eta", "eta_homeo"], n_jobs=-1)            # doctest: +SKIP
    >>> fig, ax = experiments.scan(variable="eta")                            # doctest: +SKIP

    Parameters
    ----------
    opts : dict or SHL, default=None
        Parameters that all experiments share; they are the middle of each scan.
    tag : str, default="shl"
        A readable name in front of the results' files.
    N_scan : int, default=9
        Values of a variable.
    base : float, default=4.0
        Above 1.  Values are median * base^linspace(-1, 1, N_scan); alpha_MP: base^linspace(-1, 0);
        beta1, beta2: 1 - (1 - median) * base^...; seed: median, median + 1, ...; True and False;
        names: all of them.  Whole numbers stay whole, and doubles are left out.
    values : dict, default=None
        Values for some variables, instead of those.
    data : ndarray of shape (n_patches, n_pixels), default=None
        Patches for all; None is those of the parameters.
    """

    @constraints.checked
    def __init__(
        self,
        opts: Annotated[Mapping | SHL, OPTIONS] | None = None,
        tag: constraints.Text = "shl",
        N_scan: constraints.Count = 9,
        base: Annotated[float, constraints.number(above=1)] = 4.0,
        values: Annotated[Mapping[str, Sequence], VALUES] | None = None,
        data: constraints.Matrix | None = None,
    ):
        self.middle = opts if isinstance(opts, SHL) else SHL(**(opts or {}))
        self.tag, self.N_scan, self.base, self.data = tag, N_scan, base, data
        check_memory(BYTES_OF_RECORD * self.N_scan, "N_scan", self.N_scan)
        self.values = dict(values or {})
        self._records: list[dict] = []
        self.figures: dict[object, dict] = {}

    # --------------------------------------------------------------------------------------- values

    def values_of(self, variable: str) -> list:
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
                f"variable must not be {variable!r} if data is given, because it changes the data"
            )
        if variable in self.values:
            values = self.values[variable]
            if not isinstance(values, (list, tuple, range, np.ndarray)):
                raise TypeError(f"values[{variable!r}] must be a list, not {values!r}")
            values = values.tolist() if isinstance(values, np.ndarray) else list(values)
            if not values:
                raise ValueError(f"values[{variable!r}] is empty. Give at least one value.")
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
                f"{variable} cannot be scanned around {median!r}. Give its values, "
                f"SHL_set(..., values={{{variable!r}: [...]}})."
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

    def tasks(self, variables: str | Sequence[str], grid: bool = False) -> list[dict]:
        """What `run` would do: a list of dicts with variable, value and params (only what differs
        from `opts`).
        """
        variables = [variables] if isinstance(variables, str) else variables
        variables = list(dict.fromkeys(check_names(variables, "variables")))
        if not variables:
            raise ValueError("variables is empty. Name the parameters to scan.")
        values = {variable: self.values_of(variable) for variable in variables}
        n_tasks = math.prod(map(len, values.values())) if grid else 0
        check_memory(BYTES_OF_RECORD * n_tasks, f"the grid {' x '.join(variables)}", n_tasks)
        return [
            {
                "variable": " x ".join(names),
                "value": each if grid else each[0],
                "params": dict(zip(names, each, strict=True)),
            }
            for names in ([variables] if grid else [[variable] for variable in variables])
            for each in itertools.product(*(values[name] for name in names))
        ]

    # -------------------------------------------------------------------------------------- running

    @constraints.checked
    def run(
        self,
        variables: str | Sequence[str] = ("eta",),
        n_jobs: int = 1,
        verbose: int = 0,
        grid: constraints.Flag = False,
        N_scan: constraints.Count | None = None,
        list_figures: Sequence[str] = (),
        fig_kwargs: Mapping | None = None,
    ) -> list[dict]:
        """Learn what is missing, on n_jobs workers, and return the flat records of all (see
        `results`).

        One learning runs on one thread of one worker.  An ambient joblib backend
        (`joblib.parallel_config`) is respected; loky processes are the default.  A value that fails
        is recorded with its error; one whose worker is killed is tried again, and then recorded as
        failed.  The order, n_jobs and backend do not change any result.

        Parameters
        ----------
        variables : str or list of str, default=("eta",)
            Names of `SHL`'s parameters.
        n_jobs : int, default=1
            Workers; -1 is all cores.
        verbose : int, default=0
            1 shows a progress bar that counts finished runs.
        grid : bool, default=False
            True runs every combination of the variables' values.
        N_scan : int, default=None
            Values of a variable from now on; None keeps the number.
        list_figures : sequence of str, default=()
            Figures of `SHL.learn_dico`, drawn for every value into `figures[value]`.
        fig_kwargs : dict, default=None
            Parameters of these figures, as in `SHL.learn_dico`.
        """
        self.N_scan = N_scan or self.N_scan
        tasks = self.tasks(variables, grid)
        count_threads(n_jobs)  # validates it
        outcomes = run_jobs(self._jobs(tasks), n_jobs, verbose, "runs")
        found = [
            _record(task, self._parameters(task), outcome)
            for task, outcome in zip(tasks, outcomes, strict=True)
        ]
        new = [record["params"] for record in found]
        self._records = [record for record in self._records if record["params"] not in new] + found
        done = [record for record in found if record["status"] == "done"]
        self._draw(done, list_figures, fig_kwargs)
        return found

    def _draw(self, records, list_figures, fig_kwargs):
        """Draw figures of each record."""
        options = {"list_figures": list_figures, "fig_kwargs": fig_kwargs}
        for record in records if list_figures else ():
            experiment = SHL(**self._parameters(record))
            experiment.learn_dico(self._patches(record), matname=self.tag, **options)
            self.figures[record["value"]] = experiment.figures

    def stored(self, tasks: list[dict]) -> list[dict | None]:
        """The record of each task whose result is in the store, None for the others."""
        return [
            result and _record(task, self._parameters(task), as_done(result, is_cached=True))
            for task, result in zip(tasks, self._find(tasks), strict=True)
        ]

    def _jobs(self, tasks):
        """A `Job` for each task; patches are made for those alone that have to be learned."""
        found = self._find(tasks)
        missing = [task for task, result in zip(tasks, found, strict=True) if result is None]
        shared = self._shared_data(missing)
        jobs: list[Job] = []
        for task, result in zip(tasks, found, strict=True):
            parameters = self._parameters(task)
            arguments = parameters, shared.get(self._data_key(task)), self.tag
            key = _attempt(store.key_of, parameters) or len(jobs)  # equal tasks share a key
            jobs.append(Job(key, _learn, arguments, result))
        return jobs

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
        """The experiment whose patches a task learns from, None if its parameters are bad."""
        return _attempt(lambda: replace(self.middle, **self._data_changes(task), verbose=0))

    def _digest(self, task):
        """The digest of a task's patches if it is known without making them, else None."""
        if self.data is not None:
            return store.digest(self.data)
        source = self._source(task)
        return source and _attempt(source.data_digest)

    def _shared_data(self, tasks):
        """{data key: patches} of the tasks: the patches, or, where one task alone needs them, who
        can make them.
        """
        sources = {}
        for key, group in itertools.groupby(sorted(tasks, key=self._data_key), self._data_key):
            group = list(group)
            source: Any = self.data if self.data is not None else self._source(group[0])
            is_shared = isinstance(source, SHL) and len(group) > 1
            data = _attempt(source.get_data) if is_shared else None
            sources[key] = source if data is None else data
        return sources

    def _find(self, tasks):
        """The result of each task if it is in the store, else None."""
        samples = {self._data_key(task): task for task in tasks}
        digests = {key: self._digest(task) for key, task in samples.items()}
        return [self._find_one(task, digests[self._data_key(task)]) for task in tasks]

    def _find_one(self, task, digest):
        """The result of a task if it is in the store, else None."""
        if self.middle.store is None or digest is None:
            return None
        path = _attempt(lambda: self._path(SHL(**self._parameters(task)), digest))
        return path and self.middle.store.get(path, _read_metrics)

    def _path(self, experiment, digest):
        """Where the store has an experiment's result, None if its rule is user-defined."""
        if not isinstance(experiment.homeo_method, str):
            return None
        return experiment.result_path(matname=self.tag, data_digest=digest)

    # -------------------------------------------------------------------------------------- results

    def results(self) -> list[dict]:
        """All records so far: dicts with variable, value, seed, params, status, seconds, cached,
        failure and metrics.

        seconds is the CPU time of the learning; the metrics of its last record stand under their
        names: F, error, qerror, entropy, ...; `failure` is the error message of a failed value.
        """
        return list(self._records)

    def to_frame(self) -> "pandas.DataFrame":
        """The records as a pandas DataFrame, with a column for each parameter (needs pandas)."""
        import pandas as pd

        records = [{**record, **record["params"]} for record in self._records]
        return pd.DataFrame(records).drop(columns="params", errors="ignore")

    def to_csv(self, path: str | Path) -> None:
        """Write the records as CSV, params as JSON.

        Raises
        ------
        ValueError
            Before `run`, when there is nothing to write.
        """
        if not self._records:
            raise ValueError("There is no record to write. Call run first.")
        records = lasting(self._records)
        names = list(dict.fromkeys(name for record in records for name in record))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        for record in records:
            writer.writerow({**record, "params": json.dumps(record["params"], default=str)})
        write_bytes(path, text.getvalue().encode())

    def to_json(self, path: str | Path) -> None:
        """Write the records as JSON; NaN is null."""
        write_bytes(path, json_text(lasting(self._records)).encode())

    @constraints.checked
    def scan(
        self,
        variable: str | Sequence[str] = "eta",
        list_figures: Sequence[str] = (),
        display: Annotated[str, constraints.choice(("final", "dynamic", ""))] = "final",
        display_variable: str = "F",
        color: object = None,
        label: str | None = None,
        fig: Any = None,
        ax: Any = None,
        n_jobs: int = 1,
        fname: str | Path | None = None,
        verbose: int = 0,
        alpha: float = 1.0,
        fig_kwargs: Mapping | None = None,
    ) -> tuple:
        """A figure over the values of a variable, learning what is missing; returns (fig, ax).

        Parameters
        ----------
        variable : str or two of them, default="eta"
            The variable, or both variables of a grid, which is drawn as a heat map.
        list_figures : sequence of str, default=()
            Figures of `SHL.learn_dico`, drawn for every value into `figures[value]`.
        display : {"final", "dynamic", ""}, default="final"
            The display variable at the end of learning against the value, or over the steps.  The
            empty string draws `list_figures` alone, and returns `fig` and `ax` as they are given.
        display_variable : str, default="F"
            A metric: F, error, qerror, entropy, ...
        color, label, fig, ax : optional
            As in `shl.plotting`.
        n_jobs : int, default=1
            As in `run`.
        fname : str or Path, default=None
            File to save the figure in.
        verbose : int, default=0
            As in `run`.
        alpha : float, default=1.0
            Opacity of the lines.
        fig_kwargs : dict, default=None
            Parameters of `list_figures`, as in `SHL.learn_dico`.
        """
        variables = [variable] if isinstance(variable, str) else list(variable)
        is_grid = len(variables) > 1
        if len(variables) > 2 or (is_grid and display != "final"):
            raise ValueError(
                f"A figure shows one variable, or the end of learning over two, not {variables} "
                f"with display={display!r}. Call run(variables, grid=True), then to_frame()."
            )
        records = self._done(variables, is_grid)
        if None in records:
            self.run(variables, n_jobs=n_jobs, verbose=verbose, grid=is_grid)
            records = self._done(variables, is_grid)
        if is_grid:
            grid = {name: self.values_of(name) for name in variables}
            drawn = [np.nan if record is None else record[display_variable] for record in records]
            drawn = np.reshape(drawn, [len(each) for each in grid.values()])
            return plot_grid(grid, drawn, display_variable, fname=fname, fig=fig, ax=ax)
        records = [record for record in records if record]
        self._draw(records, list_figures, fig_kwargs)
        if not display:
            return fig, ax
        values = [record["value"] for record in records]
        if display == "final":
            results = [record[display_variable] for record in records]
            style = {"color": color, "alpha": alpha, "label": label, "fname": fname}
            return plot_scan(values, results, *variables, display_variable, fig=fig, ax=ax, **style)
        fig, ax = get_axes(fig, ax, (6, 4), self)
        for record, value in zip(records, values, strict=True):
            label = f"{variables[0]} = {value:.4g}" if isinstance(value, float) else f"{value}"
            style = {"color": color, "alpha": alpha, "label": label}
            time_plot(self.learned(record), display_variable, fig=fig, ax=ax, **style)
        save(fig, fname)
        return fig, ax

    def _done(self, variables, grid):
        """The record of each task of a scan that is done, None for the others."""
        known = {
            store.key_of(record["params"]): record
            for record in self._records
            if record["status"] == "done"
        }
        return [known.get(store.key_of(task["params"])) for task in self.tasks(variables, grid)]

    def learned(self, record: dict) -> SparseHebbianLearning:
        """The fitted `SparseHebbianLearning` of a record, from the store or learned again."""
        experiment = SHL(**self._parameters(record))
        digest = experiment.store and self._digest(record)
        path = digest and self._path(experiment, digest)
        found = path and experiment.stored(path)
        return found or experiment.learn_dico(data=self._patches(record), matname=self.tag)

    def _patches(self, task):
        """The patches that a task learns from."""
        return self.data if self.data is not None else self._source(task).get_data()


def _attempt(make, *values):
    """What a function returns, None if it raises: the worker that meets the error records it."""
    try:
        return make(*values)
    except Exception as error:  # of any kind: the other values are learned
        logger.info("left to a worker: %s", error)
        return None


def _read_metrics(path):
    """The result of a learning, in its file."""
    info = store.read_info(path)
    times = info.get("times", info)  # beside the rest in files of an earlier version
    last = {name: values[-1] for name, values in times.items() if name == "cputime" and values}
    return {"seconds": times.get("seconds", np.nan), **info["metrics"], **last}


def _learn(parameters, source, tag):
    """The result of one learning, which it also stores."""
    experiment = SHL(**parameters)
    data = source.get_data() if isinstance(source, SHL) else source
    dico = experiment.learn_dico(data=data, matname=tag)
    return {"seconds": dico.seconds_, **dico.record_.last()}


def _record(task, parameters, outcome):
    """A flat record of a task."""
    same = {name: task[name] for name in ("variable", "value", "params")}
    return {**same, "seed": parameters["seed"], "seconds": np.nan, **outcome}
