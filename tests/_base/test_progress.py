import io
import sys

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
