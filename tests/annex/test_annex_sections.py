"""Every section of the report at a size of seconds: what it draws and tabulates, not what it finds
(see the slow test of test_annex.py, and `shl annex` itself, for that).
"""

import re

import pytest
from making import EXPERIMENT
from sklearn.datasets import load_digits

from shl.annex import controls, orientation, planted, report, tasks
from shl.annex.study import SCALES, Scale, Study

OPTS = EXPERIMENT | {"N_patches": 400, "n_dictionary": 12, "n_iter": 9, "record_each": 8}
OPTS["one_over_F"] = False
TINY = Scale(OPTS, n_seeds=3, n_few=1, N_scan=3, n_slow=3, n_fresh=200, n_planted=1)
WITH_PICTURE = ("figure_2", "selection", "orientation", "scans", "decaying", "denoising")
PICTURES = dict.fromkeys(WITH_PICTURE, 1) | {"figures_1_3": 2, "coders": 5}
PICTURES |= {"statistics": 2, "planted": 2}
TESTED = ("answers", "selection")  # whose claims are of all seeds


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study whose learnings take milliseconds; some sections have few samples and few rules."""

    def few_digits(**options):
        return tuple(array[:300] for array in load_digits(**options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCALES, "quick", TINY)
        patch.setattr(controls, "SCANS", dict.fromkeys(controls.SCANS, ("None", "HAP")))
        patch.setattr(orientation, "RULES", ("None", "HAP"))
        patch.setattr(planted, "STEPS", 20)
        few = {name: planted.SCHEMES[name] for name in (*planted.FEW, "HAP")}
        patch.setattr(planted, "SCHEMES", few)
        cases = ("as it is", "144 atoms for 96")
        patch.setattr(planted, "ROBUSTNESS", {name: planted.ROBUSTNESS[name] for name in cases})
        patch.setattr(tasks, "load_digits", few_digits)
        patch.setattr(tasks, "RULES", ("HAP",))
        patch.setattr(tasks, "ALPHAS", ())
        patch.setattr(tasks, "N_ATOMS", 16)
        patch.setattr(tasks, "STEPS", 2)
        patch.setattr(tasks, "DIGIT_STEPS", 20)
        patch.setattr(tasks, "SIDE", 24)
        yield Study("quick", cache_dir=tmp_path_factory.mktemp("cache"), n_jobs=1)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("name", report.SECTIONS)
def test_a_section_has_its_tables_and_pictures(study, name, tmp_path):
    failures = []
    path = report.write_report(
        study, tmp_path, [name], on_section=lambda name, seconds, failure: failures.append(failure)
    )
    assert failures == [None]
    text = path.read_text()
    assert f"## {report.SECTIONS[name][0]}\n" in text
    shown = re.findall(r"\]\(([^)]+)\)", text)
    assert len(shown) == PICTURES.get(name, 0)
    assert all((tmp_path / picture).stat().st_size > 1000 for picture in shown)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for header, _, *rows in (table.splitlines() for table in tables):
        assert rows
        assert all(len(cells(row)) == len(cells(header)) for row in rows)
        if cells(header)[-1] == "claim":
            has_p = any(cells(row)[-2] != "-" for row in rows)
            assert has_p == (name in TESTED)
    assert bool(tables) == (name != "figures_1_3")


@pytest.mark.slow
@pytest.mark.usefixtures("study")
def test_reproducible_reports_are_equal(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    files = []
    for name in ("one", "two"):
        again = Study("quick", cache_dir=tmp_path / f"cache_{name}", n_jobs=1)
        report.write_report(again, tmp_path / name, ["answers", "coders"])
        found = sorted((tmp_path / name).rglob("*.*"))
        files.append({path.name: path.read_bytes() for path in found})
    assert len(files[0]) > 10 and files[0] == files[1]
    assert b"CPU" not in files[0]["report.md"]
