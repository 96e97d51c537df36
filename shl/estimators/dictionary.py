"""SparseHebbianLearning, the scikit-learn estimator."""

from collections.abc import Callable
from copy import copy
from dataclasses import KW_ONLY, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils.validation import check_is_fitted

from .._base import constraints
from .._base.arrays import beside, host_dtype, like, to_host
from .._base.blocks import by_blocks_of_rows, is_dask
from .._base.checks import check_array, check_count, check_generator, check_memory
from .._base.parameters import estimator
from .._base.samples import is_stream
from .._base.warning import warn_user
from ..coding import encode
from ..coding.competition import Competition, check_P_cum
from ..coding.parameters import PENALISED, Algorithm, Coding, Missing, check_l0
from ..images.patches import PatchShape, noise_patches
from ..learning.homeostasis import HEH2019, Fading, Plain, Rule, kind_of, make_rule, scale
from ..learning.optimizers import DecayLike, Newton, OptimizerName, Power, make_optimizer
from ..learning.replacement import ReplaceLike, Replacement
from ..learning.scaling import Whitening, evenness, whitening
from ..learning.state import Plan, State
from ..learning.stopping import Stopping
from .base import HebbianEstimator
from .sizes import MOST_ROWS, RELEARN, Size, choose, is_auto
from .sparse_coder import SparseTransformer

ADAM = ("eta", "beta1", "beta2", "epsilon")
DEFAULT_BATCH, MOST_BATCH = 256, 1024
GROWTH = (2, 0.5)  # from 2 coefficients on, over the first half of the steps
KAPPA = 16.0  # of streams
SHRINKAGE = 0.1
CLIP = 3.0  # median norms
LEAST_EVENNESS = 0.35  # of pixels: below, it pays to whiten
MOST_ATOMS = 64  # for each pixel: more are no longer a dictionary but a memory of the data


@estimator
class SparseHebbianLearning(SparseTransformer, HebbianEstimator):
    """Dictionary learning by sparse coding, homeostasis and a Hebbian gradient.

    Each step codes a batch X by at most l0_sparseness atoms a sample, X ~ A D, adapts the
    competition between atoms so that all keep being used, and moves the selected atoms::

        d_i <- d_i + sum_n a_ni (x_n - a_n D) / V_i;   d_i <- d_i / |d_i|

    with V_i a running sum of the squared coefficients of atom i.

    Parameters
    ----------
    n_dictionary : int or 'auto', optional
        Number of atoms.  If None, those of dict_init, or 2 n_pixels.  'auto' estimates it from the
        samples of `fit`, see `shl.select`.  The estimate takes several times as long as learning,
        and learns its dictionaries with default parameters and n_iter.
    learning_algorithm : str, optional
        'omp', 'mp', 'lars', 'lasso_lars', 'lasso_cd', 'elastic' or 'threshold': the coder, see
        `sparse_encode`.  None is 'omp', or 'mp' where do_sym, a precision or the rule needs it.
        Homeostasis biases 'mp', and 'omp' by rules with a gain.
    l0_sparseness : int or 'auto', optional
        Events a sample; None is n_pixels / 10, at least 1 and at most n_dictionary, and no limit
        where a penalty makes codes sparse.  'auto' estimates it, as n_dictionary.
    fit_tol : float, optional
        Its meaning depends on the coder::

            coder                               meaning     of              if None
            'mp', 'omp'                         tolerance   |x - code D|^2  l0_sparseness decides
            'lasso_lars', 'lasso_cd', 'elastic' penalty     |code|_1        a tenth of max |D x|
            'threshold'                         threshold   |D x|           none
            'lars'                              unused

        A tolerance has the unit of squared samples, a penalty and a threshold that of samples.
    transform_algorithm, transform_l0_sparseness, transform_fit_tol : optional
        Those of `transform`; None: those of learning, but for a sparseness and a tolerance that
        would mean something else, to a penalised coder or to a pursuit: the defaults.
    alpha_MP : float, default=1.0
        In (0, 1], the share of a coefficient that one step of pursuit takes.
    do_sym : bool, default=False
        True lets coefficients of pursuit be negative.
    positive_code : bool, default=False
        True keeps coefficients from being negative, also in 'lasso_lars', 'lasso_cd', 'elastic' and
        'threshold'; 'omp' and 'lars' cannot.
    positive_dict : bool, default=False
        True keeps atoms from having negative pixels, by projected steps.
    whiten : {'std', 'zca'}, optional
        Learn from whitened samples, for pixels of very different scale.  'std' divides each pixel
        by its standard deviation, 'zca' also removes correlations.  The atoms are mapped back:
        `transform` codes the samples as they are.  Learning copies X.
    missing : str, default='error'
        'mask' lets NaN mark missing entries: samples are coded, and atoms learned, by those that
        they have, by 'omp' only.  It takes several times as long.
    split_sign : bool, default=False
        True makes `transform` give positive coefficients, then the absolute values of negative
        ones, in twice the columns.
    n_iter : int, default=2000
        Number of samples to learn from, in batches of 256.  If batch_size is given, the number of
        steps.
    n_passes : float, optional
        Number of passes over the data, instead of n_iter.  `partial_fit` ignores it.
    batch_size : int, optional
        Number of samples of a step.  If None, 256 for 'adam', and for 'newton' the power of 2 that
        is at least 2 n_dictionary, within 256 to 1024.  It is never more than the samples.
    optimizer : {'newton', 'adam'}, default='newton'
        How atoms move.  'newton' divides the gradient of an atom by the sum of its squared
        coefficients, and lets the sparsity grow from 2 to l0_sparseness over the first half of the
        steps (`shl.learning.Newton`).  'adam' is the study's (`shl.learning.Adam`).
    eta : float, default=0.04
        Rate of 'adam'.
    eta_decay : (float, float), default=(0.6, 0.05)
        The rate of either optimizer is constant up to the first share of the steps.  Then it falls
        along a cosine to the second share of its value.  If None, and in `partial_fit`, which knows
        no end, it does not fall.
    beta1, beta2 : float, default=0.99
        Decays of 'adam'.  If beta1 is 0, atoms move along the plain gradient with the rate eta.
    epsilon : float, default=10
        Epsilon of 'adam' as a power, 10^-epsilon.
    homeo_method : str or Rule, default='HAP'
        A name in `shl.learning.RULES`, or a user-defined rule.
    eta_homeo : float, default=0.005
        Rate of the rule in [0, 1], for 256 samples, or for a step if batch_size is given.  HEH2019
        needs 0.005 or less in batches of 256.
    alpha_homeo : float, default=0.05
        Strength of the rule, in the meaning of each, see `shl.learning`.
    C : float, default=0.0
        Scale of coefficients in the histograms, in units of the samples.  0 adapts it to the data.
    nb_quant : int, default=128
        Number of points of a histogram.
    homeo_fade : (float, float), default=(0.3, 0.6)
        The rule fades to plain pursuit between these shares of n_iter, counted in steps since the
        first, also those of partial_fit (`shl.learning.Fading`); None lets it act throughout.
    replace : bool or Replacement, default=True
        Whether an atom that others explain is replaced by what is badly coded, and how; `fit` to
        fewer samples than atoms replaces none.
    do_precision : bool, default=False
        Learn the weights of each atom's pixels, 1 / variance of what the atom leaves over.
    eta_precision : float, default=0.0
        In [0, 1], the rate of that.
    one_over_F : bool, default=False
        True starts from patches of 1/f noise of the shape `patch_shape`, False from white noise.
    patch_shape : (int, int) or (int, int, int), optional
        Height and width in pixels of the patches that the samples are, and their number of
        channels, which come last.  If None, figures and 1/f noise take them for square and grey.
    dict_init, precision_init : array of shape (n_dictionary, n_pixels), optional
        Start values.
    P_cum_init : array of shape (n_dictionary, nb_quant), optional
        Start of the histograms.
    record_each : int, default=0
        Steps between records; 0 records nothing.
    record_num_batches : int, default=1024
        Samples that `fit` holds out of learning for the records, at most a fifth of them; 0 records
        a step's own batch, before the atoms move.
    tol : float, optional
        `fit` stops when the error on held-out samples, coded by plain pursuit, has not fallen by
        this share in n_iter_no_change passes (of at least 10 steps), and keeps the best dictionary.
        None never stops.  A resumed fit counts anew.
    n_iter_no_change : int, default=10
    validation_fraction : float, default=0.1
        Samples held out for that, at most 10000.
    sparse_output : bool, default=False
        True makes `transform` return a CSR array.
    random_state : int, Generator, RandomState or None, default=None
    n_jobs : int, optional
        Threads; None is 1, -1 all cores.  The result has the same bits for any number.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    components_ : array of shape (n_dictionary, n_pixels)
        The dictionary: rows of norm 1, float32 if X is, else float64.
    competition_ : Competition
        Under which the next batch would be coded: gain, P_cum, C.
    gain_ : array of shape (n_dictionary,) or None
        Its gain (None under HEH and HEH2019).
    P_cum_ : array of shape (n_dictionary, nb_quant)
        Distributions of the coefficients: a running mean with 'HEH', 'HEH2019', P_cum_init or
        records, else those of the last batch.
    C_ : float
        The scale of P_cum_: C, or what it has adapted to.
    precision_ : array of shape (n_dictionary, n_pixels) or None
    record_ : History
        Mapping from name to array, first axis the record; 'steps' the step of each (see
        `shl.learning.record`).
    n_iter_, n_steps_, n_features_in_ : int
        Steps taken, both; n_pixels.
    seconds_ : float
        CPU time of learning.
    n_dead_ : int
        Atoms that no sample of the last pass over the data selected.
    n_replaced_ : int
        Replacements of atoms so far.
    replaced_ : array of int
        The atoms that were replaced, each once.
    selection_ : Selection
        What 'auto' is based on, with its curve; `load` does not have it.
    l0_sparseness_ : int or None
        The l0_sparseness of learning, if a size is 'auto'.

    References
    ----------
    Perrinet (2019), An adaptive homeostatic algorithm for the unsupervised learning of visual
    features, Vision 3(3):47; Olshausen & Field (1997); Kingma & Ba (2015).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((500, 16))
    >>> model = SparseHebbianLearning(n_dictionary=20, l0_sparseness=3, n_iter=10)
    >>> model.set_params(random_state=0).fit_transform(X).shape
    (500, 20)
    """

    n_dictionary: Size | None = None
    _: KW_ONLY
    learning_algorithm: Algorithm | None = None
    l0_sparseness: Size | None = None
    fit_tol: constraints.NotNegative | None = None
    transform_algorithm: Algorithm | None = None
    transform_l0_sparseness: constraints.Count | None = None
    transform_fit_tol: constraints.NotNegative | None = None
    alpha_MP: constraints.PositiveShare = 1.0
    do_sym: constraints.Flag = False
    positive_code: constraints.Flag = False
    positive_dict: constraints.Flag = False
    whiten: Whitening | None = None
    missing: Missing = "error"
    split_sign: constraints.Flag = False
    n_iter: constraints.Count = 2000
    n_passes: constraints.Positive | None = None
    batch_size: constraints.Count | None = None
    optimizer: OptimizerName = "newton"
    eta: constraints.Positive = 0.04
    eta_decay: DecayLike | None = (0.6, 0.05)
    beta1: constraints.ShareBelowOne = 0.99
    beta2: constraints.ShareBelowOne = 0.99
    epsilon: Power = 10
    homeo_method: str | Rule | None = "HAP"
    eta_homeo: constraints.Share = 0.005
    alpha_homeo: constraints.Positive = 0.05
    C: constraints.NotNegative = 0.0
    nb_quant: constraints.Quantiles = 128
    homeo_fade: constraints.Interval | None = (0.3, 0.6)
    replace: ReplaceLike = True
    do_precision: constraints.Flag = False
    eta_precision: constraints.Share = 0.0
    one_over_F: constraints.Flag = False
    patch_shape: PatchShape | None = None
    dict_init: np.ndarray | None = None
    precision_init: np.ndarray | None = None
    P_cum_init: np.ndarray | None = None
    record_each: constraints.CountOrZero = 0
    record_num_batches: constraints.CountOrZero = 1024
    tol: constraints.ShareBelowOne | None = None
    n_iter_no_change: constraints.Count = 10
    validation_fraction: constraints.InnerShare = 0.1
    sparse_output: constraints.Flag = False
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0

    # ------------------------------------------------------------------------------ learning

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        on_step: Callable[[State], bool | None] | None = None,
        resume: State | None = None,
    ) -> Self:
        """Learn a dictionary from X by n_iter steps, or n_passes.

        With record_each or tol, random samples are held out of learning.

        Parameters
        ----------
        X : array of shape (n_samples, n_pixels), or an iterable of such arrays
            Memory maps and CSR arrays become dense batch by batch.  Masked entries count as NaN.
            An iterable yields batches: arrays, tensors, or pairs that begin with one, as a
            `DataLoader` of PyTorch does.  Each is learned from in its turn, in batches of at most
            batch_size, over and over (but an iterator once) until n_iter.  Nothing is held out.
        y : None
            Ignored.
        sample_weight : array of shape (n_samples,), optional
            How often each sample counts: in the mean gradient of its batch, in usage, histograms
            and records.  Integers equal repeated samples, up to rounding, where a batch holds all
            samples and no atom is replaced: both draw samples at random.
        on_step : callable, optional
            Called on_step(state) after each step: True stops with a fitted model; it may raise.
        resume : State, optional
            Where an earlier `fit` of the same parameters and data stopped; resumes bit-exactly.

        Returns
        -------
        self
        """
        if not self._auto_names():
            return self._fit(X, y, sample_weight, on_step, resume)
        model = copy(self)
        model._set_sizes(X)
        model._fit(X, y, sample_weight, on_step, resume)
        self._take_over(model)
        return self

    def _auto_names(self):
        """The names of the sizes that are 'auto'."""
        return [name for name in ("n_dictionary", "l0_sparseness") if is_auto(getattr(self, name))]

    def _size(self, name):
        """A size as a number or None; one that is 'auto' is that of the last `fit`."""
        if name not in self._auto_names():
            return getattr(self, name)
        if not hasattr(self, "components_"):
            raise ValueError(f"{name} is 'auto', but a number is required.  Call fit first.")
        if name == "n_dictionary":
            return len(self.components_)
        return getattr(self, "l0_sparseness_", None)  # which a file has if it is not the default

    def _set_sizes(self, X):
        """Set the sizes that are 'auto' to those that the samples show, or to their defaults."""
        constraints.check_fields(self)
        names = self._auto_names()
        if is_dask(X) or is_stream(X, self._n_axes) or self.missing == "mask":
            raise ValueError(
                f"{names[0]} is 'auto', but X is an iterable, or missing is 'mask'.  Pass a "
                f"number, such as `shl.select` finds for some samples."
            )
        if self.dict_init is not None and names[0] == "n_dictionary":
            raise ValueError("n_dictionary is 'auto', but dict_init has its atoms.  Use None.")
        samples, exponent = copy(self)._read_to_learn(X, reset=True)
        rng = check_generator(self.random_state, "random_state")
        self.selection_ = found = self._select(samples, rng)
        found.curve["sigma"] = np.ldexp(found.curve["sigma"], exponent)
        if not found.has_minimum:
            warn_user(
                f"The samples do not show {' and '.join(names)}: no description is the shortest.  "
                f"The default is used.  Pass a number."
            )
        for name in names:
            setattr(self, name, getattr(found, name) if found.has_minimum else None)
        self.l0_sparseness_ = self.l0_sparseness

    def _select(self, X, rng, guess=None):
        """Return the sizes that samples show, see `shl.select`; guess is the first n_dictionary."""
        is_free = guess is not None or is_auto(self.n_dictionary)
        if guess is None:
            guess = 4 * X.shape[1] if is_free else self._shape(X.shape)[0]
        first = self.l0_sparseness
        if first is None or isinstance(first, str):
            first = encode.default_sparseness(X.shape[1], guess)

        def learn(dict_init, **sizes):
            n_iter = self.n_iter if dict_init is None else max(1, self.n_iter // RELEARN)
            options = {"replace": dict_init is None, "dict_init": dict_init, "n_jobs": self.n_jobs}
            seed = int(rng.integers(2**31))
            model = SparseHebbianLearning(**sizes, **options, n_iter=n_iter, random_state=seed)
            return model.fit(X).components_

        rows = np.sort(rng.choice(len(X), min(len(X), MOST_ROWS), replace=False))
        return choose(to_host(X[rows]), learn, guess, first, is_free)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Go on from the current state with one pass over X, in batches of at most batch_size and
        as equal as they can be; one step if X is no more than one batch.  With record_each, a
        step's own batch is recorded before the atoms move.
        """
        return self._partial_fit(X, sample_weight)

    def plan(self, shape: tuple, dtype: DTypeLike, n_steps: int | None = None) -> Plan:
        """The validated `shl.learning.Plan` of the parameters, to learn from samples (n_samples,
        n_pixels) of a dtype in n_steps; None has no end.
        """
        constraints.check_fields(self)
        if self.patch_shape is not None and np.prod(self.patch_shape) != shape[1]:
            raise ValueError(
                f"patch_shape must have as many pixels as a sample, {shape[1]}, not "
                f"{self.patch_shape!r}"
            )
        n_dictionary = self._shape(shape)[0]
        coding = self._coding(shape[1], n_dictionary)
        coding.check_fits(n_dictionary)
        check_l0(self.transform_l0_sparseness, n_dictionary, "transform_l0_sparseness")
        if self.whiten is not None:
            self._check_whitens()
        if self.do_precision and coding.algorithm != "mp":
            raise ValueError(
                f"do_precision needs learning_algorithm='mp', not {coding.algorithm!r}"
            )
        batch_size = self._batch_size(shape)
        # The histograms, a batch's counts and their distribution.
        check_memory(24 * n_dictionary * int(self.nb_quant), "nb_quant", self.nb_quant)
        P_cum = self._start_histograms(n_dictionary, dtype)
        n_batches, rate = shape[0] // batch_size, self._homeo_rate(shape)
        rule = self._make_rule(n_batches, P_cum, rate)
        rule = self._heeded(
            rule, n_dictionary, coding.algorithm, n_steps or self._steps_of_n_iter(shape)
        )
        changes = self._changes(n_steps)
        if self._is_newton:
            limit = None if coding.fit_tol is not None else coding.l0_sparseness
            kappa = KAPPA if n_steps is None else None
            optimizer = Newton(limit, kappa, shrinkage=SHRINKAGE)
            if changes["replacement"] and not isinstance(self.replace, Replacement):
                changes["replacement"] = changes["replacement"].in_steps_of(
                    self._batches_in_step(shape)
                )
            changes |= {"growth": None if limit is None else GROWTH, "clip": CLIP}
        else:
            optimizer = make_optimizer(self.eta, self.beta1, self.beta2, self.epsilon)
        return Plan(
            coding=coding,
            rule=rule,
            optimizer=optimizer,
            batch_size=batch_size,
            recording=self._recording(),
            observer=HEH2019(rate, self.C, self.nb_quant, P_cum),
            eta_precision=self.eta_precision if self.do_precision else None,
            positive_dict=bool(self.positive_dict),
            **changes,
        )

    def _check_whitens(self):
        """An error for what whitened samples do not have."""
        refused = {"do_precision": bool(self.do_precision)}
        if self.whiten == "zca":
            refused |= {"positive_dict": bool(self.positive_dict)}
            refused |= {"missing='mask'": self.missing == "mask"}
        for name in (name for name, is_given in refused.items() if is_given):
            raise ValueError(
                f"whiten={self.whiten!r} is not possible with {name}. Use whiten=None"
                f"{' or std' * (self.whiten == 'zca' and name != 'do_precision')}."
            )

    @property
    def _is_newton(self):
        """Whether atoms move by Newton's step; the parameters of Adam then have no effect."""
        return self.optimizer == "newton"

    def _plan_fit(self, shape, dtype, n_steps):
        """The plan to learn from all samples there are; none are left to replace atoms by where
        there are fewer than atoms, which then know them by heart.
        """
        plan = self.plan(shape, dtype, n_steps)
        return plan if shape[0] >= self._shape(shape)[0] else replace(plan, replacement=None)

    def _whitening(self, X, rows, weight):
        """Return what whitens samples, or None; a warning if it would help."""
        if self.whiten is not None:
            return whitening(X, self.whiten, rows, weight)
        if (even := evenness(X, rows)) < LEAST_EVENNESS:
            warn_user(
                f"The pixels of X have very different scales: the largest variances are those of "
                f"{even:.0%} of the pixels. Pass whiten='std' or 'zca', which may find other "
                f"atoms, or scale X."
            )
        return None

    def _batch_size(self, shape):
        """Return the number of samples of a step.

        The default is 256 for Adam.  A Gram matrix costs as much as the correlations of
        n_dictionary samples: Newton's step takes the power of 2 from twice as many on, up to 1024.
        """
        size = self.batch_size
        if size is None:
            most = MOST_BATCH if self._is_newton else DEFAULT_BATCH
            wanted = np.clip(2 * self._shape(shape)[0], DEFAULT_BATCH, most)
            size = min(1 << int(np.ceil(np.log2(wanted))), shape[0])
        return check_count(size, "batch_size", most=shape[0], why="the samples to learn from")

    def _batches_in_step(self, shape):
        """Return how many batches of 256 samples a step stands for; 1 if batch_size is given."""
        return 1 if self.batch_size is not None else max(1, self._batch_size(shape) / DEFAULT_BATCH)

    def _homeo_rate(self, shape):
        """Return eta_homeo for the samples of a step."""
        n = self._batches_in_step(shape)
        return self.eta_homeo if n == 1 else 1 - (1 - self.eta_homeo) ** n

    def _steps_of_n_iter(self, shape):
        """Return n_iter in steps."""
        return max(1, round(self.n_iter / self._batches_in_step(shape)))

    def _n_steps(self, shape, is_stream=False):
        """Return the steps of n_iter, or of n_passes, which a stream does not know."""
        if self.n_passes is None:
            return self._steps_of_n_iter(shape)
        if is_stream:
            raise ValueError(f"n_passes must be None if X is an iterable, not {self.n_passes!r}")
        return max(1, round(self.n_passes * shape[0] / self._batch_size(shape)))

    def _warn_unused(self):
        """Warn of parameters that were set, by their values, and that have no effect."""
        is_own = not isinstance(self.homeo_method, str | None)
        algorithm = self.learning_algorithm
        pairs = {
            ("eta_homeo", "alpha_homeo"): is_own and "homeo_method is a rule, which has its own",
            ADAM: self.optimizer == "newton" and "optimizer='newton' has no rate. Use 'adam'",
            ("alpha_MP", "do_sym"): algorithm not in (None, "mp")
            and f"learning_algorithm is {algorithm!r}, not 'mp'",
            ("eta_precision",): not self.do_precision and "do_precision is False",
            ("n_iter",): self.n_passes is not None and "n_passes is given",
            ("n_iter_no_change", "validation_fraction"): self.tol is None and "tol is None",
        }
        defaults = getattr(self, "_defaults", {})
        for names, reason in pairs.items():
            for name in names if reason else ():
                value, default = getattr(self, name), getattr(type(self), name, None)
                if value not in (default, defaults.get(name, default)):
                    warn_user(f"{name}={value!r} has no effect because {reason}.")

    def _stopping(self):
        return Stopping(self.tol, self.n_iter_no_change, self.validation_fraction)

    def _coding(self, n_pixels, n_dictionary):
        """How samples of so many pixels are coded by so many atoms."""
        algorithm = self.learning_algorithm
        if algorithm is None:
            needs_mp = self.do_precision or self.do_sym or self.positive_code
            needs_mp = needs_mp or self.precision_init is not None
            needs_mp = needs_mp or kind_of(self._make_rule(), n_dictionary) == "table"
            algorithm = "mp" if needs_mp else "omp"
        default = encode.default_sparseness(n_pixels, n_dictionary)
        l0_sparseness = self._size("l0_sparseness")
        return Coding(
            algorithm=algorithm,
            l0_sparseness=encode.limit_sparseness(l0_sparseness, default, algorithm, self.fit_tol),
            fit_tol=self.fit_tol,
            alpha_MP=self.alpha_MP,
            do_sym=self.do_sym,
            positive_code=self.positive_code,
            missing=self.missing,
        )

    def _shape(self, shape):
        """(n_dictionary, n_pixels)."""
        n_pixels = shape[1]
        n_dictionary = self._size("n_dictionary")
        if n_dictionary is None:
            n_dictionary = 2 * n_pixels if self.dict_init is None else len(self.dict_init)
        why = f"{MOST_ATOMS} for each of {n_pixels} pixels"
        return check_count(
            n_dictionary, "n_dictionary", most=MOST_ATOMS * n_pixels, why=why
        ), n_pixels

    @staticmethod
    def _check_atoms(dictionary):
        """An error for a dictionary from disk that has other axes than (n_dictionary, n_pixels)."""
        check_array(dictionary, "dictionary", ndim=2)

    def _start_histograms(self, n_dictionary, dtype):
        """P_cum_init as an array, or None."""
        if self.P_cum_init is None:
            return None
        if self.C == 0:
            raise ValueError(
                "P_cum_init needs the C of its scale, above 0, not C = 0, which adapts to "
                "the data. Pass C=model.C_."
            )
        P_cum = to_host(self.P_cum_init)
        return check_P_cum(P_cum, "P_cum_init", n_dictionary, self.nb_quant, dtype)

    def _make_rule(self, n_batches=1, P_cum=None, rate=None):
        """The rule of homeostasis by itself; rate is eta_homeo for the samples of a step."""
        return make_rule(
            self.homeo_method,
            eta_homeo=self.eta_homeo if rate is None else rate,
            alpha_homeo=self.alpha_homeo,
            C=self.C,
            nb_quant=self.nb_quant,
            P_cum=P_cum,
            n_batches=n_batches,
        )

    def _heeded(self, rule, n_dictionary, algorithm, n_steps):
        """Return the rule as the coder can use it, fading if homeo_fade says so."""
        kinds = encode.HEEDED[algorithm]
        kind = kind_of(rule, n_dictionary)
        if kind != "plain" and kind not in kinds and rule is not self.homeo_method:
            warn_user(
                f"homeo_method={self.homeo_method!r} is ignored because learning_algorithm="
                f"{algorithm!r} does not support it. Use 'mp', or pass homeo_method='None'."
            )
            return Plain()
        if self.homeo_fade is None or kind == "plain":
            return rule
        start, stop = self.homeo_fade
        return Fading(rule, start * n_steps, stop * n_steps)

    def _start_dictionary(self, X, plan, rng):
        """dict_init, or white noise, or patches of 1/f noise; precision_init as variances."""
        shape = self._shape(X.shape)
        dtype = host_dtype(X)
        dictionary = self._check_start(shape, dtype)
        if dictionary is None:
            is_noise = self.one_over_F
            drawn = self._draw_noise(shape, rng) if is_noise else rng.standard_normal(shape)
            dictionary = drawn.astype(dtype)
        if self.positive_dict:
            if self.dict_init is not None and dictionary.min() < 0:
                raise ValueError(
                    f"dict_init must be at least 0 with positive_dict, not {dictionary.min():.3g}"
                )
            dictionary = np.abs(dictionary)  # noise loses its signs
        precision = to_host(self.precision_init)
        precision = encode.check_precision(precision, shape, dtype, "precision_init")
        return dictionary, None if precision is None else 1 / precision

    def _draw_noise(self, shape, rng):
        """Draw patches of 1/f noise."""
        n_dictionary, n_pixels = shape
        side = round(n_pixels**0.5)
        if self.patch_shape is None and side**2 != n_pixels:
            raise ValueError(
                f"one_over_F needs square patches, but samples have {n_pixels} pixels. Pass "
                "patch_shape, or one_over_F=False."
            )
        height, width, *channels = self.patch_shape or (side, side)
        noise = [
            noise_patches(n_dictionary, width, rng, patch_height=height)
            for _ in range(*channels or (1,))
        ]
        return np.stack(noise, axis=2).reshape(shape)

    def _set_fitted(self, state, competition):
        """The fitted attributes that are parts of the state."""
        self.precision_, self.n_features_in_ = state.precision, state.dictionary.shape[1]
        self.P_cum_, self.C_ = state.histogram["P_cum"], scale(state.histogram)
        return super()._set_fitted(state, competition)

    # ------------------------------------------------------------------------------ coding

    @by_blocks_of_rows
    def transform(
        self,
        X: Any,
        *,
        algorithm: str | None = None,
        l0_sparseness: int | None = None,
        fit_tol: float | None = None,
        alpha_MP: float | None = None,
        competition: Competition | None = None,
        gain: Any = None,
        P_cum: Any = None,
    ) -> Any:
        """Code X by plain pursuit, or under a competition.

        Parameters
        ----------
        X : array of shape (n_samples, n_pixels)
        algorithm, l0_sparseness, fit_tol, alpha_MP : optional
            See `shl.sparse_encode`; None: the transform_... of the model.
        competition : Competition, optional
            `model.competition_` is that of learning; or one of the next two.
        gain : array of shape (n_dictionary,), optional
        P_cum : array of shape (n_dictionary, nb_quant), optional
            With the scale C_.

        Returns
        -------
        code : array or CSR array of shape (n_samples, n_dictionary)
            CSR with sparse_output; (n_samples, 2 n_dictionary) with split_sign.
        """
        check_is_fitted(self)
        given, (X, _) = X, self._read(X, reset=False, exponent=0)
        how = self._transform_coding(algorithm, l0_sparseness, fit_tol)
        code = encode.sparse_encode(
            X,
            beside(self.components_, X),
            precision=beside(self.precision_, X) if how.algorithm == "mp" else None,
            algorithm=how.algorithm,
            l0_sparseness=how.l0_sparseness,
            fit_tol=how.fit_tol,
            alpha_MP=how.alpha_MP if alpha_MP is None else alpha_MP,
            competition=competition,
            gain=gain,
            P_cum=P_cum,
            C=None if P_cum is None else self.C_,
            do_sym=how.do_sym,
            positive_code=how.positive_code,
            missing=how.missing,
            sparse_output=self.sparse_output,
            n_jobs=self.n_jobs,
        )
        return like(self._split(code), given)

    def _transform_coding(self, algorithm, l0_sparseness, fit_tol):
        """How `transform` codes, by its arguments, by the transform_... or as learning does."""
        constraints.check_fields(self)
        n_dictionary = len(self.components_)
        check_l0(self.transform_l0_sparseness, n_dictionary, "transform_l0_sparseness")
        learned = self._coding(self.n_features_in_, n_dictionary)
        name = algorithm or self.transform_algorithm or learned.algorithm
        if l0_sparseness is None:
            l0_sparseness = self.transform_l0_sparseness
        if fit_tol is None:
            fit_tol = self.transform_fit_tol
        has_penalty, had_penalty = (
            how in (*PENALISED, "threshold") for how in (name, learned.algorithm)
        )
        if has_penalty == had_penalty:  # else neither means the same
            l0_sparseness = self._size("l0_sparseness") if l0_sparseness is None else l0_sparseness
            fit_tol = learned.fit_tol if fit_tol is None else fit_tol
        default = encode.default_sparseness(self.n_features_in_, n_dictionary)
        l0_sparseness = encode.limit_sparseness(l0_sparseness, default, name, fit_tol)
        return replace(learned, algorithm=name, l0_sparseness=l0_sparseness, fit_tol=fit_tol)

    def _atoms(self):
        check_is_fitted(self)
        return self.components_

    # ------------------------------------------------------------------------ the Annex's names

    @property
    def precision(self) -> np.ndarray | None:
        """precision_."""
        return self.precision_

    @property
    def P_cum(self) -> np.ndarray:
        """P_cum_."""
        return self.P_cum_
