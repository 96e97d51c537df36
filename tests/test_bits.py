"""Digests of small learnings, taken before the learners of patches and images became one: their
bits must not change.

A digest holds on one kind of machine (versions of NumPy and numba, type of CPU) alone; elsewhere
the test is skipped. To take the digests anew after a change that is meant: python
tests/test_bits.py
"""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from shl import SparseHebbianLearning, sparse_encode
from shl._checkpoints import machine
from shl.convolution import ConvolutionalSHL, gaussian_mask

PLACE = Path(__file__).parent / "data" / "bits.json"
BASE = {
    "n_dictionary": 40,
    "l0_sparseness": 4,
    "n_iter": 40,
    "batch_size": 96,
    "random_state": 7,
    "record_each": 8,
    "record_num_batches": 150,
    "alpha_MP": 0.95,
}
PATCHES = {
    f"rule {rule}": {"homeo_method": rule}
    for rule in ("None", "OLS", "EMP", "HAP", "EXP", "eHAP", "HEH2019")
}
PATCHES |= {
    f"coder {name}": {"learning_algorithm": name, "homeo_method": "None", "n_iter": 6}
    for name in ("lars", "lasso_lars", "lasso_cd", "elastic", "threshold")
}
PATCHES |= {
    "omp": {"learning_algorithm": "omp", "homeo_method": "HAP"},
    "symmetric": {"do_sym": True, "homeo_method": "HEH2019"},
    "precision": {"do_precision": True, "eta_precision": 0.05},
    "tolerance": {"fit_tol": 8.0},
    "fading": {"homeo_fade": (0.2, 0.7), "homeo_method": "HEH2019"},
    "fading HAP": {"homeo_fade": (0.2, 0.7)},
    "C adapts": {"homeo_method": "HEH2019", "C": 0},
    "plain gradient": {"beta1": 0.0, "eta": 0.5},
    "1/f start": {"one_over_F": True},
}
RECORDED = ["steps", "error", "qerror", "F", "error_own", "F_own", "logL", "MI", "MC", "perror"]
RECORDED += ["entropy", "KL", "KS", "kurt", "prob_active", "var"]
IMAGES = {
    "images None": {"homeo_method": "None"},
    "images HAP": {"homeo_method": "shareHAP"},
    "images EXP": {"homeo_method": "epochEXP", "batch_size": 3},
    "images signed": {"do_sym": True, "stride": 2},
}


def digest(*arrays):
    hasher = hashlib.blake2b(digest_size=12)
    for array in arrays:
        array = np.ascontiguousarray(array)
        hasher.update(f"{array.dtype.str} {array.shape}".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()


def of_patches(options, dtype):
    rng = np.random.default_rng(3)
    X = (rng.standard_normal((700, 36)) @ rng.standard_normal((36, 36)) / 6).astype(dtype)
    model = SparseHebbianLearning(**{**BASE, **options}).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = model.transform(X[:200])
    record = [np.asarray(model.record_[name]) for name in sorted(RECORDED)]
    found = {
        "dictionary": digest(model.components_),
        "record": digest(*record),
        "P_cum": digest(model.P_cum_),
        "code": digest(code),
    }
    model.partial_fit(X[:300])
    found["after partial_fit"] = digest(model.components_)
    return found


def of_images(options):
    X = np.random.default_rng(1).standard_normal((9, 1, 19, 23)).astype(np.float32)
    base = {
        "n_dictionary": 6,
        "patch_width": 5,
        "l0_sparseness": 5,
        "n_iter": 8,
        "record_each": 2,
        "random_state": 0,
        "mask": gaussian_mask(5),
    }
    model = ConvolutionalSHL(**{**base, **options}).fit(X)
    code = model.transform(X)
    return {
        "dictionary": digest(model.components_),
        "code": digest(code.atom, code.row, code.column, code.value),
    }


def of_codes():
    rng = np.random.default_rng(5)
    D = rng.standard_normal((70, 24))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    X, gain = rng.standard_normal((300, 24)), rng.uniform(0.5, 2, 70)
    table = np.sort(rng.uniform(0, 1, (70, 64)), axis=1)
    table[:, 0] = 0
    options = {
        "gain": {"gain": gain},
        "table": {"P_cum": table, "C": 5.0},
        "omp": {"algorithm": "omp"},
        "signed table": {"P_cum": table, "C": 2.0, "do_sym": True},
        "tolerance": {"fit_tol": 3.0},
        "omp tolerance": {"algorithm": "omp", "fit_tol": 3.0},
        "precision": {"precision": rng.uniform(0.5, 2, D.shape)},
    }
    return {
        f"{name} {dtype}": digest(sparse_encode(X.astype(dtype), D.astype(dtype), **some))
        for name, some in options.items()
        for dtype in ("float32", "float64")
    }


def find(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "codes":
            return of_codes()
        if name in IMAGES:
            return of_images(IMAGES[name])
        name, dtype = name.rsplit(" ", 1)
        return of_patches(PATCHES[name], dtype)


NAMES = [
    "codes",
    *IMAGES,
    *(f"{name} {dtype}" for name in PATCHES for dtype in ("float32", "float64")),
]


@pytest.mark.parametrize("name", NAMES)
def test_bits_are_those_of_before(name):
    kept = json.loads(PLACE.read_text())
    if kept["machine"] != machine():
        pytest.skip(f"digests were taken on {kept['machine']}")
    assert find(name) == kept[name]


if __name__ == "__main__":
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_text(
        json.dumps({"machine": machine()} | {name: find(name) for name in NAMES}, indent=1) + "\n"
    )
