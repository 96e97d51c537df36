"""What regularisers do to the weights of one softmax layer (after Greydanus 2016, The art of
regularization).
"""

import time
from functools import cache

import numpy as np

from ..._base.checks import check_choice
from ...store.entries import Store
from . import runs
from .data import identity_of, split_images

METHODS = {
    "none": {},
    "dropout": {"input_dropout": 0.5},
    "gaussian": {"weights": "gaussian"},
    # At the others' rate its accuracy goes up and down by a tenth for ever.
    "l2": {"penalty": "l2", "alpha": 1.0, "learning_rate_init": 5e-4},
    "weight norm": {"weights": "normalized"},
}
LEARNING = {"learning_rate_init": 5e-3, "batch_size": 100, "fit_intercept": False}
LATE = 0.2  # share of the epochs, the last ones, over which accuracy is a mean
COLUMNS = {
    "regulariser": "method",
    "test accuracy": runs.with_std("accuracy"),
    "late range": "{late_range:.3f}".format_map,
    "train loss": "loss",
    "time": "relative_time",
    "smallest": "smallest",
    "largest": "largest",
}


def learn_one(
    method: str, seed: int, epochs: int = 100, data: str = "digits", n_samples: int | None = None
) -> dict:
    """Learn one softmax layer without biases under a regulariser of `METHODS`.

    Parameters
    ----------
    method : str
    seed : int
        Decides split, start and order.
    epochs : int, default=100
    data : str, default='digits'
        See `shl.networks.data.load_images`.
    n_samples : int, default=None
        See `shl.networks.data.split_images`.

    Returns
    -------
    record : dict
        method, seed, accuracy (test, mean over the records of the last fifth of the epochs; dropout
        is off), late_range (of these accuracies, largest - smallest), loss (mean cross-entropy of
        the last epoch, without the penalty), seconds, smallest and largest weight, weights
        (n_pixels, n_classes), steps and accuracies (n_records,), the test accuracy while it
        learned.
    """
    check_choice(method, "method", METHODS)
    X, X_test, y, y_test = split_images(data, seed, n_samples)
    _warm_up(data)
    model = _make_model(method, seed, epochs)
    began = time.perf_counter()
    model.fit(X, y, X_test, y_test)
    seconds = time.perf_counter() - began
    (weights,) = model.coefs_
    steps, accuracies = model.history_["steps"], model.history_["val_score"]
    late = accuracies[steps > (1 - LATE) * epochs]
    return {
        "method": method,
        "seed": seed,
        "accuracy": float(late.mean()),
        "late_range": float(np.ptp(late)),
        "loss": float(model.loss_),
        "seconds": seconds,
        "smallest": float(weights.min()),
        "largest": float(weights.max()),
        "weights": weights,
        "steps": steps,
        "accuracies": accuracies,
    }


def _make_model(method, seed, epochs):
    """A softmax layer without biases, not yet fitted."""
    from ..estimators import SparseMLPClassifier

    return SparseMLPClassifier(
        (),
        max_iter=epochs,
        random_state=seed,
        record_each=max(1, epochs // 50),
        **LEARNING | METHODS[method],
    )


@cache
def _warm_up(data):
    """An epoch that is not measured: the first learning of a process is slow."""
    X, _, y, _ = split_images(data, 0)
    _make_model("none", 0, 1).fit(X, y)


def compare_regularizers(
    seeds: tuple[int, ...] = (0, 1, 2),
    epochs: int = 100,
    data: str = "digits",
    n_samples: int | None = None,
    methods: tuple[str, ...] = tuple(METHODS),
    n_jobs: int = 1,
    store: Store | None = None,
    verbose: int = 0,
) -> list[dict]:
    """`learn_one` for each seed and regulariser: its records, see `run_study`.

    The regularisers take turns within a seed, so that with n_jobs=1 their times compare.
    """
    same = {"epochs": epochs, "data": data, "n_samples": n_samples}
    calls = [{"method": method, "seed": seed, **same} for seed in seeds for method in methods]
    settings = METHODS, LEARNING, LATE, identity_of(data)
    return runs.run_study("regularization", learn_one, calls, settings, store, n_jobs, verbose)


def tabulate(records: list[dict]) -> list[dict]:
    """A row for each regulariser: means and standard deviations over the seeds, time relative to
    the first row's.
    """
    names = ("accuracy", "late_range", "loss", "smallest", "largest")
    rows = runs.summarise(records, ["method"], names)
    seconds = {(record["method"], record["seed"]): record["seconds"] for record in records}
    for row in rows:
        ratios = [
            took / seconds[rows[0]["method"], seed]
            for (method, seed), took in seconds.items()
            if method == row["method"] and (rows[0]["method"], seed) in seconds
        ]
        row["relative_time"] = float(np.median(ratios)) if ratios else None
    return rows
