"""Data to try things on: patches of photographs, signals made from known atoms, images to fetch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from ._base.checks import check_array, check_count, check_file_name, check_generator, check_memory
from ._base.constraints import (
    Count,
    CountOrZero,
    Flag,
    Matrix,
    PathLike,
    checked,
    choice,
    count,
    number,
)
from .images.patches import Patches, PatchWidth

LEAST_ALIKE = 0.8  # cosine over shifts, up to which waveforms count as different
N_TRIES = 1000  # to draw such waveforms; the least alike are taken
PROFILES = ("equal", "half stronger", "1/rank", "zipf")
KINDS = ("pairs", "hierarchy", "outliers", "pixel scale", "shifts")
SPIKE_SAMPLES = 40  # of a waveform
Noise = Annotated[float, number(least=0, most=1e30)]  # whose draws float32 still holds

# Photographs of scikit-image (camera: CC0; coffee: CC0; chelsea: CC0; rocket: CC0; grass, gravel,
# brick: CC0; astronaut: public domain), and their SHA-256.
COMMIT = "0034e58b7df3f7597a9a2f901a899c24fd378e44"
BASE_URL = f"https://raw.githubusercontent.com/scikit-image/scikit-image/{COMMIT}/skimage/data/"
REGISTRY = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "brick.png": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    "camera.png": "361a6d56d22ee52289cd308d5461d090e06a56cb36007d8dfc3226cbe8aaa5db",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
}


# ----------------------------------------------------------------------------------- photographs


@checked
def load_sample_patches(
    n_patches: Count = 20000,
    patch_width: PatchWidth = 12,
    *,
    do_mask: Flag = True,
    random_state: CountOrZero = 0,
    verbose: int = 0,
) -> np.ndarray:
    """Return whitened patches of the two photographs that scikit-learn ships.

    Parameters
    ----------
    n_patches : int, default=20000
    patch_width : int, default=12
        Patches are patch_width x patch_width pixels.
    do_mask : bool, default=True
        Sets pixels outside the inscribed circle to 0.
    random_state : int, default=0
        Decides crops and patches.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    X : array of shape (n_patches, patch_width^2), float32

    See Also
    --------
    shl.images.extract_patches : The same of any images.

    Examples
    --------
    >>> load_sample_patches(100, 8).shape
    (100, 64)
    """
    patches = Patches(
        N_patches=n_patches, patch_width=patch_width, do_mask=do_mask, seed=random_state
    )
    return patches.draw(verbose)


@checked
def fetch_natural_images(
    data_home: PathLike | None = None,
    *,
    base_url: str = BASE_URL,
    registry: Mapping[str, str] = REGISTRY,
) -> list[Path]:
    """Download the files of eight photographs once, and check them; this needs pooch.

    Photographs of scikit-image, or any others of whom URL and SHA-256 are known.

    Parameters
    ----------
    data_home : str or Path, default=None
        The folder to keep them in, from which `SHL(datapath=folder)` learns; None is pooch's cache
        of 'shl'.
    base_url : str
        Where the files are.
    registry : mapping of str to str
        The SHA-256 of each file name.

    Returns
    -------
    paths : list of Path
        In the order of the registry.

    Raises
    ------
    ImportError
        If pooch is not installed.
    ConnectionError
        If a file can neither be found in the folder nor be downloaded.
    ValueError
        If what came is not what the registry says.
    """
    try:
        import pooch
    except ImportError as error:
        raise ImportError("fetch_natural_images needs pooch: pip install pooch") from error

    for name in (registry := dict(registry)):
        check_file_name(name, "registry")
    folder = pooch.os_cache("shl") / "natural" if data_home is None else Path(data_home)
    store = pooch.create(path=folder, base_url=base_url, registry=registry)
    downloader = pooch.HTTPDownloader(progressbar=False, timeout=30)
    return [_fetch_file(store, name, downloader, base_url) for name in registry]


def _fetch_file(store, name, downloader, base_url):
    """The path of one file."""
    try:
        return Path(store.fetch(name, downloader=downloader))
    except OSError as error:  # of requests, whose errors are all OSErrors
        raise ConnectionError(
            f"{name} cannot be downloaded from {base_url} ({error}). Without a network, "
            f"put the images into {store.path} yourself."
        ) from error


# ----------------------------------------------------------------------------------- made signals


@checked
def make_sparse_coded_signals(
    n_samples: Count = 20000,
    n_pixels: Count = 64,
    n_atoms: Count = 96,
    n_active: Count = 4,
    *,
    noise: Noise = 0.02,
    profile: Annotated[str, choice(PROFILES)] = "equal",
    is_signed: Flag = False,
    random_state: np.random.Generator | int | None = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return samples that are sums of a few positive multiples of atoms: X = A D + noise.

    Atoms are white and of norm 1; each sample uses n_active of them with coefficients uniform in
    [0.5, 1.5].

    Parameters
    ----------
    n_samples, n_pixels, n_atoms : int
        Sizes of X and D.
    n_active : int, default=4
        Atoms of a sample.
    noise : float, default=0.02
        The standard deviation of white noise on each pixel.
    profile : {'equal', 'half stronger', '1/rank', 'zipf'}, default='equal'
        'equal', atoms are used equally often and strongly; 'half stronger', the coefficients of
        every second atom are twice as large; '1/rank', the k-th atom is used with a probability
        proportional to 1 / k; 'zipf', likewise, but a sample uses 1 + binomial(2 n_active - 2, 1/2)
        atoms with coefficients from a gamma distribution of mean 1 and deviation 1/2.
    is_signed : bool, default=False
        True gives half of the coefficients the other sign.
    random_state : int, Generator or None, default=0
        Draws everything.

    Returns
    -------
    X : array of shape (n_samples, n_pixels), float32
    atoms : array of shape (n_atoms, n_pixels)
    code : array of shape (n_samples, n_atoms)

    See Also
    --------
    recovered : Which of the atoms a learned dictionary has.

    Examples
    --------
    >>> X, atoms, code = make_sparse_coded_signals(100, profile="1/rank")
    >>> X.shape, atoms.shape, code.shape
    ((100, 64), (96, 64), (100, 96))
    """
    n_active = check_count(n_active, "n_active", most=n_atoms, why="n_atoms")
    check_memory(24 * n_samples * (n_atoms + n_pixels), "n_samples", n_samples)
    check_memory(16 * n_atoms * n_pixels, "n_atoms", n_atoms)
    rng = check_generator(random_state, "random_state")
    atoms = rng.standard_normal((n_atoms, n_pixels))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    is_zipf, shape = profile == "zipf", (n_samples, n_atoms)
    weights = 1 / np.arange(1, n_atoms + 1) if profile in ("1/rank", "zipf") else np.ones(n_atoms)
    n_used = np.full(n_samples, n_active)
    if is_zipf:
        n_used = 1 + rng.binomial(2 * n_active - 2, 0.5, n_samples)
    # The atoms of the smallest exponential times are draws without replacement by these weights
    # (Efraimidis 2006).
    times = rng.standard_exponential(shape) / weights
    chosen = np.argsort(times, axis=1)[:, : n_used.max()]
    values = rng.gamma(4, 0.25, chosen.shape) if is_zipf else rng.uniform(0.5, 1.5, chosen.shape)
    code = np.zeros(shape)
    used = np.arange(n_used.max()) < n_used[:, None]
    np.put_along_axis(code, chosen, np.where(used, values, 0), axis=1)
    if is_signed:
        code *= rng.choice((-1, 1), shape)
    if profile == "half stronger":
        code[:, ::2] *= 2
    X = code @ atoms + noise * rng.standard_normal((n_samples, n_pixels))
    return X.astype(np.float32), atoms, code


@checked
def make_untidy_signals(
    kind: Annotated[str, choice(KINDS)],
    n_samples: Count = 12000,
    n_pixels: Count = 64,
    n_atoms: Count = 128,
    n_active: Count = 4,
    *,
    noise: Noise = 0.05,
    random_state: np.random.Generator | int | None = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of planted atoms in a world that is not tidy.

    X = A D + noise, with coefficients uniform in [0.5, 1.5] and about n_active atoms in a sample.

    Parameters
    ----------
    kind : {'pairs', 'hierarchy', 'outliers', 'pixel scale', 'shifts'}
        What is untidy.  'pairs': the two atoms of a pair fire together with probability 0.7.
        'hierarchy': every fourth atom is a parent, and the three atoms after it fire only with it,
        each with probability 1/3.  'outliers': 1 % of the samples are 30 times larger.  'pixel
        scale': each pixel has a lognormal scale.  'shifts': atoms are 16 circular shifts of
        n_atoms / 16 shapes.
    n_samples, n_pixels, n_atoms : int
        Sizes of X and D.
    n_active : int, default=4
        Mean number of atoms of a sample.
    noise : float, default=0.05
        Standard deviation of white noise on each pixel.
    random_state : int, Generator or None, default=0
        Draws everything.

    Returns
    -------
    X : array of shape (n_samples, n_pixels), float32
    atoms : array of shape (n_atoms, n_pixels)
        Of norm 1.

    Examples
    --------
    >>> X, atoms = make_untidy_signals("pairs", 100)
    >>> X.shape, atoms.shape
    ((100, 64), (128, 64))
    """
    check_count(n_active, "n_active", most=n_atoms, why="n_atoms")
    check_memory(24 * n_samples * (n_atoms + n_pixels), "n_samples", n_samples)
    check_memory(16 * n_atoms * n_pixels, "n_atoms", n_atoms)
    rng = check_generator(random_state, "random_state")
    atoms = rng.standard_normal((n_atoms, n_pixels))
    if kind == "shifts":
        shapes = np.exp(-(np.linspace(-3, 3, n_pixels) ** 2)) * atoms[: -(-n_atoms // 16)]
        steps = np.arange(n_atoms) % 16 * max(1, n_pixels // 16)
        atoms = np.array([np.roll(shapes[i // 16], steps[i]) for i in range(n_atoms)])
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    fires = _draw_active(kind, rng, n_samples, n_atoms, n_active)
    X = np.where(fires, rng.uniform(0.5, 1.5, fires.shape), 0) @ atoms
    X += noise * rng.standard_normal(X.shape)
    if kind == "outliers":
        X[rng.random(n_samples) < 0.01] *= 30
    if kind == "pixel scale":
        scale = rng.lognormal(0, 1, n_pixels)
        X, atoms = X * scale, atoms * scale
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    return X.astype(np.float32), atoms


def _draw_active(kind, rng, n_samples, n_atoms, n_active):
    """Which atoms each sample uses, (n_samples, n_atoms)."""
    share, draws = n_active / n_atoms, rng.random((n_samples, n_atoms))
    if kind == "pairs":
        pair = np.arange(n_atoms) // 2 * 2
        first = draws < share
        is_same = rng.random((n_samples, n_atoms)) < 0.7
        return np.where(is_same, first[:, pair], first)
    if kind == "hierarchy":
        is_parent = np.arange(n_atoms) % 4 == 0
        parents = draws[:, np.arange(n_atoms) // 4 * 4] < 2 * share
        return parents & (is_parent | (draws < 1 / 3))
    return draws < share


@checked
def make_spikes(
    n_samples: Count = 10000,
    n_templates: Annotated[int, count(3)] = 30,
    *,
    noise: Noise = 0.05,
    random_state: np.random.Generator | int | None = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return waveforms of 40 samples in which 1 to 3 of some templates of spikes overlap.

    A template is a trough and a later, wider hump, of norm 1; the amplitudes are lognormal.

    Parameters
    ----------
    n_samples : int, default=10000
        Waveforms.
    n_templates : int, default=30
        At least 3.
    noise : float, default=0.05
        The standard deviation of white noise on each sample.
    random_state : int, Generator or None, default=0
        Draws everything.

    Returns
    -------
    X : array of shape (n_samples, 40)
    templates : array of shape (n_templates, 40)
    """
    check_memory(24 * SPIKE_SAMPLES * n_samples, "n_samples", n_samples)
    check_memory(64 * SPIKE_SAMPLES * n_templates, "n_templates", n_templates)
    rng = check_generator(random_state, "random_state")
    t = np.arange(SPIKE_SAMPLES)
    widths = rng.uniform(1.5, 5, (n_templates, 2))
    places = rng.uniform(10, 30, (n_templates, 1))
    templates = -np.exp(-(((t - places) / widths[:, :1]) ** 2))
    late = places + rng.uniform(3, 9, (n_templates, 1))
    height = rng.uniform(0.2, 0.9, (n_templates, 1))
    templates += height * np.exp(-(((t - late) / widths[:, 1:]) ** 2))
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    X = noise * rng.standard_normal((n_samples, SPIKE_SAMPLES))
    for n in range(len(X)):
        for i in rng.choice(n_templates, rng.integers(1, 4), replace=False):
            X[n] += rng.lognormal(0, 0.3) * templates[i]
    return X, templates


@checked
def make_recording(
    n_times: Count = 200_000,
    n_atoms: Count = 6,
    n_channels: Count = 1,
    width: Annotated[int, count(4)] = 64,
    *,
    snr: Annotated[float, number(least=-100, most=100)] = 10.0,
    overlap: Annotated[float, number(least=0, most=0.999)] = 0.3,
    colour: Annotated[float, number(least=0, most=0.999)] = 0.0,
    profile: Annotated[str, choice(PROFILES[::2])] = "equal",
    is_signed: Flag = False,
    random_state: np.random.Generator | int | None = 0,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return a recording in which some waveforms occur at random times, in noise.

    A waveform is an oscillation under a Gaussian window, with a random size on each channel, and of
    norm 1.  It occurs with sizes uniform in [0.7, 1.3].

    Parameters
    ----------
    n_times, n_atoms, n_channels : int
        Samples of the recording, waveforms, channels.
    width : int, default=64
        Samples of a waveform, at least 4 and at most n_times.
    snr : float, default=10
        Energy of a waveform over that of the noise on its samples, in decibels.
    overlap : float, default=0.3
        Probability that a waveform overlaps with another one, in [0, 0.999].  It decides how many
        there are.
    colour : float, default=0
        Correlation of the noise at neighbouring times, in [0, 0.999].  With 0, noise is white.
    profile : {'equal', '1/rank'}, default='equal'
        '1/rank', the k-th waveform occurs at a rate proportional to 1 / k.
    is_signed : bool, default=False
        True gives half of the sizes the other sign.
    random_state : int, Generator or None, default=0
        Draws everything.

    Returns
    -------
    X : array of shape (n_channels, n_times), float32
    atoms : array of shape (n_atoms, n_channels, width)
        Of norm 1.
    events : (times, which, values)
        First sample, index and size of each waveform, in the order of time.

    Examples
    --------
    >>> X, atoms, (times, which, values) = make_recording(10_000, n_channels=2)
    >>> X.shape, atoms.shape, times.shape
    ((2, 10000), (6, 2, 64), (28,))
    """
    check_count(width, "width", most=n_times, why="n_times")
    check_memory(16 * n_channels * n_times, "n_times", n_times)
    check_memory(64 * n_atoms * (n_atoms + n_channels) * width, "n_atoms", n_atoms)
    rng = check_generator(random_state, "random_state")
    alikeness = np.inf
    for _ in range(N_TRIES):
        drawn = _draw_waveforms(rng, n_atoms, n_channels, width)
        spectra = np.fft.rfft(drawn, 2 * width)
        cosines = np.abs(np.fft.irfft(np.einsum("icf,jcf->ijf", spectra, spectra.conj())))
        found = cosines.max(axis=2)[np.tri(n_atoms, k=-1, dtype=bool)].max(initial=0)
        if found < alikeness:
            atoms, alikeness = drawn, found
        if alikeness <= LEAST_ALIKE:
            break
    n_events = round(-np.log1p(-overlap) / (2 * width) * n_times)
    times = np.sort(rng.integers(0, n_times - width + 1, n_events))
    weights = 1 / np.arange(1, n_atoms + 1) if profile == "1/rank" else np.ones(n_atoms)
    which = rng.choice(n_atoms, n_events, p=weights / weights.sum())
    values = rng.uniform(0.7, 1.3, n_events)
    if is_signed:
        values *= rng.choice((-1, 1), n_events)
    X = rng.standard_normal((n_channels, n_times), np.float32)
    if colour:
        from scipy.signal import lfilter  # slow to import

        X = lfilter([(1 - colour**2) ** 0.5], [1, -colour], X).astype(np.float32)
    X *= np.float32(10 ** (-snr / 20) / (width * n_channels) ** 0.5)
    for time, atom, value in zip(times, which, values, strict=True):
        X[:, time : time + width] += value * atoms[atom]
    return X, atoms, (times, which, values)


def _draw_waveforms(rng, n, n_channels, width):
    """Oscillations under a Gaussian window, (n, n_channels, width), of norm 1."""
    t = np.arange(width) - width * rng.uniform(0.44, 0.56, (n, 1))
    spread, frequency = width * rng.uniform(0.1, 0.16, (n, 1)), rng.uniform(1.5, 9, (n, 1)) / width
    chirp, phase = rng.uniform(-0.5, 0.5, (n, 1)), rng.uniform(0, 2 * np.pi, (n, 1))
    waves = np.cos(2 * np.pi * frequency * t * (1 + chirp * t / width) + phase)
    waves *= np.exp(-((t / spread) ** 2) / 2)
    atoms = rng.standard_normal((n, n_channels, 1)) * waves[:, None]
    return atoms / np.sqrt((atoms**2).sum(axis=(1, 2), keepdims=True))


@checked
def recovered(
    dictionary: ArrayLike,
    atoms: np.ndarray,
    least: Annotated[float, number(least=-1, most=1)] = 0.95,
    is_signed: Flag = False,
) -> np.ndarray:
    """Tell whether a learned atom has a cosine of at least `least` with each planted one.

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_pixels)
        Learned atoms, of norm 1.
    atoms : array of shape (n_atoms, n_pixels)
        Planted atoms, of norm 1.
    least : float, default=0.95
    is_signed : bool, default=False
        Whether an atom's negative is as good, as where coefficients are signed.

    Returns
    -------
    is_found : array of shape (n_atoms,), bool
    """
    return similarity(dictionary, atoms, is_signed) >= least


@checked
def similarity(dictionary: Matrix, atoms: np.ndarray, is_signed: Flag = False) -> np.ndarray:
    """Return the largest cosine of a learned atom with each planted one, (n_atoms,).

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_pixels)
        Learned atoms.
    atoms : array of shape (n_atoms, n_pixels)
        Planted atoms.
    is_signed : bool, default=False
        Whether an atom may have the opposite sign.
    """
    atoms = check_array(atoms, "atoms", ndim=2, n_columns=dictionary.shape[1])
    cosines = atoms @ dictionary.T
    return (np.abs(cosines) if is_signed else cosines).max(axis=1)


__all__ = [
    "fetch_natural_images",
    "load_sample_patches",
    "make_recording",
    "make_sparse_coded_signals",
    "make_spikes",
    "make_untidy_signals",
    "recovered",
    "similarity",
]
