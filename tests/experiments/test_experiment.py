import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from making import EXPERIMENT
from PIL import Image

from shl import SHL, SparseHebbianLearning
from shl.cli import main as cli
from shl.experiments.experiment import STUDY


@pytest.fixture
def shl(tmp_path):
    return SHL(**EXPERIMENT, cache_dir=tmp_path / "cache")


def test_the_studys_settings_have_a_name():
    shl = SHL(**STUDY, cache_dir=None)
    wanted = {"eta_decay": None, "replace": False, "homeo_fade": None, "optimizer": "adam"}
    wanted |= {"height": 256, "width": 256, "patch_width": 21, "patch_height": None}
    wanted |= {"N_patches": 65536, "datapath": "database/", "name_database": "sample"}
    wanted |= {"do_mask": True, "do_bandpass": True, "over_patches": 16, "patch_ds": 1}
    wanted |= {"patch_norm": False, "n_image": None, "color": False, "n_dictionary": 676}
    wanted |= {"learning_algorithm": "mp", "fit_tol": None, "l0_sparseness": 21, "alpha_MP": 0.95}
    wanted |= {"one_over_F": True, "n_iter": 4097, "eta": 0.02, "beta1": 0.99, "beta2": 0.99}
    wanted |= {"epsilon": 10, "do_precision": False, "eta_precision": 0, "homeo_method": "HAP"}
    wanted |= {"eta_homeo": 0.01, "alpha_homeo": 0.05, "C": 3.0, "nb_quant": 128, "P_cum": None}
    wanted |= {"do_sym": False, "seed": 42, "batch_size": 1024, "record_each": 32, "n_jobs": 1}
    wanted |= {"record_num_batches": 1024, "DEBUG_DOWNSCALE": 1, "verbose": 0, "cache_dir": None}
    wanted |= {"checkpoint_each": None}
    assert shl.parameters() == wanted


def test_an_experiment_from_data_to_figures(shl):
    data = shl.get_data()
    assert data.shape == (600, 64) and data.dtype == np.float32
    figures = ["show_dico", "show_dico_in_order", "show_Pcum", "plot_error", "plot_variance"]
    figures += ["plot_variance_histogram", "time_plot_F", "time_plot_kurt"]
    dico = shl.learn_dico(data=data, list_figures=figures)
    assert set(shl.figures) == set(figures)
    assert dico.dictionary.shape == (30, 64) and dico.P_cum.shape == (30, 128)
    assert dico.n_iter == 12 and dico.precision is None
    assert list(dico.record["steps"]) == [0, 4, 8, 12]
    code = shl.code(data, dico)
    np.testing.assert_array_equal(code, dico.transform(data))
    assert np.linalg.norm(data - shl.decode(code, dico)) < np.linalg.norm(data)
    pairs = shl.code(data, dico, coding_algorithm="omp", l0_sparseness=2)
    assert ((pairs != 0).sum(axis=1) <= 2).all()
    for _ in range(2):  # computed, and from the store
        np.testing.assert_array_equal(shl.code(data, dico, matname="c"), code)


def test_a_stored_learning_follows_its_parameters(shl):
    first = shl.learn_dico(matname="tag")
    entries = len(shl.store.entries())
    again = shl.learn_dico(matname="tag")
    np.testing.assert_array_equal(again.dictionary, first.dictionary)
    assert len(shl.store.entries()) == entries == 2
    other = replace(shl, eta=0.01).learn_dico(matname="tag")
    assert not np.array_equal(other.dictionary, first.dictionary)
    assert len(shl.store.entries()) == 3


def test_an_entry_says_what_differs_from_the_defaults(shl):
    data = shl.get_data()
    shl.learn_dico(data=data, matname="ours")
    shl.learn_dico(data=data[::-1], matname="mine")
    rows = {row["tag"]: row for row in shl.store.rows()}
    assert rows["ours"]["parameters"]["patch_width"] == shl.patch_width
    assert {"patch_width", "n_iter"} <= {*rows["ours"]["changed"]}
    assert not {"eta", "random_state"} & {*rows["ours"]["changed"]}
    assert "patch_width" not in rows["mine"]["parameters"] and "n_iter" in rows["mine"]["changed"]


def test_patches_are_cached_under_all_that_makes_them(shl):
    data = shl.get_data()
    np.testing.assert_array_equal(shl.get_data(), data)
    assert shl.get_data(patch_width=9).shape == (600, 81)
    assert not np.array_equal(replace(shl, do_mask=False).get_data(), data)
    np.testing.assert_array_equal(replace(shl, cache_dir=None).get_data(), data)


def test_start_values_and_precision(shl):
    start = np.eye(64, dtype=np.float32)[:30]
    dico = shl.learn_dico(dictionary=start, P_cum=np.tile(np.linspace(0, 1, 128), (30, 1)))
    assert dico.dictionary.shape == (30, 64)
    weighted = SHL(**EXPERIMENT, do_precision=True, eta_precision=0.01, cache_dir=None).learn_dico()
    np.testing.assert_allclose(weighted.precision.mean(axis=1), 1, rtol=1e-3)


def test_downscale_divides_the_work():
    shl = SHL(DEBUG_DOWNSCALE=64, n_dictionary=30, l0_sparseness=5, cache_dir=None)
    data = shl.get_data()
    assert data.shape == (1024, 441)
    assert shl.learn_dico(data=data).n_iter == 20


FLAGS = "--n-dictionary 40 --l0-sparseness 4 --n-iter 33 --batch-size 128 --n-patches 2000"
FLAGS = [*FLAGS.split(), "--patch-width", "10", "--n-jobs", "1"]


def test_a_few_patches_are_drawn_but_not_learned(tmp_path):
    shl = SHL(N_patches=12, patch_width=8, height=64, width=64, cache_dir=None)
    assert shl.get_data().shape == (12, 64)
    with pytest.raises(ValueError, match="N_patches must be .* 2048, not 12: batch_size = 1024"):
        shl.learn_dico()


def test_experiments_are_equal_by_their_parameters():
    table = np.tile(np.linspace(0, 1, 128), (676, 1))
    assert SHL(P_cum=table) == SHL(P_cum=table.copy()) != SHL()
    assert SHL() != SHL(seed=1) and SHL() != "SHL"


# ---------------------------------------------------------------------------------- first minutes


def make_images(folder, rng):
    """Two images of 70 x 80 in a new folder."""
    folder.mkdir(parents=True)
    for name in "ab":
        pixels = rng.integers(0, 255, (70, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")


def test_the_only_database_of_a_datapath_is_taken(tmp_path, rng):
    make_images(tmp_path / "mine", rng)
    (tmp_path / "notes").mkdir()
    for datapath in (tmp_path, tmp_path / "mine"):
        shl = SHL(**EXPERIMENT, datapath=datapath, cache_dir=None)
        assert (shl.name_database, Path(shl.datapath)) == ("mine", tmp_path)
    assert shl.get_data().shape == (600, 64)
    assert SHL(**EXPERIMENT, cache_dir=None).name_database == "sample"
    assert SHL(**shl.parameters()) == shl


def test_several_databases_are_an_error(tmp_path, rng):
    with pytest.raises(FileNotFoundError, match="datapath must hold a folder of images"):
        SHL(**EXPERIMENT, datapath=tmp_path)
    with pytest.raises(FileNotFoundError, match="datapath must be a folder"):
        SHL(**EXPERIMENT, datapath=tmp_path / "nowhere")
    make_images(tmp_path / "one", rng)
    make_images(tmp_path / "two", rng)
    with pytest.raises(ValueError, match="name_database must be one of one, two"):
        SHL(**EXPERIMENT, datapath=tmp_path)


def test_figures_get_the_options_they_take():
    shl = SHL(**EXPERIMENT, cache_dir=None)
    data = shl.get_data()
    figures, options = ["show_dico", "time_plot_F"], {"order": False, "label": "mine"}
    shl.learn_dico(data=data, list_figures=figures, fig_kwargs=options)
    assert shl.figures["time_plot_F"][1].lines[0].get_label() == "mine"
    with pytest.raises(TypeError, match="fig_kwargs has colour, which no figure"):
        shl.learn_dico(data=data, list_figures=figures, fig_kwargs={"colour": "red"})


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"color": True}, (8, 8, 3)),
        ({"patch_height": 5}, (5, 8)),
        ({"patch_height": 5, "color": True, "do_mask": False, "one_over_F": True}, (5, 8, 3)),
    ],
)
def test_a_model_knows_the_shape_of_its_patches(options, shape, tmp_path):
    shl = SHL(**EXPERIMENT | options, name_database="dead_leaves", cache_dir=None)
    data = shl.get_data()
    model = shl.learn_dico(data=data)
    assert data.shape == (shl.N_patches, np.prod(shape)) and data.dtype == np.float32
    assert model.patch_shape == shape and model.components_.shape[1] == np.prod(shape)
    model.save(tmp_path / "model.npz")
    assert SparseHebbianLearning.load(tmp_path / "model.npz").patch_shape == shape
    with pytest.raises(ValueError, match="patch_shape must have as many pixels as a sample, 64"):
        shl.learn_dico(data=np.ones((1500, 64), np.float32))


def test_colours_are_learned_with_their_contrast():
    """Photographs are mostly grey: channels vary together, and not only together."""
    shl = SHL(**EXPERIMENT, color=True, name_database="sample", cache_dir=None)
    r, g, b = shl.get_data().reshape(-1, 64, 3).transpose(2, 0, 1)
    for other in (g, b):
        correlation = np.corrcoef(r.ravel(), other.ravel())[0, 1]
        assert 0.3 < correlation < 0.995


def test_equal_runs_write_equal_files(tmp_path, monkeypatch, capsys):
    files = {}
    for place, flag in (("one", "--json"), ("two", "--quiet")):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        options = ["--out", "out", "--cache-dir", "none", flag, "--reproducible"]
        assert cli.main(["learn", *FLAGS, *options]) == 0
        files[place] = {path.name: path.read_bytes() for path in Path("out").iterdir()}
        files[place].pop("run.json")  # holds the flags
        said = capsys.readouterr().out
        summary = json.loads(files[place]["summary.json"])
        assert (not said) if flag == "--quiet" else summary.items() <= json.loads(said).items()
    assert len(files["one"]) == 10 and files["one"] == files["two"]
    for name in ("dictionary.npz", "dictionary.png", "P_cum.png", "learning.png", "usage.png"):
        assert len(files["one"][name]) > 1000
    assert "SOURCE_DATE_EPOCH" not in os.environ
    assert {"error", "F", "entropy"} <= set(summary) and "seconds" not in summary
