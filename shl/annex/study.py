"""A study: experiments of one size and database, learned in parallel and kept in the store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import metrics
from .._base.checks import check_choice, check_count
from .._base.threads import Threads
from ..coding.competition import PLAIN, Competition
from ..coding.events import Events
from ..coding.parameters import Coding
from ..coding.preparing import prepare
from ..estimators.dictionary import SparseHebbianLearning
from ..experiments.experiment import SHL, STUDY
from ..experiments.scan import SHL_set
from ..images.photographs import DATAPATH, choose_database
from ..learning.homeostasis import cumulative_distribution
from ..learning.loop import QERROR_WEIGHT, code_all
from ..store.entries import DEFAULT_FOLDER
from ..store.jobs import failure_lines

RULES = ("None", "OLS", "EMP", "HAP", "HEH2019", "HEH")
FADE = (0.3, 0.6)  # homeo_fade of the rules that fade
FRESH_SEED = 10**6  # of new patches
# Bins in which all models' distributions are compared on new patches.
RULER: dict[str, Any] = {"C": 3.0, "nb_quant": 128}


@dataclass(frozen=True)
class Scale:
    """How large a study is."""

    opts: dict[str, Any]  # parameters of SHL
    n_seeds: int  # runs of each rule
    n_few: int  # runs of each rule in the controls
    N_scan: int  # values of a scanned parameter
    n_slow: int  # steps with a coder of scikit-learn
    n_fresh: int  # new patches to compare models on
    n_planted: int  # runs of planted atoms


COMMON = {"batch_size": 256, "one_over_F": False}
QUICK = {"patch_width": 12, "n_dictionary": 196, "l0_sparseness": 10, "N_patches": 16384}
QUICK |= {"n_iter": 1025, "record_each": 64, "record_num_batches": 2048}
PAPER = {"patch_width": 21, "n_dictionary": 676, "l0_sparseness": 21, "N_patches": 65536}
PAPER |= {"n_iter": 4097, "record_each": 128, "record_num_batches": 4096}
SCALES = {
    "quick": Scale(COMMON | QUICK, 3, 3, N_scan=5, n_slow=33, n_fresh=8192, n_planted=1),
    "paper": Scale(COMMON | PAPER, 10, 3, N_scan=9, n_slow=129, n_fresh=16384, n_planted=10),
}


class Study:
    """Runs at one scale on one database.

    Parameters
    ----------
    scale : {'quick', 'paper'}, default='quick'
        'quick', minutes; 'paper', the size of Perrinet (2019): 441 pixels, 676 atoms, 21 events,
        4097 steps of 256 patches, 10 runs of each rule.
    database, datapath : str, optional
        As `name_database` and `datapath` of `SHL`.
    n_jobs : int, default=-1
        Runs at a time; -1 is one for each core.
    cache_dir : str or Path, default='cache_dir'
        Folder of results, from which an interrupted study resumes.
    verbose : int, default=0
        1 shows progress bars.
    n_seeds : int, default=None
        Learnings of each rule, and runs of planted atoms, at least 2; None is the scale's number.
    """

    def __init__(
        self,
        scale: str = "quick",
        database: str | None = None,
        datapath: str = DATAPATH,
        n_jobs: int | None = -1,
        cache_dir: str | Path | None = DEFAULT_FOLDER,
        verbose: int = 0,
        n_seeds: int | None = None,
    ) -> None:
        self.scale_name, self.scale = scale, SCALES[check_choice(scale, "scale", SCALES)]
        if n_seeds is not None:
            n_few = min(check_count(n_seeds, "n_seeds", least=2), self.scale.n_few)
            self.scale = replace(self.scale, n_seeds=n_seeds, n_few=n_few, n_planted=n_seeds)
        folder, self.database = choose_database(database, datapath)
        self.n_jobs, self.verbose = n_jobs, verbose
        self.opts: dict[str, Any] = {**STUDY, **self.scale.opts, "name_database": self.database}
        self.opts |= {"datapath": folder, "cache_dir": cache_dir}
        self.seeds = list(range(42, 42 + self.scale.n_seeds))
        self.few_seeds = self.seeds[: self.scale.n_few]

    def run(
        self,
        variables: Mapping[str, Sequence | None],
        N_scan: int | None = None,
        base: float = 4.0,
        **changes: object,
    ) -> "Runs":
        """Learn with every combination of the variables' values.

        Parameters
        ----------
        variables : mapping of names to sequences or None
            Values of some parameters of `SHL`; None spreads them as in `SHL_set`.
        N_scan : int, default=None
            Values of a variable; None is that of the scale.
        base : float, default=4.0
            As in `SHL_set`.
        **changes : object
            Parameters of `SHL` that differ from the study's.

        Returns
        -------
        runs : Runs

        Raises
        ------
        RuntimeError
            If a run failed, with its parameters and error.
        """
        N_scan, opts = N_scan or self.scale.N_scan, {**self.opts, **changes}
        values = {name: given for name, given in variables.items() if given is not None}
        experiments = SHL_set(opts, tag="annex", N_scan=N_scan, base=base, values=values)
        records = experiments.run(
            list(variables), n_jobs=self.n_jobs, verbose=self.verbose, grid=True
        )
        raise_failure(records, "{params}".format_map)
        return Runs(experiments, records)

    @cached_property
    def rules(self) -> "Runs":
        """The runs of figures 1 and 3: every rule from every seed."""
        return self.run({"seed": self.seeds, "homeo_method": RULES})

    def first(self, rule: str) -> SparseHebbianLearning:
        """The model of a rule from the first seed."""
        return self.rules.models(seed=self.seeds[0], homeo_method=rule)[0]

    def fresh(self, **changes: object) -> np.ndarray:
        """Newly drawn patches of the database's images."""
        opts = {**self.opts, **changes, "seed": FRESH_SEED, "N_patches": self.scale.n_fresh}
        return SHL(**opts).get_data()

    @cached_property
    def measured(self) -> dict[str, dict[str, np.ndarray]]:
        """{rule: `measure` of its models from all seeds on new patches}."""
        return self.rules.measure(self.fresh(), "homeo_method", RULES)


def raise_failure(records, describe):
    """An error that says what failed first, if anything did."""
    if lines := failure_lines(records, describe):
        raise RuntimeError(lines[0])


@dataclass
class Runs:
    """Runs and their records.

    Attributes
    ----------
    experiments : SHL_set
    records : list of dict
        One for each run, as `SHL_set.run` gives.
    """

    experiments: SHL_set
    records: list[dict]

    def select(self, **params: object) -> list[dict]:
        """The records with these parameters, in the order of their runs."""
        return [
            record
            for record in self.records
            if all(record["params"].get(name) == value for name, value in params.items())
        ]

    def column(self, metric: str, **params: object) -> np.ndarray:
        """A metric at the end of the runs with these parameters."""
        return np.array([record[metric] for record in self.select(**params)])

    def models(self, **params: object) -> list[SparseHebbianLearning]:
        """The fitted models of the runs with these parameters."""
        return [self.experiments.learned(record) for record in self.select(**params)]

    def measure(
        self,
        patches: np.ndarray,
        name: str = "homeo_method",
        values: Iterable = (),
        **params: object,
    ) -> dict[Any, dict[str, np.ndarray]]:
        """{value: `measure` on patches of the models with that value of a parameter}."""
        return {value: measure(self.models(**{**params, name: value}), patches) for value in values}


def measure(models: Iterable[SparseHebbianLearning], patches: np.ndarray) -> dict[str, np.ndarray]:
    """{name: array (n_models,)} of what `evaluate` finds."""
    found = [evaluate(model, patches) for model in models]
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def evaluate(model: SparseHebbianLearning, patches: np.ndarray) -> dict[str, float]:
    """Metrics of a model on patches, under plain pursuit and under its rule's own competition.

    qerror is that of these patches' coefficients in the bins of RULER, the same for all models; so
    is F.  The fewer the patches, the larger it is, by chance, for all models alike.

    Parameters
    ----------
    model : SparseHebbianLearning
        Fitted.
    patches : array of shape (n_samples, n_pixels)

    Returns
    -------
    found : dict of float
        error, entropy, perror, KL, qerror, F, unused; named `_own` under the rule's competition.
    """
    found: dict[str, float] = {}
    for name, competition in (("", PLAIN), ("_own", model.competition_)):
        events, error = code(model, patches, competition)
        qerror = metrics.quantization_error(cumulative_distribution(events, **RULER))
        found |= {
            f"error{name}": error,
            f"entropy{name}": metrics.usage_entropy(events),
            f"perror{name}": metrics.probability_error(events),
            f"KL{name}": metrics.kl_divergence(events),
            f"qerror{name}": qerror,
            f"F{name}": error + QERROR_WEIGHT * qerror,
            f"unused{name}": int((events.counts() == 0).sum()),
        }
    return found


def code(
    model: Any,
    patches: np.ndarray,
    competition: Competition = PLAIN,
    do_sym: bool = False,
    algorithm: str = "mp",
) -> tuple[Events, float]:
    """Code patches with a model's dictionary.

    Parameters
    ----------
    model : SparseHebbianLearning
        Fitted.
    patches : array of shape (n_samples, n_pixels)
    competition : Competition, default=PLAIN
        Of the atoms; plain pursuit has none.
    do_sym : bool, default=False
        Coefficients of either sign.
    algorithm : str, default='mp'
        As in `sparse_encode`.

    Returns
    -------
    events : Events
    error : float
        |X - A D| / |X|.
    """
    how = Coding(algorithm, model.l0_sparseness, alpha_MP=model.alpha_MP, do_sym=do_sym)
    with Threads(1) as threads:
        coder = prepare(how, model.components_, competition, threads=threads)
        batch = code_all(patches, coder, threads)
    return batch.code, metrics.reconstruction_error(patches, batch.residual)
