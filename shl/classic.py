"""Small functions by the names that the study's code has for them: mp, rescaling, quantile."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._base.checks import as_array, check_array
from ._base.constraints import Matrix, Positive, checked
from .coding.competition import check_P_cum
from .coding.encode import sparse_encode


@checked
def mp(X: ArrayLike, D: Matrix, precision: ArrayLike | None = None, **options: Any) -> np.ndarray:
    """Code X by matching pursuit: `sparse_encode`, whose options it takes.

    Examples
    --------
    >>> mp([[0.0, 3.0, 1.0]], np.eye(3), l0_sparseness=1)
    array([[0., 3., 0.]])
    """
    return sparse_encode(X, D, precision, algorithm="mp", **options)


@checked
def rescaling(code: ArrayLike, C: Positive = 3.0) -> np.ndarray:
    """Return r = 1 - exp(-max(a, 0) / C), coefficients of any shape in [0, 1).

    Examples
    --------
    >>> rescaling([-1.0, 0.0, 3.0])
    array([0.        , 0.        , 0.63212056])
    """
    code = as_array(code, "code")
    kind = code.dtype if code.dtype.kind == "f" else np.float64
    return -np.expm1(np.maximum(code, 0) / np.float64(-C)).astype(kind)


def quantile(P_cum: ArrayLike, r: ArrayLike) -> np.ndarray:
    """Return Z_ni = P_cum_i(r_ni), by which atoms compete under HEH, with r of `rescaling`.  It is
    linear between the points of the table and clamped at its ends.

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


@checked
def inv_rescaling(r: ArrayLike, C: Positive = 3.0) -> np.ndarray:
    """Return the coefficients a = -C log(1 - r) that `rescaling` maps to r.

    Parameters
    ----------
    r : array of any shape
        Rescaled coefficients in [0, 1).
    C : float, default=3.0
        Scale of the coefficients, above 0.

    Returns
    -------
    code : array of the shape of r

    Examples
    --------
    >>> inv_rescaling(rescaling([0.0, 3.0]))
    array([0., 3.])
    """
    r = as_array(r, "r")
    if r.size and not (r.min() >= 0 and r.max() < 1):
        raise ValueError(
            f"r must be in [0, 1), but is in [{r.min()}, {r.max()}]. Call rescaling first."
        )
    return -C * np.log1p(-r)


def inv_quantile(P_cum: ArrayLike, z: ArrayLike) -> np.ndarray:
    """Return the rescaled coefficients r_ni for which P_cum_i(r_ni) = z_ni, as `quantile` inverts.

    Parameters
    ----------
    P_cum : array of shape (n_dictionary, nb_quant)
        Of each atom the probabilities that r is below 0, 1 / nb_quant, 2 / nb_quant, ...
    z : array of shape (n_samples, n_dictionary)
        In [0, 1].  What a table does not reach is clamped at its ends.

    Returns
    -------
    r : array of shape (n_samples, n_dictionary)

    Examples
    --------
    >>> inv_quantile([[0.0, 0.5], [0.2, 1.0]], [[0.25, 0.6]])
    array([[0.25, 0.25]])
    """
    P_cum = check_P_cum(P_cum, "P_cum")
    z = check_array(z, "z", ndim=2, n_columns=len(P_cum))
    r = np.arange(P_cum.shape[1]) / P_cum.shape[1]
    return np.stack([np.interp(*pair, r) for pair in zip(z.T, P_cum, strict=True)], axis=1)


__all__ = ["inv_quantile", "inv_rescaling", "mp", "quantile", "rescaling"]
