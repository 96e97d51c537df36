"""How atoms are used and how their coefficients are distributed."""

import numpy as np
from scipy import sparse

from .._checks import check_count
from .figures import get_axes, save


def plot_P_cum(
    P_cum,
    *,
    ymin=None,
    ymax=1.001,
    title=None,
    suptitle=None,
    ylabel="cumulative probability",
    n_yticks=21,
    alpha=0.05,
    c="g",
    color=None,
    label=None,
    verbose=False,
    fname=None,
    fig=None,
    ax=None,
):
    """The distributions P_cum (n_dictionary, nb_quant) of all atoms' coefficients, a line each;
    returns (fig, ax).

    ymin None shows them from 0.95, or from a little below the lowest atom's step at 0 where that is
    lower.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    P_cum = np.asarray(P_cum)
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


def plot_usage(prob_active, *, color="C0", label=None, title=None, fname=None, fig=None, ax=None):
    """Activation probability of each atom, from the most to the least used, with their mean;
    returns (fig, ax).
    """
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    ranked = np.sort(prob_active)[::-1]
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


def _spread(sparse_code):
    """Standard deviation around 0 of each atom's coefficients in a code (n_samples, n_dictionary),
    dense or CSR.
    """
    return np.sqrt(np.asarray((sparse_code**2).mean(axis=0))).ravel()


def plot_variance(
    shl,
    sparse_code,
    *,
    data=None,
    algorithm=None,
    color="C0",
    label=None,
    fname=None,
    fig=None,
    ax=None,
):
    """Standard deviation of each atom's coefficients in a code (n_samples, n_dictionary); returns
    (fig, ax).
    """
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    spread = _spread(sparse_code)
    ax.bar(np.arange(len(spread)), spread, width=1, color=color, label=label)
    ax.set(
        xlim=(-0.5, len(spread) - 0.5), xlabel="atom", ylabel="standard deviation of coefficients"
    )
    save(fig, fname)
    return fig, ax


def plot_variance_histogram(
    shl, sparse_code, *, bins=30, color="C0", label=None, fname=None, fig=None, ax=None
):
    """Histogram over atoms of the standard deviation of their coefficients; returns (fig, ax)."""
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    ax.hist(_spread(sparse_code), bins=bins, color=color, label=label)
    ax.set(xlabel="standard deviation of coefficients", ylabel="atoms")
    save(fig, fname)
    return fig, ax


def plot_proba_histogram(
    prob_active, *, bins=30, color="C0", label=None, title=None, fname=None, fig=None, ax=None
):
    """Histogram over atoms of their probability of being selected (n_dictionary,); returns (fig,
    ax).

    The dashed line is the mean, which all atoms would share under equal selection.
    """
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    ax.hist(prob_active, bins=bins, color=color, label=label)
    ax.axvline(np.mean(prob_active), color="k", lw=0.8, ls="--")
    ax.set(xlabel="probability of being selected", ylabel="atoms")
    if title:
        ax.set_title(title)
    save(fig, fname)
    return fig, ax


def plot_coefficients(
    sparse_code, *, n_atoms=5, colors=("C0", "C3"), fname=None, fig=None, ax=None
):
    """Distributions of the coefficients of the least and the most selected atoms; returns (fig,
    ax).

    Survival functions P(|a| >= t) of the selected coefficients of the n_atoms least and most
    selected atoms, among those that are selected at all, of a code (n_samples, n_dictionary), dense
    or CSR.
    """
    check_count(n_atoms, "n_atoms")
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    columns = sparse.csc_array(sparse_code)
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
    code_true, code_found, *, most=5000, color="C0", label=None, fname=None, fig=None, ax=None
):
    """True against recovered coefficients of planted data; returns (fig, ax).

    Both codes are (n_samples, n_dictionary), dense, with atoms in the same order; up to `most`
    pairs are drawn of those where either is not 0.
    """
    fig, ax = get_axes(fig, ax, figsize=(5, 5))
    code_true, code_found = np.asarray(code_true), np.asarray(code_found)
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
