"""Warnings that point at the user's line."""

import sys
import warnings

# Packages between the user's call and a warning.
INSIDE = ("shl", "sklearn", "joblib", "skorch", "contextlib", "concurrent", "threading")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning whose place is the innermost line that is not of these packages."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
