"""Natural images to patches: databases, grey levels, crops, whitening, band-pass, mask.

images (height, width) -> crops of one size -> whitened -> patches (n_patches, patch_width^2)
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from . import store
from ._checks import (
    as_array,
    check_array,
    check_count,
    check_flag,
    check_magnitude,
    check_memory,
    check_path,
    set_checked,
)
from ._progress import progress
from .windows import extract as extract
from .windows import reconstruct as reconstruct

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
GREY = np.array([0.2989, 0.5870, 0.1140])  # of red, green, blue (ITU-R BT.601)
BUILT_IN = ("sample", "dead_leaves")  # databases that need no folder
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # others, as PostScript, start programs
MOST_PIXELS = 100_000_000  # of an image file: more is refused before it is decoded
PATCHES_PER_CROP = 1024  # more crops are taken of each image until no crop has to give more
MOST_DRAWS = 100  # of a crop with enough contrast
DATAPATH = "database/"
STRIP = 1 << 22  # pixels of an image of colours that are made grey at a time
BITS_PER_SAMPLE, SAMPLE_FORMAT, ORIENTATION = 258, 339, 274  # tags of TIFF and EXIF


def load_images(
    name_database: str = "sample",
    datapath: str | Path = "database",
    height: int = 256,
    width: int = 256,
    n_image: int | None = None,
    rng: np.random.Generator | None = None,
) -> list[tuple[str, np.ndarray]]:
    """Grey images of a database, each at least height x width.

    Parameters
    ----------
    name_database : str, default='sample'
        'sample', the photographs that scikit-learn ships; 'dead_leaves', synthetic (see
        `dead_leaves`); or the name of a folder of PNG, JPEG, TIFF or BMP files in `datapath`.
    datapath : str or Path, default='database'
        The folder of such folders.
    height, width : int, default=256
        Pixels that an image has at least.
    n_image : int, default=None
        The number of images, chosen by `rng`; None is all (dead_leaves: 16).
    rng : Generator, default=None
        None is a new one.

    Returns
    -------
    images : list of (name, array (rows, columns) float64)
        Grey levels as of `to_grey`.

    Raises
    ------
    FileNotFoundError
        If the folder is missing or holds no usable image; the message lists what is there.
    ValueError
        If there are fewer than n_image images.

    Warns
    -----
    UserWarning
        For each file that is skipped, with the reason.
    """
    rng = np.random.default_rng() if rng is None else rng
    if name_database == "sample":
        images = _sample_images()
    elif name_database == "dead_leaves":
        count = n_image or 16
        images = [
            (f"dead_leaves_{i}", dead_leaves(max(height, 64), max(width, 64), rng))
            for i in range(count)
        ]
    else:
        images = _folder_images(Path(datapath) / name_database, height, width)
    if n_image is None or n_image == len(images):
        return images
    if n_image > len(images):
        raise ValueError(
            f"n_image must be at most {len(images)}, the images of {name_database!r}, not {n_image}"
        )
    return [images[i] for i in np.sort(rng.choice(len(images), n_image, replace=False))]


def choose_database(
    name_database: str | None, datapath: str | Path = DATAPATH
) -> tuple[str | Path, str]:
    """(datapath, name_database): where there is no name, that of the only database of a datapath
    that is given (`find_database`), else of the photographs that need none.
    """
    if name_database is not None:
        return datapath, name_database
    if Path(check_path(datapath, "datapath")) == Path(DATAPATH):
        return datapath, "sample"
    folder, name = find_database(datapath)
    return str(folder), name


def find_database(datapath: str | Path) -> tuple[Path, str]:
    """The folder of databases and the only database in it; a folder of images is one itself.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no image in it.
    ValueError
        If there are several databases; the message lists them.
    """
    folder = Path(datapath)
    if not folder.is_dir():
        raise FileNotFoundError(f"datapath must be a folder, and there is none at {folder}")
    if _holds_images(folder):
        return folder.resolve().parent, folder.resolve().name
    found = sorted(path.name for path in folder.iterdir() if path.is_dir() and _holds_images(path))
    if not found:
        raise FileNotFoundError(f"datapath must hold a folder of images, and {folder} holds none")
    if len(found) > 1:
        raise ValueError(f"name_database must be one of {', '.join(found)}, which {folder} holds")
    return folder, found[0]


def _holds_images(folder):
    """Whether a folder has an image file."""
    return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def _sample_images():
    """The photographs that scikit-learn ships."""
    from sklearn.datasets import load_sample_image

    return [(name, to_grey(load_sample_image(name))) for name in ("china.jpg", "flower.jpg")]


def _folder_images(folder, height, width):
    """The images of a folder by name; those that cannot be used are skipped with a warning."""
    if not folder.is_dir():
        there = (
            sorted(path.name for path in folder.parent.iterdir()) if folder.parent.is_dir() else []
        )
        raise FileNotFoundError(
            f"there is no folder {folder}; {folder.parent} holds {', '.join(there) or 'nothing'}. "
            f"Databases without a folder: 'sample', 'dead_leaves'; of a folder of images elsewhere "
            f"give the datapath alone"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    images = []
    for path in files:
        try:
            images.append((path.name, read_image(path, height, width)))
        except ValueError as error:
            warnings.warn(f"skipped {path}: {error}", stacklevel=3)
    if not images:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
        raise FileNotFoundError(
            f"no usable image of at least {height} x {width} in {folder}, which holds {there}"
        )
    return images


def read_image(path: str | Path, height: int = 1, width: int = 1) -> np.ndarray:
    """The grey levels of an image file, (rows, columns) float64 as of `to_grey`.

    Grey files of more than 8 bits keep their depth; all others are read as RGB of 8 bits, palettes
    looked up and transparency left out.  The image is turned as its EXIF data say; of several
    frames the first is read.

    Parameters
    ----------
    path : str or Path
        A PNG, JPEG, TIFF or BMP file.
    height, width : int, default=1
        Pixels that the image must have at least.

    Returns
    -------
    image : array of shape (rows, columns), float64

    Raises
    ------
    ValueError
        With the reason, if it is no such file, truncated, too large, smaller than height x width,
        constant, or holds NaN.
    """
    grey = to_grey(_read_pixels(Path(path), height, width))
    if not np.isfinite(grey).all():
        raise ValueError("it holds NaN or infinity")
    if np.ptp(grey) <= 1e-9 * np.abs(grey).max():
        raise ValueError("it is constant")
    return grey


def _read_pixels(path, height, width):
    """The pixels of an image file, turned as they are to be seen."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():  # to open a pipe would wait for ever
        raise ValueError("it is no file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is checked
            image = Image.open(path, formats=FORMATS)
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise _Unusable(
                    f"{image.width} x {image.height} pixels are more than {MOST_PIXELS}"
                )
            pixels = _turn(_decode(image), image.getexif().get(ORIENTATION, 1))
    except _Unusable:
        raise
    except UnidentifiedImageError:
        raise ValueError(f"it is not an image of the formats {', '.join(FORMATS)}") from None
    except Exception as error:  # a damaged file raises nearly anything
        raise ValueError(f"it cannot be read ({type(error).__name__}: {error})") from error
    if pixels.shape[1] < width or pixels.shape[0] < height:
        raise ValueError(
            f"its {pixels.shape[0]} x {pixels.shape[1]} pixels are fewer than {height} x {width}"
        )
    return pixels


class _Unusable(ValueError):
    """An image that is whole, and cannot be used."""


def _turn(pixels, orientation):
    """Pixels as EXIF's orientation 1 to 8 wants them to be seen; others are left as they are."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def _decode(image):
    """The pixels of an opened image: greys of more than 8 bits as they are, all else RGB."""
    if image.mode == "I":
        return np.asarray(image).astype(_integers_of_file(image))
    if image.mode.startswith(("I", "F")):
        return np.asarray(image)
    # Pillow warns when it drops the transparency of a palette.
    has_transparency = "transparency" in image.info
    return np.asarray(image.convert("RGBA" if has_transparency else "RGB"))


def _integers_of_file(image):
    """The dtype of a TIFF's integers, which Pillow reads into int32 (its mode 'I')."""
    if image.format != "TIFF":
        return np.int32
    sign = "u" if image.tag_v2.get(SAMPLE_FORMAT, (1,))[0] == 1 else ""
    return np.dtype(f"{sign}int{image.tag_v2[BITS_PER_SAMPLE][0]}")


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """0.2989 R + 0.5870 G + 0.1140 B of colours, greys as they are, scaled to 0..1 by their type.

    Integers are divided by the largest value of their type (uint8 by 255, uint16 by 65535), however
    dark they are; bool is 0 and 1; floats are taken as 0..1 already.

    Parameters
    ----------
    pixels : array of shape (rows, columns) or (rows, columns, n_channels)
        Grey, or red, green, blue; further channels are left out.

    Returns
    -------
    grey : array of shape (rows, columns), float64

    Raises
    ------
    ValueError
        If pixels are not numbers, or of another shape.

    Examples
    --------
    >>> to_grey(np.array([[0, 51, 255]], np.uint8))
    array([[0. , 0.2, 1. ]])
    """
    pixels = as_array(pixels, "pixels")
    is_color = pixels.ndim == 3 and pixels.shape[2] >= len(GREY)
    if pixels.ndim != 2 and not is_color:
        raise ValueError(
            f"pixels must have shape (rows, columns) or (rows, columns, at least 3 channels), "
            f"not {pixels.shape}"
        )
    most = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1
    if not is_color:
        return pixels.astype(float) / most
    size = max(1, STRIP // max(1, pixels.shape[1]))  # all at once would take 24 bytes a pixel
    strips = [slice(start, start + size) for start in range(0, len(pixels), size)]
    grey = np.empty(pixels.shape[:2])
    for rows in strips:
        grey[rows] = pixels[rows, :, :3] @ GREY
        grey[rows] /= most
    return grey


def dead_leaves(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """An image of discs that occlude one another, with the statistics of natural scenes.

    Radii have the density r^-3 between 2 pixels and a third of the image, positions and grey levels
    are uniform, and each disc covers those before it.

    Parameters
    ----------
    height, width : int
        Pixels.
    rng : Generator
        Draws the discs.

    Returns
    -------
    image : array of shape (height, width), float64
        Grey levels in [0, 1].

    References
    ----------
    Lee, Mumford & Huang (2001), Int. J. Comput. Vision 41.
    """
    height, width = check_count(height, "height"), check_count(width, "width")
    check_memory(8 * height * width, "height x width", (height, width))
    least, most = 2.0, max(4.0, min(height, width) / 3)
    n_leaves = max(200, 8 * height * width // 64)
    draws = rng.random((n_leaves, 4))
    radii = (least**-2 + draws[:, 0] * (most**-2 - least**-2)) ** -0.5
    rows, columns = (
        draws[:, 1] * (height + 2 * most) - most,
        draws[:, 2] * (width + 2 * most) - most,
    )
    image = np.full((height, width), 0.5)
    for radius, row, column, level in zip(radii, rows, columns, draws[:, 3], strict=True):
        top, bottom = max(0, int(row - radius)), min(height, int(row + radius) + 2)
        left, right = max(0, int(column - radius)), min(width, int(column + radius) + 2)
        if top < bottom and left < right:
            y, x = np.ogrid[top:bottom, left:right]
            image[top:bottom, left:right][(y - row) ** 2 + (x - column) ** 2 <= radius**2] = level
    return image


def crop(image: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
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


def band_pass(image: np.ndarray, patch_width: int) -> np.ndarray:
    """The image without what a patch cannot hold: frequencies under 1 / patch_width or near 0.5.

    gain(f) = (1 - exp((f - .5) / (.5 * .07))) (f < .5) (1 + tanh(42 (f - 1 / patch_width))) / 2
    """
    image = _check_image(image)
    check_count(patch_width, "patch_width")
    f = _frequencies(*image.shape)
    low = (1 - np.exp((np.minimum(f, 0.5) - 0.5) / (0.5 * 0.07))) * (f < 0.5)
    high = (1 + np.tanh(42 * (f - 1 / patch_width))) / 2
    return np.fft.ifft2(np.fft.fft2(image) * low * high).real


def preprocess(image: np.ndarray, patch_width: int, do_bandpass: bool = True) -> np.ndarray:
    """The image whitened and, unless told otherwise, band-passed for patches of patch_width."""
    image = whiten(image)
    return band_pass(image, patch_width) if check_flag(do_bandpass, "do_bandpass") else image


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


def disc(patch_width: int) -> np.ndarray:
    """True for pixels wholly inside the circle inscribed in a patch, (patch_width, patch_width)."""
    patch_width = check_count(patch_width, "patch_width")
    check_memory(8 * patch_width**2, "patch_width", patch_width)
    corner = np.abs(np.arange(patch_width) - (patch_width - 1) / 2) + 0.5
    return np.hypot(corner[:, None], corner) <= patch_width / 2


def draw_patches(
    image: np.ndarray, n_patches: int, patch_width: int, over_patches: int, rng: np.random.Generator
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
    n_patches = check_count(n_patches, "n_patches")
    over_patches = check_count(over_patches, "over_patches")
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


def extract_patches(
    images: Sequence[tuple[str, np.ndarray]],
    n_patches: int,
    *,
    patch_width: int = 21,
    height: int = 256,
    width: int = 256,
    do_mask: bool = True,
    do_bandpass: bool = True,
    over_patches: int = 16,
    patch_ds: int = 1,
    patch_norm: bool = False,
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
    n_patches = check_count(n_patches, "n_patches")
    height, width = check_count(height, "height"), check_count(width, "width")
    patch_width = check_count(patch_width, "patch_width")
    check_memory(8 * n_patches * patch_width**2, "n_patches", n_patches)
    check_count(patch_ds, "patch_ds", most=min(height, width), why="the crops")
    check_flag(patch_norm, "patch_norm")
    check_flag(do_mask, "do_mask")
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


def noise_patches(
    n_patches: int, patch_width: int, rng: np.random.Generator, do_bandpass: bool = True
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
    n_patches = check_count(n_patches, "n_patches")
    patch_width = check_count(patch_width, "patch_width")
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
class Patches:
    """All that decides a set of patches, see `shl.SHL`; a value out of its range is an error that
    names it.
    """

    height: int
    width: int
    patch_width: int
    N_patches: int
    datapath: str
    name_database: str
    do_mask: bool
    do_bandpass: bool
    over_patches: int
    patch_ds: int
    patch_norm: bool
    n_image: int | None
    seed: int

    def __post_init__(self):
        for name in ("datapath", "name_database"):
            check_path(getattr(self, name), name)
        counts = ("height", "width", "N_patches", "over_patches", "patch_ds")
        set_checked(self, **{name: check_count(getattr(self, name), name) for name in counts})
        most = min(self.height, self.width) // self.patch_ds
        why = "the crops after patch_ds"
        flags = ("do_mask", "do_bandpass", "patch_norm")
        set_checked(
            self,
            patch_width=check_count(self.patch_width, "patch_width", least=4, most=most, why=why),
            n_image=check_count(self.n_image, "n_image", is_optional=True),
            seed=check_count(self.seed, "seed", least=0),
            **{name: check_flag(getattr(self, name), name) for name in flags},
        )
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
        return store.key_of(parameters)

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
