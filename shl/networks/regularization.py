"""What regularisers do to the weights of one softmax layer (after Greydanus 2016, The art of
regularization).
"""

import time
from functools import cache

import numpy as np

from .._checks import check_choice
from .._commands import Command, add_parameter
from .._tables import table
from ..store import Store
from . import studies

METHODS = {
    "none": {},
    "dropout": {"input_dropout": 0.5},
    "gaussian": {"weights": "gaussian"},
    "l2": {"penalty": "l2", "alpha": 1.0},
    "weight norm": {"weights": "normalized"},
}
LEARNING = {"learning_rate_init": 5e-3, "batch_size": 100, "fit_intercept": False}
COLUMNS = {
    "regulariser": "method",
    "test accuracy": studies.with_std("accuracy"),
    "train loss": "loss",
    "time": "relative_time",
    "smallest": "smallest",
    "largest": "largest",
    "exact zeros": "{zeros:.0f} of {n_weights:.0f}".format_map,
}


def learn_one(method: str, seed: int, epochs: int = 100, data: str = "digits") -> dict:
    """Learn one softmax layer without biases under a regulariser of `METHODS`.

    Returns a dict: method, seed, accuracy (test; dropout is off), loss (mean cross-entropy of the
    last epoch, without the penalty), seconds, smallest and largest weight, zeros (exact),
    n_weights, weights (n_pixels, n_classes), epochs and accuracies (n_records,), the test accuracy
    while it learned.
    """
    check_choice(method, "method", METHODS)
    X, X_test, y, y_test = studies.split_images(data, seed)
    _warm_up(data)
    model = _make_model(method, seed, epochs)
    began = time.perf_counter()
    model.fit(X, y, X_test, y_test)
    seconds = time.perf_counter() - began
    (weights,) = model.coefs_
    return {
        "method": method,
        "seed": seed,
        "accuracy": float(model.score(X_test, y_test)),
        "loss": float(model.loss_),
        "seconds": seconds,
        "smallest": float(weights.min()),
        "largest": float(weights.max()),
        "zeros": int((weights == 0).sum()),
        "n_weights": weights.size,
        "weights": weights,
        "epochs": model.history_["steps"],
        "accuracies": model.history_["val_score"],
    }


def _make_model(method, seed, epochs):
    """A softmax layer without biases, not yet fitted."""
    from .estimators import SparseMLPClassifier

    return SparseMLPClassifier(
        (),
        max_iter=epochs,
        random_state=seed,
        record_each=max(1, epochs // 50),
        **LEARNING,
        **METHODS[method],
    )


@cache
def _warm_up(data):
    """An epoch that is not measured: the first learning of a process is slow."""
    X, _, y, _ = studies.split_images(data, 0)
    _make_model("none", 0, 1).fit(X, y)


def compare_regularizers(
    seeds: tuple[int, ...] = (0, 1, 2),
    epochs: int = 100,
    data: str = "digits",
    methods: tuple[str, ...] = tuple(METHODS),
    n_jobs: int = 1,
    store: Store | None = None,
    verbose: int = 0,
) -> list[dict]:
    """`learn_one` for each seed and regulariser: its records, see `run_study`.

    The regularisers take turns within a seed, so that with n_jobs=1 their times compare.
    """
    calls = [
        {"method": method, "seed": seed, "epochs": epochs, "data": data}
        for seed in seeds
        for method in methods
    ]
    return studies.run_study(
        "regularization", learn_one, calls, (METHODS, LEARNING), store, n_jobs, verbose
    )


def tabulate(records: list[dict]) -> list[dict]:
    """A row for each regulariser: means and standard deviations over the seeds, time relative to
    the first row's.
    """
    names = ("accuracy", "loss", "smallest", "largest", "zeros", "n_weights")
    rows = studies.summarise(records, ["method"], names)
    seconds = {(record["method"], record["seed"]): record["seconds"] for record in records}
    for row in rows:
        ratios = [
            took / seconds[rows[0]["method"], seed]
            for (method, seed), took in seconds.items()
            if method == row["method"] and (rows[0]["method"], seed) in seconds
        ]
        row["relative_time"] = float(np.median(ratios)) if ratios else None
    return rows


def _add_flags(parser):
    """The flags of the command."""
    studies.add_study_flags(parser, compare_regularizers, "shl_regularization", n_jobs=1)
    text = "mnist is downloaded from OpenML"
    add_parameter(parser, compare_regularizers, "data", text, choices=studies.DATASETS)


def regularization_command(args):
    """Shl regularization."""
    from . import plots

    out, began = studies.begin_study(args)
    how = studies.how_to_run(args)
    records = compare_regularizers(args.seeds, args.epochs, args.data, **how)
    learned = studies.done(records)
    shown = [record for record in learned if record["seed"] == learned[0]["seed"]]
    pictures = {"weights": str(out / "weights.png"), "accuracy": str(out / "accuracy.png")}
    plots.plot_weight_images(
        {record["method"]: record["weights"] for record in shown}, fname=pictures["weights"]
    )
    plots.plot_curves(
        {record["method"]: (record["epochs"], record["accuracies"]) for record in shown},
        ylabel="test accuracy",
        fname=pictures["accuracy"],
    )
    rows = tabulate(learned)
    head = f"{args.data}, {len(args.seeds)} seeds, {args.epochs} epochs; zeros are exact "
    lines = [f"{head}(zero_tol 0)", *table(COLUMNS, rows)]
    same = {name: getattr(args, name) for name in ("data", "epochs", "seeds")}
    summary = {**same, "zero_tol": 0, "table": rows, "pictures": pictures}
    return studies.end_study(
        args, out, began, records, summary, lines, "{method}, seed {seed}".format_map
    )


COMMAND = Command(
    "regularization",
    "one softmax layer under five regularisers: table, weight images, accuracy over epochs",
    _add_flags,
    regularization_command,
)
