import json

import numpy as np
import pytest
from students import quick_runs

from shl._base.tables import table
from shl.networks.teacher_student.plots import plot_learning, plot_match, plot_path
from shl.networks.teacher_student.sweep import COLUMNS, result_of, summarise_sweep, sweep
from shl.store.entries import Store
from shl.store.files import read


def without(records, *names):
    return [
        {name: value for name, value in record.items() if name not in names} for record in records
    ]


# -------------------------------------------------------------------------------------------- sweep


def test_a_second_sweep_reads_what_is_stored(tmp_path):
    runs, keeper = quick_runs(l1_norm=[0, 0.01]), Store(tmp_path)
    first = sweep(runs[:4], keeper, tag="mine")
    second = sweep(runs, keeper, tag="mine")
    assert [record["cached"] for record in second] == [True] * 4 + [False] * (len(runs) - 4)
    assert without(second[:4], "cached") == without(first, "cached")
    assert {path.name.split("-")[0] for path in tmp_path.glob("*.npz")} == {"mine"}
    arrays, metrics = result_of(runs[0], keeper, "mine")
    n_weights = sum((arrays[f"student_{i}"] != 0).sum() for i in range(3))
    assert metrics["n_weights"] == first[0]["n_weights"] == n_weights


def test_workers_and_order_do_not_change_results(tmp_path):
    runs = quick_runs(l1_norm=[0.01])
    alone = sweep(runs)
    for found in (sweep(runs[::-1])[::-1], sweep(runs, Store(tmp_path), n_jobs=2)):
        assert without(found, "seconds") == without(alone, "seconds")
    keeper = Store(tmp_path)
    for run in runs[:2]:
        stored, fresh = result_of(run, keeper)[0], result_of(run)[0]
        assert all(np.array_equal(stored[name], fresh[name]) for name in fresh)


def test_a_run_that_diverges_fails_alone(tmp_path):
    good, bad = quick_runs(seeds=[0]), quick_runs(seeds=[0], init=1e20)
    records = sweep([good[1], bad[1]], Store(tmp_path))
    assert [record["status"] for record in records] == ["done", "failed"]
    assert "diverged in epoch 1" in records[1]["failure"]
    assert len(list(tmp_path.glob("*.npz"))) == 1
    groups = summarise_sweep(records)
    assert [group["n_failed"] for group in groups] == [0, 1]
    assert table(COLUMNS, groups)[2].split()[-9:] == [*5 * "-", "0", "of", "1", "1"]


def test_summaries_are_means_over_seeds():
    records = sweep(quick_runs(seeds=[0, 1, 2], l1_norm=[0, 0.02])[:6])
    groups = summarise_sweep(records)
    assert [(group["l1_norm"], group["n_runs"]) for group in groups] == [(0, 3), (0.02, 3)]
    for group, part in zip(groups, (records[:3], records[3:]), strict=True):
        for name in ("n_weights", "relative_loss", "distance"):
            values = [record[name] for record in part]
            assert group[name] == pytest.approx(np.mean(values))
            assert group[f"{name}_std"] == pytest.approx(np.std(values, ddof=1))
        assert (group["n_all"], group["n_teacher"]) == (52, 7)


def test_pictures_show_the_numbers():
    runs = quick_runs(l1_norm=[0, 0.02])
    records = sweep(runs[:4])
    _, (weights, loss) = plot_path(records)
    dots = weights.lines[1].get_xydata()
    counts = [(record["l1_norm"], record["n_weights"]) for record in records]
    assert sorted(map(tuple, dots)) == sorted(counts)
    assert len(loss.lines[1].get_xdata()) == 4
    _, (weights, loss) = plot_path([record for record in records if record["l1_norm"]])
    assert [text.get_text() for text in loss.get_xticklabels()] == ["sigmoid\n-> sigmoid"]
    assert weights.lines[1].get_xdata().tolist() == [0, 0]
    arrays, metrics = result_of(runs[6])
    fig, axs = plot_match(arrays, runs[6])
    assert fig.get_suptitle().startswith("baselineCNN_relu -> multiChannelCNN_relu, lr 0.02")
    assert [ax.images[0].get_array().shape for ax in axs[1]] == [(3, 4), (8, 4), (8, 1)]
    shown = [np.count_nonzero(ax.images[0].get_array()) for ax in axs[1]]
    assert shown == metrics["weights"]
    numbers = [text.get_text() for ax in axs[0] for text in ax.texts]
    assert numbers == ["2.59", "-2.83", "0.87", "-1.38", "1.29", "0.86", "-0.84"]
    for ax, who in zip(axs[:, 0], ("teacher", "student"), strict=True):
        assert ("on the teacher's scale" in ax.get_title()) == (who == "student")
    _, (_, counts) = plot_learning(arrays)
    assert metrics["n_weights"] in counts.lines[-1].get_ydata()


# ------------------------------------------------------------------------------------------ command


def summaries(tmp_path, name):
    """The summaries under a name, by their folders."""
    paths = (tmp_path / "out" / name).glob("*/summary.json")
    return {path.parent: json.loads(path.read_text()) for path in paths}


def test_a_single_student(tmp_path, command, config, capsys):
    path = config(l1_norm=[0.02], l1_path=[0])
    arguments = ["teacher-student", "--config_path", path, "--seed", "3", "--name", "exp3"]
    assert command(*arguments) == 0
    captured = capsys.readouterr()
    assert "baselineCNN_relu -> multiChannelCNN_relu" in captured.out
    assert "of var(y)" in captured.out and "not scaled to var(y)" in captured.out
    assert "at most" in captured.err and "6 epochs of" in captured.err
    assert "objective=" in captured.err
    ((folder, summary),) = summaries(tmp_path, "exp3").items()
    assert summary["run"]["seed"] == 3
    for picture in ("match", "learning"):
        assert (folder / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    arrays = read(folder / "student.npz")[0]
    assert sum((arrays[f"student_{i}"] != 0).sum() for i in range(3)) == summary["n_weights"]
    text = (folder / "student.txt").read_text()
    assert "teacher, layer 1: 1, 2, 1: -2.83" in text
    assert text.count("student, layer") == summary["n_weights"]
    assert command(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out) == summary
    # A student of the same name has a folder of its own.
    assert command(*arguments, "--student_model", "splitFilterCNN_tanh", "--quiet") == 0
    assert sorted(sum(one["n_all"]) for one in summaries(tmp_path, "exp3").values()) == [12, 52]


def test_dense_students_have_teachers_as_full_layers(command, config, capsys):
    arguments = ("--student_model", "fcn_128_128_relu", "--config_path", config(num_epochs=1))
    assert command("teacher-student", *arguments) == 0
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert [row[-2:] for row in rows if row[:1] == ["all"]] == [["7", "18"]]
    assert "distance" not in text


def test_several_students(tmp_path, command, config, capsys):
    """Without a store, students are kept beside their pictures."""
    options = ["--config_path", config(l1_norm=[0, 0.01], name="two"), "--seeds", "0", "1"]
    how = {"cache": "none"}
    assert command("teacher-student", "--mode", "multiple", *options, "--quiet", **how) == 0
    assert capsys.readouterr().out == ""
    ((folder, summary),) = summaries(tmp_path, "two").items()
    assert (len(summary["runs"]), len(summary["groups"])) == (12, 6)
    assert set(summary["pictures"]) == {"path", "relu_relu", "sigmoid_sigmoid", "tanh_tanh"}
    assert len(list((folder / "students").glob("*.npz"))) == 12


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "..", ""])
def test_a_name_does_not_lead_out_of_its_folder(tmp_path, command, config, capsys, name):
    for values, given, code, whose in (
        ({}, ["--name", name], 2, "--"),
        ({"name": name}, [], 1, "mine.json: "),
    ):
        assert command("teacher-student", "--config_path", config(**values), *given) == code
        error = capsys.readouterr().err
        assert f"{whose}name must be the name of a file, without folders, not {name!r}" in error
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--teacher_model", "baselineCNN_elu"], "--teacher_model must be a model"),
        (["--student_model", "cnn_relu"], "--student_model must be a model"),
        (["--config_path", "none.json"], "--config_path 'none.json' is neither"),
        (["--mode", "multiple", "--student_type", "cnn"], "--student_type must be one of 'base"),
        (["--seed", "-1"], "--seed must be at least 0, not -1"),
    ],
)
def test_bad_arguments_are_named_in_one_line(tmp_path, command, capsys, arguments, message):
    assert command("teacher-student", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("shl teacher-student: ") and captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "out").exists()


def test_help_shows_defaults(command, capsys):
    assert command("teacher-student", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: config_path.json)" in text and "(default: 42)" in text
