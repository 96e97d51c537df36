"""Penalties that take weights, inputs and units out of a network (after Scardapane et al. 2017)."""

import time

import numpy as np

from ..._base.checks import check_count, check_number
from ...store.entries import Store
from . import runs
from .data import identity_of, split_images

PENALTIES = ("l2", "l1", "group_lasso", "sparse_group_lasso")
SETTINGS = {
    "digits": {"hidden_layer_sizes": (40, 20), "alpha": 10**-3.5, "max_iter": 1500},
    "diabetes": {"hidden_layer_sizes": (20, 15), "alpha": 1e-2, "max_iter": 500},
    "others": {"hidden_layer_sizes": (40, 20), "alpha": 10**-3.5, "max_iter": 200},
}
LEARNING = {
    "activation": "leaky_relu",
    "solver": "adam",
    "learning_rate_init": 1e-3,
    "batch_size": 300,
}
PATH = tuple(10.0**power for power in (-4.5, -4, -3.5, -3, -2.5))
PATH_PENALTY = "sparse_group_lasso"
AVERAGED = (
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
COLUMNS = {
    "penalty": "penalty",
    "alpha": "alpha",
    "train": "train_score",
    "test": runs.with_std("test_score"),
    "train loss": "loss",
    "exact zeros": "{sparsity:.1%}".format_map,
    "by layer": lambda row: "/".join(f"{zeros:.0f}" for zeros in row["zeros"]),
    "rows left": lambda row: "/".join(f"{units:.0f}" for units in row["units"]),
    "shrunk to": "{n_kept:.0f} of {n_weights:.0f}".format_map,
    "seconds": "seconds",
}


def load_split(data: str, seed: int, n_samples: int | None = None) -> list[np.ndarray]:
    """(X, X_test, y, y_test): diabetes standardised by its training part, or images and their
    classes, see `shl.networks.data.split_images`.
    """
    if data != "diabetes":
        return split_images(data, seed, n_samples)
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


def settings_of(data):
    """Network, strength and epochs for data."""
    return SETTINGS.get(data, SETTINGS["others"])


def learn_one(
    penalty: str,
    seed: int,
    epochs: int | None = None,
    data: str = "digits",
    alpha: float | None = None,
    n_samples: int | None = None,
) -> dict:
    """Learn under a penalty, then shrink; epochs and alpha that are None are those of `SETTINGS`.

    Returns a dict: penalty, alpha, seed, train_score and test_score (accuracy, or R2 for diabetes),
    loss (train, last epoch, without the penalty), zeros and units (n_layers,): exact zeros, and
    inputs and units left, sparsity (share of zeros), n_weights, epochs, n_kept (weights of the
    shrunk network), shrink_error (largest difference of its outputs), seconds, and steps
    (n_records,), units_left (n_records, n_layers) and sizes (n_layers,) for `plot_units_left`.
    """
    from ..estimators import SparseMLPClassifier, SparseMLPRegressor
    from ..shrinking import shrink

    X, X_test, y, y_test = load_split(data, seed, n_samples)
    given = {
        "alpha": check_number(alpha, "alpha", least=0, is_optional=True),
        "max_iter": check_count(epochs, "epochs", is_optional=True),
    }
    settings = settings_of(data) | {
        name: value for name, value in given.items() if value is not None
    }
    is_regression = data == "diabetes"
    cls = SparseMLPRegressor if is_regression else SparseMLPClassifier
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
    zeros, n_weights = runs.count_parameters(model)
    smaller = shrink(model)
    outputs = "predict" if is_regression else "predict_proba"
    return {
        "penalty": penalty,
        "alpha": settings["alpha"],
        "seed": seed,
        "train_score": float(model.score(X, y)),
        "test_score": float(model.score(X_test, y_test)),
        "loss": float(model.loss_),
        "seconds": seconds,
        "zeros": model.history_["zeros"][-1],
        "units": model.history_["units"][-1],
        "sparsity": zeros / n_weights,
        "n_weights": n_weights,
        "epochs": model.n_iter_,
        "n_kept": runs.count_parameters(smaller)[1],
        "shrink_error": float(
            abs(getattr(smaller, outputs)(X_test) - getattr(model, outputs)(X_test)).max()
        ),
        "steps": model.history_["steps"],
        "units_left": model.history_["units"],
        "sizes": [len(w) for w in model.coefs_],
    }


def compare_penalties(
    seeds: tuple[int, ...] = (0, 1),
    epochs: int | None = None,
    data: str = "digits",
    penalties: tuple[str, ...] = PENALTIES,
    alpha: float | None = None,
    n_samples: int | None = None,
    n_jobs: int = 1,
    store: Store | None = None,
    verbose: int = 0,
) -> list[dict]:
    """`learn_one` for each seed and penalty: its records, see `run_study`."""
    epochs = settings_of(data)["max_iter"] if epochs is None else epochs
    same = {"epochs": epochs, "data": data, "alpha": alpha, "n_samples": n_samples}
    calls = [{"penalty": penalty, "seed": seed, **same} for seed in seeds for penalty in penalties]
    return _run(calls, data, store, n_jobs, verbose)


def follow_path(
    alphas: tuple[float, ...] = PATH,
    seed: int = 0,
    epochs: int = 300,
    data: str = "digits",
    n_samples: int | None = None,
    penalty: str = PATH_PENALTY,
    n_jobs: int = 1,
    store: Store | None = None,
    verbose: int = 0,
) -> list[dict]:
    """`learn_one` for each strength of a penalty: its records, see `run_study`."""
    same = {"penalty": penalty, "seed": seed, "epochs": epochs}
    same |= {"data": data, "n_samples": n_samples}
    calls = [{"alpha": alpha, **same} for alpha in alphas]
    return _run(calls, data, store, n_jobs, verbose)


def _run(calls, data, *how):
    settings = SETTINGS, LEARNING, None if data == "diabetes" else identity_of(data)
    return runs.run_study("group_sparsity", learn_one, calls, settings, *how)


def tabulate(records: list[dict]) -> list[dict]:
    """A row for each penalty and alpha: means and standard deviations over the seeds."""
    return runs.summarise(records, ["penalty", "alpha"], AVERAGED)
