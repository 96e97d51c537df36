"""Files that people of the field have, read without loss."""

import sys
from functools import partial

import h5py
import imagecodecs
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat, wavfile

from shl import images
from shl.images.files import READERS, read_pixels


def deep(rng, n_channels=3, shape=(20, 24)):
    """Pixels of 16 bits, of which 499 levels are lost in 8 bits."""
    return rng.integers(1000, 1499, (*shape, n_channels), np.uint16)


def write(path, images):
    """Write a stack of images as the name of the file says."""
    writers = {"a.npy": np.save, "a.npz": np.savez_compressed, "a73.mat": write_matlab_73}
    writers.get(path.name, write_matlab)(path, images)
    return path


def write_matlab(path, images):
    """Write images as MATLAB stacks them: along the last axis."""
    savemat(path, {"IMAGES": np.moveaxis(images, 0, -1)})


def write_matlab_73(path, images):
    """Write images as MATLAB 7.3 does: with the axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["IMAGES"] = np.moveaxis(images, 0, -1).T
        file["name"] = "text"
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


@pytest.fixture
def stack(rng):
    """Five grey images."""
    return rng.random((5, 30, 40))


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.mat", "a73.mat"])
def test_stacks_are_images_by_their_index(tmp_path, stack, name):
    found = images.read_images(write(tmp_path / name, stack))
    assert [index.rpartition("[")[2] for index, _ in found] == [f"{i}]" for i in range(5)]
    np.testing.assert_array_equal([image for _, image in found], stack)
    loaded = images.load_images(name, tmp_path, 30, 40)
    assert len(loaded) == 5 and loaded[2][0].startswith(name)


@pytest.mark.parametrize("suffix", [".npy", ".mat"])
def test_stacks_of_colours_keep_them(tmp_path, rng, suffix):
    colors = rng.random((4, 30, 40, 3))
    found = images.read_images(write(tmp_path / f"a{suffix}", colors), color=True)
    np.testing.assert_array_equal([image for _, image in found], colors)


def test_an_archive_holds_images_of_any_size(tmp_path, rng):
    pictures = {"one": rng.random((30, 40)), "two": rng.random((50, 35)), "labels": np.arange(9)}
    np.savez(tmp_path / "a.npz", **pictures)
    found = dict(images.read_images(tmp_path / "a.npz"))
    assert set(found) == {"one", "two"}
    np.testing.assert_array_equal(found["two"], pictures["two"])


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("a.npy", (3, 40, 50), "3 grey images of 40 x 50 pixels, or one of 3 channels"),
        ("a.npy", (2, 3, 40, 50), "must be of shape"),
        ("a.npy", (40,), r"holds no image, but \(40,\)"),
        ("a.mat", (12, 11, 12), "12 images of 11 x 12 pixels, as in MATLAB, or 11 of 12 x 12, as"),
    ],
)
def test_shapes_of_two_readings_are_errors(tmp_path, rng, name, shape, words):
    with pytest.raises(ValueError, match=words):
        images.read_images(write(tmp_path / name, rng.random(shape)))


@pytest.mark.parametrize("suffix", [".iml", ".imc"])
def test_van_hateren_images_are_big_endian(tmp_path, rng, suffix):
    pixels = rng.integers(0, 4096, (1024, 1536)).astype(">u2")
    path = tmp_path / f"imk00001{suffix}"
    pixels.tofile(path)
    np.testing.assert_array_equal(images.read_image(path), pixels / 65535)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="must have 3145728 bytes, not 3145726"):
        images.read_image(path)


def tiff_in_planes(pixels):
    """A TIFF that has one plane for each channel."""
    planes = np.moveaxis(pixels, -1, 0).copy()
    return imagecodecs.tiff_encode(planes, photometric="rgb", planarconfig="separate")


ENCODERS = {
    "a.png": imagecodecs.png_encode,
    "a.tif": partial(imagecodecs.tiff_encode, photometric="rgb"),
    "lzw.tif": partial(imagecodecs.tiff_encode, photometric="rgb", compression="lzw"),
    "planes.tif": tiff_in_planes,
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("n_channels", [3, 4])
def test_colours_of_16_bits_are_read_without_loss(tmp_path, rng, name, n_channels):
    pixels, path = deep(rng, n_channels), tmp_path / name
    path.write_bytes(ENCODERS[name](pixels))
    color = images.read_image(path, color=True)
    np.testing.assert_array_equal(color, pixels[:, :, :3] / 65535)
    assert len(np.unique(color)) > 400
    np.testing.assert_allclose(images.read_image(path), images.to_grey(pixels))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["a.tif", "planes.tif"])
def test_tiff_of_float_colours_is_read(tmp_path, rng, dtype, name):
    pixels = rng.random((20, 24, 3)).astype(dtype)
    (tmp_path / "a.tif").write_bytes(ENCODERS[name](pixels))
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.tif", color=True), pixels)


def test_grey_and_opacity_of_16_bits_is_grey(tmp_path, rng):
    pixels = deep(rng, 2)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), pixels[:, :, 0] / 65535)


def test_a_missing_reader_says_what_to_install(tmp_path, rng, monkeypatch):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep(rng)))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ValueError, match="8 bits, which need imagecodecs: pip install imagec"):
        images.read_image(tmp_path / "a.png")
    write_matlab_73(tmp_path / "a.mat", rng.random((9, 9)))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match="7.3, which needs h5py: pip install h5py"):
        images.read_image(tmp_path / "a.mat")


def test_webp_is_read(tmp_path, rng):
    pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.webp", color=True), pixels / 255)


@pytest.mark.parametrize("head", ["", "first,second\n", "first;second\n"])
def test_tables_may_have_a_header(tmp_path, head):
    delimiter = ";" if ";" in head else ","
    rows = "\n".join(delimiter.join(row) for row in (["0", "1"], ["2", "3"]))
    (tmp_path / "a.csv").write_text(head + rows)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.csv"), [[0, 1], [2, 3]])


def test_sounds_are_images_of_one_row(tmp_path, rng):
    sound = rng.integers(-9999, 9999, (500, 2)).astype(np.int16)
    wavfile.write(tmp_path / "mono.wav", 8000, sound[:, 0])
    wavfile.write(tmp_path / "stereo.wav", 8000, sound)
    np.testing.assert_array_equal(images.read_image(tmp_path / "mono.wav"), sound[:, :1].T / 32767)
    found = images.read_images(tmp_path / "stereo.wav")
    assert [index for index, _ in found] == ["channel 0", "channel 1"]
    np.testing.assert_array_equal(found[1][1], sound[:, 1:].T / 32767)


@pytest.mark.parametrize("suffix", sorted(READERS))
@pytest.mark.parametrize("content", [b"", b"not a file of this kind", b"\x00" * 999])
def test_damaged_files_are_errors(tmp_path, suffix, content):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match="^it "):
        list(read_pixels(tmp_path / f"a{suffix}"))


def test_images_of_a_stack_are_skipped_by_their_index(tmp_path, stack):
    stack[3] = 7
    np.save(tmp_path / "a.npy", stack)
    with pytest.warns(UserWarning, match=r"skipped 1 images of .*a.npy: \[3\] it is constant"):
        assert len(images.load_images("a.npy", tmp_path, 9, 9)) == 4


def test_a_file_or_a_folder_is_a_database(tmp_path, stack):
    np.save(tmp_path / "a.npy", stack)
    assert images.find_database(tmp_path / "a.npy") == (tmp_path, "a.npy")
    assert images.find_database(tmp_path) == (tmp_path.parent, tmp_path.name)
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.eye(9) > 0).save(tmp_path / "photos" / "a.png")
    assert images.find_database(tmp_path) == (tmp_path, "photos")


@pytest.mark.parametrize("shape", [(3, 40, 50), (4, 9, 9), (1, 20, 30)])
def test_channels_first_are_errors_of_two_readings(shape):
    n, rows, columns = shape
    words = f"{n} channels of {rows} x {columns} pixels, or {n} x {rows} pixels of {columns}"
    for scale in (images.to_grey, images.to_color):
        with pytest.raises(ValueError, match=words):
            scale(np.zeros(shape))
