"""Interrupts at any bytecode: a model is that of before, or of the last whole step."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from making import make

import shl
from shl import SparseHebbianLearning

pytestmark = pytest.mark.filterwarnings("ignore:Learning was interrupted")
FOLDER = str(Path(shl.__file__).parent)
X = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)


class Injected:
    """A context that raises KeyboardInterrupt at the n-th bytecode of the package; or counts."""

    def __init__(self, n=None):
        self.n, self.count = n, 0

    def __enter__(self):
        sys.settrace(self.trace)
        return self

    def __exit__(self, *error):
        sys.settrace(None)

    def trace(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        # Contexts of threads and warnings belong to the process, not to the model.
        if Path(frame.f_code.co_filename).name in ("threads.py", "warning.py", "progress.py"):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.count += 1
            if self.count == self.n and threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt("injected")
        return self.trace


def learned_of(model):
    """What a model has learned, as a tuple that can be compared."""
    if not hasattr(model, "components_"):
        return None
    D = model.components_  # without signs, which the samples of the end decide
    signs = np.sign(D[np.arange(len(D)), np.abs(D).argmax(axis=1)])
    return model.n_iter_, model.n_features_in_, (D * signs[:, None]).tobytes()


def stream():
    return iter([X[:120], X[120:240], X[60:]])


WAYS = {  # what learns, and whether the model was fitted before
    "fit": (lambda model, **options: model.fit(X, **options), False),
    "refit": (lambda model, **options: model.fit(X[::-1], **options), True),
    "partial_fit": (lambda model: model.partial_fit(X), True),
    "first partial_fit": (lambda model: model.partial_fit(X), False),
    "stream": (lambda model, **options: model.fit(stream(), **options), False),
}


def start(is_fitted):
    model = make(n_iter=6, batch_size=40, record_each=2, record_num_batches=0)
    return model.fit(X[:150]) if is_fitted else model


def good_steps(call, is_fitted):
    """What a model may have learned when it is interrupted: before, and after each whole step."""
    found = {learned_of(start(is_fitted))}
    for n_steps in range(1, 7):
        twin = start(is_fitted)
        call(twin, on_step=lambda state, n_steps=n_steps: state.step == n_steps)
        found.add(learned_of(twin))
    return found


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupt_leaves_a_whole_model(way, tmp_path, n_interrupts=2):
    check_interrupts(way, tmp_path, n_interrupts)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_100_interrupts_leave_whole_models(way, tmp_path):
    check_interrupts(way, tmp_path, 100)


def check_interrupts(way, tmp_path, n_interrupts):
    call, is_fitted = WAYS[way]
    # The first time, Python 3.12 traces no opcode.
    for _ in range(1 if sys.version_info < (3, 12) else 2):
        with Injected() as counted:
            call(start(is_fitted))
    places = np.random.default_rng(n_interrupts).integers(1, counted.count, n_interrupts)
    before = learned_of(start(is_fitted))
    whole = None if "partial" in way else good_steps(call, is_fitted)
    for place in places:
        model = start(is_fitted)
        try:
            with Injected(place):
                call(model)
        except KeyboardInterrupt:
            pass
        found = learned_of(model)
        if whole is not None:
            assert found in whole, place
        if found is None:
            assert before is None
            model.fit(X)
        assert np.isfinite(model.transform(X)).all() and model.n_features_in_ == 16
        norms = np.linalg.norm(model.components_, axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-5)
        model.save(tmp_path / "model.npz")
        again = SparseHebbianLearning.load(tmp_path / "model.npz")
        assert learned_of(again) == learned_of(model)
        model.partial_fit(X[:40])
        steps = model.record_["steps"]
        assert list(steps) == sorted(steps), place
