"""Dictionaries and patches as pictures."""

import math
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
    check_sizes,
)
from .figures import drawing, get_axes, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..estimators.dictionary import SparseHebbianLearning

ORDERS = ("minmax", "index", "random")
KINDS = ("image", "signal")
PatchShape = int | Sequence[int]


def tile(
    patches: ArrayLike,
    n_columns: int | None = None,
    gap: int = 1,
    patch_shape: PatchShape | None = None,
) -> np.ndarray:
    """Return patches side by side in one image, each scaled to -1..1.

    Parameters
    ----------
    patches : array of shape (n_patches, n_features) or (n_patches, height, width[, 3])
        Patches, square unless `patch_shape` is given.
    n_columns : int, default=None
        Patches in a row.  If None, the image is about square.
    gap : int, default=1
        Pixels between patches.
    patch_shape : int, (height, width) or (height, width, 3), default=None
        Shape of a patch, the last of a patch in colour.

    Returns
    -------
    image : array of shape (height, width[, 3]), float64
        NaN between and after the patches.

    Raises
    ------
    ValueError
        If patches are neither square nor of `patch_shape`.
    """
    if n_columns is not None:
        check_count(n_columns, "n_columns")
    pictures, _ = shape_samples(patches, "patches", patch_shape, "image")
    return mosaic(pictures, n_columns or _count_columns(len(pictures), *pictures.shape[1:3]), gap)


def shape_samples(
    samples: ArrayLike, name: str, patch_shape: PatchShape | None = None, kind: str | None = None
) -> tuple[np.ndarray, bool]:
    """Return samples in their shape, each scaled to -1..1, its channels alike.

    Returns
    -------
    shaped : array, float64
        (n_samples, height, width[, 3]) of images, (n_samples, length, n_curves) of signals.
    is_signal : bool
        Whether samples are signals.
    """
    check_choice(kind, "kind", (None, *KINDS))
    samples = check_array(samples, name, ndim=(2, 3, 4))
    patch_shape = samples.shape[1:] if samples.ndim > 2 else patch_shape
    samples = samples.reshape(len(samples), -1).astype(np.float64, copy=False)
    n_features = samples.shape[1]
    if patch_shape is None:
        side = round(n_features**0.5)
        if kind == "image" and side**2 != n_features:
            raise ValueError(
                f"Each row of {name} must be a square patch, but has {n_features} pixels. "
                "Pass patch_shape=(height, width)."
            )
        is_image = kind == "image" or (kind is None and side**2 == n_features)
        patch_shape = (side, side) if is_image else (n_features,)
    elif isinstance(patch_shape, (int, np.integer)):
        patch_shape = (patch_shape, patch_shape)
    shape = check_sizes(patch_shape, "patch_shape", "(height, width) or (length,)", (1, 2, 3))
    is_signal = kind == "signal" or (kind is None and (len(shape) == 1 or shape[0] == 1))
    if is_signal and len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) == 2 and not is_signal and 3 * math.prod(shape) == n_features:
        shape = (*shape, 3)
    is_drawable = is_signal or (len(shape) > 1 and shape[2:] in ((), (1,), (3,)))
    if math.prod(shape) != n_features or not is_drawable:
        raise ValueError(
            f"patch_shape must be (height, width), (height, width, 3) or (length,) of "
            f"{n_features} numbers, as many as {name} has columns, not {tuple(patch_shape)}"
        )
    largest = np.abs(samples).max(axis=1, keepdims=True)
    samples = samples / np.where(largest > 0, largest, 1)
    if is_signal:
        return samples.reshape(len(samples), shape[0], -1), True
    return samples.reshape(len(samples), *(shape[:2] if shape[2:] == (1,) else shape)), False


def _count_columns(n_pictures, height, width):
    """Columns of a grid of pictures that is about square."""
    return max(1, math.ceil((n_pictures * height / width) ** 0.5))


def mosaic(pictures: np.ndarray, n_columns: int, gap: int = 1) -> np.ndarray:
    """Return pictures side by side in one image, row by row.

    Parameters
    ----------
    pictures : array of shape (n_pictures, height, width[, 3])
    n_columns : int
        Pictures in a row.
    gap : int, default=1
        Pixels between pictures.

    Returns
    -------
    image : array of shape (height, width[, 3]), float64
        NaN between and after the pictures.
    """
    pictures = check_array(pictures, "pictures", ndim=(3, 4))
    n_pictures, height, width = pictures.shape[:3]
    n_columns, gap = check_count(n_columns, "n_columns"), check_count(gap, "gap", least=0)
    n_rows = -(-n_pictures // n_columns)
    shape = n_rows * (height + gap) + gap, n_columns * (width + gap) + gap, *pictures.shape[3:]
    check_memory(8 * math.prod(shape), "n_columns and gap", (n_columns, gap))
    image = np.full(shape, np.nan)
    for i, picture in enumerate(pictures):
        row, column = i // n_columns * (height + gap) + gap, i % n_columns * (width + gap) + gap
        image[row : row + height, column : column + width] = picture
    return image


def show_tiles(ax: "Axes", image: np.ndarray) -> None:
    """Draw a tiled image of values in -1..1, in greys or colour; NaN between tiles stays white."""
    if image.ndim == 3:
        image = np.nan_to_num((image + 1) / 2, nan=1.0)
    ax.imshow(image, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])


def show_curves(ax: "Axes", curves: np.ndarray, n_columns: int) -> None:
    """Draw curves (n_samples, length, n_curves) of values in -1..1 in a grid, row by row."""
    from matplotlib.collections import LineCollection

    n_samples, length, n_curves = curves.shape
    row, column = np.divmod(np.arange(n_samples), n_columns)
    x = column[:, None] + np.linspace(0.05, 0.95, length)
    colors = [f"C{i}" for i in range(n_curves)]
    middle = np.stack((x[:, [0, -1]], np.repeat(-row[:, None], 2, axis=1)), axis=2)
    ax.add_collection(LineCollection(list(middle), colors="0.8", linewidths=0.5))
    for i, color in enumerate(colors):
        lines = np.stack((x, 0.45 * curves[:, :, i] - row[:, None]), axis=2)
        ax.add_collection(LineCollection(list(lines), colors=color, linewidths=1))
    ax.set(xlim=(0, min(n_columns, n_samples)), ylim=(-row[-1] - 0.5, 0.5), xticks=[], yticks=[])


def _draw_atoms(ax, dico, picked, dim_graph, patch_shape, kind):
    """Draw some atoms in a grid; returns the size of a figure for them."""
    atoms = _atoms_of(dico)
    if atoms is not dico and atoms.ndim > 2:  # of signals or images, channels first
        kind = kind or ("signal" if atoms.ndim == 3 else None)
        atoms = np.moveaxis(np.asarray(atoms), 1, -1)
    patch_shape = getattr(dico, "patch_shape", None) if patch_shape is None else patch_shape
    atoms, is_signal = shape_samples(atoms, "dico", patch_shape, kind)
    atoms = atoms[picked]
    height, width = (0.5, 1) if is_signal else atoms.shape[1:3]
    n_columns = dim_graph[1] if dim_graph else _count_columns(len(atoms), height, width)
    if is_signal:
        show_curves(ax, atoms, n_columns)
    else:
        show_tiles(ax, mosaic(atoms, n_columns))
    ax.set_axis_off()
    n_rows = -(-len(atoms) // n_columns)
    return 8, max(0.5, 8 * n_rows * height / (n_columns * width))


def _atoms_of(dico):
    """The atoms of a model, or the array of atoms that is given."""
    for name in ("components_", "dictionary"):  # the latter of a SparseCoder
        if hasattr(dico, name):
            return getattr(dico, name)
    return dico


def _count_shown(dico, dim_graph):
    """How many atoms a grid of (rows, columns) shows, all without one."""
    n_atoms = len(_atoms_of(dico))
    if dim_graph is None:
        return n_atoms
    sizes = check_sizes(dim_graph, "dim_graph", "(rows, columns)", lengths=(2,))
    return min(n_atoms, math.prod(sizes))


@drawing((8, 8))
def show_dico(
    ax: "Axes",
    dico: "SparseHebbianLearning | ArrayLike",
    data: np.ndarray | None = None,
    *,
    dim_graph: tuple[int, int] | None = None,
    order: str | bool = "minmax",
    seed: int | None = None,
    patch_shape: PatchShape | None = None,
    kind: str | None = None,
) -> tuple[float, float]:
    """Draw the atoms of a dictionary in a grid: images in grey or colour, or curves.

    Each atom is scaled to its largest absolute value, all channels of an atom alike.

    Parameters
    ----------
    dico : SparseHebbianLearning, ConvolutionalSHL, or array of shape (n_dictionary, n_features)
        Dictionary to draw.  A model must be fitted.  An array may have the shape of its atoms too:
        (n_dictionary, height, width) or (n_dictionary, height, width, 3).
    data : array of shape (n_samples, n_features), default=None
        Patches to count selections on.  If None, those of the last record, or of learning.
    dim_graph : (rows, columns), default=None
        Size of the grid.  If None, every atom is drawn.
    order : {'minmax', 'index', 'random'} or bool, default='minmax'
        'minmax': the upper half shows the least and the lower half the most selected atoms.
        'index': in order.  'random': drawn by `seed`.  An array has no selections and is drawn in
        order.  True is 'minmax', False is 'index'.
    seed : int, default=None
        Seed of the random order.
    patch_shape : int, (height, width), (height, width, 3) or (length,), default=None
        Shape of an atom.  If None, the `patch_shape` of the model if it has one, else a square if
        `n_features` is a square, else a curve.
    kind : {'image', 'signal'}, default=None
        Draw atoms as images or as curves.  If None, atoms of shape (length,) or of height 1 are
        curves.

    Raises
    ------
    ValueError
        If atoms do not have the shape.
    """
    if isinstance(order, bool):
        order = "minmax" if order else "index"
    check_choice(order, "order", ORDERS)
    if _atoms_of(dico) is dico:
        check_array(dico, "dico", ndim=(2, 3, 4))
    picked = _pick_atoms(dico, data, _count_shown(dico, dim_graph), order, seed)
    return _draw_atoms(ax, dico, picked, dim_graph, patch_shape, kind)


def _pick_atoms(dico, data, n_shown, order, seed):
    """Indices of the atoms to show."""
    if order == "random":
        return np.random.default_rng(seed).choice(len(_atoms_of(dico)), n_shown, replace=False)
    usage = None if order == "index" else _find_activity(dico, data)
    return np.arange(n_shown) if usage is None else extremes(usage, n_shown)


def extremes(activity: np.ndarray, n_shown: int) -> np.ndarray:
    """Return the indices of the least and then of the most active atoms, half of each."""
    ranked = np.argsort(activity, kind="stable")
    n_least = -(-n_shown // 2)
    return np.concatenate((ranked[:n_least], ranked[len(ranked) - (n_shown - n_least) :]))


def activity(dico: "SparseHebbianLearning", data: np.ndarray | None = None) -> np.ndarray:
    """Return how often a fitted model's atoms are selected, (n_dictionary,).

    Shares of the samples of `data`.  If None, those at the last record, or lately in learning.

    Raises
    ------
    TypeError
        If the model has no record of that.
    """
    found = _find_activity(dico, data)
    if found is None:
        name = type(dico).__name__
        raise TypeError(f"{name} does not know how often its atoms are selected. Pass data.")
    return found


def _find_activity(dico, data):
    """How often the atoms of a model are selected, None if it is not known."""
    if data is not None and hasattr(dico, "transform"):
        code = dico.transform(data)
        if hasattr(code, "counts"):  # of images or signals
            return code.counts()
        return np.asarray((code != 0).mean(axis=0)).ravel()
    if "prob_active" in getattr(dico, "record_", ()):
        return dico.record_["prob_active"][-1]
    if hasattr(dico, "P_cum_"):
        return 1 - dico.P_cum_[:, 1]
    return getattr(dico, "counts_", None)  # of images or signals with records


@drawing((8, 8))
def show_dico_in_order(
    ax: "Axes",
    dico: "SparseHebbianLearning",
    data: np.ndarray | None = None,
    *,
    dim_graph: tuple[int, int] | None = None,
    patch_shape: PatchShape | None = None,
    kind: str | None = None,
) -> tuple[float, float]:
    """Draw the atoms of a fitted model from the least to the most selected.

    Parameters
    ----------
    dico : SparseHebbianLearning
        Fitted model.
    data : array of shape (n_samples, n_features), default=None
        Patches to count selections on.  If None, those of the last record, or of learning.
    dim_graph : (rows, columns), default=None
        Size of the grid.  If None, every atom is drawn.
    patch_shape : int, (height, width), (height, width, 3) or (length,), default=None
        Shape of an atom, as in `show_dico`.
    kind : {'image', 'signal'}, default=None
        Draw atoms as images or as curves, as in `show_dico`.
    """
    n_shown, usage = _count_shown(dico, dim_graph), _find_activity(dico, data)
    ranked = np.arange(n_shown) if usage is None else np.argsort(usage, kind="stable")
    return _draw_atoms(ax, dico, ranked[:n_shown], dim_graph, patch_shape, kind)


def show_data(
    data: ArrayLike,
    n_shown: int = 12,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    axs: "Sequence[Axes] | np.ndarray | None" = None,
    *,
    patch_shape: PatchShape | None = None,
    kind: str | None = None,
) -> "tuple[Figure, Sequence[Axes] | np.ndarray]":
    """Draw the first samples of data, each in axes of its own.

    Parameters
    ----------
    data : array of shape (n_samples, n_features)
        Patches or signals.
    n_shown : int, default=12
        Number of samples to draw.
    fname : str or Path, default=None
        File to save the figure in.
    fig : Figure, default=None
        Where to draw.
    axs : sequence of Axes, default=None
        Where to draw.
    patch_shape : int, (height, width), (height, width, 3) or (length,), default=None
        Shape of a sample, as in `show_dico`.
    kind : {'image', 'signal'}, default=None
        Draw samples as images or as curves, as in `show_dico`.

    Returns
    -------
    fig : Figure
    axs : sequence of Axes
    """
    n_shown = check_count(n_shown, "n_shown")
    samples = as_array(data, "data")
    samples = samples[:n_shown] if samples.ndim > 1 else np.atleast_2d(samples)
    samples, is_signal = shape_samples(samples, "data", patch_shape, kind)
    if axs is None:
        fig = fig or new_figure((len(samples), 1.2), data, layout="constrained")
        axs = np.atleast_1d(fig.subplots(1, len(samples)))
    for ax, sample in zip(axs, samples, strict=False):
        if is_signal:
            show_curves(ax, sample[None], 1)
        else:
            show_tiles(ax, sample)
    fig, _ = get_axes(fig, axs[0])
    save(fig, fname)
    return fig, axs


__all__ = ["activity", "show_data", "show_dico", "show_dico_in_order", "tile"]
