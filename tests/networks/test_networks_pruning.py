"""The scripts that prune a convolutional network and that compare with scikit-learn."""

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from shl.networks.mlp import one_thread  # noqa: E402

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def load(name):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def own_state():
    state = torch.random.get_rng_state()
    with one_thread():
        yield
    torch.random.set_rng_state(state)


def test_both_ways_leave_as_many_filters_and_outputs_stay(capsys):
    prune = load("prune_digits")
    full, ours, theirs = prune.prune_both_ways(0, (0.01,), epochs=3)
    assert (full["first"], full["second"], full["n_weights"]) == (16, 32, 6032)
    assert (ours["first"], ours["second"]) == (theirs["first"], theirs["second"])
    assert 0 < ours["second"] < 32 and ours["n_weights"] == theirs["n_weights"] < 6032
    for record in (full, ours, theirs):
        assert record["difference"] < 2e-5 and record["tuned"] > 0.3
    prune.print_table(prune.tabulate([full, ours, theirs]))
    assert len(set(map(len, capsys.readouterr().out.splitlines()))) == 1


@pytest.mark.slow
def test_group_lasso_needs_less_fine_tuning_than_a_cut_of_small_filters():
    prune = load("prune_digits")
    records = [record for seed in (0, 1, 2) for record in prune.prune_both_ways(seed, (6e-3,))]
    full, ours, theirs = prune.tabulate(records)
    assert full["tuned"] > 0.975
    assert ours["n_weights"] < 0.6 * full["n_weights"]
    assert ours["pruned"] > theirs["pruned"] + 0.03 and ours["pruned"] > 0.93
    assert 0.955 < ours["tuned"] <= theirs["tuned"] + 0.005 and theirs["tuned"] > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("scale", [16, 1])
def test_parity_with_scikit_learn_on_ten_splits(scale, capsys):
    from sklearn.datasets import load_digits

    bench = load("bench_mlp")
    X, y = load_digits(return_X_y=True)
    assert abs(bench.compare("digits", X / scale, y, 10, 300)) <= bench.MOST
    assert "difference" in capsys.readouterr().out
