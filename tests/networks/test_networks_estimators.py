import pickle

import numpy as np
import pytest
from ranges import assert_rejects
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

from shl._base.checks import check_generator  # noqa: E402
from shl.networks import L1, SparseMLPClassifier, SparseMLPRegressor, shrink  # noqa: E402
from shl.networks.mlp import layers_of, make_generator, weight_matrices  # noqa: E402
from shl.networks.penalties import make_penalty  # noqa: E402
from shl.networks.training import Supervised, hold_out  # noqa: E402

FAST = {"learning_rate_init": 0.03, "max_iter": 25}
MODELS = [SparseMLPClassifier((20,), penalty="l1", **FAST), SparseMLPRegressor((20,), **FAST)]
DIGITS, DIABETES = load_digits(return_X_y=True), load_diabetes(return_X_y=True, scaled=False)
X, Y = (DIGITS[0] / 16).astype(np.float32), DIGITS[1]
INPUTS = StandardScaler().fit_transform(DIABETES[0])
TARGETS = (DIABETES[1] - DIABETES[1].mean()) / DIABETES[1].std()


def classifier(sizes=(20,), **options):
    return SparseMLPClassifier(sizes, **{"random_state": 0, **options})


def regressor(sizes=(20,), **options):
    return SparseMLPRegressor(sizes, **{"random_state": 0, **options})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(MODELS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# ------------------------------------------------------------------------------ what it rests at

WHOLE = {"batch_size": len(INPUTS), "record_each": 2000}


@pytest.mark.parametrize(
    ("penalty", "other", "rate", "momentum", "atol"),
    [
        ("l1", Lasso(alpha=0.1), 0.01, 0.9, 1e-4),
        ("l1", Lasso(alpha=0.1), 0.1, 0.0, 1e-4),
        ("l2", Ridge(alpha=0.1 * len(INPUTS)), 0.01, 0.9, 1e-5),
    ],
)
def test_one_layer_is_the_lasso_or_ridge(penalty, other, rate, momentum, atol):
    options = {"solver": "sgd", "max_iter": 1000, "alpha": 0.1, **WHOLE}
    model = regressor((), penalty=penalty, momentum=momentum, learning_rate_init=rate, **options)
    found, expected = model.fit(INPUTS, TARGETS).coefs_[0][:, 0], other.fit(INPUTS, TARGETS).coef_
    np.testing.assert_allclose(found, expected, atol=atol)
    np.testing.assert_array_equal(found == 0, expected == 0)
    assert (0 < (found == 0).sum() < 10) == (penalty == "l1")


def test_l1_alone_is_sparse_logistic_regression():
    few, y, alpha = X[:300, X[:300].std(axis=0) > 0.3].astype(float), Y[:300], 0.02
    options = {"l1_ratio": 1, "solver": "saga", "tol": 1e-6, "max_iter": 5000, "random_state": 0}
    other = LogisticRegression(C=1 / (alpha * len(few)), **options).fit(few, y)
    options = {"penalty": "l1", "alpha": alpha, "solver": "sgd", "learning_rate_init": 1.0}
    model = classifier((), max_iter=2000, batch_size=300, record_each=2000, **options)
    np.testing.assert_allclose(model.fit(few, y).coefs_[0], other.coef_.T, atol=5e-3)
    np.testing.assert_array_equal(model.coefs_[0] == 0, other.coef_.T == 0)


@pytest.mark.parametrize("penalty", ["l1", "group_lasso", "sparse_group_lasso"])
def test_history_counts_what_is_zero(penalty):
    options = {"penalty": penalty, "alpha": 2e-3, "learning_rate_init": 0.01}
    model = classifier((20, 10), max_iter=12, record_each=5, **options)
    model.fit(X[:1200], Y[:1200], X[1200:], Y[1200:])
    history = model.history_
    assert list(history["steps"]) == [5, 10, 12]
    assert list(history["zeros"][-1]) == [int((w == 0).sum()) for w in model.coefs_]
    assert list(history["units"][-1]) == [int((w != 0).any(axis=1).sum()) for w in model.coefs_]
    assert history["zeros"][-1].sum() > 500
    assert history["score"][-1] == model.score(X[:1200], Y[:1200])
    assert history["val_score"][-1] == model.score(X[1200:], Y[1200:])
    value = sum(float(make_penalty(penalty).value(w)) for w in weight_matrices(model.module_))
    assert history["penalty"][-1] == pytest.approx(2e-3 * value)


def test_fit_has_the_same_bits_for_any_threads():
    options = {"penalty": "l1", "connectivity": "set", "epsilon": 2, "max_iter": 3}
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = classifier((30, 20), **options).fit(X, Y)
    torch.set_num_threads(2)
    try:
        second = classifier((30, 20), **options).fit(X, Y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    third = classifier((30, 20), **{**options, "random_state": 4}).fit(X, Y)
    for a, b, c in zip(first.coefs_, second.coefs_, third.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("evolve_each", [1, 3, 0.2])
def test_connections_evolve_and_stay_few(evolve_each):
    options = {"connectivity": "set", "epsilon": 2, "max_iter": 5}
    model = classifier((64, 32), evolve_each=evolve_each, **options).fit(X, Y)
    start = classifier((64, 32), evolve_each=100, **options).fit(X, Y)
    layers = layers_of(model.module_)[:2], layers_of(start.module_)[:2]
    for n_in, n_out, layer, before in zip((64, 64), (64, 32), *layers, strict=True):
        assert int(layer.mask.sum()) == 2 * (n_in + n_out)
        assert not torch.equal(layer.mask, before.mask)
    assert (model.coefs_[0] != 0).sum() <= 2 * 128 and (model.coefs_[2] != 0).all()


@pytest.mark.parametrize("options", [{"penalty": "l1"}, {"connectivity": "set", "epsilon": 2}])
def test_clone_pickle_and_dtype(options):
    model = classifier(max_iter=3, **options)
    assert clone(model).get_params() == model.get_params()
    for dtype in (np.float32, np.float64):
        fitted = clone(model).fit(X.astype(dtype), Y)
        likely = fitted.predict_proba(X)
        assert fitted.coefs_[0].dtype == likely.dtype == dtype
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), likely)
        np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), likely, rtol=1e-5)


def test_pipeline_and_grid_search():
    model = classifier(penalty="l1", max_iter=20, learning_rate_init=0.01)
    choices = {"alpha": [1e-4, 3.0], "penalty": ["l1", L1()]}
    grid = {f"sparsemlpclassifier__{name}": values for name, values in choices.items()}
    search = GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=3)
    search.fit(X[:500], Y[:500])
    assert search.best_params_["sparsemlpclassifier__alpha"] == 1e-4 and search.best_score_ > 0.8
    targets = np.column_stack((TARGETS, -TARGETS))
    assert regressor(max_iter=5).fit(INPUTS, targets).predict(INPUTS).shape == targets.shape


@pytest.mark.parametrize("make", [classifier, regressor])
def test_values_out_of_range_are_rejected(make):
    assert_rejects(type(make()), lambda **values: make((9,), **values).fit(X[:30], Y[:30]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"activation": "softsign"}, "activation must be one of 'relu', .*not 'softsign'"),
        ({"penalty": "l3"}, "penalty must be one of"),
        ({"alpha": -1}, "alpha must be at least 0, not -1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"connectivity": "set", "evolve_each": 1.5}, "evolve_each must be above 0 and below 1"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be at least 1"),
        ({"early_stopping": True, "validation_fraction": 1e-3}, "validation_fraction must hold|at"),
        ({"alpha": "lasso"}, "alpha must be one of 'path', not 'lasso'"),
        ({"alpha": "path"}, "alpha is 'path', but penalty is None"),
        ({"alpha": []}, "alpha has no strengths"),
        ({"alpha": [0.1, -1]}, r"alpha\[1\] must be at least 0"),
        ({"alpha": "path", "early_stopping": True}, "early_stopping is True and alpha is 'path'"),
    ],
)
def test_bad_parameters_are_named(options, words):
    model = classifier(**{"sizes": (30,), "max_iter": 1}).set_params(**options)
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(X[:300], Y[:300])


DIVERGING = {"solver": "sgd", "learning_rate_init": 1e6, "activation": "identity"}


@pytest.mark.parametrize(
    ("options", "fit", "words"),
    [
        ({"alpha": "path"}, {}, "alpha is 'path', but partial_fit needs one strength"),
        ({"early_stopping": True}, {}, "early_stopping must be False for partial_fit"),
        (DIVERGING, {"X_val": None}, "diverged in epoch .*smaller learning_rate_init"),
        ({}, {"X_val": INPUTS}, "X_val and y_val must be given together"),
    ],
)
def test_fits_that_cannot_be_say_why(options, fit, words):
    model = regressor(**options)
    with pytest.raises((ValueError, ArithmeticError), match=words):
        (model.fit if fit else model.partial_fit)(INPUTS, TARGETS, **fit)


def test_a_penalty_may_refuse_a_layer():
    class Tall(L1):
        def check(self, w, name="w"):
            if w.shape[0] < 40:
                raise ValueError(f"{name} must have 40 rows, not {w.shape[0]}")

    with pytest.raises(ValueError, match=r"coefs_\[1\] must have 40 rows, not 30"):
        classifier((30,), penalty=Tall(), max_iter=1).fit(X, Y)
    assert classifier((40,), penalty=Tall(), max_iter=1).fit(X, Y).n_iter_ == 1


# ------------------------------------------------------------------------------ a path of strengths


def noisy(n=1000, seed=0):
    """Inputs of which the first three matter, and what they say."""
    inputs = np.random.default_rng(seed).standard_normal((n, 12))
    return inputs, np.sin(2 * inputs[:, 0]) + np.maximum(inputs[:, 1], 0) - inputs[:, 2]


def test_group_lasso_drops_inputs_without_use():
    inputs, y = noisy(1000)
    options = {"penalty": "group_lasso", "alpha": 0.03, "learning_rate_init": 0.01}
    options |= {"max_iter": 100, "batch_size": 100, "record_each": 200}
    model = regressor((16,), **options).fit(inputs, y)
    left = np.flatnonzero((model.coefs_[0] != 0).any(axis=1))
    assert {0, 1, 2} <= set(left) and len(left) <= 4  # one of nine may be like the target by chance
    assert model.score(inputs, y) > 0.65
    assert np.isfinite(np.concatenate([w.ravel() for w in model.coefs_])).all()


@pytest.mark.parametrize("kind", ["path", "function", "sequence"])
def test_path_finds_the_inputs_that_matter(kind):
    inputs, y = noisy()
    strengths = np.geomspace(0.01, 0.1, 3)
    alpha = {"path": "path", "function": lambda X, y: strengths, "sequence": strengths}[kind]
    options = {"learning_rate_init": 0.01, "max_iter": 60}
    model = regressor((16,), penalty="group_lasso", alpha=alpha, **options).fit(inputs, y)
    found = np.flatnonzero(model.feature_importances_)
    assert {0, 1, 2} <= set(found) and len(found) <= 4
    path = model.path_
    assert model.alpha_ in path["alpha"] and (np.diff(path["alpha"]) > 0).all()
    assert path["n_inputs"][path["alpha"] == model.alpha_] == len(found)
    if kind == "path":
        plain, test = regressor((16,), **options).fit(inputs, y), noisy(seed=1)
        assert model.score(*test) > plain.score(*test) and not hasattr(plain, "path_")
    selector = SelectFromModel(model, prefit=True, threshold=1e-9)
    assert selector.transform(inputs).shape == (len(inputs), len(found))
    np.testing.assert_array_equal(np.flatnonzero(shrink(model).feature_importances_), found)


# ------------------------------------------------------------------------------ beside scikit-learn


def started_like(other, model, X, y):
    """Both with the start of `other`, ready to go on with warm_start."""
    rates = [(estimator.learning_rate_init, estimator.max_iter) for estimator in (other, model)]
    for estimator in (other, model):
        estimator.set_params(learning_rate_init=1e-30, max_iter=1, warm_start=True).fit(X, y)
    parts = zip(layers_of(model.module_), other.coefs_, other.intercepts_, strict=True)
    with torch.no_grad():
        for layer, w, b in parts:
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
def test_fit_learns_as_scikit_learn_does(kind, solver, rtol, is_weighted):
    inputs, y = (X.astype(float), Y) if kind == "classifier" else (INPUTS, TARGETS)
    inputs, y = inputs[:300, inputs[:300].std(axis=0) > 0.1], y[:300]
    theirs, ours = MLPRegressor, SparseMLPRegressor
    if kind == "classifier":
        theirs, ours = MLPClassifier, SparseMLPClassifier
    options = {**solver, "max_iter": 30, "batch_size": 300}
    only = {"alpha": 0, "nesterovs_momentum": False, "tol": 0, "n_iter_no_change": 1000}
    other = theirs(hidden_layer_sizes=(9, 7), random_state=0, **options, **only)
    other, model = started_like(other, ours((9, 7), random_state=1, **options), inputs, y)
    weight = np.random.default_rng(0).uniform(0, 3, 300) if is_weighted else None
    for estimator in (other, model):
        estimator.fit(inputs, y, sample_weight=weight)
    assert model.n_iter_ == 30 and model.loss_ < model.history_["loss"][0]
    assert model.loss_ == pytest.approx(other.loss_, rel=rtol)
    for a, b in zip(model.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def test_the_start_has_the_range_of_scikit_learn():
    model = classifier((40, 20), max_iter=1, learning_rate_init=1e-9).fit(X, Y)
    for w, b in zip(model.coefs_, model.intercepts_, strict=True):
        bound = (6 / sum(w.shape)) ** 0.5
        assert 0.95 * bound < abs(w).max() < bound and 0.6 * bound < abs(b).max() < bound


# ------------------------------------------------------------------------------- going on, stopping


def test_a_fit_in_parts_is_a_fit():
    options = {"penalty": "l1", "alpha": 1e-3, "connectivity": "set", "epsilon": 4}
    whole = classifier(max_iter=5, evolve_each=2, **options).fit(X, Y)
    parts = classifier(evolve_each=2, **options)
    for i in range(5):
        parts.partial_fit(X, Y, classes=np.arange(10) if i == 0 else None)
        parts = pickle.loads(pickle.dumps(parts))
    assert parts.n_iter_ == 1 and list(parts.history_["steps"]) == list(range(1, 6))
    for name in ("loss", "penalty", "zeros"):
        np.testing.assert_array_equal(parts.history_[name], whole.history_[name])
    for a, b in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_after_fit(solver):
    model = regressor(learning_rate_init=0.01, solver=solver, max_iter=3)
    before = model.fit(INPUTS, TARGETS, INPUTS, TARGETS).score(INPUTS, TARGETS)
    for places in 10 * np.array_split(np.arange(len(INPUTS)), 3):
        model.partial_fit(INPUTS[places], TARGETS[places])
    assert model.score(INPUTS, TARGETS) > before + 0.05
    assert "val_score" not in model.history_ and len(model.history_["steps"]) == 30


def test_later_parts_may_lack_classes_but_add_none():
    model, few = classifier((10,)), Y < 3
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        model.partial_fit(X, Y)
    model.partial_fit(X[few], Y[few], classes=range(9))
    assert model.predict_proba(X).shape == (len(X), 9)
    model.partial_fit(X[Y == 8], Y[Y == 8])
    with pytest.raises(ValueError, match=r"y must have classes of .*, not \[9\]"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match="classes must stay"):
        model.partial_fit(X[few], Y[few], classes=[0, 1, 2])


def test_a_warm_start_goes_on():
    model = classifier(max_iter=5, warm_start=True).fit(X, Y)
    first = model.loss_
    assert model.fit(X, Y).history_["loss"][0] < first and model.n_iter_ == 5
    assert model.fit(X[Y < 3], Y[Y < 3]).predict_proba(X).shape[1] == 10
    for name, value in (("hidden_layer_sizes", (30,)), ("activation", "tanh")):
        other = pickle.loads(pickle.dumps(model)).set_params(**{name: value})
        with pytest.raises(ValueError, match=f"{name} must stay .*not"):
            other.fit(X, Y)
    with pytest.raises(ValueError, match="features"):
        model.fit(X[:, :9], Y)
    assert model.set_params(warm_start=False).fit(X, Y).loss_ == first


def test_prune_shrink_fine_tune():
    options = {"penalty": "group_lasso", "alpha": 1e-3, "learning_rate_init": 3e-3}
    model = classifier((40, 20), max_iter=30, **options).fit(X[:1300], Y[:1300])
    smaller = shrink(model)
    sizes, n_records = [w.shape for w in smaller.coefs_], len(smaller.history_["steps"])
    smaller.set_params(penalty=None, warm_start=True, learning_rate_init=1e-3)
    smaller.fit(X[:1300], Y[:1300])
    assert smaller.loss_ < model.loss_ and [w.shape for w in smaller.coefs_] == sizes
    assert smaller.score(X[1300:], Y[1300:]) > model.score(X[1300:], Y[1300:]) - 0.02
    smaller = shrink(model).partial_fit(X, Y)
    assert list(smaller.history_["steps"]) == [1] and len(model.history_["steps"]) == n_records
    assert [w.shape for w in smaller.coefs_] == sizes


def test_early_stopping_keeps_the_best_network():
    options = {"n_iter_no_change": 5, "tol": 0.0, "learning_rate_init": 0.01}
    model = classifier(early_stopping=True, validation_fraction=0.2, record_each=1000, **options)
    scores = model.fit(X, Y).validation_scores_
    assert 10 < model.n_iter_ < 200 and len(scores) == model.n_iter_
    assert list(model.history_["steps"]) == [model.n_iter_]
    assert model.best_validation_score_ == max(scores) > 0.9
    rises = np.array(scores) >= np.maximum.accumulate([-1.0, *scores[:-1]])
    waits = np.diff(np.flatnonzero([*rises, True]))
    assert waits[-1] == 7 and max(waits[:-1]) <= 6
    rng = check_generator(0, "random_state")
    make_generator(rng)  # the network's draws come first
    held = hold_out(Supervised(np.arange(len(Y)), Y), 0.2, True, rng)[1].X
    assert len(held) == 360
    assert accuracy_score(Y[held], model.predict(X[held])) == max(scores)
    other = regressor(early_stopping=True, learning_rate_init=0.03).fit(INPUTS, TARGETS)
    assert other.n_iter_ < 200 and other.best_validation_score_ > 0.2


def test_sample_weights_count():
    model = classifier((10,), batch_size=len(X), max_iter=60, learning_rate_init=0.01)
    plain, ones = clone(model).fit(X, Y), clone(model).fit(X, Y, sample_weight=7 * np.ones(len(X)))
    np.testing.assert_allclose(ones.coefs_[0], plain.coefs_[0], atol=1e-4)
    some = (Y < 5).astype(float)
    half = clone(model).fit(X, Y, sample_weight=some)
    assert np.isin(half.predict(X[some > 0]), range(5)).mean() > 0.95 and len(half.classes_) == 10
    assert half.score(X, Y, some) > 0.5 and half.history_["score"][-1] == half.score(X, Y, some)
    for weight, words in ((-some, "[Nn]egative"), (0 * some, "must be above 0|non-zero")):
        with pytest.raises(ValueError, match=words):
            clone(model).fit(X, Y, sample_weight=weight)


def test_progress_shows_epochs_and_loss(capsys):
    classifier((5,), max_iter=3).fit(X, Y)
    assert capsys.readouterr() == ("", "")
    model = classifier((5,), max_iter=3, verbose=True).fit(X, Y)
    out, shown = capsys.readouterr()
    assert out == "" and "3/3" in shown and f"loss={model.loss_:.3g}" in shown
