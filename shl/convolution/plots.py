"""Pictures of convolutional learning: atoms, where and how often they were used, reconstructions.

Functions draw into `fig` and `ax` where given, else into a figure of their own that needs no
display.  They never show a figure and never change matplotlib's settings; `fname` saves it.  The
error over the steps is drawn by `shl.plotting.time_plot(model, "error_own")`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .._base.checks import check_array, check_choice
from ..learning import optimizers
from ..plotting.atoms import mosaic, show_tiles
from ..plotting.figures import get_axes, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .estimator import ConvolutionalSHL
    from .events import ConvolutionalCode


def _title_and_save(fig, ax, title, fname):
    """Add the title and write the file where they are given; returns (fig, ax)."""
    if title:
        ax.set_title(title)
    save(fig, fname)
    return fig, ax


def count_columns(n_pictures: int, ratio: float) -> int:
    """Columns of a grid about `ratio` times as wide as high, with full rows where near that."""
    least = max(1, int(np.ceil((ratio * n_pictures) ** 0.5)))
    full = [
        n for n in (*range(least, least + least // 2 + 1), max(1, least - 1)) if n_pictures % n == 0
    ]
    return full[0] if full else least


def show_atoms(
    dictionary: "ArrayLike | ConvolutionalSHL",
    *,
    n_columns: int | None = None,
    title: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """The atoms, in order, each scaled to its largest absolute value.

    With several channels an atom is a row, a channel a column, and all channels of an atom share
    one scale.

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_channels, width, width), or ConvolutionalSHL
        A model must be fitted.
    n_columns : int, default=None
        Pictures in a row; None gives a grid twice as wide as high.
    title : str, default=None
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    atoms = np.asarray(getattr(dictionary, "components_", dictionary), float)
    n_dictionary, n_channels, width = check_array(atoms, "dictionary", ndim=4).shape[:3]
    peaks = np.abs(atoms).max(axis=(1, 2, 3), keepdims=True)
    atoms = atoms / np.maximum(peaks, np.finfo(float).tiny)
    n_columns = n_columns or (n_channels if n_channels > 1 else count_columns(n_dictionary, 2))
    n_rows = -(-n_dictionary * n_channels // n_columns)
    size = 8 / max(n_columns, n_rows)
    fig, ax = get_axes(fig, ax, figsize=(max(2, size * n_columns), max(1, size * n_rows) + 0.4))
    show_tiles(ax, mosaic(atoms.reshape(-1, width, width), n_columns))
    return _title_and_save(fig, ax, title, fname)


def project_atoms(second: np.ndarray, first: np.ndarray, stride: int = 1) -> np.ndarray:
    """Atoms of a second layer as images.

    Each of its channels is replaced by the first layer's atom, and they are summed, each at its
    place.

    Parameters
    ----------
    second : array of shape (n_dictionary, n_first, width, width)
        Learned on the dense code of the atoms `first`.
    first : array of shape (n_first, n_channels, w, w)
    stride : int, default=1
        Of the first layer.

    Returns
    -------
    images : array of shape (n_dictionary, n_channels, (width - 1) * stride + w, ...)
        Each of norm 1.
    """
    from .events import ConvolutionalCode

    size = (second.shape[2] - 1) * stride + first.shape[2]
    images = ConvolutionalCode.from_dense(np.asarray(second)).reconstruct(
        first, (size, size), stride
    )
    optimizers.normalise(images)
    return images


def plot_counts(
    counts: "ArrayLike | ConvolutionalSHL",
    *,
    color: str = "C0",
    label: str | None = None,
    title: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """The activation histogram: events of each atom, and their mean as a line.

    Parameters
    ----------
    counts : array of shape (n_dictionary,), or ConvolutionalSHL
        The last record of a fitted model is drawn.
    color, label : str
        As in matplotlib.
    title : str, default=None
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    counts = np.asarray(getattr(counts, "counts_", counts))
    fig, ax = get_axes(fig, ax, figsize=(5, 3))
    ax.bar(np.arange(len(counts)), counts, color=color, label=label)
    ax.axhline(counts.mean(), color="0.4", linewidth=1, linestyle="--")
    ax.set(xlabel="atom", ylabel="events", xlim=(-0.6, len(counts) - 0.4))
    ax.xaxis.set_major_locator(_whole_numbers())
    if label:
        ax.legend(loc="lower right")
    return _title_and_save(fig, ax, title, fname)


def show_where(
    code: "ConvolutionalCode",
    *,
    n_columns: int | None = None,
    title: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Where each atom was used: the events at each place over all images, a panel an atom.

    Parameters
    ----------
    code : ConvolutionalCode
    n_columns : int, default=None
        Panels in a row; None gives a grid 1.6 times as wide as high.
    title : str, default=None
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    counts = code.count_places().astype(float)
    n_columns = n_columns or count_columns(len(counts), 1.6 * counts.shape[1] / counts.shape[2])
    n_rows = -(-len(counts) // n_columns)
    height = 7 * n_rows * counts.shape[1] / (n_columns * counts.shape[2])
    fig, ax = get_axes(fig, ax, figsize=(8, max(1.5, height + 0.4)))
    drawn = ax.imshow(mosaic(counts, n_columns, gap=2), cmap="magma", interpolation="nearest")
    ax.set_axis_off()
    fig.colorbar(drawn, ax=ax, label="events", shrink=0.8, ticks=_whole_numbers())
    return _title_and_save(fig, ax, title, fname)


def _whole_numbers():
    """Ticks for counts."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


def show_reconstruction(
    X: np.ndarray,
    reconstruction: np.ndarray,
    *,
    n_shown: int = 6,
    title: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Images above, their reconstructions below, residuals at the bottom, one scale for all.

    Parameters
    ----------
    X, reconstruction : array of shape (n_images, n_channels, height, width)
        Their first channel is drawn.
    n_shown : int, default=6
        Images to draw.
    title : str, default=None
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    check_choice(np.ndim(X), "the number of axes of X", (4,))
    shown = np.asarray(X[:n_shown, 0], float), np.asarray(reconstruction[:n_shown, 0], float)
    n_shown, scale = len(shown[0]), np.abs(shown[0]).max() or 1
    fig, ax = get_axes(fig, ax, figsize=(1.5 * n_shown, 1.5 * 3 * X.shape[2] / X.shape[3] + 0.4))
    rows = np.concatenate((*shown, shown[0] - shown[1]))
    show_tiles(ax, mosaic(rows, n_shown) / scale)
    ax.set_axis_on()
    places = (X.shape[2] + 1) * (np.arange(3) + 0.5)
    ax.set(xticks=[], yticks=places, yticklabels=["image", "code", "residual"])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return _title_and_save(fig, ax, title, fname)
