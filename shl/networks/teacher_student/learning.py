"""A student network learns the function of a teacher: does L1 leave it the teacher's few weights?

X ~ N(0, 1) of 12 inputs, or patches of images; y = teacher(X).  The student learns by gradient
descent with momentum on the squared error and, after each step, an exact proximal step of the
penalties.  It stops where what it minimises, training loss + penalty, has ended to fall.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...learning.history import History
from ..studies.data import draw_inputs
from .configs import N_INPUTS, NORMAL, PATCH, StudentRun
from .kernels import Descent, learn_epoch
from .models import Model, compare, has_equal_kernels, make_teacher

MOMENTUM = 0.9
LEAST_GAIN = 1e-3  # by such a share the objective has to fall, within `patience` epochs
SOLVED = 1e-10  # an objective, relative to the variance of y, at which float32 has nothing to gain
LARGE = 1e-4  # weights of at least that size count as left in the study of 2025
MOST_STARTS = 50  # of a student whose relu units never answer, and so do not learn


class Data(NamedTuple):
    """Samples to learn from, samples that watch the learning, and samples that only test."""

    X: np.ndarray
    y: np.ndarray
    X_held: np.ndarray
    y_held: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def make_data(
    teacher: Model, dataset_size: int, rng: np.random.Generator, data: str = NORMAL
) -> Data:
    """X ~ N(0, 1) or patches of images, y = teacher(X): dataset_size samples, of which a fifth is
    held out, and as many to test.
    """
    n_held = dataset_size // 5
    if data == NORMAL:
        X = rng.standard_normal((dataset_size + n_held, N_INPUTS), np.float32)
    else:
        X = draw_inputs(data, PATCH, dataset_size + n_held, rng)
    parts = np.split(X, [dataset_size - n_held, dataset_size])
    return Data(*(array for part in parts for array in (part, teacher.respond(part))))


class Learning:
    """A student that learns, over one or several stages; `history` grows by a record an epoch.

    Columns: steps (epochs), stage, objective (mean training loss of the epoch, divided by var(y)
    where the run is scaled, + penalty after it), loss (held out, without penalty), weights
    (n_layers,), those that are not zero.

    Parameters
    ----------
    student : Model
        Changed in place.
    data : Data
    run : StudentRun
    rng : Generator
        Of the start and of the batches.
    watch : callable, default=None
        Called with the learning after every epoch.
    """

    def __init__(self, student, data, run, rng, watch=None):
        self.student, self.data, self.run, self.rng = student, data, run, rng
        self.watch = watch or (lambda learning: None)
        self.var_y = max(float(data.y.var()), 1e-30)
        self.scale = self.var_y if run.scaled else 1.0
        self.n_starts = self.n_epochs_before = 0
        self._start()

    def _start(self):
        """New weights, and nothing learned."""
        self.student.draw(self.rng, self.run.init)
        self.velocity = np.zeros_like(self.student.weights)
        self.history, self.n_epochs, self.stage = History(), 0, 0
        self.n_starts += 1

    def learn(self, l1, keeps_zeros=False):
        """One stage; return the objective of the student after it, the best that there was.

        It ends after `patience` epochs in which neither the objective fell by `LEAST_GAIN` nor
        weights became zero.  With keeps_zeros, a weight that is zero before the stage or after one
        of its epochs stays zero.
        """
        student, run = self.student, self.run
        gradient, mask = np.zeros_like(student.weights), np.ones_like(student.weights)
        network = student.network(run.batch_size, gradient)
        self.velocity[:] = 0
        best, best_objective, mark, fewest, n_waited = None, math.inf, math.inf, math.inf, 0
        while (
            self.n_epochs < run.num_epochs
            and n_waited < run.patience
            and best_objective > SOLVED * self.var_y / self.scale
        ):
            if keeps_zeros:
                mask *= student.weights != 0
            self._epoch(network, gradient, mask, l1)
            objective, n_weights = self.objective, self.n_weights
            if self._is_dead() and self.n_starts < MOST_STARTS:
                self.n_epochs_before += self.n_epochs
                self._start()
                return self.learn(l1, keeps_zeros)
            if objective < best_objective:
                best, best_objective = student.weights.copy(), objective
            is_better = objective < mark * (1 - LEAST_GAIN)
            n_waited = 0 if is_better or n_weights < fewest else n_waited + 1
            mark, fewest = objective if is_better else mark, min(fewest, n_weights)
        if best is not None:
            student.weights[:] = best
        self.stage += 1
        return best_objective

    def _epoch(self, network, gradient, mask, l1):
        """All samples once, in a new order; and a record."""
        student, data, run = self.student, self.data, self.run
        lr, strengths = run.lr / self.scale, (self.scale * l1, self.scale * run.l2_norm)
        rule = Descent(lr, MOMENTUM, *strengths, run.clipping)
        order = self.rng.permutation(len(data.X))
        memory = student.weights, gradient, self.velocity, mask
        with np.errstate(over="ignore", invalid="ignore"):  # the objective is looked at
            total = learn_epoch(network, *memory, rule, data.X, data.y, order)
        self.n_epochs += 1
        self.objective = total / len(data.X) / self.scale + self.penalty(l1)
        if not math.isfinite(self.objective):
            raise ArithmeticError(
                f"Learning diverged in epoch {self.n_epochs}, where the loss is "
                f"{self.objective}. Use a smaller lr than {run.lr:g}, or a smaller init "
                f"than {run.init:g}."
            )
        self.responses = student.respond(data.X_held)
        counts = student.count_weights()
        self.n_weights = sum(counts)
        self.history.append(
            steps=self.n_epochs,
            stage=self.stage,
            objective=self.objective,
            loss=squared_error(self.responses, data.y_held),
            weights=counts,
        )
        self.watch(self)

    def penalty(self, l1):
        """l1 sum |w| + 3 l2 sum w^2 / 2 of all weights."""
        weights = self.student.weights.astype(float)
        return float(l1 * abs(weights).sum() + self.run.l2_norm * (weights**2).sum() * 1.5)

    def _is_dead(self):
        """Whether no unit of the output answers any more, to no sample, though weights are left."""
        is_relu = self.student.activation == "relu"
        return is_relu and not self.responses.any() and self.student.weights.any()


def squared_error(responses: np.ndarray, y: np.ndarray) -> float:
    """The mean squared error."""
    return float(((responses - y).astype(float) ** 2).mean())


# ------------------------------------------------------------------------------------------ one run


def learn_run(
    run: StudentRun, watch: Callable[[Learning], None] | None = None
) -> tuple[dict[str, np.ndarray], dict]:
    """Learn one `StudentRun`; watch is called after every epoch.

    Returns
    -------
    arrays : dict
        teacher_<layer> and student_<layer>, the weights (n_filters, n_in * kernel, n_out);
        teacher_map_<layer> and student_map_<layer>, the same matched, see
        `shl.networks.models.compare`; history_<column>, see `Learning`.
    metrics : dict
        loss (mean squared error on samples that only tested), held_loss, penalty, objective (of the
        training), var_y, relative_loss (loss / var_y: 1 for a constant), spread (standard deviation
        of the student's outputs relative to the teacher's: 0 for a collapsed student), weights (per
        layer, not exactly zero), n_weights (their sum), n_large (of them, at least 1e-4), n_all,
        teacher_weights, teacher_shown (of teacher_map), distance (None unless teacher and student
        have equal activations and kernels), is_recovered (equal activations, and each weight is
        zero where the teacher's is, and only there), n_epochs (of all starts), n_starts (new ones
        for dead students included), seconds (of CPU time).

    Raises
    ------
    ArithmeticError
        If the learning diverged.
    """
    began = time.process_time()
    teacher = make_teacher(run.teacher_type, run.teacher_activation)
    learning, l1 = _learn_stages(run, teacher, watch)
    shown = compare(teacher, learning.student)
    metrics = _metrics(teacher, learning, l1) | _likeness(teacher, learning.student, *shown)
    arrays = {f"history_{name}": learning.history[name] for name in learning.history}
    for index, layers in enumerate(zip(teacher.layers, learning.student.layers, strict=True)):
        for who, weights, placed in zip(("teacher", "student"), layers, shown[:2], strict=True):
            arrays |= {f"{who}_{index}": weights.copy(), f"{who}_map_{index}": placed[index]}
    return arrays, {**metrics, "seconds": time.process_time() - began}


def _learn_stages(run, teacher, watch):
    """(learning, last l1) of a run: the best start, then the path."""
    data_rng, *rngs = (
        np.random.default_rng(child)
        for child in np.random.SeedSequence(run.seed).spawn(1 + run.restarts)
    )
    data = make_data(teacher, run.dataset_size, data_rng, run.data)
    starts = []
    for rng in rngs:
        student = Model(run.student_type, run.student_activation)
        learning = Learning(student, data, run, rng, watch)
        starts.append((learning.learn(run.l1_norm), learning))
    learning = min(starts, key=lambda start: start[0])[1]
    learning.n_epochs_before += sum(
        other.n_epochs + other.n_epochs_before for _, other in starts if other is not learning
    )
    learning.n_starts = sum(other.n_starts for _, other in starts)
    for l1 in run.l1_path:
        learning.learn(l1, keeps_zeros=True)
    return learning, run.l1_path[-1] if run.l1_path else run.l1_norm


def _metrics(teacher, learning, l1):
    """What there is to say of a student alone, see `learn_run`."""
    data, student = learning.data, learning.student
    responses, var_y = student.respond(data.X_test), float(data.y_test.var())
    loss, counts = squared_error(responses, data.y_test), student.count_weights()
    return {
        "loss": loss,
        "held_loss": squared_error(student.respond(data.X_held), data.y_held),
        "penalty": learning.penalty(l1),
        "objective": float(learning.history["objective"].min()),
        "var_y": var_y,
        "relative_loss": loss / var_y,
        "spread": float(responses.std()) / math.sqrt(var_y),
        "weights": counts,
        "n_weights": sum(counts),
        "n_large": sum(student.count_weights(LARGE)),
        "teacher_weights": teacher.count_weights(),
        "n_all": [layer.size for layer in student.layers],
        "n_epochs": learning.n_epochs + learning.n_epochs_before,
        "n_starts": learning.n_starts,
    }


def _likeness(teacher, student, placed_teacher, placed_student, distance):
    """What there is to say of a student beside its teacher, see `learn_run`."""
    is_same = teacher.activation == student.activation
    pairs = zip(placed_teacher, placed_student, strict=True)
    return {
        "teacher_shown": [int(np.count_nonzero(layer)) for layer in placed_teacher],
        "distance": distance if is_same and has_equal_kernels(teacher, student) else None,
        "is_recovered": is_same and all(np.array_equal(t != 0, s != 0) for t, s in pairs),
    }
