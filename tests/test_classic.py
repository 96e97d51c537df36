import numpy as np
import pytest
from naive import quantile as naive_quantile

from shl import sparse_encode
from shl.classic import mp, quantile, rescaling


def test_mp_is_plain_pursuit_of_sparse_encode(rng):
    X, D = rng.standard_normal((20, 9)), rng.standard_normal((14, 9))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    precision = rng.uniform(0.5, 2, D.shape)
    wanted = sparse_encode(X, D, precision, l0_sparseness=3, alpha_MP=0.8)
    np.testing.assert_array_equal(mp(X, D, precision, l0_sparseness=3, alpha_MP=0.8), wanted)


def test_a_quantile_of_what_is_rescaled_is_that_of_pursuit(rng):
    P_cum = np.sort(rng.random((6, 16)), axis=1)
    code = rng.exponential(2, (30, 6)) * (rng.random((30, 6)) < 0.5)
    found = quantile(P_cum, rescaling(code, 2.5))
    wanted = [naive_quantile(P_cum, row, 2.5) for row in code]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_what_is_out_of_range_is_named():
    with pytest.raises(ValueError, match="C must be above 0, not 0"):
        rescaling([1.0], C=0)
    with pytest.raises(ValueError, match="r must have 2 columns, not 3"):
        quantile(np.ones((2, 4)), np.ones((1, 3)))
