"""What learning carries: the plan, which does not change, and the state, which does, in memory and
on disk.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._base.arrays import all_beside, beside, copy_of, host_dtype, namespace, number_type, to_host
from .._base.checks import check_count, check_number
from .._base.constraints import Checked, CountOrZero
from .._base.devices import is_tensor
from .._base.schema import Field, check, check_keys, not_distributions, not_of_norm_1
from .._base.threads import Threads
from ..coding.coder import Coder
from ..coding.parameters import Coding
from ..coding.preparing import prepare
from .history import History
from .homeostasis import HEH2019, Rule, check_competition_of
from .optimizers import Decay, Optimizer, normalise
from .replacement import Replacement


@dataclass(frozen=True)
class Recording(Checked):
    """When metrics are recorded, and on what.

    Parameters
    ----------
    each : int, default=0
        Steps between records; 0 records nothing.
    n_held_out : int, default=0
        Samples that `fit` keeps from learning for the records; 0 records each step's own batch
        before the atoms move, as `partial_fit` does.
    """

    each: CountOrZero = 0
    n_held_out: CountOrZero = 0

    def is_due(self, step: int) -> bool:
        """True at every `each`-th step."""
        return self.each > 0 and step % self.each == 0

    def hold_out(self, n_samples: int) -> int:
        """How many of n_samples are kept for the records, at most a fifth."""
        return min(self.n_held_out, n_samples // 5) if self.each else 0


@dataclass(frozen=True)
class Plan:
    """What does not change while a dictionary is learned.

    Parameters
    ----------
    coding : Coding or ConvolutionalCoding
        How a batch is coded.
    rule : Rule
        Homeostasis.
    optimizer : Optimizer
    batch_size : int
        Samples of a step.
    recording : Recording
    observer : HEH2019, optional
        Histograms for a rule that follows none.  Without records, they are those of the last batch.
    eta_precision : float, optional
        The rate at which the precision of pixels is learned; None for no precision.
    decay : Decay, optional
        How the rate of learning falls; None for a constant one.
    replacement : Replacement, optional
        Of atoms that others explain; None for none.
    n_steps : int, optional
        The steps that decay and replacement see as the whole; None has no end.
    positive_dict : bool, default=False
        True keeps every pixel of an atom from being negative, by a projected step.
    growth : (int, float), optional
        The sparsity grows from the first number to that of `coding` over this share of n_steps.  If
        None, it is constant.
    clip : float, optional
        Samples are scaled down to so many median norms while atoms are learned from them.
    exponent : int, default=0
        Samples come divided by 2^exponent.  The rule sees coefficients as they were.
    """

    coding: Coding
    rule: Rule
    optimizer: Optimizer
    batch_size: int = 256
    recording: Recording = field(default_factory=Recording)
    observer: HEH2019 | None = None
    eta_precision: float | None = None
    decay: Decay | None = None
    replacement: Replacement | None = None
    n_steps: int | None = None
    positive_dict: bool = False
    growth: tuple[int, float] | None = None
    clip: float | None = None
    exponent: int = 0

    def rate(self, step: int) -> float:
        """The factor of the optimizer's rate in a step."""
        return 1.0 if self.decay is None or self.n_steps is None else self.decay(step, self.n_steps)

    @property
    def follower(self) -> HEH2019 | None:
        """The observer, if each step updates the histograms: for records, or from a given start."""
        observer = self.observer
        is_idle = observer is not None and self.recording.each == 0 and observer.P_cum is None
        return None if is_idle else observer

    def in_units_of(self, exponent: int) -> "Plan":
        """Return the plan for samples that were divided by 2^exponent."""
        if not exponent:
            return self
        return replace(self, coding=self.coding.in_units_of(exponent), exponent=exponent)

    def coding_at(self, step: int) -> Coding:
        """Return how the samples of a step are coded: as `coding`, perhaps sparser."""
        full = self.coding.l0_sparseness
        if self.growth is None or self.n_steps is None or not full:
            return self.coding
        first, share = self.growth
        now = round(first + (full - first) * min(1, step / (share * self.n_steps)))
        return replace(self.coding, l0_sparseness=now) if now < full else self.coding

    def prepare(
        self,
        state: "State",
        threads: Threads,
        former: Coder | None = None,
        coding: Coding | None = None,
    ) -> Coder:
        """Return a coder of the state's dictionary under its own competition.

        It may overwrite the memory of a former coder.  coding is `self.coding` if None.
        """
        competition = self.rule.competition(state.homeostasis).in_units_of(self.exponent)
        how = coding or self.coding
        return prepare(how, state.dictionary, competition, state.precision, threads, former)


@dataclass
class State:
    """All that learning changes; with the plan and the data, it decides every later bit."""

    dictionary: np.ndarray  # (n_dictionary, ...), atoms of norm 1
    moments: dict
    homeostasis: dict
    observed: dict  # histograms of patches under a rule that follows none, as of HEH; or {}
    variance: Any  # of x - a_i d_i, as the dictionary; None without a precision
    last_selected: np.ndarray  # (n_dictionary,): the last step that selected the atom, 0 for none
    replacement: dict  # what `Replacement` keeps; {} without
    seed: int  # decides the order of samples
    step: int = 0
    seconds: float = 0.0  # CPU time so far
    record: History = field(default_factory=History)
    scaling: dict = field(default_factory=dict)  # of samples: most_norm, whitening; or {}
    exponent: int = 0  # samples are divided by 2^exponent

    @property
    def histogram(self) -> dict:
        """The histograms of coefficients: the rule's own, or those observed."""
        return self.homeostasis if "P_cum" in self.homeostasis else self.observed

    @property
    def precision(self) -> np.ndarray | None:
        """W = 1 / variance, of mean 1 for each atom; None where no precision is learned."""
        if self.variance is None:
            return None
        xp = namespace(self.variance)
        precision = 1 / xp.maximum(self.variance, xp.finfo(self.variance.dtype).eps)
        return precision / precision.mean(axis=1, keepdims=True)

    def own(self) -> "State":
        """Return the same state, which shares no array that learning writes to.

        Arrays that are read-only, such as memory maps, are copied, too.
        """

        def owned(part):
            return {
                name: copy_of(value)
                if name == "pool" or not (is_tensor(value) or np.asarray(value).flags.writeable)
                else value
                for name, value in part.items()
            }

        parts = ("moments", "homeostasis", "observed", "replacement")
        return State(**owned(vars(self)) | {name: owned(getattr(self, name)) for name in parts})

    def beside(self, X: np.ndarray) -> "State":
        """The same state where X is: itself, or a copy on another device."""
        if beside(self.dictionary, X) is self.dictionary:
            return self
        atoms = beside(self.dictionary, X)
        parts = ("moments", "homeostasis", "observed", "replacement", "scaling")
        moved: dict = {name: all_beside(getattr(self, name), atoms) for name in parts}
        arrays = ("variance", "last_selected")
        moved |= {name: beside(getattr(self, name), atoms) for name in arrays}
        return replace(self, dictionary=atoms, **moved)


def start_state(
    dictionary: np.ndarray,
    plan: Plan,
    seed: int,
    variance: np.ndarray | None = None,
    energy: float = 1.0,
    exponent: int = 0,
    scaling: dict | None = None,
) -> State:
    """Return the state before the first step; the atoms are copied and scaled to norm 1.

    energy is the mean square of the data, which are divided by 2^exponent: the unit of gradients
    and of the variance.  scaling is that of the samples.
    """
    dictionary = copy_of(dictionary)
    normalise(dictionary)
    if plan.eta_precision is not None and variance is None:
        variance = namespace(dictionary).ones_like(dictionary)
    if variance is not None:
        variance = number_type(dictionary)(energy) * variance
    n_dictionary = len(dictionary)
    sizes = n_dictionary, plan.coding.activity(n_dictionary), host_dtype(dictionary)
    homeostasis, observer = plan.rule.init(*sizes), plan.observer
    observed = {} if observer is None or "P_cum" in homeostasis else observer.init(*sizes)
    kept = {} if plan.replacement is None else plan.replacement.init(dictionary)
    return State(
        dictionary,
        plan.optimizer.init(dictionary, energy),
        all_beside(homeostasis, dictionary),
        all_beside(observed, dictionary),
        variance,
        beside(np.zeros(n_dictionary, np.int64), dictionary),
        all_beside(kept, dictionary),
        seed,
        scaling=scaling or {},
        exponent=exponent,
    )


def check_state(state: State, plan: Plan, X: np.ndarray, shape: tuple) -> State:
    """Return the state on the device of X; raise an error if it cannot resume under this plan."""
    if not isinstance(state, State):
        raise TypeError(f"resume must be a shl.learning.State, not {type(state).__name__}")
    state = state.beside(X)
    if tuple(state.dictionary.shape) != shape:
        raise ValueError(
            f"resume must hold atoms of shape {shape}, not {tuple(state.dictionary.shape)}"
        )
    fresh = start_state(state.dictionary, plan, state.seed)
    wanted, found = (
        [{name: np.shape(value) for name, value in part.items()} for part in parts]
        for parts in ((s.homeostasis, s.histogram) for s in (fresh, state))
    )
    C = float(fresh.histogram.get("C", 0))  # 0 adapts
    if wanted != found or (C and float(state.histogram["C"]) != C):
        raise ValueError(
            "homeo_method, homeo_fade, nb_quant and C must not change when learning "
            "resumes. Call fit to start anew. To resume a loaded model with a "
            "user-defined rule, call load(path, homeo_method=rule)."
        )
    if fresh.moments.keys() != state.moments.keys():
        raise ValueError(
            "optimizer must not change, nor beta1 become or leave 0, when learning "
            "resumes. Call fit to start anew."
        )
    if plan.eta_precision is not None and state.variance is None:
        raise ValueError(
            "do_precision must not become True when learning resumes. Call fit to start anew."
        )
    kept = fresh.replacement
    if not state.replacement:  # as after a fit to fewer samples than atoms
        state.replacement = kept
    if kept and kept.keys() != state.replacement.keys():
        raise ValueError(
            "replacement of the state must have the parts of `Replacement`. Call fit to start anew."
        )
    if kept and kept["pool"].shape[1:] != state.replacement["pool"].shape[1:]:
        raise ValueError(f"replacement/pool must have {kept['pool'].shape[1]} columns")
    if not is_tensor(state.dictionary):  # what is on a GPU was made or moved there by us
        check(_parts_of(state), STATE)
    for name, moment in fresh.moments.items():
        if state.moments[name].dtype != moment.dtype:
            raise ValueError(f"moments/{name} must have the dtype of the atoms, {moment.dtype}")
    check_competition_of(
        plan.rule, state.homeostasis, len(state.dictionary), state.dictionary.dtype
    )
    return state


# ------------------------------------------------------------------------------------ disk

PARTS = ("moments", "homeostasis", "histogram", "replacement", "scaling", "record")
NUMBERS = ("seed", "step", "seconds", "exponent")
ATOMS = ("n_dictionary", "...atom")
STATE = {
    "dictionary": Field(ATOMS, fails=not_of_norm_1),
    "last_selected": Field(("n_dictionary",), "iu", least=0),
    "variance": Field(ATOMS, least=0, is_optional=True),
    "moments/square": Field(ATOMS, least=0, is_optional=True),
    "moments/energy": Field((), least=0, is_optional=True),
    "moments/V": Field(("n_dictionary",), least=0, is_optional=True),
    "moments/used": Field(("n_dictionary",), least=0, is_optional=True),
    "moments/n_seen": Field((), least=0, is_optional=True),
    "moments/c": Field((), least=0, is_optional=True),
    "moments/*": Field(ATOMS),
    "*/P_cum": Field(
        ("n_dictionary", "nb_quant"), least=-1e-6, most=1 + 1e-6, fails=not_distributions
    ),
    "*/C": Field((), least=0),
    "homeostasis/*": Field(("...",), "fiub", is_finite=False),  # of any rule, which is asked
    "histogram/*": Field(("...",), "fiub", is_finite=False),  # it may be the state of a rule
    "replacement/age": Field(("n_dictionary",), "iu", least=0, is_optional=True),
    "replacement/energy": Field(("n_dictionary",), least=0, is_optional=True),
    "replacement/pool": Field(("n_pooled", "n_values"), is_optional=True),
    "replacement/n_replaced": Field(("n_dictionary",), "iu", least=0, is_optional=True),
    "replacement/n_seen": Field((), "iu", least=0, is_optional=True),
    "scaling/most_norm": Field((), least=0, is_optional=True),
    "scaling/whitening": Field(("...",), is_optional=True),
    "record/steps": Field(("n_records",), "iu", is_optional=True),
    "record/*": Field(("n_records", "..."), "fiub", is_finite=False),  # entropy may be NaN
}


def to_arrays(state: State) -> tuple[dict, dict]:
    """Return the state as ({name: array}, JSON values), the form in which it is stored."""
    arrays = _parts_of(state, PARTS)
    return arrays, {name: getattr(state, name) for name in NUMBERS}


def _parts_of(state, parts=PARTS[:-1]):
    """{name: array} of a state."""
    arrays = {"dictionary": state.dictionary, "last_selected": state.last_selected}
    if state.variance is not None:
        arrays["variance"] = state.variance
    for part in parts:
        values = getattr(state, part)
        arrays |= {f"{part}/{name}": value for name, value in values.items()}
    return {name: np.asarray(to_host(value)) for name, value in arrays.items()}


def from_arrays(arrays: dict, info: dict) -> State:
    """Return the state that `to_arrays` took apart.

    Raises
    ------
    ValueError
        For what it cannot have made: names, shapes, dtypes or values that are not those of a state.
    """
    arrays = check(arrays, STATE)
    info = {"exponent": 0} | info  # which files of version 0.1 lack
    check_keys(info, NUMBERS, "the state")
    parts: dict[str, dict] = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        if rest:
            parts[part][rest] = array
    if parts["record"] and "steps" not in parts["record"]:
        raise ValueError("record/steps is missing")
    for part in ("homeostasis", "histogram"):
        if ("P_cum" in parts[part]) != ("C" in parts[part]):
            raise ValueError(f"{part} must have P_cum and C, its scale, or neither")
    return State(
        arrays["dictionary"],
        parts["moments"],
        parts["homeostasis"],
        {} if "P_cum" in parts["homeostasis"] else parts["histogram"],
        arrays.get("variance"),
        arrays["last_selected"],
        parts["replacement"],
        seed=check_count(info["seed"], "seed", least=0, most=2**63),
        step=check_count(info["step"], "step", least=0, most=2**62),
        seconds=check_number(info["seconds"], "seconds", least=0),
        record=History(parts["record"]),
        scaling=parts["scaling"],
        exponent=check_count(info["exponent"], "exponent", least=-1100, most=1100),
    )


__all__ = ["Plan", "Recording", "State", "check_state", "from_arrays", "start_state", "to_arrays"]
