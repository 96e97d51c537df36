"""The order of the gallery."""

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


class Order:
    """Pages as in PAGES."""

    def __init__(self, folder):
        pass

    def __call__(self, filename):
        """The place of a script."""
        return PAGES.index(filename.removeprefix("plot_").removesuffix(".py"))

    def __repr__(self):
        return "<Order>"  # sphinx-gallery compares it with that of the last build
