"""Optimizers: how a gradient moves the dictionary.

An optimizer is a small object; its moments are a dict of arrays that learning carries along:

    moments = optimizer.init(dictionary, energy)
    dictionary, norms = optimizer.step(dictionary, gradient, moments, step, rate)
"""

from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np

from .._base.arrays import copy_of, namespace, number_type
from .._base.constraints import Checked, Constraint, Flag, Positive, Share, ShareBelowOne, number
from .._base.devices import is_tensor
from ..coding import kernels


class Optimizer(Protocol):
    """What learning asks of an optimizer."""

    def init(self, dictionary: np.ndarray, energy: float = 1.0) -> dict:
        """The moments before the first step; energy: the mean square of the data."""

    def step(
        self,
        dictionary: np.ndarray,
        gradient: np.ndarray,
        moments: dict,
        step: int,
        rate: float = 1.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The moved dictionary, of atoms of norm 1, and their norms before; step counts from 0,
        rate scales eta.

        The dictionary stays as it is and moments get new arrays: where a learning step fails later,
        the old ones are still there.
        """


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
        self,
        dictionary: np.ndarray,
        gradient: np.ndarray,
        moments: dict,
        step: int,
        rate: float = 1.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The moved dictionary (n_dictionary, n_pixels), and the norms of its atoms before they
        were scaled; the moments become new arrays.
        """
        number, decays = number_type(dictionary), (self.beta1, self.beta2)
        xp = namespace(dictionary)
        moved, norms = xp.empty_like(dictionary), xp.zeros_like(dictionary, shape=len(dictionary))
        names = ("mean", "square")
        former = tuple(moments[name] for name in names)
        moments.update({name: xp.empty_like(moments[name]) for name in names})
        move = xp.adam if is_tensor(dictionary) else kernels.adam
        move(
            dictionary,
            gradient,
            # Gradients go with the square of the data: in units of it, epsilon means the same and
            # squares stay within the range of float32 at any scale.
            number(moments["energy"]),
            former,
            tuple(number(decay) for decay in decays),
            number(self.eta * rate),
            number(10.0**-self.epsilon),
            tuple(number(1 - decay ** (step + 1)) for decay in decays),
            (moved, *(moments[name] for name in names)),
            norms,
        )
        return moved, norms


@dataclass(frozen=True)
class GradientDescent(Checked):
    """The plain gradient, d <- d - eta g; of norm 1 for each atom where is_normalised.

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
        """No moments."""
        return {}

    def step(
        self,
        dictionary: np.ndarray,
        gradient: np.ndarray,
        moments: dict,
        step: int,
        rate: float = 1.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The moved dictionary, and the norms of its atoms before they were scaled; the gradient is
        scaled in place.
        """
        if self.is_normalised:
            normalise(gradient)
        moved = dictionary - number_type(dictionary)(self.eta * rate) * gradient
        return moved, normalise(moved)


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
    """Adam; the plain gradient where beta1 is 0."""
    adam = Adam(eta, beta1, beta2, epsilon)
    return GradientDescent(adam.eta) if adam.beta1 == 0 else adam


def normalise(atoms: np.ndarray) -> np.ndarray:
    """Scale atoms in place to norm 1, an atom of zeros stays; return the norms before."""
    flat = atoms.reshape(len(atoms), -1)
    xp = namespace(flat)
    norms = xp.zeros_like(flat, shape=len(flat))
    scale = xp.normalise if is_tensor(flat) else kernels.normalise
    scale(flat, norms)
    return norms
