"""Warnings that point at the line of the user."""

import sys
import warnings

# Packages between the user's call and a warning: scikit-learn wraps the methods of estimators.
OURS = (__name__.partition(".")[0], "sklearn", "joblib", "skorch", "contextlib", "concurrent")


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the innermost line that is in none of these packages."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
