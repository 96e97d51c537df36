"""Natural images to patches: crops, whitening, band-pass, mask.

images (height, width) -> crops of one size -> whitened -> patches (n_patches, patch_width^2)
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from .. import store
from .._base.checks import check_array, check_count, check_magnitude, check_memory
from .._base.constraints import Checked, Count, CountOrZero, Flag, PathLike, checked, count
from .._base.progress import progress
from .photographs import BUILT_IN, SUFFIXES, load_images

PATCHES_PER_CROP = 1024  # more crops are taken of each image until no crop has to give more
MOST_DRAWS = 100  # of a crop with enough contrast
PatchWidth = Annotated[int, count(4)]


@checked
def crop(image: np.ndarray, height: Count, width: Count, rng: np.random.Generator) -> np.ndarray:
    """A random height x width crop, drawn again while its std is under 0.2 of the image's.

    Raises ValueError after MOST_DRAWS draws.
    """
    image = _check_image(image)
    height = check_count(height, "height", most=image.shape[0], why="the image's")
    width = check_count(width, "width", most=image.shape[1], why="the image's")
    for _ in range(MOST_DRAWS):
        row = rng.integers(image.shape[0] - height + 1)
        column = rng.integers(image.shape[1] - width + 1)
        part = image[row : row + height, column : column + width]
        if part.std() >= 0.2 * image.std():
            return part
    raise ValueError(
        f"no crop of height x width = {height} x {width} pixels with a fifth of its contrast in "
        f"{MOST_DRAWS} draws"
    )


def centre(image: np.ndarray) -> np.ndarray:
    """The image with its median removed, divided by the largest absolute value."""
    image = _check_image(image)
    image = image - np.median(image)
    most = np.abs(image).max()
    return image / most if most else image


def _check_image(image):
    """A finite grey image whose sums are finite too."""
    image = check_array(image, "image", ndim=2)
    check_magnitude(image, "image", float(np.finfo(image.dtype).max) / (8 * image.size))
    return image


def _frequencies(height, width):
    """Distance from the origin in cycles per pixel, in FFT order."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))


def whiten(image: np.ndarray) -> np.ndarray:
    """The image filtered by K(f) = (f^-2.8 / mean)^(-1/2) exp(-(f / 0.4)^4), K divided by its mean.

    f in cycles per pixel, 1e-6 at the origin; means are over frequencies.

    Parameters
    ----------
    image : array of shape (height, width)

    Returns
    -------
    whitened : array of shape (height, width), float64

    References
    ----------
    Olshausen & Field (1997), Vision Res. 37:3311, with the exponent 1.4 of the amplitude.
    """
    image = _check_image(image)
    f = _frequencies(*image.shape)
    f[0, 0] = 1e-6
    power = f ** (-2 * 1.4)
    gain = (power / power.mean()) ** -0.5 * np.exp(-((f / 0.4) ** 4))
    return np.fft.ifft2(np.fft.fft2(image) * (gain / gain.mean())).real


@checked
def band_pass(image: np.ndarray, patch_width: Count) -> np.ndarray:
    """The image without what a patch cannot hold: frequencies under 1 / patch_width or near 0.5.

    gain(f) = (1 - exp((f - .5) / (.5 * .07))) (f < .5) (1 + tanh(42 (f - 1 / patch_width))) / 2
    """
    image = _check_image(image)
    f = _frequencies(*image.shape)
    low = (1 - np.exp((np.minimum(f, 0.5) - 0.5) / (0.5 * 0.07))) * (f < 0.5)
    high = (1 + np.tanh(42 * (f - 1 / patch_width))) / 2
    return np.fft.ifft2(np.fft.fft2(image) * low * high).real


@checked
def preprocess(image: np.ndarray, patch_width: Count, do_bandpass: Flag = True) -> np.ndarray:
    """The image whitened and, unless told otherwise, band-passed for patches of patch_width."""
    image = whiten(image)
    return band_pass(image, patch_width) if do_bandpass else image


def block_average(image: np.ndarray, factor: int) -> np.ndarray:
    """The image with factor x factor pixels averaged into one, without a rest right and below."""
    image = _check_image(image)
    factor = check_count(
        factor, "factor", most=min(image.shape), why="the shorter side of the image"
    )
    height, width = (size // factor for size in image.shape)
    return (
        image[: height * factor, : width * factor]
        .reshape(height, factor, width, factor)
        .mean(axis=(1, 3))
    )


@checked
def disc(patch_width: Count) -> np.ndarray:
    """True for pixels wholly inside the circle inscribed in a patch, (patch_width, patch_width)."""
    check_memory(8 * patch_width**2, "patch_width", patch_width)
    corner = np.abs(np.arange(patch_width) - (patch_width - 1) / 2) + 0.5
    return np.hypot(corner[:, None], corner) <= patch_width / 2


@checked
def draw_patches(
    image: np.ndarray,
    n_patches: Count,
    patch_width: Count,
    over_patches: Count,
    rng: np.random.Generator,
) -> np.ndarray:
    """The patches of highest std among over_patches times as many random ones, less their mean.

    Parameters
    ----------
    image : array of shape (height, width)
    n_patches : int
        Patches to return; they repeat where the image has fewer.
    patch_width : int
        Patches are patch_width x patch_width pixels.
    over_patches : int
        Patches to draw for each that is kept.
    rng : Generator
        Draws the places.

    Returns
    -------
    patches : array of shape (n_patches, patch_width^2)
        Of mean 0 over the patches, pixel by pixel.
    """
    image = _check_image(image)
    most, why = min(image.shape), "the sides of the image"
    patch_width = check_count(patch_width, "patch_width", most=most, why=why)
    check_memory(8 * n_patches * patch_width**2, "n_patches", n_patches)
    windows = np.lib.stride_tricks.sliding_window_view(image, (patch_width, patch_width))
    places = rng.choice(
        windows.shape[0] * windows.shape[1],
        min(n_patches * over_patches, windows.shape[0] * windows.shape[1]),
        replace=False,
    )
    places = places if len(places) >= n_patches else rng.choice(places, n_patches)
    deviations = _window_std(image, patch_width).ravel()[places]
    best = np.sort(places[np.argsort(-deviations, kind="stable")[:n_patches]])
    patches = windows[np.divmod(best, windows.shape[1])].reshape(n_patches, -1)
    return patches - patches.mean(axis=0)


def _window_std(image, width):
    """Standard deviation of every width x width window, from running sums."""

    def window_mean(values):
        total = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        return (
            total[width:, width:]
            - total[:-width, width:]
            - total[width:, :-width]
            + total[:-width, :-width]
        ) / width**2

    return np.sqrt(np.maximum(window_mean(image**2) - window_mean(image) ** 2, 0))


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
) -> np.ndarray:
    """Preprocessed patches of images, in random order.

    Every image gives as many crops as keep each of them to about a thousand patches.

    Parameters
    ----------
    images : list of (name, array)
        As `load_images` returns.
    n_patches : int
        Patches of all images together.
    patch_width : int, default=21
        Patches are patch_width x patch_width pixels.
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

    Returns
    -------
    patches : array of shape (n_patches, patch_width^2), float32

    Raises
    ------
    ValueError
        If an image has no crop with enough contrast.
    """
    rng = np.random.default_rng() if rng is None else rng
    check_memory(8 * n_patches * patch_width**2, "n_patches", n_patches)
    check_count(patch_ds, "patch_ds", most=min(height, width), why="the crops")
    is_list = isinstance(images, (list, tuple)) and len(images) > 0
    if not is_list or not all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in images
    ):
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
            part = preprocess(centre(part), patch_width, do_bandpass)
            parts.append(
                draw_patches(part, n_crop, patch_width, over_patches, rng).astype(np.float32)
            )
            if on_crop is not None:
                on_crop()
    patches = np.concatenate(parts)[rng.permutation(n_patches)]
    if patch_norm:
        patches /= np.maximum(patches.std(axis=1, keepdims=True), np.finfo(np.float32).eps)
    if do_mask:
        patches *= disc(patch_width).ravel()
    return patches


@checked
def noise_patches(
    n_patches: Count, patch_width: Count, rng: np.random.Generator, do_bandpass: Flag = True
) -> np.ndarray:
    """Patches of a preprocessed image of 1/f noise: a start for a dictionary.

    Parameters
    ----------
    n_patches : int
    patch_width : int
        Patches are patch_width x patch_width pixels.
    rng : Generator
        Draws noise and places.
    do_bandpass : bool, default=True
        As in `preprocess`.

    Returns
    -------
    patches : array of shape (n_patches, patch_width^2), float64
    """
    check_memory(8 * (n_patches + 40) * patch_width**2, "patch_width", patch_width)
    size = 256 if patch_width < 128 else 2 * patch_width
    f = _frequencies(size, size)
    f[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) / f
    image = preprocess(centre(np.fft.ifft2(spectrum).real), patch_width, do_bandpass)
    return draw_patches(image, n_patches, patch_width, 1, rng)


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
    """All that decides a set of patches, see `shl.SHL`; a value out of its range is an error that
    names it.
    """

    height: Count
    width: Count
    patch_width: PatchWidth
    N_patches: Count
    datapath: PathLike
    name_database: PathLike
    do_mask: Flag
    do_bandpass: Flag
    over_patches: Count
    patch_ds: Count
    patch_norm: Flag
    n_image: Count | None
    seed: CountOrZero

    def __post_init__(self):
        super().__post_init__()
        most = min(self.height, self.width) // self.patch_ds
        why = "the crops after patch_ds"
        check_count(self.patch_width, "patch_width", least=4, most=most, why=why)
        size = self.N_patches * self.patch_width**2
        check_memory(8 * size, "N_patches", self.N_patches)  # in their order and shuffled
        check_memory(64 * self.height * self.width, "height x width", (self.height, self.width))
        if self.name_database == "dead_leaves" and self.n_image is not None:
            n_bytes = 8 * self.n_image * self.height * self.width
            check_memory(n_bytes, "n_image", self.n_image)

    def key(self) -> str:
        """The hash of all that makes them, also of the content of image files."""
        parameters = asdict(self)
        datapath = parameters.pop("datapath")
        if self.name_database not in BUILT_IN:
            files = sorted((Path(datapath) / self.name_database).glob("*"))
            parameters["files"] = {
                path.name: _digest_of_file(path)
                for path in files
                if path.suffix.lower() in SUFFIXES
            }
        return store.key_of(parameters, "images")

    def draw(self, verbose: int = 0) -> np.ndarray:
        """The patches (N_patches, patch_width^2) float32, from the images."""
        rng = np.random.default_rng([self.seed, 0])
        images = load_images(
            self.name_database, self.datapath, self.height, self.width, self.n_image, rng
        )
        names = ("patch_width", "height", "width", "do_mask", "do_bandpass", "over_patches")
        names += ("patch_ds", "patch_norm")
        options = {name: getattr(self, name) for name in names}
        with progress(desc="patches", unit="crop", disable=not verbose) as bar:
            return extract_patches(images, self.N_patches, rng=rng, on_crop=bar.update, **options)
