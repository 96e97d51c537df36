"""How the estimators train a module with skorch: batches of tensors, weighted losses, a state to go
on from.
"""

import numbers
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from skorch import NeuralNet
from torch import nn

from .._base.checks import check_choice, check_count, check_number
from .._base.progress import progress
from ..learning.history import History
from .callbacks import Converged, EarlyStopping, Evolution, Penalize, Progress, Recorder
from .mlp import make_generator, weight_matrices
from .penalties import make_penalty

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


class Net(NeuralNet):
    """A skorch net whose batches are slices of tensors, shuffled by a generator of its own."""

    def __init__(self, *args, shuffler=None, **options):
        self.shuffler = shuffler
        super().__init__(*args, **options)

    def get_default_callbacks(self):
        """None: no timer and no log, what there is to know is in the recorder."""
        return []

    def get_iterator(self, dataset, training=False):
        """Batches of a dataset that holds tensors: no loader, no worker, no copy of single
        samples.
        """
        return Batches(dataset.X, *dataset.y, self.batch_size, self.shuffler)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """The criterion of (prediction, target, sample weights or None)."""
        return self.criterion_(y_pred, *y_true)

    def learn(self, X, target, weight, epochs):
        """Epochs until a callback has enough; a user's interrupt is not caught."""
        self.notify("on_train_begin", X=X, y=target)
        with suppress(Converged):
            self.fit_loop(Whole(X, (target, weight)), epochs=epochs)
        self.notify("on_train_end", X=X, y=target)


class Whole(torch.utils.data.Dataset):
    """X and y = (target, sample weights or None), whole: batches are cut from them."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)


class Batches:
    """Batches (X, (target, weight)) of tensors: each time it is iterated in a new order, which a
    generator draws.
    """

    def __init__(self, X, target, weight, batch_size, shuffler):
        self.X, self.target, self.weight = X, target, weight
        self.batch_size, self.shuffler = batch_size, shuffler

    def __iter__(self):
        order = torch.randperm(len(self.X), generator=self.shuffler)
        for places in order.split(self.batch_size):
            weight = None if self.weight is None else self.weight[places]
            yield self.X[places], (self.target[places], weight)


class _WeightedMean(nn.Module):
    """The mean over the samples of weight times loss; weights have mean 1, None is 1 for all."""

    def forward(self, prediction, target, weight=None):
        """The scalar loss."""
        losses = self.losses(prediction, target)
        return losses.mean() if weight is None else (weight * losses).mean()


class CrossEntropy(_WeightedMean):
    """-log softmax(prediction) of the target's class."""

    def losses(self, prediction, target):
        """The loss of each sample (n,)."""
        return nn.functional.cross_entropy(prediction, target, reduction="none")


class HalfSquaredError(_WeightedMean):
    """The mean over outputs of (prediction - target)^2 / 2, as in scikit-learn's MLPRegressor."""

    def losses(self, prediction, target):
        """The loss of each sample (n,)."""
        return (prediction - target).square().mean(1) / 2


@dataclass
class Samples:
    """X, labels, what the network is to say, and weights or None: arrays of equal length."""

    X: np.ndarray
    y: np.ndarray
    target: np.ndarray | None = None
    weight: np.ndarray | None = None

    def take(self, places):
        """Some of the samples."""
        return Samples(*(None if a is None else a[places] for a in vars(self).values()))

    def tensors(self):
        """(X, target, weight) for PyTorch; weights have mean 1, or are None."""
        weight = self.weight
        if weight is not None:
            if not weight.sum() > 0:
                raise ValueError("sample_weight must be above 0 for some samples, not 0 for all")
            weight = as_tensor(weight / weight.mean())
        return as_tensor(self.X), as_tensor(self.target), weight


def as_tensor(X):
    """An array as a tensor that shares its memory, or as a copy where PyTorch could not."""
    return torch.from_numpy(np.require(X, requirements=("C", "W")))


def hold_out(samples, validation_fraction, is_stratified, rng):
    """(samples to learn from, samples that decide when to stop)."""
    share = check_number(validation_fraction, "validation_fraction", above=0, below=1)
    kept, held = train_test_split(
        np.arange(len(samples.X)),
        test_size=share,
        random_state=int(rng.integers(2**31)),
        stratify=samples.y if is_stratified else None,
    )
    if len(held) < 2:
        raise ValueError(
            f"validation_fraction must hold out at least 2 of {len(samples.X)} samples, not {share}"
        )
    return samples.take(kept), samples.take(held)


@dataclass
class Training:
    """What a learning left beside its network; with the last three it can go on."""

    records: History
    loss: float
    n_epochs: int
    scores: list | None
    solver: str
    memory: dict
    shuffler: torch.Generator


def train(model, module, samples, held, validation, epochs, rng, before=None):
    """Train a module with the parameters of an estimator; return a `Training`.

    held are samples for early stopping, validation such that are scored and nothing else, before
    is the `Training` that goes on: each may be None.
    """
    penalize = _penalize(model, module)
    sets = {"score": samples} | ({"val_score": validation} if validation else {})
    is_recorded_alike = before is not None and "val_score" not in before.records

    def rate(module):
        losses = (
            {"val_loss": _mean_loss(model._criterion(), module, validation)} if validation else {}
        )
        return {name: model._rate(module, chosen) for name, chosen in sets.items()} | losses

    recorder = Recorder(
        rate,
        check_count(model.record_each, "record_each"),
        before.records if is_recorded_alike else History(),
        penalize,
    )
    callbacks = [*([penalize] if penalize else []), recorder]
    if model.connectivity == "set":
        n_done = recorder.n_before
        callbacks.append(Evolution(_check_evolve_each(model), make_generator(rng), n_done))
    stopping = None if held is None else _early_stopping(model, held)
    callbacks += [stopping] if stopping else []
    shuffler = make_generator(rng) if before is None else before.shuffler
    with progress(total=epochs, desc="epochs", disable=not model.verbose) as bar:
        callbacks.append(Progress(bar, recorder))
        net = _make_net(model, module, callbacks, shuffler, len(samples.X), before)
        net.learn(*samples.tensors(), epochs)
    return Training(
        recorder.records,
        recorder.loss,
        len(net.history),
        stopping.scores if stopping else None,
        model.solver,
        net.optimizer_.state_dict()["state"],
        shuffler,
    )


@torch.no_grad()
def _mean_loss(criterion, module, samples):
    """The mean loss of a module in evaluation mode; NaN for labels that it cannot say."""
    if samples.target is None:
        return float("nan")
    prediction = module(as_tensor(samples.X))
    return float(criterion(prediction, as_tensor(samples.target)))


def _penalize(model, module):
    """The proximal steps of all layers, or None; the layers can have the penalty."""
    penalty, alpha = make_penalty(model.penalty), check_number(model.alpha, "alpha", least=0)
    if penalty is None:
        return None
    if model.weights != "free":
        raise ValueError(
            f"penalty must be None with weights {model.weights!r}, not {model.penalty!r}: such "
            "layers have no weights that a proximal step could set"
        )
    for i, w in enumerate(weight_matrices(module)):
        getattr(penalty, "check", lambda w, name: None)(w, f"coefs_[{i}]")
    return Penalize({"layers.*.weight": (penalty, alpha, "inputs")})


def _check_evolve_each(model):
    """Epochs as int, or a probability as float."""
    if isinstance(model.evolve_each, numbers.Integral):
        return check_count(model.evolve_each, "evolve_each")
    return check_number(model.evolve_each, "evolve_each", above=0, below=1)


def _early_stopping(model, held):
    """The callback that ends a learning early."""
    return EarlyStopping(
        lambda module: model._rate(module, held),
        check_number(model.tol, "tol", least=0),
        check_count(model.n_iter_no_change, "n_iter_no_change"),
    )


def _make_net(model, module, callbacks, shuffler, n_samples, before):
    """A `Net` ready to learn, with the memory of the optimizer before it if that was alike."""
    solver = check_choice(model.solver, "solver", OPTIMIZERS)
    momentum = check_number(model.momentum, "momentum", least=0, below=1)
    size = model.batch_size
    size = 200 if isinstance(size, str) and size == "auto" else check_count(size, "batch_size")
    net = Net(
        module.train(),
        model._criterion,
        optimizer=OPTIMIZERS[solver],
        lr=check_number(model.learning_rate_init, "learning_rate_init", above=0),
        verbose=0,
        batch_size=min(size, n_samples),
        shuffler=shuffler,
        train_split=None,
        callbacks=callbacks,
        **({"optimizer__momentum": momentum} if solver == "sgd" else {}),
    ).initialize()
    if before is not None and before.solver == solver:
        groups = net.optimizer_.state_dict()["param_groups"]
        net.optimizer_.load_state_dict({"state": before.memory, "param_groups": groups})
    return net
