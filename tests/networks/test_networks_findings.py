"""What the studies find, over several seeds: slow."""

import pytest

torch = pytest.importorskip("torch")

from shl.networks.studies import group_sparsity, regularization, set_evolution  # noqa: E402

pytestmark = pytest.mark.slow
SEEDS = (0, 1, 2)


def by(rows, key):
    return {row[key]: row for row in rows}


def test_regularization_no_regulariser_is_best_and_l2_and_norm_are_last_and_tiny():
    rows = by(
        regularization.tabulate(regularization.compare_regularizers(SEEDS, n_jobs=-1)), "method"
    )
    accuracy = {method: row["accuracy"] for method, row in rows.items()}
    assert max(accuracy, key=accuracy.get) == "none"
    assert accuracy["none"] == pytest.approx(0.963, abs=0.015)
    assert accuracy["gaussian"] == pytest.approx(0.95, abs=0.02)
    assert accuracy["dropout"] == pytest.approx(0.925, abs=0.02)
    assert sorted(accuracy, key=accuracy.get)[:2] in (["l2", "weight norm"], ["weight norm", "l2"])
    for method in ("l2", "weight norm"):
        assert 0.8 < accuracy[method] < accuracy["dropout"] - 0.02
        assert -0.2 < rows[method]["smallest"] < 0 < rows[method]["largest"] < 0.2
    assert rows["gaussian"]["smallest"] > 0
    for method in ("none", "dropout"):
        assert rows[method]["smallest"] < -1.5 and rows[method]["largest"] > 1.2


def test_group_sparsity_exact_zeros_and_rows_left_on_digits():
    penalties = ("l1", "group_lasso", "sparse_group_lasso")
    records = group_sparsity.compare_penalties(SEEDS[:2], penalties=penalties, n_jobs=-1)
    rows = by(group_sparsity.tabulate(records), "penalty")
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
    records = group_sparsity.compare_penalties(SEEDS, data="diabetes", n_jobs=-1)
    rows = by(group_sparsity.tabulate(records), "penalty")
    assert rows["l2"]["sparsity"] == 0
    for penalty, sparsity in (("l1", 0.85), ("group_lasso", 0.63), ("sparse_group_lasso", 0.93)):
        assert rows[penalty]["sparsity"] == pytest.approx(sparsity, abs=0.07)
        assert 0.3 < rows[penalty]["test_score"] < 0.55
        assert rows[penalty]["test_score"] > rows["l2"]["test_score"] + 0.02
        assert rows[penalty]["train_score"] < rows["l2"]["train_score"]
    assert (
        rows["sparse_group_lasso"]["n_kept"] < 40 < 515 == rows["sparse_group_lasso"]["n_weights"]
    )


def test_set_connections_find_the_pixels_that_vary_under_weight_decay():
    records = set_evolution.compare_decays((0.0, 5e-3), SEEDS, 400, n_jobs=-1)
    rows = by(set_evolution.tabulate(records), "weight_decay")
    assert rows[0.0]["correlation"] == pytest.approx(0.05, abs=0.2)
    assert rows[5e-3]["correlation"] == pytest.approx(0.45, abs=0.15)
    for seed in SEEDS:
        free, decayed = (record["correlation"] for record in records if record["seed"] == seed)
        assert decayed > free + 0.1
    for row in rows.values():
        assert row["accuracy"] == pytest.approx(0.968, abs=0.015)
    assert rows[5e-3]["test_loss"] < rows[0.0]["test_loss"]
