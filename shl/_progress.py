"""Progress bars, on a terminal that may be gone or a log on a full disk."""

import contextlib
import sys

from tqdm.auto import tqdm


class _Forgiving:
    """A text file that cannot be written to any more without an error."""

    def __init__(self, file):
        self._file = file

    def write(self, text):
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            self._file.write(text)

    def flush(self):
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()

    def __getattr__(self, name):
        return getattr(self._file, name)


def progress(**options) -> tqdm:
    """A bar of `tqdm` whose writes end nothing."""
    file = None if sys.stderr is None else _Forgiving(sys.stderr)
    is_disabled = options.pop("disable", False) or file is None
    return tqdm(**options, disable=is_disabled, file=file)
