import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

CHECK = Path(__file__).resolve().parent.parent / "scripts" / "check.py"
failures = runpy.run_path(str(CHECK))["failures"]


def test_imports_point_down_and_have_no_circle(monkeypatch, capsys):
    monkeypatch.chdir(CHECK.parents[1])
    assert lint_imports(is_debug_mode=True, cache_dir=None) == EXIT_STATUS_SUCCESS, (
        capsys.readouterr()
    )


@pytest.mark.slow
@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.4.0", reason="types of older libraries differ"
)
def test_types_fit_together(monkeypatch):
    import mypy.api  # of a second

    monkeypatch.chdir(CHECK.parents[1])
    found, errors, status = mypy.api.run([])
    assert status == 0, found + errors


def python(line):
    return [sys.executable, "-c", line]


def test_whatever_does_not_end_with_0_is_a_failure():
    """Also what a signal kills, whose code is below 0, and in any order."""
    good, bad = python("pass"), python("raise SystemExit(2)")
    killed = python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert failures([good, good]) == []
    assert failures([good, killed, good]) == [killed]
    assert failures([bad, good, killed]) == [bad, killed]
