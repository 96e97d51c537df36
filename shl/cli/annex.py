"""The command `shl annex`: a thin layer of argparse over `shl.annex`."""

import tempfile
import time

from .flags import (
    Command,
    add_database,
    add_parameter,
    add_shared,
    cache_folder,
    claim_folder,
    report,
    verbosity,
)


def _add_flags(parser):
    """The flags of the command."""
    from ..annex.study import SCALES, Study

    text = "quick: minutes; paper: 441 pixels, 676 atoms, 10 learnings of each rule, an hour or two"
    add_parameter(parser, Study, "scale", f"{text} on 2 cores", choices=tuple(SCALES))
    add_database(parser, Study)
    add_parameter(parser, Study, "n_seeds", "learnings of each rule (none: the scale's number)")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="SECTION",
        help="sections of the report (none: all; an unknown name lists them)",
    )
    add_shared(parser, "n_jobs", "cache_dir", "quiet", "json", out="shl_annex")


def annex_command(args):
    """Shl annex: report.md and its figures in a folder."""
    from ..annex.report import write_report
    from ..annex.study import Study

    began, seconds, failures = time.perf_counter(), {}, {}
    verbose = verbosity(args)

    def section_done(name, took, failure):
        seconds[name] = took
        if failure is not None:
            failures[name] = str(failure)
        if verbose:
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
            verbose,
            args.n_seeds,
        )
        path = write_report(study, claim_folder(args), args.only, section_done)
    summary = {
        "report": str(path),
        "seconds": time.perf_counter() - began,
        "sections": seconds,
        "failures": failures,
    }
    report(args, summary, [f"wrote {path} and its figures, {summary['seconds']:.0f} s in all"])
    return int(bool(failures))


COMMAND = Command(
    "annex", "run the study again: its figures, and its claims answered", _add_flags, annex_command
)
