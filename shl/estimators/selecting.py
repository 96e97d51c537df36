"""How many atoms, and how many of them in a sample: what the data say."""

from dataclasses import dataclass

import numpy as np

from .._base.checks import check_array, check_generator
from .._base.constraints import Count, checked
from ..coding.encode import default_sparseness, sparse_encode
from ..learning.replacement import unexplained
from .dictionary import SparseHebbianLearning

MOST_ROWS = 10_000  # of the samples that are coded
STEP = 0.08  # share of the atoms that leave at a time
RELEARN = 10  # the atoms that stay learn for this part of the steps
QUANTILE = 0.9  # of the counts of coefficients, for l0_sparseness


@dataclass(frozen=True)
class Selection:
    """Sizes of a dictionary, and the curve that they are the minimum of.

    Attributes
    ----------
    n_dictionary, l0_sparseness : int
        Number of atoms, and the 90 % quantile of the number of non-zero coefficients of a sample.
    has_minimum : bool
        False if the curve has its minimum at the first guess: the sizes are then the guess.
    curve : dict of arrays of shape (n_sizes,)
        n_dictionary, length (nats), sigma (standard deviation of the noise), mean_count and
        l0_sparseness, from the first guess downwards.
    """

    n_dictionary: int
    l0_sparseness: int
    has_minimum: bool
    curve: dict[str, np.ndarray]


@checked
def select(
    X: np.ndarray,
    n_dictionary: Count | None = None,
    n_iter: Count = 2000,
    random_state: np.random.Generator | int | None = 0,
) -> Selection:
    """Estimate the number of atoms and of non-zero coefficients by the length of a description.

    A dictionary of a first guess of atoms is learned.  Then its least useful atoms leave, 8 % at a
    time, and the samples are coded by those that stay.  The sizes are those of the least

    length = (n p / 2) ln sigma^2 + sum_i u_i (ln K + ln(u_i) / 2) + (K p / 2) ln n

    with n samples of p pixels, K atoms, u_i the number of samples that use atom i, and sigma^2 the
    mean square of a residual's pixel.  A coefficient counts if it lowers the squared residual by
    more than 2 sigma^2 ln K.  Data without a floor of noise, as photographs, have no minimum.

    Parameters
    ----------
    X : array of shape (n_samples, n_pixels)
    n_dictionary : int, optional
        The first guess, which should be above the number of atoms.  If None, 4 n_pixels.
    n_iter : int, default=2000
        Number of batches of 256 samples to learn the guess from.
    random_state : int, Generator or None, default=0

    Returns
    -------
    selection : Selection

    See Also
    --------
    shl.plotting.plot_selection : Draw the curve.

    References
    ----------
    Rissanen (1978), Automatica 14(5); Ramirez & Sapiro (2012), IEEE Trans. Signal Process. 60(6).

    Examples
    --------
    >>> from shl.datasets import make_sparse_coded_signals
    >>> X, _, _ = make_sparse_coded_signals(4000, 24, 32, 2, noise=0.05)
    >>> selection = select(X, 64, n_iter=300)
    >>> selection.has_minimum, 26 <= selection.n_dictionary <= 38, selection.l0_sparseness
    (True, True, 2)
    """
    X = check_array(X, "X", ndim=2)
    rng = check_generator(random_state, "random_state")
    guess = 4 * X.shape[1] if n_dictionary is None else n_dictionary
    most = default_sparseness(X.shape[1], guess)
    Y = X[rng.choice(len(X), min(len(X), MOST_ROWS), replace=False)]

    def learn(**options):
        seed = int(rng.integers(2**31))
        return SparseHebbianLearning(random_state=seed, **options).fit(X).components_

    D, found = learn(n_dictionary=guess, l0_sparseness=most, n_iter=n_iter), []
    l0_sparseness = _describe(Y, D, most)[0]["l0_sparseness"]
    while len(D) > max(2, most):
        again = {"n_iter": max(1, n_iter // RELEARN), "replace": False, "dict_init": D}
        D = learn(n_dictionary=len(D), l0_sparseness=l0_sparseness, **again)
        row, merit = _describe(Y, D, most)
        found.append(row)
        if _is_past(found):
            break
        D, l0_sparseness = D[_stay(D, merit)], row["l0_sparseness"]
    curve = {name: np.array([row[name] for row in found]) for name in found[0]}
    best = int(curve["length"].argmin())
    if best == 0:
        return Selection(guess, most, False, curve)
    return Selection(
        int(curve["n_dictionary"][best]), int(curve["l0_sparseness"][best]), True, curve
    )


def _is_past(found):
    """Whether the minimum lies well behind: the last five sizes are each worse than the best."""
    lengths = [row["length"] for row in found]
    return len(lengths) > 5 and min(lengths[-5:]) > min(lengths)


def _describe(Y, D, most):
    """({name: value} of one size, how much each atom is used) of samples Y."""
    n, p = Y.shape
    codes = [
        sparse_encode(Y, D, algorithm="omp", l0_sparseness=k, sparse_output=True)
        for k in range(1, most + 1)
    ]
    left = [(Y.astype(float) ** 2).sum(axis=1)]
    left += [((Y - code @ D).astype(float) ** 2).sum(axis=1) for code in codes]
    left = np.array(left)
    gains, rows = -np.diff(left, axis=0), np.arange(n)
    counts = np.full(n, most)
    for _ in range(10):
        sigma2 = left[counts, rows].sum() / max(1, n * p - counts.sum())
        counts = _last_that_counts(gains > 2 * sigma2 * np.log(len(D)))
    energy, uses = np.zeros(len(D)), np.zeros(len(D))
    for k, code in enumerate(codes, 1):
        part = code[counts == k]
        energy += np.asarray((part.astype(float) ** 2).sum(axis=0)).ravel()
        uses += np.bincount(part.indices, minlength=len(D))
    mean_square = max(left[counts, rows].sum() / (n * p), np.finfo(float).tiny)
    length = n * p / 2 * np.log(mean_square) + len(D) * p / 2 * np.log(n)
    length += uses.sum() * np.log(len(D)) + (uses * np.log(np.maximum(uses, 1))).sum() / 2
    row = {"n_dictionary": len(D), "length": length, "sigma": mean_square**0.5}
    row |= {"mean_count": counts.mean()}
    return row | {"l0_sparseness": max(1, round(np.quantile(counts, QUANTILE)))}, energy


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
