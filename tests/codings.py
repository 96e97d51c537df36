"""Every way to code, as cases that the tests of all backends run through, with its oracle."""

import naive
import numpy as np
from making import unlike_tables
from sklearn.linear_model import lars_path

from shl.coding.parameters import PENALISED, PURSUITS

WAYS = {  # options; names of arrays stand for those of `options_of`
    "mp": {"l0_sparseness": 6, "alpha_MP": 0.9},
    "mp-gain": {"l0_sparseness": 6, "gain": "gain", "alpha_MP": 0.6},
    "mp-signed": {"l0_sparseness": 6, "gain": "gain", "do_sym": True},
    "mp-table": {"l0_sparseness": 6, "P_cum": "P_cum", "C": 3.0},
    "mp-table-signed": {"l0_sparseness": 6, "P_cum": "P_cum", "C": 3.0, "do_sym": True},
    "mp-precision": {"l0_sparseness": 6, "precision": "precision"},
    "mp-precision-signed": {"l0_sparseness": 6, "precision": "precision", "do_sym": True},
    "mp-tolerance": {"fit_tol": 4.0, "do_sym": True},
    "omp": {"algorithm": "omp", "l0_sparseness": 6},
    "omp-gain": {"algorithm": "omp", "l0_sparseness": 6, "gain": "gain"},
    "omp-tolerance": {"algorithm": "omp", "fit_tol": 3.0},
    "omp-masked": {"algorithm": "omp", "missing": "mask", "l0_sparseness": 4},
    "omp-masked-tolerance": {"algorithm": "omp", "missing": "mask", "fit_tol": 3.0},
    "lars": {"algorithm": "lars", "l0_sparseness": 6},
    "lasso_lars": {"algorithm": "lasso_lars", "l0_sparseness": 6},
    "lasso_lars-default": {"algorithm": "lasso_lars"},
    "lasso_lars-penalty": {"algorithm": "lasso_lars", "fit_tol": 0.4},
    "lasso_lars-positive": {"algorithm": "lasso_lars", "fit_tol": 0.1, "positive_code": True},
    "lasso_cd": {"algorithm": "lasso_cd"},
    "lasso_cd-penalty": {"algorithm": "lasso_cd", "fit_tol": 0.4},
    "lasso_cd-positive": {"algorithm": "lasso_cd", "fit_tol": 0.1, "positive_code": True},
    "elastic": {"algorithm": "elastic"},
    "elastic-penalty": {"algorithm": "elastic", "fit_tol": 0.4},
    "threshold": {"algorithm": "threshold", "l0_sparseness": 6},
    "threshold-penalty": {"algorithm": "threshold", "fit_tol": 0.4},
    "threshold-positive": {"algorithm": "threshold", "fit_tol": 0.4, "positive_code": True},
}
# Each way with one of two dtypes, where both need not be seen.
IN_TURN = [(name, (np.float32, np.float64)[i % 2]) for i, name in enumerate(WAYS)]
ON_DEVICE = [name for name in WAYS if name.startswith(("mp", "omp")) and "masked" not in name]


def options_of(name, shape):
    """The options of a way for a dictionary of this shape, with arrays."""
    rng = np.random.default_rng(2)
    gain = rng.uniform(0.5, 1.5, shape[0])
    gain[3] = 0
    precision = rng.uniform(0.5, 2, shape)
    arrays = {"gain": gain, "precision": precision, "P_cum": unlike_tables(rng, shape[0], 32)}
    return {key: arrays[value] if key in arrays else value for key, value in WAYS[name].items()}


def hide(X, share=0.2, seed=0):
    """X with a share of its entries missing."""
    return np.where(np.random.default_rng(seed).random(X.shape) < share, X.dtype.type(np.nan), X)


def samples_of(name, X):
    """The samples that a way codes: with gaps where it takes them."""
    return hide(X) if "masked" in name else X


def rescale(options, k):
    """The options that fit samples times 2^k, or None where there are none."""
    options, algorithm = dict(options), options.get("algorithm", "mp")
    if "fit_tol" in options:
        if algorithm == "elastic":  # its squared penalty has no unit
            return None
        power = 2 if algorithm in PURSUITS else 1
        options["fit_tol"] = float(np.ldexp(options["fit_tol"], power * k))
    if "C" in options:
        options["C"] = float(np.ldexp(options["C"], k))
    return options


def penalties_of(X, dictionary, options):
    """(p, q) of the objective |x - c D|^2 / 2 + p |c|_1 + q |c|^2 / 2 of a penalised way."""
    default = 0.1 * np.abs(X @ dictionary.T).max(axis=1)
    p = np.full(len(X), options["fit_tol"]) if "fit_tol" in options else default
    if options["algorithm"] != "elastic":
        return p, 0.0
    return p / 2, options.get("fit_tol", 0.1) / 2


def objective(X, dictionary, code, p, q):
    square = ((X - code @ dictionary) ** 2).sum(axis=1)
    return square / 2 + p * np.abs(code).sum(axis=1) + q * (code**2).sum(axis=1) / 2


def assert_right(code, X, dictionary, options):
    """Assert that a code is the oracle's, or has no larger objective, in float64."""
    atol = 1e-9 if code.dtype == np.float64 else 2e-4
    code, X, dictionary = (np.asarray(a, np.float64) for a in (code, X, dictionary))
    algorithm, positive = options.get("algorithm", "mp"), options.get("positive_code", False)
    assert not positive or (code >= 0).all()
    if algorithm in PENALISED and "l0_sparseness" not in options:
        p, q = penalties_of(X, dictionary, options)
        best = naive.penalised(X, dictionary, p, q, positive)
        best = objective(X, dictionary, best, p, q)
        assert (objective(X, dictionary, code, p, q) <= best * (1 + 5e-4)).all()
        return
    np.testing.assert_allclose(code, oracle(X, dictionary, algorithm, options), atol=atol)


def oracle(X, dictionary, algorithm, options):
    """The code of a way that has no objective."""
    given = {k: v for k, v in options.items() if k not in ("algorithm", "missing", "positive_code")}
    if algorithm == "mp":
        return naive.matching_pursuit(X, dictionary, **{"l0_sparseness": None, **given})
    if algorithm == "omp":
        return naive.orthogonal_pursuit(X, dictionary, **{"l0_sparseness": 99, **given})
    if algorithm == "threshold":
        rho, code = X @ dictionary.T, np.zeros((len(X), len(dictionary)))
        size = rho if "positive_code" in options else np.abs(rho)
        soft = np.sign(rho) * np.maximum(size - given.get("fit_tol", 0), 0)
        for row, values in enumerate(soft):
            largest = np.argsort(-np.abs(values), kind="stable")[: given.get("l0_sparseness")]
            code[row, largest] = values[largest]
        return code
    how = {"method": "lar" if algorithm == "lars" else "lasso", "max_iter": given["l0_sparseness"]}
    return np.array([lars_path(dictionary.T, x, **how)[2][:, -1] for x in X])
