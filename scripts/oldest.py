"""Print the oldest versions that pyproject.toml allows, as constraints for pip."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Needed by a package of ours that is as old, and newer ones warn of what it calls there.
INDIRECT = ["pyparsing<3.3"]  # matplotlib


def oldest(project):
    """A constraint for each requirement with a lower bound, of the package and of its tests."""
    groups = project["dependencies"], project["optional-dependencies"]["test"]
    found = (re.fullmatch(r"([\w-]+)>=([\d.]+)", text) for group in groups for text in group)
    return [f"{match[1]}=={match[2]}" for match in found if match] + INDIRECT


if __name__ == "__main__":
    print(*oldest(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]), sep="\n")
