"""The compiled loops of the teacher-student study: the responses of a small network, and an epoch
of its learning.

As in `shl.coding.kernels`, every kernel is serial, releases the GIL, is cached on disk, and calls
no kernel of another module.

A layer's weights W (n_filters, n_taps, n_out) meet a table of inputs (n_taps, n_columns) and make
one of outputs (n_out, n_columns).  A column is a sample at a position of the filters; each filter
has its share of the columns, one after the other.  Positions are in such an order that the table of
outputs, read as one of n_out * kernel rows, is the next layer's table of inputs: a convolution
whose stride is its kernel is a product of matrices, and nothing is copied between layers.

Columns are unsigned integers: compiled code then needs no test for negative ones, and works on
several columns at a time.
"""

import math
from typing import NamedTuple

import numpy as np

from ..._base.jit import jit

RELU, SIGMOID, TANH, GELU = range(4)


class Network(NamedTuple):
    """A network and its tables for a batch: tuples with an array for each layer, inputs first.

    `inputs[i]` and `deltas_in[i]` share the memory of `outputs[i - 1]` and `deltas[i - 1]`.
    """

    weights: tuple  # (n_filters, n_taps, n_out)
    gradients: tuple  # as weights: derivatives of the loss
    inputs: tuple  # (n_taps, n_columns)
    deltas_in: tuple  # (n_taps, n_columns): derivatives of the loss by the inputs
    outputs: tuple  # (n_out, n_columns)
    slopes: tuple  # (n_out, n_columns): derivatives of the activation
    deltas: tuple  # (n_out, n_columns): derivatives of the loss before the activation
    places: np.ndarray  # (n_inputs,): where an input begins in the first table, read as one row
    activation: int  # RELU, SIGMOID, TANH or GELU


class Descent(NamedTuple):
    """Gradient descent with momentum, and proximal steps of l1 |w| + 3 l2 w^2 / 2.

    The study of 2025 applies l2 twice, as weight decay and as l2 sum w^2 in the loss, so that its
    gradient is 3 l2 w.
    """

    lr: float
    momentum: float
    l1: float
    l2: float
    clipping: float = 0.0  # weights under it become 0, after every batch


@jit
def respond(network, X, responses):
    """Write the network's outputs (n_samples,) for X (n_samples, n_inputs)."""
    last = network.outputs[-1]
    for start in range(0, len(X), last.size):
        n = min(last.size, len(X) - start)
        _load(network, X, np.arange(start, start + n))
        _forward(network)
        responses[start : start + n] = last[0, :n]


@jit
def learn_epoch(network, weights, gradient, velocity, mask, rule, X, y, order):
    """One epoch of learning the mean squared error; returns the sum of squared errors on its way.

    velocity <- momentum velocity + gradient;  weights <- prox(weights - lr velocity) mask

    Parameters
    ----------
    network : Network
        Its tables have the size of a batch.
    weights, gradient : arrays (n_weights,)
        The memory of the network's weights and gradients; changed in place.
    velocity : array (n_weights,)
        Changed in place.
    mask : array (n_weights,)
        0 where a weight is to stay zero, else 1.
    rule : Descent
        Its penalties count for lr / (1 - momentum): so far the optimizer goes for a lasting
        gradient of 1.
    X : array (n_samples, n_inputs)
    y : array (n_samples,)
    order : integers (n,)
        Samples, in the order in which batches take them.
    """
    total, size, step = 0.0, network.outputs[-1].size, rule.lr / (1 - rule.momentum)
    lr, momentum = weights.dtype.type(rule.lr), weights.dtype.type(rule.momentum)
    threshold = weights.dtype.type(step * rule.l1)
    shrink = weights.dtype.type(1 / (1 + 3 * step * rule.l2))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        _load(network, X, batch)
        _forward(network)
        total += _compare(network, y, batch)
        gradient[:] = 0
        _backward(network)
        for i in range(weights.size):
            velocity[i] = momentum * velocity[i] + gradient[i]
            w = weights[i] - lr * velocity[i]
            w -= max(-threshold, min(w, threshold))
            w *= shrink * mask[i]
            weights[i] = 0 if abs(w) < rule.clipping else w
    return total


@jit
def _load(network, X, batch):
    """Fill the first table with some samples."""
    table, places = network.inputs[0].reshape(-1), network.places
    for i in range(len(places)):
        row = table[places[i] : places[i] + len(batch)]
        for b in range(len(batch)):
            row[b] = X[batch[b], i]


@jit
def _share(table, n_filters, f):
    """The first column of a filter, and the one after its last."""
    n_columns = table.shape[1] // n_filters
    return np.uintp(f * n_columns), np.uintp((f + 1) * n_columns)


@jit
def _forward(network):
    """Fill outputs and slopes of all layers."""
    for i in range(len(network.weights)):
        W, outputs = network.weights[i], network.outputs[i]
        outputs[:] = 0
        for f in range(len(W)):
            start, stop = _share(outputs, len(W), f)
            _multiply(W[f], network.inputs[i], outputs, start, stop)
        _activate(outputs.reshape(-1), network.slopes[i].reshape(-1), network.activation)


@jit
def _multiply(W, inputs, outputs, start, stop):
    """Outputs += W^T inputs, for some columns."""
    for k in range(len(inputs)):
        for o in range(len(outputs)):
            w = W[k, o]
            if w != 0:
                for b in range(start, stop):
                    outputs[o, b] += w * inputs[k, b]


@jit
def _activate(values, slopes, activation):
    """Values <- f(values), slopes <- f'(values)."""
    if activation == RELU:
        for b in range(values.size):
            slopes[b] = 1 if values[b] > 0 else 0
            values[b] = max(values[b], 0)
    elif activation == SIGMOID:
        for b in range(values.size):
            values[b] = 1 / (1 + math.exp(-values[b]))
            slopes[b] = values[b] * (1 - values[b])
    elif activation == TANH:
        for b in range(values.size):
            values[b] = 1 - 2 / (math.exp(2 * values[b]) + 1)  # half the time of math.tanh
            slopes[b] = 1 - values[b] * values[b]
    else:
        for b in range(values.size):
            x = values[b]
            share = 0.5 * (1 + math.erf(x * math.sqrt(0.5)))  # of a normal distribution below x
            values[b] = x * share
            slopes[b] = share + x * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@jit
def _compare(network, y, batch):
    """Fill the output's delta, of the mean squared error; return the sum of squares."""
    outputs, slopes, deltas = network.outputs[-1], network.slopes[-1], network.deltas[-1]
    deltas[:] = 0  # columns without a sample count for nothing
    total, scale = 0.0, y.dtype.type(2 / len(batch))
    for b in range(len(batch)):
        error = outputs[0, b] - y[batch[b]]
        total += error * error
        deltas[0, b] = scale * error * slopes[0, b]
    return total


@jit
def _backward(network):
    """Add to the gradients, and fill the deltas, from the output's to those of the first layer."""
    for i in range(len(network.weights) - 1, -1, -1):
        W, G, deltas = network.weights[i], network.gradients[i], network.deltas[i]
        if i > 0:
            network.deltas_in[i][:] = 0
        for f in range(len(W)):
            start, stop = _share(deltas, len(W), f)
            _correlate(network.inputs[i], deltas, G[f], start, stop)
            if i > 0:
                _multiply_back(W[f], deltas, network.deltas_in[i], start, stop)
        if i > 0:
            back, slopes = network.deltas[i - 1].reshape(-1), network.slopes[i - 1].reshape(-1)
            for b in range(back.size):
                back[b] *= slopes[b]


@jit
def _multiply_back(W, deltas, deltas_in, start, stop):
    """deltas_in += W deltas, for some columns."""
    for k in range(len(W)):
        for o in range(W.shape[1]):
            w = W[k, o]
            if w != 0:
                for b in range(start, stop):
                    deltas_in[k, b] += w * deltas[o, b]


@jit
def _correlate(inputs, deltas, G, start, stop):
    """G += inputs deltas^T over some columns, in four sums that do not wait for each other."""
    one, two, three, four = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)
    for o in range(len(deltas)):
        if not _has_any(deltas, o, start, stop):  # such is a unit without outgoing weights
            continue
        for k in range(len(inputs)):
            s0 = s1 = s2 = s3 = G.dtype.type(0)
            b = start
            while b + four <= stop:
                s0 += inputs[k, b] * deltas[o, b]
                s1 += inputs[k, b + one] * deltas[o, b + one]
                s2 += inputs[k, b + two] * deltas[o, b + two]
                s3 += inputs[k, b + three] * deltas[o, b + three]
                b += four
            while b < stop:
                s0 += inputs[k, b] * deltas[o, b]
                b += one
            G[k, o] += (s0 + s1) + (s2 + s3)


@jit
def _has_any(table, row, start, stop):
    """Whether a row has a value that is not zero, in some columns."""
    b = start
    while b < stop and table[row, b] == 0:
        b += np.uintp(1)
    return b < stop
