"""Packages whose names are imported when they are asked for."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from .annex import missing_name


def lazy(
    package: str, names: Mapping[str, Iterable[str]], packages: Iterable[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package that imports its names on demand.

    Parameters
    ----------
    package : str
        The `__name__` of the package.
    names : mapping of str to iterable of str
        The public names of each module of the package.
    packages : iterable of str, default=()
        The modules and sub-packages that are public names themselves.

    Returns
    -------
    get : callable
    list_names : callable
    """
    places = {name: module for module, members in names.items() for name in members}

    def get(name: str) -> object:
        """Import a name when it is used, so that importing the package stays fast."""
        if name in packages:
            return import_module(f".{name}", package)
        if name in places:
            return getattr(import_module(f".{places[name]}", package), name)
        raise missing_name(package, name)

    return get, lambda: sorted((*places, *packages))
