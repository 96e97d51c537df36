"""Run ruff, import-linter, mypy, prose.py and the fast tests, which must pass before each commit.

Arguments go to pytest.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    [sys.executable, "-m", "ruff", "check", "."],
    [sys.executable, "-m", "ruff", "format", "--check", "-q", "."],
    [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
    [sys.executable, "-m", "mypy"],
    [sys.executable, "scripts/prose.py"],
    [sys.executable, "-m", "pytest", "-q", *sys.argv[1:]],
)


def failures(commands):
    """The commands that did not end with 0; one that a signal killed has a code below 0."""
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands]
    return [command for command, code in zip(commands, codes, strict=True) if code != 0]


if __name__ == "__main__":
    sys.exit(int(bool(failures(COMMANDS))))
