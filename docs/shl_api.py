"""The public names of the package, and those that the pages of docs/api list."""

import inspect
import re
from importlib import import_module
from pathlib import Path

API = Path(__file__).resolve().parent / "api"
MOST_RELATED = 8  # names of a section See Also


def missing_names():
    """Public names, of the modules that the pages list, that no page lists."""
    modules, listed = listed_names()
    return {f"{m}.{name}" for m in modules for name in public_names(import_module(m)) - listed}


def tables():
    """Yield (module, names) of each table of the pages."""
    for page in sorted(API.glob("*.rst")):
        for part in page.read_text().split(".. currentmodule:: ")[1:]:
            for table in re.findall(r"(?:^   \w+\n)+", part, re.MULTILINE):
                yield part.partition("\n")[0], table.split()


def listed_names():
    """(modules, names) of the pages."""
    found = list(tables())
    return list(dict(found)), {name for _, names in found for name in names}


def add_related(app, what, name, obj, options, lines):
    """Add a section See Also to a docstring without one: what stands beside it in its table."""
    module, _, short = name.rpartition(".")
    for owner, names in tables():
        others = [other for other in names if other != short][:MOST_RELATED]
        if owner == module and short in names and others and "See Also" not in lines:
            later = [
                n for n, line in enumerate(lines) if line in ("Notes", "References", "Examples")
            ]
            place = min(later, default=len(lines))
            lines[place:place] = ["", "See Also", "--------", ", ".join(others), ""]


def public_names(module):
    """Names of a module's functions and classes that are its own and have no underscore."""
    names = getattr(module, "__all__", None)
    if names is not None:
        return {name for name in names if callable(getattr(module, name))}
    return {
        name
        for name, found in inspect.getmembers(module, callable)
        if not re.match("_|check_|refuse_", name) and found.__module__ == module.__name__
    }
