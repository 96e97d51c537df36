"""Where to draw: a given figure or axes, or new ones that need no display."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..store.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One colour a rule in all figures.
COLORS = {
    "None": "black",
    "OLS": "orange",
    "EMP": "red",
    "HAP": "green",
    "EXP": "teal",
    "eHAP": "olive",
    "HEH": "purple",
    "HEH2019": "blue",
    "shareHAP": "tab:green",
    "epochEXP": "tab:blue",
}


def get_axes(
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "tuple[Figure, Axes]":
    """(fig, ax) to draw in: what is given, completed by what is not, of a figure its first axes
    without data.
    """
    if ax is not None:
        return ax.figure if fig is None else fig, ax
    if fig is None:
        fig = new_figure(figsize)
    free = [axes for axes in fig.axes if not axes.has_data()] or fig.axes[-1:]
    return fig, free[0] if free else fig.add_subplot()


def new_figure(figsize: tuple[float, float] | None = None, **options: object) -> "Figure":
    """A figure; pyplot manages it only where a notebook or a window has loaded pyplot."""
    import sys

    if "matplotlib.pyplot" in sys.modules:
        return sys.modules["matplotlib.pyplot"].figure(figsize=figsize, **options)
    from matplotlib.figure import Figure

    return Figure(figsize=figsize, **options)


def save(fig: "Figure", fname: str | Path | None, dpi: float = 150) -> None:
    """Write the figure, whole or not at all, where a name is given; its suffix is the format."""
    if fname is None:
        return
    path = Path(fname)
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    picture = io.BytesIO()
    fig.savefig(picture, format=path.suffix[1:], dpi=dpi, bbox_inches="tight")
    write_bytes(path, picture.getvalue())


def save_both(fig: "Figure", stem: str | Path) -> None:
    """Write a figure as PNG and as PDF: stem.png, stem.pdf."""
    for suffix in (".png", ".pdf"):
        save(fig, f"{stem}{suffix}")
