"""Sparse evolutionary training (Mocanu et al. 2018) under weight decay: do connections find the
pixels that matter?
"""

import time

import numpy as np

from ..._base.checks import check_flag, check_number
from ...store.entries import Store
from . import runs
from .data import identity_of, split_images

# Digits have their raw grey levels 0..16; others have 0..1 and the sizes of the study of 2019.
SETTINGS = {
    "digits": {
        "hidden_layer_sizes": (256, 64),
        "epsilon": 4,
        "learning_rate_init": 0.05,
        "momentum": 0.5,
        "batch_size": 32,
        "evolve_each": 10,
    },
    "others": {
        "hidden_layer_sizes": (512, 128),
        "epsilon": 11,
        "learning_rate_init": 0.01,
        "momentum": 0.5,
        "batch_size": 100,
        "evolve_each": 1,
    },
}
GREY_LEVELS = {"digits": 16, "others": 1}
EPOCHS = {"digits": 400, "others": 100}
WEIGHT_DECAYS = (0.0, 1e-3, 5e-3)
AVERAGED = ("correlation", "accuracy", "zeroed_accuracy", "loss", "test_loss", "seconds")
COLUMNS = {
    "weight decay": "weight_decay",
    "correlation": runs.with_std("correlation"),
    "test accuracy": runs.with_std("accuracy"),
    "weakest at zero": runs.with_std("zeroed_accuracy"),
    "train loss": "loss",
    "test loss": runs.with_std("test_loss"),
    "seconds": "seconds",
}


def evolve_one(
    weight_decay: float,
    seed: int,
    epochs: int | None = None,
    data: str = "digits",
    n_samples: int | None = None,
    normalized: bool = False,
) -> dict:
    """Learn a sparse network that evolves, with a weight decay (an L2 penalty of that strength, all
    layers).

    Parameters
    ----------
    weight_decay : float
        At least 0.
    seed : int
        Decides split, start and order.
    epochs : int, default=None
        None is 400 for digits, 100 for others.
    data : str, default='digits'
        See `shl.networks.data.load_images`.
    n_samples : int, default=None
        See `shl.networks.data.split_images`.
    normalized : bool, default=False
        Whether inputs have mean 0 and variance 1 over all pixels: border pixels are then below 0,
        and not silent.

    Returns
    -------
    record : dict
        weight_decay, seed, correlation (of connections per pixel with the pixel's standard
        deviation over the training set), accuracy and test_loss, zeroed_accuracy (after
        `SparseLinear.zero_connections`), loss (train, last epoch, without penalty), seconds, counts
        (n_pixels,) of connections, weights (n_connections,) of the first layer, and the records
        (n_records,) steps, train_losses, losses, train_accuracies, accuracies (those of the test
        set without 'train').
    """
    from ..estimators import SparseMLPClassifier

    kind = _kind_of(data)
    X, X_test, y, y_test = split_images(data, seed, n_samples)
    X, X_test = _scale(X, X_test, GREY_LEVELS[kind], check_flag(normalized, "normalized"))
    decay = check_number(weight_decay, "weight_decay", least=0)
    epochs = EPOCHS[kind] if epochs is None else epochs
    model = SparseMLPClassifier(
        solver="sgd",
        connectivity="set",
        penalty="l2" if decay else None,
        alpha=decay,
        max_iter=epochs,
        random_state=seed,
        record_each=max(1, epochs // 40),
        **SETTINGS[kind],
    )
    began = time.perf_counter()
    model.fit(X, y, X_test, y_test)
    seconds = time.perf_counter() - began
    layer, records = model.module_.layers[0], model.history_
    counts = layer.connections_per_input().numpy()
    weights = layer.weight.detach().numpy().ravel()[layer.connections.numpy()]
    accuracy = float(model.score(X_test, y_test))
    for sparse in model.module_.layers[:-1]:
        sparse.zero_connections()
    return {
        "weight_decay": weight_decay,
        "seed": seed,
        "correlation": correlate(counts, X.std(axis=0)),
        "accuracy": accuracy,
        "zeroed_accuracy": float(model.score(X_test, y_test)),
        "loss": float(model.loss_),
        "test_loss": float(records["val_loss"][-1]),
        "seconds": seconds,
        "counts": counts,
        "weights": weights,
        "steps": records["steps"],
        "train_losses": records["loss"],
        "losses": records["val_loss"],
        "train_accuracies": records["score"],
        "accuracies": records["val_score"],
    }


def _kind_of(data):
    """Whose settings hold for data."""
    return data if data in SETTINGS else "others"


def _scale(X, X_test, grey_levels, is_normalized):
    """Training and test inputs on the scale on which the network sees them."""
    if not is_normalized:
        return X * grey_levels, X_test * grey_levels
    return tuple((part - X.mean()) / (X.std() or 1) for part in (X, X_test))


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
    epochs: int | None = None,
    data: str = "digits",
    n_samples: int | None = None,
    normalized: bool = False,
    n_jobs: int = 1,
    store: Store | None = None,
    verbose: int = 0,
) -> list[dict]:
    """`evolve_one` for each weight decay and seed: its records, see `run_study`."""
    epochs = EPOCHS[_kind_of(data)] if epochs is None else epochs
    same = {"epochs": epochs, "data": data, "n_samples": n_samples, "normalized": normalized}
    calls = [
        {"weight_decay": decay, "seed": seed, **same} for seed in seeds for decay in weight_decays
    ]
    settings = SETTINGS, GREY_LEVELS, identity_of(data)
    return runs.run_study("set_evolution", evolve_one, calls, settings, store, n_jobs, verbose)


def tabulate(records: list[dict]) -> list[dict]:
    """A row for each weight decay: means and standard deviations over the seeds."""
    return runs.summarise(records, ["weight_decay"], AVERAGED)
