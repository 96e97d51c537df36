"""scikit-learn's callbacks (`set_callbacks`), which it has since version 1.9."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

try:
    from sklearn import callback
except ImportError:
    callback = None


class _NoCallbacks:
    """The mixin of a scikit-learn without callbacks."""


CallbackSupportMixin: Any = getattr(callback, "CallbackSupportMixin", _NoCallbacks)
with_callbacks = getattr(callback, "with_callbacks", lambda method: method)


class Task:
    """The callbacks of an estimator around its fit and each step; nothing where it has none.

    Parameters
    ----------
    estimator : estimator
    n_steps : int or None
        The most steps there will be; None: not known.
    **data
        X, and metadata where there are some, as callbacks are told.
    """

    def __init__(self, estimator: Any, n_steps: int | None, **data: Any) -> None:
        self._estimator, self._data = estimator, data
        self._fit: Any = None
        self._step: Any = None
        if getattr(estimator, "_skl_callbacks", None):
            self._fit = estimator._init_callback_context(max_subtasks=n_steps)
            self._fit.call_on_fit_task_begin(estimator=estimator, **data)

    def around(self, batches: Iterable) -> Iterator:
        """The batches; each step begins when its batch is asked for."""
        for batch in batches:
            if self._fit is not None:
                self._step = self._fit.subcontext(task_name="step")
                self._step.call_on_fit_task_begin(estimator=self._estimator, **self._data)
            yield batch

    def step_done(self, fitted: Callable[[], dict]) -> bool:
        """Whether a callback wants to stop; fitted(): the attributes of a model stopped here."""
        return self._fit is not None and self._end(self._step, fitted)

    def done(self, fitted: Callable[[], dict]) -> None:
        """The end of the fit."""
        if self._fit is not None:
            self._end(self._fit, fitted)

    def _end(self, context, fitted):
        """Call what waits for the end of a task."""
        return context.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=fitted, **self._data
        )


__all__ = ["CallbackSupportMixin", "Task", "with_callbacks"]
