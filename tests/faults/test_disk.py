"""Full disks, folders that others use too, and what `shl cache clear` may remove."""

import io
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from running import FULL, python, run

from shl import SHL, SparseHebbianLearning, store
from shl._base import progress
from shl.cli import main as cli

MOST_WRITES = int(os.environ.get("SHL_FAULT_WRITES", 8))  # 1000 is all of them
SMALL = {"height": 64, "width": 64, "patch_width": 8, "N_patches": 300, "n_iter": 6}
SMALL |= {"n_dictionary": 20, "l0_sparseness": 2, "batch_size": 50, "record_num_batches": 50}
SMALL |= {"record_each": 2, "one_over_F": False}
KEY = "0123456789abcdef" * 2


# -------------------------------------------------------------------------------------- full disks

LEARN = """
import sys
from shl.cli import main as cli
sys.exit(cli.main(sys.argv[1:]))
"""
FLAGS = [
    "--patch-width",
    "8",
    "--n-patches",
    "1200",
    "--n-dictionary",
    "20",
    "--l0-sparseness",
    "2",
]
FLAGS += ["--n-iter", "40", "--batch-size", "50", "--quiet"]


SERVE = """
import json, os, sys
import matplotlib.backends.backend_agg, matplotlib.backends.backend_pdf
from shl import convolution, experiments, plotting
from shl.cli import main as cli
for line in sys.stdin:
    k, log, *arguments = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        Disk.n_writes, Disk.k = 0, k
        code = cli.main(arguments)
        print(code, Disk.n_writes, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(-1, 0, flush=True)
"""


def flags_of(folder):
    return [*FLAGS, "--cache-dir", str(folder / "cache"), "--out", str(folder / "out")]


def learn(folder):
    """(exit code, stderr) of a `shl learn`."""
    env = {"PYTHONWARNINGS": "always::UserWarning"}
    code, _, error = run(LEARN, "learn", *flags_of(folder), env=env)
    assert "Traceback" not in error, error
    return code, error


@pytest.fixture
def serve(tmp_path):
    """A function that gives (exit code, writes, stderr) of a command from whose k-th write on the
    disk is full, in a fork of one process: to start takes longer than to learn.
    """
    env = {"PYTHONWARNINGS": "always::UserWarning"}
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.DEVNULL}

    def call(folder, *more, k=10**9):
        task = [k, str(tmp_path / "log"), *more, *flags_of(folder)]
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        code, n_writes = map(int, process.stdout.readline().split())
        error = (tmp_path / "log").read_text()
        assert "Traceback" not in error and code >= 0, error
        return code, n_writes, error

    with python(FULL + SERVE, env=env, **pipes) as process:
        yield call
        process.stdin.close()


def content(folder):
    """The bytes of the files of a folder that is read only."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("command", [["learn"], ["scan", "--variable", "eta", "--n-scan", "2"]])
def test_a_full_disk_at_every_write_loses_nothing(tmp_path, command, serve):
    command, first = [*command, "--n-jobs", "1", "--seed", "1"], tmp_path / "first"
    code, n_writes, _ = serve(first, *command)
    assert code == 0 and n_writes > 10
    wanted = content(first)
    steps = sorted({*np.linspace(1, n_writes, min(n_writes, MOST_WRITES)).round().astype(int)})
    for k in map(int, steps):
        folder = tmp_path / str(k)
        code, _, error = serve(folder, *command, k=k)
        assert code in (0, 1)
        if code:
            assert "cannot write" in error and "bytes needed" in error and str(folder) in error
        assert not list(folder.rglob("*.part"))
        assert not [p for p in folder.rglob("*") if p.is_file() and not p.stat().st_size]
        assert not store.Store(folder / "cache").verify()
        again, _, _ = serve(folder, *command)  # with room, it ends as if undisturbed
        assert again == 0
        names = {path.name for path in (folder / "out").iterdir()}
        assert names == {path.name for path in (first / "out").iterdir()}
        found = content(folder)
        code, _, _ = serve(folder, *command, k=k)  # what is there is kept, also without room
        assert code in (0, 1) and content(folder).keys() == found.keys()
        assert not [p for p in folder.rglob("*") if p.is_file() and not p.stat().st_size]
    assert content(first) == wanted


def test_a_model_that_cannot_be_kept_is_written_to_out(tmp_path):
    """The folder of results is a file: nothing can be written there."""
    (tmp_path / "cache").write_text("")
    code, error = learn(tmp_path)
    assert code == 0
    assert error.count("the result is used, but not kept") >= 2  # patches and model
    assert str(tmp_path / "cache") in error and "bytes needed" in error
    model = SparseHebbianLearning.load(tmp_path / "out" / "dictionary.npz")
    assert model.n_iter_ == 40


def test_a_model_that_cannot_be_written_to_out_says_where_it_is(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dictionary.npz").mkdir()
    code, error = learn(tmp_path)
    assert code == 1
    assert f"cannot write {tmp_path / 'out' / 'dictionary.npz'}" in error
    place = error.split("the model is in ")[1].strip()
    assert SparseHebbianLearning.load(place).n_iter_ == 40


def test_a_checkpoint_that_cannot_be_written_warns_and_the_learning_goes_on(tmp_path, monkeypatch):
    shl = SHL(**SMALL, cache_dir=tmp_path, checkpoint_each=1)
    wanted = SHL(**SMALL, cache_dir=None).learn_dico(matname="a").components_
    true_savez, data = np.savez, shl.get_data()

    def full(file, **arrays):
        if "last_selected" in arrays and "competition/gain" not in arrays:  # not the model
            file.write(b"x" * 10)
            raise OSError(28, "No space left on device")
        true_savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match=r"cannot write .*checkpoint .*bytes needed.*not kept"):
        found = shl.learn_dico(data, matname="a")
    np.testing.assert_array_equal(found.components_, wanted)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}


class Full:
    """A standard error on a full disk."""

    encoding = "utf-8"

    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [Full(), None, "closed"])
def test_a_progress_bar_that_cannot_be_written_ends_nothing(monkeypatch, stream):
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    X = np.random.default_rng(0).standard_normal((60, 9))
    model = SparseHebbianLearning(8, n_iter=5, l0_sparseness=2, random_state=0, verbose=1).fit(X)
    assert model.n_iter_ == 5


def test_a_picture_that_cannot_be_written_leaves_no_empty_file(tmp_path, monkeypatch):
    from shl.plotting.figures import new_figure, save

    (tmp_path / "scan.png").write_bytes(b"the old picture")
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space")))
    fig = new_figure()
    fig.add_subplot()
    with pytest.raises(OSError, match=r"cannot write .*scan.png \(\d+ bytes needed\): No space"):
        save(fig, tmp_path / "scan.png")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.png"]
    assert (tmp_path / "scan.png").read_bytes() == b"the old picture"
    monkeypatch.undo()
    for name in ("a.png", "a.pdf", "b"):
        save(fig, tmp_path / name)
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "a.pdf").read_bytes()[:4] == b"%PDF"


@pytest.mark.skipif(os.name != "posix", reason="a pipe")
def test_a_reader_that_leaves_is_no_error(tmp_path):
    for n in range(300):
        store.write(store.Store(tmp_path).path("data", f"{n:032x}", "x" * 60), {}, {})
    command = [sys.executable, "-m", "shl.cli", "cache", "ls", "--cache-dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b"" and process.wait(60) == 141


# ----------------------------------------------------------------------------------- cache clear


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_clear_removes_what_is_its_own_and_unused(tmp_path):
    keeper = store.Store(tmp_path)
    machine = store.writer().partition("-")[0]
    old = 3 * 86400
    for path in (
        keeper.path("dico", KEY, "mine"),
        keeper.path("data", KEY),
        keeper.path("student", KEY, "a-b_c=1.5"),
        keeper.path("dico", KEY, "é" * 200),
    ):
        store.write(path, {"x": np.zeros(3)}, {})
    checkpoint = {"writer": f"{machine}-{dead_pid()}"}
    store.write(keeper.path("dico", KEY).with_suffix(".checkpoint"), {}, checkpoint)
    for n, number in enumerate((10**30, -(10**30), "x")):
        path = keeper.path("dico", f"{n:032x}").with_suffix(".checkpoint")
        store.write(path, {}, {"writer": f"{machine}-{number}"})
    others = {"writer": "00000000-1"}
    far = keeper.path("dico", "f" * 32).with_suffix(".checkpoint")
    store.write(far, {}, others)
    os.utime(far, (far.stat().st_mtime - old,) * 2)
    ours = [
        f"dico-{KEY}.npz.bad",
        f"tag-dico-{KEY}.checkpoint.bad",
        f".{machine}-{dead_pid()}-{KEY[:16]}.part",
        f".{machine}-{10**30}-{KEY[:16]}.part",
    ]
    for name in ours:
        (tmp_path / name).write_bytes(b"x")
    kept = {
        "results.npz": b"a user's own",
        f"{KEY}.npz": b"also",
        "dico-0123.npz": b"also",
        f"dico-{KEY}.npy": b"also",
        "notes.checkpoint": b"also",
        "model.npz.bad": b"also",
        "download.part": b"another program's",
        f".{machine}-{os.getpid()}-{KEY[:16]}.part": b"a writer's at work",
        f".ffffffff-1-{KEY[:16]}.part": b"a writer's on another machine",
    }
    for name, text in kept.items():
        (tmp_path / name).write_bytes(text)
    (tmp_path / f"folder-dico-{KEY}.npz").mkdir()
    used = keeper.path("dico", "a" * 32).with_suffix(".checkpoint")
    store.write(used, {}, {"writer": store.writer()})
    assert cli.main(["cache", "clear", "--quiet", "--cache-dir", str(tmp_path)]) == 0
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*kept, used.name, f"folder-dico-{KEY}.npz"}
    for name, text in kept.items():
        assert (tmp_path / name).read_bytes() == text


def test_names_of_entries_fit_a_file_system(tmp_path):
    keeper = store.Store(tmp_path)
    for tag in ("字" * 80, "é" * 80, "𝔸" * 80, "a/../../b", "x" * 500, "", None, "~", "\n"):
        path = keeper.path("dico", KEY, tag)
        assert path.parent == tmp_path and len(path.name.encode()) < 200
        store.write(path, {"x": np.arange(3)}, {})
        assert keeper.get(path)[0]["x"].sum() == 3
    assert len(keeper.entries()) == len(list(tmp_path.iterdir()))


WRITE = """
import sys, warnings
import numpy as np
from shl import store
warnings.simplefilter("error")
keeper = store.Store(sys.argv[1])
for n in range(300):
    store.write(keeper.path("data", f"{n % 7:032x}"), {"x": np.full(20000, n)}, {})
"""


def test_clear_disturbs_no_writer(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    n_cleared = 0
    while any(writer.poll() is None for writer in writers):
        n_cleared += len(store.Store(tmp_path).clear())
    for writer in writers:
        _, error = writer.communicate(timeout=300)
        assert writer.returncode == 0, error
    assert n_cleared > 5
    store.Store(tmp_path).clear()
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_s_parts_go_with_the_next_entry(tmp_path):
    part = tmp_path / f".{store.writer().partition('-')[0]}-{dead_pid()}-{KEY[:16]}.part"
    part.write_bytes(b"x")
    keeper = store.Store(tmp_path)
    keeper.put(keeper.path("data", KEY), {"x": np.zeros(2)}, {})
    assert [path.name for path in tmp_path.iterdir()] == [f"data-{KEY}.npz"]


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
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.write(tmp_path / "a.npz", {"x": np.zeros(2)}, {"n": json.loads("1")})
