"""What Gabor functions fitted to atoms look like as a population."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .figures import get_axes, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_orientations(
    fits: Mapping[str, np.ndarray],
    *,
    n_bins: int = 12,
    color: str = "C0",
    label: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Histogram of the atoms' orientations in degrees.

    Parameters
    ----------
    fits : mapping of names to arrays
        Of `shl.gabor.fit_gabor`.
    n_bins : int, default=12
        Over 180 degrees.
    color, label : str
        As in matplotlib.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    fig, ax = get_axes(fig, ax, figsize=(5, 4))
    ax.hist(
        np.degrees(fits["orientation"]),
        n_bins,
        range=(0, 180),
        color=color,
        histtype="step",
        label=label,
    )
    ax.set(
        xlabel="orientation (degrees, 0 is horizontal)",
        ylabel="atoms",
        xlim=(0, 180),
        xticks=range(0, 181, 45),
    )
    save(fig, fname)
    return fig, ax


def plot_frequencies(
    fits: Mapping[str, np.ndarray],
    *,
    n_bins: int = 24,
    color: str = "C0",
    label: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Histogram of the atoms' spatial frequencies.

    Parameters
    ----------
    fits : mapping of names to arrays
        Of `shl.gabor.fit_gabor`.
    n_bins : int, default=24
        Up to half a cycle per pixel.
    color, label : str
        As in matplotlib.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes
    """
    fig, ax = get_axes(fig, ax, figsize=(5, 4))
    ax.hist(fits["frequency"], n_bins, range=(0, 0.5), color=color, histtype="step", label=label)
    ax.set(xlabel="frequency (cycles per pixel)", ylabel="atoms", xlim=(0, 0.5))
    save(fig, fname)
    return fig, ax


def plot_width_length(
    fits: Mapping[str, np.ndarray],
    *,
    least_r2: float = 0.5,
    references: Iterable[tuple[str, float, float]] = (),
    color: str = "C0",
    label: str | None = None,
    fname: str | Path | None = None,
    fig: "Figure | None" = None,
    ax: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Length against width of the atoms' envelopes, both in periods.

    Blobs are near the origin, atoms with many stripes on the right, elongated ones above the
    diagonal.

    Parameters
    ----------
    fits : mapping of names to arrays
        Of `shl.gabor.fit_gabor`.
    least_r2 : float, default=0.5
        Atoms whose fit explains less of their energy are left out.
    references : iterable of (name, n_x, n_y), default=()
        Drawn as crosses.
    color, label : str
        As in matplotlib.
    fname : str or Path, default=None
        File to save the figure in.
    fig, ax : Figure and Axes, default=None
        Where to draw.

    Returns
    -------
    fig : Figure
    ax : Axes

    References
    ----------
    Ringach (2002), J. Neurophysiol. 88:455.
    """
    fig, ax = get_axes(fig, ax, figsize=(5, 5))
    good = fits["r2"] >= least_r2
    ax.plot(fits["n_x"][good], fits["n_y"][good], ".", ms=3, alpha=0.5, color=color, label=label)
    for name, n_x, n_y in references:
        ax.plot(n_x, n_y, "kx", ms=9, mew=2, label=name)
    ax.plot((0, 1.2), (0, 1.2), color="0.7", lw=0.8, zorder=0)
    ax.set(
        xlim=(0, 1.2), ylim=(0, 2), xlabel="width in periods, n_x", ylabel="length in periods, n_y"
    )
    save(fig, fname)
    return fig, ax
