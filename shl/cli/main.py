"""The `shl` command: a thin layer of argparse over the package."""

import os
import sys
import time

from .. import __version__
from .._base.tables import show_value, table
from ..store.jobs import failure_lines
from .annex import COMMAND as ANNEX
from .cache import COMMAND as CACHE
from .conv_learn import COMMAND as CONV_LEARN
from .flags import (
    Command,
    Parser,
    add_command,
    add_database,
    add_parameter,
    add_shared,
    cache_folder,
    claim_folder,
    default_of,
    report,
    verbosity,
    write_report,
)
from .group_sparsity import COMMAND as GROUP_SPARSITY
from .models import COMMANDS as MODEL_COMMANDS
from .regularization import COMMAND as REGULARIZATION
from .set_evolution import COMMAND as SET
from .teacher_student import COMMAND as TEACHER_STUDENT

EXPERIMENT_FLAGS = {  # what people change first of an experiment's parameters
    "patch_width": "pixels of a patch's side",
    "N_patches": "patches to learn from",
    "n_dictionary": "atoms",
    "l0_sparseness": "events of a patch",
    "n_iter": "learning steps",
    "batch_size": "patches of a step",
    "eta": "rate of learning",
    "eta_homeo": "rate of the rule of homeostasis",
    "learning_algorithm": "'mp', 'omp', or a coder of scikit-learn",
    "record_each": "steps between two records; 0 is none",
    "n_image": "images to use (None: all)",
}
NOISE = 0.066  # the `disorder` above which 99 % of noisy starts are
ERRORS = (ValueError, TypeError, ArithmeticError, OSError, ImportError, RuntimeError, MemoryError)
METRICS = ("F", "error", "qerror", "entropy", "seconds")  # of a scan's table


def main(arguments=None):
    """Run the command line; return the exit code: 0, 1 for an error, 2 for bad arguments, 130 when
    interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    args = _make_parser(arguments[0] if arguments else None).parse_args(arguments)
    try:
        code = args.run(args) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that SIGPIPE ends
    except ERRORS as error:
        print(f"shl {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"shl {args.command}: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130


def _make_parser(name):
    """A parser of all commands, with the flags of the command `name`."""
    parser = Parser(prog="shl", description="Sparse Hebbian learning of dictionaries.")
    parser.add_argument("--version", action="version", version=f"shl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        add_command(commands, command, command.name == name)
    return parser


def _add_experiment_flags(parser, out):
    """The flags of `shl learn` and `shl scan`."""
    from ..experiments.experiment import SHL
    from ..learning.homeostasis import RULES

    add_database(parser, SHL, "name_database")
    for name, text in EXPERIMENT_FLAGS.items():
        add_parameter(parser, SHL, name, text)
    add_parameter(parser, SHL, "homeo_method", f"one of {', '.join(RULES)}", metavar="RULE")
    seed = default_of(SHL, "seed")
    add_shared(parser, "n_jobs", "cache_dir", "quiet", "json", seed=seed, out=out)


def _make_experiment(args, n_jobs):
    """The `SHL` of the flags."""
    from ..experiments.experiment import SHL

    names = ("name_database", "datapath", *EXPERIMENT_FLAGS, "homeo_method", "seed")
    parameters = {name: getattr(args, name) for name in names}
    cache_dir, verbose = cache_folder(args), verbosity(args)
    return SHL(**parameters, n_jobs=n_jobs, verbose=verbose, cache_dir=cache_dir)


# -------------------------------------------------------------------------------------------- learn


def _add_learn_flags(parser):
    _add_experiment_flags(parser, "shl_out")


def learn_command(args):
    """Shl learn: a model, four pictures (PNG and PDF) and a summary in a folder."""
    from .. import plotting
    from ..metrics import disorder
    from ..plotting.figures import save_both

    began = time.perf_counter()
    shl = _make_experiment(args, args.n_jobs)
    data, out = shl.get_data(), claim_folder(args)
    dico = shl.learn_dico(data=data, matname="learn")
    _save(dico, out / "dictionary.npz", shl, data)  # first: a picture can be drawn again
    drawn = {
        "dictionary": plotting.show_dico(
            shl, dico, title=f"{args.homeo_method}: least (top) to most selected atoms"
        ),
        "P_cum": plotting.plot_P_cum(
            dico.P_cum, title=args.homeo_method, c=plotting.COLORS.get(args.homeo_method, "g")
        ),
        "learning": plotting.plot_learning(dico),
        "usage": plotting.plot_usage(plotting.activity(dico), title=args.homeo_method),
    }
    for name, (fig, _) in drawn.items():
        save_both(fig, out / name)
    summary = {
        **dico.record.last(),
        "dead_atoms": dico.n_dead_,
        "noise_atoms": int((disorder(dico.dictionary) > NOISE).sum()),
        "replaced_atoms": dico.n_replaced_,
        "seconds": time.perf_counter() - began,
        "model": str(out / "dictionary.npz"),
        "pictures": {name: str(out / f"{name}.png") for name in drawn},
        "parameters": {name: value for name, value in shl.parameters().items() if name != "P_cum"},
    }
    write_report(
        args,
        out,
        summary,
        [
            f"error {summary['error']:.4f}   F {summary['F']:.4f}   (held-out patches, plain "
            f"pursuit)",
            f"entropy of usage {summary['entropy']:.4f} of 1, {dico.n_dead_} of "
            f"{len(dico.dictionary)} atoms unused, {summary['noise_atoms']} like noise, "
            f"{summary['replaced_atoms']} replaced",
            f"{summary['seconds']:.1f} s; model, pictures and summary in {out}/",
        ],
    )


def _save(dico, path, shl, data):
    """Write the model; an error says where it is kept besides, if it is."""
    try:
        dico.save(path)
    except OSError as error:
        kept = shl.store and shl.result_path(data=data, matname="learn")
        place = f"in {kept}" if kept and kept.is_file() else "nowhere else"
        raise OSError(f"{error.strerror}; the model is {place}") from error


# --------------------------------------------------------------------------------------------- scan


def _add_scan_flags(parser):
    from ..experiments.scan import SHL_set

    _add_experiment_flags(parser, "shl_scan")
    text = "parameters to scan, in turn"
    add_parameter(parser, SHL_set.run, "variables", text, "--variable", metavar="NAME")
    add_parameter(parser, SHL_set.run, "grid", "every combination of the variables' values")
    add_parameter(parser, SHL_set, "N_scan", "values of a variable")
    add_parameter(parser, SHL_set, "base", "values run from middle / BASE to middle * BASE")
    text = "readable name in front of the results' files"
    add_parameter(parser, SHL_set, "tag", text, default="scan")
    text = "print what would run and what is stored, and stop"
    parser.add_argument("--dry-run", action="store_true", help=text)


def scan_command(args):
    """Shl scan: a table, CSV, JSON and a figure for each variable."""
    from ..experiments.scan import SHL_set

    experiments = SHL_set(
        _make_experiment(args, 1), tag=args.tag, N_scan=args.N_scan, base=args.base
    )
    if args.dry_run:
        return _dry_run(args, experiments)
    out = claim_folder(args)
    records = experiments.run(
        args.variables, n_jobs=args.n_jobs, verbose=verbosity(args), grid=args.grid
    )
    experiments.to_csv(out / "scan.csv")
    experiments.to_json(out / "scan.json")
    if not args.grid:
        _draw_scan(experiments, args.variables, out / "scan")
    rows = [
        [record["variable"], record["value"], *map(record.get, METRICS), _status(record)]
        for record in records
    ]
    failures = failure_lines(records, "{variable} = {value}".format_map)
    lines = [*table(["variable", "value", *METRICS, "status"], rows), *failures]
    report(args, records, [*lines, f"table and figures in {out}/"])
    return int(bool(failures))


def _status(record):
    return "stored" if record["cached"] else record["status"]


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
    report(args, rows, [*lines, f"{sum(row['stored'] for row in rows)} of {len(rows)} are stored"])


def _draw_scan(experiments, variables, stem):
    """F against the values, a panel a variable."""
    from ..plotting.figures import new_figure, save_both

    fig = new_figure(figsize=(5 * len(variables), 4), layout="constrained")
    for ax, variable in zip(
        fig.subplots(1, len(variables), squeeze=False)[0], variables, strict=True
    ):
        experiments.scan(variable, fig=fig, ax=ax)
    save_both(fig, stem)


COMMANDS = (
    Command("learn", "learn a dictionary from natural images", _add_learn_flags, learn_command),
    *MODEL_COMMANDS,
    Command("scan", "learn dictionaries over values of parameters", _add_scan_flags, scan_command),
    ANNEX,
    CONV_LEARN,
    CACHE,
    REGULARIZATION,
    GROUP_SPARSITY,
    SET,
    TEACHER_STUDENT,
)
