"""The commands that work with a saved model: `shl show`, `shl encode`, `shl decode`."""

from pathlib import Path

import numpy as np

from . import store
from ._commands import Command, add_shared, announce_overwrite, claim_folder, report, write_report

EVENTS = ("image", "atom", "row", "column", "value")  # the arrays of a convolutional code
ARRAYS = (".npy", ".npz")


def load_model(path):
    """The fitted estimator that is saved at path, of patches or of images."""
    from .convolution import ConvolutionalSHL
    from .estimator import SparseHebbianLearning

    kinds = {kind.__name__: kind for kind in (SparseHebbianLearning, ConvolutionalSHL)}
    kind = store.read_info(path).get("kind")
    if kind not in kinds:
        raise ValueError(f"{path} must hold one of {', '.join(kinds)}, not {kind}")
    return kinds[kind].load(path)


def is_of_images(model):
    """Whether a model is convolutional."""
    return model.components_.ndim == 4


# --------------------------------------------------------------------------------------------- show


def _add_show_flags(parser):
    parser.add_argument("model", metavar="MODEL", help="file that a command or `save` wrote")
    add_shared(parser, "quiet", "json", out="shl_show")


def show_command(args):
    """Shl show: the pictures of a saved model, as PNG and PDF."""
    from .plotting.figures import save_both

    model = load_model(args.model)
    out = claim_folder(args)
    pictures = {}
    for name, draw in _list_pictures(model).items():
        save_both(draw()[0], out / name)
        pictures[name] = str(out / f"{name}.png")
    summary = {
        "model": str(args.model),
        "kind": type(model).__name__,
        "atoms": list(model.components_.shape),
        "steps": model.n_iter_,
        "parameters": model.get_params(deep=False),
        **model.record_.last(),
        "pictures": pictures,
    }
    size = " x ".join(map(str, model.components_.shape))
    lines = [
        f"{type(model).__name__} with atoms of {size} after {model.n_iter_} steps",
        f"{', '.join(pictures) or 'no picture'} in {out}/, as PNG and PDF",
    ]
    write_report(args, out, summary, lines)


def _list_pictures(model):
    """{name: function that draws it} of what a model has."""
    from . import plotting
    from .convolution import plots

    if is_of_images(model):
        pictures = {"dictionary": lambda: plots.show_atoms(model)}
    else:
        is_square = round(model.n_features_in_**0.5) ** 2 == model.n_features_in_
        draw = plotting.show_dico if is_square else _plot_atoms
        pictures = {
            "dictionary": lambda: draw(None, model),
            "P_cum": lambda: plotting.plot_P_cum(model.P_cum_),
            "usage": lambda: plotting.plot_usage(plotting.activity(model)),
        }
    if len(model.record_):
        draw_learning = _plot_error if is_of_images(model) else plotting.plot_learning
        pictures["learning"] = lambda: draw_learning(model)
    return pictures


def _plot_error(model):
    """The error of images over learning: they have no distributions, and no F."""
    from .plotting import plot_error

    return plot_error(None, model)


def _plot_atoms(_, model):
    """Atoms that are no square patches: curves in a grid."""
    from .plotting.figures import new_figure

    atoms = model.components_
    n_columns = int(np.ceil(len(atoms) ** 0.5))
    n_rows = -(-len(atoms) // n_columns)
    fig = new_figure(figsize=(n_columns, 0.7 * n_rows))
    axs = fig.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).ravel()
    for ax in axs:
        ax.set_axis_off()
    for ax, atom in zip(axs, atoms, strict=False):
        ax.plot(atom, lw=0.8)
    return fig, axs


# -------------------------------------------------------------------------------- encode and decode


def _add_encode_flags(parser):
    parser.add_argument("model", metavar="MODEL", help="file that a command or `save` wrote")
    text = "samples (npy, npz), an image, or a folder of images, which are whitened and cut up"
    parser.add_argument("file", metavar="FILE", help=text)
    text = "file of the code"
    parser.add_argument("--out", dest="target", default="code.npz", metavar="FILE", help=text)
    text = "most events of a sample (None: as in learning)"
    parser.add_argument("--l0-sparseness", type=int, default=None, help=text)
    add_shared(parser, "n_jobs", "quiet", "json")


def encode_command(args):
    """Shl encode: the code of samples, CSR (scipy.sparse.load_npz) or the events of images."""
    from scipy import sparse

    model = load_model(args.model).set_params(n_jobs=args.n_jobs)
    X = read_samples(args.file, model)
    announce_overwrite(args, args.target)
    if is_of_images(model):
        code = model.transform(X, l0_sparseness=args.l0_sparseness)
        arrays = {name: getattr(code, name) for name in EVENTS}
        arrays["shape"] = np.array(code.shape)
        np.savez(args.target, **arrays)
        n_events = code.n_events
    else:
        code = model.set_params(sparse_output=True).transform(X, l0_sparseness=args.l0_sparseness)
        sparse.save_npz(args.target, sparse.csr_array(code))
        n_events = code.nnz
    rest = X - model.inverse_transform(code)
    summary = {
        "samples": len(X),
        "events": n_events,
        "error": float(np.linalg.norm(rest) / np.linalg.norm(X)),
        "code": str(args.target),
    }
    line = (
        f"{len(X)} samples, {n_events} events, error {summary['error']:.4f}; code in {args.target}"
    )
    report(args, summary, [line])


def _add_decode_flags(parser):
    parser.add_argument("model", metavar="MODEL", help="file that a command or `save` wrote")
    parser.add_argument("code", metavar="CODE", help="file that `shl encode` wrote")
    text = "npy file of samples"
    parser.add_argument("--out", dest="target", default="decoded.npy", metavar="FILE", help=text)
    add_shared(parser, "quiet", "json")


def decode_command(args):
    """Shl decode: the samples that a code stands for, as npy."""
    model = load_model(args.model)
    X = model.inverse_transform(read_code(args.code, model))
    announce_overwrite(args, args.target)
    with open(args.target, "wb") as file:
        np.save(file, X)
    shape = " x ".join(map(str, X.shape))
    summary = {"shape": list(X.shape), "samples": str(args.target)}
    report(args, summary, [f"samples of shape {shape} in {args.target}"])


def read_code(path, model):
    """The code that `shl encode` wrote to path."""
    from scipy import sparse

    from .convolution import ConvolutionalCode

    try:
        if not is_of_images(model):
            return sparse.load_npz(path)
        with np.load(path, allow_pickle=False) as arrays:
            events = {name: arrays[name] for name in EVENTS}
            return ConvolutionalCode(**events, shape=tuple(map(int, arrays["shape"])))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is no code of shl encode with this model: {error}") from error


def read_samples(path, model):
    """The samples of a file or folder, as the model takes them."""
    path = Path(path)
    if path.suffix.lower() in ARRAYS:
        return _read_array(path)
    return _cut(_read_images(path), model)


def _read_array(path):
    """The array of an npy file, or the only one, or 'data', of an npz."""
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        names = list(found)
        if len(names) != 1 and "data" not in names:
            raise ValueError(f"{path} must hold one array or 'data', not {', '.join(names)}")
        return found["data" if "data" in names else names[0]]


def _read_images(path):
    """The grey images of a file or a folder."""
    from .images import load_images, read_image

    if path.is_dir():
        return [image for _, image in load_images(path.name, path.parent, 1, 1)]
    return [read_image(path)]


def _cut(images, model):
    """Images whitened as `shl learn` does it, cut into patches side by side; whole for a model of
    images, all as small as the smallest.
    """
    from . import images as preparation
    from .convolution import preprocess

    if is_of_images(model):
        height, width = np.min([image.shape for image in images], axis=0)
        return preprocess(np.array([image[:height, :width] for image in images]))
    width = round(model.n_features_in_**0.5)
    patches = [
        _tiles(preparation.preprocess(preparation.centre(image), width), width) for image in images
    ]
    is_seen = model.components_.any(axis=0)  # a mask that all atoms have
    return (np.concatenate(patches) * is_seen).astype(model.components_.dtype)


def _tiles(image, width):
    """The patches (n, width^2) of an image, row by row, less a rest right and below."""
    rows, columns = (size // width for size in image.shape)
    cut = image[: rows * width, : columns * width].reshape(rows, width, columns, width)
    return cut.swapaxes(1, 2).reshape(-1, width**2)


COMMANDS = (
    Command("show", "draw a saved model", _add_show_flags, show_command),
    Command("encode", "code samples or images by a saved model", _add_encode_flags, encode_command),
    Command("decode", "give the samples that a code stands for", _add_decode_flags, decode_command),
)
