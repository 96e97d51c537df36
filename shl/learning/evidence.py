"""What held-out samples say on the way: whether atoms should be shrunk."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from .._base.arrays import namespace, to_host
from .._base.threads import Threads
from ..coding.competition import PLAIN
from .loop import Batches, code_rows
from .optimizers import normalise, soften
from .state import Plan, State

MOST_ROWS, FEWEST_ROWS = 1000, 100  # of samples that the test needs
SHARE = 20  # it takes one sample of so many
LOOKS = (0.1, 0.25, 0.5)  # shares of the steps, after which there is a test
FACTORS = (2, 1, 4)  # of the shrinkage: the first and last decide whether, the best one how much
# In standard errors, of the first and the last factor.  Photographs of 441 pixels, which shrinkage
# serves, have 5 to 35 and 0 to 39; those of 144 pixels, which it harms, have -1 to 3 and -6 to 1.
LEAST_GAIN, MOST_LOSS = 4.0, -1.0


class Evidence:
    """The order of the samples in `fit`, and tests of shrinkage up to half of the steps.

    The samples of a test are those that are held out already, or some that are learned from only
    in the second half.  With fewer than FEWEST_ROWS * SHARE samples there is no test.

    Parameters
    ----------
    X : array of shape (n_samples, ...)
    rows : array
        Those of X that are learned from.
    held_out : array, optional
        Those of X that are never learned from.
    plan : Plan
    seed : int
        Of the order.
    """

    def __init__(
        self, X: np.ndarray, rows: np.ndarray, held_out: np.ndarray | None, plan: Plan, seed: int
    ):
        self.X, self.plan = X, plan
        self.shrinkage, self.n_steps = getattr(plan.optimizer, "shrinkage", 0.0), plan.n_steps or 0
        self.looks = [int(share * self.n_steps) for share in LOOKS]
        self.half = self.looks[-1]
        self.rows: Any = None  # of the test
        self._second = self._first = Batches(len(rows), plan.batch_size, seed, rows)
        if not self.shrinkage or not self.half:
            return
        if held_out is not None:
            self.rows = held_out[:MOST_ROWS]
            return
        n = min(MOST_ROWS, len(rows) // SHARE, len(rows) - plan.batch_size)
        if n < FEWEST_ROWS:
            return
        order = np.random.default_rng([seed, 0, 0]).permutation(len(rows))
        self.rows, first = rows[np.sort(order[:n])], rows[np.sort(order[n:])]
        self._first = Batches(len(first), plan.batch_size, seed, first)

    def steps(self, first: int) -> Iterator[np.ndarray]:
        """Return the rows of X of each step, from the first on."""
        half = max(first, self.half)
        return chain(self._first.steps(first, half), self._second.steps(half, self.n_steps))

    def step_done(self, state: State, threads: Threads) -> None:
        """Set the shrinkage in the moments of the state, if it is time and a test asks for it.

        The test asks whether atoms that are soft-thresholded once, by twice the shrinkage, code its
        samples with less error, and by 4 times the shrinkage with hardly more: the mean over
        samples of (|r|^2 - |r'|^2) / |x|^2, in standard errors.  Of thresholds of 1, 2 and 4 times
        the shrinkage, learning continues with the best, and from half of the steps on with the
        shrinkage itself.
        """
        if self.rows is None or state.step not in self.looks:
            return
        least = self.shrinkage
        if float(state.moments["c"]) > 0:
            if state.step == self.half:
                state.moments["c"] = np.array(least)
            return
        plain, shrinkages = self._errors(state, threads), [factor * least for factor in FACTORS]

        def gains():
            """By how much less error each shrinkage leaves, and that in standard errors."""
            for c in shrinkages:
                gain = np.append(plain - self._errors(_shrink(state, c), threads), 0.0)
                spread = gain.std() / math.sqrt(len(gain))
                yield gain.mean(), gain.mean() / spread if spread else 0.0

        found = gains()
        first = next(found)
        if first[1] <= LEAST_GAIN:
            return
        means, scores = zip(first, *found, strict=True)
        if scores[-1] > MOST_LOSS:
            state.moments["c"] = np.array(shrinkages[int(np.argmax(means))])

    def _errors(self, state, threads):
        """|x - a D|^2 / |x|^2 of each of the test's samples, coded by plain pursuit."""
        coder = self.plan.prepare(state, threads).compete(PLAIN)
        samples, _, residual = code_rows(self.X, self.rows, coder, threads)
        energy, missed = (
            (to_host(part).reshape(len(part), -1).astype(np.float64) ** 2).sum(axis=1)
            for part in (samples, residual)
        )
        return missed[energy > 0] / energy[energy > 0]


def _shrink(state, least):
    """Return the state with soft-thresholded atoms."""
    D = state.dictionary
    flat = D.reshape(len(D), -1)
    atoms = soften(flat, least * namespace(D).ones_like(flat[:, 0])).reshape(D.shape)
    normalise(atoms)
    return replace(state, dictionary=atoms)
