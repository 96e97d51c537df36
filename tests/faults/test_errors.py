"""Bad input is an error that names its parameter; ranges of single parameters: test_fuzz.py."""

from functools import partial

import numpy as np
import pytest
from making import make, small_model

from shl import (
    SHL,
    ConvolutionalSHL,
    SHL_set,
    SparseCoder,
    SparseHebbianLearning,
    classic,
    datasets,
    gabor,
    images,
    metrics,
    select,
    sparse_encode,
)
from shl.annex.study import Study
from shl.convolution import convolutional_encode
from shl.learning.history import History
from shl.learning.homeostasis import HEH

RNG = np.random.default_rng(0)
X, IMAGES = RNG.standard_normal((200, 16)), RNG.standard_normal((3, 1, 20, 20))
ATOMS = np.eye(16)
RAMP = np.tile(np.linspace(0, 1, 16), (20, 1))
WITH_NAN, WITH_INF = (np.where(np.arange(16) == 2, value, X) for value in (np.nan, np.inf))


def fit(X=X, **options):
    make(**{"n_iter": 2, **options}).fit(X)


def encode(X=X, dictionary=ATOMS, **options):
    sparse_encode(X, dictionary, **options)


def code(X=X, **options):
    SparseCoder(**options).transform(X)


def decode(code):
    make(n_iter=2).fit(X).inverse_transform(code)


def scan(call=lambda scan: scan.run(["eta"]), opts=None, **options):
    call(SHL_set({"cache_dir": None, **(opts or {})}, **options))


shl = partial(SHL, cache_dir=None)
FITS = [
    ("n_dictionary must be.*at most 1024", {"n_dictionary": 10**6}),
    ("l0_sparseness.*at most 20", {"l0_sparseness": 100}),
    ("transform_l0_sparseness.*at most 20", {"transform_l0_sparseness": 21}),
    ("batch_size.*at most 200.*not 201", {"batch_size": 201}),
    ("eta_decay must be a pair .start, end. or None, not 0.6", {"eta_decay": 0.6}),
    ("homeo_method must be one of 'None'.*not 'HIP'", {"homeo_method": "HIP"}),
    ("homeo_method must be one of", {"homeo_method": object()}),
    (r"dict_init must have shape \(20, 16\), not \(3, 4\)", {"dict_init": np.ones((3, 4))}),
    ("dict_init must have no row of zeros", {"dict_init": np.zeros((20, 16))}),
    ("dict_init must be at least 0", {"positive_dict": True, "dict_init": -np.ones((20, 16))}),
    (
        "do_precision needs learning_algorithm='mp'",
        {"do_precision": True, "learning_algorithm": "omp"},
    ),
    ("positive_code and do_sym", {"positive_code": True, "do_sym": True}),
    ("not supported for 'lars'", {"positive_code": True, "learning_algorithm": "lars"}),
    ("P_cum_init must be non-decreasing", {"nb_quant": 16, "C": 3.0, "P_cum_init": 5 - RAMP}),
    (r"P_cum_init must have shape .* = \(20, 9\)", {"nb_quant": 9, "C": 3.0, "P_cum_init": RAMP}),
    ("P_cum_init needs the C of its scale", {"nb_quant": 16, "C": 0, "P_cum_init": RAMP}),
    ("one_over_F needs square patches", {"one_over_F": True, "X": X[:, :15]}),
    ("needs the algorithm 'omp'.*not 'mp'", {"missing": "mask", "learning_algorithm": "mp"}),
    (r"no infinity, but it is inf at \(0, 2\)", {"missing": "mask", "X": WITH_INF}),
    ("whiten", {"whiten": "zca", "positive_dict": True}),
    ("whiten", {"whiten": "zca", "missing": "mask"}),
    ("whiten", {"whiten": "std", "do_precision": True, "eta_precision": 0.1}),
    ("4 features", {"X": iter([X[:50], X[:50, :4]])}),
    ("samples and their targets, or several batches", {"X": [(X[:50], X[:50])]}),
    ("batch_size must be at least 1 and at most 2", {"X": [X[0], X[1]], "batch_size": 50}),
    ("X must hold numbers", {"X": {"a": X}}),
    ("Expected 2D array", {"X": iter([3])}),
    ("X is an iterable without batches", {"X": iter([])}),
    ("n_passes must be None if X is an", {"X": iter([X]), "n_passes": 2, "n_iter": 2000}),
    ("tol must be None if X is an iterable, not 0.1", {"X": iter([X]), "tol": 0.1}),
]
CODES = [
    ("X must have 2 axes", {"X": np.ones(16)}),
    ("dictionary must have 5 columns, not 16", {"X": np.ones((3, 5))}),
    (r"no NaN or infinity, but it is nan at \(0, 2\)", {"X": WITH_NAN, "algorithm": "omp"}),
    ("X is empty", {"X": np.empty((0, 16))}),
    ("X must be an array of real numbers", {"X": np.array([["a"] * 16])}),
    ("X must be an array", {"X": [[1.0], [2.0, 3.0]]}),
    ("dictionary must have rows of unit norm, but row 0 has norm 2", {"dictionary": 2 * ATOMS}),
    ("row 0 is all zeros", {"dictionary": np.zeros((5, 16))}),
    ("dictionary", {"dictionary": None}),
    ("algorithm", {"algorithm": np.array(["mp", "omp"])}),
    ("at most 16 .the number of atoms., not 17", {"l0_sparseness": 17}),
    ("l0_sparseness", {"l0_sparseness": 10**400}),
    ("alpha_MP", {"alpha_MP": 10**400}),
    ("do_sym must", {"do_sym": np.array([1, 0])}),
    ("gain must be at least 0, not -1", {"gain": -np.ones(16)}),
    (r"gain must have shape \(16,\), not \(3,\)", {"gain": np.ones(3)}),
    ("gain must be an array", {"gain": [[1], [1, 2]]}),
    ("P_cum must have shape", {"P_cum": np.ones((16, 1))}),
    ("P_cum must be non-decreasing", {"P_cum": np.tile([1.0, 0.0], (16, 1))}),
    ("gain and P_cum are both given", {"P_cum": np.ones((16, 4)), "gain": np.ones(16)}),
    ("P_cum has no effect", {"P_cum": np.ones((16, 4)), "algorithm": "omp"}),
    ("precision must be above 0, not 0", {"precision": np.zeros((16, 16))}),
]
CODERS = [
    ("Dictionary and X have different numbers", {"dictionary": np.ones((3, 5))}),
    ("dictionary must have no row of zeros", {"dictionary": np.zeros((3, 16))}),
    ("l0_sparseness.*at most 16", {"l0_sparseness": 17}),
    ("Positive constraint not supported for 'omp'", {"positive_code": True}),
    ("no infinity", {"missing": "mask", "X": WITH_INF}),
]
SETS = [
    ("opts must be a dict of parameters or an SHL, not 3", lambda: SHL_set(3)),
    ("tag must be a text, not 3", partial(scan, tag=3)),
    ("values", partial(scan, values=[1, 2])),
    (r"values\['eta'\]", partial(scan, values={"eta": 0.1})),
    ("is empty", partial(scan, values={"eta": []})),
    ("variables", partial(scan, lambda scan: scan.run(7))),
    ("variables is empty", partial(scan, lambda scan: scan.run([]))),
    ("n_jobs", partial(scan, lambda scan: scan.run(["eta"], n_jobs="all"))),
    ("n_jobs must be None", partial(scan, lambda scan: scan.run(["eta"], n_jobs=0))),
    ("grid", partial(scan, lambda scan: scan.run(["eta"], grid="yes"))),
    ("variable must be one of .*'etta'", partial(scan, lambda scan: scan.values_of("etta"))),
    ("variable must be one of", partial(scan, lambda scan: scan.values_of("cache_dir"))),
    ("fit_tol cannot be scanned", partial(scan, lambda scan: scan.values_of("fit_tol"))),
    ("changes the data", partial(scan, lambda s: s.values_of("patch_width"), data=np.ones((9, 4)))),
    ("no record to write. Call run", partial(scan, lambda scan: scan.to_csv("empty.csv"))),
    (
        "SHL_set.run .*'variable'. Did you mean variables",
        partial(scan, lambda s: s.run(variable=1)),
    ),
]
OTHERS = [
    ("cache_dir", lambda: SHL(cache_dir=3)),
    ("name_database", lambda: shl(name_database=3)),
    ("datapath", lambda: shl(datapath=None)),
    ("patch_width must be at least 4 and at most 64", lambda: shl(patch_width=300, width=64)),
    ("n_jobs must be an integer, not '4'", lambda: SHL(n_jobs="4")),
    ("list_figures must be one of 'show_dico'", lambda: shl().learn_dico(list_figures=["all"])),
    ("list_figures", lambda: shl().learn_dico(list_figures="show_dico")),
    ("SHL.learn_dico .*'list_figure'. Did you mean", lambda: shl().learn_dico(list_figure=[1])),
    ("X must be codes", lambda: decode(None)),
    ("X must be", lambda: decode("abc")),
    ("Expected 20, got 16", lambda: decode(X)),
    ("code must be", lambda: small_model().fit(IMAGES).inverse_transform(None)),
    ("n_jobs must be an integer, not 'two'", lambda: small_model(n_jobs="two").fit(IMAGES)),
    ("stride", lambda: convolutional_encode(IMAGES, np.ones((1, 1, 1, 1)), stride="2")),
    ("n_dictionary must be at least 1, not 0", lambda: select(X, 0)),
    ("X must hold no", lambda: select(WITH_NAN)),
    ("P_cum needs the C of its scale", lambda: HEH(C=0, P_cum=np.linspace(0, 1, 128))),
    ("record_each was 0. Learn again with record_each", lambda: History().to_frame()),
    ("r must have 2 columns, not 3", lambda: classic.quantile(np.ones((2, 4)), np.ones((1, 3)))),
    (r"r must be in \[0, 1\), but is in", lambda: classic.inv_rescaling([0.5, 1.0])),
    ("z must have 20 columns, not 5", lambda: classic.inv_quantile(RAMP, np.zeros((1, 5)))),
    ("code must have 2 axes", lambda: metrics.usage(np.ones(3))),
    ("square patch, but has 12 pixels", lambda: gabor.fit_gabor(np.ones((3, 12)))),
    ("least_r2 must be", lambda: metrics.is_formless(ATOMS, least_r2=2)),
    ("n_active", lambda: datasets.make_sparse_coded_signals(n_active=97)),
    ("scale must be one of 'quick', 'paper', not 'huge'", lambda: Study("huge")),
    ("n_seeds must be at least 2, not 1", lambda: Study(n_seeds=1)),
    (r"pixels must .*not \(4, 4, 2\)", lambda: images.to_grey(np.zeros((4, 4, 2), np.uint8))),
    (r"pixels must .*not \(4,\)", lambda: images.to_grey(np.zeros(4))),
    ("pixels must .*not of dtype complex128", lambda: images.to_grey(np.zeros((4, 4), complex))),
    ("image must have 2 or 3 axes", lambda: images.extract(X[0], 3)),
    ("patch_shape must be at least 1 and at most 16", lambda: images.extract(X, 17)),
    ("patch_shape must be an int or", lambda: images.extract(X, (3, 4, 5))),
    ("stride must be at least 1 and at most 3", lambda: images.extract(X, 3, 4)),
    ("patch_shape = 200 needs about", lambda: images.extract(np.ones((4000, 4000)), 200)),
    ("patches and means", lambda: images.reconstruct(ATOMS[:4, :4], np.ones((4, 1)), (4, 4))),
    ("shape must be", lambda: images.reconstruct(ATOMS[:4, :4], np.ones((4, 1)), 4)),
    ("must be all those of an", lambda: images.reconstruct(*images.extract(ATOMS, 3), (9, 16))),
]
ERRORS = [
    *((words, partial(fit, **options)) for words, options in FITS),
    *((words, partial(encode, **options)) for words, options in CODES),
    *((words, partial(code, **options)) for words, options in CODERS),
    *SETS,
    *OTHERS,
]


@pytest.mark.parametrize(("words", "call"), ERRORS, ids=[words for words, _ in ERRORS])
def test_errors_name_their_parameter(words, call):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


NEAREST = {  # class: a name that it has not, and the nearest that it has
    SparseHebbianLearning: {
        "n_components": "n_dictionary",
        "transform_alpha": "transform_fit_tol",
        "max_iter": "n_passes",
        "n_dictionnary": "n_dictionary",
        "etahomeo": "eta_homeo",
    },
    SHL: {"n_patches": "N_patches", "eta_homeostasis": "eta_homeo", "n_dictionry": "n_dictionary"},
    SparseCoder: {"transform_alpha": "fit_tol"},
    ConvolutionalSHL: {"patchwidth": "patch_width"},
}


@pytest.mark.parametrize("owner", NEAREST)
def test_unknown_parameters_name_the_nearest(owner):
    for theirs, ours in NEAREST[owner].items():
        with pytest.raises(TypeError, match=f"no parameter '{theirs}'. Did you mean {ours}"):
            owner(**{theirs: 3})
        if hasattr(owner, "set_params"):
            with pytest.raises(ValueError, match=f"no parameter '{theirs}'. Did you mean {ours}"):
                owner().set_params(**{theirs: 3})


def test_names_without_a_near_one_list_all():
    with pytest.raises(TypeError, match="'zzzzzz'. It has n_dictionary, "):
        small_model(zzzzzz=3)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones(5), r"sample_weight must have shape \(200,\)"),
        (np.zeros(200), "sample_weight must be at least 0 and not all zero"),
        (np.full(200, -1.0), "sample_weight must be at least 0"),
    ],
)
def test_bad_weights_are_named(weight, words):
    for learn in (make().fit, make().partial_fit, make(n_iter=2).fit(X).score):
        with pytest.raises(ValueError, match=words):
            learn(X, sample_weight=weight)
    with pytest.raises(ValueError, match="sample_weight must be None if X is an iterable"):
        make().fit(iter([X]), sample_weight=weight)


RULE = "homeo_method, homeo_fade, nb_quant and C must not change"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"homeo_fade": None}, RULE),
        ({"homeo_method": "HEH"}, RULE),
        ({"nb_quant": 64}, RULE),
        ({"C": 1.0}, RULE),
        ({"homeo_method": "None"}, RULE),
        ({"do_precision": True, "eta_precision": 0.1}, "do_precision must not become True"),
        ({"optimizer": "adam"}, "optimizer must not change"),
        ({"whiten": "std"}, "whiten must not"),
        ({"n_dictionary": 7}, "resume must hold atoms"),
    ],
)
def test_parameters_of_a_state_must_not_change(changes, words):
    model = make(n_iter=3, replace=False).fit(X)
    with pytest.raises(ValueError, match=words):
        model.set_params(**changes).partial_fit(X)
    assert model.n_iter_ == 3
