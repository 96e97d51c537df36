"""The `shl` command: a thin layer of argparse over the package."""

import argparse
import sys
import time
from pathlib import Path

from . import __version__
from ._checks import check_number
from ._commands import add_parser, cache_folder, report, write_summary
from .annex.cli import add_commands as add_annex_commands
from .convolution.cli import add_commands as add_convolution_commands
from .networks.cli import add_commands as add_network_commands


def main(arguments=None):
    """Run the command line; return the exit code: 0, 1 for an error, 2 for bad arguments, 130 when
    interrupted.
    """
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except (ValueError, TypeError, ArithmeticError, OSError, ImportError) as error:
        print(f"shl {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"shl {args.command}: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog="shl", description="Sparse Hebbian learning of dictionaries."
    )
    parser.add_argument("--version", action="version", version=f"shl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    learn = add_parser(commands, "learn", learn_command, "learn a dictionary from natural images")
    _add_experiment_flags(learn)
    learn.add_argument(
        "--out", default="shl_out", metavar="DIR", help="folder for the model, pictures and summary"
    )
    scan = add_parser(
        commands, "scan", scan_command, "learn dictionaries over values of parameters"
    )
    _add_experiment_flags(scan)
    scan.add_argument(
        "--variable", nargs="+", default=["eta"], metavar="NAME", help="parameters to scan, in turn"
    )
    scan.add_argument(
        "--grid", action="store_true", help="every combination of the variables' values"
    )
    scan.add_argument("--n-scan", type=int, default=9, help="values of a variable")
    scan.add_argument(
        "--base", type=float, default=4.0, help="values run from middle / BASE to middle * BASE"
    )
    scan.add_argument("--tag", default="scan", help="readable name in front of the results' files")
    scan.add_argument(
        "--dry-run", action="store_true", help="print what would run and what is stored, and stop"
    )
    scan.add_argument(
        "--out", default="shl_scan", metavar="DIR", help="folder for the table and figures"
    )
    add_annex_commands(commands)
    add_convolution_commands(commands)
    _add_cache_commands(commands)
    add_network_commands(commands)
    return parser


def _add_experiment_flags(parser):
    """What people change first of an experiment's parameters."""
    add = parser.add_argument
    add(
        "--database",
        default="sample",
        metavar="NAME",
        help="'sample' (photographs that scikit-learn ships), 'dead_leaves', or a folder of "
        "images in --datapath",
    )
    add("--datapath", default="database/", metavar="DIR", help="where database folders are")
    add("--patch-width", type=int, default=21, help="pixels of a patch's side")
    add("--n-patches", type=int, default=65536, help="patches to learn from")
    add("--n-dictionary", type=int, default=676, help="atoms")
    add("--l0-sparseness", type=int, default=21, help="events of a patch")
    add(
        "--homeo-method",
        default="HAP",
        metavar="RULE",
        help="None, OLS, EMP, HAP, EXP, eHAP, HEH or HEH2019",
    )
    add("--n-iter", type=int, default=4097, help="learning steps")
    add("--batch-size", type=int, default=1024, help="patches of a step")
    add("--seed", type=int, default=42, help="decides every random draw")
    add("--n-jobs", type=int, default=-1, help="threads (learn) or workers (scan); -1 is all cores")
    add(
        "--cache-dir",
        default="cache_dir",
        metavar="DIR",
        help="folder of results and checkpoints ('none' for no store); SHL_CACHE_DIR replaces the "
        "default",
    )
    add("--quiet", action="store_true", help="no progress bar, no summary")
    add("--json", action="store_true", help="print the summary as JSON")


def _experiment(args, n_jobs):
    """The `SHL` of the flags."""
    from .experiment import SHL

    same = (
        "datapath",
        "patch_width",
        "n_dictionary",
        "l0_sparseness",
        "homeo_method",
        "n_iter",
        "batch_size",
        "seed",
    )
    return SHL(
        **{name: getattr(args, name) for name in same},
        name_database=args.database,
        N_patches=args.n_patches,
        n_jobs=n_jobs,
        verbose=int(not args.quiet),
        cache_dir=cache_folder(args),
    )


# -------------------------------------------------------------------------------------------- learn


def learn_command(args):
    """Shl learn: a model, four pictures and a summary in a folder."""
    from . import plotting

    began = time.perf_counter()
    shl, out = _experiment(args, args.n_jobs), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    data = shl.get_data()
    dico = shl.learn_dico(data=data, matname="learn")
    pictures = {
        name: str(out / f"{name}.png") for name in ("dictionary", "P_cum", "learning", "usage")
    }
    plotting.show_dico(
        shl,
        dico,
        title=f"{args.homeo_method}: least (top) to most selected atoms",
        fname=pictures["dictionary"],
    )
    plotting.plot_P_cum(dico.P_cum, title=args.homeo_method, fname=pictures["P_cum"])
    plotting.plot_learning(dico, fname=pictures["learning"])
    plotting.plot_usage(
        dico.record["prob_active"][-1], title=args.homeo_method, fname=pictures["usage"]
    )
    dico.save(out / "dictionary.npz")
    summary = {
        **dico.record.last(),
        "dead_atoms": dico.n_dead_,
        "seconds": time.perf_counter() - began,
        "model": str(out / "dictionary.npz"),
        "pictures": pictures,
        "parameters": {name: value for name, value in shl.parameters().items() if name != "P_cum"},
    }
    write_summary(out, summary)
    report(
        args,
        summary,
        [
            f"error {summary['error']:.4f}   F {summary['F']:.4f}   (held-out patches, plain "
            f"pursuit)",
            f"entropy of usage {summary['entropy']:.4f} of 1, {dico.n_dead_} of "
            f"{len(dico.dictionary)} atoms unused",
            f"{summary['seconds']:.1f} s; model, pictures and summary in {out}/",
        ],
    )


# --------------------------------------------------------------------------------------------- scan


def scan_command(args):
    """Shl scan: a table, CSV, JSON and a figure for each variable."""
    from .scan import SHL_set

    experiments = SHL_set(_experiment(args, 1), tag=args.tag, N_scan=args.n_scan, base=args.base)
    if args.dry_run:
        return _dry_run(args, experiments)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    records = experiments.run(
        args.variable, n_jobs=args.n_jobs, verbose=int(not args.quiet), grid=args.grid
    )
    experiments.to_csv(out / "scan.csv")
    experiments.to_json(out / "scan.json")
    if not args.grid:
        _draw_scan(experiments, args.variable, out / "scan.png")
    report(args, records, [*_table(records), f"table and figures in {out}/"])
    return int(any(record["status"] == "failed" for record in records))


def _dry_run(args, experiments):
    """Print each task and whether its result is stored."""
    tasks = experiments.tasks(args.variable, args.grid)
    rows = [
        {"variable": task["variable"], "value": task["value"], "stored": record is not None}
        for task, record in zip(tasks, experiments.stored(tasks), strict=True)
    ]
    lines = [
        f"{row['variable']} = {_short(row['value'])}: {'stored' if row['stored'] else 'would run'}"
        for row in rows
    ]
    report(args, rows, [*lines, f"{sum(row['stored'] for row in rows)} of {len(rows)} are stored"])


def _draw_scan(experiments, variables, fname):
    """F against the values, a panel a variable."""
    from .plotting.figures import new_figure, save

    fig = new_figure(figsize=(5 * len(variables), 4), layout="constrained")
    for ax, variable in zip(
        fig.subplots(1, len(variables), squeeze=False)[0], variables, strict=True
    ):
        experiments.scan(variable, fig=fig, ax=ax)
    save(fig, fname)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(records):
    """The records as lines of text."""
    names = ("F", "error", "qerror", "entropy", "seconds")
    yield f"{'variable':<16}{'value':>12}" + "".join(f"{name:>10}" for name in names)
    for record in records:
        row = f"{record['variable']:<16}{_short(record['value']):>12}"
        if record["status"] == "failed":
            yield f"{row}  failed: {record['failure']}"
        else:
            yield (
                row
                + "".join(f"{record[name]:>10.4g}" for name in names)
                + "  stored" * record["cached"]
            )


# -------------------------------------------------------------------------------------------- cache


def _add_cache_commands(commands):
    cache = add_parser(commands, "cache", cache_command, "list, check or clear stored results")
    cache.add_argument("action", choices=("ls", "clear", "verify"))
    cache.add_argument(
        "--older-than", type=float, default=0.0, metavar="DAYS", help="only clear: what is older"
    )
    cache.add_argument("--cache-dir", default="cache_dir", metavar="DIR", help="folder of results")
    cache.add_argument("--quiet", action="store_true", help="print nothing")
    cache.add_argument("--json", action="store_true", help="print JSON")


def cache_command(args):
    """Shl cache ls, clear, verify."""
    from .store import open_store

    keeper = open_store(args.cache_dir)
    if not keeper.folder.is_dir():
        raise FileNotFoundError(f"there is no folder {keeper.folder} of results (--cache-dir)")
    check_number(args.older_than, "older_than", least=0)
    if args.action == "clear":
        removed = keeper.clear(older_than=86400 * args.older_than)
        report(args, removed, [f"removed {len(removed)} files from {keeper.folder}/"])
        return 0
    if args.action == "verify":
        damaged = keeper.verify()
        report(
            args,
            damaged,
            [*damaged.values(), f"{len(damaged)} of {len(keeper.entries())} entries are damaged"],
        )
        return int(bool(damaged))
    entries = keeper.entries()
    report(
        args,
        entries,
        [
            *(
                f"{entry['bytes'] / 1e6:9.1f} MB  {entry['age'] / 86400:6.1f} days  {entry['path']}"
                for entry in entries
            ),
            f"{len(entries)} entries in {keeper.folder}/",
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
