"""SparseHebbianLearning: the scikit-learn estimator."""

import logging
import warnings

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm.auto import tqdm

from . import coding, learning, store
from ._checks import (
    check_array,
    check_count,
    check_flag,
    check_generator,
    check_interval,
    check_number,
)
from ._threads import Threads
from .homeostasis import HEH, Fading, Plain, make_rule, scale
from .images import noise_patches

logger = logging.getLogger("shl")

FILE_KIND = "SparseHebbianLearning"
DEFAULT_BATCH = 256
MOST_ATOMS = 64  # for each pixel: more are no longer a dictionary but a memory of the data


class SparseHebbianLearning(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Dictionary learning by sparse coding, homeostasis and a Hebbian gradient.

    Each step codes a batch X by at most l0_sparseness atoms a sample, X ~ A D, adapts the
    competition between atoms so that all keep being used, and moves the atoms that were picked::

        D <- D + eta step(A^T (X - A D) / batch_size);   d_i <- d_i / |d_i|

    Parameters
    ----------
    n_dictionary : int, optional.  Atoms; None is 2 n_pixels.
    learning_algorithm : 'mp', 'omp', 'lars', 'lasso_lars', 'lasso_cd', 'elastic' or 'threshold':
        the coder, see `sparse_encode`.  Homeostasis biases 'mp', and 'omp' by rules with a gain.
    l0_sparseness : int, optional.  Events a sample; None is n_pixels / 10.
    fit_tol : float, optional.  Tolerance of a pursuit, penalty or threshold of the other coders.
    alpha_MP : float in (0, 1].  Share of a coefficient that one step of pursuit takes.
    do_sym : bool.  True lets coefficients of pursuit be negative.
    n_iter : int.  Steps, each on one batch.
    batch_size : int, optional.  Samples of a step; None is 256, or all samples where they are
        fewer.
    eta, beta1, beta2, epsilon : floats.  Adam's rate, its decays, and epsilon as a power,
        10^-epsilon; beta1 = 0 is the plain gradient with the rate eta.
    homeo_method : 'None', 'OLS', 'EMP', 'HAP', 'EXP', 'eHAP', 'HEH', or a rule of one's own
        (`shl.homeostasis`).
    eta_homeo : float in [0, 1].  Rate of the rule, a step; HEH needs .005 or less in batches of
        256.
    alpha_homeo, C, nb_quant : parameters of the rule, see `shl.homeostasis`; C = 0 adapts to the
        data.
    homeo_fade : (start, stop), optional.  The rule fades to plain pursuit between these shares of
        n_iter, counted in steps since the first, also those of partial_fit
        (`shl.homeostasis.Fading`); None lets it act throughout.
    do_precision, eta_precision : bool, float in [0, 1].  Learn the weights of each atom's pixels, 1
        / variance of what the atom leaves over, at this rate.
    one_over_F : bool.  True starts from patches of 1/f noise (n_pixels must be a square), False
        from white noise.
    dict_init, precision_init : arrays (n_dictionary, n_pixels), optional.  Start values.
    P_cum_init : array (n_dictionary, nb_quant), optional.  Start of the histograms.
    record_each : int.  Steps between records; 0 records nothing.
    record_num_batches : int.  Samples that are held out of learning for the records.
    sparse_output : bool.  True makes `transform` return a CSR array.
    random_state : int, Generator, RandomState or None.
    n_jobs : int, optional.  Threads; None is 1, -1 all cores.  The result has the same bits for any
        number.
    verbose : int.  1 shows a progress bar.

    Attributes
    ----------
    components_ : array (n_dictionary, n_pixels), the dictionary: rows of norm 1, float32 if X is,
        else float64.
    competition_ : `shl.coding.Competition`, under which the next batch would be coded: gain, P_cum,
        C.
    gain_ : array (n_dictionary,) or None.  Its gain (None under HEH).
    P_cum_ : array (n_dictionary, nb_quant), the distributions of the coefficients, followed under
        every rule.
    C_ : float, the scale of P_cum_: C, or what it has adapted to.
    precision_ : array (n_dictionary, n_pixels) or None.
    record_ : mapping from name to array, first axis the record; 'steps' the step of each (see
        `shl.learning.record`).
    n_iter_ : int, steps taken.   n_features_in_ : int, n_pixels.
    seconds_ : float, CPU time of learning.
    n_dead_ : int, atoms that no sample of the last pass over the data selected.

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

    def __init__(
        self,
        n_dictionary=None,
        *,
        learning_algorithm="mp",
        l0_sparseness=None,
        fit_tol=None,
        alpha_MP=1.0,
        do_sym=False,
        n_iter=1000,
        batch_size=None,
        eta=0.02,
        beta1=0.99,
        beta2=0.99,
        epsilon=10,
        homeo_method="HAP",
        eta_homeo=0.005,
        alpha_homeo=0.05,
        C=3.0,
        nb_quant=128,
        homeo_fade=None,
        do_precision=False,
        eta_precision=0.0,
        one_over_F=False,
        dict_init=None,
        precision_init=None,
        P_cum_init=None,
        record_each=0,
        record_num_batches=1024,
        sparse_output=False,
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.n_dictionary = n_dictionary
        self.learning_algorithm = learning_algorithm
        self.l0_sparseness = l0_sparseness
        self.fit_tol = fit_tol
        self.alpha_MP = alpha_MP
        self.do_sym = do_sym
        self.n_iter = n_iter
        self.batch_size = batch_size
        self.eta = eta
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.homeo_method = homeo_method
        self.eta_homeo = eta_homeo
        self.alpha_homeo = alpha_homeo
        self.C = C
        self.nb_quant = nb_quant
        self.homeo_fade = homeo_fade
        self.do_precision = do_precision
        self.eta_precision = eta_precision
        self.one_over_F = one_over_F
        self.dict_init = dict_init
        self.precision_init = precision_init
        self.P_cum_init = P_cum_init
        self.record_each = record_each
        self.record_num_batches = record_num_batches
        self.sparse_output = sparse_output
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # ------------------------------------------------------------------------------------- learning

    def fit(self, X, y=None, *, on_step=None, resume=None):
        """Learn a dictionary from X (n_samples, n_pixels) by n_iter steps.

        With record_each, record_num_batches random samples are held out of learning for the
        records.

        Parameters
        ----------
        on_step : callable, optional.  on_step(state) after each step (a `shl.learning.State`); it
            may raise to stop.
        resume : State, optional.  Where an earlier `fit` of the same parameters and data stopped:
            goes on bit-exactly.

        Returns
        -------
        self
        """
        X = self._validate(X, reset=True)
        n_held_out = self._n_held_out(len(X))
        plan = self._plan((len(X) - n_held_out, X.shape[1]), X.dtype)
        rng = check_generator(self.random_state, "random_state")
        seed, held_out = int(rng.integers(2**63)), None
        if n_held_out:
            order = rng.permutation(len(X))
            held_out, X = X[np.sort(order[:n_held_out])], X[np.sort(order[n_held_out:])]
        state = resume if resume is not None else self._start(X, plan, seed, rng)
        learning.check_state(state, plan)
        with Threads(self.n_jobs) as threads, self._progress(state.step) as bar:

            def step_done(state):
                bar.update()
                if on_step is not None:
                    on_step(state)

            learning.learn(X, state, plan, self.n_iter, threads, held_out, step_done)
        return self._adopt(state, plan, passes_of=len(X))

    def partial_fit(self, X, y=None):
        """Go on from the current state with one pass over X in batches of batch_size; one step if X
        is one batch.
        """
        is_first = not hasattr(self, "components_")
        X = self._validate(X, reset=is_first)
        plan, rng = self._plan(X.shape, X.dtype), check_generator(self.random_state, "random_state")
        if is_first:
            self._state = self._start(X, plan, int(rng.integers(2**63)), rng)
        learning.check_state(self._state, plan)
        with Threads(self.n_jobs) as threads:
            for rows in learning.one_pass(len(X), plan.batch_size, self._state):
                learning.advance(X, rows, self._state, plan, threads)
        return self._adopt(self._state, plan, passes_of=len(X))

    def _validate(self, X, reset):
        """X as a finite float array, C-ordered where it has to be converted."""
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            ensure_min_samples=1,
        )
        check_array(X, "X", ndim=2)
        return X

    def _n_atoms(self, n_pixels):
        return 2 * n_pixels if self.n_dictionary is None else self.n_dictionary

    def _n_held_out(self, n_samples):
        """How many of the samples of `fit` are kept for the records."""
        check_count(self.record_each, "record_each", least=0)
        check_count(self.record_num_batches, "record_num_batches")
        if self.record_each and self.record_num_batches >= n_samples:
            raise ValueError(
                f"record_num_batches = {self.record_num_batches} must be below the {n_samples} "
                f"samples "
                f"of X, of which it holds out as many for the records"
            )
        return self.record_num_batches if self.record_each else 0

    def _sizes(self, shape):
        """(n_dictionary, l0_sparseness, batch_size) with their defaults, to learn from samples of
        this shape.
        """
        n_samples, n_pixels = shape
        n_dictionary = self._n_atoms(n_pixels)
        check_count(
            n_dictionary,
            "n_dictionary",
            least=1,
            most=MOST_ATOMS * n_pixels,
            why=f"{MOST_ATOMS} for each of {n_pixels} pixels",
        )
        l0_sparseness = max(1, n_pixels // 10) if self.l0_sparseness is None else self.l0_sparseness
        batch_size = min(DEFAULT_BATCH, n_samples) if self.batch_size is None else self.batch_size
        check_count(batch_size, "batch_size", most=n_samples, why="the samples to learn from")
        return n_dictionary, l0_sparseness, batch_size

    def _plan(self, shape, dtype):
        """The validated `Plan` of these parameters to learn from samples of this shape and
        dtype.
        """
        check_count(self.n_iter, "n_iter")
        n_dictionary, l0_sparseness, batch_size = self._sizes(shape)
        coding.check_coding(
            self.learning_algorithm,
            l0_sparseness,
            self.fit_tol,
            self.alpha_MP,
            n_dictionary,
            prefix="learning_",
        )
        check_number(self.eta, "eta", above=0)
        check_number(self.beta1, "beta1", least=0, below=1)
        check_number(self.beta2, "beta2", least=0, below=1)
        check_number(self.epsilon, "epsilon", least=0, most=300)
        check_number(self.eta_precision, "eta_precision", least=0, most=1)
        check_number(self.C, "C", least=0)
        check_count(self.nb_quant, "nb_quant", least=2)
        for name in ("do_sym", "do_precision", "one_over_F", "sparse_output"):
            check_flag(getattr(self, name), name)
        if self.do_precision and self.learning_algorithm != "mp":
            raise ValueError(
                f"do_precision needs learning_algorithm='mp', not {self.learning_algorithm!r}"
            )
        check_number(self.alpha_homeo, "alpha_homeo", above=0)
        P_cum = (
            None
            if self.P_cum_init is None
            else coding.check_P_cum(
                self.P_cum_init, "P_cum_init", n_dictionary, self.nb_quant, dtype
            )
        )
        if P_cum is not None and self.C == 0:
            raise ValueError(
                "P_cum_init needs the C of its scale, above 0, not C = 0 which adapts to the data"
            )
        rule = self._make_rule(P_cum)
        return learning.Plan(
            rule,
            self.learning_algorithm,
            l0_sparseness,
            self.fit_tol,
            self.alpha_MP,
            bool(self.do_sym),
            self.eta,
            self.beta1,
            self.beta2,
            self.epsilon,
            self.eta_homeo,
            self.C,
            self.nb_quant,
            bool(self.do_precision),
            self.eta_precision,
            batch_size,
            self.record_each,
            P_cum,
        )

    def _make_rule(self, P_cum=None, warns=True):
        """The rule of homeostasis, as the coder can use it and fading where that is asked for."""
        rule = make_rule(
            self.homeo_method, self.eta_homeo, self.alpha_homeo, self.C, self.nb_quant, P_cum
        )
        if self.learning_algorithm != "mp" and not isinstance(rule, Plain):
            rule = self._drop_idle(rule, warns)
        if self.homeo_fade is None or isinstance(rule, Plain):
            return rule
        start, stop = check_interval(self.homeo_fade, "homeo_fade", least=0, most=1)
        return Fading(rule, start * self.n_iter, stop * self.n_iter)

    def _drop_idle(self, rule, warns):
        """The rule, or none with a warning where the coder has no competition that it could
        bias.
        """
        if self.learning_algorithm == "omp" and not isinstance(rule, HEH):
            return rule
        if warns:
            warnings.warn(
                f"homeo_method={self.homeo_method!r} has no effect with learning_algorithm="
                f"{self.learning_algorithm!r}; homeo_method='None' says so",
                stacklevel=5,
            )
        return Plain()

    def _check_start(self, name, dtype, shape):
        """The start value of a parameter as an array of this shape, or None."""
        value = getattr(self, name)
        return None if value is None else check_array(value, name, ndim=2, dtype=dtype, shape=shape)

    def _start(self, X, plan, seed, rng):
        """The state before the first step."""
        shape = (self._n_atoms(X.shape[1]), X.shape[1])
        dictionary = self._check_start("dict_init", X.dtype, shape)
        if dictionary is None:
            dictionary = self._draw_dictionary(*shape, rng).astype(X.dtype)
        elif not np.linalg.norm(dictionary, axis=1).all():
            raise ValueError("dict_init must have no row of zeros, an atom must have a direction")
        precision = coding.check_precision(self.precision_init, shape, X.dtype, "precision_init")
        return learning.start(dictionary, plan, seed, None if precision is None else 1 / precision)

    def _draw_dictionary(self, n_dictionary, n_pixels, rng):
        """White noise, or patches of 1/f noise."""
        if not self.one_over_F:
            return rng.standard_normal((n_dictionary, n_pixels))
        width = round(n_pixels**0.5)
        if width**2 != n_pixels:
            raise ValueError(
                f"one_over_F must be False where samples are not square patches: {n_pixels} pixels"
            )
        return noise_patches(n_dictionary, width, rng)

    def _progress(self, first):
        """A progress bar over the steps, shown if verbose."""
        return tqdm(
            total=self.n_iter, initial=first, desc="learning", unit="step", disable=not self.verbose
        )

    def _adopt(self, state, plan, passes_of):
        """The fitted attributes of a state."""
        self._show(state, plan.rule.competition(state.homeostasis))
        last_pass = state.step - max(1, passes_of // plan.batch_size)
        self.n_dead_ = int((state.last_selected <= max(0, last_pass)).sum())
        if self.n_dead_:
            logger.info(
                "%d of %d atoms were not selected in the last pass",
                self.n_dead_,
                len(self.components_),
            )
        return self

    def _show(self, state, competition):
        """The fitted attributes that are parts of the state."""
        self._state, self.competition_, self.gain_ = state, competition, competition.gain
        self.components_, self.precision_ = state.dictionary, state.precision
        self.P_cum_, self.C_ = state.histogram["P_cum"], scale(state.histogram)
        self.record_, self.n_iter_, self.seconds_ = state.record, state.step, state.seconds
        self.n_features_in_ = state.dictionary.shape[1]

    # --------------------------------------------------------------------------------------- coding

    def transform(
        self,
        X,
        *,
        algorithm=None,
        l0_sparseness=None,
        fit_tol=None,
        alpha_MP=None,
        gain=None,
        P_cum=None,
    ):
        """Code X (n_samples, n_pixels) by plain pursuit, or under a competition: gain=model.gain_,
        P_cum=model.P_cum_.

        What is not given is as in learning; see `sparse_encode`.  Returns an array (n_samples,
        n_dictionary), or a CSR array with sparse_output.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        algorithm = algorithm or self.learning_algorithm
        return coding.sparse_encode(
            X,
            self.components_,
            algorithm=algorithm,
            precision=self.precision_ if algorithm == "mp" else None,
            l0_sparseness=self._sparseness() if l0_sparseness is None else l0_sparseness,
            fit_tol=self.fit_tol if fit_tol is None else fit_tol,
            alpha_MP=self.alpha_MP if alpha_MP is None else alpha_MP,
            gain=gain,
            P_cum=P_cum,
            C=self.C_,
            do_sym=self.do_sym,
            sparse_output=self.sparse_output,
            n_jobs=self.n_jobs,
        )

    def _sparseness(self):
        return (
            max(1, self.n_features_in_ // 10) if self.l0_sparseness is None else self.l0_sparseness
        )

    def inverse_transform(self, code):
        """The patches that a code (n_samples, n_dictionary), dense or sparse, stands for: code @
        components_.
        """
        check_is_fitted(self)
        if getattr(code, "ndim", 2) != 2 or np.shape(code)[1] != len(self.components_):
            raise ValueError(
                f"code must have shape (n_samples, {len(self.components_)}), not {np.shape(code)}"
            )
        return code @ self.components_

    @property
    def _n_features_out(self):
        return len(self.components_)

    # ---------------------------------------------------------------------------- the Annex's names

    @property
    def dictionary(self):
        """components_."""
        return self.components_

    @property
    def precision(self):
        """precision_."""
        return self.precision_

    @property
    def P_cum(self):
        """P_cum_."""
        return self.P_cum_

    @property
    def record(self):
        """record_."""
        return self.record_

    # ----------------------------------------------------------------------------------------- disk

    def save(self, path):
        """Write the parameters and the whole learned state to path (npz, no pickle); `load` reads
        it.
        """
        check_is_fitted(self)
        store.write_model(
            path,
            FILE_KIND,
            self,
            learning.to_arrays(self._state),
            starts=("dict_init", "precision_init", "P_cum_init"),
            competition={"gain": self.competition_.gain, "P_cum": self.competition_.P_cum},
            n_dead_=self.n_dead_,
            seconds=self.seconds_,
            metrics=self.record_.last(),
        )

    @classmethod
    def load(cls, path, homeo_method=None):
        """The fitted model that `save` wrote to path.

        homeo_method gives a rule of one's own again, which cannot be written to a file; without it,
        such a model codes as before, but cannot learn on.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is damaged or something else.
        """
        parameters, arrays, info, own = store.read_model(path, FILE_KIND, homeo_method)
        model, state = cls(**parameters), learning.from_arrays(arrays, info["state"])
        competition = (
            model._make_rule(warns=False).competition(state.homeostasis)
            if own is None
            else coding.Competition(**own, C=scale(state.histogram))
        )
        model._show(state, competition)
        model.n_dead_ = info["n_dead_"]
        return model
