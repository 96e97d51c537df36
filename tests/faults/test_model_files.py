"""What `shl show`, `encode` and `decode` read and write: damaged files, odd ones, full disks."""

import errno
import os

import numpy as np
import pytest
from scipy import sparse

from shl import SHL, SHL_set, SparseCoder, SparseHebbianLearning, store
from shl.cli import main as cli
from shl.coding.events import Events
from shl.convolution import ConvolutionalSHL
from shl.store.jobs import StoredFunction

SMALL = {"n_dictionary": 12, "l0_sparseness": 3, "n_iter": 4, "random_state": 0}
EXPERIMENT = {"height": 64, "width": 64, "patch_width": 8, "N_patches": 300, "n_iter": 2}
EXPERIMENT |= {"n_dictionary": 20, "l0_sparseness": 2, "batch_size": 50}
EXPERIMENT |= {"record_num_batches": 50, "record_each": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of models of patches and of images, their samples, codes and decoded samples."""
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    samples = {"patches": rng.standard_normal((60, 16)), "images": rng.random((3, 12, 13))}
    models = {"patches": SparseHebbianLearning(**SMALL), "images": ConvolutionalSHL(4, 5, 3, 2)}
    for kind, model in models.items():
        paths = [folder / name.format(kind) for name in ("{}.npz", "X_{}.npy", "code_{}.npz")]
        model.fit(samples[kind]).save(paths[0])
        np.save(paths[1], samples[kind])
        assert run("encode", *paths[:2], "--out", paths[2]) == 0
        decode(paths[0], paths[2], folder / f"decoded_{kind}.npy")
    return folder


def run(command, *arguments):
    """The exit code of a command."""
    return cli.main([command, *map(str, arguments), "--quiet"])


def decode(model, code, out):
    """What `shl decode` makes of a code, None where it refuses it."""
    out.unlink(missing_ok=True)
    return np.load(out) if run("decode", model, code, "--out", out) == 0 else None


def damage(content, rng):
    """Bytes with some bits flipped, cut, or with a part left out."""
    how, place = rng.integers(4), int(rng.integers(len(content)))
    if how == 0:
        return content[:place]
    if how == 1:
        return content[:place] + content[place + int(rng.integers(1, 200)) :]
    found = bytearray(content)
    found[place] ^= 1 << int(rng.integers(8))
    return bytes(found)


@pytest.mark.parametrize("kind", ["patches", "images"])
def test_a_damaged_code_gives_no_number(made, tmp_path, kind, capsys):
    rng, content = np.random.default_rng(1), (made / f"code_{kind}.npz").read_bytes()
    wanted = np.load(made / f"decoded_{kind}.npy")
    n_refused, code = 0, tmp_path / "code.npz"
    for _ in range(60):
        code.write_bytes(damage(content, rng))
        found = decode(made / f"{kind}.npz", code, tmp_path / "decoded.npy")
        if found is None:
            n_refused += 1
            assert "code.npz is no code of shl encode with this model: " in capsys.readouterr().err
        else:
            np.testing.assert_array_equal(found, wanted)
    assert n_refused > 30


CRAFTED = {
    "a column beyond the last": {"indices": np.array([0, 1, 10**8])},
    "a column below 0": {"indices": np.array([0, 1, -5])},
    "rows that decrease": {"indptr": np.array([0, 3, 2, 3])},
    "rows beyond the end": {"indptr": np.array([0, 10**8, 2, 3])},
    "no data": {"data": np.zeros(0)},
    "texts": {"data": np.array(["a", "b", "c"])},
    "complex": {"data": np.ones(3, complex)},
    "of 9 atoms": {"shape": np.array([3, 9])},
    "of no shape": {"shape": np.array([3])},
    "of a huge shape": {"shape": np.array([2**62, 12])},
    "of no format": {"format": np.array(b"no")},
}


@pytest.mark.parametrize("how", CRAFTED)
def test_a_crafted_code_is_refused(made, tmp_path, how, capsys):
    parts = {"data": np.ones(3), "indices": np.array([0, 1, 2]), "indptr": np.array([0, 1, 2, 3])}
    parts |= {"shape": np.array([3, 12]), "format": np.array(b"csr")}
    np.savez(tmp_path / "good.npz", **parts)
    assert decode(made / "patches.npz", tmp_path / "good.npz", tmp_path / "X.npy").shape == (3, 16)
    np.savez(tmp_path / "code.npz", **{**parts, **CRAFTED[how]})
    assert decode(made / "patches.npz", tmp_path / "code.npz", tmp_path / "X.npy") is None
    assert "code" in capsys.readouterr().err


@pytest.mark.parametrize("n_images", [10**8, 10**18])
def test_a_code_of_more_images_than_memory_holds_is_refused(made, tmp_path, n_images, capsys):
    with np.load(made / "code_images.npz") as parts:
        parts = dict(parts)
    parts["shape"][0] = n_images
    np.savez(tmp_path / "code.npz", **parts)
    assert decode(made / "images.npz", tmp_path / "code.npz", tmp_path / "X.npy") is None
    assert "GB of memory" in capsys.readouterr().err


def edited(kind):
    """A sparse array of 3 x 12 whose indices are none of its own; SciPy looks at them once."""
    code = getattr(sparse.csr_array(np.eye(3, 12)), f"to{kind}")()
    (code.row if kind == "coo" else code.indices)[1] = 10**8
    return code


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo"])
def test_a_sparse_code_edited_by_hand_is_refused(made, kind):
    model = SparseHebbianLearning.load(made / "patches.npz")
    coder = SparseCoder(model.components_)
    for use in (model.inverse_transform, coder.inverse_transform, Events.from_dense):
        with pytest.raises(ValueError, match="X|code.*is a damaged sparse array"):
            use(edited(kind))


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo", "lil", "dok", "dia"])
def test_any_kind_of_sparse_code_is_decoded(made, kind):
    model = SparseHebbianLearning.load(made / "patches.npz")
    code = model.transform(np.load(made / "X_patches.npy"))
    found = model.inverse_transform(getattr(sparse.csr_array(code), f"to{kind}")())
    np.testing.assert_allclose(found, code @ model.components_, atol=1e-12)


# --------------------------------------------------------------------------------- odd samples


def header_of(shape):
    """The bytes of an npy file that promises more than it holds."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


ODD = {
    "empty.npy": b"",
    "text.npy": b"1 2 3",
    "cut.npz": b"PK\x03\x04",
    "short.npy": header_of((10**6, 16)),
    "huge.npy": header_of((10**15, 16)),
    "negative.npy": header_of((-1, 16)),
    "text.png": b"no image",
    "empty.jpg": b"",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_of_samples_are_named(made, tmp_path, name, capsys):
    (tmp_path / name).write_bytes(ODD[name])
    code = tmp_path / "code.npz"
    code.write_bytes(b"of another day")
    assert run("encode", made / "patches.npz", tmp_path / name, "--out", code) == 1
    said = capsys.readouterr().err
    assert name in said or "Unable to allocate" in said
    assert code.read_bytes() == b"of another day"


@pytest.mark.parametrize("name", ["pipe.npy", "pipe.png", "missing.npz", "missing.png"])
def test_what_is_no_file_is_named_at_once(made, tmp_path, name, capsys):
    if name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    assert run("encode", made / "patches.npz", tmp_path / name) == 1
    assert f"there is no file {tmp_path / name}" in capsys.readouterr().err
    assert run("decode", made / "patches.npz", tmp_path / name) == 1


def test_pickles_are_not_read(made, tmp_path, capsys):
    np.save(tmp_path / "X.npy", np.array([{}]), allow_pickle=True)
    assert run("encode", made / "patches.npz", tmp_path / "X.npy") == 1
    assert "X.npy is no array of samples" in capsys.readouterr().err
    assert run("decode", made / "patches.npz", tmp_path / "X.npy") == 1


def test_a_folder_that_is_named_as_made_data_is_itself(made, tmp_path, capsys):
    (tmp_path / "sample").mkdir()
    assert run("encode", made / "patches.npz", tmp_path / "sample") == 1
    assert "no usable image" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["error", "mask"])
def test_errors_are_of_the_samples_that_were_coded(made, tmp_path, missing, capsys):
    path = made / "patches.npz"
    model = SparseHebbianLearning.load(path)
    X = np.load(made / "X_patches.npy")
    model.set_params(missing=missing)
    model.save(tmp_path / "model.npz")
    is_seen = np.ones(X.shape, bool)
    if missing == "mask":
        is_seen[:, ::3] = False
    np.save(tmp_path / "X.npy", np.where(is_seen, X, np.nan))
    wanted = X - model.inverse_transform(model.transform(np.where(is_seen, X, np.nan)))
    wanted = np.linalg.norm(wanted[is_seen]) / np.linalg.norm(X[is_seen])
    files = str(tmp_path / "model.npz"), str(tmp_path / "X.npy")
    assert cli.main(["encode", *files, "--out", str(tmp_path / "code.npz")]) == 0
    assert f"error {wanted:.4f}" in capsys.readouterr().out
    np.save(tmp_path / "X.npy", np.zeros((4, 16)))
    assert cli.main(["encode", *files, "--out", str(tmp_path / "code.npz")]) == 0
    assert "0 events, error 0.0000" in capsys.readouterr().out


def test_the_error_of_images_is_that_of_each(made, tmp_path, capsys):
    X, decoded = np.load(made / "X_images.npy"), np.load(made / "decoded_images.npy")
    wanted = np.linalg.norm(X - decoded[:, 0]) / np.linalg.norm(X)
    files = str(made / "images.npz"), str(made / "X_images.npy")
    assert cli.main(["encode", *files, "--out", str(tmp_path / "code.npz")]) == 0
    assert f"error {wanted:.4f}" in capsys.readouterr().out


# ----------------------------------------------------------------------------------- full disks


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_a_full_disk_keeps_the_file_of_before(made, tmp_path, command, monkeypatch, capsys):
    out = tmp_path / "out.npz"
    out.write_bytes(b"of another day")
    name = "X_patches.npy" if command == "encode" else "code_patches.npz"

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert run(command, made / "patches.npz", made / name, "--out", out) == 1
    said = capsys.readouterr().err
    assert f"cannot write {out}" in said and "bytes needed" in said
    assert out.read_bytes() == b"of another day"
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]
    assert run(command, made / "patches.npz", made / name, "--out", tmp_path / "a") == 0
    assert (tmp_path / "a").stat().st_size > 100  # no suffix is added


def test_what_stands_in_run_json_does_not_matter(made, tmp_path, capsys):
    (tmp_path / "run.json").write_bytes(b"\xff\x00")
    assert run("show", made / "patches.npz", "--out", tmp_path) == 0
    assert "holds another run" in capsys.readouterr().err


# ------------------------------------------------- entries that are whole, but of another content


def test_entries_of_another_content_are_made_again(tmp_path):
    shl = SHL(**EXPERIMENT, cache_dir=tmp_path)
    wanted, dico = shl.get_data(), shl.learn_dico(matname="mine")
    code = shl.code(wanted[:20], dico, matname="mine")
    paths = {path.name.split("-")[-2]: path for path in tmp_path.glob("*.npz")}
    for arrays in ({}, {"data": np.zeros(3)}, {"data": wanted.astype(str)}, {"other": wanted}):
        store.write(paths["data"], arrays, {"kind": "data"})
        with pytest.warns(UserWarning, match="data.*set aside"):
            assert shl.data_digest() is None
        store.write(paths["data"], arrays, {"kind": "data", "digest": ""})
        with pytest.warns(UserWarning, match="set aside"):
            np.testing.assert_array_equal(shl.get_data(), wanted)
    store.write(paths["code"], {"code": np.full(code.shape, np.nan)}, {})
    with pytest.warns(UserWarning, match="code must hold no NaN.*set aside"):
        np.testing.assert_array_equal(shl.code(wanted[:20], dico, matname="mine"), code)


@pytest.mark.parametrize("info", [{}, {"metrics": None}, {"metrics": [1]}])
def test_stored_results_without_their_values_are_computed_again(tmp_path, info):
    function = StoredFunction(lambda x: {"y": x + 1}, "sum", store.Store(tmp_path))
    assert function({"x": 1}) == {"y": 2}
    for has_arrays in (True, False):
        store.write(function._path({"x": 1}), {}, info)
        with pytest.warns(UserWarning, match="set aside"):
            assert function.find({"x": 1}, has_arrays) is None
    assert function({"x": 1}) == function.find({"x": 1}, has_arrays=False) == {"y": 2}


@pytest.mark.parametrize("info", [{"seconds": 1.0}, {"seconds": 1.0, "metrics": 3}])
def test_a_scan_learns_again_what_has_no_values(tmp_path, info):
    scan = SHL_set({**EXPERIMENT, "cache_dir": tmp_path}, N_scan=1)
    record = scan.run(["eta"])[0]
    path = next(path for path in tmp_path.iterdir() if "-dico-" in path.name)
    store.write(path, {}, info)
    with pytest.warns(UserWarning, match="set aside"):
        again = scan.run(["eta"])[0]
    assert not again["cached"] and again["F"] == record["F"]
