import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from shl.networks.studies import data

SHAPE = (6, 5)


def draw_images(n, rng):
    """Grey levels 0..255 whose brightness tells the class, and the classes."""
    y = np.arange(n) % 3
    return (rng.integers(0, 80, (n, *SHAPE)) + 85 * y[:, None, None]).astype(np.uint8), y


def head(*shape, code=8):
    """Where a file of MNIST's format begins."""
    return bytes([0, 0, code, len(shape)]) + np.array(shape, ">u4").tobytes()


def write_idx(path, array):
    """An array of bytes in the format of MNIST's files."""
    content = head(*array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def folder(tmp_path, rng):
    """A folder as people have MNIST: a pair of files compressed, the other not."""
    place = tmp_path / "idx"
    place.mkdir()
    X, y = draw_images(72, rng)
    for part, name, end in ((slice(0, 48), "train", ""), (slice(48, 72), "t10k", ".gz")):
        write_idx(place / f"{name}-images-idx3-ubyte{end}", X[part])
        write_idx(place / f"{name}-labels-idx1-ubyte{end}", y[part])
    (place / "readme.txt").write_text("no images")
    return place


@pytest.fixture
def save(tmp_path):
    """Write named arrays into a file; gives its path, a text."""

    def write(**arrays):
        np.savez(tmp_path / "mine.npz", **arrays)
        return str(tmp_path / "mine.npz")

    return write


@pytest.fixture
def file(save, rng):
    return save(**dict(zip("Xy", draw_images(60, rng), strict=True)))


def test_a_folder_of_idx_files_holds_all_its_images(folder, rng):
    X, y, shape, _ = data.load_labelled(str(folder))
    expected, labels = draw_images(72, np.random.default_rng(0))
    # In the order of the files' names: t10k before train.
    order = np.r_[48:72, 0:48]
    np.testing.assert_allclose(X, expected[order].reshape(72, -1) / expected.max(), rtol=1e-6)
    np.testing.assert_array_equal(y, labels[order])
    assert shape == SHAPE and X.dtype == np.float32 and not X.flags.writeable


@pytest.mark.parametrize(("dtype", "code"), [(">i2", 11), (">f4", 13), (">f8", 14), ("i1", 9)])
def test_idx_files_have_other_types_too(tmp_path, dtype, code):
    values = np.arange(-3, 3).reshape(2, 3).astype(dtype)
    (tmp_path / "some").write_bytes(head(2, 3, code=code) + values.tobytes())
    np.testing.assert_array_equal(data.read_idx(tmp_path / "some"), values)


def test_a_file_has_images_and_labels(file, save, tmp_path):
    X, y, shape, _ = data.load_labelled(file)
    assert (X.shape, y.shape, shape, X.max()) == ((60, 30), (60,), SHAPE, 1)
    for values, message in (
        ({"X": X}, "it has X, not X and y"),
        ({"X": X, "y": y[:5]}, "as many labels y as images X"),
        ({"X": X * np.nan, "y": y}, "X of .* must hold no NaN"),
        ({"X": X, "y": np.array(["a", None] * 30, object)}, "Object arrays cannot be loaded"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load_labelled(save(**values))
    (tmp_path / "no.npz").write_text("no zip")
    with pytest.raises(ValueError, match="no.npz is not an .npz file with X and y"):
        data.load_labelled(str(tmp_path / "no.npz"))


def test_what_is_none_of_these_is_named(tmp_path):
    words = "data must be 'digits', 'mnist', .* an .npz file .*, not"
    for name, message in (
        ("boston", words),
        (str(tmp_path / "missing.npz"), words),
        (str(tmp_path), "has no pair of IDX files such as train-images-idx3"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load_labelled(name)


def test_changed_files_are_read_again(file, folder, save, rng):
    before, images = data.identity_of(file), data.load_labelled(str(folder)).X
    X, y = draw_images(60, rng)
    assert data.identity_of(save(X=X, y=y)) != before and data.identity_of("digits") is None
    path = folder / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[16:46] = content[46:76]
    path.write_bytes(content)
    assert not np.array_equal(data.load_labelled(str(folder)).X, images)


def test_a_split_takes_some_images_of_each_class(file):
    X, X_test, y, y_test = data.split(file, 0, n_samples=24)
    assert (len(X), len(X_test)) == (18, 6)
    assert np.bincount(np.r_[y, y_test]).tolist() == [8, 8, 8]
    assert len(data.split(file, 0)[0]) == 45


def test_patches_are_windows_and_never_constant(folder, rng):
    X, _, shape, _ = data.load_labelled(str(folder))
    patches = data.draw_inputs(str(folder), (4, 3), 500, rng)
    assert patches.shape == (500, 12) and patches.dtype == np.float32
    assert abs(patches.mean()) < 1e-5 and patches.std() == pytest.approx(1, abs=1e-5)
    windows = np.lib.stride_tricks.sliding_window_view(X.reshape(-1, *shape), (4, 3), (1, 2))
    ramps = (patches - patches[:, :1]) / np.ptp(patches, axis=1, keepdims=True)
    known = windows.reshape(-1, 12)
    known = (known - known[:, :1]) / np.ptp(known, axis=1, keepdims=True)
    assert all(np.isclose(ramp, known, atol=1e-4).all(1).any() for ramp in ramps[:20])


def test_data_of_as_many_columns_are_taken_as_they_are(save, rng):
    X = rng.standard_normal((40, 12)).astype(np.float32)
    path = save(X=X, y=np.zeros(40, int))
    rows = data.draw_inputs(path, (4, 3), 40, rng)
    expected = (X - X.mean()) / X.std()
    np.testing.assert_allclose(rows[rows[:, 0].argsort()], expected[X[:, 0].argsort()], atol=1e-5)
    with pytest.raises(ValueError, match="mine.npz must have 41 rows that are not constant, not 4"):
        data.draw_inputs(path, (4, 3), 41, rng)


def test_images_without_patches_are_named(save, rng):
    for X, message in (
        (rng.random((9, 3, 8)), r"must have images of at least \(4, 3\), not \(3, 8\)"),
        (np.ones((9, 5, 5)), "has too few patches of .* that are not constant"),
    ):
        with pytest.raises(ValueError, match=message):
            data.draw_inputs(save(X=X, y=np.zeros(9, int)), (4, 3), 20, rng)


def test_offline_mnist_says_what_to_do(monkeypatch, tmp_path, command, capsys):
    def fail(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fail)
    data._load_content.cache_clear()
    pytest.importorskip("torch")
    assert command("set", "--data", "mnist") == 1
    error = capsys.readouterr().err
    assert "no route to host" in error
    assert "Give a folder of its IDX files, or an .npz file with X and y" in error
    assert not (tmp_path / "out").exists()


def test_students_take_files(folder, command, config, capsys):
    arguments = ["teacher-student", "--config_path", config(dataset_size=80), "--json", "--data"]
    assert command(*arguments, folder) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["run"]["data"] == str(folder)
    assert summary["run"]["data_hash"] == data.identity_of(str(folder))
    assert command(*arguments, "boston") == 2
    assert "--data must be 'digits', 'mnist'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "kind"), [("regularization", "folder"), ("set", "file"), ("group-sparsity", "file")]
)
def test_commands_take_files(name, kind, folder, file, tmp_path, command, capsys):
    pytest.importorskip("torch")
    place = str({"folder": folder, "file": file}[kind])
    arguments = [name, "--data", place, "--epochs", "3", "--seeds", "0", "1"]
    arguments += ["--path-epochs", "2"] if name == "group-sparsity" else []
    assert command(*arguments) == 0
    printed = capsys.readouterr().out
    assert "loss" in printed and ("exact zeros" in printed) == (name == "group-sparsity")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    pictures = [Path(path) for path in summary["pictures"].values()]
    assert len(pictures) >= 2 and {path.parent for path in pictures} == {tmp_path / "out"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    rows = summary["tables"][place]
    assert max(row.get("accuracy") or row["test_score"] for row in rows) > 0.3
    if name == "set":
        assert command(*arguments, "--json") == 0
        again = json.loads(capsys.readouterr().out)
        assert again | {"seconds": 0} == summary | {"seconds": 0}


def test_group_sparsity_takes_own_targets(save, rng, command, capsys):
    pytest.importorskip("torch")
    X = rng.normal(size=(200, 13))
    place = save(X=X, y=2 * X[:, 0] + X[:, 1] ** 2)
    arguments = ["--data", place, "--epochs", "60", "--seed", "0"]
    assert command("group-sparsity", *arguments, "--path-epochs", "0", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["tables"][place]
    assert max(row["test_score"] for row in rows) > 0.3
    X, X_test, y, _ = data.split(place, 0, takes_targets=True)
    assert abs(X.mean(0)).max() < 1e-6 and y.std() == pytest.approx(1)
    for name in ("set", "regularization"):
        assert command(name, *arguments) == 1
        assert "has targets of a regression" in capsys.readouterr().err


def test_read_idx_names_damaged_files(tmp_path, rng):
    damaged = bytearray(gzip.compress(head(50, 90) + rng.integers(0, 4, 4500, np.uint8).tobytes()))
    damaged[60] ^= 0x5A
    files = {
        "flip.gz": (bytes(damaged), "damaged"),
        "cut.gz": (gzip.compress(head(3) + b"abc")[:-9], "cut off"),
        "crc.gz": (gzip.compress(head(1, 1) + b"1")[:-8] + bytes(8), "damaged"),
        "no.gz": (b"no gzip", "damaged"),
        "short": (b"\0\0\x08", "is not an IDX file"),
        "zip": (b"PK\x03\x04", "is not an IDX file"),
        "values": (b"\0\0\x08\x01\0\0\0\x05abc", r"has 3 bytes of values, not 5 for \(5,\)"),
        "head": (b"\0\0\x08\x02\0\0\0\x05", r"has 0 bytes of values, not 5 for \(5,\)"),
        "long.gz": (gzip.compress(head(1) + bytes(1 << 22)), "has more bytes of values, not 1"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} .*{message}"):
            data.read_idx(tmp_path / name)
    with pytest.raises(ValueError, match="is not a regular file"):
        data.read_idx(tmp_path)
