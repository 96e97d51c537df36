"""Early stopping: learning ends when the error on samples that it never sees no longer falls."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from .. import metrics
from .._base.constraints import Checked, Count, InnerShare, ShareBelowOne
from .._base.threads import Threads
from ..coding.competition import PLAIN
from .loop import code_rows
from .state import Plan, State

MOST_HELD_OUT = 10_000  # samples: more make an error no surer, and have to be coded each time
FEWEST_STEPS = 10  # between two looks at the error


@dataclass(frozen=True)
class Stopping(Checked):
    """When learning is stopped.

    Parameters
    ----------
    tol : float, optional
        Share by which the error on held-out samples has to fall; None never stops.
    n_iter_no_change : int, default=10
        Looks at the error, one each pass of the data, without such a fall.
    validation_fraction : float, default=0.1
        In (0, 1), the samples that are held out, at most MOST_HELD_OUT.
    """

    tol: ShareBelowOne | None = None
    n_iter_no_change: Count = 10
    validation_fraction: InnerShare = 0.1

    def hold_out(self, n_samples: int) -> int:
        """How many of n_samples are kept from learning, none without a tol."""
        if self.tol is None:
            return 0
        wanted = min(round(self.validation_fraction * n_samples), MOST_HELD_OUT)
        return min(max(1, wanted), n_samples - 1)


class Watch:
    """Follows the error on held-out samples, and keeps the best state.

    Parameters
    ----------
    stopping : Stopping
    plan : Plan
    X : array of shape (n_samples, n_pixels)
    rows : array
        Those of the held-out samples.
    sample_weight : array of shape (n_samples,) or None
    threads : Threads
    """

    def __init__(
        self,
        stopping: Stopping,
        plan: Plan,
        X: np.ndarray,
        rows: np.ndarray,
        sample_weight: np.ndarray | None,
        threads: Threads,
    ):
        self.stopping, self.plan, self.threads = stopping, plan, threads
        self.X, self.rows, self.sample_weight = X, rows, sample_weight
        self.each = max(FEWEST_STEPS, (len(X) - len(rows)) // plan.batch_size)
        self.best: State | None = None
        self.least, self._wanted, self._n_waited = np.inf, np.inf, 0

    def error(self, state: State) -> float:
        """|X - A D| / |X| of the held-out samples, coded by plain pursuit."""
        coder = self.plan.prepare(state, self.threads).compete(PLAIN)
        batch = code_rows(self.X, self.rows, coder, self.threads, self.sample_weight)
        return metrics.reconstruction_error(batch.samples, batch.residual, batch.code.weight)

    def step_done(self, state: State) -> bool:
        """Whether to stop."""
        return state.step % self.each == 0 and self._look(state)

    def _look(self, state):
        """Compare the error with those before; whether to stop."""
        error = self.error(state)
        if error < self.least:
            self.least, self.best = error, deepcopy(state)
        self._n_waited += 1
        if error < (1 - (self.stopping.tol or 0)) * self._wanted:
            self._wanted, self._n_waited = error, 0
        return self._n_waited >= self.stopping.n_iter_no_change

    def choose(self, state: State) -> State:
        """The best state, when learning has come to this last one."""
        if state.step % self.each:
            self._look(state)
        return state if self.best is None else self.best


__all__ = ["Stopping"]
