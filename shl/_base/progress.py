"""Progress bars, on a terminal that may be gone or a log on a full disk."""

import contextlib
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


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


class _OneLine(_Forgiving):
    """A log, in which a bar is one line: its last state."""

    def __init__(self, file):
        super().__init__(file)
        self._bar = ""

    def write(self, text):
        if text.startswith("\r"):
            self._bar = text[1:].rstrip()
        elif text == "\n" and self._bar:  # which tqdm writes where a bar closes
            super().write(f"{self._bar}\n")
            self._bar = ""


@cache
def _kind_of_bars(is_shown):
    """The class of bars, whose lock belongs to the threads of this process alone.

    Forked processes share the lock of tqdm.  One that is killed while it holds the lock would block
    every later bar of its parent.
    """
    if is_shown:
        from tqdm.auto import tqdm
    else:  # tqdm.auto warns in a notebook without ipywidgets
        from tqdm import tqdm
    kind: Any = type("Bar", (tqdm,), {})
    kind.set_lock(threading.RLock())
    return kind


def progress(**options: Any) -> "tqdm":
    """A bar of `tqdm` whose writes end nothing; in a log one line, written where the bar closes."""
    is_disabled = options.pop("disable", False) or sys.stderr is None
    file = None if is_disabled else (_Forgiving if _is_redrawn() else _OneLine)(sys.stderr)
    return _kind_of_bars(not is_disabled)(**options, disable=is_disabled, file=file)


def announce(seconds, work, is_bound=False):
    """Write on stderr how long some work will take, or will take at most, and what it is."""
    if sys.stderr is not None:
        length = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.2g} seconds"
        text = f"{'at most' if is_bound else 'about'} {length}: {work}"
        _kind_of_bars(True).write(text, file=_Forgiving(sys.stderr))


def _is_redrawn():
    """Whether a line of stderr can be written again in its place: on a terminal, in a notebook."""
    try:
        return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
    except (AttributeError, OSError, ValueError):  # ValueError: it is closed
        return False
