"""Run the fast tests on several Pythons, with the newest and the oldest allowed dependencies.

Each run installs the package into a virtual environment of its own.  Without --run, the script
prints the oldest allowed versions as constraints for pip.

    python scripts/pythons.py --run python3.12 python3.13
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
# Needed by a package of ours that is as old, and newer ones warn of what it calls there.
INDIRECT = ["pyparsing<3.3"]  # matplotlib


def oldest(project, python):
    """Return a constraint for each requirement of the package and its tests with a lower bound."""
    texts = project["dependencies"] + project["optional-dependencies"]["test"]
    found = {}
    for requirement in map(Requirement, texts):
        least = [part.version for part in requirement.specifier if part.operator == ">="]
        holds = requirement.marker is None or requirement.marker.evaluate(
            {"python_version": python}
        )
        if least and holds:
            found[requirement.name] = least[0]  # a later line is for newer Pythons alone
    return [f"{name}=={version}" for name, version in found.items()] + INDIRECT


def test(python, constraints, folder):
    """Return the exit status of the fast tests on a Python, under constraints for pip."""
    file = folder / "constraints.txt"
    file.write_text("\n".join(constraints))
    environment = folder / "environment"
    subprocess.run([python, "-m", "venv", environment], check=True)
    ours = environment / "bin" / "python"
    install = [ours, "-m", "pip", "install", "-q", "-c", file, "-e", ".[test]"]
    subprocess.run(install, check=True, cwd=ROOT)
    return subprocess.run([ours, "-m", "pytest", "-q", "-n", "2"], cwd=ROOT).returncode


def main():
    """Print the oldest versions, or run the tests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", nargs="+", metavar="PYTHON", default=())
    args = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if not args.run:
        print(*oldest(project, f"{sys.version_info.major}.{sys.version_info.minor}"), sep="\n")
    failed = []
    for python in args.run:
        ask = "import sys; print(f'{sys.version_info.major}.{sys.version_info.minor}')"
        version = subprocess.check_output([python, "-c", ask], text=True).strip()
        for name, constraints in (("newest", []), ("oldest", oldest(project, version))):
            with tempfile.TemporaryDirectory() as folder:
                status = test(python, constraints, Path(folder))
            print(f"Python {version}, {name} dependencies: {'failed' if status else 'passed'}")
            failed += [status] if status else []
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
