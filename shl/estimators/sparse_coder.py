"""What every scikit-learn estimator of patches shares, and SparseCoder, which codes by a given
dictionary.
"""

from abc import abstractmethod
from copy import copy
from dataclasses import KW_ONLY
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from .._base.arrays import astype, beside, import_tensor, like, namespace, to_host
from .._base.blocks import by_blocks_of_rows, compute_rows, is_dask
from .._base.checks import check_array, check_sparse, wants_numbers
from .._base.constraints import Count, Flag, NotNegative, PositiveShare, check_fields
from .._base.devices import is_on_device, is_tensor
from .._base.parameters import NamedEstimator, estimator
from .._base.samples import Samples, from_tensor, read_samples, scale_by
from .._base.threads import chunks
from ..coding.competition import CompetitionLike
from ..coding.encode import check_directions, default_sparseness, limit_sparseness, sparse_encode
from ..coding.parameters import Algorithm, Missing

SCORED_ROWS = 4096  # at once, so that their dense code stays small


class SparseTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Sparse codes as scikit-learn's transformers have them.

    A subclass has the parameters split_sign and missing, and gives `transform` and `_atoms`.
    """

    @abstractmethod
    def _atoms(self):
        """What codes are decoded by, (n_dictionary, n_pixels)."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan, tags.input_tags.sparse = self._has_gaps, True
        return tags

    @property
    def _has_gaps(self):
        """Whether NaN marks entries that are missing; `missing` may be anything yet."""
        return isinstance(self.missing, str) and self.missing == "mask"

    def _read(self, X, reset, state=None, exponent=None):
        """Return (samples, exponent) of X, see `read_samples`; in the unit of a state, if given."""
        if not (isinstance(X, Samples) or is_on_device(X)):
            X = self._look_at(X, reset)
        dtype = None
        if state is not None:
            dtype, exponent = state.dictionary.dtype, state.exponent
            dtype = None if is_tensor(state.dictionary) != is_on_device(X) else dtype
        X, exponent = read_samples(X, "X", self._has_gaps, dtype, exponent)
        self._check_n_features(X, reset)
        return X, exponent

    def _look_at(self, X, reset):
        """X, of which scikit-learn has looked at names, and at what is no array of numbers."""
        X = from_tensor(X) if is_tensor(X) else X
        is_plain = isinstance(X, np.ndarray) and X.ndim == 2 and X.size and X.dtype.kind in "fiub"
        options: dict[str, Any] = {"skip_check_array": True}
        if not is_plain:
            kept = [np.float64, np.float32]
            options = {"accept_sparse": "csr", "dtype": kept, "ensure_all_finite": False}
        with wants_numbers("X"):
            return validate_data(self, X, reset=reset, **options)

    def _check_n_features(self, X, reset):
        """An error for another number of features than in `fit`."""
        if reset:
            self.n_features_in_ = X.shape[1]
        elif X.shape[1] != getattr(self, "n_features_in_", X.shape[1]):
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )

    @by_blocks_of_rows
    def inverse_transform(self, X: Any) -> np.ndarray:
        """The samples (n_samples, n_pixels) that codes X (n_samples, n_dictionary), dense or
        sparse, stand for: X @ dictionary; with split_sign, the codes of both signs.
        """
        atoms, shape = self._atoms(), np.shape(X)
        n_columns = len(atoms) * (2 if self.split_sign else 1)
        if len(shape) != 2 or shape[1] != n_columns:
            found = shape[1] if len(shape) == 2 else f"shape {shape}"
            raise ValueError(
                f"X must be codes, with a column for each atom. Expected {n_columns}, got {found}."
            )
        if is_on_device(X):
            code = import_tensor(X)
            atoms = astype(beside(atoms, code), code.dtype)
        else:
            code = check_sparse(X, "X") if sparse.issparse(X) else np.asarray(X)
            atoms = to_host(atoms)
        if self.split_sign:
            code = code[:, : len(atoms)] - code[:, len(atoms) :]
        return like(code @ atoms, X)

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the error |X - A D| / |X| of `transform`, 0 at best: what a search for parameters
        makes larger.

        Parameters
        ----------
        X : array of shape (n_samples, n_pixels)
        y : None
            Ignored.
        sample_weight : array of shape (n_samples,), optional
            How often each sample counts.
        """
        if is_dask(X):
            if sample_weight is not None:
                raise ValueError("sample_weight must be None if X is a Dask array. Leave it out.")
            parts = compute_rows(_squares_of, X, self._light(X))
        else:
            parts = [self._squares(X, sample_weight)]
        most = max(exponent for _, _, exponent in parts)
        shares = [(left, total, 4.0 ** (exponent - most)) for left, total, exponent in parts]
        left, total = (sum(part[n] * part[2] for part in shares) for n in (0, 1))
        return -float((left / total) ** 0.5) if total else 0.0

    def _squares(self, X, sample_weight=None):
        """The squared norms of residuals and of samples, both over 4^exponent, and exponent."""
        X, exponent = self._read(X, reset=False)
        weight = check_weight(sample_weight, X)
        left = total = 0.0
        for rows in chunks(len(X), most=SCORED_ROWS, fewest=SCORED_ROWS):
            samples = X[rows]  # divided by 2^exponent, so that no square overflows or vanishes
            given = X.part(rows) if isinstance(X, Samples) else scale_by(samples, exponent)
            found = self.inverse_transform(self.transform(given))
            residual = samples - scale_by(found, -exponent)
            squares, missed = (_square_norms(values) for values in (samples, residual))
            if weight is not None:
                share = astype(weight[rows], squares.dtype)
                squares, missed = share * squares, share * missed
            left, total = left + missed.sum(), total + squares.sum()
        return float(left), float(total), exponent

    def _light(self, X):
        """What codes the blocks of a Dask array on its workers: a copy without what learned it."""
        light = copy(self)
        parts = light.__dict__
        for name in ("_state", "record_"):
            parts.pop(name, None)
        names = parts.pop("feature_names_in_", None)
        columns = getattr(X, "columns", None)
        if names is not None and columns is not None and list(names) != list(columns):
            raise ValueError(
                f"X has the columns {list(columns)}, but {type(self).__name__} was fitted to "
                f"{list(names)}. Give the columns of fit, in their order."
            )
        return light

    def _split(self, code):
        """The code, or its positive parts beside those of its negative ones with split_sign."""
        if not self.split_sign:
            return code
        if is_tensor(code) and self.sparse_output:
            raise ValueError("split_sign must be False for sparse codes on a GPU")
        if sparse.issparse(code):
            both = sparse.hstack([code.maximum(0), (-code).maximum(0)], format="csr")
            return both.astype(code.dtype, copy=False)  # SciPy 1.14 makes it float64
        xp = namespace(code)
        return xp.hstack([xp.maximum(code, 0), xp.maximum(-code, 0)])

    @property
    def _n_features_out(self):
        return len(self._atoms()) * (2 if self.split_sign else 1)


def _squares_of(block, coder):
    return coder._squares(block) if block.shape[0] else (0.0, 0.0, -2000)


def _square_norms(values):
    """The squared norm of each row by what is seen of it, float64."""
    xp = namespace(values)
    return xp.nansum(astype(values, xp.float64) ** 2, axis=1)


def _divide(code, norms, exponents):
    """Return code / (norms * 2^exponents), or an error for what the dtype cannot hold."""
    xp = namespace(code)
    with np.errstate(over="ignore"):
        divided = xp.ldexp(code / norms, -exponents)
    if not xp.isfinite(divided).all():
        raise ValueError(
            f"dictionary has rows so small that coefficients overflow {code.dtype}. Scale them."
        )
    return divided


def check_weight(sample_weight: ArrayLike | None, X: Any) -> np.ndarray | None:
    """Weights (n_samples,) of X's dtype, at least 0 and not all 0, or None."""
    if sample_weight is None:
        return None
    weight = check_array(sample_weight, "sample_weight", ndim=1, dtype=X.dtype, shape=(len(X),))
    with np.errstate(over="ignore"):
        total = 8 * weight.sum()
    if not namespace(weight).isfinite(total):
        raise ValueError(
            f"sample_weight must have a sum that {weight.dtype} can hold, but its largest is "
            f"{weight.max():.3g}. Divide it by a number."
        )
    if weight.min() < 0 or not weight.any():
        raise ValueError(
            "sample_weight must be at least 0 and not all zero, but is "
            f"{weight.min():.3g} to {weight.max():.3g}"
        )
    return weight


@estimator
class SparseCoder(SparseTransformer, NamedEstimator):
    """Code samples by a dictionary that is given: X ~ code @ dictionary.

    It learns nothing, and may transform without a fit.

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_pixels), default=None
        Atoms of any norm but 0.  Penalties and competition refer to atoms scaled to norm 1, and the
        code is scaled back.  If None, the cosine basis.
    algorithm : str, default='omp'
        A coder, see `sparse_encode`.
    precision : array of shape (n_dictionary, n_pixels), default=None
        Weights of pixels, as in `sparse_encode`.
    l0_sparseness : int, default=None
        Largest number of non-zero coefficients per sample.  If None, n_pixels // 10, at least 1 and
        at most n_dictionary.  There is no limit if a penalty makes codes sparse.
    fit_tol : float, default=None
        Tolerance or penalty, as in `sparse_encode`.
    alpha_MP : float, default=1.0
        Share of a coefficient that a step of 'mp' takes.
    competition : Competition, default=None
        How atoms compete, as in `sparse_encode`.
    do_sym : bool, default=False
        Whether coefficients of 'mp' may be negative.
    positive_code : bool, default=False
        Whether coefficients of the other coders must not be negative.
    missing : {'error', 'mask'}, default='error'
        What NaN in X is: an error, or a missing entry.
    split_sign : bool, default=False
        True gives positive coefficients, then the absolute values of negative ones, in twice the
        columns.
    sparse_output : bool, default=False
        True makes `transform` return a CSR array.
    n_jobs : int, optional
        Threads; None is 1, -1 all cores.

    Attributes
    ----------
    n_features_in_ : int
        n_pixels, after `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> SparseCoder([[0.0, 2.0], [3.0, 0.0]], l0_sparseness=1).transform(np.array([[0.0, 4.0]]))
    array([[2., 0.]])
    """

    dictionary: np.ndarray | None = None
    _: KW_ONLY
    algorithm: Algorithm = "omp"
    precision: np.ndarray | None = None
    l0_sparseness: Count | None = None
    fit_tol: NotNegative | None = None
    alpha_MP: PositiveShare = 1.0
    competition: CompetitionLike | None = None
    do_sym: Flag = False
    positive_code: Flag = False
    missing: Missing = "error"
    split_sign: Flag = False
    sparse_output: Flag = False
    n_jobs: int | None = None

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check that the dictionary fits X; nothing is learned."""
        check_fields(self)
        X, _ = self._read(X, reset=True)
        self._scale_atoms(X)
        return self

    @by_blocks_of_rows
    def transform(self, X: Any) -> np.ndarray | sparse.csr_array:
        """The code (n_samples, n_dictionary) of X (n_samples, n_pixels); CSR with sparse_output."""
        check_fields(self)
        given, (X, _) = X, self._read(X, reset=False, exponent=0)
        atoms, norms, exponents = self._scale_atoms(X)
        default = default_sparseness(X.shape[1], len(atoms))
        code = sparse_encode(
            X,
            atoms,
            precision=self.precision,
            algorithm=self.algorithm,
            l0_sparseness=limit_sparseness(
                self.l0_sparseness, default, self.algorithm, self.fit_tol
            ),
            fit_tol=self.fit_tol,
            alpha_MP=self.alpha_MP,
            competition=self.competition,
            do_sym=self.do_sym,
            positive_code=self.positive_code,
            missing=self.missing,
            sparse_output=self.sparse_output,
            n_jobs=self.n_jobs,
        )
        if sparse.issparse(code):
            code.data = _divide(code.data, norms[code.indices], exponents[code.indices])
        elif is_tensor(code) and self.sparse_output:
            columns = code.col_indices()
            code.values().copy_(_divide(code.values(), norms[columns], exponents[columns]))
        else:
            code = _divide(code, norms, exponents)
        return like(self._split(code), given)

    def _scale_atoms(self, X):
        """Return atoms of norm 1 and of X's dtype, their norms, and exponents of these."""
        atoms = beside(self._atoms(X.shape[1]), X)
        if atoms.shape[1] != X.shape[1]:
            raise ValueError(
                f"Dictionary and X have different numbers of features: {atoms.shape[1]} "
                f"columns of dictionary, and {X.shape[1]} of X."
            )
        xp = namespace(atoms)
        exponents = xp.frexp(xp.amax(abs(atoms), axis=1))[1]
        atoms = astype(xp.ldexp(atoms, -exponents[:, None]), X.dtype)
        norms = xp.linalg.norm(atoms, axis=1)
        if not norms.all():
            check_directions(atoms, "dictionary")
        return atoms / norms[:, None], norms, exponents

    def _atoms(self, n_pixels=None):
        """The dictionary as an array of floats, or the cosine basis of n_pixels."""
        if self.dictionary is not None:
            return check_array(self.dictionary, "dictionary", ndim=2)
        n_pixels = self.n_features_in_ if n_pixels is None else n_pixels
        return fft.dct(np.eye(n_pixels), norm="ortho", axis=0)


__all__ = ["SparseCoder", "SparseTransformer", "check_weight"]
