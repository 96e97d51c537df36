"""The sizes of a dictionary, from the data."""

import numpy as np
import pytest

import shl
from shl import plotting
from shl.datasets import make_sparse_coded_signals


def test_planted_sizes_are_selected():
    X = make_sparse_coded_signals(5000, 24, 32, 2, noise=0.05, random_state=0)[0]
    found = [shl.select(X, guess, n_iter=300) for guess in (48, 64, 96)]
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


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["equal", "half stronger", "1/rank"])
def test_other_guesses_select_alike(profile):
    X = make_sparse_coded_signals(12000, noise=0.05, profile=profile, random_state=3)[0]
    sizes = [shl.select(X, guess, n_iter=1000).n_dictionary for guess in (192, 256, 384)]
    least, most = (96, 1.15 * 96) if profile != "1/rank" else (0.8 * 96, 1.4 * 96)
    assert least - 3 <= min(sizes) and max(sizes) <= most
