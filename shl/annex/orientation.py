"""What the atoms look like, in numbers: Gabor functions fitted to them, and how evenly they cover orientations."""

import numpy as np

from ..gabor import fit_gabor, orientation_entropy
from ..plotting import plot_frequencies, plot_orientations, plot_width_length
from ..plotting.figures import new_figure
from .rules import save_both
from .study import COLORS, RULES
from .tables import table

LEAST_R2 = 0.5  # of a fit that is counted
NAMES = ("frequency", "width", "length", "aspect", "n_x", "n_y", "phase")
# Medians of the counts in the (n_x, n_y) plane of macaque simple cells, binned in steps of 10^0.24 (79 cells).
V1 = ("V1, medians", 0.40, 0.45)


def orientation(study, out):
    """Gabor fits of each rule's atoms from the first seed."""
    fits = {rule: fit_gabor(study.rules.models(seed=study.seeds[0], homeo_method=rule)[0].components_,
                            n_jobs=study.n_jobs) for rule in RULES}
    fig = new_figure(figsize=(15, 4.5), layout="constrained")
    left, middle, right = fig.subplots(1, 3)
    for rule, found in fits.items():
        plot_orientations(found, color=COLORS[rule], label=rule, ax=left)
        plot_frequencies(found, color=COLORS[rule], ax=middle)
        plot_width_length(found, least_r2=LEAST_R2, color=COLORS[rule], ax=right,
                          references=[V1] if rule == RULES[-1] else ())
    left.legend()
    right.legend()
    save_both(fig, out / "gabor")
    yield (f"Medians over the atoms of the first seed whose fit explains at least {LEAST_R2:.0%} of their energy; "
           "lengths in pixels, frequency in cycles per pixel, phase in degrees (0 even, 90 odd). `evenness` is the "
           "relative entropy of orientations in 12 bins, 1 if they are spread evenly.\n")
    yield from table(["rule", "fitted", "median R2", *NAMES, "evenness"], [_row(rule, fits[rule]) for rule in RULES])
    yield ("![Orientations, frequencies, and length against width](gabor.png)\n\n"
           "Ringach (2002, J. Neurophysiol. 88:455) found macaque simple cells along a one-parameter family of "
           "shapes, many of them blobs near the origin of the last panel, and fewer stripes than sparse codes "
           "predict. The cross marks medians of 79 of his cells, from counts in bins a factor of 1.74 wide.\n")


def _row(rule, found):
    """A rule's medians."""
    good = found["r2"] >= LEAST_R2
    medians = {name: np.median(found[name][good]) for name in NAMES}
    medians["phase"] = np.degrees(medians["phase"])
    return [rule, f"{good.mean():.0%}", np.median(found["r2"]), *medians.values(),
            orientation_entropy(found["orientation"][good])]
