"""Images: photographs are read and whitened, and patches are cut from them."""

from . import patches, photographs, windows
from .patches import *
from .photographs import *
from .windows import *

__all__ = patches.__all__ + photographs.__all__ + windows.__all__
