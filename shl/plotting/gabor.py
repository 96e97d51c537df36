"""What Gabor functions fitted to atoms look like as a population."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .distributions import ATOMS
from .figures import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawing((5, 4), x=("orientation (degrees, 0 is horizontal)", "orientation (degrees)"), y=ATOMS)
def plot_orientations(
    ax: "Axes", fits: Mapping[str, np.ndarray], *, n_bins: int = 12, **style: Any
) -> None:
    """Draw the histogram of the atoms' orientations in degrees.

    Parameters
    ----------
    fits : mapping of names to arrays
        Of `shl.gabor.fit_gabor`.
    n_bins : int, default=12
        Over 180 degrees.
    """
    degrees = np.degrees(fits["orientation"])
    ax.hist(degrees, n_bins, range=(0, 180), histtype="step", **style)
    ax.set(xlim=(0, 180), xticks=range(0, 181, 45))


@drawing((5, 4), x=("frequency (cycles per pixel)", "frequency"), y=ATOMS)
def plot_frequencies(
    ax: "Axes", fits: Mapping[str, np.ndarray], *, n_bins: int = 24, **style: Any
) -> None:
    """Draw the histogram of the atoms' spatial frequencies.

    Parameters
    ----------
    fits : mapping of names to arrays
        Of `shl.gabor.fit_gabor`.
    n_bins : int, default=24
        Up to half a cycle per pixel.
    """
    ax.hist(fits["frequency"], n_bins, range=(0, 0.5), histtype="step", **style)
    ax.set_xlim(0, 0.5)


@drawing((5, 5), x=("width in periods, n_x", "n_x"), y=("length in periods, n_y", "n_y"))
def plot_width_length(
    ax: "Axes",
    fits: Mapping[str, np.ndarray],
    *,
    least_r2: float = 0.5,
    references: Iterable[tuple[str, float, float]] = (),
    **style: Any,
) -> None:
    """Draw length against width of the atoms' envelopes, both in periods.

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

    References
    ----------
    Ringach (2002), J. Neurophysiol. 88:455.
    """
    good = fits["r2"] >= least_r2
    style = {"marker": ".", "ms": 3, "linestyle": "", "alpha": 0.5, **style}
    ax.plot(fits["n_x"][good], fits["n_y"][good], **style)
    for name, n_x, n_y in references:
        ax.plot(n_x, n_y, "kx", ms=9, mew=2, label=name)
    ax.plot((0, 1.2), (0, 1.2), color="0.7", lw=0.8, zorder=0)
    ax.set(xlim=(0, 1.2), ylim=(0, 2))


__all__ = ["plot_frequencies", "plot_orientations", "plot_width_length"]
