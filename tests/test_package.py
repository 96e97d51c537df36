"""The distributions: what is in them, and that they work without the repository."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from running import run

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """(sdist, wheel), the wheel built from the sdist, without a network."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, cwd=out)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(distributions):
    names = zipfile.ZipFile(distributions[1]).namelist()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "shl").rglob("*.py")}
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "shl").rglob("*.json")}
    inside = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert modules and configs
    assert inside == modules | configs | {"shl/py.typed"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_sdist_holds_what_tests_and_documentation_need(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"README.md", "CITATION.cff", "tests/naive.py", "tests/data/reference_cases.npz"}
    assert wanted <= names
    assert not any("__pycache__" in name or name.startswith("docs/_build") for name in names)


@pytest.mark.slow
def test_wheel_learns_without_the_repository(distributions, tmp_path):
    """In a folder of its own, with the dependencies of these tests."""
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(home)]
    subprocess.run([*pip, str(distributions[1])], check=True, capture_output=True)
    sizes = "--patch-width 8 --n-patches 2048 --n-dictionary 32 --n-iter 9 --batch-size 128"
    subprocess.run(
        [sys.executable, "-m", "shl.cli", "learn", *sizes.split(), "--quiet"],
        check=True,
        capture_output=True,
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(home)},
    )
    assert (work / "shl_out" / "dictionary.npz").is_file()
    where = "import shl, sys; sys.exit(not shl.__file__.startswith(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(home)}
    subprocess.run([sys.executable, "-c", where, str(home)], check=True, cwd=work, env=environment)


LEARN = """
import sys, numpy as np, shl
def loaded(*names):
    return [name for name in sys.modules if name.startswith(names)]
print(loaded("matplotlib", "pandas", "torch"))
shl.SHL
print(loaded("matplotlib", "torch"))
model = shl.SparseHebbianLearning(8, n_iter=2).fit(np.random.default_rng(0).random((60, 9)))
model.score(model.components_)
print(loaded("dask", "distributed", "torch", "numba.cuda", "shl.coding.gpu"))
"""


def test_optional_packages_are_imported_when_used():
    assert run(LEARN) == (0, "[]\n" * 3, "")
