"""Pictures of dictionaries, distributions, histories and scans: arrays or models in, axes out.

Functions draw into `fig` and `ax` where given, else into a figure of their own.  They never show a
figure and never change matplotlib's settings; `fname` saves it.
"""

from . import atoms, distributions, figures, gabor, records
from .atoms import *
from .distributions import *
from .figures import *
from .gabor import *
from .records import *

__all__ = atoms.__all__ + distributions.__all__ + figures.__all__ + gabor.__all__ + records.__all__
