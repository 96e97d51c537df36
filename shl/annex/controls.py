"""Controls: coders, starts, rates, sizes, the mask, other databases, better parameters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._base.tables import summary_of
from ..experiments.experiment import SHL
from ..metrics import usage_entropy
from ..plotting import plot_scan, show_data, show_dico
from ..plotting.figures import COLORS, new_figure
from ..store.files import is_reproducible
from .study import FADE, RULES, Study, code, measure
from .tables import claims_of, claims_table, markdown, means_table, picture

CODERS = ("mp", "omp", "lars", "lasso_lars", "lasso_cd")
RATES = (0.02, 0.2, 2.0, 20.0)  # of the plain gradient, whose steps are much smaller than Adam's
DECAYING: dict[str, Any] = {"eta_decay": (0.6, 0.05), "replace": True}
SOME = ("None", "HAP", "HEH")
FADED = SOME[1:]
SCANS = {"alpha_homeo": ("OLS", "EMP"), "l0_sparseness": SOME, "n_dictionary": SOME}
MEANS = ("error", "F", "error_own", "F_own", "entropy")


def statistics(study: Study, out: Path) -> Iterator[str]:
    """Tabulate statistics of data and atoms, with and without the mask, and draw the data."""
    rows, pictures, masks = [], [], (True, False)

    def add_row(name, X, energy):
        rows.append([name, str(X.shape), summary_of(X.mean(axis=1)), summary_of(energy)])

    for do_mask in masks:
        data = SHL(**study.opts, do_mask=do_mask).get_data()
        add_row(f"patches, do_mask={do_mask}", data, np.sqrt((data**2).mean(axis=1)))
        text = f"Patches {'with' if do_mask else 'without'} mask"
        pictures.append(picture(show_data(data)[0], out, f"data_mask_{do_mask}", text))
    for rule in RULES:
        atoms = study.first(rule).components_
        add_row(f"atoms, {rule}", atoms, np.linalg.norm(atoms, axis=1))
    yield "Energy is the root mean square of a patch, the norm of an atom.\n"
    yield from markdown(["", "shape", "mean", "energy"], rows)
    yield from (f"{each}\n" for each in pictures)
    runs = study.run({"do_mask": masks, "homeo_method": SOME})
    found: dict[tuple, dict] = {}
    for do_mask in masks:
        measured = runs.measure(study.fresh(do_mask=do_mask), values=SOME, do_mask=do_mask)
        found |= {(do_mask, rule): each for rule, each in measured.items()}
    yield from means_table(["do_mask", "rule"], MEANS, found)


def coders(study: Study, out: Path) -> Iterator[str]:
    """Learn with each coder in the same number of steps, and judge all by the same pursuits."""
    patches, steps = study.fresh(), study.scale.n_slow
    values = {"learning_algorithm": CODERS, "seed": study.few_seeds}
    runs = study.run(values, n_iter=steps, homeo_method="None", record_each=0)
    rows, errors, pictures = [], {}, []
    for coder in CODERS:
        models = runs.models(learning_algorithm=coder)
        events, errors[coder] = zip(*(code(model, patches) for model in models), strict=True)
        signed = [code(model, patches, do_sym=True, algorithm="omp")[1] for model in models]
        measured = errors[coder], signed, [usage_entropy(each) for each in events]
        rows.append([coder, *map(summary_of, measured)])
        if not is_reproducible():
            rows[-1].append(runs.column("seconds", learning_algorithm=coder).mean())
        fig, _ = show_dico(models[0], dim_graph=(4, 18), order="index")
        text = f"Atoms learned with {coder}"
        pictures.append(f"{coder}: {picture(fig, out, f'coder_{coder}', text)}\n")
    yield (
        f"{steps} of the study's {study.scale.opts['n_iter']} steps with each coder, without "
        f"homeostasis.  Errors are those of {len(patches)} new patches, coded by matching pursuit "
        "(coefficients are not negative, as those of mp in learning) and by orthogonal pursuit of "
        "either sign (as those of the other coders).\n"
    )
    header = ["coder", "error by mp", "error by signed omp", "entropy by mp", "CPU seconds"]
    yield from markdown(header[: len(rows[0])], rows)
    yield "Is the error by mp of a dictionary learned with mp below? A paired t-test:\n"
    found = {coder: {"error": errors[coder]} for coder in CODERS}
    yield from claims_table(claims_of(found, ["error"], [("mp", coder) for coder in CODERS[1:]]))
    yield from pictures


def starts_and_rates(study: Study, out: Path) -> Iterator[str]:
    """Compare a white and a 1/f start, and Adam and the plain gradient with a fixed rate."""
    patches, seeds = study.fresh(), {"seed": study.few_seeds}
    runs, found = study.run({"one_over_F": [False, True], "homeo_method": SOME, **seeds}), {}
    for start, noise in (("white", False), ("1/f", True)):
        for rule, each in runs.measure(patches, values=SOME, one_over_F=noise).items():
            found[f"Adam, {start} start", rule] = each
    runs = study.run({"eta": RATES, **seeds}, beta1=0, homeo_method="HAP")
    for eta, each in runs.measure(patches, "eta", RATES).items():
        found[f"fixed rate {eta:g}, white start", "HAP"] = each
    yield from means_table(["learning", "rule"], MEANS, found)


def scans(study: Study, out: Path) -> Iterator[str]:
    """Draw and tabulate F, error and usage over alpha_homeo, l0_sparseness and n_dictionary."""
    measures, patches = ("F", "error", "entropy"), study.fresh()
    fig = new_figure(figsize=(12, 3.2 * len(SCANS)), layout="constrained")
    rows = fig.subplots(len(SCANS), len(measures))
    yield "On new patches, one run each.  qerror, and so F, grows with the number of atoms.\n"
    for row, (variable, rules) in zip(rows, SCANS.items(), strict=True):
        runs = study.run({"homeo_method": rules, variable: None}, N_scan=5, base=2.0)
        values = [record["params"][variable] for record in runs.select(homeo_method=rules[0])]
        found = runs.measure(patches, values=rules)
        for ax, name in zip(row, measures, strict=True):
            for rule, each in found.items():
                style = {"color": COLORS[rule], "label": rule, "ylabel": name}
                plot_scan(values, each[name], variable, name, ax=ax, **style)
        lines = [
            [value, rule, *(each[name][i] for name in measures)]
            for rule, each in found.items()
            for i, value in enumerate(values)
        ]
        yield from markdown([variable, "rule", *measures], lines)
    yield f"{picture(fig, out, 'scans', 'Scans')}\n"


def _measured_for(study, rules, n_seeds):
    """{rule: MEANS of its models of the first seeds on new patches}."""
    return {rule: {name: study.measured[rule][name][:n_seeds] for name in MEANS} for rule in rules}


def fading(study: Study, out: Path) -> Iterator[str]:
    """Compare rules that fade to plain pursuit with those that do not, on natural patches."""
    seeds, patches = study.few_seeds, study.fresh()
    values = {"homeo_method": FADED, "seed": seeds}
    faded = study.run(values, homeo_fade=FADE).measure(patches, values=FADED)
    faded = {f"{rule}, fading": each for rule, each in faded.items()}
    found = _measured_for(study, SOME, len(seeds)) | faded
    yield f"homeo_fade = {FADE}; on new patches, over {len(seeds)} seeds.\n"
    yield from means_table(["rule"], MEANS, found)
    yield "Is the error below that of plain pursuit throughout? A paired t-test:\n"
    yield from claims_table(claims_of(found, ["error"], [(rule, "None") for rule in faded]))


def decaying(study: Study, out: Path) -> Iterator[str]:
    """Compare a rate that decays late, with replacement of atoms, with the rules by themselves."""
    seeds, patches = study.few_seeds, study.fresh()
    runs = study.run({"homeo_method": ("None", "HAP"), "seed": seeds}, **DECAYING)
    default = study.run({"seed": seeds}, **DECAYING, homeo_method="HAP", eta=SHL.eta)
    new = runs.measure(patches, values=("None", "HAP"))
    new = {f"{rule}, decay, replacement": each for rule, each in new.items()}
    new[f"HAP, decay from {SHL.eta:g}, replacement"] = measure(default.models(), patches)
    found = _measured_for(study, RULES, len(seeds)) | new
    yield f"The same number of steps; on new patches, over {len(seeds)} seeds.\n"
    yield from means_table(["scheme"], MEANS, found)
    yield "Is the error, and is F, below those of the rules? A paired t-test:\n"
    pairs = [(scheme, rule) for scheme in new for rule in RULES]
    yield from claims_table(claims_of(found, ("error", "F"), pairs))
    replaced = [model.n_replaced_ for model in runs.models() + default.models()]
    yield f"Atoms replaced in a run: {min(replaced)} to {max(replaced)}.\n"
    fig, _ = show_dico(default.models()[0], dim_graph=(4, 18))
    yield f"The last scheme, seed {seeds[0]}: {picture(fig, out, 'decaying', 'Atoms')}\n"
    unreplaced = DECAYING | {"replace": False, "homeo_method": "HAP"}
    without = study.run({"seed": seeds[:1]}, **unreplaced).models()[0]
    dico = runs.models(homeo_method="HAP")[0]
    if not len(dico.replaced_):
        yield "Replacement replaced none of HAP's atoms: it is inert here.\n"
        return
    some = dico.replaced_[:18]
    fig = new_figure(figsize=(9, 1.6), layout="constrained")
    shown = {"without": without, "with replacement": dico}
    for ax, title in zip(fig.subplots(2, 1), shown, strict=True):
        show_dico(shown[title].components_[some], dim_graph=(1, 18), title=title, ax=ax)
    shown = picture(fig, out, "replaced", "Atoms")
    yield f"Atoms of HAP that were replaced, at the end: {shown}\n"


# ---------------------------------------------------------------------------------------- databases


def databases(study: Study) -> list[str]:
    """The built-in databases and that of the study."""
    return list(dict.fromkeys(["sample", "dead_leaves", study.database]))


def generalisation(study: Study, out: Path) -> Iterator[str]:
    """Learn on one database, code another."""
    names, values = databases(study), {"homeo_method": SOME, "seed": study.few_seeds}
    fresh = {name: study.fresh(name_database=name) for name in names}
    rows = []
    for learned in names:
        runs = study.run(values, name_database=learned)
        for rule in SOME:
            found = [measure(runs.models(homeo_method=rule), fresh[name]) for name in names]
            errors = [summary_of(each["error"]) for each in found]
            rows.append([learned, rule, *errors, *(each["entropy"].mean() for each in found)])
    yield (
        f"New patches of each database, coded by plain pursuit; over {len(study.few_seeds)} seeds."
        "  Those of the database that was learned are of the same images as those of learning.\n"
    )
    columns = [f"{measure} on {name}" for measure in ("error", "entropy") for name in names]
    yield from markdown(["learned on", "rule", *columns], rows)


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
    """Tune HAP and both HEH: at the quick size on all databases, at the study's own."""
    if study.scale_name == "paper":
        for name in databases(study):
            shared = study.n_jobs, study.opts["cache_dir"], study.verbose
            small = Study("quick", name, study.opts["datapath"], *shared)
            yield from _tune(small, GRIDS)
            yield from _tune(small, {"eta_homeo": GRIDS["eta_homeo"]}, batch_size=WIDE_BATCH)
    yield from _tune(study, FEW)


def _tune(study, grids, **changes):
    """Each parameter over its values, on new patches, tested against the paper's default."""
    patches = study.fresh()
    size = {**study.scale.opts, **changes}
    yield (
        f"On {study.database}, {size['patch_width']} x {size['patch_width']} pixels, "
        f"{size['n_dictionary']} atoms, batches of {size['batch_size']}, over "
        f"{len(study.few_seeds)} seeds:\n"
    )
    claims = []
    for variable, (rules, values) in grids.items():
        scanned = {"homeo_method": rules, variable: values, "seed": study.few_seeds}
        runs = study.run(scanned, **changes)
        for rule in rules:
            found = runs.measure(patches, variable, values, homeo_method=rule)
            yield f"{rule}:\n"
            yield from means_table([variable], TUNED, found)
            pairs = [(value, DEFAULTS[variable]) for value in values if value != DEFAULTS[variable]]
            claims += [
                (f"{rule}, {variable}, {name}", *claim)
                for name, *claim in claims_of(found, ("F", "F_own"), pairs)
            ]
    yield "Is it below that of the paper's value, the second? A paired t-test:\n"
    yield from claims_table(claims)
