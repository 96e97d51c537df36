import json
from dataclasses import replace

import pytest
from ranges import assert_rejects

from shl.networks.teacher_student.configs import (
    Config,
    config_names,
    load_config,
    make_config,
    single_run,
    split_model,
    sweep_runs,
)


def test_defaults_are_those_of_the_study():
    config = make_config({})
    sizes = {"batch_size": 16, "patience": 100, "dataset_size": 5120, "num_epochs": 50000}
    norms = {"lr": [0.005], "l1_norm": [1e-5], "l2_norm": [0.0]}
    others = {"loss_func": "MSE", "init": 1, "clipping": False, "same_act": True}
    assert vars(config).items() >= (sizes | norms | others).items()
    assert load_config("config.json") == replace(config, name="exp1")


STORED = {  # dataset_size, num_epochs and lr in the record of the study of 2025, by init
    "l1": {1: (100000, 100000, 0.005)},
    "l2": {1: (100000, 100000, 0.005)},
    "noReg": {0.2: (100000, 2000, 0.005), 1: (100000, 5000, 0.005)},
    "cnn_l1": {0.2: (5120, 100000, 0.005), 1: (5120, 100000, 0.01)},
    "cnn_l2": {1: (5120, 100000, 0.01)},
    "cnn_noReg": {1: (5120, 10000, 0.01)},
}


@pytest.mark.parametrize("init", [0.2, 1])
@pytest.mark.parametrize(
    ("penalty", "l1", "l2"), [("l1", 1e-5, 0), ("l2", 0, 1e-5), ("noReg", 0, 0)]
)
def test_literal_configurations(penalty, l1, l2, init):
    """All that the study of 2025 has under these names, but for the folder of its results."""
    norms = {"l1_norm": [l1], "l2_norm": [l2]}
    literal = Config(**norms, init=init, same_act=False, name=f"{penalty}_init{init}")
    for kind in ("", "cnn_"):
        size, epochs, lr = STORED[kind + penalty].get(init, STORED[kind + penalty][1])
        values = {"dataset_size": size, "num_epochs": epochs, "lr": [lr]}
        expected = replace(literal, name=f"{kind}{literal.name}", **values)
        assert load_config(f"config_{kind}{penalty}_{init}.json") == expected


def test_every_shipped_configuration_loads():
    for name in config_names():
        load_config(name)


def test_a_base_holds_what_a_file_has_not(tmp_path):
    (tmp_path / "mine.json").write_text('{"base": "config_l2_0.2.json", "lr": 0.5}')
    mine = load_config(tmp_path / "mine.json")
    assert mine == replace(load_config("config_l2_0.2.json"), lr=[0.5])
    for base, error, message in (
        (f'"{tmp_path}/circle.json"', ValueError, "circle.json is its own base"),
        ('"nowhere.json"', FileNotFoundError, "circle.json: base 'nowhere.json' is neither"),
        ("3", TypeError, "circle.json: base must be a text, not 3"),
    ):
        (tmp_path / "circle.json").write_text(f'{{"base": {base}}}')
        with pytest.raises(error, match=message):
            load_config(tmp_path / "circle.json")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"batchsize": 16}, ValueError, "unknown key 'batchsize'; keys are base, batch_size"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"lr": []}, ValueError, "lr must hold at least one number"),
        ({"lr": [0]}, ValueError, r"lr\[0\] must be above 0"),
        ({"l1_norm": [1e-5, -1]}, ValueError, r"l1_norm\[1\] must be at least 0, not -1"),
        ({"l1_path": [-0.1]}, ValueError, r"l1_path\[0\] must be at least 0"),
        ({"clipping": True}, TypeError, "clipping must be a number, not True"),
        ([1], TypeError, "must hold a JSON object"),
    ],
)
def test_bad_values_are_named_with_their_file(tmp_path, values, error, message):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values))
    with pytest.raises(error, match=message) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_values_out_of_range_are_rejected():
    assert_rejects(Config, lambda **values: make_config(values, "mine"), head="^mine: ")


def test_missing_files_are_named():
    message = "config_path 'nothing.json' is neither a file nor one of"
    with pytest.raises(FileNotFoundError, match=message):
        load_config("nothing.json")


def test_own_file_comes_before_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text('{"num_epochs": 7}')
    for name in ("config.json", "./config.json", str(tmp_path / "config.json")):
        assert load_config(name).num_epochs == 7
    # The bases of shipped files are those beside them.
    assert load_config("config_path.json").num_epochs == 50000


def test_names_of_models():
    assert split_model("fcn_128_128_relu", "teacher_model") == ("fcn_128_128", "relu")
    assert split_model("baselineCNN_gelu", "teacher_model") == ("baselineCNN", "gelu")
    for name in ("baselineCNN", "baselineCNN_elu", "fcn_12_relu", "", "relu"):
        with pytest.raises(ValueError, match=f"student_model must be a model .* not '{name}'"):
            split_model(name, "student_model")
    with pytest.raises(ValueError, match="teacher_type must be one of 'baselineCNN'.* not 'cnn'"):
        sweep_runs(Config(), "cnn", "baselineCNN", [0])


def test_a_sweep_has_every_combination():
    config = Config(lr=[0.1, 0.2], l1_norm=[0, 1e-3], l2_norm=[0, 1e-4, 1e-2], same_act=False)
    runs = sweep_runs(config, "baselineCNN", "splitFilterCNN", [1, 2])
    assert len(runs) == len({run.key() for run in runs}) == 9 * 2 * 2 * 3 * 2
    same = sweep_runs(replace(config, same_act=True), "baselineCNN", "splitFilterCNN", [1, 2])
    assert same == [run for run in runs if run.teacher_activation == run.student_activation]


def test_a_key_holds_all_that_decides_a_result():
    def key(seed=0, **values):
        names = "baselineCNN_relu", "multiChannelCNN_relu"
        return single_run(make_config(values), *names, seed).key()

    changes = {"batch_size": 8, "patience": 5, "dataset_size": 100, "num_epochs": 3, "lr": [0.1]}
    changes |= {"l1_norm": [0.1], "l2_norm": [0.1], "l1_path": [0], "restarts": 2, "init": 0.2}
    changes |= {"clipping": 1e-3, "scaled": True}
    keys = [key(), key(seed=1), *(key(**{name: value}) for name, value in changes.items())]
    assert len(set(keys)) == len(keys)
    assert key(name="other", save_path="there", same_act=False) == key()


def test_a_single_run_has_one_value_of_each():
    names = "baselineCNN_relu", "baselineCNN_relu"
    words = r"l1_norm must hold one number in mode 'single', not \[0.0, 1.0\]"
    with pytest.raises(ValueError, match=words):
        single_run(make_config({"l1_norm": [0, 1]}), *names, 0)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        single_run(Config(), *names, -1)
