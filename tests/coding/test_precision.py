"""Codes of any scale, conditioning and offset, against oracles in float64.

A row of the sweep is a sample.  Its oracle codes the same float32 or float64 numbers in float64,
with QR factors where the coder has a Gram matrix.
"""

import warnings

import numpy as np
import pytest
from codings import hide, objective, penalties_of, rescale

from shl import sparse_encode
from shl.coding.coder import DEPENDENT, MOST_STEPS

CODERS = {
    "mp": {"l0_sparseness": 6},
    "mp-tolerance": {"fit_tol": 4.0, "do_sym": True},
    "omp": {"algorithm": "omp", "l0_sparseness": 6},
    "omp-full": {"algorithm": "omp", "l0_sparseness": 14},
    "omp-tolerance": {"algorithm": "omp", "fit_tol": 0.01},
    "omp-masked": {"algorithm": "omp", "missing": "mask", "l0_sparseness": 5},
    "lars": {"algorithm": "lars", "l0_sparseness": 16},
    "lasso_lars": {"algorithm": "lasso_lars", "fit_tol": 0.1},
    "lasso_lars-positive": {"algorithm": "lasso_lars", "fit_tol": 0.1, "positive_code": True},
    "lasso_cd": {"algorithm": "lasso_cd", "fit_tol": 0.1},
    "elastic": {"algorithm": "elastic"},
    "threshold": {"algorithm": "threshold", "fit_tol": 0.1},
}
CONDITIONS, OFFSETS = (1, 1e2, 1e4, 1e6, 1e8), (0, 1, 1e2, 1e3)


def make(rng, dtype, condition, offset, n_samples, n_dictionary=24, n_pixels=16):
    """Samples around an offset, and atoms whose singular values spread by the conditioning."""
    turn = np.linalg.qr(rng.standard_normal((n_pixels, n_pixels)))[0]
    spread = np.logspace(0, -np.log10(condition), n_pixels)
    atoms = rng.standard_normal((n_dictionary, n_pixels)) * spread @ turn
    atoms[0] = 1  # explains the offset
    for _ in range(2):
        atoms = (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).astype(dtype).astype(float)
    X = rng.standard_normal((n_samples, n_pixels)) + offset
    return X.astype(dtype), atoms.astype(dtype)


def pursue(x, dictionary, options):
    """The squared residual of pursuit by the atoms themselves."""
    seen = ~np.isnan(x)
    r, dictionary, basis = x[seen], dictionary[:, seen], np.zeros((0, seen.sum()))
    norms = np.linalg.norm(dictionary, axis=1) if "missing" in options else 1
    tolerance = options.get("fit_tol", 0)
    is_orthogonal = "algorithm" in options
    for _ in range(options.get("l0_sparseness", len(x) if is_orthogonal else MOST_STEPS * len(x))):
        rho = dictionary @ r
        atom = np.argmax(np.abs(rho) / norms if is_orthogonal or "do_sym" in options else rho)
        if r @ r <= tolerance or (not is_orthogonal and abs(rho[atom]) < 1e-4 * np.sqrt(r @ r)):
            break
        new = dictionary[atom].copy()
        if is_orthogonal:
            for _ in range(2):
                new -= basis.T @ (basis @ new)
            if new @ new <= DEPENDENT:
                break
            new /= np.linalg.norm(new)
            basis = np.vstack((basis, new))
        r = r - (new @ r) * new
    return r @ r


def count_beyond(name, dtype, X, dictionary, scales):
    """(rows beyond the bounds, rows) of a coder at some scales."""
    options, n_beyond = CODERS[name], 0
    X = hide(X) if "masked" in name else X
    exact, atoms = X.astype(float), dictionary.astype(float)
    is_bound = _bounds(name, options, exact, atoms, np.finfo(dtype).eps)
    for k in (0, *scales):
        with warnings.catch_warnings():  # of tolerances that nothing reaches
            warnings.simplefilter("ignore")
            code = sparse_encode(np.ldexp(X, k), dictionary, **rescale(options, k))
        if k == 0:
            first = code
        is_right = is_bound(first.astype(float)) & (code == np.ldexp(first, k)).all(axis=1)
        n_beyond += int((~is_right).sum())
    return n_beyond, len(X) * (1 + len(scales))


def _bounds(name, options, X, atoms, eps):
    """A function that says of which rows a code keeps the bounds."""
    size, seen = np.sqrt(np.nansum(X**2, axis=1)), ~np.isnan(X)

    def left(code):
        return (np.where(seen, X - code @ atoms, 0) ** 2).sum(axis=1)

    def rounding(code):  # of coefficients, and of samples that are as large
        return eps * np.maximum(np.abs(code).sum(axis=1), size)

    if name.startswith(("mp", "omp")):
        best = np.array([pursue(x, atoms, options) for x in X])
        if "fit_tol" in options:
            enough, can = options["fit_tol"], best <= options["fit_tol"]
            return lambda code: (
                ~can | (left(code) ** 0.5 <= (1.05 * enough) ** 0.5 + rounding(code))
            )
        return lambda code: left(code) ** 0.5 <= 1.02 * best**0.5 + rounding(code)
    if name == "threshold":
        rho = X @ atoms.T
        soft = np.sign(rho) * np.maximum(np.abs(rho) - options["fit_tol"], 0)
        return lambda code: np.abs(code - soft).max(axis=1) <= 16 * eps * size
    if name == "lars":
        return lambda code: (
            (left(code) ** 0.5 <= size * (1 + 1e-5)) & (np.abs(code).max(axis=1) <= 1e6 * size)
        )
    p, q = penalties_of(X, atoms, options)
    best = _least_objective(X, atoms, p, q, options)
    return lambda code: (
        objective(X, atoms, code, p, q)
        <= 1.001 * best + rounding(code) ** 2 + (eps * p * np.abs(code).sum(axis=1))
    )


def _least_objective(X, atoms, p, q, options):
    """The least objective of each sample, by an active set over pairs of signs, in float64."""
    from scipy.optimize import lsq_linear

    longer = np.hstack((atoms, np.sqrt(q) * np.eye(len(atoms))))
    signed = longer if "positive_code" in options else np.vstack((longer, -longer))
    best = []
    for x, penalty in zip(X, np.broadcast_to(p, len(X)), strict=True):
        y = np.append(x, np.zeros(len(atoms)))
        d = np.sqrt(1e-7 * penalty / max(np.abs(x).sum(), 1))
        A, b = np.vstack((signed.T, np.full(len(signed), d))), np.append(y, -penalty / d)
        found = lsq_linear(A, b, (0, np.inf), method="bvls", tol=1e-14).x
        r = y - found @ signed
        best.append(r @ r / 2 + penalty * found.sum())
    return np.array(best)


def sweep(n_samples, conditions, offsets, scales):
    """{(coder, dtype, conditioning, offset): rows beyond}, and how many rows there are."""
    rng, beyond, n_rows = np.random.default_rng(0), {}, 0
    for dtype in (np.float32, np.float64):
        for condition in conditions:
            for offset in offsets:
                X, dictionary = make(rng, dtype, condition, offset, n_samples)
                for name in CODERS:
                    found, n = count_beyond(name, dtype, X, dictionary, scales)
                    n_rows += n
                    if found:
                        beyond[name, dtype.__name__, condition, offset] = found
    return beyond, n_rows


def test_codes_keep_their_bounds():
    beyond, _ = sweep(4, (1, 1e4), (0, 1e3), (-100, 60))
    assert not beyond


@pytest.mark.slow
def test_codes_keep_their_bounds_over_10000_rows():
    beyond, n_rows = sweep(5, CONDITIONS, OFFSETS, (-100, -30, 30, 100))
    assert n_rows >= 10_000 and not beyond
