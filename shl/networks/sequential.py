"""A pruned `nn.Sequential` as a smaller one with the same outputs, layer by layer."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ELEMENTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Hardtanh,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.LogSigmoid,
)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
POOLS = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
)
LAST = (nn.Softmax, nn.LogSoftmax)  # mix the units: only where all stay, after the last layer
SUPPORTED = LAYERS + NORMS + ELEMENTWISE + DROPOUTS + POOLS + (nn.Flatten,) + LAST


@dataclass
class _Link:
    """A layer, the layer that reads it, and the modules between them."""

    producer: nn.Module
    consumer: nn.Module
    between: list


def shrink_sequential(model):
    """The same function, in evaluation mode, as a smaller network; see `shrink`."""
    _link(model)  # what cannot be followed is an error before the copy, which may fail too
    smaller = copy.deepcopy(model)
    with torch.no_grad():
        links = _link(smaller)
        for link in links:
            _fold_constants(link)
        for link in reversed(links):
            _drop_unheard(link)
    return smaller


# ------------------------------------------------------------------------------------------ reading


def _link(model):
    """The links between layers in turn; a module that is not known is an error with its name."""
    links, between, last, seen = [], [], None, set()
    for name, module in _leaves(model):
        _check(name, module, seen)
        if isinstance(module, LAYERS):
            if last is not None:
                _check_between(name, module, last, between)
                links.append(_Link(last, module, between))
            last, between = module, []
        else:
            between.append(module)
    return links


def _leaves(model, prefix=""):
    """(name, module) of a Sequential and of those within it, in the order of the data."""
    for name, module in model._modules.items():  # named_children leaves repetitions out
        if type(module) is nn.Sequential:
            yield from _leaves(module, f"{prefix}{name}.")
        else:
            yield prefix + name, module


def _check(name, module, seen):
    """Raise an error for a module that shrink cannot follow."""
    kind = type(module).__name__
    if type(module) not in SUPPORTED:
        raise TypeError(
            "model must be an nn.Sequential of Linear, Conv1d, Conv2d, BatchNorm1d, BatchNorm2d, "
            f"Flatten, pooling, dropout and activations of elements, but {name} is {kind}"
        )
    if isinstance(module, LAYERS + NORMS):
        if id(module) in seen:
            raise ValueError(f"{name} must stand once in model: its weights are those of another")
        seen.add(id(module))
    if isinstance(module, LAYERS) and "weight" not in module._parameters:
        raise ValueError(
            f"the weight of {name} must be a parameter, not computed from others: call "
            "torch.nn.utils.prune.remove first"
        )
    if getattr(module, "groups", 1) != 1:
        raise ValueError(f"groups of {name} must be 1, not {module.groups}")
    if isinstance(module, NORMS) and module.running_mean is None:
        raise ValueError(f"track_running_stats of {name} must be True")
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) != (1, -1):
        raise ValueError(f"{name} must flatten all axes but the first")


def _check_between(name, consumer, producer, between):
    """Raise an error where the consumer does not read the producer's units one after the other."""
    is_flat = isinstance(producer, nn.Linear)
    for module in between:
        kind = type(module).__name__
        if isinstance(module, LAST):
            raise TypeError(f"{kind} must stand after the last layer of model, not before {name}")
        if isinstance(module, POOLS) and is_flat:
            raise TypeError(f"{kind} must stand before Flatten and Linear, not before {name} only")
        is_flat = is_flat or isinstance(module, nn.Flatten)
    if is_flat != isinstance(consumer, nn.Linear):
        kinds = type(consumer).__name__, type(producer).__name__
        raise TypeError(
            f"{name} is {kinds[0]}, which cannot read what {kinds[1]} makes: Conv reads Conv, and "
            "Linear reads Linear, or Conv through Flatten"
        )


# ---------------------------------------------------------------------------------------- shrinking


def _fold_constants(link):
    """Move units that always say the same into the biases of the layer that reads them."""
    values, is_constant = _follow_constants(link)
    n_units = len(link.producer.weight)
    folds = is_constant & (values == 0) if _pads_zeros(link.consumer) else is_constant
    goes = folds.view(n_units, -1).all(1)
    if goes.all():
        goes[0] = False  # PyTorch has no layers without units
    link.producer.weight[is_constant.view(n_units, -1).all(1)] = 0  # says so whatever it hears
    read = link.consumer.weight
    taps = read.reshape(len(read), len(values), -1).sum(2)
    moved = taps @ torch.where(_spread(goes, len(values)), values, 0)
    if link.consumer.bias is not None:
        link.consumer.bias += moved
    elif moved.any():
        link.consumer.bias = nn.Parameter(moved)
    _keep(link, ~goes)


def _follow_constants(link):
    """What each unit says where it always says the same, as the next layer reads it: (values,
    is_constant), both (n_read,).
    """
    producer, n_read = link.producer, link.consumer.weight.shape[1]
    is_constant = (producer.weight.flatten(1) == 0).all(1)
    values = producer.weight.new_zeros(len(is_constant))
    if producer.bias is not None:
        values += producer.bias
    for module in link.between:
        if isinstance(module, NORMS):
            values, is_constant = (_spread(a, module.num_features) for a in (values, is_constant))
            values = _normalize(module, values)
            is_constant = is_constant | (module.weight == 0 if module.affine else False)
        elif isinstance(module, ELEMENTWISE):
            values = module(values.clone())
        elif isinstance(module, POOLS) and _changes_constants(module):
            is_constant = is_constant & (values == 0)
    return _spread(values, n_read), _spread(is_constant, n_read)


def _normalize(norm, values):
    """What a batch normalization makes of one value for each feature, in evaluation mode."""
    state = norm.running_mean, norm.running_var, norm.weight, norm.bias
    return nn.functional.batch_norm(values[None], *state, training=False, eps=norm.eps)[0]


def _pads_zeros(layer):
    """Whether a layer reads zeros beyond the border: a constant unit is not constant there."""
    if isinstance(layer, nn.Linear) or layer.padding_mode != "zeros" or layer.padding == "valid":
        return False
    sizes = (n - 1 for n in layer.kernel_size) if layer.padding == "same" else layer.padding
    return any(sizes)


def _changes_constants(pool):
    """Whether a pool averages zeros beyond the border, or divides by another number."""
    if not isinstance(pool, (nn.AvgPool1d, nn.AvgPool2d)):
        return False
    pads = any(pool.padding) if isinstance(pool.padding, tuple) else pool.padding > 0
    return (pads and pool.count_include_pad) or getattr(pool, "divisor_override", None) is not None


def _drop_unheard(link):
    """Drop units whose outgoing weights are all zero."""
    read = link.consumer.weight
    heard = (read.reshape(len(read), read.shape[1], -1) != 0).any(2).any(0)
    heard = heard.view(len(link.producer.weight), -1).any(1)
    if not heard.any():
        heard[0] = True
    _keep(link, heard)


def _keep(link, keep):
    """Keep some units of the producer, and what the modules after it have for them."""
    _select(link.producer, ("weight", "bias"), keep)
    _count(link.producer, "out", int(keep.sum()))
    for norm in link.between:
        if isinstance(norm, NORMS):
            kept = _spread(keep, norm.num_features)
            _select(norm, ("weight", "bias", "running_mean", "running_var"), kept)
            norm.num_features = int(kept.sum())
    kept = _spread(keep, link.consumer.weight.shape[1])
    _select(link.consumer, ("weight",), (slice(None), kept))
    _count(link.consumer, "in", int(kept.sum()))


def _select(module, names, places):
    """Replace a module's parameters and buffers by parts of them."""
    for name in names:
        value = getattr(module, name)
        if isinstance(value, nn.Parameter):
            setattr(module, name, nn.Parameter(value[places], value.requires_grad))
        elif value is not None:
            setattr(module, name, value[places])


def _count(layer, side, n):
    """Write down how many inputs or outputs a layer has."""
    setattr(layer, f"{side}_features" if isinstance(layer, nn.Linear) else f"{side}_channels", n)


def _spread(units, n):
    """A value for each unit as one for each of n features, n / n_units of a unit in a row."""
    return units.repeat_interleave(n // len(units))
