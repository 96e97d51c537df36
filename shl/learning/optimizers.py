"""Optimizers: how a gradient moves the dictionary.

An optimizer is a small object. Its moments are a dict of arrays that learning carries along:

    moments = optimizer.init(dictionary, energy)
    dictionary, norms = optimizer.step(dictionary, gradient, moments, step, rate, sums)
"""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol

import numpy as np

from .._base.arrays import astype, copy_of, namespace, number_type
from .._base.constraints import (
    Checked,
    Constraint,
    Count,
    Flag,
    NotNegative,
    Positive,
    Share,
    ShareBelowOne,
    choice,
    number,
)
from .._base.devices import is_tensor
from ..coding import kernels

Array = np.ndarray  # or a tensor


class Sums(NamedTuple):
    """What a batch says of each atom, beside the gradient.

    Parameters
    ----------
    n : float
        Number of samples that the gradient averages: n times the gradient is a sum over the batch.
    energy : array of shape (n_dictionary,)
        Sum of the squared coefficients of each atom.
    counts : array of shape (n_dictionary,)
        Number of non-zero coefficients of each atom.
    seen_share : float, default=1.0
        Share of the entries of the samples that are not missing.
    """

    n: float
    energy: np.ndarray
    counts: np.ndarray
    seen_share: float = 1.0


class Optimizer(Protocol):
    """What learning asks of an optimizer."""

    def init(self, dictionary: np.ndarray, energy: float = 1.0) -> dict:
        """Return the moments before the first step; energy is the mean square of the data."""

    def step(
        self, dictionary: Array, gradient: Array, moments: dict, step: int, rate: float, sums: Sums
    ) -> tuple[Array, Array]:
        """Return the moved dictionary, with atoms of norm 1, and their norms before scaling.

        step counts from 0, and rate scales the optimizer's own rate.  The dictionary is not
        changed, and moments get new arrays: if the step fails later, the old ones are restored.
        """


OptimizerName = Annotated[str, choice(("newton", "adam"))]
Power = Annotated[float, number(least=0, most=300)]


@dataclass(frozen=True)
class Adam(Checked):
    """Adam (Kingma & Ba 2015, algorithm 1).

    m <- beta1 m + (1 - beta1) g,  s <- beta2 s + (1 - beta2) g^2,
    d <- d - eta (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + 10^-epsilon),  t = step + 1

    with g the gradient over the mean square of the data, so that a step does not depend on the
    data's scale.

    Parameters
    ----------
    eta : float, default=0.04
        Above 0, the rate.
    beta1, beta2 : float, default=0.99
        In [0, 1), the decays of the moments.
    epsilon : float, default=10
        In [0, 300], as a power.
    """

    eta: Positive = 0.04
    beta1: ShareBelowOne = 0.99
    beta2: ShareBelowOne = 0.99
    epsilon: Power = 10

    def init(self, dictionary: np.ndarray, energy: float = 1.0) -> dict:
        """Zeros of the dictionary's shape and dtype, and the unit of gradients."""
        zeros = namespace(dictionary).zeros_like(dictionary)
        return {"mean": zeros, "square": copy_of(zeros), "energy": np.array(energy)}

    def step(
        self, dictionary: Array, gradient: Array, moments: dict, step: int, rate: float, sums: Sums
    ) -> tuple[Array, Array]:
        """The moved dictionary (n_dictionary, n_pixels), and the norms of its atoms before they
        were scaled; the moments become new arrays.
        """
        number, decays = number_type(dictionary), (self.beta1, self.beta2)
        xp = namespace(dictionary)
        moved, norms = xp.empty_like(dictionary), xp.zeros_like(dictionary, shape=len(dictionary))
        former = moments["mean"], moments["square"]
        new = tuple(map(xp.empty_like, former))
        move = xp.adam if is_tensor(dictionary) else kernels.adam
        move(
            dictionary,
            gradient,
            # Gradients go with the square of the data: in units of it, epsilon means the same and
            # squares stay within the range of float32 at any scale.
            number(moments["energy"]),
            former,
            tuple(number(beta) for beta in decays),
            number(self.eta * rate),
            number(10.0**-self.epsilon),
            tuple(number(1 - beta ** (step + 1)) for beta in decays),
            (moved, *new),
            norms,
        )
        moments.update(mean=new[0], square=new[1])
        return moved, norms


@dataclass(frozen=True)
class GradientDescent(Checked):
    """The plain gradient, d <- d - eta g; of norm 1 for each atom where is_normalised.

    g is the gradient over the mean square of the data, as for `Adam`.

    Parameters
    ----------
    eta : float
        Above 0, the rate, or the length of an atom's move.
    is_normalised : bool, default=False
        True for normalised gradient descent; an atom without a gradient does not move.
    """

    eta: Positive
    is_normalised: Flag = False

    def init(self, dictionary: np.ndarray, energy: float = 1.0) -> dict:
        """The unit of gradients."""
        return {} if self.is_normalised else {"energy": np.array(energy)}

    def step(
        self, dictionary: Array, gradient: Array, moments: dict, step: int, rate: float, sums: Sums
    ) -> tuple[Array, Array]:
        """The moved dictionary, and the norms of its atoms before they were scaled; the gradient is
        scaled in place.
        """
        number, unit = number_type(dictionary), float(moments.get("energy", 1.0))
        if self.is_normalised:
            normalise(gradient)
        moved = dictionary - number(self.eta * rate) * (gradient / number(unit))
        return moved, normalise(moved)


@dataclass(frozen=True)
class Newton(Checked):
    """A diagonal Newton step: each atom moves by the curvature of its own coefficients.

    V_i <- keep V_i + sum_n a_ni^2,   d_i <- normalise(d_i - step_i),   step_i = n g_i / V_i

    with g the mean gradient over n samples and a the coefficients.  The norm of step_i is at most
    `most_move`.  In a learning whose end is known, keep = 1 - rate rho, with
    rho = n l0_sparseness / (0.4 n_dictionary n_pixels) within [0.03, 0.8]: at first, a mean atom
    remembers 0.4 n_pixels of its non-zero coefficients.  In a stream,
    keep = (1 - n / n_seen)^kappa: V remembers about n_seen / kappa samples.

    Atoms can also be shrunk by their evidence,
    d_i <- soft(d_i, (1 - keep) min(1, c mean_j w_j / w_i) / sqrt(n_pixels)), with w_i the mean
    square of a non-zero coefficient of atom i.  The moment c is 0 until learning sets it to
    `shrinkage` (see `shl.learning.evidence`).

    Parameters
    ----------
    l0_sparseness : int, optional
        Number of non-zero coefficients of a sample.  If None, the mean number in each batch.
    kappa : float, optional
        Above 0, for streams, which know no end.  If None, the rate is used.
    most_move : float, default=0.3
        Above 0, the largest norm of an atom's move.
    shrinkage : float, default=0.0
        At least 0, the value of c if shrinkage helps; 0 never shrinks.
    first_rate : float, optional
        In [0, 1], the value of rho.  If None, it is the one above.
    """

    l0_sparseness: Count | None = None
    kappa: Positive | None = None
    most_move: Positive = 0.3
    shrinkage: NotNegative = 0.0
    first_rate: Share | None = None

    def init(self, dictionary: np.ndarray, energy: float = 1.0) -> dict:
        """Return zeros: nothing was seen of any atom."""
        xp = namespace(dictionary)
        zeros = astype(xp.zeros_like(dictionary, shape=(len(dictionary),)), xp.float64)
        return {"V": zeros, "used": zeros, "n_seen": np.array(0.0), "c": np.array(0.0)}

    def step(
        self, dictionary: Array, gradient: Array, moments: dict, step: int, rate: float, sums: Sums
    ) -> tuple[Array, Array]:
        """Return the moved dictionary and the norms of its atoms before they were scaled."""
        xp, n = namespace(dictionary), sums.n
        atoms, slope = (a.reshape(len(a), -1) for a in (dictionary, gradient))
        n_seen = float(moments["n_seen"]) + n
        keep = (
            1 - rate * self._first_rate(sums, atoms.shape)
            if self.kappa is None
            else (1 - n / n_seen) ** self.kappa
        )
        V, used = keep * moments["V"] + sums.energy, keep * moments["used"] + sums.counts
        moments.update(V=V, used=used, n_seen=np.array(n_seen))
        # The coefficients count entries that are missing, too, the gradient does not.
        share = n / max(sums.seen_share, 1e-6)
        scale = xp.where(V > 0, share / xp.where(V > 0, V, 1), 0)
        lengths = astype(xp.linalg.norm(slope, axis=1), xp.float64)
        most = self.most_move / xp.maximum(lengths, xp.finfo(slope.dtype).tiny)
        scale = xp.minimum(scale, xp.clip(most, 0, float(xp.finfo(slope.dtype).max)))
        moved = atoms - astype(scale, slope.dtype)[:, None] * slope
        if c := float(moments["c"]):
            w = V / xp.maximum(used, xp.finfo(V.dtype).tiny)
            least = c * w.sum() / max(1, int((w > 0).sum()))
            share = xp.where(w > 0, least / xp.maximum(w, least), 0)
            moved = soften(moved, astype((1 - keep) * share, moved.dtype))
        moved = moved.reshape(dictionary.shape)
        return moved, normalise(moved)

    def _first_rate(self, sums, shape):
        """Return rho of a batch."""
        if self.first_rate is not None:
            return self.first_rate
        counts = sums.counts.sum() if self.l0_sparseness is None else sums.n * self.l0_sparseness
        return float(np.clip(float(counts) / (0.4 * math.prod(shape)), 0.03, 0.8))


def soften(atoms: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return atoms (n_dictionary, n_pixels) with soft-thresholded pixels, not scaled to norm 1.

    The threshold of atom i is least_i / sqrt(n), n the number of pixels that any atom has.  An atom
    of which nothing would be left stays as it is.
    """
    xp = namespace(atoms)
    least = least / math.sqrt(max(1, int((atoms != 0).any(axis=0).sum())))
    shrunk = xp.sign(atoms) * xp.maximum(abs(atoms) - least[:, None], 0)
    return xp.where((shrunk != 0).any(axis=1)[:, None], shrunk, atoms)


@dataclass(frozen=True)
class Decay(Checked):
    """A rate that decays late: 1 up to the share `start` of the steps, then along a cosine to
    `end`.

    Parameters
    ----------
    start, end : float, default=0.6, 0.05
        In [0, 1].
    """

    start: Share = 0.6
    end: Share = 0.05

    def __call__(self, step: int, n_steps: int) -> float:
        """The factor of eta in a step of n_steps."""
        late = (step / n_steps - self.start) / max(1 - self.start, 1 / n_steps)
        return self.end + (1 - self.end) * (1 + np.cos(np.pi * np.clip(late, 0, 1))) / 2


def _check_decay(value, name):
    """A pair (start, end) of which a `Decay` can be made."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (start, end) or None, not {value!r}")
    try:
        Decay(*value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} {error}") from None
    return tuple(value)


DecayLike = Annotated[
    tuple[float, float],
    Constraint(
        _check_decay,
        "a pair (start, end) of shares in [0, 1]",
        good=((0.6, 0.05), [0, 1]),
        bad=((0.5,), (2, 0), (0, -1), 0.5),
    ),
]


def make_optimizer(eta: float, beta1: float, beta2: float, epsilon: float) -> Optimizer:
    """Return Adam, or the plain gradient if beta1 is 0."""
    adam = Adam(eta, beta1, beta2, epsilon)
    return GradientDescent(adam.eta) if adam.beta1 == 0 else adam


def normalise(atoms: np.ndarray) -> np.ndarray:
    """Scale atoms in place to norm 1, except atoms of zeros; return the norms before."""
    flat = atoms.reshape(len(atoms), -1)
    xp = namespace(flat)
    norms = xp.zeros_like(flat, shape=len(flat))
    scale = xp.normalise if is_tensor(flat) else kernels.normalise
    scale(flat, norms)
    return norms


__all__ = ["Adam", "Decay", "GradientDescent", "Optimizer", "make_optimizer", "normalise"]
