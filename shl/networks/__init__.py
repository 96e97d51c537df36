"""Sparse and regularised networks: exact proximal penalties, sparse layers, and four studies of
what they do.

Needs PyTorch and skorch, `pip install torch skorch`; names are imported when they are asked for.
"""

from .._base.lazy import lazy

_NAMES = {
    "estimators": ("SparseMLPClassifier", "SparseMLPRegressor"),
    "callbacks": ("Penalize",),
    "proximal": ("Proximal",),
    "shrinking": ("shrink",),
    "penalties": ("L1", "L2", "GroupLasso", "SparseGroupLasso"),
    "layers": ("SparseLinear", "GaussianLinear", "NormalizedLinear"),
}

__all__ = sorted(name for names in _NAMES.values() for name in names)

__getattr__, __dir__ = lazy(__name__, _NAMES)
