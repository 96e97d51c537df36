"""The commands that work with a saved model: `shl show`, `shl encode`, `shl decode`."""

import contextlib
from pathlib import Path

import numpy as np

from .._base.checks import check_sparse
from ..images.files import ARRAYS, read_file, read_pixels
from ..images.photographs import to_grey
from ..store.files import damage_of, read_info, replace_file
from .flags import add_shared, claim_folder, report, say, write_report

EVENTS = ("image", "atom", "row", "column", "value")  # the arrays of a convolutional code
MODEL = {"metavar": "MODEL", "help": "file that a command or `save` wrote"}


def load_model(path):
    """The fitted estimator that is saved at path, of patches or of images."""
    from ..convolution import ConvolutionalSHL
    from ..estimators.dictionary import SparseHebbianLearning

    kinds = {kind.__name__: kind for kind in (SparseHebbianLearning, ConvolutionalSHL)}
    kind = read_info(path).get("kind")
    if kind not in kinds:
        raise ValueError(f"{path} must hold one of {', '.join(kinds)}, not {kind}")
    return kinds[kind].load(path)


def is_convolutional(model):
    """Whether a model is convolutional."""
    return model.components_.ndim > 2


# --------------------------------------------------------------------------------------------- show


def _add_show_flags(parser):
    parser.add_argument("model", **MODEL)
    add_shared(parser, "quiet", "json", out="shl_show")


def show_command(args):
    """Shl show: the pictures of a saved model, as PNG and PDF."""
    model = load_model(args.model)
    out = claim_folder(args)
    summary = {
        "model": str(args.model),
        "kind": type(model).__name__,
        "atoms": list(model.components_.shape),
        "steps": model.n_iter_,
        "parameters": model.get_params(deep=False),
        **model.record_.last(),
        "pictures": draw_pictures(model, out),
    }
    size = " x ".join(map(str, model.components_.shape))
    lines = [
        f"{type(model).__name__} with atoms of {size} after {model.n_iter_} steps",
        f"{', '.join(summary['pictures']) or 'no picture'} in {out}/, as PNG and PDF",
    ]
    write_report(args, out, summary, lines)


def draw_pictures(model, out):
    """Draw what a model has into a folder, as PNG and PDF; return {name: file of the PNG}."""
    from ..plotting.figures import save_both

    return {name: save_both(draw()[0], out / name) for name, draw in _list_pictures(model).items()}


def _list_pictures(model):
    """{name: function that draws it} of what a model has."""
    from .. import plotting
    from ..convolution import plots

    if is_convolutional(model):
        pictures = {"dictionary": lambda: plots.show_atoms(model)}
    else:
        rule = str(model.homeo_method)
        atoms, color = f"{rule}: least (top) to most selected atoms", plotting.COLORS.get(rule, "g")
        pictures = {
            "dictionary": lambda: plotting.show_dico(model, title=atoms),
            "P_cum": lambda: plotting.plot_P_cum(model, title=rule, c=color),
            "usage": lambda: plotting.plot_usage(model, title=rule),
        }
    if len(model.record_):  # images have no distributions, and no F
        draw_learning = plotting.plot_error if is_convolutional(model) else plotting.plot_learning
        pictures["learning"] = lambda: draw_learning(model)
    return pictures


# -------------------------------------------------------------------------------- encode and decode


def _add_target(parser, default, text):
    parser.add_argument("--out", dest="target", default=default, metavar="FILE", help=text)


def _add_encode_flags(parser):
    parser.add_argument("model", **MODEL)
    text = (
        "samples (npy, npz, mat, csv), or images, which are whitened and cut up: a file or folder"
    )
    parser.add_argument("file", metavar="FILE", help=text)
    _add_target(parser, "code.npz", "file of the code")
    text = "largest number of non-zero coefficients per sample (None: as in learning)"
    parser.add_argument("--l0-sparseness", type=int, default=None, help=text)
    add_shared(parser, "n_jobs", "quiet", "json")


def encode_command(args):
    """Shl encode: the code of samples, CSR (scipy.sparse.load_npz) or the events of images."""
    model = load_model(args.model).set_params(n_jobs=args.n_jobs)
    X = read_samples(args.file, model)
    if not is_convolutional(model):
        model.set_params(sparse_output=True)
    code = model.transform(X, l0_sparseness=args.l0_sparseness)
    n_events = code.n_events if is_convolutional(model) else code.nnz
    _write(args, lambda file: _write_code(code, model, file), 16 * n_events)
    decoded = model.inverse_transform(code)
    summary = {
        "samples": code.shape[0],
        "events": n_events,
        "error": _error_of(np.reshape(X, decoded.shape), decoded),  # images may lack an axis
        "code": str(args.target),
    }
    line = "{samples} samples, {events} events, error {error:.4f}; code in {code}"
    report(args, summary, [line.format_map(summary)])


def _write_code(code, model, file):
    """Write a code into an npz file, a sparse matrix as SciPy does."""
    from scipy import sparse

    if is_convolutional(model):
        arrays = {name: getattr(code, name) for name in EVENTS}
        np.savez(file, **arrays, shape=np.array(code.shape))
    else:
        sparse.save_npz(file, sparse.csr_array(code))


def _write(args, fill, n_bytes):
    """Write the file of --out; stderr tells the user if it replaces another."""
    if Path(args.target).is_file():
        say(args, f"{args.target} is replaced")
    replace_file(args.target, n_bytes, fill)


def _error_of(X, decoded):
    """|X - decoded| / |X| of the entries that are there, 0 where all are 0."""
    from ..metrics import reconstruction_error

    X = X.astype(np.float64)
    return reconstruction_error(np.nan_to_num(X), np.nan_to_num(X - decoded))


def _add_decode_flags(parser):
    parser.add_argument("model", **MODEL)
    parser.add_argument("code", metavar="CODE", help="file that `shl encode` wrote")
    _add_target(parser, "decoded.npy", "npy file of samples")
    add_shared(parser, "quiet", "json")


def decode_command(args):
    """Shl decode: the samples that a code stands for, as npy."""
    model = load_model(args.model)
    X = model.inverse_transform(read_code(args.code, model))
    _write(args, lambda file: np.save(file, X), X.nbytes)
    shape = " x ".join(map(str, X.shape))
    summary = {"shape": list(X.shape), "samples": str(args.target)}
    report(args, summary, [f"samples of shape {shape} in {args.target}"])


def read_code(path, model):
    """The code that `shl encode` wrote to path."""
    from scipy import sparse

    from ..convolution import ConvolutionalCode

    with _named(path, "code of shl encode with this model"), open(path, "rb") as file:
        if not is_convolutional(model):
            return check_sparse(sparse.load_npz(file), "the code")
        with np.load(file, allow_pickle=False) as arrays:
            events = {name: arrays[name] for name in EVENTS}
            return ConvolutionalCode(**events, shape=tuple(map(int, arrays["shape"])))


def read_samples(path, model):
    """The samples of a file or folder, as the model takes them.

    An array with the axes of the model's samples holds them; all else holds images.
    """
    path = Path(path)
    if path.suffix.lower() in ARRAYS:
        with _named(path, "array of samples"):
            array = _only(read_file(path))
        if is_convolutional(model) or array.ndim < 3 and array.shape[-1] == model.n_features_in_:
            return array
    if model.components_.ndim == 3:  # of signals
        with _named(path, "signal"):
            return np.concatenate([to_grey(signal) for _, signal in read_pixels(path)])
    return _cut(_read_images(path, _has_colors(model)), model)


def _only(arrays):
    """The only array of a file, or 'data'."""
    names = list(arrays)
    if len(names) != 1 and "data" not in names:
        raise ValueError(f"it must hold one array or 'data', not {', '.join(names)}")
    array = arrays["data" if "data" in names else names[0]]
    if 0 in array.shape:
        raise ValueError(f"it holds no samples, its shape is {array.shape}")
    return array


@contextlib.contextmanager
def _named(path, what):
    """A ValueError that names a file for whatever reading it raises if it is something else."""
    if not Path(path).is_file():  # to open a pipe would wait for ever
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with damage_of(path):
            yield
    except ValueError as error:
        raise ValueError(f"{path} is no {what}: {error.__cause__ or error}") from error


def _has_colors(model):
    """Whether a model was learned from colours."""
    shape = model.components_.shape[1:2] if is_convolutional(model) else model.patch_shape or ()
    return tuple(shape)[-1:] == (3,) and (is_convolutional(model) or len(shape) == 3)


def _read_images(path, color):
    """The images of a file or a folder."""
    from ..images.photographs import load_images, read_images

    if path.is_dir():  # "." is no name of the data sets that need no folder
        return [image for _, image in load_images(".", path, 1, 1, color=color)]
    with _named(path, "image that can be used"):
        return [image for _, image in read_images(path, color=color)]


def _cut(images, model):
    """Images whitened as `shl learn` does it, cut into patches side by side; whole for a model of
    images, all as small as the smallest.
    """
    from ..convolution import preprocess
    from ..images.patches import centre, disc
    from ..images.patches import preprocess as preprocess_patch

    if is_convolutional(model):
        height, width = np.min([image.shape[:2] for image in images], axis=0)
        X = np.array([image[:height, :width] for image in images])
        return preprocess(np.moveaxis(X, 3, 1) if X.ndim == 4 else X)
    side = round(model.n_features_in_**0.5)
    height, width, *channels = model.patch_shape or (side, side)
    longest = max(height, width)
    patches = [_tiles(preprocess_patch(centre(i), longest), height, width) for i in images]
    inside = disc(width, height).ravel().repeat(*channels or (1,))
    seen = inside if _is_masked(model.components_, inside) else 1
    return (np.concatenate(patches) * seen).astype(model.components_.dtype)


def _is_masked(atoms, inside):
    """Whether atoms were learned from patches masked by a disc.

    Then what they started from has nearly gone outside of it: a pixel there has less than a tenth
    of the energy of one inside.
    """
    energy = (atoms**2).sum(axis=0)
    return energy[~inside].sum() * inside.sum() < 0.1 * energy[inside].sum() * (~inside).sum()


def _tiles(image, height, width):
    """The patches (n, pixels) of an image, row by row, less a rest right and below."""
    rows, columns = image.shape[0] // height, image.shape[1] // width
    cut = image[: rows * height, : columns * width]
    cut = cut.reshape(rows, height, columns, width, -1)
    return cut.swapaxes(1, 2).reshape(rows * columns, -1)


COMMANDS = {
    "show": (_add_show_flags, show_command),
    "encode": (_add_encode_flags, encode_command),
    "decode": (_add_decode_flags, decode_command),
}
