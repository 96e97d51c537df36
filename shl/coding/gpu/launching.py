"""Arrays of any library as tensors, and kernels on them."""

import warnings
from typing import Any

import torch
from numba import config, cuda

from .kernels import WARP

MOST_THREADS = 512  # of a block
FEWER_THREADS = 256  # of a block of pursuit, whose threads then take more than ATOMS_OF_THREAD
ATOMS_OF_THREAD = 32
MOST_BYTES = 256  # of the correlations that a thread keeps in registers
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


def split_atoms(n_dictionary: int, n_bytes: int) -> tuple[int, int, bool]:
    """The atoms of a thread, the threads of a block, and whether a thread keeps the correlations of
    its atoms, of n_bytes each, in registers.
    """
    for most in (FEWER_THREADS, MOST_THREADS):
        n_threads = min(-(-n_dictionary // (ATOMS_OF_THREAD * WARP)) * WARP, most)
        if config.ENABLE_CUDASIM:
            n_threads = SIMULATED_THREADS
        n_own = -(-n_dictionary // n_threads)
        if n_own * n_bytes <= MOST_BYTES:
            return n_own, n_threads, True
    return ITEMS_OF_THREAD, n_threads, False


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


def launch(kernel: Any, grid: int | tuple, n_threads: int, *args: Any, n_bytes: int = 0) -> None:
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
        with warnings.catch_warnings():  # numba's, in bold, of every batch under 128 samples
            warnings.filterwarnings("ignore", message=".*Grid size .* will likely result in GPU")
            kernel[grid, n_threads, stream, n_bytes](*views)


def _in_host(arg):
    """An argument as the simulator takes it."""
    return arg.numpy() if isinstance(arg, torch.Tensor) else arg
