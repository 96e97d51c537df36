"""Records of a learning over its steps."""

import numpy as np

from .._checks import check_choice
from .figures import get_axes, new_figure, save

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
    shl,
    dico,
    variable="F",
    unit=None,
    *,
    color=None,
    alpha=1.0,
    label=None,
    N_nosample=0,
    fname=None,
    fig=None,
    ax=None,
):
    """A recorded variable over the learning steps; returns (fig, ax).

    Parameters
    ----------
    shl : an `SHL` experiment, or None.
    dico : a fitted `SparseHebbianLearning`, or its record (a mapping with 'steps').
    variable : F, error, F_own, error_own, qerror, perror, KL, KS, logL, MI, MC, entropy, kurt, var,
        prob_active or cputime.
        One with a number per atom is drawn as the median over atoms in the band between the 10th
        and 90th percentile.
    unit : str, optional, written behind the label of the axis.
    N_nosample : int, records to leave out at the start.
    """
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
    ax.set(xlabel="learning step", ylabel=LABELS[variable] + (f" ({unit})" if unit else ""))
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


def plot_error(shl, dico, **options):
    """The reconstruction error on held-out patches over the learning steps; returns (fig, ax)."""
    return time_plot(shl, dico, "error", **options)


def plot_learning(dico, fname=None):
    """F, error, usage entropy and quantization error over the steps, plain and under the rule's own
    competition.
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
    values,
    results,
    variable,
    display_variable="F",
    *,
    color=None,
    label=None,
    fname=None,
    fig=None,
    ax=None,
):
    """A result of each experiment against the value of a scanned variable; returns (fig, ax).

    Numbers that span more than a factor of 4 get a logarithmic axis, names a place each.
    """
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    is_number = all(
        isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        for value in values
    )
    places = values if is_number else [str(value) for value in values]
    ax.plot(places, results, "o-", color=color, label=label)
    if is_number and len(values) and min(values) > 0 and max(values) > 4 * min(values):
        use_log_axis(ax)
    ax.set(xlabel=variable, ylabel=LABELS.get(display_variable, display_variable))
    save(fig, fname)
    return fig, ax


def use_log_axis(ax):
    """A logarithmic x axis with numbers at 1, 2 and 5, also where it spans little more than a
    decade.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
