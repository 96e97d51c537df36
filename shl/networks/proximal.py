"""Exact proximal steps for any PyTorch module, beside the optimizer that trains it."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn, optim

from .._base.checks import check_choice, check_number
from .penalties import Penalty, check_weights, make_penalty

GROUPS = ("outputs", "inputs")


class Proximal:
    """After each step of an optimizer, ``W <- prox(W, strength * step)``: zeros are exact.

    ::

        proximal = Proximal(optimizer, {"features.*.weight": (GroupLasso(), 1e-4)}, model)
        for X, y in batches:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
            proximal.step()
        smaller = shrink(model)

    The step is how far the optimizer moves a weight for a lasting gradient of 1, so that a
    learning rests at a minimum of loss + strength R(W) (Yun et al. 2021):

    - SGD: ``lr (1 - dampening) / (1 - momentum)``, without dampening where momentum is 0;
    - Adam, AdamW, NAdam: ``lr / (sqrt(v) + eps)`` for each weight, v its mean squared gradient,
      corrected for its start (with amsgrad, the largest so far);
    - RAdam: the same times its rectification, and ``lr`` in its first steps;
    - RMSprop: ``lr / ((1 - momentum) (sqrt(v) + eps))``, v less the squared mean if centered;
    - Adagrad: ``lr / (1 + (t - 1) lr_decay) / (sqrt(v) + eps)``, v its sum of squared gradients.

    lr and the others are those of the weight's parameter group, at that time.  AdamW's decay of
    weights comes on top.  A frozen parameter, and one that an adaptive optimizer has not yet
    moved, is left alone.

    Parameters
    ----------
    optimizer : torch.optim.SGD, Adam, AdamW, NAdam, RAdam, RMSprop or Adagrad
        Or a subclass, which counts as its parent.  Others are rejected: their steps are not known.
    penalties : dict
        From a parameter, or a pattern of names as in ``fnmatch`` (``*`` matches dots too), to
        ``(penalty, strength)`` or ``(penalty, strength, groups)``.  The penalty is a name or an
        object of `shl.networks.penalties`, the strength at least 0.  Groups are the rows of the
        matrix that the penalty sees, made of a weight ``(n_out, n_in, *kernel)`` of PyTorch:
        'outputs' (default), ``weight.flatten(1)``: a row is a filter, or what comes into a unit of
        a Linear layer; 'inputs', ``weight.transpose(0, 1).flatten(1)``: a row is what leaves an
        input channel, input or unit, as in this package's matrices (n_in, n_out).  A transposed
        convolution has its axes the other way round.  Parameters of one axis have no groups.
    model : nn.Module, default=None
        Whose ``named_parameters()`` the patterns match.

    Raises
    ------
    ValueError
        For an unknown optimizer, a pattern that matches nothing, a parameter that two keys name
        or that is not the optimizer's, and a penalty without meaning for its shape.

    Notes
    -----
    The scale of weights before a batch normalization changes nothing: there a penalty on filters
    finds no good ones; L1 on the normalization's own ``weight`` does (Liu et al. 2017).

    References
    ----------
    Yun, J., Lozano, A. C., Yang, E. 2021, Adaptive proximal gradient methods for structured neural
    networks.  Liu, Z. et al. 2017, Learning efficient convolutional networks through network
    slimming.
    """

    def __init__(
        self, optimizer: optim.Optimizer, penalties: Mapping, model: nn.Module | None = None
    ):
        known = [STEPS[cls] for cls in type(optimizer).__mro__ if cls in STEPS]
        if not known:
            raise ValueError(
                f"optimizer is {type(optimizer).__name__}, whose step for a weight is not known. "
                f"Use one of {', '.join(cls.__name__ for cls in STEPS)}, or a subclass of them."
            )
        self.optimizer, self._step_of = optimizer, known[0]
        self._terms = _make_terms(penalties, dict(model.named_parameters()) if model else None)
        options = self._options()
        for term in self._terms:
            if term.parameter not in options:
                raise ValueError(f"{term.name} must be a parameter of the optimizer")
            if options[term.parameter].get("maximize"):
                raise ValueError(
                    f"maximize must be False for {term.name}, because a penalty is a loss"
                )

    @torch.no_grad()
    def step(self) -> None:
        """The proximal step, in place; after each `optimizer.step()`."""
        options = self._options()
        for term in self._terms:
            state = self.optimizer.state.get(term.parameter, {})
            has_moved = self._step_of is _sgd_step or float(state.get("step", 0)) > 0
            if has_moved and term.parameter.requires_grad:
                term.prox(self._step_of(options[term.parameter], state))

    @torch.no_grad()
    def value(self) -> float:
        """The penalties' sum, strength times R(W): what is minimised is the loss plus it."""
        values = (term.strength * float(term.penalty.value(term.matrix())) for term in self._terms)
        return sum(values, 0.0)

    def _options(self):
        """{parameter: the options of its group}, which an optimizer may replace."""
        return {p: group for group in self.optimizer.param_groups for p in group["params"]}


@dataclass
class _Term:
    """A parameter and its penalty."""

    name: str
    parameter: nn.Parameter
    penalty: Penalty
    strength: float
    groups: str

    def matrix(self):
        """The parameter with a group in each row; one of a single axis as it is."""
        return _to_rows(self.parameter.detach(), self.groups)

    def prox(self, step):
        """One proximal step; the optimizer's is a number, or a tensor like the parameter."""
        if torch.is_tensor(step):
            step = _to_rows(step, self.groups)
        moved = self.penalty.prox(self.matrix(), self.strength * step)
        turned = _turn(self.parameter, self.groups)
        turned.copy_(moved.reshape(turned.shape))


def _turn(weight, groups):
    """The weight with the axis of the groups first, a view."""
    return weight.transpose(0, 1) if groups == "inputs" and weight.ndim > 1 else weight


def _to_rows(weight, groups):
    """The weight as a matrix with a group in each row."""
    turned = _turn(weight, groups)
    return turned.flatten(1) if turned.ndim > 1 else turned


def _make_terms(penalties, named):
    """The penalties, checked, a term for each parameter."""
    names = {parameter: name for name, parameter in (named or {}).items()}
    terms = {}
    for key, choice in penalties.items():
        for parameter in _find(key, named):
            name = names.get(parameter, f"a parameter of shape {tuple(parameter.shape)}")
            if parameter in terms:
                raise ValueError(f"penalties must name each parameter once, but {name} is twice")
            terms[parameter] = term = _Term(name, parameter, *_check_choice(choice, key))
            check_weights(term.penalty, term.matrix(), name)
    return list(terms.values())


def _find(key, named):
    """The parameters that a key of the penalties means."""
    if isinstance(key, nn.Parameter):
        return [key]
    if not isinstance(key, str):
        raise TypeError(f"penalties must have parameters or patterns of names as keys, not {key!r}")
    if named is None:
        raise ValueError(f"model must be given for the pattern {key!r} in penalties")
    found = [parameter for name, parameter in named.items() if fnmatchcase(name, key)]
    if not found:
        raise ValueError(
            f"penalties has the pattern {key!r}, which matches none of {', '.join(named)}"
        )
    return found


def _check_choice(choice, key):
    """(penalty, strength, groups) of an entry of the penalties."""
    name = f"penalties[{key!r}]" if isinstance(key, str) else "penalties"
    if not isinstance(choice, (tuple, list)) or len(choice) not in (2, 3):
        raise TypeError(f"{name} must be (penalty, strength) or with groups, not {choice!r}")
    penalty, strength, groups = (*choice, "outputs")[:3]
    if penalty is None:
        raise ValueError(f"{name} must have a penalty, not None")
    return (
        make_penalty(penalty),
        check_number(strength, f"the strength in {name}", least=0),
        check_choice(groups, f"groups in {name}", GROUPS),
    )


def _sgd_step(options, state):
    """The step of gradient descent, a number."""
    momentum = options["momentum"]
    share = (1 - options["dampening"]) / (1 - momentum) if momentum else 1
    return float(options["lr"]) * share


def _adam_step(options, state):
    """Adam's and NAdam's step for each weight."""
    correction = 1 - float(options["betas"][1]) ** float(state["step"])
    v = state["max_exp_avg_sq" if options.get("amsgrad") else "exp_avg_sq"]
    return float(options["lr"]) / ((v / correction).sqrt_() + options["eps"])


def _radam_step(options, state):
    """RAdam's step: a number as long as its mean squares are too few, then one for each weight."""
    decay, t = float(options["betas"][1]), float(state["step"])
    most, correction = 2 / (1 - decay) - 1, 1 - decay**t
    length = most - 2 * t * decay**t / correction
    if length <= 5:
        return float(options["lr"])
    share = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
    scale = float(options["lr"]) * (share * correction) ** 0.5
    return scale / (state["exp_avg_sq"].sqrt() + options["eps"])


def _rmsprop_step(options, state):
    """RMSprop's step for each weight."""
    v = state["square_avg"]
    if options["centered"]:
        v = (v - state["grad_avg"] ** 2).clamp(min=0)
    return float(options["lr"]) / (1 - options["momentum"]) / (v.sqrt() + options["eps"])


def _adagrad_step(options, state):
    """Adagrad's step for each weight."""
    rate = float(options["lr"]) / (1 + (float(state["step"]) - 1) * options["lr_decay"])
    return rate / (state["sum"].sqrt() + options["eps"])


STEPS = {
    optim.SGD: _sgd_step,
    optim.Adam: _adam_step,
    optim.AdamW: _adam_step,
    optim.NAdam: _adam_step,
    optim.RAdam: _radam_step,
    optim.RMSprop: _rmsprop_step,
    optim.Adagrad: _adagrad_step,
}
