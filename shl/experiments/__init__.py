"""Experiments of the study, and scans over their parameters."""

from .experiment import SHL, STUDY
from .scan import SHL_set

__all__ = ["SHL", "STUDY", "SHL_set"]
