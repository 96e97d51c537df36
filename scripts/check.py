"""Ruff and the fast tests: what has to pass before each commit.  Arguments go to pytest (e.g. -k scan, -n 2)."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ([sys.executable, "-m", "ruff", "check", "."],
            [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *sys.argv[1:]])

if __name__ == "__main__":
    sys.exit(max(subprocess.run(command, cwd=ROOT, check=False).returncode for command in COMMANDS))
