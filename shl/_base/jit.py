"""How kernels are compiled: without the GIL, and kept on disk where that can be done.

numba alone refuses to start where it finds no folder for its cache, and an emptied or cut file in
it ends every later call.  Neither says anything about the kernels: they are then compiled anew.
"""

import contextlib
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from zlib import crc32

from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps


class _Checked(CompileResultCacheImpl):
    """Machine code with a checksum: one bit that flips in it may be a crash, or another number."""

    def reduce(self, cres):
        """Return what is written: the checksum, and the bytes of the function's place and code."""
        code = dumps((self.filename_base, super().reduce(cres)))
        return crc32(code), code

    def rebuild(self, target_context, payload):
        """Return the compiled function, or raise an error if its bytes are not those written."""
        checksum, code = payload
        place, parts = pickle.loads(code) if crc32(code) == checksum else (None, ())
        if place != self.filename_base:
            raise ValueError("damaged")
        return super().rebuild(target_context, parts)


class _Cache(FunctionCache):
    """numba's cache on disk, whose faults cost time alone."""

    _impl_class = _Checked

    def load_overload(self, sig, target_context):
        """The compiled function, or None where there is none that can be read."""
        try:
            found = super().load_overload(sig, target_context)
            if found is not None and found.signature.args != tuple(sig):
                raise ValueError("the index names the file of another signature")
            return found
        except Exception:  # a damaged file raises whatever its bytes say
            with contextlib.suppress(Exception):
                self.flush()  # a new index, so that the function is saved again
            return None

    def save_overload(self, sig, data):
        """Keep a compiled function, if there is room."""
        try:
            super().save_overload(sig, data)
        except Exception as error:  # as a damaged index, or a full disk
            _warn(f"{type(error).__name__}: {error}")


@cache
def _warn(reason):
    """One warning a process for each reason."""
    warnings.warn(
        f"Compiled kernels cannot be stored on disk ({reason}), so each process "
        "compiles them again, which takes seconds. Set NUMBA_CACHE_DIR to a folder "
        "that can be written.",
        stacklevel=2,
    )


def jit(function: Callable) -> Callable:
    """`numba.njit` for a kernel: serial, `nogil`, dividing as NumPy does, and cached."""
    kernel = njit(nogil=True, error_model="numpy")(function)
    if kernel is function:  # NUMBA_DISABLE_JIT
        return function
    try:
        kernel._cache = _Cache(function)  # as `kernel.enable_caching` does with numba's own
    except (RuntimeError, OSError) as error:
        no_folder = "no locator" in str(error)
        _warn("there is no folder for them" if no_folder else f"{type(error).__name__}: {error}")
    return kernel
