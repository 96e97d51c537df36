"""The networks of the teacher-student study: few weights, three layers, compiled."""

import math

import numpy as np

from .configs import MODELS, N_INPUTS
from .kernels import GELU, RELU, SIGMOID, TANH, Network, respond
from .matching import match, normal_form, rescale

ACTIVATIONS = {"relu": RELU, "sigmoid": SIGMOID, "tanh": TANH, "gelu": GELU}
GAINS = {"sigmoid": 1.0, "tanh": 5 / 3}  # of Xavier's start
# Weights of the study of 2025; it has others for multiChannelCNN, which its document does not give.
TEACHERS = {
    "baselineCNN": (2.59, -2.83, 0.87, -1.38, 1.29, 0.86, -0.84),
    "splitFilterCNN": (
        *(2.59, -2.83, 0.87, -1.22, 0.45, 0.88),
        *(-1.38, 1.29, 0.35, -0.73, 0.86, -0.84),
    ),
}
COLUMNS = 256  # samples that a model answers at a time
LEAST_SPREAD = 1e-3  # of a random teacher's outputs: one that says always the same teaches nothing
MOST_TEACHERS = 1000


class Model:
    """A network without biases from 12 inputs to one output, an activation after every layer.

    Parameters
    ----------
    kind : str
        A name in `shl.networks.configs.MODELS`.
    activation : {'relu', 'sigmoid', 'tanh', 'gelu'}
    dtype : dtype, default=float32

    Attributes
    ----------
    weights : array (n_weights,)
        Of all layers, one after the other.
    layers : list of arrays (n_filters, n_in * kernel, n_out)
        Views of them.  A filter's row n_in * kernel counts channels first: c * kernel + tap.
    """

    def __init__(self, kind, activation, dtype=np.float32):
        self.kind, self.activation, self.sizes = kind, activation, MODELS[kind]
        shapes = [(n, n_in * kernel, n_out) for n_in, n_out, kernel, n in self.sizes]
        self.weights = np.zeros(sum(map(math.prod, shapes)), dtype)
        self.layers = _views(self.weights, shapes)

    def draw(self, rng, scale=1.0):
        """New weights: Kaiming's normal ones (fan out) for relu and gelu, Xavier's uniform ones
        with their gain else, times scale.
        """
        for layer, (n_in, n_out, kernel, _) in zip(self.layers, self.sizes, strict=True):
            fan_in, fan_out = kernel * n_in, kernel * n_out
            if self.activation in GAINS:
                limit = GAINS[self.activation] * math.sqrt(6 / (fan_in + fan_out))
                layer[:] = scale * rng.uniform(-limit, limit, layer.shape)
            else:
                layer[:] = scale * rng.normal(0, math.sqrt(2 / fan_out), layer.shape)
        return self

    def respond(self, X):
        """The outputs (n_samples,) for X (n_samples, 12)."""
        responses = np.empty(len(X), self.weights.dtype)
        respond(self.network(min(COLUMNS, len(X))), X, responses)
        return responses

    def network(self, batch_size, gradient=None):
        """The kernels' view of the model, with tables for a batch; gradient is (n_weights,)."""
        gradient = np.zeros_like(self.weights) if gradient is None else gradient
        counts = self.n_positions()
        sizes = [N_INPUTS, *(size[1] * n for size, n in zip(self.sizes, counts, strict=True))]
        values, slopes, deltas = (
            [np.zeros(size * batch_size, self.weights.dtype) for size in sizes] for _ in range(3)
        )
        rows_in = [layer.shape[1] for layer in self.layers]
        rows_out = [layer.shape[2] for layer in self.layers]
        return Network(
            tuple(self.layers),
            tuple(_views(gradient, [layer.shape for layer in self.layers])),
            *(_tables(memory[:-1], rows_in) for memory in (values, deltas)),
            *(_tables(memory[1:], rows_out) for memory in (values, slopes, deltas)),
            _places([kernel for _, _, kernel, _ in self.sizes]) * batch_size,
            ACTIVATIONS[self.activation],
        )

    def n_positions(self):
        """Positions of each layer's filters: a list of int."""
        kernels = [kernel for _, _, kernel, _ in self.sizes]
        first = N_INPUTS // self.sizes[0][0]
        return [first // math.prod(kernels[: i + 1]) for i in range(len(kernels))]

    def taps(self):
        """Each layer's weights (n_filters * kernel, n_in, n_out)."""
        return [
            np.moveaxis(layer.reshape(n, n_in, kernel, n_out), 1, 2).reshape(-1, n_in, n_out)
            for layer, (n_in, n_out, kernel, n) in zip(self.layers, self.sizes, strict=True)
        ]

    def matrices(self):
        """Each layer's weights as those of a full layer, (1, n_in, n_out): position by position."""
        found = []
        for taps, size, n in zip(self.taps(), self.sizes, self.n_positions(), strict=True):
            n_in, n_out, kernel, n_filters = size
            blocks = taps.reshape(n_filters, kernel * n_in, n_out)
            matrix = np.zeros((n, kernel * n_in, n, n_out), taps.dtype)
            for position in range(n):
                matrix[position, :, position] = blocks[position % n_filters]
            found.append(matrix.reshape(1, n * kernel * n_in, n * n_out))
        return found

    def count_weights(self, least=0.0):
        """Weights of each layer that are not zero, or at least so large: a list of int."""
        return [int(((layer != 0) & (abs(layer) >= least)).sum()) for layer in self.layers]


def _views(memory, shapes):
    """Parts of an array, one after the other, in shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = np.split(memory, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _tables(memories, n_rows):
    """Arrays as tables with so many rows."""
    return tuple(memory.reshape(n, -1) for memory, n in zip(memories, n_rows, strict=True))


def _places(kernels):
    """Where each of the 12 inputs is in the first table.

    An input's number has digits in the layers' kernels, the first layer's last; its place has them
    in the opposite order, so that the taps of every layer are whole rows.
    """
    numbers, places, n_left = np.arange(N_INPUTS), np.zeros(N_INPUTS, int), N_INPUTS
    for kernel in kernels:
        n_left //= kernel
        places += numbers % kernel * n_left
        numbers = numbers // kernel
    return places if math.prod(kernels) > 1 else np.arange(N_INPUTS)


def make_teacher(kind, activation):
    """Return a teacher with the weights of the study of 2025, or with random ones that are the same
    for each seed, drawn until its outputs vary.
    """
    model, rng = Model(kind, activation), np.random.default_rng(0)
    if kind in TEACHERS:
        model.weights[:] = TEACHERS[kind]
        return model
    X = rng.standard_normal((256, N_INPUTS), np.float32)
    for _ in range(MOST_TEACHERS):
        if model.draw(rng).respond(X).std() > LEAST_SPREAD:
            return model
    raise ArithmeticError(
        f"None of {MOST_TEACHERS} random {kind}_{activation} networks has outputs that vary"
    )


def has_equal_kernels(teacher, student):
    """Whether the models' layers have the same kernels and filters in turn."""
    return [size[2:] for size in teacher.sizes] == [size[2:] for size in student.sizes]


def compare(teacher, student):
    """Return (teacher, student, distance) of two models as `matching.match` has them.

    Their filters are compared if they have the same kernels, else the full layers that do the
    same.  Signs and scales are free if both have the activation that allows it, tanh or relu.  Of
    two relu models the distance is that of `normal_form`; the weights returned are the teacher's
    own, and those of the student on the teacher's scale.
    """
    equal = has_equal_kernels(teacher, student)
    weights = [model.taps() if equal else model.matrices() for model in (teacher, student)]
    is_same = teacher.activation == student.activation
    if not (is_same and student.activation == "relu"):
        return match(*weights, is_odd=is_same and student.activation == "tanh")
    (teacher, norms), (student, _) = map(normal_form, weights)
    *networks, distance = match(teacher, student)
    return *(rescale(layers, norms) for layers in networks), distance
