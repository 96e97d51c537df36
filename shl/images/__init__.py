"""Images: photographs are read and whitened, and patches are cut from them."""

from .patches import (
    Patches,
    band_pass,
    block_average,
    centre,
    crop,
    disc,
    draw_patches,
    extract_patches,
    noise_patches,
    preprocess,
    whiten,
)
from .photographs import (
    BUILT_IN,
    DATAPATH,
    choose_database,
    dead_leaves,
    find_database,
    load_images,
    read_image,
    read_images,
    to_color,
    to_grey,
)
from .windows import extract, reconstruct

__all__ = [
    "BUILT_IN",
    "DATAPATH",
    "Patches",
    "band_pass",
    "block_average",
    "centre",
    "choose_database",
    "crop",
    "dead_leaves",
    "disc",
    "draw_patches",
    "extract",
    "extract_patches",
    "find_database",
    "load_images",
    "noise_patches",
    "preprocess",
    "read_image",
    "read_images",
    "reconstruct",
    "to_color",
    "to_grey",
    "whiten",
]
