"""Names of parameters: what is said where one is unknown."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Self, dataclass_transform

from sklearn.base import BaseEstimator

from .annex import ADVICE

# What other packages call a parameter, and the names for it here: a hint, never an alias.
OF_OTHERS = {
    "alpha": ("fit_tol",),
    "fit_algorithm": ("learning_algorithm",),
    "iterations": ("n_iter",),
    "lambda1": ("fit_tol",),
    "max_iter": ("n_passes", "n_iter"),
    "max_no_improvement": ("n_iter_no_change",),
    "method": ("learning_algorithm", "algorithm"),
    "n_atoms": ("n_dictionary",),
    "n_components": ("n_dictionary",),
    "n_epochs": ("n_passes",),
    "n_nonzero_coefs": ("l0_sparseness",),
    "positive": ("positive_code",),
    "posAlpha": ("positive_code",),
    "posD": ("positive_dict",),
    "return_code": ("transform",),
    "seed": ("random_state",),
    "threads": ("n_jobs",),
    "transform_algorithm": ("algorithm",),
    "transform_alpha": ("transform_fit_tol", "fit_tol"),
    "transform_n_nonzero_coefs": ("transform_l0_sparseness", "l0_sparseness"),
}


def refuse_unknown(names: Iterable[str], known: Iterable[str], owner: str, error: type) -> None:
    """An error for the first name that is not known, with the nearest one that is."""
    known = list(known)
    for name in names:
        if name in known:
            continue
        near = [other for other in OF_OTHERS.get(name, ()) if other in known][:1]
        near = near or get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}"
        hint = f"Write instead: {ADVICE[name]}" if name in ADVICE else hint
        raise error(f"{owner} has no parameter {name!r}. {hint}")


def check_keywords(function: Callable) -> Callable:
    """A function, or an `__init__`, that names the nearest parameter where it is given an unknown
    one.
    """
    described = signature(function).parameters
    known = [name for name in described if name != "self"]
    if Parameter.VAR_KEYWORD in {parameter.kind for parameter in described.values()}:
        return function
    is_init = function.__name__ == "__init__"
    is_method = "self" in described and not is_init

    @wraps(function)
    def checked(*values, **parameters):
        owner = type(values[0]).__name__ if is_init else function.__qualname__
        for name in set(parameters).difference(known) if is_method else ():
            cls = type(values[0])
            if name in signature(cls).parameters:
                raise TypeError(f"{owner} has no parameter {name!r}. Pass it to {cls.__name__}.")
        refuse_unknown(parameters, known, owner, TypeError)
        return function(*values, **parameters)

    return checked


@dataclass_transform(eq_default=False)
def estimator(cls: type) -> type:
    """A class whose annotated fields are the parameters of its `__init__`, in scikit-learn's sense:
    they are kept as they are given, and checked by `fit`.
    """
    made: Any = dataclass(eq=False, repr=False)(cls)
    made.__init__ = check_keywords(made.__init__)
    return made


class NamedEstimator(BaseEstimator):
    """A scikit-learn estimator whose `set_params` names the nearest parameter."""

    def set_params(self, **params: Any) -> Self:
        """Set some parameters; ValueError for an unknown one, with the nearest that is known."""
        names = [name.partition("__")[0] for name in params]
        refuse_unknown(names, self.get_params(deep=False), type(self).__name__, ValueError)
        return super().set_params(**params)
