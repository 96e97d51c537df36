"""Data, atoms, tables and models that several test modules make."""

import numpy as np

from shl.convolution import ConvolutionalSHL
from shl.datasets import make_sparse_coded_signals


def unlike_tables(rng, n_dictionary, nb_quant=128, C=3.0):
    """Distributions of coefficients whose scales differ from atom to atom."""
    r = np.arange(nb_quant) / nb_quant
    a = -C * np.log(1 - r)
    scales = np.exp(rng.normal(0, 0.5, (n_dictionary, 1)))
    tables = 0.9 + 0.1 * (1 - np.exp(-a / scales))
    tables[:, 0] = 0
    return tables


def planted(rng, n_samples=12000, **options):
    """Samples that are sums of a few positive multiples of planted atoms, and the atoms."""
    return make_sparse_coded_signals(n_samples, random_state=rng, **options)[:2]


def unit(atoms):
    """Atoms of norm 1."""
    return atoms / np.sqrt((atoms**2).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))


def draw_atoms(rng, n_dictionary=7, n_channels=1, width=5):
    """White-noise atoms of unit norm, (n_dictionary, n_channels, width, width)."""
    return unit(rng.standard_normal((n_dictionary, n_channels, width, width)))


def small_model(**options):
    """A convolutional estimator that learns images in milliseconds."""
    parameters = {
        "n_dictionary": 6,
        "patch_width": 5,
        "l0_sparseness": 5,
        "n_iter": 6,
        "record_each": 2,
        "random_state": 0,
    }
    return ConvolutionalSHL(**{**parameters, **options})


def fitted(dictionary, **options):
    """A convolutional estimator with these atoms, as after a fit of no step."""
    model = ConvolutionalSHL(len(dictionary), atom_shape=dictionary.shape[2:], **options)
    model.components_, model.n_channels_in_ = dictionary, dictionary.shape[1]
    return model


def assert_same(one, two):
    """The events of two convolutional codes are equal, to the bit."""
    for name in ("image", "atom", "row", "column", "value"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
