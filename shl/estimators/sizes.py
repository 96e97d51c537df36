"""How many atoms, and how many of them in a sample: the shortest description of the data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.special import xlog1py, xlogy

from .._base.checks import check_count
from .._base.constraints import Constraint
from .._base.threads import Threads, chunks
from ..coding.parameters import Coding
from ..coding.preparing import prepare
from ..learning.loop import CODED_ROWS, code_all
from ..learning.replacement import unexplained

MOST_ROWS = 10_000  # of the samples that are coded
STEP = 0.08  # share of the atoms that leave at a time
RELEARN = 10  # the atoms that stay learn for this part of the steps
TINY = np.finfo(float).tiny
QUANTILE = 0.9  # of the counts of coefficients, for l0_sparseness


def is_auto(value: object) -> bool:
    """Whether a size is to be estimated from the samples."""
    return isinstance(value, str) and value == "auto"


def _check_size(value, name):
    """'auto', or a count."""
    return value if is_auto(value) else check_count(value, name)


Size = Annotated[
    int | str,
    Constraint(_check_size, "an integer, at least 1, or 'auto'", (1, "auto"), (0, 1.5, "1", "all")),
]


@dataclass(frozen=True)
class Selection:
    """Sizes of a dictionary, and the curve that they are the minimum of.

    Attributes
    ----------
    n_dictionary, l0_sparseness : int
        Number of atoms, and the 90 % quantile of the number of non-zero coefficients of a sample.
    has_minimum : bool
        False if the data do not show the sizes, which are then the first guess: the description is
        shortest with all atoms, or more than a tenth of the samples use all coefficients that were
        tried.
    curve : dict of arrays of shape (n_sizes,)
        n_dictionary, length (nats), sigma (standard deviation of the noise), mean_count and
        l0_sparseness, from the first guess downwards.
    """

    n_dictionary: int
    l0_sparseness: int
    has_minimum: bool
    curve: dict[str, np.ndarray]


def choose(
    Y: np.ndarray, learn: Callable, guess: int, first: int, is_free: bool = True
) -> Selection:
    """Return the sizes of the shortest description of samples, see `shl.select`.

    Parameters
    ----------
    Y : array of shape (n_samples, n_pixels)
    learn : callable
        learn(n_dictionary=, l0_sparseness=, dict_init=) returns a dictionary.  With a dict_init,
        which is the atoms that stayed, it learns for a shorter time.
    guess, first : int
        Number of atoms of the first dictionary, and of non-zero coefficients of a sample.
    is_free : bool, default=True
        False keeps that number of atoms.
    """
    most = min(guess, 2 * first)
    D = learn(n_dictionary=guess, l0_sparseness=first, dict_init=None)
    found: list[dict] = []
    l0_sparseness = _describe(Y, D, most)[0]["l0_sparseness"]
    while not found or len(D) > max(2, most):
        D = learn(n_dictionary=len(D), l0_sparseness=l0_sparseness, dict_init=D)
        row, merit = _describe(Y, D, most)
        found.append(row)
        if not is_free or _is_past(found):
            break
        D, l0_sparseness = D[_stay(D, merit)], row["l0_sparseness"]
    curve = {name: np.array([row[name] for row in found]) for name in found[0]}
    best = int(curve["length"].argmin())
    is_at_an_end = is_free and best in (0, len(found) - 1)
    if is_at_an_end or curve["l0_sparseness"][best] == most:
        return Selection(guess, first, False, curve)
    n_dictionary, l0_sparseness = (int(curve[n][best]) for n in ("n_dictionary", "l0_sparseness"))
    return Selection(n_dictionary, l0_sparseness, True, curve)


def _is_past(found):
    """Whether the minimum lies well behind: the last five sizes are each worse than the best."""
    lengths = [row["length"] for row in found]
    return len(lengths) > 5 and min(lengths[-5:]) > min(lengths)


def _describe(Y, D, most):
    """({name: value} of one size, the energy of each atom's coefficients) of samples Y."""
    (n, p), n_atoms = Y.shape, len(D)
    with Threads(1) as threads:
        coder = prepare(Coding("omp", l0_sparseness=most), D)
        events = code_all(Y, coder, threads).code
    parts = [_factor(Y[rows], D, events.indices[rows], events.values[rows]) for rows in _chunks(n)]
    steps = np.concatenate([step for _, step in parts])
    squares = (Y.astype(float) ** 2).sum(axis=1)
    left = np.column_stack([squares, squares[:, None] - np.cumsum(steps**2, axis=1)])
    counts, rows = np.full(n, most), np.arange(n)
    for _ in range(10):
        sigma2 = max(left[rows, counts].sum() / max(1, n * p - counts.sum()), TINY)
        power = (squares - left[rows, counts]).sum() / max(1, counts.sum())
        cost = np.log(n_atoms) + np.log1p(power / sigma2) / 2
        counts = _last_that_counts(2 * sigma2 * cost < steps.T**2)
    counted = np.arange(most) < counts[:, None]
    steps = np.where(counted, steps, 0)
    factors = np.concatenate([factor for factor, _ in parts])
    values = np.linalg.solve(factors.transpose(0, 2, 1), steps[:, :, None])[:, :, 0]
    energy = np.bincount(events.indices.ravel(), (values**2).ravel(), n_atoms)
    uses = np.bincount(events.indices[counted], minlength=n_atoms)
    mean_square = max(left[rows, counts].mean() / p, TINY)
    length = n * p / 2 * np.log(mean_square) + n_atoms * p / 2 * np.log(n)
    length -= (xlogy(uses, uses / n) + xlog1py(n - uses, -uses / n)).sum()
    length += (uses * np.log1p(energy / np.maximum(uses, 1) / mean_square)).sum() / 2
    row = {"n_dictionary": n_atoms, "length": length, "sigma": mean_square**0.5}
    row |= {"mean_count": counts.mean()}
    return row | {"l0_sparseness": max(1, round(np.quantile(counts, QUANTILE)))}, energy


def _chunks(n):
    return chunks(n, most=CODED_ROWS, fewest=CODED_ROWS)


def _factor(Y, D, indices, values):
    """Return (L, c): G = L L^T for the selected atoms of each sample, and c^2 is what each atom
    takes off the squared residual, in the order of their selection.
    """
    used = values != 0
    D = D.astype(float)
    both = used[:, :, None] & used[:, None, :]
    grams = np.where(
        both, (D @ D.T)[indices[:, :, None], indices[:, None, :]], np.eye(len(used[0]))
    )
    factors = np.linalg.cholesky(grams)
    products = np.where(used, np.take_along_axis(Y @ D.T, indices, axis=1), 0)
    return factors, np.linalg.solve(factors, products[:, :, None])[:, :, 0]


def _last_that_counts(is_large):
    """The number of leading coefficients up to the last that counts, of each sample."""
    n_steps = len(is_large)
    return np.where(is_large.any(axis=0), n_steps - is_large[::-1].argmax(axis=0), 0)


def _stay(D, energy):
    """Indices of the atoms that stay: the least useful leave, no two that explain each other."""
    gram = np.abs(D @ D.T)
    merit = energy * unexplained(gram)
    np.fill_diagonal(gram, 0)
    nearest, leaving = gram.argmax(axis=1), []
    for i in np.argsort(merit, kind="stable"):
        if nearest[i] not in leaving:
            leaving.append(i)
        if len(leaving) >= max(1, STEP * len(D)):
            break
    return np.setdiff1d(np.arange(len(D)), leaving)
