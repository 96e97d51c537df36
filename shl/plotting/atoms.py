"""Dictionaries and patches as pictures."""

import numpy as np

from .._checks import check_choice
from .figures import get_axes, new_figure, save

ORDERS = ("minmax", "index", "random")


def tile(patches, n_columns=None, gap=1):
    """Square patches (n, width^2) side by side in one image; each is scaled to -1..1, NaN between
    and after them.
    """
    patches = np.asarray(patches, float)
    width = round(patches.shape[1] ** 0.5)
    if width**2 != patches.shape[1]:
        raise ValueError(f"patches must be square, but each has {patches.shape[1]} pixels")
    scales = np.abs(patches).max(axis=1, keepdims=True)
    patches = patches / np.where(scales > 0, scales, 1)
    return mosaic(
        patches.reshape(-1, width, width), n_columns or int(np.ceil(len(patches) ** 0.5)), gap
    )


def mosaic(pictures, n_columns, gap=1):
    """Pictures (n, height, width) side by side in one image, row by row, NaN between and after
    them.
    """
    n_pictures, height, width = pictures.shape
    n_rows = -(-n_pictures // n_columns)
    image = np.full((n_rows * (height + gap) + gap, n_columns * (width + gap) + gap), np.nan)
    for i, picture in enumerate(pictures):
        row, column = i // n_columns * (height + gap) + gap, i % n_columns * (width + gap) + gap
        image[row : row + height, column : column + width] = picture
    return image


def _draw(ax, image):
    """A tiled image in greys, gaps left white."""
    ax.imshow(image, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()


def show_dico(
    shl,
    dico,
    data=None,
    *,
    dim_graph=None,
    order="minmax",
    seed=None,
    title=None,
    fname=None,
    fig=None,
    ax=None,
):
    """The atoms of a dictionary as one tiled image; returns (fig, ax).

    Parameters
    ----------
    shl : an `SHL` experiment, or None.
    dico : a fitted `SparseHebbianLearning`, or an array (n_dictionary, width^2).
    data : array, optional.  Patches to count selections on; without, those of the last record, or
        of learning.
    dim_graph : (rows, columns), optional.  Size of the grid; None shows every atom.
    order : 'minmax', the upper half shows the least and the lower half the most selected atoms;
        'index', in order; 'random', drawn by `seed`.  An array has no selections and is shown in
        order.
    """
    check_choice(order, "order", ORDERS)
    atoms = np.asarray(getattr(dico, "components_", dico))
    n_columns = int(np.ceil(len(atoms) ** 0.5)) if dim_graph is None else dim_graph[1]
    n_shown = len(atoms) if dim_graph is None else min(len(atoms), dim_graph[0] * dim_graph[1])
    fig, ax = get_axes(fig, ax, figsize=(8, 8 * max(1, -(-n_shown // n_columns)) / n_columns))
    _draw(ax, tile(atoms[_pick(dico, data, len(atoms), n_shown, order, seed)], n_columns))
    if title:
        ax.set_title(title)
    save(fig, fname)
    return fig, ax


def _pick(dico, data, n_atoms, n_shown, order, seed):
    """Indices of the atoms to show."""
    if order == "random":
        return np.random.default_rng(seed).choice(n_atoms, n_shown, replace=False)
    if order == "index" or not hasattr(dico, "components_"):
        return np.arange(n_shown)
    ranked = np.argsort(activity(dico, data), kind="stable")
    n_least = -(-n_shown // 2)
    return np.concatenate((ranked[:n_least], ranked[n_atoms - (n_shown - n_least) :]))


def activity(dico, data=None):
    """How often a fitted model's atoms are selected: on data, at the last record, or lately in
    learning.
    """
    if data is not None:
        return np.asarray((dico.transform(data) != 0).mean(axis=0)).ravel()
    if len(dico.record_):
        return dico.record_["prob_active"][-1]
    return 1 - dico.P_cum_[:, 1]


def show_dico_in_order(shl, dico, data=None, **options):
    """`show_dico` with the atoms from the least to the most selected."""
    fig, ax = show_dico(
        shl,
        np.asarray(dico.components_)[np.argsort(activity(dico, data), kind="stable")],
        **options,
    )
    return fig, ax


def show_data(data, n_shown=12, fname=None, fig=None, axs=None):
    """The first patches of data (n, width^2), each in axes of its own; returns (fig, axs)."""
    patches = np.atleast_2d(data)[:n_shown]
    if axs is None:
        fig = fig or new_figure(figsize=(len(patches), 1.2))
        axs = np.atleast_1d(fig.subplots(1, len(patches)))
    for ax, patch in zip(axs, patches, strict=False):
        ax.imshow(tile(patch[None], gap=0), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
    save(fig or axs[0].figure, fname)
    return fig or axs[0].figure, axs
