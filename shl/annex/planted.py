"""Planted dictionaries: samples made from known atoms, to see which of them a learning finds again."""

import numpy as np

from ..checks import check_choice, check_count, check_number

PROFILES = ("equal", "half stronger", "1/rank")


def plant(n_samples=20000, n_pixels=64, n_atoms=96, n_active=4, noise=0.02, profile="equal", rng=None):
    """Samples that are sums of a few positive multiples of atoms: X = A D + noise.

    Atoms are white and of norm 1; each sample uses n_active of them with coefficients uniform in [0.5, 1.5].

    Parameters
    ----------
    noise : float, the standard deviation of white noise on each pixel.
    profile : 'equal', atoms are used equally often and strongly; 'half stronger', the coefficients of every second
        atom are twice as large; '1/rank', the k-th atom is used with a probability proportional to 1 / k.
    rng : Generator.

    Returns
    -------
    X : array (n_samples, n_pixels) float32
    atoms : array (n_atoms, n_pixels)
    code : array (n_samples, n_atoms)
    """
    check_choice(profile, "profile", PROFILES)
    check_count(n_active, "n_active", most=n_atoms, why="the atoms")
    check_number(noise, "noise", least=0)
    rng = np.random.default_rng() if rng is None else rng
    atoms = rng.standard_normal((n_atoms, n_pixels))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    weights = 1 / np.arange(1, n_atoms + 1) if profile == "1/rank" else np.ones(n_atoms)
    # The atoms of the smallest exponential times are draws without replacement by these weights (Efraimidis 2006).
    times = rng.standard_exponential((n_samples, n_atoms)) / weights
    chosen = np.argpartition(times, n_active - 1, axis=1)[:, :n_active]
    code = np.zeros((n_samples, n_atoms))
    np.put_along_axis(code, chosen, rng.uniform(0.5, 1.5, chosen.shape), axis=1)
    if profile == "half stronger":
        code[:, ::2] *= 2
    return (code @ atoms + noise * rng.standard_normal((n_samples, n_pixels))).astype(np.float32), atoms, code


def recovered(dictionary, atoms, least=0.95):
    """For each planted atom, whether a learned one has a cosine of at least `least` with it: (n_atoms,) bool."""
    return (atoms @ np.asarray(dictionary).T).max(axis=1) >= least
