"""What the commands of `shl` share: flags whose defaults are those of what they fill, and reports
as lines or JSON.
"""

import argparse
import inspect
import os
import re
import sys
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from .._base.tables import printable
from ..store.entries import DEFAULT_FOLDER
from ..store.files import json_text, lasting, write_bytes

RUN_FILE = "run.json"  # in a folder of --out: which run wrote there last
# Flags that do not change what a run writes.
NOT_OF_A_RUN = ("run", "parser", "reproducible", "out", "only", "quiet", "json", "n_jobs")
NOT_OF_A_RUN += ("cache_dir", "max_size")

SHARED = {
    "seed": {"type": int, "help": "decides every random draw"},
    "n_jobs": {"type": int, "default": -1, "help": "threads or workers; -1 is all cores"},
    "cache_dir": {
        "default": DEFAULT_FOLDER,
        "metavar": "DIR",
        "help": "folder of results, which are not computed again ('none' for no store); "
        "SHL_CACHE_DIR replaces the default",
    },
    "max_size": {
        "metavar": "SIZE",
        "help": "size that the folder of results may have, such as 2GB: the least recently used "
        "results are removed (default: SHL_CACHE_MAX_SIZE, or no bound)",
    },
    "out": {"metavar": "DIR", "help": "folder for pictures, tables, models and summary"},
    "quiet": {"action": "store_true", "help": "no progress bar, no summary"},
    "reproducible": {
        "action": "store_true",
        "help": "leave times out of all files, as SOURCE_DATE_EPOCH in the environment does: "
        "equal runs then write equal files",
    },
    "json": {"action": "store_true", "help": "print the summary as JSON, and no progress bar"},
}


class Parser(argparse.ArgumentParser):
    """A parser whose error for an unknown flag is its own, not that of the commands' parser, and
    names the flag that is nearest.
    """

    def parse_known_args(self, args=None, namespace=None):
        """The namespace; what is left is an error."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flags = re.findall(r"--[a-z][a-z-]*", self.format_usage())
            words = (word.partition("=")[0] for word in unknown if word.startswith("--"))
            near = [flag for word in words for flag in get_close_matches(word, flags, n=1)]
            hint = f": did you mean {' '.join(near)}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return known, unknown

    def error(self, message):
        """Say what is wrong in a line, and exit with 2."""
        self.exit(2, f"{self.prog}: error: {printable(message)}. See {self.prog} --help\n")

    def name_flags(self, text):
        """The text of an error with flags for the parameters they fill, or None.

        None means that the text is not about a flag: it does not begin with such a parameter.
        """
        actions = [action for action in self._actions if action.option_strings[1:] != ["--help"]]
        names = {a.dest: a.option_strings[0] for a in actions if a.option_strings}
        names |= {flag[2:].replace("-", "_"): flag for flag in names.values()}
        names["name_database"] = names.get("database", "--database")
        if (first := re.match(r"\w*", text)[0]) not in names:
            return None
        later = (name for name in names if "_" in name)
        text = names[first] + text[len(first) :]
        return re.sub(rf"(?<![\w./'-])({'|'.join(later)})(?![\w./-])", lambda m: names[m[0]], text)


class PrintCompletion(argparse.Action):
    """Print a script by which a shell completes commands, flags and files."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Print the script for a shell, and exit."""
        try:
            import shtab
        except ModuleNotFoundError:
            parser.error("completion needs shtab: pip install shtab")
        commands = next(action for action in parser._actions if action.dest == "command")
        for command in commands.choices.values():
            for action in command._actions:
                if action.metavar in ("DIR", "FILE", "MODEL", "CODE"):
                    action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
        print(shtab.complete(parser, values))
        parser.exit()


class Command(NamedTuple):
    """A command of `shl`, and the module whose `COMMANDS` has its (add_flags(parser), run(args)).

    The module is imported for the command alone that is asked for: it may take a second.
    """

    name: str
    text: str
    module: str


def add_command(commands, command, is_asked_for):
    """A subcommand whose help shows defaults."""
    parser = commands.add_parser(
        command.name,
        help=command.text,
        description=command.text[0].upper() + command.text[1:] + ".",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    if is_asked_for:
        module = import_module(f".{command.module}", __package__)
        add_flags, run = module.COMMANDS[command.name]
        parser.set_defaults(run=run, parser=parser)
        add_flags(parser)


def add_parameter(parser, source, name, text=None, *flags, **options):
    """A flag for a parameter of `source`, a class or function, with its default and type.

    Parameters
    ----------
    text : str, default=None
        Help of the flag.  If None, what the docstring says of the parameter.
    flags : str
        Names of the flag, if not that of the parameter.
    options : of `ArgumentParser.add_argument`, where they differ from what the parameter says.
    """
    from .._base.constraints import constraints_of, kinds_of

    parameter = inspect.signature(source).parameters[name]
    constraint = None if "type" in options else constraints_of(source).get(name)
    default = options.pop("default", parameter.default)
    text = text or _description(source, name)
    kind = kinds_of(parameter.annotation)[0] if default is None else type(default)
    if isinstance(default, bool):
        options["action"] = argparse.BooleanOptionalAction if default else "store_true"
    elif isinstance(default, tuple):
        default = list(default)
        options = {"type": type(default[0]), "nargs": "+"} | options
    elif get_origin(kind) is tuple:
        options = {"type": get_args(kind)[0], "nargs": len(get_args(kind))} | options
    elif constraint:
        options["type"] = _converter(kind, constraint, name)
    else:
        options = {"type": kind} | options
    if constraint and kind in (int, float):
        text += f"; {constraint.text.removesuffix(', or None')}"
    flags = flags or (f"--{name.lower().replace('_', '-')}",)
    parser.add_argument(*flags, default=default, help=text, **{"dest": name, **options})


def _description(source, name):
    """What the docstring of a class or function says of a parameter."""
    entry = rf"^(?:\w+, )*{name}(?:, \w+)* : .*\n((?: +.*\n?)+)"
    found = re.search(entry, inspect.getdoc(source) or "", re.MULTILINE)  # none under python -OO
    text = " ".join(found[1].split()) if found else name
    return text[0].lower() + re.sub(r"(, see `[^`]+`)?\.$", "", text[1:]).replace("%", "%%")


def _converter(kind, constraint, name):
    """A function from the text of a flag to a value, which argparse calls."""

    def convert(text):
        try:
            return constraint.check(kind(text), name)
        except (TypeError, ValueError) as error:
            reason = str(error).removeprefix(f"{name} ")
            if not reason.startswith("must"):  # of float("text")
                reason = f"must be {constraint.text}, not {text!r}"
            raise argparse.ArgumentTypeError(reason) from error

    return convert


def default_of(source, name):
    """The default of a parameter of a class or function."""
    return inspect.signature(source).parameters[name].default


def given(args, source, **values):
    """Return the parameters of a class or function that flags fill, as a dict.

    `values` replace those of the flags.
    """
    found = vars(args) | {"cache_dir": cache_folder(args), "verbose": verbosity(args)} | values
    return {name: found[name] for name in inspect.signature(source).parameters if name in found}


def add_shared(parser, *names, **defaults):
    """Flags of `SHARED`, some with a default of their own."""
    for name in (*names, *defaults):
        options = SHARED[name] | ({"default": defaults[name]} if name in defaults else {})
        parser.add_argument(f"--{name.replace('_', '-')}", **options)
    if "cache_dir" in (*names, *defaults):
        parser.add_argument("--max-size", **SHARED["max_size"])
    if "out" in (*names, *defaults):
        parser.add_argument("--reproducible", **SHARED["reproducible"])


def add_database(parser, source, name="database", more=""):
    """The flags --database and --datapath, for two parameters of `source`."""
    text = f"'sample' (photographs that scikit-learn ships), 'dead_leaves', {more}"
    text += "or a folder in --datapath (None: its only one, or 'sample' without --datapath)"
    add_parameter(parser, source, name, text, "--database", metavar="NAME")
    text = "a folder of images, or of such folders"
    add_parameter(parser, source, "datapath", text, metavar="DIR")


@contextmanager
def environment(args):
    """A context with the variables that flags stand for, which workers inherit."""
    wanted = {"SHL_CACHE_MAX_SIZE": getattr(args, "max_size", None)}
    if getattr(args, "reproducible", False):  # asks matplotlib too for files without times
        wanted["SOURCE_DATE_EPOCH"] = os.environ.get("SOURCE_DATE_EPOCH", "0")
    wanted = {name: value for name, value in wanted.items() if value is not None}
    former = dict(os.environ)
    try:
        os.environ.update(wanted)
        yield
    finally:
        for name in wanted:
            del os.environ[name]
        os.environ.update({name: former[name] for name in wanted & former.keys()})


def cache_folder(args):
    """The folder of results that --cache-dir names, or None for no store."""
    return None if args.cache_dir.lower() == "none" else args.cache_dir


def verbosity(args):
    """1 where progress is shown, else 0."""
    return int(not (args.quiet or args.json))


def claim_folder(args: Any) -> Path:
    """The folder of --out, made where it is missing; stderr says whose files will be replaced."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    run = {name: value for name, value in vars(args).items() if name not in NOT_OF_A_RUN}
    content, path = json_text(run).encode(), out / RUN_FILE
    found = path.read_bytes() if path.is_file() else None
    if found is None and any(out.iterdir()):
        say(args, f"{out}/ is not empty: files of the same names are replaced")
    elif found not in (None, content):
        say(args, f"{out}/ holds another run ({path}): its files of the same names are replaced")
    write_bytes(path, content)
    return out


def say(args, text):
    """Print a line of a command on stderr."""
    print(f"shl {args.command}: {printable(text)}", file=sys.stderr)


def report(args, summary, lines):
    """Print a summary as JSON, as lines, or not at all."""
    if args.json:
        print(json_text(summary), end="")
    elif not args.quiet:
        print("\n".join(map(printable, lines)))


def write_report(args, folder, summary, lines):
    """Write `summary.json` in a folder, and `report` it."""
    write_bytes(folder / "summary.json", json_text(lasting(summary)).encode())
    report(args, summary, lines)
