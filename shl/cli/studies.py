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
        options = {"default": None} if name == "epochs" else {}
        if name in several:
            options = {"default": several[name], "metavar": name.upper()}
            if options["default"] == (None,):
                options |= {"default": None, "type": float, "nargs": "+"}
        flags = ()
        if name == "seed":
            flags, options["dest"] = ("--seeds", "--seed"), "seeds"
        add_parameter(parser, study.learn, name, texts[name], *flags, **options)
    if study.path:
        text = "epochs of each learning of a path of strengths; 0 for no path"
        parser.add_argument("--path-epochs", type=int, default=300, help=text)
    own = {"out": f"shl_{study.name.replace('-', '_')}", "n_jobs": study.n_jobs}
    add_shared(parser, "cache_dir", "quiet", "json", **own)


def _run(args, study):
    """Learn what is not stored, draw, and report."""
    began, given = time.perf_counter(), _check(args, study)
    out, store = claim_folder(args), open_store(cache_folder(args))
    how = {"n_jobs": args.n_jobs, "store": store, "verbose": verbosity(args)}
    records = study.run(**how, **given)
    learned, tables, pictures = done(records), {}, {}
    lines = [f"{len(args.seeds)} seeds; {study.head}"]

    def show(found, part, title, figures):
        tables[part] = study.tabulate(found)
        lines.extend(["", title, *table(study.columns, tables[part])])
        for name, fig in figures.items():
            pictures[name] = str(out / f"{name}.png")
            save(fig, pictures[name])

    for data in dict.fromkeys(record["data"] for record in learned):
        found, place = [record for record in learned if record["data"] == data], name_of(data)
        figures = {f"{name}_{place}": fig for name, fig in study.draw(found, data).items()}
        show(found, data, f"{place}, {found[0]['epochs']} epochs", figures)
    if getattr(args, "path_epochs", 0):
        first = {"data": args.data[:1], "seeds": args.seeds[:1], "epochs": args.path_epochs}
        found = study.run(**how, **given | first | study.path)
        title = f"{name_of(args.data[0])}, a path of {args.path_epochs} epochs each"
        figure = study.draw(done(found), args.data[0])["path"]
        show(done(found), "path", title, {"path": figure})
        records += found
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
    given = {name: value for name, value in vars(args).items() if name in names}
    for seed in args.seeds:
        check_count(seed, "seeds", least=0)
    check_count(getattr(args, "path_epochs", 0), "path_epochs", least=0)
    for data in args.data:
        load_labelled(data)
    return {name: given[name] for name in sorted(given) if given[name] is not None}


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
