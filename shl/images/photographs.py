"""Where images come from: databases of photographs, files as grey levels, and dead leaves."""

import warnings
from pathlib import Path

import numpy as np

from .._base.checks import as_array, check_memory, check_path
from .._base.constraints import Count, checked

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
GREY = np.array([0.2989, 0.5870, 0.1140])  # of red, green, blue (ITU-R BT.601)
BUILT_IN = ("sample", "dead_leaves")  # databases that need no folder
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # others, as PostScript, start programs
MOST_PIXELS = 100_000_000  # of an image file: more is refused before it is decoded
DATAPATH = "database/"
STUDIED = "kodakdb"  # the study's database: of several, it is taken
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
    if STUDIED in found:
        return folder, STUDIED
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


@checked
def dead_leaves(height: Count, width: Count, rng: np.random.Generator) -> np.ndarray:
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


__all__ = [
    "BUILT_IN",
    "DATAPATH",
    "SUFFIXES",
    "choose_database",
    "dead_leaves",
    "find_database",
    "load_images",
    "read_image",
    "to_grey",
]
