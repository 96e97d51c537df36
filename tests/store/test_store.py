import hashlib
import json

import numpy as np
import pytest

from shl import store
from shl.cli import main as cli
from shl.store.files import json_text


@pytest.fixture
def entry(tmp_path):
    path = tmp_path / "a.npz"
    store.write(
        path, {"x": np.arange(6.0), "empty": np.empty((0, 3))}, {"kind": "test", "n": np.int64(3)}
    )
    return path


def test_what_is_written_is_read(entry):
    arrays, info = store.read(entry)
    np.testing.assert_array_equal(arrays["x"], np.arange(6.0))
    assert arrays["empty"].shape == (0, 3)
    assert info == {"kind": "test", "n": 3, "schema": store.SCHEMA} == store.read_info(entry)


def test_keys_follow_values_not_types_or_order():
    key = store.key_of({"a": 1, "b": 2.0, "c": None})
    assert key == store.key_of({"c": None, "b": np.float64(2.0), "a": np.int64(1)})
    others = [
        {"a": 2, "b": 2.0, "c": None},
        {"a": 1, "b": 2.0, "c": "None"},
        {"a": 1, "b": 2.0},
        {"a": 1, "b": 2.0, "c": np.zeros(2)},
        {"a": 1, "b": 2.0, "c": np.zeros(3)},
        {"a": True, "b": 2.0},
    ]
    assert len({key, *map(store.key_of, others)}) == len(others) + 1


def test_digests_follow_content_dtype_and_shape():
    x = np.arange(6.0)
    assert store.digest(x) == store.digest(x.copy()) == store.digest(x[::-1][::-1])
    assert len({store.digest(a) for a in (x, x + 1, x.astype(np.float32), x.reshape(2, 3))}) == 4


@pytest.fixture
def damaged(entry):
    content = bytearray(entry.read_bytes())
    content[content.index(np.float64(5).tobytes())] ^= 1
    entry.write_bytes(bytes(content))
    return entry


def test_a_damaged_entry_is_set_aside_with_one_warning(damaged):
    words = f"{damaged.name}.*set aside as .*bad; it is made again"
    with pytest.warns(UserWarning, match=words) as caught:
        assert store.Store(damaged.parent).get(damaged) is None
    assert len(caught) == 1
    assert not damaged.exists() and damaged.with_name("a.npz.bad").exists()
    assert store.Store(damaged.parent).get(damaged) is None


def test_an_entry_of_a_newer_version_is_not_damaged(entry):
    info = json.dumps({"schema": store.SCHEMA + 1, "checksum": ""})
    np.savez(entry, __json__=np.frombuffer(info.encode(), np.uint8))
    with pytest.raises(ValueError, match=r"has schema 4, this version reads up to 3: update shl"):
        store.read(entry)
    with pytest.warns(UserWarning, match="update shl; it is made again"):
        assert store.Store(entry.parent).get(entry) is None
    assert [path.name for path in entry.parent.iterdir()] == ["a.npz"]


def test_an_entry_of_the_second_schema_is_read(tmp_path):
    about = {"n": 1, "schema": 2, "entry": None, "arrays": "a digest"}
    text = json.dumps(about).encode()
    digest = hashlib.blake2b(text, digest_size=16).hexdigest().encode()
    texts = {"__json__": text, "__digest__": digest}
    texts = {name: np.frombuffer(content, np.uint8) for name, content in texts.items()}
    np.savez(tmp_path / "a.npz", x=np.arange(3.0), **texts)
    arrays, info = store.read(tmp_path / "a.npz")
    assert arrays["x"].tolist() == [0, 1, 2] and info == {"n": 1, "schema": 2}


def test_a_folder_that_cannot_be_made_is_an_error_with_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write .*file"):
        store.write(tmp_path / "file" / "a.npz", {"x": np.zeros(9)}, {})


def test_the_folder_of_results(monkeypatch, tmp_path):
    monkeypatch.setenv("SHL_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert store.open_store().folder == tmp_path / "elsewhere"
    assert store.open_store(tmp_path).folder == tmp_path
    assert store.open_store(None) is None
    monkeypatch.delenv("SHL_CACHE_DIR")
    assert str(store.open_store().folder) == "cache_dir"
    path = store.Store(tmp_path).path("dico", "k", "a/b c" + "x" * 200)
    assert path.parent == tmp_path and path.name.startswith("a_b_cxxx") and len(path.name) < 100


def test_cache_commands(tmp_path, capsys):
    entry = store.Store(tmp_path).path("test", "0" * 32)
    store.write(entry, {"x": np.arange(6.0)}, {})
    flags = ["--cache-dir", str(tmp_path)]
    assert cli.main(["cache", "ls", *flags]) == 0
    assert "1 entries" in capsys.readouterr().out
    assert cli.main(["cache", "verify", *flags]) == 0
    entry.write_bytes(entry.read_bytes()[:-9])
    assert cli.main(["cache", "verify", *flags]) == 1
    assert "1 of 1 entries are damaged" in capsys.readouterr().out
    assert cli.main(["cache", "clear", "--older-than", "1", *flags]) == 0
    assert entry.exists()
    assert cli.main(["cache", "clear", *flags]) == 0
    assert not entry.exists()


def test_json_for_other_programs_has_no_nan():
    """NaN is no JSON: readers in other languages stop at it."""
    value = {"F": float("nan"), "list": [1.5, np.float64("inf"), {"p": -float("inf")}], "path": 1j}
    text = json_text(value)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "F": None,
        "list": [1.5, None, {"p": None}],
        "path": "1j",
    }
