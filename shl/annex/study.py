"""A study: experiments that share a size and a database, learned in parallel and kept in the
store.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import metrics, store
from .._checks import check_choice
from .._jobs import failure_lines
from .._threads import Threads
from ..coding import PLAIN, prepare
from ..experiment import SHL
from ..homeostasis import cumulative_distribution
from ..learning import QERROR_WEIGHT, code_batch
from ..scan import SHL_set

RULES = ("None", "OLS", "EMP", "HAP", "HEH")
COLORS = {"None": "black", "OLS": "orange", "EMP": "red", "HAP": "green", "HEH": "blue"}
FADE = (0.3, 0.6)  # homeo_fade of the rules that fade
FRESH_SEED = 10**6  # of new patches
RULER = {
    "C": 3.0,
    "nb_quant": 128,
}  # bins in which all models' distributions are compared on new patches


@dataclass(frozen=True)
class Scale:
    """How large a study is."""

    opts: dict  # parameters of SHL
    n_seeds: int  # learnings of each rule
    n_few: int  # learnings of each rule in the controls
    N_scan: int  # values of a scanned parameter
    n_slow: int  # steps with a coder of scikit-learn
    n_fresh: int  # new patches to compare models on
    n_planted: int  # learnings of planted atoms


COMMON = {"batch_size": 256, "one_over_F": False}
SCALES = {
    "quick": Scale(
        {
            **COMMON,
            "patch_width": 12,
            "n_dictionary": 196,
            "l0_sparseness": 10,
            "N_patches": 16384,
            "n_iter": 1025,
            "record_each": 64,
            "record_num_batches": 2048,
        },
        3,
        3,
        5,
        33,
        8192,
        3,
    ),
    "paper": Scale(
        {
            **COMMON,
            "patch_width": 21,
            "n_dictionary": 676,
            "l0_sparseness": 21,
            "N_patches": 65536,
            "n_iter": 4097,
            "record_each": 128,
            "record_num_batches": 4096,
        },
        10,
        3,
        9,
        129,
        16384,
        10,
    ),
}


class Study:
    """Learnings at one scale on one database.

    Parameters
    ----------
    scale : 'quick', minutes; 'paper', the size of Perrinet (2019): 441 pixels, 676 atoms, 21
        events, 4097 steps of 256 patches, 10 learnings of each rule.
    database, datapath : as `name_database` and `datapath` of `SHL`.
    n_jobs : int.  Learnings at a time; -1 is one for each core.
    cache_dir : folder of results; a study that was interrupted goes on.
    verbose : int.  1 shows progress bars.
    """

    def __init__(
        self,
        scale="quick",
        database="sample",
        datapath="database/",
        n_jobs=-1,
        cache_dir=store.DEFAULT_FOLDER,
        verbose=0,
    ):
        self.scale_name, self.scale = scale, SCALES[check_choice(scale, "scale", SCALES)]
        self.database, self.n_jobs, self.verbose = database, n_jobs, verbose
        self.opts = {
            **self.scale.opts,
            "name_database": database,
            "datapath": datapath,
            "cache_dir": cache_dir,
        }
        self.seeds = list(range(42, 42 + self.scale.n_seeds))
        self.few_seeds = self.seeds[: self.scale.n_few]

    def run(self, variables, values=None, N_scan=None, base=4.0, **changes):
        """The `Runs` of every combination of the variables' values (given, or spread as in
        `SHL_set`).

        Raises
        ------
        RuntimeError
            If a learning failed, with its parameters and error.
        """
        experiments = SHL_set(
            {**self.opts, **changes},
            tag="annex",
            N_scan=N_scan or self.scale.N_scan,
            base=base,
            values=values,
        )
        records = experiments.run(variables, n_jobs=self.n_jobs, verbose=self.verbose, grid=True)
        raise_failures(failure_lines(records, "{params}".format_map))
        return Runs(experiments, records)

    @cached_property
    def rules(self):
        """The learnings of figures 1 and 3: every rule from every seed."""
        return self.run(["seed", "homeo_method"], {"seed": self.seeds, "homeo_method": RULES})

    def fresh(self, **changes):
        """Newly drawn patches of the database's images."""
        opts = {**self.opts, **changes, "seed": FRESH_SEED, "N_patches": self.scale.n_fresh}
        return SHL(**{**opts, "record_each": 0, "batch_size": 1}).get_data()

    @cached_property
    def measured(self):
        """{rule: `measure` of its models from all seeds on new patches}."""
        patches = self.fresh()
        return {rule: measure(self.rules.models(homeo_method=rule), patches) for rule in RULES}


def raise_failures(lines):
    """An error that says what failed first, if anything did."""
    if lines:
        raise RuntimeError(lines[0])


@dataclass
class Runs:
    """Learnings and their records."""

    experiments: SHL_set
    records: list

    def select(self, **params):
        """The records with these parameters, in the order of their learnings."""
        return [
            record
            for record in self.records
            if all(record["params"].get(name) == value for name, value in params.items())
        ]

    def column(self, metric, **params):
        """A metric at the end of the learnings with these parameters."""
        return np.array([record[metric] for record in self.select(**params)])

    def models(self, **params):
        """The fitted models of the learnings with these parameters."""
        return [self.experiments.learned(record) for record in self.select(**params)]


def measure(models, patches):
    """{name: array (n_models,)} of what `evaluate` finds."""
    found = [evaluate(model, patches) for model in models]
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def evaluate(model, patches):
    """Metrics of a model on patches, under plain pursuit and, named `_own`, under its rule's own
    competition.

    qerror is that of these patches' coefficients in the bins of RULER, the same for all models; so
    is F.  The fewer the patches, the larger it is, by chance, for all models alike.
    """
    found = {}
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


def code(model, patches, competition=PLAIN, do_sym=False, algorithm="mp"):
    """(events, error) of patches coded with a model's dictionary under a competition."""
    with Threads(1) as threads:
        coder = prepare(
            model.components_,
            competition,
            algorithm=algorithm,
            l0_sparseness=model.l0_sparseness,
            alpha_MP=model.alpha_MP,
            do_sym=do_sym,
            threads=threads,
        )
        _, events, residual = code_batch(patches, np.arange(len(patches)), coder, threads)
    return events, metrics.reconstruction_error(patches, residual)
