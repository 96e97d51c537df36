"""How many atoms, and how many of them in a sample: what the data say."""

import numpy as np

from .._base.checks import check_array, check_generator
from .._base.constraints import Count, checked
from .dictionary import SparseHebbianLearning
from .sizes import Selection


@checked
def select(
    X: np.ndarray,
    n_dictionary: Count | None = None,
    n_iter: Count = 2000,
    random_state: np.random.Generator | int | None = 0,
) -> Selection:
    """Estimate the number of atoms and of non-zero coefficients by the length of a description.

    A dictionary of a first guess of atoms is learned.  Then its least useful atoms leave, 8 % at a
    time, and the samples are coded by those that stay.  The sizes are those of the least length

    (n p / 2) ln sigma^2 + (K p / 2) ln n + sum_i (n H(u_i / n) + (u_i / 2) ln(1 + w_i / sigma^2))

    with n samples of p pixels, K atoms, sigma^2 the mean square of a residual's pixel, and H the
    entropy of a binary choice.  u_i samples use atom i, which lowers their squared residuals by w_i
    in the mean.  A coefficient counts if it lowers the squared residual by more than
    2 sigma^2 (ln K + ln(1 + w / sigma^2) / 2), with w the mean over coefficients.  Data without a
    floor of noise, as photographs, show no sizes.

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
    SparseHebbianLearning : Calls it for n_dictionary="auto".

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
    return SparseHebbianLearning("auto", n_iter=n_iter)._select(X, rng, n_dictionary)
