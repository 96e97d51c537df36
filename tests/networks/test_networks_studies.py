import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from shl.cli.main import main  # noqa: E402
from shl.networks.studies import group_sparsity, regularization, runs, set_evolution  # noqa: E402
from shl.store.entries import Store  # noqa: E402


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder of results."""
    monkeypatch.setenv("SHL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


COMMANDS = {
    "regularization": [],
    "group-sparsity": ["--path-epochs", "2", "--n-jobs", "1"],
    "set": ["--weight-decay", "0", "0.001", "--n-jobs", "1"],
}
commands = pytest.mark.parametrize(("name", "options"), COMMANDS.items())


@commands
def test_a_command_writes_pictures_and_a_summary(name, options, tmp_path, capsys):
    assert main([name, "--epochs", "2", "--seeds", "0", "1", "--out", str(tmp_path), *options]) == 0
    printed = capsys.readouterr().out
    assert "loss" in printed and ("exact zeros" in printed) == (name == "group-sparsity")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["seeds"] == [0, 1]
    pictures = list(summary["pictures"].values())
    assert len(pictures) >= 2
    for picture in pictures:
        with open(picture, "rb") as file:
            assert file.read(8) == b"\x89PNG\r\n\x1a\n"


@commands
def test_a_command_prints_json_or_nothing(name, options, tmp_path, capsys):
    arguments = [name, "--epochs", "1", "--seed", "3", "--out", str(tmp_path), *options]
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@commands
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--epochs", "0"], "epochs must be at least 1, not 0"),
        (["--seeds", "-1"], "seeds must be at least 0, not -1"),
    ],
)
def test_bad_flags_are_named(name, options, flags, words, tmp_path, capsys):
    assert main([name, *flags, "--out", str(tmp_path), *options]) == 1
    assert words in capsys.readouterr().err


def test_bad_strengths_are_named(tmp_path, capsys):
    start = ["--epochs", "1", "--n-jobs", "1", "--out", str(tmp_path)]
    assert main(["group-sparsity", "--alpha", "-1", *start]) == 1
    assert "alpha must be at least 0, not -1" in capsys.readouterr().err
    assert main(["set", "--weight-decay", "-1", *start]) == 1
    assert "weight_decay must be at least 0, not -1" in capsys.readouterr().err
    with pytest.raises(ValueError, match="method must be one of 'none', .*not 'l3'"):
        regularization.learn_one("l3", 0)


@commands
@pytest.mark.parametrize("module", ["torch", "skorch"])
def test_without_the_extra_a_command_says_what_to_install(
    name, options, module, monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(sys.modules, module, None)
    assert main([name, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error == f'shl {name}: {module} is not installed: pip install "shl[networks]"\n'
    assert not (tmp_path / "out").exists()


def test_the_command_line_imports_no_torch():
    code = (
        "import sys; from shl.cli.main import COMMANDS, _make_parser; "
        "[_make_parser(command.name) for command in COMMANDS]; "
        "sys.exit(bool({'torch', 'skorch', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "compare",
    [
        lambda n_jobs: regularization.compare_regularizers(
            (0, 1), 2, methods=("dropout", "gaussian"), n_jobs=n_jobs
        ),
        lambda n_jobs: group_sparsity.compare_penalties(
            (0,), 2, penalties=("l1", "group_lasso"), n_jobs=n_jobs
        ),
        lambda n_jobs: set_evolution.compare_decays((0.0, 1e-3), (0,), 2, n_jobs=n_jobs),
    ],
    ids=["regularization", "group-sparsity", "set"],
)
def test_records_do_not_depend_on_the_number_of_processes(compare):
    for one, two in zip(compare(1), compare(2), strict=True):
        for name in set(one) - {"seconds"}:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_a_summary_has_means_and_deviations_of_numbers_and_arrays():
    records = [
        {"method": "a", "score": 1, "zeros": [1, 2], "status": "done"},
        {"method": "b", "score": 5, "zeros": [0, 0], "status": "done"},
        {"method": "a", "score": 3, "zeros": [3, 6], "status": "done"},
        {"method": "a", "status": "failed"},
    ]
    first, second = runs.summarise(records, ["method"], ("score", "zeros"))
    assert first == {
        "method": "a",
        "n_runs": 3,
        "n_failed": 1,
        "score": 2,
        "score_std": pytest.approx(2**0.5),
        "zeros": [2, 4],
        "zeros_std": pytest.approx([2**0.5, 8**0.5]),
    }
    assert second["n_runs"] == 1 and second["score"] == 5 and second["score_std"] == 0
    assert runs.summarise(records[3:], ["method"], ["score"])[0]["score"] is None


@pytest.mark.parametrize(
    "compare",
    [
        lambda **how: regularization.compare_regularizers((0,), 2, methods=("none", "l2"), **how),
        lambda **how: group_sparsity.compare_penalties((0,), 2, penalties=("l1", "l2"), **how),
        lambda **how: set_evolution.compare_decays((0.0, 1e-3), (0,), 2, **how),
    ],
    ids=["regularization", "group-sparsity", "set"],
)
def test_what_is_stored_is_not_learned_again_and_is_the_same(compare, cache):
    first = compare(store=Store(cache))
    next(cache.glob("*.npz")).unlink()
    again = compare(store=Store(cache))
    assert sorted(record["cached"] for record in again) == [False, True]
    for one, two in zip(first, again, strict=True):
        assert set(one) == set(two)
        for name in set(one) - {"cached", "seconds"}:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)
            assert type(one[name]) is type(two[name]), name


def test_settings_are_part_of_what_is_stored(cache, monkeypatch):
    def learn():
        (record,) = regularization.compare_regularizers(
            (0,), 2, methods=("none",), store=Store(cache)
        )
        return record

    assert not learn()["cached"] and learn()["cached"]
    monkeypatch.setitem(regularization.LEARNING, "batch_size", 50)
    assert not learn()["cached"]


def test_a_learning_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(regularization.METHODS, "dropout", {"penalty": "l2", "alpha": -1.0})
    arguments = ["regularization", "--epochs", "2", "--seeds", "0", "--out", str(tmp_path)]
    assert main([*arguments]) == 1
    text = capsys.readouterr().out
    assert "failed: dropout, seed 0: ValueError: alpha must be" in text and "weight norm" in text
    monkeypatch.setattr(regularization, "METHODS", {"dropout": {"alpha": -1.0, "penalty": "l2"}})
    with pytest.raises(RuntimeError, match="all 1 runs failed: ValueError: alpha must be"):
        runs.done(regularization.compare_regularizers((0,), 1, methods=("dropout",)))


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_an_interrupted_study_goes_on_where_it_was(tmp_path, cache, capsys):
    arguments = ["set", "--epochs", "20", "--seeds", "0", "--out", str(tmp_path / "out")]
    arguments += ["--cache-dir", str(cache), "--n-jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "shl.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(cache.glob("*.npz")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate()
    assert process.returncode == 130 and out == ""
    assert "/3" in error and error.endswith("shl set: interrupted\n")
    n_stored = len(list(cache.glob("*.npz")))
    assert 0 < n_stored < 3
    assert main(arguments) == 0
    assert f"{n_stored} of 3 were stored" in capsys.readouterr().out


def test_correlations():
    rng = np.random.default_rng(0)
    counts, spread = rng.integers(0, 9, 64), rng.random(64)
    assert set_evolution.correlate(counts, spread) == pytest.approx(
        np.corrcoef(counts, spread)[0, 1]
    )
    assert np.isnan(set_evolution.correlate(np.ones(64), spread))


def test_long_runs_are_announced(cache, monkeypatch, capsys):
    """After an epoch, for those that are not stored; a short study says nothing."""
    calls = [{"seed": seed, "epochs": 100} for seed in range(3)]

    def learn(seed, epochs):
        return {"seconds": 1.5 * epochs}

    runs.run_study("fast", learn, calls, None, Store(cache), n_jobs=1, verbose=1)
    assert "about 8 minutes: 3 runs on 1 workers, 1.5 s an epoch" in capsys.readouterr().err
    runs.run_study("fast", learn, calls, None, Store(cache), n_jobs=1, verbose=1)
    assert "about" not in capsys.readouterr().err
    runs.run_study("faster", learn, [{"seed": 0, "epochs": 10}], None, verbose=1)
    assert "about" not in capsys.readouterr().err


def test_inputs_of_mean_zero_learn_otherwise():
    plain, normalized = (
        set_evolution.evolve_one(1e-3, 0, epochs=2, normalized=flag) for flag in (False, True)
    )
    assert not np.array_equal(plain["weights"], normalized["weights"])
    X, X_test = set_evolution._scale(np.eye(4), np.zeros((1, 4)), 16, True)
    assert X.mean() == pytest.approx(0) and X.std() == pytest.approx(1)
    assert (X_test < 0).all()


def test_records_of_an_evolution_have_both_losses():
    record = set_evolution.evolve_one(0.0, 0, epochs=3)
    assert len(record["steps"]) == len(record["losses"]) == len(record["train_losses"]) == 3
    assert record["test_loss"] == record["losses"][-1] > record["train_losses"][-1]
    assert 0 < record["zeroed_accuracy"] <= 1


def test_weights_that_are_exactly_zero_are_counted():
    record = group_sparsity.learn_one("l1", 0, epochs=3, alpha=3.0)
    assert record["sparsity"] == 1 and list(record["units"]) == [0, 0, 0] and record["n_kept"] == 0
    assert record["shrink_error"] < 1e-6
    record = group_sparsity.learn_one("l2", 0, epochs=3, data="diabetes")
    assert record["sparsity"] == 0 and list(record["units"]) == [10, 20, 15]
