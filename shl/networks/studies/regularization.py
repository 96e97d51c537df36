"""What regularisers do to the weights of one softmax layer (after Greydanus 2016, The art of
regularization).

The protocol is that of the document.  The layer y = softmax(x W) has no biases.  Its loss is
l2_loss(y - target) / (n_classes batch_size), half the squared error of the outputs.
"""

import time
from typing import Annotated, Any

import numpy as np

from ..._base import constraints as of
from . import plots
from .data import SampleCount, load_labelled, split
from .study import NetworkStudy, of_first_seed, with_std

METHODS = ("none", "dropout", "gaussian", "l2", "weight norm")
LOSSES = ("squared error", "cross-entropy")
SETTINGS: dict[str, Any] = {
    "epochs": 500,
    "learning_rate": 1e-4,
    "batch_size": 32,
    "init_scale": 0.01,
    "dropout": 0.5,  # share of the inputs that a step does not see
    "noise": 1.0,  # of the place at which a Gaussian's density is the weight, in training
    "l2": 1e-2,  # the penalty is l2 sum w^2 / 2, part of the loss
    "late": 0.2,  # share of the epochs, the last ones, over which accuracy is a mean
}


@of.checked
def learn_one(
    method: Annotated[str, of.choice(METHODS)],
    seed: of.CountOrZero,
    epochs: of.Count = SETTINGS["epochs"],
    data: str = "digits",
    n_samples: SampleCount | None = None,
    loss: Annotated[str, of.choice(LOSSES)] = "squared error",
) -> dict:
    """Learn one softmax layer under a regulariser.

    Parameters
    ----------
    method : {'none', 'dropout', 'gaussian', 'l2', 'weight norm'}
    seed : int
        Decides split, start and order.
    epochs : int, default=500
    data : str, default='digits'
        See `shl.networks.studies.data.load_labelled`.
    n_samples : int, default=None
        See `shl.networks.studies.data.split`.
    loss : {'squared error', 'cross-entropy'}, default='squared error'
        Half the squared error of the outputs, divided by the number of classes, or the
        cross-entropy; a mean over the batch.

    Returns
    -------
    record : dict
        method, seed, accuracy (of the test set, mean over the records of the last fifth of the
        epochs; dropout is off), thinned_accuracy (the last one with dropout on, None without),
        late_range (largest - smallest of these accuracies), loss (mean of the last epoch, without
        the penalty), seconds, smallest and largest weight, weights (n_inputs, n_classes), sigma
        (likewise, of Gaussian weights alone), steps, accuracies and losses (n_records,).
    """
    import torch

    from ..mlp import make_generator, one_thread

    X, X_test, y, y_test = split(data, seed, n_samples)
    classes, y = np.unique(y, return_inverse=True)
    generator = make_generator(np.random.default_rng(seed))
    layer = _make_layer(method, X.shape[1], len(classes), generator)
    X, X_test = torch.from_numpy(X), torch.from_numpy(X_test)
    targets = torch.nn.functional.one_hot(torch.from_numpy(y), len(classes)).to(X.dtype)

    def accuracy(X):
        with torch.no_grad():
            return float(np.mean(classes[layer(X).argmax(1).numpy()] == y_test))

    records, began = [], time.perf_counter()
    with one_thread():
        means = _learn_epochs(layer, X, targets, method, loss, epochs, generator)
        for epoch, mean in enumerate(means, 1):
            if epoch == epochs or epoch % max(1, epochs // 50) == 0:
                layer.eval()
                records.append((epoch, accuracy(X_test), mean))
                layer.train()
        seconds = time.perf_counter() - began
        layer.eval()
        thinned = accuracy(_thin(X_test, generator)) if method == "dropout" else None
    steps, accuracies, losses = (np.array(column) for column in zip(*records, strict=True))
    late = accuracies[steps > (1 - SETTINGS["late"]) * epochs]
    weight = layer.effective_weight() if hasattr(layer, "effective_weight") else layer.weight
    weights = weight.detach().numpy().T.copy()
    record = {
        **{"accuracy": float(late.mean()), "late_range": float(np.ptp(late))},
        **{"thinned_accuracy": thinned, "loss": float(losses[-1]), "seconds": seconds},
        **{"smallest": float(weights.min()), "largest": float(weights.max()), "weights": weights},
        **{"steps": steps, "accuracies": accuracies, "losses": losses},
    }
    if method == "gaussian":
        record["sigma"] = np.exp(layer.log_sigma.detach().numpy().T)
    return record


def _learn_epochs(layer, X, targets, method, loss, epochs, generator):
    """Learn; yield the mean loss of each epoch, without the penalty."""
    import torch

    optimizer = torch.optim.Adam(layer.parameters(), lr=SETTINGS["learning_rate"], fused=True)
    for _ in range(epochs):
        total = 0.0
        for places in torch.randperm(len(X), generator=generator).split(SETTINGS["batch_size"]):
            x = _thin(X[places], generator) if method == "dropout" else X[places]
            cost = _loss_of(layer(x), targets[places], loss)
            total += cost.item() * len(places)
            if method == "l2":
                cost = cost + SETTINGS["l2"] * layer.weight.square().sum() / 2
            optimizer.zero_grad()
            cost.backward()
            optimizer.step()
        yield total / len(X)


def _thin(X, generator):
    """Inputs of which a share is zero, and the others are larger."""
    keep = 1 - SETTINGS["dropout"]
    return X * X.new_empty(X.shape).bernoulli_(keep, generator=generator) / keep


def _make_layer(method, n_in, n_out, generator):
    """The layer of a method, without biases."""
    import torch

    from ..layers import GaussianLinear, NormalizedLinear

    options = {"bias": False, "generator": generator}
    scale = SETTINGS["init_scale"]
    if method == "gaussian":
        return GaussianLinear(n_in, n_out, init_scale=scale, noise=SETTINGS["noise"], **options)
    if method == "weight norm":
        return NormalizedLinear(n_in, n_out, **options)
    layer = torch.nn.utils.skip_init(torch.nn.Linear, n_in, n_out, bias=False)
    torch.nn.init.normal_(layer.weight, 0, scale, generator=generator)
    return layer


def _loss_of(outputs, targets, loss):
    """The mean loss of a batch."""
    from torch.nn import functional

    if loss == "cross-entropy":
        return functional.cross_entropy(outputs, targets)
    return (outputs.softmax(1) - targets).square().mean() / 2


def _draw(records, data):
    """Weight images of the first seed, accuracy and loss over its epochs."""
    shape = load_labelled(data).shape
    shown = {record["method"]: record for record in of_first_seed(records)}
    images = {method: record["weights"] for method, record in shown.items()}
    if "gaussian" in shown:
        images["sigma of gaussian"] = shown["gaussian"]["sigma"]
    curves = {
        name: {method: (record["steps"], record[name]) for method, record in shown.items()}
        for name in ("accuracies", "losses")
    }
    return {
        "weights": plots.plot_weight_images(images, shape)[0],
        "accuracy": plots.plot_curves(curves["accuracies"], ylabel="test accuracy")[0],
        "loss": plots.plot_curves(curves["losses"], ylabel="training loss, without penalty")[0],
    }


STUDY = NetworkStudy(
    name="regularization",
    learn=learn_one,
    varied={"method": METHODS},
    settings=lambda data: SETTINGS,
    averaged=(
        *("accuracy", "thinned_accuracy", "late_range", "loss", "smallest", "largest", "seconds"),
    ),
    columns={
        "regulariser": "method",
        "test accuracy": with_std("accuracy"),
        "dropout on": "thinned_accuracy",
        "late range": "{late_range:.3f}".format_map,
        "train loss": "loss",
        "time": "relative_time",
        "smallest": "smallest",
        "largest": "largest",
    },
    head=f"accuracy is the mean over the last {SETTINGS['late']:.0%} of the epochs, late range its "
    "largest - smallest",
    texts={"method": "regularisers", "loss": f"one of {', '.join(LOSSES)}"},
    draw=_draw,
    n_jobs=1,
)
