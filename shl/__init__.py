"""shl: sparse Hebbian learning of dictionaries, with a homeostasis that keeps every atom in use."""

from ._base.lazy import lazy

__version__ = "0.3.0"

_NAMES = {
    "coding": ("sparse_encode",),
    "convolution": ("ConvolutionalSHL",),
    "estimators": ("Selection", "SparseCoder", "SparseHebbianLearning", "select"),
    "experiments": ("SHL", "SHL_set"),
    "learning": ("Replacement",),
    "plotting": (
        "plot_P_cum",
        "plot_coefficients",
        "plot_error",
        "plot_proba_histogram",
        "plot_usage",
        "plot_variance",
        "plot_variance_histogram",
        "show_data",
        "show_dico",
        "show_dico_in_order",
        "time_plot",
    ),
}
_PACKAGES = (
    "classic",
    "coding",
    "convolution",
    "datasets",
    "estimators",
    "experiments",
    "gabor",
    "images",
    "learning",
    "metrics",
    "networks",
    "plotting",
    "store",
)

__all__ = ["__version__", *(name for names in _NAMES.values() for name in names)]
__getattr__, __dir__ = lazy(__name__, _NAMES, _PACKAGES)
