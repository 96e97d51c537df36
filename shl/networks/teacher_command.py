"""The command `shl teacher-student`: one student, or a sweep of them, with tables and pictures."""

import time
from pathlib import Path

from .._commands import add_parser, cache_folder, report, write_summary
from .configs import MODEL_ACTIVATIONS, MODELS, config_names, load_config, single_run, sweep_runs


def add_command(commands):
    """Add the command; return its parser."""
    parser = add_parser(
        commands,
        "teacher-student",
        teacher_student_command,
        "teach sparse networks to small students: does a penalty leave them the teacher's weights",
    )
    add = parser.add_argument
    models, types = f"<type>_<activation>, of {', '.join(MODEL_ACTIVATIONS)}", ", ".join(MODELS)
    add(
        "--mode",
        choices=("single", "multiple"),
        default="single",
        help="one student, or activations x lr x l1_norm x l2_norm x seeds",
    )
    add("--teacher_model", default="baselineCNN_relu", metavar="NAME", help=f"single: {models}")
    add("--student_model", default="multiChannelCNN_relu", metavar="NAME", help="single: likewise")
    add("--teacher_type", default="baselineCNN", metavar="TYPE", help=f"multiple: {types}")
    add("--student_type", default="multiChannelCNN", metavar="TYPE", help="multiple: likewise")
    add(
        "--config_path",
        default="config_path.json",
        metavar="FILE",
        help=f"a file, or one of {', '.join(config_names())}",
    )
    add("--seed", type=int, default=42, help="decides every random draw")
    add(
        "--seeds",
        type=int,
        nargs="+",
        metavar="SEED",
        help="multiple: several seeds, instead of --seed",
    )
    add(
        "--name",
        help="readable name in front of results' files; default: that of the configuration",
    )
    add("--n-jobs", type=int, default=-1, help="multiple: workers, -1 is all cores")
    add(
        "--cache-dir",
        default="cache_dir",
        metavar="DIR",
        help="folder of results ('none' for no store); SHL_CACHE_DIR replaces the default",
    )
    add(
        "--out",
        metavar="DIR",
        help="folder for pictures and summary; default: the configuration's save_path, or "
        "shl_teacher_student",
    )
    add("--quiet", action="store_true", help="no progress bar, no summary")
    add("--json", action="store_true", help="print the summary as JSON")
    return parser


def teacher_student_command(args):
    """Shl teacher-student: tables and pictures of one student or of a sweep."""
    from ..store import open_store

    config = load_config(args.config_path)
    keeper, tag = open_store(cache_folder(args)), args.name or config.name
    out = Path(args.out or config.save_path or "shl_teacher_student")
    if args.mode == "single" and args.seeds:
        raise ValueError("seeds needs --mode multiple; a single student has --seed")
    if args.mode == "single":
        run = single_run(config, args.teacher_model, args.student_model, args.seed)
        return _single(args, run, keeper, tag, out)
    runs = sweep_runs(config, args.teacher_type, args.student_type, args.seeds or [args.seed])
    return _multiple(args, runs, keeper, tag, out)


def _single(args, run, keeper, tag, out):
    """Learn one student; draw it beside its teacher, and its learning."""
    from .sweep import result_of
    from .teacher_plots import plot_learning, plot_match

    began = time.perf_counter()
    arrays, metrics = result_of(run, keeper, tag)
    out.mkdir(parents=True, exist_ok=True)
    pictures = {name: str(out / f"{tag}_{name}.png") for name in ("match", "learning")}
    plot_match(arrays, title=run.label(), fname=pictures["match"])
    plot_learning(arrays, fname=pictures["learning"])
    _finish(
        args,
        {**metrics, "run": run.__dict__, "pictures": pictures},
        out,
        [
            run.label(),
            *_layers(metrics),
            _loss(metrics),
            f"distance to the teacher {metrics['distance']:.3g} of its norm, its weights "
            f"{'recovered exactly' if metrics['is_recovered'] else 'not recovered'}",
            f"{metrics['n_epochs']} epochs, {time.perf_counter() - began:.1f} s; pictures and "
            f"summary in {out}/",
        ],
    )
    return 0


def _layers(metrics):
    """A line for each layer."""
    yield f"{'layer':<8}{'weights':>9}{'not zero':>10}{'teacher':>9}   (exact zeros, tolerance 0)"
    rows = list(zip(metrics["n_all"], metrics["weights"], metrics["teacher_weights"], strict=True))
    for index, (n_all, n_weights, n_teacher) in enumerate(rows):
        yield f"{index + 1:<8}{n_all:>9}{n_weights:>10}{n_teacher:>9}"
    yield f"{'all':<8}" + "".join(
        f"{sum(column):>{width}}"
        for column, width in zip(zip(*rows, strict=True), (9, 10, 9), strict=True)
    )


def _loss(metrics):
    """The losses in a line."""
    return (
        f"loss {metrics['loss']:.3g} = {metrics['relative_loss']:.3g} of var(y) on unseen "
        f"samples; held out "
        f"{metrics['held_loss']:.3g}, with the penalty "
        f"{metrics['held_loss'] + metrics['penalty']:.3g}"
    )


def _multiple(args, runs, keeper, tag, out):
    """Learn a sweep; draw weights and loss against l1_norm, and the best student of each pair of
    activations.
    """
    from .sweep import result_of, summarise, sweep, table
    from .teacher_plots import plot_match, plot_path

    began = time.perf_counter()
    records = sweep(runs, keeper, tag, n_jobs=args.n_jobs, verbose=int(not args.quiet))
    out.mkdir(parents=True, exist_ok=True)
    groups = summarise(records)
    pictures = {"path": str(out / f"{tag}_path.png")}
    plot_path(records, fname=pictures["path"])
    for pair, index in _best(records).items() if keeper else ():
        pictures[pair] = str(out / f"{tag}_{pair}.png")
        plot_match(
            result_of(runs[index], keeper, tag)[0], title=runs[index].label(), fname=pictures[pair]
        )
    failures = [
        f"failed: {run.label()}: {record['failure']}"
        for run, record in zip(runs, records, strict=True)
        if record["status"] == "failed"
    ]
    head = f"{runs[0].teacher_type} -> {runs[0].student_type}, {len(runs)} runs"
    _finish(
        args,
        {"runs": records, "groups": groups, "pictures": pictures},
        out,
        [
            head,
            *table(groups),
            *failures,
            f"{sum(record['cached'] for record in records)} were stored, "
            f"{time.perf_counter() - began:.1f} s; pictures and summary in {out}/",
        ],
    )
    return int(bool(failures))


def _best(records):
    """{pair of activations: index of its run with the least loss}."""
    best = {}
    for index, record in enumerate(records):
        pair = f"{record['teacher_activation']}_{record['student_activation']}"
        if record["status"] == "done" and (
            pair not in best or record["loss"] < records[best[pair]]["loss"]
        ):
            best[pair] = index
    return best


def _finish(args, summary, out, lines):
    """Write the summary and report it."""
    write_summary(out, summary)
    report(args, summary, lines)
