"""A pruned network as a smaller dense one with the same outputs."""

import copy
import math
import operator
import warnings
from collections import Counter
from typing import NamedTuple

import torch
from sklearn.base import BaseEstimator
from torch import fx, nn

from .layers import SparseLinear
from .mlp import Columns

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
BLOCKS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
# Modules, functions and methods by their names, in lower case and without underscores.
MIXERS = {"layernorm", "groupnorm", "softmax", "logsoftmax", "multiheadattention", "matmul"}
DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alphadropout", "featurealphadropout"}
AVERAGES = {"avgpool1d", "avgpool2d", "avgpool3d"}
POOLS = AVERAGES | {"maxpool1d", "maxpool2d", "maxpool3d", "upsample", "interpolate"}
POOLS |= {f"adaptive{kind}pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)}
PAIRS = {"add", "iadd", "sub", "isub", "mul", "imul"}
ELEMENTWISE = PAIRS | {
    *("identity", "relu", "relu6", "leakyrelu", "prelu", "elu", "celu", "selu", "gelu", "silu"),
    *("mish", "tanh", "sigmoid", "softplus", "softsign", "hardtanh", "hardsigmoid", "hardswish"),
    *("logsigmoid", "contiguous", "neg"),
}
SHAPES = {"size", "dim", "getattr"}  # read no unit
UNKNOWN, NOTHING = "unknown", "nothing"


def shrink(model: nn.Module | BaseEstimator) -> nn.Module | BaseEstimator:
    """Return the same function as a smaller dense network, without the units that zeros cut off.

    ::

        smaller = shrink(model)  # trains on like any other

    A unit or filter whose outgoing weights are all exactly zero is removed together with its
    incoming weights, which may free units before it.  A unit whose incoming weights are all zero,
    or whose batch normalization has scale zero, is a constant c.  It moves into the next biases
    ``b' = b + c W``, W summed over a filter.  A convolution that pads with zeros does not read c
    beyond the border, so such a unit stays unless c is 0.  Units that a residual sum joins are
    removed together.  A layer keeps one unit at least.

    Parameters
    ----------
    model : nn.Module, or fitted SparseMLPClassifier or SparseMLPRegressor
        The network, which `torch.fx` must be able to trace.  It is not changed.  `shrink` follows
        Linear, Conv and ConvTranspose layers with groups=1, batch normalization, activations,
        dropout, pooling, Upsample, flattening, concatenation, sums and products, and the
        feed-forward part of PyTorch's transformer layers.  Units that LayerNorm, attention or
        softmax mix stay, and so do inputs and outputs.  BatchNorm1d after Linear must read
        (n_samples, n_features).

    Returns
    -------
    nn.Module
        A copy of the same class with smaller layers, and as many inputs and outputs.  Its outputs
        agree in evaluation mode within the rounding of sums in another order: 1e-12 of the largest
        in float64, 1e-5 in float32.
    estimator
        For an estimator: a fitted copy, which takes the same X.  Its `hidden_layer_sizes`,
        `coefs_` and `intercepts_` are smaller, and `inputs_` (n_kept,) are the columns of X that it
        reads.

    Raises
    ------
    TypeError
        If the model is of another type or cannot be traced.
    ValueError
        If a weight is computed from others, as by `torch.nn.utils.prune` before `remove`.

    Warns
    -----
    UserWarning
        Names the nodes of the graph that `shrink` does not know.  The units around them stay.
    """
    if isinstance(model, nn.Module):
        return _shrink(model)[0]
    if not hasattr(model, "module_"):
        state = " that is not fitted" if hasattr(model, "hidden_layer_sizes") else ""
        raise TypeError(
            f"model is {type(model).__name__}{state}, but shrink needs a PyTorch module or a "
            "fitted SparseMLPClassifier or SparseMLPRegressor. Fit the model first."
        )
    smaller = copy.copy(model)
    layers = nn.Sequential(*(part for part in model.module_ if not isinstance(part, Columns)))
    smaller._adopt_shrunk(*_shrink(layers, len(model.coefs_[0])))
    return smaller


@torch.no_grad()
def _shrink(model, n_inputs=0):
    """(The smaller network, which of the n_inputs that may be dropped stay)."""
    for name, module in model.named_modules():
        if isinstance(module, (*LAYERS, *NORMS)) and "weight" not in module._parameters:
            raise ValueError(
                f"The weight of {name} is computed from others, but shrink needs a parameter. Call "
                "torch.nn.utils.prune.remove first."
            )
    device = next((parameter.device for parameter in model.parameters()), None)
    smaller = copy.deepcopy(model).cpu().eval()
    for name, module in list(smaller.named_modules()):
        if isinstance(module, SparseLinear):
            owner, _, attribute = name.rpartition(".")
            setattr(smaller.get_submodule(owner), attribute, module.to_dense())
    units = _Units(smaller, n_inputs)
    alive = units.find_alive()
    for layer, reads, makes in units.layers:
        _keep(layer, "out", alive[makes])
        if reads is not None:
            _keep(layer, "in", alive[reads])
    for module, places in units.followers:
        for name in ("weight", "bias", "running_mean", "running_var"):
            _select(module, name, 0, alive[places])
        count = "num_features" if isinstance(module, NORMS) else "num_parameters"
        setattr(module, count, int(alive[places].sum()))
    return smaller.to(device).train(model.training), alive[:n_inputs]


def _keep(layer, side, keep):
    """Keep some of a layer's inputs or outputs."""
    _select(layer, "weight", int((side == "in") != isinstance(layer, TRANSPOSED)), keep)
    if side == "out":
        _select(layer, "bias", 0, keep)
    kind = "features" if isinstance(layer, nn.Linear) else "channels"
    setattr(layer, f"{side}_{kind}", int(keep.sum()))


def _select(module, name, axis, keep):
    """Replace a parameter or buffer by a part of it."""
    value = getattr(module, name, None)
    if value is not None and not keep.all():
        part = value.index_select(axis, keep.nonzero()[:, 0])
        is_parameter = isinstance(value, nn.Parameter)
        setattr(module, name, nn.Parameter(part, value.requires_grad) if is_parameter else part)


class _Value(NamedTuple):
    """The channels of a node's output.

    The axis is 'first' (n, C, ...), 'last' (n, ..., C), 'flat' (n, C), or 'spread' (n, C * k): k
    features in a row for each channel.
    """

    units: torch.Tensor  # (C,): the number of the unit that each channel is
    constants: torch.Tensor  # (C,): what a channel always is, NaN if it varies
    axis: str
    n_places: int = 0  # axes of places, after 'first'


class _Units:
    """The units of a network: which layers make and read them, and which are the same.

    Reading the graph, it moves constants into the biases of the layers that read them.
    """

    def __init__(self, model, n_inputs):
        self.model, self.n_inputs = model, n_inputs
        self.layers, self.followers, unknown = [], [], []
        self.same = list(range(n_inputs))  # another unit with which a unit stays or goes
        self.fixed = set()
        # PyTorch's own modules are not traced from within.
        is_own = type(model).__module__.startswith("torch.nn") and type(model) is not nn.Sequential
        self.root = nn.Sequential(model) if is_own else model
        try:
            graph = fx.Tracer().trace(self.root)
        except Exception as error:  # of any kind: forward of the user's module has run
            raise TypeError(
                f"model {type(model).__name__} cannot be traced by torch.fx: {error}. Write its "
                "forward without branches on values, or shrink its parts."
            ) from error
        used = Counter(id(parameter) for node in graph.nodes for parameter in self._read(node))
        self.shared, self.values = {name for name, count in used.items() if count > 1}, {}
        for node in graph.nodes:
            value = None
            if node.op == "placeholder" and n_inputs:
                value = _Value(torch.arange(n_inputs), torch.full((n_inputs,), math.nan), "flat")
            elif node.op.startswith("call_"):
                value = self._call(node)
            if value is UNKNOWN:
                unknown.append(f"{node.name} ({self._name(node)})")
            if value is None or value is UNKNOWN:
                self._fix(node)
            self.values[node] = value if isinstance(value, _Value) else None
        if unknown:
            text = f"shrink cannot follow {', '.join(unknown)}. The units around stay."
            warnings.warn(text, stacklevel=5)

    # ------------------------------------------------------------------------------------ the graph

    def _module(self, node):
        """The module that a node calls, or None."""
        return self.root.get_submodule(node.target) if node.op == "call_module" else None

    def _name(self, node):
        """The name of what a node calls, in lower case and without underscores."""
        module, target = self._module(node), node.target
        if module is not None:
            target = type(module).__name__
        return getattr(target, "__name__", str(target)).lower().replace("_", "")

    def _read(self, node):
        """The parameters that a node uses."""
        if node.op == "get_attr":
            return [operator.attrgetter(node.target)(self.root)]
        return [] if (module := self._module(node)) is None else list(module.parameters())

    def _call(self, node):
        """The value of a node, None if it mixes the units that it reads, or `UNKNOWN`."""
        module, name, args = self._module(node), self._name(node), node.args
        value = self.values.get(args[0]) if args and isinstance(args[0], fx.Node) else None
        is_shared = any(id(parameter) in self.shared for parameter in self._read(node))
        is_odd = is_shared or getattr(module, "groups", 1) != 1
        if is_odd and isinstance(module, (*LAYERS, *NORMS, nn.PReLU)):
            return UNKNOWN
        if isinstance(module, LAYERS):
            return self._layer(module, value)
        for block in module.modules() if module is not None and not is_shared else ():
            if isinstance(block, BLOCKS):
                hidden = self._layer(block.linear1, None)
                out = self._layer(block.linear2, self._elementwise(block.activation, hidden))
                self.fixed.update(out.units.tolist())
        if name in SHAPES:
            return NOTHING
        if name in ("cat", "concat"):
            return self._concatenate(*args, **node.kwargs)
        if value is None or name in MIXERS or isinstance(module, (*BLOCKS, nn.TransformerEncoder)):
            return None
        if isinstance(module, NORMS):
            return self._norm(node, module, value)
        if name in PAIRS and isinstance(args[1], fx.Node):
            return self._pair(node, value, self.values[args[1]])
        if name in DROPOUTS:
            return value
        if name in ELEMENTWISE:
            return self._elementwise(module or _function(node), value, args[1:], node.kwargs)
        if name in POOLS and value.axis == "first":
            return _pool(module, name, value)
        if name in ("flatten", "view", "reshape"):
            return _flatten(module, value, args)
        if name == "mean" and not node.kwargs.keys() - {"dim", "keepdim"}:
            return _average(value, *args[1:], **node.kwargs)
        return None if name in POOLS else UNKNOWN

    def _fix(self, node):
        """All units that a node reads stay."""
        for other in node.all_input_nodes:
            if self.values.get(other):
                self.fixed.update(self.values[other].units.tolist())

    def _layer(self, layer, value):
        """Read a layer: constants move into its bias, and what it makes are new units."""
        is_linear, weight = isinstance(layer, nn.Linear), _outputs_first(layer)
        reads = None
        if value is not None:
            k = weight.shape[1] // len(value.units)
            if (value.axis == "first") == is_linear or (k > 1 and value.axis != "spread"):
                self.fixed.update(value.units.tolist())
            else:
                reads = value.units.repeat_interleave(k)
                _fold(layer, weight, value.constants.repeat_interleave(k))
        makes = torch.arange(len(self.same), len(self.same) + len(weight))
        self.same.extend(makes.tolist())
        self.layers.append((layer, reads, makes))
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias
        is_constant = (weight.flatten(1) == 0).all(1)
        axis = "flat" if value is not None and value.axis in ("flat", "spread") else "last"
        constants = torch.where(is_constant, bias, math.nan)
        return _Value(makes, constants, axis if is_linear else "first", weight.ndim - 2)

    def _norm(self, node, norm, value):
        """Follow a batch normalization, which has numbers for each unit."""
        k, rest = divmod(norm.num_features, len(value.units))
        if norm.running_mean is None or rest or (k > 1 and value.axis != "spread"):
            return UNKNOWN
        units, constants = (a.repeat_interleave(k) for a in value[:2])
        state = norm.running_mean, norm.running_var, norm.weight, norm.bias
        moved = nn.functional.batch_norm(constants[None], *state, training=False, eps=norm.eps)[0]
        if norm.affine:
            moved = torch.where(norm.weight == 0, norm.bias, moved)
            source = self._module(node.args[0])
            if isinstance(source, LAYERS) and k == 1 and len(node.args[0].users) == 1:
                _outputs_first(source)[norm.weight == 0] = 0  # says so whatever it reads
        self.followers.append((norm, units))
        axis = "flat" if value.axis == "spread" else value.axis
        return _Value(units, moved, axis, value.n_places)

    def _elementwise(self, function, value, more=(), options=None):
        """Follow a function of single elements."""
        options = {name: other for name, other in (options or {}).items() if name != "inplace"}
        if any(isinstance(other, fx.Node) for other in (*more, *options.values())):
            return UNKNOWN
        if getattr(function, "num_parameters", 1) > 1:  # of PReLU
            if value.axis == "spread" or function.num_parameters != len(value.units):
                return UNKNOWN
            self.followers.append((function, value.units))
        moved = function(value.constants.nan_to_num()[None], *more, **options)[0]
        return value._replace(constants=torch.where(value.constants.isnan(), math.nan, moved))

    def _pair(self, node, one, two):
        """Join the units of a sum or product."""
        if two is None or one.axis != two.axis or len(one.units) != len(two.units) or node.kwargs:
            return None
        for a, b in zip(one.units.tolist(), two.units.tolist(), strict=True):
            self.same[self._root(b)] = self._root(a)
        return one._replace(constants=_function(node)(one.constants.clone(), two.constants))

    def _concatenate(self, tensors, dim=0):
        """Put channels one after the other."""
        values = [self.values.get(other) for other in tensors]
        axes = {value.axis if value else None for value in values}
        dims = {"first": (1,), "last": (-1,), "flat": (1, -1)}
        if len(axes) > 1 or dim not in dims.get(axis := axes.pop(), ()):
            return None
        units, constants = (torch.cat([value[i] for value in values]) for i in (0, 1))
        return _Value(units, constants, axis, values[0].n_places)

    # ------------------------------------------------------------------------------------ the units

    def _root(self, unit):
        """The unit that stands for all that stay or go with this one."""
        while self.same[unit] != unit:
            unit = self.same[unit]
        return unit

    def find_alive(self):
        """Which units stay: what is fixed, or another unit that stays, reads them."""
        roots = torch.tensor([self._root(unit) for unit in range(len(self.same))])
        fixed = torch.zeros(len(roots), dtype=torch.bool)
        fixed[sorted(self.fixed)] = True
        used = [_taps(_outputs_first(layer) != 0).any(2) for layer, _, _ in self.layers]
        alive, before = torch.ones_like(fixed), None
        while before is None or not torch.equal(alive, before):
            before, read, groups = alive, fixed.clone(), torch.zeros_like(fixed)
            for (_, reads, makes), is_used in zip(self.layers, used, strict=True):
                if reads is not None:
                    read[reads[is_used[alive[makes]].any(0)]] = True
            groups[roots[read]] = True
            alive = groups[roots]
        for _, _, makes in self.layers:  # PyTorch has no layers without units
            if not alive[makes].any():
                alive = alive | (roots == roots[makes[0]])
        return alive


def _outputs_first(layer):
    """The weight as (n_out, n_in, ...), a view."""
    return layer.weight.transpose(0, 1) if isinstance(layer, TRANSPOSED) else layer.weight


def _taps(weight):
    """The weight as (n_out, n_in, n_taps)."""
    return weight[..., None].flatten(2)


def _function(node):
    """The function that a node calls, of a tensor."""
    return getattr(torch.Tensor, node.target) if node.op == "call_method" else node.target


def _fold(layer, weight, constants):
    """Move constants that a layer reads into its bias."""
    known = constants == 0 if _reads_borders(layer) else ~constants.isnan()
    moved = _taps(weight).sum(2)[:, known] @ constants[known].to(weight.dtype)
    weight[:, known] = 0
    if layer.bias is not None:
        layer.bias += moved
    elif moved.any():
        layer.bias = nn.Parameter(moved)


def _reads_borders(layer):
    """Whether a constant channel is not constant for a layer, which reads zeros at the border."""
    if isinstance(layer, nn.Linear) or getattr(layer, "padding", None) == "valid":
        return False
    sizes = (n - 1 for n in layer.kernel_size) if layer.padding == "same" else layer.padding
    return isinstance(layer, TRANSPOSED) or (layer.padding_mode == "zeros" and any(sizes))


def _pool(module, name, value):
    """Follow a pool; an average of zeros beyond the border, or by another number, changes c."""
    if name not in AVERAGES:
        return value
    pads = module is None or any(torch.atleast_1d(torch.tensor(module.padding)))
    is_other = module is None or getattr(module, "divisor_override", None) is not None
    if is_other or (pads and module.count_include_pad):
        is_zero = value.constants == 0
        return value._replace(constants=torch.where(is_zero, value.constants, math.nan))
    return value


def _flatten(module, value, args):
    """Follow a flattening of all axes but the first."""
    if module is not None:
        is_whole = (module.start_dim, module.end_dim) == (1, -1)
    else:
        is_whole = args[1:] == (1,) or (len(args) == 3 and args[2] == -1)
    if not is_whole or value.axis == "last":
        return None
    return value._replace(axis="spread") if value.axis == "first" else value


def _average(value, dim=None, keepdim=False):
    """Follow a mean over all places."""
    dims = {dim} if isinstance(dim, int) else set(dim or ())
    n = value.n_places
    if value.axis != "first" or dims not in (set(range(2, 2 + n)), set(range(-n, 0))):
        return UNKNOWN
    return value if keepdim else value._replace(axis="flat")
