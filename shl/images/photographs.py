"""Where images come from: databases of photographs, files as grey levels, and dead leaves."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .._base.checks import as_array, check_memory
from .._base.constraints import Count, Flag, PathLike, checked
from .._base.tables import printable
from .files import PICTURES, READERS, read_pixels

GREY = np.array([0.2989, 0.5870, 0.1140])  # of red, green, blue (ITU-R BT.601)
BUILT_IN = ("sample", "dead_leaves")  # databases that need no folder
DATAPATH = "database/"
STUDIED = "kodakdb"  # the study's database: of several, it is taken
STRIP = 1 << 22  # pixels of an image of colours that are made grey at a time


def load_images(
    name_database: str = "sample",
    datapath: str | Path = "database",
    height: int = 256,
    width: int = 256,
    n_image: int | None = None,
    rng: np.random.Generator | None = None,
    color: bool = False,
) -> list[tuple[str, np.ndarray]]:
    """Load the images of a database, each at least height x width.

    Parameters
    ----------
    name_database : str, default='sample'
        'sample', the photographs that scikit-learn ships; 'dead_leaves', synthetic (see
        `dead_leaves`); or the name of a folder of files in `datapath`, or of one file.
        database/README.md lists the formats.
    datapath : str or Path, default='database'
        The folder of such folders.
    height, width : int, default=256
        Pixels that an image has at least.
    n_image : int, default=None
        The number of images, chosen by `rng`; None is all (dead_leaves: 16).
    rng : Generator, default=None
        None is a new one.
    color : bool, default=False
        Whether to keep colours.

    Returns
    -------
    images : list of (name, array of float64)
        Grey levels (rows, columns) as of `to_grey`, or colours (rows, columns, 3) as of
        `to_color`.

    Raises
    ------
    FileNotFoundError
        If the folder is missing or holds no usable image; the message lists what is there.
    ValueError
        If there are fewer than n_image images.

    Warns
    -----
    UserWarning
        For each file that is skipped, or of which images are skipped, with the reason.
    """
    rng = np.random.default_rng() if rng is None else rng
    if name_database == "sample":
        images = _sample_images(color)
    elif name_database == "dead_leaves":
        shape = max(height, 64), max(width, 64)
        leaves = [dead_leaves(*shape, rng, color) for _ in range(n_image or 16)]
        images = [(f"dead_leaves_{i}", image) for i, image in enumerate(leaves)]
    else:
        images = _folder_images(Path(datapath) / name_database, height, width, color)
    if n_image is None or n_image == len(images):
        return images
    if n_image > len(images):
        raise ValueError(
            f"n_image must be at most {len(images)}, the images of {name_database!r}, not {n_image}"
        )
    return [images[i] for i in np.sort(rng.choice(len(images), n_image, replace=False))]


@checked
def choose_database(
    name_database: str | None, datapath: PathLike = DATAPATH
) -> tuple[str | Path, str]:
    """Return (datapath, name_database) of the images that a user named.

    Parameters
    ----------
    name_database : str or None
        If None, the only database in `datapath` (see `find_database`), or the photographs that
        scikit-learn ships if `datapath` has its default.
    datapath : str or Path, default='database/'
        A folder of images, or of such folders.
    """
    if name_database is not None:
        return datapath, name_database
    if Path(datapath) == Path(DATAPATH):
        return datapath, "sample"
    folder, name = find_database(datapath)
    return str(folder), name


def find_database(datapath: str | Path) -> tuple[Path, str]:
    """Return the folder of databases and the only database in it.

    A folder of images is a database itself, and so is one file.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no image in it.
    ValueError
        If there are several databases; the message lists them.
    """
    folder = Path(datapath)
    itself = folder.resolve().parent, folder.resolve().name
    if folder.is_file():
        return itself
    if not folder.is_dir():
        raise FileNotFoundError(
            f"datapath must be a folder or a file, but there is none at {folder}"
        )
    if _holds_images(folder, PICTURES):
        return itself
    found = sorted(path.name for path in folder.iterdir() if path.is_dir() and _holds_images(path))
    if not found and _holds_images(folder):  # arrays may also be beside databases
        return itself
    if not found:
        raise FileNotFoundError(f"datapath must hold a folder of images, but {folder} holds none")
    if STUDIED in found:
        return folder, STUDIED
    if len(found) > 1:
        raise ValueError(f"name_database must be one of {', '.join(found)}, which {folder} holds")
    return folder, found[0]


def files_of(database: Path, suffixes: Iterable[str] = READERS) -> list[Path]:
    """List the files of a database, a folder or one file, whose suffixes can be read."""
    if not database.is_dir():
        return [database]
    return sorted(path for path in database.iterdir() if path.suffix.lower() in suffixes)


def _holds_images(folder, suffixes=READERS):
    """Whether a folder has a file with one of the suffixes."""
    return bool(files_of(folder, suffixes))


def _sample_images(color):
    """The photographs that scikit-learn ships."""
    from sklearn.datasets import load_sample_image

    scale = to_color if color else to_grey
    return [(name, scale(load_sample_image(name))) for name in ("china.jpg", "flower.jpg")]


def _folder_images(folder, height, width, color):
    """The images of a folder by name; those that cannot be used are skipped with a warning."""
    if not folder.exists():
        there = (
            sorted(path.name for path in folder.parent.iterdir()) if folder.parent.is_dir() else []
        )
        raise FileNotFoundError(
            "name_database must be 'sample', 'dead_leaves', or a folder or file in "
            f"{folder.parent}, which holds {', '.join(there) or 'nothing'}, not "
            f"{folder.name!r}. For images elsewhere, pass datapath alone."
        )
    images = []
    for path in files_of(folder):
        found, errors = _usable_images(path, height, width, color)
        images += [(path.name + index, image) for index, image in found]
        if errors:
            some = f"{len(errors)} images of " if found else ""
            warnings.warn(f"skipped {some}{printable(path)}: {errors[0]}", stacklevel=3)
    if not images:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
        raise FileNotFoundError(
            f"There is no usable image of at least {height} x {width} pixels in {folder}, which "
            f"holds {there}. Pass a smaller height and width; sounds need height=1, patch_height=1."
        )
    return images


def _usable_images(path, height, width, color):
    """(images (index, image) of a file that can be used, why the others cannot)."""
    found, errors = [], []
    try:
        for index, pixels in read_pixels(path):
            try:
                found.append((index, _check_pixels(pixels, height, width, color)))
            except ValueError as error:
                errors.append(f"{index} {error}".strip())
    except ValueError as error:
        errors.append(str(error))
    return found, errors


def _check_pixels(pixels, height, width, color):
    """Return pixels as grey levels or colours, if there are enough of them, and of two values."""
    if pixels.shape[1] < width or pixels.shape[0] < height:
        size = " x ".join(map(str, pixels.shape[:2]))
        raise ValueError(f"its {size} pixels are fewer than {height} x {width}")
    image = (to_color if color else to_grey)(pixels)
    if not np.isfinite(image).all():
        raise ValueError("it holds NaN or infinity")
    if np.ptp(image) <= 1e-9 * np.abs(image).max():
        raise ValueError("it is constant")
    return image


def read_images(
    path: str | Path, height: int = 1, width: int = 1, color: bool = False
) -> list[tuple[str, np.ndarray]]:
    """Read all images of a file, as of `read_image`: (index, image), the index "" for one alone.

    Parameters
    ----------
    path : str or Path
        A file of one of the formats in database/README.md.
    height, width : int, default=1
        Pixels that an image must have at least.
    color : bool, default=False
        Whether to keep colours.

    Raises
    ------
    ValueError
        With the reason, if an image cannot be used.
    """
    found, errors = _usable_images(path, height, width, color)
    if errors:
        raise ValueError(errors[0])
    return found


@checked
def read_image(
    path: PathLike, height: Count = 1, width: Count = 1, color: Flag = False
) -> np.ndarray:
    """Read the only image of a file.

    Integers of any depth keep it, in grey and in colour (16 bits of colour need the extra
    `images`).  Palettes are looked up, and transparency is left out.  The image is turned as its
    EXIF data say; of several frames the first is read.

    Parameters
    ----------
    path : str or Path
        A file of one of the formats in database/README.md.
    height, width : int, default=1
        Pixels that the image must have at least.
    color : bool, default=False
        Whether to keep colours.  A grey image then has three equal channels.

    Returns
    -------
    image : array of shape (rows, columns) or (rows, columns, 3), float64
        As of `to_grey` or `to_color`.

    Raises
    ------
    ValueError
        With the reason, if it is no such file, truncated, too large, smaller than height x width,
        constant, holds NaN, or holds several images.
    """
    images = read_images(path, height, width, color)
    if len(images) > 1:
        raise ValueError(f"it holds {len(images)} images, but one is needed. Use read_images.")
    return images[0][1]


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Return 0.2989 R + 0.5870 G + 0.1140 B of colours, and greys unchanged, scaled to 0..1 by
    their type.

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
    pixels, most = _check_levels(pixels)
    if pixels.ndim == 2:
        return pixels.astype(float) / most
    size = max(1, STRIP // max(1, pixels.shape[1]))  # all at once would take 24 bytes a pixel
    strips = [slice(start, start + size) for start in range(0, len(pixels), size)]
    grey = np.empty(pixels.shape[:2])
    for rows in strips:
        grey[rows] = pixels[rows, :, :3] @ GREY
        grey[rows] /= most
    return grey


def to_color(pixels: np.ndarray) -> np.ndarray:
    """Return red, green and blue, scaled to 0..1 by their type as in `to_grey`.

    Parameters
    ----------
    pixels : array of shape (rows, columns) or (rows, columns, n_channels)
        Grey, which becomes three equal channels, or red, green, blue; further channels are left
        out.

    Returns
    -------
    color : array of shape (rows, columns, 3), float64

    Raises
    ------
    ValueError
        As in `to_grey`.

    Examples
    --------
    >>> to_color(np.array([[0, 51, 255]], np.uint8)).shape
    (1, 3, 3)
    """
    pixels, most = _check_levels(pixels)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels[:, :, :3].astype(float) / most


def _check_levels(pixels):
    """(pixels, the largest value of their type) of a grey or colour image."""
    pixels = as_array(pixels, "pixels")
    is_color = pixels.ndim == 3 and pixels.shape[2] >= len(GREY)
    if pixels.ndim != 2 and not is_color:
        raise ValueError(
            f"pixels must have shape (rows, columns) or (rows, columns, at least 3 channels), "
            f"not {pixels.shape}"
        )
    if is_color and pixels.shape[0] in (1, 3, 4) and pixels.shape[2] > 4:
        n, rows, columns = pixels.shape
        raise ValueError(
            f"pixels of shape {pixels.shape} may be {n} channels of {rows} x {columns} pixels, or "
            f"{n} x {rows} pixels of {columns} channels. Move the channels to the last axis by "
            f"np.moveaxis(pixels, 0, -1), or leave out all but 3 or 4 of them"
        )
    return pixels, np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1


@checked
def dead_leaves(
    height: Count, width: Count, rng: np.random.Generator, color: Flag = False
) -> np.ndarray:
    """Draw an image of discs that occlude one another, with the statistics of natural scenes.

    Radii have the density r^-3 between 2 pixels and a third of the image, positions and grey levels
    are uniform, and each disc covers those before it.

    Parameters
    ----------
    height, width : int
        Pixels.
    rng : Generator
        Draws the discs.
    color : bool, default=False
        Whether discs have colours.

    Returns
    -------
    image : array of shape (height, width), or (height, width, 3) in colour, float64
        Levels in [0, 1].

    References
    ----------
    Lee, Mumford & Huang (2001), Int. J. Comput. Vision 41.
    """
    check_memory(8 * height * width, "height x width", (height, width))
    least, most = 2.0, max(4.0, min(height, width) / 3)
    n_leaves = max(200, 8 * height * width // 64)
    draws = rng.random((n_leaves, 6 if color else 4))
    radii = (least**-2 + draws[:, 0] * (most**-2 - least**-2)) ** -0.5
    rows = draws[:, 1] * (height + 2 * most) - most
    columns = draws[:, 2] * (width + 2 * most) - most
    image = np.full((height, width, 3) if color else (height, width), 0.5)
    levels = draws[:, 3:] if color else draws[:, 3]
    for radius, row, column, level in zip(radii, rows, columns, levels, strict=True):
        top, bottom = max(0, int(row - radius)), min(height, int(row + radius) + 2)
        left, right = max(0, int(column - radius)), min(width, int(column + radius) + 2)
        if top < bottom and left < right:
            y, x = np.ogrid[top:bottom, left:right]
            image[top:bottom, left:right][(y - row) ** 2 + (x - column) ** 2 <= radius**2] = level
    return image


__all__ = [
    "BUILT_IN",
    "DATAPATH",
    "choose_database",
    "dead_leaves",
    "find_database",
    "load_images",
    "read_image",
    "read_images",
    "to_color",
    "to_grey",
]
