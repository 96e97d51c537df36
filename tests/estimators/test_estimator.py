import numpy as np
import pytest
from making import make, planted
from sklearn.utils.estimator_checks import parametrize_with_checks

from shl import SparseCoder, SparseHebbianLearning
from shl.learning.homeostasis import RULES

QUICK = {"n_iter": 4}
LASSO = {"n_iter": 3, "homeo_method": "None", "l0_sparseness": 1, "random_state": 0}
MODELS = [
    SparseHebbianLearning(n_iter=20),
    SparseHebbianLearning(**QUICK, homeo_method="HEH", do_sym=True),
    SparseHebbianLearning(**QUICK, do_precision=True, eta_precision=0.1),
    SparseHebbianLearning(**QUICK, positive_code=True, positive_dict=True),
    SparseHebbianLearning(**QUICK, split_sign=True, record_each=2, record_num_batches=0),
    SparseHebbianLearning(**LASSO, learning_algorithm="lasso_cd"),
    SparseCoder(),
    SparseCoder(algorithm="threshold", split_sign=True, sparse_output=True),
]
MORE = [
    *(SparseHebbianLearning(**QUICK, homeo_method=rule) for rule in RULES),
    SparseHebbianLearning(**QUICK, do_sym=True),
    SparseHebbianLearning(**QUICK, transform_algorithm="threshold", transform_fit_tol=0.1),
    *(
        SparseHebbianLearning(**LASSO, learning_algorithm=algorithm)
        for algorithm in ("lars", "lasso_lars", "elastic", "threshold")
    ),
    *(SparseCoder(algorithm=algorithm) for algorithm in ("mp", "lasso_cd", "threshold")),
    SparseCoder(split_sign=True, sparse_output=True),
]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")


@parametrize_with_checks(MODELS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(MORE)
def test_scikit_learn_checks_of_more_models(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def X():
    return planted(np.random.default_rng(0), n_samples=800, n_pixels=25, n_atoms=30)[0]


@pytest.fixture
def model(X):
    return make(record_each=5, record_num_batches=100).fit(X)


def test_transform_under_another_competition(model, X):
    gain = np.linspace(0.5, 1.5, 20)
    own = model.transform(X, gain=gain)
    table = model.transform(X, algorithm="mp", P_cum=model.P_cum_)
    more = model.transform(X, l0_sparseness=6)
    assert not np.array_equal(own, model.transform(X)) and not np.array_equal(table, own)
    assert (more != 0).sum() > (own != 0).sum()


def test_records_have_the_names_of_the_study(model):
    names = "steps F F_own error error_own qerror perror KL KS logL MI MC entropy kurt var gain"
    names = {*names.split(), "prob_active", "cv_own", "counts_own", "cputime"}
    assert set(model.record_) == names
    np.testing.assert_array_equal(model.record_["steps"], [0, 5, 10, 15, 20])
    assert model.record_["kurt"].shape == (5, 20)
    np.testing.assert_allclose(
        model.record_["F"], model.record_["error"] + 0.0005 * model.record_["qerror"]
    )
    frame = model.record_.to_frame()
    assert frame.index.name == "steps" and len(frame) == 5
    with pytest.raises(KeyError, match="'nonsense' was not recorded"):
        model.record_["nonsense"]


def test_held_out_patches_are_not_learned(X):
    options = {"n_iter": 8, "record_num_batches": 150, "record_each": 4, "batch_size": 100}
    options["n_dictionary"] = 30  # of fewer, held-out patches decide whether atoms shrink
    model = make(**options).fit(X)
    order = np.random.default_rng(0)
    order.integers(2**63)
    held_out = X[np.sort(order.permutation(len(X))[:150])]
    changed = X.copy()
    changed[(X[:, None] == held_out[None]).all(axis=2).any(axis=1)] = 1.0
    np.testing.assert_array_equal(make(**options).fit(changed).components_, model.components_)


@pytest.mark.parametrize(
    "new", [lambda: None, lambda: 3, np.random.default_rng, np.random.RandomState]
)
def test_random_states(X, new):
    """Equal states learn equal bits, None never the same; a generator goes on from fit to fit."""

    def learn(random_state):
        return make(n_iter=2, random_state=random_state).fit(X).components_

    seed = () if new() in (None, 3) else (0,)
    state = new(*seed)
    first, second, again = learn(state), learn(state), learn(new(*seed))
    assert np.array_equal(first, again) == (state is not None)
    assert np.array_equal(first, second) == isinstance(state, int)


def test_equal_fits_save_equal_bytes_but_for_times(tmp_path, rng, monkeypatch):
    X = rng.standard_normal((300, 16))
    one, two = (make(n_iter=9, record_each=3).fit(X) for _ in range(2))
    one.save(tmp_path / "times.npz")
    loaded = SparseHebbianLearning.load(tmp_path / "times.npz")
    assert loaded.seconds_ == one.seconds_ > 0
    np.testing.assert_array_equal(loaded.record_["cputime"], one.record_["cputime"])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    one.save(tmp_path / "one.npz")
    two.save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    loaded = SparseHebbianLearning.load(tmp_path / "one.npz")
    assert loaded.seconds_ == 0 and np.isnan(loaded.record_["cputime"]).all()
    for name in ("F", "error", "entropy"):
        np.testing.assert_array_equal(loaded.record_[name], one.record_[name])
    assert loaded.partial_fit(X).n_iter_ > one.n_iter_
