"""The command `shl cache`: what is in the folder of results."""

import argparse
import shutil
import sys
from collections import Counter
from pathlib import Path

from .._base.tables import show_value, table
from ..store.entries import open_store
from ..store.files import read_info, write_bytes
from ..store.index import SIZES, UNITS, frame_of, select
from . import flags

COLUMNS = ("entry", "tag", "kind", "steps", "F", "size", "age")
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
        args.older = 86400 * args.older_than
        if args.older < 0:
            raise ValueError(f"older_than must be at least 0, not {args.older_than:g}")
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


def _list(args, results):
    """Print what is stored, and the sum of each kind."""
    rows, sizes, counts = _select(args, results, args.names), Counter(), Counter()
    for row in rows:
        sizes[row["kind"]] += row["bytes"]
        counts.update((row["kind"], text) for text in _differences(row))
    cells, ends = [], ["differs from the defaults in"]
    for row in rows:
        about = [row["entry"][:SHOWN], row["tag"], row["kind"], row["steps"], row["F"]]
        cells.append([*about, _size(row["bytes"]), _age(row["age"])])
        # What few entries have comes first: a terminal may be too narrow for all.
        texts = sorted(_differences(row), key=lambda text, row=row: counts[row["kind"], text])
        ends.append(" ".join(texts))
    lines = zip(table(COLUMNS, cells), ends, strict=True) if rows else ()
    lines = (f"{line}  {end}".rstrip() for line, end in lines)
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        lines = (line if len(line) <= width else f"{line[: width - 3]}..." for line in lines)
    sums = [f"{_size(size):>10} of {kind}" for kind, size in sizes.items()]
    last = f"{_size(sizes.total()):>10} in {len(rows)} entries of {results.folder}/"
    flags.report(args, rows, [*lines, *sums, last])


def _differences(row):
    """What differs from the defaults, as texts."""
    return [f"{name}={show_value(row['parameters'].get(name))}" for name in row["changed"]]


def _size(n_bytes):
    """A size as text."""
    unit = next(unit for unit in "TGMk " if n_bytes >= SIZES[unit.lower().strip()] or unit == " ")
    return f"{show_value(n_bytes / SIZES[unit.lower().strip()], 3)} {unit.strip()}B"


def _age(seconds):
    """An age as text, such as 3d, in the largest unit of which it has two."""
    unit = next((unit for unit in "wdhm" if seconds >= 2 * UNITS[unit]), "s")
    return f"{seconds // UNITS[unit]:.0f}{unit}"


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
    head = f"{row['kind']} {row['entry']} ({_size(row['bytes'])}): {row['path']}"
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
    size = _size(sum(row["bytes"] for row in rows))
    if rows and not args.yes and not _agrees(f"remove {len(rows)} entries, {size}?"):
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
    suffixes = (".csv", ".parquet")
    if not args.names or Path(args.names[0]).suffix not in suffixes:
        raise ValueError(
            f"export needs a file that ends in {' or '.join(suffixes)}, not {args.names}"
        )
    target, rows = Path(args.names[0]), _select(args, results, args.names[1:])
    frame = frame_of(rows)
    if target.suffix == ".csv":
        content = frame.to_csv(index=False).encode()
    else:
        mixed = [name for name in frame if frame[name].dtype == object]
        content = frame.astype(dict.fromkeys(mixed, "string")).to_parquet(index=False)
    write_bytes(target, content)
    summary = {"file": str(target), "entries": len(rows)}
    flags.report(args, summary, [f"{len(rows)} entries in {target}"])


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
COMMANDS = {"cache": (_add_flags, cache_command)}
