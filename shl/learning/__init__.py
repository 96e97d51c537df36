"""Learning: homeostasis, optimizers, replacement of atoms, and the loop that they share."""

from . import history, homeostasis, loop, optimizers, replacement, state, stopping
from .history import *
from .homeostasis import *
from .loop import *
from .optimizers import *
from .replacement import *
from .state import *
from .stopping import *

__all__ = [
    *history.__all__,
    *homeostasis.__all__,
    *loop.__all__,
    *optimizers.__all__,
    *replacement.__all__,
    *state.__all__,
    *stopping.__all__,
]
