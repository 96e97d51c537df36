"""The same scan on a Dask cluster of two worker processes."""

import joblib
import numpy as np
import pytest

from shl import SHL_set, SparseHebbianLearning, sparse_encode

pytestmark = pytest.mark.slow
distributed = pytest.importorskip("distributed")

OPTS = {
    "height": 64,
    "width": 64,
    "patch_width": 8,
    "N_patches": 600,
    "n_dictionary": 30,
    "l0_sparseness": 3,
    "n_iter": 30,
    "batch_size": 100,
    "record_each": 10,
    "record_num_batches": 100,
}


@pytest.fixture
def client():
    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "processes": True,
        "dashboard_address": None,
    }
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.filterwarnings("default")  # of distributed's own shutdown
def test_a_scan_on_a_cluster_equals_one_on_this_machine(client, tmp_path):
    def run(folder):
        return [
            record["F"]
            for record in SHL_set({**OPTS, "cache_dir": tmp_path / folder}, N_scan=4).run(
                ["eta"], -1
            )
        ]

    with joblib.parallel_config("dask"):
        on_cluster = run("cluster")
    assert on_cluster == run("here")


@pytest.mark.filterwarnings("default")
def test_blocks_of_a_dask_array_are_coded_alike(client, rng, dictionary):
    array = pytest.importorskip("dask.array")
    X = rng.standard_normal((200, 24))
    code = array.from_array(X, chunks=(50, 24)).map_blocks(
        sparse_encode, dictionary, dtype=X.dtype, chunks=(50, 70)
    )
    np.testing.assert_array_equal(code.compute(), sparse_encode(X, dictionary))


@pytest.mark.filterwarnings("default")
def test_blocks_of_a_dask_array_are_learned_from_in_turn(rng):
    array = pytest.importorskip("dask.array")
    X = rng.standard_normal((400, 24))
    blocks = array.from_array(X, chunks=(100, 24)).to_delayed().ravel()
    streamed, wanted = (SparseHebbianLearning(30, random_state=0) for _ in range(2))
    for block in blocks:
        streamed.partial_fit(block.compute())
    for start in range(0, 400, 100):
        wanted.partial_fit(X[start : start + 100])
    np.testing.assert_array_equal(streamed.components_, wanted.components_)


@pytest.mark.filterwarnings("default")
def test_incremental_learns_from_a_dask_array(rng):
    array, wrappers = (pytest.importorskip(name) for name in ("dask.array", "dask_ml.wrappers"))
    X = rng.standard_normal((400, 24))
    model = wrappers.Incremental(SparseHebbianLearning(30, random_state=0))
    model.fit(array.from_array(X, chunks=(100, 24)))
    assert model.estimator_.n_iter_ == 4 and model.estimator_.components_.shape == (30, 24)
