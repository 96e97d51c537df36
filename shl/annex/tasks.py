"""Sparse codes at work: digits classified by a linear model on codes, and a photograph denoised."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import wiener
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from .._base.tables import summary_of
from ..coding.encode import sparse_encode
from ..estimators.dictionary import SparseHebbianLearning
from ..images.photographs import load_images
from ..plotting.figures import new_figure
from .study import RULES, Study
from .tables import markdown, picture

N_ATOMS, N_ACTIVE = 128, 8  # of the digits
# Of MiniBatchDictionaryLearning, on data of unit variance: its default, and a weaker penalty.
ALPHAS = (1.0, 0.1)
DIGIT_STEPS = 1000  # of learning from the digits
STEPS, BATCH = 2000, 256  # of learning from the photograph
PATCH, SIDE = 8, 256  # of the photograph, pixels
NOISE = 25 / 255  # of the photograph: standard deviation in a range of 1
GAIN = 1.15  # tolerance of a patch, GAIN^2 NOISE^2 for each pixel (Elad & Aharon 2006)


def classification(study: Study, out: Path) -> Iterator[str]:
    """Accuracy of a logistic regression on raw pixels, PCA and sparse codes of digits."""
    X, y = load_digits(return_X_y=True)
    X = (X / (X - X.mean(axis=0)).std()).astype(np.float32)
    of_peers = {"transform_algorithm": "omp", "transform_n_nonzero_coefs": N_ACTIVE}
    ours: dict[str, Any] = {"l0_sparseness": N_ACTIVE, "n_iter": DIGIT_STEPS, "random_state": 0}
    features = {"raw pixels": (), "PCA, 32 components": (PCA(32, random_state=0),)}
    for alpha in ALPHAS:
        peer = MiniBatchDictionaryLearning(N_ATOMS, alpha=alpha, random_state=0, **of_peers)
        features[f"MiniBatchDictionaryLearning, alpha {alpha:g}"] = (peer,)
    for rule in RULES:
        features[f"shl, {rule}"] = (SparseHebbianLearning(N_ATOMS, homeo_method=rule, **ours),)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    yield (
        f"scikit-learn's 1797 digits of 8 x 8, {N_ATOMS} atoms, {N_ACTIVE} of them active; "
        "logistic regression on the features, learned on the training folds, whose mean is "
        "subtracted; accuracy over 5 folds.\n"
    )
    with warnings.catch_warnings():  # the peers' coder ends some of its paths early
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = {
            name: cross_val_score(_classifier(steps), X, y, cv=folds, n_jobs=study.n_jobs)
            for name, steps in features.items()
        }
    rows = [[name, summary_of(score)] for name, score in scores.items()]
    yield from markdown(["features", "accuracy"], rows)


def _classifier(steps):
    """Centred pixels, features, logistic regression."""
    return make_pipeline(
        StandardScaler(with_std=False), *steps, MaxAbsScaler(), LogisticRegression(max_iter=3000)
    )


def denoising(study: Study, out: Path) -> Iterator[str]:
    """PSNR of a photograph with white noise, rebuilt from codes of its overlapping patches."""
    rng = np.random.default_rng(0)
    clean = load_images()[0][1][:SIDE, :SIDE].astype(np.float32)
    noisy = clean + NOISE * rng.standard_normal(clean.shape).astype(np.float32)
    found = {
        "noisy": noisy,
        "Gaussian filter": gaussian_filter(noisy, 1),
        "Wiener filter": wiener(noisy, 5, NOISE**2),
        "PCA of patches": _by_pca(noisy),
    } | _by_skimage(noisy)
    X = _patches(noisy)[0]
    for rule in RULES:
        options: dict[str, Any] = {"n_iter": STEPS, "batch_size": BATCH, "homeo_method": rule}
        model = SparseHebbianLearning(
            256, l0_sparseness=4, do_sym=True, random_state=0, **options
        ).fit(X)
        found[f"shl, {rule}"] = _by_codes(noisy, model.components_)
    options = {"max_iter": -(-STEPS * BATCH // len(X)), "max_no_improvement": None}
    peer = MiniBatchDictionaryLearning(256, batch_size=BATCH, random_state=0, **options)
    with warnings.catch_warnings():  # the peer's coder ends some of its paths early
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(X / X.std())
    found["MiniBatchDictionaryLearning"] = _by_codes(noisy, peer.components_)
    yield (
        f"The first photograph of scikit-learn, {SIDE} x {SIDE}, white noise of standard "
        f"deviation 25 / 255, one draw; 256 atoms of {PATCH} x {PATCH} learned from the noisy "
        f"patches in {STEPS} steps of {BATCH}, orthogonal pursuit up to the noise; PSNR of values "
        "clipped to 0..1.\n"
    )
    rows = [[name, psnr(clean, image)] for name, image in found.items()]
    yield from markdown(["method", "PSNR (dB)"], rows)
    shown = {"clean": clean}
    for name in ("noisy", "Wiener filter", "shl, HAP"):
        shown[f"{name}, {psnr(clean, found[name]):.2f} dB"] = found[name]
    fig = new_figure(figsize=(4 * len(shown), 4.3), layout="constrained")
    for ax, (title, image) in zip(fig.subplots(1, len(shown)), shown.items(), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set(title=title, xticks=[], yticks=[])
    yield f"{picture(fig, out, 'denoising', 'A photograph, denoised')}\n"


def psnr(clean: np.ndarray, image: np.ndarray) -> float:
    """Peak signal-to-noise ratio, 10 log10(1 / mean squared error) dB, for values in 0..1."""
    return float(10 * np.log10(1 / np.mean((clean - np.clip(image, 0, 1)) ** 2)))


def _patches(image):
    """(patches (n, PATCH^2) of mean 0, their means): all that overlap."""
    patches = extract_patches_2d(image, (PATCH, PATCH)).reshape(-1, PATCH**2)
    means = patches.mean(axis=1, keepdims=True)
    return patches - means, means


def _by_codes(noisy, dictionary):
    """The image from sparse codes of its patches, those of a pixel averaged."""
    X, means = _patches(noisy)
    atoms = (dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)).astype(X.dtype)
    tolerance = GAIN**2 * NOISE**2 * X.shape[1]
    options = {"l0_sparseness": PATCH**2, "do_sym": True, "sparse_output": True}
    code = sparse_encode(X, atoms, algorithm="omp", fit_tol=tolerance, **options)
    return _rebuild(code @ atoms + means, noisy)


def _rebuild(patches, image):
    """The image of all its patches, those of a pixel averaged."""
    return reconstruct_from_patches_2d(patches.reshape(-1, PATCH, PATCH), image.shape)


def _by_pca(noisy):
    """The image from its patches' principal components, each shrunk by its share of signal."""
    X, means = _patches(noisy)
    pca = PCA().fit(X)
    share = 1 - NOISE**2 / np.maximum(pca.explained_variance_, NOISE**2)
    return _rebuild(pca.inverse_transform(pca.transform(X) * share) + means, noisy)


def _by_skimage(noisy):
    """scikit-image's baselines, where it is installed."""
    try:
        from skimage import restoration
    except ImportError:
        return {}
    wavelets = restoration.denoise_wavelet(noisy, sigma=NOISE, rescale_sigma=True)
    means = restoration.denoise_nl_means(noisy, h=0.8 * NOISE, sigma=NOISE, fast_mode=True)
    return {
        "scikit-image, total variation": restoration.denoise_tv_chambolle(noisy, weight=0.1),
        "scikit-image, wavelets": wavelets,
        "scikit-image, non-local means": means,
    }
