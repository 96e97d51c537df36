"""Outliers, and pixels of very different scale."""

import numpy as np
import pytest
from making import make, planted

from shl.datasets import recovered
from shl.learning import scaling


@pytest.fixture
def X(rng):
    return planted(rng, 1500, n_pixels=16, n_atoms=20)[0].astype(np.float64)


@pytest.fixture
def scales(rng):
    return rng.lognormal(0, 1.5, 16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_scales_what_is_large(rng, dtype):
    X = rng.standard_normal((9, 4, 2)).astype(dtype)
    norms = np.linalg.norm(X.reshape(9, -1), axis=1)
    most = float(np.sort(norms)[4])
    found, rows = scaling.clip(X, np.arange(1, 9), most)
    wanted = X * np.minimum(1, most / norms)[:, None, None]
    np.testing.assert_allclose(found[rows], wanted[1:], rtol=1e-6)
    assert found.dtype == dtype
    assert scaling.clip(X, np.arange(9), 1e9)[0] is X
    assert scaling.median_norm(X) == pytest.approx(most)
    assert scaling.median_norm(np.zeros((3, 4))) == np.inf


def test_whitening_gives_unit_variance(X, scales):
    X = X * scales + 7
    X[:, 3] = 5.0
    std, zca = (scaling.whiten(X, scaling.whitening(X, kind)) for kind in ("std", "zca"))
    np.testing.assert_allclose(np.delete(std.std(axis=0), 3), 1)
    seen = np.delete(np.delete(np.cov(zca.T, bias=True), 3, 0), 3, 1)
    np.testing.assert_allclose(seen, np.eye(15), atol=1e-6)
    weight = np.arange(len(X)) % 3
    repeated = np.repeat(X, weight, axis=0)
    for kind in ("std", "zca"):
        found = scaling.whitening(X, kind, sample_weight=weight)
        np.testing.assert_allclose(found, scaling.whitening(repeated, kind), 1e-6, 1e-9)
        D = np.random.default_rng(0).standard_normal((5, 16))
        D /= np.linalg.norm(D, axis=1, keepdims=True)
        np.testing.assert_allclose(scaling.unwhiten(scaling.whiten(D, found), found), D, atol=1e-5)


def test_a_start_is_mapped_into_whitened_space(X, scales):
    start = np.random.default_rng(1).standard_normal((20, 16))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    adam = {"optimizer": "adam", "eta": 1e-9, "learning_algorithm": "mp", "n_iter": 1}
    for whiten in (None, "std", "zca"):
        model = make(whiten=whiten, dict_init=start, **adam).fit(X * (scales if whiten else 1))
        np.testing.assert_allclose(model.components_, start, atol=1e-6)


def test_scaled_atoms_are_found_whitened():
    X, atoms = planted(np.random.default_rng(2), 4000, n_pixels=32, n_atoms=40)
    scales = np.random.default_rng(3).lognormal(0, 1.5, 32)
    atoms = atoms * scales / np.linalg.norm(atoms * scales, axis=1, keepdims=True)
    options = {"n_dictionary": 40, "l0_sparseness": 4, "n_iter": 600}
    for whiten in ("std", "zca"):
        model = make(whiten=whiten, **options).fit(X * scales)
        assert recovered(model.components_, atoms).mean() >= 0.95
    with pytest.warns(UserWarning, match="whiten='std'") as caught:
        plain = make(**options).fit(X * scales)
    assert caught[0].filename == __file__
    assert recovered(plain.components_, atoms).mean() < 0.8
    with pytest.warns(UserWarning, match="whiten='std'"):
        make().partial_fit(X * scales)


def test_outliers_do_not_spoil_the_atoms():
    X, atoms = planted(np.random.default_rng(2), 4000, n_pixels=32, n_atoms=40)
    X[::100] *= 30
    model = make(n_dictionary=40, l0_sparseness=4, n_iter=600).fit(X)
    assert recovered(model.components_, atoms).mean() >= 0.98


def test_missing_pixels_are_whitened(X, scales):
    X = X * scales
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    W = scaling.whitening(X, "std")
    np.testing.assert_allclose(np.nanstd(X * W, axis=0), 1)
    assert np.isfinite(make(whiten="std", missing="mask").fit(X).components_).all()
