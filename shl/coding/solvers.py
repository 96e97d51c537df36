"""The coders that are scikit-learn's: events of least angles, of the lasso and of thresholds."""

import numpy as np

from .events import Events

DEFAULT_PENALTY = 0.1  # in units of a sample's largest correlation
RANK_TOLERANCE = 1e-7  # of the largest singular value
GAP = 1e-5  # of the objective: a larger duality gap is not a minimum
LEAST_PENALTY = 1e-12  # of samples of size 1, instead of a penalty of 0
DESCENT = {"tol": 1e-8, "max_iter": 10_000}  # of coordinate descent


def encode_with_sklearn(X, dictionary, coding, exponents):
    """Return the events of scikit-learn's coders: at most l0_sparseness atoms a sample, with
    fit_tol as penalty or threshold.

    Samples X come divided by 2^exponents, and their events are too.  lars follows the path for
    l0_sparseness steps; lasso_lars also stops when the penalty reaches fit_tol; lasso_cd, elastic
    and threshold solve at the penalty fit_tol (default: a tenth of the sample's largest
    correlation; no threshold) and keep the largest coefficients.
    """
    algorithm, penalties = coding.algorithm, None
    if coding.fit_tol is not None:  # above the largest correlation, codes are 0 all the same
        penalties = np.minimum(unscale(coding.fit_tol, exponents), 4 * X.shape[1])
    if algorithm == "threshold":
        rho = X @ dictionary.T
        size = rho if coding.positive_code else np.abs(rho)
        least = 0 if penalties is None else penalties[:, None].astype(X.dtype)
        code = np.sign(rho) * np.maximum(size - least, 0)
    else:  # scikit-learn's solvers reach their tolerances in double precision only
        given, D = X.astype(np.float64), dictionary.astype(np.float64)
        solve = _follow_paths if algorithm in ("lars", "lasso_lars") else _descend_all
        code = solve(given, D, penalties, coding)
    code = np.ascontiguousarray(code, dictionary.dtype)
    return Events.from_dense(code, coding.l0_sparseness).trim()


def _default_penalties(X, dictionary):
    return DEFAULT_PENALTY * np.abs(X @ dictionary.T).max(axis=1)


def _follow_paths(X, dictionary, penalties, coding):
    """Return the code of least angle regression, or of the lasso by it.

    The lasso's path may be lost: at the penalty where it ends, coordinate descent then finds the
    code.
    """
    from sklearn.linear_model import lars_path

    is_lasso, l0_sparseness = coding.algorithm == "lasso_lars", coding.l0_sparseness
    kept = _distinct(dictionary)
    D = dictionary[kept]
    if is_lasso and penalties is None and l0_sparseness is None:
        penalties = _default_penalties(X, dictionary)
    ends = np.zeros(len(X)) if penalties is None or not is_lasso else penalties
    most = l0_sparseness or max(500, 4 * len(D))
    if not is_lasso:
        most = min(most, np.linalg.matrix_rank(D, rtol=RANK_TOLERANCE))
    options = {
        "method": "lasso" if is_lasso else "lar",
        "max_iter": most,
        "positive": coding.positive_code,
    }
    code, n_pixels = np.zeros((len(X), len(dictionary))), X.shape[1]
    for row, x in enumerate(X):
        alphas, _, path = lars_path(D.T, x, alpha_min=ends[row] / n_pixels, **options)
        end = _end(alphas, x - (D.T @ path).T)
        ends[row], code[row, kept] = n_pixels * alphas[end], path[:, end]
    if is_lasso:
        is_lost = _gaps(X, dictionary, code, ends, coding.positive_code) > GAP
        if is_lost.any():
            some = X[is_lost], dictionary, ends[is_lost], 0.0, coding.positive_code
            code[is_lost] = _descend(*some)
    return code


def _descend_all(X, dictionary, penalties, coding):
    """Return the code of the lasso or the elastic net."""
    if penalties is None:
        penalties = _default_penalties(X, dictionary)
    if coding.algorithm == "lasso_cd":
        return _descend(X, dictionary, penalties, 0.0, coding.positive_code)
    square = DEFAULT_PENALTY if coding.fit_tol is None else coding.fit_tol
    return _descend(X, dictionary, penalties / 2, square / 2, coding.positive_code)


def _descend(X, dictionary, penalties, square, is_positive):
    """Return argmin_c |x - c D|^2 / 2 + penalty |c|_1 + square |c|^2 / 2 for each sample, by
    coordinate descent.
    """
    from sklearn.linear_model import enet_path

    gram, rho = dictionary @ dictionary.T, X @ dictionary.T
    code, penalties = np.zeros_like(rho), np.maximum(penalties, LEAST_PENALTY)
    for row in np.flatnonzero(rho.any(axis=1)):
        total = penalties[row] + square
        _, path, _ = enet_path(
            dictionary.T,
            X[row],
            alphas=[total / X.shape[1]],
            l1_ratio=penalties[row] / total,
            precompute=gram,
            Xy=rho[row],
            positive=is_positive,
            copy_X=False,
            **DESCENT,
        )
        code[row] = path[:, 0]
    return code


def _gaps(X, dictionary, code, penalties, is_positive):
    """Return the duality gap of the lasso at each code, as a share of the objective."""
    residual = X - code @ dictionary
    rho = residual @ dictionary.T
    most = (rho if is_positive else np.abs(rho)).max(axis=1)
    share = np.minimum(1, penalties / np.maximum(most, np.finfo(float).tiny))
    square = (residual**2).sum(axis=1)
    primal = square / 2 + penalties * np.abs(code).sum(axis=1)
    dual = share * (X * residual).sum(axis=1) - share**2 * square / 2
    return (primal - dual) / np.maximum(primal, np.finfo(float).tiny)


def _end(alphas, residuals):
    """Return the index of the last good point of a path, whose correlations and residuals fall:
    where they rise, scikit-learn has lost it, and coefficients grow without bound.
    """
    square = (residuals**2).sum(axis=1)
    rises = np.diff(alphas) > 4 * np.finfo(alphas.dtype).eps * alphas[0]
    rises |= np.diff(square) > 1e-9 * square[0]
    return np.append(np.flatnonzero(rises), len(alphas) - 1)[0]


def _distinct(dictionary):
    """Return the atoms but for those that float32 cannot tell from an earlier one, or its negative:
    their coefficients would be large, and cancel.
    """
    gram = np.abs(np.tril(dictionary @ dictionary.T, -1))
    is_like = gram > 1 - np.finfo(np.float32).eps
    kept = np.ones(len(dictionary), bool)
    for i in np.flatnonzero(is_like.any(axis=1)):
        kept[i] = not is_like[i, kept].any()
    return np.flatnonzero(kept)


def unscale(penalty, exponents):
    """Return a penalty or tolerance in the units of samples that were divided by 2^exponents."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(np.float64(penalty), -exponents)
