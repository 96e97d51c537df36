import numpy as np
from naive import quantile as naive_quantile

from shl import sparse_encode
from shl.classic import inv_quantile, inv_rescaling, mp, quantile, rescaling


def test_mp_is_plain_pursuit_of_sparse_encode(rng):
    X, D = rng.standard_normal((20, 9)), rng.standard_normal((14, 9))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    precision = rng.uniform(0.5, 2, D.shape)
    wanted = sparse_encode(X, D, precision, l0_sparseness=3, alpha_MP=0.8)
    np.testing.assert_array_equal(mp(X, D, precision, l0_sparseness=3, alpha_MP=0.8), wanted)


def test_quantile_of_rescaled_is_that_of_pursuit(rng):
    P_cum = np.sort(rng.random((6, 16)), axis=1)
    code = rng.exponential(2, (30, 6)) * (rng.random((30, 6)) < 0.5)
    found = quantile(P_cum, rescaling(code, 2.5))
    wanted = [naive_quantile(P_cum, row, 2.5) for row in code]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_the_inverses_undo_rescaling_and_quantiles(rng):
    code = rng.exponential(2, (30, 6))
    np.testing.assert_allclose(inv_rescaling(rescaling(code, 2.5), 2.5), code, rtol=1e-9)
    P_cum = np.cumsum(rng.uniform(0.1, 1, (6, 16)), axis=1)  # it rises everywhere
    P_cum /= P_cum[:, -1:]
    r = rng.uniform(0, 15 / 16, (30, 6))
    np.testing.assert_allclose(inv_quantile(P_cum, quantile(P_cum, r)), r, atol=1e-12)
    np.testing.assert_array_equal(inv_quantile(P_cum, np.zeros((1, 6))), 0)
