"""Replacement: an atom that others explain is replaced by what is badly coded.

Pursuit leaves paired faults, two atoms on one source or one atom on two, local minima that no gain
repairs: homeostasis balances, replacement finds.  It is a step of learning of its own, for it sees
the dictionary, the code and the residuals.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from .._base import constraints
from .._base.arrays import astype, copy_of, namespace, to_host
from .._base.checks import check_flag
from .._base.devices import is_tensor
from ..coding import kernels

Proposal = tuple[int, np.ndarray, float] | None


@dataclass(frozen=True)
class Replacement(constraints.Checked):
    """When an atom is replaced, and by what.

    v_i is the running mean of mean_n a_ni^2, G the Gram matrix (of absolute values where codes are
    signed), and r_n are the residuals of the last batches.  Every `each` steps::

        c_i = max_{j != i} (G_ij)+ at j;   e_i = max(c_i, max_{l != i, j} G_il - c_i G_jl)
        use_i = v_i (1 - c_i^2 - e_i^2)+;  i = argmin use_i over atoms of age >= min_age
        draw some r_k with probability ~ |r|^2;  u_k = r_k / |r_k|
        P_kn = (u_k . r_n)+ where their cosine is at least least_cosine, else 0;  P_kk = 0
        gain_k = sum_n P_kn^2 / n_samples;   k = argmax gain_k

    and if gain_k > margin * use_i and gain_k > floor * mean v::

        d_i <- normalise(r_k |r_k| + sum_n P_kn r_n);   v_i <- gain_k

    use_i is at most what two other atoms cannot explain of what atom i does, gain_k what an atom
    along r_k would explain of the others' residuals: a single outlier gains nothing.  It limits
    itself, for it acts only where the gain is `margin` times the loss; the floor keeps surplus
    atoms, which fit noise, from being replaced again and again.

    Parameters
    ----------
    each : int, default=10
        Steps between two replacements, of one atom at most.
    window : (float, float), default=(0.05, 0.8)
        The shares of n_iter between which atoms are replaced; `partial_fit`, which knows no end,
        goes on.
    min_age : int, default=100
        Steps for which an atom is left alone after its replacement.
    n_candidates : int, default=8
        Residuals that are tried each time.
    least_cosine : float, default=0.5
        In [0, 1]: residuals of a smaller cosine with a candidate do not count for it.  At .7 noise
        hides what is missing (noise .1: .67 of the planted atoms used as 1 / rank, .98 at .5);
        lower, chance agreements count.
    margin, floor : float, default=4.0, 0.02
        At least 0.
    rate : float, default=0.01
        In (0, 1], of the running mean, and 1 / age for younger atoms.
    n_pooled, n_rows : int, default=2560, 256
        How many residuals are kept, at most one pass of the data, and how many of a batch.
    """

    each: constraints.Count = 10
    window: constraints.Interval = (0.05, 0.8)
    min_age: constraints.Count = 100
    n_candidates: constraints.Count = 8
    least_cosine: constraints.Share = 0.5
    margin: constraints.NotNegative = 4.0
    floor: constraints.NotNegative = 0.02
    rate: constraints.PositiveShare = 0.01
    n_pooled: constraints.Count = 2560
    n_rows: constraints.Count = 256

    def in_steps_of(self, n: float) -> "Replacement":
        """Return the same replacement for steps that have n times as many samples."""
        return replace(
            self,
            each=max(1, round(self.each / n)),
            min_age=max(1, round(self.min_age / n)),
            rate=min(1.0, self.rate * n),
            n_rows=round(self.n_rows * n),
        )

    def init(self, dictionary: np.ndarray) -> dict:
        """What is kept from step to step, before the first step."""
        n_dictionary = len(dictionary)
        return {
            "age": np.zeros(n_dictionary, np.int64),
            "energy": np.zeros(n_dictionary),
            "pool": dictionary[:0].reshape(0, math.prod(dictionary.shape[1:])),
            "n_seen": np.array(0),  # residuals so far: the pool is a ring
            "n_replaced": np.zeros(n_dictionary, np.int64),
        }

    def is_over(self, step: int, n_steps: int | None) -> bool:
        """Whether no atom is replaced from this step on, of n_steps; None has no end."""
        return n_steps is not None and step >= self.window[1] * n_steps

    def is_due(self, step: int, n_steps: int | None) -> bool:
        """Whether an atom may be replaced after this step."""
        first = self.min_age if n_steps is None else self.window[0] * n_steps
        return step % self.each == 0 and step >= first

    def follow(
        self, kept: dict, energy: np.ndarray, residuals: np.ndarray, n_most: int | None = None
    ) -> None:
        """Add a batch to what is kept, in place.

        Parameters
        ----------
        kept : dict
            As `init` makes it.
        energy : array of shape (n_dictionary,)
            Of the batch, mean_n a_ni^2.
        residuals : array of shape (n, n_pixels)
        n_most : int, optional
            Residuals of a pass over the data, in which each sample stands once.
        """
        kept["age"] += 1
        xp = namespace(kept["age"])
        rate = xp.maximum(self.rate, 1 / astype(kept["age"], xp.float64))
        kept["energy"] += rate * (energy - kept["energy"])
        rows = residuals[: self.n_rows]
        if not len(kept["pool"]):
            size = self.n_pooled if n_most is None else min(self.n_pooled, n_most)
            kept["pool"] = xp.zeros_like(rows, shape=(max(size, len(rows)), rows.shape[1]))
            kept["n_seen"] = np.array(0)
        first = int(kept["n_seen"]) % len(kept["pool"])
        n_before_end = min(len(rows), len(kept["pool"]) - first)
        kept["pool"][first : first + n_before_end] = rows[:n_before_end]
        kept["pool"][: len(rows) - n_before_end] = rows[n_before_end:]
        kept["n_seen"] = kept["n_seen"] + len(rows)

    def forget(self, kept: dict) -> None:
        """Drop the residuals, in place, when no atom will be replaced any more."""
        kept["pool"] = copy_of(kept["pool"][:0])

    def propose(self, kept: dict, coder: Any, seed: list[int], seen_share: float = 1.0) -> Proposal:
        """An atom's index, what should take its place, (n_pixels,) of norm 1, and the gain of that;
        None where nothing would gain enough.

        Parameters
        ----------
        kept : dict
            As `init` makes it.
        coder : Coder or ConvolutionalCoder
            Of the dictionary.
        seed : list of int
            Of the draw.
        seen_share : float, default=1.0
            Of the entries of samples that are not missing: cosines are smaller by it.
        """
        use = kept["energy"] * unexplained(coder.cosines(), coder.is_signed)
        use[kept["age"] < self.min_age] = np.inf
        i = int(use.argmin())
        pool = kept["pool"][: int(kept["n_seen"])]
        xp = namespace(pool)
        norms = xp.sqrt(xp.einsum("ij,ij->i", pool, pool))
        if not xp.isfinite(use[i]) or not norms.any():
            return None
        likely = to_host(norms).astype(np.float64) ** 2
        n_drawn = min(self.n_candidates, int(np.count_nonzero(likely)))
        rng = np.random.default_rng(seed)
        drawn = rng.choice(len(norms), n_drawn, replace=False, p=likely / likely.sum())
        share = self._shares(pool, norms, drawn, coder.is_signed, seen_share)
        gains = (astype(share, xp.float64) ** 2).sum(axis=1) * coder.n_windows / len(norms)
        k = int(gains.argmax())
        if gains[k] <= self.margin * use[i] or gains[k] <= self.floor * kept["energy"].mean():
            return None
        weights = share[k] / norms[drawn[k]]  # of order 1: products stay within float32's range
        weights[drawn[k]] = 1
        atom = weights @ pool
        return i, atom / xp.linalg.norm(atom), float(gains[k])

    def _shares(self, pool, norms, drawn, is_signed, seen_share):
        """P (n_drawn, n_samples)."""
        share = (pool[drawn] / norms[drawn, None]) @ pool.T
        similarity, xp = abs(share) if is_signed else share, namespace(share)
        least = seen_share * self.least_cosine * xp.maximum(norms, xp.finfo(norms.dtype).tiny)
        share[similarity < least] = 0
        share[np.arange(len(drawn)), drawn] = 0
        return share


def _check_replace(value, name):
    """True, False or a `Replacement`."""
    return value if isinstance(value, Replacement) else check_flag(value, name)


ReplaceLike = Annotated[
    bool | Replacement,
    constraints.Constraint(
        _check_replace, "True, False or a Replacement", (True, Replacement()), ("yes", 2)
    ),
]


def unexplained(gram: np.ndarray, is_signed: bool = False) -> np.ndarray:
    """Return (1 - c_i^2 - e_i^2)+, the share of each atom that its two nearest others cannot
    explain.

    (That share itself has e_i without c_i; to count the nearest atom twice where it is all there is
    finds more of the rarely used planted atoms: .99 instead of .96 of those used as 1 / rank.)
    """
    if is_tensor(gram):
        c, e = namespace(gram).explain(abs(gram) if is_signed else gram)
        return (1 - c**2 - e.clamp(min=c) ** 2).clamp(min=0)
    gram = np.abs(gram) if is_signed else np.ascontiguousarray(gram)
    c, e = np.empty(len(gram)), np.empty(len(gram))
    kernels.explain(gram, c, e)
    return np.maximum(1 - np.minimum(c, 1) ** 2 - np.clip(e, c, 1) ** 2, 0)


__all__ = ["Replacement", "unexplained"]
