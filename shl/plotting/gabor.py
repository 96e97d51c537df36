"""What Gabor functions fitted to atoms look like as a population."""

import numpy as np

from .figures import get_axes, save


def plot_orientations(fits, *, n_bins=12, color="C0", label=None, fname=None, fig=None, ax=None):
    """Histogram of the atoms' orientations in degrees (`fits` of `shl.gabor.fit_gabor`); returns
    (fig, ax).
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


def plot_frequencies(fits, *, n_bins=24, color="C0", label=None, fname=None, fig=None, ax=None):
    """Histogram of the atoms' spatial frequencies; returns (fig, ax)."""
    fig, ax = get_axes(fig, ax, figsize=(5, 4))
    ax.hist(fits["frequency"], n_bins, range=(0, 0.5), color=color, histtype="step", label=label)
    ax.set(xlabel="frequency (cycles per pixel)", ylabel="atoms", xlim=(0, 0.5))
    save(fig, fname)
    return fig, ax


def plot_width_length(
    fits, *, least_r2=0.5, references=(), color="C0", label=None, fname=None, fig=None, ax=None
):
    """Length against width of the atoms' envelopes, both in periods, as Ringach (2002) drew them;
    returns (fig, ax).

    Blobs are near the origin, atoms with many stripes on the right, elongated ones above the
    diagonal.

    Parameters
    ----------
    least_r2 : float.  Atoms whose fit explains less of their energy are left out.
    references : iterable of (name, n_x, n_y), drawn as crosses.
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
