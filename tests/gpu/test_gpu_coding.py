import sys
import types

import numpy as np
import pytest
from codings import IN_TURN, ON_DEVICE, assert_right, options_of, rescale
from making import unit

from shl import SparseCoder, sparse_encode
from shl._base import devices
from shl._base.devices import CUDA, CUDA_MANAGED, is_tensor


@pytest.fixture
def in_place(monkeypatch):
    """As if no correlations fitted into registers."""
    from shl.coding.gpu import launching

    monkeypatch.setattr(launching, "MOST_BYTES", 0)


@pytest.fixture
def encode(put, get):
    """A function that codes on the device, from arrays to an array."""

    def call(X, dictionary, **options):
        options = {k: put(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        code = sparse_encode(put(X), put(dictionary), **options)
        assert type(code).__module__ == "torch"
        return get(code)

    return call


SLOW = "mp-signed", "mp-table", "mp-precision"


@pytest.mark.parametrize(("name", "dtype"), [way for way in IN_TURN if way[0] in ON_DEVICE])
def test_code_equals_the_oracle(encode, X, dictionary, name, dtype):
    X, dictionary = X.astype(dtype), dictionary.astype(dtype)
    options = options_of(name, dictionary.shape)
    code = encode(X, dictionary, **options)
    assert code.dtype == dtype
    assert_right(code, X, dictionary, options)


@pytest.mark.parametrize("name", ["mp-table", "omp-tolerance"])
def test_scales_are_exact(encode, X, dictionary, name):
    X, dictionary = X.astype(np.float32), dictionary.astype(np.float32)
    options = options_of(name, dictionary.shape)
    code = encode(X, dictionary, **options)
    for k in (-100, 100):
        found = encode(np.ldexp(X, k), dictionary, **rescale(options, k))
        np.testing.assert_array_equal(found, np.ldexp(code, k))


def test_float32_keeps_a_tolerance_beside_an_offset(encode, X, dictionary):
    X, dictionary = (X + 1000).astype(np.float32), dictionary.astype(np.float32)
    code = encode(X, dictionary, algorithm="omp", fit_tol=2.0)
    exact = [np.asarray(a, np.float64) for a in (X, code, dictionary)]
    assert (((exact[0] - exact[1] @ exact[2]) ** 2).sum(axis=1) <= 2.1).all()


@pytest.mark.parametrize("algorithm", ["mp", "omp"])
def test_more_atoms_than_registers_hold(encode, in_place, X, dictionary, algorithm):
    options = {"l0_sparseness": 4, "algorithm": algorithm}
    expected = sparse_encode(X, dictionary, **options)
    np.testing.assert_allclose(encode(X, dictionary, **options), expected, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["mp-tolerance", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]
)
def test_without_a_gram_matrix_codes_are_the_same(encode, monkeypatch, X, dictionary, name):
    from shl.coding.gpu import coding

    monkeypatch.setattr(coding, "total_memory", lambda device: 0)
    options = options_of(name, dictionary.shape)
    expected = sparse_encode(X, dictionary, **options)
    np.testing.assert_allclose(encode(X, dictionary, **options), expected, atol=1e-12)
    with pytest.raises(ValueError, match="dictionary has 21 atoms, and their Gram matrix does not"):
        encode(X, dictionary, algorithm="omp")


def test_several_chunks_and_no_events(encode, monkeypatch, X, dictionary):
    from shl.coding.gpu import coding

    monkeypatch.setattr(coding, "CHUNK_BYTES", 1)
    X[2] = 0
    code = encode(X, dictionary, fit_tol=6.0)
    np.testing.assert_allclose(code, sparse_encode(X, dictionary, fit_tol=6.0), atol=1e-12)
    assert not code[2].any()


def test_an_atom_selected_again_uses_one_slot(encode, rng):
    X, dictionary = rng.standard_normal((3, 6)), unit(rng.standard_normal((70, 6)))
    options = {"l0_sparseness": 30, "alpha_MP": 0.5}
    code = encode(X, dictionary, **options)
    assert ((code != 0).sum(axis=1) < 30).all()
    np.testing.assert_allclose(code, sparse_encode(X, dictionary, **options), atol=1e-12)


def test_ties_go_to_the_lowest_atom(encode):
    code = encode(np.ones((2, 4)), np.vstack((np.eye(4), np.eye(4))), l0_sparseness=4)
    np.testing.assert_array_equal(code, [[1] * 4 + [0] * 4] * 2)


def test_whole_numbers_become_float64(encode, dictionary):
    X = np.arange(24).reshape(2, 12)
    expected = sparse_encode(X, dictionary, l0_sparseness=2)
    np.testing.assert_allclose(encode(X, dictionary, l0_sparseness=2), expected, atol=1e-12)


def test_sparse_output_is_the_same_code(put, get, encode, X, dictionary):
    X[1] = 0
    code = encode(X, dictionary, l0_sparseness=3)
    rows = sparse_encode(put(X), put(dictionary), l0_sparseness=3, sparse_output=True)
    np.testing.assert_array_equal(get(rows.to_dense()), code)
    columns = [
        get(part) for part in rows.col_indices().tensor_split(rows.crow_indices()[1:-1].cpu())
    ]
    assert all((np.diff(part) > 0).all() for part in columns)


def test_a_coder_of_scikit_learns_kind(put, get, X, dictionary):
    coder = SparseCoder(3 * dictionary, l0_sparseness=3, split_sign=True)
    code = coder.transform(put(X))
    np.testing.assert_allclose(get(code), coder.transform(X), atol=1e-12)
    decoded = coder.inverse_transform(code)
    np.testing.assert_allclose(get(decoded), coder.inverse_transform(get(code)), atol=1e-12)
    assert coder.score(put(X)) == pytest.approx(coder.score(X))
    coder.set_params(split_sign=False, sparse_output=True)
    np.testing.assert_allclose(
        get(coder.transform(put(X)).to_dense()), coder.transform(X).toarray(), atol=1e-12
    )


def test_arrays_in_two_places_are_refused_by_name(put, X, dictionary):
    with pytest.raises(TypeError, match="dictionary must be an array on a GPU, as X is, not numpy"):
        sparse_encode(put(X), dictionary)
    with pytest.raises(TypeError, match="dictionary must be in the host's memory, as X is"):
        sparse_encode(X, put(dictionary))
    with pytest.raises(TypeError, match="gain must be an array on a GPU"):
        sparse_encode(put(X), put(dictionary), gain=np.ones(len(dictionary)))


def test_bad_arrays_are_refused_by_name(put, X, dictionary):
    def refuse(error, words, X, dictionary, **options):
        with pytest.raises(error, match=words):
            sparse_encode(X if is_tensor(X) else put(X), put(dictionary), **options)

    words = "X must be a dense tensor of real numbers"
    refuse(TypeError, f"{words}, not torch.comp", X + 1j, dictionary)
    refuse(TypeError, f"{words}.*sparse_csr", put(np.eye(12)).to_sparse_csr(), dictionary)
    words = "is not possible for arrays on a GPU"
    refuse(ValueError, f"algorithm='lars' {words}", X, dictionary, algorithm="lars")
    options = {"algorithm": "omp", "missing": "mask"}
    refuse(ValueError, f"missing='mask' {words}", X, dictionary, **options)
    refuse(ValueError, "X is empty, its shape is", X[:0], dictionary)
    refuse(ValueError, "dictionary must have rows of unit norm, but row 0", X, 2 * dictionary)
    large = np.sign(dictionary[:2]) * np.finfo(np.float64).max
    large[0] = 1
    words = "X: sample 1 has a coefficient that torch.float64 cannot"
    refuse(ValueError, words, large, dictionary, l0_sparseness=1)
    dictionary[4], X[3, 5] = 0, np.nan
    refuse(ValueError, "dictionary must have no row of zeros, .*row 4", X[:2], dictionary)
    refuse(ValueError, r"X must hold no NaN.*it is nan at \(3, 5", X, dictionary)


def test_arrays_of_two_devices_are_refused_by_name(put, X):
    from shl.coding.gpu.launching import check_device

    tensor = put(X)
    check_device(tensor, "gain", tensor.device)
    with pytest.raises(ValueError, match="gain must be on .*, as X is, not on meta"):
        check_device(tensor.to("meta"), "gain", tensor.device)


def test_arrays_of_other_libraries_come_back(put, get, monkeypatch, X, dictionary):
    import torch

    class Array:
        """What CuPy's arrays do: they give and take memory by DLPack."""

        def __init__(self, tensor):
            self.tensor = tensor

        def __dlpack__(self, **options):
            return self.tensor.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.tensor.__dlpack_device__()

    library = types.ModuleType("otherpy")
    library.from_dlpack = lambda tensor: Array(torch.from_dlpack(tensor))
    Array.__module__ = "otherpy.arrays"
    monkeypatch.setitem(sys.modules, "otherpy", library)
    kinds = CUDA, CUDA_MANAGED, put(X).__dlpack_device__()[0]  # of the simulator: the host
    monkeypatch.setattr(devices, "ON_DEVICE", kinds)
    given = Array(put(X)), Array(put(dictionary))
    code = sparse_encode(*given, l0_sparseness=3)
    assert isinstance(code, Array)
    expected = sparse_encode(X, dictionary, l0_sparseness=3)
    np.testing.assert_allclose(get(code.tensor), expected, atol=1e-12)
    with pytest.raises(ValueError, match="sparse_output must be False for arrays of otherpy"):
        sparse_encode(*given, l0_sparseness=3, sparse_output=True)
