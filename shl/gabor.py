"""Gabor functions fitted to atoms: what an atom sees, in seven numbers.

bank of Gabor pairs, one matrix product -> the best starts of each atom -> least squares ->
parameters with names
"""

from typing import Annotated

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from ._base.checks import as_array, check_array, check_memory, check_squares
from ._base.constraints import Count, array, checked, count

N_ORIENTATIONS, N_FREQUENCIES, N_PLACES = 8, 6, 7  # of the bank, on each axis
WIDTHS = (0.35, 0.7)  # of the bank, in periods
FREQUENCIES = (0.03, 0.45)  # least and greatest, cycles per pixel
MOST_EVALUATIONS = 60


@checked
def fit_gabor(
    dictionary: Annotated[np.ndarray, array(2, dtype=np.float64)],
    n_starts: Count = 2,
    n_jobs: Annotated[int, count(-np.inf)] | None = None,
) -> dict[str, np.ndarray]:
    """Fit a Gabor function to every atom by least squares.

    h(x, y) = A exp(-(u / width)^2 / 2 - (v / length)^2 / 2) cos(2 pi frequency u + phase)

    (u, v) are (x - x0, y - y0) turned by `orientation`, so that u runs across the stripes and v
    along them.  For each choice of the six others, A and phase are solved linearly (variable
    projection, Golub & Pereyra 1973).

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, width^2)
        Pixels that are 0 in all atoms, as outside a mask, are left out.
    n_starts : int, default=2
        Starts of each atom, the best of a bank of Gabor functions.
    n_jobs : int, default=None
        Workers of joblib.

    Returns
    -------
    fits : dict of arrays of shape (n_dictionary,)
        - orientation of the stripes, radians in [0, pi), 0 is horizontal, counter-clockwise
        - frequency, cycles per pixel
        - phase, radians in [0, pi / 2], 0 even and pi / 2 odd
        - width and length, standard deviations of the envelope across and along the stripes, pixels
        - aspect, length / width
        - n_x and n_y, width and length in periods: width * frequency, length * frequency
        - x and y, the centre in pixels from the centre of the patch, y upwards
        - amplitude, A
        - r2, the share of the atom's energy that the fit explains, 1 is perfect

    Raises
    ------
    ValueError
        If atoms are not square patches.

    References
    ----------
    Ringach (2002), J. Neurophysiol. 88:455; Jones & Palmer (1987), J. Neurophysiol. 58:1233.
    """
    side = check_squares(dictionary, "dictionary")
    scales = _powers_of_two(dictionary)
    atoms = dictionary / scales[:, None]
    used = atoms.any(axis=0)
    x, y = (axis.ravel()[used] for axis in np.meshgrid(*[np.arange(side) - (side - 1) / 2] * 2))
    atoms, y = atoms[:, used], -y  # rows count downwards
    starts = _choose_starts(atoms, x, y, side, n_starts)
    pairs = zip(atoms, starts, strict=True)
    found = Parallel(n_jobs)(delayed(_fit_atom)(atom, x, y, side, mine) for atom, mine in pairs)
    fits = _name_columns(np.array(found))
    fits["amplitude"] *= scales
    return fits


def _powers_of_two(atoms):
    """What brings each atom to a norm of about 1 without a rounding: its squares may overflow."""
    peaks = np.abs(atoms).max(axis=1)
    peaks[peaks == 0] = 1
    norms = np.linalg.norm(atoms / peaks[:, None], axis=1)
    return np.exp2(np.round(np.log2(peaks) + np.log2(np.where(norms > 0, norms, 1))))


def _choose_starts(atoms, x, y, side, n_starts):
    """The members of the bank that explain most of each atom, (n_dictionary, n_starts, 6)."""
    bank = _bank(side)
    energy = np.empty((len(bank), len(atoms)))
    for index, member in enumerate(bank):
        energy[index] = ((_basis(member, x, y)[1].T @ atoms.T) ** 2).sum(axis=0)
    return bank[np.argsort(-energy, axis=0, kind="stable")[:n_starts]].transpose(1, 0, 2)


def _bank(side):
    """Parameters (x0, y0, theta, log frequency, log width, log length) on a grid."""
    places = np.linspace(-0.4, 0.4, N_PLACES) * side
    frequencies = np.geomspace(max(FREQUENCIES[0], 0.5 / side), 0.35, N_FREQUENCIES)
    members = [
        (x0, y0, theta, np.log(f), np.log(width / f), np.log(1.5 * width / f))
        for x0 in places
        for y0 in places
        for theta in np.arange(N_ORIENTATIONS) * np.pi / N_ORIENTATIONS
        for f in frequencies
        for width in WIDTHS
    ]
    return np.array(members)


def _basis(parameters, x, y):
    """(the even and odd Gabor function as columns, an orthonormal basis of their span)."""
    x0, y0, theta, log_f, log_width, log_length = parameters
    c, s = np.cos(theta), np.sin(theta)
    u, v = c * (x - x0) + s * (y - y0), c * (y - y0) - s * (x - x0)
    envelope = np.exp(-0.5 * ((u * np.exp(-log_width)) ** 2 + (v * np.exp(-log_length)) ** 2))
    angle = 2 * np.pi * np.exp(log_f) * u
    even, odd = envelope * np.cos(angle), envelope * np.sin(angle)
    first = even / max(np.sqrt(even @ even), 1e-12)
    second = odd - (first @ odd) * first
    second /= max(np.sqrt(second @ second), 1e-12)
    return np.column_stack((even, odd)), np.column_stack((first, second))


def _fit_atom(atom, x, y, side, starts):
    """(six parameters, weights of even and odd function, r2) of one atom, from its best start."""
    energy = atom @ atom
    if energy == 0:
        return np.full(9, np.nan)

    def residual(parameters):
        span = _basis(parameters, x, y)[1]
        return atom - span @ (span.T @ atom)

    half = side / 2
    low = np.array([-half, -half, -np.inf, np.log(FREQUENCIES[0]), np.log(0.4), np.log(0.4)])
    high = np.array([half, half, np.inf, np.log(FREQUENCIES[1]), np.log(side), np.log(side)])
    fits = [
        least_squares(
            residual, start, bounds=(low, high), max_nfev=MOST_EVALUATIONS, xtol=1e-6, ftol=1e-6
        )
        for start in np.clip(starts, low + 1e-6, high - 1e-6)
    ]
    best = min(fits, key=lambda fit: fit.cost)
    weights = np.linalg.lstsq(_basis(best.x, x, y)[0], atom, rcond=None)[0]
    return np.array([*best.x, *weights, 1 - 2 * best.cost / energy])


def _name_columns(found):
    """The rows of `_fit_atom` as named arrays."""
    x0, y0, theta, log_f, log_width, log_length, even, odd, r2 = found.T
    frequency, width, length = np.exp(log_f), np.exp(log_width), np.exp(log_length)
    return {
        "orientation": (theta + np.pi / 2) % np.pi,
        "frequency": frequency,
        "phase": np.arctan2(np.abs(odd), np.abs(even)),
        "width": width,
        "length": length,
        "aspect": length / width,
        "n_x": width * frequency,
        "n_y": length * frequency,
        "x": x0,
        "y": y0,
        "amplitude": np.hypot(even, odd),
        "r2": r2,
    }


@checked
def orientation_entropy(orientation: ArrayLike, n_bins: Annotated[int, count(2)] = 12) -> float:
    """Return H = -sum_b s_b log s_b / log n_bins, s_b the shares of a histogram over [0, pi).

    Parameters
    ----------
    orientation : array
        Radians; taken modulo pi.
    n_bins : int, default=12
        At least 2.

    Returns
    -------
    entropy : float
        1 if orientations are spread evenly; NaN if there are none.
    """
    check_memory(32 * n_bins, "n_bins", n_bins)
    orientation = as_array(orientation, "orientation").ravel()
    if not orientation.size:
        return np.nan
    orientation = check_array(orientation, "orientation", ndim=1)
    counts = np.histogram(orientation % np.pi, n_bins, (0, np.pi))[0]
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(n_bins))
