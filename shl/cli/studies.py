"""The commands of the studies of networks: flags, checks and reports, the same for all."""

import inspect
import time
from functools import partial

from .._base.checks import check_count
from .._base.tables import table
from ..networks.studies import group_sparsity, regularization, set_evolution
from ..networks.studies.data import MOST_IMAGES, WANTED, load_labelled, name_of
from ..networks.studies.study import done
from ..plotting.figures import save
from ..store.entries import open_store
from ..store.jobs import failure_lines
from .flags import add_parameter, add_shared, cache_folder, claim_folder, verbosity, write_report


def _add_flags(parser, study):
    """A flag for each parameter of what learns; those that vary take several values."""
    several = {"data": study.data, "seed": study.seeds, **study.varied}
    texts = {
        "epochs": "epochs of each learning (None: what suits the data)",
        "seed": "one learning for each: decides split, start and order",
        "data": WANTED,
        "n_samples": f"samples to learn from and to test (None: all, at most {MOST_IMAGES})",
        **study.texts,
    }
    for name in inspect.signature(study.learn).parameters:
        flags, options = (), {}
        if name in several:
            flags = ("--seeds", "--seed") if name == "seed" else (f"--{name.replace('_', '-')}",)
            dest = "seeds" if name == "seed" else name
            options = {"default": several[name], "metavar": name.upper(), "dest": dest}
            if options["default"] == (None,):
                options |= {"default": None, "type": float, "nargs": "+"}
        elif name == "epochs":
            options = {"default": None, "type": int}
        add_parameter(parser, study.learn, name, texts[name], *flags, **options)
    if study.path:
        text = "epochs of each learning of a path of strengths; 0 for no path"
        parser.add_argument("--path-epochs", type=int, default=300, help=text)
    add_shared(
        parser,
        "cache_dir",
        "quiet",
        "json",
        out=f"shl_{study.name.replace('-', '_')}",
        n_jobs=study.n_jobs,
    )


def _run(args, study):
    """Learn what is not stored, draw, and report."""
    began, given = time.perf_counter(), _check(args, study)
    out, store = claim_folder(args), open_store(cache_folder(args))
    how = {"n_jobs": args.n_jobs, "store": store, "verbose": verbosity(args)}
    records = study.run(**how, **given)
    learned, tables, pictures = done(records), {}, {}
    lines = [f"{len(args.seeds)} seeds; {study.head}"]
    for data in dict.fromkeys(record["data"] for record in learned):
        found = [record for record in learned if record["data"] == data]
        tables[data] = study.tabulate(found)
        lines += ["", f"{name_of(data)}, {found[0]['epochs']} epochs"]
        lines += table(study.columns, tables[data])
        for name, fig in study.draw(found, data).items():
            pictures[f"{name}_{name_of(data)}"] = str(out / f"{name}_{name_of(data)}.png")
            save(fig, pictures[f"{name}_{name_of(data)}"])
    if getattr(args, "path_epochs", 0):
        first = {"data": args.data[:1], "seeds": args.seeds[:1], "epochs": args.path_epochs}
        found = study.run(**how, **given | first | study.path)
        tables["path"], records = study.tabulate(done(found)), records + found
        lines += ["", f"{name_of(args.data[0])}, a path of {args.path_epochs} epochs each"]
        lines += table(study.columns, tables["path"])
        pictures["path"] = str(out / "path.png")
        save(study.draw(done(found), args.data[0])["path"], pictures["path"])
    epochs = {record["data"]: record["epochs"] for record in records}
    summary = {**given, "epochs": epochs, "tables": tables, "pictures": pictures}
    describe = "{data}, " + ", ".join(f"{name} {{{name}}}" for name in (*study.varied, "seed"))
    return end_study(args, out, began, records, summary, lines, describe.format_map)


def _check(args, study):
    """The parameters of a run of the study, checked before anything is written."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("torch is not installed: pip install torch skorch") from error
    names = inspect.signature(study.learn).parameters.keys() - {"seed"} | {"seeds"}
    given = {name: getattr(args, name) for name in sorted(names)}
    for name, least in (("epochs", 1), ("path_epochs", 0), ("n_samples", 8)):
        if getattr(args, name, None) is not None:
            check_count(getattr(args, name), name, least)
    for seed in args.seeds:
        check_count(seed, "seeds", least=0)
    for data in args.data:
        load_labelled(data)
    return {name: value for name, value in given.items() if value is not None}


def end_study(args, out, began, records, summary, lines, describe):
    """Write summary.json, print the report; return the exit code: 1 if a run failed."""
    failures, seconds = failure_lines(records, describe), time.perf_counter() - began
    n_stored = sum(record["cached"] for record in records)
    last = f"{n_stored} of {len(records)} were stored, {seconds:.1f} s; "
    last += f"pictures and summary in {out}/"
    summary |= {"seconds": seconds, "failures": failures}
    write_report(args, out, summary, [*lines, *failures, last])
    return int(bool(failures))


STUDIES = [module.STUDY for module in (regularization, group_sparsity, set_evolution)]
COMMANDS = {
    study.name: (partial(_add_flags, study=study), partial(_run, study=study)) for study in STUDIES
}
