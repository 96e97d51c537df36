"""How atoms compete in pursuit: what homeostasis hands to coding."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike

from .._base.arrays import namespace
from .._base.checks import check_array, check_number
from .._base.constraints import instance


@dataclass(frozen=True)
class Competition:
    """How atoms compete in pursuit: z_i(a) = gain_i a, or z_i(a) = P_cum_i(1 - exp(-a / C)).

    Without gain and P_cum it is plain matching pursuit, z(a) = a.

    Parameters
    ----------
    gain : array of shape (n_dictionary,), default=None
        Factors of at least 0.
    P_cum : array of shape (n_dictionary, nb_quant), default=None
        Table in [0, 1] whose rows do not decrease.
    C : float, default=None
        The scale of coefficients in P_cum, which the table needs.
    least : array of one number, default=None
        The least coefficient that is selected, in convolutional pursuit with a floor.
    share : array of one number, optional
        In convolutional pursuit with a floor, the share of an event that another one must exceed
        to overlap with it.
    """

    gain: Any = None
    P_cum: Any = None
    C: float | None = None
    least: np.ndarray | None = None
    share: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """'gain', 'table' or 'plain'."""
        if self.P_cum is not None:
            return "table"
        return "plain" if self.gain is None else "gain"

    def in_units_of(self, exponent: int) -> "Competition":
        """Return the competition between coefficients that were divided by 2^exponent."""
        return self if self.C is None else replace(self, C=np.ldexp(self.C, -exponent))


PLAIN = Competition()
CompetitionLike = Annotated[Competition, instance(Competition, text="a Competition")]


def check_competition(
    gain: Any, P_cum: Any, C: Any, n_dictionary: int, dtype: DTypeLike | None
) -> Competition:
    """A `Competition` of valid arrays, or an error that names the one that is not."""
    if gain is not None and P_cum is not None:
        raise ValueError(
            "gain and P_cum are both given, but atoms compete by one of them. Pass one."
        )
    if gain is not None:
        gain = check_array(gain, "gain", ndim=1, dtype=dtype, shape=(n_dictionary,))
        if gain.min() < 0:
            raise ValueError(f"gain must be at least 0, not {gain.min():.3g}")
    if P_cum is not None:
        P_cum = check_P_cum(P_cum, "P_cum", n_dictionary, dtype=dtype)
        if C is None:
            raise ValueError(
                "C must be given with P_cum, because it is the scale of the coefficients. "
                "Pass C=model.C_ with model.P_cum_, or competition=model.competition_ "
                "instead of both."
            )
        C = check_number(C, "C", above=0)
    return Competition(gain, P_cum, C)


def check_P_cum(P_cum, name, n_dictionary=None, nb_quant=None, dtype=None):
    """Distributions (n_dictionary, nb_quant), non-decreasing along their rows from 0 to 1."""
    P_cum = check_array(P_cum, name, ndim=2, dtype=dtype)
    wanted = (n_dictionary or len(P_cum), nb_quant or max(2, P_cum.shape[1]))
    if tuple(P_cum.shape) != wanted:
        raise ValueError(
            f"{name} must have shape (n_dictionary, nb_quant) = {wanted}, not {tuple(P_cum.shape)}"
        )
    xp = namespace(P_cum)
    if xp.diff(P_cum, axis=1).min() < -1e-6 or P_cum.min() < -1e-6 or P_cum.max() > 1 + 1e-6:
        raise ValueError(f"{name} must be non-decreasing along its rows, within [0, 1]")
    return xp.maximum.accumulate(P_cum, axis=1)
