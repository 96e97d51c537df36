"""Tables of a report, in Markdown: means over learnings, and claims answered by paired tests; and
its pictures.
"""

from pathlib import Path

import numpy as np
from scipy import stats

from .._base.tables import summary_of, table
from ..plotting.figures import save_both

SIGNIFICANCE = 0.05  # of a test
FEWEST_PAIRS = 3  # that are tested
ROUNDING = 1e-9  # differences that vary by less, relative to the values, do not vary


def markdown(columns, rows):
    """The lines of a table in Markdown."""
    return table(columns, rows, is_markdown=True)


def picture(fig, out, name, text):
    """The Markdown of a figure, which is written into a folder as PNG and as PDF."""
    return f"![{text}]({Path(save_both(fig, out / name)).name})"


def means_table(labels, names, found):
    """The lines of a table with a row for each key of found, a label or a tuple of labels: the mean
    and the standard deviation of each name in its dict of name to values.
    """
    rows = [
        [*(key if isinstance(key, tuple) else (key,)), *(summary_of(each[name]) for name in names)]
        for key, each in found.items()
    ]
    return markdown([*labels, *names], rows)


def claims_of(found, names, pairs):
    """Claims for `claims_table`: each name of found[first] is below that of found[second]."""
    return [
        (name, low, high, found[low][name], found[high][name])
        for name in names
        for low, high in pairs
    ]


def claims_table(claims, measure="measure"):
    """The lines of a table of `comparisons`."""
    return markdown((measure, "first", "second", "difference", "p", "claim"), comparisons(claims))


def comparisons(pairs):
    """Rows (label, first, second, difference, p, claim) for claims that the first is below the
    second.

    A paired t-test for each claim; p is adjusted for the number of claims (Benjamini & Hochberg
    1995).  A claim holds where the mean of the first is below with p < SIGNIFICANCE, does not hold
    where it is above with p < SIGNIFICANCE, and is open else, also where there are fewer than
    FEWEST_PAIRS.

    Parameters
    ----------
    pairs : list of (label, first, second, values of the first, values of the second), paired by
        their seed.
    """
    tests = [_test(np.asarray(low, float), np.asarray(high, float)) for *_, low, high in pairs]
    p_values = np.array([p for _, p in tests])
    tested = ~np.isnan(p_values)
    if tested.any():
        p_values[tested] = stats.false_discovery_control(p_values[tested])
    return [
        [*pair[:3], difference, p, _verdict(difference, p)]
        for pair, (difference, _), p in zip(pairs, tests, p_values, strict=True)
    ]


def _test(low, high):
    """(mean difference, p), p NaN where there is nothing to test."""
    difference = low - high
    if len(low) < FEWEST_PAIRS or np.ptp(difference) <= ROUNDING * np.abs(low).max():
        return difference.mean(), np.nan
    return difference.mean(), stats.ttest_rel(low, high).pvalue


def _verdict(difference, p):
    if not p < SIGNIFICANCE:
        return "open"
    return "holds" if difference < 0 else "does not hold"
