import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from shl.networks.penalties import L1, L2, PENALTIES, GroupLasso, SparseGroupLasso, make_penalty

torch = pytest.importorskip("torch")

ALL = [cls() for cls in PENALTIES.values()]
names = pytest.mark.parametrize("penalty", ALL, ids=repr)
matrices = arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-3, 3, width=32)
)
steps = st.floats(1e-3, 2)


@st.composite
def matrices_and_steps(draw):
    """Weights, and a step, or a step for each of them over three decades."""
    w = draw(matrices)
    own = arrays(np.float64, w.shape, elements=st.floats(-2, 1).map(lambda power: 10.0**power))
    return w, draw(steps | own)


def objective(penalty, u, w, step):
    """Sum (u - w)^2 / (2 step) + R(u), times the largest step."""
    return ((u - w) ** 2 * (np.max(step) / step)).sum() / 2 + np.max(step) * float(penalty.value(u))


def numerical_minimiser(penalty, w, step):
    """Minimise without knowing the proximal step: u = p - n with p, n >= 0 for |u|, and |row|_2
    smoothed ever less.
    """
    d, l1 = w.shape[1], isinstance(penalty, (L1, SparseGroupLasso))
    group, ridge = isinstance(penalty, GroupLasso), isinstance(penalty, L2)
    metric, step = np.max(step) / step, np.max(step)

    def smooth(parts, eps):
        p, n = parts.reshape(2, *w.shape)
        u = p - n
        norms = np.sqrt((u**2).sum(1) + eps**2)
        penalties = l1 * (p + n).sum() + group * np.sqrt(d) * norms.sum() + ridge * (u**2).sum() / 2
        value = (metric * (u - w) ** 2).sum() / 2 + step * penalties
        slope = metric * (u - w) + step * (group * np.sqrt(d) * u / norms[:, None] + ridge * u)
        return value, np.concatenate(((slope + step * l1).ravel(), (step * l1 - slope).ravel()))

    x = np.concatenate((np.maximum(w, 0).ravel(), np.maximum(-w, 0).ravel()))
    for eps in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5):
        options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000}
        how = {"jac": True, "method": "L-BFGS-B", "bounds": [(0, None)] * x.size}
        x = minimize(smooth, x, args=(eps,), options=options, **how).x
    p, n = x.reshape(2, *w.shape)
    return p - n


@names
@settings(deadline=None, max_examples=25)
@given(case=matrices_and_steps(), v=matrices)
def test_prox_is_the_minimiser(penalty, case, v):
    w, step = case
    u, found = penalty.prox(w, step), numerical_minimiser(penalty, w, step)
    # u is the exact minimum: no point the optimizer finds is lower, and by strong convexity they
    # are near.
    gap = objective(penalty, found, w, step) - objective(penalty, u, w, step)
    assert gap > -1e-12
    assert np.abs(found - u).max() ** 2 / 2 <= gap + 1e-12
    np.testing.assert_allclose(found, u, atol=2e-3)
    np.testing.assert_array_equal(penalty.prox(w, 0), w)
    if v.shape == w.shape:  # prox brings points together
        moved = np.linalg.norm(penalty.prox(w, 0.3) - penalty.prox(v, 0.3))
        assert moved <= np.linalg.norm(w - v) + 1e-9


@names
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_steps_are_one_step(penalty, dtype, rng):
    w = rng.standard_normal((8, 5)).astype(dtype)
    for step in (0.0, 1e-30, 1e-15, 1e-6, 0.1, 0.7):
        one, each = penalty.prox(w, step), penalty.prox(w, np.full(w.shape, step, dtype))
        np.testing.assert_allclose(each, one, atol=1e-6)


@names
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_and_arrays_agree(penalty, dtype, rng):
    w = rng.standard_normal((6, 5)).astype(dtype)
    u = penalty.prox(torch.from_numpy(w), 0.4)
    assert u.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(u.numpy(), penalty.prox(w, 0.4), rtol=1e-5)
    value = float(penalty.value(torch.from_numpy(w)))
    assert value == pytest.approx(float(penalty.value(w)), rel=1e-5)


def test_values_by_hand():
    w = np.array([[3.0, -4.0], [0.0, 0.0], [0.0, 1.0]])
    assert L1().value(w) == 8
    assert L2().value(w) == 13
    assert GroupLasso().value(w) == pytest.approx(6 * 2**0.5)
    assert SparseGroupLasso().value(w) == pytest.approx(8 + 6 * 2**0.5)


def test_prox_by_hand():
    w = np.array([[3.0, -4.0], [0.1, -0.1], [0.0, 1.0]])
    np.testing.assert_array_equal(L1().prox(w, 1), [[2, -3], [0, 0], [0, 0]])
    np.testing.assert_allclose(GroupLasso().prox(w, 2**-0.5), [[2.4, -3.2], [0, 0], [0, 0]])
    np.testing.assert_array_equal(SparseGroupLasso().prox(w, 0.5)[1:], np.zeros((2, 2)))


@names
def test_gradients_are_exact_and_finite_at_zero(penalty, rng):
    w = torch.zeros(3, 4, requires_grad=True)
    penalty.value(w).backward()
    assert torch.isfinite(w.grad).all()
    for step in (0.0, 0.1):
        assert (penalty.prox(torch.zeros(3, 4), step) == 0).all()
    assert torch.isfinite(penalty.prox(torch.full((3, 4), 1e-30), 0.1)).all()
    w = torch.tensor(rng.standard_normal((3, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(penalty.value, (w,))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="step must be at least 0, not -1"):
        L1().prox(np.ones((2, 2)), -1)
    words = r"GroupLasso needs weights of 2 axes .* shape \(2, 2, 2\)"
    with pytest.raises(ValueError, match=words):
        GroupLasso().prox(np.ones((2, 2, 2)), 1)
    with pytest.raises(ValueError, match="penalty must be one of 'l1', .*not 'l3'"):
        make_penalty("l3")
    assert isinstance(make_penalty("group_lasso"), GroupLasso) and make_penalty(None) is None
    own = L1()
    assert make_penalty(own) is own
