"""What is in a folder of results: a row for each entry, by the entries' own heads.

An index beside the entries saves reading each head again.  It is made anew from the heads whenever
a file has another size or time than it says, and nothing else ever depends on it.
"""

import contextlib
import copy
import fnmatch
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import ENTRY, json_text, read_info, write_bytes

if TYPE_CHECKING:
    import pandas

INDEX = ".index.json"
# What the head of an entry says.
HEAD: dict[str, Any] = {"steps": None, "F": None, "parameters": {}, "metrics": {}, "changed": []}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # of an age
SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}  # of a size in bytes


def describe(folder: Path, files: Sequence[tuple]) -> list[dict]:
    """A row for each of the (path, status, age in seconds) that is an entry.

    A row has entry, tag, kind, steps, F, bytes, age, path, parameters, metrics and changed: the
    names of the parameters that differ from their defaults.  `damage` says why a head cannot be
    read.
    """
    known, rows = _read_index(folder), []
    fresh = {}
    for path, status, age in files:
        name = ENTRY.fullmatch(path.name)
        if not name or name[2] != "npz" or name[3]:
            continue
        stamp, found = [status.st_mtime_ns, status.st_size], known.get(path.name)
        fresh[path.name] = found if found and found[0] == stamp else [stamp, _head_of(path, status)]
        kind, _, key = name[1].rpartition("-")
        about = {"entry": key, "tag": path.name[: -len(f"-{name[1]}.npz")], "kind": kind}
        size = {"bytes": status.st_size, "age": age, "path": str(path)}
        rows.append({**about, **fresh[path.name][1], **size})
    if fresh != known:
        with contextlib.suppress(OSError):  # the folder may be read only
            write_bytes(folder / INDEX, json.dumps(fresh).encode())
    return rows


def _read_index(folder):
    """{name: [[time, size], head]}, empty if there is no index that can be used."""
    try:
        found = json.loads((folder / INDEX).read_bytes())
        return {name: [s, head] for name, (s, head) in found.items() if {*head} >= {*HEAD}}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _head_of(path, status):
    """What the head of an entry says: HEAD, or also why it cannot be read."""
    try:
        info = read_info(path)
        with contextlib.suppress(OSError):  # to look at a head is no use of the entry
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    except (ValueError, OSError) as error:
        return copy.deepcopy(HEAD) | {"damage": str(error)}
    dicts = {name: part for name, part in info.items() if isinstance(part, dict)}
    metrics, changed = dicts.get("metrics", {}), info.get("changed")
    parameters: dict[str, Any] = {}
    for name in ("experiment", "parameters", "run"):
        parameters |= dicts.get(name, {})
    head = {"steps": dicts.get("state", {}).get("step"), "F": metrics.get("F")}
    head |= {"parameters": parameters, "metrics": metrics}
    head["changed"] = changed if isinstance(changed, list) else [*parameters]
    return json.loads(json_text(head))


def frame_of(rows: list[dict]) -> "pandas.DataFrame":
    """A data frame of rows as of `describe`, with a column for each parameter; needs pandas."""
    import pandas as pd

    return pd.DataFrame([{**row.pop("parameters"), **row.pop("metrics"), **row} for row in rows])


def names_changed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """The names of the values that differ from their defaults; those without a default not."""
    values, defaults = (
        {name: list(value) if isinstance(value, tuple) else value for name, value in part.items()}
        for part in (values, defaults)
    )
    return [name for name in values if name in defaults and values[name] != defaults[name]]


def select(
    rows: list[dict],
    tag: str | None = None,
    where: Sequence[str] = (),
    older: str | float | None = None,
    kind: str | None = None,
) -> list[dict]:
    """The rows that pass all filters.

    Parameters
    ----------
    rows : list of dict
        As `describe` gives them.
    tag, kind : str, default=None
        Patterns with * and ?.
    where : sequence of str, default=()
        Conditions such as "eta=0.16", on parameters or metrics.
    older : str or float, default=None
        An age such as "30d" or "12h", or seconds.
    """
    conditions = [_parse_condition(text) for text in where]
    least = -1.0 if older is None else parse(older, "older", UNITS, "s")
    return [
        row
        for row in rows
        if row["age"] >= least
        and (tag is None or fnmatch.fnmatchcase(row["tag"], tag))
        and (kind is None or fnmatch.fnmatchcase(row["kind"], kind))
        and all(_holds(row, name, value) for name, value in conditions)
    ]


def parse(value: str | float, name: str, units: dict, default: str = "") -> float:
    """A number with a unit, such as "30d" or "2GB"."""
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([a-z]?)b?\s*", str(value).lower())
    unit = found and (found[2] or default)
    if not found or unit not in units or found[1].count(".") > 1:
        known = ", ".join(filter(None, units))
        raise ValueError(f"{name} must be a number with a unit ({known}), not {value!r}")
    return float(found[1]) * units[unit]


def _parse_condition(text):
    """(name, value) of "name=value", where the value is JSON or a text."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ValueError(f"where must be conditions such as eta=0.16, not {text!r}")
    try:
        return name, json.loads(value.replace("True", "true").replace("False", "false"))
    except ValueError:
        return name, None if value == "None" else value


def _holds(row, name, wanted):
    """Whether a parameter or metric of a row has a value."""
    values = {**row["metrics"], **row["parameters"], "steps": row["steps"]}
    found = values.get(name, KeyError)
    if isinstance(found, (int, float)) and isinstance(wanted, (int, float)):
        is_flag = isinstance(found, bool) or isinstance(wanted, bool)
        return found is wanted if is_flag else math.isclose(found, wanted)
    return found == wanted
