"""Packages whose names are imported when they are asked for."""

from importlib import import_module


def lazy(package, places, names):
    """The `__getattr__` and `__dir__` of a package with these names; `places` maps a name to its
    module.
    """

    def get(name):
        """Import what is asked for, when it is asked for: importing the package stays fast."""
        if name in places:
            return getattr(import_module(f".{places[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted(names)
