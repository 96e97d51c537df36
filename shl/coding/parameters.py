"""How samples are coded: the choices that a user makes, checked once."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from .._base.checks import check_count
from .._base.constraints import Checked, Count, Flag, NotNegative, PositiveShare, choice
from .competition import Competition

HEEDED = {  # by each coder, of the ways that atoms may compete
    "mp": ("gain", "table"),
    "omp": ("gain",),
    **dict.fromkeys(("lars", "lasso_lars", "lasso_cd", "elastic", "threshold"), ()),
}
ALGORITHMS = tuple(HEEDED)
PURSUITS = ("mp", "omp")  # the coders that are our own, and let homeostasis bias the competition
PENALISED = ("lasso_lars", "lasso_cd", "elastic")  # a penalty, not a count, makes codes sparse
UNSIGNED = ("omp", "lars")  # cannot be told to keep codes positive
MISSING = ("error", "mask")  # what NaN is
Algorithm = Annotated[str, choice(ALGORITHMS)]
Missing = Annotated[str, choice(MISSING)]
DEFAULT_SPARSENESS = 10


def check_l0(l0: int | None, n_dictionary: int, name: str) -> None:
    """Raise an error if a sample would have more coefficients than there are atoms."""
    if l0 is not None:
        check_count(l0, name, most=n_dictionary, why="the number of atoms")


@dataclass(frozen=True)
class Coding(Checked):
    """How samples are coded; a value out of its range is an error that names it.

    Parameters
    ----------
    algorithm : str, default='mp'
        Name of the coder, one of ALGORITHMS.
    l0_sparseness : int, default=10
        Largest number of non-zero coefficients per sample.  If None, there is no limit.
    fit_tol : float, default=None
        Tolerance or penalty, as in `sparse_encode`.
    alpha_MP : float, default=1.0
        Share of a coefficient that a step of 'mp' takes, above 0 and at most 1.
    do_sym : bool, default=False
        Whether coefficients of 'mp' may be negative.
    positive_code : bool, default=False
        Whether coefficients of the other coders must not be negative.
    missing : {'error', 'mask'}, default='error'
        What NaN in X is: an error, or a missing entry.
    """

    algorithm: Algorithm = "mp"
    l0_sparseness: Count | None = DEFAULT_SPARSENESS
    fit_tol: NotNegative | None = None
    alpha_MP: PositiveShare = 1.0
    do_sym: Flag = False
    positive_code: Flag = False
    missing: Missing = "error"

    def __post_init__(self):
        super().__post_init__()
        if self.has_gaps and self.algorithm != "omp":
            raise ValueError(
                "missing='mask' needs the algorithm 'omp', which codes by the entries that "
                f"are not missing, not {self.algorithm!r}"
            )
        if self.positive_code and self.algorithm in UNSIGNED:
            raise ValueError(
                f"positive_code: Positive constraint not supported for {self.algorithm!r} "
                "coding method. Use one of "
                f"{', '.join(a for a in ALGORITHMS if a not in UNSIGNED)}."
            )
        if self.positive_code and self.do_sym:
            raise ValueError("positive_code and do_sym ask for opposite signs. Pass one of them.")

    def in_units_of(self, exponent: int) -> "Coding":
        """Return how samples are coded that were divided by 2^exponent."""
        if not self.fit_tol:
            return self
        power = 2 if self.algorithm in PURSUITS else 1
        with np.errstate(over="ignore"):  # a tolerance that is above all squares
            scaled = np.ldexp(self.fit_tol, -power * exponent)
        return replace(self, fit_tol=min(scaled, np.finfo(float).max))

    @property
    def has_gaps(self) -> bool:
        """Whether NaN marks entries that are missing."""
        return self.missing == "mask"

    @property
    def is_signed(self) -> bool:
        """Whether coefficients may be negative."""
        return self.do_sym or (self.algorithm != "mp" and not self.positive_code)

    def check_fits(self, n_dictionary: int) -> None:
        """An error where a sample would have more events than there are atoms."""
        check_l0(self.l0_sparseness, n_dictionary, "l0_sparseness")

    def check_heeds(self, competition: "Competition") -> None:
        """An error for a table of quantiles where the algorithm heeds none."""
        if competition.kind == "table" and self.algorithm != "mp":
            raise ValueError(
                "A table of quantiles P_cum needs the algorithm 'mp', not "
                f"{self.algorithm!r}. Use a rule of homeostasis with a gain, or none."
            )

    def activity(self, n_dictionary: int) -> float:
        """The probability that a sample selects an atom, before anything is known."""
        return min((self.l0_sparseness or n_dictionary) / n_dictionary, 0.5)
