import argparse
import json

import numpy as np
import pytest
from naive_convolution import draw_images, small_model

from shl.convolution import ConvolutionalSHL, cli, plots


@pytest.fixture
def images():
    return draw_images()


# ------------------------------------------------------------------------------------------------ figures, study

def test_figures_show_what_they_are_given(images, tmp_path):
    model = small_model().fit(images)
    code = model.transform(images)
    _, ax = plots.show_atoms(model, n_columns=3)
    assert ax.images[0].get_array().shape == (2 * 6 + 1, 3 * 6 + 1)
    _, ax = plots.plot_convergence(model, label="a")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), model.record_["error"])
    fig, ax = plots.plot_usage(model)
    assert [bar.get_height() for bar in ax.patches] == model.counts_.tolist()
    _, same = plots.plot_usage(np.arange(6), fig=fig, ax=ax)
    assert same is ax
    _, ax = plots.show_where(code)
    assert np.nansum(ax.images[0].get_array()) == len(code)
    plots.show_reconstruction(images, model.inverse_transform(code), fname=tmp_path / "reconstruction.png")
    assert (tmp_path / "reconstruction.png").stat().st_size > 0


def run_command(arguments):
    parser = argparse.ArgumentParser()
    cli.add_commands(parser.add_subparsers())
    args = parser.parse_args(arguments)
    return args.run(args)


def test_the_command_writes_what_it_says(tmp_path, capsys):
    out = tmp_path / "out"
    run_command(["conv-learn", "--n-images", "6", "--size", "33", "--n-dictionary", "5", "--l0-sparseness", "4",
                 "--n-iter", "3", "--homeo-method", "None", "EXP", "--second", "2", "--second-n-dictionary", "3",
                 "--second-patch-width", "7", "--database", "dead_leaves", "--json", "--out", str(out)])
    summary = json.loads(capsys.readouterr().out)
    assert set(summary["rules"]) == {"None", "EXP"} and summary["second"]["seconds"] > 0
    assert json.loads((out / "summary.json").read_text()) == summary
    names = {path.name for path in out.iterdir()}
    assert {"atoms_None.png", "where_EXP.png", "reconstruction_EXP.png", "convergence.png", "atoms_second.png",
            "model_None.npz", "model_EXP.npz", "model_second.npz"} <= names
    assert ConvolutionalSHL.load(out / "model_EXP.npz").components_.shape == (5, 1, 9, 9)


def test_quiet_prints_nothing(tmp_path, capsys):
    run_command(["conv-learn", "--n-images", "4", "--size", "33", "--n-dictionary", "3", "--n-iter", "1",
                 "--homeo-method", "HAP", "--quiet", "--out", str(tmp_path)])
    assert capsys.readouterr() == ("", "")
