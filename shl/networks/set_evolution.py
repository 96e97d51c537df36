"""Sparse evolutionary training (Mocanu et al. 2018) under weight decay: do connections find the
pixels that matter?
"""

import time

import numpy as np

from .._checks import check_choice, check_number
from .._commands import Command, add_parameter
from .._tables import table
from ..store import Store
from . import studies

# Digits have their raw grey levels 0..16; MNIST has 0..1 and the sizes of the study of 2019.
SETTINGS = {
    "digits": {
        "hidden_layer_sizes": (256, 64),
        "epsilon": 4,
        "learning_rate_init": 0.05,
        "momentum": 0.5,
        "batch_size": 32,
        "evolve_each": 10,
    },
    "mnist": {
        "hidden_layer_sizes": (512, 128),
        "epsilon": 11,
        "learning_rate_init": 0.01,
        "momentum": 0.5,
        "batch_size": 100,
        "evolve_each": 1,
    },
}
GREY_LEVELS = {"digits": 16, "mnist": 1}
WEIGHT_DECAYS = (0.0, 1e-3, 5e-3)
AVERAGED = ("correlation", "accuracy", "loss", "test_loss", "zeros", "n_weights", "seconds")
COLUMNS = {
    "weight decay": "weight_decay",
    "correlation": studies.with_std("correlation"),
    "test accuracy": studies.with_std("accuracy"),
    "train loss": "loss",
    "test loss": "test_loss",
    "exact zeros": "{zeros:.0f} of {n_weights:.0f}".format_map,
    "seconds": "seconds",
}


def evolve_one(weight_decay: float, seed: int, epochs: int = 400, data: str = "digits") -> dict:
    """Learn a sparse network that evolves, with a weight decay (an L2 penalty of that strength, all
    layers).

    Returns a dict: weight_decay, seed, correlation (of connections per pixel with the pixel's
    standard deviation over the training set), accuracy and test_loss, loss (train, last epoch,
    without penalty), zeros (exact) and n_weights, seconds, counts (n_pixels,) of connections,
    weights (n_connections,) of the first layer, and the records epochs, accuracies, losses
    (n_records,).
    """
    from .estimators import SparseMLPClassifier

    X, X_test, y, y_test = studies.split_images(check_choice(data, "data", SETTINGS), seed)
    X, X_test = X * GREY_LEVELS[data], X_test * GREY_LEVELS[data]
    decay = check_number(weight_decay, "weight_decay", least=0)
    model = SparseMLPClassifier(
        solver="sgd",
        connectivity="set",
        penalty="l2" if decay else None,
        alpha=decay,
        max_iter=epochs,
        random_state=seed,
        record_each=max(1, epochs // 40),
        **SETTINGS[data],
    )
    began = time.perf_counter()
    model.fit(X, y, X_test, y_test)
    seconds = time.perf_counter() - began
    layer = model.module_.layers[0]
    counts = layer.connections_per_input().numpy()
    zeros, n_weights = studies.count_parameters(model)
    likely = model.predict_log_proba(X_test)
    return {
        "weight_decay": weight_decay,
        "seed": seed,
        "correlation": correlate(counts, X.std(axis=0)),
        "accuracy": float(model.score(X_test, y_test)),
        "loss": float(model.loss_),
        "seconds": seconds,
        "zeros": zeros,
        "test_loss": float(
            -likely[np.arange(len(y_test)), np.searchsorted(model.classes_, y_test)].mean()
        ),
        "n_weights": n_weights,
        "counts": counts,
        "epochs": model.history_["steps"],
        "weights": layer.weight.detach().numpy().ravel()[layer.connections.numpy()],
        "accuracies": model.history_["val_score"],
        "losses": model.history_["loss"],
    }


def correlate(counts: np.ndarray, spread: np.ndarray) -> float:
    """Pearson's correlation of connections per pixel with the pixels' standard deviations; NaN
    where one is constant.

    >>> correlate(np.array([1, 2, 3]), np.array([0.0, 0.1, 0.2]))
    1.0
    """
    a, b = counts - np.mean(counts), spread - np.mean(spread)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return round(float(a @ b / norms), 12) if norms else float("nan")


def compare_decays(
    weight_decays: tuple[float, ...] = WEIGHT_DECAYS,
    seeds: tuple[int, ...] = (0, 1, 2),
    epochs: int = 400,
    data: str = "digits",
    n_jobs: int = 1,
    store: Store | None = None,
    verbose: int = 0,
) -> list[dict]:
    """`evolve_one` for each weight decay and seed: its records, see `run_study`."""
    calls = [
        {"weight_decay": decay, "seed": seed, "epochs": epochs, "data": data}
        for seed in seeds
        for decay in weight_decays
    ]
    settings = SETTINGS, GREY_LEVELS
    return studies.run_study("set_evolution", evolve_one, calls, settings, store, n_jobs, verbose)


def tabulate(records: list[dict]) -> list[dict]:
    """A row for each weight decay: means and standard deviations over the seeds."""
    return studies.summarise(records, ["weight_decay"], AVERAGED)


def _add_flags(parser):
    """The flags of the command."""
    studies.add_study_flags(parser, compare_decays, "shl_set")
    text = "strengths of the L2 penalty"
    add_parameter(
        parser, compare_decays, "weight_decays", text, "--weight-decay", metavar="STRENGTH"
    )
    text = "mnist is downloaded from OpenML"
    add_parameter(parser, compare_decays, "data", text, choices=studies.DATASETS)


def set_command(args):
    """Shl set."""
    out, began = studies.begin_study(args)
    how = studies.how_to_run(args)
    records = compare_decays(args.weight_decays, args.seeds, args.epochs, args.data, **how)
    learned = studies.done(records)
    rows, pictures = tabulate(learned), _draw(learned, out)
    head = f"{args.data}, {len(args.seeds)} seeds, {args.epochs} epochs; correlation of "
    head += "connections per pixel with the pixel's std; zeros are exact (zero_tol 0)"
    same = {name: getattr(args, name) for name in ("data", "epochs", "seeds")}
    summary = {**same, "zero_tol": 0, "table": rows, "pictures": pictures}
    lines = [head, *table(COLUMNS, rows)]
    describe = "weight decay {weight_decay:g}, seed {seed}".format_map
    return studies.end_study(args, out, began, records, summary, lines, describe)


COMMAND = Command(
    "set",
    "sparse networks that evolve under weight decay: do connections find the pixels that matter",
    _add_flags,
    set_command,
)


def _draw(records, out):
    """Write the pictures: connections as a mean over the seeds, the rest for the first seed."""
    from ..plotting.figures import new_figure, save
    from . import plots

    decays = list(dict.fromkeys(record["weight_decay"] for record in records))
    pictures = {name: str(out / f"{name}.png") for name in ("connections", "weights", "accuracy")}
    fig = new_figure(figsize=(9, 3.5 * len(decays)), layout="constrained")
    for decay, axs in zip(decays, fig.subplots(len(decays), 2, squeeze=False), strict=True):
        counts = np.mean(
            [record["counts"] for record in records if record["weight_decay"] == decay], axis=0
        )
        plots.plot_connections(
            counts, title=f"connections per input, weight decay {decay:g}", axs=axs
        )
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
    plots.plot_curves(
        {label: (record["epochs"], record["accuracies"]) for label, record in shown.items()},
        ylabel="test accuracy",
        fname=pictures["accuracy"],
    )
    return pictures
