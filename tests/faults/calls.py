"""Public functions, and good arguments of each, of which a test makes some odd: small, so that a
call takes milliseconds.
"""

import inspect

import numpy as np

import shl
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
    return [len(SHL_set({"cache_dir": None}, values=values, **parameters).tasks(variables))]


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


def draw(plot, *first):
    """A figure, drawn: nothing is found out before."""

    def draw_all(**options):
        fig, _ = plot(*first, **options)
        fig.canvas.draw()
        return []

    return draw_all


def defaults(function, *left_out):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("self", *left_out)}


MODEL = defaults(SparseHebbianLearning.__init__, "verbose")
MODEL |= {"n_dictionary": 12, "l0_sparseness": 3, "n_iter": 3, "batch_size": 20, "X": X}
MODEL |= {"record_each": 2, "record_num_batches": 8, "random_state": 0, "sample_weight": None}
CONV = defaults(ConvolutionalSHL.__init__, "verbose")
CONV |= {"n_dictionary": 4, "patch_width": 3, "l0_sparseness": 4, "n_iter": 2, "X": IMAGES}
CONV |= {"gain": None, "random_state": 0, "record_each": 1}
EXPERIMENT = SHL(cache_dir=None).parameters()
del EXPERIMENT["verbose"]
CALLS = {
    "sparse_encode": (
        lambda **options: [sparse_encode(**options)],
        {**defaults(sparse_encode), "X": X, "dictionary": ATOMS, "l0_sparseness": 3}
        | {"sparse_output": False},
    ),
    "sparse_encode with gaps": (
        lambda X, **options: [sparse_encode(hide(X), **options)],
        {**defaults(sparse_encode), "X": X, "dictionary": ATOMS, "l0_sparseness": 3}
        | {"sparse_output": False, "algorithm": "omp", "missing": "mask"},
    ),
    "learning with gaps": (
        lambda X, **options: learn(hide(X), **options),
        {**MODEL, "missing": "mask"},
    ),
    "convolutional_encode": (
        encode_images,
        {**defaults(convolutional_encode, "verbose"), "X": IMAGES, "dictionary": KERNELS}
        | {"l0_sparseness": 4},
    ),
    "SparseHebbianLearning": (learn, MODEL),
    "ConvolutionalSHL": (learn_images, CONV),
    "SparseCoder": (code_by, {**defaults(SparseCoder.__init__), "X": X, "dictionary": ATOMS}),
    "SHL": (experiment, EXPERIMENT),
    "SHL_set": (
        scan,
        {"values": None, "variables": "eta", "N_scan": 3, "base": 4.0, "tag": "x", "data": None},
    ),
    "Events": (
        use_events,
        {"indices": RNG.integers(0, 7, (5, 3)).astype(np.int32), "values": RNG.random((5, 3))}
        | {"n_dictionary": 7, "weight": None},
    ),
    "ConvolutionalCode": (use_code, events_of()),
    "make_rule": (draw_rule, {"name": "HAP", "eta_homeo": 0.01, "alpha_homeo": 0.05, "C": 3.0}),
    "to_grey": (lambda pixels: [images.to_grey(pixels)], {"pixels": np.ones((3, 4, 3))}),
    "make_sparse_coded_signals": (
        lambda **options: list(datasets.make_sparse_coded_signals(**options)),
        {
            **defaults(datasets.make_sparse_coded_signals),
            "n_samples": 20,
            "n_pixels": 9,
            "n_atoms": 12,
        },
    ),
    "make_recording": (
        lambda **options: list(datasets.make_recording(**options)[:2]),
        {**defaults(datasets.make_recording), "n_times": 400, "n_atoms": 2, "width": 8},
    ),
    "make_spikes": (
        lambda **options: list(datasets.make_spikes(**options)),
        {**defaults(datasets.make_spikes), "n_samples": 20, "n_templates": 5},
    ),
    "metrics of a code": (measure, {"code": np.abs(X)}),
    "reconstruction_error": (
        lambda **options: [metrics.reconstruction_error(**options)],
        {"X": X, "residual": X / 2, "weight": np.ones(40)},
    ),
    "quantization_error": (lambda P_cum: [metrics.quantization_error(P_cum)], {"P_cum": TABLE}),
    "ks_distance": (lambda P_cum: [metrics.ks_distance(P_cum)], {"P_cum": TABLE}),
    "mutual_coherence": (
        lambda **options: [metrics.mutual_coherence(**options)],
        {"dictionary": ATOMS, "do_sym": False},
    ),
    "disorder": (lambda dictionary: [metrics.disorder(dictionary)], {"dictionary": ATOMS}),
    "orientation_entropy": (
        lambda **options: [np.nan_to_num(gabor.orientation_entropy(**options))],  # of none
        {"orientation": X[0], "n_bins": 12},
    ),
    "fit_gabor": (
        lambda **options: list(gabor.fit_gabor(**options).values()),
        {"dictionary": ATOMS[:1], "n_starts": 1, "n_jobs": None},
    ),
    "mp": (lambda **options: [classic.mp(**options)], {"X": X, "D": ATOMS, "l0_sparseness": 2}),
    "rescaling": (lambda **options: [classic.rescaling(**options)], {"code": X, "C": 3.0}),
    "quantile": (
        lambda **options: [classic.quantile(**options)],
        {"P_cum": TABLE, "r": np.clip(np.abs(X[:, :1] * np.ones(12)), 0, 1)},
    ),
    "extract": (
        lambda **options: list(windows.extract(**options)),
        {"image": IMAGES[0, 0], "patch_shape": 4},
    ),
    "reconstruct": (
        lambda **options: [windows.reconstruct(**options)],
        {"patches": np.ones((90, 16)), "means": np.ones((90, 1)), "shape": (12, 13)},
    ),
    "tile": (
        lambda **options: [np.nan_to_num(plotting.atoms.tile(**options))],  # NaN between them
        {"patches": ATOMS, "n_columns": None, "gap": 1},
    ),
    "mosaic": (
        lambda **options: [np.nan_to_num(plotting.atoms.mosaic(**options))],
        {"pictures": IMAGES[:, 0], "n_columns": 2, "gap": 1},
    ),
    "plot_P_cum": (draw(plotting.plot_P_cum), {"P_cum": TABLE}),
    "plot_usage": (draw(plotting.plot_usage), {"prob_active": TABLE[0]}),
    "plot_proba_histogram": (draw(plotting.plot_proba_histogram), {"prob_active": TABLE[0]}),
    "plot_variance": (draw(plotting.plot_variance), {"sparse_code": X}),
    "plot_coefficients": (draw(plotting.plot_coefficients), {"sparse_code": X, "n_atoms": 2}),
    "plot_recovery": (draw(plotting.plot_recovery), {"code_true": X, "code_found": X, "most": 50}),
    "plot_grid": (
        draw(plotting.plot_grid),
        {"values": {"eta": [1, 2, 3], "C": [1, 2]}, "results": X[:3, :2]},
    ),
    "show_dico": (
        draw(plotting.show_dico),
        {"dico": ATOMS, "order": "minmax", "dim_graph": (3, 4), "patch_shape": (3, 3)},
    ),
    "show_data": (draw(plotting.show_data), {"data": ATOMS, "n_shown": 2, "patch_shape": (9,)}),
    "inv_rescaling": (lambda **options: [classic.inv_rescaling(**options)], {"r": X**2 / 99}),
    "inv_quantile": (
        lambda **options: [classic.inv_quantile(**options)],
        {"P_cum": TABLE, "z": RNG.random((5, 12))},
    ),
    "extract_patches": (
        lambda **options: [images.extract_patches(rng=np.random.default_rng(0), **options)],
        {**defaults(images.extract_patches, "rng", "on_crop"), "images": [("a", PICTURE)]}
        | {"n_patches": 5, "patch_width": 5, "height": 20, "width": 20},
    ),
    "draw_patches": (
        lambda **options: [images.draw_patches(rng=np.random.default_rng(0), **options)],
        {"image": PICTURE, "n_patches": 5, "patch_width": 5, "over_patches": 2},
    ),
    "noise_patches": (
        lambda **options: [images.noise_patches(rng=np.random.default_rng(0), **options)],
        {"n_patches": 5, "patch_width": 5, "do_bandpass": True},
    ),
    "dead_leaves": (
        lambda **options: [images.dead_leaves(rng=np.random.default_rng(0), **options)],
        {"height": 20, "width": 22},
    ),
    "crop": (
        lambda **options: [images.crop(rng=np.random.default_rng(0), **options)],
        {"image": PICTURE, "height": 20, "width": 22},
    ),
    "centre": (lambda image: [images.centre(image)], {"image": PICTURE}),
    "whiten": (lambda image: [images.whiten(image)], {"image": PICTURE}),
    "preprocess": (
        lambda **options: [images.preprocess(**options)],
        {"image": PICTURE, "patch_width": 5, "do_bandpass": True},
    ),
    "block_average": (
        lambda **options: [images.block_average(**options)],
        {"image": PICTURE, "factor": 2},
    ),
    "disc": (lambda patch_width: [images.disc(patch_width)], {"patch_width": 5}),
    "convolution.preprocess": (
        lambda **options: [convolution.preprocess(**options)],
        {**defaults(convolution.preprocess), "X": IMAGES},
    ),
    "normalise_local_contrast": (
        lambda **options: [convolution.normalise_local_contrast(**options)],
        {**defaults(convolution.normalise_local_contrast), "X": IMAGES},
    ),
    "whiten_recording": (
        lambda **options: [convolution.whiten_recording(**options)[0]],
        {"X": np.random.default_rng(0).standard_normal((2, 200)), "order": 2},
    ),
    "radial_window": (
        lambda **options: [convolution.radial_window(**options)],
        {**defaults(convolution.radial_window), "shape": (12, 13)},
    ),
    "gaussian_mask": (
        lambda **options: [convolution.gaussian_mask(**options)],
        {**defaults(convolution.gaussian_mask), "patch_width": 5},
    ),
    "recovered": (
        lambda **options: [datasets.recovered(**options)],
        {**defaults(datasets.recovered), "dictionary": ATOMS, "atoms": ATOMS[:3]},
    ),
    "load_sample_patches": (
        lambda **options: [datasets.load_sample_patches(**options)],
        {"n_patches": 5, "patch_width": 5, "do_mask": True, "random_state": 0},
    ),
    "fetch_natural_images": (
        lambda data_home: [datasets.fetch_natural_images(data_home, registry={}) and 0.0],
        {"data_home": None},
    ),
    "make_optimizer": (
        lambda **options: [optimizers.make_optimizer(**options).eta],
        {"eta": 0.1, "beta1": 0.9, "beta2": 0.9, "epsilon": 10},
    ),
    "Decay": (lambda start, end: [optimizers.Decay(start, end)(3, 9)], {"start": 0.6, "end": 0.05}),
    "Replacement": (
        lambda **options: [replacement.Replacement(**options).margin],
        defaults(replacement.Replacement),
    ),
    "key_of": (lambda value: [store.key_of({"value": value})], {"value": 3}),
    "path": (
        lambda tag: [store.Store("folder").path("data", "0" * 32, tag)],
        {"tag": "a readable name"},
    ),
}
MODULES = (shl, classic, convolution, datasets, gabor, images, metrics, optimizers, plotting)
NAMED = {name: next((m for m in MODULES if hasattr(m, name)), None) for name in CALLS}
# The class or function behind a call, where it declares ranges of its parameters.
OWNERS = {n: getattr(module, n) for n, module in NAMED.items() if module is not None}
OWNERS = {name: owner for name, owner in OWNERS.items() if constraints_of(owner)}
