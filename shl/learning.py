"""Learning: coding, homeostasis and a Hebbian step in turn, from a state that can stop anywhere and
go on.
"""

import time
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from . import kernels, metrics, optimizers
from ._threads import chunks
from .coding import PLAIN, Events, compete, prepare
from .history import History
from .homeostasis import HEH, Fading

QERROR_WEIGHT = 0.0005  # F = error + QERROR_WEIGHT * qerror


@dataclass(frozen=True)
class Plan:
    """What does not change while a dictionary is learned; see `SparseHebbianLearning` for the
    parameters.
    """

    rule: object
    algorithm: str = "mp"
    l0_sparseness: int = 10
    fit_tol: float | None = None
    alpha_MP: float = 1.0
    do_sym: bool = False
    eta: float = 0.02
    beta1: float = 0.99
    beta2: float = 0.99
    epsilon: float = 10
    eta_homeo: float = 0.01
    C: float = 3.0
    nb_quant: int = 128
    do_precision: bool = False
    eta_precision: float = 0.0
    batch_size: int = 256
    record_each: int = 0
    P_cum: np.ndarray | None = None

    def equaliser(self):
        """The rule where it is HEH, also one that fades, else None."""
        rule = self.rule.rule if isinstance(self.rule, Fading) else self.rule
        return rule if isinstance(rule, HEH) else None

    @cached_property
    def observer(self):
        """The histogram that is followed under every rule: HEH's own, or one with its
        parameters.
        """
        return self.equaliser() or HEH(self.eta_homeo, self.C, self.nb_quant, self.P_cum)

    def prepare(self, state, competition, threads):
        """A coder of the state's dictionary."""
        return prepare(
            state.dictionary,
            competition,
            precision=state.precision,
            algorithm=self.algorithm,
            l0_sparseness=self.l0_sparseness,
            fit_tol=self.fit_tol,
            alpha_MP=self.alpha_MP,
            do_sym=self.do_sym,
            threads=threads,
        )


@dataclass
class State:
    """All that learning changes; with the plan and the data, it decides every later bit."""

    dictionary: np.ndarray  # (n_dictionary, n_pixels), rows of norm 1
    moments: dict
    homeostasis: dict
    histogram: dict  # {"P_cum": (n_dictionary, nb_quant)}, followed under every rule
    variance: np.ndarray | None  # (n_dictionary, n_pixels) of x - a_i d_i, with do_precision
    last_selected: (
        np.ndarray
    )  # (n_dictionary,) step after which each atom was last selected, 0 if never
    seed: int  # decides the order of samples
    step: int = 0
    seconds: float = 0.0  # CPU time so far
    record: History = field(default_factory=History)

    @property
    def precision(self):
        """W = 1 / variance, of mean 1 for each atom; None without do_precision."""
        if self.variance is None:
            return None
        precision = 1 / np.maximum(self.variance, np.finfo(self.variance.dtype).eps)
        return precision / precision.mean(axis=1, keepdims=True)


def start(dictionary, plan, seed, variance=None):
    """The state before the first step; the dictionary is copied and its rows scaled to norm 1."""
    dictionary = optimizers.normalise(dictionary.copy())
    n_dictionary, dtype = len(dictionary), dictionary.dtype
    activity = min(plan.l0_sparseness / n_dictionary, 0.5)
    if plan.do_precision and variance is None:
        variance = np.ones_like(dictionary)
    return State(
        dictionary,
        optimizers.init(dictionary),
        plan.rule.init(n_dictionary, activity, dtype),
        plan.observer.init(n_dictionary, activity, dtype),
        variance,
        np.zeros(n_dictionary, np.int64),
        seed,
    )


def check_state(state, plan):
    """An error where a state cannot go on under this plan, as after a change of parameters."""
    n_dictionary, dtype = len(state.dictionary), state.dictionary.dtype
    wanted = plan.observer.init(n_dictionary, 0.5, dtype) | plan.rule.init(n_dictionary, 0.5, dtype)
    shapes = [
        {name: np.shape(value) for name, value in parts.items()}
        for parts in (wanted, state.histogram | state.homeostasis)
    ]
    if shapes[0] != shapes[1] or plan.observer.C not in (0, float(state.histogram["C"])):
        raise ValueError(
            "homeo_method, homeo_fade, nb_quant and C must not change while a state is learned "
            "on: call "
            "fit, or make a new model"
        )


def learn(X, state, plan, until, threads, held_out=None, on_step=None):
    """Steps `state` in place up to step `until`, on batches of X in a seeded order, and records on
    `held_out`.

    on_step(state), if given, is called after each step and may raise to stop: the state is whole at
    that point.

    Raises
    ------
    FloatingPointError
        If the dictionary has no longer rows of norm 1.
    """
    batches = Batches(len(X), plan.batch_size, state.seed)
    while state.step < until:
        if held_out is not None and state.step % plan.record_each == 0:
            record(held_out, state, plan, threads)
        began = time.process_time()
        advance(X, batches(state.step), state, plan, threads)
        state.seconds += time.process_time() - began
        if on_step is not None:
            on_step(state)
    if not np.linalg.norm(state.dictionary, axis=1).min() > 0.9:  # also true of NaN
        raise FloatingPointError(
            f"learning diverged before step {state.step}: a smaller eta than {plan.eta} may help"
        )
    if held_out is not None:
        record(held_out, state, plan, threads)
    return state


class Batches:
    """Rows of a step: a seeded permutation of the samples for each pass, cut into full batches."""

    def __init__(self, n_samples, batch_size, seed):
        self.n_samples, self.batch_size, self.seed = n_samples, batch_size, seed
        self.per_pass = n_samples // batch_size
        self._pass = None

    def __call__(self, step):
        """The rows of X of a step, (batch_size,)."""
        index, batch = divmod(step, self.per_pass)
        if index != self._pass:
            self._order = np.random.default_rng([self.seed, index]).permutation(self.n_samples)
            self._pass = index
        return self._order[batch * self.batch_size : (batch + 1) * self.batch_size]


def one_pass(n_samples, batch_size, state):
    """The rows of each step of one pass over new samples, in an order that the state's seed and
    step decide.
    """
    order = np.random.default_rng([state.seed, state.step]).permutation(n_samples)
    n_steps = n_samples // batch_size
    return np.array_split(order[: n_steps * batch_size], n_steps)


def advance(X, rows, state, plan, threads):
    """One step of learning in place, on the samples X[rows]."""
    coder = plan.prepare(state, plan.rule.competition(state.homeostasis), threads)
    batch, events, residual = code_batch(X, rows, coder, threads)
    state.step += 1
    state.last_selected[events.counts() > 0] = state.step
    follow(state, plan, events)
    if plan.do_precision:
        update_variance(state, plan, batch, events, threads)
    gradient = hebbian_gradient(events, residual, threads)
    if plan.beta1 == 0:
        optimizers.sgd(state.dictionary, gradient, state.moments, state.step - 1, plan.eta)
    else:
        optimizers.adam(
            state.dictionary,
            gradient,
            state.moments,
            state.step - 1,
            plan.eta,
            plan.beta1,
            plan.beta2,
            plan.epsilon,
        )


def follow(state, plan, events):
    """Homeostasis: the rule's state and the histogram after the batch (one and the same for
    HEH).
    """
    state.homeostasis = plan.rule.update(state.homeostasis, events)
    is_own = plan.equaliser() is not None
    state.histogram = state.homeostasis if is_own else plan.observer.update(state.histogram, events)


def code_batch(X, rows, coder, threads):
    """The batch X[rows], its events and its residuals, each chunk coded while it is in cache."""
    dtype, shape = coder.dictionary.dtype, (len(rows), X.shape[1])
    batch, residual = np.empty(shape, dtype), np.empty(shape, dtype)

    def code(chunk):
        batch[chunk] = residual[chunk] = X[rows[chunk]]
        events = coder.code(batch[chunk])
        kernels.subtract_reconstruction(
            events.indices, events.values, coder.dictionary, residual[chunk]
        )
        return events

    return batch, Events.join(threads.map(code, chunks(len(rows)))), residual


def hebbian_gradient(events, residual, threads):
    """-(A^T R) / n_samples for code A and residuals R: (n_dictionary, n_pixels).

    Each thread owns a range of atoms and walks the events in order, so the sums have the same bits
    for any number.
    """
    gradient = atom_sums(kernels.accumulate, events, residual, threads)
    gradient *= gradient.dtype.type(-1 / len(residual))
    return gradient


def atom_sums(kernel, events, rows, threads):
    """Kernel's sums of rows over the events of each atom, (n_dictionary, n_pixels)."""
    total = np.zeros((events.n_dictionary, rows.shape[1]), rows.dtype)
    threads.map(
        lambda atoms: kernel(events.indices, events.values, rows, atoms.start, atoms.stop, total),
        chunks(events.n_dictionary),
    )
    return total


def update_variance(state, plan, batch, events, threads):
    """Running variance of x - a_i d_i over the samples that use atom i, from two sums over events.

    sum_n (x - a d)^2 = sum x^2 - 2 d sum a x + d^2 sum a^2;  an atom unused in the batch keeps its
    variance.
    """
    counts = events.counts()
    squares = atom_sums(kernels.accumulate_squares, events, batch, threads)
    products = atom_sums(kernels.accumulate, events, batch, threads)
    powers = events.power_sums(2).astype(batch.dtype)[:, None]
    used = counts > 0
    total = (squares - 2 * state.dictionary * products + state.dictionary**2 * powers)[used]
    rate = plan.eta_precision
    state.variance[used] = (1 - rate) * state.variance[used] + rate * total / counts[
        used, None
    ].astype(batch.dtype)


def record(held_out, state, plan, threads):
    """Append to the state's record the metrics of its dictionary on patches that learning never
    sees.

    error, entropy and others are under plain pursuit, error_own under the rule's own competition.
    qerror and KS are of the histogram that learning follows, which is the rule's own running mean
    over its batches; F and F_own add qerror to either error, as in the study.
    """
    coder = plan.prepare(state, PLAIN, threads)
    _, events, residual = code_batch(held_out, np.arange(len(held_out)), coder, threads)
    _, _, own_residual = code_batch(
        held_out,
        np.arange(len(held_out)),
        compete(coder, plan.rule.competition(state.homeostasis)),
        threads,
    )
    error = metrics.reconstruction_error(held_out, residual)
    error_own = metrics.reconstruction_error(held_out, own_residual)
    qerror = metrics.quantization_error(state.histogram["P_cum"])
    state.record.append(
        steps=state.step,
        error=error,
        qerror=qerror,
        F=error + QERROR_WEIGHT * qerror,
        error_own=error_own,
        F_own=error_own + QERROR_WEIGHT * qerror,
        logL=metrics.log_likelihood(events),
        MI=metrics.mutual_information(events),
        MC=metrics.mutual_coherence(state.dictionary, plan.do_sym),
        perror=metrics.probability_error(events),
        entropy=metrics.usage_entropy(events),
        KL=metrics.kl_divergence(events),
        KS=metrics.ks_distance(state.histogram["P_cum"]),
        kurt=metrics.kurtosis(events),
        prob_active=metrics.activation_probability(events),
        var=metrics.variance(events),
        cputime=state.seconds,
    )


def to_arrays(state):
    """The state as ({name: array}, JSON values), the form in which it is kept on disk."""
    arrays = {"dictionary": state.dictionary, "last_selected": state.last_selected}
    if state.variance is not None:
        arrays["variance"] = state.variance
    for part in ("moments", "homeostasis", "histogram", "record"):
        arrays |= {
            f"{part}/{name}": np.asarray(value) for name, value in getattr(state, part).items()
        }
    return arrays, {"seed": state.seed, "step": state.step, "seconds": state.seconds}


def from_arrays(arrays, info):
    """The state that `to_arrays` took apart."""
    parts = {
        part: {
            name.removeprefix(f"{part}/"): array
            for name, array in arrays.items()
            if name.startswith(f"{part}/")
        }
        for part in ("moments", "homeostasis", "histogram", "record")
    }
    return State(
        arrays["dictionary"],
        parts["moments"],
        parts["homeostasis"],
        parts["histogram"],
        arrays.get("variance"),
        arrays["last_selected"],
        **info,
        record=History(parts["record"]),
    )
