"""Records of a run over its steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .._base.checks import check_choice
from .figures import get_axes, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..estimators.dictionary import SparseHebbianLearning

LABELS = {
    "F": "F = error + 0.0005 qerror, plain pursuit",
    "error": "error, plain pursuit",
    "F_own": "F, the rule's own competition",
    "error_own": "error, the rule's own competition",
    "qerror": "quantization error (qerror)",
    "perror": "share of events off equal usage",
    "KL": "divergence of usage from equal (nats)",
    "KS": "distance of distributions from their mean",
    "logL": "log-likelihood of equal usage",
    "MI": "mutual information",
    "MC": "mutual coherence",
    "entropy": "relative entropy of usage",
    "kurt": "excess kurtosis of coefficients",
    "var": "variance of coefficients",
    "prob_active": "probability of being selected",
    "cputime": "CPU time",
}


def time_plot(
    shl: object,
    dico: "SparseHebbianLearning | Mapping[str, np.ndarray]",
    variable: str = "F",
    unit: str | None = None,
    *,
    color: str | None = None,
    alpha: float = 1.0,
    label: str | None = None,
    ylabel: str | None = None,
    N_nosample: int = 0,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """A recorded variable over the learning steps.

    One with a number per atom is drawn as the median over atoms in the band between the 10th and
    90th percentile.

    Parameters
    ----------
    shl : SHL or None
        Not used.
    dico : SparseHebbianLearning, or mapping of names to arrays
        A fitted model, or its record.
    variable : str, default='F'
        One of LABELS, or 'prob' for 'prob_active'.
    unit : str, default=None
        Written behind the label of the axis.
    color : str, default=None
        As in matplotlib.
    alpha : float, default=1.0
        Opacity of the line.
    label : str, default=None
        As in matplotlib.
    ylabel : str, default=None
        Of the axis; None is the variable's line in LABELS.
    N_nosample : int, default=0
        Records to leave out at the start.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes

    Raises
    ------
    ValueError
        If the variable is none of LABELS, or there is no record.
    """
    variable = "prob_active" if variable == "prob" else variable
    check_choice(variable, "variable", LABELS)
    record = getattr(dico, "record_", dico)
    if not len(record):
        raise ValueError("the model has no record: record_each must be above 0")
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    steps, values = record["steps"][N_nosample:], record[variable][N_nosample:]
    if values.ndim == 1:
        ax.plot(steps, values, color=color, alpha=alpha, label=label)
    else:
        with np.errstate(invalid="ignore"):
            low, middle, high = _percentiles(values)
        (line,) = ax.plot(steps, middle, color=color, alpha=alpha, label=label)
        ax.fill_between(steps, low, high, color=line.get_color(), alpha=0.2 * alpha, lw=0)
    name = ylabel or LABELS[variable]
    ax.set(xlabel="learning step", ylabel=f"{name} ({unit})" if unit else name)
    save(fig, fname)
    return fig, ax


def _percentiles(values):
    """The 10th, 50th and 90th percentile over atoms of each record, those that are NaN left out."""
    return np.array(
        [
            np.percentile(kept, (10, 50, 90))
            if (kept := row[np.isfinite(row)]).size
            else [np.nan] * 3
            for row in values
        ]
    ).T


def plot_error(
    shl: object, dico: "SparseHebbianLearning", **options: object
) -> "tuple[Figure, Axes]":
    """The reconstruction error on held-out patches over the learning steps, as `time_plot`."""
    return time_plot(shl, dico, "error", **options)


def plot_learning(
    dico: "SparseHebbianLearning", fname: str | Path | None = None
) -> "tuple[Figure, np.ndarray]":
    """F, error, usage entropy and quantization error of a fitted model over the steps.

    F and error under plain pursuit and under the rule's own competition; returns (fig, axs).
    """
    fig = new_figure(figsize=(9, 6), layout="constrained")
    axs = fig.subplots(2, 2)
    for ax, variables in zip(
        axs.flat, (("F", "F_own"), ("error", "error_own"), ("entropy",), ("qerror",)), strict=True
    ):
        for variable, style in zip(variables, ("-", "--"), strict=False):
            record = dico.record_
            label = LABELS[variable].split(", ")[-1] if len(variables) > 1 else None
            ax.plot(record["steps"], record[variable], style, label=label)
        ax.set(xlabel="learning step", ylabel=LABELS[variables[0]].split(",")[0])
        if len(variables) > 1:
            ax.legend()
    save(fig, fname)
    return fig, axs


def plot_scan(
    values: Sequence,
    results: ArrayLike,
    variable: str,
    display_variable: str = "F",
    *,
    color: str | None = None,
    alpha: float = 1.0,
    label: str | None = None,
    ylabel: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """A result of each experiment against the value of a scanned variable.

    Numbers that span more than a factor of 4 get a logarithmic axis, names a place each.

    Parameters
    ----------
    values : sequence of numbers or names
        Of the variable, one for each experiment.
    results : array of shape (n_experiments,)
    variable : str
        Name of the variable.
    display_variable : str, default='F'
        Name of the result, one of LABELS or any other.
    color : str, default=None
        As in matplotlib.
    alpha : float, default=1.0
        Opacity of the line.
    label : str, default=None
        As in matplotlib.
    ylabel : str, default=None
        Of the axis; None is that of the result in LABELS.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    is_number = all(
        isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        for value in values
    )
    places = values if is_number else [str(value) for value in values]
    ax.plot(places, results, "o-", color=color, alpha=alpha, label=label)
    if is_number and len(values) and min(values) > 0 and max(values) > 4 * min(values):
        use_log_axis(ax)
    ax.set(xlabel=variable, ylabel=ylabel or LABELS.get(display_variable, display_variable))
    save(fig, fname)
    return fig, ax


def use_log_axis(ax: "Axes") -> None:
    """A logarithmic x axis with numbers at 1, 2 and 5, also over little more than a decade."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
