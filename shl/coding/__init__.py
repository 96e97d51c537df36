"""Sparse coding: samples and a dictionary in, events out."""

from .coder import Coder
from .competition import PLAIN, Competition
from .encode import default_sparseness, limit_sparseness, sparse_encode
from .events import Batch, Events
from .parameters import ALGORITHMS, HEEDED, PENALISED, PURSUITS, Coding
from .preparing import prepare

__all__ = [
    "ALGORITHMS",
    "HEEDED",
    "PENALISED",
    "PLAIN",
    "PURSUITS",
    "Batch",
    "Coder",
    "Coding",
    "Competition",
    "Events",
    "default_sparseness",
    "limit_sparseness",
    "prepare",
    "sparse_encode",
]
