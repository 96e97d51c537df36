"""Dask arrays in, Dask arrays out; learning from blocks; scans on a cluster."""

import os
import pickle
import signal

import joblib
import numpy as np
import pytest
from making import EXPERIMENT
from scipy import sparse

from shl import SHL_set, SparseCoder, SparseHebbianLearning, sparse_encode
from shl._base.blocks import Blocks
from shl.learning.homeostasis import ActivationRule
from shl.store import digest

dask, da = pytest.importorskip("dask"), pytest.importorskip("dask.array")
CHUNKS = {"even": (30, 24), "ragged": ((7, 60, 3, 20), 24), "features": (40, 10), "one": (90, 24)}


@pytest.fixture
def model(X):
    return SparseHebbianLearning(30, l0_sparseness=3, n_iter=20, random_state=0).fit(X)


def check_alike(lazy, wanted):
    """What is declared is what comes, and what comes is wanted."""
    found = lazy.compute()
    assert isinstance(lazy, da.Array) and lazy.dtype == found.dtype == wanted.dtype
    assert lazy.shape[1] == found.shape[1] and found.shape == wanted.shape
    assert sparse.issparse(lazy._meta) == sparse.issparse(found) == sparse.issparse(wanted)
    found, wanted = (c.toarray() if sparse.issparse(c) else c for c in (found, wanted))
    np.testing.assert_array_equal(found != 0, wanted != 0)
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("chunks", CHUNKS)
def test_codes_of_blocks_are_those_of_the_whole(model, X, chunks, dtype):
    X = (10 * X).astype(dtype)
    lazy = da.from_array(X, chunks=CHUNKS[chunks])
    coder, atoms = SparseCoder(model.components_, l0_sparseness=3), model.components_
    check_alike(model.transform(lazy), model.transform(X))
    check_alike(coder.transform(lazy), coder.transform(X))
    check_alike(coder.fit(X).transform(lazy), coder.transform(X))
    check_alike(sparse_encode(lazy, atoms), sparse_encode(X, atoms))
    options = {"algorithm": "omp", "l0_sparseness": 2}
    check_alike(model.transform(lazy, **options), model.transform(X, **options))
    codes = model.transform(lazy)
    check_alike(model.inverse_transform(codes), model.inverse_transform(model.transform(X)))
    assert model.score(lazy) == pytest.approx(model.score(X), rel=1e-6)


def test_sparse_codes_of_both_signs_are_declared(model, X):
    model.set_params(sparse_output=True, split_sign=True, transform_algorithm="omp")
    lazy = da.from_array(X, chunks=(20, 24))
    check_alike(model.transform(lazy), model.transform(X))
    code = model.transform(lazy)
    check_alike(model.inverse_transform(code), model.inverse_transform(model.transform(X)))


def test_a_data_frame_of_unknown_size_is_coded(X):
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"c{n}" for n in range(24)])
    model = SparseHebbianLearning(30, n_iter=5, random_state=0).fit(frame)
    lazy = dd.from_pandas(frame, npartitions=4)
    lazy, frame = lazy[lazy.c0 > 0.5], frame[frame.c0 > 0.5]
    found = model.transform(lazy)
    assert np.isnan(found.shape[0])
    np.testing.assert_allclose(found.compute(), model.transform(frame))
    assert model.score(lazy) < 0
    with pytest.raises(ValueError, match="Give the columns of fit, in their order"):
        model.transform(lazy[[*frame.columns[::-1]]])


def test_blocks_without_rows_give_none(model, X):
    lazy = da.from_array(X, chunks=(30, 24))
    lazy = lazy[lazy[:, 0] > 10]
    assert model.transform(lazy).compute().shape == (0, 30)
    assert model.score(lazy) == 0


def test_errors_come_at_once(model, X):
    lazy = da.from_array(X[:, :20], chunks=(30, 20))
    with pytest.raises(ValueError, match="20 features.*24"):
        model.transform(lazy)
    with pytest.raises(ValueError, match="sample_weight must be None"):
        model.score(lazy, sample_weight=np.ones(90))


def test_a_light_coder_travels(X):
    model = SparseHebbianLearning(30, n_iter=20, record_each=1, random_state=0).fit(X)
    lazy = model.transform(da.from_array(X, chunks=(30, 24)))
    light = model._light(X)
    assert not hasattr(light, "_state") and hasattr(model, "_state")
    assert len(pickle.dumps(light)) < len(pickle.dumps(model)) / 2
    check_alike(lazy, model.transform(X))


OPTIONS = {"n_iter": 30, "batch_size": 32, "random_state": 0, "l0_sparseness": 3}


def test_blocks_are_learned_as_their_stream(X):
    lazy = da.from_array(X, chunks=((50, 0, 40), 24))
    streamed = SparseHebbianLearning(30, **OPTIONS).fit(iter([*Blocks(lazy, 0)] * 1))
    passes = Blocks(lazy, 0)
    stream = (block for _ in range(40) for block in passes)
    wanted = SparseHebbianLearning(30, **OPTIONS).fit(stream)
    found = SparseHebbianLearning(30, **OPTIONS).fit(lazy)
    assert found.n_iter_ == wanted.n_iter_ > streamed.n_iter_
    np.testing.assert_array_equal(found.components_, wanted.components_)


def test_a_seed_decides_the_order_of_blocks(X):
    lazy = da.from_array(X, chunks=(10, 24))
    blocks = Blocks(lazy, 0)
    first, second = ([*blocks] for _ in range(2))
    for blocks in (first, second):
        np.testing.assert_array_equal(np.sort(np.vstack(blocks), axis=0), np.sort(X, axis=0))
    assert not np.array_equal(np.vstack(first), np.vstack(second))
    np.testing.assert_array_equal(np.vstack(first), np.vstack([*Blocks(lazy, 0)]))
    assert not np.array_equal(np.vstack(first), np.vstack([*Blocks(lazy, 1)]))


def test_partial_fit_is_a_pass_over_blocks(X):
    lazy = da.from_array(X, chunks=(30, 24))
    found, wanted = (SparseHebbianLearning(30, **OPTIONS) for _ in range(2))
    found.partial_fit(lazy).partial_fit(lazy)
    for n in range(2):
        for block in Blocks(lazy, 0, n and wanted.n_iter_):
            wanted.partial_fit(block)
    np.testing.assert_array_equal(found.components_, wanted.components_)
    assert found.n_iter_ == 6


def test_two_blocks_are_held_at_a_time(X):
    made = []

    def make(block):
        made.append(len(block))
        return block

    lazy = da.from_array(X, chunks=(10, 24)).map_blocks(make, dtype=X.dtype, meta=X[:0])
    for n, _ in enumerate(Blocks(lazy, 0)):
        assert len(made) <= n + 3  # one may be in the works


# ------------------------------------------------------------------------------------ a cluster

OPTS = EXPERIMENT | {"n_iter": 30, "record_each": 10}


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
    # A cluster gives a worker up for good that is just being started anew so long after its loss.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 h"}),
        distributed.LocalCluster(n_workers=2, **options) as cluster,
        distributed.Client(cluster),
    ):
        yield cluster


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of distributed's own shutdown
def test_a_scan_on_a_cluster_equals_a_local_one(cluster, tmp_path):
    def run(folder):
        experiments = SHL_set({**OPTS, "cache_dir": tmp_path / folder}, N_scan=4)
        return [record["F"] for record in experiments.run(["eta"], -1)]

    with joblib.parallel_config("dask"):
        on_cluster = run("cluster")
    assert on_cluster == run("here")


class Deadly(ActivationRule):
    """A rule that kills its process late in a learning, as often as it is told."""

    def __init__(self, folder, most):
        super().__init__(0.01, 0.05)
        self.folder, self.most, self.n_steps = folder, most, 0

    def gain(self, p, target):
        self.n_steps += 1
        kills = len([*self.folder.glob(f"{digest(p)}-*")])
        if self.n_steps == 20 and kills < self.most:
            (self.folder / f"{digest(p)}-{kills}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return (p / target) ** -0.05


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_scan_survives_killed_workers(cluster, tmp_path):
    n_values = max(2, int(os.environ.get("SHL_FAULT_KILLS", 4)) // 2)

    def run(most):
        options = {**OPTS, "homeo_method": Deadly(tmp_path, most), "cache_dir": None}
        records = SHL_set(options, N_scan=n_values).run(["eta"], -1)
        return [(record["failure"], record.get("F")) for record in records]

    with joblib.parallel_config("dask"):
        found = run(1)
    assert len([*tmp_path.iterdir()]) == n_values
    assert found == run(0)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_workers_may_be_killed(cluster, X):
    """What a killed worker had is computed again: the results are the undisturbed ones."""

    def kill(state=None):
        if state is None or state.step == 5:
            pids = [worker.pid for worker in cluster.workers.values() if worker.pid]
            os.kill(pids[0], signal.SIGKILL)

    X = np.tile(X, (20, 1))
    lazy, model = da.from_array(X, chunks=(90, 24)), SparseHebbianLearning(30, **OPTIONS)
    wanted = model.fit(lazy).components_
    code = model.transform(X)
    for _ in range(int(os.environ.get("SHL_FAULT_KILLS", 4)) // 2):
        found = model.transform(lazy).persist()
        kill()
        np.testing.assert_allclose(found.compute(), code, rtol=1e-6, atol=1e-9)
        found = SparseHebbianLearning(30, **OPTIONS).fit(lazy, on_step=kill)
        np.testing.assert_array_equal(found.components_, wanted)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_incremental_learns_from_a_dask_array(rng):
    wrappers = pytest.importorskip("dask_ml.wrappers")
    X = rng.standard_normal((400, 24))
    model = wrappers.Incremental(SparseHebbianLearning(30, random_state=0))
    model.fit(da.from_array(X, chunks=(100, 24)))
    assert model.estimator_.n_iter_ == 4 and model.estimator_.components_.shape == (30, 24)
