"""Small functions by the names that the study's code has for them: mp, rescaling, quantile."""

import numpy as np
from numpy.typing import ArrayLike

from ._base.checks import as_array, check_array
from ._base.constraints import Matrix, Positive, checked
from .coding.competition import check_P_cum
from .coding.encode import sparse_encode


@checked
def mp(X: ArrayLike, D: Matrix, precision: ArrayLike | None = None, **options) -> np.ndarray:
    """The code (n_samples, n_dictionary) of X by matching pursuit: `sparse_encode`, whose options
    it takes.

    Examples
    --------
    >>> mp([[0.0, 3.0, 1.0]], np.eye(3), l0_sparseness=1)
    array([[0., 3., 0.]])
    """
    return sparse_encode(X, D, precision, algorithm="mp", **options)


@checked
def rescaling(code: ArrayLike, C: Positive = 3.0) -> np.ndarray:
    """R = 1 - exp(-max(a, 0) / C): coefficients of any shape, drawn into [0, 1).

    Examples
    --------
    >>> rescaling([-1.0, 0.0, 3.0])
    array([0.        , 0.        , 0.63212056])
    """
    code = as_array(code, "code")
    kind = code.dtype if code.dtype.kind == "f" else np.float64
    return -np.expm1(np.maximum(code, 0) / np.float64(-C)).astype(kind)


def quantile(P_cum: ArrayLike, r: ArrayLike) -> np.ndarray:
    """Z_ni = P_cum_i(r_ni), linear between the points of the table and clamped at its ends: what
    atoms compete by under HEH, with r of `rescaling`.

    Parameters
    ----------
    P_cum : array of shape (n_dictionary, nb_quant)
        Of each atom the probabilities that r is below 0, 1 / nb_quant, 2 / nb_quant, ...
    r : array of shape (n_samples, n_dictionary)
        In [0, 1].

    Returns
    -------
    z : array of shape (n_samples, n_dictionary)

    Examples
    --------
    >>> quantile([[0.0, 0.5], [0.9, 1.0]], [[0.25, 0.25]])
    array([[0.25, 0.95]])
    """
    P_cum = check_P_cum(P_cum, "P_cum")
    r = check_array(r, "r", ndim=2, n_columns=len(P_cum))
    position = np.clip(r, 0, 1) * P_cum.shape[1]
    below, above = (np.minimum(position.astype(int) + step, P_cum.shape[1] - 1) for step in (0, 1))
    atoms = np.arange(len(P_cum))
    low = P_cum[atoms, below]
    return low + (position - below) * (P_cum[atoms, above] - low)


__all__ = ["mp", "quantile", "rescaling"]
