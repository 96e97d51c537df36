"""What a run recorded: named columns, one entry a record."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas


NO_RECORD = (
    "There is no record of this learning: record_each was 0. Learn again with record_each above "
    "0, such as record_each=32."
)


class History(Mapping[str, np.ndarray]):
    """A mapping from name to an array whose first axis is the record.

    'steps' is the learning step of each record.

    Parameters
    ----------
    columns : mapping of names to sequences, default=None
        The records so far.

    Examples
    --------
    >>> history = History()
    >>> history.append(steps=0, error=1.0)
    >>> history.append(steps=32, error=0.5)
    >>> history["error"]
    array([1. , 0.5])
    """

    def __init__(self, columns: Mapping[str, Iterable] | None = None) -> None:
        self._columns = {name: list(column) for name, column in (columns or {}).items()}

    def append(self, **values: object) -> None:
        """Add one record; ValueError unless it has the names of those before."""
        if self._columns and set(values) != set(self._columns):
            raise ValueError(
                f"a record must have the names {sorted(self._columns)}, not {sorted(values)}"
            )
        for name, value in values.items():
            self._columns.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._columns:
            raise KeyError(
                f"{name!r} was not recorded. There is {', '.join(self._columns) or 'no record'}."
            )
        return np.asarray(self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        n_records = len(self["steps"]) if self._columns else 0
        return f"History({n_records} records of {', '.join(self._columns)})"

    def last_step(self) -> int | None:
        """The step of the last record, None without any."""
        return self["steps"][-1] if self._columns and self._columns["steps"] else None

    def last(self) -> dict[str, int | float]:
        """The scalars of the last record: {name: number}."""
        return {
            name: column[-1].item()
            for name in self
            if (column := self[name]).ndim == 1 and len(column)
        }

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame of the scalar columns, indexed by step (needs pandas).

        Raises
        ------
        ValueError
            If nothing was recorded.
        """
        import pandas as pd

        if not len(self):
            raise ValueError(NO_RECORD)
        scalars = {name: self[name] for name in self if self[name].ndim == 1}
        return pd.DataFrame(scalars).set_index("steps")


__all__ = ["History"]
