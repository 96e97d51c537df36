"""Planted dictionaries: samples made from known atoms, to see which of them a run finds again."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .. import store
from .._checks import check_choice, check_count, check_generator, check_number
from .._jobs import StoredFunction, failure_lines, run_function
from ..estimator import SparseHebbianLearning
from ..plotting import plot_recovery
from ..plotting.figures import new_figure, save_both
from .study import FADE, Study, raise_failures
from .tables import claims_table, means_table

PROFILES = ("equal", "half stronger", "1/rank")
STEPS = 2000
DRAWN = ("HAP", None, 0)  # rule, homeo_fade and seed of the learning whose coefficients are drawn
VERSION = 1  # raise it when a run would give another result: stored ones are then not used


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
    ("HEH", None),
    ("EMP", FADE),
    ("HAP", FADE),
    ("HEH", FADE),
)


def recovery(study: Study, out: Path) -> Iterator[str]:
    """Shares of planted atoms that each rule finds, for atoms that are used alike and unlike."""
    seeds = range(study.scale.n_planted)
    records = _learn_all(study, seeds)
    shares = {
        _label(rule, fade): {
            profile: [
                record["share"]
                for record in records
                if (record["profile"], record["rule"], record["fade"]) == (profile, rule, fade)
            ]
            for profile in PROFILES
        }
        for rule, fade in CASES
    }
    yield (
        "96 planted atoms of 64 pixels, 4 active in each of 20,000 samples; share of them with a "
        "learned atom of "
        f"cosine .95 or more after {STEPS} steps, over {len(seeds)} seeds. Fading rules end with "
        f"plain pursuit "
        f"(homeo_fade = {FADE}).\n"
    )
    yield from means_table(["rule"], PROFILES, shares)
    yield "Does plain pursuit find fewer than the rule? A paired t-test:\n"
    yield from claims_table(
        [
            (profile, "None", label, shares["None"][profile], found[profile])
            for profile in PROFILES
            for label, found in shares.items()
            if label != "None"
        ],
        "profile",
    )
    fig = new_figure(figsize=(4 * len(PROFILES), 4), layout="constrained")
    drawn = [record for record in records if "true" in record]
    for ax, record in zip(fig.subplots(1, len(PROFILES)), drawn, strict=True):
        plot_recovery(record["true"], record["found"], ax=ax)
        ax.set_title(f"{_label(record['rule'], record['fade'])}, {record['profile']}")
    save_both(fig, out / "planted")
    yield "![True against recovered coefficients](planted.png)\n"


def _label(rule, fade):
    return rule + (", fading" if fade else "")


def _learn_all(study, seeds):
    """The records of all runs, those in the store read from there."""
    calls = [
        {"profile": profile, "rule": rule, "fade": fade, "seed": seed}
        for profile in PROFILES
        for rule, fade in CASES
        for seed in seeds
    ]
    identity = {"version": VERSION, "steps": STEPS, **SparseHebbianLearning().get_params()}
    results = store.open_store(study.opts["cache_dir"])
    learn = StoredFunction(_learn_planted, "planted", results, identity)
    records = run_function(learn, calls, study.n_jobs, study.verbose, "planted")
    raise_failures(failure_lines(records, "{profile}, {rule}, seed {seed}".format_map))
    return records


def _learn_planted(profile, rule, fade, seed):
    """The share of atoms found, and for DRAWN the coefficients of some samples, true and found."""
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
    result = {"share": float(is_found.mean())}
    if (rule, fade, seed) == DRAWN:
        nearest = (atoms @ model.components_.T).argmax(axis=1)[is_found]
        result |= {"true": code[:1000, is_found], "found": model.transform(X[:1000])[:, nearest]}
    return result
