"""Optimizers: how a gradient moves the dictionary.  Each is a pair init(dictionary) -> moments,
step(...).
"""

import numpy as np

from . import kernels


def init(dictionary):
    """The moments of Adam before its first step: zeros, shape and dtype of the dictionary."""
    return {"mean": np.zeros_like(dictionary), "square": np.zeros_like(dictionary)}


def adam(dictionary, gradient, moments, step, eta, beta1=0.99, beta2=0.99, epsilon=10):
    """The dictionary and moments after one Adam step (Kingma & Ba 2015, algorithm 1), rows of norm
    1.

    m <- beta1 m + (1 - beta1) g,  s <- beta2 s + (1 - beta2) g^2,
    d <- d - eta (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + 10^-epsilon),  d <- d / |d|

    dictionary, gradient: (n_dictionary, n_pixels), one float dtype.  `step` counts from 0 (t = step
    + 1). `dictionary` and `moments` are changed in place and returned.
    """
    number = dictionary.dtype.type
    kernels.adam(
        dictionary,
        gradient,
        moments["mean"],
        moments["square"],
        number(beta1),
        number(beta2),
        number(eta),
        number(10.0**-epsilon),
        number(1 - beta1 ** (step + 1)),
        number(1 - beta2 ** (step + 1)),
    )
    return normalise(dictionary), moments


def sgd(dictionary, gradient, moments, step, eta):
    """The dictionary after one step of the plain gradient, d <- d - eta g, rows of norm 1; the
    moments as they are.
    """
    dictionary -= dictionary.dtype.type(eta) * gradient
    return normalise(dictionary), moments


def normalise(dictionary):
    """Rows scaled in place to norm 1; a row of zeros stays."""
    norms = np.sqrt(np.einsum("ij,ij->i", dictionary, dictionary))
    dictionary /= np.where(norms > 0, norms, 1)[:, None]
    return dictionary
