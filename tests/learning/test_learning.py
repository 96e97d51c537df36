import naive
import numpy as np
import pytest
from making import make, planted, unlike_tables

from shl import images, metrics, sparse_encode
from shl._base.threads import Threads
from shl.coding import kernels
from shl.coding.events import Batch, Events
from shl.coding.parameters import ALGORITHMS, Coding
from shl.coding.preparing import prepare
from shl.learning import homeostasis, loop, optimizers
from shl.learning.state import Plan, start_state

RULES = list(homeostasis.RULES)


@pytest.fixture
def code(X, dictionary):
    return sparse_encode(X, dictionary, l0_sparseness=6)


@pytest.mark.parametrize("name", ["EXP", "HAP", "eHAP", "EMP"])
def test_gains_agree_with_the_reference(reference, name):
    rule = homeostasis.make_rule(name, eta_homeo=0.05, alpha_homeo=0.05)
    events = Events.from_dense(reference["code_mp_unit_gain"])
    state = rule.update({"p": reference["mean_measure"], "target": 0.0}, events)
    np.testing.assert_allclose(state["p"], reference[f"measure_{name}"], atol=1e-9)
    np.testing.assert_allclose(rule.competition(state).gain, reference[f"gain_{name}"], atol=1e-9)


def test_ols_and_heh_agree_with_the_reference(reference):
    events = Events.from_dense(reference["code_mp_unit_gain"])
    rule = homeostasis.make_rule("OLS", alpha_homeo=0.05)
    np.testing.assert_allclose(
        rule.competition({"V": reference["measure_OLS"]}).gain, reference["gain_OLS"]
    )
    rule = homeostasis.make_rule("HEH2019", eta_homeo=0.05, C=3.0)
    np.testing.assert_allclose(
        homeostasis.cumulative_distribution(events, 3.0, 128), reference["P_cum_of_code"]
    )
    np.testing.assert_allclose(
        rule.update({"P_cum": reference["P_cum"]}, events)["P_cum"], reference["P_cum_updated"]
    )


def test_metrics_agree_with_the_reference(reference):
    events = Events.from_dense(reference["code_mp_unit_gain"])
    found = {"logL": metrics.log_likelihood(events), "MI": metrics.mutual_information(events)}
    found["MC"] = metrics.mutual_coherence(reference["dictionary"])
    found["KS"] = metrics.quantization_error(reference["P_cum"])
    for name, value in found.items():
        assert value == pytest.approx(reference[f"metric_{name}"], abs=1e-9)


def test_metrics_of_equal_use():
    events = Events.from_dense(np.eye(8))
    assert metrics.usage_entropy(events) == pytest.approx(1)
    assert metrics.probability_error(events) == pytest.approx(0)
    assert metrics.mutual_information(events) == pytest.approx(np.log(8))
    np.testing.assert_allclose(metrics.kurtosis(events), 8 - 3)
    np.testing.assert_allclose(metrics.variance(events), 1 / 8)


def test_metrics_without_events_are_nan():
    events = Events.from_dense(np.zeros((5, 4)))
    of_none = metrics.usage_entropy, metrics.log_likelihood, metrics.mutual_information
    for metric in (*of_none, metrics.kurtosis):
        assert np.isnan(metric(events)).all()


def test_histogram_equals_the_oracle(code):
    found = homeostasis.cumulative_distribution(Events.from_dense(code), 2.0, 64)
    np.testing.assert_allclose(found, naive.cumulative_distribution(code, 2.0, 64), atol=1e-12)


@pytest.mark.parametrize("n_pixels", [7, 32, 33, 64, 70])
def test_residuals_of_wide_samples(rng, n_pixels):
    code = rng.standard_normal((9, 12)) * (rng.random((9, 12)) < 0.3)
    code[4] = 0
    X, atoms = rng.standard_normal((9, n_pixels)), rng.standard_normal((12, n_pixels))
    events, residual = Events.from_dense(code), np.empty_like(X)
    kernels.subtract_reconstruction(events.indices, events.values, atoms, X, residual)
    np.testing.assert_allclose(residual, X - code @ atoms, atol=1e-12)
    kernels.subtract_reconstruction(events.indices, events.values, atoms, residual, residual)
    np.testing.assert_allclose(residual, X - 2 * code @ atoms, atol=1e-12)


def test_gradient_equals_the_oracle(X, dictionary, code):
    events, residual = Events.from_dense(code), np.empty_like(X)
    kernels.subtract_reconstruction(events.indices, events.values, dictionary, X, residual)
    with Threads(2) as threads:
        coder = prepare(Coding(), dictionary, threads=threads)
        found = coder.gradient(Batch(X, events, residual), threads)
    np.testing.assert_allclose(found, naive.gradient(X, code, dictionary), atol=1e-12)


@pytest.mark.parametrize("n_pixels", [1, 31, 32, 33, 70])
def test_atoms_are_scaled_to_norm_1_but_for_zeros(rng, n_pixels):
    atoms = rng.standard_normal((5, n_pixels))
    atoms[2] = 0
    expected = np.linalg.norm(atoms, axis=1)
    found = atoms.copy()
    np.testing.assert_allclose(optimizers.normalise(found), expected, rtol=1e-14)
    np.testing.assert_allclose(found * expected[:, None], atoms, atol=1e-14)


@pytest.mark.parametrize("n_pixels", [7, 31, 32, 33, 64, 70])
def test_sums_over_events_are_the_product(rng, n_pixels):
    code = rng.standard_normal((1100, 300)) * (rng.random((1100, 300)) < 0.03)
    code[:, :5] = 0  # atoms that no sample uses
    events, rows = Events.from_dense(code), rng.standard_normal((1100, n_pixels))
    for add_up, expected in (
        (events.sum_products, code.T @ rows),
        (events.sum_squares, (code != 0).T @ rows**2),
    ):
        sums = []
        for n_jobs in (1, 2, 5):
            with Threads(n_jobs) as threads:
                sums.append(add_up(rows, threads))
        np.testing.assert_allclose(sums[0], expected, atol=1e-12)
        assert all(np.array_equal(sums[0], found) for found in sums[1:])


def test_adam_equals_the_oracle(dictionary, rng):
    gradients = rng.standard_normal((3, *dictionary.shape))
    adam, found = optimizers.Adam(0.02, beta1=0.9, beta2=0.99, epsilon=8), dictionary.copy()
    moments, sums = adam.init(found), optimizers.Sums(90, np.ones(70), np.ones(70))
    for step, slope in enumerate(gradients):
        found, norms = adam.step(found, slope, moments, step, 1.0, sums)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)
    assert (norms > 1.0001).any()
    np.testing.assert_allclose(
        found, naive.adam(dictionary, gradients, 0.02, 0.9, 0.99, 8), atol=1e-12
    )


def test_variance_is_a_mean_square_of_residuals(X, dictionary, code):
    plan = Plan(Coding(), homeostasis.Plain(), optimizers.Adam(), eta_precision=1.0)
    state = start_state(dictionary, plan, seed=0)
    with Threads() as threads:
        loop.update_variance(state, 1.0, Batch(X, Events.from_dense(code), X), threads)
    used = (code != 0).any(axis=0)
    np.testing.assert_allclose(
        state.variance[used], naive.variance(X, code[:, used], dictionary[used]), atol=1e-10
    )


def test_pairs_and_quantile_bounds(code, rng):
    events = Events.from_dense(code)
    used = (code != 0).astype(int)
    np.testing.assert_array_equal(events.count_pairs(), used.T @ used)
    tables = unlike_tables(rng, 70)
    gain, levels, bounds = np.empty(70), np.empty(128), np.empty((128, 70))
    kernels.bound_scores(tables, 3.0, gain, levels, bounds)
    a = rng.exponential(1.0, (500, 70))
    for level, bound in zip(levels, bounds, strict=True):
        reached = np.array([naive.quantile(tables, row, 3.0) for row in a]) >= level
        assert (gain * a >= bound)[reached].all()


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_learns_and_keeps_unit_norms(rng, rule):
    X, _ = planted(rng, n_samples=1000, n_pixels=16, n_atoms=20)
    first, model = (make(homeo_method=rule, n_iter=n_iter).fit(X) for n_iter in (1, 60))
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1, atol=1e-5)
    assert model.score(X) > 0.9 * first.score(X)


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "threshold"])
def test_every_coder_learns(rng, algorithm):
    X, _ = planted(rng, n_samples=400, n_pixels=16, n_atoms=20)
    options = {"homeo_method": "None", "learning_algorithm": algorithm, "batch_size": 40}
    first, model = (make(n_iter=n_iter, **options).fit(X) for n_iter in (1, 20))
    assert model.score(X) > 0.95 * first.score(X)


def test_threshold_learns_its_own_code(rng):
    """One step on all samples: each sample's largest correlations are the code it follows."""
    X, atoms = rng.standard_normal((400, 16)), np.eye(16)
    options = {"n_dictionary": 16, "n_iter": 1, "batch_size": 400, "homeo_method": "None"}
    options |= {"learning_algorithm": "threshold", "optimizer": "adam", "beta1": 0.0, "eta": 0.1}
    model = make(dict_init=atoms, **options).fit(X)
    code = np.where(np.abs(X) >= np.sort(np.abs(X), axis=1)[:, [-3]], X, 0)
    np.testing.assert_array_equal(
        sparse_encode(X, atoms, algorithm="threshold", l0_sparseness=3), code
    )
    moved = atoms - 0.1 * naive.gradient(X, code, atoms) / (X**2).mean()
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    last = sparse_encode(X, moved, algorithm="threshold", l0_sparseness=3)
    moved *= np.where(last.sum(axis=0) < 0, -1, 1)[:, None]
    np.testing.assert_allclose(model.components_, moved, atol=1e-12)


def test_a_rule_without_effect_is_said(rng):
    words = "homeo_method='HAP' is ignored because learning_algorithm='lars'"
    with pytest.warns(UserWarning, match=words):
        make(learning_algorithm="lars", n_iter=2).fit(rng.standard_normal((100, 9)))


@pytest.mark.parametrize(
    ("rule", "metric"),
    [("EMP", "perror"), ("HAP", "perror"), ("HEH2019", "qerror"), ("HEH", "qerror")],
)
def test_homeostasis_flattens_what_it_follows(rng, rule, metric):
    X, _ = planted(rng, n_samples=4000)
    X[:, :8] *= 2  # some directions are stronger
    options = {"n_dictionary": 96, "l0_sparseness": 4, "n_iter": 300, "record_each": 100}
    options |= {"eta_homeo": 0.05, "learning_algorithm": "mp", "homeo_fade": None}
    options |= {"replace": False, "eta_decay": None}
    plain, fair = (make(homeo_method=name, **options).fit(X) for name in ("None", rule))
    assert fair.record_[metric][-1] < 0.95 * plain.record_[metric][-1]


@pytest.mark.parametrize("rule", ["HAP", "HEH", "HEH2019"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_learning_has_equal_bits_for_any_threads(rng, rule, dtype):
    X = rng.standard_normal((2000, 36)).astype(dtype)
    options = {"n_dictionary": 300, "l0_sparseness": 4, "homeo_method": rule, "n_iter": 15}
    options |= {"record_each": 5, "record_num_batches": 300}
    models = [make(n_jobs=n_jobs, **options).fit(X) for n_jobs in (1, 2, 3)]
    assert models[0].components_.dtype == models[0].P_cum_.dtype == dtype
    for model in models[1:]:
        np.testing.assert_array_equal(model.components_, models[0].components_)
        np.testing.assert_array_equal(model.P_cum_, models[0].P_cum_)
        for name in set(model.record_) - {"cputime"}:
            np.testing.assert_array_equal(model.record_[name], models[0].record_[name])


def test_dead_atoms_are_counted(rng):
    X = np.abs(rng.standard_normal((400, 16)))
    start = np.concatenate((np.eye(16), -np.eye(16)))  # half of them never correlate positively
    options = {"n_dictionary": 32, "l0_sparseness": 2, "homeo_method": "None", "n_iter": 5}
    assert make(dict_init=start, optimizer="adam", eta=1e-6, **options).fit(X).n_dead_ == 16


def test_the_noise_start_has_the_patches_spectrum(rng):
    atoms = images.noise_patches(50, 12, rng)
    assert atoms.shape == (50, 144)
    power = np.abs(np.fft.fft2(atoms.reshape(50, 12, 12))) ** 2
    assert power[:, 2, 2].mean() > 3 * power[:, 0, 0].mean()
    assert power[:, 2, 2].mean() > 20 * power[:, 6, 6].mean()


@pytest.mark.slow
def test_a_planted_dictionary_is_recovered():
    X, atoms = planted(np.random.default_rng(1), n_samples=20000)
    recovered = {}
    for rule in ("None", "HEH2019"):
        options = {"n_dictionary": 96, "l0_sparseness": 4, "n_iter": 3000, "batch_size": 256}
        options["replace"] = False  # replacement finds all atoms without a rule, too
        model = make(homeo_method=rule, optimizer="adam", n_jobs=2, **options).fit(X)
        recovered[rule] = ((atoms @ model.components_.T).max(axis=1) > 0.97).mean()
    assert recovered["HEH2019"] >= 0.98
    assert recovered["HEH2019"] > recovered["None"]


def test_noise_is_without_order_and_an_edge_has_it(rng):
    y, x = np.mgrid[:21, :21] - 10
    gratings = np.stack([np.cos(k * x / 3 + (1 - k) * y / 2) for k in np.linspace(0, 1, 5)])
    edges = gratings * np.exp(-(x**2 + y**2) / 18)
    for shapes in (gratings, edges):
        assert metrics.disorder(shapes.reshape(5, -1)).max() < 0.03
    assert metrics.disorder(rng.standard_normal((50, 441))).min() > 0.12
    noise = images.noise_patches(300, 21, rng) * images.disc(21).ravel()
    assert (metrics.disorder(noise) > 0.066).mean() > 0.97
