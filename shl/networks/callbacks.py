"""What happens beside the optimizer's steps, as callbacks of skorch: proximal steps, evolution,
records, an early end.
"""

import copy

import torch
from skorch.callbacks import Callback

from .layers import SparseLinear
from .mlp import count_units, count_zeros, weight_matrices
from .proximal import Proximal

LARGEST_LOSS = 1e30  # a learning beyond it does not come back


class Converged(Exception):
    """There is nothing more to learn: ends the epochs, is no error."""


class Penalize(Callback):
    """Proximal steps for any net of skorch, after each step of its optimizer.

    Parameters
    ----------
    penalties : dict
        As `Proximal` takes it, with patterns of the names in ``net.module_.named_parameters()``.

    Attributes
    ----------
    proximal : Proximal
    """

    def __init__(self, penalties):
        self.penalties = penalties

    def on_train_begin(self, net, **kwargs):
        """Meet the optimizer."""
        self.proximal = Proximal(net.optimizer_, self.penalties, net.module_)

    def on_batch_end(self, net, training=False, **kwargs):
        """The proximal step."""
        if training:
            self.proximal.step()


class Evolution(Callback):
    """Evolve every `SparseLinear` layer: each `each` epochs, or, for a float below 1, with that
    probability per batch.

    Before the epoch that follows, hence not after the last: what would have grown could not learn
    any more.  `n_done` are the epochs of earlier calls.
    """

    def __init__(self, each, generator, n_done=0):
        self.each, self.generator, self.n_done = each, generator, n_done

    def on_batch_end(self, net, training=False, **kwargs):
        """Evolve by chance."""
        if (
            training
            and isinstance(self.each, float)
            and torch.rand((), generator=self.generator) < self.each
        ):
            self._evolve(net)

    def on_epoch_begin(self, net, **kwargs):
        """Evolve in turn."""
        n_done = self.n_done + len(net.history) - 1
        if not isinstance(self.each, float) and n_done and n_done % self.each == 0:
            self._evolve(net)

    def _evolve(self, net):
        for layer in net.module_.layers:
            if isinstance(layer, SparseLinear):
                layer.evolve(net.optimizer_)


class Recorder(Callback):
    """Adds to a `History` every `each` epochs and the last one, and stops a learning that diverged.

    Columns: steps (epochs done), loss (mean training loss of the epoch, without penalty), penalty
    (alpha R of all layers), score and, with validation data, val_score (accuracy or R2) and
    val_loss, zeros and units (n_layers,): exact zeros and rows left.

    Parameters
    ----------
    score : callable
        From the module, in evaluation mode, to a dict of scores.
    each : int
    records : History
        Grows; its last step counts the epochs of earlier calls.
    penalize : Penalize, default=None
    """

    def __init__(self, score, each, records, penalize=None):
        self.score, self.each, self.records, self.penalize = score, each, records, penalize
        self.n_before = int(records["steps"][-1]) if len(records) else 0

    def on_epoch_begin(self, net, **kwargs):
        """Start the epoch's mean."""
        self._total = self._n_samples = 0
        self._is_recorded = False

    def on_batch_end(self, net, batch=None, loss=None, training=False, **kwargs):
        """Add a batch to the epoch's mean."""
        if training:
            self._total += loss.item() * len(batch[0])
            self._n_samples += len(batch[0])

    def on_epoch_end(self, net, **kwargs):
        """Record where it is time."""
        self.loss, self._epoch = self._total / self._n_samples, self.n_before + len(net.history)
        matrices = weight_matrices(net.module_)
        if not self.loss <= LARGEST_LOSS or not all(w.isfinite().all() for w in matrices):
            raise ArithmeticError(
                f"the learning diverged in epoch {self._epoch}: its loss is {self.loss:.3g}; use a "
                "smaller learning_rate_init, or scale the data"
            )
        if self._epoch % self.each == 0:
            self._record(net, matrices)

    def on_train_end(self, net, **kwargs):
        """Record the last epoch."""
        if not self._is_recorded:
            self._record(net, weight_matrices(net.module_))

    def _record(self, net, matrices):
        self._is_recorded = True
        self.records.append(
            steps=self._epoch,
            loss=self.loss,
            penalty=self.penalize.proximal.value() if self.penalize else 0.0,
            zeros=count_zeros(matrices),
            units=count_units(matrices),
            **self.score(net.module_.eval()),
        )
        net.module_.train()


class EarlyStopping(Callback):
    """Ends a learning whose score has not risen by `tol` for more than `patience` epochs in a row,
    and goes back to the network of the best score.

    Attributes
    ----------
    scores : list of float
        One each epoch.
    best_score : float
    """

    def __init__(self, score, tol, patience):
        self.score, self.tol, self.patience = score, tol, patience
        self.scores, self.best_score = [], -float("inf")
        self._n_waited = 0

    def on_epoch_end(self, net, **kwargs):
        """Compare with the best so far."""
        score = self.score(net.module_.eval())
        net.module_.train()
        self.scores.append(score)
        self._n_waited = self._n_waited + 1 if score < self.best_score + self.tol else 0
        if score > self.best_score or len(self.scores) == 1:
            self.best_score, self._best = score, copy.deepcopy(net.module_.state_dict())
        if self._n_waited > self.patience:
            raise Converged

    def on_train_end(self, net, **kwargs):
        """Go back to the best."""
        net.module_.load_state_dict(self._best)


class Progress(Callback):
    """Moves a bar of tqdm on by an epoch, with the recorder's loss."""

    def __init__(self, bar, recorder):
        self.bar, self.recorder = bar, recorder

    def on_epoch_end(self, net, **kwargs):
        """Move on."""
        self.bar.update()
        self.bar.set_postfix(loss=f"{self.recorder.loss:.3g}")
