"""Kernels run wherever the package can be read, whatever happens to the files that numba keeps."""

import shutil

import numpy as np
import pytest
from making import some_slow
from numba import config
from running import FAULTS, ROOT, run

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

# Warnings are counted, so that there is one.
USE = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np
    import shl
    from shl.coding import kernels
    code = shl.sparse_encode(np.array([[0.5, 2.0], [3.0, 1.0]]), np.eye(2), l0_sparseness=1)
    code += shl.sparse_encode(np.array([[0.5, 2.0], [3.0, 1.0]]), np.eye(2), l0_sparseness=2)
ours = [str(w.message) for w in caught if "Compiled kernels" in str(w.message)]
hits = sum(kernels.pursue.stats.cache_hits.values())
print(shl.__file__, hits, len(ours), code.tolist(), *ours, sep="\\n")
"""
CODE = [[0.5, 4.0], [6.0, 1.0]]


def copy(source, target, *left_out):
    """A copy of a package, without its folders of these names."""
    shutil.copytree(source, target / "shl", ignore=shutil.ignore_patterns(*left_out))
    return target


@pytest.fixture
def package(tmp_path):
    """A copy of the package, in which nothing is compiled yet."""
    return copy(ROOT / "shl", tmp_path / "lib", "__pycache__", "annex", "networks", "plotting")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A copy of the package, in which the kernels are compiled."""
    package = tmp_path_factory.mktemp("compiled")
    copy(ROOT / "shl", package, "__pycache__", "annex", "networks", "plotting")
    assert use(package) == (0, [])
    return package


def use(package, code=USE, **env):
    """(cache hits, warnings) of a process that codes with a copy of the package."""
    env = {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **env}
    status, out, error = run(code, env={"NUMBA_CACHE_DIR": None, **env}, cwd=package)
    assert status == 0, error
    place, hits, n_warnings, values, *warnings = out.splitlines()
    assert place.startswith(str(package)) and values == str(CODE)
    assert int(n_warnings) == len(warnings)
    return int(hits), warnings


def block(folder, name):
    """A file where numba wants a folder: what even root cannot write into."""
    (folder / name).write_text("")
    return folder / name


HOMES = [
    {"HOME": None, "XDG_CACHE_HOME": "file"},
    {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": None},
]


@pytest.mark.parametrize("home", some_slow(HOMES))
def test_kernels_compile_without_a_folder_to_write(package, tmp_path, home):
    block(package / "shl" / "coding", "__pycache__")
    block(package / "shl" / "convolution", "__pycache__")
    file = str(block(tmp_path, "file"))
    hits, warnings = use(package, **{k: file if v == "file" else v for k, v in home.items()})
    assert hits == 0
    assert len(warnings) == 1 and "Set NUMBA_CACHE_DIR to a folder" in warnings[0]


def test_a_cache_is_used(compiled):
    assert use(compiled) == (1, [])


def damage(path, how, rng, another):
    content = bytearray(path.read_bytes())
    if how == "emptied":
        content = b""
    elif how == "cut":
        content = content[: len(content) // 2]
    elif how == "garbage":
        content = rng.bytes(len(content))
    elif how == "flipped":
        for place in rng.integers(len(content), size=20):
            content[place] ^= 1 << rng.integers(8)
    elif how == "another":
        content = another.read_bytes()
    path.write_bytes(bytes(content))


HOWS = ["emptied", "cut", "garbage", "flipped", "another"]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2))  # each damage is on files of both kinds in both
def test_damaged_files_are_made_again(compiled, tmp_path, first):
    package, rng = copy(compiled / "shl", tmp_path), np.random.default_rng(first)
    files = sorted([*package.rglob("*.nbi"), *package.rglob("*.nbc")])
    assert len(files) > 10
    for n, path in enumerate(files):
        same_kind = [other for other in files if other.suffix == path.suffix and other != path]
        damage(path, HOWS[(first + n) % len(HOWS)], rng, same_kind[0])
    assert len(use(package)[1]) <= 1
    assert use(package) == (1, [])


@pytest.mark.slow
def test_folders_in_the_place_of_files_cost_time_alone(compiled, tmp_path):
    package = copy(compiled / "shl", tmp_path)
    for path in [*package.rglob("*.nbi"), *package.rglob("*.nbc")]:
        path.unlink()
        path.mkdir()
    hits, warnings = use(package)
    assert hits == 0 and warnings


@pytest.mark.slow
def test_a_full_disk_fails_no_call(package):
    hits, warnings = use(package, FAULTS + USE, FAIL_AT="3")
    assert hits == 0 and len(warnings) == 1 and "No space left" in warnings[0]
    assert use(package)[1] == []
    assert use(package) == (1, [])
