"""Tables of results, as aligned text or Markdown, and how numbers are written."""

import math

import numpy as np

MOST_DECIMALS = 6  # smaller numbers have an exponent


def table(columns, rows, is_markdown=False):
    """The lines of a table: a header, and a line for each row.

    Parameters
    ----------
    columns : list of headers, or dict from header to name or function
        A list goes with rows that are sequences; in a dict, a column shows row[name] or
        function(row).
    rows : iterable
    is_markdown : bool, default=False
        True ends with the empty line that Markdown needs; else columns are aligned.
    """
    if isinstance(columns, dict):
        rows = [
            [show(row) if callable(show) else row[show] for show in columns.values()]
            for row in rows
        ]
    lines = [list(columns), *([show_value(value) for value in row] for row in rows)]
    if is_markdown:
        lines.insert(1, ["---"] * len(lines[0]))
        return [*(f"| {' | '.join(line)} |" for line in lines), ""]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = "  ".join(f"{{:{'>' if i else '<'}{width}}}" for i, width in enumerate(widths))
    return [aligned.format(*line).rstrip() for line in lines]


def show_value(value, digits=4):
    """A value as text: numbers that are not whole to some significant digits, '-' for none."""
    if value is None or (is_real := isinstance(value, (float, np.floating))) and math.isnan(value):
        return "-"
    if not is_real:
        return str(value)
    return f"{value:.0f}" if 10**digits <= abs(value) < math.inf else f"{value:.{digits}g}"


def printable(text):
    """A text without control codes, which a terminal would carry out: they are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def mean_std(values):
    """(mean, standard deviation) over the first axis, as lists or numbers; one value has 0.

    The deviation is that of a sample, with n - 1.
    """
    values = np.asarray(values, float)
    std = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1:])
    return values.mean(axis=0).tolist(), std.tolist()


def show_mean_std(mean, std):
    """'mean +- std': two digits of the deviation, and as many decimals of the mean."""
    if not std or math.isnan(std):
        return show_value(mean)
    decimals = 1 - math.floor(math.log10(std))
    style = f".{max(decimals, 0)}f" if decimals <= MOST_DECIMALS else ".2g"
    return f"{mean:{style}} +- {std:{style}}"


def summary_of(values):
    """'mean +- std' of values."""
    return show_mean_std(*mean_std(values))
