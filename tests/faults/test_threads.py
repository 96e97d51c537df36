"""Fits and codes in several Python threads at once: the bits of each alone, and BLAS as before."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from running import SECONDS, run
from threadpoolctl import ThreadpoolController

from shl import SparseHebbianLearning
from shl._base.threads import Threads
from shl.convolution import ConvolutionalSHL

ROUNDS = int(os.environ.get("SHL_FAULT_ROUNDS", 100))
CONTROLLER = ThreadpoolController()


def blas_threads():
    return [info["num_threads"] for info in CONTROLLER.info() if info["user_api"] == "blas"]


@pytest.fixture
def two_blas_threads():
    with CONTROLLER.limit(limits=2, user_api="blas"):
        assert set(blas_threads()) == {2}
        yield
        assert set(blas_threads()) == {2}


def test_overlapping_contexts_keep_the_limit(two_blas_threads):
    first, second, third = Threads(1), Threads(2), Threads(1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas_threads()) == {1}
    third.__enter__()
    second.__exit__(None, None, None)
    assert set(blas_threads()) == {1}
    third.__exit__(None, None, None)
    assert set(blas_threads()) == {2}


def test_contexts_in_contexts_and_errors_restore_it(two_blas_threads):
    with Threads(2):
        with pytest.raises(ZeroDivisionError), Threads(2) as inner:
            inner.map(lambda x: 1 / x, [1, 0])
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {2}


FORK = """
import os
from shl._base.threads import Threads, _one_blas_thread
with _one_blas_thread._lock:  # as if another thread were entering
    if not (child := os.fork()):
        with Threads(1):
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_waits_for_no_lock_of_a_thread():
    assert run(FORK)[0] == 0


def jobs():
    """Eight learnings and codes, of patches and images, all unlike."""
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((600, 256)).astype(np.float32) for _ in range(2)]
    images = rng.standard_normal((4, 1, 24, 24)).astype(np.float32)
    options = {"n_iter": 4, "batch_size": 256, "l0_sparseness": 5}

    def learn(model, X):
        return lambda: model.fit(X).components_

    def code(model, X):
        model.fit(X)
        return lambda: model.transform(X)

    patch = SparseHebbianLearning
    return [
        learn(patch(300, **options, random_state=0), X[0]),
        learn(patch(310, **options, homeo_method="HEH", random_state=1, n_jobs=2), X[1]),
        learn(patch(290, **options, homeo_method="EMP", random_state=2, n_jobs=3), X[0]),
        learn(ConvolutionalSHL(6, 5, l0_sparseness=5, n_iter=3, random_state=0), images),
        code(patch(300, **options, random_state=4, n_jobs=2), X[1]),
        code(patch(320, **options, learning_algorithm="omp", random_state=5), X[0]),
        code(patch(280, **options, random_state=6, n_jobs=2), X[0].astype(np.float64)),
        learn(patch(300, **options, optimizer="adam", random_state=7), X[1].astype(np.float64)),
    ]


def play(n_rounds):
    work = jobs()
    alone = [job() for job in work]
    gate = threading.Barrier(len(work))

    def at_once(job):
        gate.wait(SECONDS)
        return job()

    with ThreadPoolExecutor(len(work)) as pool:
        for _ in range(n_rounds):
            for found, wanted in zip(pool.map(at_once, work), alone, strict=True):
                np.testing.assert_array_equal(found, wanted)
            assert set(blas_threads()) == {2}


def test_learnings_at_once_have_the_bits_of_each_alone(two_blas_threads):
    play(2)


@pytest.mark.slow
def test_many_rounds_of_learnings_at_once(two_blas_threads):
    play(ROUNDS)
