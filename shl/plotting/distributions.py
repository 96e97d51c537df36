"""How atoms are used and how their coefficients are distributed."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from .._base.checks import as_array, check_array, check_code, check_count, check_magnitude
from ..coding.competition import check_P_cum
from .figures import get_axes, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_P_cum(
    P_cum: ArrayLike,
    *,
    ymin: float | None = None,
    ymax: float = 1.001,
    title: str | None = None,
    suptitle: str | None = None,
    ylabel: str = "cumulative probability",
    n_yticks: int = 21,
    alpha: float = 0.05,
    c: str = "g",
    color: str | None = None,
    label: str | None = None,
    verbose: bool = False,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """The distributions of all atoms' coefficients, a line each, and their mean.

    Parameters
    ----------
    P_cum : array of shape (n_dictionary, nb_quant)
        Non-decreasing rows in [0, 1].
    ymin, ymax : float
        Limits; ymin None is 0.95, or a little below the lowest atom's step at 0 where that is
        lower.
    title, suptitle : str, default=None
        Titles of the axes and of the figure.
    ylabel : str, default='cumulative probability'
    n_yticks : int, default=21
        Ticks at most.
    alpha : float, default=0.05
        Opacity of an atom's line.
    c, color : str
        Of all lines; color goes before c.
    label : str, default=None
        Of the mean.
    verbose : bool, default=False
        Not used.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    P_cum = check_P_cum(P_cum, "P_cum")
    ymin = min(0.95, P_cum[:, 1].min() - 0.02) if ymin is None else ymin
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    ratio = np.arange(P_cum.shape[1]) / P_cum.shape[1]
    color = color or c
    ax.add_collection(
        LineCollection([np.column_stack((ratio, row)) for row in P_cum], colors=color, alpha=alpha)
    )
    ax.plot(ratio, P_cum.mean(axis=0), color=color, lw=1.5, label=label)
    ax.set(
        xlim=(0, 1), ylim=(ymin, ymax), xlabel=r"rescaled coefficient $1 - e^{-a/C}$", ylabel=ylabel
    )
    ax.yaxis.set_major_locator(MaxNLocator(n_yticks))
    if title:
        ax.set_title(title)
    if suptitle:
        fig.suptitle(suptitle)
    save(fig, fname)
    return fig, ax


def plot_usage(
    prob_active: np.ndarray,
    *,
    color: str = "C0",
    label: str | None = None,
    title: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Activation probability of each atom, from the most to the least used, with their mean.

    Parameters
    ----------
    prob_active : array of shape (n_dictionary,)
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
    ranked = np.sort(check_array(prob_active, "prob_active", ndim=1))[::-1]
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    ax.plot(ranked, color=color, label=label)
    ax.axhline(ranked.mean(), color=color, lw=0.8, ls="--")
    ax.set(
        xlim=(0, max(1, len(ranked) - 1)),
        ylim=(0, None),
        xlabel="atom, by rank",
        ylabel="probability of being selected",
    )
    if title:
        ax.set_title(title)
    save(fig, fname)
    return fig, ax


def _deviations(sparse_code):
    """Standard deviation around 0 of each atom's coefficients in a code, dense or CSR."""
    code = _check_code(sparse_code)
    return np.sqrt(np.asarray((code**2).mean(axis=0))).ravel()


def _check_code(sparse_code):
    """A code, dense or CSR, whose squares are finite and whose indices have been looked at."""
    code = check_code(sparse_code, "sparse_code")
    values = code.data if sparse.issparse(code) else code.ravel()
    if values.size:
        most = float(np.finfo(values.dtype).max) ** 0.5 / values.size
        check_magnitude(values, "sparse_code", most)
    return code


def plot_variance(
    shl: object,
    sparse_code: "np.ndarray | sparse.sparray",
    *,
    data: np.ndarray | None = None,
    algorithm: str | None = None,
    color: str = "C0",
    label: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Standard deviation of each atom's coefficients, around 0.

    Parameters
    ----------
    shl : SHL or None
        Not used, nor are data and algorithm.
    sparse_code : array or CSR array of shape (n_samples, n_dictionary)
    data, algorithm : object, default=None
        Not used.
    color, label : str
        As in matplotlib.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    spread = _deviations(sparse_code)
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    ax.bar(np.arange(len(spread)), spread, width=1, color=color, label=label)
    ax.set(
        xlim=(-0.5, len(spread) - 0.5), xlabel="atom", ylabel="standard deviation of coefficients"
    )
    save(fig, fname)
    return fig, ax


def plot_variance_histogram(
    shl: object,
    sparse_code: "np.ndarray | sparse.sparray",
    *,
    bins: int = 30,
    color: str = "C0",
    label: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Histogram over atoms of the standard deviation of their coefficients.

    Parameters
    ----------
    shl : SHL or None
        Not used.
    sparse_code : array or CSR array of shape (n_samples, n_dictionary)
    bins : int, default=30
    color, label : str
        As in matplotlib.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    spread = _deviations(sparse_code)
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    ax.hist(spread, bins=bins, color=color, label=label)
    ax.set(xlabel="standard deviation of coefficients", ylabel="atoms")
    save(fig, fname)
    return fig, ax


def plot_proba_histogram(
    prob_active: np.ndarray,
    *,
    bins: int = 30,
    color: str = "C0",
    label: str | None = None,
    title: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Histogram over atoms of their probability of being selected.

    The dashed line is the mean, which all atoms would share under equal selection.

    Parameters
    ----------
    prob_active : array of shape (n_dictionary,)
    bins : int, default=30
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
    prob_active = check_array(prob_active, "prob_active", ndim=1)
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    ax.hist(prob_active, bins=bins, color=color, label=label)
    ax.axvline(np.mean(prob_active), color="k", lw=0.8, ls="--")
    ax.set(xlabel="probability of being selected", ylabel="atoms")
    if title:
        ax.set_title(title)
    save(fig, fname)
    return fig, ax


def plot_coefficients(
    sparse_code: "np.ndarray | sparse.sparray",
    *,
    n_atoms: int = 5,
    colors: tuple[str, str] = ("C0", "C3"),
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Distributions of the coefficients of the least and the most selected atoms.

    Survival functions P(|a| >= t) of the selected coefficients.

    Parameters
    ----------
    sparse_code : array or CSR array of shape (n_samples, n_dictionary)
    n_atoms : int, default=5
        Atoms at either end, among those that are selected at all.
    colors : (str, str), default=('C0', 'C3')
        Of the least and of the most selected.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    check_count(n_atoms, "n_atoms")
    columns = sparse.csc_array(_check_code(sparse_code))
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    columns.eliminate_zeros()
    counts = np.diff(columns.indptr)
    order = np.argsort(counts, kind="stable")[(counts == 0).sum() :]
    for name, picked, color in (
        ("least", order[:n_atoms], colors[0]),
        ("most", order[-n_atoms:], colors[1]),
    ):
        for index, atom in enumerate(picked):
            values = np.sort(np.abs(columns.data[columns.indptr[atom] : columns.indptr[atom + 1]]))
            ax.plot(
                values,
                1 - np.arange(len(values)) / len(values),
                color=color,
                alpha=0.6,
                label=None if index else f"the {len(picked)} {name} selected",
            )
    ax.set(yscale="log", xlabel="coefficient a", ylabel="P(|a| >= value) where selected")
    if len(order):
        ax.legend()
    save(fig, fname)
    return fig, ax


def plot_recovery(
    code_true: ArrayLike,
    code_found: ArrayLike,
    *,
    most: int = 5000,
    color: str = "C0",
    label: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """True against recovered coefficients of planted data.

    Parameters
    ----------
    code_true, code_found : array of shape (n_samples, n_dictionary)
        Dense, with atoms in the same order.
    most : int, default=5000
        Pairs that are drawn at most, of those where either is not 0.
    color, label : str
        As in matplotlib.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    code_true = as_array(code_true, "code_true")  # of no atom, where none was recovered
    code_found = as_array(code_found, "code_found")
    if code_true.ndim != 2 or code_true.shape != code_found.shape:
        raise ValueError(
            f"code_true and code_found must have one shape (n_samples, n_dictionary), not "
            f"{code_true.shape} and {code_found.shape}"
        )
    most = check_count(most, "most")
    fig, ax = get_axes(fig, ax, figsize=(5, 5))
    active = np.flatnonzero((code_true != 0) | (code_found != 0))
    shown = active[:: -(-len(active) // most)] if len(active) else active
    ax.plot(
        code_true.flat[shown],
        code_found.flat[shown],
        ".",
        ms=2,
        alpha=0.4,
        color=color,
        label=label,
    )
    ax.axline((0, 0), slope=1, color="0.7", lw=0.8)
    ax.set(xlabel="true coefficient", ylabel="recovered coefficient")
    save(fig, fname)
    return fig, ax
