"""The coder of a dictionary: which one it is depends on the kind of coding and on where the
dictionary is.
"""

from functools import singledispatch
from typing import Any

from .._base.devices import is_tensor
from .coder import make_coder
from .competition import PLAIN, Competition
from .parameters import Coding


@singledispatch
def prepare(
    coding: Any,
    dictionary: Any,
    competition: Competition = PLAIN,
    precision: Any = None,
    threads: Any = None,
    former: Any = None,
) -> Any:
    """Return the coder of a validated dictionary, in the protocol of `shl.coding.coder`.

    A geometry registers a function for its own class of `coding`, as `shl.convolution` does.

    Parameters
    ----------
    coding : Coding, or another registered class
        How samples are coded.
    dictionary : array
        Atoms of unit norm.
    competition : Competition, default=PLAIN
        How atoms compete.
    precision : array of the dictionary's shape, default=None
        Weights of the pixels of each atom.
    threads : Threads, default=None
        The threads that compute the Gram matrix.  If None, the calling thread does.
    former : Coder, default=None
        A coder whose memory the new one may overwrite.
    """
    raise TypeError(f"coding must be a Coding, not {coding!r}")


@prepare.register(Coding)
def _(coding, dictionary, competition=PLAIN, precision=None, threads=None, former=None):
    if is_tensor(dictionary):
        from .gpu.coding import make_device_coder

        return make_device_coder(coding, dictionary, competition, precision)
    return make_coder(coding, dictionary, competition, precision, threads, former)
