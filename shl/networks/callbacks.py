"""Exact penalties for the nets of skorch."""

from typing import Any

from skorch.callbacks import Callback

from .proximal import Proximal


class Penalize(Callback):
    """Make proximal steps in any net of skorch, after each step of its optimizer.

    Parameters
    ----------
    penalties : dict
        As `Proximal` takes it, with patterns of the names in ``net.module_.named_parameters()``.

    Attributes
    ----------
    proximal_ : Proximal
        Made when training begins.
    """

    def __init__(self, penalties):
        self.penalties = penalties

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Meet the optimizer."""
        self.proximal_ = Proximal(net.optimizer_, self.penalties, net.module_)

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Make the proximal step."""
        if training:
            self.proximal_.step()
