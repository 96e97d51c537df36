"""The commands that work with a saved model."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import sparse

from shl import SHL, SparseHebbianLearning
from shl.cli import main as cli
from shl.cli import models
from shl.convolution import ConvolutionalSHL
from shl.images.patches import disc

SMALL = {"n_dictionary": 12, "n_iter": 9, "random_state": 0}


@pytest.fixture
def patches(tmp_path, rng):
    """(file of a model of patches of 4 x 4, samples in an npy file)."""
    X = rng.standard_normal((200, 16))
    model = SparseHebbianLearning(**SMALL, l0_sparseness=3, batch_size=50, record_each=4)
    model.set_params(record_num_batches=20).fit(X).save(tmp_path / "model.npz")
    np.save(tmp_path / "X.npy", X)
    return str(tmp_path / "model.npz"), str(tmp_path / "X.npy")


@pytest.fixture
def folder(tmp_path, rng):
    """A folder of two images."""
    (tmp_path / "images").mkdir()
    for name, size in (("a", (40, 50)), ("b", (45, 44))):
        pixels = rng.integers(0, 255, size).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


def test_show_draws_a_model_of_patches(patches, tmp_path, capsys):
    out = tmp_path / "shown"
    assert cli.main(["show", patches[0], "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["kind"] == "SparseHebbianLearning" and summary["atoms"] == [12, 16]
    for name in ("dictionary", "P_cum", "usage", "learning"):
        assert (out / f"{name}.png").stat().st_size and (out / f"{name}.pdf").stat().st_size


def test_atoms_that_are_no_patches_are_curves(rng):
    model = SparseHebbianLearning(**SMALL, l0_sparseness=3).fit(rng.standard_normal((200, 15)))
    _, ax = models._list_pictures(model)["dictionary"]()
    assert len(ax.collections[1].get_segments()) == len(model.components_) and not ax.images


def test_a_code_is_that_of_the_model_and_decodes(patches, tmp_path, capsys):
    model, X = SparseHebbianLearning.load(patches[0]), np.load(patches[1])
    code, decoded = str(tmp_path / "code.npz"), str(tmp_path / "decoded.npy")
    assert cli.main(["encode", *patches, "--out", code, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    wanted = model.transform(X)
    np.testing.assert_array_equal(sparse.load_npz(code).toarray(), wanted)
    assert summary["events"] == (wanted != 0).sum()
    assert cli.main(["decode", patches[0], code, "--out", decoded]) == 0
    np.testing.assert_allclose(np.load(decoded), wanted @ model.components_, atol=1e-12)
    error = np.linalg.norm(X - np.load(decoded)) / np.linalg.norm(X)
    assert summary["error"] == pytest.approx(error)


def test_images_are_cut_into_patches_side_by_side(patches, folder, tmp_path, capsys):
    code = tmp_path / "code.npz"
    assert cli.main(["encode", patches[0], str(folder), "--out", str(code), "--json"]) == 0
    n_patches = 10 * 12 + 11 * 11
    assert json.loads(capsys.readouterr().out)["samples"] == n_patches
    assert sparse.load_npz(code).shape == (n_patches, 12)
    assert cli.main(["encode", patches[0], str(folder / "a.png"), "--out", str(code)]) == 0
    assert sparse.load_npz(code).shape == (10 * 12, 12)


@pytest.mark.parametrize("do_mask", [True, False])
def test_images_are_masked_where_the_model_was(do_mask, folder):
    """From their own image, patches are then coded nearly as well as those learned from."""
    sizes = {"height": 40, "width": 40, "patch_width": 8, "N_patches": 600, "over_patches": 1}
    steps = {"n_iter": 60, "batch_size": 100, "record_num_batches": 100, "cache_dir": None}
    learning = {"n_dictionary": 30, "l0_sparseness": 4, "seed": 0}
    shl = SHL(datapath=folder, do_mask=do_mask, **sizes, **steps, **learning)
    data = shl.get_data()
    model = shl.learn_dico(data=data)
    X = models.read_samples(folder, model)
    assert (X[:, ~disc(8).ravel()] == 0).all() == do_mask
    assert -model.score(X) < 1.15 * -model.score(data)


def test_tiles_are_rows_of_an_image():
    image = np.arange(24.0).reshape(4, 6)
    tiles = models._tiles(image, 2, 2)
    assert len(tiles) == 6
    np.testing.assert_array_equal(tiles[1], image[:2, 2:4].ravel())
    np.testing.assert_array_equal(tiles[3], image[2:, :2].ravel())


def test_a_model_of_images_is_shown_and_codes(folder, tmp_path, rng, capsys):
    path, code, decoded = (str(tmp_path / name) for name in ("m.npz", "code.npz", "X.npy"))
    X = rng.standard_normal((4, 20, 24))
    ConvolutionalSHL(**SMALL, patch_width=5, l0_sparseness=6).fit(X).save(path)
    model = ConvolutionalSHL.load(path)
    assert cli.main(["show", path, "--out", str(tmp_path / "shown"), "--quiet"]) == 0
    assert (tmp_path / "shown" / "dictionary.png").exists()
    assert cli.main(["encode", path, str(folder), "--out", code, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert cli.main(["decode", path, code, "--out", decoded, "--quiet"]) == 0
    found = model.transform(models.read_samples(folder, model))
    np.testing.assert_allclose(np.load(decoded), model.inverse_transform(found))
    assert np.load(decoded).shape == (2, 1, 40, 44)
    rest = models.read_samples(folder, model)[:, None] - np.load(decoded)
    energy = np.linalg.norm(models.read_samples(folder, model))
    assert summary["error"] == pytest.approx(np.linalg.norm(rest) / energy)
    capsys.readouterr()
    assert cli.main(["decode", path, path]) == 1
    assert "is no code of shl encode" in capsys.readouterr().err


def test_what_is_replaced_is_said(patches, tmp_path, rng, capsys):
    out, code = str(tmp_path / "shown"), str(tmp_path / "code.npz")
    model = ConvolutionalSHL(2, patch_width=4, n_iter=1).fit(rng.standard_normal((1, 9, 9)))
    model.save(tmp_path / "images.npz")
    for _ in range(2):
        cli.main(["show", str(tmp_path / "images.npz"), "--out", out, "--quiet"])
    assert capsys.readouterr().err == ""
    (tmp_path / "other.npz").write_bytes((tmp_path / "images.npz").read_bytes())
    cli.main(["show", str(tmp_path / "other.npz"), "--out", out, "--quiet"])
    assert "holds another run" in capsys.readouterr().err
    cli.main(["show", str(tmp_path / "other.npz"), "--out", str(tmp_path), "--quiet"])
    assert "is not empty" in capsys.readouterr().err
    cli.main(["encode", *patches, "--out", code, "--quiet"])
    cli.main(["encode", *patches, "--out", code, "--quiet"])
    assert f"{code} is replaced" in capsys.readouterr().err


def test_a_file_that_is_no_model_is_refused(patches, tmp_path, capsys):
    assert cli.main(["show", patches[1]]) == 1
    assert "X.npy" in capsys.readouterr().err
    np.savez(tmp_path / "two.npz", a=np.ones(3), b=np.ones(3))
    assert cli.main(["encode", patches[0], str(tmp_path / "two.npz")]) == 1
    said = capsys.readouterr().err
    assert "two.npz is no array of samples: it must hold one array or 'data', not a, b" in said


@pytest.mark.parametrize("missing", ["error", "mask"])
def test_errors_are_of_the_samples_that_were_coded(patches, tmp_path, missing, capsys):
    X, out = np.load(patches[1]), str(tmp_path / "code.npz")
    model = SparseHebbianLearning.load(patches[0]).set_params(missing=missing)
    if missing == "mask":
        model = SparseHebbianLearning(**SMALL, learning_algorithm="omp", missing="mask").fit(X)
        X[:, ::3] = np.nan
    model.save(patches[0])
    np.save(patches[1], X)
    wanted = X - model.inverse_transform(model.transform(X))
    wanted = np.sqrt(np.nansum(wanted**2) / np.nansum(X**2))
    assert cli.main(["encode", *patches, "--out", out]) == 0
    assert f"error {wanted:.4f}" in capsys.readouterr().out
    np.save(patches[1], np.zeros((4, 16)))
    assert cli.main(["encode", *patches, "--out", out]) == 0
    assert "0 events, error 0.0000" in capsys.readouterr().out


def test_encode_takes_colours_and_sounds(tmp_path, rng, capsys):
    from scipy.io import wavfile

    code = str(tmp_path / "code.npz")
    Image.fromarray(rng.integers(0, 256, (24, 33, 3), np.uint8)).save(tmp_path / "a.png")
    wavfile.write(tmp_path / "a.wav", 8000, rng.integers(-9999, 9999, 500).astype(np.int16))
    for name, shape, n_samples in (("a.png", (4, 8, 3), 6 * 4), ("a.wav", (1, 50), 10)):
        X = rng.standard_normal((200, int(np.prod(shape))))
        model = SparseHebbianLearning(**SMALL, l0_sparseness=3, patch_shape=shape).fit(X)
        model.save(tmp_path / "model.npz")
        found = models.read_samples(tmp_path / name, model)
        assert found.shape == (n_samples, np.prod(shape))
        files = [str(tmp_path / "model.npz"), str(tmp_path / name)]
        assert cli.main(["encode", *files, "--out", code]) == 0
        assert sparse.load_npz(code).shape == (n_samples, 12)
    X = rng.standard_normal((5, 3, 20, 24))
    model = ConvolutionalSHL(**SMALL, patch_width=5, l0_sparseness=6).fit(X)
    assert models.read_samples(tmp_path / "a.png", model).shape == (1, 3, 24, 33)
    model = ConvolutionalSHL(n_dictionary=3, n_iter=3, random_state=0, atom_shape=9)
    model.fit(rng.standard_normal((1, 900))).save(tmp_path / "model.npz")
    run = ["encode", str(tmp_path / "model.npz"), str(tmp_path / "a.wav"), "--out", code, "--json"]
    capsys.readouterr()
    assert cli.main(run) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 1
