"""Pages of results are written by the commands that stand in them."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = """before
<!-- measured: python -c "print('ratio 1.5')" -->
old
<!-- end of measured -->
between
<!-- measured: python tables.py > tables.md -->
<!-- end of measured -->
"""


@pytest.fixture
def script(monkeypatch):
    """The names of the script."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return runpy.run_path(str(ROOT / "scripts" / "results.py"))


@pytest.fixture
def page(tmp_path, monkeypatch):
    text = "# A title\\n\\n![a](a.png)\\n| a |\\n|---|\\n| 1 |\\n\\nwords\\n"
    (tmp_path / "tables.py").write_text(f"open('tables.md', 'w').write('{text}')")
    (tmp_path / "page.md").write_text(PAGE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "page.md"


def test_blocks_are_listed(page, script, capsys):
    script["main"]([str(page)])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert page.read_text() == PAGE


def test_a_block_becomes_what_its_command_prints(page, script):
    script["main"]([str(page), "ratio"])
    text = page.read_text()
    assert "```text\nratio 1.5\n```" in text and "cores" in text and "old" not in text
    assert text.startswith("before") and text.endswith(PAGE[PAGE.index("between") :])


def test_a_block_becomes_the_tables_of_a_file(page, script):
    script["main"]([str(page), "tables.py"])
    text = page.read_text()
    assert "| a |\n|---|\n| 1 |\n" in text and "old" in text
    assert "words" not in text and "a.png" not in text


def test_a_block_becomes_what_was_printed_before(page, script):
    page.write_text(PAGE.replace("> tables.md", "> tables.md # 2"))
    (page.parent / "two.txt").write_text("| a |\n|---|\n| 1 |\n\nwords\n\n| b |\n|---|\n| 2 |\n")
    script["main"]([str(page), "tables.py", "--printed", "two.txt"])
    text = page.read_text()
    assert "| b |\n|---|\n| 2 |\n" in text and "| a |" not in text  # the second table


def test_a_word_without_a_block_is_refused(page, script):
    with pytest.raises(SystemExit, match="0 commands"):
        script["main"]([str(page), "nothing"])
    assert page.read_text() == PAGE


@pytest.mark.parametrize("name", ["speed", "study"])
def test_pages_name_commands_that_are_there(name, script):
    text = (ROOT / "docs" / "results" / f"{name}.md").read_text()
    commands = [match["command"].split() for match in script["PLACE"].finditer(text)]
    assert commands
    for words in commands:
        assert words[0] == "shl" or (words[0] == "python" and (ROOT / words[1]).exists())
