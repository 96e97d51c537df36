"""What the commands of the studies of networks share: flags, checks and reports."""

import time
from importlib import import_module

from .._base.checks import check_count
from ..networks.studies.data import MOST_IMAGES, WANTED, load_images
from ..store.entries import open_store
from ..store.jobs import failure_lines
from .flags import add_parameter, add_shared, cache_folder, claim_folder, verbosity, write_report


def add_study_flags(parser, compare, out, n_jobs=-1):
    """The flags that all studies have, for the parameters of `compare`."""
    text = "epochs of each learning (None: what suits the data)"
    add_parameter(parser, compare, "epochs", text)
    text = "one learning for each: decides split, start and order"
    add_parameter(parser, compare, "seeds", text, "--seeds", "--seed", metavar="SEED")
    add_shared(parser, "cache_dir", "quiet", "json", out=out, n_jobs=n_jobs)


def add_data_flags(parser, compare, **options):
    """The flags --data and --n-samples, for parameters of `compare`."""
    text = options.pop("text", WANTED)
    add_parameter(parser, compare, "data", text, metavar="DATA", **options)
    text = f"images to learn from and to test (None: all, at most {MOST_IMAGES})"
    add_parameter(parser, compare, "n_samples", text)


def require_extra():
    """An error that says what to install, where PyTorch or skorch is missing."""
    for module in ("torch", "skorch"):
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f'{module} is not installed: pip install "shl[networks]"'
            ) from error


def begin_study(args):
    """(folder, time) of a study that begins, after a check of the flags that all studies have."""
    require_extra()
    check_count(args.epochs, "epochs", is_optional=True)
    for seed in args.seeds:
        check_count(seed, "seeds", least=0)
    check_count(args.n_samples, "n_samples", least=8, is_optional=True)
    for data in (args.data,) if isinstance(args.data, str) else args.data:
        if data != "diabetes":
            load_images(data)
    out = claim_folder(args)
    return out, time.perf_counter()


def how_to_run(args):
    """What the flags say of how `run_study` runs, not of what."""
    store, verbose = open_store(cache_folder(args)), verbosity(args)
    return {"n_jobs": args.n_jobs, "store": store, "verbose": verbose}


def end_study(args, out, began, records, summary, lines, describe):
    """Write summary.json, print the report; return the exit code: 1 where a run failed."""
    failures, seconds = failure_lines(records, describe), time.perf_counter() - began
    n_stored = sum(record["cached"] for record in records)
    last = f"{n_stored} of {len(records)} were stored, {seconds:.1f} s; "
    last += f"pictures and summary in {out}/"
    summary |= {"seconds": seconds, "failures": failures}
    write_report(args, out, summary, [*lines, *failures, last])
    return int(bool(failures))
