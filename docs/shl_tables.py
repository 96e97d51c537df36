"""Ranges and defaults of parameters, read from the code."""

import re
from inspect import Parameter, signature

from sphinx.util.docutils import SphinxDirective

from shl import SHL, SparseHebbianLearning
from shl._base.constraints import constraints_of


def shared_defaults():
    """(name, range, default of SparseHebbianLearning, default of SHL) of what both take."""
    ours, theirs = (signature(owner).parameters for owner in (SparseHebbianLearning, SHL))
    limits = constraints_of(SparseHebbianLearning)
    return [
        (
            name,
            limits[name].text if name in limits else "",
            ours[name].default,
            theirs[name].default,
        )
        for name in ours
        if name in theirs
    ]


class SharedDefaults(SphinxDirective):
    """A table of the parameters that `SparseHebbianLearning` and `SHL` share."""

    def run(self):
        """Parse the table, in which defaults that differ are bold."""
        lines = ["| parameter | range | `SparseHebbianLearning` | `SHL` |", "|---|---|---|---|"]
        for name, text, ours, theirs in shared_defaults():
            bold = "**" if ours != theirs else ""
            cells = (f"`{name}`", text, f"{bold}`{ours!r}`{bold}", f"{bold}`{theirs!r}`{bold}")
            lines.append(f"| {' | '.join(cells)} |")
        return self.parse_text_to_nodes("\n".join(lines))


def add_ranges(app, what, name, obj, options, lines):
    """Add to each parameter of a docstring, before numpydoc reads it, the range that is checked."""
    try:
        limits = constraints_of(obj) if what in ("class", "function") else {}
    except (TypeError, ValueError):  # not a callable of Python
        return
    for index in reversed(range(len(lines))):
        found = re.match(r"(\w+(?:, \w+)*) : (?!.*\{)", lines[index])
        names = found[1].split(", ") if found else ()
        texts = [limits[each].text for each in names if each in limits]
        if texts and len(texts) == len(names):
            said = (
                texts[:1]
                if len(set(texts)) == 1
                else map(": ".join, zip(names, texts, strict=True))
            )
            lines.insert(index + 1, f"    Range: {'; '.join(said)}.")


def undocumented_defaults(owner):
    """Parameters whose docstring does not state the default that the code has."""
    text = owner.__doc__[: owner.__doc__.find("Attributes\n")]
    wrong = []
    for name, parameter in signature(owner).parameters.items():
        entry = re.search(
            rf"^ +(?:\w+, )*{name}(?:, \w+)* : (.*(?:\n {{8,}}.*)*)", text, re.MULTILINE
        )
        said, default = (entry[1] if entry else "").replace('"', "'"), parameter.default
        _, _, value = said.partition("default=")
        is_said = repr(default) in value or (default is None and "optional" in said)
        if default is not Parameter.empty and not is_said:
            wrong.append(name)
    return wrong
