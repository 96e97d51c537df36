import io
import os
import sys

import pytest
from running import run

from shl._base.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def written(stream, monkeypatch):
    """What a bar of three steps writes to stderr."""
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(total=3, desc="learning", mininterval=0) as bar:
        for _ in range(3):
            bar.update()
    return stream.getvalue()


def test_a_bar_is_one_line_in_a_log(monkeypatch):
    text = written(io.StringIO(), monkeypatch)
    assert text.startswith("learning: 100%") and " 3/3 " in text
    assert text.count("\n") == 1 and text.endswith("\n") and "\r" not in text


def test_a_bar_moves_on_a_terminal(monkeypatch):
    text = written(Terminal(), monkeypatch)
    assert all(f" {step}/3 " in text for step in range(4))


def test_two_bars_are_two_lines_in_a_log(monkeypatch):
    written(stream := io.StringIO(), monkeypatch)
    assert written(stream, monkeypatch).count("\n") == 2


KILLED = """
import os, signal
from tqdm.auto import tqdm
from shl._base.progress import progress
tqdm.get_lock()
reads, writes = os.pipe()
if not (child := os.fork()):
    tqdm.get_lock().acquire()  # this lock is shared with the parent
    os.write(writes, b"x")
    signal.pause()
os.read(reads, 1)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
with progress(total=1) as bar:
    bar.update()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_fork_blocks_no_bar():
    assert run(KILLED)[0] == 0
