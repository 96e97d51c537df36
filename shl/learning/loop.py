"""Learning: coding, homeostasis and a Hebbian step in turn, from a state that can stop anywhere and
go on.  One learner for patches and images: what differs is their `Coding` (see `shl.coding.coder`).
"""

import time
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from .. import metrics
from .._base.arrays import astype, copy_of, namespace, to_host
from .._base.devices import is_tensor
from .._base.threads import Threads, chunks
from ..coding.coder import Coder
from ..coding.competition import PLAIN
from ..coding.events import Batch
from .history import History
from .homeostasis import HEH2019, check_competition_of
from .optimizers import Sums, normalise
from .scaling import clip
from .state import Plan, State

CODED_ROWS = 4096  # samples that are coded at once, so that their residuals stay small
QERROR_WEIGHT = 0.0005  # F = error + QERROR_WEIGHT * qerror


def learn(
    X: np.ndarray,
    batches: Iterable[np.ndarray],
    state: State,
    plan: Plan,
    threads: Threads,
    held_out: np.ndarray | None = None,
    on_step: Callable[[State], bool | None] | None = None,
    records_end: bool = False,
    sample_weight: np.ndarray | None = None,
) -> State:
    """Step `state` in place, by a batch of rows of X each, and record when it is due.

    Records are made on the rows `held_out` of X, or without them on each batch before its step, and
    with records_end also after the last step.  on_step(state) is called after each step: True stops
    learning, and it may raise; the state is whole at that point, and after any error it is that of
    the last good step.  sample_weight (len(X),): how often each sample counts.

    Raises
    ------
    FloatingPointError
        As soon as a step overflows, by a sample that is too large or by a rate that is too high.
    """
    rows = np.arange(plan.batch_size)
    n_samples = len(X) - (0 if held_out is None else len(held_out))

    most_norm = float(state.scaling.get("most_norm", np.inf))

    def recorded(coder, own):
        """Return the state's record with one more, of samples in their batch."""
        history = History(state.record)
        record(replace(state, record=history), plan, coder, own, threads)
        return history

    def code(rows, coder, most_norm=np.inf):
        return code_rows(X, rows, coder, threads, sample_weight, plan.exponent, most_norm)

    coder = batch = None
    for rows in batches:
        began = time.process_time()
        coder = plan.prepare(state, threads, coder, plan.coding_at(state.step))
        batch = code(rows, coder, most_norm)
        state.seconds += time.process_time() - began
        history = state.record
        if plan.recording.is_due(state.step):
            full, own = coder, batch
            if is_sparser := plan.coding_at(state.step) is not plan.coding:
                full = replace(coder, coding=plan.coding)
            if is_sparser or held_out is not None:
                own = code(rows if held_out is None else held_out, full)
            history = recorded(full, own)
        began = time.process_time()
        try:
            advance(state, plan, coder, batch, n_samples, threads, history)
        except Overflow as error:
            raise FloatingPointError(f"{error}: {_name_largest(X, rows)}") from None
        state.seconds += time.process_time() - began
        if on_step is not None and on_step(state) in (True,):
            break
    if batch is not None:
        observe(state, plan, batch.code)
    if records_end and plan.recording.each and state.record.last_step() != state.step:
        coder = plan.prepare(state, threads, coder)
        own = code(rows if held_out is None else held_out, coder)
        state.record = recorded(coder, own)
    return state


class Overflow(FloatingPointError):
    """A gradient that its dtype cannot hold."""


def advance(
    state: State,
    plan: Plan,
    coder: Coder,
    batch: Batch,
    n_samples: int,
    threads: Threads,
    history: History | None = None,
) -> None:
    """Take one step in place, from a batch of n_samples that the coder of this state has coded.

    The state is whole at any time: a copy takes the step, and no exception or interrupt can come
    between the parts that the state takes over.  history is the record with this step's own.
    """
    moved = _copy(state)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes out is looked at
        _move(moved, plan, coder, batch, n_samples, threads)
    moved.record = state.record if history is None else history
    vars(state).update(vars(moved))


def _move(state, plan, coder, batch, n_samples, threads):
    """The step itself; an error may leave the state in parts."""
    state.step += 1
    gradient = coder.gradient(batch, threads)
    xp = namespace(gradient)
    if not xp.isfinite(xp.vdot(gradient, gradient)):
        raise Overflow(f"learning overflowed in step {state.step}")
    counts = batch.code.counts()
    state.last_selected[counts > 0] = state.step
    follow(state, plan, batch.code)
    check_competition_of(plan.rule, state.homeostasis, len(gradient), gradient.dtype)
    if plan.eta_precision is not None:
        update_variance(state, plan.eta_precision, batch, threads)
        if not xp.isfinite(state.variance.sum()):
            raise Overflow(f"the precision of pixels overflowed in step {state.step}")
    rate = plan.rate(state.step - 1)
    former = state.dictionary
    sums = Sums(coder.n_averaged(batch), batch.code.power_sums(2), counts, coder.seen_share(batch))
    state.dictionary, norms = plan.optimizer.step(
        former, gradient, state.moments, state.step - 1, rate, sums
    )
    if plan.positive_dict:
        rectify(state.dictionary, former)
        normalise(state.dictionary)
    if not (xp.isfinite(norms).all() and norms.all()):
        eta = getattr(plan.optimizer, "eta", None)
        advice = "scale X" if eta is None else f"a smaller eta than {eta} may help"
        raise FloatingPointError(f"learning diverged in step {state.step}: {advice}")
    replace_atom(state, plan, coder, batch, sums, n_samples)


def rectify(atoms: np.ndarray, former: np.ndarray) -> None:
    """Set what is negative to 0 in place; an atom of which nothing is left stays as it was."""
    atoms[atoms < 0] = 0
    is_lost = ~atoms.any(axis=1)
    atoms[is_lost] = former[is_lost]


def _copy(state):
    """Return the state with copies of what a step, or a rule, writes to in place."""
    # The next step writes over what a failed one put into the pool, which is large.
    kept = {k: v if k == "pool" else copy_of(v) for k, v in state.replacement.items()}
    return replace(
        state,
        moments=dict(state.moments),
        homeostasis=deepcopy(state.homeostasis),
        variance=None if state.variance is None else copy_of(state.variance),
        last_selected=copy_of(state.last_selected),
        replacement=kept,
    )


def _name_largest(X, rows):
    """Return which sample of a batch is the largest, and what to do about it."""
    X = getattr(X, "X", X)  # in the user's units
    row = max(rows, key=lambda row: abs(X[row]).max())
    return (
        f"sample {row} of X, the largest of its batch, holds {abs(X[row]).max():.3g}. Leave it "
        f"out, or scale X."
    )


def follow(state: State, plan: Plan, code: Any) -> None:
    """Homeostasis: the rule's state and the histograms after a batch, one and the same for HEH."""
    state.homeostasis = plan.rule.update(state.homeostasis, code)
    if plan.follower is not None and state.observed:
        state.observed = plan.follower.update(state.observed, code)


def observe(state: State, plan: Plan, code: Any) -> None:
    """Set the histograms to those of a batch, if learning has not followed them."""
    if plan.observer is not None and plan.follower is None and state.observed:
        once = HEH2019(1.0, plan.observer.C, plan.observer.nb_quant)
        state.observed = once.update(state.observed, code)


def update_variance(state: State, rate: float, batch: Batch, threads: Threads) -> None:
    """Running variance of x - a_i d_i over the samples that use atom i, from two sums over events.

    sum_n (x - a d)^2 = sum x^2 - 2 d sum a x + d^2 sum a^2;  an atom unused in the batch keeps its
    variance.
    """
    samples, code, _ = batch
    counts, rows, roots = code.counts(), samples, samples
    if code.weight is not None:
        root = namespace(samples).sqrt(code.weight)
        rows, roots = samples * code.weight[:, None], samples * root[:, None]
    squares, products = code.sum_squares(roots, threads), code.sum_products(rows, threads)
    powers = astype(code.power_sums(2), samples.dtype)[:, None]
    used = counts > 0
    total = (squares - 2 * state.dictionary * products + state.dictionary**2 * powers)[used]
    share = rate * total / astype(counts[used, None], samples.dtype)
    state.variance[used] = (1 - rate) * state.variance[used] + share


def replace_atom(
    state: State, plan: Plan, coder: Coder, batch: Batch, sums: Sums, n_samples: int
) -> None:
    """Follow what `Replacement` looks at, and put in an atom that it proposes, if any."""
    replacement, kept, step = plan.replacement, state.replacement, state.step
    if replacement is None:
        return
    if replacement.is_over(step, plan.n_steps):
        replacement.forget(kept)
        return
    weight = batch.code.weight
    n_coded = len(batch.samples)
    if weight is not None:
        n_coded = weight.sum(dtype=namespace(weight).float64)
    energy = sums.energy / n_coded
    n_most = None if plan.n_steps is None else coder.n_windows * n_samples
    replacement.follow(kept, energy, coder.cut_residuals(batch, replacement.n_rows), n_most)
    if not replacement.is_due(step, plan.n_steps):
        return
    found = replacement.propose(kept, coder, [state.seed, step], sums.seen_share)
    if found is None:
        return
    i, atom, gain = found
    if plan.positive_dict:  # the sign of a residual is free
        xp = namespace(atom)
        atom = xp.maximum(atom if atom.sum() > 0 or not coder.is_signed else -atom, 0)
        if not atom.any():
            return
        atom /= xp.linalg.norm(atom)
    state.dictionary[i] = atom.reshape(state.dictionary.shape[1:])
    for values in state.moments.values():
        if values.ndim:
            values[i] = 0
    if state.variance is not None:
        state.variance[i] = state.variance.mean(axis=0)
    kept["age"][i], kept["energy"][i] = 0, gain
    kept["n_replaced"][i] += 1
    state.last_selected[i] = step
    renew(state, plan, i)


def renew(state: State, plan: Plan, i: int) -> None:
    """Homeostasis after atom i was replaced; a rule without `renew` is left as it is."""
    if hasattr(plan.rule, "renew"):
        state.homeostasis = plan.rule.renew(state.homeostasis, i)
    if state.observed and plan.observer is not None:
        state.observed = plan.observer.renew(state.observed, i)


def turn_atoms(
    X: np.ndarray,
    state: State,
    plan: Plan,
    threads: Threads,
    rows: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float | None:
    """Give each atom the sign in which its coefficients sum to more than 0, in place.

    The sums are over samples among the rows of X (all rows if None), coded by plain pursuit: all of
    them, or a twentieth of the samples that were learned from.

    Returns
    -------
    negative_share : float or None
        Share of negative coefficients in the sum of absolute values, between 0 and 0.5.  None if
        codes are not signed.
    """
    coder = plan.prepare(state, threads).compete(PLAIN)
    if plan.positive_dict or not coder.is_signed:
        return None
    rows = np.arange(len(X)) if rows is None else rows
    n = min(len(rows), max(plan.batch_size, state.step * plan.batch_size // 20))
    rows = rows[np.linspace(0, len(rows) - 1, n).astype(int)]
    parts = (rows[part] for part in chunks(n, most=CODED_ROWS, fewest=CODED_ROWS))
    codes = [code_rows(X, part, coder, threads, sample_weight).code for part in parts]
    sums: Any = sum(code.power_sums(1) for code in codes)
    is_turned = sums < 0
    dictionary, moments = copy_of(state.dictionary), dict(state.moments)
    dictionary[is_turned] *= -1
    if "mean" in moments:  # Adam's gradient turns with the atom
        moments["mean"] = copy_of(moments["mean"])
        moments["mean"][is_turned] *= -1
    vars(state).update(dictionary=dictionary, moments=moments)
    if sample_weight is not None or not hasattr(codes[0], "values"):
        return None
    total = sum(float(abs(code.values).sum()) for code in codes)
    return (total - float(abs(sums).sum())) / (2 * total) if total else None


# ------------------------------------------------------------------------------------ the order


class Batches:
    """Rows of a step: a seeded permutation of the samples for each pass, cut into full batches.

    rows: which of X the samples are; None is the first n_samples.
    """

    def __init__(self, n_samples: int, batch_size: int, seed: int, rows: np.ndarray | None = None):
        self.n_samples, self.batch_size, self.seed = n_samples, batch_size, seed
        self.rows = rows
        self.per_pass = n_samples // batch_size
        self._pass = -1

    def __call__(self, step: int) -> np.ndarray:
        """The rows of X of a step, (batch_size,)."""
        index, batch = divmod(step, self.per_pass)
        if index != self._pass:
            self._order = np.random.default_rng([self.seed, index]).permutation(self.n_samples)
            self._pass = index
        samples = self._order[batch * self.batch_size : (batch + 1) * self.batch_size]
        return samples if self.rows is None else self.rows[samples]

    def steps(self, first: int, last: int) -> Iterator[np.ndarray]:
        """The rows of the steps first <= step < last."""
        return map(self, range(first, last))


def one_pass(n_samples: int, batch_size: int, state: State) -> list[np.ndarray]:
    """Return the rows of each step of one pass over new samples.  Their order follows from the
    state's seed and step; batches have at most batch_size rows and are as equal as possible.
    """
    order = np.random.default_rng([state.seed, state.step]).permutation(n_samples)
    return np.array_split(order, -(-n_samples // batch_size))


# ------------------------------------------------------------------------------------ records


def code_all(X: np.ndarray, coder: Coder, threads: Threads) -> Batch:
    """Code all samples."""
    return coder.code_batch(X, np.arange(len(X)), threads)


def code_rows(
    X: np.ndarray,
    rows: np.ndarray,
    coder: Coder,
    threads: Threads,
    sample_weight: np.ndarray | None = None,
    exponent: int = 0,
    most_norm: float = np.inf,
) -> Batch:
    """Code the samples X[rows], and add their weights and the unit of their coefficients.

    Samples of a norm above most_norm are scaled down to it.
    """
    weight = None if sample_weight is None else sample_weight[rows]
    if most_norm < np.inf:
        X, rows = clip(X, rows, most_norm)
    return weigh(coder.code_batch(X, rows, threads), weight, exponent)


def weigh(batch: Batch, weight: np.ndarray | None, exponent: int = 0) -> Batch:
    """Return the batch with a weight of each sample, of coefficients in units of 2^exponent."""
    options: dict[str, Any] = {} if weight is None else {"weight": weight}
    return batch._replace(code=replace(batch.code, exponent=exponent, **options))


def record(state: State, plan: Plan, coder: Coder, own: Batch, threads: Threads) -> None:
    """Append to the state's record the metrics of its dictionary on samples, coded by `coder` under
    the rule's own competition.

    error, entropy and others are under plain pursuit; error_own, F_own, cv_own and counts_own are
    under the rule's own.  Of patches alone: qerror and KS, of the histogram that learning follows,
    which is the rule's own running mean over its batches; F and F_own, which add qerror to either
    error, as in the study; MC and MI.
    """
    X, gain = own.samples, plan.rule.competition(state.homeostasis).gain
    weight = own.code.weight
    plain = weigh(code_all(X, coder.compete(PLAIN), threads), weight, plan.exponent)
    error, error_own = (
        metrics.reconstruction_error(X, batch.residual, weight) for batch in (plain, own)
    )
    # What is kept of each atom goes to the host's memory, as all records.
    own_code, code = (c.in_host() if is_tensor(X) else c for c in (own.code, plain.code))
    found = {
        "steps": state.step,
        "error": error,
        "error_own": error_own,
        "logL": metrics.log_likelihood(code),
        "perror": metrics.probability_error(code),
        "entropy": metrics.usage_entropy(code),
        "KL": metrics.kl_divergence(code),
        "kurt": metrics.kurtosis(code),
        "prob_active": metrics.activation_probability(code),
        "var": metrics.variance(code),
        "cv_own": metrics.usage_variation(own_code),
        "counts_own": own_code.counts(),
        "gain": np.ones(len(state.dictionary)) if gain is None else np.asarray(to_host(gain)),
        "cputime": state.seconds,
    }
    if state.histogram:
        P_cum = state.histogram["P_cum"]
        qerror = metrics.quantization_error(P_cum)
        found |= {
            "qerror": qerror,
            "F": error + QERROR_WEIGHT * qerror,
            "F_own": error_own + QERROR_WEIGHT * qerror,
            "KS": to_host(metrics.ks_distance(P_cum)),
            "MC": metrics.mutual_coherence(state.dictionary, plan.coding.do_sym),
            "MI": metrics.mutual_information(plain.code),
        }
    state.record.append(**found)


__all__ = ["Batches", "advance", "code_all", "code_rows", "learn", "one_pass", "record", "weigh"]
