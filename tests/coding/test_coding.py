import naive
import numpy as np
import pytest
from codings import IN_TURN, WAYS, assert_right, options_of, rescale, samples_of
from hypothesis import given, settings
from hypothesis import strategies as st
from making import unit

from shl import sparse_encode
from shl.coding.events import Events
from shl.coding.parameters import Coding
from shl.coding.preparing import prepare

REFERENCE = {
    "code_mp_unit_gain": {},
    "code_mp_gain": {"gain": "gain"},
    "code_mp_gain_sym": {"gain": "gain", "do_sym": True},
    "code_mp_P_cum": {"P_cum": "P_cum", "C": 3.0, "alpha_MP": 0.95},
    "code_mp_P_cum_sym": {"P_cum": "P_cum", "C": 3.0, "alpha_MP": 0.95, "do_sym": True},
    "code_mp_precision": {"precision": "precision"},
}


@pytest.mark.parametrize("name", REFERENCE)
def test_codes_agree_with_the_reference(reference, name):
    options = {
        key: reference[value] if isinstance(value, str) else value
        for key, value in REFERENCE[name].items()
    }
    code = sparse_encode(reference["X"], reference["dictionary"], l0_sparseness=10, **options)
    np.testing.assert_allclose(code, reference[name], atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", WAYS)
def test_code_equals_the_oracle(X, dictionary, name, dtype):
    X, dictionary = samples_of(name, X[:40]).astype(dtype), dictionary.astype(dtype)
    options = options_of(name, dictionary.shape)
    code = sparse_encode(X, dictionary, **options)
    assert code.dtype == dtype
    assert (code != 0).sum(axis=1).max() <= options.get("l0_sparseness", len(dictionary))
    assert_right(code, X, dictionary, options)


@pytest.mark.parametrize(("name", "dtype"), IN_TURN)
def test_bits_do_not_depend_on_threads_or_layout(X, dictionary, name, dtype):
    X, dictionary = np.tile(samples_of(name, X[:50]), (3, 1)), dictionary.astype(dtype)
    X = X.astype(dtype)
    options = options_of(name, dictionary.shape)
    code = sparse_encode(X, dictionary, **options)
    inputs = [np.asfortranarray(X), np.asfortranarray(dictionary)]
    for array in inputs:
        array.flags.writeable = False
    for n_jobs in (2, 5):
        np.testing.assert_array_equal(sparse_encode(*inputs, n_jobs=n_jobs, **options), code)
    rows = sparse_encode(*inputs, n_jobs=5, sparse_output=True, **options)
    assert rows.has_canonical_format
    np.testing.assert_array_equal(rows.toarray(), code)


@pytest.mark.parametrize(("name", "dtype"), IN_TURN)
def test_scales_are_exact(X, dictionary, name, dtype):
    X, dictionary = samples_of(name, X[:20]).astype(dtype), dictionary.astype(dtype)
    options = options_of(name, dictionary.shape)
    code, most = sparse_encode(X, dictionary, **options), np.finfo(dtype).maxexp
    for k in (27 - most, 4 - most // 2, -70, -7, 9, 70, most // 2 - 4, most - 12):
        changed = rescale(options, k) if 2 * abs(k) < 1000 or "fit_tol" not in options else None
        if changed is not None:
            found = sparse_encode(np.ldexp(X, k), dictionary, **changed)
            np.testing.assert_array_equal(found, np.ldexp(code, k), err_msg=f"2^{k}")
    mixed = np.where(np.arange(len(X))[:, None] % 2, X, np.ldexp(X, -70))
    if rescale(options, 0) is not None and not {"fit_tol", "C"} & options.keys():
        found = sparse_encode(mixed, dictionary, **options)
        np.testing.assert_array_equal(found[::2], np.ldexp(code[::2], -70))
        np.testing.assert_array_equal(found[1::2], code[1::2])


def test_lists_are_arrays(X, dictionary):
    np.testing.assert_array_equal(
        sparse_encode(X.tolist(), dictionary.tolist()), sparse_encode(X, dictionary)
    )


def test_warning_counts_samples_short_of_fit_tol(X, dictionary):
    with pytest.warns(UserWarning, match=r"\d+ of 90 samples .* fit_tol = 1e-20: 'mp'") as caught:
        sparse_encode(X, dictionary, fit_tol=1e-20)
    assert [warning.filename for warning in caught] == [__file__]
    flat = unit(dictionary[:6, :3] @ dictionary[:3])
    with pytest.warns(UserWarning, match="90 of 90 samples .*: atoms are nearly dependent"):
        sparse_encode(X, flat, algorithm="omp", fit_tol=1e-3)


def test_warning_counts_coefficients_that_round():
    """Coefficients of two atoms 1e-5 apart are 2e5: float32 rounds off up to .008 of each."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((6, 12))
    atoms[1] = atoms[0] + 1e-5 * rng.standard_normal(12)
    atoms = unit(atoms).astype(np.float32)
    along = (atoms[1] - atoms[0]) * np.linspace(1e5, 2e5, 9)[:, None]
    X = (along + rng.standard_normal((9, 1)) * atoms[0]).astype(np.float32)
    with pytest.warns(UserWarning, match="did not reach fit_tol = 1e-05: atoms are near") as caught:
        code = sparse_encode(X, atoms, algorithm="omp", fit_tol=1e-5)
    energies = ((X - code.astype(float) @ atoms) ** 2).sum(axis=1)
    assert str(caught[0].message).startswith(f"{(energies > 1e-5).sum()} of 9 samples")
    atoms = unit(atoms.astype(float))
    code = sparse_encode(X.astype(float), atoms, algorithm="omp", fit_tol=1e-5)
    assert ((X - code @ atoms) ** 2).sum(axis=1).max() < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    spread=st.floats(0, 2),
    nb_quant=st.integers(2, 200),
    C=st.floats(0.05, 20),
)
def test_bounds_never_hide_the_fairest_atom(seed, spread, nb_quant, C):
    rng = np.random.default_rng(seed)
    X, atoms = rng.standard_normal((5, 9)), unit(rng.standard_normal((131, 9)))
    tables = np.sort(rng.random((131, nb_quant)) ** np.exp(rng.normal(0, spread, (131, 1))), axis=1)
    tables[:, 0] = 0  # as of every distribution; else coefficients of 1e-17 would compete
    code = sparse_encode(X, atoms, l0_sparseness=6, P_cum=tables, C=C)
    np.testing.assert_allclose(
        code, naive.matching_pursuit(X, atoms, 6, P_cum=tables, C=C), atol=1e-9
    )


def test_a_repeated_atom_ends_orthogonal_pursuit(X):
    atoms = np.repeat(np.eye(24)[:2], 3, axis=0)
    code = sparse_encode(X, atoms, algorithm="omp", l0_sparseness=5)
    assert ((code != 0).sum(axis=1) == 2).all()
    np.testing.assert_allclose(code @ atoms, X * (np.arange(24) < 2), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("do_sym", [False, True])
@pytest.mark.parametrize("algorithm", ["mp", "omp"])
def test_ties_go_to_the_lowest_index_in_any_lane(rng, algorithm, do_sym, dtype):
    for n_dictionary in (1, 15, 16, 31, 32, 33, 64, 129, 300):
        for equal in ([0], [n_dictionary - 1], sorted(rng.integers(0, n_dictionary, 4))):
            atoms = np.tile(np.eye(3, dtype=dtype)[1], (n_dictionary, 1))
            atoms[equal] = np.eye(3)[0]
            options = {"do_sym": do_sym} if algorithm == "mp" else {}
            sign = -1 if do_sym or algorithm == "omp" else 1
            X = np.array([[2.0 * sign, 0.5, 0]] * 3, dtype)
            code = sparse_encode(X, atoms, algorithm=algorithm, l0_sparseness=1, **options)
            np.testing.assert_array_equal(code[:, equal[0]], X[:, 0])
            assert (code != 0).sum() == 3


@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_samples_that_end_early_change_no_other(X, dictionary, n_samples):
    X = X * np.where(np.arange(90) % 2, 1, 0.05)[:, None]  # every second one is soon explained
    for options in ({"fit_tol": 1.0}, {"fit_tol": 1.0, "algorithm": "omp"}):
        parts = [
            sparse_encode(X[start : start + n_samples], dictionary, **options)
            for start in range(0, 90, n_samples)
        ]
        whole = sparse_encode(X, dictionary, **options)
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-12)


def test_rectified_pursuit_stops_at_the_last_positive():
    code = sparse_encode(-np.eye(3), np.eye(3), l0_sparseness=3)
    np.testing.assert_array_equal(code, np.zeros((3, 3)))
    np.testing.assert_array_equal(
        sparse_encode(-np.eye(3), np.eye(3), l0_sparseness=3, do_sym=True), -np.eye(3)
    )


def test_events_of_a_dense_code(X, dictionary):
    code = sparse_encode(X, dictionary, l0_sparseness=5)
    events = Events.from_dense(code)
    np.testing.assert_array_equal(events.to_dense(), code)
    np.testing.assert_array_equal(events.counts(), (code != 0).sum(axis=0))
    np.testing.assert_allclose(events.power_sums(4), (code**4).sum(axis=0))


@pytest.mark.parametrize("n_dictionary", [5, 130, 300])
def test_a_gram_matrix_in_tiles_is_the_product(rng, n_dictionary):
    D = unit(rng.standard_normal((n_dictionary, 20)))
    coder = prepare(Coding(l0_sparseness=2), D)
    np.testing.assert_allclose(coder.cosines(), D @ D.T, atol=1e-12)
    assert not coder.atoms.gram[:, n_dictionary:].any()
