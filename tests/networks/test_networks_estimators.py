import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

torch = pytest.importorskip("torch")

from shl.networks import L1, SparseMLPClassifier, SparseMLPRegressor, shrink  # noqa: E402
from shl.networks.mlp import layers_of, weight_matrices  # noqa: E402

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
    layers = layers_of(model.module_)[:2], layers_of(start.module_)[:2]
    for n_in, n_out, layer, before in zip((64, 64), (64, 32), *layers, strict=True):
        assert int(layer.mask.sum()) == 2 * (n_in + n_out)
        assert not torch.equal(layer.mask, before.mask)
    assert (model.coefs_[0] != 0).sum() <= 2 * 128
    assert (model.coefs_[2] != 0).all()


@pytest.mark.parametrize(
    "model",
    [
        SparseMLPClassifier((20,), penalty="l1", max_iter=5),
        SparseMLPClassifier((20,), connectivity="set", epsilon=2, max_iter=5),
    ],
    ids=["l1", "set"],
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
        ({"connectivity": "sparse"}, "connectivity must be one of"),
        ({"connectivity": "set", "zeta": 2}, "zeta must be"),
        ({"connectivity": "set", "epsilon": 0}, "epsilon must be"),
        (
            {"connectivity": "set", "epsilon": 1, "evolve_each": 1.5},
            "evolve_each must be above 0 and below 1",
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


# ------------------------------------------------------------------------------ a path of strengths


def noisy(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 12))
    return X, np.sin(2 * X[:, 0]) + np.maximum(X[:, 1], 0) - X[:, 2]


@pytest.mark.parametrize("kind", ["path", "function", "sequence"])
def test_path_finds_the_inputs_that_matter(kind):
    X, y = noisy()
    strengths = np.geomspace(1e-3, 0.2, 8)
    alpha = {"path": "path", "function": lambda X, y: strengths, "sequence": strengths}[kind]
    options = {"learning_rate_init": 0.01, "max_iter": 150, "random_state": 0}
    model = SparseMLPRegressor((16,), penalty="group_lasso", alpha=alpha, **options).fit(X, y)
    found = np.flatnonzero(model.feature_importances_)
    assert {0, 1, 2} <= set(found) and len(found) <= 4
    path = model.path_
    assert model.alpha_ in path["alpha"] and (np.diff(path["alpha"]) > 0).all()
    assert path["n_inputs"][path["alpha"] == model.alpha_] == len(found)
    test = noisy(seed=1)
    plain = SparseMLPRegressor((16,), **options).fit(X, y)
    assert model.score(*test) > plain.score(*test) and not hasattr(plain, "path_")
    selector = SelectFromModel(model, prefit=True, threshold=1e-9)
    assert selector.transform(X).shape == (len(X), len(found))
    smaller = shrink(model)
    np.testing.assert_allclose(smaller.feature_importances_, model.feature_importances_, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": "lasso"}, "alpha must be one of 'path', not 'lasso'"),
        ({"alpha": "path", "penalty": None}, "alpha is 'path', but penalty is None"),
        ({"alpha": []}, "alpha has no strengths"),
        ({"alpha": [0.1, -1]}, r"alpha\[1\] must be at least 0"),
        ({"alpha": "path", "early_stopping": True}, "early_stopping is True and alpha is 'path'"),
    ],
)
def test_path_names_bad_strengths(options, words):
    model = SparseMLPRegressor((5,), **{"penalty": "l1", "max_iter": 2, **options})
    with pytest.raises(ValueError, match=words):
        model.fit(*noisy(100))
    with pytest.raises(ValueError, match="but partial_fit needs one strength|partial_fit, which"):
        model.partial_fit(*noisy(100))


# ------------------------------------------------------------------------------ beside scikit-learn


def started_like(other, model, X, y):
    """Both with the start of `other`, ready to go on with warm_start."""
    rates = [(estimator.learning_rate_init, estimator.max_iter) for estimator in (other, model)]
    for estimator in (other, model):
        estimator.set_params(learning_rate_init=1e-30, max_iter=1, warm_start=True).fit(X, y)
    with torch.no_grad():
        for layer, w, b in zip(
            layers_of(model.module_), other.coefs_, other.intercepts_, strict=True
        ):
            layer.weight.copy_(torch.from_numpy(w.T))
            layer.bias.copy_(torch.from_numpy(b))
    for estimator, (rate, epochs) in zip((other, model), rates, strict=True):
        estimator.set_params(learning_rate_init=rate, max_iter=epochs)
    return other, model


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize(
    ("solver", "rtol"),
    [
        ({"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.9}, 1e-6),
        ({"solver": "adam", "learning_rate_init": 1e-3}, 1e-3),  # its eps stands elsewhere there
    ],
)
def test_from_the_same_start_the_weights_are_those_of_scikit_learn(
    digits, diabetes, kind, solver, rtol, is_weighted
):
    X, y = (digits[0].astype(float), digits[1]) if kind == "classifier" else diabetes
    X, y = X[:300, X[:300].std(axis=0) > 0.1], y[:300]
    classes = {
        "classifier": (MLPClassifier, SparseMLPClassifier),
        "regressor": (MLPRegressor, SparseMLPRegressor),
    }
    theirs, ours = classes[kind]
    options = {**solver, "max_iter": 30, "batch_size": 300}
    only = {"alpha": 0, "nesterovs_momentum": False, "tol": 0, "n_iter_no_change": 1000}
    other, model = started_like(
        theirs(hidden_layer_sizes=(9, 7), random_state=0, **options, **only),
        ours((9, 7), random_state=1, record_each=1, **options),
        X,
        y,
    )
    weight = np.random.default_rng(0).uniform(0, 3, 300) if is_weighted else None
    other.fit(X, y, sample_weight=weight)
    model.fit(X, y, sample_weight=weight)
    assert model.n_iter_ == 30 and model.loss_ < model.history_["loss"][0]
    assert model.loss_ == pytest.approx(other.loss_, rel=rtol)
    for a, b in zip(model.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def test_the_start_has_the_range_of_scikit_learn(digits):
    X, y = digits
    options = {"max_iter": 1, "learning_rate_init": 1e-9, "random_state": 0}
    model = SparseMLPClassifier((40, 20), **options).fit(X, y)
    for w, b in zip(model.coefs_, model.intercepts_, strict=True):
        bound = (6 / sum(w.shape)) ** 0.5
        assert 0.95 * bound < abs(w).max() < bound and 0.6 * bound < abs(b).max() < bound


# ------------------------------------------------------------------------------- going on, stopping


def test_a_fit_in_parts_is_a_fit(digits):
    X, y = digits
    options = {"penalty": "l1", "alpha": 1e-3, "random_state": 0}
    options |= {"connectivity": "set", "epsilon": 4, "evolve_each": 2}
    whole = SparseMLPClassifier((20,), max_iter=7, **options).fit(X, y)
    parts = SparseMLPClassifier((20,), **options)
    for i in range(7):
        parts.partial_fit(X, y, classes=np.arange(10) if i == 0 else None)
        if i == 3:
            parts = pickle.loads(pickle.dumps(parts))
    assert parts.n_iter_ == 1 and list(parts.history_["steps"]) == list(range(1, 8))
    for name in ("loss", "penalty", "zeros"):
        np.testing.assert_array_equal(parts.history_[name], whole.history_[name])
    for a, b in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_after_fit_and_in_batches(diabetes, solver):
    X, y = diabetes
    options = {"learning_rate_init": 0.01, "solver": solver, "random_state": 0, "max_iter": 3}
    model = SparseMLPRegressor((20,), **options).fit(X, y, X, y)
    before = model.score(X, y)
    for _ in range(10):
        for places in np.array_split(np.arange(len(X)), 3):
            model.partial_fit(X[places], y[places])
    assert model.score(X, y) > before + 0.05
    assert "val_score" not in model.history_ and len(model.history_["steps"]) == 30


def test_classes_of_later_parts_may_be_few_but_not_new(digits):
    X, y = digits
    model = SparseMLPClassifier((10,), random_state=0)
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        model.partial_fit(X, y)
    few = y < 3
    model.partial_fit(X[few], y[few], classes=range(9))
    assert model.predict_proba(X).shape == (len(X), 9)
    model.partial_fit(X[y == 8], y[y == 8])
    with pytest.raises(ValueError, match=r"y must have classes of .*, not \[9\]"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match="classes must stay"):
        model.partial_fit(X[few], y[few], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="early_stopping must be False for partial_fit"):
        model.set_params(early_stopping=True).partial_fit(X[few], y[few])


def test_a_warm_start_goes_on_and_a_cold_one_does_not(digits):
    X, y = digits
    model = SparseMLPClassifier((20,), max_iter=5, random_state=0, warm_start=True).fit(X, y)
    first = model.loss_
    assert model.fit(X, y).history_["loss"][0] < first and model.n_iter_ == 5
    assert model.fit(X[y < 3], y[y < 3]).predict_proba(X).shape[1] == 10
    for name, value in (("hidden_layer_sizes", (30,)), ("activation", "tanh")):
        with pytest.raises(ValueError, match=f"{name} must stay .*not"):
            SparseMLPClassifier.fit(clone_fitted(model).set_params(**{name: value}), X, y)
    with pytest.raises(ValueError, match="features"):
        model.fit(X[:, :9], y)
    again = model.set_params(warm_start=False).fit(X, y)
    assert again.loss_ == first


def clone_fitted(model):
    return pickle.loads(pickle.dumps(model))


def test_prune_shrink_fine_tune(digits):
    X, y = digits
    model = SparseMLPClassifier(
        (40, 20),
        penalty="group_lasso",
        alpha=1e-3,
        max_iter=40,
        random_state=0,
        learning_rate_init=3e-3,
    ).fit(X[:1300], y[:1300])
    smaller = shrink(model)
    sizes = [w.shape for w in smaller.coefs_]
    n_records = len(smaller.history_["steps"])
    smaller.set_params(penalty=None, warm_start=True, learning_rate_init=1e-3)
    smaller.fit(X[:1300], y[:1300])
    assert smaller.loss_ < model.loss_ and [w.shape for w in smaller.coefs_] == sizes
    assert smaller.score(X[1300:], y[1300:]) > model.score(X[1300:], y[1300:]) - 0.02
    np.testing.assert_array_equal(shrink(model).coefs_[0], shrink(model).coefs_[0])
    smaller = shrink(model).partial_fit(X, y)
    assert list(smaller.history_["steps"]) == [1] and len(model.history_["steps"]) == n_records
    assert [w.shape for w in smaller.coefs_] == sizes


def test_early_stopping_keeps_the_best_network(digits):
    X, y = digits
    model = SparseMLPClassifier(
        (20,),
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=5,
        tol=0.0,
        max_iter=300,
        learning_rate_init=0.01,
        record_each=1000,
        random_state=0,
    ).fit(X, y)
    scores = model.validation_scores_
    assert 10 < model.n_iter_ < 300 and len(scores) == model.n_iter_
    assert list(model.history_["steps"]) == [model.n_iter_]
    assert model.best_validation_score_ == max(scores) > 0.9
    rises = np.array(scores) >= np.maximum.accumulate([-1.0, *scores[:-1]])
    waits = np.diff(np.flatnonzero([*rises, True]))
    assert waits[-1] == 7 and max(waits[:-1]) <= 6
    held = held_places(model, y)
    assert len(held) == 360
    assert accuracy_score(y[held], model.predict(X[held])) == max(scores)


def held_places(model, y):
    """Which samples a fit with that random_state holds out."""
    from shl._base.checks import check_generator
    from shl.networks.mlp import make_generator
    from shl.networks.training import Samples, hold_out

    rng = check_generator(model.random_state, "random_state")
    make_generator(rng)  # the network's draws come first
    samples = Samples(np.arange(len(y)), y)
    return hold_out(samples, model.validation_fraction, True, rng)[1].X


def test_early_stopping_of_a_regressor_and_bad_values(diabetes):
    X, y = diabetes
    options = {"early_stopping": True, "learning_rate_init": 0.03, "random_state": 0}
    model = SparseMLPRegressor((20,), **options).fit(X, y)
    assert model.n_iter_ < 200 and model.best_validation_score_ > 0.2
    for name, value in (
        ("validation_fraction", 1.0),
        ("validation_fraction", 0.001),
        ("n_iter_no_change", 0),
        ("tol", -1),
        ("early_stopping", "no"),
    ):
        with pytest.raises((ValueError, TypeError), match=name):
            clone(model).set_params(**{name: value}).fit(X, y)


def test_weights_count(digits):
    X, y = digits
    model = SparseMLPClassifier((10,), batch_size=len(X), max_iter=60, random_state=0)
    model.set_params(learning_rate_init=0.01)
    plain = clone(model).fit(X, y)
    ones = clone(model).fit(X, y, sample_weight=np.full(len(X), 7.0))
    np.testing.assert_allclose(ones.coefs_[0], plain.coefs_[0], atol=1e-4)
    some = (y < 5).astype(float)
    half = clone(model).fit(X, y, sample_weight=some)
    assert np.isin(half.predict(X[some > 0]), range(5)).mean() > 0.95 and len(half.classes_) == 10
    assert half.score(X, y, some) > 0.5 and half.history_["score"][-1] == half.score(X, y, some)
    for weight, words in (
        (-some, "[Nn]egative"),
        (0 * some, "sample_weight must be above 0|non-zero"),
    ):
        with pytest.raises(ValueError, match=words):
            clone(model).fit(X, y, sample_weight=weight)


def test_progress_shows_epochs_and_loss(digits, capsys):
    X, y = digits
    SparseMLPClassifier((5,), max_iter=3, random_state=0).fit(X, y)
    assert capsys.readouterr() == ("", "")
    model = SparseMLPClassifier((5,), max_iter=3, random_state=0, verbose=True).fit(X, y)
    out, shown = capsys.readouterr()
    assert out == "" and "3/3" in shown and f"loss={model.loss_:.3g}" in shown
