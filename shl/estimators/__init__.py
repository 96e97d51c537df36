"""Estimators in the manner of scikit-learn: `fit` and `transform`."""

from .dictionary import SparseHebbianLearning
from .selecting import select
from .sizes import Selection
from .sparse_coder import SparseCoder

__all__ = ["Selection", "SparseCoder", "SparseHebbianLearning", "select"]
