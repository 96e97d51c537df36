"""What regularisers do to the weights of one softmax layer (after Greydanus 2016, The art of
regularization).
"""

import time

import numpy as np

from .._checks import check_choice
from .studies import (
    DATASETS,
    add_study,
    check_study,
    finish,
    format_table,
    run_jobs,
    split_images,
    summarise,
)

METHODS = {
    "none": {},
    "dropout": {"input_dropout": 0.5},
    "gaussian": {"weights": "gaussian"},
    "l2": {"penalty": "l2", "alpha": 1.0},
    "weight norm": {"weights": "normalized"},
}
LEARNING = {"learning_rate_init": 5e-3, "batch_size": 100, "fit_intercept": False}
COLUMNS = {
    "regulariser": "{method}",
    "test accuracy": "{accuracy:.3f} +- {accuracy_std:.3f}",
    "train loss": "{loss:.3f}",
    "time": "{relative_time:.2f}",
    "smallest": "{smallest:.2g}",
    "largest": "{largest:.2g}",
    "exact zeros": "{zeros:.0f} of {n_weights:.0f}",
}


def learn_one(method, seed, epochs=100, data="digits"):
    """Learn one softmax layer without biases under a regulariser of `METHODS`.

    Returns a dict: method, seed, accuracy (test; dropout is off), loss (mean cross-entropy of the
    last epoch, without the penalty), seconds, smallest and largest weight, zeros (exact),
    n_weights, weights (n_pixels, n_classes), epochs and accuracies (n_records,), the test accuracy
    while it learned.
    """
    from .estimators import SparseMLPClassifier

    X, X_test, y, y_test = split_images(data, seed)
    options = METHODS[check_choice(method, "method", METHODS)]
    model = SparseMLPClassifier(
        (),
        max_iter=epochs,
        random_state=seed,
        record_each=max(1, epochs // 50),
        **LEARNING,
        **options,
    )
    began = time.perf_counter()
    model.fit(X, y, X_test, y_test)
    seconds = time.perf_counter() - began
    (weights,) = model.coefs_
    return {
        "method": method,
        "seed": seed,
        "accuracy": model.score(X_test, y_test),
        "loss": model.loss_,
        "seconds": seconds,
        "smallest": float(weights.min()),
        "largest": float(weights.max()),
        "zeros": int((weights == 0).sum()),
        "n_weights": weights.size,
        "weights": weights,
        "epochs": model.history_["steps"],
        "accuracies": model.history_["val_score"],
    }


def compare_regularizers(
    seeds=(0, 1, 2), epochs=100, data="digits", methods=tuple(METHODS), n_jobs=1
):
    """`learn_one` for each seed and regulariser: a list of its records.

    The regularisers take turns within a seed, so that with n_jobs=1 their times compare.
    """
    learn_one(methods[0], seeds[0], 1, data)  # the first learning of a process is slow
    jobs = [
        {"method": method, "seed": seed, "epochs": epochs, "data": data}
        for seed in seeds
        for method in methods
    ]
    return run_jobs(learn_one, jobs, n_jobs)


def tabulate(records):
    """A row for each regulariser: means and standard deviations over the seeds, time relative to
    the first row's.
    """
    rows = summarise(
        records, "method", ("accuracy", "loss", "smallest", "largest", "zeros", "n_weights")
    )
    seconds = {
        row["method"]: np.array([r["seconds"] for r in records if r["method"] == row["method"]])
        for row in rows
    }
    for row in rows:
        row["relative_time"] = float(np.median(seconds[row["method"]] / seconds[rows[0]["method"]]))
    return rows


def add_command(commands):
    """Add `shl regularization`; return its parser."""
    parser = add_study(
        commands,
        "regularization",
        regularization_command,
        "one softmax layer under five regularisers: table, weight images, accuracy over epochs",
        epochs=100,
        n_jobs=1,
    )
    parser.add_argument(
        "--data", default="digits", choices=DATASETS, help="mnist is downloaded from OpenML"
    )
    return parser


def regularization_command(args):
    """Shl regularization."""
    from . import plots

    out = check_study(args)
    began = time.perf_counter()
    records = compare_regularizers(args.seeds, args.epochs, args.data, n_jobs=args.n_jobs)
    rows = tabulate(records)
    shown = [record for record in records if record["seed"] == args.seeds[0]]
    pictures = {"weights": str(out / "weights.png"), "accuracy": str(out / "accuracy.png")}
    plots.plot_weight_images(
        {record["method"]: record["weights"] for record in shown}, fname=pictures["weights"]
    )
    plots.plot_curves(
        {record["method"]: (record["epochs"], record["accuracies"]) for record in shown},
        ylabel="test accuracy",
        fname=pictures["accuracy"],
    )
    summary = {
        "data": args.data,
        "epochs": args.epochs,
        "seeds": args.seeds,
        "zero_tol": 0,
        "table": rows,
        "pictures": pictures,
        "seconds": time.perf_counter() - began,
    }
    finish(
        args,
        out,
        summary,
        [
            f"{args.data}, {len(args.seeds)} seeds, {args.epochs} epochs; zeros are exact "
            f"(zero_tol 0)",
            *format_table(rows, COLUMNS),
        ],
    )
