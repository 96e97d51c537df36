"""Public functions, and good arguments of each, of which a test makes some odd: small, so that a
call takes milliseconds.
"""

import inspect

import numpy as np

from shl import (
    SHL,
    SHL_set,
    SparseCoder,
    SparseHebbianLearning,
    classic,
    convolution,
    datasets,
    gabor,
    images,
    metrics,
    plotting,
    sparse_encode,
    store,
)
from shl._base.constraints import constraints_of
from shl.coding.events import Events
from shl.convolution import ConvolutionalCode, ConvolutionalSHL, convolutional_encode
from shl.images import windows
from shl.learning import optimizers, replacement
from shl.learning.homeostasis import make_rule

RNG = np.random.default_rng(0)
ATOMS = RNG.standard_normal((12, 9))
ATOMS /= np.linalg.norm(ATOMS, axis=1, keepdims=True)
X = RNG.standard_normal((40, 9))
LABELS = np.arange(len(X)) % 3
IMAGES = RNG.standard_normal((2, 1, 12, 13))
PICTURE = RNG.standard_normal((30, 32))
KERNELS = RNG.standard_normal((4, 1, 3, 3))
KERNELS /= np.sqrt((KERNELS**2).sum(axis=(1, 2, 3), keepdims=True))
# Parameters of which a large integer is no bad value, but asks for years.
LONG = ("hidden_layer_sizes", "max_iter", "n_iter", "n_jobs", "n_passes", "n_starts", "record_each")
TABLE = np.tile(np.linspace(0, 1, 9), (12, 1))


def learn(X=X, sample_weight=None, **parameters):
    """A model, what it codes and decodes, and a pass more."""
    model = SparseHebbianLearning(**parameters).fit(X, sample_weight=sample_weight)
    code = model.transform(X)
    model.partial_fit(X)
    return [code, model.inverse_transform(code), model.components_, model.P_cum_]


def learn_images(X=IMAGES, gain=None, **parameters):
    model = ConvolutionalSHL(**parameters).fit(X)
    code = model.transform(X, gain=gain)
    return [code.value, model.inverse_transform(code), model.components_]


def experiment(**parameters):
    return [SHL(**{"cache_dir": None, **parameters}).patches.N_patches]


def scan(opts=None, values=None, variables="eta", **parameters):
    opts = {"cache_dir": None} if opts is None else opts
    return [len(SHL_set(opts, values=values, **parameters).tasks(variables))]


def use_events(indices, values, n_dictionary, weight):
    events = Events(indices, values, n_dictionary, weight)
    found = [events.to_dense(), events.counts(), events.power_sums(2), events.count_pairs()]
    return [*found, events.count_quantiles(1.0, 5), metrics.variance(events)]


def use_code(**parts):
    code = ConvolutionalCode(**parts)
    return [code.toarray(), code.counts(), code.reconstruct(KERNELS, (12, 13))]


def encode_images(X, dictionary, **parameters):
    return [convolutional_encode(X, dictionary, **parameters).value]


def code_by(X, **parameters):
    coder = SparseCoder(**parameters)
    code = coder.fit(X).transform(X)
    return [code, coder.inverse_transform(code), coder.score(X)]


def hide(X):
    """X with every third entry missing, where it is an array of floats."""
    if not isinstance(X, np.ndarray) or X.dtype.kind != "f":
        return X
    X = X.copy()
    X.flat[::3] = np.nan
    return X


def draw_rule(name="HAP", **parameters):
    rule = make_rule(name, **parameters)
    competition = rule.competition(rule.init(5, 0.2, np.float64))
    return [part for part in (competition.gain, competition.P_cum) if part is not None]


def events_of(n=5):
    return {
        "image": np.sort(RNG.integers(0, 2, n)).astype(np.int32),
        "atom": RNG.integers(0, 4, n).astype(np.int32),
        "row": RNG.integers(0, 10, n).astype(np.int32),
        "column": RNG.integers(0, 11, n).astype(np.int32),
        "value": RNG.standard_normal(n),
        "shape": (2, 4, 10, 11),
    }


def measure(code):
    """Every metric of a code but those that are NaN by their definition where it is empty."""
    found = [metrics.activation_probability(code), metrics.variance(code)]
    for each in (metrics.usage, metrics.usage_entropy, metrics.usage_variation, metrics.kurtosis):
        each(code)
    for each in (metrics.kl_divergence, metrics.log_likelihood, metrics.probability_error):
        each(code)
    metrics.mutual_information(code)
    return found


def draw(plot):
    """A figure, drawn, since errors may come late; or a picture, NaN between its patches."""

    def draw_all(**options):
        found = plot(**options)
        if isinstance(found, np.ndarray):
            return [np.nan_to_num(found)]
        found[0].canvas.draw()
        return []

    return draw_all


def as_list(found):
    """What a function returns, as a list of arrays and numbers."""
    parts = found.values() if isinstance(found, dict) else found
    return list(parts) if isinstance(found, dict | tuple | list) else [found]


def defaults(function, *left_out):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("self", *left_out)}


CALLS, OWNERS = {}, {}


def add(owner, good, call=None, name=None):
    """Add a call of a function with good arguments, of which a test makes some odd."""
    has_rng = "rng" in inspect.signature(owner).parameters

    def plain(**options):
        rng = {"rng": np.random.default_rng(0)} if has_rng else {}
        return as_list(owner(**options, **rng))

    name = name or owner.__name__
    CALLS[name] = call or plain, good
    if constraints_of(owner):
        OWNERS[name] = owner


def add_all(owner, *left_out, call=None, name=None, **good):
    """As `add`, with the defaults of all parameters but those that are left out."""
    add(owner, {**defaults(owner, "verbose", "rng", *left_out), **good}, call, name)


ENCODE = {"X": X, "dictionary": ATOMS, "l0_sparseness": 3, "sparse_output": False}
add_all(sparse_encode, **ENCODE)
with_gaps = {"algorithm": "omp", "missing": "mask", "name": "sparse_encode with gaps"}
add_all(
    sparse_encode,
    **ENCODE | with_gaps,
    call=lambda X, **options: [sparse_encode(hide(X), **options)],
)
MODEL = {"n_dictionary": 12, "l0_sparseness": 3, "n_iter": 3, "batch_size": 20, "X": X}
MODEL |= {"record_each": 2, "record_num_batches": 8, "random_state": 0, "sample_weight": None}
add_all(SparseHebbianLearning, call=learn, **MODEL)
with_gaps = {"missing": "mask", "name": "learning with gaps"}
add_all(SparseHebbianLearning, **MODEL | with_gaps, call=lambda X, **o: learn(hide(X), **o))
CONV = {"n_dictionary": 4, "patch_width": 3, "l0_sparseness": 4, "n_iter": 2, "X": IMAGES}
CONV |= {"gain": None, "random_state": 0, "record_each": 1}
add_all(ConvolutionalSHL, call=learn_images, **CONV)
add_all(convolutional_encode, call=encode_images, X=IMAGES, dictionary=KERNELS, l0_sparseness=4)
add_all(SparseCoder, call=code_by, X=X, dictionary=ATOMS)
EXPERIMENT = SHL(cache_dir=None).parameters()
del EXPERIMENT["verbose"]
add(SHL, EXPERIMENT, experiment)
SCAN = {"values": None, "variables": "eta", "N_scan": 3, "base": 4.0, "tag": "x", "data": None}
add(SHL_set, SCAN, scan)
EVENTS = {"indices": RNG.integers(0, 7, (5, 3)).astype(np.int32), "values": RNG.random((5, 3))}
add(Events, EVENTS | {"n_dictionary": 7, "weight": None}, use_events)
add(ConvolutionalCode, events_of(), use_code)
RULE = {"name": "HAP", "eta_homeo": 0.01, "alpha_homeo": 0.05, "C": 3.0}
add(make_rule, RULE, draw_rule)
add(images.to_grey, {"pixels": np.ones((3, 4, 3))})
add_all(datasets.make_sparse_coded_signals, n_samples=20, n_pixels=9, n_atoms=12)
RECORDING = {"n_times": 400, "n_atoms": 2, "width": 8}
add(
    datasets.make_recording,
    defaults(datasets.make_recording) | RECORDING,
    lambda **options: list(datasets.make_recording(**options)[:2]),
)
add_all(datasets.make_spikes, n_samples=20, n_templates=5)
add_all(datasets.recovered, dictionary=ATOMS, atoms=ATOMS[:3])
PATCHES = {"n_patches": 5, "patch_width": 5}
add(datasets.load_sample_patches, {**PATCHES, "do_mask": True, "random_state": 0})
add(
    datasets.fetch_natural_images,
    {"data_home": None},
    lambda data_home: [datasets.fetch_natural_images(data_home, registry={}) and 0.0],
)
CALLS["metrics of a code"] = measure, {"code": np.abs(X)}
add(metrics.reconstruction_error, {"X": X, "residual": X / 2, "weight": np.ones(40)})
add(metrics.quantization_error, {"P_cum": TABLE})
add(metrics.ks_distance, {"P_cum": TABLE})
add(metrics.mutual_coherence, {"dictionary": ATOMS, "do_sym": False})
add(metrics.disorder, {"dictionary": ATOMS})
add(
    gabor.orientation_entropy,
    {"orientation": X[0], "n_bins": 12},
    lambda **options: [np.nan_to_num(gabor.orientation_entropy(**options))],  # of none
)
add(gabor.fit_gabor, {"dictionary": ATOMS[:1], "n_starts": 1, "n_jobs": None})
add(classic.mp, {"X": X, "D": ATOMS, "l0_sparseness": 2})
add(classic.rescaling, {"code": X, "C": 3.0})
add(classic.inv_rescaling, {"r": X**2 / 99})
SHARES = np.clip(np.abs(X[:, :1] * np.ones(12)), 0, 1)
add(classic.quantile, {"P_cum": TABLE, "r": SHARES})
add(classic.inv_quantile, {"P_cum": TABLE, "z": RNG.random((5, 12))})
add(windows.extract, {"image": IMAGES[0, 0], "patch_shape": 4})
WHOLE = {"patches": np.ones((90, 16)), "means": np.ones((90, 1)), "shape": (12, 13)}
add(windows.reconstruct, WHOLE)
SIZE = {"height": 20, "width": 20}
MANY = {"images": [("a", PICTURE)], **PATCHES, **SIZE}
add_all(images.extract_patches, "on_crop", **MANY)
add(images.draw_patches, {"image": PICTURE, **PATCHES, "over_patches": 2})
add(images.noise_patches, {**PATCHES, "do_bandpass": True})
add(images.dead_leaves, SIZE)
add(images.crop, {"image": PICTURE, **SIZE})
add(images.centre, {"image": PICTURE})
add(images.whiten, {"image": PICTURE})
add(images.preprocess, {"image": PICTURE, "patch_width": 5, "do_bandpass": True})
add(images.block_average, {"image": PICTURE, "factor": 2})
add(images.disc, {"patch_width": 5})
add_all(convolution.preprocess, X=IMAGES, name="convolution.preprocess")
add_all(convolution.normalise_local_contrast, X=IMAGES)
add(convolution.whiten_recording, {"X": RNG.standard_normal((2, 200)), "order": 2})
add_all(convolution.radial_window, shape=(12, 13))
add_all(convolution.gaussian_mask, patch_width=5)
add(
    optimizers.make_optimizer,
    {"eta": 0.1, "beta1": 0.9, "beta2": 0.9, "epsilon": 10},
    lambda **options: [optimizers.make_optimizer(**options).eta],
)
decay = {"start": 0.6, "end": 0.05}
add(optimizers.Decay, decay, lambda start, end: [optimizers.Decay(start, end)(3, 9)])
add_all(replacement.Replacement, call=lambda **o: [replacement.Replacement(**o).margin])
add(store.key_of, {"value": 3}, lambda value: [store.key_of({"value": value})])
CALLS["path"] = lambda tag: [store.Store("folder").path("data", "0" * 32, tag)], {"tag": "a name"}
for plot, good in {
    plotting.atoms.tile: {"patches": ATOMS, "n_columns": None, "gap": 1},
    plotting.atoms.mosaic: {"pictures": IMAGES[:, 0], "n_columns": 2, "gap": 1},
    plotting.plot_P_cum: {"P_cum": TABLE},
    plotting.plot_usage: {"prob_active": TABLE[0]},
    plotting.plot_proba_histogram: {"prob_active": TABLE[0]},
    plotting.plot_variance: {"sparse_code": X},
    plotting.plot_coefficients: {"sparse_code": X, "n_atoms": 2},
    plotting.plot_recovery: {"code_true": X, "code_found": X, "most": 50},
    plotting.plot_grid: {"values": {"eta": [1, 2, 3], "C": [1, 2]}, "results": X[:3, :2]},
    plotting.show_dico: {"dico": ATOMS, "order": "minmax", "dim_graph": (3, 4)}
    | {"patch_shape": (3, 3)},
    plotting.show_data: {"data": ATOMS, "n_shown": 2, "patch_shape": (9,)},
}.items():
    add(plot, good, draw(plot))
