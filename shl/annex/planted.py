"""Planted dictionaries: samples made from known atoms, to see which of them a run finds again."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike

from .._checks import check_choice, check_count, check_generator, check_number
from ..estimator import SparseHebbianLearning
from ..plotting import plot_recovery
from ..plotting.figures import new_figure, save_both
from .study import FADE, Study
from .tables import CLAIM, comparisons, mean_std, table

PROFILES = ("equal", "half stronger", "1/rank")
STEPS = 2000


def plant(
    n_samples: int = 20000,
    n_pixels: int = 64,
    n_atoms: int = 96,
    n_active: int = 4,
    noise: float = 0.02,
    profile: str = "equal",
    rng: np.random.Generator | int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples that are sums of a few positive multiples of atoms: X = A D + noise.

    Atoms are white and of norm 1; each sample uses n_active of them with coefficients uniform in
    [0.5, 1.5].

    Parameters
    ----------
    n_samples, n_pixels, n_atoms : int
        Sizes of X and D.
    n_active : int, default=4
        Atoms of a sample.
    noise : float, default=0.02
        The standard deviation of white noise on each pixel.
    profile : {'equal', 'half stronger', '1/rank'}, default='equal'
        'equal', atoms are used equally often and strongly; 'half stronger', the coefficients of
        every second atom are twice as large; '1/rank', the k-th atom is used with a probability
        proportional to 1 / k.
    rng : Generator or int, default=0
        Draws everything; an int is a seed.

    Returns
    -------
    X : array of shape (n_samples, n_pixels), float32
    atoms : array of shape (n_atoms, n_pixels)
    code : array of shape (n_samples, n_atoms)
    """
    check_choice(profile, "profile", PROFILES)
    check_count(n_active, "n_active", most=n_atoms, why="the atoms")
    check_number(noise, "noise", least=0)
    rng = check_generator(rng, "rng")
    atoms = rng.standard_normal((n_atoms, n_pixels))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    weights = 1 / np.arange(1, n_atoms + 1) if profile == "1/rank" else np.ones(n_atoms)
    # The atoms of the smallest exponential times are draws without replacement by these weights
    # (Efraimidis 2006).
    times = rng.standard_exponential((n_samples, n_atoms)) / weights
    chosen = np.argpartition(times, n_active - 1, axis=1)[:, :n_active]
    code = np.zeros((n_samples, n_atoms))
    np.put_along_axis(code, chosen, rng.uniform(0.5, 1.5, chosen.shape), axis=1)
    if profile == "half stronger":
        code[:, ::2] *= 2
    return (
        (code @ atoms + noise * rng.standard_normal((n_samples, n_pixels))).astype(np.float32),
        atoms,
        code,
    )


def recovered(dictionary: ArrayLike, atoms: np.ndarray, least: float = 0.95) -> np.ndarray:
    """Whether a learned atom has a cosine of at least `least` with each planted one.

    Parameters
    ----------
    dictionary : array of shape (n_dictionary, n_pixels)
        Learned atoms, of norm 1.
    atoms : array of shape (n_atoms, n_pixels)
        Planted atoms, of norm 1.
    least : float, default=0.95

    Returns
    -------
    is_found : array of shape (n_atoms,), bool
    """
    return (atoms @ np.asarray(dictionary).T).max(axis=1) >= least


CASES = (
    ("None", None),
    ("OLS", None),
    ("EMP", None),
    ("HAP", None),
    ("HEH2019", None),
    ("HEH", None),
    ("EMP", FADE),
    ("HAP", FADE),
    ("HEH2019", FADE),
    ("HEH", FADE),
)


def recovery(study: Study, out: Path) -> Iterator[str]:
    """Shares of planted atoms that each rule finds, for atoms that are used alike and unlike."""
    seeds = range(study.scale.n_planted)
    jobs = [(profile, case, seed) for profile in PROFILES for case in CASES for seed in seeds]
    found = Parallel(n_jobs=study.n_jobs)(delayed(_learn_planted)(*job) for job in jobs)
    by_job = {job: share for job, (share, _) in zip(jobs, found, strict=True)}
    shares = {
        (profile, case): [by_job[profile, case, seed] for seed in seeds]
        for profile in PROFILES
        for case in CASES
    }
    yield (
        "96 planted atoms of 64 pixels, 4 active in each of 20,000 samples; share of them with a "
        "learned atom of "
        f"cosine .95 or more after {STEPS} steps, over {len(seeds)} seeds. Fading rules end with "
        f"plain pursuit "
        f"(homeo_fade = {FADE}).\n"
    )
    yield from table(
        ["rule", *PROFILES],
        [
            [_label(case), *(mean_std(shares[profile, case]) for profile in PROFILES)]
            for case in CASES
        ],
    )
    yield "Does plain pursuit find fewer than the rule? A paired t-test:\n"
    yield from table(
        ("profile", *CLAIM[1:]),
        comparisons(
            [
                (profile, "None", _label(case), shares[profile, CASES[0]], shares[profile, case])
                for profile in PROFILES
                for case in CASES[1:]
            ]
        ),
    )
    fig = new_figure(figsize=(4 * len(PROFILES), 4), layout="constrained")
    for ax, profile in zip(fig.subplots(1, len(PROFILES)), PROFILES, strict=True):
        codes = found[jobs.index((profile, ("HAP", None), 0))][1]
        plot_recovery(*codes, ax=ax)
        ax.set_title(f"HAP, {profile}")
    save_both(fig, out / "planted")
    yield "![True against recovered coefficients](planted.png)\n"


def _label(case):
    """The name of a rule, with its fading."""
    rule, fade = case
    return rule + (", fading" if fade else "")


def _learn_planted(profile, case, seed):
    """(share of atoms found, true and recovered coefficients of some samples on these atoms)."""
    rule, fade = case
    X, atoms, code = plant(profile=profile, rng=np.random.default_rng(seed))
    model = SparseHebbianLearning(
        len(atoms),
        l0_sparseness=4,
        n_iter=STEPS,
        homeo_method=rule,
        homeo_fade=fade,
        random_state=seed,
    ).fit(X)
    is_found = recovered(model.components_, atoms)
    nearest = (atoms @ model.components_.T).argmax(axis=1)[is_found]
    return is_found.mean(), (code[:1000, is_found], model.transform(X[:1000])[:, nearest])
