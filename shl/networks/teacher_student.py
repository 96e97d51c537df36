"""A student network learns the function of a teacher: does L1 leave it the teacher's few weights?

X ~ N(0, 1) of 12 inputs, y = teacher(X).  The student learns by gradient descent with momentum on
the squared error and, after each step, an exact proximal step of the penalties.  It stops on the
unpenalised loss of held-out samples.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..history import History
from .configs import MODELS, N_INPUTS
from .matching import match, normal_form
from .mlp import ACTIVATIONS, one_thread
from .penalties import L1, L2

BASELINE = ((2.59, -2.83, 0.87), (-1.38, 1.29), (0.86, -0.84))
MOMENTUM = 0.9
MOST_NORM = 1.0  # of a gradient, with clipping
LEAST_GAIN = 0.01  # a held-out loss counts as better where it is less by this share
SOLVED = 1e-10  # held-out loss, relative to the variance of y, at which float32 has nothing to gain
LEAST_SPREAD = 1e-3  # of a random teacher's outputs: one that says always the same teaches nothing
MOST_TEACHERS = 1000


# ------------------------------------------------------------------------------------------- models


class Filters(nn.Module):
    """Out_p = W_(p mod n)^T patch_p: a convolution without bias whose stride is its kernel, with n
    filters in turn.

    weight is (n, kernel * n_in, n_out); x (n_samples, kernel * n_positions, n_in) gives (n_samples,
    n_positions, n_out).  With n = 1 it is `Conv1d`; with one position, a full layer.
    """

    def __init__(self, n_in, n_out, kernel, n_filters=1):
        super().__init__()
        self.n_in, self.n_out, self.kernel, self.n_filters = n_in, n_out, kernel, n_filters
        self.weight = nn.Parameter(torch.zeros(n_filters, kernel * n_in, n_out))

    def forward(self, x):
        """The filters' outputs, before the activation."""
        if self.n_filters == 1:
            return x.reshape(len(x), -1, self.kernel * self.n_in) @ self.weight.squeeze(0)
        patches = x.reshape(len(x), -1, self.n_filters, self.kernel * self.n_in)
        return torch.einsum("npfk,fko->npfo", patches, self.weight).flatten(1, 2)

    def taps(self):
        """The weights as an array (n_filters * kernel, n_in, n_out)."""
        return self.weight.detach().numpy().reshape(-1, self.n_in, self.n_out).copy()

    def matrix(self, n_positions):
        """The weights of the full layer that does the same: an array (n_positions * n_in,
        n_outputs).
        """
        with torch.no_grad():
            basis = torch.eye(n_positions * self.n_in).view(-1, n_positions, self.n_in)
            return self(basis).flatten(1).numpy()


class Model(nn.Module):
    """A network of `Filters`, each followed by the activation, from 12 inputs to one output."""

    def __init__(self, kind, activation):
        super().__init__()
        self.kind, self.activation = kind, activation
        self.layers = nn.ModuleList(Filters(*sizes) for sizes in MODELS[kind])

    def forward(self, x):
        """The outputs (n_samples,) for x (n_samples, 12)."""
        act = ACTIVATIONS[self.activation]
        x = x.view(len(x), -1, self.layers[0].n_in)
        for layer in self.layers:
            x = act(layer(x))
        return x.view(len(x))

    @torch.no_grad()
    def draw(self, generator, scale=1.0):
        """New weights: Kaiming's normal ones (fan out) for relu and gelu, Xavier's uniform ones
        else, times scale.
        """
        for layer in self.layers:
            fan_in, fan_out = layer.kernel * layer.n_in, layer.kernel * layer.n_out
            if self.activation in ("relu", "gelu"):
                layer.weight.normal_(0, math.sqrt(2 / fan_out), generator=generator)
            else:
                limit = math.sqrt(6 / (fan_in + fan_out))
                layer.weight.uniform_(-limit, limit, generator=generator)
            layer.weight.mul_(scale)
        return self

    def taps(self):
        """Each layer's weights (n_taps, n_in, n_out)."""
        return [layer.taps() for layer in self.layers]

    def matrices(self):
        """Each layer's weights as those of a full layer, (1, n_in, n_out)."""
        n_positions, found = N_INPUTS // self.layers[0].n_in, []
        for layer in self.layers:
            found.append(layer.matrix(n_positions)[None])
            n_positions //= layer.kernel
        return found

    def count_weights(self):
        """Weights of each layer that are not exactly zero: a list of int."""
        return [int((layer.weight != 0).sum()) for layer in self.layers]


def make_teacher(kind, activation, generator):
    """The baseline with its own weights, or a model with random ones, drawn until its outputs
    vary.
    """
    model = Model(kind, activation)
    if kind == "baselineCNN":
        with torch.no_grad():
            for layer, weights in zip(model.layers, BASELINE, strict=True):
                layer.weight.copy_(torch.tensor(weights).view_as(layer.weight))
        return model
    X = torch.randn(256, N_INPUTS, generator=generator)
    for _ in range(MOST_TEACHERS):
        with torch.no_grad():
            if model.draw(generator)(X).std() > LEAST_SPREAD:
                return model
    raise ArithmeticError(
        f"no {kind}_{activation} of {MOST_TEACHERS} random ones has outputs that vary"
    )


def compare(teacher, student):
    """(teacher, student, distance) of two models as `shl.networks.matching.match` has them.

    Their filters are compared where they have the same kernels, else the full layers that do the
    same.  Signs and scales are free where both have the activation that allows it, tanh or relu.
    """
    shapes = [[sizes[2:] for sizes in MODELS[model.kind]] for model in (teacher, student)]
    weights = [
        model.taps() if shapes[0] == shapes[1] else model.matrices() for model in (teacher, student)
    ]
    is_same = teacher.activation == student.activation
    if is_same and student.activation == "relu":
        weights = [normal_form(layers) for layers in weights]
    return match(*weights, is_odd=is_same and student.activation == "tanh")


# ----------------------------------------------------------------------------------------- learning


@dataclass
class Data:
    """Samples to learn from, samples that decide when to stop, and samples that nothing else has
    seen.
    """

    X: torch.Tensor
    y: torch.Tensor
    X_held: torch.Tensor
    y_held: torch.Tensor
    X_test: torch.Tensor
    y_test: torch.Tensor


@torch.no_grad()
def make_data(teacher, dataset_size, generator):
    """X ~ N(0, 1), y = teacher(X): dataset_size samples, of which a fifth is held out, and as many
    to test.
    """
    n_held = dataset_size // 5
    X = torch.randn(dataset_size + n_held, N_INPUTS, generator=generator)
    parts = X.split([dataset_size - n_held, n_held, n_held])
    return Data(*(array for part in parts for array in (part, teacher(part))))


class Penalties:
    """R(w) = l1 sum |w| + l2 sum w^2 / 2: its value, and its proximal step after a step of the
    optimizer.
    """

    def __init__(self, l1, l2):
        self.l1, self.l2 = l1, l2

    def value(self, model):
        """R of all weights, a float."""
        with torch.no_grad():
            return float(
                sum(
                    self.l1 * L1().value(layer.weight) + self.l2 * L2().value(layer.weight)
                    for layer in model.layers
                )
            )

    @torch.no_grad()
    def step(self, weights, size):
        """Weights <- prox(weights): the soft threshold, then the shrinking; in place, exact."""
        for weight in weights:
            if self.l1:
                weight.sub_(weight.clamp(-size * self.l1, size * self.l1))
            if self.l2:
                weight.div_(1 + size * self.l2)


@torch.no_grad()
def squared_error(model, X, y):
    """The mean squared error, a float."""
    return float((model(X) - y).square().mean())


class Learning:
    """A student that learns, over one or several stages; `history` grows by a record an epoch.

    Columns: steps (epochs), stage, loss (held out, unpenalised), weights (n_layers,), those that
    are not zero.
    """

    def __init__(self, student, data, run, generator):
        self.student, self.data, self.run, self.generator = student, data, run, generator
        self.history, self.n_epochs, self.stage = History(), 0, 0
        self.solved = SOLVED * max(float(data.y_held.var()), 1e-30)

    def learn(self, l1, keeps_zeros=False, is_last=True):
        """One stage; return the held-out loss plus the penalty of the student after it.

        It ends after `patience` epochs without a better held-out loss; the last stage then goes
        back to its best student.  A stage before, which is there for its zeros, goes on while they
        become more.  With keeps_zeros, a weight that is zero before the stage or after one of its
        epochs stays zero.
        """
        penalties = Penalties(l1, self.run.l2_norm)
        weights = [layer.weight for layer in self.student.layers]
        masks = [(weight != 0).to(weight.dtype) for weight in weights] if keeps_zeros else None
        optimizer = torch.optim.SGD(weights, lr=self.run.lr, momentum=MOMENTUM, fused=True)
        best, best_loss = None, math.inf
        mark, fewest, n_waited = math.inf, math.inf, 0
        while (
            self.n_epochs < self.run.num_epochs
            and n_waited < self.run.patience
            and best_loss > self.solved
        ):
            self._epoch(optimizer, weights, penalties, masks)
            for weight, mask in zip(weights, masks or (), strict=False):
                mask.mul_(weight != 0)  # else noise brings back some of what is zero now
            loss, n_weights = self._record()
            if loss < best_loss:
                best, best_loss = [weight.detach().clone() for weight in weights], loss
            is_better = loss < mark * (1 - LEAST_GAIN)
            n_waited = 0 if is_better or (n_weights < fewest and not is_last) else n_waited + 1
            mark, fewest = loss if is_better else mark, min(fewest, n_weights)
        if is_last and best is not None:
            with torch.no_grad():
                torch._foreach_copy_(weights, best)
        self.stage += 1
        return squared_error(self.student, self.data.X_held, self.data.y_held) + penalties.value(
            self.student
        )

    def _epoch(self, optimizer, weights, penalties, masks):
        """All samples once, in a new order."""
        step = self.run.lr / (1 - MOMENTUM)  # so far the optimizer goes for a lasting gradient of 1
        order = torch.randperm(len(self.data.X), generator=self.generator)
        batches = zip(
            self.data.X[order].split(self.run.batch_size),
            self.data.y[order].split(self.run.batch_size),
            strict=True,
        )
        for X, y in batches:
            optimizer.zero_grad()
            (self.student(X) - y).square().mean().backward()
            if self.run.clipping:
                nn.utils.clip_grad_norm_(weights, MOST_NORM)
            optimizer.step()
            penalties.step(weights, step)
            if masks is not None:
                with torch.no_grad():
                    torch._foreach_mul_(weights, masks)

    def _record(self):
        """(held-out loss, weights that are not zero) after an epoch, recorded."""
        loss = squared_error(self.student, self.data.X_held, self.data.y_held)
        self.n_epochs += 1
        if not math.isfinite(loss):
            raise ArithmeticError(
                f"the learning diverged in epoch {self.n_epochs}: its loss is {loss}; use a "
                f"smaller "
                f"lr than {self.run.lr:g} or init than {self.run.init:g}"
            )
        counts = self.student.count_weights()
        self.history.append(steps=self.n_epochs, stage=self.stage, loss=loss, weights=counts)
        return loss, sum(counts)


# ------------------------------------------------------------------------------------------ one run


def learn_run(run):
    """Learn one `Run`.

    Returns
    -------
    arrays : dict.  teacher_<layer> and student_<layer>, the weights (n_filters, kernel * n_in,
        n_out); teacher_map_<l> and student_map_<l>, the same matched; history_<column>.
    metrics : dict.  loss (mean squared error on samples that only tested), held_loss, penalty,
        var_y, relative_loss (loss / var_y: 1 for a constant), spread (standard deviation of the
        student's outputs relative to the teacher's: 0 for a collapsed student), weights (per layer,
        not exactly zero), n_weights (their sum), n_weights_last (after the last epoch, be it the
        best or not), n_all, teacher_weights, distance (see `compare`), is_recovered (each weight is
        zero where the teacher's is, and only there), n_epochs, seconds (of CPU time).

    Raises
    ------
    ArithmeticError
        If the learning diverged.
    """
    began = time.process_time()
    with one_thread():
        teacher, student, learning, l1 = _learn(run)
        metrics = _metrics(teacher, student, learning, Penalties(l1, run.l2_norm))
    placed_teacher, placed_student, metrics["distance"] = compare(teacher, student)
    metrics["is_recovered"] = all(
        np.array_equal(t != 0, s != 0) for t, s in zip(placed_teacher, placed_student, strict=True)
    )
    arrays = {f"history_{name}": learning.history[name] for name in learning.history}
    for index, (t, s) in enumerate(zip(teacher.layers, student.layers, strict=True)):
        arrays |= {
            f"teacher_{index}": t.weight.detach().numpy(),
            f"student_{index}": s.weight.detach().numpy(),
            f"teacher_map_{index}": placed_teacher[index],
            f"student_map_{index}": placed_student[index],
        }
    return arrays, {**metrics, "seconds": time.process_time() - began}


def _learn(run):
    """(teacher, student, learning, last l1) of a run: the best start, then the path."""
    generators = [
        torch.Generator().manual_seed(int(child.generate_state(1)[0]))
        for child in np.random.SeedSequence(run.seed).spawn(2 + run.restarts)
    ]
    teacher = make_teacher(run.teacher_type, run.teacher_activation, generators[0])
    data = make_data(teacher, run.dataset_size, generators[1])
    starts = []
    for generator in generators[2:]:
        student = Model(run.student_type, run.student_activation).draw(generator, run.init)
        learning = Learning(student, data, run, generator)
        starts.append((learning.learn(run.l1_norm, is_last=not run.l1_path), learning))
    learning = min(starts, key=lambda start: start[0])[1]
    learning.n_epochs_before = sum(other.n_epochs for _, other in starts) - learning.n_epochs
    for index, l1 in enumerate(run.l1_path):
        learning.learn(l1, keeps_zeros=True, is_last=index == len(run.l1_path) - 1)
    return teacher, learning.student, learning, (run.l1_path or (run.l1_norm,))[-1]


def _metrics(teacher, student, learning, penalties):
    """What there is to say of a student without matching it, see `learn_run`."""
    data = learning.data
    loss, var_y = squared_error(student, data.X_test, data.y_test), float(data.y_test.var())
    with torch.no_grad():
        spread = float(student(data.X_test).std()) / math.sqrt(var_y)
    weights = student.count_weights()
    return {
        "loss": loss,
        "held_loss": squared_error(student, data.X_held, data.y_held),
        "penalty": penalties.value(student),
        "var_y": var_y,
        "relative_loss": loss / var_y,
        "spread": spread,
        "weights": weights,
        "n_weights": sum(weights),
        "n_weights_last": int(learning.history["weights"][-1].sum()),
        "teacher_weights": teacher.count_weights(),
        "n_all": [layer.weight.numel() for layer in student.layers],
        "n_epochs": learning.n_epochs + learning.n_epochs_before,
    }
