"""How Sphinx builds the documentation: `python -m sphinx -W docs docs/_build`."""

import inspect
import os
import re
import sys
from importlib import import_module
from pathlib import Path

from sphinx.errors import ExtensionError

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("SHL_CACHE_DIR", str(HERE / "_build" / "cache_dir"))

import shl  # noqa: E402 - after its folder is on the path

project, author, copyright = "shl", "the shl developers", "2026, the shl developers"
version = release = shl.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "myst_parser",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "api/generated/README*"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

# -- what is read ----------------------------------------------------------------------------------

autosummary_generate = True
templates_path = ["_templates"]
autodoc_typehints = "none"  # the docstrings say more
autodoc_default_options = {"members": True}
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = False
# Not PR01, every parameter: those of short methods are said in their one sentence.
numpydoc_validation_checks = {
    "GL06",  # unknown section
    "GL07",  # sections in another order
    "GL08",  # no docstring
    "SS01",  # no summary
    "PR02",  # a documented parameter that is none
    "PR03",  # parameters in another order
    "PR04",  # a parameter without a type
}
# Methods that scikit-learn or a protocol describes; a mapping's and a dataclass's own.
numpydoc_validation_exclude = {r"\.(set_\w+_request|get_metadata_routing|set_output)$"}

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "shl_gallery.Order",
    "remove_config_comments": True,
    "show_memory": False,
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "reference_url": {"shl": None},
    "image_srcset": ["2x"],
    "download_all_examples": False,
}
sys.path.insert(0, str(HERE))

# -- what it looks like ----------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "shl"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["shl.css"]
html_sidebars = {"index": [], "start": []}
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


# -- nothing public is left out --------------------------------------------------------------------


def public_names(module):
    """Names of a module's functions and classes that are its own and have no underscore."""
    names = getattr(module, "__all__", None)
    if names is not None:
        return {name for name in names if callable(getattr(module, name))}
    return {
        name
        for name, found in inspect.getmembers(module, callable)
        if not re.match("_|check_|refuse_", name) and found.__module__ == module.__name__
    }


def check_api(app):
    """An error for a public name of a module in api/ that no page there lists."""
    text = "\n".join(page.read_text() for page in sorted((HERE / "api").glob("*.rst")))
    modules = re.findall(r"^\.\. currentmodule:: (\S+)$", text, re.MULTILINE)
    listed = set(re.findall(r"^   (\w+)$", text, re.MULTILINE))
    missing = {f"{m}.{name}" for m in modules for name in public_names(import_module(m)) - listed}
    if missing:
        raise ExtensionError(f"not in docs/api: {', '.join(sorted(missing))}")


def setup(app):
    """Check before anything is read."""
    app.connect("builder-inited", check_api)
