"""shl: sparse Hebbian learning of dictionaries, with a homeostasis that keeps every atom in use."""

from ._lazy import lazy

__version__ = "0.2.0"

_PLACES = {
    "SHL": "experiment",
    "SHL_set": "scan",
    "SparseCoder": "transformer",
    "SparseHebbianLearning": "estimator",
    "sparse_encode": "coding",
}
_PLACES |= dict.fromkeys(
    (
        "show_dico",
        "show_data",
        "plot_P_cum",
        "time_plot",
        "plot_variance",
        "plot_variance_histogram",
        "plot_error",
        "plot_usage",
    ),
    "plotting",
)

__all__ = [
    "SHL",
    "SHL_set",
    "SparseCoder",
    "SparseHebbianLearning",
    "__version__",
    "plot_P_cum",
    "plot_error",
    "plot_usage",
    "plot_variance",
    "plot_variance_histogram",
    "show_data",
    "show_dico",
    "sparse_encode",
    "time_plot",
]

__getattr__, __dir__ = lazy(__name__, _PLACES, __all__)
