"""The command `shl set_evolution`."""

import numpy as np

from .._base.tables import table
from ..networks.studies import plots
from ..networks.studies.data import load_images, name_of
from ..networks.studies.runs import done
from ..networks.studies.set_evolution import COLUMNS, compare_decays, tabulate
from .flags import Command, add_parameter
from .studies import add_data_flags, add_study_flags, begin_study, end_study, how_to_run


def _add_flags(parser):
    """The flags of the command."""
    add_study_flags(parser, compare_decays, "shl_set")
    text = "strengths of the L2 penalty"
    add_parameter(
        parser, compare_decays, "weight_decays", text, "--weight-decay", metavar="STRENGTH"
    )
    add_data_flags(parser, compare_decays)
    text = "inputs of mean 0 and variance 1: border pixels are below 0"
    add_parameter(parser, compare_decays, "normalized", text)


def set_command(args):
    """Shl set."""
    out, began = begin_study(args)
    how = how_to_run(args)
    names = ("weight_decays", "seeds", "epochs", "data", "n_samples", "normalized")
    given = {name: getattr(args, name) for name in names}
    records = compare_decays(**given, **how)
    learned = done(records)
    given["epochs"] = learned[0]["epochs"]
    rows = tabulate(learned)
    pictures = _draw(learned, out, load_images(args.data).shape)
    head = f"{name_of(args.data)}, {len(args.seeds)} seeds, {given['epochs']} epochs; correlation "
    head += "of connections per pixel with the pixel's std; test accuracy, and that with the "
    head += "weakest connections (zeta of them) at zero"
    summary = {**given, "table": rows, "pictures": pictures}
    lines = [head, *table(COLUMNS, rows)]
    describe = "weight decay {weight_decay:g}, seed {seed}".format_map
    return end_study(args, out, began, records, summary, lines, describe)


COMMAND = Command(
    "set",
    "sparse networks that evolve under weight decay: do connections find the pixels that matter",
    _add_flags,
    set_command,
)


def _draw(records, out, shape):
    """Write the pictures: connections as a mean over the seeds, the rest for the first seed."""
    from ..plotting.figures import new_figure, save

    decays = list(dict.fromkeys(record["weight_decay"] for record in records))
    pictures = {name: str(out / f"{name}.png") for name in ("connections", "weights", "curves")}
    fig = new_figure(figsize=(9, 3.5 * len(decays)), layout="constrained")
    for decay, axs in zip(decays, fig.subplots(len(decays), 2, squeeze=False), strict=True):
        counts = np.mean(
            [record["counts"] for record in records if record["weight_decay"] == decay], axis=0
        )
        title = f"connections per input, weight decay {decay:g}"
        plots.plot_connections(counts, shape, title=title, axs=axs)
    save(fig, pictures["connections"])
    shown = {
        f"weight decay {record['weight_decay']:g}": record
        for record in records
        if record["seed"] == records[0]["seed"]
    }
    plots.plot_weight_histogram(
        {label: record["weights"] for label, record in shown.items()},
        title="connections of the first layer",
        fname=pictures["weights"],
    )
    plots.plot_train_and_test(shown, fname=pictures["curves"])
    return pictures
