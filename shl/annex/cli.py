"""The command `shl annex`: a thin layer of argparse over `shl.annex`."""

import tempfile
import time

from .._commands import add_parser, cache_folder, report


def add_commands(commands):
    """Add `annex` to the commands of `shl`."""
    parser = add_parser(
        commands,
        "annex",
        annex_command,
        "run the study again: its figures, and its claims answered",
    )
    add = parser.add_argument
    add(
        "--scale",
        default="quick",
        choices=("quick", "paper"),
        help="quick: minutes; paper: 441 pixels, 676 atoms, 10 learnings of each rule, an hour or "
        "two on 2 cores",
    )
    add(
        "--database",
        default="sample",
        metavar="NAME",
        help="'sample' (photographs that scikit-learn ships), 'dead_leaves', or a folder of "
        "images in --datapath",
    )
    add("--datapath", default="database/", metavar="DIR", help="where database folders are")
    add(
        "--only",
        nargs="+",
        metavar="SECTION",
        help="sections of the report (none: all; an unknown name lists them)",
    )
    add("--n-jobs", type=int, default=-1, help="learnings at a time; -1 is one for each core")
    add(
        "--cache-dir",
        default="cache_dir",
        metavar="DIR",
        help="folder of results, which are not learned again ('none' for no store)",
    )
    add("--out", default="shl_annex", metavar="DIR", help="folder for report.md and the figures")
    add("--quiet", action="store_true", help="no progress bar, no summary")
    add("--json", action="store_true", help="print the summary as JSON")


def annex_command(args):
    """Shl annex: report.md and its figures in a folder."""
    from .report import write_report
    from .study import Study

    began, seconds, failures = time.perf_counter(), {}, {}
    show = not (args.quiet or args.json)

    def section_done(name, took, failure):
        seconds[name] = took
        if failure is not None:
            failures[name] = str(failure)
        if show:
            print(f"{name}: {took:.1f} s" + (f", failed: {failure}" if failure else ""), flush=True)

    with (
        tempfile.TemporaryDirectory() as spare
    ):  # several sections look at a learning: without a store, a short one
        study = Study(
            args.scale,
            args.database,
            args.datapath,
            args.n_jobs,
            cache_folder(args) or spare,
            int(show),
        )
        path = write_report(study, args.out, args.only, section_done)
    summary = {
        "report": str(path),
        "seconds": time.perf_counter() - began,
        "sections": seconds,
        "failures": failures,
    }
    report(args, summary, [f"wrote {path} and its figures, {summary['seconds']:.0f} s in all"])
    return int(bool(failures))
