import signal
import sys
from pathlib import Path

import numpy as np
import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what is in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_figure_is_open():
    """Close the figures of the tests and examples before, of which pyplot allows 20."""
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def reference():
    """Inputs and outputs of an independent implementation, in float64."""
    path = Path(__file__).parent / "data" / "reference_cases.npz"
    with np.load(path, allow_pickle=False) as cases:
        return dict(cases)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def dictionary(rng):
    atoms = rng.standard_normal((70, 24))
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


@pytest.fixture
def X(rng):
    return rng.standard_normal((90, 24))


@pytest.fixture
def images():
    """Nine white-noise images, not square."""
    return np.random.default_rng(1).standard_normal((9, 1, 19, 23)).astype(np.float32)
