"""The command `shl cache`: what is in the folder of results."""

from .._base.checks import check_number
from ..store.entries import open_store
from .flags import Command, add_shared, cache_folder, report


def _add_flags(parser):
    parser.add_argument("action", choices=tuple(ACTIONS))
    text = "only clear: what is older"
    parser.add_argument("--older-than", type=float, default=0.0, metavar="DAYS", help=text)
    add_shared(parser, "cache_dir", "quiet", "json")


def cache_command(args):
    """Run an action on the folder of results."""
    results = open_store(cache_folder(args))
    if results is None or not results.folder.is_dir():
        raise FileNotFoundError(f"cache_dir must be a folder of results, not {args.cache_dir}")
    check_number(args.older_than, "older_than", least=0)
    return ACTIONS[args.action](args, results)


def _list(args, results):
    """Print what is stored."""
    entries = results.entries()
    lines = [
        f"{entry['bytes'] / 1e6:9.1f} MB  {entry['age'] / 86400:6.1f} days  {entry['path']}"
        for entry in entries
    ]
    report(args, entries, [*lines, f"{len(entries)} entries in {results.folder}/"])


def _clear(args, results):
    """Remove what is old."""
    removed = results.clear(older_than=86400 * args.older_than)
    report(args, removed, [f"removed {len(removed)} files from {results.folder}/"])


def _verify(args, results):
    """Read everything; return 1 if something is damaged."""
    damaged = results.verify()
    last = f"{len(damaged)} of {len(results.entries())} entries are damaged"
    report(args, damaged, [*damaged.values(), last])
    return int(bool(damaged))


ACTIONS = {"ls": _list, "clear": _clear, "verify": _verify}
COMMAND = Command("cache", "list, check or clear stored results", _add_flags, cache_command)
