"""Missing values: coding and learning by the entries that are seen; patches of images."""

import numpy as np
import pytest
from codings import hide
from making import planted
from sklearn.datasets import load_sample_image

from shl import SparseCoder, SparseHebbianLearning, sparse_encode
from shl.images.windows import extract, reconstruct


@pytest.fixture(scope="module")
def data():
    X, atoms = planted(np.random.default_rng(0), n_samples=3000, n_pixels=36, n_atoms=40)
    return X.astype(np.float64), atoms.astype(np.float64)


def test_samples_of_few_entries_have_finite_codes(data):
    X, atoms = data
    X = X[:100].copy()
    X[3], X[4, 1:] = np.nan, np.nan
    code = sparse_encode(X, atoms, algorithm="omp", missing="mask", l0_sparseness=4)
    assert not code[3].any() and np.isfinite(code).all()


def test_whole_samples_are_coded_as_ever(data):
    X, atoms = data
    options = {"algorithm": "omp", "l0_sparseness": 4}
    whole = sparse_encode(X[:200], atoms, **options)
    np.testing.assert_array_equal(sparse_encode(X[:200], atoms, missing="mask", **options), whole)
    mixed = X[:200].copy()
    mixed[::2, 0] = np.nan
    code = sparse_encode(mixed, atoms, missing="mask", **options)
    np.testing.assert_array_equal(code[1::2], whole[1::2])


def test_a_dictionary_is_learned_from_half_of_X(data):
    X, atoms = data
    options = {"l0_sparseness": 3, "n_iter": 400, "random_state": 0, "record_each": 100}
    half = SparseHebbianLearning(40, missing="mask", **options).fit(hide(X, 0.5))
    whole = SparseHebbianLearning(40, **options).fit(X)
    found, most = (np.abs(atoms @ m.components_.T).max(axis=1).mean() for m in (half, whole))
    assert found > 0.8 * most
    assert half.record_["error"][-1] < half.record_["error"][0]
    assert -1 < half.score(hide(X, 0.5)) < 0


def test_atoms_are_replaced_by_what_is_seen(data):
    """What no atom codes is found in residuals of which half is missing."""
    X, atoms = data
    start = atoms.copy()
    start[0] = start[1]
    options = {"l0_sparseness": 3, "n_iter": 300, "dict_init": start, "random_state": 0}
    options["optimizer"] = "adam"
    found, without = (
        SparseHebbianLearning(40, missing="mask", replace=replace, **options).fit(hide(X, 0.5))
        for replace in (True, False)
    )
    found, without = (np.abs(m.components_ @ atoms[0]).max() for m in (found, without))
    assert found > 0.9 > without


@pytest.mark.slow
def test_hidden_entries_are_found(data):
    X, _ = data
    options = {"l0_sparseness": 3, "n_iter": 1500, "random_state": 0}
    half = SparseHebbianLearning(40, missing="mask", **options).fit(hide(X[:2000], 0.5))
    whole = SparseHebbianLearning(40, **options).fit(X[:2000])
    test = hide(X[2000:], 0.5, seed=1)
    hidden, errors = np.isnan(test), []
    for model in (half, whole):
        coder = SparseCoder(model.components_, missing="mask", l0_sparseness=3)
        missed = coder.inverse_transform(coder.transform(test)) - X[2000:]
        errors.append(np.linalg.norm(missed[hidden]))
    assert errors[0] < 1.1 * errors[1]


def test_entries_that_are_missing_do_not_matter(data):
    X = hide(data[0], 0.3)
    model = SparseHebbianLearning(40, missing="mask", n_iter=3, random_state=0).fit(X)
    assert np.isfinite(model.components_).all() and np.isfinite(model.transform(X)).all()
    once, again = (
        SparseHebbianLearning(40, missing="mask", random_state=0, n_jobs=n).partial_fit(X)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(once.components_, again.components_)


# ---------------------------------------------------------------------------------------- patches


def test_patches_have_gaps_where_the_image_has():
    image = hide(np.random.default_rng(0).random((12, 12)) + 5, 0.3)
    patches, means = extract(image, 4)
    first = image[:4, :4]
    np.testing.assert_allclose(patches[0], (first - np.nanmean(first)).ravel())
    assert means[0] == pytest.approx(np.nanmean(first))


def psnr(image, wanted):
    return -10 * np.log10(np.square(image - wanted).mean())


def grey_photograph():
    image = load_sample_image("china.jpg")[:256, 200:456] @ [0.2989, 0.5870, 0.1140] / 255
    return image.astype(np.float32)


@pytest.mark.slow
def test_denoising_in_six_lines():
    image, sigma = grey_photograph(), 0.1
    noisy = image + sigma * np.random.default_rng(0).standard_normal(image.shape).astype("f")
    X, means = extract(noisy, 8)
    model = SparseHebbianLearning(128, l0_sparseness=4, n_iter=500, random_state=0).fit(X)
    code = model.transform(X, fit_tol=64 * (1.1 * sigma) ** 2)
    clean = reconstruct(model.inverse_transform(code), means, image.shape)
    assert psnr(clean, image) > psnr(noisy, image) + 6


@pytest.mark.slow
def test_inpainting_in_six_lines():
    image = grey_photograph()
    holed = hide(image, 0.5)
    X, means = extract(holed, 8)
    model = SparseHebbianLearning(128, missing="mask", l0_sparseness=4, n_iter=300, random_state=0)
    code = model.fit(X).transform(X, l0_sparseness=8)
    filled = reconstruct(model.inverse_transform(code), means, image.shape)
    hidden = np.isnan(holed)
    mean = np.where(hidden, np.nanmean(holed), holed)
    assert psnr(filled[hidden], image[hidden]) > psnr(mean[hidden], image[hidden]) + 10
