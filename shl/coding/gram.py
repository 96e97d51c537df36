"""The Gram matrix of a dictionary, in rows on which the vectors of kernels fit."""

import numpy as np

from .._base.threads import chunks
from . import kernels


def padded_rows(n_rows, n_columns, dtype):
    """An array of rows on which the kernels' vectors fit: aligned, of whole strips, zeros behind
    n_columns; what comes before is not set.

    Rows a power of 2 apart would share few places of a cache, as when a matrix is transposed.
    """
    strip = kernels.STRIP // dtype.itemsize
    n_padded = -(-n_columns // strip) * strip
    if n_padded % (8 * strip) == 0:
        n_padded += strip
    memory = np.empty(n_rows * n_padded * dtype.itemsize + kernels.VECTOR, np.uint8)
    start = -memory.ctypes.data % kernels.VECTOR
    memory = memory[start : start + n_rows * n_padded * dtype.itemsize]
    rows = memory.view(dtype).reshape(n_rows, n_padded)
    rows[:, n_columns:] = 0
    return rows


def gram_matrix(dictionary, filters, run, memory=None):
    """Dictionary @ filters.T, tile by tile; only half of it is computed where symmetric.

    memory: another such matrix, which is written over.
    """
    blocks, n_dictionary = chunks(len(dictionary), most=512, fewest=256), len(dictionary)
    gram = memory
    if memory is None or (len(memory), memory.dtype) != (n_dictionary, dictionary.dtype):
        gram = padded_rows(n_dictionary, n_dictionary, dictionary.dtype)
    is_symmetric = filters is dictionary

    def fill(tile):
        rows, columns = tile
        np.matmul(dictionary[rows], filters[columns].T, out=gram[tile])
        if is_symmetric and rows != columns:
            kernels.transpose(gram[tile], gram[columns, rows])

    run(fill, [(a, b) for a in blocks for b in blocks if a.start >= b.start or not is_symmetric])
    return gram
