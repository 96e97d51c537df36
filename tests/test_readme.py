import ast
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_pictures_are_there():
    names = re.findall(r"\]\((docs/[^)]+)\)", README.read_text())
    assert len(names) >= 6
    assert all((README.parent / name).exists() for name in names)


def test_scripts_are_there():
    names = set(re.findall(r"`((?:scripts/)?\w+\.py)`", README.read_text()))
    assert names
    assert all((README.parent / "scripts" / Path(name).name).exists() for name in names)


@pytest.mark.parametrize("block", BLOCKS)
def test_imported_names_are_there(block):
    """What a snippet imports from this package exists."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("shl"):
            if node.module == "shl.networks":
                pytest.importorskip("torch")
            module = __import__(node.module, fromlist=["*"])
            assert all(hasattr(module, alias.name) for alias in node.names)
