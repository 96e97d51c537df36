"""Sparse evolutionary training (Mocanu et al. 2018) under weight decay: do connections find the
pixels that matter?
"""

import numpy as np

from ..._base import constraints as of
from . import plots
from .data import SampleCount, load_labelled, split
from .study import NetworkStudy, fit_timed, of_first_seed, with_std

# Digits have their raw grey levels 0..16; others have 0..1 and the sizes of the study of 2019.
STUDY_OF_2019 = {"hidden_layer_sizes": (512, 128), "epsilon": 11, "learning_rate_init": 0.01}
STUDY_OF_2019 |= {"solver": "sgd", "momentum": 0.5, "batch_size": 100}
STUDY_OF_2019 |= {"connectivity": "set", "evolve_each": 1}
DIGITS = {"hidden_layer_sizes": (256, 64), "epsilon": 4, "learning_rate_init": 0.05}
DIGITS |= {"batch_size": 32, "evolve_each": 10}
SETTINGS = {
    "digits": {**STUDY_OF_2019, **DIGITS, "epochs": 400, "grey_levels": 16},
    "others": {**STUDY_OF_2019, "epochs": 100, "grey_levels": 1},
}


def settings_of(data):
    """Network, rates and epochs for data."""
    return dict(SETTINGS.get(data, SETTINGS["others"]))


@of.checked
def evolve_one(
    weight_decay: of.NotNegative,
    seed: of.CountOrZero,
    epochs: of.Count | None = None,
    data: str = "digits",
    n_samples: SampleCount | None = None,
    normalized: of.Flag = False,
    published: of.Flag = False,
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
        See `shl.networks.studies.data.load_labelled`.
    n_samples : int, default=None
        See `shl.networks.studies.data.split`.
    normalized : bool, default=False
        Whether inputs have mean 0 and variance 1 over all pixels: border pixels are then below 0,
        and not silent.
    published : bool, default=False
        Whether network, rates, batches and inputs are those of the study of 2019 for digits too.

    Returns
    -------
    record : dict
        correlation (of connections per pixel with the pixel's standard deviation over the training
        set), accuracy and test_loss, zeroed_accuracy (after `SparseLinear.zero_connections`), loss
        (train, last epoch, without penalty), seconds, counts (n_pixels,) of connections, weights
        (n_connections,) of the first layer, and the records (n_records,) steps, train_losses,
        losses, train_accuracies, accuracies (those of the test set without 'train').
    """
    from ..estimators import SparseMLPClassifier

    settings = settings_of("others" if published else data)
    X, X_test, y, y_test = split(data, seed, n_samples)
    X, X_test = _scale(X, X_test, settings.pop("grey_levels"), normalized or published)
    default = settings.pop("epochs")
    n_epochs = epochs or default
    model = SparseMLPClassifier(
        max_iter=n_epochs,
        record_each=max(1, n_epochs // 40),
        penalty="l2" if weight_decay else None,
        alpha=weight_decay,
        random_state=seed,
        **settings,
    )
    seconds = fit_timed(model, X, X_test, y, y_test)
    layer, records = model.module_[0], model.history_
    counts = layer.connections_per_input().numpy()
    weights = layer.weight.detach().numpy().ravel()[layer.connections.numpy()]
    accuracy = float(model.score(X_test, y_test))
    for sparse in model.module_[:-1:2]:
        sparse.zero_connections()
    return {
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


def _scale(X, X_test, grey_levels, is_normalized):
    """Training and test inputs on the scale on which the network sees them."""
    if not is_normalized:
        return X * grey_levels, X_test * grey_levels
    return tuple((part - X.mean()) / (X.std() or 1) for part in (X, X_test))


def correlate(counts: np.ndarray, spread: np.ndarray) -> float:
    """Return Pearson's correlation of connections per pixel with the pixels' standard deviations;
    NaN if one is constant.

    >>> correlate(np.array([1, 2, 3]), np.array([0.0, 0.1, 0.2]))
    1.0
    """
    a, b = counts - np.mean(counts), spread - np.mean(spread)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return round(float(a @ b / norms), 12) if norms else float("nan")


def _draw(records, data):
    """Connections as a mean over the seeds; weights and curves of the first seed."""
    decays = list(dict.fromkeys(record["weight_decay"] for record in records))
    shape = load_labelled(data).shape
    n = len(decays)
    connections, rows = plots.make_panels((n, 2), (9, 3.5 * n), squeeze=False)
    for decay, axs in zip(decays, rows, strict=True):
        counts = np.mean([r["counts"] for r in records if r["weight_decay"] == decay], axis=0)
        title = f"connections per input, weight decay {decay:g}"
        plots.plot_connections(counts, shape, title=title, axs=axs)
    shown = {f"weight decay {r['weight_decay']:g}": r for r in of_first_seed(records)}
    weights = {label: record["weights"] for label, record in shown.items()}
    title = "connections of the first layer"
    return {
        "connections": connections,
        "weights": plots.plot_weight_histogram(weights, title=title)[0],
        "curves": plots.plot_train_and_test(shown)[0],
    }


STUDY = NetworkStudy(
    name="set",
    learn=evolve_one,
    varied={"weight_decay": (0.0, 1e-3, 5e-3)},
    settings=settings_of,
    averaged=("correlation", "accuracy", "zeroed_accuracy", "loss", "test_loss", "seconds"),
    columns={
        "weight decay": "weight_decay",
        "correlation": with_std("correlation"),
        "test accuracy": with_std("accuracy"),
        "weakest at zero": with_std("zeroed_accuracy"),
        "train loss": "loss",
        "test loss": with_std("test_loss"),
        "seconds": "seconds",
    },
    head="correlation of connections per pixel with the pixel's std; test accuracy, and that with "
    "the weakest connections (zeta of them) at zero",
    texts={
        "weight_decay": "strengths of the L2 penalty",
        "normalized": "inputs of mean 0 and variance 1: border pixels are below 0",
        "published": "layers, rates, batches and inputs of the study of 2019, for digits too",
    },
    draw=_draw,
)
