"""Dictionaries and patches as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .._base.checks import (
    as_array,
    check_array,
    check_choice,
    check_count,
    check_memory,
    check_squares,
)
from .figures import drawing, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..estimators.dictionary import SparseHebbianLearning

ORDERS = ("minmax", "index", "random")


def tile(patches: ArrayLike, n_columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Square patches side by side in one image, each scaled to -1..1.

    Parameters
    ----------
    patches : array of shape (n_patches, width^2)
    n_columns : int, default=None
        Patches in a row; None gives a square.
    gap : int, default=1
        Pixels between patches.

    Returns
    -------
    image : array of shape (height, width), float64
        NaN between and after the patches.

    Raises
    ------
    ValueError
        If patches are not square.
    """
    patches = check_array(patches, "patches", ndim=2, dtype=np.float64)
    width = check_squares(patches, "patches")
    check_count(n_columns, "n_columns", is_optional=True)
    scales = np.abs(patches).max(axis=1, keepdims=True)
    patches = patches / np.where(scales > 0, scales, 1)
    return mosaic(
        patches.reshape(-1, width, width), n_columns or int(np.ceil(len(patches) ** 0.5)), gap
    )


def mosaic(pictures: np.ndarray, n_columns: int, gap: int = 1) -> np.ndarray:
    """Pictures side by side in one image, row by row.

    Parameters
    ----------
    pictures : array of shape (n_pictures, height, width)
    n_columns : int
        Pictures in a row.
    gap : int, default=1
        Pixels between pictures.

    Returns
    -------
    image : array of two axes, float64
        NaN between and after the pictures.
    """
    pictures = check_array(pictures, "pictures", ndim=3)
    n_pictures, height, width = pictures.shape
    n_columns, gap = check_count(n_columns, "n_columns"), check_count(gap, "gap", least=0)
    n_rows = -(-n_pictures // n_columns)
    shape = n_rows * (height + gap) + gap, n_columns * (width + gap) + gap
    check_memory(8 * shape[0] * shape[1], "n_columns and gap", (n_columns, gap))
    image = np.full(shape, np.nan)
    for i, picture in enumerate(pictures):
        row, column = i // n_columns * (height + gap) + gap, i % n_columns * (width + gap) + gap
        image[row : row + height, column : column + width] = picture
    return image


def show_greys(ax: "Axes", image: np.ndarray) -> None:
    """Draw a tiled image of values in -1..1, whose gaps are NaN and stay white."""
    ax.imshow(image, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])


def _draw_atoms(ax, atoms, dim_graph=None):
    """Draw atoms in their order; returns the size of a figure for them."""
    n_columns = int(np.ceil(len(atoms) ** 0.5)) if dim_graph is None else dim_graph[1]
    n_shown = len(atoms) if dim_graph is None else min(len(atoms), dim_graph[0] * dim_graph[1])
    show_greys(ax, tile(atoms[:n_shown], n_columns))
    ax.set_axis_off()
    return 8, 8 * max(1, -(-n_shown // n_columns)) / n_columns


@drawing()
def show_dico(
    ax: "Axes",
    dico: "SparseHebbianLearning | ArrayLike",
    data: np.ndarray | None = None,
    *,
    dim_graph: tuple[int, int] | None = None,
    order: str | bool = "minmax",
    seed: int | None = None,
) -> tuple[float, float]:
    """Draw the atoms of a dictionary as one tiled image.

    Parameters
    ----------
    dico : SparseHebbianLearning, or array of shape (n_dictionary, width^2)
        Dictionary to draw.  A model must be fitted.
    data : array of shape (n_samples, width^2), default=None
        Patches to count selections on.  If None, those of the last record, or of learning.
    dim_graph : (rows, columns), default=None
        Size of the grid.  If None, every atom is drawn.
    order : {'minmax', 'index', 'random'} or bool, default='minmax'
        'minmax': the upper half shows the least and the lower half the most selected atoms.
        'index': in order.  'random': drawn by `seed`.  An array has no selections and is drawn in
        order.  True is 'minmax', False is 'index'.
    seed : int, default=None
        Seed of the random order.
    """
    if isinstance(order, bool):
        order = "minmax" if order else "index"
    check_choice(order, "order", ORDERS)
    atoms = check_array(getattr(dico, "components_", dico), "dico", ndim=2)
    check_squares(atoms, "dico")
    n_shown = len(atoms) if dim_graph is None else min(len(atoms), dim_graph[0] * dim_graph[1])
    return _draw_atoms(ax, atoms[_pick_atoms(dico, data, n_shown, order, seed)], dim_graph)


def _pick_atoms(dico, data, n_shown, order, seed):
    """Indices of the atoms to show."""
    n_atoms = len(getattr(dico, "components_", dico))
    if order == "random":
        return np.random.default_rng(seed).choice(n_atoms, n_shown, replace=False)
    if order == "index" or not hasattr(dico, "components_"):
        return np.arange(n_shown)
    return extremes(activity(dico, data), n_shown)


def extremes(activity: np.ndarray, n_shown: int) -> np.ndarray:
    """Return the indices of the least and then of the most active atoms, half of each."""
    ranked = np.argsort(activity, kind="stable")
    n_least = -(-n_shown // 2)
    return np.concatenate((ranked[:n_least], ranked[len(ranked) - (n_shown - n_least) :]))


def activity(dico: "SparseHebbianLearning", data: np.ndarray | None = None) -> np.ndarray:
    """How often a fitted model's atoms are selected, (n_dictionary,).

    Shares of the samples of `data`; without, those at the last record, or lately in learning.
    """
    if data is not None:
        return np.asarray((dico.transform(data) != 0).mean(axis=0)).ravel()
    if len(dico.record_):
        return dico.record_["prob_active"][-1]
    return 1 - dico.P_cum_[:, 1]


@drawing()
def show_dico_in_order(
    ax: "Axes",
    dico: "SparseHebbianLearning",
    data: np.ndarray | None = None,
    *,
    dim_graph: tuple[int, int] | None = None,
) -> tuple[float, float]:
    """Draw the atoms of a fitted model from the least to the most selected.

    Parameters
    ----------
    dico : SparseHebbianLearning
        Fitted model.
    data : array of shape (n_samples, width^2), default=None
        Patches to count selections on.  If None, those of the last record, or of learning.
    dim_graph : (rows, columns), default=None
        Size of the grid.  If None, every atom is drawn.
    """
    return _draw_atoms(
        ax, dico.components_[np.argsort(activity(dico, data), kind="stable")], dim_graph
    )


def show_data(
    data: ArrayLike,
    n_shown: int = 12,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    axs: "Sequence[Axes] | None" = None,
) -> "tuple[Figure, Sequence[Axes]]":
    """The first patches of data, each in axes of its own.

    Parameters
    ----------
    data : array of shape (n_samples, width^2)
    n_shown : int, default=12
        Patches to draw.
    fname : str or Path, default=None
        File to save the figure in.
    fig : Figure, default=None
    axs : sequence of Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    axs : sequence of Axes
    """
    patches = check_array(np.atleast_2d(as_array(data, "data")), "data", ndim=2)
    check_squares(patches, "data")
    patches = patches[: check_count(n_shown, "n_shown")]
    if axs is None:
        fig = fig or new_figure((len(patches), 1.2), data)
        axs = np.atleast_1d(fig.subplots(1, len(patches)))
    for ax, patch in zip(axs, patches, strict=False):
        show_greys(ax, tile(patch[None], gap=0))
    fig = fig or axs[0].figure
    save(fig, fname)
    return fig, axs
