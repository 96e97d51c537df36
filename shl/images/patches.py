"""Natural images to patches: crops, whitening, band-pass, mask.

images (height, width) -> crops of one size -> whitened -> patches (n_patches, patch_width^2)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from .. import store
from .._base.checks import check_array, check_count, check_magnitude, check_memory
from .._base.constraints import Checked, Count, CountOrZero, Flag, PathLike, checked, count, sizes
from .._base.progress import progress
from .photographs import BUILT_IN, DATAPATH, files_of, load_images

PATCHES_PER_CROP = 1024  # more crops are taken of each image until no crop has to give more
MOST_DRAWS = 100  # of a crop with enough contrast
PatchWidth = Annotated[int, count(4)]


PatchShape = Annotated[tuple[int, ...], sizes("(height, width), or (height, width, n_channels)")]


@checked
def crop(image: np.ndarray, height: Count, width: Count, rng: np.random.Generator) -> np.ndarray:
    """Return a random height x width crop, drawn again while its std is under 0.2 of the image's.

    The image has shape (rows, columns) or (rows, columns, n_channels).  Raises ValueError after
    MOST_DRAWS draws.
    """
    image = _check_image(image)
    height = check_count(height, "height", most=image.shape[0], why="the image's")
    width = check_count(width, "width", most=image.shape[1], why="the image's")
    least = 0.2 * _contrast(image)
    for _ in range(MOST_DRAWS):
        row = rng.integers(image.shape[0] - height + 1)
        column = rng.integers(image.shape[1] - width + 1)
        part = image[row : row + height, column : column + width]
        if _contrast(part) >= least:
            return part
    raise ValueError(
        f"No crop of height x width = {height} x {width} pixels has a fifth of the "
        f"image's contrast in {MOST_DRAWS} draws. Use larger crops, or leave the "
        "image out."
    )


def _contrast(image):
    """Return the standard deviation over pixels, of all channels together."""
    return image.std() if image.ndim == 2 else image.var(axis=(0, 1)).mean() ** 0.5


def centre(image: np.ndarray) -> np.ndarray:
    """Remove the median of an image, and divide it by the largest absolute value.

    Each channel of a colour image loses its own median.  All are divided by the same value, so
    that the contrast between colours stays.

    Parameters
    ----------
    image : array of shape (height, width) or (height, width, n_channels)

    Returns
    -------
    centred : array of the same shape
        Values in -1..1.
    """
    image = _check_image(image)
    image = image - np.median(image, axis=(0, 1))
    most = np.abs(image).max()
    return image / most if most else image


def _check_image(image):
    """A finite image, grey or with channels, whose sums are finite too."""
    image = check_array(image, "image", ndim=(2, 3))
    check_magnitude(image, "image", float(np.finfo(image.dtype).max) / (8 * image.size))
    return image


def _frequencies(height, width):
    """Distance from the origin in cycles per pixel, in FFT order."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))


def _filter(image, *gains):
    """Multiply the spectrum of each channel by gains of shape (height, width)."""
    spectrum = np.fft.fft2(image, axes=(0, 1))
    for gain in gains:
        spectrum = spectrum * gain.reshape(gain.shape + (1,) * (image.ndim - 2))
    return np.fft.ifft2(spectrum, axes=(0, 1)).real


def whiten(image: np.ndarray) -> np.ndarray:
    """Filter an image by K(f) = (f^-2.8 / mean)^(-1/2) exp(-(f / 0.4)^4), K divided by its mean.

    f in cycles per pixel, 1e-6 at the origin; means are over frequencies.  Each channel of a colour
    image is filtered by the same K.

    Parameters
    ----------
    image : array of shape (height, width) or (height, width, n_channels)

    Returns
    -------
    whitened : array of the same shape, float64

    References
    ----------
    Olshausen & Field (1997), Vision Res. 37:3311, with the exponent 1.4 of the amplitude.
    """
    image = _check_image(image)
    f = _frequencies(*image.shape[:2])
    f[0, 0] = 1e-6
    power = f ** (-2 * 1.4)
    gain = (power / power.mean()) ** -0.5 * np.exp(-((f / 0.4) ** 4))
    return _filter(image, gain / gain.mean())


@checked
def band_pass(image: np.ndarray, patch_width: Count) -> np.ndarray:
    """Remove from an image the frequencies under 1 / patch_width or near 0.5.

    gain(f) = (1 - exp((f - .5) / (.5 * .07))) (f < .5) (1 + tanh(42 (f - 1 / patch_width))) / 2
    """
    image = _check_image(image)
    f = _frequencies(*image.shape[:2])
    low = (1 - np.exp((np.minimum(f, 0.5) - 0.5) / (0.5 * 0.07))) * (f < 0.5)
    high = (1 + np.tanh(42 * (f - 1 / patch_width))) / 2
    return _filter(image, low, high)


@checked
def preprocess(image: np.ndarray, patch_width: Count, do_bandpass: Flag = True) -> np.ndarray:
    """Whiten an image, and band-pass it for patches of a width.

    Parameters
    ----------
    image : array of shape (rows, columns) or (rows, columns, 3)
    patch_width : int
        Width of a patch in pixels.
    do_bandpass : bool, default=True
        Whether to band-pass it.
    """
    image = whiten(image)
    return band_pass(image, patch_width) if do_bandpass else image


def block_average(image: np.ndarray, factor: int) -> np.ndarray:
    """Average factor x factor pixels of an image into one; a rest right and below is left out."""
    image = _check_image(image)
    shortest, why = min(image.shape[:2]), "the shorter side of the image"
    factor = check_count(factor, "factor", most=shortest, why=why)
    height, width = (size // factor for size in image.shape[:2])
    cut = image[: height * factor, : width * factor]
    return cut.reshape(height, factor, width, factor, *image.shape[2:]).mean(axis=(1, 3))


@checked
def disc(patch_width: Count, patch_height: Count | None = None) -> np.ndarray:
    """Return a mask that is True for pixels inside the circle, or ellipse, inscribed in a patch.

    Parameters
    ----------
    patch_width : int
        Width of a patch in pixels.
    patch_height : int, default=None
        Its height in pixels.  If None, patch_width.  Patches of one row have no border to mask.

    Returns
    -------
    inside : array of bool of shape (patch_height, patch_width)
    """
    height = patch_height or patch_width
    check_memory(8 * height * patch_width, "patch_width", patch_width)
    if height == 1 < patch_width:
        return np.ones((1, patch_width), bool)
    rows, columns = (
        np.abs(np.arange(side) - (side - 1) / 2) + 0.5 for side in (height, patch_width)
    )
    if height != patch_width:
        rows *= patch_width / height
    return np.hypot(rows[:, None], columns) <= patch_width / 2


@checked
def draw_patches(
    image: np.ndarray,
    n_patches: Count,
    patch_width: Count,
    over_patches: Count,
    rng: np.random.Generator,
    patch_height: Count | None = None,
) -> np.ndarray:
    """Return the patches of highest std among over_patches times as many random ones, less their
    mean.

    Parameters
    ----------
    image : array of shape (height, width) or (height, width, n_channels)
    n_patches : int
        Patches to return; they repeat where the image has fewer.
    patch_width : int
        Width of a patch in pixels.
    over_patches : int
        Patches to draw for each that is kept.
    rng : Generator
        Draws the places.
    patch_height : int, default=None
        Height of a patch in pixels.  If None, patch_width.

    Returns
    -------
    patches : array of shape (n_patches, patch_height * patch_width * n_channels)
        Of mean 0 over the patches, pixel by pixel.  Channels come last.
    """
    image = _check_image(image)
    height, width, why = patch_height or patch_width, patch_width, "the side of the image"
    check_count(height, "patch_height", most=image.shape[0], why=why)
    check_count(width, "patch_width", most=image.shape[1], why=why)
    check_memory(8 * n_patches * height * width, "n_patches", n_patches)
    windows = np.lib.stride_tricks.sliding_window_view(image, (height, width), axis=(0, 1))
    if image.ndim == 3:  # channels last, after the pixels of a patch
        windows = np.moveaxis(windows, 2, -1)
    n_places = math.prod(windows.shape[:2])
    places = rng.choice(n_places, min(n_patches * over_patches, n_places), replace=False)
    places = places if len(places) >= n_patches else rng.choice(places, n_patches)
    deviations = _window_std(image, height, width).ravel()[places]
    best = np.sort(places[np.argsort(-deviations, kind="stable")[:n_patches]])
    patches = windows[np.divmod(best, windows.shape[1])].reshape(n_patches, -1)
    return patches - patches.mean(axis=0)


def _window_std(image, height, width):
    """Standard deviation of every height x width window, from running sums.

    Channels lose their own means; their variances are added.
    """

    def window_mean(values):
        margins = ((1, 0), (1, 0), *[(0, 0)] * (values.ndim - 2))
        total = np.pad(values, margins).cumsum(axis=0).cumsum(axis=1)
        return (
            total[height:, width:]
            - total[:-height, width:]
            - total[height:, :-width]
            + total[:-height, :-width]
        ) / (height * width)

    variances = np.maximum(window_mean(image**2) - window_mean(image) ** 2, 0)
    return np.sqrt(variances if image.ndim == 2 else variances.sum(axis=2))


@checked
def extract_patches(
    images: Sequence[tuple[str, np.ndarray]],
    n_patches: Count,
    *,
    patch_width: Count = 21,
    height: Count = 256,
    width: Count = 256,
    do_mask: Flag = True,
    do_bandpass: Flag = True,
    over_patches: Count = 16,
    patch_ds: Count = 1,
    patch_norm: Flag = False,
    rng: np.random.Generator | None = None,
    on_crop: Callable[[], object] | None = None,
    patch_height: Count | None = None,
) -> np.ndarray:
    """Return preprocessed patches of images, in random order.

    Every image gives as many crops as keep each of them to about a thousand patches.

    Parameters
    ----------
    images : list of (name, array)
        As `load_images` returns: all grey, or all with as many channels.
    n_patches : int
        Patches of all images together.
    patch_width : int, default=21
        Width of a patch in pixels.
    height, width : int, default=256
        Size of the crops, in pixels.
    do_mask : bool, default=True
        Sets pixels outside the inscribed circle to 0.
    do_bandpass : bool, default=True
        Removes frequencies that a patch cannot hold, see `band_pass`.
    over_patches : int, default=16
        Patches to draw for each that is kept, see `draw_patches`.
    patch_ds : int, default=1
        Each crop is block-averaged by this factor first.
    patch_norm : bool, default=False
        Divides each patch by its std.
    rng : Generator, default=None
        Draws crops, patches and their order; None is a new one.
    on_crop : callable, default=None
        Called without arguments after each crop (progress).
    patch_height : int, default=None
        Height of a patch in pixels.  If None, patch_width.

    Returns
    -------
    patches : array of shape (n_patches, patch_height * patch_width * n_channels), float32
        Channels come last.  All channels are filtered alike and scaled together (`centre`,
        `whiten`), so that colour contrast stays.

    Raises
    ------
    ValueError
        If an image has no crop with enough contrast.
    """
    rng = np.random.default_rng() if rng is None else rng
    patch_height = patch_height or patch_width
    check_memory(8 * n_patches * patch_height * patch_width, "n_patches", n_patches)
    check_count(patch_ds, "patch_ds", most=min(height, width), why="the crops")
    pairs = images if isinstance(images, (list, tuple)) else ()
    if not pairs or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"images must be a list of (name, array), not {images!r}")
    per_image = np.diff(np.linspace(0, n_patches, len(images) + 1).astype(int))
    parts = []
    for (name, image), n_here in zip(images, per_image, strict=True):
        n_crops = -(-n_here // PATCHES_PER_CROP)
        for n_crop in np.diff(np.linspace(0, n_here, n_crops + 1).astype(int)):
            try:
                part = block_average(crop(image, height, width, rng), patch_ds)
            except ValueError as error:
                raise ValueError(f"image {name!r}: {error}") from error
            part = preprocess(centre(part), max(patch_height, patch_width), do_bandpass)
            part = draw_patches(part, n_crop, patch_width, over_patches, rng, patch_height)
            parts.append(part.astype(np.float32))
            if on_crop is not None:
                on_crop()
    patches = np.concatenate(parts)[rng.permutation(n_patches)]
    if patch_norm:
        patches /= np.maximum(patches.std(axis=1, keepdims=True), np.finfo(np.float32).eps)
    if do_mask:
        inside = disc(patch_width, patch_height).ravel()
        patches *= inside.repeat(patches.shape[1] // inside.size)
    return patches


@checked
def noise_patches(
    n_patches: Count,
    patch_width: Count,
    rng: np.random.Generator,
    do_bandpass: Flag = True,
    patch_height: Count | None = None,
) -> np.ndarray:
    """Return patches of a preprocessed image of 1/f noise, with which a dictionary can start.

    Parameters
    ----------
    n_patches : int
    patch_width : int
        Width of a patch in pixels.
    rng : Generator
        Draws noise and places.
    do_bandpass : bool, default=True
        As in `preprocess`.
    patch_height : int, default=None
        Height of a patch in pixels.  If None, patch_width.

    Returns
    -------
    patches : array of shape (n_patches, patch_height * patch_width), float64
    """
    longest = max(patch_height or patch_width, patch_width)
    check_memory(8 * (n_patches + 40) * longest**2, "patch_width", patch_width)
    size = 256 if longest < 128 else 2 * longest
    f = _frequencies(size, size)
    f[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) / f
    image = preprocess(centre(np.fft.ifft2(spectrum).real), longest, do_bandpass)
    return draw_patches(image, n_patches, patch_width, 1, rng, patch_height)


# ------------------------------------------------------------------------------------ a data set


def _digest_of_file(path):
    """The digest of a file's content, or why it has none, as when `read_image` skips it."""
    if not path.is_file():  # a folder, a pipe, a link to nothing
        return "no file"
    try:
        return store.digest(np.fromfile(path, np.uint8))
    except OSError as error:
        return type(error).__name__


@dataclass(frozen=True)
class Patches(Checked):
    """All that decides a set of patches; parameters are those of `shl.SHL`, and defaults but for
    `name_database`.

    Parameters
    ----------
    patch_height : int, default=None
        Height of a patch.  If None, its width.
    color : bool, default=False
        Whether patches have colours.
    """

    height: Count = 256
    width: Count = 256
    patch_width: PatchWidth = 21
    N_patches: Count = 65536
    datapath: PathLike = DATAPATH
    name_database: PathLike = "sample"
    do_mask: Flag = True
    do_bandpass: Flag = True
    over_patches: Count = 16
    patch_ds: Count = 1
    patch_norm: Flag = False
    n_image: Count | None = None
    seed: CountOrZero = 42
    patch_height: Count | None = None
    color: Flag = False

    def __post_init__(self):
        super().__post_init__()
        most = self.width // self.patch_ds, self.height // self.patch_ds
        why = "the crops after patch_ds"
        check_count(self.patch_width, "patch_width", 4, most[0], why)
        name = "patch_width" if self.patch_height is None else "patch_height"
        check_count(self.shape[0], name, 1 if self.patch_height else 4, most[1], why)
        size = self.N_patches * math.prod(self.shape)
        check_memory(8 * size, "N_patches", self.N_patches)  # in their order and shuffled
        check_memory(64 * self.height * self.width, "height x width", (self.height, self.width))
        if self.name_database == "dead_leaves" and self.n_image is not None:
            n_bytes = 8 * self.n_image * self.height * self.width
            check_memory(n_bytes, "n_image", self.n_image)

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) of a patch in pixels, and 3 if it has colours."""
        height = self.patch_height or self.patch_width
        return (height, self.patch_width, 3) if self.color else (height, self.patch_width)

    def key(self) -> str:
        """The hash of all that makes them, also of the content of image files."""
        parameters = asdict(self)
        datapath = parameters.pop("datapath")
        if self.name_database not in BUILT_IN:
            files = files_of(Path(datapath) / self.name_database)
            parameters["files"] = {path.name: _digest_of_file(path) for path in files}
        return store.key_of(parameters, "images")

    def draw(self, verbose: int = 0) -> np.ndarray:
        """The patches (N_patches, pixels of `shape`) float32, from the images."""
        rng = np.random.default_rng([self.seed, 0])
        where = self.name_database, self.datapath, self.height, self.width, self.n_image
        images = load_images(*where, rng, self.color)
        names = ("patch_width", "height", "width", "do_mask", "do_bandpass", "over_patches")
        names += ("patch_ds", "patch_norm", "patch_height")
        options = {name: getattr(self, name) for name in names}
        with progress(desc="patches", unit="crop", disable=not verbose) as bar:
            return extract_patches(images, self.N_patches, rng=rng, on_crop=bar.update, **options)


__all__ = [
    "Patches",
    "band_pass",
    "block_average",
    "centre",
    "crop",
    "disc",
    "draw_patches",
    "extract_patches",
    "noise_patches",
    "preprocess",
    "whiten",
]
