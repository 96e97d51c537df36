"""Samples and their labels: what scikit-learn ships or downloads, and files as people have them."""

import gzip
import hashlib
import math
import re
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple
from zipfile import BadZipFile

import numpy as np

from ..._base import constraints as of
from ..._base.checks import check_array
from ...store.files import digest

NAMES = ("digits", "mnist", "diabetes")
WANTED = "'digits', 'mnist', 'diabetes', an .npz file with X and y, or a folder of IDX files"
MOST_IMAGES = 10_000  # of a larger set, unless more are asked for: studies then end in minutes
PART = 1 << 24  # bytes that are read at a time
SampleCount = Annotated[int, of.count(8)]
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class Labelled(NamedTuple):
    """Inputs divided by the largest absolute value, labels or targets, and (height, width) of an
    image; the arrays are read-only.
    """

    X: np.ndarray  # (n, n_inputs) float32
    y: np.ndarray  # (n,)
    shape: tuple[int, int]
    is_regression: bool  # whether y are targets: floats that are not all whole, or diabetes


def load_labelled(data: str = "digits") -> Labelled:
    """Load the samples that a name, file or folder stands for.

    Parameters
    ----------
    data : str, default='digits'
        'digits' and 'diabetes' ship with scikit-learn.  'mnist' is downloaded by
        `sklearn.datasets.fetch_openml`, which stores it.  A file .npz has X (n, n_inputs) or
        (n, height, width) and y (n,).  A folder has pairs of IDX files such as
        train-images-idx3-ubyte and train-labels-idx1-ubyte, compressed (.gz) or not.

    Raises
    ------
    ValueError, TypeError
        If data is none of these; the message names the file and what is wrong.
    OSError
        If MNIST cannot be downloaded; the message says what to do.
    """
    if data in NAMES:
        return _load_content(data, ())
    path = Path(data)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return _load_content(data, tuple(_digest_of(file) for file in files if file.is_file()))


def _digest_of(path):
    """The hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


@lru_cache(maxsize=2)  # to read MNIST takes longer than many a run
def _load_content(data, contents):
    """The samples of files with these contents."""
    if data == "mnist":
        return _download_mnist()
    if data in NAMES:
        from sklearn import datasets

        return _make_labelled(*getattr(datasets, f"load_{data}")(return_X_y=True), data)
    path = Path(data)
    if path.is_dir():
        return _make_labelled(*_read_folder(path), data)
    if path.suffix != ".npz" or not path.is_file():
        raise ValueError(f"data must be {WANTED}, not {data!r}")
    return _make_labelled(*_read_labelled(path), data)


def _download_mnist():
    """MNIST from OpenML, or what to do without it."""
    from sklearn.datasets import fetch_openml

    try:
        X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
    except OSError as error:
        raise OSError(
            f"mnist cannot be downloaded from OpenML ({error}). Give a folder of its "
            "IDX files, or an .npz file with X and y, as data (--data PATH)."
        ) from error
    return _make_labelled(X, y.astype(int), "mnist")


def _read_labelled(path):
    """(X, y) of a file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not {"X", "y"} <= set(arrays):
                raise ValueError(f"it has {', '.join(arrays) or 'nothing'}, not X and y")
            return arrays["X"], arrays["y"]
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise ValueError(f"{path} is not an .npz file with X and y: {error}") from error


def _read_folder(folder):
    """(X, y) of all pairs of IDX files of a folder."""
    names = {path.name: path for path in sorted(folder.iterdir())}
    pairs = []
    for name, path in names.items():
        labels = re.sub(r"images([-.])idx3", r"labels\1idx1", name)
        if labels != name and labels in names:
            pairs.append((read_idx(path), read_idx(names[labels])))
    if not pairs:
        raise ValueError(
            f"{folder} has no pair of IDX files such as train-images-idx3-ubyte and "
            "train-labels-idx1-ubyte (or both with .gz)"
        )
    shapes = {images.shape[1:] for images, _ in pairs}
    if len(shapes) > 1:
        raise ValueError(f"{folder} has images of several shapes: {sorted(shapes)}")
    return tuple(np.concatenate(part) for part in zip(*pairs, strict=True))


def read_idx(path: str | Path) -> np.ndarray:
    """Read the array of an IDX file (LeCun's format of MNIST), compressed or not.

    The file has two bytes 0, a byte for the type, one for the number of axes, the lengths of the
    axes as big-endian integers of four bytes, then the values.

    Raises
    ------
    ValueError
        If the file is of another format, damaged, cut off or too long, or no regular file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a regular file, but an IDX file is required.")
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return _read_values(path, file)
    except EOFError as error:
        raise ValueError(f"{path} is cut off: {error}") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is a damaged .gz file: {error}") from error


def _read_values(path, file):
    """The array of an open IDX file; little more is read than its header says."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES:
        raise ValueError(f"{path} is not an IDX file: it begins with {start!r}")
    head, dtype = file.read(4 * start[3]), np.dtype(IDX_TYPES[start[2]])
    shape = tuple(int(n) for n in np.frombuffer(head[: len(head) // 4 * 4], ">u4"))
    n_bytes, content = math.prod(shape) * dtype.itemsize, bytearray()
    # In parts: the header may ask for more than there is memory.
    while len(shape) == start[3] and len(content) <= n_bytes and (part := file.read(PART)):
        content += part
    if len(shape) != start[3] or len(content) != n_bytes:
        found = "more" if len(content) > n_bytes else len(content)
        raise ValueError(f"{path} has {found} bytes of values, not {n_bytes} for {shape}")
    return np.frombuffer(bytes(content), dtype).reshape(shape)


def _make_labelled(X, y, source):
    """`Labelled` of arrays, X divided by the largest value."""
    if y.ndim != 1 or len(X) != len(y) or y.dtype.kind == "O":
        raise ValueError(
            f"{source} must have as many labels y as images X, not shapes {y.shape} and {X.shape}"
        )
    shape = X.shape[1:] if X.ndim == 3 else None
    X = check_array(X.reshape(len(X), -1), f"X of {source}", ndim=2, dtype=np.float32)
    if y.dtype.kind == "f":
        check_array(y, f"y of {source}", ndim=1)
    shape = shape or _shape_of(X.shape[1])
    X = X / (abs(X).max() or 1)
    y = np.array(y)
    X.flags.writeable = y.flags.writeable = False
    is_regression = y.dtype.kind == "f" and bool((y != np.round(y)).any())
    return Labelled(X, y, shape, is_regression or source == "diabetes")


def _shape_of(n_pixels):
    """A square where that is possible, else a row."""
    width = math.isqrt(n_pixels)
    return (width, width) if width**2 == n_pixels else (1, n_pixels)


@of.checked
def split(
    data: str, seed: int, n_samples: SampleCount | None = None, takes_targets: bool = False
) -> list[np.ndarray]:
    """Return (X, X_test, y, y_test) of samples, a quarter held out.

    Each class is held out in equal shares.  Inputs and targets of a regression are standardised by
    the training part.

    Parameters
    ----------
    data : str
        See `load_labelled`.
    seed : int
        Decides the split.
    n_samples : int, default=None
        Samples to draw, all if there are fewer.  None is 10,000.
    takes_targets : bool, default=False
        Whether y may be targets of a regression.

    Raises
    ------
    ValueError
        If y are targets, but classes are needed.
    """
    from sklearn.model_selection import train_test_split

    X, y, _, is_regression = load_labelled(data)
    if is_regression and not takes_targets:
        raise ValueError(
            f"data {data!r} has targets of a regression (y from {y.min():g} to {y.max():g}), but "
            "classes are required. Use shl group-sparsity, or give whole numbers as y."
        )
    most = n_samples or MOST_IMAGES
    if len(X) > most:
        classes = None if is_regression else y
        X, _, y, _ = train_test_split(X, y, train_size=most, random_state=seed, stratify=classes)
    classes = None if is_regression else y
    parts = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=classes)
    return _standardise(*parts) if is_regression else parts


def _standardise(X, X_test, y, y_test):
    """The parts of a split, X and y with mean 0 and variance 1 over the training part."""
    parts = []
    for part, test in ((X, X_test), (y, y_test)):
        mean, std = part.mean(axis=0, dtype=float), part.std(axis=0, dtype=float)
        parts += [(each - mean) / np.where(std > 0, std, 1) for each in (part, test)]
    return [*(part.astype(np.float32) for part in parts[:2]), *parts[2:]]


def draw_inputs(
    data: str, shape: tuple[int, int], n_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw patches (n_samples, height * width) of images at random places, float32, none of them
    constant; together they have mean 0 and variance 1.

    Data of height * width columns in no other shape are taken as they are, a row drawn once.

    Raises
    ------
    ValueError
        If the images are too small, constant, or too few.
    """
    images, (height, width) = load_labelled(data), shape
    if images.X.shape[1] == height * width:
        found = _draw_rows(images.X, data, n_samples, rng)
    else:
        found = _draw_from_images(images, data, shape, n_samples, rng)
    return (found - found.mean()) / found.std()


def _draw_rows(X, data, n_samples, rng):
    """Some rows that are not constant."""
    X = X[np.ptp(X, axis=1) > 0]
    if len(X) < n_samples:
        raise ValueError(f"{data} must have {n_samples} rows that are not constant, not {len(X)}")
    return rng.permutation(X)[:n_samples]


def _draw_from_images(images, data, shape, n_samples, rng):
    """Patches that are not constant, where a hundred draws each find them."""
    X = images.X.reshape(-1, *images.shape)
    if images.shape[0] < shape[0] or images.shape[1] < shape[1]:
        raise ValueError(f"{data} must have images of at least {shape}, not {images.shape}")
    windows = np.lib.stride_tricks.sliding_window_view(X, shape, axis=(1, 2))
    found = np.empty((0, shape[0] * shape[1]), np.float32)
    for _ in range(100):
        chosen = tuple(rng.integers(0, length, n_samples) for length in windows.shape[:3])
        patches = windows[chosen].reshape(n_samples, -1)
        found = np.concatenate([found, patches[np.ptp(patches, axis=1) > 0]])
        if len(found) >= n_samples:
            return found[:n_samples]
    raise ValueError(f"{data} has too few patches of {shape} pixels that are not constant")


def identity_of(data: str) -> str | None:
    """What decides the results of files, whose content may change: its hash; None for names."""
    if data in NAMES:
        return None
    images = load_labelled(data)
    return digest({"X": images.X, "y": images.y})


def name_of(data: str) -> str:
    """A name for files and titles."""
    return data if data in NAMES else Path(data).stem
