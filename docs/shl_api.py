"""The public names of the package, and those that the pages of docs/api list."""

import inspect
import re
from importlib import import_module
from pathlib import Path

API = Path(__file__).resolve().parent / "api"


def missing_names():
    """Public names, of the modules that the pages list, that no page lists."""
    modules, listed = listed_names()
    return {f"{m}.{name}" for m in modules for name in public_names(import_module(m)) - listed}


def listed_names():
    """(modules, names) of the pages."""
    text = "\n".join(page.read_text() for page in sorted(API.glob("*.rst")))
    modules = re.findall(r"^\.\. currentmodule:: (\S+)$", text, re.MULTILINE)
    return modules, set(re.findall(r"^   (\w+)$", text, re.MULTILINE))


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
