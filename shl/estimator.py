"""SparseHebbianLearning, the scikit-learn estimator, and what it shares with that of images."""

import logging
import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm.auto import tqdm

from . import coding, learning, store
from ._checks import (
    check_array,
    check_choice,
    check_count,
    check_flag,
    check_generator,
    check_interval,
    check_number,
)
from ._threads import Threads
from .coding import Coding, Competition
from .homeostasis import HEH2019, Fading, Plain, Rule, kind_of, make_rule, scale
from .images import noise_patches
from .learning import Plan, Recording, State
from .optimizers import Decay, make_optimizer
from .replacement import Replacement

logger = logging.getLogger("shl")

DEFAULT_BATCH = 256
ENERGY_ROWS = 4096  # of the data, from which its mean square is estimated
MOST_ATOMS = 64  # for each pixel: more are no longer a dictionary but a memory of the data


class HebbianEstimator(TransformerMixin, BaseEstimator):
    """What the estimators of patches and of images share: learning, stopping and going on, disk.

    A subclass gives `plan`, `_validate`, `_shape` and `_start_dictionary`, and may extend
    `_set_fitted`.
    """

    @abstractmethod
    def plan(self, shape: tuple, dtype, n_steps: int | None = None) -> Plan:
        """The validated `shl.learning.Plan` of the parameters, to learn from samples of a shape."""

    @abstractmethod
    def _validate(self, X, reset):
        """X as a finite float array of samples; reset: it may have another shape than before."""

    @abstractmethod
    def _shape(self, shape):
        """The dictionary's shape, for samples of this shape."""

    @abstractmethod
    def _start_dictionary(self, X, plan, rng):
        """(dictionary, variance or None) before the first step."""

    # ------------------------------------------------------------------------------ learning

    def fit(
        self,
        X,
        y=None,
        *,
        on_step: Callable[[State], None] | None = None,
        resume: State | None = None,
    ):
        """Learn a dictionary from X by n_iter steps.

        With record_each, record_num_batches random samples are held out of learning for the
        records.

        Parameters
        ----------
        X : array of shape (n_samples, n_pixels), or of images
        y : None
            Ignored.
        on_step : callable, optional
            on_step(state) after each step; it may raise to stop.
        resume : State, optional
            Where an earlier `fit` of the same parameters and data stopped: goes on bit-exactly.

        Returns
        -------
        self
        """
        X = self._validate(X, reset=True)
        n_held_out = self._recording().hold_out(len(X))
        n_iter = check_count(self.n_iter, "n_iter")
        plan = self.plan((len(X) - n_held_out, *X.shape[1:]), X.dtype, n_iter)
        rng = check_generator(self.random_state, "random_state")
        seed, held_out, names = int(rng.integers(2**63)), None, None
        if n_held_out:
            order = rng.permutation(len(X))
            names = np.sort(order[n_held_out:])
            held_out, X = X[np.sort(order[:n_held_out])], X[names]
        state = self._start(X, plan, seed, rng) if resume is None else resume
        learning.check_state(state, plan, self._shape(X.shape))
        batches = learning.Batches(len(X), plan.batch_size, state.seed)
        with Threads(self.n_jobs) as threads, self._progress(state.step) as bar:

            def step_done(state):
                bar.update()
                if on_step is not None:
                    on_step(state)

            rows = batches.steps(state.step, n_iter)
            learning.learn(X, rows, state, plan, threads, held_out, step_done, True, names)
        return self._set_learned(state, plan, len(X))

    def partial_fit(self, X, y=None):
        """Go on from the current state with one pass over X in batches of batch_size; one step if X
        is one batch.  With record_each, a step's own batch is recorded before the atoms move.

        After an error the model is that of the last good step.
        """
        is_first = not hasattr(self, "components_")
        X = self._validate(X, reset=is_first)
        plan = self.plan(X.shape, X.dtype)
        if is_first:
            rng = check_generator(self.random_state, "random_state")
            state = self._start(X, plan, int(rng.integers(2**63)), rng)
        else:
            state = self._state
        learning.check_state(state, plan, self._shape(X.shape))
        rows = learning.one_pass(len(X), plan.batch_size, state)
        try:
            with Threads(self.n_jobs) as threads:
                learning.learn(X, rows, state, plan, threads)
        finally:
            if state.step:  # else the first step failed, and nothing is learned
                self._set_learned(state, plan, len(X))
        return self

    def _changes(self, n_steps):
        """The parts of a plan by which the rate and the atoms change on the way."""
        decay = self.eta_decay
        if decay is not None:
            if not isinstance(decay, (tuple, list)) or len(decay) != 2:
                raise TypeError(f"eta_decay must be a pair (start, end) or None, not {decay!r}")
            decay = Decay(*decay)
        if isinstance(self.replace, Replacement):
            replacement = self.replace
        else:
            replacement = Replacement() if check_flag(self.replace, "replace") else None
        return {"decay": decay, "replacement": replacement, "n_steps": n_steps}

    def _recording(self):
        return Recording(self.record_each, self.record_num_batches)

    def _start(self, X, plan, seed, rng):
        """The state before the first step."""
        dictionary, variance = self._start_dictionary(X, plan, rng)
        rows = X[np.linspace(0, len(X) - 1, min(len(X), ENERGY_ROWS)).astype(int)]
        energy = float(np.mean(np.square(rows, dtype=np.float64))) or 1.0
        return learning.start(dictionary, plan, seed, variance, energy)

    def _check_start(self, shape, dtype):
        """dict_init as an array of this shape, or None."""
        if self.dict_init is None:
            return None
        dictionary = check_array(
            self.dict_init, "dict_init", ndim=len(shape), dtype=dtype, shape=shape
        )
        if not dictionary.reshape(len(dictionary), -1).any(axis=1).all():
            raise ValueError("dict_init must have no atom of zeros, an atom must have a direction")
        return dictionary

    def _progress(self, first):
        """A progress bar over the steps, shown if verbose."""
        return tqdm(
            total=self.n_iter, initial=first, desc="learning", unit="step", disable=not self.verbose
        )

    def _set_learned(self, state, plan, n_samples):
        """The fitted attributes after learning from so many samples."""
        last_pass = state.step - max(1, n_samples // plan.batch_size)
        self.n_dead_ = int((state.last_selected <= max(0, last_pass)).sum())
        if self.n_dead_:
            message = "%d of %d atoms were not selected in the last pass"
            logger.info(message, self.n_dead_, len(state.dictionary))
        return self._set_fitted(state, plan.rule.competition(state.homeostasis))

    def _set_fitted(self, state, competition):
        """The fitted attributes that are parts of the state."""
        self._state, self.competition_, self.gain_ = state, competition, competition.gain
        self.components_, self.record_ = state.dictionary, state.record
        self.n_iter_, self.seconds_ = state.step, state.seconds
        self.n_replaced_ = int(state.replacement.get("n_replaced", 0))
        return self

    # ------------------------------------------------------------------------ the Annex's names

    @property
    def dictionary(self) -> np.ndarray:
        """components_."""
        return self.components_

    @property
    def record(self):
        """record_."""
        return self.record_

    # ------------------------------------------------------------------------------ disk

    def save(self, path: str | Path) -> None:
        """Write the parameters and the whole learned state to path (npz, no pickle); `load` reads
        it.
        """
        check_is_fitted(self)
        arrays, state = learning.to_arrays(self._state)
        parameters = self.get_params(deep=False)
        if not isinstance(parameters["random_state"], (int, np.integer)):
            parameters["random_state"] = None
        if not isinstance(parameters["homeo_method"], (str, type(None))):
            parameters["homeo_method"] = {"custom": type(parameters["homeo_method"]).__name__}
        if isinstance(parameters["replace"], Replacement):
            parameters["replace"] = asdict(parameters["replace"])
        for prefix, values in (("param", parameters), ("competition", vars(self.competition_))):
            for name in [name for name, value in values.items() if isinstance(value, np.ndarray)]:
                arrays[f"{prefix}/{name}"] = values[name]
        info = {
            "kind": type(self).__name__,
            "parameters": {k: v for k, v in parameters.items() if f"param/{k}" not in arrays},
            "state": state,
            "C": self.competition_.C,
            "n_dead_": self.n_dead_,
            "seconds": self.seconds_,
            "metrics": self.record_.last(),
        }
        store.write(path, arrays, info)

    @classmethod
    def load(cls, path: str | Path, homeo_method: Rule | None = None):
        """The fitted model that `save` wrote to path; it codes and learns on as the saved one.

        Parameters
        ----------
        path : str or Path
        homeo_method : Rule, optional
            A rule of one's own, given again: it cannot be written to a file.  Without it, such a
            model codes as before, but cannot learn on.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is damaged or something else.
        """
        arrays, info = store.read(path)
        if info.get("kind") != cls.__name__:
            raise ValueError(
                f"{path} holds {info.get('kind', 'something else')}, not a {cls.__name__}"
            )
        with store.damage_of(path):
            pairs = {k: tuple(v) for k, v in info["parameters"].items() if isinstance(v, list)}
            parameters = info["parameters"] | pairs | store.take(arrays, "param/")
            if isinstance(parameters["homeo_method"], dict):
                parameters["homeo_method"] = homeo_method or "None"
            if isinstance(parameters.get("replace"), dict):
                parameters["replace"] = Replacement(**parameters["replace"])
            competition = Competition(**store.take(arrays, "competition/"), C=info["C"])
            state = learning.from_arrays(arrays, info["state"])
            cls._check_atoms(state.dictionary)
            coding.check_competition(
                **vars(competition), n_dictionary=len(state.dictionary), dtype=None
            )
            model = cls(**parameters)._set_fitted(state, competition)
            model.n_dead_ = check_count(info["n_dead_"], "n_dead_", least=0)
        return model

    @staticmethod
    @abstractmethod
    def _check_atoms(dictionary):
        """An error for a dictionary from disk that has other axes than the estimator's."""


class SparseHebbianLearning(ClassNamePrefixFeaturesOutMixin, HebbianEstimator):
    """Dictionary learning by sparse coding, homeostasis and a Hebbian gradient.

    Each step codes a batch X by at most l0_sparseness atoms a sample, X ~ A D, adapts the
    competition between atoms so that all keep being used, and moves the atoms that were picked::

        D <- D + eta step(A^T (X - A D) / batch_size);   d_i <- d_i / |d_i|

    Parameters
    ----------
    n_dictionary : int, optional
        Atoms; None is those of dict_init, or 2 n_pixels.
    learning_algorithm : str, optional
        'omp', 'mp', 'lars', 'lasso_lars', 'lasso_cd', 'elastic' or 'threshold': the coder, see
        `sparse_encode`.  None is 'omp', or 'mp' where do_sym, a precision or the rule needs it.
        Homeostasis biases 'mp', and 'omp' by rules with a gain.
    l0_sparseness : int, optional
        Events a sample; None is n_pixels / 10, at least 1 and at most n_dictionary.
    fit_tol : float, optional
        Tolerance of a pursuit, penalty or threshold of the other coders.
    alpha_MP : float, default=1.0
        In (0, 1], the share of a coefficient that one step of pursuit takes.
    do_sym : bool, default=False
        True lets coefficients of pursuit be negative.
    n_iter : int, default=2000
        Steps, each on one batch.
    batch_size : int, optional
        Samples of a step; None is 256, or all samples where they are fewer.
    eta : float
        The rate of learning.
    eta_decay : (float, float), optional
        The rate is eta up to the first share of n_iter, then falls along a cosine to the second
        share of eta; None keeps it, as `partial_fit` does, which knows no end.
    beta1, beta2, epsilon : float
        Adam's decays, and its epsilon as a power, 10^-epsilon; beta1 = 0 is the plain gradient with
        the rate eta.
    homeo_method : str or Rule, default='HAP'
        A name in `shl.homeostasis.RULES`, or a rule of one's own.
    eta_homeo : float, default=0.005
        In [0, 1], the rate of the rule, a step; HEH2019 needs .005 or less in batches of 256.
    alpha_homeo, C, nb_quant : float, float, int
        Parameters of the rule, see `shl.homeostasis`; C = 0 adapts to the data.
    homeo_fade : (float, float), default=(0.3, 0.6)
        The rule fades to plain pursuit between these shares of n_iter, counted in steps since the
        first, also those of partial_fit (`shl.homeostasis.Fading`); None lets it act throughout.
    replace : bool or Replacement, default=True
        Whether an atom that others explain is replaced by what is badly coded, and how.
    do_precision : bool, default=False
        Learn the weights of each atom's pixels, 1 / variance of what the atom leaves over.
    eta_precision : float, default=0.0
        In [0, 1], the rate of that.
    one_over_F : bool, default=False
        True starts from patches of 1/f noise (n_pixels must be a square), False from white noise.
    dict_init, precision_init : array of shape (n_dictionary, n_pixels), optional
        Start values.
    P_cum_init : array of shape (n_dictionary, nb_quant), optional
        Start of the histograms.
    record_each : int, default=0
        Steps between records; 0 records nothing.
    record_num_batches : int, default=1024
        Samples that `fit` holds out of learning for the records, at most a fifth of them; 0 records
        a step's own batch, before the atoms move.
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
        The distributions of the coefficients, followed under every rule.
    C_ : float
        The scale of P_cum_: C, or what it has adapted to.
    precision_ : array of shape (n_dictionary, n_pixels) or None
    record_ : History
        Mapping from name to array, first axis the record; 'steps' the step of each (see
        `shl.learning.record`).
    n_iter_, n_features_in_ : int
        Steps taken; n_pixels.
    seconds_ : float
        CPU time of learning.
    n_dead_ : int
        Atoms that no sample of the last pass over the data selected.
    n_replaced_ : int
        Replacements of atoms so far.

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
        learning_algorithm=None,
        l0_sparseness=None,
        fit_tol=None,
        alpha_MP=1.0,
        do_sym=False,
        n_iter=2000,
        batch_size=None,
        eta=0.04,
        eta_decay=(0.6, 0.05),
        beta1=0.99,
        beta2=0.99,
        epsilon=10,
        homeo_method="HAP",
        eta_homeo=0.005,
        alpha_homeo=0.05,
        C=0.0,
        nb_quant=128,
        homeo_fade=(0.3, 0.6),
        replace=True,
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
        self.eta_decay = eta_decay
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.homeo_method = homeo_method
        self.eta_homeo = eta_homeo
        self.alpha_homeo = alpha_homeo
        self.C = C
        self.nb_quant = nb_quant
        self.homeo_fade = homeo_fade
        self.replace = replace
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

    # ------------------------------------------------------------------------------ learning

    def plan(self, shape: tuple, dtype, n_steps: int | None = None) -> Plan:
        """The validated `shl.learning.Plan` of the parameters, to learn from samples (n_samples,
        n_pixels) of a dtype in n_steps; None has no end.
        """
        check_count(self.n_iter, "n_iter")
        for name in ("do_precision", "one_over_F", "sparse_output"):
            check_flag(getattr(self, name), name)
        n_dictionary = self._shape(shape)[0]
        how = self._coding(shape[1], n_dictionary)
        how.check_fits(n_dictionary)
        if self.do_precision and how.algorithm != "mp":
            raise ValueError(f"do_precision needs learning_algorithm='mp', not {how.algorithm!r}")
        batch_size = min(DEFAULT_BATCH, shape[0]) if self.batch_size is None else self.batch_size
        batch_size = check_count(
            batch_size, "batch_size", most=shape[0], why="the samples to learn from"
        )
        eta_precision = check_number(self.eta_precision, "eta_precision", least=0, most=1)
        P_cum = self._start_histograms(n_dictionary, dtype)
        return Plan(
            how,
            self._rule(n_dictionary, shape[0] // batch_size, how.algorithm, P_cum),
            make_optimizer(self.eta, self.beta1, self.beta2, self.epsilon),
            batch_size,
            self._recording(),
            HEH2019(self.eta_homeo, self.C, self.nb_quant, P_cum),
            eta_precision if self.do_precision else None,
            **self._changes(n_steps),
        )

    def _coding(self, n_pixels, n_dictionary):
        """How samples of so many pixels are coded by so many atoms."""
        algorithm, l0_sparseness = self.learning_algorithm, self.l0_sparseness
        if algorithm is None:
            needs_mp = self.do_precision or self.do_sym or self.precision_init is not None
            needs_mp = needs_mp or kind_of(self._make_rule(), n_dictionary) == "table"
            algorithm = "mp" if needs_mp else "omp"
        check_choice(algorithm, "learning_algorithm", coding.ALGORITHMS)
        if l0_sparseness is None:
            l0_sparseness = min(max(1, n_pixels // 10), n_dictionary)
        return Coding(algorithm, l0_sparseness, self.fit_tol, self.alpha_MP, self.do_sym)

    def _shape(self, shape):
        """(n_dictionary, n_pixels)."""
        n_pixels = shape[1]
        n_dictionary = self.n_dictionary
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
                "P_cum_init needs the C of its scale, above 0, not C = 0 which adapts to the data"
            )
        return coding.check_P_cum(self.P_cum_init, "P_cum_init", n_dictionary, self.nb_quant, dtype)

    def _make_rule(self, n_batches=1, P_cum=None):
        """The rule of homeostasis by itself."""
        return make_rule(
            self.homeo_method,
            eta_homeo=self.eta_homeo,
            alpha_homeo=check_number(self.alpha_homeo, "alpha_homeo", above=0),
            C=self.C,
            nb_quant=self.nb_quant,
            P_cum=P_cum,
            n_batches=n_batches,
        )

    def _rule(self, n_dictionary, n_batches, algorithm, P_cum):
        """The rule of homeostasis, as the coder can use it and fading where that is asked for."""
        rule = self._make_rule(n_batches, P_cum)
        kinds = coding.HEEDED[algorithm]
        kind = kind_of(rule, n_dictionary)
        if kind != "plain" and kind not in kinds and rule is not self.homeo_method:
            warnings.warn(
                f"homeo_method={self.homeo_method!r} has no effect with learning_algorithm="
                f"{algorithm!r}; homeo_method='None' says so",
                stacklevel=4,
            )
            return Plain()
        if self.homeo_fade is None or kind == "plain":
            return rule
        start, stop = check_interval(self.homeo_fade, "homeo_fade", least=0, most=1)
        return Fading(rule, start * int(self.n_iter), stop * int(self.n_iter))

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
        return check_array(X, "X", ndim=2)

    def _start_dictionary(self, X, plan, rng):
        """dict_init, or white noise, or patches of 1/f noise; precision_init as variances."""
        shape = self._shape(X.shape)
        dictionary = self._check_start(shape, X.dtype)
        if dictionary is None:
            draw = self._draw_noise if self.one_over_F else rng.standard_normal
            dictionary = (draw(shape, rng) if self.one_over_F else draw(shape)).astype(X.dtype)
        precision = coding.check_precision(self.precision_init, shape, X.dtype, "precision_init")
        return dictionary, None if precision is None else 1 / precision

    @staticmethod
    def _draw_noise(shape, rng):
        """Patches of 1/f noise."""
        n_dictionary, n_pixels = shape
        width = round(n_pixels**0.5)
        if width**2 != n_pixels:
            raise ValueError(
                f"one_over_F must be False where samples are not square patches: {n_pixels} pixels"
            )
        return noise_patches(n_dictionary, width, rng)

    def _set_fitted(self, state, competition):
        """The fitted attributes that are parts of the state."""
        self.precision_, self.n_features_in_ = state.precision, state.dictionary.shape[1]
        self.P_cum_, self.C_ = state.histogram["P_cum"], scale(state.histogram)
        return super()._set_fitted(state, competition)

    # ------------------------------------------------------------------------------ coding

    def transform(
        self,
        X,
        *,
        algorithm: str | None = None,
        l0_sparseness: int | None = None,
        fit_tol: float | None = None,
        alpha_MP: float | None = None,
        competition: Competition | None = None,
        gain=None,
        P_cum=None,
    ):
        """Code X by plain pursuit, or under a competition.

        Parameters
        ----------
        X : array of shape (n_samples, n_pixels)
        algorithm, l0_sparseness, fit_tol, alpha_MP : optional
            See `shl.sparse_encode`; None: as in learning.
        competition : Competition, optional
            `model.competition_` is that of learning; or one of the next two.
        gain : array of shape (n_dictionary,), optional
        P_cum : array of shape (n_dictionary, nb_quant), optional
            With the scale C_.

        Returns
        -------
        code : array or CSR array of shape (n_samples, n_dictionary)
            CSR with sparse_output.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        how = self._coding(self.n_features_in_, len(self.components_))
        algorithm = algorithm or how.algorithm
        return coding.sparse_encode(
            X,
            self.components_,
            algorithm=algorithm,
            precision=self.precision_ if algorithm == "mp" else None,
            l0_sparseness=how.l0_sparseness if l0_sparseness is None else l0_sparseness,
            fit_tol=how.fit_tol if fit_tol is None else fit_tol,
            alpha_MP=how.alpha_MP if alpha_MP is None else alpha_MP,
            competition=competition,
            gain=gain,
            P_cum=P_cum,
            C=None if P_cum is None else self.C_,
            do_sym=how.do_sym,
            sparse_output=self.sparse_output,
            n_jobs=self.n_jobs,
        )

    def inverse_transform(self, code) -> np.ndarray:
        """The patches that a code (n_samples, n_dictionary), dense or sparse, stands for:
        code @ components_.
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

    # ------------------------------------------------------------------------ the Annex's names

    @property
    def precision(self) -> np.ndarray | None:
        """precision_."""
        return self.precision_

    @property
    def P_cum(self) -> np.ndarray:
        """P_cum_."""
        return self.P_cum_
