"""Damaged and crafted files are a ValueError or a FileNotFoundError, and never a number."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from making import make
from running import SMALL, run
from scipy import sparse

from shl import SHL, SHL_set, SparseHebbianLearning, store
from shl.cli import main as cli
from shl.convolution import ConvolutionalSHL
from shl.learning import checkpoints
from shl.learning.state import to_arrays
from shl.store.files import damage_of
from shl.store.jobs import StoredFunction

N_DAMAGED = int(os.environ.get("SHL_FAULT_LOADS", 20000))  # of the slow test
KEY = "0123456789abcdef" * 2
MODEL = {"n_dictionary": 12, "n_iter": 6, "record_num_batches": 20}
OPTIONS = {**MODEL, "do_precision": True, "eta_precision": 0.1, "record_each": 2}


def make_files(folder):
    """{kind: path} of two models of patches, one of images, a checkpoint and an entry; data."""
    rng = np.random.default_rng(0)
    X, images = rng.standard_normal((120, 16)), rng.standard_normal((3, 1, 12, 12))
    models = {"HAP": make(**OPTIONS), "HEH": make(**MODEL, homeo_method="HEH")}
    paths = {}
    for name, model in models.items():
        paths[name] = folder / f"{name}.npz"
        model.fit(X).save(paths[name])
    paths["images"] = folder / "images.npz"
    ConvolutionalSHL(4, 5, 3, 3, record_each=1, random_state=0).fit(images).save(paths["images"])
    keeper = store.Store(folder)
    paths["entry"] = keeper.path("data", KEY)
    keeper.put(paths["entry"], {"data": X}, {"kind": "data", "digest": store.digest(X)})
    paths["checkpoint"] = keeper.path("dico", KEY).with_suffix(".checkpoint")
    arrays, info = to_arrays(models["HAP"]._state)
    about = {"state": info, "machine": checkpoints.machine()}
    keeper.put(paths["checkpoint"], arrays, about)
    return paths, X, images


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("files"))


def use(kind, path, X, images):
    """Everything that a file of a kind is for; returns what it says."""
    if kind == "entry":
        return [store.read(path)[0]["data"]]
    if kind == "images":
        model = ConvolutionalSHL.load(path)
        code = model.transform(images, gain=model.gain_)
        return [model.components_, model.partial_fit(images).components_, code.value]
    if kind == "checkpoint":
        with damage_of(path):  # as the store reads it
            state = checkpoints._read_state(path)
        if state is None:  # of another machine
            return []
        return [make(**OPTIONS).set_params(n_iter=8).fit(X, resume=state).components_]
    model = SparseHebbianLearning.load(path)
    code = model.transform(X, competition=model.competition_)
    return [model.components_, code, model.partial_fit(X).components_, model.record_.get("error")]


def is_same(found, wanted):
    return len(found) == len(wanted) and all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(found, wanted, strict=True)
        if a is not None
    )


def flip(content, rng):
    for _ in range(rng.integers(1, 4)):
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return content


def cut(content, rng):
    return content[: rng.integers(len(content))]


def drop(content, rng):
    start = rng.integers(len(content))
    return content[:start] + content[start + rng.integers(1, 300) :]


def swap(content, rng):
    a, b, n = rng.integers(len(content), size=2).tolist() + [int(rng.integers(1, 100))]
    content[a : a + n], content[b : b + n] = content[b : b + n], content[a : a + n]
    return content


def grow(content, rng):
    return content + rng.bytes(rng.integers(1, 1000))


def craft(arrays, info, rng):
    """Another shape, dtype, value or name, in a file whose digests are right."""
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    axis = int(rng.integers(max(array.ndim, 1)))
    ways = {
        "cut": lambda: array[tuple([slice(None)] * axis + [slice(0, -1)])] if array.ndim else array,
        "grow": lambda: np.repeat(array, 2, axis=axis) if array.ndim else np.zeros(3),
        "one": lambda: np.zeros((1,) * array.ndim, array.dtype),
        "empty": lambda: array[:0] if array.ndim else np.zeros(0),
        "turn": lambda: array.T.copy() if array.ndim > 1 else array,
        "axis": lambda: array[None],
        "flat": lambda: array.ravel() if array.ndim > 1 else array[None],
        "int": lambda: np.zeros(array.shape, np.int8),
        "text": lambda: np.full(array.shape, "x"),
        "swapped": lambda: array.astype(array.dtype.newbyteorder()),
        "half": lambda: array.astype(np.float16),
        "complex": lambda: array.astype(complex),
        "nan": lambda: np.full(array.shape, np.nan),
        "large": lambda: np.full(array.shape, 1e30),
        "negative": lambda: -1 - np.abs(array.astype(float)),
        "record": lambda: np.zeros(array.shape, [("a", float)]),
    }
    way = rng.choice([*ways, "missing", "renamed", "info"])
    if way == "missing":
        del arrays[name]
    elif way == "renamed":
        arrays[f"{name}x"] = arrays.pop(name)
    elif way == "info":
        values = [None, -1, 10**400, 1e308, "x", [], {}, [[]], True, {"step": -5}, [1] * 50]
        place = info["state"] if "state" in info and rng.random() < 0.5 else info
        place[rng.choice(sorted(place))] = values[rng.integers(len(values))]
    else:
        arrays[name] = ways[way]()
    return way


def damage(kind, source, target, rng):
    """Write a damaged copy of a file; True where the copy may still be used."""
    how = rng.choice(["flip", "flip", "cut", "drop", "swap", "grow", "craft", "craft"])
    if how == "craft" and kind != "entry":
        arrays, info = store.read(source)
        way = craft(arrays, info, rng)
        store.write(target, arrays, info)
        return f"craft {way}"
    how = "flip" if how == "craft" else how
    content = {"flip": flip, "cut": cut, "drop": drop, "swap": swap, "grow": grow}[how](
        bytearray(source.read_bytes()), rng
    )
    target.write_bytes(bytes(content))
    return how


def attack(folder, n_loads, seed):
    """Counts of what n_loads damaged files did."""
    (folder / "damaged").mkdir(exist_ok=True)
    paths, X, images = make_files(folder)
    wanted = {kind: use(kind, path, X, images) for kind, path in paths.items()}
    rng, found = np.random.default_rng(seed), {"refused": 0, "same": 0, "wrong": []}
    kinds = sorted(paths)
    for n in range(n_loads):
        kind = kinds[n % len(kinds)]
        target = folder / "damaged" / paths[kind].name
        how = damage(kind, paths[kind], target, rng)
        try:
            with np.errstate(all="ignore"):
                result = use(kind, target, X, images)
        except (ValueError, FileNotFoundError, FloatingPointError) as error:
            found["refused"] += 1
            if isinstance(error, FloatingPointError) and not how.startswith("craft"):
                found["wrong"].append(f"{n} {kind} {how}: {error!r}")
        except Exception as error:
            found["wrong"].append(f"{n} {kind} {how}: {error!r}")
        else:
            same = is_same(result, wanted[kind]) or not result
            found["same"] += same
            if not same and not (how.startswith("craft") and all_finite(result)):
                found["wrong"].append(f"{n} {kind} {how}: other numbers")
    return found


def all_finite(result):
    """A crafted file whose arrays are valid is another model, not a damaged one."""
    return all(np.isfinite(array).all() for array in result[:3] if array is not None)


ATTACK = """
import sys, json, warnings
warnings.simplefilter("ignore")
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from test_damage import attack
print(json.dumps(attack(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
"""


def attacked(folder, n_loads, seed, timeout, **env):
    """What `attack` counts in a process of its own, whose end would not be that of the tests."""
    env = {"NUMBA_CACHE_DIR": str(folder / "numba"), **env}
    code, out, error = run(
        ATTACK, Path(__file__).parent, folder, n_loads, seed, timeout=timeout, env=env
    )
    assert code == 0, f"it ended with {code}: {error[-3000:]}"
    return json.loads(out)


@pytest.mark.slow
def test_damaged_loads_with_bounds_checked(tmp_path):
    found = attacked(tmp_path, N_DAMAGED, 0, timeout=60 + N_DAMAGED, NUMBA_BOUNDSCHECK="1")
    assert not found["wrong"]
    assert found["refused"] + found["same"] > 0.9 * N_DAMAGED and found["refused"] > N_DAMAGED / 2


def test_some_damaged_loads(tmp_path):
    found = attack(tmp_path, 150, 1)
    assert not found["wrong"] and found["refused"] > 75


# What killed the process at a6e4e82, or gave values of 1e302, one by one.
CRAFTED = {
    "moments": ("HAP", {"moments/V": np.zeros((1, 1))}),
    "moments of another dtype": ("HAP", {"moments/V": np.zeros(12, np.float32)}),
    "one moment missing": ("HAP", {"moments/V": None}),
    "atoms": ("HAP", {"dictionary": np.eye(3, 16)}),
    "norms": ("HAP", {"dictionary": np.ones((12, 16))}),
    "no atoms": ("HAP", {"dictionary": np.zeros((0, 16))}),
    "NaN": ("HAP", {"dictionary": np.full((12, 16), np.nan)}),
    "last selected": ("HAP", {"last_selected": np.zeros(3, np.int64)}),
    "variance": ("HAP", {"variance": np.ones((12, 2))}),
    "p": ("HAP", {"homeostasis/p": np.full(5, 0.1)}),
    "gain": ("HAP", {"competition/gain": np.ones(5)}),
    "ages": ("HAP", {"replacement/age": np.zeros(3, np.int64)}),
    "ages that are fractions": ("HAP", {"replacement/age": np.ones(12)}),
    "ages below 0": ("HAP", {"replacement/age": np.full(12, -1)}),
    "no ages": ("HAP", {"replacement/age": None}),
    "energies": ("HAP", {"replacement/energy": np.full(12, np.nan)}),
    "residuals of 3 pixels": ("HAP", {"replacement/pool": np.zeros((5, 3))}),
    "residuals in a row": ("HAP", {"replacement/pool": np.zeros(16)}),
    "a count below 0": ("HAP", {"replacement/n_seen": np.array(-1)}),
    "two counts": ("HAP", {"replacement/n_seen": np.array([1, 2])}),
    "no count": ("HAP", {"replacement/n_replaced": None}),
    "a table that decreases": ("HEH", {"competition/P_cum": np.tile([0.0, 1, 0.5, 1], (12, 1))}),
    "a table of one column": ("HEH", {"histogram/P_cum": np.ones((12, 1))}),
    "a table above 1": ("HEH", {"homeostasis/P_cum": np.full((12, 128), 2.0)}),
    "a scale below 0": ("HEH", {"homeostasis/C": np.array(-1.0)}),
    "no scale": ("HEH", {"histogram/C": None}),
    "no table": ("HEH", {"homeostasis/P_cum": None}),
    "a column of records": ("HAP", {"record/error": np.zeros(77)}),
    "no steps of records": ("HAP", {"record/steps": None}),
    "atoms of 2 columns": ("images", {"dictionary": np.full((4, 1, 5, 2), 0.1**0.5)}),
    "atoms of 2 rows": ("images", {"dictionary": np.full((4, 1, 2, 5), 0.1**0.5)}),
    "2-D atoms": ("images", {"dictionary": np.eye(4, 25)}),
    "4-D patches": ("HAP", {"dictionary": np.eye(12, 16).reshape(12, 1, 4, 4)}),
}


@pytest.mark.parametrize("how", CRAFTED)
def test_crafted_shapes_are_refused_by_name(files, tmp_path, how):
    paths, X, images = files
    kind, changes = CRAFTED[how]
    arrays, info = store.read(paths[kind])
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    store.write(tmp_path / "a.npz", arrays, info)
    words = {
        "no scale": "histogram",
        "no table": "homeostasis",
        "one moment missing": "beta1",
        "atoms": "last_selected",
        "4-D patches": "variance",
        "atoms of 2 columns": "resume must hold atoms|dictionary",
        "atoms of 2 rows": "resume must hold atoms|dictionary",
        "no ages": "replace",
        "no count": "replace",
    }
    names = "|".join(name.split("/")[-1] for name in changes)
    with pytest.raises(ValueError, match=words.get(how, names)):
        use(kind, tmp_path / "a.npz", X, images)


def test_counts_of_small_integers_go_on_growing(files, tmp_path):
    paths, X, _ = files
    arrays, info = store.read(paths["HAP"])
    info["state"]["step"] = 250
    small = {"last_selected": np.full(12, 5, np.uint8)}
    small |= {"replacement/age": np.full(12, 120, np.int8)}
    found = []
    for dtype in (None, np.int64):
        changes = {name: array.astype(dtype or array.dtype) for name, array in small.items()}
        store.write(tmp_path / "a.npz", arrays | changes, info)
        found.append(SparseHebbianLearning.load(tmp_path / "a.npz"))
        for _ in range(12):
            found[-1].partial_fit(X)
    assert found[0]._state.last_selected.max() > 255
    assert found[0]._state.replacement["age"].max() > 127
    np.testing.assert_array_equal(found[0].components_, found[1].components_)


def test_a_fortran_ordered_file_is_the_same_model(files, tmp_path):
    paths, X, images = files
    for kind in ("HAP", "images"):
        arrays, info = store.read(paths[kind])
        turned = {k: np.asfortranarray(v) if v.ndim else v for k, v in arrays.items()}
        store.write(tmp_path / "a.npz", turned, info)
        assert is_same(use(kind, tmp_path / "a.npz", X, images), use(kind, paths[kind], X, images))


def test_crafted_parameters_are_refused(files, tmp_path):
    paths, _, _ = files
    arrays, info = store.read(paths["HAP"])
    for change in (
        {"parameters": {**info["parameters"], "unknown": 1}},
        {"parameters": None},
        {"state": {"seed": 1}},
        {"state": {**info["state"], "step": -1}},
        {"state": {**info["state"], "step": 10**400}},
        {"state": {**info["state"], "seed": 10**400}},
        {"times": {"seconds": 10**400}},
        {"times": {"cputime": [1.0]}},
        {"times": 3},
        {"C": 10**400},
        {"C": "x"},
        {"state": {**info["state"], "seed": "x"}},
        {"n_dead_": "many"},
        {"kind": ["a"]},
    ):
        store.write(tmp_path / "a.npz", arrays, {**info, **change})
        with pytest.raises(ValueError, match="a.npz"):
            SparseHebbianLearning.load(tmp_path / "a.npz")


# ------------------------------------------------------------------------------ what stands in JSON


def edit_text(path, old, new):
    """Change the text in a file of ours, and leave all digests as they are."""
    with np.load(path) as file:
        members = dict(file)
    edited = members["__json__"].tobytes().replace(old, new)
    assert edited != members["__json__"].tobytes()
    np.savez(path, **{**members, "__json__": np.frombuffer(edited, np.uint8)})


def test_an_edited_number_is_noticed(tmp_path):
    path = store.Store(tmp_path).path("dico", KEY)
    store.write(path, {"x": np.arange(3.0)}, {"metrics": {"F": 0.25}})
    edit_text(path, b'"F": 0.25', b'"F": 0.15')
    for reader in (store.read, store.read_info):
        with pytest.raises(ValueError, match="its text does not match its digest"):
            reader(path)
    words = f"{path.name}.*set aside as .*bad. The result is computed again"
    with pytest.warns(UserWarning, match=words) as caught:
        assert store.Store(tmp_path).get(path, store.read_info) is None
    assert len(caught) == 1 and os.listdir(tmp_path) == [f"{path.name}.bad"]
    assert store.Store(tmp_path).get(path) is None


def test_swapped_entries_are_noticed(tmp_path):
    keeper = store.Store(tmp_path)
    shl = SHL(**SMALL, cache_dir=tmp_path)
    other = SHL(**{**SMALL, "eta": 0.05}, cache_dir=tmp_path)
    for experiment in (shl, other):
        experiment.learn_dico(matname="a")
    first, second = (path for path in tmp_path.iterdir() if "-dico-" in path.name)
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    for path in (first, second):
        with pytest.raises(ValueError, match="it is another entry"):
            store.read_info(path)
    shutil.copy(first, tmp_path / "of_ones_own.npz")  # a copy under a name of one's own is a model
    assert SparseHebbianLearning.load(tmp_path / "of_ones_own.npz").n_iter_ == 6
    with pytest.warns(UserWarning, match="another entry.*set aside"):
        assert keeper.get(first) is None


# ------------------------------------------------------------------------------- what is no file


def text(content):
    return lambda path: np.savez(path, __json__=np.frombuffer(content, np.uint8))


def encrypted(path):
    np.savez(path, x=np.zeros(3))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    path.write_bytes(bytes(content))


def overlapping(path):
    """1000 members that share the same bytes."""
    np.savez(path, x=np.zeros(1000))
    content = path.read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = content[start:end]
    many = b"".join(entry.replace(b"x.npy", f"{n:05d}"[:5].encode()) for n in range(1000))
    tail = bytearray(content[end:])
    tail[8:10] = tail[10:12] = (1000).to_bytes(2, "little")
    tail[12:16] = len(many).to_bytes(4, "little")
    path.write_bytes(content[:start] + many + bytes(tail))


def npy_of(text):
    """The bytes of an npy file that has this header and no content."""
    head = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


def header(text):
    """An array whose file has this header and no content."""

    def make(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("__json__.npy", npy_of(text))

    return make


def shape(text):
    """The header of an array of a shape."""
    return f"{{'descr': '<f8', 'fortran_order': False, 'shape': {text}, }}"


ODD = {
    "deep JSON": text(b'{"schema": 2, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "encrypted": encrypted,
    "overlapping": overlapping,
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "empty": Path.touch,
    "foreign": lambda path: path.write_bytes(b"nothing of ours"),
    "compressed": lambda path: np.savez_compressed(path, x=np.zeros(10**6)),
    "a pickle": lambda path: np.savez(path, __json__=np.array([{}], dtype=object)),
    "a list": text(b"[1]"),
    "no dict": text(b"7"),
    "not UTF-8": text(b"\xff\xfe"),
    "the first schema": text(b'{"schema": 1, "checksum": ""}'),
    "a schema of text": text(b'{"schema": "x"}'),
    "a huge schema": text(b'{"schema": 1e999}'),
    "a deep header": header("(" * 110),
    "a negative shape": header(shape("(-1,)")),
    "a huge shape": header(shape("(1000000000000,)")),
    "a header of code": header(shape("__import__('os').getpid()")),
    "a bad descr": header("{'descr': 'zz', 'fortran_order': False, 'shape': (1,), }"),
}


@pytest.mark.parametrize("how", ODD)
def test_odd_files_are_damaged(tmp_path, how):
    path = tmp_path / f"dico-{KEY}.npz"
    with pytest.raises(FileNotFoundError):
        SparseHebbianLearning.load(path)
    ODD[how](path)
    for reader in (store.read, store.read_info, SparseHebbianLearning.load):
        with pytest.raises(ValueError, match=str(path.name)):
            reader(path)
    with pytest.warns(UserWarning, match=path.name):
        assert store.Store(tmp_path).get(path) is None


def test_a_file_that_cannot_be_set_aside_stops_nothing(tmp_path):
    path = tmp_path / f"dico-{KEY}.npz"
    path.write_bytes(b"nothing")
    Path(f"{path}.bad").mkdir()
    with pytest.warns(UserWarning, match="cannot be set aside"):
        assert store.Store(tmp_path).get(path) is None


def test_a_file_of_another_user_is_not_set_aside(tmp_path, monkeypatch):
    path = tmp_path / f"dico-{KEY}.npz"
    store.write(path, {"x": np.arange(3.0)}, {})

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "__init__", refuse)
        with pytest.warns(UserWarning, match="cannot be read.*Permission denied.*computed again"):
            assert store.Store(tmp_path).get(path) is None
    assert store.Store(tmp_path).get(path)[0]["x"].sum() == 3


def test_a_damaged_checkpoint_is_set_aside(tmp_path):
    shl = SHL(**SMALL, cache_dir=tmp_path, checkpoint_each=2)
    wanted = SHL(**SMALL, cache_dir=None).learn_dico(matname="x").components_
    path = shl.result_path(data=shl.get_data(), matname="a").with_suffix(".checkpoint")
    arrays, info = to_arrays(SHL(**SMALL, cache_dir=None).learn_dico()._state)
    arrays["moments/mean"] = np.zeros((1, 1))
    about = {"state": info, "machine": checkpoints.machine()}
    store.write(path, arrays, about)
    with pytest.warns(UserWarning, match="moments/mean must have the shape.*set aside"):
        found = shl.learn_dico(matname="a").components_
    np.testing.assert_array_equal(found, wanted)


# ----------------------------------------------------- what `shl encode` and `decode` read


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of models of patches and of images, their samples, codes and decoded samples."""
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    samples = {"patches": rng.standard_normal((60, 16)), "images": rng.random((3, 12, 13))}
    models = {"patches": make(n_dictionary=12, n_iter=4), "images": ConvolutionalSHL(4, 5, 3, 2)}
    for kind, model in models.items():
        paths = [folder / name.format(kind) for name in ("{}.npz", "X_{}.npy", "code_{}.npz")]
        model.fit(samples[kind]).save(paths[0])
        np.save(paths[1], samples[kind])
        assert command("encode", *paths[:2], "--out", paths[2]) == 0
        decode(paths[0], paths[2], folder / f"decoded_{kind}.npy")
    return folder


def command(name, *arguments):
    """The exit code of a command."""
    return cli.main([name, *map(str, arguments), "--quiet"])


def decode(model, code, out):
    """What `shl decode` makes of a code, None where it refuses it."""
    out.unlink(missing_ok=True)
    return np.load(out) if command("decode", model, code, "--out", out) == 0 else None


@pytest.mark.parametrize("kind", ["patches", "images"])
def test_a_damaged_code_gives_no_number(made, tmp_path, kind, capsys):
    rng, content = np.random.default_rng(1), (made / f"code_{kind}.npz").read_bytes()
    wanted = np.load(made / f"decoded_{kind}.npy")
    n_refused, code = 0, tmp_path / "code.npz"
    for n in range(60):
        code.write_bytes(bytes((flip, cut, drop)[n % 3](bytearray(content), rng)))
        found = decode(made / f"{kind}.npz", code, tmp_path / "decoded.npy")
        if found is None:
            n_refused += 1
            assert "code.npz is no code of shl encode with this model: " in capsys.readouterr().err
        else:
            np.testing.assert_array_equal(found, wanted)
    assert n_refused > 30


BAD_CODES = {
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


@pytest.mark.parametrize("how", BAD_CODES)
def test_a_crafted_code_is_refused(made, tmp_path, how, capsys):
    parts = {"data": np.ones(3), "indices": np.array([0, 1, 2]), "indptr": np.array([0, 1, 2, 3])}
    parts |= {"shape": np.array([3, 12]), "format": np.array(b"csr")}
    np.savez(tmp_path / "good.npz", **parts)
    assert decode(made / "patches.npz", tmp_path / "good.npz", tmp_path / "X.npy").shape == (3, 16)
    np.savez(tmp_path / "code.npz", **{**parts, **BAD_CODES[how]})
    assert decode(made / "patches.npz", tmp_path / "code.npz", tmp_path / "X.npy") is None
    assert "code" in capsys.readouterr().err


@pytest.mark.parametrize("n_images", [10**8, 10**18])
def test_a_code_larger_than_memory_is_refused(made, tmp_path, n_images, capsys):
    with np.load(made / "code_images.npz") as parts:
        parts = dict(parts)
    parts["shape"][0] = n_images
    np.savez(tmp_path / "code.npz", **parts)
    assert decode(made / "images.npz", tmp_path / "code.npz", tmp_path / "X.npy") is None
    assert "GB of memory" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo", "lil", "dok", "dia"])
def test_any_kind_of_sparse_code_is_decoded(made, kind):
    model = SparseHebbianLearning.load(made / "patches.npz")
    code = model.transform(np.load(made / "X_patches.npy"))
    found = model.inverse_transform(getattr(sparse.csr_array(code), f"to{kind}")())
    np.testing.assert_allclose(found, code @ model.components_, atol=1e-12)


SAMPLES = {
    "empty.npy": b"",
    "text.npy": b"1 2 3",
    "cut.npz": b"PK\x03\x04",
    "short.npy": npy_of(shape((10**6, 16))),
    "huge.npy": npy_of(shape((10**15, 16))),
    "negative.npy": npy_of(shape((-1, 16))),
    "pickle.npy": b"\x93NUMPY" + pickle.dumps([{}]),
    "text.png": b"no image",
    "empty.jpg": b"",
    "pipe.npy": None,
    "pipe.png": None,
    "missing.npz": None,
    "missing.png": None,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_odd_files_of_samples_are_named(made, tmp_path, name, capsys):
    if SAMPLES[name] is not None:
        (tmp_path / name).write_bytes(SAMPLES[name])
    elif name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    code = tmp_path / "code.npz"
    code.write_bytes(b"of another day")
    assert command("encode", made / "patches.npz", tmp_path / name, "--out", code) == 1
    said = capsys.readouterr().err
    assert name in said or "Unable to allocate" in said
    assert code.read_bytes() == b"of another day"
    assert command("decode", made / "patches.npz", tmp_path / name) == 1


def test_a_folder_named_as_made_data_is_itself(made, tmp_path, capsys):
    (tmp_path / "sample").mkdir()
    assert command("encode", made / "patches.npz", tmp_path / "sample") == 1
    assert "no usable image" in capsys.readouterr().err


# ------------------------------------------------- entries that are whole, but of another content


def test_entries_of_another_content_are_made_again(tmp_path):
    shl = SHL(**SMALL, cache_dir=tmp_path)
    wanted, dico = shl.get_data(), shl.learn_dico(matname="mine")
    code = shl.code(wanted[:20], dico, matname="mine")
    paths = {path.name.split("-")[-2]: path for path in tmp_path.glob("*.npz")}
    for info in ({"kind": "data"}, {"digest": ""}, {"digest": None}):
        store.write(paths["data"], {}, info)
        if "digest" not in info:
            with pytest.warns(UserWarning, match="data.*set aside"):
                assert shl.data_digest() is None
        np.testing.assert_array_equal(shl.get_data(), wanted)
        assert shl.data_digest() == store.digest(wanted)
    store.write(paths["code"], {"code": np.full(code.shape, np.nan)}, {})
    with pytest.warns(UserWarning, match="code must hold no NaN.*set aside"):
        np.testing.assert_array_equal(shl.code(wanted[:20], dico, matname="mine"), code)


@pytest.mark.parametrize("info", [{}, {"metrics": None}, {"metrics": [1]}])
def test_results_without_values_are_computed_again(tmp_path, info):
    function = StoredFunction(lambda x: {"y": x + 1}, "sum", store.Store(tmp_path))
    assert function({"x": 1}) == {"y": 2}
    for has_arrays in (True, False):
        store.write(function._path({"x": 1}, function.store), {}, info)
        with pytest.warns(UserWarning, match="set aside"):
            assert function.find({"x": 1}, has_arrays) is None
    assert function({"x": 1}) == function.find({"x": 1}, has_arrays=False) == {"y": 2}


@pytest.mark.parametrize("info", [{"seconds": 1.0}, {"seconds": 1.0, "metrics": 3}])
def test_a_scan_learns_again_what_has_no_values(tmp_path, info):
    scan = SHL_set({**SMALL, "cache_dir": tmp_path}, N_scan=1)
    record = scan.run(["eta"])[0]
    path = next(path for path in tmp_path.iterdir() if "-dico-" in path.name)
    store.write(path, {}, info)
    with pytest.warns(UserWarning, match="set aside"):
        again = scan.run(["eta"])[0]
    assert not again["cached"] and again["F"] == record["F"]
