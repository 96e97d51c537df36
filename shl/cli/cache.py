"""The command `shl cache`: what is in the folder of results."""

import argparse
from dataclasses import fields
from pathlib import Path

from .._base.checks import check_number
from .._base.tables import show_value, table
from ..store.entries import open_store
from ..store.files import read_info, write_bytes
from ..store.index import select
from . import flags

COLUMNS = ("entry", "tag", "kind", "steps", "F", "MB", "days", "what differs from the defaults")
SHOWN = 8  # digits of a key


def _add_flags(parser):
    parser.add_argument("action", choices=tuple(ACTIONS), help="what to do with the entries")
    text = "only these: beginnings of keys or names of files; FILE.csv or FILE.parquet to export to"
    parser.add_argument("names", nargs="*", metavar="ENTRY", help=text)
    parser.add_argument("--tag", metavar="PATTERN", help="only entries whose tag is like this")
    parser.add_argument("--kind", metavar="PATTERN", help="only entries of such a kind")
    text = "only entries with this parameter or metric, such as eta=0.16"
    parser.add_argument("--where", action="append", default=[], metavar="NAME=VALUE", help=text)
    parser.add_argument("--older", metavar="AGE", help="only what is older, such as 30d or 12h")
    parser.add_argument("--older-than", type=float, metavar="DAYS", help=argparse.SUPPRESS)
    parser.add_argument("--sort", default="age", help="column or parameter to sort by")
    parser.add_argument("--yes", action="store_true", help="remove without a question")
    flags.add_shared(parser, "cache_dir", "out", "quiet", "json")


def cache_command(args):
    """Run an action on the folder of results."""
    results = open_store(flags.cache_folder(args))
    if results is None or not results.folder.is_dir():
        raise FileNotFoundError(f"cache_dir must be a folder of results, not {args.cache_dir}")
    if args.older_than is not None:
        args.older = 86400 * check_number(args.older_than, "older_than", least=0)
    return ACTIONS[args.action](args, results)


def _select(args, results, names):
    """The rows that the flags and names ask for, sorted."""
    rows = select(results.rows(), args.tag, args.where, args.older, args.kind)
    if names:
        rows = [row for row in rows if any(_is_named(row, name) for name in names)]

    def place(row):
        value = {**row["parameters"], **row["metrics"], **row}.get(args.sort)
        is_number = isinstance(value, (int, float))
        return value is None, not is_number, value if is_number else str(value)

    return sorted(rows, key=place, reverse=args.sort == "age")


def _is_named(row, name):
    return row["entry"].startswith(name) or Path(row["path"]).name == Path(name).name


def _defaults():
    """The defaults of an experiment's and a learning's parameters."""
    from ..experiments.experiment import SHL

    return {field.name: field.default for field in fields(SHL)} | {"random_state": 42}


def _differences(row, defaults):
    """What differs from the defaults; parameters that an experiment has not are left out."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}
    found = {
        name: value
        for name, value in row["parameters"].items()
        if name in plain and value != plain[name]
    }
    if row["kind"] not in ("dico", "data"):
        found = row["parameters"]
    return " ".join(f"{name}={show_value(value)}" for name, value in found.items())


def _list(args, results):
    """Print what is stored, and the sum of each kind."""
    rows, defaults = _select(args, results, args.names), _defaults()
    cells = [
        [row["entry"][:SHOWN], row["tag"], row["kind"], row["steps"], row["F"]]
        + [row["bytes"] / 1e6, row["age"] / 86400, _differences(row, defaults)]
        for row in rows
    ]
    kinds = sorted({row["kind"] for row in rows})
    sums = [
        f"{sum(row['bytes'] for row in rows if row['kind'] == kind) / 1e6:9.1f} MB of {kind}"
        for kind in kinds
    ]
    total = sum(row["bytes"] for row in rows) / 1e6
    last = f"{len(rows)} entries, {total:.1f} MB, in {results.folder}/"
    flags.report(args, rows, [*(table(COLUMNS, cells) if rows else []), *sums, last])


def _show(args, results):
    """Print parameters and metrics of an entry; draw its pictures into --out."""
    rows = _select(args, results, args.names)
    if len(rows) != 1 or not args.names:
        raise ValueError(
            f"ENTRY must name one entry, but {args.names} names {len(rows)}. List them "
            "with shl cache ls."
        )
    (row,) = rows
    info = read_info(row["path"])
    lines = [f"{name} = {show_value(value)}" for name, value in row["parameters"].items()]
    lines += [f"{name} {show_value(value)}" for name, value in row["metrics"].items()]
    head = f"{row['kind']} {row['entry']} ({row['bytes'] / 1e6:.1f} MB): {row['path']}"
    if args.out is not None and "state" in info:
        from .models import draw_pictures, load_model

        out = flags.claim_folder(args)
        row["pictures"] = draw_pictures(load_model(row["path"]), out)
        lines.append(f"{', '.join(row['pictures'])} in {out}/")
    flags.report(args, row, [head, *lines])


def _remove(args, results):
    """Remove the entries that the filters ask for, after a question."""
    if not (args.names or args.tag or args.where or args.older or args.kind or args.max_size):
        raise ValueError(
            "shl cache rm needs an entry or a filter, such as --older 30d or --max-size"
        )
    rows = [] if args.max_size else _select(args, results, args.names)
    size = sum(row["bytes"] for row in rows) / 1e6
    if rows and not args.yes and not _agrees(f"remove {len(rows)} entries, {size:.1f} MB?"):
        flags.report(args, [], ["nothing is removed"])
        return 1
    removed = results.prune() if args.max_size else results.remove([row["path"] for row in rows])
    left = [row["path"] for row in rows if row["path"] not in removed]
    lines = [f"cannot remove {path}" for path in left]
    flags.report(args, removed, [*lines, f"removed {len(removed)} entries from {results.folder}/"])
    return int(bool(left))


def _agrees(question):
    """Whether the user says yes; nobody there is no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _export(args, results):
    """Write the entries to a CSV or Parquet file, by its suffix."""
    import pandas as pd

    suffixes = (".csv", ".parquet")
    if not args.names or Path(args.names[0]).suffix not in suffixes:
        raise ValueError(
            f"export needs a file that ends in {' or '.join(suffixes)}, not {args.names}"
        )
    target, rows = Path(args.names[0]), _select(args, results, args.names[1:])
    frame = pd.DataFrame([{**row.pop("parameters"), **row.pop("metrics"), **row} for row in rows])
    if target.suffix == ".csv":
        content = frame.to_csv(index=False).encode()
    else:
        mixed = [name for name in frame if frame[name].dtype == object]
        content = frame.astype(dict.fromkeys(mixed, "string")).to_parquet(index=False)
    write_bytes(target, content)
    flags.report(
        args, {"file": str(target), "entries": len(rows)}, [f"{len(rows)} entries in {target}"]
    )


def _clear(args, results):
    """Remove everything that the store wrote and that is old."""
    removed = results.clear(older_than=args.older or 0)
    flags.report(args, removed, [f"removed {len(removed)} files from {results.folder}/"])


def _verify(args, results):
    """Read everything; return 1 if something is damaged."""
    damaged = results.verify()
    last = f"{len(damaged)} of {len(results.rows())} entries are damaged"
    flags.report(args, damaged, [*damaged.values(), last])
    return int(bool(damaged))


ACTIONS = {"ls": _list, "show": _show, "rm": _remove, "export": _export}
ACTIONS |= {"clear": _clear, "verify": _verify}
COMMAND = flags.Command(
    "cache", "list, show, remove, export or check stored results", _add_flags, cache_command
)
