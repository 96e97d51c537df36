"""A step that overflows, diverges or whose rule fails leaves the model at the last good step."""

import numpy as np
import pytest
from making import make, small_model

from shl import SHL
from shl.coding.competition import Competition
from shl.learning.homeostasis import ActivationRule, Plain
from shl.learning.state import to_arrays

OPTIONS = {"n_iter": 12, "batch_size": 50}
PLAIN = {"optimizer": "adam", "beta1": 0.0}


def patches(n_samples=200, dtype=np.float32):
    return np.random.default_rng(0).standard_normal((n_samples, 16)).astype(dtype)


def photos(n_images=6):
    return np.random.default_rng(0).standard_normal((n_images, 1, 14, 14)).astype(np.float32)


MODELS = {
    "HAP": (make(**OPTIONS), patches),
    "HEH": (make(**OPTIONS, homeo_method="HEH"), patches),
    "plain gradient": (make(**OPTIONS, **PLAIN), patches),
    "precision": (make(**OPTIONS, do_precision=True, eta_precision=0.1), patches),
    "images": (small_model(n_dictionary=5, l0_sparseness=4, n_iter=4, batch_size=3), photos),
}


def all_of(model):
    """Everything a model has learned, as arrays and numbers."""
    arrays, info = to_arrays(model._state)
    return {name: array.copy() for name, array in arrays.items()}, info["step"], model.n_iter_


def assert_equal(found, wanted):
    assert found[0].keys() == wanted[0].keys() and found[1:] == wanted[1:]
    for name, array in wanted[0].items():
        np.testing.assert_array_equal(found[0][name], array, err_msg=name)


@pytest.mark.parametrize("value", [1e6, 1e12, 1e25, 3e38, -1e25])
@pytest.mark.parametrize("name", MODELS)
def test_a_sample_that_overflows_changes_nothing(name, value):
    model, draw = MODELS[name]
    X = draw()
    model.fit(X)
    before, bad = all_of(model), X[: model.batch_size].copy()
    bad[1].flat[5] = value
    # Float32 holds its squares; Newton's step sees a sample that is scaled down.
    if abs(value) < (1e18 if getattr(model, "optimizer", "") == "newton" else 1e9):
        model.partial_fit(bad)
        assert np.isfinite(model.components_).all()
        return
    named = r"sample 1 of X|X must hold no number .* at \(1, 0, 0, 5\)"
    with pytest.raises((FloatingPointError, ValueError), match=named):
        model.partial_fit(bad)
    assert_equal(all_of(model), before)
    untouched = model.transform(X)
    model.partial_fit(X[: model.batch_size])
    assert model.n_iter_ == before[2] + 1
    assert np.isfinite(model.components_).all() and untouched is not None


@pytest.mark.parametrize("learn", ["fit", "partial_fit"])
def test_a_sample_beside_which_others_vanish_is_named(learn):
    bad = patches(50)
    bad[7, 2] = 1e30
    model = make(**OPTIONS)
    with pytest.raises(ValueError, match=r"sample 7 of X holds 1e\+30, and most samples are so"):
        getattr(model, learn)(bad)
    assert not hasattr(model, "components_")
    getattr(model, learn)(bad.astype(np.float64))  # which holds all squares
    bad[7, 2] = 1e12
    model.fit(bad)


def test_divergence_stores_no_checkpoint(tmp_path):
    options = {"height": 64, "width": 64, "patch_width": 8, "N_patches": 600, "n_iter": 400}
    options |= {"n_dictionary": 30, "l0_sparseness": 3, "batch_size": 100, "record_each": 0}
    shl = SHL(**options, eta=1e300, beta1=0, cache_dir=tmp_path, checkpoint_each=1)
    with pytest.raises(FloatingPointError, match=r"diverged in step 1: a smaller eta than 1e\+300"):
        shl.learn_dico(matname="bad")
    assert not list(tmp_path.glob("*.checkpoint"))


def test_a_rate_that_is_too_high_changes_nothing():
    X = patches()
    model = make(**OPTIONS, **PLAIN).fit(X)
    before = all_of(model)
    with pytest.raises(FloatingPointError, match="a smaller eta than 1e"):
        model.set_params(eta=1e200).partial_fit(X)
    assert_equal(all_of(model), before)
    model.set_params(eta=0.01).partial_fit(X)
    assert model.n_iter_ == before[2] + 4


class Faulty(ActivationRule):
    """A rule whose gain is bad from the n-th step on."""

    def __init__(self, make, good=3):
        super().__init__()
        self.make, self.good = make, good

    def update(self, state, code):
        return {**super().update(state, code), "n": state["n"] + 1}

    def init(self, n_dictionary, activity, dtype):
        return {**super().init(n_dictionary, activity, dtype), "n": np.array(0)}

    def competition(self, state):
        if state["n"] < self.good:
            return super().competition(state)
        return self.make(len(state["p"]))

    def gain(self, p, target):
        return np.ones_like(p)


def table(n, change=None):
    P_cum = np.tile(np.linspace(0, 1, 16), (n, 1))
    if change is not None:
        P_cum[change] = P_cum[change][::-1]
    return Competition(P_cum=P_cum, C=1.0)


def raising(error):
    def make(n):
        raise error

    return make


BAD = {
    "too short": (lambda n: Competition(gain=np.ones(n - 1)), ValueError, "gain must have shape"),
    "too long": (lambda n: Competition(gain=np.ones(n + 5)), ValueError, "gain must have shape"),
    "NaN": (lambda n: Competition(gain=np.full(n, np.nan)), ValueError, "gain must hold no NaN"),
    "infinite": (lambda n: Competition(gain=np.full(n, np.inf)), ValueError, "gain must hold no"),
    "negative": (lambda n: Competition(gain=-np.ones(n)), ValueError, "gain must be at least 0"),
    "complex": (lambda n: Competition(gain=1j * np.ones(n)), ValueError, "gain must be an array"),
    "2-D": (lambda n: Competition(gain=np.ones((n, 2))), ValueError, "gain must have 1 axes"),
    "both": (lambda n: Competition(np.ones(n), table(n).P_cum, 1.0), ValueError, "one of them"),
    "decreasing": (lambda n: table(n, 1), ValueError, "P_cum must be non-decreasing"),
    "wrong atoms": (lambda n: table(n + 1), ValueError, "P_cum must have shape"),
    "no C": (lambda n: Competition(P_cum=table(n).P_cum), ValueError, "C must be given"),
    "C of 0": (lambda n: Competition(P_cum=table(n).P_cum, C=0.0), ValueError, "C must be above"),
    "an array": (lambda n: np.ones(n), TypeError, "must return a Competition"),
    "None": (lambda n: None, TypeError, "must return a Competition"),
    "KeyError": (raising(KeyError("lost")), KeyError, "lost"),
    "interrupt": (raising(KeyboardInterrupt("now")), KeyboardInterrupt, "now"),
}


@pytest.mark.parametrize("good", [0, 3])
@pytest.mark.parametrize("how", BAD)
def test_a_rule_that_fails_changes_nothing(how, good):
    compete, kind, words = BAD[how]
    X = patches(300)
    model = make(**OPTIONS)
    model.set_params(homeo_method=Faulty(compete, good))
    with pytest.raises(kind, match=words) as caught:
        model.partial_fit(X)
    if good and kind in (ValueError, TypeError):
        assert "homeo_method" in str(caught.value) and "Faulty" in str(caught.value)
    if not good:
        assert not hasattr(model, "components_")
        return
    assert model.n_iter_ == 2
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1, atol=1e-5)


def test_a_rule_that_fails_is_undone():
    class Greedy(Plain):
        def init(self, n_dictionary, activity, dtype):
            return {"seen": np.zeros(n_dictionary)}

        def update(self, state, code):
            state["seen"] += code.counts()
            if state["seen"].sum() > 200:
                raise ZeroDivisionError("enough")
            return state

    model = make(**OPTIONS, homeo_method=Greedy())
    with pytest.raises(ZeroDivisionError, match="enough"):
        model.partial_fit(patches(300))
    assert model.n_iter_ == 1 and 0 < model._state.homeostasis["seen"].sum() <= 200
