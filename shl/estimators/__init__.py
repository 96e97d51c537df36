"""Estimators in the manner of scikit-learn: `fit` and `transform`."""

from .dictionary import SparseHebbianLearning
from .selecting import Selection, select
from .sparse_coder import SparseCoder

__all__ = ["Selection", "SparseCoder", "SparseHebbianLearning", "select"]
