"""The command `shl annex`: a thin layer of argparse over `shl.annex`."""

import tempfile
import time

from . import flags


def _add_flags(parser):
    """The flags of the command."""
    from ..annex.study import SCALES, Study

    text = "quick: minutes; paper: 441 pixels, 676 atoms, 10 learnings of each rule, an hour or two"
    flags.add_parameter(parser, Study, "scale", f"{text} on 2 cores", choices=tuple(SCALES))
    flags.add_database(parser, Study)
    text = "learnings of each rule (none: the scale's number)"
    flags.add_parameter(parser, Study, "n_seeds", text)
    text = "sections of the report (none: all; an unknown name lists them)"
    parser.add_argument("--only", nargs="+", metavar="SECTION", help=text)
    flags.add_shared(parser, "n_jobs", "cache_dir", "quiet", "json", out="shl_annex")


def annex_command(args):
    """Shl annex: report.md and its figures in a folder."""
    from ..annex.report import write_report
    from ..annex.study import Study

    began, seconds, failures = time.perf_counter(), {}, {}

    def section_done(name, took, failure):
        seconds[name] = took
        if failure is not None:
            failures[name] = str(failure)
        if flags.verbosity(args):
            print(f"{name}: {took:.1f} s" + (f", failed: {failure}" if failure else ""), flush=True)

    # Several sections look at the same learning: without a store, a temporary one keeps it.
    with tempfile.TemporaryDirectory() as spare:
        study = Study(**flags.given(args, Study, cache_dir=flags.cache_folder(args) or spare))
        path = write_report(study, flags.claim_folder(args), args.only, section_done)
    took = time.perf_counter() - began
    summary = {"report": str(path), "seconds": took, "sections": seconds, "failures": failures}
    flags.report(args, summary, [f"wrote {path} and its figures, {took:.0f} s in all"])
    return int(bool(failures))


COMMANDS = {"annex": (_add_flags, annex_command)}
