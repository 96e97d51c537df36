"""The installed scikit-learn's own tests of dictionary learning, run on our classes with renamed
parameters.

Its test module is executed with our shims in the place of its classes and functions.  What is left
out is listed in LEFT_OUT, with the reason.
"""

import warnings
from dataclasses import KW_ONLY, make_dataclass
from fnmatch import fnmatch
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition

import shl
from shl.learning.stopping import Stopping

SOURCE = Path(sklearn.decomposition.__file__).parent / "tests" / "test_dict_learning.py"
FEW = 100  # passes: enough for what the tests ask, where theirs iterate up to 1000 times
CODERS = {"lars": "lasso_lars", "cd": "lasso_cd"}  # what they call the solvers of a lasso
NO_ALPHA = ("omp", "lars")  # their coders that take a number of coefficients alone

POSITIVE_PATHS = "here the lasso by least angles can be positive, and does not raise"
LEFT_OUT = {
    "test_max_iter": "no limit of iterations can be set, so that a coder never ends unconverged",
    "test_dict_learning_lars_positive_parameter": POSITIVE_PATHS,
    "test_dict_learning_online_lars_positive_parameter": POSITIVE_PATHS,
    "test_dict_learning_reconstruction*": "12 atoms know 10 samples by heart to 6 decimals after "
    "alternate minimisation; steps of a gradient come close, not there",
    "test_dict_learning_online_initialization": "0 iterations must return dict_init with its "
    "norms; here there is a step at least, and atoms have norm 1",
    "test_dict_learning_online_partial_fit": "equal only in the order of the samples, and here "
    "they are always shuffled",
    "test_sparse_encode_positivity[False-lasso*": "its samples are its atoms: of atoms of norm 1, "
    "the lasso takes a sample's own alone, which leaves no negative coefficient",
    "test_update_dict": "of a private function of theirs, for which there is no name of ours",
    "test_cd_work_on_joblib_memmapped_data": "of their processes; here there are threads",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(autouse=True)
def leave_out(request):
    """Skip what is left out, with its reason."""
    for pattern, reason in LEFT_OUT.items():
        if fnmatch(request.node.name.replace("[", "("), pattern.replace("[", "(")):
            pytest.skip(reason)


def keep_defaults(shim):
    """Give a shim our defaults of the parameters that it has no name of theirs for."""
    ours, theirs = signature(shim.__base__).parameters, signature(shim).parameters
    for name, parameter in ours.items():
        if name not in theirs and name not in vars(shim):
            setattr(shim, name, parameter.default)
    return shim


def initialiser(first, **defaults):
    """An `__init__` with one parameter that may be positional, and others with these defaults."""
    others = [(name, object, default) for name, default in defaults.items()]
    return make_dataclass("Parameters", [first, ("_", KW_ONLY), *others]).__init__


@keep_defaults
class SparseCoder(shl.SparseCoder):
    """Theirs, by our SparseCoder."""

    __init__ = initialiser(
        "dictionary",
        transform_algorithm="omp",
        transform_n_nonzero_coefs=None,
        transform_alpha=None,
        split_sign=False,
        n_jobs=None,
        positive_code=False,
    )

    algorithm = property(lambda self: self.transform_algorithm)
    l0_sparseness = property(lambda self: self.transform_n_nonzero_coefs)

    @property
    def fit_tol(self):
        """Their alpha, 1 by default, where their coder takes it."""
        alpha = 1.0 if self.transform_alpha is None else self.transform_alpha
        return None if self.algorithm in NO_ALPHA else alpha


def sparse_encode(
    X,
    dictionary,
    *,
    algorithm="lasso_lars",
    n_nonzero_coefs=None,
    alpha=None,
    positive=False,
    n_jobs=None,
):
    """Theirs, by our SparseCoder."""
    how = {"transform_algorithm": algorithm, "transform_n_nonzero_coefs": n_nonzero_coefs}
    how |= {"transform_alpha": alpha, "positive_code": positive, "n_jobs": n_jobs}
    return SparseCoder(dictionary, **how).transform(X)


@keep_defaults
class DictionaryLearning(shl.SparseHebbianLearning):
    """Theirs, by our SparseHebbianLearning: a lasso of penalty alpha learns."""

    __init__ = initialiser(
        ("n_components", object, None),
        **{"alpha": 1, "max_iter": 1000, "fit_algorithm": "lars", "transform_algorithm": "omp"},
        **dict.fromkeys(("transform_n_nonzero_coefs", "transform_alpha", "n_jobs", "dict_init")),
        **dict.fromkeys(("verbose", "split_sign", "positive_code", "positive_dict"), False),
        **dict.fromkeys(("random_state", "batch_size", "tol")),
        **{"max_no_improvement": 10, "shuffle": True},
    )

    homeo_method = "None"

    def fit(self, X, y=None):
        """As theirs, which has as many atoms as features unless told otherwise."""
        self.n_features = np.shape(X)[1]
        return super().fit(X)

    n_dictionary = property(lambda self: self.n_components or self.n_features)
    learning_algorithm = property(lambda self: CODERS[self.fit_algorithm])
    fit_tol = property(lambda self: self.alpha)
    n_passes = property(lambda self: min(self.max_iter, FEW))
    transform_l0_sparseness = property(lambda self: self.transform_n_nonzero_coefs)

    @property
    def transform_fit_tol(self):
        """Their alpha where their coder takes it."""
        return None if self.transform_algorithm in NO_ALPHA else self.transform_alpha or self.alpha

    def _stopping(self):
        """None: of 10 samples there are none to hold out."""
        return Stopping()


class MiniBatchDictionaryLearning(DictionaryLearning):
    """Theirs, by our SparseHebbianLearning with Adam, whose sums have the dtype of the samples."""

    optimizer = "adam"
    # What their tests of dtypes look at: the sums that learning carries along.
    _A = property(lambda self: self._state.moments["mean"])
    _B = property(lambda self: self._state.moments["square"])


def dict_learning(X, n_components, *, method="lars", **options):
    """(code, dictionary, errors) as theirs gives them."""
    model = DictionaryLearning(
        n_components, fit_algorithm=method, transform_algorithm=CODERS[method], **options
    ).fit(X)
    return model.transform(X), model.components_, [-model.score(X)]


def dict_learning_online(X, n_components=2, *, method="lars", return_code=True, **options):
    """(code, dictionary) as theirs gives them, or the dictionary."""
    code, dictionary, _ = dict_learning(X, n_components, method=method, **options)
    return (code, dictionary) if return_code else dictionary


SHIMS = [SparseCoder, sparse_encode, DictionaryLearning, MiniBatchDictionaryLearning]
SHIMS += [dict_learning, dict_learning_online]


def load_tests():
    """The tests of scikit-learn's module, which find our shims where they import its names."""
    space = {"__name__": __name__}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)  # its own marks
        for shim in SHIMS:
            patch.setattr(sklearn.decomposition, shim.__name__, shim)
        exec(compile(SOURCE.read_text(encoding="utf-8"), SOURCE, "exec"), space)
    return {name: value for name, value in space.items() if name.startswith("test_")}


globals().update(load_tests())
