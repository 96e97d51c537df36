"""Sparse and regularised networks: exact proximal penalties, sparse layers, and four studies of
what they do.

Needs PyTorch and skorch, `pip install "shl[networks]"`; names are imported when they are asked for.
"""

from importlib import import_module

_PLACES = {
    "SparseMLPClassifier": "estimators",
    "SparseMLPRegressor": "estimators",
    "Penalize": "callbacks",
    "Proximal": "proximal",
    "shrink": "shrinking",
}
_PLACES |= dict.fromkeys(("L1", "L2", "GroupLasso", "SparseGroupLasso"), "penalties")
_PLACES |= dict.fromkeys(("SparseLinear", "GaussianLinear", "NormalizedLinear"), "layers")

__all__ = [
    "L1",
    "L2",
    "GaussianLinear",
    "GroupLasso",
    "NormalizedLinear",
    "Penalize",
    "Proximal",
    "SparseGroupLasso",
    "SparseLinear",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "shrink",
]


def __getattr__(name):
    """Import what is asked for, when it is asked for: PyTorch takes seconds."""
    if name in _PLACES:
        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
