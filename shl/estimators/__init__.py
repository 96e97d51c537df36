"""Estimators in the manner of scikit-learn: `fit` and `transform`."""

from .dictionary import SparseHebbianLearning
from .sparse_coder import SparseCoder

__all__ = ["SparseCoder", "SparseHebbianLearning"]
