"""How images and signals are coded: the choices that a user makes, checked once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._base.checks import check_count, check_memory
from .._base.constraints import Checked, Count, Flag, Positive, PositiveShare
from .maps import places

L0_OF_IMAGES = 20  # events of an image, by default
FLOOR_OF_SIGNALS = 5.5  # noise levels that an event of a signal exceeds, by default


@dataclass(frozen=True)
class ConvolutionalCoding(Checked):
    """How images are coded; a value out of its range is an error that names it.

    Parameters
    ----------
    l0_sparseness, alpha_MP, do_sym, stride, fit_tol, floor
        See `convolutional_encode`.
    mask : array that broadcasts to the dictionary's shape, optional
        Weights of an atom's pixels while it learns.
    is_quiet : bool, default=True
        False shows progress bars for large images.
    """

    l0_sparseness: Count | None = None
    alpha_MP: PositiveShare = 1.0
    do_sym: Flag = False
    stride: Count = 1
    mask: np.ndarray | None = None
    is_quiet: bool = True
    fit_tol: Positive | None = None
    floor: Positive | None = None

    def of_axes(self, n_axes: int) -> "ConvolutionalCoding":
        """The same with a default where nothing says how sparse the code of signals (n_axes 1) or
        images (n_axes 2) is; an error where two things do.
        """
        names = "l0_sparseness", "fit_tol", "floor"
        given = {n: getattr(self, n) for n in names if getattr(self, n) is not None}
        if len(given) > 1:
            values = " and ".join(f"{name}={value}" for name, value in given.items())
            raise ValueError(
                f"{' and '.join(given)} both say when pursuit ends, {values} are given. Give one "
                f"of {', '.join(names)}."
            )
        if given:
            return self
        if n_axes == 1:
            return replace(self, floor=FLOOR_OF_SIGNALS)
        return replace(self, l0_sparseness=L0_OF_IMAGES)

    def check_fits(self, sizes: Sequence, atom: tuple, n_dictionary: int) -> None:
        """Errors for strides that skip pixels, images (..., height, width) smaller than an atom of
        (height, width), more events than places, and for arrays that are larger than the memory.
        """
        sides = [side for side in atom if side > 1] or [1]
        why = "the width of an atom: pixels between atoms would never be coded"
        check_count(self.stride, "stride", most=min(sides), why=why)
        reach = [2 * ((side - 1) // self.stride) + 1 for side in atom]
        needed = 4 * n_dictionary**2 * reach[0] * reach[1]
        check_memory(needed, "n_dictionary", n_dictionary)
        for size in sorted({tuple(size[-2:]) for size in sizes}):
            if size[0] < atom[0] or size[1] < atom[1]:
                found, wanted = (f"{a} x {b}" if atom[0] > 1 else f"{b}" for a, b in (size, atom))
                axes = "(n_channels, n_times)" if atom[0] == 1 else "(..., height, width)"
                raise ValueError(
                    f"X must be at least as large as an atom, atom_shape or patch_width = {wanted}"
                    f", but its size is {found}. Its axes are {axes}."
                )
            n_rows, n_columns = places(size, atom, self.stride)
            if self.l0_sparseness is not None:
                why = f"the {n_rows} x {n_columns} places of an atom in an image"
                most = n_rows * n_columns
                check_count(self.l0_sparseness, "l0_sparseness", most=most, why=why)
            if self.floor is None or atom[0] > 1:
                check_memory(4 * n_rows * n_columns * n_dictionary, "n_dictionary", n_dictionary)

    def in_units_of(self, exponent: int) -> "ConvolutionalCoding":
        """Return how images are coded that were divided by 2^exponent."""
        if self.fit_tol is None or not exponent:
            return self
        with np.errstate(over="ignore", under="ignore"):
            tol = np.ldexp(self.fit_tol, -2 * exponent)
        return replace(self, fit_tol=float(np.clip(tol, np.finfo(float).tiny, np.finfo(float).max)))

    def activity(self, n_dictionary: int) -> float:
        """The probability that an event falls on an atom, before anything is known."""
        return 1 / n_dictionary
