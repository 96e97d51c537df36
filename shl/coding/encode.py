"""Sparse coding: samples and a dictionary in, events out.

`sparse_encode` is the public function.  `shl.coding.events` defines a code,
`shl.coding.competition` how atoms compete, and `shl.coding.coder` how samples are coded.
"""

import numpy as np
from scipy import sparse

from .._base.arrays import like, namespace
from .._base.checks import check_array, check_choice
from .._base.constraints import Count, Flag, NotNegative, Positive, PositiveShare, checked
from .._base.samples import read_samples
from .._base.threads import Threads
from .competition import CompetitionLike, check_competition
from .parameters import (
    ALGORITHMS,
    DEFAULT_SPARSENESS,
    HEEDED,
    PENALISED,
    Algorithm,
    Coding,
    Missing,
)
from .preparing import prepare


def default_sparseness(n_pixels: int, n_dictionary: int) -> int:
    """Events a sample where nothing is said: n_pixels / 10, at least 1 and at most n_dictionary."""
    return min(max(1, n_pixels // 10), n_dictionary)


def limit_sparseness(l0_sparseness, default, algorithm, fit_tol):
    """l0_sparseness; where it is None the default, or no limit where a penalty makes codes few."""
    check_choice(algorithm, "algorithm", ALGORITHMS)
    has_penalty = algorithm in PENALISED or (algorithm == "threshold" and fit_tol is not None)
    return default if l0_sparseness is None and not has_penalty else l0_sparseness


def check_dictionary(dictionary, dtype, n_pixels=None, name="dictionary"):
    """A dictionary (n_dictionary, n_pixels) of the dtype with rows of unit norm, or an error."""
    dictionary = check_array(dictionary, name, ndim=2, dtype=dtype, n_columns=n_pixels)
    check_norms(dictionary, name)
    return dictionary


def check_norms(atoms, name):
    """Raise an error unless atoms (n_dictionary, n_pixels) have unit norms."""
    norms = namespace(atoms).linalg.norm(atoms, axis=1)
    if not norms.all():
        raise ValueError(
            f"{name}: row {int(norms.argmin())} is all zeros, an atom must have a direction"
        )
    worst = int(abs(norms - 1).argmax())
    if abs(norms[worst] - 1) > 1e-3:
        raise ValueError(
            f"{name} must have rows of unit norm; row {worst} has norm {norms[worst]:.3g}"
        )


def check_precision(precision, shape, dtype, name="precision"):
    """A precision of the dictionary's shape, positive, or None."""
    if precision is None:
        return None
    precision = check_array(precision, name, ndim=2, dtype=dtype, shape=shape)
    if precision.min() <= 0:
        raise ValueError(f"{name} must be positive, its least is {precision.min():.3g}")
    return precision


def refuse_unused(algorithm, gain=None, P_cum=None, precision=None):
    """An error for a competition or precision that the algorithm would silently ignore."""
    users = {
        "gain": [name for name, kinds in HEEDED.items() if "gain" in kinds],
        "P_cum": [name for name, kinds in HEEDED.items() if "table" in kinds],
        "precision": ("mp",),
    }
    given = {"gain": gain, "P_cum": P_cum, "precision": precision}
    for name, value in given.items():
        if value is not None and algorithm not in users[name]:
            raise ValueError(
                f"{name} has no effect with algorithm={algorithm!r}: it needs "
                f"{' or '.join(users[name])}"
            )


@checked
def sparse_encode(
    X,
    dictionary,
    precision=None,
    *,
    algorithm: Algorithm = "mp",
    l0_sparseness: Count | None = None,
    fit_tol: NotNegative | None = None,
    alpha_MP: PositiveShare = 1.0,
    competition: CompetitionLike | None = None,
    gain=None,
    P_cum=None,
    C: Positive | None = None,
    do_sym: Flag = False,
    positive_code: Flag = False,
    missing: Missing = "error",
    sparse_output: Flag = False,
    n_jobs: int | None = None,
) -> np.ndarray | sparse.csr_array:
    """Code samples by a few atoms each: X ~ code @ dictionary.

    Matching pursuit repeats, l0_sparseness times a sample::

        i = argmax_i z_i(rho_i);   a = alpha_MP rho_i;   code_i += a;   rho -= a G_i

    with rho = dictionary @ x, G = dictionary @ dictionary.T, and the competition
    z_i(a) = gain_i max(a, 0) or P_cum_i(1 - exp(-max(a, 0) / C)).  Ties go to the lowest index.  A
    sample ends early where no z is above 0.

    Parameters
    ----------
    X : array of shape (n_samples, n_pixels)
        Of float32 or float64 (kept; others become float64); a memory map is read in chunks.  On a
        GPU, as a CUDA tensor of PyTorch or an array of another library, so must be all other
        arrays, and is the code (extra `gpu`; 'mp' and 'omp').
    dictionary : array of shape (n_dictionary, n_pixels)
        Rows of unit norm.
    precision : array of shape (n_dictionary, n_pixels), optional
        Positive, 'mp' only.  Weights w of the pixels of each atom: n_i = sqrt(<d_i, w_i d_i>),
        rho_i = <x, w_i d_i> / n_i, a = alpha_MP rho_i / n_i.
    algorithm : str, default='mp'
        'mp', 'omp' (orthogonal, signed), or by scikit-learn and signed: 'lars', 'lasso_lars',
        'lasso_cd', 'elastic', 'threshold'.
    l0_sparseness : int, optional
        Steps of a pursuit, and the most atoms a sample uses.  None is 10, or all where they are
        fewer; of codes that a penalty or a threshold makes sparse it is no limit.
    fit_tol : float, optional
        'mp', 'omp': a sample ends when its squared residual norm is at most this, and l0_sparseness
        is not used.  'lasso_lars', 'lasso_cd', 'elastic': the penalty of the L1 norm in
        |x - code D|^2 / 2 + fit_tol |code|_1 (elastic: half of it L1, half squared); without, a
        tenth of each sample's largest correlation ('lasso_lars' with l0_sparseness: none).
        'threshold': the threshold.
    alpha_MP : float, default=1.0
        In (0, 1], 'mp' only.  Share of a coefficient that one step takes.
    competition : Competition, optional
        Gain, or table and its scale, in one, as in `model.competition_`; or, instead, of
        the next three.
    gain : array of shape (n_dictionary,), optional
        Non-negative, 'mp' and 'omp'.
    P_cum : array of shape (n_dictionary, nb_quant), optional
        Non-decreasing rows in [0, 1], 'mp' only; needs C.
    C : float, optional
        Scale of coefficients in the table P_cum.
    do_sym : bool, default=False
        'mp' only.  True lets coefficients be negative: z is applied to |rho|.
    positive_code : bool, default=False
        True keeps coefficients from being negative: 'lasso_lars', 'lasso_cd', 'elastic',
        'threshold', and 'mp', where they are not without do_sym; 'omp' and 'lars' cannot.
    missing : str, default='error'
        'mask' lets NaN mark missing entries, 'omp' only: a sample is coded by those that it has,
        to fit_tol times their share.  It takes several times as long.
    sparse_output : bool, default=False
        True returns a SciPy CSR array.
    n_jobs : int, optional
        Threads; None is 1, -1 all cores.  The result has the same bits for any number.

    Returns
    -------
    code : array or CSR array of shape (n_samples, n_dictionary)
        Of X's dtype.

    Raises
    ------
    ValueError, TypeError
        Naming the parameter, its value and its range.

    References
    ----------
    Mallat & Zhang (1993), IEEE Trans. Signal Process. 41(12), eq. 14-20; Perrinet (2010), Neural
    Computation 22(7).

    Examples
    --------
    >>> import numpy as np
    >>> sparse_encode(np.array([[0.0, 2.0]]), np.eye(2), l0_sparseness=1)
    array([[0., 2.]])
    """
    given, X = X, read_samples(X, "X", missing == "mask", exponent=0)[0]  # coders scale by sample
    dictionary = check_dictionary(dictionary, X.dtype, X.shape[1])
    default = min(DEFAULT_SPARSENESS, len(dictionary))
    l0_sparseness = limit_sparseness(l0_sparseness, default, algorithm, fit_tol)
    coding = Coding(algorithm, l0_sparseness, fit_tol, alpha_MP, do_sym, positive_code, missing)
    coding.check_fits(len(dictionary))
    if competition is not None:
        if gain is not None or P_cum is not None or C is not None:
            raise ValueError("competition brings gain, P_cum and C: give it or them, not both")
        gain, P_cum, C = competition.gain, competition.P_cum, competition.C
    refuse_unused(algorithm, gain, P_cum, precision)
    competition = check_competition(gain, P_cum, C, len(dictionary), X.dtype)
    precision = check_precision(precision, dictionary.shape, X.dtype)
    with Threads(n_jobs) as threads:
        events = prepare(coding, dictionary, competition, precision, threads).encode(X, threads)
    code = events.to_csr() if sparse_output else events.to_dense()
    return like(code, given)
