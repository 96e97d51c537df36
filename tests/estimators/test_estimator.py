import pickle

import numpy as np
import pytest
from making import planted
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from shl import SparseCoder, SparseHebbianLearning
from shl.learning.homeostasis import RULES

QUICK = {"n_iter": 4}
MODELS = [
    SparseHebbianLearning(n_iter=20),
    *(SparseHebbianLearning(**QUICK, homeo_method=rule) for rule in RULES),
    SparseHebbianLearning(**QUICK, do_sym=True),
    SparseHebbianLearning(**QUICK, do_precision=True, eta_precision=0.1),
    SparseHebbianLearning(**QUICK, positive_code=True, positive_dict=True),
    SparseHebbianLearning(**QUICK, split_sign=True, record_each=2, record_num_batches=0),
    SparseHebbianLearning(**QUICK, transform_algorithm="threshold", transform_fit_tol=0.1),
    *(
        SparseHebbianLearning(
            n_iter=3, learning_algorithm=algorithm, homeo_method="None", l0_sparseness=1
        )
        for algorithm in ("lars", "lasso_lars", "lasso_cd", "elastic", "threshold")
    ),
    *(SparseCoder(algorithm=algorithm) for algorithm in ("omp", "mp", "lasso_cd", "threshold")),
    SparseCoder(split_sign=True, sparse_output=True),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
# Some checks learn from repeated samples, whose lasso may have no unique code.
@pytest.mark.filterwarnings("ignore:.* samples have a code whose:UserWarning")
@parametrize_with_checks(MODELS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def X():
    return planted(np.random.default_rng(0), n_samples=800, n_pixels=25, n_atoms=30)[0]


@pytest.fixture
def model(X):
    return SparseHebbianLearning(
        30, l0_sparseness=3, n_iter=20, random_state=0, record_each=5, record_num_batches=100
    ).fit(X)


def test_init_only_assigns(model):
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "components_")


def test_pickle_and_file_give_the_same_model(model, X, tmp_path):
    model.save(tmp_path / "model.npz")
    for copy in (
        pickle.loads(pickle.dumps(model)),
        SparseHebbianLearning.load(tmp_path / "model.npz"),
    ):
        np.testing.assert_array_equal(copy.transform(X), model.transform(X))
        assert copy.get_params() == model.get_params()
        assert set(copy.record_) == set(model.record_)
        np.testing.assert_array_equal(copy.record_["prob_active"], model.record_["prob_active"])
        assert (copy.n_iter_, copy.n_dead_) == (model.n_iter_, model.n_dead_)
        copy.partial_fit(X)
        np.testing.assert_array_equal(copy.components_, clone_state(model, X).components_)


def clone_state(model, X):
    """A model that took one pass more, from the same state."""
    return pickle.loads(pickle.dumps(model)).partial_fit(X)


def test_load_refuses_what_is_not_a_model(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other.npz", "text.npz"):
        with pytest.raises(ValueError, match="damaged or was not written by shl"):
            SparseHebbianLearning.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        SparseHebbianLearning.load(tmp_path / "missing.npz")


def test_partial_fit_takes_one_step_a_batch(X):
    model = SparseHebbianLearning(
        30, l0_sparseness=3, batch_size=100, random_state=0, record_each=10
    )
    model.partial_fit(X[:100])
    assert model.n_iter_ == 1
    model.partial_fit(X)
    assert model.n_iter_ == 9
    error = np.linalg.norm(X - model.inverse_transform(model.transform(X)))
    for _ in range(10):
        model.partial_fit(X)
    assert np.linalg.norm(X - model.inverse_transform(model.transform(X))) < error


def test_fit_starts_anew(X):
    model = SparseHebbianLearning(30, l0_sparseness=3, n_iter=10, random_state=0)
    first = model.fit(X).components_.copy()
    np.testing.assert_array_equal(model.fit(X).components_, first)


def test_dense_and_sparse_codes_decode_alike(model, X):
    code = model.transform(X)
    sparse = clone(model).set_params(sparse_output=True).fit(X).transform(X)
    np.testing.assert_array_equal(sparse.toarray(), code)
    np.testing.assert_allclose(
        model.inverse_transform(sparse), model.inverse_transform(code), atol=1e-5
    )
    assert list(model.get_feature_names_out()[:2]) == [
        "sparsehebbianlearning0",
        "sparsehebbianlearning1",
    ]


def test_transform_under_another_competition(model, X):
    gain = np.linspace(0.5, 1.5, 30)
    own = model.transform(X, gain=gain)
    table = model.transform(X, algorithm="mp", P_cum=model.P_cum_)
    more = model.transform(X, l0_sparseness=6)
    assert not np.array_equal(own, model.transform(X)) and not np.array_equal(table, own)
    assert (more != 0).sum() > (own != 0).sum()


def test_records_have_the_names_of_the_study(model):
    names = {
        "steps",
        "F",
        "F_own",
        "error",
        "error_own",
        "qerror",
        "perror",
        "KL",
        "KS",
        "logL",
        "MI",
        "MC",
        "entropy",
        "kurt",
        "var",
        "prob_active",
        "cv_own",
        "counts_own",
        "gain",
        "cputime",
    }
    assert set(model.record_) == names
    np.testing.assert_array_equal(model.record_["steps"], [0, 5, 10, 15, 20])
    assert model.record_["kurt"].shape == (5, 30)
    np.testing.assert_allclose(
        model.record_["F"], model.record_["error"] + 0.0005 * model.record_["qerror"]
    )
    frame = model.record_.to_frame()
    assert frame.index.name == "steps" and len(frame) == 5
    with pytest.raises(KeyError, match="'nonsense' was not recorded"):
        model.record_["nonsense"]


def test_held_out_patches_are_not_learned(X):
    options = {
        "l0_sparseness": 3,
        "n_iter": 8,
        "record_num_batches": 150,
        "record_each": 4,
        "random_state": 0,
    }
    model = SparseHebbianLearning(30, batch_size=100, **options).fit(X)
    order = np.random.default_rng(0)
    order.integers(2**63)
    held_out = X[np.sort(order.permutation(len(X))[:150])]
    changed = X.copy()
    changed[(X[:, None] == held_out[None]).all(axis=2).any(axis=1)] = 1.0
    np.testing.assert_array_equal(
        SparseHebbianLearning(30, batch_size=100, **options).fit(changed).components_,
        model.components_,
    )


def test_start_values_are_used(X):
    start = np.eye(25, dtype=np.float32)
    options = {"optimizer": "adam", "eta": 1e-9, "learning_algorithm": "mp"}
    model = SparseHebbianLearning(25, n_iter=1, dict_init=start, random_state=0, **options).fit(X)
    np.testing.assert_allclose(model.components_, start, atol=1e-6)
    ramp = np.tile(np.linspace(0, 1, 64) ** 0.1, (25, 1))
    model = SparseHebbianLearning(
        25,
        n_iter=1,
        nb_quant=64,
        C=3.0,
        P_cum_init=ramp,
        homeo_method="HEH",
        eta_homeo=0.0,
        random_state=0,
    ).fit(X)
    np.testing.assert_allclose(model.P_cum_, ramp, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"n_dictionary": 0}, ValueError, "n_dictionary must be at least 1.*not 0"),
        ({"n_dictionary": 10**6}, ValueError, "n_dictionary must be.*at most 1600"),
        ({"n_dictionary": 2.5}, TypeError, "n_dictionary must be an integer, not 2.5"),
        ({"l0_sparseness": 100}, ValueError, "l0_sparseness.*at most 50"),
        ({"batch_size": 801}, ValueError, "batch_size.*at most 800.*not 801"),
        ({"record_num_batches": -1}, ValueError, "record_num_batches must be at least 0"),
        ({"eta_decay": 0.6}, TypeError, "eta_decay must be a pair .start, end. or None, not 0.6"),
        ({"eta_decay": (0.6, 2.0)}, ValueError, "eta_decay end must be at least 0 and at most 1"),
        ({"replace": "yes"}, TypeError, "replace must be True or False, not 'yes'"),
        ({"n_iter": -1}, ValueError, "n_iter must be at least 1.*not -1"),
        ({"eta": 0.0}, ValueError, "eta must be above 0, not 0.0"),
        ({"eta": "fast"}, TypeError, "eta must be a number, not 'fast'"),
        ({"beta1": 1.0}, ValueError, "beta1 must be at least 0 and below 1, not 1.0"),
        ({"homeo_method": "HIP"}, ValueError, "homeo_method must be one of 'None'.*not 'HIP'"),
        ({"homeo_method": object()}, TypeError, "homeo_method must be one of"),
        (
            {"learning_algorithm": "cd"},
            ValueError,
            "learning_algorithm must be one of 'mp'.*not 'cd'",
        ),
        ({"eta_homeo": 2.0}, ValueError, "eta_homeo must be at least 0 and at most 1"),
        ({"alpha_homeo": 0}, ValueError, "alpha_homeo must be above 0"),
        ({"C": -1.0}, ValueError, "C must be at least 0, not -1.0"),
        ({"nb_quant": 1}, ValueError, "nb_quant must be at least 2"),
        (
            {"dict_init": np.ones((3, 4))},
            ValueError,
            r"dict_init must have shape \(3, 25\), not \(3, 4\)",
        ),
        ({"dict_init": np.zeros((50, 25))}, ValueError, "dict_init must have no row of zeros"),
        (
            {"do_precision": True, "learning_algorithm": "omp"},
            ValueError,
            "do_precision needs learning_algorithm='mp'",
        ),
    ],
)
def test_bad_parameters_are_named(X, change, error, words):
    with pytest.raises(error, match=words):
        SparseHebbianLearning(**{"n_iter": 2, "random_state": 0, **change}).fit(X)


def test_one_over_f_needs_square_patches():
    X = np.random.default_rng(0).standard_normal((50, 24))
    with pytest.raises(ValueError, match="one_over_F needs square patches"):
        SparseHebbianLearning(one_over_F=True, n_iter=1).fit(X)


@pytest.mark.parametrize(
    ("make", "is_fresh"),
    [
        (lambda: None, True),
        (lambda: 3, False),
        (lambda: np.random.default_rng(0), False),
        (lambda: np.random.RandomState(0), False),
    ],
    ids=["None", "int", "Generator", "RandomState"],
)
def test_random_states(X, make, is_fresh):
    """Equal states learn equal bits, None never the same; a generator goes on from fit to fit."""

    def learn(random_state):
        model = SparseHebbianLearning(30, n_iter=2, l0_sparseness=3, random_state=random_state)
        return model.fit(X).components_

    state = make()
    first, second, again = learn(state), learn(state), learn(make())
    assert np.array_equal(first, again) != is_fresh
    assert np.array_equal(first, second) == isinstance(state, int)


def test_equal_fits_save_equal_bytes_but_for_times(tmp_path, rng, monkeypatch):
    X = rng.standard_normal((300, 16))
    options = {"n_dictionary": 20, "n_iter": 9, "record_each": 3, "random_state": 0}
    one, two = (SparseHebbianLearning(**options).fit(X) for _ in range(2))
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
