import naive
import numpy as np
import pytest
from making import make, planted

from shl import SHL, metrics, sparse_encode
from shl.coding.events import Events
from shl.learning.homeostasis import (
    EMP,
    HAP,
    HEH,
    HEH2019,
    PRIOR_EVENTS,
    SCALE_OF_MEAN,
    Fading,
    kind_of,
)


@pytest.fixture(scope="module")
def X():
    return planted(np.random.default_rng(0), n_samples=1000, n_pixels=25, n_atoms=30)[0]


def events(rng, n_samples=50, n_atoms=8, l0=3):
    """Random events with positive coefficients."""
    indices = np.argsort(rng.random((n_samples, n_atoms)), axis=1)[:, :l0].astype(np.int32)
    return Events(indices, rng.exponential(0.3, (n_samples, l0)), n_atoms)


def test_emp_leaves_an_atom_after_an_empty_batch(rng):
    rule = EMP(eta_homeo=0.5)
    state = rule.update(rule.init(8, 3 / 8, np.float64), events(rng))
    silent = Events(np.zeros((50, 3), np.int32), np.zeros((50, 3)), 8)
    for _ in range(50):
        state = rule.update(state, silent)
        gain = rule.competition(state).gain
        assert gain.any() and set(gain) <= {0, 1}


@pytest.mark.parametrize("kind", [HEH, HEH2019])
def test_a_scale_of_0_adapts_to_the_coefficients(rng, kind):
    rule = kind(eta_homeo=0.2, C=0)
    state = rule.init(8, 3 / 8, np.float64)
    assert rule.competition(state).kind == "plain" and kind_of(rule, 8) == "table"
    for _ in range(200):
        batch = events(rng, n_samples=500)
        state = rule.update(state, batch)
    np.testing.assert_allclose(rule.competition(state).C, SCALE_OF_MEAN * 0.3, rtol=0.1)
    assert rule.competition(state).P_cum[:, -1] == pytest.approx(1, abs=1e-6)


def test_histogram_equalisation_is_its_equations(rng):
    rule, batches = HEH(eta_homeo=0.3, C=0.4, nb_quant=32), [events(rng) for _ in range(5)]
    state, P_cum = rule.init(8, 3 / 8, np.float64), np.tile(np.linspace(0, 1, 32), (8, 1))
    for batch in batches:
        state = rule.update(state, batch)
        P_cum = 0.7 * P_cum + 0.3 * naive.cumulative_distribution(batch.to_dense(), 0.4, 32)
    np.testing.assert_allclose(state["P_cum"], P_cum, atol=1e-12)
    n_worth = 50 * (2 - 0.3) / 0.3
    wanted = naive.surprise(P_cum, PRIOR_EVENTS / n_worth)
    found = rule.competition(state)
    np.testing.assert_allclose(found.P_cum, wanted / wanted.max(), atol=1e-12)
    assert found.C == 0.4


def test_a_small_coefficient_competes_as_under_hap(rng):
    rule = HEH(eta_homeo=0.01, C=3.0)
    state = rule.init(8, 3 / 8, np.float64)
    p = rng.uniform(0.05, 0.3, 8)
    state["P_cum"] = np.concatenate((np.zeros((8, 1)), np.tile(1 - p[:, None], 127)), axis=1)
    slope = rule.competition(state).P_cum[:, 1]
    np.testing.assert_allclose(slope / slope[0], np.log(p) / np.log(p[0]))


@pytest.mark.parametrize("start", [np.zeros(64), np.ones(64), np.linspace(0, 1, 64)])
def test_surprise_is_a_table_from_any_start(start):
    rule = HEH(C=1.0, nb_quant=64, P_cum=np.tile(start, (5, 1)))
    table = rule.competition(rule.init(5, 0.1, np.float32)).P_cum
    assert np.isfinite(table).all() and table.max() == 1
    assert (np.diff(table, axis=1) > 0).all() and (table[:, 0] == 0).all()


@pytest.mark.parametrize("n_batches", [1, 20])
@pytest.mark.parametrize("C", [0, 3.0])
def test_pursuit_by_surprise_is_exact(rng, n_batches, C):
    rule, D = HEH(eta_homeo=0.1, C=C), rng.standard_normal((70, 24))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    state = rule.init(70, 0.1, np.float64)
    for _ in range(n_batches):  # the last ten atoms are never used
        batch = events(rng, n_atoms=60)
        state = rule.update(state, Events(batch.indices, batch.values, 70))
    X, competition = rng.standard_normal((60, 24)), rule.competition(state)
    code = sparse_encode(X, D, l0_sparseness=8, competition=competition)
    wanted = naive.matching_pursuit(X, D, 8, P_cum=competition.P_cum, C=competition.C)
    np.testing.assert_allclose(code, wanted, atol=1e-9)


def test_histogram_equalisation_does_not_break_down():
    X = SHL(patch_width=8, N_patches=4000, cache_dir=None).get_data()
    entropy, error = {}, {}
    for rule in ("None", "HEH2019", "HEH"):
        options = {"n_dictionary": 100, "l0_sparseness": 12, "n_iter": 300, "batch_size": 64}
        options |= {"learning_algorithm": "mp", "homeo_fade": None, "C": 3.0, "replace": False}
        options |= {"optimizer": "adam", "eta": 0.02, "eta_decay": None, "eta_homeo": 0.05}
        model = make(homeo_method=rule, **options).fit(X[:3000])
        code = sparse_encode(X[3000:], model.components_, l0_sparseness=12)
        entropy[rule] = metrics.usage_entropy(Events.from_dense(code))
        error[rule] = metrics.reconstruction_error(X[3000:], X[3000:] - code @ model.components_)
    assert entropy["HEH2019"] < 0.98 < 0.985 < entropy["HEH"]
    assert error["HEH"] < 1.02 * error["None"] < error["HEH2019"]


def test_a_batch_without_events_does_not_set_a_scale(rng):
    rule = HEH(C=0)
    start = rule.init(8, 3 / 8, np.float64)
    silent = Events(np.zeros((50, 3), np.int32), np.zeros((50, 3)), 8)
    assert rule.competition(rule.update(start, silent)).kind == "plain"


@pytest.mark.parametrize("kind", [HAP, EMP])
def test_a_fading_gain_goes_to_one(rng, kind):
    full, fading = kind(eta_homeo=0.3), Fading(kind(eta_homeo=0.3), start=2, stop=4)
    state, faded = full.init(8, 3 / 8, np.float64), fading.init(8, 3 / 8, np.float64)
    for step, share in enumerate((1, 1, 1, 0.5, 0, 0)):
        gain = fading.competition(faded).gain
        if share:
            np.testing.assert_allclose(gain, share * full.competition(state).gain + 1 - share)
        else:
            assert gain is None
        assert faded["fade_step"] == step
        batch = events(rng)
        state, faded = full.update(state, batch), fading.update(faded, batch)


@pytest.mark.parametrize("kind", [HEH, HEH2019])
def test_a_fading_table_goes_to_one_for_all_atoms(rng, kind):
    full = kind(eta_homeo=0.3, C=1)
    rule = Fading(full, start=0, stop=2)
    state = rule.update(rule.init(8, 3 / 8, np.float64), events(rng))
    half, table = rule.competition(state).P_cum, full.competition(state).P_cum
    np.testing.assert_allclose(half, (table + table.mean(axis=0)) / 2)
    assert np.ptp(half, axis=0).max() > 0
    assert rule.competition(rule.update(state, events(rng))).P_cum is None


def test_a_fading_rule_ends_in_plain_pursuit(X):
    model = make(homeo_fade=(0.2, 0.6), n_iter=10).fit(X)
    assert model.gain_ is None
    assert model.set_params(homeo_fade=None).fit(X).gain_ is not None


@pytest.mark.parametrize("parameters", [{}, {"homeo_method": "HEH"}])
def test_histograms_start_where_they_are_told(X, parameters):
    start = np.tile(np.linspace(0, 1, 16) ** 0.25, (20, 1))
    options = {"n_iter": 1, "nb_quant": 16, "C": 3.0, "eta_homeo": 0}
    model = make(P_cum_init=start, **options, **parameters).fit(X)
    np.testing.assert_allclose(model.P_cum_, start, atol=1e-6)
