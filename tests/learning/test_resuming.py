"""An interrupt, a file and a pickle: learning resumes with the bits of one that went on."""

import copy
import pickle

import numpy as np
import pytest
from making import interrupted, make, planted

from shl import SparseHebbianLearning
from shl.learning.homeostasis import HEH, ActivationRule
from shl.learning.replacement import Replacement

PRECISION = {"do_precision": True, "eta_precision": 0.05}
OPTIONS = {
    "defaults": {},
    "full competition": {"homeo_fade": None, "learning_algorithm": "mp"},
    "no rule": {"homeo_method": "None", "homeo_fade": None, "replace": False},
    "OLS, precision": {"homeo_method": "OLS", **PRECISION},
    "HEH, precision": {"homeo_method": "HEH", "homeo_fade": None, "C": 0, **PRECISION},
    "HEH, scale": {"homeo_method": "HEH", "C": 3.0, "n_iter": 200},
    "HEH2019": {"homeo_method": "HEH2019", "homeo_fade": None, "C": 0},
    "HEH2019, scale": {"homeo_method": "HEH2019", "C": 3.0, "replace": False},
    "replacement": {"n_iter": 400, "replace": Replacement(each=3, min_age=5)},
    "positive atoms": {"positive_dict": True},
    "adam": {"optimizer": "adam", "eta_decay": (0.3, 0.1)},
    "whiten std": {"whiten": "std"},
    "whiten zca": {"whiten": "zca", "missing": "error"},
}


@pytest.fixture(scope="module")
def X():
    scales = np.random.default_rng(1).lognormal(0, 0.3, 16)
    return planted(np.random.default_rng(0), 1500, n_pixels=16, n_atoms=20)[0] * scales


def assert_same(found, wanted, X):
    assert found.get_params() == wanted.get_params()
    for name in ("components_", "P_cum_", "precision_", "C_", "n_iter_", "n_dead_", "n_replaced_"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
    for name in ("gain", "P_cum", "C"):
        pair = (getattr(model.competition_, name) for model in (found, wanted))
        np.testing.assert_array_equal(*pair, err_msg=name)
    assert set(found.record_) == set(wanted.record_)
    for name in set(wanted.record_) - {"cputime"}:
        np.testing.assert_array_equal(found.record_[name], wanted.record_[name], err_msg=name)
    options = {"algorithm": "mp", "competition": wanted.competition_}
    for ways in ({}, options):
        np.testing.assert_array_equal(found.transform(X, **ways), wanted.transform(X, **ways))


@pytest.mark.parametrize("name", OPTIONS)
def test_learning_survives_stops_and_files(X, name, tmp_path):
    options = {"n_iter": 40, "batch_size": 64, "record_each": 10, "record_num_batches": 100}
    options |= OPTIONS[name]
    model = make(**options).fit(X)
    assert model.n_replaced_ >= len(model.replaced_)
    assert model.n_replaced_ or name != "replacement"
    again = make(**options).fit(X, resume=interrupted(make(**options), X, 23))
    assert_same(again, model, X)
    for _ in range(2):  # after `fit`, and after a pass more
        model.save(tmp_path / "model.npz")
        copies = SparseHebbianLearning.load(tmp_path / "model.npz"), copy.deepcopy(model)
        model.partial_fit(X[:500])
        for each in copies:
            assert_same(pickle.loads(pickle.dumps(each)).partial_fit(X[:500]), model, X)


class Root(ActivationRule):
    def gain(self, p, target):
        return np.sqrt(target / p)


@pytest.mark.parametrize("rule", [Root(), HEH(C=1.5)])
def test_a_user_defined_rule_and_a_file(X, rule, tmp_path):
    model = make(homeo_method=rule, homeo_fade=None).fit(X)
    model.save(tmp_path / "own.npz")
    for options in ({}, {"homeo_method": rule}):
        loaded = SparseHebbianLearning.load(tmp_path / "own.npz", **options)
        for name in ("gain", "P_cum", "C"):
            pair = (getattr(each.competition_, name) for each in (loaded, model))
            np.testing.assert_array_equal(*pair)
        np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    if isinstance(rule, Root):
        assert not np.allclose(model.gain_, 1)
    else:
        assert loaded.competition_.C == 1.5
