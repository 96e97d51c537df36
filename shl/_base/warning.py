"""Warnings that point at the line of the user."""

import sys
import warnings

OURS = (__name__.partition(".")[0], "sklearn")  # scikit-learn wraps the methods of estimators


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the innermost line that is neither in this package nor in scikit-learn."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
