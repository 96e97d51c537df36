import numpy as np
import pytest
from making import make, some_slow

from shl import SparseHebbianLearning
from shl._base.devices import is_tensor
from shl.learning import stopping
from shl.learning.homeostasis import RULES
from shl.learning.replacement import Replacement

OFTEN = Replacement(each=1, window=(0, 1), min_age=1, margin=0, floor=0, least_cosine=0)


@pytest.fixture
def X():
    return np.random.default_rng(2).standard_normal((18, 6))


def model(**options):
    parameters = {"n_dictionary": 7, "l0_sparseness": 2, "batch_size": 6, "n_iter": 3}
    parameters |= {"nb_quant": 8, "eta_homeo": 0.1, "homeo_fade": None, "replace": False}
    return make(**parameters | options)


def compare(put, get, X, fit=lambda m, X, put: m.fit(X), atol=1e-9, **options):
    """A model learned on the device and one on the CPU: the same within rounding."""
    here, there = (fit(model(**options), place(X), place) for place in (np.array, put))
    np.testing.assert_allclose(get(there.components_), here.components_, atol=atol)
    assert (there.n_dead_, there.n_replaced_) == (here.n_dead_, here.n_replaced_)
    return here, there


@pytest.mark.parametrize("rule", some_slow(["HEH", *sorted(set(RULES) - {"HEH"})]))
def test_every_rule_learns_as_on_the_cpu(put, get, X, rule):
    here, there = compare(put, get, X, homeo_method=rule, learning_algorithm="mp", C=0)
    np.testing.assert_allclose(get(there.P_cum_), here.P_cum_, atol=1e-12)
    if here.gain_ is not None:
        np.testing.assert_allclose(get(there.gain_), here.gain_, rtol=1e-9)
    arrays = there.components_, there.P_cum_, there._state.last_selected
    assert all(map(is_tensor, (*arrays, *there._state.moments.values())[:5]))


def test_omp_with_replacement_fading_and_decay(put, get, X):
    here, _ = compare(put, get, X, replace=OFTEN, homeo_fade=(0.2, 0.8), eta_decay=(0.3, 0.1))
    assert here.n_replaced_ > 1


@pytest.mark.slow
def test_precision_positive_atoms_and_weights(put, get, X):
    weights = np.random.default_rng(3).uniform(0, 2, len(X))
    weights[:4] = 0

    def fit(model, X, place):
        return model.fit(X, sample_weight=place(weights))

    options = {"do_precision": True, "eta_precision": 0.1, "positive_dict": True, "replace": OFTEN}
    here, there = compare(put, get, X, fit, homeo_method="HEH", C=0, **options)
    np.testing.assert_allclose(get(there.precision_), here.precision_, rtol=1e-9)


@pytest.mark.slow
def test_the_plain_gradient(put, get, X):
    options = {"optimizer": "adam", "beta1": 0, "eta": 0.5}
    compare(put, get, X, **options, learning_algorithm="mp", n_iter=2)


@pytest.mark.parametrize("n_held_out", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_records_are_those_of_the_cpu(put, get, X, n_held_out):
    options = {"record_each": 2, "record_num_batches": n_held_out, "homeo_method": "HAP"}
    here, there = compare(put, get, X, **options)
    assert list(there.record_) == list(here.record_)
    for name in set(here.record_) - {"cputime"}:
        assert isinstance(there.record_[name], np.ndarray)
        np.testing.assert_allclose(there.record_[name], here.record_[name], atol=1e-9)


@pytest.mark.slow
def test_early_stopping(put, get, monkeypatch, X):
    monkeypatch.setattr(stopping, "FEWEST_STEPS", 1)
    here, there = compare(put, get, X, tol=0.5, n_iter_no_change=1, n_iter=12)
    assert there.n_iter_ == here.n_iter_ < 12


def test_partial_fit_saved_and_loaded_goes_on_anywhere(put, get, X, tmp_path):
    def fit(model, X, place):
        model.partial_fit(X).save(tmp_path / "model.npz")
        return SparseHebbianLearning.load(tmp_path / "model.npz").partial_fit(X)

    _, there = compare(put, get, X, fit, homeo_method="HEH", C=2)
    assert is_tensor(there.components_)
    back = there.partial_fit(X)  # in the host's memory
    assert not is_tensor(back.components_) and not is_tensor(back.P_cum_)


@pytest.mark.slow
def test_a_fit_that_stopped_goes_on(put, get, X):
    def fit(model, X, place):
        model.fit(X, on_step=lambda state: state.step == 2)
        return model.fit(X, resume=model._state)

    compare(put, get, X, fit, replace=OFTEN)


def test_the_same_seed_gives_the_same_bits(put, get, X):
    first, second = (get(model(replace=OFTEN).fit(put(X)).components_) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_float32_is_kept_and_codes_come_back(put, get, X):
    X = X.astype(np.float32)
    here, there = compare(put, get, X, atol=1e-3)
    assert get(there.components_).dtype == np.float32
    code = there.transform(put(X))
    np.testing.assert_allclose(get(code), there.transform(X), atol=1e-4)
    assert isinstance(there.transform(X), np.ndarray)
    decoded = there.inverse_transform(code)
    np.testing.assert_allclose(get(decoded), get(code) @ get(there.components_), atol=1e-5)
    competing = there.transform(put(X), competition=there.competition_)
    assert get(competing).shape == code.shape


@pytest.mark.slow
def test_batches_of_a_stream(put, get, X):
    def fit(model, X, place):
        return model.fit(part for part in (X[:6], X[6:12]))

    compare(put, get, X, fit, n_iter=2)


def test_a_sample_beside_which_others_vanish_is_named(put, X):
    X = X.astype(np.float32)
    X[7] = 1e30
    with pytest.raises(ValueError, match=r"sample 7 of X holds 1e\+30, and most samples are so"):
        model(learning_algorithm="mp", batch_size=18).fit(put(X))


def test_columns_must_be_those_of_learning(put, X):
    learned = model(n_iter=1).fit(put(X))
    with pytest.raises(ValueError, match="X has 5 features, but SparseHebbianLearning is expect"):
        learned.transform(put(X[:, :5]))
    with pytest.raises(TypeError, match="sample_weight must be an array on a GPU"):
        learned.fit(put(X), sample_weight=np.ones(len(X)))
