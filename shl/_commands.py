"""What the commands of `shl` share: a parser that shows defaults, a report as lines or JSON."""

import argparse
import json


def add_parser(commands, name, run, text):
    """A subcommand whose help shows defaults."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def cache_folder(args):
    """The folder of results that --cache-dir names, or None for no store."""
    return None if args.cache_dir.lower() == "none" else args.cache_dir


def report(args, summary, lines):
    """Print a summary as JSON, as lines, or not at all."""
    if args.json:
        print(json.dumps(summary, indent=1, default=str))
    elif not args.quiet:
        print("\n".join(lines))


def write_summary(folder, summary):
    """Write `summary.json` in a folder."""
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, default=str) + "\n")
