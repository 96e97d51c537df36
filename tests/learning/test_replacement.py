import naive
import numpy as np
import pytest
from making import planted, unit

from shl import SparseHebbianLearning
from shl.coding import Coding, prepare
from shl.convolution import ConvolutionalSHL
from shl.learning.homeostasis import RULES, make_rule
from shl.learning.optimizers import Decay
from shl.learning.replacement import Replacement, unexplained


@pytest.mark.parametrize("n_atoms", [20, 32, 70])
@pytest.mark.parametrize("is_signed", [False, True])
def test_unexplained_shares_equal_the_oracle(rng, is_signed, n_atoms):
    D = unit(rng.standard_normal((n_atoms, 6)))
    found = unexplained(D @ D.T, is_signed)
    np.testing.assert_allclose(found, naive.unexplained(D, is_signed), atol=1e-12)
    twins = np.eye(4)[[0, 0, 1, 2]]
    np.testing.assert_array_equal(unexplained(twins @ twins.T) == 0, [True, True, False, False])


def propose(D, pool, energy, ages=1000, is_signed=False, **options):
    """What replaces an atom after one batch with these residuals."""
    replacement = Replacement(n_pooled=len(pool), n_rows=len(pool), **options)
    kept = replacement.init(D)
    replacement.follow(kept, energy, pool)
    kept["age"][:] = ages
    return replacement.propose(kept, prepare(Coding(do_sym=is_signed), D), [1, 2])


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_proposal_equals_the_oracle(rng, is_signed):
    D, pool = unit(rng.standard_normal((9, 5))), rng.standard_normal((40, 5))
    pool[:20] = 3 * unit(pool[:20] * 0.1 + pool[0])  # something that is badly coded, often
    energy = rng.uniform(0.5, 1, 9)
    i, atom, gain = propose(D, pool, energy, is_signed=is_signed, n_candidates=40)
    best, wanted, best_gain = naive.proposal(D, energy, pool, 0.5, is_signed)
    assert i == best
    assert gain == pytest.approx(best_gain)
    np.testing.assert_allclose(atom, wanted, atol=1e-12)


def test_a_single_outlier_gains_nothing():
    pool = np.zeros((30, 6))
    pool[7, 5] = 100.0
    assert propose(np.eye(6)[:4], pool, np.ones(4)) is None


def test_young_atoms_are_left_alone():
    given = np.eye(6)[[0, 0, 1]], np.tile(np.eye(6)[5], (30, 1)), np.ones(3)
    assert propose(*given, ages=1) is None
    assert propose(*given, ages=[1, 100, 1])[0] == 1


def test_the_pool_holds_each_sample_of_a_pass_once(rng):
    replacement = Replacement(n_pooled=50, n_rows=8)
    kept = replacement.init(np.eye(4))
    for value in range(1, 5):
        replacement.follow(kept, np.ones(4), np.full((10, 4), float(value)), n_most=24)
    assert kept["pool"].shape == (24, 4)
    np.testing.assert_array_equal(np.unique(kept["pool"]), [2, 3, 4])


@pytest.mark.parametrize("name", RULES)
def test_a_renewed_atom_competes_as_the_mean(rng, name):
    rule = make_rule(name)
    state = rule.init(5, 0.2, np.float64)
    for value in state.values():
        if np.ndim(value):
            value[:] = np.sort(rng.uniform(0.1, 0.9, value.shape))
    if not hasattr(rule, "renew"):
        assert rule.competition(state).kind == "plain"
        return
    renewed = rule.renew(state, 2)
    for key, value in state.items():
        if np.ndim(value):
            np.testing.assert_allclose(renewed[key][2], value.mean(axis=0), atol=1)
            np.testing.assert_array_equal(np.delete(renewed[key], 2, 0), np.delete(value, 2, 0))


def test_the_rate_is_constant_and_then_falls():
    decay = Decay(0.6, 0.05)
    rates = [decay(step, 1000) for step in range(1001)]
    assert rates[:601] == [1.0] * 601 and rates[1000] == pytest.approx(0.05)
    assert np.all(np.diff(rates[600:]) < 0) and rates[800] == pytest.approx(0.525)


def test_a_stream_replaces_too():
    X = planted(np.random.default_rng(0), n_samples=15000, n_pixels=16, n_atoms=20)[0]
    model = SparseHebbianLearning(20, l0_sparseness=3, batch_size=50, random_state=1)
    for part in np.array_split(X, 20):
        model.partial_fit(part)
    assert model.n_replaced_ > 0


def test_images_are_searched_for_what_is_badly_coded():
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((4, 1, 7, 7))
    X = 0.01 * rng.standard_normal((40, 1, 33, 33))
    for image in X:
        for _ in range(6):
            row, column, which = *rng.integers(27, size=2), rng.integers(4)
            image[:, row : row + 7, column : column + 7] += rng.uniform(0.5, 1.5) * atoms[which]
    start = np.concatenate((atoms[:3], atoms[2:3]))  # one atom twice, one not at all
    options = {"n_iter": 200, "dict_init": start, "homeo_method": "None", "random_state": 0}
    best = []
    for replace in (False, True):
        model = ConvolutionalSHL(4, 7, 6, eta=0.002, replace=replace, **options).fit(X)
        best.append(model.record_["error"][-1])
    assert best[1] < 0.8 * best[0]
