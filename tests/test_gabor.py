import joblib
import numpy as np
import pytest
from making import some_slow

from shl import metrics
from shl.gabor import fit_gabor, orientation_entropy


def gabor(
    side=15, x0=0.0, y0=0.0, orientation=0.6, frequency=0.15, width=2.2, length=3.5, phase=0.5
):
    """A Gabor function as a patch, y upwards, orientation that of the stripes."""
    x, y = np.meshgrid(np.arange(side) - (side - 1) / 2, (side - 1) / 2 - np.arange(side))
    theta = orientation - np.pi / 2  # across the stripes
    u = np.cos(theta) * (x - x0) + np.sin(theta) * (y - y0)
    v = -np.sin(theta) * (x - x0) + np.cos(theta) * (y - y0)
    envelope = np.exp(-(u**2) / (2 * width**2) - v**2 / (2 * length**2))
    return (envelope * np.cos(2 * np.pi * frequency * u + phase)).ravel()


CASES = [
    {},
    {"orientation": 0.0},
    {"orientation": 1.5},
    {"orientation": 3.0, "phase": 1.3},
    {"x0": 3.0, "y0": -2.0},
    {"frequency": 0.3, "width": 1.5, "length": 2.0},
    {"width": 3.0, "length": 2.0, "phase": 0.0},
]


def test_known_gabor_functions_are_found_again():
    usual = {"orientation": 0.6, "frequency": 0.15, "width": 2.2, "length": 3.5, "phase": 0.5}
    wanted = [{**usual, "x0": 0.0, "y0": 0.0, **case} for case in CASES]
    fits = metrics.fit_gabor(np.array([gabor(**case) for case in CASES]))
    np.testing.assert_allclose(fits["r2"], 1, atol=1e-6)
    names = {"x": "x0", "y": "y0", **{n: n for n in ("frequency", "width", "length", "phase")}}
    for name, of_case in names.items():
        cases = [case[of_case] for case in wanted]
        np.testing.assert_allclose(fits[name], cases, atol=2e-3, err_msg=name)
    turn = fits["orientation"] - [case["orientation"] for case in wanted]
    np.testing.assert_allclose((turn + np.pi / 2) % np.pi - np.pi / 2, 0, atol=2e-3)
    np.testing.assert_allclose(fits["n_x"], fits["width"] * fits["frequency"])
    np.testing.assert_allclose(fits["aspect"], fits["length"] / fits["width"])
    np.testing.assert_allclose(fits["amplitude"], 1, atol=1e-3)


@pytest.mark.parametrize("backend", some_slow(["threading", "loky"]))
def test_fit_gabor_ignores_sign_scale_and_workers(backend):
    atoms = np.array([gabor(**case) for case in CASES[:2]])
    with joblib.parallel_config(backend):
        plain, scaled = fit_gabor(atoms), fit_gabor(-2 * atoms, n_jobs=2)
    for name in ("orientation", "frequency", "phase", "n_x", "n_y", "r2"):
        np.testing.assert_allclose(scaled[name], plain[name], rtol=1e-6, atol=1e-8)


def test_fit_gabor_of_noise_and_of_zeros(rng):
    fits = fit_gabor(np.array([rng.standard_normal(225), np.zeros(225), gabor()]))
    assert fits["r2"][0] < 0.5 and np.isnan(fits["r2"][1]) and fits["r2"][2] > 0.999


def test_pixels_under_a_mask_are_left_out():
    x, y = np.meshgrid(*[np.arange(15) - 7] * 2)
    mask = (x**2 + y**2 <= 49).ravel()
    fits = fit_gabor(gabor(x0=3.0)[None] * mask)
    np.testing.assert_allclose(fits["r2"], 1, atol=1e-6)


def test_orientation_entropy_is_between_0_and_1():
    even = (np.arange(120) + 0.5) * np.pi / 120
    assert orientation_entropy(even) == pytest.approx(1)
    assert orientation_entropy(np.full(50, 0.1)) == 0
    assert np.isnan(orientation_entropy([]))


def test_formless_atoms_are_told_from_edges(rng):
    atoms = [gabor(**case) for case in CASES] + list(rng.standard_normal((5, 225)))
    atoms.append(gabor(x0=-4.0, width=1.5) + gabor(x0=4.0, orientation=2.0, width=1.5))
    found = metrics.is_formless(np.array(atoms))
    np.testing.assert_array_equal(found, [False] * len(CASES) + [True] * 5 + [False])
    np.testing.assert_array_equal(metrics.is_formless(np.array(atoms), least_r2=1.0)[7:12], True)
    assert not metrics.is_formless(np.array(atoms[:3])).any()
    noise = rng.standard_normal((4, 15 * 15 * 3))
    colour = np.repeat(np.array(atoms[:7]), 3, axis=1)
    assert metrics.is_formless(noise, (15, 15, 3)).all()
    assert not metrics.is_formless(colour, (15, 15, 3)).any()
