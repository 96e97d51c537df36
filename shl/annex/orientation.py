"""Gabor functions fitted to the atoms, and how evenly these cover orientations."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..gabor import fit_gabor, orientation_entropy
from ..plotting import plot_frequencies, plot_orientations, plot_width_length
from ..plotting.figures import COLORS, new_figure
from .study import RULES, Study
from .tables import markdown, picture

LEAST_R2 = 0.5  # of a fit that is counted
NAMES = ("frequency", "width", "length", "aspect", "n_x", "n_y", "phase")


def orientation(study: Study, out: Path) -> Iterator[str]:
    """Gabor fits of each rule's atoms from the first seed."""
    fits = {rule: fit_gabor(study.first(rule).components_, n_jobs=study.n_jobs) for rule in RULES}
    fig = new_figure(figsize=(15, 4.5), layout="constrained")
    left, middle, right = fig.subplots(1, 3)
    good = {
        rule: {name: values[found["r2"] >= LEAST_R2] for name, values in found.items()}
        for rule, found in fits.items()
    }
    for rule, found in good.items():
        plot_orientations(found, color=COLORS[rule], label=rule, ax=left)
        plot_frequencies(found, color=COLORS[rule], ax=middle)
        plot_width_length(found, color=COLORS[rule], ax=right)
    shown = picture(fig, out, "gabor", "Orientations, frequencies, and length against width")
    yield (
        f"Medians over the atoms of the first seed whose fit explains at least {LEAST_R2:.0%} of "
        "their energy; lengths in pixels, frequency in cycles per pixel, phase in degrees (0 even, "
        "90 odd). `evenness` is the relative entropy of orientations in 12 bins, 1 if they are "
        "spread evenly.\n"
    )
    rows = []
    for rule, found in good.items():
        r2, evenness = fits[rule]["r2"], orientation_entropy(found["orientation"])
        share = f"{len(found['r2']) / len(r2):.0%}"
        found["phase"] = np.degrees(found["phase"])
        medians = [np.median(found[name]) for name in NAMES]
        rows.append([rule, share, np.median(r2), *medians, evenness])
    yield from markdown(["rule", "fitted", "median R2", *NAMES, "evenness"], rows)
    yield (
        f"{shown}\n\n"
        "Ringach (2002, J. Neurophysiol. 88:455, abstract) found the shapes of macaque simple "
        "cells near a one-parameter family, with even and odd symmetry preferred, many of them "
        "broadly tuned and low-pass (near the origin of the last panel), and fewer stripes than "
        "sparse coding predicted.\n"
    )
