"""Data, atoms, tables and models that several test modules make."""

import numpy as np
import pytest

from shl import ConvolutionalSHL, SparseHebbianLearning
from shl.datasets import make_sparse_coded_signals
from shl.learning.state import from_arrays, to_arrays

# A small experiment, which learns in a fraction of a second.
EXPERIMENT = {"height": 64, "width": 64, "patch_width": 8, "N_patches": 600, "n_dictionary": 30}
EXPERIMENT |= {"l0_sparseness": 3, "n_iter": 12, "batch_size": 100, "record_each": 4}
EXPERIMENT |= {"record_num_batches": 100}


def make(**options):
    """An estimator that learns patches in milliseconds."""
    parameters = {"n_dictionary": 20, "l0_sparseness": 3, "n_iter": 20, "random_state": 0}
    return SparseHebbianLearning(**parameters | options)


def some_slow(values, n_fast=1):
    """The values of a parameter, of which those after the first are for slow tests."""
    values = list(values)
    slow = (pytest.param(value, marks=pytest.mark.slow) for value in values[n_fast:])
    return [*values[:n_fast], *slow]


def interrupted(model, X, step):
    """The state of a learning that is interrupted after a step, as a file holds it."""
    states = []

    def stop(state):
        if state.step == step:
            states.append(from_arrays(*to_arrays(state)))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        model.fit(X, on_step=stop)
    return states[0]


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
    parameters = {"n_dictionary": 6, "patch_width": 5, "l0_sparseness": 5, "n_iter": 6}
    return ConvolutionalSHL(**parameters | {"record_each": 2, "random_state": 0} | options)


def fitted(dictionary, **options):
    """A convolutional estimator with these atoms, as after a fit of no step."""
    model = ConvolutionalSHL(len(dictionary), atom_shape=dictionary.shape[2:], **options)
    model.components_, model.n_channels_in_ = dictionary, dictionary.shape[1]
    return model


def assert_same(one, two):
    """The events of two convolutional codes are equal, to the bit."""
    for name in ("image", "atom", "row", "column", "value"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
