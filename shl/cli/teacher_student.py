"""The command `shl teacher-student`."""

import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from .._base.checks import check_file_name
from .._base.tables import show_value, table
from ..networks.studies.data import WANTED
from ..networks.teacher_student import configs
from ..networks.teacher_student.configs import MODEL_ACTIVATIONS, MODELS, NORMAL, StudentRun
from ..networks.teacher_student.sweep import COLUMNS, OUT, result_of, summarise_sweep, sweep
from ..store.entries import Store, open_store
from ..store.files import write, write_bytes
from ..store.keys import key_of
from .flags import SHARED, add_shared, cache_folder, verbosity, write_report
from .studies import end_study


def _add_flags(parser):
    """The flags of the command."""
    models, types = f"<type>_<activation>, of {', '.join(MODEL_ACTIVATIONS)}", ", ".join(MODELS)
    files = f"a file, or one of {', '.join(configs.config_names())}"
    inputs = f"inputs: '{NORMAL}' for N(0, 1), or images for patches of them ({WANTED})"
    flags = {  # default, metavar, help
        "teacher_model": ("baselineCNN_relu", "NAME", f"single: {models}"),
        "student_model": ("multiChannelCNN_relu", "NAME", "single: likewise"),
        "teacher_type": ("baselineCNN", "TYPE", f"multiple: {types}"),
        "student_type": ("multiChannelCNN", "TYPE", "multiple: likewise"),
        "config_path": ("config_path.json", "FILE", files),
        "data": (None, "DATA", f"{inputs}; default: the configuration's"),
        "name": (None, "NAME", "name of the results' folder; default: the configuration's"),
    }
    text = "one student, or activations x lr x l1_norm x l2_norm x seeds"
    parser.add_argument("--mode", choices=("single", "multiple"), default="single", help=text)
    for name, (default, metavar, text) in flags.items():
        parser.add_argument(f"--{name}", default=default, metavar=metavar, help=text)
    text = "multiple: several seeds, instead of --seed"
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help=text)
    add_shared(parser, "n_jobs", "cache_dir", "quiet", "json", seed=42)
    text = f"{SHARED['out']['help']}; default: the configuration's save_path, or {OUT}"
    parser.add_argument("--out", **SHARED["out"] | {"help": text})


def teacher_student_command(args):
    """Shl teacher-student: tables and pictures of one student or of a sweep."""
    config = configs.load_config(args.config_path)
    config = config if args.data is None else replace(config, data=args.data)
    name = config.name if args.name is None else check_file_name(args.name, "name")
    out = Path(args.out or config.save_path or OUT) / name
    if args.mode == "single" and args.seeds:
        raise ValueError("seeds needs --mode multiple. For a single student, use --seed.")
    if args.mode == "single":
        run = configs.single_run(config, args.teacher_model, args.student_model, args.seed)
        return _learn_one(args, run, name, out / run.slug())
    seeds = args.seeds or [args.seed]
    runs = configs.sweep_runs(config, args.teacher_type, args.student_type, seeds)
    return _learn_several(args, runs, name, out / _slug(runs))


def _slug(runs):
    """A name for files, another one for every sweep."""
    keys = key_of({"runs": [run.key() for run in runs]})
    return f"{runs[0].teacher_type}-{runs[0].student_type}-{keys[:8]}"


COMMANDS = {"teacher-student": (_add_flags, teacher_student_command)}


def _learn_one(args, run, name, out):
    """Learn one student; draw it beside its teacher, and its learning."""
    from ..networks.teacher_student.plots import plot_learning, plot_match

    began = time.perf_counter()
    arrays, metrics = result_of(run, open_store(cache_folder(args)), name, verbosity(args))
    out.mkdir(parents=True, exist_ok=True)
    pictures = {name: str(out / f"{name}.png") for name in ("match", "learning")}
    plot_match(arrays, run, fname=pictures["match"])
    plot_learning(arrays, fname=pictures["learning"])
    summary = {**metrics, "run": run.__dict__, "pictures": pictures}
    write(out / "student.npz", arrays, summary)
    lines = [run.label(), *_layer_lines(metrics), *_loss_lines(run, metrics)]
    last = f"{metrics['n_epochs']} epochs of {metrics['n_starts']} starts, "
    last += f"{time.perf_counter() - began:.1f} s; student, pictures and summary in {out}/"
    text = [*lines, "", *_weight_lines(arrays), ""]
    write_bytes(out / "student.txt", "\n".join(text).encode())
    write_report(args, out, summary, [*lines, last])


def _weight_lines(arrays):
    """The weights of teacher and student that are not zero, as they are, a line for each."""
    yield "who, layer: filter, input, unit: weight"
    for name, layer in arrays.items():
        who, _, number = name.partition("_")
        if who in ("teacher", "student") and number.isdigit():
            for place in np.argwhere(layer):
                head = f"{who}, layer {int(number) + 1}: {', '.join(map(str, place + 1))}"
                yield f"{head}: {layer[tuple(place)]:.6g}"


def _layer_lines(metrics):
    """A table of the weights of each layer; the teacher's as its picture shows them too, if that is
    otherwise.
    """
    columns = {
        "weights": metrics["n_all"],
        "not exactly zero": metrics["weights"],
        "teacher": metrics["teacher_weights"],
    }
    if metrics["teacher_shown"] != metrics["teacher_weights"]:
        columns["as full layers"] = metrics["teacher_shown"]
    rows = [
        *([str(index + 1), *row] for index, row in enumerate(zip(*columns.values(), strict=True))),
        ["all", *map(sum, columns.values())],
    ]
    return table(["layer", *columns], rows)


def _loss_lines(run, metrics):
    """What a student reached, and whether that is the teacher."""
    values = (show_value(metrics[name], 3) for name in ("loss", "relative_loss", "var_y"))
    distance = metrics["distance"]
    near = "" if distance is None else f", at distance {distance:.3g} of the teacher's norm"
    return [
        "loss {} = {} of var(y) {}, on unseen samples".format(*values),
        f"{_minimised(run)} {metrics['objective']:.4g}, of which penalty {metrics['penalty']:.4g}",
        f"the teacher's weights {'recovered' if metrics['is_recovered'] else 'not recovered'}"
        f" (which are zero){near}",
    ]


def _minimised(run):
    return "loss / var(y) + penalty" if run.scaled else "loss + penalty (not scaled to var(y))"


def _learn_several(args, runs, name, out):
    """Learn a sweep; draw weights and loss against l1_norm, and the best student of each pair of
    activations.
    """
    from ..networks.teacher_student.plots import plot_match, plot_path

    began = time.perf_counter()
    # Pictures need students, which are stored beside them if there is no store.
    store = open_store(cache_folder(args)) or Store(out / "students")
    records = sweep(runs, store, name, args.n_jobs, verbosity(args))
    out.mkdir(parents=True, exist_ok=True)
    groups = summarise_sweep(records)
    pictures = {"path": str(out / "path.png")}
    plot_path(records, fname=pictures["path"])
    for pair, run in _best_runs(runs, records).items():
        pictures[pair] = str(out / f"{pair}.png")
        plot_match(result_of(run, store, name)[0], run, fname=pictures[pair])
    head = f"{runs[0].teacher_type} -> {runs[0].student_type}, {len(runs)} runs; minimised is "
    head += _minimised(runs[0])
    summary = {"runs": records, "groups": groups, "pictures": pictures}
    return end_study(args, out, began, records, summary, [head, *table(COLUMNS, groups)], _label)


def _label(record):
    return StudentRun(**{item.name: record[item.name] for item in fields(StudentRun)}).label()


def _best_runs(runs, records):
    """{pair of activations: its run with the least loss}."""
    losses = [record.get("loss", np.inf) for record in records]
    best = {}
    for index in np.argsort(losses, kind="stable"):
        run = runs[index]
        if losses[index] < np.inf:
            best.setdefault(f"{run.teacher_activation}_{run.student_activation}", run)
    return best
