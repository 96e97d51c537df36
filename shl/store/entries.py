"""Results on disk, each a file under the hash of all that made it (see `shl.store.files`).

Two processes that write the same entry write the same content, so there are no locks.
"""

import contextlib
import os
import stat
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.tables import printable
from .files import ENTRY, PART, NewerSchema, damage_of, read, remove_unused, write
from .index import INDEX, SIZES, describe, frame_of, parse

if TYPE_CHECKING:
    import pandas

DEFAULT_FOLDER = "cache_dir"
MOST_TAG = 80  # bytes of a readable name
ABANDONED_SECONDS = 3600.0


def open_store(cache_dir: str | Path | None = DEFAULT_FOLDER) -> "Store | None":
    """Return the `Store` of a folder, or None if there is no store.

    SHL_CACHE_DIR in the environment replaces the default folder; 'none' is no store.
    The environment's SHL_CACHE_MAX_SIZE, such as 2GB, bounds the folder's size.
    """
    if cache_dir is None:
        return None
    if not isinstance(cache_dir, (str, Path)):
        raise TypeError(f"cache_dir must be a path or None, not {cache_dir!r}")
    if cache_dir == DEFAULT_FOLDER:
        cache_dir = os.environ.get("SHL_CACHE_DIR") or DEFAULT_FOLDER
        if cache_dir.lower() == "none":
            return None
    return Store(cache_dir, os.environ.get("SHL_CACHE_MAX_SIZE") or None)


class Store:
    """A folder of results.

    A damaged entry is set aside as `.bad` with a warning and counts as missing.

    Parameters
    ----------
    folder : str or Path
        Made by the first entry.
    max_size : int or str, default=None
        Bytes, or a size such as "2GB", that the folder may have.  After each new entry, the least
        recently used ones are removed until the rest fits; never one that this store has used, nor
        a file that a process holds.  If None, there is no bound.
    """

    def __init__(self, folder: str | Path, max_size: str | float | None = None) -> None:
        self.folder, self._is_swept = Path(folder), False
        self._used: set[Path] = set()
        self.max_size = None if max_size is None else parse(max_size, "max_size", SIZES)

    def path(self, kind: str, key: str, tag: str | None = "") -> Path:
        """The file of an entry: tag-kind-key.npz, where the tag is for readers alone."""
        if tag is not None and not isinstance(tag, str):
            raise TypeError(f"tag must be a text or None, not {tag!r}")
        readable = "".join(char if char.isalnum() or char in "._=" else "_" for char in tag or "")
        readable = readable.encode()[:MOST_TAG].decode(errors="ignore")
        return self.folder / f"{readable + '-' if readable else ''}{kind}-{key}.npz"

    def get(self, path: str | Path, reader: Callable[[str | Path], Any] = read) -> Any:
        """Return reader(path), or None if there is no usable entry.

        Whatever `reader` raises because of the content counts as damage.
        """
        try:
            with damage_of(path):
                found = reader(path)
            self._note_use(path)
            return found
        except FileNotFoundError:
            return None
        except (OSError, MemoryError, ImportError) as error:  # it may be good
            reason = f"{path} cannot be read ({error})"
        except NewerSchema as error:
            reason = str(error)
        except ValueError as error:
            reason = f"{error}; {self._set_aside(path)}"
        text = f"{printable(reason).removesuffix('.')}. The result is computed again."
        warnings.warn(text, stacklevel=3)
        return None

    @staticmethod
    def _set_aside(path):
        """Rename a damaged entry; say so."""
        aside = f"{path}.bad"
        try:
            os.replace(path, aside)
        except FileNotFoundError:  # another process was faster
            return f"it was set aside as {aside}"
        except OSError as failure:
            return f"it cannot be set aside ({failure})"
        return f"it is set aside as {aside}"

    def put(self, path: str | Path, arrays: Mapping[str, np.ndarray], info: Mapping) -> None:
        """Write an entry, see `write`; a warning where it cannot be written."""
        self._sweep()
        self.keep(path, lambda: write(path, arrays, info))

    def _note_use(self, path):
        """Remember the use of an entry, here and in the time of its last access."""
        self._used.add(Path(path))
        with contextlib.suppress(OSError):  # of another user
            os.utime(path, ns=(time.time_ns(), os.stat(path).st_mtime_ns))

    def prune(self, max_size: str | float | None = None) -> list[str]:
        """Remove least recently used entries until the folder has at most max_size bytes.

        Returns
        -------
        removed : list of str
            The paths of what was removed.
        """
        most = self.max_size if max_size is None else parse(max_size, "max_size", SIZES)
        files = [file for file in self._files() if ENTRY.fullmatch(file[0].name)]
        left = sum(status.st_size for _, status, _ in files)
        removed: list[str] = []
        for path, status, _ in sorted(files, key=lambda file: _last_use(file[1])):
            if most is None or left <= most:
                break
            if path not in self._used:
                removed += self.remove([path])
                left -= 0 if path.exists() else status.st_size  # also if another process was faster
        return removed

    def _sweep(self):
        """Remove, once, what writers that were killed have left.

        Locks of other machines may be unknown here: a part that is being written is young.
        """
        if not self._is_swept:
            self._is_swept, files = True, self._files()
            parts = (path for path, _, age in files if age >= ABANDONED_SECONDS)
            self.remove(path for path in parts if PART.fullmatch(path.name))

    def keep(self, path: str | Path, save: Callable[[], object]) -> bool:
        """Call what writes an entry; a result that cannot be written is warned of, and not lost."""
        try:
            save()
        except OSError as error:
            text = printable(str(error))
            warnings.warn(f"{text}; the result is used, but not stored", stacklevel=3)
            return False
        self._used.add(Path(path))
        if self.max_size is not None:
            self.prune()
        return True

    def rows(self) -> list[dict]:
        """Return a dict for each entry, oldest first.

        Its names are entry (the key), tag, kind, steps, F, bytes, age (seconds), path, parameters
        and metrics.
        """
        return sorted(describe(self.folder, [*self._files()]), key=lambda row: -row["age"])

    def entries(self) -> "pandas.DataFrame":
        """Return the entries as a data frame, oldest first, with a column for each parameter.

        Needs pandas.
        """
        return frame_of(self.rows())

    def _files(self):
        """(path, status, age in seconds) of the regular files in the folder.

        A file of the future, by another machine's clock, is as old as it is young.
        """
        now, paths = time.time(), sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        for path in paths:
            with contextlib.suppress(OSError):  # removed meanwhile
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield path, status, abs(now - status.st_mtime)

    def remove(self, paths: Iterable[str | Path]) -> list[str]:
        """Remove files that no process holds; return the paths of those that are gone."""
        removed = []
        for path in paths:
            with contextlib.suppress(OSError):  # in use, another user's, or removed meanwhile
                remove_unused(Path(path))
                removed.append(str(path))
        return removed

    def clear(self, older_than: float = 0.0) -> list[str]:
        """Remove what is older than so many seconds: entries, checkpoints, files set aside, parts.

        Other files stay, and so do checkpoints and parts that a process holds.

        Returns
        -------
        removed : list of str
            The paths of what was removed.
        """
        with contextlib.suppress(OSError):  # an index is made again
            (self.folder / INDEX).unlink()
        return self.remove(
            path
            for path, _, age in self._files()
            if age >= older_than and (PART.fullmatch(path.name) or ENTRY.fullmatch(path.name))
        )

    def verify(self) -> dict[str, str]:
        """Read every entry; return {path: error} of those that are damaged or cannot be read."""
        damaged = {}
        for entry in self.rows():
            try:
                read(entry["path"])
            except FileNotFoundError:  # removed meanwhile
                continue
            except (ValueError, OSError) as error:
                damaged[entry["path"]] = str(error)
        return damaged


def _last_use(status):
    """When a file was written or used last; not in the future."""
    return min(max(status.st_atime, status.st_mtime), time.time())
