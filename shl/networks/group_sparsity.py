"""Penalties that take weights, inputs and units out of a network (after Scardapane et al. 2017)."""

import time

import numpy as np

from .._checks import check_choice, check_count, check_number
from .studies import (
    add_study,
    check_study,
    count_parameters,
    finish,
    format_table,
    run_jobs,
    split_images,
    summarise,
)

PENALTIES = ("l2", "l1", "group_lasso", "sparse_group_lasso")
SETTINGS = {
    "digits": {"hidden_layer_sizes": (40, 20), "alpha": 10**-3.5, "max_iter": 1500},
    "diabetes": {"hidden_layer_sizes": (20, 15), "alpha": 1e-2, "max_iter": 500},
}
LEARNING = {
    "activation": "leaky_relu",
    "solver": "adam",
    "learning_rate_init": 1e-3,
    "batch_size": 300,
}
PATH = tuple(10.0**power for power in (-4.5, -4, -3.5, -3, -2.5))
PATH_PENALTY = "sparse_group_lasso"
COLUMNS = {
    "penalty": "{penalty}",
    "alpha": "{alpha:.2g}",
    "train": "{train_score:.3f}",
    "test": "{test_score:.3f} +- {test_score_std:.3f}",
    "train loss": "{loss:.3f}",
    "exact zeros": "{sparsity:.1%}",
    "by layer": lambda row: "/".join(f"{zeros:.0f}" for zeros in row["zeros"]),
    "rows left": lambda row: "/".join(f"{units:.0f}" for units in row["units"]),
    "shrunk to": "{n_kept:.0f} of {n_weights:.0f}",
    "seconds": "{seconds:.0f}",
}


def load_split(data, seed):
    """(X, X_test, y, y_test): digits in 0..1 and their classes, or diabetes standardised by its
    training part.
    """
    if check_choice(data, "data", SETTINGS) == "digits":
        return split_images("digits", seed)
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    X, y = load_diabetes(return_X_y=True, scaled=False)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed)
    X_mean, X_std, y_mean, y_std = X.mean(axis=0), X.std(axis=0), y.mean(), y.std()
    return (
        ((X - X_mean) / X_std).astype(np.float32),
        ((X_test - X_mean) / X_std).astype(np.float32),
        (y - y_mean) / y_std,
        (y_test - y_mean) / y_std,
    )


def learn_one(penalty, seed, epochs=None, data="digits", alpha=None):
    """Learn under a penalty, then shrink; epochs and alpha that are None are those of `SETTINGS`.

    Returns a dict: penalty, alpha, seed, train_score and test_score (accuracy, or R2 for diabetes),
    loss (train, last epoch, without the penalty), zeros and units (n_layers,): exact zeros, and
    inputs and units left, sparsity (share of zeros), n_weights, epochs, n_kept (weights of the
    shrunk network), shrink_error (largest difference of its outputs), seconds, history and sizes
    for `plot_units_left`.
    """
    from .estimators import SparseMLPClassifier, SparseMLPRegressor
    from .shrinking import shrink

    X, X_test, y, y_test = load_split(data, seed)
    given = {
        "alpha": check_number(alpha, "alpha", least=0, is_optional=True),
        "max_iter": check_count(epochs, "epochs", is_optional=True),
    }
    settings = SETTINGS[data] | {name: value for name, value in given.items() if value is not None}
    cls = SparseMLPClassifier if data == "digits" else SparseMLPRegressor
    model = cls(
        penalty=penalty,
        random_state=seed,
        record_each=max(1, settings["max_iter"] // 50),
        **LEARNING,
        **settings,
    )
    began = time.perf_counter()
    model.fit(X, y, X_test, y_test)
    seconds = time.perf_counter() - began
    zeros, n_weights = count_parameters(model)
    smaller = shrink(model)
    outputs = "predict_proba" if data == "digits" else "predict"
    return {
        "penalty": penalty,
        "alpha": settings["alpha"],
        "seed": seed,
        "train_score": model.score(X, y),
        "test_score": model.score(X_test, y_test),
        "loss": model.loss_,
        "seconds": seconds,
        "zeros": model.history_["zeros"][-1],
        "units": model.history_["units"][-1],
        "sparsity": zeros / n_weights,
        "n_weights": n_weights,
        "epochs": model.n_iter_,
        "n_kept": count_parameters(smaller)[1],
        "shrink_error": float(
            abs(getattr(smaller, outputs)(X_test) - getattr(model, outputs)(X_test)).max()
        ),
        "history": model.history_,
        "sizes": [len(w) for w in model.coefs_],
    }


def compare_penalties(
    seeds=(0, 1), epochs=None, data="digits", penalties=PENALTIES, alpha=None, n_jobs=1
):
    """`learn_one` for each seed and penalty: a list of its records."""
    return run_jobs(
        learn_one,
        [
            {"penalty": penalty, "seed": seed, "epochs": epochs, "data": data, "alpha": alpha}
            for seed in seeds
            for penalty in penalties
        ],
        n_jobs,
    )


def follow_path(alphas=PATH, seed=0, epochs=300, data="digits", penalty=PATH_PENALTY, n_jobs=1):
    """`learn_one` for each strength of a penalty: a list of its records."""
    return run_jobs(
        learn_one,
        [
            {"penalty": penalty, "seed": seed, "epochs": epochs, "data": data, "alpha": alpha}
            for alpha in alphas
        ],
        n_jobs,
    )


def tabulate(records, key="penalty"):
    """A row for each penalty (or alpha): means and standard deviations over the seeds."""
    names = (
        "train_score",
        "test_score",
        "loss",
        "zeros",
        "units",
        "sparsity",
        "n_weights",
        "n_kept",
        "shrink_error",
        "seconds",
    )
    rows = summarise(records, key, names)
    for row in rows:
        first = next(record for record in records if record[key] == row[key])
        row |= {"penalty": first["penalty"], "alpha": first["alpha"]}
    return rows


def add_command(commands):
    """Add `shl group-sparsity`; return its parser."""
    parser = add_study(
        commands,
        "group-sparsity",
        group_sparsity_command,
        "L2, L1, group and sparse group lasso: what they leave of a network, on digits and "
        "diabetes",
        epochs=None,
        seeds=(0, 1),
    )
    parser.add_argument(
        "--data", nargs="+", default=list(SETTINGS), choices=list(SETTINGS), help="data sets"
    )
    parser.add_argument(
        "--alpha",
        type=float,
        default=None,
        help="strength of the penalties; None: 10^-3.5 for digits, 10^-2 for diabetes",
    )
    parser.add_argument(
        "--path-epochs",
        type=int,
        default=300,
        help=f"epochs of each learning of the path of strengths ({PATH_PENALTY}); 0 for no path",
    )
    return parser


def group_sparsity_command(args):
    """Shl group-sparsity."""
    out = check_study(args)
    check_count(args.path_epochs, "path_epochs", least=0)
    began = time.perf_counter()
    summary = {"epochs": {}, "seeds": args.seeds, "zero_tol": 0, "tables": {}, "pictures": {}}
    lines = [
        f"{len(args.seeds)} seeds; accuracy on digits, R2 on diabetes; zeros are exact (zero_tol 0)"
    ]
    for data in args.data:
        records = compare_penalties(
            args.seeds, args.epochs, data, alpha=args.alpha, n_jobs=args.n_jobs
        )
        rows = summary["tables"][data] = tabulate(records)
        summary["epochs"][data] = records[0]["epochs"]
        lines += ["", f"{data}, {records[0]['epochs']} epochs", *format_table(rows, COLUMNS)]
        summary["pictures"][f"units_{data}"] = _draw_units(
            records, args.seeds[0], out / f"units_{data}.png"
        )
    if args.path_epochs:
        data = args.data[0]
        path = follow_path(
            seed=args.seeds[0], epochs=args.path_epochs, data=data, n_jobs=args.n_jobs
        )
        rows = summary["tables"]["path"] = tabulate(path, "alpha")
        lines += [
            "",
            f"{data}, {PATH_PENALTY}, seed {args.seeds[0]}, {args.path_epochs} epochs",
            *format_table(rows, COLUMNS),
        ]
        summary["pictures"]["path"] = _draw_path(rows, out / "path.png")
    summary["seconds"] = time.perf_counter() - began
    finish(args, out, summary, lines)


def _draw_units(records, seed, fname):
    """Write the units left over the epochs, a panel a penalty; return the picture's name."""
    from ..plotting.figures import new_figure, save
    from . import plots

    shown = [record for record in records if record["seed"] == seed]
    fig = new_figure(figsize=(4 * len(shown), 3.5), layout="constrained")
    for ax, record in zip(fig.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        plots.plot_units_left(
            record["history"], record["sizes"], title=record["penalty"], fig=fig, ax=ax
        )
    save(fig, fname)
    return str(fname)


def _draw_path(rows, fname):
    """Write sparsity against loss; return the picture's name."""
    from . import plots

    plots.plot_lambda_path(
        [row["alpha"] for row in rows],
        [row["sparsity"] for row in rows],
        {f"train loss, {PATH_PENALTY}": [row["loss"] for row in rows]},
        fname=fname,
    )
    return str(fname)
