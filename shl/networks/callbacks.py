"""What happens between the optimizer's steps, as callbacks of skorch: proximal steps, evolution,
records.
"""

import torch
from skorch.callbacks import Callback

from ..history import History
from .layers import SparseLinear
from .mlp import count_units, count_zeros, weight_matrices

LARGEST_LOSS = 1e30  # a learning beyond it does not come back


class ProximalStep(Callback):
    """After each step of the optimizer, W <- prox(W, alpha * step) for every layer's weights;
    biases are left alone.

    The step is that of the optimizer, so that the learning comes to rest at a minimum of loss +
    alpha R: for gradient descent with momentum m the learning rate / (1 - m), and for Adam, which
    has a step for each weight, the learning rate / (sqrt(v) + epsilon) with v the mean of its
    squared gradients (Yun et al. 2021).
    """

    def __init__(self, penalty, alpha):
        self.penalty, self.alpha = penalty, alpha

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):
        """The proximal step."""
        if not training:
            return
        for layer in net.module_.layers:
            step = optimizer_step(net.optimizer_, layer.weight)
            step = self.alpha * (step.T if torch.is_tensor(step) else step)
            layer.weight.copy_(self.penalty.prox(layer.weight.T, step).T)


def optimizer_step(optimizer, parameter):
    """How far the optimizer moves a parameter for a lasting gradient of 1: a number, or a tensor of
    its shape.
    """
    (options,), state = optimizer.param_groups, optimizer.state[parameter]
    if "momentum" in options:
        return options["lr"] / (1 - options["momentum"])
    correction = 1 - options["betas"][1] ** float(state["step"])
    return options["lr"] / ((state["exp_avg_sq"] / correction).sqrt_() + options["eps"])


class Evolution(Callback):
    """Evolve every `SparseLinear` layer: each `each` epochs, or, for a float below 1, with that
    probability per batch.

    Not after the last epoch: what would have grown could not learn any more.
    """

    def __init__(self, each, generator):
        self.each, self.generator = each, generator

    def on_batch_end(self, net, training=False, **kwargs):
        """Evolve by chance."""
        if (
            training
            and isinstance(self.each, float)
            and torch.rand((), generator=self.generator) < self.each
        ):
            self._evolve(net)

    def on_epoch_end(self, net, **kwargs):
        """Evolve in turn."""
        epoch = len(net.history)
        if not isinstance(self.each, float) and epoch % self.each == 0 and epoch < net.max_epochs:
            self._evolve(net)

    def _evolve(self, net):
        for layer in net.module_.layers:
            if isinstance(layer, SparseLinear):
                layer.evolve(net.optimizer_)


class Recorder(Callback):
    """Keeps a `History` of every `each` epochs and of the last one, and stops a learning that
    diverged.

    Columns: steps (epochs done), loss (mean training loss of the epoch, without penalty), penalty
    (alpha R of all layers), score and, with validation data, val_score (accuracy or R2), zeros and
    units (n_layers,): exact zeros and rows left.
    """

    def __init__(self, score, each, penalty=None, alpha=0.0):
        self.score, self.each, self.penalty, self.alpha = score, each, penalty, alpha
        self.records = History()

    def on_epoch_begin(self, net, **kwargs):
        """Start the epoch's mean."""
        self._total = self._n_samples = 0

    def on_batch_end(self, net, batch=None, loss=None, training=False, **kwargs):
        """Add a batch to the epoch's mean."""
        if training:
            self._total += loss.item() * len(batch[0])
            self._n_samples += len(batch[0])

    def on_epoch_end(self, net, **kwargs):
        """Record."""
        epoch, loss = len(net.history), self._total / self._n_samples
        matrices = weight_matrices(net.module_)
        if not loss <= LARGEST_LOSS or not all(w.isfinite().all() for w in matrices):
            raise ArithmeticError(
                f"the learning diverged in epoch {epoch}: its loss is {loss:.3g}; use a smaller "
                "learning_rate_init, or scale the data"
            )
        if epoch % self.each and epoch != net.max_epochs:
            return
        value = (
            sum(float(self.penalty.value(w)) for w in matrices) if self.penalty is not None else 0.0
        )
        net.module_.eval()
        self.records.append(
            steps=epoch,
            loss=loss,
            penalty=self.alpha * value,
            zeros=count_zeros(matrices),
            units=count_units(matrices),
            **self.score(net.module_),
        )
        net.module_.train()
