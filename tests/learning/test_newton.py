"""Newton's step, the sparsity that grows, and the signs of atoms."""

import numpy as np
import pytest
from making import planted, unit

from shl import SparseHebbianLearning, sparse_encode
from shl.learning.evidence import Evidence
from shl.learning.optimizers import Newton, Sums, soften
from shl.learning.replacement import Replacement
from shl.learning.state import Plan
from shl.metrics import reconstruction_error


def naive_step(D, X, code, V, keep, most=0.3):
    """Return (atoms, V) of one step, atom by atom."""
    V, moved, residual = V.copy(), D.copy(), X - code @ D
    for i in range(len(D)):
        V[i] = keep * V[i] + (code[:, i] ** 2).sum()
        if V[i] > 0:
            move = code[:, i] @ residual / V[i]
            moved[i] += move * min(1, most / max(np.linalg.norm(move), 1e-300))
    return unit(moved), V


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_newton_equals_the_oracle(rng, dtype):
    X, D = rng.standard_normal((50, 12)), unit(rng.standard_normal((8, 12)))
    newton, n = Newton(l0_sparseness=3), len(X)
    found, V, wanted = D.astype(dtype), np.zeros(8), D
    moments = newton.init(found)
    for step in range(3):
        code = rng.standard_normal((n, 8)) * (rng.random((n, 8)) < 0.3)
        code[:, 7] *= step == 2  # an atom that is selected late, and moves far
        keep = 1 - 0.5 * min(max(3 * n / (0.4 * 8 * 12), 0.03), 0.8)
        gradient = (-(code.T @ (X - code @ wanted)) / n).astype(dtype)
        sums = Sums(n, (code**2).sum(axis=0), (code != 0).sum(axis=0))
        found, norms = newton.step(found, gradient, moments, step, 0.5, sums)
        wanted, V = naive_step(wanted, X, code, V, keep)
        assert found.dtype == dtype and (norms > 0).all()
    np.testing.assert_allclose(found, wanted, atol=1e-12 if dtype == np.float64 else 1e-5)
    np.testing.assert_allclose(moments["V"], V)


def test_newton_remembers_a_share_of_a_stream():
    newton, D = Newton(kappa=2.0), np.eye(3)
    moments = newton.init(D)
    for n in (10, 30):
        newton.step(D, np.zeros((3, 3)), moments, 0, 1.0, Sums(n, np.full(3, n), np.full(3, n)))
    np.testing.assert_allclose(moments["V"], 30 + 10 * (1 - 30 / 40) ** 2)


def test_newton_moves_no_atom_far_or_unused():
    newton, D = Newton(), np.eye(4)
    moments = newton.init(D)
    sums = Sums(10, np.array([1e-9, 1.0, 0.0, 0.0]), np.array([1, 5, 0, 0]))
    found, _ = newton.step(D, -D[[3, 3, 3, 3]], moments, 0, 1.0, sums)
    np.testing.assert_allclose(found[:2], unit(D[:2] + 0.3 * D[3]), atol=1e-12)
    np.testing.assert_array_equal(found[2:], D[2:])


def test_missing_entries_lengthen_the_step():
    newton, D, slope = Newton(), np.eye(3), -0.01 * np.ones((3, 3))
    moves = []
    for share in (1.0, 0.5):
        sums = Sums(10, np.full(3, 10.0), np.full(3, 10), share)
        found, norms = newton.step(D, slope, newton.init(D), 0, 1.0, sums)
        moves.append(norms[:, None] * found - D)
    np.testing.assert_allclose(moves[1], 2 * moves[0])


def test_softened_atoms_keep_a_direction():
    atoms = np.array([[0.8, 0.6, 0.0], [0.1, -0.9, 0.0], [0.1, 0.1, 0.0]])
    found = soften(atoms, np.full(3, 0.2 * 2**0.5))  # two pixels are in use
    np.testing.assert_allclose(found, [[0.6, 0.4, 0], [0, -0.7, 0], [0.1, 0.1, 0]], atol=1e-12)


@pytest.mark.parametrize("n_pixels", [8, 64])
def test_evidence_shrinks_atoms_with_a_place(n_pixels):
    """Atoms of a few pixels, learned from few samples, have noise elsewhere; full ones do not."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((96, 64)) * (np.arange(64) < n_pixels)
    for i, atom in enumerate(unit(atoms)):
        atoms[i] = np.roll(atom, rng.integers(64))
    code = (rng.random((4000, 96)) < 0.04) * rng.gamma(4, 0.25, (4000, 96))
    X = code @ unit(atoms) + 0.15 * rng.standard_normal((4000, 64))
    on, model = [], SparseHebbianLearning(96, l0_sparseness=4, n_iter=80, random_state=0)
    model.fit(X, on_step=lambda state: on.append(float(state.moments["c"])))
    assert on[:7] == [0] * 7 and (on[-1] > 0) == (n_pixels == 8)
    if n_pixels == 8:
        assert on[38] in (0.1, 0.2, 0.4) and set(on[39:]) == {0.1}
    few = SparseHebbianLearning(96, l0_sparseness=4, n_iter=8, random_state=0).fit(X[:1900])
    assert few._state.moments["c"] == 0


def test_samples_of_the_test_are_learned_from_late(rng):
    X = planted(rng, 3000, n_pixels=16, n_atoms=20)[0]
    model = SparseHebbianLearning(20, l0_sparseness=3)
    plan = model.plan(X.shape, X.dtype, 40)
    rows = np.arange(len(X))
    for held_out in (None, np.arange(2500, 3000)):
        evidence = Evidence(X, rows[:2500], held_out, plan, 0)
        steps = list(evidence.steps(0))
        early, late = (set(np.concatenate(part)) for part in (steps[:20], steps[20:]))
        assert not early & set(evidence.rows) and early <= set(range(2500)) and len(steps) == 40
        assert len(evidence.rows) == (125 if held_out is None else 500)
        assert bool(late & set(evidence.rows)) == (held_out is None)
        for first in (7, 31):
            again = list(evidence.steps(first))
            assert all(np.array_equal(*pair) for pair in zip(again, steps[first:], strict=True))


def test_sparsity_grows_over_half_of_the_steps(rng):
    seen, X = [], planted(rng, 500, n_pixels=16, n_atoms=20)[0]
    model = SparseHebbianLearning(20, l0_sparseness=6, n_iter=20, random_state=0)
    model.fit(X, on_step=lambda state: seen.append(float(state.moments["used"].sum())))
    plan = model.plan(X.shape, X.dtype, 20)
    sparsities = [plan.coding_at(step).l0_sparseness for step in range(21)]
    assert sparsities == [2, 2, 3, 3, 4, 4, 4, 5, 5, 6] + [6] * 11
    assert seen[0] == 2 * 256
    adam = SparseHebbianLearning(20, l0_sparseness=6, optimizer="adam").plan(X.shape, X.dtype, 20)
    assert adam.coding_at(0) is adam.coding and plan.coding_at(10) is plan.coding


@pytest.mark.parametrize("record_num_batches", [0, 100])
def test_records_have_the_full_sparsity(rng, record_num_batches):
    X = planted(rng, 600, n_pixels=16, n_atoms=20)[0]
    options = {"record_each": 1, "record_num_batches": record_num_batches, "random_state": 0}
    model = SparseHebbianLearning(20, l0_sparseness=5, n_iter=4, **options).fit(X)
    n_samples = record_num_batches or 256
    np.testing.assert_array_equal(model.record_["counts_own"].sum(axis=1), 5 * n_samples)


def test_default_steps_count_samples(rng):
    X = rng.standard_normal((2100, 16)).astype(np.float32)

    def plan(n_dictionary, n_samples=2100, n_iter=8, **options):
        model = SparseHebbianLearning(n_dictionary, n_iter=n_iter, random_state=0, **options)
        n_steps = model.fit(X[:n_samples]).n_iter_
        return model.plan((n_samples, 16), X.dtype, n_steps), n_steps

    for n_dictionary, batch in ((100, 256), (128, 256), (129, 512), (300, 1024), (600, 1024)):
        found, n_steps = plan(n_dictionary)
        assert (found.batch_size, n_steps) == (batch, 8 * 256 // batch)
        assert found.replacement.each == round(10 * 256 / batch)
        assert found.rule.rule.eta_homeo == pytest.approx(1 - 0.995 ** (batch / 256), rel=1e-12)
    assert plan(300, 700)[0].batch_size == 700
    few, n_steps = plan(300, 100)
    assert (few.batch_size, n_steps, few.rule.rule.eta_homeo) == (100, 8, 0.005)
    found, n_steps = plan(300, batch_size=512)
    assert (found.batch_size, n_steps, found.rule.rule.eta_homeo) == (512, 8, 0.005)
    assert found.replacement == Replacement() and plan(300, optimizer="adam")[1] == 8


@pytest.mark.parametrize("options", [{}, {"learning_algorithm": "mp", "do_sym": True}])
def test_coefficients_of_an_atom_sum_above_zero(rng, options):
    X = planted(rng, 2000, n_pixels=16, n_atoms=20)[0]
    model = SparseHebbianLearning(20, l0_sparseness=3, n_iter=200, random_state=0, **options)
    code = model.fit(X).transform(X)
    assert (code.sum(axis=0) >= 0).all() and (code < 0).any()


def test_signs_change_nothing_else(rng):
    X, kept = planted(rng, 1000, n_pixels=16, n_atoms=20)[0], {}
    options = {"l0_sparseness": 3, "n_iter": 50, "random_state": 0, "record_each": 10}
    model = SparseHebbianLearning(20, **options)
    model.fit(X, on_step=lambda state: kept.update(last=state.dictionary.copy()))
    is_turned = (kept["last"] != model.components_).any(axis=1)
    signs = np.where(is_turned, -1, 1)
    assert is_turned.any() and not is_turned.all()
    np.testing.assert_array_equal(kept["last"] * signs[:, None], model.components_)
    before = sparse_encode(X, kept["last"], algorithm="omp", l0_sparseness=3)
    np.testing.assert_array_equal(np.abs(before), np.abs(model.transform(X)))


def test_a_replaced_atom_starts_anew(rng):
    X, V = planted(rng, 3000, n_pixels=16, n_atoms=20)[0], []
    often = Replacement(each=2, min_age=2, margin=0.0, floor=0.0)
    model = SparseHebbianLearning(20, l0_sparseness=3, n_iter=40, random_state=0, replace=often)

    def note(state):
        V.append(state.moments["V"][state.replacement["age"] == 0])

    model.fit(X, on_step=note)
    assert model.n_replaced_ > 3 and not np.concatenate(V).any()


def test_newton_is_ahead_after_as_many_samples(rng):
    X = planted(rng, 5000)[0]
    errors = {}
    for optimizer in ("newton", "adam"):
        model = SparseHebbianLearning(96, l0_sparseness=4, n_iter=150, optimizer=optimizer)
        model.set_params(random_state=0).fit(X)
        errors[optimizer] = reconstruction_error(X, X - model.transform(X) @ model.components_)
    assert errors["newton"] < 0.9 * errors["adam"]


def test_a_plan_without_growth_keeps_its_coding(rng):
    model = SparseHebbianLearning(20, learning_algorithm="lasso_cd", homeo_method="None")
    plan = model.plan((300, 16), np.float32, 10)
    assert isinstance(plan, Plan) and plan.growth is None and plan.coding_at(0) is plan.coding
    assert (
        model.set_params(learning_algorithm="omp", fit_tol=0.1).plan((300, 16), "f4").growth is None
    )
