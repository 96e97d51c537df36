"""The coders that are scikit-learn's: events of least angles, of the lasso and of thresholds."""

import numpy as np

from .events import Events

DEFAULT_PENALTY = 0.1  # in units of a sample's largest correlation


def encode_with_sklearn(X, dictionary, coding, exponents):
    """Events of scikit-learn's coders: at most l0_sparseness atoms a sample, fit_tol as penalty or
    threshold.

    lars follows the path for l0_sparseness steps; lasso_lars also stops where the penalty reaches
    fit_tol, and both were given X divided by 2^exponents; lasso_cd, elastic and threshold solve at
    the penalty fit_tol (default: a tenth of the sample's largest correlation; no threshold) and
    keep the largest coefficients.
    """
    from sklearn.decomposition import sparse_encode as sklearn_encode

    if coding.algorithm in ("lars", "lasso_lars"):
        code = _follow_path(X, dictionary, coding, exponents[:, 0])
    elif coding.algorithm == "threshold":
        code = sklearn_encode(
            X,
            dictionary,
            algorithm="threshold",
            alpha=coding.fit_tol or 0,
            positive=coding.positive_code,
        )
    else:
        code = _descend(X, dictionary, coding)
    if coding.positive_code:  # a path may end an ulp below 0
        code = np.maximum(code, 0)
    code = np.ascontiguousarray(code, dictionary.dtype)
    return Events.from_dense(code, coding.l0_sparseness).trim()


def _follow_path(X, dictionary, coding, exponents):
    """The code of least angle regression, or of the lasso by it."""
    from sklearn.linear_model import lars_path

    penalty, l0_sparseness = coding.fit_tol, coding.l0_sparseness
    is_lasso, least = coding.algorithm == "lasso_lars", np.zeros(len(X))
    if is_lasso and penalty is not None:
        least = unscale(penalty, exponents) / X.shape[1]
    elif is_lasso and l0_sparseness is None:
        least = DEFAULT_PENALTY * np.abs(X @ dictionary.T).max(axis=1) / X.shape[1]
    options = {
        "method": "lasso" if is_lasso else "lar",
        "max_iter": l0_sparseness or max(500, 4 * len(dictionary)),
        "positive": coding.positive_code,
    }
    kept = _distinct(dictionary)
    code = np.zeros((len(X), len(dictionary)), X.dtype)
    for row, (x, end) in enumerate(zip(X, least, strict=True)):
        path = lars_path(dictionary[kept].T, x, alpha_min=end, **options)
        code[row, kept] = path[2][:, _end(path[0])]
    return np.ldexp(code, exponents[:, None])


def _descend(X, dictionary, coding):
    """The code of the lasso or the elastic net by coordinate descent."""
    from sklearn.linear_model import ElasticNet

    penalty, scale = coding.fit_tol, 1.0
    if penalty is None:  # of each sample scaled to a largest correlation of 1
        scale = np.abs(X @ dictionary.T).max(axis=1, keepdims=True)
        X, penalty = X / np.where(scale > 0, scale, 1), DEFAULT_PENALTY
    # Coordinate descent reaches its tolerance in double precision only.
    model = ElasticNet(
        alpha=penalty / X.shape[1],
        l1_ratio={"lasso_cd": 1.0, "elastic": 0.5}[coding.algorithm],
        fit_intercept=False,
        precompute=True,
        max_iter=10_000,
        positive=coding.positive_code,
    )
    model.fit(dictionary.T.astype(np.float64), X.T.astype(np.float64))
    return scale * np.atleast_2d(model.coef_)


def _end(alphas):
    """Index of the last good point of a path.  The correlations fall along it: where they rise,
    scikit-learn has lost it, and coefficients grow without bound.
    """
    rises = np.flatnonzero(np.diff(alphas) > 4 * np.finfo(alphas.dtype).eps * alphas[0])
    return rises[0] if rises.size else -1


def _distinct(dictionary):
    """The atoms but for those that float32 cannot tell from an earlier one, or its negative: their
    coefficients would be large, and cancel.
    """
    gram = np.abs(np.tril(dictionary.astype(np.float64) @ dictionary.T, -1))
    is_like = gram > 1 - np.finfo(np.float32).eps
    kept = np.ones(len(dictionary), bool)
    for i in np.flatnonzero(is_like.any(axis=1)):
        kept[i] = not is_like[i, kept].any()
    return np.flatnonzero(kept)


def unscale(penalty, exponents):
    """A penalty or tolerance in the units of X, for samples that were divided by 2^exponents."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(np.float64(penalty), -exponents)
