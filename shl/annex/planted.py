"""Which planted atoms each scheme finds, in `shl.datasets.make_sparse_coded_signals`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..datasets import PROFILES, make_sparse_coded_signals, similarity
from ..estimators.dictionary import SparseHebbianLearning
from ..experiments.experiment import STUDY
from ..plotting import plot_recovery
from ..plotting.figures import new_figure
from ..store.jobs import StoredFunction, run_function
from .study import FADE, RULES, Study, raise_failure
from .tables import claims_of, claims_table, means_table, picture

STEPS = 2000
LEAST = 0.95  # cosine at which an atom is found
DRAWN = ("HAP", 0)  # the scheme and seed whose coefficients are drawn
VERSION = 3  # raise it when a run would give another result: stored ones are then not used

# The study's learning: rectified pursuit, a constant rate, no replacement.
STUDIED: dict[str, Any] = {**STUDY, "learning_algorithm": "mp", "homeo_fade": None, "C": 3.0}
del STUDIED["n_iter"]  # every scheme learns by STEPS
SCHEMES: dict[str, dict] = {rule: {**STUDIED, "homeo_method": rule} for rule in RULES}
SCHEMES |= {
    f"{rule}, fading": {**STUDIED, "homeo_method": rule, "homeo_fade": FADE} for rule in RULES[2:]
}
SCHEMES |= {
    "None, decay": {**STUDIED, "homeo_method": "None", "eta_decay": (0.6, 0.05)},
    "None, decay, replacement": {"learning_algorithm": "mp", "homeo_method": "None"},
    "default": {},
}
FEW = ("None", "None, decay, replacement", "default")
Changes = tuple[dict, dict]  # of what is planted, and of the model
ROBUSTNESS: dict[str, Changes] = {  # in the world '1/rank'
    "as it is": ({}, {}),
    "noise .1": ({"noise": 0.1}, {}),
    "1000 samples": ({"n_samples": 1000}, {}),
    "8 events for 4": ({}, {"l0_sparseness": 8}),
    "2 events for 4": ({}, {"l0_sparseness": 2}),
    "144 atoms for 96": ({}, {"n_dictionary": 144}),
    "80 atoms for 96": ({}, {"n_dictionary": 80}),
}


def recovery(study: Study, out: Path) -> Iterator[str]:
    """Shares of planted atoms that each scheme finds, for atoms that are used alike and unlike."""
    seeds = range(study.scale.n_planted)
    worlds = [(profile, "as it is", scheme) for profile in PROFILES for scheme in SCHEMES]
    cases = [("1/rank", case, scheme) for case in ROBUSTNESS for scheme in FEW]
    found = _learn_all(study, list(dict.fromkeys(worlds + cases)), seeds)

    def values(profile, case, scheme, name="share"):
        return [record[name] for record in found[profile, case, scheme]]

    by_world = {
        scheme: {profile: values(profile, "as it is", scheme) for profile in PROFILES}
        for scheme in SCHEMES
    }
    yield (
        "96 planted atoms of 64 pixels (zipf: 128), 4 active in each of 20,000 samples; share of "
        f"them with a learned atom of cosine .95 or more after {STEPS} steps, over {len(seeds)} "
        f"seeds; world and model have random streams of their own. Fading rules end with plain "
        f"pursuit (homeo_fade = {FADE}); the default is signed orthogonal pursuit, HAP that fades, "
        f"replacement of atoms and a rate that decays, and finds atoms up to their sign.\n"
    )
    yield from means_table(["scheme"], PROFILES, by_world)
    yield "Does plain pursuit find fewer than the scheme? A paired t-test:\n"
    pairs = [("None", scheme) for scheme in SCHEMES if scheme != "None"]
    yield from claims_table(claims_of(by_world, PROFILES, pairs), "profile")
    yield "Where the world or the model is another, with atoms used as 1 / rank:\n"
    by_case = {
        scheme: {case: values("1/rank", case, scheme) for case in ROBUSTNESS} for scheme in FEW
    }
    yield from means_table(["scheme"], list(ROBUSTNESS), by_case)
    names, case = ("n_replaced", "n_dead"), "144 atoms for 96"
    counts = {scheme: {n: values("1/rank", case, scheme, n) for n in names} for scheme in FEW}
    yield "Replacements, and atoms that no sample of the last pass selects, of 144 for 96:\n"
    yield from means_table(["scheme"], names, counts)
    yield from _draw(found, out)


def _draw(found, out):
    """True against recovered coefficients, and how near the planted atoms are found."""
    fig = new_figure(figsize=(4 * len(PROFILES), 4), layout="constrained")
    scheme, seed = DRAWN
    for ax, profile in zip(fig.subplots(1, len(PROFILES)), PROFILES, strict=True):
        record = found[profile, "as it is", scheme][seed]
        plot_recovery(record["true"], record["found"], title=f"{scheme}, {profile}", ax=ax)
    yield f"{picture(fig, out, 'planted', 'True against recovered coefficients')}\n"
    fig = new_figure(figsize=(4 * len(PROFILES), 3), layout="constrained")
    axs = fig.subplots(1, len(PROFILES), sharey=True)
    for ax, profile in zip(axs, PROFILES, strict=True):
        for scheme in FEW:
            cosines = found[profile, "as it is", scheme][0]["cosines"]
            ax.plot(np.sort(cosines), label=scheme)
        ax.axhline(0.95, color="0.6", linestyle=":")
        ax.set(title=profile, xlabel="planted atom, in order")
    axs[0].set_ylabel("cosine with the nearest learned atom")
    axs[0].legend()
    shown = picture(fig, out, "replacement", "Cosines without and with replacement")
    yield f"What replacement finds:\n\n{shown}\n"


def _learn_all(study, worlds, seeds):
    """{world: records over the seeds} of (profile, case, scheme), those in the store from there."""
    names = ("profile", "case", "scheme")
    calls = [dict(zip(names, world, strict=True)) | {"seed": s} for world in worlds for s in seeds]
    identity = {"version": VERSION, "steps": STEPS, **SparseHebbianLearning().get_params()}
    results = store.open_store(study.opts["cache_dir"])
    learn = StoredFunction(_learn_planted, "planted", results, identity, package="annex")
    records = run_function(learn, calls, study.n_jobs, study.verbose, "planted")
    raise_failure(records, "{profile}, {scheme}, {case}, seed {seed}".format_map)
    parts = [records[i : i + len(seeds)] for i in range(0, len(records), len(seeds))]
    return dict(zip(worlds, parts, strict=True))


def _learn_planted(profile, case, scheme, seed):
    """The share of atoms found and their cosines, and for DRAWN the coefficients of some samples,
    true and found.
    """
    world, change = ROBUSTNESS[case]
    sizes = {"n_atoms": 128, "noise": 0.03} if profile == "zipf" else {}
    rng = np.random.default_rng([seed, 0])
    X, atoms, code = make_sparse_coded_signals(profile=profile, random_state=rng, **(sizes | world))
    options = SCHEMES[scheme] | {"n_dictionary": len(atoms), "l0_sparseness": 4, "n_iter": STEPS}
    options |= {"random_state": np.random.default_rng([seed, 1])} | change
    model = SparseHebbianLearning(**options).fit(X)
    is_signed = options.get("learning_algorithm") != "mp"
    cosines = similarity(model.components_, atoms, is_signed)
    is_found = cosines >= LEAST
    result = {"share": float(is_found.mean()), "cosines": cosines, "n_dead": model.n_dead_}
    result["n_replaced"] = model.n_replaced_
    if (scheme, seed) == DRAWN:
        nearest = (atoms @ model.components_.T).argmax(axis=1)[is_found]
        result |= {"true": code[:1000, is_found], "found": model.transform(X[:1000])[:, nearest]}
    return result
