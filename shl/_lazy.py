"""Packages whose names are imported when they are asked for."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def lazy(
    package: str, places: Mapping[str, str], names: Iterable[str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose names are imported when asked for.

    Parameters
    ----------
    package : str
        Its `__name__`.
    places : mapping of str to str
        The module of each name.
    names : iterable of str
        All public names.

    Returns
    -------
    get : callable
    list_names : callable
    """

    def get(name: str) -> object:
        """Import what is asked for, when it is asked for: importing the package stays fast."""
        if name in places:
            return getattr(import_module(f".{places[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted(names)
