import re
from pathlib import Path

import numpy as np
import pytest
from running import run

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = README.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_readme_is_one_that_is_read():
    assert len(TEXT.splitlines()) <= 120


def test_files_are_there():
    names = re.findall(r"\]\(([^)#]+)\)", TEXT)
    names += re.findall(r"`(scripts/\w+\.py)`", TEXT)
    assert len(names) >= 10
    assert [name for name in names if not (README.parent / name).exists()] == []


@pytest.mark.parametrize("block", BLOCKS, ids=["digits", "study"])
def test_blocks_run(block, tmp_path):
    """As they stand; the experiment at a sixty-fourth of its size."""
    small = block.replace("SHL(homeo", "SHL(DEBUG_DOWNSCALE=64, n_dictionary=60, homeo")
    small = small.replace("n_jobs=-1", "n_jobs=1")
    env = {"MPLBACKEND": "Agg", "PYTHONWARNINGS": "error"}
    status, out, error = run(small, cwd=tmp_path, env=env)
    assert status == 0, error
    if "print" in block:
        shown = re.search(r"It prints `([^`]*)`", TEXT)[1]
        # Another processor may replace another number of atoms.
        (error, unused, _), expected = (re.findall(r"[\d.]+", t) for t in (out, shown))
        assert re.sub(r"[\d.]+", "", shown) == re.sub(r"[\d.]+", "", out.strip())
        assert abs(float(error) - float(expected[0])) < 0.02 and unused == expected[1] == "0"


def test_numbers_of_the_race_are_measured():
    """The rows of README's table stand in the results, where their command has written them."""
    page = (README.parent / "docs" / "results" / "speed.md").read_text()
    measured = re.search(r"<!-- measured: [^\n]*bench_race.*?\n\n(\|.*?)\n\n", page, re.DOTALL)[1]
    found = [re.findall(r"\| 0?(\.\d+),", line) for line in measured.splitlines()[2:]]
    shown = re.search(r"<!-- race -->.*?\n\n(\|.*?)\n<!--", TEXT, re.DOTALL)[1].splitlines()[2:]
    rows = [re.findall(r"(?<=[ *])\.\d+", line) for line in shown]
    assert len(rows) == len(found) >= 4
    np.testing.assert_allclose(np.array(rows, float), np.array(found, float), atol=0.00051)
