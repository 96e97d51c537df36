"""What the estimators of patches and of images share: learning, stopping and going on, disk."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._base.arrays import astype, beside, host_dtype, namespace, to_host
from .._base.blocks import Blocks, is_dask
from .._base.callbacks import CallbackSupportMixin, Task, with_callbacks
from .._base.checks import check_array, check_count, check_generator, check_number
from .._base.constraints import check_fields
from .._base.devices import is_tensor
from .._base.parameters import NamedEstimator
from .._base.progress import progress
from .._base.samples import Samples, batches_of, check_range, is_stream
from .._base.threads import Threads
from .._base.warning import warn_user
from ..coding.competition import Competition, check_competition
from ..coding.encode import check_directions
from ..learning import loop
from ..learning.evidence import Evidence
from ..learning.homeostasis import Rule
from ..learning.optimizers import Decay
from ..learning.replacement import Replacement
from ..learning.scaling import median_norm, some_of, unwhiten, whiten
from ..learning.state import (
    Plan,
    Recording,
    State,
    check_state,
    from_arrays,
    start_state,
    to_arrays,
)
from ..learning.stopping import Stopping, Watch
from ..store.files import damage_of, is_reproducible, read, take, write
from ..store.index import names_changed
from .html import learned_html
from .sparse_coder import check_weight

logger = logging.getLogger("shl")
FIRE_TOGETHER = (0.04, 0.12)  # share of negative coefficients that such atoms leave


def _ask(on_step, state):
    """Return whether on_step(state) stops learning; an interrupt of its own is marked."""
    try:
        return on_step is not None and on_step(state) in (True,)
    except KeyboardInterrupt as error:
        vars(error)["is_of_user"] = True
        raise


@contextmanager
def _interruptible(state):
    """A context that ends, with a warning, at Ctrl-C: the state is that of the last good step.

    Before the first step there is nothing to keep, and Ctrl-C is raised; so is what the user's
    on_step raises, and a second Ctrl-C, after this context.
    """
    n_done = state.step
    try:
        yield
    except KeyboardInterrupt as error:
        if state.step == n_done or hasattr(error, "is_of_user"):
            raise
        warn_user(
            f"Learning was interrupted. The model is that of the last whole step, {state.step}."
        )


def _is_learned(name):
    """Whether an attribute is one of those that learning sets."""
    return name == "_state" or (name.endswith("_") and not name.startswith("_"))


def _advise(negative_share):
    """Say what may find more atoms if signed codes are mostly positive.

    Of atoms that fire together, or one with another, signed pursuit finds sums and differences.
    """
    if negative_share is not None and FIRE_TOGETHER[0] < negative_share < FIRE_TOGETHER[1]:
        logger.warning(
            "%.0f %% of the coefficients' sum is negative. If the true coefficients "
            "are positive, learning_algorithm='mp' with 2 to 3 times the l0_sparseness "
            "may find more atoms.",
            100 * negative_share,
        )


def _usable(X, weight):
    """Return the rows of X that have a weight above 0."""
    return np.arange(len(X)) if weight is None else np.flatnonzero(to_host(weight))


class HebbianEstimator(CallbackSupportMixin, TransformerMixin, NamedEstimator):
    """What the estimators of patches and of images share: learning, stopping and going on, disk.

    A subclass gives `plan`, `_read`, `_shape` and `_start_dictionary`, and may extend
    `_set_fitted`.
    """

    @abstractmethod
    def plan(self, shape: tuple, dtype: DTypeLike, n_steps: int | None = None) -> Plan:
        """The validated `shl.learning.Plan` of the parameters, to learn from samples of a shape."""

    def _warn_unused(self):
        """Warn of parameters that were set and have no effect."""

    _n_axes = 2  # of a batch, by which a list of batches is known

    @abstractmethod
    def _read(self, X, reset, state=None):
        """Return (samples, exponent) of X, divided by 2^exponent: that of a state, if given.

        reset: X may have another shape than before.
        """

    @abstractmethod
    def _shape(self, shape):
        """The dictionary's shape, for samples of this shape."""

    @abstractmethod
    def _start_dictionary(self, X, plan, rng):
        """(dictionary, variance or None) before the first step."""

    # ------------------------------------------------------------------------------ learning

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        on_step: Callable[[State], bool | None] | None = None,
        resume: State | None = None,
    ) -> Self:
        """Learn a dictionary from X by n_iter steps.

        With record_each, record_num_batches random samples are held out of learning for the
        records.

        Parameters
        ----------
        X : array of shape (n_samples, n_pixels), or of images
        y : None
            Ignored.
        on_step : callable, optional
            Called on_step(state) after each step: True stops with a fitted model; it may raise.
        resume : State, optional
            Where an earlier `fit` of the same parameters and data stopped; resumes bit-exactly.

        Returns
        -------
        self
        """
        return self._fit(X, y, None, on_step, resume)

    @with_callbacks
    def _fit(self, X, y, sample_weight, on_step, resume):
        """`fit`, with a weight of each sample or None."""
        check_fields(self)
        self._warn_unused()
        if is_dask(X):
            X = Blocks(X, self.random_state)
        if is_stream(X, self._n_axes):
            given = {"y": y, "sample_weight": sample_weight, "resume": resume}
            return self._fit_stream(X, on_step, given | {"tol": self._stopping().tol})
        model, told = copy(self), {"X": X, "y": y}
        X, exponent = model._read_to_learn(X, reset=True)
        weight, stopping = check_weight(sample_weight, X), self._stopping()
        seed, rng = self._draw()
        rows, held_out = self._hold_out(_usable(X, weight), stopping, rng)
        shape = (len(rows), *X.shape[1:])
        n_steps = self._n_steps(shape)
        plan = self._plan_fit(shape, host_dtype(X), n_steps)
        X, plan, state = self._begin(
            X, exponent, plan, state=resume, rows=rows, weight=weight, drawn=(seed, rng)
        )
        evidence = Evidence(X, rows, held_out, plan, state.seed)
        per_pass = len(rows) // plan.batch_size
        if weight is not None:
            told["metadata"] = {"sample_weight": weight}
        task = Task(self, max(0, n_steps - state.step), **told)
        with Threads(self.n_jobs) as threads, self._progress(state.step, n_steps) as bar:
            watch = None
            if stopping.tol is not None:
                watch = Watch(stopping, plan, X, held_out, weight, threads)

            def step_done(state):
                bar.update()
                evidence.step_done(state, threads)
                is_over = _ask(on_step, state)
                is_over |= task.step_done(lambda: self._fitted(state, plan, per_pass))
                return bool(is_over | (watch is not None and watch.step_done(state)))

            with _interruptible(state):
                steps = task.around(evidence.steps(state.step))
                loop.learn(
                    X,
                    steps,
                    state,
                    plan,
                    threads,
                    held_out,
                    step_done,
                    records_end=True,
                    sample_weight=weight,
                )
            state = state if watch is None else watch.choose(state)
            _advise(loop.turn_atoms(X, state, plan, threads, rows, weight))
        self._take_over(model._set_learned(state, plan, per_pass))
        task.done(lambda: self._fitted(state, plan, per_pass))
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Go on from the current state with one pass over X, in batches of at most batch_size and
        as equal as they can be; one step if X is no more than one batch.  With record_each, a
        step's own batch is recorded before the atoms move.

        After an error the model is that of the last good step.
        """
        return self._partial_fit(X, None)

    def _partial_fit(self, X, sample_weight):
        """`partial_fit`, with a weight of each sample or None."""
        if is_dask(X):
            if sample_weight is not None:
                raise ValueError("sample_weight must be None if X is a Dask array. Leave it out.")
            for block in Blocks(X, self.random_state, getattr(self, "n_iter_", 0)):
                self._partial_fit(block, None)
            return self
        check_fields(self)
        model, state = copy(self), self._state.own() if hasattr(self, "components_") else None
        X, exponent = model._read_to_learn(X, reset=state is None, state=state)
        weight = check_weight(sample_weight, X)
        rows = _usable(X, weight)
        plan = self._plan_batches(X, len(rows))
        X, plan, state = self._begin(X, exponent, plan, state=state, rows=rows, weight=weight)
        batches = loop.one_pass(len(rows), plan.batch_size, state)
        batches, n_done = [rows[batch] for batch in batches], state.step
        try:
            with Threads(self.n_jobs) as threads:
                loop.learn(X, batches, state, plan, threads, sample_weight=weight)
        finally:
            if state.step > n_done:
                self._take_over(model._set_learned(state, plan, len(batches)))
        return self

    def _fit_stream(self, stream, on_step, given):
        """`fit` to an iterable of batches, again from its beginning where it has one."""
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{name} must be None if X is an iterable, not {value!r}")
        batches, model, is_over, is_whole = batches_of(stream), copy(self), False, False
        if (first := next(batches, None)) is None:
            raise ValueError(
                "X is an iterable without batches, but at least one array of samples is needed"
            )
        X, exponent = model._read_to_learn(first, reset=True)
        n_steps = self._n_steps(X.shape, is_stream=True)
        plan, task = self._plan_batches(X, len(X), n_steps), Task(self, n_steps)
        X, plan, state = self._begin(X, exponent, plan)

        def step_done(state):
            nonlocal is_over
            bar.update()
            is_over = state.step == n_steps or _ask(on_step, state)
            is_over |= task.step_done(lambda: self._fitted(state, plan, 1))
            return is_over

        try:
            with Threads(self.n_jobs) as threads, self._progress(0, n_steps) as bar:
                with _interruptible(state):
                    while True:
                        rows = loop.one_pass(len(X), plan.batch_size, state)
                        loop.learn(X, task.around(rows), state, plan, threads, on_step=step_done)
                        batch = None if is_over else next(batches, None)
                        if batch is None:
                            break
                        X, _ = model._read_to_learn(batch, reset=False, state=state)
                        X, _ = self._scale(X, plan, state=state)
                loop.turn_atoms(X, state, plan, threads)
            is_whole = True
        finally:
            # The steps before an error stay, unless the model was fitted before.
            if state.step and (is_whole or not hasattr(self, "components_")):
                self._take_over(model._set_learned(state, plan, 1))
        task.done(lambda: self._fitted(state, plan, 1))
        return self

    def _take_over(self, model):
        """Have what a copy of this model has learned, at once: no interrupt can split it."""
        kept = {name: value for name, value in vars(self).items() if not _is_learned(name)}
        learned = {name: value for name, value in vars(model).items() if _is_learned(name)}
        self.__dict__ = kept | learned

    def _read_to_learn(self, X, reset, state=None):
        """Return (samples, exponent) of X, which the dtype can hold beside one another."""
        X, exponent = self._read(X, reset, state)
        if isinstance(X, Samples) or is_tensor(X):
            check_range(X, exponent)
        return X, exponent

    def _plan_fit(self, shape, dtype, n_steps):
        """The plan to learn from all samples there are."""
        return self.plan(shape, dtype, n_steps)

    def _plan_batches(self, X, n_samples, n_steps=None):
        """The plan to learn from batches like X, of any size."""
        n_most = max(n_samples, self.batch_size or 0)
        return self.plan((n_most, *X.shape[1:]), host_dtype(X), n_steps)

    def _hold_out(self, usable, stopping, rng):
        """(rows to learn from, rows held out of it, None for none) of the usable rows."""
        n_usable = len(usable)
        if stopping.tol is not None and n_usable < 2:
            raise ValueError(
                "tol must be None, or X must have 2 samples or more, because one is held "
                f"out to see when learning stops. X has {n_usable} of a weight above 0."
            )
        n_held_out = max(self._recording().hold_out(n_usable), stopping.hold_out(n_usable))
        if not n_held_out:
            return usable, None
        order = rng.permutation(n_usable)
        return usable[np.sort(order[n_held_out:])], usable[np.sort(order[:n_held_out])]

    def _n_steps(self, shape, is_stream=False):
        """Return the steps of a fit to samples, or to a stream of arrays, of this shape."""
        return int(self.n_iter)

    def _stopping(self):
        """When learning is stopped."""
        return Stopping()

    def _changes(self, n_steps):
        """The parts of a plan by which the rate and the atoms change on the way."""
        decay = None if self.eta_decay is None else Decay(*self.eta_decay)
        replacement = self.replace
        if not isinstance(replacement, Replacement):
            replacement = Replacement() if replacement else None
        return {"decay": decay, "replacement": replacement, "n_steps": n_steps}

    def _recording(self):
        return Recording(self.record_each, self.record_num_batches)

    def _scale(self, X, plan, rows=None, weight=None, state=None):
        """Return (X in the space in which it is learned from, its scaling), of a state if given."""
        given = state.scaling if isinstance(state, State) else None
        if given is not None and ("whitening" in given) != (
            getattr(self, "whiten", None) is not None
        ):
            raise ValueError(
                "whiten must not change when learning resumes. Call fit to start anew."
            )
        W = self._whitening(X, rows, weight) if given is None else given.get("whitening")
        X = whiten(X, W)
        if given is not None:
            return X, given
        scaling = {} if W is None else {"whitening": W}
        most = np.inf if plan.clip is None else plan.clip * median_norm(X, rows)
        return X, scaling | ({"most_norm": np.array(most)} if most < np.inf else {})

    def _whitening(self, X, rows, weight):
        """Return what whitens samples, or None."""

    def _draw(self):
        """Return the seed of a learning, and the generator of its start."""
        rng = check_generator(self.random_state, "random_state")
        return int(rng.integers(2**63)), rng

    def _begin(self, X, exponent, plan, *, state=None, rows=None, weight=None, drawn=None):
        """Return what learning begins with: X in the space in which it is learned from, the plan in
        its unit, and the given state, or the first one, from (seed, rng) of `_draw`.
        """
        X, scaling = self._scale(X, plan, rows, weight, state)
        if state is None:
            seed, rng = self._draw() if drawn is None else drawn
            state = self._start(X, plan, seed, rng, exponent, rows, weight, scaling)
        state = check_state(state, plan, X, self._shape(X.shape))
        is_whitened = "whitening" in state.scaling  # such samples have their own unit
        return X, plan.in_units_of(0 if is_whitened else state.exponent), state

    def _start(self, X, plan, seed, rng, exponent, rows, weight, scaling):
        """The state before the first step."""
        dictionary, variance = self._start_dictionary(X, plan, rng)
        if self.dict_init is not None:
            dictionary = whiten(dictionary, scaling.get("whitening"))
        start = beside(dictionary, X), plan, seed, beside(variance, X)
        return start_state(*start, self._energy(X, rows, weight) or 1.0, exponent, scaling)

    def _energy(self, X, rows, weight):
        """Return the mean square of some samples among the rows of X, the unit of gradients."""
        some = some_of(X, rows)
        xp = namespace(X)
        squares = (astype(X[some], xp.float64) ** 2).reshape(len(some), -1)
        share = (
            beside(np.ones(len(some)), X) if weight is None else astype(weight[some], xp.float64)
        )
        count = share @ astype(~xp.isnan(squares), xp.float64).sum(axis=1)
        return float(share @ xp.nansum(squares, axis=1) / count) if count else 0.0

    def _check_start(self, shape, dtype):
        """dict_init as an array of this shape, or None."""
        if self.dict_init is None:
            return None
        dictionary = check_array(
            to_host(self.dict_init), "dict_init", ndim=len(shape), dtype=dtype, shape=shape
        )
        check_directions(dictionary.reshape(len(dictionary), -1), "dict_init")
        return dictionary

    def _progress(self, first, n_steps):
        """A progress bar over the steps, shown if verbose."""
        return progress(
            total=n_steps, initial=first, desc="learning", unit="step", disable=not self.verbose
        )

    def _fitted(self, state, plan, per_pass):
        """The fitted attributes of a model that learned up to a copy of this state."""
        model = copy(self)._set_learned(deepcopy(state), plan, per_pass)
        learned = vars(model).items()
        return {k: v for k, v in learned if k not in vars(self) or k.endswith("_") or k == "_state"}

    def _set_learned(self, state, plan, per_pass):
        """The fitted attributes after learning, in so many steps a pass of the data."""
        last_pass = state.step - per_pass
        self.n_dead_ = int((state.last_selected <= max(0, last_pass)).sum())
        if self.n_dead_:
            message = "%d of %d atoms were not selected in the last pass"
            logger.info(message, self.n_dead_, len(state.dictionary))
        return self._set_fitted(state, plan.rule.competition(state.homeostasis))

    def _set_fitted(self, state, competition):
        """The fitted attributes that are parts of the state."""
        self._state, self.competition_, self.gain_ = state, competition, competition.gain
        self.components_ = unwhiten(state.dictionary, state.scaling.get("whitening"))
        self.record_ = state.record
        self.n_iter_, self.seconds_ = state.step, state.seconds
        counts = state.replacement.get("n_replaced", np.zeros(0))
        self.replaced_, self.n_replaced_ = np.flatnonzero(to_host(counts)), int(counts.sum())
        self.n_steps_ = state.step
        return self

    # ------------------------------------------------------------------------ notebooks

    def _repr_html_inner(self):
        """Return scikit-learn's diagram, and under it, folded, what a fitted model learned."""
        return super()._repr_html_inner() + learned_html(self)

    def _repr_mimebundle_(self, **kwargs):
        """What notebooks show: text, and HTML unless scikit-learn's display is 'text'."""
        bundle = super()._repr_mimebundle_(**kwargs)
        return bundle | ({"text/html": self._repr_html_inner()} if "text/html" in bundle else {})

    # ------------------------------------------------------------------------ the Annex's names

    @property
    def dictionary(self) -> np.ndarray:
        """components_."""
        return self.components_

    @property
    def record(self) -> Mapping[str, np.ndarray]:
        """record_."""
        return self.record_

    # ------------------------------------------------------------------------------ disk

    def save(self, path: str | Path) -> None:
        """Write the parameters and the whole learned state to path (npz, no pickle); `load` reads
        it.

        Equal fits save equal bytes but for their CPU times.  With SOURCE_DATE_EPOCH in the
        environment these are left out: `seconds_` of the loaded model is 0, and 'cputime' NaN.
        """
        check_is_fitted(self)
        arrays, state = to_arrays(self._state)
        times = {"seconds": state.pop("seconds"), "cputime": arrays.pop("record/cputime", ())}
        metrics = {k: v for k, v in self.record_.last().items() if k != "cputime"}
        parameters = self.get_params(deep=False)
        if not isinstance(parameters["random_state"], (int, np.integer)):
            parameters["random_state"] = None
        if not isinstance(parameters["homeo_method"], (str, type(None))):
            custom = {"custom": type(parameters["homeo_method"]).__name__}
            if parameters.get("learning_algorithm", "") is None:  # the rule decides it
                atoms = self.components_
                custom["learning_algorithm"] = self._coding(atoms.shape[1], len(atoms)).algorithm
            parameters["homeo_method"] = custom
        if isinstance(parameters["replace"], Replacement):
            parameters["replace"] = asdict(parameters["replace"])
        for prefix, values in (("param", parameters), ("competition", vars(self.competition_))):
            values = {name: to_host(value) for name, value in values.items()}
            for name in [name for name, value in values.items() if isinstance(value, np.ndarray)]:
                arrays[f"{prefix}/{name}"] = values[name]
        parameters = {k: v for k, v in parameters.items() if f"param/{k}" not in arrays}
        experiment = getattr(self, "_experiment", {})
        defaults = getattr(self, "_defaults", None) or {
            name: parameter.default for name, parameter in signature(type(self)).parameters.items()
        }
        info = {
            "kind": type(self).__name__,
            "parameters": parameters,
            "experiment": experiment,
            "changed": names_changed({**experiment, **parameters}, defaults),
            "state": state,
            "C": self.competition_.C,
            "n_dead_": self.n_dead_,
            "l0_sparseness_": getattr(self, "l0_sparseness_", None),
            "times": {} if is_reproducible() else times,
            "metrics": metrics,
        }
        write(path, arrays, info)

    @classmethod
    def load(cls, path: str | Path, homeo_method: Rule | None = None) -> Self:
        """The fitted model that `save` wrote to path; it codes and learns on as the saved one.

        Parameters
        ----------
        path : str or Path
        homeo_method : Rule, optional
            A user-defined rule, given again: it cannot be written to a file.  Without it, such a
            model codes as before, but cannot learn on.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is damaged or something else.
        """
        arrays, info = read(path)
        if info.get("kind") != cls.__name__:
            raise ValueError(
                f"{path} holds {info.get('kind', 'something else')}, not a {cls.__name__}"
            )
        with damage_of(path):
            pairs = {k: tuple(v) for k, v in info["parameters"].items() if isinstance(v, list)}
            parameters = info["parameters"] | pairs | take(arrays, "param/")
            custom = parameters["homeo_method"]
            if isinstance(custom, dict):
                parameters["homeo_method"] = homeo_method or "None"
                if homeo_method is None and "learning_algorithm" in custom:
                    parameters["learning_algorithm"] = custom["learning_algorithm"]
            if isinstance(parameters.get("replace"), dict):
                parameters["replace"] = Replacement(**parameters["replace"])
            competition = Competition(**take(arrays, "competition/"), C=info["C"])
            state = from_arrays(*_add_times(arrays, info))
            cls._check_atoms(state.dictionary)
            parts = competition.gain, competition.P_cum, competition.C
            check_competition(*parts, n_dictionary=len(state.dictionary), dtype=None)
            if info["C"] is not None:
                check_number(info["C"], "C", above=0)
            model = cls(**parameters)._set_fitted(state, competition)
            model.n_dead_ = check_count(info["n_dead_"], "n_dead_", least=0)
            if (limit := info.get("l0_sparseness_")) is not None:
                model.l0_sparseness_ = check_count(limit, "l0_sparseness_")
        return model

    @staticmethod
    @abstractmethod
    def _check_atoms(dictionary):
        """An error for a dictionary from disk that has other axes than the estimator's."""


def _add_times(arrays, info):
    """Return (arrays, the rest) of a saved state with the times that `save` wrote beside them."""
    state, times = info["state"], info.get("times")
    if times is None:  # of an earlier version, which left them in their places
        return arrays, state
    if "record/steps" in arrays:
        unknown = np.full(len(arrays["record/steps"]), np.nan)
        arrays["record/cputime"] = np.asarray(times.get("cputime", unknown), np.float64)
    return arrays, state | {"seconds": times.get("seconds", 0.0)}
