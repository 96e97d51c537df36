"""Figures 1 to 3 of the Annex, and what is claimed from them, answered by paired tests over the seeds."""

import numpy as np

from ..plotting import plot_coefficients, plot_P_cum, plot_proba_histogram, plot_scan, tile, time_plot
from ..plotting.figures import new_figure, save
from .study import COLORS, RULES, evaluate, own_competition
from .tables import compare, mean_std, table

GRID = (2, 9)  # atoms of a strip: a row of the least, a row of the most selected
MEASURES = ("F", "F_own", "error", "error_own")
ORDER = (("HEH", "HAP"), ("HEH", "EMP"), ("HEH", "OLS"), ("HEH", "None"), ("HAP", "EMP"), ("HAP", "OLS"),
         ("EMP", "None"), ("OLS", "None"))  # what the paper says of F: the first is below the second
SCANNED = ("eta", "eta_homeo")
FIGURE_2 = ("None", "OLS", "HEH")


def figures_1_and_3(study, out):
    """Atoms least and most selected, and F over the steps of all seeds."""
    shown = {"figure_1": (("None", "OLS", "HEH"), ("None", "OLS", "HEH")),
             "figure_3": (("EMP", "HAP", "HEH"), ("OLS", "EMP", "HAP", "HEH"))}
    models = {rule: study.rules.models(homeo_method=rule) for rule in RULES}
    for name, (with_atoms, with_curves) in shown.items():
        fig = new_figure(figsize=(10, 4), layout="constrained")
        left, right = fig.subfigures(1, 2, width_ratios=(1.2, 1))
        for ax, rule in zip(left.subplots(len(with_atoms), 1), with_atoms, strict=True):
            draw_extremes(ax, models[rule][0], COLORS[rule])
            ax.set_ylabel(rule, color=COLORS[rule])
        ax = right.subplots()
        for rule in with_curves:
            for index, model in enumerate(models[rule]):
                time_plot(None, model, "F", color=COLORS[rule], alpha=0.4, label=None if index else rule, ax=ax,
                          N_nosample=1)
        ax.legend()
        save_both(fig, out / name)
    yield from (f"![Atoms and F over learning]({name}.png)\n" for name in shown)


def draw_extremes(ax, model, color):
    """The least selected atoms above the most selected ones."""
    order = np.argsort(model.record_["prob_active"][-1], kind="stable")
    rows, columns = GRID
    n_least = rows * columns // 2
    picked = np.concatenate((order[:n_least], order[len(order) - n_least:]))
    ax.imshow(tile(model.components_[picked], columns), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color(color)


def save_both(fig, stem):
    """Write a figure as PNG and as PDF."""
    for suffix in (".png", ".pdf"):
        save(fig, stem.with_suffix(suffix))


def figure_2(study, out):
    """The distributions of coefficients, and F against the rates of learning and homeostasis."""
    scans = {variable: study.run(["homeo_method", variable], {"homeo_method": FIGURE_2}) for variable in SCANNED}
    fig = new_figure(figsize=(10, 4.5), layout="constrained")
    left, right = fig.subfigures(1, 2)
    ax = left.subplots()
    for rule in FIGURE_2:
        plot_P_cum(study.rules.models(seed=study.seeds[0], homeo_method=rule)[0].P_cum_, alpha=0.03,
                   color=COLORS[rule], label=rule, n_yticks=6, ax=ax)
    ax.legend(loc="lower right")
    for ax, (variable, runs) in zip(right.subplots(2, 1), scans.items(), strict=True):
        for rule in FIGURE_2:
            found = runs.select(homeo_method=rule)
            plot_scan([record["params"][variable] for record in found], [record["F"] for record in found], variable,
                      color=COLORS[rule], ax=ax)
        ax.set_ylabel("F, plain pursuit")
    save_both(fig, out / "figure_2")
    yield "![Distributions of coefficients, and F against the rates](figure_2.png)\n"
    for variable, runs in scans.items():
        yield from _robustness(variable, runs)


def _robustness(variable, runs):
    """F at each value, and how often the order of the rules is that of the paper."""
    values = [record["params"][variable] for record in runs.select(homeo_method=FIGURE_2[0])]
    F = {rule: runs.column("F", homeo_method=rule) for rule in FIGURE_2}
    yield f"F against {variable}, one learning each:\n"
    yield from table([variable, *FIGURE_2], [[value, *(F[rule][i] for rule in FIGURE_2)]
                                             for i, value in enumerate(values)])
    best = sum((F["HEH"] < F[rule]).all() for rule in FIGURE_2[:-1])
    share = np.mean((F["HEH"] < F["OLS"]) & (F["HEH"] < F["None"]))
    spread = ", ".join(f"{rule} {np.ptp(F[rule]):.4f}" for rule in FIGURE_2)
    yield (f"HEH has the lowest F at {share:.0%} of the values ({'all against' if best == 2 else 'not always below'} "
           f"None and OLS). Largest less smallest F: {spread}.\n")


def answers(study, out):
    """Each claim about the order of the rules, with mean, std over seeds and a paired test."""
    runs = study.rules
    yield (f"Means and standard deviations over {len(study.seeds)} learnings of each rule, on "
           f"{study.scale.opts['record_num_batches']} patches held out of each. `own` is under the rule's own "
           f"competition, the others under plain pursuit.\n")
    names = (*MEASURES, "qerror", "entropy", "perror", "seconds")
    yield from table(["rule", *names], [[rule, *(mean_std(runs.column(name, homeo_method=rule)) for name in names)]
                                        for rule in RULES])
    yield "Is the first below the second? A paired t-test over the seeds:\n"
    yield from table(["measure", "first", "second", "difference", "p", "claim"], [
        [measure, low, high, *compare(runs.column(measure, homeo_method=low), runs.column(measure, homeo_method=high))]
        for measure in MEASURES for low, high in ORDER])
    seconds = {rule: runs.column("seconds", homeo_method=rule).mean() for rule in RULES}
    yield (f"HAP takes {seconds['HAP'] / seconds['None']:.2f} times the CPU time of None, HEH "
           f"{seconds['HEH'] / seconds['None']:.2f} times.\n")


def selection(study, out):
    """Equal probability of selection, on patches that no learning has seen."""
    patches = study.fresh()
    found = {rule: [evaluate(model, patches) for model in study.rules.models(homeo_method=rule)] for rule in RULES}
    names = ("entropy", "perror", "unused", "entropy_own", "perror_own", "unused_own")
    columns = {rule: {name: [each[name] for each in found[rule]] for name in names} for rule in RULES}
    yield (f"Usage on {len(patches)} patches that no learning has seen: relative entropy (1 if equal), share of the "
           "events that would have to move (perror), atoms never used.\n")
    yield from table(["rule", *names], [[rule, *(mean_std(columns[rule][name]) for name in names)] for rule in RULES])
    _draw_selection(study, patches, out / "selection")
    yield "![Probabilities of selection, and coefficients of the least and most selected atoms](selection.png)\n"
    yield "Is usage under HEH nearer to equal (a smaller perror)? A paired t-test over the seeds:\n"
    yield from table(["measure", "first", "second", "difference", "p", "claim"], [
        [name, "HEH", rule, *compare(columns["HEH"][name], columns[rule][name])]
        for name in ("perror", "perror_own") for rule in RULES if rule != "HEH"])


def _draw_selection(study, patches, stem):
    """How often atoms are selected, and the coefficients of the least and most selected ones, of the first seed."""
    fig = new_figure(figsize=(4 * len(FIGURE_2), 6.5), layout="constrained")
    for (top, bottom), rule in zip(fig.subplots(2, len(FIGURE_2), sharex="row").T, FIGURE_2, strict=True):
        model = study.rules.models(seed=study.seeds[0], homeo_method=rule)[0]
        code = model.transform(patches, **own_competition(model))
        plot_proba_histogram((code != 0).mean(axis=0), color=COLORS[rule], title=f"{rule}, own competition", ax=top)
        plot_coefficients(code, ax=bottom)
    save_both(fig, stem)
