"""What the studies find, over several seeds: slow."""

import pytest

torch = pytest.importorskip("torch")

from shl.networks.studies import group_sparsity, regularization, set_evolution  # noqa: E402

pytestmark = pytest.mark.slow
SEEDS = (0, 1, 2)


def tabulate(study, key, **how):
    """The rows of a study by a parameter, and its records."""
    records = study.run(n_jobs=-1, **how)
    return {row[key]: row for row in study.tabulate(records)}, records


def test_regularization_has_the_documents_order_and_ranges():
    rows, _ = tabulate(regularization.STUDY, "method", seeds=range(5))
    accuracy = {method: row["accuracy"] for method, row in rows.items()}
    order = ["none", "dropout", "gaussian", "l2", "weight norm"]
    assert sorted(accuracy, key=accuracy.get, reverse=True) == order
    published = {"none": (-1.95, 1.64), "dropout": (-1.42, 1.18), "l2": (-0.062, 0.094)}
    for method, bounds in published.items():
        for bound, name in zip(bounds, ("smallest", "largest"), strict=True):
            assert 0.5 < rows[method][name] / bound < 2, (method, name)
    assert rows["gaussian"]["smallest"] > 0 and 0.4 < rows["gaussian"]["largest"] < 1.6


def test_group_sparsity_exact_zeros_and_rows_left_on_digits():
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


def test_group_sparsity_prevents_overfitting_on_diabetes():
    rows, _ = tabulate(group_sparsity.STUDY, "penalty", data=("diabetes",), seeds=SEEDS)
    assert rows["l2"]["sparsity"] == 0
    for penalty, sparsity in (("l1", 0.85), ("group_lasso", 0.63), ("sparse_group_lasso", 0.93)):
        assert rows[penalty]["sparsity"] == pytest.approx(sparsity, abs=0.07)
        assert 0.3 < rows[penalty]["test_score"] < 0.55
        assert rows[penalty]["test_score"] > rows["l2"]["test_score"] + 0.02
        assert rows[penalty]["train_score"] < rows["l2"]["train_score"]
    row = rows["sparse_group_lasso"]
    assert row["n_kept"] < 40 < 515 == row["n_weights"]


def test_set_connections_find_the_pixels_that_vary_under_weight_decay():
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
