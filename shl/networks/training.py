"""How the estimators train a network: batches, weighted losses, records, an early end."""

import copy
import math
import numbers
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch.nn import functional

from .._base.checks import check_choice, check_count, check_number
from .._base.progress import progress
from ..learning.history import History
from .layers import SparseLinear
from .mlp import count_units, count_zeros, layers_of, make_generator, weight_matrices
from .penalties import make_penalty
from .proximal import Proximal

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
WEAKEST, RATIO, N_STRENGTHS = 2.5e-4, 1.6, 14  # of the path of strengths: up to .11
LARGEST_LOSS = 1e30  # a training beyond it does not come back


def mean_cross_entropy(prediction, target, weight=None):
    """The mean of -log softmax(prediction) of the target's class, weighted over samples (n,)."""
    if weight is None:
        return functional.cross_entropy(prediction, target)
    return (weight * functional.cross_entropy(prediction, target, reduction="none")).mean()


def mean_half_squared_error(prediction, target, weight=None):
    """The mean over outputs of (prediction - target)^2 / 2, weighted over samples (n,)."""
    if weight is None:
        return functional.mse_loss(prediction, target) / 2
    return (weight * (prediction - target).square().mean(1)).mean() / 2


@dataclass
class Supervised:
    """X, labels, what the network is to say, and weights or None: arrays of equal length."""

    X: np.ndarray
    y: np.ndarray
    target: np.ndarray | None = None
    weight: np.ndarray | None = None

    def take(self, places):
        """Some of the samples."""
        return Supervised(*(None if a is None else a[places] for a in vars(self).values()))

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
    kept, held = train_test_split(
        np.arange(len(samples.X)),
        test_size=validation_fraction,
        random_state=int(rng.integers(2**31)),
        stratify=samples.y if is_stratified else None,
    )
    if len(held) < 2:
        raise ValueError(
            f"validation_fraction must hold out at least 2 of {len(samples.X)} samples, not "
            f"{validation_fraction}"
        )
    return samples.take(kept), samples.take(held)


@dataclass
class Training:
    """What a training left beside its network; with the last three it can resume."""

    records: History
    loss: float
    n_epochs: int
    scores: list
    solver: str
    memory: dict
    shuffler: torch.Generator


def train(
    model, module, samples, held, validation, epochs, rng, before=None, alpha=None, inputs=None
):
    """Train a module with the parameters of an estimator; return a `Training`.

    Parameters
    ----------
    model : estimator
    module : nn.Sequential
        A network of `make_mlp`, changed in place.
    samples, held, validation : Supervised
        Samples to learn from, samples for early stopping or None, and samples that are scored and
        nothing else or None.
    epochs : int
    rng : numpy.random.Generator
    before : Training, default=None
        The training that resumes.
    alpha : float, default=None
        The strength of the penalty; None is that of the estimator.
    inputs : tensor of bool, default=None
        The inputs that keep their weights, which are zero for the others.
    """
    optimizer = _make_optimizer(model, module, before)
    proximal = _make_proximal(model, module, optimizer, model.alpha if alpha is None else alpha)
    is_recorded_alike = before is not None and (
        ("val_score" in before.records) == (validation is not None)
    )
    records = before.records if is_recorded_alike else History()
    n_before = int(records["steps"][-1]) if len(records) else 0
    evolution = _Evolution(model, module, optimizer, rng) if model.connectivity == "set" else None
    stopping = None if held is None else _EarlyStopping(model, held)
    shuffler = make_generator(rng) if before is None else before.shuffler
    tensors, size = samples.tensors(), _batch_size(model, len(samples.X))

    def batches():
        order = torch.randperm(len(samples.X), generator=shuffler)
        for places in order.split(size):
            yield [None if part is None else part.index_select(0, places) for part in tensors]

    first = layers_of(module)[0].weight

    def after_batch():
        if proximal:
            proximal.step()
        if inputs is not None:
            first.data.mul_(inputs)
        if evolution:
            evolution.after_batch()

    with progress(total=epochs, desc="epochs", disable=not model.verbose) as bar:
        for epoch in range(n_before + 1, n_before + epochs + 1):
            if evolution and epoch > 1:
                evolution.after_epoch(epoch - 1)
            loss = _train_epoch(model, module, optimizer, batches(), after_batch)
            _check_finite(module, loss, epoch)
            has_ended = stopping is not None and stopping.has_ended(module)
            is_last = has_ended or epoch == n_before + epochs
            if is_last or epoch % model.record_each == 0:
                records.append(
                    steps=epoch,
                    loss=loss,
                    penalty=proximal.value() if proximal else 0.0,
                    zeros=count_zeros(weight_matrices(module)),
                    units=count_units(weight_matrices(module)),
                    **_rate(model, module, samples, validation),
                )
            bar.update()
            bar.set_postfix(loss=f"{loss:.3g}")
            if is_last:
                break
    if stopping is not None:
        module.load_state_dict(stopping.best)
    memory = optimizer.state_dict()["state"]
    scores = stopping.scores if stopping else []
    return Training(records, loss, epoch - n_before, scores, model.solver, memory, shuffler)


def is_path(alpha):
    """Whether a strength stands for several: 'path', a sequence, or a function."""
    return not isinstance(alpha, numbers.Real)


def train_path(model, module, samples, held, validation, epochs, rng):
    """Train without a penalty, then under strengths that grow, each from the weights before.

    The strengths say which inputs leave first.  For each number of inputs left, the network of the
    best held-out score learns on, at its own strength, with these inputs alone.  The fewest inputs
    are chosen whose score is then within a standard error of the best.  Each stage has epochs // 10
    epochs.

    Returns
    -------
    training : Training
    path : dict of arrays (n_strengths,)
        alpha, score (of the held samples), n_inputs (with any weight), and score_alone (with these
        inputs alone; NaN if a weaker strength leaves as many).
    chosen : int
        The place of the chosen inputs in the path.
    """

    def learn(epochs, alpha, before=None, inputs=None):
        return train(model, module, samples, None, validation, epochs, rng, before, alpha, inputs)

    training, stage = learn(epochs, 0.0), max(1, epochs // 10)
    states, rows = [], []
    for alpha in _strengths(model, samples):
        training = learn(stage, alpha, training)
        is_left = (weight_matrices(module)[0] != 0).any(1)
        rows.append([alpha, model._rate(module, held), int(is_left.sum()), math.nan])
        states.append((copy.deepcopy(module.state_dict()), is_left))
        if not is_left.any():
            break
    best, sizes = max(range(len(rows)), key=lambda i: rows[i][1]), [row[2] for row in rows]
    for i in sorted(map(sizes.index, set(sizes) - {0})):
        module.load_state_dict(states[best][0])
        training = learn(stage, rows[best][0], training, inputs=states[i][1])
        rows[i][3], states[i] = model._rate(module, held), (copy.deepcopy(module.state_dict()), 0)
    columns = map(np.array, zip(*rows, strict=True))
    path = dict(zip(("alpha", "score", "n_inputs", "score_alone"), columns, strict=True))
    best = np.nanmax(path["score_alone"])
    error = math.sqrt(max(best * (1 - best), 0) / len(held.X))
    chosen = int(np.flatnonzero(path["score_alone"] >= best - error)[-1])
    module.load_state_dict(states[chosen][0])
    return training, path, chosen


def _strengths(model, samples):
    """The strengths of a path: those of a function or a sequence, or from weak to strong."""
    alpha = model.alpha
    if isinstance(alpha, str):
        if check_choice(alpha, "alpha", ("path",)) and model.penalty is None:
            raise ValueError("alpha is 'path', but penalty is None. Choose a penalty.")
        # The loss of a regression grows as the variance of its targets.
        scale = 1.0 if samples.target.ndim == 1 else float(samples.target.var(axis=0).mean())
        return [scale * WEAKEST * RATIO**i for i in range(N_STRENGTHS)]
    values = alpha(samples.X, samples.y) if callable(alpha) else alpha
    values = [check_number(each, f"alpha[{i}]", least=0) for i, each in enumerate(values)]
    if not values:
        raise ValueError("alpha has no strengths, but a path needs at least one.")
    return values


def _train_epoch(model, module, optimizer, batches, after_batch):
    """Learn from each batch (X, target, weight) once; return the mean loss."""
    total, n_samples = 0.0, 0
    for X, target, weight in batches:
        optimizer.zero_grad()
        loss = model._loss_of(module(X), target, weight)
        loss.backward()
        optimizer.step()
        after_batch()
        total += loss.item() * len(X)
        n_samples += len(X)
    return total / n_samples


def _check_finite(module, loss, epoch):
    """Raise an error after an epoch that diverged."""
    if not loss <= LARGEST_LOSS or not all(w.isfinite().all() for w in weight_matrices(module)):
        raise ArithmeticError(
            f"Learning diverged in epoch {epoch}, where the loss is {loss:.3g}. Use a "
            "smaller learning_rate_init, or scale the data."
        )


def _rate(model, module, samples, validation):
    """The scores of a record."""
    scores = {"score": model._rate(module, samples)}
    if validation is not None:
        scores["val_score"] = model._rate(module, validation)
        scores["val_loss"] = float("nan")  # of labels that are no output of the network
        if validation.target is not None:
            with torch.no_grad():
                outputs = module(as_tensor(validation.X))
                scores["val_loss"] = float(model._loss_of(outputs, as_tensor(validation.target)))
    return scores


def _make_optimizer(model, module, before):
    """An optimizer, with the memory of the one before it if that was alike."""
    options = {"momentum": model.momentum} if model.solver == "sgd" else {}
    rate = model.learning_rate_init
    optimizer = OPTIMIZERS[model.solver](module.parameters(), lr=rate, fused=True, **options)
    if before is not None and before.solver == model.solver:
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": before.memory, "param_groups": groups})
    return optimizer


def _make_proximal(model, module, optimizer, alpha):
    """The proximal steps of all layers, or None; the layers can have the penalty."""
    penalty, alpha = make_penalty(model.penalty), check_number(alpha, "alpha", least=0)
    if penalty is None:
        return None
    for i, w in enumerate(weight_matrices(module)):
        getattr(penalty, "check", lambda w, name: None)(w, f"coefs_[{i}]")
    terms = {layer.weight: (penalty, alpha, "inputs") for layer in layers_of(module)}
    return Proximal(optimizer, terms)


def _batch_size(model, n_samples):
    """Samples of a batch."""
    size = model.batch_size
    if isinstance(size, str) and size == "auto":
        # A row stays zero only if its gradient is small, and small batches make it noisy.
        size = min(max(200, n_samples // 15), 1000) if is_path(model.alpha) else 200
    return min(check_count(size, "batch_size"), n_samples)


class _Evolution:
    """Evolves every `SparseLinear` layer: each `evolve_each` epochs, or, for a float below 1, with
    that probability after a batch.

    Epochs count before the next one, hence not after the last: what would grow could not learn any
    more.
    """

    def __init__(self, model, module, optimizer, rng):
        each = model.evolve_each
        self.epochs = self.probability = None
        if isinstance(each, numbers.Integral):
            self.epochs = check_count(each, "evolve_each")
        else:
            self.probability = check_number(each, "evolve_each", above=0, below=1)
        self.layers = [layer for layer in module if isinstance(layer, SparseLinear)]
        self.optimizer, self.generator = optimizer, make_generator(rng)

    def after_epoch(self, epoch):
        """Evolve in turn."""
        if self.epochs and epoch % self.epochs == 0:
            self._evolve()

    def after_batch(self):
        """Evolve by chance."""
        if self.probability and torch.rand((), generator=self.generator) < self.probability:
            self._evolve()

    def _evolve(self):
        for layer in self.layers:
            layer.evolve(self.optimizer)


class _EarlyStopping:
    """Ends a training whose score has not risen by `tol` for more than `n_iter_no_change` epochs in
    a row; `best` is the state of the best score.
    """

    def __init__(self, model, held):
        self.tol, self.patience = model.tol, model.n_iter_no_change
        self.rate, self.held = model._rate, held
        self.scores, self.best, self._n_waited = [], None, 0

    def has_ended(self, module):
        """Compare an epoch's score with the best before."""
        score, best = self.rate(module, self.held), max(self.scores, default=-float("inf"))
        self.scores.append(score)
        self._n_waited = self._n_waited + 1 if score < best + self.tol else 0
        if self.best is None or score > best:
            self.best = copy.deepcopy(module.state_dict())
        return self._n_waited > self.patience
