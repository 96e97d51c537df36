"""Where to draw: a figure or axes that are given, or a new figure that pyplot shows."""

import inspect
import io
import itertools
import os
import re
import sys
import threading
import weakref
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from .._base.parameters import refuse_unknown
from ..store.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
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
MOST_OPEN = 20  # as many as matplotlib opens without a warning
_open: list[weakref.ref] = []  # figures of arrays
_texts: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # what an axis may be called
FILE_BACKENDS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # these show nothing

# The parameters that every figure has, and what their docstrings say of them.
SHARED = ("title", "fname", "fig", "ax")
SHARED_DOC = """
title : str, default=None
    Title of the axes.
fname : str or Path, default=None
    File to save the figure in.  Its suffix is the format.
fig, ax : Figure and Axes, default=None
    Where to draw.  If only `fig` is given, its first axes without data are used.

Returns
-------
fig : Figure
ax : Axes
"""


STYLE = ("color", "alpha", "linestyle", "label")
STYLE_DOC = """
color : str, default=None
    Colour.  If None, the next one of matplotlib.
alpha : float, default=None
    Opacity, between 0 and 1.
linestyle : str, default=None
    Style of lines, as in matplotlib.
label : str, default=None
    Label in the legend."""


def drawing(
    figsize: tuple[float, float] = (6, 4), x: tuple[str, ...] = (), y: tuple[str, ...] = ()
) -> Callable:
    """Make a public figure from a function `draw(ax, first, ...)` that draws into axes.

    The figure takes SHARED too, and STYLE where `draw` has `**style`, and returns (fig, ax).  A
    first argument that is an `SHL` or None is dropped when another follows, as in the Annex's
    `(shl, dico)`.

    Parameters
    ----------
    figsize : (width, height), default=(6, 4)
        Size of a new figure, in inches, unless `draw` returns another.
    x, y : tuple of str, default=()
        Labels of the axes, from the longest to the shortest, see `set_label`.
    """

    def decorate(draw: Callable) -> "Callable[..., tuple[Figure, Axes]]":
        taken = list(inspect.signature(draw).parameters.values())[1:]
        has_style = taken[-1].name == "style"
        taken = taken[:-1] if has_style else taken
        names = [parameter.name for parameter in taken]
        added = STYLE + SHARED if has_style else SHARED

        @wraps(draw)
        def drawn(*values, title=None, fname=None, fig=None, ax=None, **options):
            if values and (values[0] is None or hasattr(values[0], "learn_dico")):
                values = values[1:]  # an `SHL`, or None in its place
                if not values and names[0] not in options:
                    raise TypeError(
                        f"{draw.__name__} needs {names[0]}, but only an SHL or None was given.  "
                        f"Pass what is drawn, such as the model that learn_dico returns."
                    )
            first = next(iter((*values, *options.values())), None)
            if hasattr(first, "fit"):
                check_is_fitted(first)
            options.pop("verbose", None)  # which the Annex gives; nothing is printed
            refuse_unknown(options, [*names, *added], draw.__name__, TypeError)
            is_new = fig is None and ax is None
            fig, ax = get_axes(fig, ax, figsize, first)
            try:
                size = draw(ax, *values, **options)
                for axis, texts in ((ax.xaxis, x), (ax.yaxis, y)):
                    if texts:
                        set_label(axis, *texts)
                if is_new and size is not None:
                    fig.set_size_inches(size)
                if title:
                    ax.set_title(title)
                _lay_out(ax)
                has_labels = bool(ax.get_legend_handles_labels()[1])
                if options.get("label") or (has_labels and ax.get_legend() is None):
                    add_legend(ax)
                _pull_in(ax)
                save(fig, fname)
            except BaseException:
                if is_new:
                    close(fig)
                raise
            return fig, ax

        kind = inspect.Parameter.KEYWORD_ONLY
        keywords = [inspect.Parameter(name, kind, default=None) for name in added]
        drawn.__signature__ = inspect.Signature([*taken, *keywords])  # type: ignore[attr-defined]
        head, *rest = re.split(
            r"\n\n(?=(?:Raises|References)\n-)", inspect.cleandoc(draw.__doc__ or "")
        )
        head += "" if "\nParameters\n-" in head else "\n\nParameters\n----------"
        head += (STYLE_DOC if has_style else "") + SHARED_DOC.rstrip()
        drawn.__doc__ = "\n\n".join([head, *rest]) + "\n"
        return drawn

    return decorate


def get_axes(
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
    of: object = None,
) -> "tuple[Figure, Axes]":
    """(fig, ax) to draw in: what is given, completed by what is not, of a figure its first axes
    without data.
    """
    if ax is not None:
        return ax.figure.figure if fig is None else fig, ax
    if fig is None:
        fig = new_figure(figsize, of, layout="constrained")
    free = [axes for axes in fig.axes if not axes.has_data()] or fig.axes[-1:]
    return fig, free[0] if free else fig.add_subplot()


def set_label(axis: "Axis", *texts: str) -> None:
    """Label an axis with the first text that fits, or the last one."""
    _texts[axis] = texts
    for text in texts:
        axis.set_label_text(text)
        if _fits(axis):
            return


def _fits(axis):
    """Whether an axis label is about as long as its side of the axes at most, and not cut."""
    boxes = axis.label.get_window_extent(), axis.axes.get_window_extent(), axis.axes.figure.bbox
    label, axes, figure = (getattr(box, f"interval{axis.axis_name}") for box in boxes)
    half, middle = (label[1] - label[0]) / 2, (axes[0] + axes[1]) / 2
    is_inside = figure[0] <= middle - half and middle + half <= figure[1]
    return is_inside and 2 * half <= 1.2 * (axes[1] - axes[0])


def _lay_out(ax):
    """Lay a figure out, and choose its labels again for the space that is left."""
    if (engine := ax.figure.get_layout_engine()) is not None:
        engine.execute(ax.figure.figure)
        for axis in filter(_texts.__contains__, (ax.xaxis, ax.yaxis)):
            set_label(axis, *_texts[axis])


def _pull_in(ax):
    """Draw labels nearer, then smaller, where a figure of a given size and given axes cuts them."""
    if ax.figure.get_layout_engine() is not None:
        return
    point = ax.figure.dpi / 72  # in pixels
    if ax.get_title() and ax.title.get_window_extent().y1 > ax.figure.bbox.y1:
        ax.set_title(ax.get_title(), fontsize="x-small", pad=1)
    for axis, side in ((ax.xaxis, "y0"), (ax.yaxis, "x0")):
        for size in (None, "small", "x-small", "xx-small"):
            if size:
                axis.set_tick_params(labelsize=size)
                axis.label.set_fontsize(size)
            box = axis.get_tightbbox()
            edge = getattr(ax.figure.bbox, side)
            cut = 0 if box is None else 1 + (edge - getattr(box, side)) / point
            if cut <= axis.labelpad:
                axis.labelpad -= max(0, cut)
                break


def add_legend(ax: "Axes") -> None:
    """Add a legend, small enough to leave most of the axes free."""
    axes = ax.get_window_extent()
    for size, n_columns in itertools.product(("medium", "small", "x-small", "xx-small"), (1, 2)):
        box = ax.legend(fontsize=size, ncols=n_columns).get_window_extent()
        if max(box.width / axes.width, box.height / axes.height) < 0.9 and (
            box.width * box.height < 0.3 * axes.width * axes.height
        ):
            return


def new_figure(
    figsize: tuple[float, float] | None = None, of: object = None, **options: Any
) -> "Figure":
    """Return a new figure, which a notebook or `plt.show()` shows as those of other packages.

    It is pyplot's if a notebook or a window can show it.  A notebook closes figures when it has
    shown them.  If matplotlib only writes files, pyplot has the figure only if the user imported
    pyplot, and only while the model `of`, which it draws, is in use: loops leave no figure open.
    Of figures of arrays it has the last MOST_OPEN.  Windows belong to the main thread: in other
    threads, the figure is not pyplot's.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not (is_shown() or "matplotlib.pyplot" in sys.modules):
        from matplotlib.figure import Figure

        return Figure(figsize=figsize, **options)
    import matplotlib.pyplot as plt

    limit = plt.rcParams["figure.max_open_warning"]  # alone: a context would undo what IPython sets
    plt.rcParams["figure.max_open_warning"] = 0
    try:
        fig = plt.figure(figsize=figsize, **options)
    finally:
        plt.rcParams["figure.max_open_warning"] = limit
    if not is_shown():
        _close_in_time(fig, of)
    return fig


def _close_in_time(fig, of):
    """Close a figure when the model that it draws is deleted, or when it is one of many."""
    try:
        weakref.finalize(None if hasattr(of, "__array__") else of, close, fig).atexit = False
    except TypeError:  # an array, a list: often a copy that is deleted at once
        _open.append(weakref.ref(fig))
        if len(_open) > MOST_OPEN and (oldest := _open.pop(0)()) is not None:
            close(oldest)


def is_shown() -> bool:
    """Whether figures can be shown: in a notebook or in a window, not only in files."""
    import matplotlib

    backend = dict.__getitem__(matplotlib.rcParams, "backend")  # get_backend() would import pyplot
    if isinstance(backend, str):
        return backend.lower() not in FILE_BACKENDS
    has_display = any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    has_display |= sys.platform in ("darwin", "win32")
    return has_display and matplotlib.get_backend().lower() not in FILE_BACKENDS


def close(fig: "Figure") -> None:
    """Take a figure from pyplot: it is not shown any more, and lives as long as it is used."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)


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


def save_both(fig: "Figure", stem: str | Path) -> str:
    """Write a figure as stem.png and stem.pdf, and close it; return the name of the PNG."""
    for suffix in (".png", ".pdf"):
        save(fig, f"{stem}{suffix}")
    close(fig)
    return f"{stem}.png"


__all__ = ["COLORS"]
