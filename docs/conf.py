"""How Sphinx builds the documentation: `python -m sphinx -W docs docs/_build`."""

import importlib.util
import os
import re
import sys
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.errors import ExtensionError
from sphinx.ext.autodoc.mock import _MockObject

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("SHL_CACHE_DIR", str(HERE / "_build" / "cache_dir"))

from shl_api import add_related, missing_names  # noqa: E402 - after its folder is on the path
from shl_gallery import check_headline  # noqa: E402
from shl_tables import SharedDefaults, add_ranges  # noqa: E402

import shl  # noqa: E402

project, author, copyright = "shl", "the shl developers", "2026, the shl developers"
version = release = shl.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "myst_parser",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "sg_execution_times.rst", "gallery/sg_*"]
# The indexes of other packages need a network: SHL_DOCS_LINKS=1 asks for them.
OTHERS = {
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "sklearn": "https://scikit-learn.org/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
    "joblib": "https://joblib.readthedocs.io/en/stable/",
    "dask": "https://docs.dask.org/en/stable/",
}
wants_links = os.environ.get("SHL_DOCS_LINKS") == "1"
intersphinx_mapping = {name: (url, None) for name, url in OTHERS.items() if wants_links}
# Without PyTorch the pages of networks are built from their signatures, and their example is shown
# without its pictures.
HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "skorch"))
autodoc_mock_imports = [] if HAS_TORCH else ["torch", "skorch"]
_MockObject.__or__ = _MockObject.__ror__ = lambda self, other: self  # annotations of its classes
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

# -- what is read ----------------------------------------------------------------------------------

autosummary_generate = True
templates_path = ["_templates"]
autodoc_typehints = "none"  # the docstrings say more
autosummary_imported_members = True
default_role = "py:obj"
numpydoc_show_class_members = False
# All checks but these.
numpydoc_validation_checks = {
    "all",
    "ES01",  # no extended summary: one sentence is enough where it says all
    "EX01",  # no examples: the gallery and the guide have them
    "PR01",  # a parameter that is not documented: short methods say theirs in their one sentence
    "PR07",  # a parameter without a description: X, path, where name and type say all
    "RT01",  # no section Returns: short functions say what they return in their one sentence
    "RT02",  # a name of what is returned: it is the name that the equations have
    "RT03",  # what is returned has no description: where name and type say all
    "SA01",  # no section See Also: methods
    "SA04",  # See Also without a description: the names that stand beside it in a table
    "SS02",  # a summary that does not start with a capital: an equation, as log p / log target
    "SS05",  # a summary that starts with a third person: it takes plurals for verbs, as Images
    "SS06",  # a summary of two lines
    "YD01",  # no section Yields: as RT01
}
numpydoc_validation_exclude = {
    r"\.__init__$",  # its class says what it takes
    r"\.(set_\w+_request|get_metadata_routing)$",  # scikit-learn's
    r"\.Batch\.",  # fields of a named tuple
}


def skip_member(app, what, name, obj, skip, options):
    """Skip what classes have from other packages, whose pages these docstrings refer to."""
    return skip or not (getattr(obj, "__module__", None) or "shl").startswith("shl")


myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_" if HAS_TORCH else r"/plot_(?!regularizers)",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("shl",),
    "inspect_global_variables": False,
    "within_subsection_order": "shl_gallery.Order",
    "remove_config_comments": True,
    "show_memory": False,
    "capture_repr": (),
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "image_srcset": ["2x"],
    "download_all_examples": False,
    # When the project has a public place, this adds links that run a page in the browser:
    # "binder": {
    #     "org": "ORGANISATION",
    #     "repo": "shl",
    #     "branch": "main",
    #     "binderhub_url": "https://mybinder.org",
    #     "dependencies": ["../constraints.txt"],
    # },
}

# -- what it looks like ----------------------------------------------------------------------------

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = f"shl {version}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["shl.css"]
html_sidebars = {"index": [], "start": []}
toc_object_entries_show_parents = "hide"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "navigation_depth": 2,  # pages of the API have tables in place of a tree of names
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


# -- nothing public is left out --------------------------------------------------------------------


def check_api(app):
    """An error for a public name of a module in api/ that no page there lists."""
    missing = missing_names()
    if missing:
        raise ExtensionError(f"not in docs/api: {', '.join(sorted(missing))}")


# -- docstrings are plain text, in which components_ and |x| are no markup -------------------------


def escape_line(line):
    """A line in which underscores that end a word, bars and lone stars are characters."""
    parts = re.split(r"(``.+?``|`.+?`)", line)
    for index in range(0, len(parts), 2):
        text = re.sub(r"(?<=\w)(?<!\\)_(?!\w)", r"\_", parts[index])
        text = re.sub(r"(?<!\\)\|", r"\|", text)
        parts[index] = re.sub(r"(?<![\\*\w])\*\*(?=\w+(\.\w+)*\W*$|\w[\w.()]*\))", r"\*\*", text)
    return "".join(parts)


def escape_docstring(app, what, name, obj, options, lines):
    """Escape a docstring in place, all but literal blocks and directives."""
    verbatim = None  # the indent of what introduced a literal block
    for index, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if verbatim is not None and line.strip() and indent <= verbatim:
            verbatim = None
        if verbatim is None and not line.lstrip().startswith((">>>", "..", ":")):
            lines[index] = escape_line(line)
        if verbatim is None and line.rstrip().endswith("::"):
            verbatim = indent


# -- equations are MathML, which browsers draw themselves: pages need no network --------------------


def write_inline(self, node):
    """An equation in a line."""
    self.body.append(convert(node.astext()))
    raise SkipNode


def write_block(self, node):
    """An equation by itself."""
    self.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise SkipNode


def setup(app):
    """Check before anything is read; escape what numpydoc has made of a docstring."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    app.connect("builder-inited", check_api)
    app.connect("source-read", check_headline)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-docstring", add_ranges, priority=100)
    app.connect("autodoc-process-docstring", add_related, priority=100)
    app.connect("autodoc-process-docstring", escape_docstring, priority=900)
    app.add_directive("shared-defaults", SharedDefaults)
