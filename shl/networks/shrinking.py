"""A pruned network as a smaller dense one with the same outputs."""

import copy

import torch
from sklearn.base import BaseEstimator
from torch import nn

from .mlp import ACTIVATIONS, MLP, weight_matrices
from .sequential import shrink_sequential


class ShrunkMLP(MLP):
    """A dense `MLP` that reads the inputs `inputs` (n_kept,) of x (n, n_in) and no others."""

    def __init__(self, inputs, matrices, biases, activation):
        super().__init__([len(inputs), *(w.shape[1] for w in matrices)], activation)
        self.register_buffer("inputs", inputs)
        self.to(matrices[0].dtype)
        with torch.no_grad():
            for layer, w, b in zip(self.layers, matrices, biases, strict=True):
                layer.weight.copy_(w.T)
                layer.bias.copy_(b)

    def forward(self, x):
        """The outputs (n, n_out) for x (n, n_in)."""
        return super().forward(x[:, self.inputs])


def shrink(model: nn.Module | BaseEstimator) -> nn.Module | BaseEstimator:
    """The same function as a smaller dense network, without the units that zeros have cut off.

        smaller = shrink(model)      # trains on like any other

    A unit or filter whose outgoing weights are all exactly zero goes, and with it its incoming
    weights, which may free units before it.  One whose incoming weights are all zero, or whose
    batch normalization has scale zero, is the constant c that its bias makes of what is between,
    and moves into the next biases ``b' = b + c W``, W summed over a filter.  Where that convolution
    pads with zeros, c is not what it reads beyond the border: the unit stays, unless c is 0.
    A layer keeps one unit at least.

    Parameters
    ----------
    model : nn.Sequential, fitted SparseMLPClassifier or SparseMLPRegressor, or MLP
        Not changed.  A Sequential may hold others, Linear, Conv1d and Conv2d with groups=1,
        BatchNorm1d and BatchNorm2d, Flatten, pooling, dropout, and activations that act on each
        element; Linear reads (n_samples, n_features).

    Returns
    -------
    nn.Sequential
        For a Sequential: a copy with the same modules and names, and as many inputs and outputs.
        Its outputs agree in evaluation mode, within the rounding of sums in another order: 1e-12 of
        the largest in float64, 1e-5 in float32.
    estimator
        For an estimator: a fitted copy, which takes the same X.  Its `hidden_layer_sizes`,
        `coefs_` and `intercepts_` are smaller, and `inputs_` (n_kept,) are the columns of X that it
        reads.
    ShrunkMLP
        For an `MLP`.

    Raises
    ------
    TypeError
        For another model, and for a module in a Sequential that is not known, by its name.
    """
    if isinstance(model, MLP):
        return _shrink_module(model)
    if isinstance(model, nn.Sequential) and type(model).forward is nn.Sequential.forward:
        return shrink_sequential(model)
    if not hasattr(model, "module_"):
        raise TypeError(
            "model must be a fitted SparseMLPClassifier or SparseMLPRegressor, an nn.Sequential or "
            f"an MLP, not {type(model).__name__}"
            + " that is not fitted"
            * hasattr(model, "hidden_layer_sizes")
        )
    smaller = copy.copy(model)
    smaller._adopt_shrunk(_shrink_module(model.module_).eval())
    return smaller


@torch.no_grad()
def _shrink_module(module):
    """The smaller network."""
    matrices = [w.clone() for w in weight_matrices(module)]
    biases = [
        torch.zeros(w.shape[1], dtype=w.dtype) if layer.bias is None else layer.bias.clone()
        for layer, w in zip(module.layers, matrices, strict=True)
    ]
    inputs = _drop_unheard(matrices, biases)
    _fold_constants(matrices, biases, ACTIVATIONS[module.activation])
    inputs = getattr(module, "inputs", torch.arange(module.layers[0].in_features))[inputs]
    start = max(
        (i for i, w in enumerate(matrices) if not len(w)), default=0
    )  # nothing gets past a layer without rows
    if start:
        inputs = inputs[:0]
    return ShrunkMLP(inputs, matrices[start:], biases[start:], module.activation).eval()


def _drop_unheard(matrices, biases):
    """From the last layer to the first, drop rows of zeros and the columns before; return the
    inputs that stay.
    """
    for i in reversed(range(len(matrices))):
        heard = (matrices[i] != 0).any(1).nonzero()[:, 0]
        matrices[i] = matrices[i][heard]
        if i:
            matrices[i - 1], biases[i - 1] = matrices[i - 1][:, heard], biases[i - 1][heard]
    return heard


def _fold_constants(matrices, biases, activation):
    """From the first layer to the last, move hidden units with no incoming weight into the next
    biases.
    """
    for i in range(len(matrices) - 1):
        varies = (matrices[i] != 0).any(0)
        biases[i + 1] += activation(biases[i][~varies]) @ matrices[i + 1][~varies]
        matrices[i], biases[i] = matrices[i][:, varies], biases[i][varies]
        matrices[i + 1] = matrices[i + 1][varies]
