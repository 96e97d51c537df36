"""What a fitted model shows of itself in a notebook, under scikit-learn's diagram."""

import base64
import io
from html import escape
from importlib import import_module
from typing import Any

import numpy as np

from .._base.tables import show_value


def learned_html(model: Any) -> str:
    """Return a folded block of HTML: the dictionary's picture, error, usage and replacements.

    A model that is not fitted has an empty one.
    """
    if not hasattr(model, "components_"):
        return ""
    n_atoms, record = len(model.components_), model.record_.last()
    error = show_value(record["error"]) if "error" in record else "not recorded (record_each=0)"
    rows = {
        "steps": model.n_iter_,
        "error of the last record": error,
        "atoms used in the last pass": f"{n_atoms - model.n_dead_} of {n_atoms}",
        "replacements of atoms": f"{model.n_replaced_}, of {len(model.replaced_)} atoms",
    }
    cells = "".join(f"<tr><td>{k}</td><td>{escape(str(v))}</td></tr>" for k, v in rows.items())
    return (
        f"<details><summary>What {escape(type(model).__name__)} learned</summary>"
        f"{_picture(model)}<table>{cells}</table></details>"
    )


def _picture(model):
    """The dictionary as an image of HTML, empty for atoms that are neither pictures nor curves."""
    atoms = np.asarray(model.components_)
    if atoms.ndim == 4:  # images with channels, which a picture has behind
        atoms = np.moveaxis(atoms, 1, -1) if atoms.shape[1] == 3 else atoms.mean(axis=1)
    from matplotlib.figure import Figure

    # Figures stand above estimators: they are imported when a model is shown.
    show_dico, buffer = import_module("shl.plotting").show_dico, io.BytesIO()
    fig = Figure(figsize=(6, 6))
    try:
        show_dico(model if atoms.ndim == 2 else atoms, fig=fig, ax=fig.subplots())
    except ValueError:
        return ""
    fig.savefig(buffer, format="png", dpi=60, bbox_inches="tight")
    text = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<img alt="the dictionary" style="max-width: 480px" src="data:image/png;base64,{text}"/>'
    )
