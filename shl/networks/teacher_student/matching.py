"""How far a student is from its teacher, whatever the order, sign or scale of its hidden units.

A network is a list of arrays (n_taps, n_in, n_out), one a layer: the taps of a filter (one for a
full layer), and the channels or units that it joins.  Hidden units may be put in any order; a pair
of signs around a hidden unit cancels where its activation is odd; a factor goes from its incoming
to its outgoing weights where the activation is relu.
"""

import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment

MOST_SWEEPS = 100
N_STARTS = 24  # far more than three layers of a few channels need


def normal_form(layers):
    """Return (the layers of an equal relu network, the norms of its hidden units).

    The weights that enter a hidden unit then have norm 1, or are all zero.  The norms
    (n_hidden,) of each layer are those before.
    """
    layers, norms = [np.array(layer, float) for layer in layers], []
    for before, after in itertools.pairwise(layers):
        norms.append(np.sqrt((before**2).sum((0, 1))))
        before /= np.where(norms[-1] > 0, norms[-1], 1)
        after *= norms[-1][:, None]
    return layers, norms


def rescale(layers, norms):
    """Return the layers of an equal relu network whose first hidden units have other norms.

    The norms (n,) of each layer multiply what enters its first n units, and divide what leaves
    them.  A norm of 0 leaves a unit as it is.
    """
    layers = [np.array(layer, float) for layer in layers]
    for (before, after), scale in zip(itertools.pairwise(layers), norms, strict=True):
        scale, n = np.where(scale > 0, scale, 1), len(scale)
        before[:, :, :n] *= scale
        after[:, :n] /= scale[:, None]
    return layers


def match(teacher, student, is_odd=False):
    """Put the student's hidden units where they are nearest to the teacher's.

    The squared distance over all layers, sum_l |T_l - P_(l-1) S_l P_l|^2, is made least over
    permutations P_l (with signs where the activation is odd): one layer's P_l after the other by
    linear assignment, the others fixed, until nothing gains, from several starts (as in weight
    matching, Ainsworth et al. 2023).

    Parameters
    ----------
    teacher, student : lists of arrays (n_taps, n_in, n_out), of the same taps, inputs and outputs.
    is_odd : bool.  Whether activation(-x) = -activation(x).

    Returns
    -------
    teacher, student : lists of arrays of equal shapes; units that one has not are rows and columns
        of zeros.
    distance : float, the root of that sum, relative to the teacher's norm.
    """
    teacher, student = _pad(teacher, student)
    n_hidden, rng = len(teacher) - 1, np.random.default_rng(0)
    best, best_gain = None, -np.inf
    for start in range(N_STARTS if n_hidden else 1):
        arrangements = [None] * n_hidden
        # From the inputs, from the outputs, or from anywhere.
        order = range(n_hidden) if start != 1 else range(n_hidden - 1, -1, -1)
        if start > 1:
            sizes = [layer.shape[2] for layer in teacher[:-1]]
            arrangements = [_random_arrangement(size, is_odd, rng) for size in sizes]
        arrangements, gain = _improve_in_turn(teacher, student, arrangements, order, is_odd)
        if gain > best_gain * (1 + 1e-9):
            best, best_gain = arrangements, gain
    matched = _rearrange(student, best)
    difference = sum(((t - s) ** 2).sum() for t, s in zip(teacher, matched, strict=True))
    norm = np.sqrt(sum((layer**2).sum() for layer in teacher))
    return teacher, matched, float(np.sqrt(difference) / norm)


def _pad(*networks):
    """The networks with zeros where another has more hidden units."""
    first, second = ([len(layer) for layer in layers] for layers in networks)
    if first != second:
        raise ValueError(
            f"networks must have the same taps in each layer, not {first} and {second}"
        )
    shapes = [np.max([t.shape, s.shape], 0) for t, s in zip(*networks, strict=True)]
    return [list(map(_pad_to, layers, shapes)) for layers in networks]


def _pad_to(layer, shape):
    """A layer with zeros behind."""
    return np.pad(np.asarray(layer, float), [(0, n) for n in shape - layer.shape])


def _random_arrangement(n, is_odd, rng):
    """A random place: the order of n units and their signs."""
    return rng.permutation(n), rng.choice([-1, 1], n) if is_odd else np.ones(n)


def _improve_in_turn(teacher, student, arrangements, order, is_odd):
    """(arrangements, gain) after one layer's units were arranged after the other's, until the gain,
    sum_l <T_l, S_l>, stays.
    """
    arrangements, gain = list(arrangements), -np.inf
    for _ in range(MOST_SWEEPS):
        for index in order:
            similarities = _similarities(teacher, student, arrangements, index)
            arrangements[index] = _best_arrangement(similarities, is_odd)
        pairs = zip(teacher, _rearrange(student, arrangements), strict=True)
        before, gain = gain, sum((t * s).sum() for t, s in pairs)
        if gain <= before + 1e-12 * abs(before):
            break
    return arrangements, gain


def _similarities(teacher, student, arrangements, index):
    """<T, S> (n, n) of a layer's hidden units by their incoming and outgoing weights, where these
    are placed.
    """
    around = list(arrangements)
    around[index] = None
    placed = _rearrange(student, around)
    similarity, n_hidden = 0.0, len(arrangements)
    for i, beside, axes in (
        (index, index - 1, "tki,tkj->ij"),
        (index + 1, index + 1, "tik,tjk->ij"),
    ):
        if not 0 <= beside < n_hidden or around[beside] is not None:
            similarity = similarity + np.einsum(axes, teacher[i], placed[i], optimize=True)
    return similarity


def _best_arrangement(similarity, is_odd):
    """The place of each unit, (order, signs): teacher's unit i takes student's unit order[i] times
    signs[i].
    """
    signs = np.where(similarity < 0, -1.0, 1.0) if is_odd else np.ones_like(similarity)
    used = np.flatnonzero(similarity.any(1))  # the others gain nothing anywhere
    chosen = linear_sum_assignment((signs * similarity)[used], maximize=True)[1]
    order = np.empty(len(similarity), int)
    order[used] = chosen
    is_free = np.ones(len(similarity), bool)
    is_free[chosen] = False
    order[np.setdiff1d(np.arange(len(order)), used)] = np.flatnonzero(is_free)
    return order, signs[np.arange(len(order)), order]


def _rearrange(layers, arrangements):
    """The layers with their hidden units placed; None leaves a layer's units where they are."""
    layers = list(layers)
    for index, arrangement in enumerate(arrangements):
        if arrangement is not None:
            order, signs = arrangement
            layers[index] = layers[index][:, :, order] * signs
            layers[index + 1] = layers[index + 1][:, order] * signs[:, None]
    return layers
