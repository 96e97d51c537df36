"""The multi-layer perceptron that the estimators train, and what PyTorch needs around it."""

from contextlib import contextmanager

import torch
from torch import nn

from .._base.checks import check_choice, check_count, check_number
from .layers import GaussianLinear, Linear, NormalizedLinear, SparseLinear

ACTIVATIONS = {
    "relu": torch.relu,
    "leaky_relu": nn.functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": nn.functional.gelu,
    "identity": nn.Identity(),
}
WEIGHTS = {"free": Linear, "gaussian": GaussianLinear, "normalized": NormalizedLinear}


@contextmanager
def one_thread():
    """One thread for PyTorch: small networks are faster with it, and sums have the same bits on
    every machine size.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_generator(rng):
    """A `torch.Generator` seeded by a NumPy Generator, so that the caller's global random state
    stays.
    """
    return torch.Generator().manual_seed(int(rng.integers(2**31)))


class InputDropout(nn.Module):
    """In training, each input is zero with probability p and else divided by 1 - p; off in
    evaluation.
    """

    def __init__(self, p, generator):
        super().__init__()
        self.p, self.generator = check_number(p, "input_dropout", least=0, below=1), generator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """X (n, n_in), or a thinned copy of it."""
        if not self.training or self.p == 0:
            return x
        keep = 1 - self.p
        return x * torch.empty_like(x).bernoulli_(keep, generator=self.generator) / keep


class MLP(nn.Module):
    """x -> dropout -> (layer -> activation) ... -> layer: the outputs (n, n_out), logits of a
    classifier.

    Parameters
    ----------
    sizes : list of int
        Inputs, hidden units of each layer, outputs.
    activation : str, default='relu'
        A name in `ACTIVATIONS`, of the hidden layers.
    weights : {'free', 'gaussian', 'normalized'}, default='free'
        The kind of layer.
    connectivity : {'dense', 'set'}, default='dense'
        'set' is sparse hidden layers that evolve; the output layer stays dense.
    epsilon, zeta : float, default=11 and 0.3
        Of `SparseLinear`.
    bias : bool, default=True
    input_dropout : float, default=0.0
    generator : torch.Generator, default=None
    """

    def __init__(
        self,
        sizes,
        activation="relu",
        weights="free",
        connectivity="dense",
        epsilon=11,
        zeta=0.3,
        bias=True,
        input_dropout=0.0,
        generator=None,
    ):
        super().__init__()
        self.activation = check_choice(activation, "activation", ACTIVATIONS)
        check_choice(weights, "weights", WEIGHTS)
        if (
            check_choice(connectivity, "connectivity", ("dense", "set")) == "set"
            and weights != "free"
        ):
            raise ValueError(f"weights must be 'free' with connectivity 'set', not {weights!r}")
        sizes = [
            check_count(size, "hidden_layer_sizes", least=int(index > 0))
            for index, size in enumerate(sizes)
        ]
        self.dropout = InputDropout(input_dropout, generator)
        self.layers = nn.ModuleList()
        for index, (n_in, n_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            if connectivity == "set" and index < len(sizes) - 2:
                layer = SparseLinear(
                    n_in, n_out, epsilon, zeta=zeta, bias=bias, generator=generator
                )
            else:
                layer = WEIGHTS[weights](n_in, n_out, bias=bias, generator=generator)
            self.layers.append(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs (n, n_out) for x (n, n_in)."""
        x = self.dropout(x)
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        return self.layers[-1](x)


@torch.no_grad()
def weight_matrices(module):
    """The weights of each layer as it computes with them: tensors (n_in, n_out)."""
    return [layer.effective_weight().detach().T for layer in module.layers]


def count_zeros(matrices):
    """Exact zeros of each matrix: a list of int."""
    return [int((w == 0).sum()) for w in matrices]


def count_units(matrices):
    """Rows with any weight that is not zero, of each matrix (n_in, n_out): inputs, then hidden
    units, left.
    """
    return [int((w != 0).any(1).sum()) for w in matrices]
