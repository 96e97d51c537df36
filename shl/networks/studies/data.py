"""Images and their labels: what scikit-learn ships or downloads, and files as people have them."""

import gzip
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from ..._base.checks import check_array, check_count
from ...store.files import digest

NAMES = ("digits", "mnist")
WANTED = "'digits', 'mnist', an .npz file with X and y, or a folder of IDX files"
MOST_IMAGES = 10_000  # of a larger set, unless more are asked for: studies then end in minutes
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class Images(NamedTuple):
    """Pixels in 0..1 (-1..1 where some are below 0), labels, and (height, width); read-only."""

    X: np.ndarray  # (n, n_pixels) float32
    y: np.ndarray  # (n,)
    shape: tuple[int, int]


def load_images(data: str = "digits") -> Images:
    """The images that a name, file or folder stands for.

    Parameters
    ----------
    data : str, default='digits'
        'digits' (ships with scikit-learn); 'mnist' (`sklearn.datasets.fetch_openml`, which keeps
        what it downloaded); a file .npz with X (n, n_pixels) or (n, height, width) and y (n,); or a
        folder of IDX files, pairs such as train-images-idx3-ubyte and train-labels-idx1-ubyte, one
        after the other, .gz or not.

    Raises
    ------
    ValueError, TypeError
        For what is none of these, with the file and what is wrong.
    OSError
        Where MNIST cannot be downloaded, with what to do.
    """
    path = Path(data)
    return _load(data, None if data in NAMES or not path.exists() else path.stat().st_mtime_ns)


@lru_cache(maxsize=2)  # to read MNIST takes longer than many a run
def _load(data, changed):
    """The images of files as they were changed last."""
    if data == "digits":
        from sklearn.datasets import load_digits

        return _make_images(*load_digits(return_X_y=True), "digits")
    if data == "mnist":
        return _download_mnist()
    path = Path(data)
    if path.is_dir():
        return _make_images(*_read_folder(path), data)
    if path.suffix != ".npz" or not path.is_file():
        raise ValueError(f"data must be {WANTED}, not {data!r}")
    return _make_images(*_read_npz(path), data)


def _download_mnist():
    """MNIST from OpenML, or what to do without it."""
    from sklearn.datasets import fetch_openml

    try:
        X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
    except OSError as error:
        raise OSError(
            f"mnist cannot be downloaded from OpenML ({error}): where there is a copy of it, give "
            "its folder of IDX files, or an .npz file with X and y, as data (--data PATH)"
        ) from error
    return _make_images(X, y.astype(int), "mnist")


def _read_npz(path):
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
    """The array of an IDX file (LeCun's format of MNIST), compressed or not.

    Two bytes 0, a byte for the type, one for the number of axes, their lengths as big-endian
    integers of four bytes, then the values.

    Raises
    ------
    ValueError
        For another format, or a file that is cut off or too long.
    """
    path = Path(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read()
    except EOFError as error:
        raise ValueError(f"{path} is cut off: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise ValueError(f"{path} is not an IDX file: it begins with {content[:4]!r}")
    start = 4 + 4 * content[3]
    shape = tuple(int(length) for length in np.frombuffer(content[4:start], ">u4"))
    dtype = np.dtype(IDX_TYPES[content[2]])
    n_bytes = math.prod(shape) * dtype.itemsize
    if len(shape) != content[3] or len(content) - start != n_bytes:
        raise ValueError(
            f"{path} has {max(0, len(content) - start)} bytes of values, not {n_bytes} for {shape}"
        )
    return np.frombuffer(content[start:], dtype).reshape(shape)


def _make_images(X, y, source):
    """`Images` of arrays, divided by the largest value."""
    if y.ndim != 1 or len(X) != len(y) or y.dtype.kind == "O":
        raise ValueError(
            f"{source} must have as many labels y as images X, not shapes {y.shape} and {X.shape}"
        )
    shape = X.shape[1:] if X.ndim == 3 else None
    X = check_array(X.reshape(len(X), -1), f"X of {source}", ndim=2, dtype=np.float32)
    shape = shape or _shape_of(X.shape[1])
    X = X / (abs(X).max() or 1)
    y = np.array(y)
    X.flags.writeable = y.flags.writeable = False
    return Images(X, y, shape)


def _shape_of(n_pixels):
    """A square where that is possible, else a row."""
    width = math.isqrt(n_pixels)
    return (width, width) if width**2 == n_pixels else (1, n_pixels)


def split_images(data: str, seed: int, n_samples: int | None = None) -> list[np.ndarray]:
    """(X, X_test, y, y_test) of images, a quarter held out, each class in equal shares.

    Parameters
    ----------
    data : str
        See `load_images`.
    seed : int
        Decides the split.
    n_samples : int, default=None
        Images to draw, all where there are fewer; None is 10,000.
    """
    from sklearn.model_selection import train_test_split

    X, y, _ = load_images(data)
    most = check_count(n_samples, "n_samples", least=8, is_optional=True) or MOST_IMAGES
    if len(X) > most:
        X, _, y, _ = train_test_split(X, y, train_size=most, random_state=seed, stratify=y)
    return train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)


def draw_patches(
    data: str, shape: tuple[int, int], n_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Patches (n_samples, height * width) of images at random places, float32, none of them
    constant; together they have mean 0 and variance 1.

    Data of height * width columns in no other shape are taken as they are, a row drawn once.

    Raises
    ------
    ValueError
        For images too small, constant, or too few.
    """
    images, (height, width) = load_images(data), shape
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
    images = load_images(data)
    return digest({"X": images.X, "y": images.y})


def name_of(data: str) -> str:
    """A name for files and titles."""
    return data if data in NAMES else Path(data).stem
