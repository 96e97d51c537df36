"""How atoms are used and how their coefficients are distributed."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from .._base.checks import as_array, check_array, check_code, check_count, check_magnitude
from ..coding.competition import check_P_cum
from .atoms import activity
from .figures import drawing, set_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..estimators.dictionary import SparseHebbianLearning

ATOMS = ("atoms",)
SELECTED = ("probability of being selected", "probability")
VARIANCE = ("variance of coefficients, relative to the mean", "relative variance", "variance")


@drawing()
def plot_P_cum(
    ax: "Axes",
    P_cum: "ArrayLike | SparseHebbianLearning",
    *,
    ymin: float | None = None,
    ymax: float = 1.001,
    suptitle: str | None = None,
    ylabel: str | None = None,
    n_yticks: int = 21,
    alpha: float = 0.05,
    c: str = "g",
    color: str | None = None,
    label: str | None = None,
) -> None:
    """Draw the distribution of each atom's coefficients, a line each, and their mean.

    Parameters
    ----------
    P_cum : array of shape (n_dictionary, nb_quant), or SparseHebbianLearning
        Non-decreasing rows in [0, 1], or a fitted model that has them.
    ymin : float, default=None
        Lower limit.  If None, 0.95, or a little below the lowest atom's step at 0 if that is lower.
    ymax : float, default=1.001
        Upper limit.
    suptitle : str, default=None
        Title of the figure.
    ylabel : str, default=None
        Label of the y axis.  If None, 'cumulative probability', or shorter if that does not fit.
    n_yticks : int, default=21
        Number of ticks between 0 and 1, of which the limits show some.  Fewer if they overlap.
    alpha : float, default=0.05
        Opacity of an atom's line.
    c : str, default='g'
        Colour of all lines.
    color : str, default=None
        Colour of all lines.  If None, `c`.
    label : str, default=None
        Label of the mean in the legend.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    table = check_P_cum(getattr(P_cum, "P_cum_", P_cum), "P_cum")
    ymin = min(0.95, table[:, 1].min() - 0.02) if ymin is None else ymin
    ratio = np.arange(table.shape[1]) / table.shape[1]
    color = color or c
    lines = [np.column_stack((ratio, row)) for row in table]
    ax.add_collection(LineCollection(lines, colors=color, alpha=alpha))
    ax.plot(ratio, table.mean(axis=0), color=color, lw=1.5, label=label)
    ax.set(xlim=(0, 1), ylim=(ymin, ymax))
    set_label(ax.xaxis, r"rescaled coefficient $1 - e^{-a/C}$", "$1 - e^{-a/C}$")
    set_label(ax.yaxis, *([ylabel] if ylabel else ["cumulative probability", "probability"]))
    ticks = np.linspace(0, 1, check_count(n_yticks, "n_yticks"))
    ticks, most = ticks[(ymin <= ticks) & (ticks <= ymax)], ax.yaxis.get_tick_space()
    if 2 <= len(ticks) <= most:
        ax.yaxis.set_ticks(ticks)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(max(1, min(n_yticks, most))))
    if suptitle:
        ax.figure.suptitle(suptitle)


def _usage_of(value):
    """Activation probabilities, given as such or by a fitted model."""
    if hasattr(value, "transform"):
        value = activity(value)
    return check_array(value, "prob_active", ndim=1)


@drawing(x=("atom, by rank", "rank"), y=SELECTED)
def plot_usage(ax: "Axes", prob_active: "ArrayLike | SparseHebbianLearning", **style: Any) -> None:
    """Draw the activation probabilities of atoms, from the most to the least used.

    The dashed line is their mean.

    Parameters
    ----------
    prob_active : array of shape (n_dictionary,), or SparseHebbianLearning
        Activation probabilities, or a fitted model that has them (see `activity`).
    """
    ranked = np.sort(_usage_of(prob_active))[::-1]
    (line,) = ax.plot(ranked, **style)
    ax.axhline(ranked.mean(), color=line.get_color(), lw=0.8, ls="--")
    ax.set(xlim=(0, max(1, len(ranked) - 1)), ylim=(0, None))


def _variances(sparse_code):
    """Variance of each atom's coefficients around 0, relative to the mean over atoms."""
    variance = np.asarray((_check_code(sparse_code) ** 2).mean(axis=0)).ravel()
    return variance / (variance.mean() or 1)


def _check_code(sparse_code):
    """A code, dense or CSR, whose squares are finite and whose indices have been looked at."""
    code = check_code(sparse_code, "sparse_code")
    values = code.ravel() if isinstance(code, np.ndarray) else code.data
    if values.size:
        most = float(np.finfo(values.dtype).max) ** 0.5 / values.size
        check_magnitude(values, "sparse_code", most)
    return code


@drawing(x=("atom",), y=VARIANCE)
def plot_variance(ax: "Axes", sparse_code: "np.ndarray | sparse.sparray", **style: Any) -> None:
    """Draw the variance of each atom's coefficients around 0, relative to the mean over atoms.

    Parameters
    ----------
    sparse_code : array or CSR array of shape (n_samples, n_dictionary)
    """
    variance = _variances(sparse_code)
    ax.bar(np.arange(len(variance)), variance, width=1, **style)
    ax.set_xlim(-0.5, len(variance) - 0.5)


@drawing(x=VARIANCE, y=ATOMS)
def plot_variance_histogram(
    ax: "Axes", sparse_code: "np.ndarray | sparse.sparray", *, bins: int = 30, **style: Any
) -> None:
    """Draw the histogram over atoms of the relative variance of their coefficients.

    The variance is that around 0, relative to its mean over atoms.

    Parameters
    ----------
    sparse_code : array or CSR array of shape (n_samples, n_dictionary)
    bins : int, default=30
    """
    ax.hist(_variances(sparse_code), bins=bins, **style)


@drawing(x=SELECTED, y=ATOMS)
def plot_proba_histogram(
    ax: "Axes", prob_active: "ArrayLike | SparseHebbianLearning", *, bins: int = 30, **style: Any
) -> None:
    """Draw the histogram over atoms of their probability of being selected.

    The dashed line is the mean, which all atoms would share under equal selection.

    Parameters
    ----------
    prob_active : array of shape (n_dictionary,), or SparseHebbianLearning
        Activation probabilities, or a fitted model that has them (see `activity`).
    bins : int, default=30
    """
    usage = _usage_of(prob_active)
    ax.hist(usage, bins=bins, **style)
    ax.axvline(float(usage.mean()), color="k", lw=0.8, ls="--")


@drawing(x=("coefficient a", "a"), y=("P(|a| >= value) where selected", "P(|a| >= value)"))
def plot_coefficients(
    ax: "Axes",
    sparse_code: "np.ndarray | sparse.sparray",
    *,
    n_atoms: int = 5,
    colors: tuple[str, str] = ("C0", "C3"),
) -> None:
    """Draw the distributions of the coefficients of the least and the most selected atoms.

    Survival functions P(|a| >= t) of the selected coefficients.

    Parameters
    ----------
    sparse_code : array or CSR array of shape (n_samples, n_dictionary)
    n_atoms : int, default=5
        Atoms at either end, among those that are selected at all.
    colors : (str, str), default=('C0', 'C3')
        Of the least and of the most selected.
    """
    check_count(n_atoms, "n_atoms")
    columns = sparse.csc_array(_check_code(sparse_code))
    columns.eliminate_zeros()
    counts = np.diff(columns.indptr)
    order = np.argsort(counts, kind="stable")[(counts == 0).sum() :]
    ends = {"least": order[:n_atoms], "most": order[-n_atoms:]}
    for color, (name, picked) in zip(colors, ends.items(), strict=True):
        for index, atom in enumerate(picked):
            values = np.sort(np.abs(columns.data[columns.indptr[atom] : columns.indptr[atom + 1]]))
            survival = 1 - np.arange(len(values)) / len(values)
            label = None if index else f"the {len(picked)} {name} selected"
            ax.plot(values, survival, color=color, alpha=0.6, label=label)
    ax.set_yscale("log")


@drawing((5, 5), x=("true coefficient", "true"), y=("recovered coefficient", "recovered"))
def plot_recovery(
    ax: "Axes", code_true: ArrayLike, code_found: ArrayLike, *, most: int = 5000, **style: Any
) -> None:
    """Draw true against recovered coefficients of planted data.

    Parameters
    ----------
    code_true, code_found : array of shape (n_samples, n_dictionary)
        Dense, with atoms in the same order.
    most : int, default=5000
        Pairs that are drawn at most, of those where either is not 0.
    """
    code_true = as_array(code_true, "code_true")  # of no atom, where none was recovered
    code_found = as_array(code_found, "code_found")
    if code_true.ndim != 2 or code_true.shape != code_found.shape:
        raise ValueError(
            f"code_true and code_found must have one shape (n_samples, n_dictionary), not "
            f"{code_true.shape} and {code_found.shape}"
        )
    most = check_count(most, "most")
    active = np.flatnonzero((code_true != 0) | (code_found != 0))
    shown = active[:: -(-len(active) // most)] if len(active) else active
    pairs = code_true.flat[shown], code_found.flat[shown]
    ax.plot(*pairs, **{"marker": ".", "ms": 2, "linestyle": "", "alpha": 0.4, **style})
    ax.axline((0, 0), slope=1, color="0.7", lw=0.8)


__all__ = [
    "plot_P_cum",
    "plot_coefficients",
    "plot_proba_histogram",
    "plot_recovery",
    "plot_usage",
    "plot_variance",
    "plot_variance_histogram",
]
