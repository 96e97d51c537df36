"""The command `shl group_sparsity`."""

from .._base.checks import check_count
from .._base.tables import table
from ..networks.studies import plots
from ..networks.studies.data import WANTED, name_of
from ..networks.studies.group_sparsity import (
    COLUMNS,
    PATH_PENALTY,
    SETTINGS,
    compare_penalties,
    follow_path,
    tabulate,
)
from ..networks.studies.runs import done
from .flags import Command, add_parameter
from .studies import add_data_flags, add_study_flags, begin_study, end_study, how_to_run


def _add_flags(parser):
    """The flags of the command."""
    add_study_flags(parser, compare_penalties, "shl_group_sparsity")
    text = f"data sets: 'diabetes', {WANTED}"
    add_data_flags(parser, compare_penalties, text=text, default=("digits", "diabetes"))
    alphas = ", ".join(f"{settings['alpha']:.2g} for {data}" for data, settings in SETTINGS.items())
    text = f"strength of the penalties; None: {alphas}"
    add_parameter(parser, compare_penalties, "alpha", text)
    text = f"epochs of each learning of the path of strengths ({PATH_PENALTY}); 0 for no path"
    add_parameter(parser, follow_path, "epochs", text, "--path-epochs", dest="path_epochs")


def group_sparsity_command(args):
    """Shl group-sparsity."""
    check_count(args.path_epochs, "path_epochs", least=0)
    out, began = begin_study(args)
    how = how_to_run(args)
    records, tables, pictures, epochs = [], {}, {}, {}
    head = "accuracy on digits, R2 on diabetes; zeros are exact (zero_tol 0)"
    lines = [f"{len(args.seeds)} seeds; {head}"]
    for data in args.data:
        found = compare_penalties(
            args.seeds, args.epochs, data, alpha=args.alpha, n_samples=args.n_samples, **how
        )
        records, learned = records + found, done(found)
        tables[data], epochs[data] = tabulate(learned), learned[0]["epochs"]
        lines += ["", f"{data}, {epochs[data]} epochs", *table(COLUMNS, tables[data])]
        picture = f"units_{name_of(data)}"
        pictures[picture] = _draw_units(learned, out / f"{picture}.png")
    if args.path_epochs:
        data, seed = args.data[0], args.seeds[0]
        same = {"seed": seed, "epochs": args.path_epochs, "n_samples": args.n_samples}
        found = follow_path(data=data, **same, **how)
        records, tables["path"] = records + found, tabulate(done(found))
        lines += ["", f"{data}, {PATH_PENALTY}, seed {seed}, {args.path_epochs} epochs"]
        lines += table(COLUMNS, tables["path"])
        pictures["path"] = _draw_path(tables["path"], out / "path.png")
    same = {"epochs": epochs, "seeds": args.seeds, "zero_tol": 0}
    summary = {**same, "tables": tables, "pictures": pictures}
    return end_study(
        args, out, began, records, summary, lines, "{data}, {penalty}, seed {seed}".format_map
    )


COMMAND = Command(
    "group-sparsity",
    "L2, L1, group and sparse group lasso: what they leave of a network, on digits and diabetes",
    _add_flags,
    group_sparsity_command,
)


def _draw_units(records, fname):
    """Write the units left over the epochs, a panel a penalty, for the first seed; return the
    picture's name.
    """
    from ..plotting.figures import new_figure, save

    shown = [record for record in records if record["seed"] == records[0]["seed"]]
    fig = new_figure(figsize=(4 * len(shown), 3.5), layout="constrained")
    for ax, record in zip(fig.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        history = {"steps": record["steps"], "units": record["units_left"]}
        plots.plot_units_left(history, record["sizes"], title=record["penalty"], fig=fig, ax=ax)
    save(fig, fname)
    return str(fname)


def _draw_path(rows, fname):
    """Write sparsity against loss; return the picture's name."""
    plots.plot_lambda_path(
        [row["alpha"] for row in rows],
        [row["sparsity"] for row in rows],
        {f"train loss, {PATH_PENALTY}": [row["loss"] for row in rows]},
        fname=fname,
    )
    return str(fname)
