"""The Python of the documentation's pages runs, and its gallery is complete."""

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from running import run

import shl

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(path for path in DOCS.glob("**/*.md") if "```python" in path.read_text())
EXAMPLES = sorted((DOCS / "examples").glob("plot_*.py"))


def run_page(code, folder):
    """Run code in a folder as a user would, warnings being errors."""
    for name in ("torch", "dask"):
        if f"import {name}" in code or (name == "torch" and "shl.networks" in code):
            pytest.importorskip(name)
    env = {"MPLBACKEND": "Agg", "SHL_CACHE_DIR": str(folder / "cache"), "PYTHONWARNINGS": "error"}
    status, _, error = run(code, cwd=folder, env=env, timeout=900)
    assert status == 0, error


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_a_page_run_one_after_another(page, tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    run_page(code, tmp_path)


@pytest.fixture(autouse=True)
def docs_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)


def test_every_public_name_has_its_page():
    from shl_api import listed_names, missing_names

    modules, names = listed_names()
    assert {"shl", "shl.coding", "shl.store"} <= set(modules) and len(names) > 100
    if importlib.util.find_spec("torch") is None:
        pytest.skip("public names of shl.networks need PyTorch")
    assert missing_names() == set()


def functions_of(found):
    """A function, or the public functions of a class."""
    if not inspect.isclass(found):
        return [inspect.unwrap(found)]
    return [inspect.unwrap(part) for name, part in vars(found).items() if name[0] != "_"]


def test_public_functions_have_hints():
    from shl_api import listed_names, public_names

    modules = [name for name in listed_names()[0] if not name.startswith("shl.networks")]
    found = [getattr(sys.modules[m], n) for m in modules for n in public_names(import_module(m))]
    parts = [part for each in found for part in functions_of(each) if inspect.isfunction(part)]
    assert len(parts) > 200
    for part in parts:
        described = inspect.signature(part)
        hints = [
            p.annotation for name, p in described.parameters.items() if name not in ("self", "cls")
        ]
        assert inspect.Signature.empty not in (*hints, described.return_annotation), part


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_has_a_place_and_a_headline(example):
    from shl_gallery import PAGES as PLACES

    assert example.stem.removeprefix("plot_") in PLACES
    text = example.read_text()
    assert re.search(r"\n\n\*\*[^*]*\d[^*]*\.\*\*", ast.get_docstring(ast.parse(text)))
    last = text.rpartition("# %%")[2].strip().splitlines()
    assert len(last) >= 2 and all(line.startswith("#") for line in last)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs(example, tmp_path):
    run_page(example.read_text(), tmp_path)


def test_docstrings_state_the_defaults_of_the_code():
    pytest.importorskip("sphinx")
    from shl_tables import shared_defaults, undocumented_defaults

    for owner in (shl.SHL, shl.SparseHebbianLearning, shl.Replacement):
        assert not undocumented_defaults(owner), owner
    table = {name: (ours, theirs) for name, _, ours, theirs in shared_defaults()}
    assert len(table) > 25 and table["alpha_MP"] == (1.0, 0.95) and table["n_jobs"] == (None, 1)


def test_docs_show_the_ranges_that_are_checked():
    pytest.importorskip("sphinx")
    from shl_tables import add_ranges

    lines = ["eta : float, default=0.04", "    Rate.", "do_sym : bool, default=False", "    Signs."]
    add_ranges(None, "class", "", shl.SparseHebbianLearning, None, lines)
    assert lines[1] == "    Range: a number above 0." and lines[4] == "    Range: True or False."


def test_pages_keep_the_rules_of_prose():
    done = subprocess.run(
        [sys.executable, DOCS.parent / "scripts" / "prose.py"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "")
