import json
import urllib.request

import numpy as np
import pytest
from making import small_model
from PIL import Image
from scipy.io import savemat, wavfile

from shl.cli import main as cli
from shl.convolution import ConvolutionalSHL, plots
from shl.plotting import time_plot

# ----------------------------------------------------------------------------------- figures, study


def test_figures_show_what_they_are_given(images, tmp_path):
    model = small_model().fit(images)
    code = model.transform(images)
    _, ax = plots.show_atoms(model, n_columns=3)
    assert ax.images[0].get_array().shape == (2 * 6 + 1, 3 * 6 + 1)
    fig, ax = plots.plot_counts(model)
    assert [bar.get_height() for bar in ax.patches] == model.counts_.tolist()
    _, same = plots.plot_counts(np.arange(6), fig=fig, ax=ax)
    assert same is ax
    _, ax = time_plot(model, "error_own")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), model.record_["error_own"])
    _, ax = plots.show_where(code)
    assert np.nansum(ax.images[0].get_array()) == code.n_events
    path = tmp_path / "reconstruction.png"
    plots.show_reconstruction(images, model.inverse_transform(code), fname=path)
    assert path.stat().st_size > 0


def test_signals_are_drawn_as_curves_and_events(rng, tmp_path):
    X = rng.standard_normal((2, 3, 300))
    model = ConvolutionalSHL(4, atom_shape=12, n_iter=3, random_state=0).fit(X)
    code = model.transform(X, l0_sparseness=6)
    _, ax = plots.show_atoms(model)
    curves = [line for line in ax.lines if len(line.get_xdata()) == 12]
    assert len(curves) == 4 * 3
    _, ax = plots.plot_events(code, X, model, signal=1, stop=300, sampling_rate=100.0)
    made = model.inverse_transform(code)[1]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), made[0], atol=1e-12)
    marks = [line for line in ax.lines if line.get_marker() == "|"]
    assert sum(len(mark.get_xdata()) for mark in marks) == 6
    _, ax = plots.plot_rates(code, sampling_rate=100.0)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], code.rates(100.0))


def test_grids_have_full_rows_where_they_can():
    assert [plots.count_columns(n, 2) for n in (1, 2, 20, 60, 13)] == [1, 2, 10, 12, 6]
    assert plots.count_columns(20, 1.6) == 5


FLAGS = "conv-learn --n-images 6 --size 33 --n-dictionary 5 --l0-sparseness 4 --n-iter 3 --n-jobs 1"
FLAGS += " --second-n-iter 2 --second-n-dictionary 3 --second-patch-width 7"
FLAGS = FLAGS.split()


def run(out, *flags):
    """The exit code of a small study of images."""
    return cli.main([*FLAGS, *flags, "--out", str(out)])


def test_the_command_writes_and_prints_its_results(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(out, *["--homeo-method", "None", "epochEXP", "--database", "dead_leaves"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["rules"]) == {"None", "epochEXP"} and summary["second"]["seconds"] > 0
    models = {path.name for path in out.glob("*.npz")}
    assert models == {f"model_{name}.npz" for name in ("None", "epochEXP", "second")}
    kinds = ("atoms", "where", "reconstruction")
    pictures = {f"{kind}_{rule}.png" for kind in kinds for rule in ("None", "epochEXP")}
    pictures |= {"convergence.png", "atoms_second.png"}
    assert {path.name for path in out.glob("*.png")} == pictures
    assert {str(path) for path in out.glob("*.png")} == set(summary["pictures"])
    assert {path.stem for path in out.glob("*.pdf")} == {path.stem for path in out.glob("*.png")}
    assert ConvolutionalSHL.load(out / "model_epochEXP.npz").components_.shape == (5, 1, 9, 9)
    *lines, second, last = capsys.readouterr().out.splitlines()
    for line, (rule, found) in zip(lines, summary["rules"].items(), strict=True):
        assert line.split()[0] == rule
        assert f"plain pursuit: error {found['error']:.4f}, cv of usage {found['cv']:.3f}" in line
    error = summary["second"]["error_own"]
    assert second.startswith(f"second layer, own competition: error {error:.4f}")
    assert last.endswith(f"models, pictures and summary in {out}/")


def test_the_command_learns_quietly_from_a_folder(tmp_path, capsys, rng):
    (tmp_path / "pictures").mkdir()
    for n in range(2):
        pixels = rng.integers(0, 256, (60, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{n}.png")
    flags = "--homeo-method shareHAP --second-n-iter 0 --quiet --database pictures --datapath"
    assert run(tmp_path / "out", *flags.split(), str(tmp_path)) == 0
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "out" / "model_second.npz").exists()


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--homeo-method", "HIP", "must be one of 'None', 'OLS'"),
        ("--l0-sparseness", "626", "must be at least 1 and at most 625 (the"),
    ],
)
def test_the_command_says_what_is_wrong(flag, value, words, tmp_path, capsys):
    assert run(tmp_path / "out", flag, value) == 2
    assert f"{flag} {words}" in capsys.readouterr().err


def test_faces_need_a_network(tmp_path, monkeypatch, capsys):
    """A proxy that refuses every connection, no opener with others, and an empty folder of data."""
    monkeypatch.setattr(urllib.request, "_opener", None)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run(tmp_path / "out", "--database", "faces", "--datapath", str(tmp_path)) == 1
    printed, said = capsys.readouterr()
    assert printed == "" and "The faces are not on this machine" in said
    assert "cannot be downloaded" in said


def test_the_command_learns_from_recordings(tmp_path, capsys, rng):
    t = np.arange(16) - 8
    X = 0.02 * rng.standard_normal((2, 4000)).astype(np.float32)
    for time in rng.integers(0, 3980, 60):
        X[:, time : time + 16] += np.exp(-(t**2) / 8) * np.cos(t)
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", X)
    savemat(tmp_path / "x.mat", {"X": X})
    wavfile.write(tmp_path / "x.wav", 1000, X.T)
    flags = ["--n-dictionary", "2", "--atom-shape", "16", "--sampling-rate", "1000", "--json"]
    summaries = []
    for suffix in ("npy", "npz", "mat", "wav"):
        out = tmp_path / suffix
        file = ["--recording", str(tmp_path / f"x.{suffix}"), "--out", str(out)]
        assert cli.main(["conv-learn", *flags, *file]) == 0
        summaries.append(json.loads(capsys.readouterr().out))
        model = ConvolutionalSHL.load(out / "model.npz")
        assert model.components_.shape == (2, 2, 16)
        n_lines = len((out / "events.csv").read_text().splitlines())
        assert n_lines == summaries[-1]["n_events"] + 1 > 40
        assert {path.name for path in out.glob("*.png")} == {"atoms.png", "events.png", "rates.png"}
    assert len({summary["n_events"] for summary in summaries}) == 1
    np.savez(tmp_path / "two.npz", X, X[:1])
    file = ["--recording", str(tmp_path / "two.npz"), "--out", str(tmp_path / "o")]
    assert cli.main(["conv-learn", *flags, *file]) == 1
    assert "must hold one array, or channels of one length" in capsys.readouterr().err
