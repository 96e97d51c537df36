"""The multi-layer perceptron that the estimators train, and what PyTorch needs around it."""

import math
from contextlib import contextmanager

import torch
from torch import nn

from .._base.checks import check_count
from .layers import SparseLinear, uniform_

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


@contextmanager
def one_thread():
    """Give PyTorch one thread: small networks are faster with it, and sums have the same bits on
    every machine size.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_generator(rng):
    """Return a `torch.Generator` seeded by a NumPy Generator; the global random state stays."""
    return torch.Generator().manual_seed(int(rng.integers(2**31)))


def make_mlp(sizes, activation="relu", connectivity="dense", epsilon=11, zeta=0.3, generator=None):
    """Return a new perceptron as an `nn.Sequential` of layers and activations.

    Parameters
    ----------
    sizes : list of int
        Inputs, hidden units of each layer, outputs.
    activation : str, default='relu'
        A name in `ACTIVATIONS`, of the hidden layers.
    connectivity : {'dense', 'set'}, default='dense'
        'set' makes sparse hidden layers that evolve; the output layer stays dense.
    epsilon, zeta : float, default=11 and 0.3
        Parameters of `SparseLinear`.
    generator : torch.Generator, default=None
        The source of the start values.
    """
    sizes = [
        check_count(size, "hidden_layer_sizes", least=int(index > 0))
        for index, size in enumerate(sizes)
    ]
    modules = []
    for index, shape in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        if connectivity == "set" and index < len(sizes) - 2:
            modules.append(SparseLinear(*shape, epsilon, zeta=zeta, generator=generator))
        else:
            modules.append(_dense(*shape, generator))
        modules.append(ACTIVATIONS[activation]())
    return nn.Sequential(*modules[:-1])


def _dense(n_in, n_out, generator):
    """A layer with weights and biases of U(-b, b), b = sqrt(6 / (n_in + n_out)) (Glorot and Bengio
    2010), as in scikit-learn's `MLPClassifier`.
    """
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    bound = math.sqrt(6 / (n_in + n_out))
    # Two draws for the bias: start values are those of earlier versions.
    for parameter in (layer.bias, layer.bias, layer.weight):
        uniform_(parameter, bound, generator)
    return layer


class Columns(nn.Module):
    """Reads some columns of its input: `inputs` (n_kept,) of x (n, n_in)."""

    def __init__(self, inputs):
        super().__init__()
        self.register_buffer("inputs", inputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The columns (n, n_kept)."""
        return x[:, self.inputs]


def layers_of(module):
    """The layers of a perceptron that have weights."""
    return [layer for layer in module if hasattr(layer, "weight")]


@torch.no_grad()
def weight_matrices(module):
    """The weights of each layer: tensors (n_in, n_out)."""
    return [layer.weight.detach().T for layer in layers_of(module)]
