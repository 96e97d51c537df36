"""Tests of what runs on a GPU: on one where there is one, else under numba's simulator, in which
`tests/test_gpu.py` runs this folder.
"""

import sys

import numpy as np
import pytest
from numba import config

IS_SIMULATED = bool(config.ENABLE_CUDASIM)

if IS_SIMULATED:
    sys.setswitchinterval(1e-4)  # the simulator's threads wait for one another all the time


def find_device():
    """The device that kernels run on, or None."""
    torch = pytest.importorskip("torch")
    if IS_SIMULATED:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else None


@pytest.fixture(autouse=IS_SIMULATED)
def no_silent_copies(monkeypatch):
    """A simulated tensor becomes no NumPy array by itself, as one on a GPU does not."""
    import torch

    def refuse(tensor, *args, **kwargs):
        raise TypeError("can't convert a tensor on a device to numpy")

    monkeypatch.setattr(torch.Tensor, "__array__", refuse)


@pytest.fixture
def put():
    """A function that puts an array on the device."""
    device = find_device()
    if device is None:
        pytest.skip("no GPU, and NUMBA_ENABLE_CUDASIM is not 1")
    import torch

    return lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device)


@pytest.fixture
def get():
    """A function that gets a tensor from the device."""
    return lambda tensor: tensor.cpu().numpy()


@pytest.fixture
def dictionary():
    atoms = np.random.default_rng(0).standard_normal((21, 12))
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


@pytest.fixture
def X():
    return np.random.default_rng(1).standard_normal((7, 12))
