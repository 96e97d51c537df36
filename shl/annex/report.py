"""The report: each section writes its tables and pictures, which stay if a later one is stopped."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .._base.checks import check_choice
from ..store.files import write_bytes
from . import controls, orientation, planted, rules, tasks
from .study import Study

SECTIONS = {
    "answers": ("Claims about the rules, answered", rules.answers),
    "figures_1_3": ("Figures 1 and 3: atoms, and F over learning", rules.figures_1_and_3),
    "figure_2": ("Figure 2: distributions, and robustness against the rates", rules.figure_2),
    "selection": ("Equal selection", rules.selection),
    "orientation": ("Orientation: Gabor functions fitted to the atoms", orientation.orientation),
    "coders": ("Coding algorithms", controls.coders),
    "starts_and_rates": ("White or 1/f start, fixed rate or Adam", controls.starts_and_rates),
    "scans": ("Scans over alpha_homeo, l0_sparseness and n_dictionary", controls.scans),
    "statistics": ("Statistics of data and atoms, with and without mask", controls.statistics),
    "tuning": ("Better parameters of the rules", controls.tuning),
    "generalisation": (
        "Generalisation: learned on one database, tested on another",
        controls.generalisation,
    ),
    "planted": ("Where homeostasis helps and where it harms: planted atoms", planted.recovery),
    "fading": ("Homeostasis that fades, on natural patches", controls.fading),
    "decaying": ("A rate that decays and atoms that are replaced", controls.decaying),
    "digits": ("Sparse codes at work: digits", tasks.classification),
    "denoising": ("Sparse codes at work: a photograph denoised", tasks.denoising),
}


def write_report(
    study: Study,
    out: str | Path,
    only: Iterable[str] | None = None,
    on_section: Callable[[str, float, Exception | None], object] | None = None,
) -> Path:
    """Write figures, sections and `report.md` of a study into a folder.

    Each section is a file of its own in `out/sections`; the report joins those that are there, also
    of earlier calls.

    Parameters
    ----------
    study : Study
    out : str or Path
        Made if missing.
    only : iterable of str, default=None
        Names among SECTIONS; None is all.
    on_section : callable, default=None
        on_section(name, seconds, failure) after each section, failure None or an error: a section
        in which a run failed says so, and the others run.

    Returns
    -------
    path : Path
        Of the report.

    Raises
    ------
    ValueError
        If `only` holds a name that is none of SECTIONS.
    """
    names = [check_choice(name, "only", SECTIONS) for name in (SECTIONS if only is None else only)]
    out = Path(out)
    for name in names:
        began, failure = time.perf_counter(), None
        title, section = SECTIONS[name]
        lines = [f"## {title}\n"]
        try:
            lines += section(study, out)
        except RuntimeError as error:
            failure = error
            lines.append(f"Failed: {error}\n")
        write_bytes(out / "sections" / f"{name}.md", "\n".join(lines).encode())
        _join_sections(study, out)
        if on_section is not None:
            on_section(name, time.perf_counter() - began, failure)
    return out / "report.md"


def _join_sections(study, out):
    """Write the report from the sections that are there."""
    files = (out / "sections" / f"{name}.md" for name in SECTIONS)
    parts = [file.read_text() for file in files if file.exists()]
    head = f"# The Annex at the scale '{study.scale_name}', on {study.database}\n"
    write_bytes(out / "report.md", "\n".join([head, *parts]).encode())
