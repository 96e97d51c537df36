import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from ranges import assert_rejects

torch = pytest.importorskip("torch")

from shl.networks.studies import group_sparsity, regularization, set_evolution  # noqa: E402
from shl.networks.studies.study import done, summarise  # noqa: E402
from shl.store.entries import Store  # noqa: E402

STUDIES = {m.STUDY.name: m.STUDY for m in (regularization, group_sparsity, set_evolution)}
SMALL = {  # two learnings of each
    "regularization": {"method": ("none", "gaussian")},
    "group-sparsity": {"penalty": ("l1", "group_lasso"), "data": ("digits",)},
    "set": {"weight_decay": (0.0, 1e-3)},
}
studies = pytest.mark.parametrize("name", STUDIES)


def run_small(name, **how):
    return STUDIES[name].run(seeds=(0,), epochs=2, **SMALL[name], **how)


@studies
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--epochs", "0"], "argument --epochs: must be at least 1, not 0"),
        (["--n-samples", "7"], "argument --n-samples: must be at least 8, not 7"),
        (["--seeds", "-1"], "--seeds must be at least 0, not -1"),
        (["--data", "boston"], "--data must be 'digits', 'mnist', 'diabetes'"),
    ],
)
def test_command_names_bad_flags(name, flags, words, command, tmp_path, capsys):
    assert command(name, *flags) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_command_names_bad_values(command, capsys):
    for name, flag in (("group-sparsity", "alpha"), ("set", "weight_decay")):
        assert command(name, f"--{flag}".replace("_", "-"), "-1", "--epochs", "1") == 1
        assert f"{flag} must be at least 0, not -1" in capsys.readouterr().err


@studies
def test_values_out_of_range_are_rejected(name):
    study = STUDIES[name]
    some = {axis: values[0] for axis, values in study.varied.items()} | {"seed": 0}
    assert_rejects(study.learn, lambda **values: study.learn(**some | values))


@studies
def test_command_needs_torch(name, monkeypatch, tmp_path, command, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command(name) == 1
    error = capsys.readouterr().err
    assert error == f"shl {name}: torch is not installed: pip install torch skorch\n"
    assert not (tmp_path / "out").exists()


def test_commands_and_students_import_no_torch():
    """Nor do students, though they learn."""
    code = (
        "import sys; from shl.cli.main import LIST, _make_parser\n"
        "from shl.networks.teacher_student import configs, sweep\n"
        "[_make_parser(command.name) for command in LIST]\n"
        "config = configs.make_config({'num_epochs': 1, 'dataset_size': 80})\n"
        "sweep.sweep(configs.sweep_runs(config, 'baselineCNN', 'baselineCNN', [0]))\n"
        "sys.exit(bool({'torch', 'skorch', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def assert_equal(first, second, *others):
    """Records agree but for the seconds and others."""
    for one, two in zip(first, second, strict=True):
        assert set(one) == set(two) and one["status"] == "done"
        for key in set(one) - {"seconds", *others}:
            np.testing.assert_array_equal(one[key], two[key], err_msg=key)
            assert type(one[key]) is type(two[key]), key


def test_study_has_equal_records_for_any_n_jobs():
    assert_equal(run_small("set"), run_small("set", n_jobs=2))


@studies
def test_study_stores_what_it_learned(name, tmp_path):
    first = run_small(name, store=Store(tmp_path))
    next(tmp_path.glob("*.npz")).unlink()
    again = run_small(name, store=Store(tmp_path))
    assert sorted(record["cached"] for record in again) == [False, True]
    assert_equal(first, again, "cached")


def test_study_keys_hold_the_settings(tmp_path, monkeypatch):
    def learn():
        study = regularization.STUDY
        (record,) = study.run(seeds=(0,), epochs=2, method=("none",), store=Store(tmp_path))
        return record

    assert not learn()["cached"] and learn()["cached"]
    monkeypatch.setitem(regularization.SETTINGS, "batch_size", 50)
    assert not learn()["cached"]


def test_study_goes_on_after_a_failure(command, capsys):
    flags = ["--epochs", "2", "--penalty", "l2", "--alpha", "-1", "0.1", "--path-epochs", "0"]
    assert command("group-sparsity", *flags) == 1
    text = capsys.readouterr().out
    assert "failed: digits, penalty l2, alpha -1.0, seed 0: ValueError: alpha must be" in text
    records = group_sparsity.STUDY.run(seeds=(0,), epochs=1, penalty=("l3",))
    with pytest.raises(RuntimeError, match="all 2 runs failed: ValueError: penalty must be one"):
        done(records)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_study_resumes_after_an_interrupt(tmp_path, command, capsys):
    """The second learning interrupts its own process."""
    code = (
        "import os, signal, sys; from shl.cli.main import main; "
        "from shl.networks.studies import set_evolution as s; learn = s.evolve_one\n"
        "def interrupt(weight_decay, **others):\n"
        "    if weight_decay: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return learn(weight_decay, **others)\n"
        "object.__setattr__(s.STUDY, 'learn', interrupt)\n"
        "interrupt.__wrapped__ = learn; sys.exit(main(sys.argv[1:]))"
    )
    arguments, cache = ["set", "--epochs", "2", "--seeds", "0"], tmp_path / "cache"
    started = [sys.executable, "-c", code, *arguments, "--cache-dir", str(cache), "--n-jobs", "1"]
    process = subprocess.run(started, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert process.returncode == 130 and process.stdout == ""
    assert "/3" in process.stderr and process.stderr.endswith("shl set: interrupted\n")
    assert len(list(cache.glob("*.npz"))) == 1
    assert command(*arguments) == 0
    assert "1 of 3 were stored" in capsys.readouterr().out


def test_summarise_takes_numbers_and_arrays():
    records = [
        {"method": "a", "score": 1, "zeros": [1, 2], "status": "done"},
        {"method": "b", "score": 5, "zeros": [0, 0], "status": "done"},
        {"method": "a", "score": 3, "zeros": [3, 6], "status": "done"},
        {"method": "a", "status": "failed"},
    ]
    first, second = summarise(records, ["method"], ("score", "zeros"))
    expected = {"method": "a", "n_runs": 3, "n_failed": 1, "score": 2, "zeros": [2, 4]}
    stds = {"score_std": pytest.approx(2**0.5), "zeros_std": pytest.approx([2**0.5, 8**0.5])}
    assert first == expected | stds
    assert second["n_runs"] == 1 and second["score"] == 5 and second["score_std"] == 0
    assert summarise(records[3:], ["method"], ["score"])[0]["score"] is None


def test_long_study_is_announced(tmp_path, capsys):
    """After an epoch, for those that are not stored; a short study says nothing."""

    def learn(seed, epochs, data):
        return {"seconds": 1.5 * epochs}

    study = replace(set_evolution.STUDY, learn=learn, varied={})
    study.run(epochs=100, store=Store(tmp_path), verbose=1)
    assert "about 8 minutes: 300 epochs of 1.5 s, 3 runs on 1 workers" in capsys.readouterr().err
    study.run(epochs=100, store=Store(tmp_path), verbose=1)
    study.run(epochs=5, verbose=1)
    assert "about" not in capsys.readouterr().err


# --------------------------------------------------------------------------------- what they learn


def test_correlate_is_that_of_numpy():
    rng = np.random.default_rng(0)
    counts, spread = rng.integers(0, 9, 64), rng.random(64)
    expected = np.corrcoef(counts, spread)[0, 1]
    assert set_evolution.correlate(counts, spread) == pytest.approx(expected)
    assert np.isnan(set_evolution.correlate(np.ones(64), spread))


def test_set_scales_inputs_and_records_losses():
    ways = ({}, {"normalized": True}, {"published": True})
    records = [set_evolution.evolve_one(1e-3, 0, epochs=2, **way) for way in ways]
    assert len({record["weights"].tobytes() for record in records}) == 3
    assert [len(record["weights"]) for record in records] == [1280, 1280, 11 * (64 + 512)]
    for record in records:
        assert len(record["steps"]) == len(record["losses"]) == len(record["train_losses"]) == 2
        assert record["test_loss"] == record["losses"][-1] and 0 < record["zeroed_accuracy"] <= 1
    X, X_test = set_evolution._scale(np.eye(4), np.zeros((1, 4)), 16, True)
    assert X.mean() == pytest.approx(0) and X.std() == pytest.approx(1) and (X_test < 0).all()


def test_group_sparsity_counts_exact_zeros():
    record = group_sparsity.learn_one("l1", 0, epochs=3, alpha=3.0)
    assert record["sparsity"] == 1 and list(record["units"]) == [0, 0, 0]
    assert record["n_kept"] < 12 and record["shrink_error"] < 1e-6
    record = group_sparsity.learn_one("l2", 0, epochs=3, data="diabetes")
    assert record["sparsity"] == 0 and list(record["units"]) == [10, 20, 15]


@pytest.mark.parametrize("loss", regularization.LOSSES)
def test_regularization_minimises_the_documents_loss(loss):
    """One step of Adam moves each weight against its gradient, by the learning rate."""
    outputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(3)[[0, 1, 2, 0, 1]]
    expected = {
        "squared error": ((targets - outputs.softmax(1)) ** 2).sum() / 2 / (3 * 5),
        "cross-entropy": -(targets * outputs.log_softmax(1)).sum() / 5,
    }
    torch.testing.assert_close(regularization._loss_of(outputs, targets, loss), expected[loss])
    record = regularization.learn_one("l2", 0, epochs=3, loss=loss)
    assert record["losses"][-1] < record["losses"][0] and record["accuracy"] > 0.2
