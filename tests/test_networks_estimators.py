import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

torch = pytest.importorskip("torch")

from shl.networks import L1, SparseMLPClassifier, SparseMLPRegressor  # noqa: E402
from shl.networks.mlp import weight_matrices  # noqa: E402

FAST = {"learning_rate_init": 0.01, "max_iter": 60}
MODELS = [
    SparseMLPClassifier((20,), **FAST),
    SparseMLPRegressor((20,), **FAST),
    SparseMLPClassifier((), penalty="group_lasso", **FAST),
    SparseMLPRegressor((20,), penalty="sparse_group_lasso", solver="sgd", **FAST),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(MODELS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()


def objective(model, X, y):
    """What a regressor without hidden layers minimises."""
    return ((model.predict(X) - y) ** 2).mean() / 2 + model.alpha * np.abs(model.coefs_[0]).sum()


@pytest.mark.parametrize(
    "solver",
    [
        {"solver": "sgd", "momentum": 0.9, "learning_rate_init": 0.01},
        {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
        {"solver": "adam", "learning_rate_init": 3e-3},
    ],
)
def test_l1_without_hidden_layers_is_the_lasso(diabetes, solver):
    X, y = diabetes
    lasso = Lasso(alpha=0.1).fit(X, y)
    model = SparseMLPRegressor(
        (),
        penalty="l1",
        alpha=0.1,
        batch_size=len(X),
        max_iter=2000,
        random_state=0,
        record_each=2000,
        **solver,
    ).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], lasso.coef_, atol=1e-4)
    np.testing.assert_array_equal(model.coefs_[0][:, 0] == 0, lasso.coef_ == 0)
    assert 0 < (lasso.coef_ == 0).sum() < 10


def test_l2_without_hidden_layers_is_ridge(diabetes):
    X, y = diabetes
    ridge = Ridge(alpha=0.1 * len(X)).fit(X, y)
    model = SparseMLPRegressor(
        (),
        penalty="l2",
        alpha=0.1,
        solver="sgd",
        learning_rate_init=0.01,
        batch_size=len(X),
        max_iter=1500,
        random_state=0,
        record_each=1500,
    ).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], ridge.coef_, atol=1e-5)


def test_l1_without_hidden_layers_is_sparse_logistic_regression(digits):
    X, y, alpha = digits[0][:300].astype(float), digits[1][:300], 0.02
    X = X[:, X.std(axis=0) > 0.3]
    other = LogisticRegression(
        l1_ratio=1, solver="saga", C=1 / (alpha * len(X)), tol=1e-6, max_iter=5000, random_state=0
    ).fit(X, y)
    model = SparseMLPClassifier(
        (),
        penalty="l1",
        alpha=alpha,
        solver="sgd",
        learning_rate_init=1.0,
        batch_size=300,
        max_iter=2000,
        random_state=0,
        record_each=2000,
    ).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0], other.coef_.T, atol=5e-3)
    np.testing.assert_array_equal(model.coefs_[0] == 0, other.coef_.T == 0)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_group_lasso_takes_inputs_without_information_out(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((1000, 12))
    y = np.sin(2 * X[:, 0]) + np.maximum(X[:, 1], 0) - X[:, 2]
    model = SparseMLPRegressor(
        (16,),
        penalty="group_lasso",
        alpha=0.03,
        learning_rate_init=0.01,
        max_iter=200,
        batch_size=100,
        random_state=seed,
        record_each=200,
    ).fit(X, y)
    left = np.flatnonzero((model.coefs_[0] != 0).any(axis=1))
    assert {0, 1, 2} <= set(left) and len(left) <= 4  # one of nine may be like the target by chance
    assert model.score(X, y) > 0.65
    assert np.isfinite(np.concatenate([w.ravel() for w in model.coefs_])).all()


@pytest.mark.parametrize("penalty", ["l1", "group_lasso", "sparse_group_lasso"])
def test_history_counts_what_is_zero(digits, penalty):
    X, y = digits
    model = SparseMLPClassifier(
        (20, 10),
        penalty=penalty,
        alpha=2e-3,
        max_iter=12,
        record_each=5,
        random_state=0,
        learning_rate_init=0.01,
    ).fit(X[:1200], y[:1200], X[1200:], y[1200:])
    history = model.history_
    assert list(history["steps"]) == [5, 10, 12]
    assert list(history["zeros"][-1]) == [int((w == 0).sum()) for w in model.coefs_]
    assert list(history["units"][-1]) == [int((w != 0).any(axis=1).sum()) for w in model.coefs_]
    assert history["zeros"][-1].sum() > 500
    assert history["score"][-1] == model.score(X[:1200], y[:1200])
    assert history["val_score"][-1] == model.score(X[1200:], y[1200:])
    value = sum(float(model_penalty(penalty).value(w)) for w in weight_matrices(model.module_))
    assert history["penalty"][-1] == pytest.approx(2e-3 * value)


def model_penalty(name):
    from shl.networks.penalties import PENALTIES

    return PENALTIES[name]()


def test_a_learning_has_the_same_bits_and_leaves_the_global_state(digits):
    X, y = digits
    options = {
        "penalty": "l1",
        "input_dropout": 0.2,
        "connectivity": "set",
        "epsilon": 2,
        "max_iter": 4,
        "random_state": 3,
        "evolve_each": 1,
    }
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = SparseMLPClassifier((30, 20), **options).fit(X, y)
    torch.set_num_threads(2)
    try:
        second = SparseMLPClassifier((30, 20), **options).fit(X, y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    third = SparseMLPClassifier((30, 20), **{**options, "random_state": 4}).fit(X, y)
    for a, b, c in zip(first.coefs_, second.coefs_, third.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("evolve_each", [1, 3, 0.2])
def test_connections_evolve_and_stay_few(digits, evolve_each):
    X, y = digits
    options = {
        "connectivity": "set",
        "epsilon": 2,
        "max_iter": 7,
        "random_state": 0,
        "evolve_each": evolve_each,
    }
    model = SparseMLPClassifier((64, 32), **options).fit(X, y)
    start = SparseMLPClassifier((64, 32), **{**options, "evolve_each": 100}).fit(X, y)
    layers = model.module_.layers[:2], start.module_.layers[:2]
    for n_in, n_out, layer, before in zip((64, 64), (64, 32), *layers, strict=True):
        assert int(layer.mask.sum()) == 2 * (n_in + n_out)
        assert not torch.equal(layer.mask, before.mask)
    assert (model.coefs_[0] != 0).sum() <= 2 * 128
    assert (model.coefs_[2] != 0).all()


@pytest.mark.parametrize(
    "model",
    [
        SparseMLPClassifier((20,), penalty="l1", max_iter=5),
        SparseMLPClassifier((), weights="gaussian", max_iter=5),
        SparseMLPClassifier((20,), connectivity="set", epsilon=2, input_dropout=0.3, max_iter=5),
    ],
    ids=["l1", "gaussian", "set"],
)
def test_clone_and_pickle(digits, model):
    X, y = digits
    assert clone(model).get_params() == model.get_params()
    fitted = clone(model).set_params(random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_allclose(
        np.exp(fitted.predict_log_proba(X)), fitted.predict_proba(X), rtol=1e-5
    )


def test_dropout_is_off_at_prediction_and_gaussian_weights_are_positive(digits):
    X, y = digits
    model = SparseMLPClassifier(
        (), weights="gaussian", input_dropout=0.5, max_iter=3, random_state=0
    ).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    assert (model.coefs_[0] > 0).all()
    model = SparseMLPClassifier((), weights="normalized", fit_intercept=False, max_iter=3).fit(X, y)
    assert np.linalg.norm(model.coefs_[0]) == pytest.approx(1, rel=1e-5)
    assert (model.intercepts_[0] == 0).all()


def test_dtype_stays(digits):
    for dtype in (np.float32, np.float64):
        model = SparseMLPClassifier((5,), max_iter=2, random_state=0).fit(
            digits[0].astype(dtype), digits[1]
        )
        assert model.coefs_[0].dtype == model.predict_proba(digits[0]).dtype == dtype


def test_pipeline_and_grid_search(diabetes, digits):
    search = GridSearchCV(
        make_pipeline(
            StandardScaler(),
            SparseMLPClassifier((20,), penalty="l1", max_iter=20, learning_rate_init=0.01),
        ),
        {"sparsemlpclassifier__alpha": [1e-4, 3.0], "sparsemlpclassifier__penalty": ["l1", L1()]},
    )
    search.fit(digits[0][:500], digits[1][:500])
    assert search.best_params_["sparsemlpclassifier__alpha"] == 1e-4
    assert search.best_score_ > 0.8
    targets = np.column_stack((diabetes[1], -diabetes[1]))
    model = SparseMLPRegressor((10,), max_iter=5).fit(diabetes[0], targets)
    assert model.predict(diabetes[0]).shape == targets.shape


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"activation": "softsign"}, "activation must be one of 'relu', .*not 'softsign'"),
        ({"penalty": "l3"}, "penalty must be one of"),
        ({"alpha": -1}, "alpha must be at least 0, not -1"),
        ({"solver": "lbfgs"}, "solver must be one of"),
        ({"learning_rate_init": 0}, "learning_rate_init must be above 0"),
        ({"momentum": 1, "solver": "sgd"}, "momentum must be .* below 1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
        ({"input_dropout": 1}, "input_dropout must be .* below 1"),
        ({"connectivity": "sparse"}, "connectivity must be one of"),
        ({"weights": "tied"}, "weights must be one of"),
        ({"connectivity": "set", "zeta": 2}, "zeta must be"),
        ({"connectivity": "set", "epsilon": 0}, "epsilon must be"),
        (
            {"connectivity": "set", "epsilon": 1, "evolve_each": 1.5},
            "evolve_each must be above 0 and below 1",
        ),
        (
            {"connectivity": "set", "weights": "gaussian"},
            "weights must be 'free' with connectivity 'set'",
        ),
        (
            {"weights": "gaussian", "penalty": "group_lasso"},
            "penalty must be None with weights 'gaussian'",
        ),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be at least 1"),
        ({"record_each": 0}, "record_each must"),
    ],
)
def test_bad_parameters_are_named(digits, options, words):
    with pytest.raises(ValueError, match=words):
        SparseMLPClassifier(**{"hidden_layer_sizes": (30,), "max_iter": 1, **options}).fit(*digits)


def test_a_learning_that_diverges_says_so(diabetes):
    with pytest.raises(ArithmeticError, match="diverged in epoch .*smaller learning_rate_init"):
        SparseMLPRegressor(
            (10,),
            solver="sgd",
            learning_rate_init=1e6,
            max_iter=20,
            activation="identity",
            random_state=0,
        ).fit(*diabetes)
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        SparseMLPRegressor().fit(*diabetes, X_val=diabetes[0])


def test_a_penalty_may_refuse_a_layer(digits):
    class Tall(L1):
        def check(self, w, name="w"):
            if w.shape[0] < 40:
                raise ValueError(f"{name} must have 40 rows, not {w.shape[0]}")

    with pytest.raises(ValueError, match=r"coefs_\[1\] must have 40 rows, not 30"):
        SparseMLPClassifier((30,), penalty=Tall(), max_iter=1).fit(*digits)
    assert SparseMLPClassifier((40,), penalty=Tall(), max_iter=1).fit(*digits).n_iter_ == 1
