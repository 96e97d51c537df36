"""Full disks, files that are none, folders that others use too, and what `cache clear` removes."""

import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from making import make
from running import FLAGS, SMALL, commands_with_faults, python, run

from shl import SHL, SparseHebbianLearning, store
from shl._base import progress
from shl.cli import main as cli
from shl.store.index import INDEX

MOST_WRITES = int(os.environ.get("SHL_FAULT_WRITES", 8))  # 1000 is all of them
KEY = "0123456789abcdef" * 2


def content(folder):
    """The bytes of the files of a folder that is read only, without the index of a store."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != INDEX)
    return {path: path.read_bytes() for path in files}


# -------------------------------------------------------------------------------------- full disks


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("command", ["learn", "scan --variable eta --n-scan 2"])
def test_a_full_disk_at_every_write_loses_nothing(tmp_path, command):
    command = [*command.split(), "--n-jobs", "1", "--seed", "1", *FLAGS]
    with commands_with_faults(tmp_path / "log") as call:

        def call_in(folder, **fault):
            code, n, error = call(*command, "--cache-dir", folder / "c", "--out", folder, **fault)
            assert code in (0, 1) and not list(folder.rglob("*.part"))
            assert not [path for path, text in content(folder).items() if not text]
            return code, n, error

        first = tmp_path / "first"
        code, n_writes, _ = call_in(first)
        assert code == 0 and n_writes > 10
        names = {path.relative_to(first) for path in content(first)}
        for k in np.linspace(1, n_writes, min(n_writes, MOST_WRITES)).round().astype(int).tolist():
            folder = tmp_path / str(k)
            folder.mkdir()
            code, _, error = call_in(folder, k=k)
            if code:
                assert "cannot write" in error and "bytes needed" in error and str(folder) in error
            assert not store.Store(folder / "c").verify()
            assert call_in(folder)[0] == 0  # with room, it ends as if undisturbed
            assert {path.relative_to(folder) for path in content(folder)} == names
            call_in(folder, k=k)  # what is there is kept, also without room
            assert {path.relative_to(folder) for path in content(folder)} == names


def learn(folder, capsys):
    """(exit code, stderr) of a `shl learn`."""
    flags = ["--cache-dir", str(folder / "cache"), "--out", str(folder / "out")]
    return cli.main(["learn", *FLAGS, *flags]), capsys.readouterr().err


@pytest.mark.filterwarnings("always")
def test_a_model_that_cannot_be_kept_is_written_to_out(tmp_path, capsys):
    """The folder of results is a file: nothing can be written there."""
    (tmp_path / "cache").write_text("")
    code, said = learn(tmp_path, capsys)
    assert code == 0
    words = "bytes needed.*the result is used, but not stored"
    assert len(re.findall(words, said)) >= 2  # patches and model
    assert SparseHebbianLearning.load(tmp_path / "out" / "dictionary.npz").n_iter_ == 40


def test_an_unwritable_out_says_where_the_model_is(tmp_path, capsys):
    (tmp_path / "out" / "dictionary.npz").mkdir(parents=True)
    code, error = learn(tmp_path, capsys)
    assert code == 1 and f"cannot write {tmp_path / 'out' / 'dictionary.npz'}" in error
    place = error.split("The model is in ")[1].strip().rstrip(".")
    assert SparseHebbianLearning.load(place).n_iter_ == 40


def test_an_unwritable_checkpoint_is_a_warning(tmp_path, monkeypatch):
    shl = SHL(**SMALL, cache_dir=tmp_path, checkpoint_each=1)
    wanted = SHL(**SMALL, cache_dir=None).learn_dico(matname="a").components_
    true_savez, data = np.savez, shl.get_data()

    def full(file, **arrays):
        if "last_selected" in arrays and "competition/gain" not in arrays:  # not the model
            file.write(b"x" * 10)
            raise OSError(28, "No space left on device")
        true_savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match=r"cannot write .*checkpoint .*bytes needed.*not stored"):
        found = shl.learn_dico(data, matname="a")
    np.testing.assert_array_equal(found.components_, wanted)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}


class Full(io.StringIO):
    """A standard error on a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        self.write("")


def test_an_unwritable_progress_bar_ends_nothing(monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (Full(), None, closed):
        monkeypatch.setattr(progress.sys, "stderr", stream)
        assert make(n_iter=5, verbose=1).fit(np.eye(60, 9)).n_iter_ == 5


def write_entry(path):
    store.write(path, {"x": np.zeros(9)}, {})


def write_picture(path):
    from shl.plotting.figures import new_figure, save

    fig = new_figure()
    fig.add_subplot()
    save(fig, path)


def write_code(path):
    X = np.random.default_rng(0).standard_normal((60, 16))
    np.save(path.parent / "X.npy", X)
    SparseHebbianLearning(12, n_iter=2).fit(X).save(path.parent / "m.npz")
    arguments = ["encode", path.parent / "m.npz", path.parent / "X.npy", "--out", path, "--quiet"]
    if cli.main([str(argument) for argument in arguments]):
        raise OSError(f"cannot write {path} (1 bytes needed): No space left")


WRITERS = {"entry": write_entry, "picture": write_picture, "code": write_code}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_keeps_the_file_of_before(tmp_path, kind, monkeypatch, capsys):
    path = tmp_path / "a.png"
    path.write_bytes(b"of another day")

    def refuse_to_sync(descriptor):
        if kind != "code" or (tmp_path / "m.npz").exists():  # which `write_code` needs
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse_to_sync)
    with pytest.raises(OSError, match=r"cannot write .*a.png \(\d+ bytes needed\): No space left"):
        WRITERS[kind](path)
    assert path.read_bytes() == b"of another day" and not list(tmp_path.glob("*.part"))
    monkeypatch.undo()
    WRITERS[kind](path)
    assert len(path.read_bytes()) > 100


@pytest.mark.parametrize("name", ["folder", "fifo", "loop"])
def test_what_is_no_regular_file_is_not_replaced(tmp_path, name):
    path = tmp_path / name
    make = {"folder": Path.mkdir, "fifo": os.mkfifo, "loop": lambda path: path.symlink_to(path)}
    make[name](path)
    mode = path.lstat().st_mode
    with pytest.raises(OSError, match=f"cannot write .*{name}.*not a regular file; give"):
        write_entry(path)
    assert path.lstat().st_mode == mode and os.listdir(tmp_path) == [name]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    for target in ("there/a.npz", "there/new.npz"):
        link = tmp_path / "link.npz"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        write_entry(link)
        assert link.is_symlink() and store.read(tmp_path / target)[0]["x"].size == 9


def test_a_pipe_named_run_json_stops_no_command(tmp_path, capsys):
    write_code(tmp_path / "code.npz")
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "run.json")
    flags = ["--out", str(tmp_path / "out"), "--quiet"]
    assert cli.main(["show", str(tmp_path / "m.npz"), *flags]) == 1
    assert "run.json" in capsys.readouterr().err
    (tmp_path / "out" / "run.json").unlink()
    (tmp_path / "out" / "run.json").write_bytes(b"\xff\x00")
    assert cli.main(["show", str(tmp_path / "m.npz"), *flags]) == 0
    assert "holds another run" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error(tmp_path):
    store.write(store.Store(tmp_path).path("data", KEY), {}, {})
    command = [sys.executable, "-m", "shl.cli", "cache", "ls", "--cache-dir", str(tmp_path)]
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, b"")


# ----------------------------------------------------------------------------------- cache clear

# A writer in the middle of a file, until the test writes a line.
WRITE = """
import sys
from pathlib import Path
from shl.store import files
def fill(file):
    file.write(b"x" * 1000)
    file.flush()
    print("writes", flush=True)
    sys.stdin.readline()
files.replace_file(Path(sys.argv[1]), 1000, fill)
"""


def start_writer(path):
    process = python(WRITE, path, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "writes\n"
    return process


def test_clear_removes_only_what_a_killed_writer_left(tmp_path):
    paths = [store.Store(tmp_path).path("data", letter * 32) for letter in "abc"]
    alive, dead = map(start_writer, paths[:2])
    dead.kill()
    dead.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    for part in tmp_path.iterdir():
        os.utime(part, (0, 0))  # long ago
    keeper = store.Store(tmp_path)
    keeper.put(paths[2], {"x": np.zeros(2)}, {})  # the first entry sweeps
    (part,) = tmp_path.glob("*.part")
    assert keeper.clear() == [str(paths[2])] and part.exists()
    assert alive.communicate("\n")[1] == "" and alive.returncode == 0
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"x" * 1000]


def test_a_writer_begins_anew_when_its_part_was_swept(tmp_path, monkeypatch):
    from shl.store import files

    parts, true_hold = [], files.hold

    def hold(file):  # a sweep comes between the opening and the lock
        if not parts:
            parts.extend(store.Store(tmp_path).clear())
        true_hold(file)

    monkeypatch.setattr(files, "hold", hold)
    write_entry(tmp_path / "a.npz")
    assert len(parts) == 1 and store.read(tmp_path / "a.npz")[0]["x"].size == 9


def test_clear_removes_what_is_its_own_and_unused(tmp_path):
    keeper = store.Store(tmp_path)
    for tag in ("mine", "", "a-b_c=1.5", "é" * 200):
        write_entry(keeper.path("dico", KEY, tag))
    future = keeper.path("data", "f" * 32)
    write_entry(future)
    os.utime(future, (2**31, 2**31))
    ours = [f"dico-{KEY}.npz.bad", f"tag-dico-{KEY}.checkpoint.bad", f"a-dico-{KEY}.checkpoint"]
    ours += [f".0000000a-12-{KEY[:16]}.part", f".{KEY[:16]}.part"]
    for name in ours:
        (tmp_path / name).write_bytes(b"x")
    kept = ["results.npz", f"{KEY}.npz", "dico-0123.npz", f"dico-{KEY}.npy", "notes.checkpoint"]
    kept += ["model.npz.bad", "download.part"]
    for name in kept:
        (tmp_path / name).write_bytes(b"a user's own")
    (tmp_path / f"folder-dico-{KEY}.npz").mkdir()
    shl = SHL(**SMALL, cache_dir=tmp_path, checkpoint_each=1)
    used = []

    def clear(state):  # a checkpoint is held while its learning goes on
        if state.step == 3:
            cli.main(["cache", "clear", "--quiet", "--cache-dir", str(tmp_path)])
            used.extend(path for path in os.listdir(tmp_path) if path.startswith("x-"))
            raise InterruptedError

    model, data = shl._estimator(), shl.patches.draw()
    from shl.learning import checkpoints

    path = shl.result_path(model, data, "x")
    with pytest.raises(InterruptedError), checkpoints.Checkpoints(keeper, path, 1) as context:
        model.fit(data, on_step=lambda state: (context.step_done(state), clear(state))[0])
    assert used == [path.with_suffix(".checkpoint").name]
    left = {*os.listdir(tmp_path)} - {*used}
    assert left == {*kept, f"folder-dico-{KEY}.npz"}
    assert keeper.clear() == [str(tmp_path / used[0])]


def test_names_of_entries_fit_a_file_system(tmp_path):
    keeper = store.Store(tmp_path)
    for tag in ("字" * 80, "é" * 80, "𝔸" * 80, "a/../../b", "x" * 500, "", None, "~", "\n"):
        path = keeper.path("dico", KEY, tag)
        assert path.parent == tmp_path and len(path.name.encode()) < 200
        write_entry(path)
        assert keeper.get(path)[0]["x"].sum() == 0
    assert len(keeper.rows()) == len(list(tmp_path.glob("*.npz")))


def test_no_store_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHL_CACHE_DIR", "none")
    shl = SHL(**SMALL)
    assert shl.store is None
    shl.learn_dico(matname="x")
    assert not list(tmp_path.iterdir())


def test_objects_cannot_be_written(tmp_path):
    with pytest.raises(TypeError, match="x must be an array of numbers, not of objects"):
        store.write(tmp_path / "a.npz", {"x": np.array([{}])}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files as Linux does")
def test_too_many_open_files_damage_nothing(tmp_path):
    path = tmp_path / f"dico-{KEY}.npz"
    store.write(path, {"x": np.arange(3.0)}, {})
    code = """
import os, resource, sys, warnings
from shl import store
keeper = store.Store(os.path.dirname(sys.argv[1]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), 1000))
    held = []
    try:
        while True: held.append(open("/dev/null"))
    except OSError:
        pass
    assert keeper.get(sys.argv[1]) is None
    [file.close() for file in held]
said = [str(warning.message) for warning in caught]
assert any("cannot be read" in text and "Too many" in text for text in said), said
assert keeper.get(sys.argv[1]) is not None
"""
    status, _, error = run(code, path)
    assert status == 0, error
    assert [path.name for path in tmp_path.iterdir()] == [f"dico-{KEY}.npz"]
