"""Folders of images with entries that are none, and images that are not what their name says."""

import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import run

from shl import SHL, images
from shl.annex import convolution as study
from shl.images import files, photographs

SIZE = 40


def noise(height=SIZE, width=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A database of two good images."""
    place = tmp_path / "mine"
    place.mkdir()
    for n in range(2):
        Image.fromarray(noise(seed=n)).save(place / f"good_{n}.png")
    return place


def loop(path):
    path.symlink_to(path)


def postscript(path):
    """A program that leaves a file where it runs."""
    mark = path.parent.parent / "ran"
    head = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n"
    path.write_text(f"{head}({mark}) (w) file closefile\nshowpage\n")


def bomb(path):
    """A PNG of 60000 x 60000 pixels in a kilobyte."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def cut(path):
    Image.fromarray(noise()).save(path)
    path.write_bytes(path.read_bytes()[:800])


BAD = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a loop": loop,
    "PostScript": postscript,
    "empty": Path.touch,
    "text": lambda path: path.write_text("an image"),
    "cut": cut,
    "a bomb": bomb,
    "small": lambda path: Image.fromarray(noise(8, 8)).save(path),
    "constant": lambda path: Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(path),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "NaN": lambda path: Image.fromarray(np.full((SIZE, SIZE), np.nan, "f")).save(path, "TIFF"),
}
WORDS = {"empty": "not an image", "text": "not an image", "cut": "cannot be read"}
WORDS |= {"small": "its 8 x 8 pixels are fewer than 32 x 32", "constant": "it is constant"}
WORDS |= {"NaN": "it holds NaN"}


@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
@pytest.mark.parametrize("how", BAD)
def test_a_bad_entry_of_a_folder_is_skipped(folder, how):
    options = {"name_database": "mine", "datapath": str(folder.parent), "cache_dir": None}
    options |= {"height": 32, "width": 32, "patch_width": 8, "N_patches": 1200}
    wanted = SHL(**options).get_data()
    BAD[how](folder / "x.png")
    with pytest.warns(UserWarning, match=f"skipped .*x.png.*{WORDS.get(how, '')}"):
        found = SHL(**options).get_data()
    np.testing.assert_array_equal(found, wanted)
    key = SHL(**options).patches.key()
    (folder / "x.png").rmdir() if how == "a folder" else (folder / "x.png").unlink()
    assert SHL(**options).patches.key() != key
    assert not (folder.parent / "ran").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_name_that_is_no_text_is_read(folder):
    options = {"name_database": "mine", "datapath": str(folder.parent)}
    options |= {"height": 32, "width": 32, "patch_width": 8, "N_patches": 1200}
    name = os.path.join(os.fsencode(folder), b"\xff\xfe.png")
    with open(name, "wb") as file:
        Image.fromarray(noise(seed=7)).save(file, "PNG")
    shl = SHL(**options, cache_dir=folder.parent / "cache")
    np.testing.assert_array_equal(shl.get_data(), shl.get_data())
    assert len(list((folder.parent / "cache").iterdir())) == 1


def test_a_file_that_cannot_be_opened_is_skipped(folder, monkeypatch):
    """What an unreadable file is to those who may not read it."""
    true_open, true_fromfile = Image.open, np.fromfile

    def refuse(path, *arguments, **options):
        if Path(path).name == "good_1.png":
            raise PermissionError(13, "Permission denied", str(path))
        function = true_fromfile if arguments else true_open
        return function(path, *arguments, **options)

    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(np, "fromfile", refuse)
    options = {"name_database": "mine", "datapath": str(folder.parent), "cache_dir": None}
    shl = SHL(**options, height=32, width=32, patch_width=8, N_patches=1200)
    with pytest.warns(UserWarning, match="skipped .*good_1.png.*Permission denied"):
        shl.get_data()
    assert shl.patches.key()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_images_are_turned_as_they_are_to_be_seen(tmp_path, suffix):
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[:10, :20], pixels[20:, 35:] = 200, 90
    upright = images.to_grey(pixels)
    stored = {  # what a camera writes, so that orientation n shows `pixels`
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, 1),
        7: pixels.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(pixels, -1),
    }
    for orientation, content in stored.items():
        image = Image.fromarray(np.ascontiguousarray(content))
        exif = image.getexif()
        exif[files.ORIENTATION] = orientation
        path = tmp_path / f"{orientation}.{suffix}"
        options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
        image.save(path, exif=exif, **options)
        found = images.read_image(path, 30, 50)
        assert found.shape == upright.shape
        assert np.abs(found - upright).max() < (0.05 if suffix == "jpg" else 1e-9)
        with pytest.raises(ValueError, match="30 x 50 pixels are fewer than 50 x 30"):
            images.read_image(path, 50, 30)


def test_the_first_frame_is_read(tmp_path):
    frames = [Image.fromarray(noise(seed=n)) for n in range(3)]
    frames[0].save(tmp_path / "many.tif", save_all=True, append_images=frames[1:])
    found = images.read_image(tmp_path / "many.tif")
    np.testing.assert_allclose(found, images.to_grey(noise(seed=0)))


LARGE = """
import resource, sys
import numpy as np
from shl import images
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
grey = images.read_image(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, *grey.shape)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_a_large_image_takes_memory_for_itself(tmp_path):
    """99 megapixels: 0.8 GB of grey levels in double precision, 0.3 GB of colours, twice."""
    rows = np.random.default_rng(0).integers(0, 255, (99, 1000, 3), dtype=np.uint8)
    Image.fromarray(np.tile(rows, (100, 10, 1))).save(tmp_path / "large.png", compress_level=1)
    status, out, error = run(LARGE, tmp_path / "large.png", timeout=300)
    assert status == 0 and error == "", error
    megabytes, *shape = out.split()
    assert shape == ["9900", "10000"] and float(megabytes) < 2000


def test_grey_levels_in_strips_are_the_same(monkeypatch):
    pixels = noise(70, 50)
    whole = images.to_grey(pixels)
    for strip in (1, 50, 149, 1000):
        monkeypatch.setattr(photographs, "STRIP", strip)
        np.testing.assert_allclose(images.to_grey(pixels), whole, rtol=1e-15)


# ---------------------------------------------------------------------------------- the faces


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """A file in the form of the faces' one, and its folder."""
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, {"faces": np.random.default_rng(0).integers(0, 255, (4096, 400), dtype=np.uint8)})
    (tmp_path / study.FACES).write_bytes(file.getvalue())
    monkeypatch.setattr(study, "FACES_SHA256", hashlib.sha256(file.getvalue()).hexdigest())
    return tmp_path


def test_faces_are_read_from_the_original_file(faces, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("nothing is unpickled, and scikit-learn is not asked")

    monkeypatch.setattr(pickle, "loads", never)
    monkeypatch.setattr("sklearn.datasets.fetch_olivetti_faces", never)
    X = study.load("faces", faces, n_images=9, size=65, seed=1)
    assert X.shape == (9, 1, 65, 65) and X.dtype == np.float32
    assert 0 <= X.min() < 0.1 and 0.9 < X.max() <= 1


def test_a_file_of_faces_that_is_another_is_refused(faces):
    (faces / study.FACES).write_bytes(pickle.dumps({"faces": 1}))
    with pytest.raises(ValueError, match="olivettifaces.mat is not the file of the Olivetti faces"):
        study.load("faces", faces, n_images=9)


def test_a_pickle_that_scikit_learn_cached_is_not_run(faces, monkeypatch):
    """The file that scikit-learn would read runs code; it is not even opened."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(faces / "ran"),)

    (faces / "olivetti_py3.pkz").write_bytes(zlib.compress(pickle.dumps(Evil())))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(faces))
    study.load("faces", faces, n_images=3)
    assert not (faces / "ran").exists()


def test_no_program_is_started_for_any_file(folder, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError(f"a program is started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", never)
    for n, text in enumerate(
        (b"%!PS-Adobe-3.0\n", b"%PDF-1.4\n", b"\xc5\xd0\xd3\xc6" + b"\0" * 40)
    ):
        (folder / f"x{n}.png").write_bytes(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(images.load_images("mine", folder.parent, 32, 32)) == 2
    assert sum("is not an image of the formats PNG" in str(w.message) for w in caught) == 3
