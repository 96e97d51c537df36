"""Records of a run over its steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._base.checks import as_array, check_choice
from .._base.tables import show_value
from ..learning.history import NO_RECORD
from .figures import drawing, new_figure, save, set_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..estimators.dictionary import SparseHebbianLearning
    from ..estimators.sizes import Selection

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


@drawing()
def time_plot(
    ax: "Axes",
    dico: "SparseHebbianLearning | Mapping[str, np.ndarray]",
    variable: str = "F",
    unit: str | None = None,
    *,
    ylabel: str | None = None,
    N_nosample: int = 0,
    **style: Any,
) -> None:
    """Draw a recorded variable over the learning steps.

    A variable with a number per atom is drawn as the median over atoms, in the band between the
    10th and 90th percentiles.

    Parameters
    ----------
    dico : SparseHebbianLearning, or mapping of names to arrays
        Fitted model, or its record.
    variable : str, default='F'
        One of LABELS, or 'prob' for 'prob_active'.
    unit : str, default=None
        Unit, written behind the label of the y axis.
    ylabel : str, default=None
        Label of the y axis.  If None, that of the variable in LABELS.
    N_nosample : int, default=0
        Number of records to leave out at the start.

    Raises
    ------
    ValueError
        If the variable is none of LABELS, or there is no record.
    """
    variable = "prob_active" if variable == "prob" else variable
    check_choice(variable, "variable", LABELS)
    record = getattr(dico, "record_", dico)
    if not len(record):
        raise ValueError(NO_RECORD)
    steps, values = record["steps"][N_nosample:], record[variable][N_nosample:]
    if values.ndim == 1:
        ax.plot(steps, values, **style)
    else:
        with np.errstate(invalid="ignore"):
            low, middle, high = _percentiles(values)
        (line,) = ax.plot(steps, middle, **style)
        alpha = 0.2 * (line.get_alpha() or 1)
        ax.fill_between(steps, low, high, color=line.get_color(), alpha=alpha, lw=0)
    unit = f" ({unit})" if unit else ""
    names = [ylabel] if ylabel else _names_of(variable)
    set_label(ax.xaxis, "learning step", "step")
    set_label(ax.yaxis, *(f"{name}{unit}" for name in names))


def _names_of(variable):
    """What an axis calls a variable, from the longest to the shortest."""
    return [LABELS[variable], variable] if variable in LABELS else [variable]


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


@drawing()
def plot_error(
    ax: "Axes",
    dico: "SparseHebbianLearning | Mapping[str, np.ndarray]",
    unit: str | None = None,
    *,
    ylabel: str | None = None,
    N_nosample: int = 0,
    **style: Any,
) -> None:
    """Draw the reconstruction error on held-out patches over the learning steps.

    Parameters
    ----------
    dico : SparseHebbianLearning, or mapping of names to arrays
        Fitted model, or its record.
    unit : str, default=None
        Unit, written behind the label of the y axis.
    ylabel : str, default=None
        Label of the y axis.  If None, that of the error in LABELS.
    N_nosample : int, default=0
        Number of records to leave out at the start.
    """
    time_plot(dico, "error", unit, ylabel=ylabel, N_nosample=N_nosample, ax=ax, **style)


def plot_learning(
    dico: "SparseHebbianLearning", fname: str | Path | None = None
) -> "tuple[Figure, np.ndarray]":
    """Draw F, error, usage entropy and quantization error of a fitted model over the steps.

    F and error are drawn under plain pursuit and under the rule's own competition.  Returns
    (fig, axs).
    """
    fig = new_figure((9, 6), dico, layout="constrained")
    axs = fig.subplots(2, 2)
    for ax, name in zip(axs.flat, ("F", "error", "entropy", "qerror"), strict=True):
        ylabel, is_rules = LABELS[name].split(",")[0], f"{name}_own" in LABELS
        time_plot(dico, name, label="plain pursuit" if is_rules else None, ylabel=ylabel, ax=ax)
        if is_rules:
            label = "the rule's own competition"
            time_plot(dico, f"{name}_own", linestyle="--", label=label, ylabel=ylabel, ax=ax)
    save(fig, fname)
    return fig, axs


@drawing()
def plot_scan(
    ax: "Axes",
    values: Sequence,
    results: ArrayLike,
    variable: str,
    display_variable: str = "F",
    *,
    ylabel: str | None = None,
    **style: Any,
) -> None:
    """Draw a result of each experiment against the value of a scanned variable.

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
    ylabel : str, default=None
        Label of the y axis.  If None, that of the result in LABELS.
    """
    if all(map(_is_number, values)):
        ax.plot(values, results, **{"marker": "o", **style})
        if len(values) and min(values) > 0 and max(values) > 4 * min(values):
            use_log_axis(ax)
    else:
        names = [str(value) for value in values]
        ax.plot(names, results, **{"marker": "o", **style})
        if sum(map(len, names)) > 2 * ax.xaxis.get_tick_space():  # which has room for 3 digits each
            ax.tick_params(axis="x", rotation=90)
    set_label(ax.xaxis, variable)
    set_label(ax.yaxis, *([ylabel] if ylabel else _names_of(display_variable)))


@drawing(x=("atoms",), y=("length of the description, nats", "length, nats"))
def plot_selection(ax: "Axes", selection: "Selection", **style: Any) -> None:
    """Draw the length of a description against the number of atoms, with the minimum.

    Parameters
    ----------
    selection : Selection
        What `shl.select` returns.
    """
    curve = selection.curve
    ax.plot(curve["n_dictionary"], curve["length"], **{"marker": "o", **style})
    if selection.has_minimum:
        ax.axvline(selection.n_dictionary, color="0.5", linestyle=":")


def _is_number(value):
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def use_log_axis(ax: "Axes") -> None:
    """Make the x axis logarithmic, with numbers at 1, 2 and 5 or, where few fit, at 1 alone."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_xscale("log")
    low, high = np.log10(ax.get_xlim())
    is_wide = 3 * (high - low) + 1 <= ax.xaxis.get_tick_space()
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_wide or high - low < 1 else (1,)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())


@drawing((6, 5))
def plot_grid(
    ax: "Axes", values: Mapping[str, Sequence], results: ArrayLike, display_variable: str = "F"
) -> None:
    """Draw a result of a grid of experiments as a heat map, with its numbers.

    Parameters
    ----------
    values : mapping of two names to sequences
        The values of both variables.  Those of the first are the columns.
    results : array of shape (n_first, n_second)
        Result of each experiment, NaN if it failed.
    display_variable : str, default='F'
        Name of the result, one of LABELS or any other.
    """
    is_pair = isinstance(values, Mapping) and len(values) == 2
    if not is_pair or not all(map(np.ndim, values.values())):
        raise TypeError(f"values must map two names to their values, not {values!r}")
    (x_name, x), (y_name, y) = values.items()
    results = as_array(results, "results")
    if results.shape != (len(x), len(y)) or not results.size:
        raise ValueError(
            f"results must have shape ({len(x)}, {len(y)}), as many as values of {x_name} and "
            f"{y_name}, and not be empty. Its shape is {results.shape}"
        )
    results = np.ma.masked_invalid(results.astype(float)).T
    image = ax.imshow(results, aspect="auto", origin="lower")
    for axis, name, ticks in ((ax.xaxis, x_name, x), (ax.yaxis, y_name, y)):
        axis.set_ticks(range(len(ticks)), [show_value(value, 3) for value in ticks])
        set_label(axis, name)
    cell = ax.get_window_extent().width / len(x) / ax.figure.dpi  # its width in inches
    if cell < 0.4:
        set_label(ax.figure.colorbar(image, ax=ax).ax.yaxis, *_names_of(display_variable))
        return
    ax.set_title(display_variable)
    middle = (results.max() + results.min()) / 2
    for row, column in np.ndindex(results.shape):
        value = results[row, column]
        color = "black" if value is np.ma.masked or value > middle else "white"
        text = "failed" if value is np.ma.masked else f"{value:#.3g}"
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize="small")


__all__ = [
    "LABELS",
    "plot_error",
    "plot_grid",
    "plot_learning",
    "plot_scan",
    "plot_selection",
    "time_plot",
]
