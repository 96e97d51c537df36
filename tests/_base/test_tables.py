import numpy as np
import pytest

from shl._base.tables import mean_std, show_mean_std, show_value, summary_of, table


def test_columns_of_text_are_aligned():
    rows = [{"a": "x", "b": 1.0}, {"a": "long name", "b": 22.25}]
    columns = {"name": "a", "value": "b", "twice": lambda row: 2 * row["b"]}
    assert table(columns, rows) == [
        "name       value  twice",
        "x              1      2",
        "long name  22.25   44.5",
    ]


def test_a_table_in_markdown():
    assert table(["a", "b"], [[1, 0.123456], ["x", np.nan]], is_markdown=True) == [
        "| a | b |",
        "| --- | --- |",
        "| 1 | 0.1235 |",
        "| x | - |",
        "",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (True, "True"),
        (None, "-"),
        (float("nan"), "-"),
        (np.float32(0.5), "0.5"),
        (0.000123456, "0.0001235"),
        (3e-8, "3e-08"),
        (18048.4, "18048"),
        (float("inf"), "inf"),
        ("a", "a"),
    ],
)
def test_values_as_text(value, text):
    assert show_value(value) == text


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (0.56424, 0.00213, "0.5642 +- 0.0021"),
        (0.84, 0.0063, "0.8400 +- 0.0063"),
        (400.3, 123.4, "400 +- 123"),
        (3.14e-8, 1.2e-9, "3.1e-08 +- 1.2e-09"),
        (0.25, 0.0, "0.25"),
        (None, None, "-"),
        (float("nan"), float("nan"), "-"),
    ],
)
def test_a_mean_has_the_decimals_of_its_deviation(mean, std, text):
    assert show_mean_std(mean, std) == text


def test_the_deviation_is_that_of_a_sample():
    assert mean_std([1, 3]) == (2, pytest.approx(2**0.5))
    assert mean_std([[1, 2], [3, 6]]) == ([2, 4], pytest.approx([2**0.5, 8**0.5]))
    assert mean_std([5]) == (5, 0)
    assert summary_of([1.0, 3.0]) == "2.0 +- 1.4"
