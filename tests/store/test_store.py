import hashlib
import importlib
import json
import os
import sys

import numpy as np
import pytest

from shl import SparseHebbianLearning, store
from shl.cli import main as cli
from shl.store import entries, files, index
from shl.store.files import hold, json_text


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


def test_an_entry_of_a_newer_version_is_not_damaged(entry):
    info = json.dumps({"schema": store.SCHEMA + 1, "checksum": ""})
    np.savez(entry, __json__=np.frombuffer(info.encode(), np.uint8))
    with pytest.raises(
        ValueError, match=r"has schema 4, but this version reads up to 3. Update shl"
    ):
        store.read(entry)
    with pytest.warns(UserWarning, match="Update shl. The result is computed again"):
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


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
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


@pytest.fixture
def keeper(tmp_path):
    """A store of three entries of eta = 1, 2, 3, and one of another kind."""
    keeper = store.Store(tmp_path / "results")
    for eta in (1, 2, 3):
        path = keeper.path("dico", f"{eta}" * 32, f"scan_{eta}")
        info = {"parameters": {"eta": eta, "n_iter": 9}, "metrics": {"F": eta / 10}}
        keeper.put(path, {"x": np.zeros(1000)}, info | {"state": {"step": 9}})
        os.utime(path, (10**9 + eta, 10**9 + eta))
    keeper.put(keeper.path("code", "f" * 32), {"x": np.zeros(10)}, {"kind": "code"})
    return store.Store(tmp_path / "results")


def test_entries_are_a_data_frame(keeper):
    frame = keeper.entries()
    assert frame.eta[:3].tolist() == [1, 2, 3] and frame.F[0] == 0.1 and frame.steps[0] == 9
    assert {"entry", "tag", "kind", "bytes", "age", "path", "n_iter"} <= {*frame.columns}


def test_an_index_is_never_the_truth(keeper, monkeypatch):
    rows = keeper.rows()
    file, read_info = keeper.folder / ".index.json", index.read_info
    calls = []
    monkeypatch.setattr(index, "read_info", lambda path: calls.append(path) or read_info(path))
    assert [row["F"] for row in keeper.rows()] == [row["F"] for row in rows] and not calls
    for damage in (b"[", b"[1]", b'{"a": 3}', b"", b"\xff"):
        file.write_bytes(damage)
        assert len(keeper.rows()) == 4 and len(calls) == 4
        calls.clear()
    path = keeper.path("dico", "1" * 32, "scan_1")
    store.write(path, {}, {"parameters": {"eta": 7}})
    assert 7 in [row["parameters"].get("eta") for row in keeper.rows()] and calls == [path]
    path.write_bytes(b"nothing")
    assert sum("damage" in row for row in keeper.rows()) == 1
    path.unlink()
    assert len(keeper.rows()) == 3


def test_the_least_recently_used_entries_are_removed(keeper):
    sizes = [row["bytes"] for row in keeper.rows()]
    assert keeper.get(keeper.path("dico", "1" * 32, "scan_1")) is not None
    assert keeper.rows()[0]["tag"] == "scan_1"  # its age is still that of its writing
    again = store.Store(keeper.folder, max_size=sum(sizes[:2]) + sizes[3])
    path = again.path("dico", "4" * 32)
    again.put(path, {}, {})
    assert [row["entry"][0] for row in again.rows()] == ["1", "f", "4"]
    again.max_size = 1
    assert {path.name for path in again.folder.glob("*.npz")} >= {path.name}
    assert len(again.prune()) == 2 and [row["entry"][0] for row in again.rows()] == ["4"]


def test_what_another_process_has_removed_is_gone(keeper, monkeypatch):
    size = sum(row["bytes"] for row in keeper.rows())
    monkeypatch.setattr(entries, "remove_unused", lambda path: (path.unlink(), path.unlink()))
    assert keeper.prune(size - 1) == [] and len(keeper.rows()) == 3


@pytest.mark.skipif(files.flock is None, reason="needs locks")
def test_a_file_that_replaced_another_is_not_removed(keeper, monkeypatch):
    path, flock = keeper.path("code", "f" * 32), files.flock

    def replace_first(file, how):
        if how & files.LOCK_NB:
            store.write(path, {"x": np.ones(10)}, {})
        flock(file, how)

    monkeypatch.setattr(files, "flock", replace_first)
    assert keeper.remove([path]) == [] and keeper.get(path)[0]["x"].all()


def test_a_file_that_is_replaced_meanwhile_is_read(entry, monkeypatch):
    stat = os.stat

    def replace_after(path, **options):
        status = stat(path, **options)
        monkeypatch.undo()
        store.write(path, {"x": np.zeros(999)}, {})
        return status

    monkeypatch.setattr(os, "stat", replace_after)
    assert store.read(entry)[0]["x"].size == 999


def test_a_young_part_is_not_swept(keeper):
    part = keeper.folder / f".{'0' * 16}.part"  # of a machine whose locks are unknown here
    part.touch()
    keeper.put(keeper.path("code", "e" * 32), {}, {})
    assert part.exists()
    os.utime(part, (0, 0))
    store.Store(keeper.folder).put(keeper.path("code", "e" * 32), {}, {})
    assert not part.exists()


def test_sizes_have_units():
    wanted = {"2 GB": 2e9, "1.5k": 1500, "7": 7}
    assert {size: store.Store(".", size).max_size for size in wanted} == wanted
    for bad in ("2 X", "GB", "-1", "1.2.3"):
        with pytest.raises(ValueError, match="max_size must be a number with a unit"):
            store.Store(".", bad)


def cache(keeper, capsys, *arguments):
    """(exit code, stdout) of `shl cache`."""
    code = cli.main(["cache", *map(str, arguments), "--cache-dir", str(keeper.folder)])
    return code, capsys.readouterr().out


def test_cache_ls_filters_sorts_and_sums(keeper, capsys):
    def listed(*flags):
        code, out = cache(keeper, capsys, "ls", *flags, "--json")
        assert code == 0
        return [row["entry"][0] for row in json.loads(out)]

    assert listed() == ["1", "2", "3", "f"] and listed("--sort", "F") == ["1", "2", "3", "f"]
    assert listed("--tag", "scan*") == ["1", "2", "3"] and listed("--kind", "code") == ["f"]
    assert listed("--where", "eta=2") == listed("--where", "F=0.2") == ["2"]
    assert listed("--where", "eta=2.0", "--where", "n_iter=8") == []
    assert listed("--older", "30d") == ["1", "2", "3"] and listed("22") == ["2"]
    code, out = cache(keeper, capsys, "ls")
    assert code == 0 and "eta=2 n_iter=9" in out and "kB of dico" in out and "4 entries" in out
    with pytest.raises(SystemExit):
        cli.main(["cache", "lsx"])
    assert cache(keeper, capsys, "ls", "--where", "eta")[0] in (1, 2)
    assert cache(keeper, capsys, "ls", "--older", "3 moons")[0] in (1, 2)


def test_cache_ls_fits_a_terminal(keeper, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "63")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = cache(keeper, capsys, "ls")[1].splitlines()
    assert max(map(len, lines[:5])) == 63 and "eta=2 " in lines[2] and lines[2].endswith("...")


def test_cache_show_prints_an_entry_and_draws_a_model(tmp_path, capsys):
    keeper, X = store.Store(tmp_path / "c"), np.random.default_rng(0).standard_normal((200, 16))
    model = SparseHebbianLearning(12, n_iter=3, random_state=0).fit(X)
    model.save(keeper.path("dico", "a" * 32))
    code, out = cache(keeper, capsys, "show", "aaa", "--out", tmp_path / "out")
    assert code == 0 and "n_dictionary = 12" in out and "dictionary" in out
    assert (tmp_path / "out" / "dictionary.png").stat().st_size
    assert cache(keeper, capsys, "show", "bbb")[0] == 1


def test_cache_rm_asks_first(keeper, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert cache(keeper, capsys, "rm", "--where", "eta=1")[0] == 1 and len(keeper.rows()) == 4
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert cache(keeper, capsys, "rm", "--where", "eta=1")[0] == 0 and len(keeper.rows()) == 3
    assert cache(keeper, capsys, "rm")[0] == 1
    with open(keeper.path("dico", "2" * 32, "scan_2"), "rb+") as file:
        hold(file)
        code, out = cache(keeper, capsys, "rm", "--tag", "scan_*", "--yes")
    assert code == 1 and "cannot remove" in out and len(keeper.rows()) == 2
    assert cache(keeper, capsys, "rm", "--max-size", "1")[0] == 0 and not keeper.rows()


def test_cache_export_writes_a_table(keeper, capsys, tmp_path, monkeypatch):
    pd = pytest.importorskip("pandas")
    assert cache(keeper, capsys, "export", tmp_path / "t.csv", "--kind", "dico")[0] == 0
    assert pd.read_csv(tmp_path / "t.csv").eta.tolist() == [1, 2, 3]
    assert cache(keeper, capsys, "export", tmp_path / "t.xls")[0] == 1
    if importlib.util.find_spec("pyarrow"):
        assert cache(keeper, capsys, "export", tmp_path / "t.parquet")[0] == 0
        assert pd.read_parquet(tmp_path / "t.parquet").eta[:3].tolist() == [1, 2, 3]


def test_names_of_files_do_not_reach_the_terminal(keeper, capsys):
    path = keeper.path("dico", "1" * 32, "scan_1")
    odd = f"\x1b]0;mine\x07\nfake line-dico-{'1' * 32}.npz"
    path.rename(path.with_name(odd))
    for action in ("ls", "verify"):
        code, out = cache(keeper, capsys, action)
        assert code == 0 and "\x1b" not in out and "\nfake" not in out
    (keeper.folder / odd).write_bytes(b"x")
    assert "\x1b" not in cache(keeper, capsys, "verify")[1]
    with pytest.warns(UserWarning) as caught:
        keeper.get(keeper.folder / odd)
    assert not any("\x1b" in str(warning.message) for warning in caught)


def test_cache_clear_and_verify(tmp_path, capsys):
    keeper = store.Store(tmp_path)
    entry = keeper.path("test", "0" * 32)
    store.write(entry, {"x": np.arange(6.0)}, {})
    assert cache(keeper, capsys, "verify")[0] == 0
    entry.write_bytes(entry.read_bytes()[:-9])
    code, out = cache(keeper, capsys, "verify")
    assert code == 1 and "1 of 1 entries are damaged" in out
    assert cache(keeper, capsys, "clear", "--older-than", "1")[0] == 0 and entry.exists()
    assert cache(keeper, capsys, "clear")[0] == 0 and not entry.exists()


def test_json_for_other_programs_has_no_nan():
    """NaN is no JSON: readers in other languages stop at it."""
    value = {"F": float("nan"), "list": [1.5, np.float64("inf"), {"p": -float("inf")}], "path": 1j}
    text = json_text(value)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "F": None,
        "list": [1.5, None, {"p": None}],
        "path": "1j",
    }
