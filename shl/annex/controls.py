"""Controls: coders, starts, rates, sizes, the mask, other databases, better parameters."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .._base.tables import summary_of, table
from ..experiments.experiment import SHL
from ..metrics import usage_entropy
from ..plotting import plot_scan, show_data, show_dico
from ..plotting.figures import COLORS, new_figure, save_both
from .study import FADE, RULES, Study, code, measure
from .tables import claims_table, means_table

CODERS = ("mp", "omp", "lars", "lasso_lars", "lasso_cd")
RATES = (0.02, 0.2, 2.0, 20.0)  # of the plain gradient, whose steps are much smaller than Adam's
DECAYING = {"eta_decay": (0.6, 0.05), "replace": True}
SOME = ("None", "HAP", "HEH")
FADED = SOME[1:]
SCANS = {"alpha_homeo": ("OLS", "EMP"), "l0_sparseness": SOME, "n_dictionary": SOME}
MEANS = ("error", "F", "error_own", "F_own", "entropy")


def statistics(study: Study, out: Path) -> Iterator[str]:
    """Statistics of data and atoms, with and without the mask, and a look at both."""
    rows = []
    for do_mask in (True, False):
        data = SHL(**study.opts, do_mask=do_mask).get_data()
        energy = np.sqrt((data**2).mean(axis=1))
        rows.append(
            [
                f"patches, do_mask={do_mask}",
                str(data.shape),
                summary_of(data.mean(axis=1)),
                summary_of(energy),
            ]
        )
        fig = new_figure(figsize=(12, 1.2))
        show_data(data, fig=fig)
        save_both(fig, out / f"data_mask_{do_mask}")
    for rule in RULES:
        atoms = study.rules.models(seed=study.seeds[0], homeo_method=rule)[0].components_
        rows.append(
            [
                f"atoms, {rule}",
                str(atoms.shape),
                summary_of(atoms.mean(axis=1)),
                summary_of(np.linalg.norm(atoms, axis=1)),
            ]
        )
    yield "Energy is the root mean square of a patch, the norm of an atom.\n"
    yield from table(["", "shape", "mean", "energy"], rows, is_markdown=True)
    yield (
        "![Patches with mask](data_mask_True.png)\n\n![Patches without mask](data_mask_False.png)\n"
    )
    runs = study.run(["do_mask", "homeo_method"], {"do_mask": [True, False], "homeo_method": SOME})
    patches = {do_mask: study.fresh(do_mask=do_mask) for do_mask in (True, False)}
    found = {
        (do_mask, rule): measure(runs.models(do_mask=do_mask, homeo_method=rule), patches[do_mask])
        for do_mask in (True, False)
        for rule in SOME
    }
    yield from means_table(["do_mask", "rule"], MEANS, found)


def coders(study: Study, out: Path) -> Iterator[str]:
    """Dictionaries learned with each coder in the same steps, all judged by the same pursuits."""
    patches, steps = study.fresh(), study.scale.n_slow
    runs = study.run(
        ["learning_algorithm", "seed"],
        {"learning_algorithm": CODERS, "seed": study.few_seeds},
        n_iter=steps,
        homeo_method="None",
        record_each=0,
    )
    rows, errors = [], {}
    for coder in CODERS:
        models = runs.models(learning_algorithm=coder)
        events, errors[coder] = zip(*(code(model, patches) for model in models), strict=True)
        signed = [code(model, patches, do_sym=True, algorithm="omp")[1] for model in models]
        entropy = [usage_entropy(each) for each in events]
        rows.append(
            [
                coder,
                *map(summary_of, (errors[coder], signed, entropy)),
                runs.column("seconds", learning_algorithm=coder).mean(),
            ]
        )
        show_dico(
            None, models[0], dim_graph=(4, 18), order="index", fname=out / f"coder_{coder}.png"
        )
    yield (
        f"{steps} of the study's {study.scale.opts['n_iter']} steps with each coder, no "
        f"homeostasis; error on "
        f"{len(patches)} new patches by matching pursuit, whose coefficients are not negative as "
        f"those of mp in "
        "learning, and by orthogonal pursuit of either sign, as the other coders'.\n"
    )
    header = ["coder", "error by mp", "error by signed omp", "entropy by mp", "CPU seconds"]
    yield from table(header, rows, is_markdown=True)
    yield "Is the error by mp of a dictionary learned with mp below? A paired t-test:\n"
    yield from claims_table(
        [("error", "mp", coder, errors["mp"], errors[coder]) for coder in CODERS[1:]]
    )
    yield (
        "\n\n".join(
            f"{coder}: ![Atoms learned with {coder}](coder_{coder}.png)" for coder in CODERS
        )
        + "\n"
    )


def starts_and_rates(study: Study, out: Path) -> Iterator[str]:
    """White or 1/f start; Adam or the plain gradient with a fixed rate."""
    patches, seeds = study.fresh(), {"seed": study.few_seeds}
    runs = study.run(
        ["one_over_F", "homeo_method", "seed"],
        {"one_over_F": [False, True], "homeo_method": SOME, **seeds},
    )
    found = {
        (f"Adam, {'1/f' if noise else 'white'} start", rule): measure(
            runs.models(one_over_F=noise, homeo_method=rule), patches
        )
        for noise in (False, True)
        for rule in SOME
    }
    runs = study.run(["eta", "seed"], {"eta": RATES, **seeds}, beta1=0, homeo_method="HAP")
    found |= {
        (f"fixed rate {eta:g}, white start", "HAP"): measure(runs.models(eta=eta), patches)
        for eta in RATES
    }
    yield from means_table(["learning", "rule"], MEANS, found)


def scans(study: Study, out: Path) -> Iterator[str]:
    """F, error and usage over alpha_homeo, l0_sparseness and n_dictionary."""
    measures, patches = ("F", "error", "entropy"), study.fresh()
    fig = new_figure(figsize=(12, 3.2 * len(SCANS)), layout="constrained")
    yield "On new patches, one run each; qerror, and so F, grows with the number of atoms.\n"
    for row, (variable, rules) in zip(
        fig.subplots(len(SCANS), len(measures)), SCANS.items(), strict=True
    ):
        runs = study.run(["homeo_method", variable], {"homeo_method": rules}, N_scan=5, base=2.0)
        values = [record["params"][variable] for record in runs.select(homeo_method=rules[0])]
        found = {rule: measure(runs.models(homeo_method=rule), patches) for rule in rules}
        for ax, name in zip(row, measures, strict=True):
            for rule in rules:
                plot_scan(
                    values, found[rule][name], variable, name, color=COLORS[rule], label=rule, ax=ax
                )
            ax.set_ylabel(name)
        row[0].legend()
        yield from table(
            [variable, "rule", *measures],
            [
                [value, rule, *(found[rule][name][i] for name in measures)]
                for rule in rules
                for i, value in enumerate(values)
            ],
            is_markdown=True,
        )
    save_both(fig, out / "scans")
    yield "![Scans](scans.png)\n"


def fading(study: Study, out: Path) -> Iterator[str]:
    """Rules that fade to plain pursuit, on natural patches."""
    seeds, patches = study.few_seeds, study.fresh()
    faded = study.run(
        ["homeo_method", "seed"], {"homeo_method": FADED, "seed": seeds}, homeo_fade=FADE
    )
    found = {
        rule: {name: study.measured[rule][name][: len(seeds)] for name in MEANS} for rule in SOME
    }
    found |= {
        f"{rule}, fading": measure(faded.models(homeo_method=rule), patches) for rule in FADED
    }
    yield f"homeo_fade = {FADE}; on new patches, over {len(seeds)} seeds.\n"
    yield from means_table(["rule"], MEANS, found)
    yield "Is the error below that of plain pursuit throughout? A paired t-test:\n"
    yield from claims_table(
        [
            ("error", rule, "None", found[rule]["error"], found["None"]["error"])
            for rule in found
            if "fading" in rule
        ]
    )


def decaying(study: Study, out: Path) -> Iterator[str]:
    """A rate that decays late, and replacement of atoms, beside the rules by themselves."""
    seeds, patches = study.few_seeds, study.fresh()
    runs = study.run(
        ["homeo_method", "seed"], {"homeo_method": ("None", "HAP"), "seed": seeds}, **DECAYING
    )
    default = study.run(["seed"], {"seed": seeds}, **DECAYING, homeo_method="HAP", eta=SHL.eta)
    found = {
        rule: {name: study.measured[rule][name][: len(seeds)] for name in MEANS} for rule in RULES
    }
    new = {
        f"{rule}, decay, replacement": measure(runs.models(homeo_method=rule), patches)
        for rule in ("None", "HAP")
    }
    new[f"HAP, decay from {SHL.eta:g}, replacement"] = measure(default.models(), patches)
    yield f"The same number of steps; on new patches, over {len(seeds)} seeds.\n"
    yield from means_table(["scheme"], MEANS, found | new)
    yield "Is the error, and is F, below those of the rules? A paired t-test:\n"
    yield from claims_table(
        [
            (name, scheme, rule, each[name], found[rule][name])
            for scheme, each in new.items()
            for rule in RULES
            for name in ("error", "F")
        ]
    )
    replaced = [model.n_replaced_ for model in runs.models() + default.models()]
    yield f"Atoms replaced in a run: {min(replaced)} to {max(replaced)}.\n"
    dico = default.models()[0]
    show_dico(None, dico, dim_graph=(4, 18), fname=out / "decaying.png")
    yield f"The last scheme, seed {seeds[0]}: ![Atoms](decaying.png)\n"
    unreplaced = study.run(
        ["seed"], {"seed": seeds[:1]}, homeo_method="HAP", **DECAYING | {"replace": False}
    )
    without, dico = unreplaced.models()[0], runs.models(homeo_method="HAP")[0]
    if not len(dico.replaced_):
        yield "Replacement replaced none of HAP's atoms: it is inert here.\n"
        return
    some = dico.replaced_[:18]
    fig = new_figure(figsize=(9, 1.6), layout="constrained")
    for ax, model in zip(fig.subplots(2, 1), (without, dico), strict=True):
        show_dico(None, model.components_[some], dim_graph=(1, 18), order="index", ax=ax)
        ax.set_title("with replacement" if model is dico else "without", fontsize="small")
    save_both(fig, out / "replaced")
    yield "Atoms of HAP that were replaced, at the end: ![Atoms](replaced.png)\n"


# ---------------------------------------------------------------------------------------- databases


def databases(study: Study) -> list[str]:
    """The built-in databases and that of the study."""
    return list(dict.fromkeys(["sample", "dead_leaves", study.database]))


def generalisation(study: Study, out: Path) -> Iterator[str]:
    """Learn on one database, code another."""
    names, seeds = databases(study), study.few_seeds
    fresh = {name: study.fresh(name_database=name) for name in names}
    rows = []
    for learned in names:
        runs = study.run(
            ["homeo_method", "seed"], {"homeo_method": SOME, "seed": seeds}, name_database=learned
        )
        for rule in SOME:
            models = runs.models(homeo_method=rule)
            found = [measure(models, fresh[name]) for name in names]
            rows.append(
                [
                    learned,
                    rule,
                    *(summary_of(each["error"]) for each in found),
                    *(each["entropy"].mean() for each in found),
                ]
            )
    yield (
        f"New patches of each database, coded by plain pursuit; over {len(seeds)} seeds. Those of "
        f"the database "
        "that was learned are of the same images as those of learning.\n"
    )
    yield from table(
        [
            "learned on",
            "rule",
            *(f"error on {name}" for name in names),
            *(f"entropy on {name}" for name in names),
        ],
        rows,
        is_markdown=True,
    )


# -------------------------------------------------------------------------------- better parameters

DEFAULTS = {"C": 3.0, "nb_quant": 128, "eta_homeo": 0.01}
GRIDS = {
    "C": (("HEH2019", "HEH"), (0, 0.5, 1.0, 3.0, 6.0)),
    "nb_quant": (("HEH2019", "HEH"), (32, 128, 512)),
    "eta_homeo": (FADED, (0.0025, 0.005, 0.01, 0.02)),
}
FEW = {"C": (("HEH2019", "HEH"), (0, 1.0, 3.0)), "eta_homeo": GRIDS["eta_homeo"]}
TUNED = ("error", "error_own", "F", "F_own", "entropy", "entropy_own")
WIDE_BATCH = 1024  # the default of SHL


def tuning(study: Study, out: Path) -> Iterator[str]:
    """Parameters of HAP and both HEH: at the quick size on all databases, at the study's own."""
    at_hand = {
        "datapath": study.opts["datapath"],
        "n_jobs": study.n_jobs,
        "cache_dir": study.opts["cache_dir"],
        "verbose": study.verbose,
    }
    if study.scale_name == "quick":
        yield from _tune(study, FEW)
        return
    for name in databases(study):
        small = Study("quick", name, **at_hand)
        yield from _tune(small, GRIDS)
        yield from _tune(small, {"eta_homeo": GRIDS["eta_homeo"]}, batch_size=WIDE_BATCH)
    yield from _tune(study, FEW)


def _tune(study, grids, **changes):
    """Each parameter over its values, on new patches, tested against the paper's default."""
    patches = study.fresh()
    size = {**study.scale.opts, **changes}
    yield (
        f"On {study.database}, {size['patch_width']} x {size['patch_width']} pixels, "
        f"{size['n_dictionary']} atoms, "
        f"batches of {size['batch_size']}, over {len(study.few_seeds)} seeds:\n"
    )
    claims = []
    for variable, (rules, values) in grids.items():
        runs = study.run(
            ["homeo_method", variable, "seed"],
            {"homeo_method": rules, variable: values, "seed": study.few_seeds},
            **changes,
        )
        found = {
            (rule, value): measure(runs.models(homeo_method=rule, **{variable: value}), patches)
            for rule in rules
            for value in values
        }
        yield from means_table(["rule", variable], TUNED, found)
        claims += [
            (
                f"{rule}, {variable}, {name}",
                value,
                DEFAULTS[variable],
                each[name],
                found[rule, DEFAULTS[variable]][name],
            )
            for (rule, value), each in found.items()
            if value != DEFAULTS[variable]
            for name in ("F", "F_own")
        ]
    yield "Is it below that of the paper's value, the second? A paired t-test:\n"
    yield from claims_table(claims)
