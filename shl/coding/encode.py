"""Sparse coding: samples and a dictionary in, events out.

`sparse_encode` is the public function.  `shl.coding.events` defines a code,
`shl.coding.competition` how atoms compete, and `shl.coding.coder` how samples are coded.
"""

from typing import Any

import numpy as np
from scipy import sparse

from .._base.arrays import like, namespace
from .._base.blocks import by_blocks
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
    """Return the default of l0_sparseness: n_pixels / 10, at least 1 and at most n_dictionary."""
    return min(max(1, n_pixels // 10), n_dictionary)


def limit_sparseness(
    l0_sparseness: int | None, default: int | None, algorithm: str, fit_tol: float | None
) -> int | None:
    """Return l0_sparseness; if it is None, the default, or no limit if a penalty makes codes
    sparse.
    """
    check_choice(algorithm, "algorithm", ALGORITHMS)
    has_penalty = algorithm in PENALISED or (algorithm == "threshold" and fit_tol is not None)
    return default if l0_sparseness is None and not has_penalty else l0_sparseness


def check_dictionary(dictionary, dtype, n_pixels=None, name="dictionary"):
    """A dictionary (n_dictionary, n_pixels) of the dtype with rows of unit norm, or an error."""
    dictionary = check_array(dictionary, name, ndim=2, dtype=dtype, n_columns=n_pixels)
    check_norms(dictionary, name)
    return dictionary


def check_directions(atoms, name):
    """Raise an error if one of the atoms (n_dictionary, n_pixels) is all zeros."""
    has_direction = (atoms != 0).any(axis=1)
    if not has_direction.all():
        row = int(namespace(atoms).nonzero(~has_direction)[0][0])
        raise ValueError(
            f"{name} must have no row of zeros, because an atom needs a direction, but "
            f"row {row} is all zeros"
        )


def check_norms(atoms, name):
    """Raise an error unless atoms (n_dictionary, n_pixels) have unit norms."""
    norms = namespace(atoms).linalg.norm(atoms, axis=1)
    if not norms.all():
        check_directions(atoms, name)
    worst = int(abs(norms - 1).argmax())
    if abs(norms[worst] - 1) > 1e-3:
        raise ValueError(
            f"{name} must have rows of unit norm, but row {worst} has norm "
            f"{norms[worst]:.3g}. Divide each row by its norm."
        )


def check_precision(precision, shape, dtype, name="precision"):
    """A precision of the dictionary's shape, positive, or None."""
    if precision is None:
        return None
    precision = check_array(precision, name, ndim=2, dtype=dtype, shape=shape)
    if precision.min() <= 0:
        raise ValueError(f"{name} must be above 0, not {precision.min():.3g}")
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
                f"{name} has no effect with algorithm={algorithm!r}. Use "
                f"{' or '.join(users[name])}, or leave {name} out."
            )


@by_blocks
@checked
def sparse_encode(
    X: Any,
    dictionary: Any,
    precision: Any = None,
    *,
    algorithm: Algorithm = "mp",
    l0_sparseness: Count | None = None,
    fit_tol: NotNegative | None = None,
    alpha_MP: PositiveShare = 1.0,
    competition: CompetitionLike | None = None,
    gain: Any = None,
    P_cum: Any = None,
    C: Positive | None = None,
    do_sym: Flag = False,
    positive_code: Flag = False,
    missing: Missing = "error",
    sparse_output: Flag = False,
    n_jobs: int | None = None,
) -> np.ndarray | sparse.csr_array:
    """Code samples by a few atoms each: X ~ code @ dictionary.

    Matching pursuit repeats these steps for each sample::

        i = argmax_i z_i(rho_i);   a = alpha_MP rho_i;   code_i += a;   rho -= a G_i

    Here rho = dictionary @ x and G = dictionary @ dictionary.T.  The competition is
    z_i(a) = gain_i max(a, 0) or P_cum_i(1 - exp(-max(a, 0) / C)).  Ties go to the lowest index.  A
    sample ends early if no z is above 0.

    X may have any scale.  Samples are divided by powers of two, which is exact, so that the codes
    of X and of 2^k X have the same bits if tolerances, penalties and C are scaled with them.
    ('elastic' with fit_tol is the exception: its squared penalty has no unit.)

    Parameters
    ----------
    X : array of shape (n_samples, n_pixels)
        Samples, in float32 or float64; other dtypes become float64.  A memory map is read in
        chunks.  If X is on a GPU, as a CUDA tensor of PyTorch or an array of another library, all
        other arrays must be there too, and so is the code (extra `gpu`; 'mp' and 'omp').  The code
        of a Dask array is a Dask array, computed lazily, block by block.
    dictionary : array of shape (n_dictionary, n_pixels)
        Atoms, rows of unit norm.
    precision : array of shape (n_dictionary, n_pixels), optional
        Positive weights w of the pixels of each atom, for 'mp': n_i = sqrt(<d_i, w_i d_i>),
        rho_i = <x, w_i d_i> / n_i, a = alpha_MP rho_i / n_i.
    algorithm : str, default='mp'
        Coder: 'mp'; 'omp', which is orthogonal and signed; or one that is signed and rests on
        scikit-learn: 'lars', 'lasso_lars', 'lasso_cd', 'elastic', 'threshold'.
    l0_sparseness : int, optional
        Steps of a pursuit, and largest number of atoms per sample.  If None, 10, or the number of
        atoms if that is smaller.  A penalty or a threshold has no limit then.
    fit_tol : float, optional
        Tolerance of 'mp' and 'omp': a sample ends when its squared residual norm is at most
        fit_tol, in the units of X squared, and l0_sparseness is not used.  Penalty of 'lasso_lars',
        'lasso_cd' and 'elastic', in the units of X: they minimise
        |x - code D|^2 / 2 + fit_tol |code|_1, 'elastic' with half of it as a square.  If None, a
        tenth of the largest correlation of each sample (none for 'lasso_lars' with
        l0_sparseness).  Threshold of 'threshold'.
    alpha_MP : float, default=1.0
        Share of a coefficient that one step of 'mp' takes, in (0, 1].
    competition : Competition, optional
        Gain, or table and its scale, in one object, as `model.competition_`.  It takes the place
        of the next three parameters.
    gain : array of shape (n_dictionary,), optional
        Non-negative gain of each atom, for 'mp' and 'omp'.
    P_cum : array of shape (n_dictionary, nb_quant), optional
        Table of non-decreasing rows in [0, 1], for 'mp'.  It needs C.
    C : float, optional
        Scale of the coefficients in the table P_cum, in the units of X.
    do_sym : bool, default=False
        Whether coefficients of 'mp' may be negative: z is then applied to |rho|.
    positive_code : bool, default=False
        Whether coefficients of 'lasso_lars', 'lasso_cd', 'elastic' and 'threshold' are kept from
        being negative.  Those of 'mp' are not negative without do_sym.
    missing : str, default='error'
        Meaning of NaN.  With 'mask', NaN marks missing entries ('omp' only): a sample is coded by
        the entries that it has, to fit_tol times their share.  This takes several times as long.
    sparse_output : bool, default=False
        Whether to return a SciPy CSR array.
    n_jobs : int, optional
        Number of threads.  If None, 1; -1 uses all cores.  The result has the same bits for any
        number.

    Returns
    -------
    code : array or CSR array of shape (n_samples, n_dictionary)
        Coefficients, of the dtype of X.

    Raises
    ------
    ValueError, TypeError
        Naming the parameter, its value and its range.  A coefficient that the dtype cannot hold is
        an error that names the sample.

    Warns
    -----
    UserWarning
        If samples do not reach fit_tol: because 'mp' took 300 n_pixels / alpha_MP steps, or
        because the atoms that 'omp' has left depend on those selected.  Or if the solvers of a
        penalised coder did not converge.

    Notes
    -----
    'omp' ends a sample when the part of the next atom that is new has a squared norm of at most
    1e-11.  Samples whose residual is small beside them, or whose atoms nearly depend on each
    other, are coded again by QR factors in float64.  'lars' and the lasso are solved in float64,
    and a lasso that is no minimum is solved again by non-negative least squares.

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
            raise ValueError(
                "competition includes gain, P_cum and C, but some of them are given beside "
                "it. Pass competition alone, or leave it out."
            )
        gain, P_cum, C = competition.gain, competition.P_cum, competition.C
    refuse_unused(algorithm, gain, P_cum, precision)
    competition = check_competition(gain, P_cum, C, len(dictionary), X.dtype)
    precision = check_precision(precision, dictionary.shape, X.dtype)
    with Threads(n_jobs) as threads:
        events = prepare(coding, dictionary, competition, precision, threads).encode(X, threads)
    code = events.to_csr() if sparse_output else events.to_dense()
    return like(code, given)
