"""Figure 4 of the annex: atoms of images without and with homeostasis, and of a second layer."""

import hashlib
import io
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from .. import metrics
from .._base.checks import check_choice, check_count, check_memory
from .._base.constraints import Count, CountOrZero, PathLike, checked, count
from ..convolution import plots
from ..convolution.estimator import ConvolutionalSHL
from ..convolution.preprocessing import gaussian_mask, preprocess
from ..images.files import read_file
from ..images.patches import crop
from ..images.photographs import DATAPATH, choose_database, load_images
from ..learning import checkpoints
from ..learning.homeostasis import RULES
from ..plotting import time_plot
from ..plotting.figures import COLORS, new_figure, save_both
from ..store.entries import open_store
from ..store.files import digest, write_bytes
from ..store.keys import key_of

METHODS = ("None", "shareHAP", "epochEXP")
FACES = "olivettifaces.mat"
FACES_URL = "https://ndownloader.figshare.com/files/5976027"
FACES_SHA256 = "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794"
SECOND = {"n_dictionary": 60, "patch_width": 19, "n_iter": 200, "eta_homeo": 0.02}  # second layer


@checked
def load(
    database: str | None = None,
    datapath: PathLike = DATAPATH,
    n_images: Count = 400,
    size: Annotated[int, count(2)] = 65,
    seed: CountOrZero = 42,
) -> np.ndarray:
    """Grey images before `preprocess`.

    Parameters
    ----------
    database : str, optional
        'faces', the Olivetti faces (400 at most), downloaded once into datapath; else crops of the
        images that `shl.images.load_images` knows by this name.  None is the only database of a
        given datapath, else 'sample'.
    datapath : str or Path, default='database/'
        The folder of databases, or a folder of images.
    n_images : int, default=400
    size : int, default=65
        Pixels of a side, at least 2.
    seed : int, default=42
        Decides images and crops.

    Returns
    -------
    X : array of shape (n_images, 1, size, size), float32

    Raises
    ------
    OSError
        If the faces cannot be downloaded.
    ValueError
        If the file of the faces is another, or a parameter is out of its range.
    """
    check_memory(8 * n_images * size**2, "n_images", n_images)
    rng = np.random.default_rng(seed)
    if database == "faces":
        return _faces(n_images, size, rng, datapath)
    folder, database = choose_database(database, datapath)
    images = load_images(database, folder, height=size, width=size, rng=rng)
    crops = [crop(images[n % len(images)][1], size, size, rng) for n in range(n_images)]
    return np.stack(crops)[:, None].astype(np.float32)


def _faces(n_images, size, rng, datapath):
    """Olivetti faces (Samaria & Harter 1994), resized."""
    from scipy.ndimage import zoom

    faces = _read_faces(Path(datapath) / FACES)
    check_count(n_images, "n_images", most=len(faces), why="the faces of the database")
    chosen = faces[np.sort(rng.choice(len(faces), n_images, replace=False))]
    scales = 1, size / faces.shape[1], size / faces.shape[2]
    return zoom(chosen, scales, order=1)[:, None].astype(np.float32)


def _read_faces(path):
    """Faces (400, 64, 64) float32 in 0..1 from the original file, downloaded once.

    Not by scikit-learn, which keeps them as a pickle: to read one runs the code in it.
    """
    from scipy.io import loadmat

    is_here = path.is_file()
    content, place = (path.read_bytes(), path) if is_here else (_fetch_faces(path), FACES_URL)
    if hashlib.sha256(content).hexdigest() != FACES_SHA256:
        raise ValueError(
            f"{place} is not the file of the Olivetti faces, because its SHA-256 "
            "differs. Download it again."
        )
    if not is_here:
        write_bytes(path, content)
    faces = loadmat(io.BytesIO(content))["faces"].T.astype(np.float32)
    faces = (faces - faces.min()) / np.ptp(faces)
    return faces.reshape(-1, 64, 64).transpose(0, 2, 1)


def _fetch_faces(path):
    """The bytes of the original file, from the network."""
    try:
        with urllib.request.urlopen(FACES_URL, timeout=60) as answer:
            return answer.read()
    except OSError as error:
        raise OSError(
            f"The faces are not on this machine ({path}) and cannot be downloaded "
            f"({error}). Pass database='sample', which needs no network."
        ) from error


def load_recording(path: str | Path) -> np.ndarray:
    """Return the recording of a file, (n_channels, n_times), or with n_signals in front.

    Parameters
    ----------
    path : str or Path
        A file .npy (read as a memory map), .npz, .mat, .csv or .wav.  It holds one array, or
        arrays of one length that are its channels.

    Raises
    ------
    ValueError
        If the file cannot be read, or holds arrays of several sizes.
    """
    if Path(path).suffix.lower() == ".npy" and Path(path).is_file():
        return np.load(path, mmap_mode="r", allow_pickle=False)
    try:
        arrays = read_file(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a recording: {error}") from None
    sizes = {array.shape for array in arrays.values()}
    if len(sizes) != 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{path} must hold one array, or channels of one length, not {found}")
    channels = list(arrays.values())
    return (
        channels[0] if len(channels) == 1 else np.concatenate([np.atleast_2d(c) for c in channels])
    )


def run_recording(
    X: np.ndarray, out: str | Path, sampling_rate: float = 1.0, **parameters: Any
) -> dict:
    """Learn waveforms from a recording; write model, events and pictures into a folder.

    Parameters
    ----------
    X : array of shape (n_channels, n_times), or (n_signals, n_channels, n_times)
    out : str or Path
        A folder, made if missing.
    sampling_rate : float, default=1
        Samples a second.
    **parameters : object
        Of `ConvolutionalSHL`.

    Returns
    -------
    summary : dict
        n_events, rates (events a second of each atom), and pictures, their names.
    """
    out = Path(out)
    model = ConvolutionalSHL(**parameters).fit(X)
    code = model.transform(X)
    model.save(out / "model.npz")
    rows = zip(code.image, code.atom, code.column / sampling_rate, code.value, strict=True)
    lines = ("signal,atom,time,value", *(f"{n},{i},{time:.9g},{a:.9g}" for n, i, time, a in rows))
    write_bytes(out / "events.csv", ("\n".join(lines) + "\n").encode())
    middle = slice(code.n_events // 2, code.n_events // 2 + 1)
    time, signal = (int(part[middle].sum()) for part in (code.column, code.image))
    start = max(0, time - 10 * model.components_.shape[2])
    stretch = {"start": start, "signal": signal, "sampling_rate": sampling_rate}
    drawn = {
        "atoms": plots.show_atoms(model),
        "events": plots.plot_events(code, X, model, **stretch),
        "rates": plots.plot_rates(code, sampling_rate=sampling_rate),
    }
    pictures = [save_both(fig, out / name) for name, (fig, _) in drawn.items()]
    rates = code.rates(sampling_rate).tolist()
    return {"n_events": code.n_events, "rates": rates, "pictures": pictures}


def measure(model: ConvolutionalSHL, X: np.ndarray) -> dict[str, float | list[int]]:
    """Figures of a fitted model on images X, under plain pursuit and under its own competition.

    Parameters
    ----------
    model : ConvolutionalSHL
    X : array of shape (n_images, n_channels, height, width)

    Returns
    -------
    figures : dict
        error, |X - reconstruction| / |X|; cv, the standard deviation of the atoms' events over
        their mean; counts, the events of each atom; and the same named `_own` under the model's
        competition.
    """
    figures: dict = {}
    for suffix, gain in (("", None), ("_own", model.gain_)):
        code = model.transform(X, gain=gain)
        residual = X - model.inverse_transform(code, X.shape)
        figures |= {
            f"error{suffix}": metrics.reconstruction_error(X, residual),
            f"cv{suffix}": metrics.usage_variation(code),
            f"counts{suffix}": code.counts().tolist(),
        }
    return figures


def run(
    X: np.ndarray,
    out: str | Path,
    *,
    methods: Sequence[str] = METHODS,
    second: Mapping | None = None,
    cache_dir: str | Path | None = None,
    **parameters: Any,
) -> dict:
    """Learn from raw images once with each rule; write models and pictures into a folder.

    Parameters
    ----------
    X : array of shape (n_images, 1, height, width)
        As `load` gives.
    out : str or Path
        A folder, made if missing.
    methods : sequence of str, default=('None', 'HAP', 'EXP')
        Rules of homeostasis.
    second : mapping, default=None
        Parameters of a second layer, learned on the dense code of the last rule's first layer.
    cache_dir : str or Path, default=None
        Folder of results and checkpoints, from which an interrupted study resumes; None for none.
    **parameters : object
        Of `ConvolutionalSHL`.  mask is a Gaussian one if not given.

    Returns
    -------
    summary : dict
        rules, the figures of each rule; pictures, their names; second, the figures of a second
        layer.
    """
    for method in methods:
        check_choice(method, "methods", RULES)
    out, X = Path(out), preprocess(X)
    parameters = {"patch_width": 9, **parameters}
    parameters.setdefault("mask", gaussian_mask(parameters["patch_width"]))
    results = open_store(cache_dir)
    models = {
        method: _fit(ConvolutionalSHL(homeo_method=method, **parameters), X, results)
        for method in methods
    }
    summary: dict[str, Any] = {"rules": {}, "pictures": []}
    for method, model in models.items():
        summary["rules"][method] = {**measure(model, X), "seconds": model.seconds_}
        summary["pictures"] += _draw_model(model, X, method, out)
        model.save(out / f"model_{method}.npz")
    summary["pictures"].append(_draw_comparison(models, summary["rules"], out / "convergence"))
    if second is not None:
        model, code = _learn_second(models[methods[-1]], X, second, results)
        summary["second"] = {**measure(model, code), "seconds": model.seconds_}
        summary["pictures"].append(_draw_second(model, models[methods[-1]], out))
        model.save(out / "model_second.npz")
    return summary


def _fit(model, X, results):
    """The fitted model, from a store, or learned from its last checkpoint on."""
    if results is None:
        return model.fit(X)
    parameters = model.get_params(deep=False)
    shown = {name: parameters.pop(name) for name in ("n_jobs", "verbose")}
    key = key_of({**parameters, "data": digest(X)}, "convolution")
    path = results.path("conv", key, "conv-learn")
    found = results.get(path, ConvolutionalSHL.load)
    return checkpoints.fit(model, X, results, path) if found is None else found.set_params(**shown)


def _draw_model(model, X, method, out):
    """Atoms, places and a reconstruction of one model; returns the pictures' names."""
    code = model.transform(X, gain=model.gain_)
    made = model.inverse_transform(code, X.shape)
    title = f"{method}: {model.l0_sparseness} events an image, own competition"
    drawn = {
        "atoms": plots.show_atoms(model, title=f"{method}: atoms"),
        "where": plots.show_where(code, title=f"{method}: where each atom was used"),
        "reconstruction": plots.show_reconstruction(X, made, title=title),
    }
    return [save_both(fig, out / f"{kind}_{method}") for kind, (fig, _) in drawn.items()]


def _draw_comparison(models, figures, stem):
    """Convergence of all rules, and each one's activation histogram; returns the picture's name."""
    fig = new_figure(figsize=(4 + 3 * len(models), 3), layout="constrained")
    axs = fig.subplots(1, 1 + len(models), width_ratios=[4] + [3] * len(models))
    most = max(max(figures[method]["counts_own"]) for method in models)
    for ax, (method, model) in zip(axs[1:], models.items(), strict=True):
        color, title = COLORS.get(method), f"{method}: cv {figures[method]['cv_own']:.2f}"
        time_plot(model, "error_own", color=color, label=method, ax=axs[0])
        plots.plot_counts(figures[method]["counts_own"], color=color, ax=ax, title=title)
        ax.set(ylim=(0, 1.05 * most), ylabel="events (own competition)")
    axs[0].set_ylabel("error (own competition)")
    axs[0].legend()
    return save_both(fig, stem)


def _learn_second(first, X, parameters, results):
    """(a fitted second layer, the dense code of the first that it learned from)."""
    code = first.transform(X, gain=first.gain_).toarray()
    shared = {name: getattr(first, name) for name in ("random_state", "n_jobs", "verbose")}
    parameters = {**SECOND, **shared, **parameters}
    parameters.setdefault("mask", gaussian_mask(parameters["patch_width"]))
    model = ConvolutionalSHL(homeo_method=first.homeo_method, **parameters)
    return _fit(model, code, results), code


def _draw_second(model, first, out):
    """Atoms of a second layer as images; returns the picture's name."""
    atoms = plots.project_atoms(model.components_, first.components_, first.stride)
    fig, _ = plots.show_atoms(atoms, title="second layer: atoms, seen through the first")
    return save_both(fig, out / "atoms_second")
