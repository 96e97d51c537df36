"""The command `shl regularization`."""

from .._base.tables import table
from ..networks.studies import plots
from ..networks.studies.data import load_images, name_of
from ..networks.studies.regularization import COLUMNS, LATE, compare_regularizers, tabulate
from ..networks.studies.runs import done
from .flags import Command
from .studies import add_data_flags, add_study_flags, begin_study, end_study, how_to_run


def _add_flags(parser):
    """The flags of the command."""
    add_study_flags(parser, compare_regularizers, "shl_regularization", n_jobs=1)
    add_data_flags(parser, compare_regularizers)


def regularization_command(args):
    """Shl regularization."""
    out, began = begin_study(args)
    how = how_to_run(args)
    given = {name: getattr(args, name) for name in ("seeds", "epochs", "data", "n_samples")}
    records = compare_regularizers(**given, **how)
    learned = done(records)
    shown = [record for record in learned if record["seed"] == learned[0]["seed"]]
    pictures = {"weights": str(out / "weights.png"), "accuracy": str(out / "accuracy.png")}
    plots.plot_weight_images(
        {record["method"]: record["weights"] for record in shown},
        load_images(args.data).shape,
        fname=pictures["weights"],
    )
    plots.plot_curves(
        {record["method"]: (record["steps"], record["accuracies"]) for record in shown},
        ylabel="test accuracy",
        fname=pictures["accuracy"],
    )
    rows = tabulate(learned)
    head = f"{name_of(args.data)}, {len(args.seeds)} seeds, {args.epochs} epochs; accuracy is the "
    head += f"mean over the last {LATE:.0%} of them, late range largest - smallest"
    lines = [head, *table(COLUMNS, rows)]
    summary = {**given, "table": rows, "pictures": pictures}
    return end_study(args, out, began, records, summary, lines, "{method}, seed {seed}".format_map)


COMMAND = Command(
    "regularization",
    "one softmax layer under five regularisers: table, weight images, accuracy over epochs",
    _add_flags,
    regularization_command,
)
