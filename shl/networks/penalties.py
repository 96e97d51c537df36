"""Penalties on weights, each with its value and its proximal step, which alone makes exact zeros.

A penalty R takes a weight matrix W as (n_in, n_out), so that a row, a group, holds the outgoing
weights of one input or unit; PyTorch's own weights are (n_out, n_in, ...), and `Proximal`
says which of their axes makes the rows.  PyTorch tensors and NumPy arrays do alike.  `prox(W, t)`
is the minimiser over U of sum (U - W)_ij^2 / (2 t_ij) + R(U), where the step t is one number, or an
array of W's shape for an optimizer that gives each weight a step of its own.
"""

import math
from typing import Any

import numpy as np

from .._base.checks import as_array, check_array, check_choice, check_magnitude, check_number
from .._base.devices import is_tensor

TINY = 1e-30  # float32 can hold it
WEAK = 1e-9  # thresholds of a row relative to its norm
MOST_ROUNDS = 50  # of Newton's method; five are usual


class Penalty:
    """A penalty on weights: a subclass has `value(w)` and `prox(w, step)`, and may reject weights
    in `check`.

    `value` is a scalar through which PyTorch can differentiate; `prox` returns new weights, of w's
    shape and dtype.
    """

    def value(self, w: Any) -> Any:
        """R(w), a scalar."""
        raise NotImplementedError

    def prox(self, w: Any, step: Any) -> Any:
        """The minimiser over u of sum (u - w)^2 / (2 step) + R(u); step is a number or has the
        shape of w.
        """
        raise NotImplementedError

    def check(self, w: Any, name: str = "w") -> None:
        """Raise a ValueError where the penalty has no meaning for weights of this shape."""

    def __repr__(self):
        return f"{type(self).__name__}()"


class L1(Penalty):
    """R(w) = sum |w_ij|; the proximal step is the soft threshold sign(w) max(0, |w| - t)
    (Tibshirani 1996).
    """

    def value(self, w: Any) -> Any:
        """Sum of absolute weights."""
        return abs(_check_weights(w)).sum()

    def prox(self, w: Any, step: Any) -> Any:
        """Each weight moved towards zero by `step`, exactly zero where it was within."""
        w = _check_weights(w)
        step = _check_step(step, w)
        return w - w.clip(-step, step)


class L2(Penalty):
    """R(w) = sum w_ij^2 / 2; the proximal step is w / (1 + t).  It shrinks weights and makes no
    zeros.
    """

    def value(self, w: Any) -> Any:
        """Half the sum of squared weights."""
        w = _check_weights(w)
        return (w * w).sum() / 2

    def prox(self, w: Any, step: Any) -> Any:
        """The weights divided by 1 + step."""
        w = _check_weights(w)
        return w / (1 + _check_step(step, w))


class GroupLasso(Penalty):
    """R(W) = sum_i sqrt(n_out) |W_i|_2 over the rows W_i of W (n_in, n_out) (Scardapane et al.
    2017, equation 6).

    The proximal step scales each row by max(0, 1 - t sqrt(n_out) / |W_i|_2): a row of zeros takes
    an input or a hidden unit out of the network.
    """

    def value(self, w: Any) -> Any:
        """Sum of the rows' norms, times the square root of their length.

        Its gradient at a row of zeros is zero, not NaN.
        """
        w = _check_weights(w)
        self.check(w)
        squares = (w * w).sum(1)
        used = squares[squares > 0]
        return math.sqrt(w.shape[1]) * (used**0.5).sum()

    def prox(self, w: Any, step: Any) -> Any:
        """Each row scaled towards zero; exactly zero where its norm was at most step * sqrt(n_out).

        Where each weight has its own step t_ij, U_ij = W_ij n_i / (n_i + sqrt(n_out) t_ij), with
        n_i = |U_i|_2 found by Newton's method; a row is zero where |W_i / (sqrt(n_out) t_i)|_2 is
        at most 1.
        """
        w = _check_weights(w)
        self.check(w)
        threshold = _check_step(step, w) * math.sqrt(w.shape[1])
        norms = (w * w).sum(1) ** 0.5
        if isinstance(threshold, float):
            return w * (1 - threshold / norms.clip(min=TINY)).clip(min=0)[:, None]
        return _scale_rows(w, norms, threshold.clip(min=TINY))

    def check(self, w: Any, name: str = "w") -> None:
        """Raise a ValueError for weights without rows."""
        if w.ndim != 2:
            raise ValueError(
                f"{type(self).__name__} needs weights of 2 axes (inputs, outputs), but "
                f"{name} has shape {tuple(w.shape)}, which has no groups"
            )


class SparseGroupLasso(GroupLasso):
    """R(W) = sum_i sqrt(n_out) |W_i|_2 + sum |W_ij|: whole rows go, and single weights in those
    that stay.

    The proximal step is the soft threshold, then that of the group lasso (Simon et al. 2013;
    Scardapane et al. 2017, equation 7).
    """

    def value(self, w: Any) -> Any:
        """The group lasso's value plus the sum of absolute weights."""
        return super().value(w) + L1().value(w)

    def prox(self, w: Any, step: Any) -> Any:
        """The soft threshold, then the rows scaled."""
        return super().prox(L1().prox(w, step), step)


def _check_weights(w):
    """Weights: a tensor as it is, others as a float array whose squares are finite."""
    if is_tensor(w):
        return w
    w = as_array(w, "w")
    if not w.ndim:
        raise ValueError(f"w must be an array, not a number: {w}")
    w = check_array(w, "w", ndim=w.ndim)
    check_magnitude(w, "w", float(np.finfo(w.dtype).max) ** 0.5 / w.size)
    return w


def _check_step(step, w):
    """The step: a number as float, an array of w's shape as it is."""
    if not getattr(step, "ndim", 0):
        return check_number(step, "step", least=0)
    if not is_tensor(step):
        step = check_array(step, "step", ndim=step.ndim)
    if step.shape != w.shape or step.min() < 0:
        raise ValueError(
            f"step must be a number or have w's shape {tuple(w.shape)}, and be at least 0, not of "
            f"shape {tuple(step.shape)} from {step.min():.3g}"
        )
    return step


def _scale_rows(w, norms, threshold):
    """The rows U with U_ij = W_ij n_i / (n_i + threshold_ij), n_i = |U_i|_2, zero where no such n_i
    is above zero.

    n is the root of f(n) = sum_j W_ij^2 / (n + threshold_ij)^2 = 1.  1 / sqrt(f) is concave and
    nearly a line, so Newton's method on it rises to the root from below; it is exact at once where
    a row has one threshold.
    """
    total = threshold.sum(1)
    # The root is not below |W_i|_2 - total.  From 0, weak thresholds would overflow in float32.
    n = (norms - total).clip(min=0) * (total < WEAK * norms)
    for _ in range(MOST_ROUNDS):
        shared = n[:, None] + threshold
        parts = (w / shared) ** 2
        f = parts.sum(1).clip(min=TINY)
        slope = (parts / shared).sum(1).clip(min=TINY)  # f' = -2 slope
        move = ((f**0.5 - 1) * f / slope).clip(min=0)
        n = n + move
        if bool((move <= 1e-6 * n).all()):
            break
    return w * (n[:, None] / (n[:, None] + threshold))


PENALTIES = {"l1": L1, "l2": L2, "group_lasso": GroupLasso, "sparse_group_lasso": SparseGroupLasso}


def check_weights(penalty: Any, w: Any, name: str) -> None:
    """Raise the ValueError of a penalty, of this package or a user's, that rejects weights."""
    if hasattr(penalty, "check"):
        penalty.check(w, name)


def make_penalty(penalty: Any) -> Penalty:
    """A penalty from None, its name in `PENALTIES`, or an object with `value` and `prox`, which is
    returned.
    """
    if penalty is None or (hasattr(penalty, "value") and hasattr(penalty, "prox")):
        return penalty
    return PENALTIES[check_choice(penalty, "penalty", PENALTIES)]()
