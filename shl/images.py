"""Natural images to patches: databases, grey levels, crops, whitening, band-pass, mask.

images (height, width) -> crops of one size -> whitened -> patches (n_patches, patch_width^2)
"""

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from . import store
from ._checks import check_count, check_flag

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
GREY = np.array([0.2989, 0.5870, 0.1140])  # of red, green, blue (ITU-R BT.601)
BUILT_IN = ("sample", "dead_leaves")  # databases that need no folder
MOST_PIXELS = 100_000_000  # of an image file: more is refused before it is decoded
PATCHES_PER_CROP = 1024  # more crops are taken of each image until no crop has to give more
MOST_DRAWS = 100  # of a crop with enough contrast


def load_images(
    name_database="sample", datapath="database", height=256, width=256, n_image=None, rng=None
):
    """Grey images of a database, each at least height x width: a list of (name, array float64 in
    0..1).

    Parameters
    ----------
    name_database : 'sample', the photographs that scikit-learn ships; 'dead_leaves', synthetic (see
        `dead_leaves`); or the name of a folder of PNG, JPEG, TIFF or BMP files in `datapath`.
    n_image : int, optional.  The number of images, chosen by `rng` (a Generator); None is all
        (dead_leaves: 16).

    Raises
    ------
    FileNotFoundError
        If the folder is missing or holds no usable image; the message lists what is there.

    Warns
    -----
    UserWarning
        For each file that is skipped, with the reason.
    """
    rng = np.random.default_rng() if rng is None else rng
    if name_database == "sample":
        images = _sample_images()
    elif name_database == "dead_leaves":
        count = n_image or 16
        images = [
            (f"dead_leaves_{i}", dead_leaves(max(height, 64), max(width, 64), rng))
            for i in range(count)
        ]
    else:
        images = _folder_images(Path(datapath) / name_database, height, width)
    if n_image is None or n_image == len(images):
        return images
    if n_image > len(images):
        raise ValueError(
            f"n_image must be at most {len(images)}, the images of {name_database!r}, not {n_image}"
        )
    return [images[i] for i in np.sort(rng.choice(len(images), n_image, replace=False))]


def _sample_images():
    from sklearn.datasets import load_sample_image

    return [(name, to_grey(load_sample_image(name))) for name in ("china.jpg", "flower.jpg")]


def _folder_images(folder, height, width):
    if not folder.is_dir():
        there = (
            sorted(path.name for path in folder.parent.iterdir()) if folder.parent.is_dir() else []
        )
        raise FileNotFoundError(
            f"there is no folder {folder}; {folder.parent} holds {', '.join(there) or 'nothing'}. "
            f"Databases without a folder: 'sample', 'dead_leaves'"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    images = []
    for path in files:
        try:
            images.append((path.name, read_image(path, height, width)))
        except ValueError as error:
            warnings.warn(f"skipped {path}: {error}", stacklevel=3)
    if not images:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
        raise FileNotFoundError(
            f"no usable image of at least {height} x {width} in {folder}, which holds {there}"
        )
    return images


def read_image(path, height=1, width=1):
    """The grey levels of an image file, (rows, columns) float64 in 0..1.

    Raises
    ------
    ValueError
        With the reason, if the file is not an image, truncated, too large, smaller than height x
        width, constant, or holds NaN.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(
                    f"{image.width} x {image.height} pixels are more than {MOST_PIXELS}"
                )
            if image.width < width or image.height < height:
                raise ValueError(
                    f"its {image.height} x {image.width} pixels are fewer than {height} x {width}"
                )
            is_deep = image.mode.startswith(("I", "F"))
            pixels = np.asarray(image if is_deep else image.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError("it is not an image that Pillow can read") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    grey = to_grey(pixels)
    if not np.isfinite(grey).all():
        raise ValueError("it holds NaN or infinity")
    if np.ptp(grey) < 1e-9:
        raise ValueError("it is constant")
    return grey


def to_grey(pixels):
    """0.2989 R + 0.5870 G + 0.1140 B, in 0..1; integers are divided by their type's largest value
    (at least 255).
    """
    pixels = np.asarray(pixels)
    scale = 1.0
    if pixels.dtype.kind in "iu":
        scale = (
            255.0
            if pixels.max(initial=0) <= 255
            else 65535.0
            if pixels.max() <= 65535
            else float(pixels.max())
        )
    elif pixels.dtype.kind == "b":
        pixels = pixels.astype(float)
    grey = pixels[..., :3] @ GREY if pixels.ndim == 3 else pixels.astype(float)
    return grey / scale


def dead_leaves(height, width, rng):
    """An image of discs that occlude one another, (height, width) in 0..1, with the statistics of
    natural scenes.

    Radii have the density r^-3 between 2 pixels and a third of the image, positions and grey levels
    are uniform, and each disc covers those before it (Lee, Mumford & Huang 2001, Int. J. Comput.
    Vision 41).
    """
    least, most = 2.0, max(4.0, min(height, width) / 3)
    n_leaves = max(200, 8 * height * width // 64)
    draws = rng.random((n_leaves, 4))
    radii = (least**-2 + draws[:, 0] * (most**-2 - least**-2)) ** -0.5
    rows, columns = (
        draws[:, 1] * (height + 2 * most) - most,
        draws[:, 2] * (width + 2 * most) - most,
    )
    image = np.full((height, width), 0.5)
    for radius, row, column, level in zip(radii, rows, columns, draws[:, 3], strict=True):
        top, bottom = max(0, int(row - radius)), min(height, int(row + radius) + 2)
        left, right = max(0, int(column - radius)), min(width, int(column + radius) + 2)
        if top < bottom and left < right:
            y, x = np.ogrid[top:bottom, left:right]
            image[top:bottom, left:right][(y - row) ** 2 + (x - column) ** 2 <= radius**2] = level
    return image


def crop(image, height, width, rng):
    """A random height x width crop, drawn again while its std is under 0.2 of the image's."""
    for _ in range(MOST_DRAWS):
        row = rng.integers(image.shape[0] - height + 1)
        column = rng.integers(image.shape[1] - width + 1)
        part = image[row : row + height, column : column + width]
        if part.std() >= 0.2 * image.std():
            return part
    raise ValueError(
        f"no crop of {height} x {width} pixels with a fifth of its contrast in {MOST_DRAWS} draws"
    )


def centre(image):
    """The image with its median removed, divided by the largest absolute value."""
    image = image - np.median(image)
    return image / np.abs(image).max()


def _frequencies(height, width):
    """Distance from the origin in cycles per pixel, in FFT order."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))


def whiten(image):
    """The image filtered by K(f) = (f^-2.8 / mean)^(-1/2) exp(-(f / 0.4)^4), divided by its mean
    over frequencies.

    f in cycles per pixel (1e-6 at the origin) (Olshausen & Field 1997, with the exponent 1.4 of the
    amplitude).
    """
    f = _frequencies(*image.shape)
    f[0, 0] = 1e-6
    power = f ** (-2 * 1.4)
    gain = (power / power.mean()) ** -0.5 * np.exp(-((f / 0.4) ** 4))
    return np.fft.ifft2(np.fft.fft2(image) * (gain / gain.mean())).real


def band_pass(image, patch_width):
    """The image without what a patch cannot hold: frequencies under 1 / patch_width, and those near
    or over 0.5.

    gain(f) = (1 - exp((f - .5) / (.5 * .07))) (f < .5) (1 + tanh(42 (f - 1 / patch_width))) / 2
    """
    f = _frequencies(*image.shape)
    low = (1 - np.exp((np.minimum(f, 0.5) - 0.5) / (0.5 * 0.07))) * (f < 0.5)
    high = (1 + np.tanh(42 * (f - 1 / patch_width))) / 2
    return np.fft.ifft2(np.fft.fft2(image) * low * high).real


def preprocess(image, patch_width, do_bandpass=True):
    """The image whitened and, unless told otherwise, band-passed for patches of patch_width."""
    image = whiten(image)
    return band_pass(image, patch_width) if do_bandpass else image


def block_average(image, factor):
    """The image with factor x factor pixels averaged into one; a rest at the right and below is cut
    off.
    """
    height, width = (size // factor for size in image.shape)
    return (
        image[: height * factor, : width * factor]
        .reshape(height, factor, width, factor)
        .mean(axis=(1, 3))
    )


def disc(patch_width):
    """True for the pixels that lie wholly inside the circle inscribed in a patch, (patch_width,
    patch_width).
    """
    corner = np.abs(np.arange(patch_width) - (patch_width - 1) / 2) + 0.5
    return np.hypot(corner[:, None], corner) <= patch_width / 2


def draw_patches(image, n_patches, patch_width, over_patches, rng):
    """The n_patches of highest std among over_patches times as many random ones, (n_patches,
    patch_width^2).

    The mean over them is subtracted, pixel by pixel.
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, (patch_width, patch_width))
    places = rng.choice(
        windows.shape[0] * windows.shape[1],
        min(n_patches * over_patches, windows.shape[0] * windows.shape[1]),
        replace=False,
    )
    places = places if len(places) >= n_patches else rng.choice(places, n_patches)
    deviations = _window_std(image, patch_width).ravel()[places]
    best = np.sort(places[np.argsort(-deviations, kind="stable")[:n_patches]])
    patches = windows[np.divmod(best, windows.shape[1])].reshape(n_patches, -1)
    return patches - patches.mean(axis=0)


def _window_std(image, width):
    """Standard deviation of every width x width window, from running sums."""

    def window_mean(values):
        total = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        return (
            total[width:, width:]
            - total[:-width, width:]
            - total[width:, :-width]
            + total[:-width, :-width]
        ) / width**2

    return np.sqrt(np.maximum(window_mean(image**2) - window_mean(image) ** 2, 0))


def extract_patches(
    images,
    n_patches,
    *,
    patch_width=21,
    height=256,
    width=256,
    do_mask=True,
    do_bandpass=True,
    over_patches=16,
    patch_ds=1,
    patch_norm=False,
    rng=None,
    on_crop=None,
):
    """Preprocessed patches of images, (n_patches, patch_width^2) float32, in random order.

    Every image gives as many crops as keep each of them to about a thousand patches.

    Parameters
    ----------
    images : list of (name, array), as `load_images` returns.
    patch_ds : int, each crop is block-averaged by this factor first.
    patch_norm : bool, divides each patch by its std.
    do_mask : bool, sets pixels outside the inscribed circle to 0.
    rng : Generator.
    on_crop : callable, optional, called after each crop (progress).
    """
    rng = np.random.default_rng() if rng is None else rng
    per_image = np.diff(np.linspace(0, n_patches, len(images) + 1).astype(int))
    parts = []
    for (name, image), n_here in zip(images, per_image, strict=True):
        n_crops = -(-n_here // PATCHES_PER_CROP)
        for n_crop in np.diff(np.linspace(0, n_here, n_crops + 1).astype(int)):
            try:
                part = block_average(crop(image, height, width, rng), patch_ds)
            except ValueError as error:
                raise ValueError(f"image {name!r}: {error}") from error
            part = preprocess(centre(part), patch_width, do_bandpass)
            parts.append(
                draw_patches(part, n_crop, patch_width, over_patches, rng).astype(np.float32)
            )
            if on_crop is not None:
                on_crop()
    patches = np.concatenate(parts)[rng.permutation(n_patches)]
    if patch_norm:
        patches /= np.maximum(patches.std(axis=1, keepdims=True), np.finfo(np.float32).eps)
    if do_mask:
        patches *= disc(patch_width).ravel()
    return patches


def noise_patches(n_patches, patch_width, rng, do_bandpass=True):
    """Patches of a preprocessed image of 1/f noise, (n_patches, patch_width^2) float64: a start for
    a dictionary.
    """
    size = 256 if patch_width < 128 else 2 * patch_width
    f = _frequencies(size, size)
    f[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) / f
    image = preprocess(centre(np.fft.ifft2(spectrum).real), patch_width, do_bandpass)
    return draw_patches(image, n_patches, patch_width, 1, rng)


# ------------------------------------------------------------------------------------ a data set


@dataclass(frozen=True)
class Patches:
    """All that decides a set of patches, see `shl.SHL`; a value out of its range is an error that
    names it.
    """

    height: int
    width: int
    patch_width: int
    N_patches: int
    datapath: str
    name_database: str
    do_mask: bool
    do_bandpass: bool
    over_patches: int
    patch_ds: int
    patch_norm: bool
    n_image: int | None
    seed: int

    def __post_init__(self):
        for name in ("height", "width", "N_patches", "over_patches", "patch_ds"):
            check_count(getattr(self, name), name)
        most = min(self.height, self.width) // self.patch_ds
        why = "the crops after patch_ds"
        check_count(self.patch_width, "patch_width", least=4, most=most, why=why)
        check_count(self.n_image, "n_image", is_optional=True)
        check_count(self.seed, "seed", least=0)
        for name in ("do_mask", "do_bandpass", "patch_norm"):
            check_flag(getattr(self, name), name)

    def key(self) -> str:
        """The hash of all that makes them, also of the content of image files."""
        parameters = asdict(self)
        datapath = parameters.pop("datapath")
        if self.name_database not in BUILT_IN:
            files = sorted((Path(datapath) / self.name_database).glob("*"))
            parameters["files"] = {
                path.name: store.digest(np.fromfile(path, np.uint8))
                for path in files
                if path.suffix.lower() in SUFFIXES
            }
        return store.key_of(parameters)

    def draw(self, verbose: int = 0) -> np.ndarray:
        """The patches (N_patches, patch_width^2) float32, from the images."""
        rng = np.random.default_rng([self.seed, 0])
        images = load_images(
            self.name_database, self.datapath, self.height, self.width, self.n_image, rng
        )
        names = ("patch_width", "height", "width", "do_mask", "do_bandpass", "over_patches")
        names += ("patch_ds", "patch_norm")
        options = {name: getattr(self, name) for name in names}
        with tqdm(desc="patches", unit="crop", disable=not verbose) as bar:
            return extract_patches(images, self.N_patches, rng=rng, on_crop=bar.update, **options)
