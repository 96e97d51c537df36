"""Penalties that take weights, inputs and units out of a network (after Scardapane et al. 2017)."""

from ..._base import constraints as of
from . import plots
from .data import SampleCount, load_labelled, split
from .study import NetworkStudy, fit_timed, of_first_seed, with_std

PENALTIES = ("l2", "l1", "group_lasso", "sparse_group_lasso")
SETTINGS = {
    "digits": {"hidden_layer_sizes": (40, 20), "alpha": 10**-3.5, "epochs": 1500},
    "diabetes": {"hidden_layer_sizes": (20, 15), "alpha": 1e-2, "epochs": 500},
    "others": {"hidden_layer_sizes": (40, 20), "alpha": 10**-3.5, "epochs": 200},
}
LEARNING = {"activation": "leaky_relu", "solver": "adam", "learning_rate_init": 1e-3}
LEARNING["batch_size"] = 300
ALPHAS = ", ".join(f"{settings['alpha']:.2g} for {data}" for data, settings in SETTINGS.items())


def settings_of(data):
    """Network, strength and epochs for data."""
    return {**SETTINGS.get(data, SETTINGS["others"]), **LEARNING}


@of.checked
def learn_one(
    penalty: str,
    seed: of.CountOrZero,
    epochs: of.Count | None = None,
    data: str = "digits",
    alpha: of.NotNegative | None = None,
    n_samples: SampleCount | None = None,
) -> dict:
    """Learn under a penalty, then shrink.

    Parameters
    ----------
    penalty : str
        A penalty of `SparseMLPClassifier`.
    seed : int
        Decides split, start and order.
    epochs, alpha : int and float, default=None
        None are those of `SETTINGS`.
    data, n_samples : str and int
        See `shl.networks.studies.data.split`.  Targets that are not whole are a regression.

    Returns
    -------
    record : dict
        strength (alpha), train_score and test_score (accuracy, or R2 of a regression), loss (train,
        last epoch, without the penalty), zeros and units (n_layers,): exact zeros, and inputs and
        units left, sparsity (share of zeros), n_weights, n_kept (weights of the shrunk network),
        shrink_error (largest difference of its outputs), seconds, sizes (n_layers,), and the
        records (n_records,) steps, objectives (loss + penalty), losses, and units_left (n_records,
        n_layers).
    """
    from ..estimators import SparseMLPClassifier, SparseMLPRegressor
    from ..shrinking import shrink

    parts = X, X_test, y, y_test = split(data, seed, n_samples, takes_targets=True)
    settings = settings_of(data)
    default = settings.pop("epochs")
    n_epochs = epochs or default
    settings["alpha"] = settings["alpha"] if alpha is None else alpha
    is_regression = load_labelled(data).is_regression
    cls = SparseMLPRegressor if is_regression else SparseMLPClassifier
    each = max(1, n_epochs // 50)
    model = cls(penalty=penalty, max_iter=n_epochs, random_state=seed, record_each=each, **settings)
    seconds = fit_timed(model, *parts)
    history, smaller = model.history_, shrink(model)
    n_weights, n_kept = (sum(w.size for w in each.coefs_) for each in (model, smaller))
    outputs = "predict" if is_regression else "predict_proba"
    difference = getattr(smaller, outputs)(X_test) - getattr(model, outputs)(X_test)
    return {
        "strength": settings["alpha"],
        "train_score": float(model.score(X, y)),
        "test_score": float(model.score(X_test, y_test)),
        "loss": float(model.loss_),
        "seconds": seconds,
        "zeros": history["zeros"][-1],
        "units": history["units"][-1],
        "sparsity": float(history["zeros"][-1].sum() / n_weights),
        "n_weights": n_weights,
        "n_kept": n_kept,
        "shrink_error": float(abs(difference).max()),
        "steps": history["steps"],
        "objectives": history["loss"] + history["penalty"],
        "losses": history["loss"],
        "units_left": history["units"],
        "sizes": [len(w) for w in model.coefs_],
    }


def _draw(records, data):
    """Units left and objective over the epochs of the first seed; sparsity against loss, if there
    are several strengths.
    """
    first = of_first_seed(records)
    shown = {r["penalty"]: r for r in first if r["alpha"] == first[0]["alpha"]}
    n = len(shown)
    units, axs = plots.make_panels((1, n), (4 * n, 3.5), squeeze=False)
    for ax, (penalty, record) in zip(axs[0], shown.items(), strict=True):
        history = {"steps": record["steps"], "units": record["units_left"]}
        plots.plot_units_left(history, record["sizes"], title=penalty, fig=units, ax=ax)
    curves = {name: (record["steps"], record["objectives"]) for name, record in shown.items()}
    objective, ax = plots.plot_curves(curves, ylabel="training loss + penalty")
    ax.set_yscale("log")
    figures = {"units": units, "objective": objective}
    if len({record["alpha"] for record in first}) > 1:
        points = {
            penalty: [
                [record[name] for record in first if record["penalty"] == penalty]
                for name in ("sparsity", "loss", "strength")
            ]
            for penalty in shown
        }
        figures["path"] = plots.plot_lambda_path(points)[0]
    return figures


STUDY = NetworkStudy(
    name="group-sparsity",
    learn=learn_one,
    varied={"penalty": PENALTIES, "alpha": (None,)},
    settings=settings_of,
    averaged=(
        *("strength", "train_score", "test_score", "loss", "zeros", "units", "sparsity"),
        *("n_weights", "n_kept", "shrink_error", "seconds"),
    ),
    columns={
        "penalty": "penalty",
        "alpha": "strength",
        "train": "train_score",
        "test": with_std("test_score"),
        "train loss": "loss",
        "exact zeros": "{sparsity:.1%}".format_map,
        "by layer": lambda row: "/".join(f"{zeros:.0f}" for zeros in row["zeros"]),
        "rows left": lambda row: "/".join(f"{units:.0f}" for units in row["units"]),
        "shrunk to": "{n_kept:.0f} of {n_weights:.0f}".format_map,
        "seconds": "seconds",
    },
    head="accuracy, or R2 of a regression; zeros are exact",
    texts={"penalty": "penalties", "alpha": f"strengths of the penalties (default: {ALPHAS})"},
    draw=_draw,
    path={
        "penalty": ("sparse_group_lasso",),
        "alpha": tuple(10.0**power for power in (-4.5, -4, -3.5, -3, -2.5)),
    },
    data=("digits", "diabetes"),
    seeds=(0, 1),
)
