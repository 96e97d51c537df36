import struct
from functools import partial

import numpy as np
import pytest
from PIL import Image

from shl import images
from shl.annex import convolution as study
from shl.annex.study import Study
from shl.images import files
from shl.images.patches import _window_std


@pytest.fixture
def folder(tmp_path, rng):
    """A database of two good photographs."""
    database = tmp_path / "photos"
    database.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(rng.integers(0, 256, (80, 90, 3), np.uint8)).save(database / name)
    return database


def test_preprocessing_agrees_with_the_reference(reference):
    found = images.preprocess(reference["image"].astype(float), 12)
    np.testing.assert_allclose(found, reference["image_preprocessed_patch12"], atol=1e-9)


def test_whitening_flattens_natural_spectra():
    (_, image), *_ = images.load_images("sample")
    crop = images.centre(image[:256, :256])
    power = [np.abs(np.fft.fft2(picture)) ** 2 for picture in (crop, images.whiten(crop))]
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    low, high = (f > 0.02) & (f < 0.05), (f > 0.15) & (f < 0.2)
    before, after = (p[low].mean() / p[high].mean() for p in power)
    assert before > 20 and after < before / 10


def test_band_pass_leaves_no_mean_and_no_grid():
    image = np.random.default_rng(0).standard_normal((64, 64))
    spectrum = np.abs(np.fft.fft2(images.band_pass(image, 12)))
    assert spectrum[0, 0] < 1e-2 * spectrum[0, 12]
    assert spectrum[32, 32] < 1e-9


@pytest.mark.parametrize("name", ["sample", "dead_leaves"])
def test_built_in_databases_give_patches(name):
    rng = np.random.default_rng(0)
    pictures = images.load_images(name, height=64, width=64, rng=rng, n_image=2)
    patches = images.extract_patches(pictures, 500, patch_width=12, height=64, width=64, rng=rng)
    assert patches.shape == (500, 144) and patches.dtype == np.float32
    assert not patches[:, ~images.disc(12).ravel()].any()
    assert patches.std() > 0.01


def test_dead_leaves_are_seeded_and_in_range():
    first, second = (images.dead_leaves(64, 48, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (64, 48) and 0 <= first.min() < first.max() <= 1


def test_options_of_patches(rng):
    pictures = images.load_images("dead_leaves", height=96, width=96, rng=rng, n_image=1)
    options = {"patch_width": 8, "height": 96, "width": 96, "do_mask": False, "rng": rng}
    extract = partial(images.extract_patches, pictures, 50, **options)
    np.testing.assert_allclose(extract(patch_norm=True).std(axis=1), 1, rtol=1e-3)
    assert extract(patch_ds=3).shape == (50, 64)
    rough, best = (extract(over_patches=over).std() for over in (1, 20))
    assert best > 1.1 * rough


def test_patches_of_a_tiny_image_repeat(rng):
    patches = images.draw_patches(rng.standard_normal((9, 9)), 30, 8, 16, rng)
    assert patches.shape == (30, 64)


def test_grey_levels():
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(images.to_grey(pixels), [[0.2989, 0.5870, 0.1140]])


DTYPES = [np.uint8, np.uint16, ">u2", np.int16, np.uint32, np.int32, bool, np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_grey_levels_are_scaled_by_their_type_alone(dtype):
    most = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    dark = np.array([[0, 1]], dtype)  # would be stretched by a scale that looks at the values
    np.testing.assert_array_equal(images.to_grey(dark), [[0, 1 / most]])
    np.testing.assert_array_equal(images.to_grey(np.array([[most]], dtype)), [[1]])
    colors = np.stack([np.zeros_like(dark), dark, np.zeros_like(dark)], axis=2)
    np.testing.assert_allclose(images.to_grey(colors), [[0, 0.5870 / most]], rtol=1e-15)


def test_a_folder_is_read_in_order(folder):
    load = partial(images.load_images, "photos", folder.parent, 64, 64)
    assert [name for name, _ in load()] == ["a.png", "b.jpg"]
    assert len(load(n_image=1, rng=np.random.default_rng(0))) == 1
    with pytest.raises(ValueError, match="n_image must be at most 2, the images of 'photos', not"):
        load(n_image=3)


def test_an_absurdly_large_image_is_not_decoded(folder, monkeypatch):
    monkeypatch.setattr(files, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match="90 x 80 pixels are more than 1000"):
        images.read_image(folder / "a.png")


def test_missing_and_empty_folders_are_errors(folder):
    with pytest.raises(FileNotFoundError, match="name_database must be .* photos, not 'other'"):
        images.load_images("other", folder.parent)
    (folder.parent / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no usable image .* which holds nothing"):
        images.load_images("empty", folder.parent)


def test_a_datapath_alone_is_where_studies_learn_from(folder):
    assert images.choose_database(None) == ("database/", "sample")
    assert images.choose_database("other", folder) == (folder, "other")
    assert Study(datapath=folder).database == "photos"
    X = study.load(datapath=folder, n_images=3, size=40)
    np.testing.assert_array_equal(X, study.load("photos", folder.parent, n_images=3, size=40))
    assert not np.array_equal(X, study.load(n_images=3, size=40))


def test_a_flat_image_has_no_crop(rng):
    image = np.zeros((300, 300))
    image[0, 0] = 1
    with pytest.raises(ValueError, match="No crop of height x width = 16 x 16"):
        images.crop(image, 16, 16, rng)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_modes_of_8_bits_are_read_as_their_colours(tmp_path, rng, mode):
    pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    path = tmp_path / ("image.png" if mode not in ("CMYK", "YCbCr", "PA") else "image.tif")
    image.save(path)
    if mode == "YCbCr":
        try:
            with Image.open(path) as written:
                written.load()
        except OSError:
            pytest.skip("this Pillow cannot read the YCbCr TIFF that it writes (its issue 9770)")
    np.testing.assert_array_equal(images.read_image(path), images.to_grey(image.convert("RGB")))
    if mode in ("RGB", "RGBA"):
        np.testing.assert_array_equal(images.read_image(path), images.to_grey(pixels))


def test_transparent_colours_are_read_as_written(tmp_path, rng):
    pixels = rng.integers(0, 256, (20, 20), np.uint8)
    palette = rng.integers(0, 256, (256, 3), np.uint8)
    image = Image.fromarray(pixels)
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "palette.png", transparency=bytes(range(256)))
    found = images.read_image(tmp_path / "palette.png")
    np.testing.assert_array_equal(found, images.to_grey(palette[pixels]))


def tiff(pixels):
    """A TIFF file of grey levels, in the byte order of the pixels."""
    order = pixels.dtype.str[0]
    height, width = pixels.shape
    sample_format = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags = {256: width, 257: height, 258: 8 * pixels.dtype.itemsize, 339: sample_format}
    tags |= {259: 1, 262: 1}  # no compression, black is 0
    tags |= {273: 8, 277: 1, 278: height, 279: pixels.nbytes}  # where the pixels are; channels
    tags = dict(sorted(tags.items()))
    head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HL", 42, 8 + pixels.nbytes)
    entries = [struct.pack(f"{order}HHLL", tag, 4, 1, value) for tag, value in tags.items()]
    count, end = struct.pack(f"{order}H", len(tags)), struct.pack(f"{order}L", 0)
    return head + pixels.tobytes() + count + b"".join(entries) + end


DEEP = ["<u2", ">u2", "<i2", ">i2", "<i4", "<u4", "<f4"]


@pytest.mark.parametrize(
    ("dtype", "name"), [("<u2", "deep.png"), *((dtype, "deep.tif") for dtype in DEEP)]
)
def test_deep_greys_are_scaled_by_the_type_in_the_file(tmp_path, rng, dtype, name):
    """Pillow reads integers of 16 and 32 bits into int32 where it has no mode of their own."""
    dtype = np.dtype(dtype)
    levels = np.linspace(0, np.iinfo(dtype).max, 400) if dtype.kind != "f" else rng.random(400)
    deep = levels.astype(dtype).reshape(20, 20)
    if name.endswith("png"):
        Image.fromarray(deep).save(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(tiff(deep))
    grey = images.read_image(tmp_path / name)
    np.testing.assert_array_equal(grey, images.to_grey(deep))
    if dtype.kind != "f":
        assert grey.min() == 0 and grey.max() == 1


def test_channels_are_filtered_and_scaled_alike(rng):
    color = rng.random((40, 50, 3)) * [1, 2, 4]
    centred = images.centre(color)
    np.testing.assert_allclose(np.median(centred, axis=(0, 1)), 0, atol=1e-12)
    assert np.abs(centred).max() == 1
    ratio = centred.std(axis=(0, 1)) / color.std(axis=(0, 1))
    np.testing.assert_allclose(ratio, ratio[0])
    of_width = (partial(work, patch_width=9) for work in (images.band_pass, images.preprocess))
    for work in (images.whiten, *of_width):
        alone = np.stack([work(color[:, :, i]) for i in range(3)], axis=2)
        np.testing.assert_allclose(work(color), alone, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(6, 6), (4, 9)])
@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
def test_patches_are_rectangles_and_have_colours(rng, height, width, channels):
    image = rng.random((12, 15, *channels))
    colors = image.reshape(12, 15, -1)
    windows = np.lib.stride_tricks.sliding_window_view(colors, (height, width), (0, 1))
    windows = np.moveaxis(windows, 2, -1).reshape(-1, height * width, colors.shape[2])
    drawn = images.draw_patches(image, len(windows), width, 1, rng, height)  # all there are
    wanted = (windows - windows.mean(axis=0)).reshape(len(windows), -1)
    np.testing.assert_allclose(drawn, wanted, atol=1e-12)
    deviations = _window_std(image, height, width).ravel()
    expected = windows.var(axis=1).sum(axis=1) ** 0.5
    np.testing.assert_allclose(deviations, expected, atol=1e-12)


def test_patches_of_one_row_have_no_mask():
    assert images.disc(9, 1).all() and images.disc(9, 1).shape == (1, 9)
    tall, wide = images.disc(5, 9), images.disc(9, 5)  # width, height
    np.testing.assert_array_equal(tall, wide.T)
    assert not wide[0, 0] and wide[2, 1:-1].all()
    np.testing.assert_array_equal(images.disc(8), images.disc(8, 8))
