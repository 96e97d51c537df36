"""The scale of samples while a dictionary is learned: whitening, and a limit of their norms."""

from typing import Annotated

import numpy as np

from .._base.arrays import astype, beside, namespace, to_host
from .._base.constraints import choice

Whitening = Annotated[str, choice(("std", "zca"))]
ROWS = 4096  # of the data, from which the median norm is estimated
FEW_ROWS = 1024  # of the data, from which a warning about the scales of pixels comes
LEAST_VARIANCE = 1e-8  # of directions, as a share of the largest, that whitening enlarges


def whitening(
    X: np.ndarray,
    kind: str,
    rows: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Return what samples are multiplied by so that their pixels have unit variance.

    W = diag(1 / std), or with 'zca' W = C^(-1/2), with C the covariance of the pixels.  A pixel
    that is constant is not scaled.

    Parameters
    ----------
    X : array of shape (n_samples, n_pixels)
        NaN marks missing entries, with 'std' only.
    kind : {'std', 'zca'}
    rows : array, optional
        The rows of X that count; all if None.
    sample_weight : array of shape (n_samples,), optional

    Returns
    -------
    W : array, float64
        Of shape (n_pixels,) for 'std', and (n_pixels, n_pixels), symmetric, for 'zca'.
    """
    rows = slice(None) if rows is None else rows
    X = to_host(X[rows]).astype(np.float64)
    share = np.ones(len(X)) if sample_weight is None else to_host(sample_weight)[rows]
    seen = ~np.isnan(X)
    total = np.maximum(share @ seen, np.finfo(float).tiny)
    X = np.where(seen, X - share @ np.where(seen, X, 0) / total, 0)
    if kind == "std":
        std = np.sqrt(share @ X**2 / total)
        return 1 / np.where(std > 0, std, 1)
    values, vectors = np.linalg.eigh((X.T * share) @ X / total[:, None])
    values = np.maximum(values, LEAST_VARIANCE * max(values[-1], np.finfo(float).tiny))
    return (vectors / np.sqrt(values)) @ vectors.T


def whiten(X: np.ndarray, W: np.ndarray | None) -> np.ndarray:
    """Return a copy of samples, or atoms, in the space that W whitens; X itself if W is None."""
    if W is None:
        return X
    X = X[:]
    W = astype(beside(W, X), X.dtype)
    return X * W if W.ndim == 1 else X @ W


def unwhiten(atoms: np.ndarray, W: np.ndarray | None) -> np.ndarray:
    """Return the atoms of norm 1 that `whiten` maps to multiples of these."""
    if W is None:
        return atoms
    D = to_host(atoms).astype(np.float64)
    D = D / W if W.ndim == 1 else np.linalg.solve(W, D.T).T
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    return beside(D.astype(to_host(atoms).dtype), atoms)


def evenness(X: np.ndarray, rows: np.ndarray | None = None) -> float:
    """Return (sum_p v_p)^2 / (n sum_p v_p^2), v the variances of the n pixels that vary.

    It is 1 if the pixels have one scale, and 1 / n if one pixel has all variance.
    """
    some = some_of(X, rows, FEW_ROWS)
    X, some = clip(X, some, 3 * median_norm(X, some))  # outliers say little of the pixels
    X = to_host(X[some]).astype(np.float64)
    seen = ~np.isnan(X)
    n = np.maximum(seen.sum(axis=0), 1)
    X = np.where(seen, X - np.where(seen, X, 0).sum(axis=0) / n, 0)
    v = (X**2).sum(axis=0) / n
    v = v[v > 0] / max(v.max(), np.finfo(float).tiny)
    return float(v.sum() ** 2 / (len(v) * (v**2).sum())) if len(v) else 1.0


def some_of(X: np.ndarray, rows: np.ndarray | None, most: int = ROWS) -> np.ndarray:
    """Return rows of X, evenly spaced among some or all."""
    rows = np.arange(len(X)) if rows is None else rows
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]


def norms_of(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the norms of the samples X[rows], of what is not missing."""
    xp = namespace(X)
    samples = X[rows].reshape(len(rows), -1)
    return xp.sqrt(xp.nansum(samples**2, axis=1))


def median_norm(X: np.ndarray, rows: np.ndarray | None = None) -> float:
    """Return the median norm of the samples that are not all 0; infinity if all are."""
    norms = to_host(norms_of(X, some_of(X, rows)))
    return float(np.median(norms[norms > 0])) if (norms > 0).any() else np.inf


def clip(X: np.ndarray, rows: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, rows), or if some of these samples have a norm above `most`, a scaled copy."""
    norms = norms_of(X, rows)
    if not (norms > most).any():
        return X, rows
    xp = namespace(X)
    shape = (-1,) + (1,) * (X.ndim - 1)
    return X[rows] * (most / xp.maximum(norms, most)).reshape(shape), np.arange(len(rows))
