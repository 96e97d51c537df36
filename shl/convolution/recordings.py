"""Learning from recordings: a floor that falls, and atoms that stay in the middle of their window.

A recording has no number of events that would be known before.  Events count where they exceed the
noise, a share of the usual event, and half that share of the events that they overlap with.  The
share falls while the dictionary is learned: without that, spare atoms settle on what others leave.
"""

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._base.constraints import (
    Checked,
    Count,
    Interval,
    NotNegative,
    Positive,
    PositiveShare,
    Share,
)
from ..coding.competition import Competition
from ..learning.homeostasis import Rule
from ..learning.optimizers import Array, Optimizer, Sums, normalise
from ..learning.replacement import Proposal, Replacement

FLOOR = 5.0  # noise levels that an event must exceed while a dictionary is learned
N_ITER, N_WINDOWS, LENGTHS = 120, 64, 8  # steps, windows of a step, atoms in a window's length
DECAY = (0.7, 0.06)


@dataclass(frozen=True)
class TwinReplacement(Replacement):
    """Replace an atom that is a shifted copy of another, or that is hardly used.

    Atom i is a twin if its cosine with a more used atom is above `least_cosine` at some shift, and
    weak if its running mean of sum a^2 is below `floor` times the mean over atoms.  The least used
    of these becomes one of the n_candidates windows of the last residuals with the most energy.

    Parameters are those of `Replacement`.
    """

    each: Count = 2
    window: Interval = (0.02, 0.8)
    min_age: Count = 4
    n_candidates: Count = 4
    least_cosine: Share = 0.9
    floor: NotNegative = 0.1
    rate: PositiveShare = 0.2
    n_pooled: Count = 2 * N_WINDOWS
    n_rows: Count = 2 * N_WINDOWS

    def propose(self, kept: dict, coder: Any, seed: list[int], seen_share: float = 1.0) -> Proposal:
        """Return an atom's index, what takes its place, of norm 1, and the energy it begins with;
        None where no atom is a twin or weak.
        """
        energy, cosines = kept["energy"], np.array(coder.cosines(), np.float64)
        np.fill_diagonal(cosines, 0)
        is_less_used = energy[:, None] <= energy
        is_bad = ((cosines > self.least_cosine) & is_less_used).any(axis=1)
        is_bad |= energy < self.floor * energy.mean()
        is_bad &= kept["age"] >= self.min_age
        pool = kept["pool"][: int(kept["n_seen"])]
        norms = np.linalg.norm(pool.astype(np.float64), axis=1)
        if not is_bad.any() or not norms.any():
            return None
        largest = np.argsort(-norms, kind="stable")[: self.n_candidates]
        k = np.random.default_rng(seed).choice(largest[norms[largest] > 0])
        atom = (pool[k] / norms[k]).astype(pool.dtype)
        return int(np.where(is_bad, energy, np.inf).argmin()), atom, float(energy.mean())


@dataclass(frozen=True)
class FallingFloor:
    """A rule of homeostasis with a least coefficient, which falls.

    least = tau median_i level_i;   level_i <- (1 - rate) level_i + rate sqrt(mean a_i^2)

    over the events a_i of atom i in a batch.  An event that overlaps with a larger one must exceed
    tau / 2 times that, too.  tau falls linearly from `start` to `stop` over the first 70 % of the
    steps.

    Parameters
    ----------
    rule : Rule
        The gains of atoms.
    n_steps : int
        Steps of the learning.
    start, stop : float, default=1.0, 0.4
    rate : float, default=0.2
        In [0, 1].
    """

    rule: Rule
    n_steps: int
    start: float = 1.0
    stop: float = 0.4
    rate: float = 0.2

    gives = property(attrgetter("rule.gives"))

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """The state of the rule, no level and no step."""
        state = self.rule.init(n_dictionary, activity, dtype)
        return {**state, "level": np.zeros(n_dictionary), "floor_step": np.array(0)}

    def update(self, state: dict, code: Any) -> dict:
        """The state after one more batch."""
        old, new = state["level"], np.sqrt(code.power_sums(2) / np.maximum(code.counts(), 1))
        level = np.where(old > 0, (1 - self.rate) * old + self.rate * new, new)
        state = self.rule.update(state, code)
        return {**state, "level": level, "floor_step": state["floor_step"] + 1}

    def renew(self, state: dict, i: int) -> dict:
        """As the rule's; the new atom has no level."""
        state = {**state, **self.rule.renew(state, i)} if hasattr(self.rule, "renew") else state
        return {**state, "level": np.where(np.arange(len(state["level"])) == i, 0, state["level"])}

    def competition(self, state: dict) -> Competition:
        """The rule's, with the least coefficient."""
        done = min(1.0, float(state["floor_step"]) / (0.7 * self.n_steps))
        tau = self.start + (self.stop - self.start) * done
        levels = state["level"][state["level"] > 0]
        least = np.array(tau * np.median(levels) if levels.size else 0.0)
        return replace(self.rule.competition(state), least=least, share=np.array(tau / 2))


@dataclass(frozen=True)
class Centred(Checked):
    """An optimizer after which atoms are shifted so that their energy is in the middle.

    Every `each` steps, an atom whose centre of energy is more than `least` samples off the middle
    of an axis is shifted there; what comes in at the border is 0.

    Parameters
    ----------
    optimizer : Optimizer
    each : int, default=2
    least : float, default=2.0
        Above 0.
    """

    optimizer: Optimizer
    each: Count = 2
    least: Positive = 2.0

    def init(self, dictionary: np.ndarray, energy: float = 1.0) -> dict:
        """As the optimizer's."""
        return self.optimizer.init(dictionary, energy)

    def step(
        self, dictionary: Array, gradient: Array, moments: dict, step: int, rate: float, sums: Sums
    ) -> tuple[Array, Array]:
        """The moved and centred dictionary, and the norms of its atoms before they were scaled."""
        moved, norms = self.optimizer.step(dictionary, gradient, moments, step, rate, sums)
        if step % self.each == self.each - 1:
            for atom in moved:
                self._centre(atom)
            normalise(moved)
        return moved, norms

    def _centre(self, atom):
        """Shift an atom (n_channels, ...) in place."""
        energy = (atom.astype(np.float64) ** 2).sum(axis=0)
        for axis, size in enumerate(energy.shape):
            line = energy.sum(axis=tuple(a for a in range(energy.ndim) if a != axis))
            shift = (size - 1) / 2 - line @ np.arange(size) / max(line.sum(), 1e-300)
            if abs(shift) > self.least:
                n = int(round(shift))
                atom[:] = np.roll(atom, n, axis=axis + 1)
                freed = slice(0, n) if n > 0 else slice(n, None)
                np.moveaxis(atom, axis + 1, 0)[freed] = 0
