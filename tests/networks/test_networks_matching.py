import itertools

import numpy as np
import pytest

from shl.networks.teacher_student.matching import match, normal_form, rescale


def random_network(rng, widths=(3, 4, 3, 1), taps=(3, 2, 2)):
    return [rng.normal(size=shape) for shape in zip(taps, widths[:-1], widths[1:], strict=True)]


def place(layers, orders, signs=None):
    """The same network with its hidden units in another order, signs around them."""
    layers = [layer.copy() for layer in layers]
    for index, order in enumerate(orders):
        sign = np.ones(len(order)) if signs is None else signs[index]
        layers[index] = layers[index][:, :, order] * sign
        layers[index + 1] = layers[index + 1][:, order] * sign[:, None]
    return layers


def squared_distance(teacher, student):
    return sum(((t - s) ** 2).sum() for t, s in zip(teacher, student, strict=True))


@pytest.mark.parametrize("is_odd", [False, True])
def test_a_disguised_network_is_at_distance_zero(rng, is_odd):
    teacher = random_network(rng, widths=(1, 6, 5, 1))
    orders = [rng.permutation(6), rng.permutation(5)]
    signs = [rng.choice([-1, 1], 6), rng.choice([-1, 1], 5)] if is_odd else None
    _, found, distance = match(teacher, place(teacher, orders, signs), is_odd)
    assert distance < 1e-12
    for t, s in zip(teacher, found, strict=True):
        np.testing.assert_allclose(s, t)


@pytest.mark.parametrize("is_odd", [False, True])
def test_the_match_is_the_best_of_all(rng, is_odd):
    """Against every order and sign of three and three units, for networks that have nothing in
    common.
    """
    flips = list(map(np.array, itertools.product([1, -1] if is_odd else [1], repeat=3)))
    orders = [np.array(order) for order in itertools.permutations(range(3))]
    for _ in range(5):
        teacher, student = (random_network(rng, (2, 3, 3, 1)) for _ in range(2))
        best = min(
            squared_distance(teacher, place(student, pair, signs))
            for pair in itertools.product(orders, repeat=2)
            for signs in itertools.product(flips, repeat=2)
        )
        found = match(teacher, student, is_odd)
        norm = np.sqrt(sum((layer**2).sum() for layer in teacher))
        assert found[2] == pytest.approx(np.sqrt(best) / norm)
        assert squared_distance(teacher, found[1]) == pytest.approx(best)


def test_a_student_with_more_units_keeps_the_others(rng):
    teacher, student = random_network(rng, (1, 2, 1, 1)), random_network(rng, (1, 4, 5, 1))
    for layer, (n_in, n_out) in zip(student, [(1, 2), (2, 1), (1, 1)], strict=True):
        layer *= 0.01
        layer[:, -n_in:, -n_out:] = 0  # the teacher is hidden behind the student's own units
    for layer, known in zip(student, teacher, strict=True):
        layer[:, -known.shape[1] :, -known.shape[2] :] += known
    padded, found, distance = match(teacher, student)
    shapes = [[layer.shape for layer in network] for network in (padded, found, student)]
    assert shapes[0] == shapes[1] == shapes[2]
    for t, s in zip(teacher, found, strict=True):
        np.testing.assert_allclose(s[:, : t.shape[1], : t.shape[2]], t)
    others = np.sqrt(sum((s**2).sum() for s in student) - sum((t**2).sum() for t in teacher))
    assert distance == pytest.approx(others / np.sqrt(sum((t**2).sum() for t in teacher)))


def test_an_empty_student_is_at_distance_one(rng):
    teacher = random_network(rng)
    assert match(teacher, [0 * layer for layer in teacher])[2] == pytest.approx(1)


def test_networks_of_other_filters_cannot_be_matched(rng):
    with pytest.raises(ValueError, match=r"not \[3, 2, 2\] and \[2, 2, 2\]"):
        match(random_network(rng), random_network(rng, taps=(2, 2, 2)))


def test_normal_forms_have_the_same_outputs(rng):
    layers = random_network(rng, (12, 8, 5, 1), taps=(1, 1, 1))
    layers[0][:, :, 3] = 0  # a unit without inputs says nothing
    normal, scale = normal_form(layers)

    def outputs(network, x):
        for layer in network:
            x = np.maximum(x @ layer[0], 0)
        return x

    X = rng.standard_normal((50, 12))
    np.testing.assert_allclose(outputs(normal, X), outputs(layers, X), atol=1e-12)
    norms = np.sqrt((normal[0] ** 2).sum((0, 1)))
    np.testing.assert_allclose(norms, np.where(np.arange(8) == 3, 0, 1))
    scaled = [layers[0] * np.arange(1, 9), layers[1] / np.arange(1, 9)[:, None], layers[2]]
    for one, other in zip(normal, normal_form(scaled)[0], strict=True):
        np.testing.assert_allclose(one, other)
    layers[1][:, 3] = 0  # what leaves it
    for one, own in zip(rescale(normal, scale), layers, strict=True):
        np.testing.assert_allclose(one, own, atol=1e-12)
