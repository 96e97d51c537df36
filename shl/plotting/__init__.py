"""Pictures of dictionaries, distributions, histories and scans: arrays or models in, axes out.

Functions draw into `fig` and `ax` where given, else into a figure of their own.  They never show a
figure and never change matplotlib's settings; `fname` saves it.
"""

from .atoms import activity, show_data, show_dico, show_dico_in_order, tile
from .distributions import (
    plot_coefficients,
    plot_P_cum,
    plot_proba_histogram,
    plot_recovery,
    plot_usage,
    plot_variance,
    plot_variance_histogram,
)
from .figures import COLORS
from .gabor import plot_frequencies, plot_orientations, plot_width_length
from .records import (
    LABELS,
    plot_error,
    plot_grid,
    plot_learning,
    plot_scan,
    plot_selection,
    time_plot,
)

__all__ = [
    "COLORS",
    "LABELS",
    "activity",
    "plot_P_cum",
    "plot_coefficients",
    "plot_error",
    "plot_frequencies",
    "plot_grid",
    "plot_learning",
    "plot_orientations",
    "plot_proba_histogram",
    "plot_recovery",
    "plot_scan",
    "plot_selection",
    "plot_usage",
    "plot_variance",
    "plot_variance_histogram",
    "plot_width_length",
    "show_data",
    "show_dico",
    "show_dico_in_order",
    "tile",
    "time_plot",
]
