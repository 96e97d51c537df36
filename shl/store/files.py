"""One file of results: arrays and JSON values, written atomically, no pickle.

A file is an uncompressed npz.  It holds arrays under their names, a JSON text with everything else
under `__json__`, and the digest of the text under `__digest__`; zip checks the bytes of the arrays.
In a folder of results (`shl.store`) the text also names the entry that the file is.  A file in the
place of another is thus noticed.
"""

import contextlib
import encodings.cp437  # noqa: F401 - zipfile loads it when it reads, when no more file may be open
import errno
import hashlib
import io
import json
import os
import re
import secrets
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

if sys.platform != "win32":  # which does not remove an open file
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

SCHEMA = 3
JSON_KEY, DIGEST_KEY = "__json__", "__digest__"
OF_ONE_RUN = ("seconds", "cputime", "cached")  # what differs between equal runs
# tag-kind-key.npz, a checkpoint beside it, and either set aside
ENTRY = re.compile(r"(?:.*-)?([a-z_]+-[0-9a-f]{32})\.(npz|checkpoint)(\.bad)?", re.DOTALL)
PART = re.compile(r"\.(?:[0-9a-f]{8}-\d+-)?[0-9a-f]{16}\.part")  # a file that is being written


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
    TypeError
        For an array of Python objects, which only a pickle could hold.
    """
    path = Path(path)
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"{name} must be an array of numbers, not of objects: {array!r}")
    about = {**info, "schema": SCHEMA, "entry": entry_of(path)}
    text = json.dumps(about, default=_to_json).encode()
    n_bytes = sum(np.asarray(array).nbytes for array in arrays.values()) + len(text)
    members: dict[str, Any] = {**arrays}
    for name, content in ((JSON_KEY, text), (DIGEST_KEY, hash_of(text).encode())):
        members[name] = np.frombuffer(content, np.uint8)
    replace_file(path, n_bytes, lambda file: np.savez(file, **members))


def json_text(value: object) -> str:
    """A text for other programs: NaN and infinity, which JSON has not, are null, and what else it
    does not know stands as text.
    """

    def plain(part):
        if isinstance(part, dict):
            return {name: plain(member) for name, member in part.items()}
        if isinstance(part, (list, tuple)):
            return [plain(member) for member in part]
        return None if isinstance(part, float) and not np.isfinite(part) else part

    return json.dumps(plain(value), indent=1, default=str, allow_nan=False) + "\n"


def is_reproducible() -> bool:
    """Whether files hold no times, so that equal runs write equal files.

    The environment's SOURCE_DATE_EPOCH asks for this, see https://reproducible-builds.org.
    """
    return "SOURCE_DATE_EPOCH" in os.environ


def lasting(value: Any) -> Any:
    """A summary, or a part of it, without times if files are to hold none."""
    if is_reproducible() and isinstance(value, dict):
        return {name: lasting(part) for name, part in value.items() if name not in OF_ONE_RUN}
    return [lasting(part) for part in value] if isinstance(value, list) else value


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all; errors as in `write`."""
    replace_file(path, len(content), lambda file: file.write(content))


def replace_file(path: str | Path, n_bytes: int, fill: Callable[[IO[bytes]], object]) -> None:
    """Put what fill(file) writes, about n_bytes, in the place of path, whole or not at all.

    A link is followed.  What is there and is no regular file, such as a pipe, is not replaced.
    """
    part = None
    try:
        target = Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
        if os.path.lexists(target) and not stat.S_ISREG(target.lstat().st_mode):
            raise OSError(errno.EEXIST, "it is not a regular file; give another name")
        target.parent.mkdir(parents=True, exist_ok=True)
        part, file = _open_part(target.parent)
        with file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":  # Windows does not rename an open file
                file.close()
            os.replace(part, target)
        part = None
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write {path} ({n_bytes} bytes needed): {error.strerror}"
        ) from error
    finally:
        if part is not None:
            with contextlib.suppress(OSError):  # which would hide the first
                part.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _open_part(folder):
    """(path, file) of a new part, which this process holds as long as it is open."""
    while True:
        path = folder / f".{secrets.token_hex(8)}.part"
        file = path.open("x+b")  # NFS locks what may be read
        hold(file)
        if path.exists():  # else `remove_unused` was faster
            return path, file
        file.close()


def hold(file: IO[bytes]) -> None:
    """Keep an open file from `remove_unused`, of any process, until it is closed.

    The lock is the system's: it ends with its process, and holds across containers.
    """
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # a file system without locks
            flock(file, LOCK_SH)


def remove_unused(path: Path) -> None:
    """Remove a file; an OSError if a process holds it, or if it cannot be removed."""
    if sys.platform == "win32":
        path.unlink()
        return
    with open(path, "rb+") as file:
        flock(file, LOCK_EX | LOCK_NB)
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise OSError(errno.EBUSY, "another process has just replaced it", str(path))
        path.unlink()


def entry_of(path: str | Path) -> str | None:
    """kind-key of a file in a folder of results, None for other names."""
    found = ENTRY.fullmatch(Path(path).name)
    return found and f"{found[1]}.{found[2]}"


def _sync_folder(folder):
    """Make a rename in folder last through a power cut, where the system can."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
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
    """Return the (arrays, info) that `write` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it cannot be read now, which says nothing about what it holds.
    ValueError
        If the file is damaged, not one of ours, or of a newer schema.
    """
    with damage_of(path):
        arrays = _read_members(path)
        return arrays, _take_info(path, arrays)


def read_info(path: str | Path) -> dict:
    """Return the info of a file without its arrays; errors as in `read`."""
    with damage_of(path):
        return _take_info(path, _read_members(path, only=(JSON_KEY, DIGEST_KEY)))


@contextlib.contextmanager
def damage_of(path: str | Path) -> Iterator[None]:
    """Turn whatever reading a file raises into the ValueError of a damaged file.

    Bytes that nobody wrote raise nearly anything.  What says nothing about the content, such as too
    many open files or too little memory, is let through.
    """
    try:
        yield
    except (Damaged, NewerSchema, MemoryError, ImportError):
        raise
    except Exception as error:
        # A place outside of a file, which only damaged bytes name, is an invalid argument.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise Damaged(f"{path} is damaged or was not written by shl: {reason}") from error


class Damaged(ValueError):
    """A file whose content is not what was written."""


class NewerSchema(ValueError):
    """A file of a later version of the package: not damaged, but not to be read."""


def _read_members(path, only=None):
    """{name: array} of a file, every size checked before memory is taken for it."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is not a regular file")  # to open a pipe would wait for ever
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        n_bytes = os.fstat(file.fileno()).st_size  # not of a file that has just replaced it
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise ValueError("a member is compressed")
        if sum(member.file_size for member in members.values()) > n_bytes:
            raise ValueError("its members are larger than itself")
        names = members if only is None else only
        return {name: _read_array(archive.read(members[name])) for name in names}


def _read_array(content):
    """The array of an npy text whose header does not promise more than it holds."""
    file = io.BytesIO(content)
    is_first = np.lib.format.read_magic(file) == (1, 0)
    shape, _, dtype = getattr(np.lib.format, f"read_array_header_{2 - is_first}_0")(file)
    n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.hasobject or n_bytes != len(content) - file.tell():
        raise ValueError("the size of an array is not that of its header")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _take_info(path, arrays):
    """The info among a file's arrays, taken out of them and checked."""
    text = arrays.pop(JSON_KEY).tobytes()
    info = json.loads(text)
    if info["schema"] > SCHEMA:
        raise NewerSchema(
            f"{path} has schema {info['schema']}, but this version reads up to "
            f"{SCHEMA}. Update shl."
        )
    if arrays.pop(DIGEST_KEY).tobytes() != hash_of(text).encode():
        raise ValueError("its text does not match its digest")
    info.pop("arrays", None)  # of schema 2, a digest of the arrays
    entry = info.pop("entry")
    if entry_of(path) not in (None, entry):
        raise ValueError(f"it is another entry, {entry}")
    return info


def hash_of(content: bytes) -> str:
    """A hash of bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def take(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Take the arrays whose names begin so, out of the dict; the names without the prefix."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def digest(arrays: np.ndarray | dict[str, np.ndarray]) -> str:
    """Return a hash of an array, or of a mapping of them: names, dtypes, shapes and content."""
    hasher = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()) if isinstance(arrays, dict) else [("", arrays)]:
        array = np.ascontiguousarray(array)
        hasher.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        hasher.update(array.reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()
