"""Sparse coding: samples and a dictionary in, events out."""

from .coder import ALGORITHMS, HEEDED, PENALISED, PURSUITS, Coder, Coding
from .competition import PLAIN, Competition
from .encode import default_sparseness, limit_sparseness, sparse_encode
from .events import Batch, Events

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
    "sparse_encode",
]
