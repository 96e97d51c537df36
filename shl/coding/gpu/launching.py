"""Arrays of any library as tensors, and kernels on them."""

import warnings
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import config, cuda

from .kernels import WARP

ALWAYS_SHARED = 48 * 1024  # bytes of shared memory that any kernel may have
STATIC_SHARED = 1024  # of which kernels themselves take less than this
MOST_THREADS = 512  # of a block: kernels use up to 80 of 65,536 registers a thread
ITEMS_OF_THREAD = 8  # the loop of a thread over the atoms, where there are enough
SIMULATED_THREADS = 4


def check_device(tensor: torch.Tensor, name: str, device: torch.device) -> None:
    """ValueError for an array that is on another device than X."""
    if tensor.device != device:
        raise ValueError(f"{name} must be on {device}, as X is, not on {tensor.device}")


def count_threads(n_items: int) -> int:
    """Threads of a block that loops over so many items: whole warps."""
    if config.ENABLE_CUDASIM:
        return SIMULATED_THREADS
    wanted = -(-n_items // (ITEMS_OF_THREAD * WARP)) * WARP
    return min(max(wanted, 2 * WARP), MOST_THREADS)


def most_shared(device: torch.device) -> int:
    """Bytes of dynamic shared memory that a block may have."""
    if config.ENABLE_CUDASIM:
        return 227 * 1024 - STATIC_SHARED
    properties = torch.cuda.get_device_properties(device)
    return getattr(properties, "shared_memory_per_block_optin", ALWAYS_SHARED) - STATIC_SHARED


def total_memory(device: torch.device) -> float:
    """Bytes of memory that a device has, in use or not: what is chosen by it is chosen always."""
    if config.ENABLE_CUDASIM:
        return float("inf")
    return torch.cuda.get_device_properties(device).total_memory


def count_blocks(device: torch.device) -> int:
    """Blocks of a kernel whose blocks take several samples each: some for each processor."""
    if config.ENABLE_CUDASIM:
        return 2
    return 16 * torch.cuda.get_device_properties(device).multi_processor_count


def launch(kernel, grid: int | tuple, n_threads: int, *args: Any, n_bytes: int = 0) -> None:
    """Run a kernel over tensors, on PyTorch's current stream of their device.

    n_bytes of dynamic shared memory; Python's floats are float64 to a kernel, NumPy's are theirs.
    """
    if config.ENABLE_CUDASIM:
        kernel[grid, n_threads, 0, n_bytes](*(_in_host(arg) for arg in args))
        return
    device = next(arg.device for arg in args if isinstance(arg, torch.Tensor))
    with torch.cuda.device(device), cuda.gpus[device.index]:
        stream = cuda.external_stream(torch.cuda.current_stream(device).cuda_stream)
        views = [
            cuda.as_cuda_array(arg, sync=False) if isinstance(arg, torch.Tensor) else arg
            for arg in args
        ]
        if n_bytes + STATIC_SHARED > ALWAYS_SHARED:
            kernel = kernel.specialize(*views)
            _allow_shared(kernel, device.index, most_shared(device))
        with warnings.catch_warnings():  # numba's, of every batch under 128 samples
            warnings.filterwarnings("ignore", message="Grid size .* will likely result in GPU")
            kernel[grid, n_threads, stream, n_bytes](*views)


def _in_host(arg):
    """An argument as the simulator takes it."""
    return arg.numpy() if isinstance(arg, torch.Tensor) else arg


@cache
def _allow_shared(kernel, device, n_bytes):
    """Let a compiled kernel have more dynamic shared memory than any may: numba does not ask the
    driver for it (numba-cuda issue 94).  It is set once, as a lower value would end other launches.
    """
    from cuda.bindings import driver

    function = next(iter(kernel.overloads.values())).library.get_cufunc()
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    (error,) = driver.cuKernelSetAttribute(attribute, n_bytes, function.handle, device)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"{n_bytes} bytes of shared memory were refused: {error}")


def number(dtype: torch.dtype):
    """NumPy's scalar type of a tensor's dtype."""
    return {torch.float32: np.float32, torch.float64: np.float64}[dtype]
