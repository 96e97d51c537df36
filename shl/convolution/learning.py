"""Convolutional learning: coding, homeostasis and a Hebbian step in turn, from a state that can
stop and go on.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from .. import metrics, optimizers
from .._threads import chunks
from ..history import History
from ..learning import Batches
from . import kernels
from .coding import encode, prepare
from .homeostasis import gain_of


@dataclass(frozen=True)
class Plan:
    """What does not change while a dictionary is learned; see `ConvolutionalSHL` for the
    parameters.
    """

    rule: object
    l0_sparseness: int
    alpha_MP: float
    do_sym: bool
    stride: int
    eta: float
    mask: np.ndarray | None  # broadcasts to the dictionary's shape
    batch_size: int
    record_each: int

    def prepare(self, state):
        """A coder of the state's dictionary under its competition."""
        return prepare(
            state.dictionary,
            gain_of(self.rule, state.homeostasis),
            l0_sparseness=self.l0_sparseness,
            alpha_MP=self.alpha_MP,
            do_sym=self.do_sym,
            stride=self.stride,
        )


@dataclass
class State:
    """All that learning changes; with the plan and the data, it decides every later bit."""

    dictionary: np.ndarray  # (n_dictionary, n_channels, width, width), norms 1
    homeostasis: dict
    seed: int  # decides the order of images
    step: int = 0
    seconds: float = 0.0  # CPU time so far
    record: History = field(default_factory=History)


def start(dictionary, plan, seed):
    """The state before the first step; the dictionary is copied and its atoms scaled to norm 1."""
    dictionary = dictionary.copy()
    optimizers.normalise(dictionary.reshape(len(dictionary), -1))
    state = plan.rule.init(len(dictionary), 1 / len(dictionary), dictionary.dtype)
    return State(dictionary, state, seed)


def learn(X, state, plan, until, threads, on_step=None):
    """Steps `state` in place up to step `until`, on batches of images in a seeded order.

    on_step(state), if given, is called after each step and may raise to stop: the state is whole at
    that point.

    Raises
    ------
    FloatingPointError
        If the dictionary is no longer finite.
    """
    batches = Batches(len(X), plan.batch_size, state.seed)
    while state.step < until:
        is_recorded = plan.record_each and (
            state.step % plan.record_each == 0 or state.step == until - 1
        )
        advance(X, np.sort(batches(state.step)), state, plan, threads, is_recorded)
        if on_step is not None:
            on_step(state)
    if not np.isfinite(state.dictionary).all():
        raise FloatingPointError(
            f"learning diverged before step {state.step}: a smaller eta than {plan.eta} may help"
        )
    return state


def advance(X, rows, state, plan, threads, is_recorded=False):
    """One step of learning in place, on the images X[rows], rows ascending; its own coding makes
    the record.
    """
    began = time.process_time()
    batch = (
        X if len(rows) == len(X) else X[rows]
    )  # rows are in order and occur once: all of them are X itself
    coder = plan.prepare(state)
    residual = np.empty_like(batch)
    code = encode(batch, coder, threads, residual=residual)
    if is_recorded:
        record(batch, residual, code, state, plan)
    if len(code):  # a batch without events says nothing about usage
        state.homeostasis = plan.rule.update(state.homeostasis, code)
    direction = hebbian_direction(code, residual, state.dictionary.shape, plan, threads)
    flat = state.dictionary.reshape(len(state.dictionary), -1)
    optimizers.sgd(flat, -direction.reshape(flat.shape), {}, state.step, plan.eta)
    state.step += 1
    state.seconds += time.process_time() - began


def hebbian_direction(code, residual, shape, plan, threads):
    """Where each atom moves: sum over its events of value * mask * residual patch, minus its mean,
    of norm 1.

    Each thread owns a range of atoms and walks the events in order, so the sums have the same bits
    for any number. An atom without events does not move.
    """
    total = np.zeros(shape, residual.dtype)
    threads.map(
        lambda atoms: kernels.accumulate(
            code.image,
            code.atom,
            code.row,
            code.column,
            code.value,
            plan.stride,
            residual,
            atoms.start,
            atoms.stop,
            total,
        ),
        chunks(len(total), most=32, fewest=8),
    )
    if plan.mask is not None:
        total *= plan.mask
    total -= total.mean(axis=(1, 2, 3), keepdims=True)
    optimizers.normalise(total.reshape(len(total), -1))
    return total


def record(batch, residual, code, state, plan):
    """Append the step's error_own |residual| / |batch| (0 for a batch of zeros), usage and gain."""
    gain = gain_of(plan.rule, state.homeostasis)
    state.record.append(
        steps=state.step,
        error_own=metrics.reconstruction_error(batch, residual) if batch.any() else 0.0,
        counts=code.counts(),
        cv=metrics.usage_variation(code),
        entropy=metrics.usage_entropy(code),
        gain=np.ones(len(state.dictionary)) if gain is None else np.asarray(gain),
        cputime=state.seconds,
    )


def to_arrays(state):
    """The state as ({name: array}, JSON values), the form in which it is kept on disk."""
    arrays = {"dictionary": state.dictionary}
    for part in ("homeostasis", "record"):
        arrays |= {
            f"{part}/{name}": np.asarray(value) for name, value in getattr(state, part).items()
        }
    return arrays, {"seed": state.seed, "step": state.step, "seconds": state.seconds}


def from_arrays(arrays, info):
    """The state that `to_arrays` took apart."""
    homeostasis, columns = (
        {
            name.removeprefix(f"{part}/"): array
            for name, array in arrays.items()
            if name.startswith(f"{part}/")
        }
        for part in ("homeostasis", "record")
    )
    return State(arrays["dictionary"], homeostasis, **info, record=History(columns))
