"""Pictures of convolutional learning: atoms, where and how often they were used, reconstructions.

The error over the steps is drawn by `shl.plotting.time_plot(model, "error_own")`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .._base.checks import as_array, check_array, check_choice, check_count, check_number
from ..learning import optimizers
from ..plotting.atoms import mosaic, show_tiles
from ..plotting.figures import drawing
from .events import ConvolutionalCode

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .estimator import ConvolutionalSHL


def count_columns(n_pictures: int, ratio: float) -> int:
    """Return the columns of a grid that is about `ratio` times as wide as high, with full rows if
    possible.
    """
    least = max(1, int(np.ceil((ratio * n_pictures) ** 0.5)))
    full = [
        n for n in (*range(least, least + least // 2 + 1), max(1, least - 1)) if n_pictures % n == 0
    ]
    return full[0] if full else least


@drawing()
def show_atoms(
    ax: "Axes", dictionary: "ArrayLike | ConvolutionalSHL", *, n_columns: int | None = None
) -> tuple[float, float]:
    """Draw the atoms, in order, each scaled to its largest absolute value.

    Of images, an atom with several channels is a row and a channel is a column.  Of signals, an
    atom is a panel of curves, one for each channel, from top to bottom.  All channels of an atom
    share one scale.

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_channels, height, width), or ConvolutionalSHL
        Atoms, or a fitted model.  Of signals, (n_dictionary, n_channels, n_times).
    n_columns : int, default=None
        Pictures in a row.  If None, the grid is twice as wide as high.
    """
    atoms = as_array(getattr(dictionary, "components_", dictionary), "dictionary").astype(float)
    atoms = check_array(atoms, "dictionary", ndim=3 if atoms.ndim == 3 else 4)
    peaks = np.abs(atoms).max(axis=tuple(range(1, atoms.ndim)), keepdims=True)
    atoms = atoms / np.maximum(peaks, np.finfo(float).tiny)
    n_dictionary, n_channels = atoms.shape[:2]
    if atoms.ndim == 3:
        return _draw_curves(ax, atoms, n_columns or count_columns(n_dictionary, 2))
    n_columns = n_columns or (n_channels if n_channels > 1 else count_columns(n_dictionary, 2))
    n_rows = -(-n_dictionary * n_channels // n_columns)
    show_tiles(ax, mosaic(atoms.reshape(-1, *atoms.shape[2:]), n_columns))
    ax.set_axis_off()
    size = 8 / max(n_columns, n_rows)
    ratio = atoms.shape[2] / atoms.shape[3]
    return max(2, size * n_columns), max(1, size * n_rows * ratio) + 0.4


def _draw_curves(ax, atoms, n_columns):
    """Draw atoms (n_dictionary, n_channels, n_times) of values in -1..1; returns a size."""
    n_dictionary, n_channels, n_times = atoms.shape
    n_rows = -(-n_dictionary // n_columns)
    high, wide = 1.9 * n_channels + 0.9, 1.15 * n_times
    for i, atom in enumerate(atoms):
        left, top = i % n_columns * wide, -(i // n_columns) * high
        for channel, curve in enumerate(atom):
            middle = top - 1.9 * channel
            ax.plot([left, left + n_times - 1], [middle, middle], color="0.85", linewidth=0.6)
            ax.plot(left + np.arange(n_times), middle + curve, color=f"C{i % 10}", linewidth=1.2)
        ax.text(left, top + 1.05, f"atom {i}", fontsize="small", va="bottom")
    ax.set_axis_off()
    ax.set_ylim(-(n_rows - 1) * high - 1.9 * (n_channels - 1) - 1.1, 1.9)
    return 8, max(1.5, 8 * n_rows * (0.25 + 0.3 * n_channels) / n_columns + 0.6)


def project_atoms(second: np.ndarray, first: np.ndarray, stride: int = 1) -> np.ndarray:
    """Return the atoms of a second layer as images.

    Each of its channels is replaced by the first layer's atom, and they are summed, each at its
    place.

    Parameters
    ----------
    second : array of shape (n_dictionary, n_first, width, width)
        Learned on the dense code of the atoms `first`.
    first : array of shape (n_first, n_channels, w, w)
    stride : int, default=1
        Of the first layer.

    Returns
    -------
    images : array of shape (n_dictionary, n_channels, (width - 1) * stride + w, ...)
        Each of norm 1.
    """
    code = ConvolutionalCode.from_dense(np.asarray(second))
    images = np.asarray(code.reconstruct(first, None, stride))
    optimizers.normalise(images)
    return images


@drawing(figsize=(5, 3))
def plot_counts(ax: "Axes", counts: "ArrayLike | ConvolutionalSHL", **style: object) -> None:
    """Draw the activation histogram: events of each atom, and their mean as a line.

    Parameters
    ----------
    counts : array of shape (n_dictionary,), or ConvolutionalSHL
        Events of each atom, or a fitted model, whose last record is drawn.
    """
    _draw_bars(ax, np.asarray(getattr(counts, "counts_", counts)), "events", style)
    ax.yaxis.set_major_locator(_whole_numbers())


@drawing(figsize=(5, 3))
def plot_rates(
    ax: "Axes", code: ConvolutionalCode, *, sampling_rate: float = 1.0, **style: object
) -> None:
    """Draw how often each atom occurs, and the mean over atoms as a line.

    Parameters
    ----------
    code : ConvolutionalCode
    sampling_rate : float, default=1
        Samples a second.  With 1, rates are in events a sample.
    """
    unit = "sample" if sampling_rate == 1 else "second"
    _draw_bars(ax, code.rates(sampling_rate), f"events a {unit}", style)


def _draw_bars(ax, values, label, style):
    """Draw one bar an atom, and the mean as a line."""
    ax.bar(np.arange(len(values)), values, **style)
    ax.axhline(values.mean(), color="0.4", linewidth=1, linestyle="--")
    ax.set(xlabel="atom", ylabel=label, xlim=(-0.6, len(values) - 0.4))
    ax.xaxis.set_major_locator(_whole_numbers())


@drawing()
def show_where(
    ax: "Axes", code: ConvolutionalCode, *, n_columns: int | None = None
) -> tuple[float, float]:
    """Draw where each atom was used: the events at each place over all images, a panel an atom.

    Parameters
    ----------
    code : ConvolutionalCode
    n_columns : int, default=None
        Panels in a row.  If None, the grid is 1.6 times as wide as high.
    """
    counts = code.count_places().astype(float)
    n_columns = n_columns or count_columns(len(counts), 1.6 * counts.shape[1] / counts.shape[2])
    n_rows = -(-len(counts) // n_columns)
    drawn = ax.imshow(mosaic(counts, n_columns, gap=2), cmap="magma", interpolation="nearest")
    ax.set_axis_off()
    ax.figure.colorbar(drawn, ax=ax, label="events", shrink=0.8, ticks=_whole_numbers())
    height = 7 * n_rows * counts.shape[1] / (n_columns * counts.shape[2])
    return 8, max(1.5, height + 0.4)


def _whole_numbers():
    """Ticks for counts."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


@drawing()
def show_reconstruction(
    ax: "Axes", X: np.ndarray, reconstruction: np.ndarray, *, n_shown: int = 6
) -> tuple[float, float]:
    """Draw images above, their reconstructions below, residuals at the bottom, on one scale.

    Parameters
    ----------
    X, reconstruction : array of shape (n_images, n_channels, height, width)
        Their first channel is drawn.
    n_shown : int, default=6
        Images to draw.
    """
    check_choice(np.ndim(X), "the number of axes of X", (4,))
    shown = np.asarray(X[:n_shown, 0], float), np.asarray(reconstruction[:n_shown, 0], float)
    n_shown, scale = len(shown[0]), np.abs(shown[0]).max() or 1
    show_tiles(ax, mosaic(np.concatenate((*shown, shown[0] - shown[1])), n_shown) / scale)
    places = (X.shape[2] + 1) * (np.arange(3) + 0.5)
    ax.set(xticks=[], yticks=places, yticklabels=["image", "code", "residual"])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return 1.5 * n_shown, 1.5 * 3 * X.shape[2] / X.shape[3] + 0.4


@drawing(figsize=(9, 4))
def plot_events(
    ax: "Axes",
    code: ConvolutionalCode,
    X: np.ndarray | Sequence[np.ndarray],
    dictionary: "ArrayLike | ConvolutionalSHL",
    *,
    start: int = 0,
    stop: int | None = None,
    signal: int = 0,
    sampling_rate: float = 1.0,
) -> tuple[float, float]:
    """Draw a stretch of a recording, what its events make of it, and the time of each event.

    The recording is grey and the reconstruction is red, a line for each channel.  Below, a row of
    marks shows the events of each atom, at the middle of the atom.

    Parameters
    ----------
    code : ConvolutionalCode
        Of signals.
    X : array of shape (n_channels, n_times)
        The recording.  With more axes, or a list, `signal` says which of them.
    dictionary : array of shape (n_dictionary, n_channels, n_times), or ConvolutionalSHL
        Atoms, or a fitted model.
    start, stop : int, default=0, None
        Samples to draw.  If stop is None, 2,000 samples, or up to the end.
    signal : int, default=0
        Index of the signal.
    sampling_rate : float, default=1
        Samples a second, for the axis of time.
    """
    atoms = as_array(getattr(dictionary, "components_", dictionary), "dictionary")
    atoms = check_array(atoms, "dictionary", ndim=3)
    code.check()
    rate = check_number(sampling_rate, "sampling_rate", above=0)
    recording = X[signal] if isinstance(X, (list, tuple)) or np.ndim(X) == 3 else X
    recording = np.atleast_2d(recording)
    start = check_count(start, "start", least=0, most=recording.shape[1] - 1)
    stop = start + 2000 if stop is None else check_count(stop, "stop", least=start + 1)
    stop, width = min(stop, recording.shape[1]), atoms.shape[2]
    shown, made = (
        np.asarray(recording[:, start:stop], float),
        np.zeros((len(recording), stop - start)),
    )
    is_near = (code.image == signal) & (code.column > start - width) & (code.column < stop)
    for atom, time, value in zip(
        *(part[is_near] for part in (code.atom, code.column, code.value)), strict=True
    ):
        first, last = max(time, start), min(time + width, stop)
        made[:, first - start : last - start] += value * atoms[atom][:, first - time : last - time]
    step = 2.2 * np.nanmax(np.abs(shown), initial=1e-300)
    times = np.arange(start, stop) / rate
    for channel in range(len(shown)):
        ax.plot(times, shown[channel] - channel * step, color="0.6", linewidth=0.8)
        ax.plot(times, made[channel] - channel * step, color="tab:red", linewidth=0.9)
    lowest = -(len(shown) - 0.3) * step
    for atom in range(len(atoms)):
        middles = code.column[is_near & (code.atom == atom)] + width / 2
        middles = middles[(middles >= start) & (middles < stop)] / rate
        height = np.full(len(middles), lowest - 0.25 * step * atom)
        ax.plot(middles, height, "|", color=f"C{atom % 10}", markersize=8)
    ticks = [-channel * step for channel in range(len(shown))]
    names = [f"channel {channel}" for channel in range(len(shown))]
    marks = lowest - 0.25 * step * np.arange(len(atoms))
    ax.set(yticks=[*ticks, *marks], xlim=(times[0], times[-1] if len(times) > 1 else times[0] + 1))
    ax.set_yticklabels([*names, *(f"atom {atom}" for atom in range(len(atoms)))], fontsize="small")
    ax.set_ylim(marks[-1] - 0.25 * step, step)
    ax.set_xlabel("time (samples)" if rate == 1 else "time (s)")
    return 9, 1.5 + 0.8 * len(shown) + 0.2 * len(atoms)
