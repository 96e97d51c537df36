"""The order of the gallery."""

from sphinx_gallery.sorting import ExampleTitleSortKey

PAGES = (
    "natural_images",
    "rules",
    "replacement",
    "denoising",
    "inpainting",
    "digits",
    "spikes",
    "gabor",
    "scan",
    "convolution",
    "regularizers",
    "stream",
    "study",
)


class Order(ExampleTitleSortKey):
    """Pages as in PAGES."""

    def __call__(self, filename):
        """The place of a script."""
        return PAGES.index(filename.removeprefix("plot_").removesuffix(".py"))
