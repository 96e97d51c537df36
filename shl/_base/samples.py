"""The gate for samples: whatever holds rows of numbers becomes batches of finite floats.

A batch is dense, of the dtype that is computed with, and divided by one power of two, which is
exact: the largest number is then between 0.5 and 1, and no square overflows or vanishes.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from .arrays import host_dtype, namespace, number_type, to_host
from .checks import as_array, check_array, check_shape, check_sparse, first_place
from .devices import is_dtype_of_tensors, is_on_device, is_tensor

ROWS = 4096  # that are looked at together, so that a memory map stays one


class Samples:
    """Rows that become a dense, scaled batch of floats when they are asked for.

    Parameters
    ----------
    X : array, masked array or CSR array of shape (n_samples, ...)
        It is not copied.
    dtype : dtype
        Of the batches.
    name : str
        Of the parameter, for errors.
    allows_nan : bool
        Whether NaN, and what is masked, marks missing entries.
    exponent : int, optional
        Batches are divided by 2^exponent.  If None, it is the smallest that is above all numbers.
    """

    def __init__(self, X: Any, dtype: Any, name: str, allows_nan: bool, exponent: int | None):
        self.X, self.dtype, self.shape, self.ndim = X, np.dtype(dtype), X.shape, X.ndim
        self.name = name
        parts = (slice(start, start + ROWS) for start in range(0, len(self), ROWS))
        self.largest = np.concatenate([self._look(part, allows_nan) for part in parts])
        if exponent is None:
            exponent = int(np.frexp(self.largest.max())[1])
        self.exponent = exponent

    def __len__(self) -> int:
        return self.shape[0]

    def part(self, rows: slice, exponent: int | None = None) -> "Samples":
        """Return some of the rows, with the same exponent or another; they are not looked at."""
        part = object.__new__(Samples)
        vars(part).update(vars(self), X=self.X[rows])
        part.shape, part.largest = part.X.shape, self.largest[rows]
        part.exponent = self.exponent if exponent is None else exponent
        return part

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The rows of an index or of a slice, dense and scaled."""
        return scale_by(self._dense(self.X[rows]), -self.exponent)

    def _dense(self, part):
        """Rows as an array of the dtype, NaN where they are masked."""
        if issparse(part):
            return part.toarray().astype(self.dtype, copy=False)
        with np.errstate(over="ignore"):  # an infinity is rejected
            dense = np.asarray(part, self.dtype)
        hidden = np.ma.getmaskarray(part) if np.ma.isMaskedArray(part) else None
        return dense if hidden is None else np.where(hidden, self.dtype.type(np.nan), dense)

    def _look(self, rows, allows_nan):
        """Return the largest magnitude of each row, or an error for what is not finite."""
        part = self.X[rows]
        if issparse(part):  # what it does not hold is 0
            part = csr_array((part.data.astype(self.dtype), part.indices, part.indptr), part.shape)
            if np.isfinite(part.data).all():
                return abs(part).max(axis=1).toarray().ravel()
        dense = self._dense(part)
        flat, size = dense.reshape(-1), dense.size // len(dense)
        starts = np.arange(0, flat.size, size)  # twice as fast as along an axis
        most = np.maximum(np.maximum.reduceat(flat, starts), -np.minimum.reduceat(flat, starts))
        if np.isfinite(most).all():
            return most
        is_fine = np.isfinite(dense) | (allows_nan & np.isnan(dense))
        if is_fine.all():
            return np.nan_to_num(np.fmax.reduceat(np.abs(flat), starts))
        bad, place = first_place(~is_fine, rows.start)
        if np.ma.isMaskedArray(part) and np.ma.getmaskarray(part)[bad]:
            raise ValueError(
                f"{self.name} is a masked array, and its entry at {place} is masked. Pass "
                f"missing='mask' to use the other entries, or call {self.name}.filled(value) first."
            )
        refused = "infinity" if allows_nan else "NaN or infinity"
        raise ValueError(f"{self.name} must hold no {refused}, but it is {dense[bad]} at {place}")


def check_range(X: Any, exponent: int, name: str = "X") -> None:
    """An error for samples of which learning would get nothing, or more than the dtype holds.

    Their squares have to stand beside those of a sample of size 2^exponent.
    """
    if is_tensor(X):
        xp = namespace(X)
        largest = to_host(xp.amax(abs(xp.nan_to_num(X)), axis=1)).astype(float)
        largest = np.ldexp(largest, exponent)
    else:
        largest = X.largest
    half = np.finfo(host_dtype(X)).maxexp // 2
    with np.errstate(over="ignore"):  # no double is above
        top = np.ldexp(1.0, exponent + half) / np.prod(X.shape[1:])
    row = int(largest.argmax())
    value, used = largest[row], largest[largest > 0]
    words = f"sample {row} of {name} holds {value:.3g}"
    if value > top:
        raise ValueError(
            f"{words}, but {host_dtype(X)} can hold no sums of squares above {top:.3g} beside the "
            f"samples that learning began with. Leave it out, or call fit."
        )
    if (used < np.ldexp(1.0, exponent - half)).sum() > len(used) / 2:
        raise ValueError(
            f"{words}, and most samples are so small that their squares vanish beside "
            f"2^{exponent} in {host_dtype(X)}. Leave out what is large, or scale it."
        )


def scale_by(array: Any, exponent: int) -> Any:
    """An array times 2^exponent, in a new array: exact, but for what the dtype cannot hold."""
    if not exponent:
        return array
    most = 127 if str(array.dtype).endswith("32") else 1023
    first, number = min(exponent, most), number_type(array)
    scaled = array * number(2.0**first)
    return scaled if first == exponent else scaled * number(2.0 ** (exponent - first))


def read_samples(
    X: Any,
    name: str = "X",
    allows_nan: bool = False,
    dtype: Any = None,
    exponent: int | None = None,
) -> tuple[Any, int]:
    """(samples, exponent): rows of finite floats, divided by 2^exponent.

    Parameters
    ----------
    X : array of shape (n_samples, n_pixels)
        An array or memory map, also of integers; a masked array, whose masked entries are NaN; a
        sparse array, of which a batch at a time becomes dense; a tensor of PyTorch, detached; an
        array on a GPU.
    name : str, default="X"
        Of the parameter, for errors.
    allows_nan : bool, default=False
        Whether NaN marks missing entries.
    dtype : dtype, default=None
        Of the samples.  If None, float32 and float64 are kept, and others become float64.
    exponent : int, default=None
        If None, the smallest that is above all numbers of X.

    Returns
    -------
    samples : Samples, or tensor on a GPU
    exponent : int

    Raises
    ------
    ValueError, TypeError
        With the name, and what is wrong.
    """
    if isinstance(X, Samples):
        X = X if exponent is None else X.part(slice(None), exponent)
        return X, X.exponent
    if is_on_device(X) or is_dtype_of_tensors(dtype):
        X = check_array(X, name, ndim=2, dtype=dtype, allows_nan=allows_nan)
        if exponent is None:
            most = namespace(X).nan_to_num(abs(X)).max()
            exponent = int(np.frexp(to_host(most))[1])
        return scale_by(X, -exponent), exponent
    # Dask arrays: a Samples whose rows are computed when they are asked for belongs here.
    if is_tensor(X):
        X = from_tensor(X)
    if issparse(X):
        X = csr_array(check_sparse(X, name))
    elif not np.ma.isMaskedArray(X):
        X = as_array(X, name)
    elif X.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be an array of real numbers, not of dtype {X.dtype}")
    check_shape(X, name, 2)
    kept = X.dtype if X.dtype in (np.float32, np.float64) else np.float64
    samples = Samples(X, kept if dtype is None else dtype, name, allows_nan, exponent)
    return samples, samples.exponent


def from_tensor(X: Any) -> np.ndarray:
    """A tensor in the host's memory as an array; float32 for the floats that NumPy lacks."""
    X = X.detach()
    is_narrow = X.is_floating_point() and X.element_size() < 4
    return (X.float() if is_narrow else X).numpy()


# ---------------------------------------------------------------------------------------- streams


def is_stream(X: Any, n_axes: int = 2) -> bool:
    """Whether X is an iterable of batches, and not an array or a list of samples.

    A list is a stream if it holds arrays that have as many axes as a batch, or pairs that begin
    with one.
    """
    if any(hasattr(X, name) for name in ("__array__", "__dataframe__")) or issparse(X):
        return False
    if isinstance(X, list | tuple):
        first = X[0] if X else None
        first = first[0] if isinstance(first, list | tuple) and first else first
        return getattr(first, "ndim", 0) == n_axes
    return isinstance(X, Iterable) and not isinstance(X, Mapping | Set | str | bytes)


def batches_of(X: Iterable) -> Iterator[Any]:
    """The batches of a stream over and over, but once if it is an iterator; of pairs the first.

    Raises
    ------
    ValueError
        For a batch that may be read in two ways.
    """
    while True:
        is_empty = True
        for batch in X:
            is_empty = False
            yield _samples_of(batch)
        if is_empty or iter(X) is X:
            return


def _samples_of(batch):
    """The samples of a batch, which may be a pair of samples and labels."""
    if not isinstance(batch, list | tuple) or not any(hasattr(part, "ndim") for part in batch):
        return batch
    axes = [getattr(part, "ndim", 0) for part in batch]
    if axes[0] < 2 or max(axes[1:], default=0) < 2:
        return batch[0] if axes[0] > 1 else batch  # a list of samples
    raise ValueError(
        f"X yields {len(batch)} arrays at a time, of shapes "
        f"{', '.join(str(tuple(np.shape(part))) for part in batch)}. They may be samples and their "
        f"targets, or several batches. Yield one array of samples at a time."
    )
