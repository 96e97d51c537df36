"""Layers: sparse connectivity that evolves, weights that are a Gaussian's values, weights of norm
1.

All draw from a `torch.Generator` that they are given, and never touch PyTorch's global random
state.
"""

import math
import warnings
from typing import Annotated

import numpy as np
import torch
from torch import nn

from .._base import constraints as of
from .._base.warning import warn_user


def uniform_(tensor, bound, generator):
    """Fill a tensor in place from U(-bound, bound)."""
    with torch.no_grad():
        return tensor.uniform_(-bound, bound, generator=generator)


class _Dense(nn.Module):
    """What the layers share: y = x @ W.T + b with W (n_out, n_in) from `effective_weight`, b as in
    nn.Linear.
    """

    def __init__(self, in_features, out_features, bias, generator):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        if bias:
            uniform_(self.bias, 1 / math.sqrt(max(1, in_features)), generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output (n, n_out) for x (n, n_in)."""
        return nn.functional.linear(x, self.effective_weight(), self.bias)

    def extra_repr(self):
        """The sizes, for `print`."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class GaussianLinear(_Dense):
    """W_ij = exp(-(z_i - mu_ij)^2 / (2 s_ij^2)) / (s_ij sqrt(2 pi)), s = exp(S): the density of
    N(mu, s) at z.

    In training, z_i is drawn from N(0, noise) for each output and pass.  In evaluation z is 0, so
    prediction is deterministic.  Every weight is above zero.  mu and S, both (n_out, n_in), are
    learned from N(0, init_scale).

    Parameters
    ----------
    in_features, out_features : int
    bias : bool, default=True
    init_scale : float, default=0.1
        Standard deviation of the start values, at least 0.
    generator : torch.Generator, default=None
        The source of start values and noise.
    noise : float, default=0.0
        Standard deviation of z in training, at least 0.  The study of 2016 has 1.

    References
    ----------
    Greydanus, S. 2016, The art of regularization.
    """

    @of.checked
    def __init__(
        self,
        in_features: of.CountOrZero,
        out_features: of.Count,
        bias: of.Flag = True,
        init_scale: of.NotNegative = 0.1,
        generator: torch.Generator | None = None,
        noise: of.NotNegative = 0.0,
    ):
        super().__init__(in_features, out_features, bias, generator)
        self.noise, self.generator = noise, generator
        self.mu = nn.Parameter(torch.empty(out_features, in_features))
        self.log_sigma = nn.Parameter(torch.empty(out_features, in_features))
        with torch.no_grad():
            self.mu.normal_(0, init_scale, generator=generator)
            self.log_sigma.normal_(0, init_scale, generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output (n, n_out) for x (n, n_in)."""
        z = 0.0
        if self.training and self.noise:
            z = self.mu.new_empty(self.out_features, 1)
            z.normal_(0, self.noise, generator=self.generator)
        return nn.functional.linear(x, self._density(z), self.bias)

    def effective_weight(self) -> torch.Tensor:
        """W (n_out, n_in) at z = 0, all above zero."""
        return self._density(0.0)

    def _density(self, z):
        """W (n_out, n_in) at z."""
        distance = (z - self.mu) * torch.exp(-self.log_sigma)
        return torch.exp(-0.5 * distance**2 - self.log_sigma) / math.sqrt(2 * math.pi)


class NormalizedLinear(_Dense):
    """W = V / |V|_F, the norm over both axes: the whole weight matrix has norm 1.

    References
    ----------
    Greydanus, S. 2016, The art of regularization.
    """

    @of.checked
    def __init__(
        self,
        in_features: of.CountOrZero,
        out_features: of.Count,
        bias: of.Flag = True,
        generator: torch.Generator | None = None,
    ):
        super().__init__(in_features, out_features, bias, generator)
        self.direction = nn.Parameter(torch.empty(out_features, in_features))
        uniform_(self.direction, 1 / math.sqrt(max(1, in_features)), generator)

    def effective_weight(self) -> torch.Tensor:
        """W (n_out, n_in), of Frobenius norm 1."""
        return self.direction / self.direction.norm().clamp(
            min=torch.finfo(self.direction.dtype).tiny
        )


class SparseLinear(_Dense):
    """y = x @ (W * mask).T + b: a layer with few connections, which evolve (Mocanu et al. 2018,
    algorithm 1).

    Connections are drawn without replacement, a share `epsilon (n_in + n_out) / (n_in n_out)` of
    all pairs, clipped to 1 with a warning; their weights from N(0, sqrt(2 / n_in)).  Weights
    without a connection are exactly zero.

    Parameters
    ----------
    in_features, out_features : int
    epsilon : float, default=11
        Above 0: sets the density, as in the study of 2019.
    density : float, default=None
        In (0, 1]: the share itself, instead of epsilon.
    zeta : float, default=0.3
        In [0, 1]: share of the connections that an evolution replaces.
    bias : bool, default=True
    new_weights : {'normal', 'zero'}, default='normal'
        Grown connections start from N(0, sqrt(2 / n_in)), or from 0.
    generator : torch.Generator, default=None
        Of all draws, those of the evolutions too.

    Attributes
    ----------
    weight : Parameter (n_out, n_in)
    connections : int64 tensor (n_connections,)
        Places in the flattened weight, ascending.
    mask : tensor (n_out, n_in)
        Of the weight's dtype, 1 at a connection.
    """

    @of.checked
    def __init__(
        self,
        in_features: of.Count,
        out_features: of.Count,
        epsilon: of.Positive = 11,
        density: of.PositiveShare | None = None,
        zeta: of.Share = 0.3,
        bias: of.Flag = True,
        new_weights: Annotated[str, of.choice(("normal", "zero"))] = "normal",
        generator: torch.Generator | None = None,
    ):
        super().__init__(in_features, out_features, bias, generator)
        n_pairs = in_features * out_features
        self.density = density or _density(epsilon, in_features, out_features)
        self.zeta, self.new_weights, self.generator = zeta, new_weights, generator
        n_connections = max(1, round(self.density * n_pairs))
        chosen = torch.randperm(n_pairs, generator=generator)[:n_connections].sort().values
        self.register_buffer("connections", chosen)
        self.register_buffer("mask", torch.zeros(out_features, in_features))
        self.mask.view(-1)[chosen] = 1
        self.weight = nn.Parameter(torch.zeros(out_features, in_features))
        with torch.no_grad():
            self.weight.view(-1)[chosen] = self._draw(n_connections)

    def effective_weight(self) -> torch.Tensor:
        """W * mask (n_out, n_in): a gradient reaches the connections alone."""
        return self.weight * self.mask

    def connections_per_input(self) -> torch.Tensor:
        """How many connections each input has, int64 (n_in,)."""
        return torch.bincount(self.connections % self.in_features, minlength=self.in_features)

    @torch.no_grad()
    def evolve(self, optimizer: torch.optim.Optimizer | None = None) -> int:
        """Replace the weakest connections by as many new ones; return how many.

        Removed are the floor(zeta n_pos) smallest positive and the floor(zeta n_neg) largest
        negative weights, and connections whose weight is zero count as positive.  Grown are random
        pairs that are free, not those just removed; where fewer are free, fewer are removed.  The
        state that an optimizer keeps of both is reset to zero. Changes weight, mask and connections
        in place; the number of connections stays.
        """
        if self.weight.is_meta:
            raise ValueError(
                "The layer is on the device 'meta', where weights have no values. Move it to "
                "another device by to_empty, and load its weights."
            )
        device, connections = self.weight.device, self.connections.cpu()
        n_free = self.mask.numel() - len(connections)
        weakest = self._find_weakest(n_free)
        removed = connections[weakest]
        # Draws are those of the generator, which is on the CPU: a seed means the same everywhere.
        grown = _draw_free(self.mask.cpu(), n_free, len(removed), self.generator)
        stays = torch.ones(len(connections), dtype=torch.bool)
        stays[weakest] = False
        connections = np.sort(torch.cat((connections[stays], grown)).numpy())
        self.connections.copy_(torch.from_numpy(connections))
        weights = self._draw(len(grown)) if self.new_weights == "normal" else 0.0 * grown
        removed, grown = removed.to(device), grown.to(device)
        flat = self.mask.view(-1)
        flat[removed], flat[grown] = 0, 1
        flat = self.weight.view(-1)
        flat[removed] = 0
        flat[grown] = weights.to(device, flat.dtype)
        _reset_state(optimizer, self.weight, torch.cat((removed, grown)))
        return len(grown)

    @torch.no_grad()
    def zero_connections(self) -> int:
        """Set the connections that an evolution would remove to zero, before inference: the weakest
        have not learned yet, or will not; return how many.

        Changes weight in place; mask and connections stay.
        """
        weakest = self._find_weakest(self.mask.numel())
        self.weight.view(-1)[self.connections[weakest.to(self.connections.device)]] = 0
        return len(weakest)

    def _find_weakest(self, most):
        """Places, among the connections, of those that an evolution removes, on the CPU: the
        floor(zeta n) weakest of the positive and of the negative ones, at most `most` in all.
        """
        weights = self.weight.view(-1)[self.connections].float().cpu().numpy()
        chosen = [np.empty(0, np.int64)]
        for places in (np.flatnonzero(weights >= 0), np.flatnonzero(weights < 0)):
            n = min(math.floor(self.zeta * len(places)), most - sum(map(len, chosen)))
            if n:  # NumPy finds the n smallest without sorting the others
                chosen.append(places[np.argpartition(np.abs(weights[places]), n - 1)[:n]])
        return torch.from_numpy(np.concatenate(chosen))

    def to_csr(self) -> "CSRLinear":
        """Return the same function as a layer for inference that computes by a sparse product."""
        return CSRLinear(self)

    def to_dense(self) -> nn.Linear:
        """Return the same layer as a dense `nn.Linear` with a copy of its weights."""
        weight = self.effective_weight().detach()
        dense = nn.utils.skip_init(nn.Linear, *weight.T.shape, bias=self.bias is not None)
        dense = dense.to(weight.device, weight.dtype)
        dense.load_state_dict({**self.state_dict(), "weight": weight}, strict=False)
        return dense

    def _draw(self, n):
        """N(0, sqrt(2 / n_in)) weights (n,)."""
        dtype = self.weight.dtype if hasattr(self, "weight") else None
        return torch.empty(n, dtype=dtype).normal_(
            0, math.sqrt(2 / self.in_features), generator=self.generator
        )


class CSRLinear(nn.Module):
    """y = x @ W.T + b with W in compressed rows: a `SparseLinear` for inference.

    It stores a number and a column for each connection, has no gradient, and reads x (n, n_in).

    Parameters
    ----------
    layer : SparseLinear
        Its weights are copied.

    Attributes
    ----------
    crow, col, values : tensors (n_out + 1,), (n_connections,), (n_connections,)
    """

    def __init__(self, layer):
        super().__init__()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            csr = layer.effective_weight().to_sparse_csr()
        self.shape = tuple(csr.shape)
        self.register_buffer("crow", csr.crow_indices())
        self.register_buffer("col", csr.col_indices())
        self.register_buffer("values", csr.values())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output (n, n_out) for x (n, n_in)."""
        parts = self.crow, self.col, self.values, self.shape
        csr = torch.sparse_csr_tensor(*parts, check_invariants=False)
        y = (csr @ x.T.contiguous()).T
        return y if self.bias is None else y + self.bias


def _density(epsilon, n_in, n_out):
    """The share of pairs that are connected."""
    density = epsilon * (n_in + n_out) / (n_in * n_out)
    if density > 1:
        warn_user(
            f"epsilon {epsilon:g} asks for a density of {density:.3g} in a layer of "
            f"{n_in} x {n_out}, which is clipped to 1. The layer is dense. Use a "
            "smaller epsilon for a sparse one."
        )
    return min(1.0, density)


def _draw_free(mask, n_free, n, generator):
    """N different places among the n_free of the flattened mask where it is zero, all equally
    likely.
    """
    flat, n_pairs = mask.view(-1), mask.numel()
    # Where draws would often miss or meet each other: count the free pairs.
    if 2 * n_free < n_pairs or 4 * n > n_free:
        free = (flat == 0).nonzero().view(-1)
        return free[torch.randperm(len(free), generator=generator)[:n]]
    found = np.empty(0, np.int64)
    while len(found) < n:
        drawn = torch.randint(n_pairs, (2 * n + 16,), generator=generator)
        found = np.append(found, drawn[flat[drawn] == 0].numpy())
        # In the order of drawing: no place is favoured by its number.
        found = found[np.sort(np.unique(found, return_index=True)[1])]
    return torch.from_numpy(found[:n])


def _reset_state(optimizer, parameter, places):
    """Zero what an optimizer remembers of some places of a parameter (moments; not its count of
    steps).
    """
    for value in (optimizer.state.get(parameter, {}) if optimizer is not None else {}).values():
        if torch.is_tensor(value) and value.shape == parameter.shape:
            value.view(-1)[places] = 0
