"""Files of images and signals: a reader for each suffix.

A reader takes a path and returns named arrays: {"": pixels} for a file of one image.  To add a
format, write such a function and name it in `READERS`.
"""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from .._base.checks import check_memory

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # others, as PostScript, start programs
MOST_PIXELS = 100_000_000  # of an image file: more is rejected before it is decoded
WIDTH, HEIGHT, BITS_PER_SAMPLE, ORIENTATION, SAMPLE_FORMAT = 256, 257, 258, 274, 339  # tags
NUMBERS = ("single", "double", "logical", "int8", "int16", "int32", "int64")  # of MATLAB
NUMBERS += ("uint8", "uint16", "uint32", "uint64")
HDF = b"\x89HDF\r\n\x1a\n"  # where a file of HDF5 begins
VAN_HATEREN = (1024, 1536)  # rows and columns of van Hateren's images


class Unusable(ValueError):
    """A file that is whole, and cannot be used."""


# ------------------------------------------------------------------------------------------ images


def _read_picture(path):
    """Read an image, turned as it is to be seen; of several frames the first."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is checked
            image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        return {"": _read_unknown_tiff(path)}
    with image:
        _refuse_large(image.width, image.height)
        is_png, shape = image.format == "PNG", (image.height, image.width)
        pixels = _read_deep_colors(path, is_png, shape) if _is_deep(image) else _decode(image)
        return {"": _turn(pixels, image.getexif().get(ORIENTATION, 1))}


def _refuse_large(width, height):
    """An error for more pixels than an image may have, before they are decoded."""
    if width * height > MOST_PIXELS:
        raise Unusable(f"{width} x {height} pixels are more than {MOST_PIXELS}")


def _read_unknown_tiff(path):
    """Read a TIFF that Pillow does not know, such as floats in colour."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with open(path, "rb") as file:
        head = file.read(8)
        if head[:4] not in (b"II*\0", b"MM\0*"):
            raise Unusable(f"it is not an image of the formats {', '.join(FORMATS)}")
        tags = ImageFileDirectory_v2(head)
        file.seek(tags.next)
        tags.load(file)
    _refuse_large(tags[WIDTH], tags[HEIGHT])
    pixels = _read_deep_colors(path, False, (tags[HEIGHT], tags[WIDTH]))
    return _turn(pixels, tags.get(ORIENTATION, 1))


def _is_deep(image):
    """Whether an image has channels of 16 bits, of which Pillow keeps 8."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))
        return len(bits) > 1 and max(bits) > 8
    return (
        image.format == "PNG"
        and any(";16" in str(tile[3]) for tile in image.tile)
        and (not image.mode.startswith("I"))
    )


def _read_deep_colors(path, is_png, shape):
    """Read an image of several channels of 16 bits or of floats, a PNG or a TIFF."""
    try:
        import imagecodecs
    except ModuleNotFoundError as error:
        raise Unusable(
            "it has colours of more than 8 bits, which need imagecodecs: pip install imagecodecs"
        ) from error

    decode = imagecodecs.png_decode if is_png else imagecodecs.tiff_decode
    pixels = decode(path.read_bytes())
    if pixels.shape[:2] != shape:  # one plane for each channel
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels if pixels.shape[-1] > 2 else pixels[:, :, 0]  # two channels: grey and opacity


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


def _turn(pixels, orientation):
    """Pixels as EXIF's orientation 1 to 8 wants them to be seen; others are left as they are."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def _read_van_hateren(path):
    """Read an image of van Hateren's database: 1024 x 1536 big-endian integers of 16 bits."""
    n_bytes = 2 * VAN_HATEREN[0] * VAN_HATEREN[1]
    if path.stat().st_size != n_bytes:
        raise Unusable(f"it must have {n_bytes} bytes, not {path.stat().st_size}")
    return {"": np.fromfile(path, ">u2").reshape(VAN_HATEREN)}


# ---------------------------------------------------------------------------- arrays and signals


def _read_npy(path):
    """Read an array of NumPy's."""
    return {"": np.load(path, allow_pickle=False)}


def _read_npz(path):
    """Read the arrays of an archive of NumPy's."""
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        check_memory(sum(part.file_size for part in file.zip.infolist()), "arrays", file.files)
        return {name: file[name] for name in file.files}


def _read_mat(path):
    """Read the arrays of numbers of a MATLAB file, of version 5 by SciPy, of 7.3 by h5py."""
    from scipy.io import loadmat, whosmat

    with open(path, "rb") as file:
        head = file.read(520)
    if HDF in (head[:8], head[512:]):  # version 7.3
        return _read_hdf(path)
    found = {name: shape for name, shape, kind in whosmat(path) if kind in NUMBERS}
    check_memory(8 * sum(np.prod(shape, dtype=float) for shape in found.values()), "arrays", found)
    arrays = loadmat(path, variable_names=list(found)) if found else {}
    return {name: _check_matlab(name, arrays[name]) for name in found}


def _read_hdf(path):
    """Read the arrays of numbers of a MATLAB file of version 7.3."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise Unusable("it is of version 7.3, which needs h5py: pip install h5py") from error
    with h5py.File(path) as file:
        found = {
            name: part
            for name, part in file.items()
            if isinstance(part, h5py.Dataset) and part.dtype.kind in "fiub"
        }
        check_memory(8 * sum(part.size for part in found.values()), "arrays", list(found))
        return {name: _check_matlab(name, part[()].T) for name, part in found.items()}


def _check_matlab(name, array):
    """An array whose images are along its last axis, with that axis first."""
    if array.ndim < 3 or (array.ndim == 3 and array.shape[2] in (3, 4)):
        return array
    rows, columns, *_ = array.shape
    if rows != columns == array.shape[-1]:
        count = " x ".join(map(str, array.shape))
        raise Unusable(
            f"{name} of {count} may be {array.shape[-1]} images of {rows} x {columns} "
            f"pixels, as in MATLAB, or {rows} of {columns} x {array.shape[-1]}, as in "
            "NumPy. Write it as .npy."
        )
    return np.moveaxis(array, -1, 0)


def _read_csv(path):
    """Read a table of numbers, whose first line may be a header; empty fields are NaN."""
    with open(path, encoding="utf-8-sig") as file:
        head = file.readline()
    delimiter = max(",;\t", key=head.count)
    try:
        [float(field or "nan") for field in head.strip().split(delimiter)]
        n_skipped = 0
    except ValueError:
        n_skipped = 1
    table = np.loadtxt(
        path,
        delimiter=delimiter,
        skiprows=n_skipped,
        ndmin=2,
        encoding="utf-8-sig",
        converters=lambda field: float(field or "nan"),
    )
    return {"": table}


def _read_wav(path):
    """Read a sound: one row of samples for each channel."""
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks beside the samples
        _, samples = wavfile.read(path)
    if samples.ndim == 1:
        return {"": samples[None]}
    return {f"channel {i}": channel[None] for i, channel in enumerate(samples.T)}


PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
ARRAYS = {".npy": _read_npy, ".npz": _read_npz, ".mat": _read_mat, ".csv": _read_csv}
READERS = {
    **dict.fromkeys(PICTURES, _read_picture),
    **ARRAYS,
    **dict.fromkeys((".iml", ".imc"), _read_van_hateren),
    ".wav": _read_wav,
}


def read_file(path: str | Path) -> Mapping[str, np.ndarray]:
    """Read the arrays of a file by their names, "" in a file of one.

    Parameters
    ----------
    path : str or Path
        A file whose suffix is in `READERS`.

    Raises
    ------
    ValueError
        With the reason, if the file cannot be used.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"its suffix must be one of {', '.join(READERS)}")
    if not path.is_file():  # to open a pipe would wait for ever
        raise ValueError("it is not a file")
    check_memory(path.stat().st_size, "the file", path.name)
    try:
        return reader(path)
    except (Unusable, MemoryError):
        raise
    except Exception as error:  # a damaged file raises nearly anything
        raise ValueError(f"it cannot be read ({type(error).__name__}: {error})") from error


def read_pixels(path: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read the images of a file, one after the other: (name, pixels).

    The name is "" if the file holds one image.  Pixels have shape (rows, columns) or (rows,
    columns, n_channels).  Arrays of one axis and single columns, such as labels, are left out.
    """
    arrays = read_file(path)
    is_signal = Path(path).suffix.lower() == ".wav"
    found = {
        name: array
        for name, array in arrays.items()
        if is_signal or (array.ndim > 1 and min(array.shape[:2]) > 1)
    }
    if not found:
        held = ", ".join(f"{name} {array.shape}".strip() for name, array in arrays.items())
        raise ValueError(f"it holds no image, but {held or 'nothing'}")
    for name, array in found.items():
        for index, pixels in _split(name or "its array", array):
            yield name + index, pixels


def _split(name, array):
    """The images (index, pixels) of an array of one image or of a stack."""
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)):
        return [("", array)]
    if array.ndim == 3 and array.shape[0] in (3, 4):
        n, rows, columns = array.shape
        raise Unusable(
            f"{name} of shape {array.shape} may be {n} grey images of {rows} x {columns} pixels, "
            f"or one of {n} channels. Give grey images the shape {(*array.shape, 1)}, or move the "
            f"channels to the last axis"
        )
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[:, :, :, 0]
    elif array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (3, 4)):
        raise Unusable(
            f"{name} must be of shape (rows, columns), (n_images, rows, columns), or with 3 "
            f"channels in a last axis, not {array.shape}"
        )
    return [(f"[{i}]", pixels) for i, pixels in enumerate(array)]


__all__ = ["ARRAYS", "READERS", "read_file", "read_pixels"]
