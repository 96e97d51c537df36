"""Sparse coding: samples and a dictionary in, events out.

`sparse_encode` is the public edge.  Inside, `prepare` turns a dictionary and a competition into a
`Coder` (filters, Gram matrix, bounds), and `encode` runs it over fixed chunks of rows.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from . import kernels
from ._checks import check_array, check_choice, check_count, check_number
from ._threads import Threads, chunks

ALGORITHMS = ("mp", "omp", "lars", "lasso_lars", "lasso_cd", "elastic", "threshold")
DEFAULT_PENALTY = (
    0.1  # of lasso_cd and elastic, in units of a sample's largest correlation with an atom
)
# Of matching pursuit to a tolerance, for each pixel of a sample: a guard, not a limit one meets.
MOST_STEPS = 100
PURSUITS = ("mp", "omp")  # the coders that are our own, and let homeostasis bias the competition


@dataclass(frozen=True)
class Events:
    """A sparse code: for each sample the atoms it selects and their coefficients.

    indices (n_samples, n_slots) int32, each atom at most once; values (n_samples, n_slots).  An
    unused slot has index 0 and value 0.
    """

    indices: np.ndarray
    values: np.ndarray
    n_dictionary: int

    def __len__(self):
        return len(self.indices)

    def to_dense(self):
        """The code as an array (n_samples, n_dictionary)."""
        code = np.zeros((len(self), self.n_dictionary), self.values.dtype)
        kernels.scatter(self.indices, self.values, code)
        return code

    def to_csr(self):
        """The code as a SciPy CSR array (n_samples, n_dictionary) with sorted indices; the events
        are reordered.
        """
        n_used = kernels.sort_events(self.indices, self.values)
        offsets = np.concatenate(([0], np.cumsum(n_used, dtype=np.int64)))
        is_full = offsets[-1] == self.values.size
        used = slice(None) if is_full else np.arange(self.values.shape[1]) < n_used[:, None]
        parts = self.values[used].ravel(), self.indices[used].ravel(), offsets
        return sparse.csr_array(parts, shape=(len(self), self.n_dictionary))

    def counts(self):
        """How many samples select each atom, (n_dictionary,) int64."""
        return np.bincount(self.indices[self.values != 0], minlength=self.n_dictionary)

    def power_sums(self, power):
        """sum_n a_ni^power for each atom i, (n_dictionary,) float64."""
        weights = (self.values.astype(np.float64) ** power).ravel()
        return np.bincount(self.indices.ravel(), weights, self.n_dictionary)

    @classmethod
    def join(cls, parts):
        """The events of several chunks in order, each padded to the most slots among them."""
        n_slots = max(part.values.shape[1] for part in parts)

        def stack(arrays):
            padding = [((0, 0), (0, n_slots - array.shape[1])) for array in arrays]
            return np.concatenate(
                [
                    np.pad(array, pad) if pad[1][1] else array
                    for array, pad in zip(arrays, padding, strict=True)
                ]
            )

        return cls(
            stack([part.indices for part in parts]),
            stack([part.values for part in parts]),
            parts[0].n_dictionary,
        )

    @classmethod
    def from_dense(cls, code, l0_sparseness=None):
        """The events of a dense or CSR code; with `l0_sparseness`, each sample's largest
        coefficients only.
        """
        if sparse.issparse(code):
            code = code.toarray()
        most = int((code != 0).sum(axis=1).max(initial=0))
        n_slots = max(1, most if l0_sparseness is None else min(l0_sparseness, code.shape[1]))
        order = np.argsort(-np.abs(code), axis=1, kind="stable")[:, :n_slots].astype(np.int32)
        values = np.take_along_axis(code, order, axis=1)
        return cls(np.where(values != 0, order, np.int32(0)), values, code.shape[1])


@dataclass(frozen=True)
class Competition:
    """How atoms compete in pursuit: z_i(a) = gain_i a, or z_i(a) = P_cum_i(1 - exp(-a / C)).

    gain (n_dictionary,), non-negative; P_cum (n_dictionary, nb_quant), non-decreasing along its
    rows.  Neither is plain matching pursuit, z(a) = a.
    """

    gain: np.ndarray | None = None
    P_cum: np.ndarray | None = None
    C: float = 5.0


PLAIN = Competition()


@dataclass(frozen=True)
class Coder:
    """A dictionary made ready for one algorithm: what every chunk of samples shares."""

    dictionary: np.ndarray  # (n_dictionary, n_pixels), unit norms
    filters: np.ndarray  # rho = X @ filters.T
    gram: np.ndarray  # (n_dictionary, n_dictionary): what one unit of an atom takes off every rho
    scale: np.ndarray  # value of an event / rho
    gain: (
        np.ndarray
    )  # (n_dictionary,): of the competition, or of the scores that bound its quantiles
    P_cum: np.ndarray  # (n_dictionary, nb_quant), no columns for a gain
    C: float
    levels: np.ndarray
    bounds: np.ndarray
    algorithm: str = "mp"
    n_slots: int = 1
    n_steps: int = 1
    fit_tol: float | None = None
    alpha_MP: float = 1.0
    do_sym: bool = False

    def code(self, X):
        """The events of one chunk of samples (n_samples, n_pixels), on this thread."""
        X = np.ascontiguousarray(X, self.dictionary.dtype)
        events = Events(
            np.zeros((len(X), self.n_slots), np.int32),
            np.zeros((len(X), self.n_slots), X.dtype),
            len(self.dictionary),
        )
        if self.algorithm == "mp":
            self._pursue(X, events)
        elif self.algorithm == "omp":
            self._pursue_orthogonal(X, events)
        else:
            events = _encode_with_sklearn(X, self)
        return events if self.fit_tol is None else _trim(events)

    def _pursue(self, X, events):
        number = X.dtype.type
        has_tolerance = self.fit_tol is not None
        residual = X.copy() if has_tolerance else np.empty((0, 0), X.dtype)
        kernels.pursue(
            X @ self.filters.T,
            self.gram,
            self.scale,
            self.gain,
            self.P_cum,
            number(self.C),
            self.levels,
            self.bounds,
            self.n_steps,
            number(self.alpha_MP),
            number(self.do_sym),
            number(self.fit_tol if has_tolerance else -1),
            residual,
            self.dictionary,
            events.indices,
            events.values,
            _keys(self),
        )

    def _pursue_orthogonal(self, X, events):
        energy = np.einsum("ij,ij->i", X, X)
        kernels.pursue_orthogonal(
            X @ self.filters.T,
            self.gram,
            self.gain,
            energy,
            X.dtype.type(self.fit_tol or 0),
            events.indices,
            events.values,
            _keys(self),
        )


def _keys(coder):
    """Working memory for scores that are also compared as integers."""
    return np.empty(len(coder.dictionary), _integer(coder.dictionary.dtype))


def _integer(dtype):
    """The integer type that floats of this dtype are compared as."""
    return np.dtype(f"i{dtype.itemsize}")


def _trim(events):
    """The same events without the slots that no sample uses."""
    n_slots = max(1, int((events.values != 0).sum(axis=1).max(initial=0)))
    return replace(
        events, indices=events.indices[:, :n_slots].copy(), values=events.values[:, :n_slots].copy()
    )


def prepare(
    dictionary,
    competition=PLAIN,
    *,
    precision=None,
    algorithm="mp",
    l0_sparseness=10,
    fit_tol=None,
    alpha_MP=1.0,
    do_sym=False,
    threads=None,
):
    """A `Coder` for a validated dictionary: its filters w d / n, Gram matrix and bounds on the
    competition.

    With a precision w: n_i = sqrt(<d_i, w_i d_i>), rho_i = <x, w_i d_i> / n_i and gram_ij = <d_i,
    w_j d_j> / n_j.
    """
    dictionary = np.require(
        dictionary, requirements=("C", "A", "W")
    )  # one compiled form of each kernel
    dtype = dictionary.dtype
    n_dictionary, n_pixels = dictionary.shape
    filters, scale = dictionary, np.ones(n_dictionary, dtype)
    if precision is not None:
        filters = precision * dictionary
        scale = 1 / np.sqrt(np.einsum("ij,ij->i", filters, dictionary))
        filters = filters * scale[:, None]
    needs_gram = algorithm in PURSUITS
    gram = _gram(dictionary, filters, threads) if needs_gram else np.empty((0, 0), dtype)
    n_steps = n_slots = min(l0_sparseness, n_dictionary)
    if fit_tol is not None and algorithm in PURSUITS:  # fit_tol overrides l0_sparseness
        n_slots = n_dictionary if algorithm == "mp" else min(n_pixels, n_dictionary)
        n_steps = MOST_STEPS * n_pixels
    coder = Coder(
        dictionary,
        filters,
        gram,
        scale,
        np.ones(n_dictionary, dtype),
        np.empty((n_dictionary, 0), dtype),
        competition.C,
        np.empty(0, dtype),
        np.empty((0, 0), _integer(dtype)),
        algorithm,
        n_slots,
        n_steps,
        fit_tol,
        alpha_MP,
        do_sym,
    )
    return compete(coder, competition)


def compete(coder, competition):
    """The same coder under another competition: all else, the Gram matrix above all, is shared."""
    dtype, n_dictionary = coder.dictionary.dtype, len(coder.dictionary)
    if competition.P_cum is None:
        gain = np.ones(n_dictionary) if competition.gain is None else competition.gain
        return replace(coder, gain=gain.astype(dtype), P_cum=np.empty((n_dictionary, 0), dtype))
    P_cum = np.require(competition.P_cum, dtype, ("C", "A", "W"))
    gain = np.empty(n_dictionary, dtype)
    levels, bounds = np.empty(P_cum.shape[1], dtype), np.empty(P_cum.shape[::-1], dtype)
    kernels.bound_scores(P_cum, competition.C, gain, levels, bounds)
    return replace(
        coder,
        gain=gain,
        P_cum=P_cum,
        C=competition.C,
        levels=levels,
        bounds=bounds.view(_integer(dtype)),
    )


def _gram(dictionary, filters, threads):
    """Dictionary @ filters.T in blocks of rows; only half of it is computed where it is
    symmetric.
    """
    blocks = chunks(len(dictionary), most=128, fewest=128)
    gram = np.empty((len(dictionary), len(dictionary)), dictionary.dtype)
    is_symmetric = filters is dictionary

    def fill(block):
        columns = slice(0, block.stop if is_symmetric else None)
        np.matmul(dictionary[block], filters[columns].T, out=gram[block, columns])

    def mirror(block):
        gram[: block.start, block] = gram[block, : block.start].T

    run = threads.map if threads is not None else lambda function, items: list(map(function, items))
    run(fill, blocks[::-1])  # the longest first
    if is_symmetric:
        run(mirror, blocks)
    return gram


def encode(X, coder, threads):
    """The events of all samples: `coder` over fixed chunks of rows."""
    if coder.algorithm in PURSUITS and coder.fit_tol is None:
        indices = np.empty((len(X), coder.n_slots), np.int32)
        values = np.empty((len(X), coder.n_slots), coder.dictionary.dtype)

        def fill(rows):
            events = coder.code(X[rows])
            indices[rows], values[rows] = events.indices, events.values

        threads.map(fill, chunks(len(X)))
        return Events(indices, values, len(coder.dictionary))
    return Events.join(threads.map(lambda rows: coder.code(X[rows]), chunks(len(X))))


def _encode_with_sklearn(X, coder):
    """Events of scikit-learn's coders: at most l0_sparseness atoms a sample, fit_tol as penalty or
    threshold.

    lars follows the path for l0_sparseness steps; lasso_lars also stops where the penalty reaches
    fit_tol; lasso_cd, elastic and threshold solve at the penalty fit_tol (default: a tenth of the
    sample's largest correlation; no threshold) and keep the largest coefficients.
    """
    from sklearn.decomposition import sparse_encode as sklearn_encode
    from sklearn.linear_model import ElasticNet, lars_path

    dictionary, penalty = coder.dictionary, coder.fit_tol
    if coder.algorithm in ("lars", "lasso_lars"):
        method, least = ("lar", 0) if coder.algorithm == "lars" else ("lasso", penalty or 0)
        code = np.stack(
            [
                lars_path(
                    dictionary.T,
                    x,
                    method=method,
                    alpha_min=least / x.size,
                    max_iter=coder.n_slots,
                    return_path=False,
                )[2]
                for x in X
            ]
        )
    elif coder.algorithm == "threshold":
        code = sklearn_encode(X, dictionary, algorithm="threshold", alpha=penalty or 0)
    else:
        scale = 1.0
        if penalty is None:  # of each sample scaled to a largest correlation of 1
            scale = np.abs(X @ dictionary.T).max(axis=1, keepdims=True)
            X, penalty = X / np.where(scale > 0, scale, 1), DEFAULT_PENALTY
        # Coordinate descent reaches its tolerance in double precision only.
        model = ElasticNet(
            alpha=penalty / X.shape[1],
            l1_ratio=1.0 if coder.algorithm == "lasso_cd" else 0.5,
            fit_intercept=False,
            precompute=True,
            max_iter=10_000,
        )
        code = scale * np.atleast_2d(
            model.fit(dictionary.T.astype(np.float64), X.T.astype(np.float64)).coef_
        )
    return Events.from_dense(np.ascontiguousarray(code, dictionary.dtype), coder.n_slots)


def check_dictionary(dictionary, dtype, n_pixels=None, name="dictionary"):
    """A dictionary (n_dictionary, n_pixels) of the dtype with rows of unit norm, or an error that
    names it.
    """
    dictionary = check_array(dictionary, name, ndim=2, dtype=dtype, n_columns=n_pixels)
    norms = np.linalg.norm(dictionary, axis=1)
    if np.any(norms == 0):
        raise ValueError(
            f"{name}: row {int(np.argmin(norms))} is all zeros, an atom must have a direction"
        )
    if np.max(np.abs(norms - 1)) > 1e-3:
        raise ValueError(
            f"{name} must have rows of unit norm; row {int(np.argmax(np.abs(norms - 1)))} has norm "
            f"{norms[np.argmax(np.abs(norms - 1))]:.3g}"
        )
    return dictionary


def check_competition(gain, P_cum, C, n_dictionary, dtype):
    """A `Competition` of valid arrays, or an error that names the one that is not."""
    if gain is not None and P_cum is not None:
        raise ValueError(
            "gain and P_cum: give one of them, atoms compete either by a gain or by a table"
        )
    if gain is not None:
        gain = check_array(gain, "gain", ndim=1, dtype=dtype, shape=(n_dictionary,))
        if gain.min() < 0:
            raise ValueError(f"gain must be non-negative, its least is {gain.min():.3g}")
    if P_cum is not None:
        check_number(C, "C", above=0)
        P_cum = check_P_cum(P_cum, "P_cum", n_dictionary, dtype=dtype)
    return Competition(gain, P_cum, C)


def check_P_cum(P_cum, name, n_dictionary=None, nb_quant=None, dtype=None):
    """Distributions (n_dictionary, nb_quant), non-decreasing along their rows from 0 to 1, of these
    sizes if given.
    """
    P_cum = check_array(P_cum, name, ndim=2, dtype=dtype)
    wanted = (n_dictionary or len(P_cum), nb_quant or max(2, P_cum.shape[1]))
    if P_cum.shape != wanted:
        raise ValueError(
            f"{name} must have shape (n_dictionary, nb_quant) = {wanted}, not {P_cum.shape}"
        )
    if np.diff(P_cum, axis=1).min() < -1e-6 or P_cum.min() < -1e-6 or P_cum.max() > 1 + 1e-6:
        raise ValueError(f"{name} must be non-decreasing along its rows, within [0, 1]")
    return np.maximum.accumulate(P_cum, axis=1)


def check_precision(precision, shape, dtype, name="precision"):
    """A precision of the dictionary's shape, positive, or None."""
    if precision is None:
        return None
    precision = check_array(precision, name, ndim=2, dtype=dtype, shape=shape)
    if precision.min() <= 0:
        raise ValueError(f"{name} must be positive, its least is {precision.min():.3g}")
    return precision


def check_coding(algorithm, l0_sparseness, fit_tol, alpha_MP, n_dictionary, prefix=""):
    """Errors, by name, for what `prepare` takes; `prefix` leads the name of the algorithm's
    parameter.
    """
    check_choice(algorithm, f"{prefix}algorithm", ALGORITHMS)
    check_count(l0_sparseness, "l0_sparseness", most=n_dictionary, why="the number of atoms")
    check_number(fit_tol, "fit_tol", least=0, is_optional=True)
    check_number(alpha_MP, "alpha_MP", above=0, most=1)


def sparse_encode(
    X,
    dictionary,
    *,
    algorithm="mp",
    precision=None,
    l0_sparseness=10,
    fit_tol=None,
    alpha_MP=1.0,
    gain=None,
    P_cum=None,
    C=5.0,
    do_sym=False,
    sparse_output=False,
    n_jobs=None,
):
    """Code samples by a few atoms each: X ~ code @ dictionary.

    Matching pursuit repeats, `l0_sparseness` times a sample::

        i = argmax_i z_i(rho_i);   a = alpha_MP rho_i;   code_i += a;   rho -= a G_i

    with rho = dictionary @ x, G = dictionary @ dictionary.T, and the competition z_i(a) = gain_i
    max(a, 0) or P_cum_i(1 - exp(-max(a, 0) / C)).  Ties go to the lowest index.  A sample ends
    early where no z is above 0.

    Parameters
    ----------
    X : array (n_samples, n_pixels), float32 or float64 (kept; other dtypes become float64); a
        memory map is read in chunks.
    dictionary : array (n_dictionary, n_pixels), rows of unit norm.
    algorithm : 'mp', 'omp' (orthogonal, signed), or by scikit-learn and signed: 'lars',
        'lasso_lars', 'lasso_cd', 'elastic', 'threshold'.
    precision : array (n_dictionary, n_pixels), positive, 'mp' only.  Weights w of the pixels of
        each atom: n_i = sqrt(<d_i, w_i d_i>), rho_i = <x, w_i d_i> / n_i, a = alpha_MP rho_i / n_i.
    l0_sparseness : int.  Steps of a pursuit, and the most atoms a sample uses.
    fit_tol : float, optional.  'mp', 'omp': a sample ends when its squared residual norm is at most
        this, and `l0_sparseness` is not used.  'lasso_lars', 'lasso_cd', 'elastic': the
        penalty of the L1 norm in |x - code D|^2 / 2 + fit_tol |code|_1 (elastic: half of it L1,
        half squared); without, 'lasso_cd' and 'elastic' take a tenth of each sample's largest
        correlation. 'threshold': the threshold.
    alpha_MP : float in (0, 1], 'mp' only.  Share of a coefficient that one step takes.
    gain : array (n_dictionary,), non-negative, 'mp' and 'omp'.
    P_cum : array (n_dictionary, nb_quant), non-decreasing rows in [0, 1], 'mp' only.
    C : float, scale of coefficients in the table P_cum.
    do_sym : bool, 'mp' only.  True lets coefficients be negative: z is applied to |rho|.
    sparse_output : bool.  True returns a SciPy CSR array.
    n_jobs : int, optional.  Threads; None is 1, -1 all cores.  The result has the same bits for any
        number.

    Returns
    -------
    code : array or CSR array (n_samples, n_dictionary) of X's dtype.

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
    X = check_array(X, "X", ndim=2)
    dictionary = check_dictionary(dictionary, X.dtype, X.shape[1])
    check_coding(algorithm, l0_sparseness, fit_tol, alpha_MP, len(dictionary))
    competition = check_competition(gain, P_cum, C, len(dictionary), X.dtype)
    precision = check_precision(precision, dictionary.shape, X.dtype)
    refuse_unused(algorithm, gain=gain, P_cum=P_cum, precision=precision)
    with Threads(n_jobs) as threads:
        coder = prepare(
            dictionary,
            competition,
            precision=precision,
            algorithm=algorithm,
            l0_sparseness=l0_sparseness,
            fit_tol=fit_tol,
            alpha_MP=alpha_MP,
            do_sym=do_sym,
            threads=threads,
        )
        return to_array(encode(X, coder, threads), sparse_output)


def to_array(events, sparse_output):
    """The dense or CSR code of events."""
    return events.to_csr() if sparse_output else events.to_dense()


def refuse_unused(algorithm, gain=None, P_cum=None, precision=None):
    """An error for a competition or precision that the algorithm would silently ignore."""
    for name, value, users in (
        ("gain", gain, PURSUITS),
        ("P_cum", P_cum, ("mp",)),
        ("precision", precision, ("mp",)),
    ):
        if value is not None and algorithm not in users:
            raise ValueError(
                f"{name} has no effect with algorithm={algorithm!r}: it needs {' or '.join(users)}"
            )
