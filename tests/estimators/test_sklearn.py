"""At home in scikit-learn: its parameters, contract, weights, stopping, callbacks and signs."""

import numpy as np
import pytest
import sklearn
from making import make, planted
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import sparse_encode as sklearn_encode
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data

from shl import SparseCoder, SparseHebbianLearning, sparse_encode
from shl.coding.competition import Competition
from shl.learning import RULES, one_pass


@pytest.fixture(scope="module")
def X():
    X, _ = planted(np.random.default_rng(0), n_samples=600, n_pixels=16, n_atoms=20)
    return X.astype(np.float64)


# ---------------------------------------------------------------------------- transform, scores


def test_transform_codes_as_its_parameters_say(X):
    model = make(transform_algorithm="mp", transform_l0_sparseness=5).fit(X)
    wanted = sparse_encode(X, model.components_, algorithm="mp", l0_sparseness=5)
    np.testing.assert_array_equal(model.transform(X), wanted)
    model.set_params(transform_algorithm="lasso_cd", transform_l0_sparseness=None)
    wanted = sparse_encode(X, model.components_, algorithm="lasso_cd")
    np.testing.assert_array_equal(model.transform(X), wanted)
    model.set_params(transform_algorithm=None)
    wanted = sparse_encode(X, model.components_, algorithm="omp", l0_sparseness=3)
    np.testing.assert_array_equal(model.transform(X), wanted)
    wanted = sparse_encode(X, model.components_, algorithm="omp", l0_sparseness=2)
    np.testing.assert_array_equal(model.transform(X, l0_sparseness=2), wanted)


def test_score_is_minus_the_error_and_weighs_samples(X):
    model = make().fit(X)
    residual = X - model.inverse_transform(model.transform(X))
    error = np.linalg.norm(residual) / np.linalg.norm(X)
    assert model.score(X) == pytest.approx(-error)
    weight = np.arange(len(X)) % 3
    assert model.score(X, sample_weight=weight) == pytest.approx(
        model.score(np.repeat(X, weight, axis=0))
    )
    assert model.score(np.zeros((2, 16))) == 0


def test_a_search_finds_the_sparseness_that_codes_best(X):
    search = GridSearchCV(make(), {"transform_l0_sparseness": [1, 4]}, cv=2).fit(X)
    assert search.best_params_ == {"transform_l0_sparseness": 4}
    assert make_pipeline(StandardScaler(), make()).fit(X).score(X) < 0


def test_penalised_codes_are_not_cut_unless_told(X):
    D = make().fit(X).components_
    code = sparse_encode(X, D, algorithm="lasso_cd", fit_tol=0.05)
    assert (code != 0).sum(axis=1).max() > 10
    cut = sparse_encode(X, D, algorithm="lasso_cd", fit_tol=0.05, l0_sparseness=2)
    assert (cut != 0).sum(axis=1).max() == 2

    def loss(code):
        return np.square(X - code @ D).sum() / 2 + 0.05 * np.abs(code).sum()

    least = loss(sklearn_encode(X, D, algorithm="lasso_lars", alpha=0.05))
    assert loss(code) < 1.0001 * least < 0.9 * loss(cut)
    assert loss(sparse_encode(X, D, algorithm="lasso_lars", fit_tol=0.05)) < 1.0001 * least


# ----------------------------------------------------------------------------------- SparseCoder


def test_a_coder_takes_rows_of_any_norm(X):
    D = np.random.default_rng(0).standard_normal((30, 16))
    coder, norms = SparseCoder(D, l0_sparseness=3), np.linalg.norm(D, axis=1)
    code = coder.transform(X)
    wanted = sparse_encode(X, D / norms[:, None], algorithm="omp", l0_sparseness=3) / norms
    np.testing.assert_allclose(code, wanted, atol=1e-12)
    np.testing.assert_allclose(coder.inverse_transform(code), code @ D)
    np.testing.assert_allclose(coder.set_params(sparse_output=True).transform(X).toarray(), code)
    assert coder.score(X) == pytest.approx(-np.linalg.norm(X - code @ D) / np.linalg.norm(X))


def test_sparse_coder_has_the_cosine_basis_by_default(X):
    coder = SparseCoder(l0_sparseness=16).fit(X)
    np.testing.assert_allclose(coder.inverse_transform(coder.transform(X)), X, atol=1e-10)
    assert len(coder.get_feature_names_out()) == 16


def test_a_coder_codes_under_a_competition(X):
    D = make().fit(X).components_
    gain = np.linspace(0.5, 1.5, 20)
    coder = SparseCoder(D, algorithm="mp", competition=Competition(gain), l0_sparseness=3)
    np.testing.assert_allclose(
        coder.transform(X), sparse_encode(X, D, gain=gain, l0_sparseness=3), atol=1e-12
    )


# ------------------------------------------------------------------------------------------ signs


@pytest.mark.parametrize("algorithm", ["lasso_lars", "lasso_cd", "elastic", "threshold", "mp"])
def test_positive_codes_and_dictionaries(X, algorithm):
    model = make(learning_algorithm=algorithm, homeo_method="None", n_iter=3, fit_tol=0.05)
    found = model.set_params(positive_code=True, positive_dict=True).fit(X)
    assert (found.transform(X) >= 0).all() and found.transform(X).any()
    assert (found.components_ >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.components_, axis=1), 1, atol=1e-6)


def test_positive_atoms_are_found():
    rng = np.random.default_rng(2)
    atoms = rng.random((8, 16)) * (rng.random((8, 16)) < 0.4)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    X = (rng.gamma(2, 1, (800, 8)) * (rng.random((800, 8)) < 0.2)) @ atoms
    model = make(n_dictionary=8, n_iter=2000, positive_dict=True).fit(X)
    assert (model.components_ >= 0).all()
    assert (model.components_ @ atoms.T).max(axis=0).min() > 0.98


def test_an_atom_that_would_vanish_stays(X):
    """Steps this large clip whole atoms, which must neither become zero nor negative."""
    model = make(positive_dict=True, optimizer="adam", eta=5.0, n_iter=40).fit(X)
    assert (model.components_ >= 0).all() and model.components_.any(axis=1).all()


def test_split_codes_decode_as_whole_ones(X):
    model = make().fit(X)
    code = model.transform(X)
    model.set_params(split_sign=True)
    split = model.transform(X)
    assert split.shape == (600, 40) and (split >= 0).all()
    np.testing.assert_array_equal(split[:, :20] - split[:, 20:], code)
    np.testing.assert_allclose(model.inverse_transform(split), code @ model.components_)
    assert len(model.get_feature_names_out()) == 40
    model.set_params(sparse_output=True)
    np.testing.assert_array_equal(model.transform(X).toarray(), split)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), code @ model._atoms())


# ---------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"homeo_method": "HEH", "C": 1.0},
        {"homeo_method": "OLS"},
        {"learning_algorithm": "mp", "do_precision": True, "eta_precision": 0.2},
    ],
)
def test_integer_weights_are_repetitions(X, options):
    weight = np.random.default_rng(1).integers(0, 4, 120)
    rest = {"record_each": 1, "record_num_batches": 0, "batch_size": 10**4}
    weighed, repeated = make(**options, **rest), make(**options, **rest)
    for _ in range(4):
        weighed.partial_fit(X[:120], sample_weight=weight)
        repeated.partial_fit(np.repeat(X[:120], weight, axis=0))
    np.testing.assert_allclose(weighed.components_, repeated.components_, atol=1e-9)
    np.testing.assert_allclose(weighed.P_cum_, repeated.P_cum_, atol=1e-9)
    for name in weighed.record_:
        if name != "cputime":
            found, wanted = weighed.record_[name], repeated.record_[name]
            np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9, err_msg=name)
    if "learning_algorithm" in options:
        np.testing.assert_allclose(weighed.precision_, repeated.precision_, rtol=1e-7)


def test_scikit_learn_checks_weights_with_replacement():
    model = SparseHebbianLearning(n_iter=300)  # steps enough for atoms to be replaced
    check_sample_weight_equivalence_on_dense_data("SparseHebbianLearning", model)


def test_samples_without_weight_are_not_seen(X):
    weight = (np.arange(len(X)) % 2).astype(float)
    changed = X.copy()
    changed[::2] = 1e6
    options = {"batch_size": 50, "record_each": 5, "record_num_batches": 20, "tol": 0.0}
    found = make(**options).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(
        found.components_, make(**options).fit(changed, sample_weight=weight).components_
    )


@pytest.mark.parametrize("rule", RULES)
def test_weighted_samples_that_no_atom_codes(rule):
    """An array of no events has another dtype in NumPy."""
    options = {"n_dictionary": 8, "dict_init": -np.eye(8), "learning_algorithm": "mp"}
    model = make(**options, homeo_method=rule, C=1.0, n_iter=3, record_each=1)
    model.fit(np.eye(8), sample_weight=np.linspace(0.5, 2, 8))
    np.testing.assert_array_equal(model.components_, -np.eye(8))
    np.testing.assert_array_equal(model.record_["error"], 1)


def test_replacement_sees_weights():
    """Badly coded samples count as often as they weigh when atoms are replaced."""
    rng = np.random.default_rng(3)
    X = np.eye(8)[rng.integers(0, 7, 400)] * rng.gamma(4, 0.25, (400, 1))
    X[:40] = np.eye(8)[7]
    start = np.eye(8)[[0, 1, 2, 3, 4, 5, 6, 0]] + 0.05 * rng.standard_normal((8, 8))
    weight = np.where(np.arange(400) < 40, 0.0, 1.0)

    def similarity(weight):
        model = make(n_dictionary=8, dict_init=start, n_iter=600, l0_sparseness=1)
        D = model.fit(X, sample_weight=weight).components_
        return np.abs(D[:, 7]).max()

    assert similarity(None) > 0.95 and similarity(weight) < 0.5


def test_weights_are_routed(X):
    with sklearn.config_context(enable_metadata_routing=True):
        model = make(batch_size=600).set_fit_request(sample_weight=True)
        weight = np.arange(len(X)) % 3
        pipeline = make_pipeline(StandardScaler(), model)
        pipeline[0].set_fit_request(sample_weight=False)
        with pytest.raises(ValueError, match="batch_size.*at most 400"):
            pipeline.fit(X, sample_weight=weight)


# -------------------------------------------------------------------------- batches and stopping


def test_partial_fit_takes_batches_of_any_size(X):
    model = make(batch_size=100).partial_fit(X[:100])
    score = model.score(X)
    for size in (37, 1, 250):
        model.partial_fit(X[:size])
    assert model.n_steps_ == model.n_iter_ == 1 + 1 + 1 + 3
    assert model.score(X) > score
    assert sorted(map(len, one_pass(250, 100, model._state))) == [83, 83, 84]


def test_a_short_batch_has_its_own_mean(X):
    one, many = make(batch_size=300), make(batch_size=20)
    for model in (one, many):
        model.partial_fit(X[:20])
    np.testing.assert_array_equal(one.components_, many.components_)


def test_passes_are_steps(X):
    plain = {"n_iter": 2000}  # the default, which n_passes replaces
    assert make(**plain, n_passes=2.5, batch_size=100).fit(X).n_iter_ == 15
    by_passes = make(**plain, n_passes=5, batch_size=100)
    by_steps = make(n_iter=30, batch_size=100)
    np.testing.assert_array_equal(by_passes.fit(X).components_, by_steps.fit(X).components_)


def test_a_step_that_returns_true_stops_with_a_model(X):
    model = make(record_each=10).fit(X, on_step=lambda state: state.step == 7)
    assert model.n_iter_ == 7 and model.record_["steps"][-1] == 7
    wanted = make(n_iter=20, record_each=10)
    with pytest.raises(KeyboardInterrupt):
        wanted.fit(X, on_step=interrupt)
    assert not hasattr(wanted, "components_")


def interrupt(state):
    raise KeyboardInterrupt


def test_learning_stops_when_the_error_no_longer_falls(X):
    rate = {"optimizer": "adam", "eta": 0.05}
    model = make(n_iter=3000, tol=0.01, n_iter_no_change=3, **rate).fit(X)
    assert 10 < model.n_iter_ < 3000
    assert -model.score(X) < 0.7 * -make(n_iter=1).fit(X).score(X)


def test_the_best_state_is_kept(X):
    """With a rate that spoils the dictionary, the first look is the best."""
    errors = {}
    rate = {"optimizer": "adam", "eta": 3.0, "eta_decay": None}
    model = make(n_iter=60, tol=0.0, n_iter_no_change=100, **rate)
    order = np.random.default_rng(0)
    order.integers(2**63)
    held_out = X[order.permutation(len(X))[:60]]

    def note(state):
        code = sparse_encode(held_out, state.dictionary, algorithm="omp", l0_sparseness=3)
        errors[state.step] = np.linalg.norm(held_out - code @ state.dictionary)

    model.fit(X, on_step=note)
    looks = {step: error for step, error in errors.items() if step % 10 == 0}
    assert model.n_iter_ == min(looks, key=looks.get)


# ------------------------------------------------------------------------------- names, input


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_samples_are_learned_as_dense(X, form):
    X = np.where(np.abs(X) > 1, X, 0)
    few = sparse.coo_array(X).asformat(form)
    dense, model = make().fit(X), make().fit(few)
    np.testing.assert_array_equal(model.components_, dense.components_)
    np.testing.assert_array_equal(model.transform(few), dense.transform(X))
    assert model.score(few) == dense.score(X)
    np.testing.assert_array_equal(
        model.partial_fit(few).components_, dense.partial_fit(X).components_
    )
    np.testing.assert_array_equal(sparse_encode(few, np.eye(16)), sparse_encode(X, np.eye(16)))
    few = sparse.csr_array(X)
    few.data[5] = np.nan
    row, column = (int(i) for i in np.argwhere(np.isnan(few.toarray()))[0])
    with pytest.raises(ValueError, match=rf"X must hold no NaN .* at \({row}, {column}\)"):
        make().fit(few)


def test_codes_are_decoded_by_name(X):
    model = make().fit(X)
    code = model.transform(X)
    np.testing.assert_array_equal(model.inverse_transform(X=code), code @ model.components_)
    with pytest.raises(NotFittedError):
        make().inverse_transform(code)


# -------------------------------------------------------------------------------------- callbacks


class Count:
    """A callback of scikit-learn that stops after so many steps."""

    max_propagation_depth = None

    def __init__(self, last=10**6):
        self.last, self.begun, self.scores, self.ended = last, 0, [], []

    def setup(self, estimator, context):
        self.ready = True

    def teardown(self, estimator, context):
        self.torn_down = True

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.begun += context.task_name == "step"

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.ended.append(context.task_name)
        if context.task_name == "step":
            self.scores.append(fitted_estimator.score(X))
        return len(self.scores) >= self.last


@pytest.fixture
def callback():
    pytest.importorskip("sklearn.callback")
    return Count(last=5)


def test_callbacks_see_models_and_stop(X, callback):
    model = make(l0_sparseness=2).set_callbacks(callback).fit(X)
    assert model.n_iter_ == 5 == callback.begun and callback.torn_down
    assert callback.ended == ["step"] * 5 + ["fit"]
    assert callback.scores[-1] == model.score(X) != callback.scores[0]


def test_callbacks_reach_a_model_in_a_pipeline(X, callback):
    pipeline = make_pipeline(StandardScaler(), make()).set_callbacks(callback).fit(X)
    assert pipeline[-1].n_iter_ == 5


def test_callbacks_do_not_change_what_is_learned(X):
    pytest.importorskip("sklearn.callback")
    told = make().set_callbacks(Count()).fit(X)
    np.testing.assert_array_equal(told.components_, make().fit(X).components_)
    assert clone(told).get_params() == told.get_params()


def test_a_monitor_of_scores_sees_each_step(X):
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring={"error": lambda model, X, y: -model.score(X)})
    make(n_iter=4).set_callbacks(monitor).fit(X, np.zeros(len(X)))  # it scores where there is y
    errors = [row["error"] for row in monitor.get_logs().data if row["task_name"] == "step"]
    assert len(errors) == 4 and errors[-1] < errors[0]
