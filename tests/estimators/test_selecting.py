"""The sizes of a dictionary, from the data."""

import numpy as np
import pytest

import shl
from shl import SparseHebbianLearning, plotting
from shl.datasets import make_sparse_coded_signals

AUTO = {"n_iter": 200, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    return make_sparse_coded_signals(3000, 24, 32, 2, noise=0.05, random_state=0)[0]


def test_planted_sizes_are_selected():
    X = make_sparse_coded_signals(5000, 24, 32, 2, noise=0.05, random_state=0)[0]
    found = [shl.select(X, guess, n_iter=200) for guess in (48, 64, 96)]
    for selection in found:
        assert selection.has_minimum and selection.l0_sparseness == 2
        assert 27 <= selection.n_dictionary <= 38
        curve = selection.curve
        assert curve["sigma"][curve["length"].argmin()] == pytest.approx(0.05, rel=0.1)
        assert (np.diff(curve["n_dictionary"]) < 0).all()
    fig, ax = plotting.plot_selection(found[0])
    assert len(ax.lines[0].get_xdata()) == len(found[0].curve["length"])


def test_without_a_minimum_the_guess_stays(rng):
    """A guess below the number of atoms: each atom that leaves costs."""
    X = make_sparse_coded_signals(3000, 24, 60, 2, noise=0.05, random_state=0)[0]
    selection = shl.select(X, 30, n_iter=300)
    assert not selection.has_minimum
    assert (selection.n_dictionary, selection.l0_sparseness) == (30, 2)


def test_auto_learns_with_the_selected_sizes(X, tmp_path):
    model = SparseHebbianLearning("auto", l0_sparseness="auto", **AUTO).fit(X)
    n_atoms = model.selection_.n_dictionary
    assert 27 <= n_atoms <= 38 and model.l0_sparseness_ == 2
    same = SparseHebbianLearning(n_atoms, l0_sparseness=2, **AUTO).fit(X)
    np.testing.assert_array_equal(model.components_, same.components_)
    scaled = SparseHebbianLearning("auto", **AUTO, l0_sparseness="auto").fit(1024 * X)
    np.testing.assert_array_equal(model.components_, scaled.components_)
    sigmas = [m.selection_.curve["sigma"] for m in (scaled, model)]
    np.testing.assert_array_equal(sigmas[0], 1024 * sigmas[1])
    model.save(tmp_path / "model.npz")
    loaded = SparseHebbianLearning.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.transform(X), same.transform(X))
    assert len(loaded.partial_fit(X[:300]).components_) == n_atoms


def test_auto_keeps_a_size_that_is_given(X):
    model = SparseHebbianLearning(40, l0_sparseness="auto", **AUTO).fit(X)
    assert len(model.components_) == 40 and model.l0_sparseness_ == 2
    model = SparseHebbianLearning("auto", l0_sparseness=3, **AUTO).fit(X)
    assert 27 <= len(model.components_) <= 38 and model.l0_sparseness_ == 3


def test_auto_without_a_shortest_description_warns(rng):
    X = rng.standard_normal((600, 10))
    model = SparseHebbianLearning("auto", l0_sparseness="auto", n_iter=20, random_state=0)
    with pytest.warns(UserWarning, match="do not show n_dictionary and l0_sparseness"):
        model.fit(X)
    assert model.components_.shape == (20, 10) and not model.selection_.has_minimum


def test_auto_needs_all_samples(rng):
    X = rng.standard_normal((600, 10))
    with pytest.raises(ValueError, match="n_dictionary is 'auto'"):
        SparseHebbianLearning("auto").partial_fit(X)
    with pytest.raises(ValueError, match="l0_sparseness is 'auto', but X is an iterable"):
        SparseHebbianLearning(l0_sparseness="auto").fit(iter([X]))
    with pytest.raises(ValueError, match="dict_init has its atoms"):
        SparseHebbianLearning("auto", dict_init=X[:5]).fit(X)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["equal", "half stronger", "1/rank"])
def test_other_guesses_select_alike(profile):
    X = make_sparse_coded_signals(12000, noise=0.05, profile=profile, random_state=3)[0]
    found = [shl.select(X, guess, n_iter=1000) for guess in (192, 256, 384)]
    assert all(0.8 * 96 <= each.n_dictionary <= 1.2 * 96 for each in found)
    assert [each.l0_sparseness for each in found] == [4, 4, 4]
