"""Results on disk, each a file under the hash of all that made it, written atomically, no pickle.

A file is an uncompressed npz: arrays under their names, and under `__json__` a JSON text with
everything else and a checksum.  Two processes that write the same entry write the same content, and
the last rename wins: no locks.
"""

import hashlib
import io
import json
import os
import secrets
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    pass

SCHEMA = 1
# Raise it when the same parameters and data give other results: old entries are then not used.
ALGORITHM = 3
JSON_KEY = "__json__"
DEFAULT_FOLDER = "cache_dir"


# ----------------------------------------------------------------------------------------- one file


def write(path: str | Path, arrays: Mapping[str, np.ndarray], info: Mapping) -> None:
    """Write arrays and info to path, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Its folder is made if missing.
    arrays : mapping of names to arrays
    info : mapping of names to JSON values
        NumPy scalars and arrays, and paths, become JSON values.

    Raises
    ------
    OSError
        With the path and the bytes needed, if the folder cannot be written or is full; an old file
        stays as it is.
    """
    path = Path(path)
    text = json.dumps({**info, "schema": SCHEMA, "checksum": digest(arrays)}, default=_to_json)
    n_bytes = sum(np.asarray(array).nbytes for array in arrays.values()) + len(text)
    arrays = {**arrays, JSON_KEY: np.frombuffer(text.encode(), np.uint8)}
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{os.getpid()}-{secrets.token_hex(8)}.part"
        with open(temporary, "xb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write {path} ({n_bytes} bytes needed): {error.strerror}"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder):
    """Make a rename in folder last through a power cut, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _to_json(value):
    """NumPy scalars and arrays, and paths, as JSON values."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written as JSON")


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """The (arrays, info) that `write` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, not one of ours, or of a newer schema.
    """
    arrays = _read_members(path)
    info = _parse_info(path, arrays)
    if digest(arrays) != info.pop("checksum", None):
        raise ValueError(f"{path} is damaged: its content does not match its checksum")
    return arrays, info


def read_info(path: str | Path) -> dict:
    """The info of a file alone, without its arrays; errors as in `read`."""
    info = _parse_info(path, _read_members(path, only=JSON_KEY))
    info.pop("checksum", None)
    return info


def _read_members(path, only=None):
    """{name: array} of a file, every size checked before memory is taken for it."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                member.filename.removesuffix(".npy"): member for member in archive.infolist()
            }
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
                raise ValueError("a member is compressed")
            names = members if only is None else [only]
            return {name: _read_array(archive.read(members[name])) for name in names}
    except FileNotFoundError:
        raise
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(f"{path} is damaged or was not written by shl: {error}") from error


def _read_array(content):
    """The array of an npy text whose header does not promise more than it holds."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = header(file)
    if (
        dtype.hasobject
        or int(np.prod(shape, dtype=object)) * dtype.itemsize != len(content) - file.tell()
    ):
        raise ValueError("the size of an array is not that of its header")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _parse_info(path, arrays):
    """The info among a file's arrays, taken out of them."""
    try:
        info = json.loads(arrays.pop(JSON_KEY).tobytes())
        schema = info["schema"]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged or was not written by shl: {error}") from error
    if schema > SCHEMA:
        raise ValueError(
            f"{path} has schema {schema}, this version reads up to {SCHEMA}: update shl"
        )
    return info


def take(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Take the arrays whose names begin so, out of the dict; the names without the prefix."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def digest(arrays: np.ndarray | dict[str, np.ndarray]) -> str:
    """A hash of an array, or of a mapping of them: names, dtypes, shapes and content."""
    hasher = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()) if isinstance(arrays, dict) else [("", arrays)]:
        array = np.ascontiguousarray(array)
        hasher.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        hasher.update(array.reshape(-1).view(np.uint8))
    return hasher.hexdigest()


def key_of(parameters: Mapping) -> str:
    """The hash of parameters and of the version of the algorithms.

    NumPy scalars count as Python's, order does not count, arrays count by their content.
    """
    return hashlib.blake2b(
        _canonical({**parameters, "algorithm_version": ALGORITHM}).encode(), digest_size=16
    ).hexdigest()


def _canonical(value):
    """A text that is equal for equal parameters."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"array {digest(value)}"
    value = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, Path):
        return repr(str(value))
    attributes = _canonical(vars(value)) if hasattr(value, "__dict__") else repr(value)
    return f"{type(value).__module__}.{type(value).__qualname__} {attributes}"


# --------------------------------------------------------------------------------- a folder of them


def open_store(cache_dir: str | Path | None = DEFAULT_FOLDER) -> "Store | None":
    """The `Store` of a folder; None is no store.

    The default folder gives way to the environment's SHL_CACHE_DIR.
    """
    if cache_dir is None:
        return None
    if cache_dir == DEFAULT_FOLDER:
        cache_dir = os.environ.get("SHL_CACHE_DIR") or DEFAULT_FOLDER
    return Store(cache_dir)


class Store:
    """A folder of results.

    A damaged entry is set aside as `.bad` with a warning and counts as missing.

    Parameters
    ----------
    folder : str or Path
        Made by the first entry.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, kind: str, key: str, tag: str | None = "") -> Path:
        """The file of an entry: tag-kind-key.npz, where the tag is for readers alone."""
        readable = "".join(char if char.isalnum() or char in "._=" else "_" for char in tag or "")
        return self.folder / f"{readable[:80] + '-' if readable else ''}{kind}-{key}.npz"

    def get(self, path: str | Path, reader: Callable[[str | Path], Any] = read) -> Any:
        """What `reader` finds at path, or None where there is no usable entry."""
        try:
            return reader(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            aside = f"{path}.bad"
            warnings.warn(f"{error}; it is set aside as {aside} and made again", stacklevel=3)
            try:
                os.replace(path, aside)
            except FileNotFoundError:  # another process was faster
                return None
            return None

    def put(self, path: str | Path, arrays: Mapping[str, np.ndarray], info: Mapping) -> None:
        """Write an entry, see `write`."""
        write(path, arrays, info)

    def entries(self) -> list[dict]:
        """A dict for each entry, oldest first: path, bytes, age in seconds."""
        now, found = time.time(), []
        for path in sorted(self.folder.glob("*.npz")):
            try:
                status = path.stat()
            except FileNotFoundError:  # removed meanwhile
                continue
            found.append({"path": str(path), "bytes": status.st_size, "age": now - status.st_mtime})
        return sorted(found, key=lambda entry: -entry["age"])

    def clear(self, older_than: float = 0.0) -> list[str]:
        """Remove what is older than so many seconds: entries, files set aside, left-overs.

        Returns the paths of what was removed.
        """
        removed, now = [], time.time()
        for pattern in ("*.npz", "*.npz.bad", ".*.part"):
            for path in self.folder.glob(pattern):
                if now - path.stat().st_mtime >= older_than:
                    path.unlink(missing_ok=True)
                    removed.append(str(path))
        return removed

    def verify(self) -> dict[str, str]:
        """Read every entry; return {path: error} of those that are damaged."""
        damaged = {}
        for entry in self.entries():
            try:
                read(entry["path"])
            except ValueError as error:
                damaged[entry["path"]] = str(error)
        return damaged
