"""Supplementary controls: coders, starts, rates, sizes, the mask, other databases, better parameters of a rule."""

import numpy as np

from ..experiment import SHL
from ..plotting import plot_scan, show_data, show_dico
from ..plotting.figures import new_figure
from .rules import save_both
from .study import COLORS, RULES, Study, evaluate
from .tables import compare, mean_std, table

CODERS = ("mp", "omp", "lars", "lasso_lars", "lasso_cd")
RATES = (0.02, 0.2, 2.0, 20.0)  # of the plain gradient, whose steps are much smaller than Adam's
SOME = ("None", "HAP", "HEH")
SCANS = {"alpha_homeo": ("OLS", "EMP"), "l0_sparseness": SOME, "n_dictionary": SOME}
FADE = (0.3, 0.6)


def statistics(study, out):
    """Statistics of data and atoms, with and without the mask, and a look at both."""
    rows = []
    for do_mask in (True, False):
        data = SHL(**study.opts, do_mask=do_mask).get_data()
        energy = np.sqrt((data**2).mean(axis=1))
        rows.append([f"patches, do_mask={do_mask}", str(data.shape), _spread(data.mean(axis=1)), _spread(energy)])
        fig = new_figure(figsize=(12, 1.2))
        show_data(data, fig=fig)
        save_both(fig, out / f"data_mask_{do_mask}")
    for rule in RULES:
        atoms = study.rules.models(seed=study.seeds[0], homeo_method=rule)[0].components_
        rows.append([f"atoms, {rule}", str(atoms.shape), _spread(atoms.mean(axis=1)),
                     _spread(np.linalg.norm(atoms, axis=1))])
    yield "Energy is the root mean square of a patch, the norm of an atom.\n"
    yield from table(["", "shape", "mean", "energy"], rows)
    yield "![Patches with mask](data_mask_True.png)\n\n![Patches without mask](data_mask_False.png)\n"
    runs = study.run(["do_mask", "homeo_method"], {"do_mask": [True, False], "homeo_method": SOME})
    yield from table(["do_mask", "rule", "error", "F", "F_own", "entropy"], [
        [record["params"]["do_mask"], record["params"]["homeo_method"],
         *(record[name] for name in ("error", "F", "F_own", "entropy"))] for record in runs.records])


def _spread(values):
    return f"{values.mean():.3g} +- {values.std():.3g}"


def coders(study, out):
    """Dictionaries learned with each coder for the same number of steps, all judged by the same pursuit."""
    patches = study.fresh()
    steps = study.scale.n_slow
    runs = study.run(["learning_algorithm", "seed"], {"learning_algorithm": CODERS, "seed": study.few_seeds},
                     n_iter=steps, homeo_method="None", record_each=0)
    rows, names = [], ("error", "F", "entropy")
    for coder in CODERS:
        found = [evaluate(model, patches) for model in runs.models(learning_algorithm=coder)]
        seconds = runs.column("seconds", learning_algorithm=coder)
        rows.append([coder, *(mean_std([each[name] for each in found]) for name in names), seconds.mean()])
        show_dico(None, runs.models(learning_algorithm=coder)[0], dim_graph=(4, 18), order="index",
                  fname=out / f"coder_{coder}.png")
    yield (f"{steps} steps with each coder, no homeostasis; the dictionaries are judged by matching pursuit of "
           f"{len(patches)} patches that no learning has seen.\n")
    yield from table(["coder", *names, "CPU seconds"], rows)
    yield "\n\n".join(f"{coder}: ![Atoms learned with {coder}](coder_{coder}.png)" for coder in CODERS) + "\n"


def starts_and_rates(study, out):
    """White or 1/f start; Adam or the plain gradient with a fixed rate."""
    seeds = {"seed": study.few_seeds}
    runs = study.run(["one_over_F", "homeo_method", "seed"],
                     {"one_over_F": [False, True], "homeo_method": SOME, **seeds})
    rows = [[f"Adam, {'1/f' if noise else 'white'} start", rule, *_means(runs, one_over_F=noise, homeo_method=rule)]
            for noise in (False, True) for rule in SOME]
    runs = study.run(["eta", "seed"], {"eta": RATES, **seeds}, beta1=0, homeo_method="HAP")
    rows += [[f"fixed rate {eta:g}, white start", "HAP", *_means(runs, eta=eta)] for eta in RATES]
    yield from table(["learning", "rule", *MEANS], rows)


MEANS = ("error", "F", "F_own", "entropy")


def _means(runs, **params):
    return [mean_std(runs.column(name, **params)) for name in MEANS]


def scans(study, out):
    """F, error and usage over alpha_homeo, l0_sparseness and n_dictionary."""
    measures = ("F", "error", "entropy")
    fig = new_figure(figsize=(12, 3.2 * len(SCANS)), layout="constrained")
    for row, (variable, rules) in zip(fig.subplots(len(SCANS), len(measures)), SCANS.items(), strict=True):
        runs = study.run(["homeo_method", variable], {"homeo_method": rules}, N_scan=5, base=2.0)
        for ax, measure in zip(row, measures, strict=True):
            for rule in rules:
                found = runs.select(homeo_method=rule)
                plot_scan([record["params"][variable] for record in found], [record[measure] for record in found],
                          variable, measure, color=COLORS[rule], label=rule, ax=ax)
        row[0].legend()
        yield f"{variable}:\n"
        yield from table([variable, "rule", *measures], [
            [record["params"][variable], record["params"]["homeo_method"], *(record[name] for name in measures)]
            for record in runs.records])
    save_both(fig, out / "scans")
    yield "![Scans](scans.png)\n"


def fading(study, out):
    """Rules that fade to plain pursuit, on natural patches."""
    seeds = {"seed": study.few_seeds}
    faded = study.run(["homeo_method", "seed"], {"homeo_method": ("HAP", "HEH"), **seeds}, homeo_fade=FADE)
    cases = {rule: {name: study.rules.column(name, homeo_method=rule)[:len(study.few_seeds)] for name in MEANS}
             for rule in SOME}
    cases |= {f"{rule}, fading": {name: faded.column(name, homeo_method=rule) for name in MEANS}
              for rule in ("HAP", "HEH")}
    yield f"homeo_fade = {FADE}; means over {len(study.few_seeds)} seeds.\n"
    yield from table(["rule", *MEANS], [[case, *(mean_std(found[name]) for name in MEANS)]
                                        for case, found in cases.items()])
    yield "Is the error with fading below that of None? A paired t-test:\n"
    yield from table(["rule", "difference", "p", "claim"], [
        [case, *compare(cases[case]["error"], cases["None"]["error"])] for case in cases if "fading" in case])


# ------------------------------------------------------------------------------------------------ databases

def databases(study):
    """The built-in databases and that of the study."""
    return list(dict.fromkeys(["sample", "dead_leaves", study.database]))


def generalisation(study, out):
    """Learn on one database, code another."""
    names, seed = databases(study), study.seeds[:1]
    fresh = {name: study.fresh(name_database=name) for name in names}
    rows = []
    for learned in names:
        runs = study.run(["homeo_method", "seed"], {"homeo_method": SOME, "seed": seed}, name_database=learned)
        for rule in SOME:
            model = runs.models(homeo_method=rule)[0]
            found = [evaluate(model, fresh[name]) for name in names]
            rows.append([learned, rule, *(each["error"] for each in found), *(each["entropy"] for each in found)])
    yield f"Fresh patches of each database, coded by plain pursuit; one learning each (seed {seed[0]}).\n"
    yield from table(["learned on", "rule", *(f"error on {name}" for name in names),
                      *(f"entropy on {name}" for name in names)], rows)


C_VALUES, QUANTILES, HOMEO_RATES = (0, 0.5, 1.0, 3.0, 6.0), (32, 128, 512), (0.0025, 0.005, 0.01, 0.02)
TUNED = ("error", "error_own", "qerror", "F", "F_own", "entropy", "entropy_own")


def tuning(study, out):
    """Parameters of HEH and HAP, at the quick size; F is counted in the same bins for all.

    At the quick scale on the study's database, else on all databases, and the scale of HEH at the study's size too.
    """
    at_hand = {"datapath": study.opts["datapath"], "n_jobs": study.n_jobs, "cache_dir": study.opts["cache_dir"],
               "verbose": study.verbose}
    grids = {"C": (("HEH",), C_VALUES), "nb_quant": (("HEH",), QUANTILES), "eta_homeo": (("HAP", "HEH"), HOMEO_RATES)}
    is_quick = study.scale_name == "quick"
    for name in [study.database] if is_quick else databases(study):
        small = Study("quick", name, **at_hand)
        patches = small.fresh()
        yield f"On {name}, at the quick size, means over {len(small.few_seeds)} learnings:\n"
        for variable, (rules, values) in grids.items():
            runs = small.run(["homeo_method", variable, "seed"],
                             {"homeo_method": rules, variable: values, "seed": small.few_seeds})
            yield from table(["rule", variable, *TUNED], [
                [rule, value, *_tuned(runs.models(homeo_method=rule, **{variable: value}), patches)]
                for rule in rules for value in values])
    if not is_quick:
        yield from _tuning_at_size(study)


def _tuned(models, patches):
    found = [evaluate(model, patches) for model in models]
    return [np.mean([each[name] for each in found]) for name in TUNED]


def _tuning_at_size(study):
    """The scale of HEH at the study's own size."""
    runs = study.run(["C", "seed"], {"C": (0, 1.0, 3.0), "seed": study.few_seeds}, homeo_method="HEH")
    patches = study.fresh()
    yield f"HEH at the study's size, on {study.database}:\n"
    yield from table(["C", *TUNED, "C_"], [[C, *_tuned(runs.models(C=C), patches), runs.models(C=C)[0].C_]
                                            for C in (0, 1.0, 3.0)])
