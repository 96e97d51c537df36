import itertools
import json

import joblib
import numpy as np
import pytest
from making import EXPERIMENT

from shl import SHL, SHL_set, store
from shl.cli import main as cli
from shl.coding.parameters import ALGORITHMS
from shl.learning import checkpoints
from shl.learning.homeostasis import RULES

METRICS = ("F", "error", "qerror", "entropy", "MI", "MC", "logL", "perror", "F_own")


@pytest.fixture
def opts(tmp_path):
    return {**EXPERIMENT, "cache_dir": tmp_path / "cache"}


def table(records):
    """What must not depend on how a scan was run."""
    names = ("variable", "value", "seed", "status", *METRICS)
    return [tuple(record.get(name) for name in names) for record in records]


def test_values_of_variables():
    opts = {**EXPERIMENT, "cache_dir": None}
    experiments = SHL_set(opts, N_scan=3)
    assert experiments.values_of("eta") == pytest.approx([0.01, 0.04, 0.16])
    assert experiments.values_of("seed") == [42, 43, 44]
    assert experiments.values_of("alpha_MP") == pytest.approx([0.25, 0.5, 1])
    assert experiments.values_of("beta1") == pytest.approx([0.9975, 0.99, 0.96])
    assert experiments.values_of("l0_sparseness") == [1, 3, 12]
    assert experiments.values_of("do_sym") == [False, True]
    assert experiments.values_of("homeo_method") == list(RULES)
    assert experiments.values_of("learning_algorithm") == list(ALGORITHMS)
    assert SHL_set(opts, values={"eta": [1, 2]}).values_of("eta") == [1, 2]


def test_results_ignore_jobs_order_and_backend(opts, tmp_path):
    tables = []
    for n_jobs, backend, variables in (
        (1, "loky", ["eta", "seed"]),
        (2, "loky", ["eta", "seed"]),
        (2, "threading", ["seed", "eta"]),
    ):
        experiments = SHL_set({**opts, "cache_dir": tmp_path / f"{n_jobs}{backend}"}, N_scan=3)
        with joblib.parallel_config(backend):
            experiments.run(variables, n_jobs=n_jobs)
        tables.append(sorted(table(experiments.results())))
    assert tables[0] == tables[1] == tables[2] and len(tables[0]) == 6


def test_a_second_run_reads_what_is_stored(opts):
    first = SHL_set(opts, N_scan=3).run(["eta", "patch_width"])
    again = SHL_set(opts, N_scan=3).run(["eta", "patch_width"])
    assert table(again) == table(first)
    assert not any(record["cached"] for record in first)
    done = [record for record in again if record["status"] == "done"]
    assert done and all(record["cached"] for record in done)
    wider = SHL_set(opts, N_scan=3, values={"eta": [0.04, 0.03]}).run(["eta"])
    assert [record["cached"] for record in wider] == [True, False]


def test_equal_values_are_learned_once(opts):
    SHL_set(opts, N_scan=3).run(["eta", "seed"])  # eta = .04 and seed = 42 are one experiment
    assert len(list((opts["cache_dir"]).glob("*-dico-*.npz"))) == 5


def test_a_grid_has_every_combination(opts):
    experiments = SHL_set(opts, values={"eta": [0.01, 0.02], "seed": [1, 2, 3]})
    records = experiments.run(["eta", "seed"], grid=True)
    wanted = list(itertools.product((0.01, 0.02), (1, 2, 3)))
    assert [record["value"] for record in records] == wanted
    assert len({record["F"] for record in records}) == 6
    assert [record["seed"] for record in records] == [1, 2, 3, 1, 2, 3]


def test_tables_and_figures(opts, tmp_path):
    experiments = SHL_set(opts, N_scan=3)
    experiments.run(["eta"])
    experiments.to_csv(tmp_path / "t.csv")
    experiments.to_json(tmp_path / "t.json")
    frame = experiments.to_frame()
    assert list(frame["value"]) == pytest.approx([0.01, 0.04, 0.16])
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 4
    assert [row["F"] for row in json.loads((tmp_path / "t.json").read_text())] == list(frame["F"])
    fig, ax = experiments.scan("eta", list_figures=["show_Pcum"], label="HAP", color="r")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), frame["F"])
    assert len(experiments.figures) == 3
    fig, ax = experiments.scan("eta", display="dynamic", display_variable="error")
    labels = [line.get_label() for line in ax.lines]
    assert labels == [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == 3
    with pytest.raises(ValueError, match="display must be one of 'final', 'dynamic'"):
        experiments.scan("eta", display="static")


def test_a_grid_has_a_picture_and_a_column_a_parameter(opts):
    values = {"eta": [0.02, 0.04], "l0_sparseness": [2, -1, 3]}  # one fails
    experiments = SHL_set(opts, values=values)
    _, ax = experiments.scan(["eta", "l0_sparseness"], display_variable="error")
    frame = experiments.to_frame()
    assert list(frame["eta"]) == [0.02] * 3 + [0.04] * 3 and "params" not in frame
    assert list(frame["l0_sparseness"]) == [2, -1, 3] * 2
    (image,) = ax.images
    drawn = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_array_equal(drawn, frame["error"].to_numpy().reshape(2, 3).T)
    assert np.isnan(drawn[1]).all()
    for variables, display in ((["eta", "seed", "C"], "final"), (["eta", "seed"], "dynamic")):
        with pytest.raises(ValueError, match="Call run.variables, grid=True., then to_frame"):
            experiments.scan(variables, display=display)


def test_the_scan_command(tmp_path, capsys):
    flags = "scan --variable eta --n-scan 2 --n-dictionary 20 --l0-sparseness 3 --n-iter 5"
    flags += " --batch-size 64 --n-patches 1500 --patch-width 8 --n-jobs 1 --quiet"
    flags = [*flags.split(), "--cache-dir", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    assert cli.main([*flags, "--json", "--dry-run"]) == 0
    assert [row["stored"] for row in json.loads(capsys.readouterr().out)] == [False, False]
    assert not (tmp_path / "out").exists()
    assert cli.main(flags) == 0
    files = {"run.json", "scan.csv", "scan.json", "scan.pdf", "scan.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    assert cli.main([*flags, "--json", "--dry-run"]) == 0
    assert [row["stored"] for row in json.loads(capsys.readouterr().out)] == [True, True]
    files = {}
    for folder in ("one", "two"):  # the second reads all from the store
        options = ["--out", str(tmp_path / folder), "--cache-dir", str(tmp_path / "new")]
        assert cli.main([*flags, *options, "--reproducible"]) == 0
        files[folder] = {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
    assert len(files["one"]) == 5 and files["one"] == files["two"]
    assert b"seconds" not in files["one"]["scan.csv"]


def test_a_checkpoint_of_another_machine_is_not_used(tmp_path, monkeypatch):
    keeper = store.Store(tmp_path)
    result = tmp_path / "x.npz"
    shl = SHL(**EXPERIMENT, cache_dir=None)
    with checkpoints.Checkpoints(keeper, result, each=1) as kept:
        shl._estimator().fit(shl.get_data(), on_step=kept.step_done)
        assert kept.last().step == EXPERIMENT["n_iter"]
        monkeypatch.setattr(checkpoints, "machine", lambda: {"numpy": "0"})
        assert kept.last() is None


def test_one_value_is_the_middle_and_names_count_once():
    experiments = SHL_set({"eta": 0.03, "cache_dir": None}, N_scan=1)
    assert experiments.values_of("eta") == [0.03] and experiments.values_of("alpha_MP") == [0.95]
    assert len(experiments.tasks(["eta", "eta"])) == 1
