"""Tables of a report, as lines of Markdown."""

import numpy as np
from scipy import stats

LEAST_P = 0.05  # of a paired test, for a difference that counts


def table(header, rows):
    """A Markdown table; numbers are written to four digits."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(_cell(value) for value in row) + " |" for row in rows), ""]


def _cell(value):
    if isinstance(value, (float, np.floating)):
        return "-" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def mean_std(values):
    """'mean +- std' over learnings."""
    values = np.asarray(values, float)
    spread = f" +- {values.std(ddof=1):.4f}" if len(values) > 1 else ""
    return f"{values.mean():.4f}{spread}"


def compare(low, high):
    """(mean difference, p, verdict) of the claim low < high, for values that are paired by their seed.

    A paired t-test; the claim holds where the mean of low is below and p < LEAST_P, is open where p is larger, and is
    contradicted where low is above with p < LEAST_P.
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    difference = (low - high).mean()
    spread = (low - high).std()
    p = stats.ttest_rel(low, high).pvalue if len(low) > 1 and spread > 0 else np.nan
    if not p < LEAST_P:
        return difference, p, "open"
    return difference, p, "holds" if difference < 0 else "does not hold"
