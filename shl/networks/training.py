"""How the estimators train a network: batches, weighted losses, records, an early end."""

import copy
import math
import numbers
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch.nn import functional

from .._base.checks import check_choice, check_count, check_number
from .._base.progress import progress
from ..learning.history import History
from .layers import SparseLinear
from .mlp import layers_of, make_generator, weight_matrices
from .penalties import check_weights, make_penalty
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


class Trainer:
    """Trains a network with the parameters of an estimator.

    Parameters
    ----------
    model : estimator
    module : nn.Sequential
        A network of `make_mlp`, changed in place.
    samples, validation : Supervised
        Samples to learn from, and samples that are scored and nothing else or None.
    rng : numpy.random.Generator
    """

    def __init__(self, model, module, samples, validation, rng):
        self.model, self.module, self.samples = model, module, samples
        self.validation, self.rng, self.tensors = validation, rng, samples.tensors()

    def train(self, epochs, held=None, before=None, alpha=None, inputs=None):
        """Train the network; return a `Training`.

        Parameters
        ----------
        epochs : int
        held : Supervised, default=None
            Samples for early stopping.
        before : Training, default=None
            The training that resumes.
        alpha : float, default=None
            The strength of the penalty; None is that of the estimator.
        inputs : tensor of bool, default=None
            The inputs that keep their weights, which are zero for the others.
        """
        model, module, evolution = self.model, self.module, None
        optimizer = self._make_optimizer(before)
        proximal = self._make_proximal(optimizer, model.alpha if alpha is None else alpha)
        after_batch = [] if model.penalty is None else [proximal.step]
        if inputs is not None:
            after_batch.append(partial(layers_of(module)[0].weight.data.mul_, inputs))
        if model.connectivity == "set":
            evolution = _Evolution(model, module, optimizer, self.rng)
            after_batch.append(evolution.after_batch)
        stopping = None if held is None else _EarlyStopping(model, held)
        shuffler = make_generator(self.rng) if before is None else before.shuffler
        records = self._resume_records(before)
        n_before = int(records.last_step() or 0)
        with progress(total=epochs, desc="epochs", disable=not model.verbose) as bar:
            for epoch in range(n_before + 1, n_before + epochs + 1):
                if evolution and epoch > 1:
                    evolution.after_epoch(epoch - 1)
                loss = self._train_epoch(epoch, optimizer, shuffler, after_batch)
                has_ended = stopping is not None and stopping.has_ended(module)
                is_last = has_ended or epoch == n_before + epochs
                if is_last or epoch % model.record_each == 0:
                    weights = weight_matrices(module)
                    records.append(
                        steps=epoch,
                        loss=loss,
                        penalty=proximal.value(),
                        zeros=[int((w == 0).sum()) for w in weights],
                        units=[int((w != 0).any(1).sum()) for w in weights],
                        **self._rate(),
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

    def train_path(self, epochs, held):
        """Train without a penalty, then under strengths that grow, each from the weights before.

        The strengths say which inputs leave first.  For each number of inputs left, the network of
        the best held-out score learns on, at its own strength, with these inputs alone.  The fewest
        inputs are chosen whose score is then within a standard error of the best.  Each stage has
        epochs // 10 epochs.

        Returns
        -------
        training : Training
        path : dict of arrays (n_strengths,)
            alpha, score (of the held samples), n_inputs (with any weight), and score_alone (with
            these inputs alone; NaN if a weaker strength leaves as many).
        chosen : int
            The place of the chosen inputs in the path.
        """
        model, module = self.model, self.module
        training, stage = self.train(epochs, alpha=0.0), max(1, epochs // 10)
        states, rows = [], []
        for alpha in _strengths(model, self.samples):
            training = self.train(stage, before=training, alpha=alpha)
            is_left = (weight_matrices(module)[0] != 0).any(1)
            rows.append([alpha, model._rate(module, held), int(is_left.sum()), math.nan])
            states.append((copy.deepcopy(module.state_dict()), is_left))
            if not is_left.any():
                break
        best, sizes = max(range(len(rows)), key=lambda i: rows[i][1]), [row[2] for row in rows]
        for i in sorted(map(sizes.index, set(sizes) - {0})):
            module.load_state_dict(states[best][0])
            training = self.train(stage, None, training, rows[best][0], inputs=states[i][1])
            rows[i][3] = model._rate(module, held)
            states[i] = (copy.deepcopy(module.state_dict()), 0)
        columns = map(np.array, zip(*rows, strict=True))
        path = dict(zip(("alpha", "score", "n_inputs", "score_alone"), columns, strict=True))
        best = np.nanmax(path["score_alone"])
        error = math.sqrt(max(best * (1 - best), 0) / len(held.X))
        chosen = int(np.flatnonzero(path["score_alone"] >= best - error)[-1])
        module.load_state_dict(states[chosen][0])
        return training, path, chosen

    def _train_epoch(self, epoch, optimizer, shuffler, after_batch):
        """Learn from each sample once; return the mean loss."""
        total, n_samples = 0.0, len(self.samples.X)
        order = torch.randperm(n_samples, generator=shuffler)
        for places in order.split(_batch_size(self.model, n_samples)):
            X, target, weight = (
                None if part is None else part.index_select(0, places) for part in self.tensors
            )
            optimizer.zero_grad()
            loss = self.model._loss_of(self.module(X), target, weight)
            loss.backward()
            optimizer.step()
            for follow in after_batch:
                follow()
            total += loss.item() * len(places)
        loss = total / n_samples
        is_finite = all(w.isfinite().all() for w in weight_matrices(self.module))
        if not (loss <= LARGEST_LOSS and is_finite):
            raise ArithmeticError(
                f"Learning diverged in epoch {epoch}, where the loss is {loss:.3g}. Use a "
                "smaller learning_rate_init, or scale the data."
            )
        return loss

    def _rate(self):
        """The scores of a record."""
        model, module, validation = self.model, self.module, self.validation
        scores = {"score": model._rate(module, self.samples)}
        if validation is not None:
            scores["val_score"] = model._rate(module, validation)
            scores["val_loss"] = float("nan")  # of labels that are no output of the network
            if validation.target is not None:
                with torch.no_grad():
                    outputs = module(as_tensor(validation.X))
                    loss = model._loss_of(outputs, as_tensor(validation.target))
                scores["val_loss"] = float(loss)
        return scores

    def _resume_records(self, before):
        """The records of the training before, if they have the same columns, or new ones."""
        is_alike = before is not None and (
            ("val_score" in before.records) == (self.validation is not None)
        )
        return before.records if is_alike else History()

    def _make_optimizer(self, before):
        """An optimizer, with the memory of the one before it if that was alike."""
        model, parameters = self.model, self.module.parameters()
        options = {"momentum": model.momentum} if model.solver == "sgd" else {}
        options |= {"lr": model.learning_rate_init, "fused": True}
        optimizer = OPTIMIZERS[model.solver](parameters, **options)
        if before is not None and before.solver == model.solver:
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": before.memory, "param_groups": groups})
        return optimizer

    def _make_proximal(self, optimizer, alpha):
        """The proximal steps of all layers, which can have the penalty."""
        penalty, alpha = make_penalty(self.model.penalty), check_number(alpha, "alpha", least=0)
        layers = [] if penalty is None else layers_of(self.module)
        for i, layer in enumerate(layers):
            check_weights(penalty, layer.weight.detach().T, f"coefs_[{i}]")
        return Proximal(optimizer, {layer.weight: (penalty, alpha, "inputs") for layer in layers})


def is_path(alpha):
    """Whether a strength stands for several: 'path', a sequence, or a function."""
    return not isinstance(alpha, numbers.Real)


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


def _batch_size(model, n_samples):
    """The size of a batch."""
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
        self.each = model.evolve_each
        if isinstance(self.each, numbers.Integral):
            check_count(self.each, "evolve_each")
        else:
            check_number(self.each, "evolve_each", above=0, below=1)
        self.layers = [layer for layer in module if isinstance(layer, SparseLinear)]
        self.optimizer, self.generator = optimizer, make_generator(rng)

    def after_epoch(self, epoch):
        """Evolve in turn."""
        if self.each >= 1 and epoch % self.each == 0:
            self._evolve()

    def after_batch(self):
        """Evolve by chance."""
        if self.each < 1 and torch.rand((), generator=self.generator) < self.each:
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
