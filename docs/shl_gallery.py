"""The gallery: the order of its pages, and a check of their headlines."""

import re

NEAR = 0.05  # what a number of a headline may differ from a printed one: machines round differently
PAGES = (
    "natural_images",
    "rules",
    "replacement",
    "denoising",
    "color",
    "inpainting",
    "digits",
    "gabor",
    "scan",
    "convolution",
    "spikes",
    "motifs",
    "regularizers",
    "stream",
    "study",
)


def check_headline(app, docname, source):
    """An error for a number of a page's first bold sentence that the page does not print."""
    outputs = re.findall(r"sphx-glr-script-out\n\n((?: .*\n|\n)+)", source[0])
    if not docname.startswith("gallery/plot_") or not outputs:
        return
    headline = re.search(r"\*\*(.+?)\*\*", source[0], re.DOTALL)[1]
    printed, said = (
        [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
        for text in ("".join(outputs), headline)
    )
    wrong = [x for x in said if not any(abs(x - y) <= NEAR * y for y in printed)]
    if wrong:
        raise ValueError(f"{docname} does not print {wrong}: {headline}")


class Order:
    """Pages as in PAGES."""

    def __init__(self, folder):
        pass

    def __call__(self, filename):
        """The place of a script."""
        return PAGES.index(filename.removeprefix("plot_").removesuffix(".py"))

    def __repr__(self):
        return "<Order>"  # sphinx-gallery compares it with that of the last build
