"""Results on disk, each a file under the hash of all that made it (see `shl.store.files`).

Two processes that write the same entry write the same content, and the last rename wins: no locks.
"""

import contextlib
import os
import stat
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .files import ENTRY, PART, NewerSchema, damage_of, read, remove_unused, write

DEFAULT_FOLDER = "cache_dir"
MOST_TAG = 80  # bytes of a readable name


def open_store(cache_dir: str | Path | None = DEFAULT_FOLDER) -> "Store | None":
    """The `Store` of a folder; None is no store.

    The default folder gives way to the environment's SHL_CACHE_DIR, of which 'none' is no store.
    """
    if cache_dir is None:
        return None
    if not isinstance(cache_dir, (str, Path)):
        raise TypeError(f"cache_dir must be a path or None, not {cache_dir!r}")
    if cache_dir == DEFAULT_FOLDER:
        cache_dir = os.environ.get("SHL_CACHE_DIR") or DEFAULT_FOLDER
        if cache_dir.lower() == "none":
            return None
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
        self.folder, self._is_swept = Path(folder), False

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
                return reader(path)
        except FileNotFoundError:
            return None
        except (OSError, MemoryError, ImportError) as error:  # it may be good
            reason = f"{path} cannot be read ({error})"
        except NewerSchema as error:
            reason = str(error)
        except ValueError as error:
            reason = f"{error}; {self._set_aside(path)}"
        warnings.warn(f"{reason}; it is made again", stacklevel=3)
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

    def _sweep(self):
        """Remove, once, what writers that were killed have left."""
        if not self._is_swept:
            self._is_swept = True
            self._remove(path for path, _, _ in self._files() if PART.fullmatch(path.name))

    @staticmethod
    def _remove(paths):
        """Remove files that no process holds; return the paths of those that are gone."""
        removed = []
        for path in paths:
            with contextlib.suppress(OSError):  # in use, another user's, or removed meanwhile
                remove_unused(path)
                removed.append(str(path))
        return removed

    @staticmethod
    def keep(path: str | Path, save: Callable[[], object]) -> bool:
        """Call what writes an entry; a result that cannot be written is warned of, and not lost."""
        try:
            save()
        except OSError as error:
            warnings.warn(f"{error}; the result is used, but not kept", stacklevel=3)
            return False
        return True

    def entries(self) -> list[dict]:
        """A dict for each entry, oldest first: path, bytes, age in seconds."""
        found = [
            {"path": str(path), "bytes": status.st_size, "age": age}
            for path, status, age in self._files()
            if (name := ENTRY.fullmatch(path.name)) and name[2] == "npz" and not name[3]
        ]
        return sorted(found, key=lambda entry: -entry["age"])

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

    def clear(self, older_than: float = 0.0) -> list[str]:
        """Remove what is older than so many seconds: entries, checkpoints, files set aside, parts.

        Other files stay, and so do checkpoints and parts that a process holds.

        Returns
        -------
        removed : list of str
            The paths of what was removed.
        """
        return self._remove(
            path
            for path, _, age in self._files()
            if age >= older_than and (PART.fullmatch(path.name) or ENTRY.fullmatch(path.name))
        )

    def verify(self) -> dict[str, str]:
        """Read every entry; return {path: error} of those that are damaged or cannot be read."""
        damaged = {}
        for entry in self.entries():
            try:
                read(entry["path"])
            except FileNotFoundError:  # removed meanwhile
                continue
            except (ValueError, OSError) as error:
                damaged[entry["path"]] = str(error)
        return damaged
