"""The `shl` command: a thin layer of argparse over the package."""

import os
import re
import sys
import time
import warnings

from .. import __version__
from .._base.tables import show_value, table
from . import flags
from .flags import Command, Parser

# Parameters of `SHL` that are flags: of images and patches, of learning, of the rule.
EXPERIMENT_FLAGS = (  # noqa: SIM905 - a list would have a line for each
    "color height width patch_width patch_height do_mask N_patches n_image over_patches "
    "n_dictionary learning_algorithm l0_sparseness do_sym n_iter batch_size optimizer eta "
    "record_each homeo_method eta_homeo alpha_homeo C nb_quant homeo_fade"
).split()
LIST = (
    Command("learn", "learn a dictionary from natural images", "main"),
    Command("show", "draw a saved model", "models"),
    Command("encode", "code samples or images by a saved model", "models"),
    Command("decode", "give the samples that a code stands for", "models"),
    Command("scan", "learn dictionaries over values of parameters", "main"),
    Command("annex", "run the study again: its figures, and its claims answered", "annex"),
    Command(
        "conv-learn",
        "learn convolutional atoms from images, without and with homeostasis, or from a recording",
        "conv_learn",
    ),
    Command("cache", "list, show, remove, export or check stored results", "cache"),
    Command(
        "regularization",
        "one softmax layer under five regularisers: table, weight images, accuracy over epochs",
        "studies",
    ),
    Command(
        "group-sparsity",
        "L2, L1, group and sparse group lasso: what they leave of a network",
        "studies",
    ),
    Command(
        "set",
        "sparse networks that evolve under weight decay: do connections find the pixels that "
        "matter",
        "studies",
    ),
    Command(
        "teacher-student",
        "teach sparse networks to small students: does a penalty leave them the teacher's weights",
        "teacher_student",
    ),
)
COMPLETION, SHELLS = "--print-completion", ("bash", "zsh", "tcsh")
# `shl learn` differs from the study's experiment: fewer of its atoms are formless.
LEARN = {"over_patches": 8, "optimizer": "newton"}
MANY_FORMLESS = 0.03  # of the atoms
ERRORS = (ValueError, TypeError, ArithmeticError, OSError, ImportError, RuntimeError, MemoryError)
OF_VALUES = (ValueError, TypeError, FileNotFoundError)  # errors for what a user passed
METRICS = ("F", "error", "qerror", "entropy", "seconds")  # of a scan's table


def main(arguments=None):
    """Run the command line; return the exit code: 0, 1 for an error, 2 for bad arguments, 130 when
    interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        args = _make_parser(arguments[0] if arguments else None).parse_args(arguments)
        os.environ.setdefault("MPLBACKEND", "agg")  # pictures are files: no window is needed
        code = _run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that SIGPIPE ends


def _run(args):
    """Run a command; return its exit code."""
    try:
        with flags.environment(args), warnings.catch_warnings():
            warnings.showwarning = lambda text, *_: flags.say(args, text)
            return args.run(args) or 0
    except BrokenPipeError:
        raise
    except ERRORS as error:
        text = re.sub(r"^\[Errno \d+\] ", "", str(error)) or type(error).__name__
        about_flags = args.parser.name_flags(text) if isinstance(error, OF_VALUES) else None
        flags.say(args, about_flags or text)
        return 2 if about_flags else 1
    except KeyboardInterrupt as error:
        flags.say(args, str(error) or "interrupted")
        return 130


def _make_parser(name):
    """A parser of all commands, with the flags of the command `name`."""
    parser = Parser(prog="shl", description="Sparse Hebbian learning of dictionaries.")
    parser.add_argument("--version", action="version", version=f"shl {__version__}")
    text = "print a script by which this shell completes flags, and exit"
    parser.add_argument(
        COMPLETION, choices=SHELLS, action=flags.PrintCompletion, metavar="SHELL", help=text
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in LIST:
        is_needed = command.name == name or (name or "").startswith(COMPLETION)
        flags.add_command(commands, command, is_needed)
    return parser


def _add_experiment_flags(parser, out, **defaults):
    """The flags of `shl learn` and `shl scan`; defaults where they differ from `SHL`'s."""
    from ..coding.parameters import ALGORITHMS
    from ..experiments.experiment import SHL
    from ..learning.homeostasis import RULES

    choices = {"homeo_method": RULES, "learning_algorithm": ALGORITHMS}
    flags.add_database(parser, SHL, "name_database")
    for name in EXPERIMENT_FLAGS:
        options = {"choices": tuple(choices[name])} if name in choices else {}
        options |= {"default": defaults[name]} if name in defaults else {}
        flags.add_parameter(parser, SHL, name, **options)
    seed = flags.default_of(SHL, "seed")
    flags.add_shared(parser, "n_jobs", "cache_dir", "quiet", "json", seed=seed, out=out)


def _make_experiment(args, n_jobs):
    """The `SHL` of the flags."""
    from ..experiments.experiment import SHL

    return SHL(**flags.given(args, SHL, n_jobs=n_jobs))


# -------------------------------------------------------------------------------------------- learn


def _add_learn_flags(parser):
    _add_experiment_flags(parser, "shl_out", **LEARN)


def learn_command(args):
    """Shl learn: a model, four pictures (PNG and PDF) and a summary in a folder."""
    from ..metrics import is_formless
    from .models import draw_pictures

    began = time.perf_counter()
    shl = _make_experiment(args, args.n_jobs)
    shl.check_enough(args.N_patches)
    data, out = shl.get_data(), flags.claim_folder(args)
    dico = shl.learn_dico(data=data, matname="learn")
    _save(dico, out / "dictionary.npz", shl, data)  # first: a picture can be drawn again
    is_of_images = shl.patch_height != 1
    n_formless = is_of_images and is_formless(dico.dictionary, dico.patch_shape).sum()
    summary = {
        **dico.record.last(),
        "dead_atoms": dico.n_dead_,
        "formless_atoms": int(n_formless) if is_of_images else None,
        "replaced_atoms": dico.n_replaced_,
        "model": str(out / "dictionary.npz"),
        "pictures": draw_pictures(dico, out),
        "parameters": {name: value for name, value in shl.parameters().items() if name != "P_cum"},
        "seconds": time.perf_counter() - began,
    }
    n_atoms, form = len(dico.dictionary), f"{n_formless} without a form, " * is_of_images
    lines = [
        f"{dico.n_dead_} of {n_atoms} atoms unused, {form}{dico.n_replaced_} replaced",
        f"{summary['seconds']:.1f} s; model, pictures and summary in {out}/",
    ]
    if len(dico.record):
        line = "error {error:.4f}   F {F:.4f}   entropy of usage {entropy:.4f} of 1   "
        lines.insert(0, line.format_map(summary) + "(held-out patches, plain pursuit)")
    if n_formless > MANY_FORMLESS * n_atoms:
        hint = "Many atoms have no form. Learn fewer (--n-dictionary), or from more photographs "
        lines.insert(-1, hint + "(--datapath, --n-patches).")
    flags.write_report(args, out, summary, lines)


def _save(dico, path, shl, data):
    """Write the model; an error says where it is kept besides, if it is."""
    try:
        dico.save(path)
    except OSError as error:
        kept = shl.store and shl.result_path(data=data, matname="learn")
        place = f"in {kept}" if kept and kept.is_file() else "nowhere else"
        raise OSError(f"{error.strerror}. The model is {place}.") from error


# --------------------------------------------------------------------------------------------- scan


def _add_scan_flags(parser):
    from ..experiments.scan import SHL_set

    _add_experiment_flags(parser, "shl_scan")
    text = "parameters to scan, in turn"
    flags.add_parameter(parser, SHL_set.run, "variables", text, "--variable", metavar="NAME")
    flags.add_parameter(parser, SHL_set.run, "grid", "every combination of the variables' values")
    flags.add_parameter(parser, SHL_set, "N_scan")
    flags.add_parameter(parser, SHL_set, "base", "values run from middle / BASE to middle * BASE")
    flags.add_parameter(parser, SHL_set, "tag", default="scan")
    text = "print what would run and what is stored, and stop"
    parser.add_argument("--dry-run", action="store_true", help=text)


def scan_command(args):
    """Shl scan: a table, CSV, JSON and a figure for each variable."""
    from ..experiments.scan import SHL_set
    from ..store.jobs import failure_lines

    experiments = SHL_set(_make_experiment(args, 1), args.tag, args.N_scan, args.base)
    if args.dry_run:
        return _dry_run(args, experiments)
    experiments.tasks(args.variables, args.grid)  # errors before anything is written
    out = flags.claim_folder(args)
    records = experiments.run(
        args.variables, n_jobs=args.n_jobs, verbose=flags.verbosity(args), grid=args.grid
    )
    experiments.to_csv(out / "scan.csv")
    experiments.to_json(out / "scan.json")
    if not args.grid or len(args.variables) < 3:
        _draw_scan(experiments, args.variables, args.grid, out / "scan")
    failures = failure_lines(records, "{variable} = {value}".format_map)
    lines = [*table(["variable", "value", *METRICS, "status"], map(_row, records)), *failures]
    flags.report(args, records, [*lines, f"table and figures in {out}/"])
    return int(bool(failures))


def _row(record):
    status = "stored" if record["cached"] else record["status"]
    return [record["variable"], record["value"], *map(record.get, METRICS), status]


def _dry_run(args, experiments):
    """Print each task and whether its result is stored."""
    tasks = experiments.tasks(args.variables, args.grid)
    rows = [
        {"variable": task["variable"], "value": task["value"], "stored": record is not None}
        for task, record in zip(tasks, experiments.stored(tasks), strict=True)
    ]
    lines = [
        f"{row['variable']} = {show_value(row['value'])}: "
        f"{'stored' if row['stored'] else 'would run'}"
        for row in rows
    ]
    n_stored = sum(row["stored"] for row in rows)
    flags.report(args, rows, [*lines, f"{n_stored} of {len(rows)} are stored"])


def _draw_scan(experiments, variables, is_grid, stem):
    """Draw F against the values: a panel a variable, or a heat map of a grid."""
    from ..plotting.figures import new_figure, save_both

    if is_grid and len(variables) == 2:
        save_both(experiments.scan(variables)[0], stem)
        return
    fig = new_figure(figsize=(5 * len(variables), 4), layout="constrained")
    axs = fig.subplots(1, len(variables), squeeze=False)[0]
    for ax, variable in zip(axs, variables, strict=True):
        experiments.scan(variable, fig=fig, ax=ax)
    save_both(fig, stem)


COMMANDS = {"learn": (_add_learn_flags, learn_command), "scan": (_add_scan_flags, scan_command)}
