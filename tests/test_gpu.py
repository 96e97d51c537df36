"""What runs on a GPU, under numba's simulator: `tests/gpu`, where a GPU is, runs on it too."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shl import sparse_encode
from shl._base.devices import CUDA, is_on_device

TESTS = Path(__file__).resolve().parent


def run(*command, **environment):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, **environment},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize("which", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_the_simulator_passes_the_tests_of_a_gpu(which):
    pytest.importorskip("torch")
    options = "-q", "-p", "no:cacheprovider", "-m", which, "--durations=5"
    done = run("-m", "pytest", TESTS / "gpu", *options, NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0 and " skipped" not in done.stdout, done.stdout + done.stderr


def test_tensors_in_the_hosts_memory_are_arrays():
    torch = pytest.importorskip("torch")
    X, dictionary = np.eye(3), np.eye(3)
    assert not is_on_device(torch.from_numpy(X))
    code = sparse_encode(torch.from_numpy(X), torch.from_numpy(dictionary), l0_sparseness=1)
    np.testing.assert_array_equal(code, np.eye(3))
    assert isinstance(code, np.ndarray)


def test_what_is_on_a_gpu_says_so():
    class ByProtocol:
        def __dlpack_device__(self):
            return CUDA, 0

    class ByInterface:
        __cuda_array_interface__ = None

    values = ByProtocol(), ByInterface(), np.eye(2), np.float64(1), [1.0], None, object()
    assert [is_on_device(value) for value in values] == [True, True] + 5 * [False]
