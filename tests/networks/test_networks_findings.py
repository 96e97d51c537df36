"""What the studies and the benchmark find, over several seeds."""

import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from shl.networks.studies import group_sparsity, regularization, set_evolution

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SEEDS = (0, 1, 2)


@pytest.fixture
def bench(monkeypatch):
    """The names of the benchmark."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return runpy.run_path(str(SCRIPTS / "bench_networks.py"))


def test_pruned_networks_have_one_size(bench):
    full, ours, theirs = bench["prune_ways"]("two convolutions", 0, None, epochs=2)
    assert full[0] == 6348 > ours[0] == theirs[0] > 1000
    assert min(full[2], ours[2], theirs[2]) > 0.3 and max(ours[3], theirs[3]) < 2e-5


@pytest.mark.slow
def test_group_lasso_needs_less_fine_tuning(bench):
    rows = [bench["prune_ways"]("two convolutions", seed, None) for seed in SEEDS]
    full, ours, theirs = np.mean(rows, axis=0)
    assert full[2] > 0.975 and ours[0] < 0.6 * full[0]
    assert ours[1] > theirs[1] + 0.03 and ours[1] > 0.93
    assert 0.955 < ours[2] <= theirs[2] + 0.005 and theirs[2] > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("pixels", ["0..1", "0..16"])
def test_accuracy_is_that_of_scikit_learn(bench, pixels):
    setting = bench["mlp_settings"]()[f"digits, pixels {pixels}"]
    scores = np.array([bench["fit_both"](*setting, seed)[:, 0] for seed in range(10)])
    assert abs((scores[:, 1] - scores[:, 0]).mean()) <= bench["MOST_DIFFERENCE"]


def tabulate(study, key, **how):
    """The rows of a study by a parameter, and its records."""
    records = study.run(n_jobs=-1, **how)
    return {row[key]: row for row in study.tabulate(records)}, records


@pytest.mark.slow
def test_regularization_has_the_documents_order():
    rows, _ = tabulate(regularization.STUDY, "method", seeds=range(5))
    accuracy = {method: row["accuracy"] for method, row in rows.items()}
    order = ["none", "dropout", "gaussian", "l2", "weight norm"]
    assert sorted(accuracy, key=accuracy.get, reverse=True) == order
    published = {"none": (-1.95, 1.64), "dropout": (-1.42, 1.18), "l2": (-0.062, 0.094)}
    for method, bounds in published.items():
        for bound, name in zip(bounds, ("smallest", "largest"), strict=True):
            assert 0.5 < rows[method][name] / bound < 2, (method, name)
    assert rows["gaussian"]["smallest"] > 0 and 0.4 < rows["gaussian"]["largest"] < 1.6


@pytest.mark.slow
def test_group_sparsity_leaves_few_rows_of_digits():
    penalties = ("l1", "group_lasso", "sparse_group_lasso")
    how = {"data": ("digits",), "seeds": SEEDS[:2]}
    rows, _ = tabulate(group_sparsity.STUDY, "penalty", penalty=penalties, **how)
    for row in rows.values():
        assert row["test_score"] == pytest.approx(0.965, abs=0.015)
        assert row["train_score"] > 0.99 and row["loss"] < 0.06
        assert row["shrink_error"] < 1e-6
        assert row["units"][0] <= 52 and row["units"][1] <= 36 and row["units"][2] <= 17
        assert row["n_kept"] < 0.75 * row["n_weights"]
    assert rows["l1"]["sparsity"] == pytest.approx(0.76, abs=0.06)
    assert rows["sparse_group_lasso"]["sparsity"] == pytest.approx(0.7, abs=0.06)
    assert rows["group_lasso"]["sparsity"] == pytest.approx(0.38, abs=0.06)


@pytest.mark.slow
def test_group_sparsity_helps_on_diabetes():
    rows, _ = tabulate(group_sparsity.STUDY, "penalty", data=("diabetes",), seeds=SEEDS)
    assert rows["l2"]["sparsity"] == 0
    for penalty, sparsity in (("l1", 0.85), ("group_lasso", 0.63), ("sparse_group_lasso", 0.93)):
        assert rows[penalty]["sparsity"] == pytest.approx(sparsity, abs=0.07)
        assert 0.3 < rows[penalty]["test_score"] < 0.55
        assert rows[penalty]["test_score"] > rows["l2"]["test_score"] + 0.02
        assert rows[penalty]["train_score"] < rows["l2"]["train_score"]
    row = rows["sparse_group_lasso"]
    assert row["n_kept"] < 40 < 515 == row["n_weights"]


@pytest.mark.slow
def test_set_connections_find_pixels_that_vary():
    rows, records = tabulate(
        set_evolution.STUDY, "weight_decay", weight_decay=(0.0, 5e-3), seeds=SEEDS
    )
    assert rows[0.0]["correlation"] == pytest.approx(0.05, abs=0.2)
    assert rows[5e-3]["correlation"] == pytest.approx(0.45, abs=0.15)
    for seed in SEEDS:
        free, decayed = (record["correlation"] for record in records if record["seed"] == seed)
        assert decayed > free + 0.1
    for row in rows.values():
        assert row["accuracy"] == pytest.approx(0.968, abs=0.015)
    assert rows[5e-3]["test_loss"] < rows[0.0]["test_loss"]
