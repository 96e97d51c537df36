"""The coders that are scikit-learn's: events of least angles, of the lasso and of thresholds."""

import numpy as np

from .events import Events

DEFAULT_PENALTY = 0.1  # in units of a sample's largest correlation
RANK_TOLERANCE = 1e-7  # of the largest singular value
GAP = 2e-4  # of the objective: a larger duality gap is not a minimum
STIFF = 1e-8  # share of the penalty that `_solve_exactly` adds to it as a square
DESCENT = {"tol": 1e-6, "max_iter": 10_000}  # of coordinate descent
LEAST_PENALTY = 1e-12  # of samples of size 1, instead of a penalty of 0


def encode_with_sklearn(X, dictionary, coding, exponents):
    """Return the events of scikit-learn's coders, at most l0_sparseness atoms a sample with fit_tol
    as penalty or threshold; and how many codes are no minimum.

    Samples X come divided by 2^exponents, and their events are too.  lars follows the path for
    l0_sparseness steps; lasso_lars also stops when the penalty reaches fit_tol; lasso_cd, elastic
    and threshold solve at the penalty fit_tol (default: a tenth of the sample's largest
    correlation; no threshold) and keep the largest coefficients.
    """
    algorithm, penalties, n_lost = coding.algorithm, None, 0
    if coding.fit_tol is not None:  # above the largest correlation, codes are 0 all the same
        penalties = np.minimum(unscale(coding.fit_tol, exponents), 4 * X.shape[1])
    if algorithm == "threshold":
        rho = X @ dictionary.T
        size = rho if coding.positive_code else np.abs(rho)
        least = 0 if penalties is None else penalties[:, None].astype(X.dtype)
        code = np.sign(rho) * np.maximum(size - least, 0)
    else:  # scikit-learn's solvers reach their tolerances in double precision only
        given, D = X.astype(np.float64), dictionary.astype(np.float64)
        has_path = algorithm in ("lars", "lasso_lars")
        if penalties is None and (not has_path or coding.l0_sparseness is None):
            penalties = DEFAULT_PENALTY * np.abs(given @ D.T).max(axis=1)
        code, n_lost = (_follow_paths if has_path else _descend)(given, D, penalties, coding)
    if coding.positive_code:  # a path may end an ulp below 0
        code = np.maximum(code, 0)
    code = np.ascontiguousarray(code, dictionary.dtype)
    return Events.from_dense(code, coding.l0_sparseness).trim(), n_lost


def _follow_paths(X, dictionary, penalties, coding):
    """Return the code of least angle regression, or of the lasso by it."""
    from sklearn.linear_model import lars_path

    is_lasso, l0_sparseness = coding.algorithm == "lasso_lars", coding.l0_sparseness
    kept, n_pixels = _distinct(dictionary), X.shape[1]
    D, ends = dictionary[kept], np.zeros(len(X))
    if is_lasso and penalties is not None:
        ends[:] = penalties
    most = l0_sparseness or max(500, 4 * len(D))
    if not is_lasso:
        sizes = np.linalg.svd(D, compute_uv=False)
        most = min(most, np.count_nonzero(sizes > RANK_TOLERANCE * sizes[0]))
    options = {
        "method": "lasso" if is_lasso else "lar",
        "max_iter": most,
        "positive": coding.positive_code,
    }
    code = np.zeros((len(X), len(dictionary)))
    for row, x in enumerate(X):
        alphas, _, path = lars_path(D.T, x, alpha_min=ends[row] / n_pixels, **options)
        end = _end(alphas, x - (D.T @ path).T)
        code[row, kept] = path[:, end]
        if ends[row] == 0 or end == l0_sparseness:
            ends[row] = n_pixels * alphas[end]
    return code, _mend(X, dictionary, code, ends, coding.positive_code) if is_lasso else 0


def _descend(X, dictionary, penalties, coding):
    """Return argmin_c |x - c D|^2 / 2 + p |c|_1 for each sample, by coordinate descent.

    The elastic net with penalties p |c|_1 / 2 + p' |c|^2 / 4 is the lasso of longer atoms.
    """
    from sklearn.linear_model import enet_path

    if coding.algorithm == "elastic":
        square = DEFAULT_PENALTY if coding.fit_tol is None else coding.fit_tol
        longer = np.sqrt(square / 2) * np.eye(len(dictionary))
        dictionary, penalties = np.hstack((dictionary, longer)), penalties / 2
        X = np.hstack((X, np.zeros((len(X), len(dictionary)))))
    gram, rho = dictionary @ dictionary.T, X @ dictionary.T
    code, penalties = np.zeros_like(rho), np.maximum(penalties, LEAST_PENALTY)
    options = {"precompute": gram, "positive": coding.positive_code, "copy_X": False, **DESCENT}
    for row in np.flatnonzero(rho.any(axis=1)):
        alphas = [penalties[row] / X.shape[1]]
        path = enet_path(dictionary.T, X[row], l1_ratio=1.0, alphas=alphas, Xy=rho[row], **options)
        code[row] = path[1][:, 0]
    return code, _mend(X, dictionary, code, penalties, coding.positive_code)


def _mend(X, dictionary, code, penalties, is_positive):
    """Solve again the lasso of samples whose code is no minimum; return of how many it is none."""
    lost = np.flatnonzero(_gaps(X, dictionary, code, penalties, is_positive) > GAP)
    for row in lost:
        code[row] = _solve_exactly(X[row], dictionary, code[row], penalties[row], is_positive)
    some = X[lost], dictionary, code[lost], penalties[lost], is_positive
    return int((_gaps(*some) > GAP).sum())


def _solve_exactly(x, dictionary, code, penalty, is_positive):
    """Return the lasso's code by non-negative least squares, or the given one if there is none.

    With c = A p, p >= 0 and a small d, penalty |c|_1 is (d sum_i p_i + penalty / d)^2 / 2 but for a
    constant and the square of d sum_i p_i.
    """
    from scipy.optimize import nnls

    size = max(np.abs(code).sum(), np.abs(x).sum())
    d = np.sqrt(STIFF * penalty / size)
    columns = dictionary.T if is_positive else np.hstack((dictionary.T, -dictionary.T))
    columns = np.vstack((columns, np.full(columns.shape[1], d)))
    try:
        found = nnls(columns, np.append(x, -penalty / d))[0]
    except RuntimeError:  # too many iterations
        return code
    return found if is_positive else found[: len(dictionary)] - found[len(dictionary) :]


def _gaps(X, dictionary, code, penalties, is_positive):
    """Return the duality gap of the lasso at each code, as a share of the objective, or of what
    rounding leaves of it.
    """
    residual = X - code @ dictionary
    rho = residual @ dictionary.T
    most = (rho if is_positive else np.abs(rho)).max(axis=1)
    share = np.minimum(1, penalties / np.maximum(most, np.finfo(float).tiny))
    square = (residual**2).sum(axis=1)
    primal = square / 2 + penalties * np.abs(code).sum(axis=1)
    dual = share * (X * residual).sum(axis=1) - share**2 * square / 2
    unknown = 16 * np.finfo(float).eps / GAP * (X**2).sum(axis=1)
    return (primal - dual) / np.maximum(primal, unknown + np.finfo(float).tiny)


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
