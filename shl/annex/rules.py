"""Figures 1 to 3 of the Annex, and its claims, answered by paired tests over the seeds."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..estimators.dictionary import SparseHebbianLearning
from ..plotting import (
    plot_coefficients,
    plot_P_cum,
    plot_proba_histogram,
    plot_scan,
    tile,
    time_plot,
)
from ..plotting.atoms import extremes, show_tiles
from ..plotting.figures import COLORS, new_figure
from ..store.files import is_reproducible
from .study import RULES, Study, code
from .tables import claims_of, claims_table, markdown, means_table, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID = (2, 9)  # atoms of a strip: a row of the least, a row of the most selected
MEASURES = ("F", "F_own", "error", "error_own")
ORDER = ("HEH2019", "HAP", "EMP", "OLS", "None")  # by F, from the lowest, in the paper
SCANNED = ("eta", "eta_homeo")
FIGURE_2 = ("None", "OLS", "HEH2019", "HEH")
OTHERS = ("None", "OLS")  # what the paper compares HEH with


def answers(study: Study, out: Path) -> Iterator[str]:
    """Answer each claim about the order of the rules by means, deviations and a paired test."""
    runs = study.rules
    names = [*MEASURES, "qerror", "entropy", *([] if is_reproducible() else ["seconds"])]
    recorded = {
        rule: {name: runs.column(name, homeo_method=rule) for name in names} for rule in RULES
    }
    yield (
        f"Means and standard deviations over {len(study.seeds)} runs of each rule, which differ in "
        "their start, in the order of patches and in the patches that they hold out. `own` is "
        "under the rule's own competition, the others under plain pursuit.\n"
    )
    yield (
        f"**As the paper counts**: errors on {study.scale.opts['record_num_batches']} patches held "
        "out; qerror, a part of F, is that of the histogram that learning follows, a running mean "
        "over its own batches.\n"
    )
    yield from _compare_rules(recorded, names)
    yield (
        f"**On {study.scale.n_fresh} new patches** of the same images, all distributions counted "
        "in the same bins from these patches alone.\n"
    )
    yield from _compare_rules(study.measured, (*MEASURES, "qerror", "qerror_own"))
    yield (
        f"F above that of HEH2019, as the paper counts: {_above(recorded)}; on new patches: "
        f"{_above(study.measured)}."
    )
    if "seconds" in names:
        seconds = {rule: recorded[rule]["seconds"].mean() for rule in RULES}
        times = {rule: f"{seconds[rule] / seconds['None']:.2f} times" for rule in RULES}
        yield (
            f"HAP takes {times['HAP']} the CPU time of None, HEH2019 {times['HEH2019']}, HEH "
            f"{times['HEH']}.\n"
        )


def _above(found):
    """How far F of HAP and of None is above that of HEH2019, as text."""
    least = found["HEH2019"]["F"].mean()
    return ", ".join(f"{rule} {found[rule]['F'].mean() - least:.4f}" for rule in ("HAP", "None"))


def _compare_rules(found, names):
    """A table of the rules ranked by F, and tests of all pairs in the paper's order."""
    ranked = sorted(found, key=lambda rule: found[rule]["F"].mean())
    yield from means_table(["rule"], names, {rule: found[rule] for rule in ranked})
    yield "Is the first below the second, as the paper says of F? A paired t-test:\n"
    yield from claims_table(claims_of(found, MEASURES, list(itertools.combinations(ORDER, 2))))


# ---------------------------------------------------------------------------------- figures 1 and 3


def figures_1_and_3(study: Study, out: Path) -> Iterator[str]:
    """Atoms least and most selected, and F over the steps of all seeds."""
    shown = {
        "figure_1": (("None", "OLS", "HEH2019"), ("None", "OLS", "HEH2019")),
        "figure_3": (("EMP", "HAP", "HEH"), ("OLS", "EMP", "HAP", "HEH2019", "HEH")),
    }
    models = {rule: study.rules.models(homeo_method=rule) for rule in RULES}
    for name, (with_atoms, with_curves) in shown.items():
        fig = new_figure(figsize=(10, 4), layout="constrained")
        left, right = fig.subfigures(1, 2, squeeze=False, width_ratios=(1.2, 1))[0]
        for ax, rule in zip(left.subplots(len(with_atoms), 1), with_atoms, strict=True):
            draw_extremes(ax, models[rule][0], COLORS[rule])
            ax.set_ylabel(rule, color=COLORS[rule])
        ax = right.subplots()
        for rule in with_curves:
            for index, model in enumerate(models[rule]):
                style = {"color": COLORS[rule], "label": None if index else rule}
                time_plot(model, "F", alpha=0.4, ax=ax, N_nosample=1, **style)
        yield f"{picture(fig, out, name, 'Atoms and F over learning')}\n"


def draw_extremes(ax: "Axes", model: SparseHebbianLearning, color: str) -> None:
    """Draw the least selected atoms above the most selected ones."""
    rows, columns = GRID
    picked = extremes(model.record_["prob_active"][-1], rows * columns)
    show_tiles(ax, tile(model.components_[picked], columns))
    ax.spines[:].set_color(color)


# ----------------------------------------------------------------------------------------- figure 2


def figure_2(study: Study, out: Path) -> Iterator[str]:
    """Draw the distributions of coefficients, and F against the rates of learning and rules."""
    patches = study.fresh()
    fig = new_figure(figsize=(10, 5), layout="constrained")
    left, right = fig.subfigures(1, 2, squeeze=False)[0]
    ax = left.subplots()
    for rule in FIGURE_2:
        style = {"color": COLORS[rule], "label": rule, "alpha": 0.03}
        plot_P_cum(study.first(rule), n_yticks=6, ax=ax, **style)
    ax.legend(loc="lower right")
    lines = []
    for ax, variable in zip(right.subplots(2, 1), SCANNED, strict=True):
        runs = study.run({"homeo_method": FIGURE_2, variable: None})
        values = [record["params"][variable] for record in runs.select(homeo_method=FIGURE_2[0])]
        F = {rule: runs.column("F", homeo_method=rule) for rule in FIGURE_2}
        measured = runs.measure(patches, values=FIGURE_2)
        new = {rule: each["F"] for rule, each in measured.items()}
        for rule in FIGURE_2:
            plot_scan(values, F[rule], variable, color=COLORS[rule], label=rule, ax=ax)
            label = "on new patches" if rule == "None" else None
            ax.plot(values, new[rule], ":", color=COLORS[rule], label=label)
        low = min(column.min() for column in (*F.values(), *new.values()))
        high = max(column.max() for rule in OTHERS for column in (F[rule], new[rule]))
        # Where HEH2019 oscillates, it leaves the panel.
        ax.set(ylabel="F, plain pursuit", ylim=(low - 0.01, high + 0.04))
        lines += _robustness(variable, values, F, new)
    ax.legend(fontsize="small")
    text = "Distributions of coefficients, and F against the rates"
    yield f"{picture(fig, out, 'figure_2', text)}\n"
    yield from lines


def _robustness(variable, values, F, new):
    """F at each value, and how often HEH is below the others."""
    yield (
        f"F against {variable}, one run each; `new` on new patches, in the same bins for all "
        "(eta_homeo is also the rate of the histogram in the other):\n"
    )
    columns = (*F.values(), *new.values())
    yield from markdown(
        [variable, *F, *(f"{rule}, new" for rule in new)],
        [[value, *(column[i] for column in columns)] for i, value in enumerate(values)],
    )
    for name, found in (("F", F), ("F on new patches", new)):
        below = {
            rule: np.logical_and.reduce([found[rule] < found[other] for other in OTHERS]).sum()
            for rule in ("HEH2019", "HEH")
        }
        spread = ", ".join(f"{rule} {np.ptp(found[rule]):.4f}" for rule in FIGURE_2)
        yield (
            f"{name}: HEH2019 is below None and OLS at {below['HEH2019']} of {len(values)} values, "
            f"HEH at {below['HEH']}; largest less smallest: {spread}.\n"
        )


# ---------------------------------------------------------------------------------- equal selection


def selection(study: Study, out: Path) -> Iterator[str]:
    """Compare how equally the rules select atoms, on new patches."""
    kinds = ("entropy", "perror", "KL", "unused")
    names = [*kinds, *(f"{kind}_own" for kind in kinds)]
    yield (
        f"Usage on {study.scale.n_fresh} new patches: relative entropy (1 if equal), share of the "
        "events that would have to move (perror), divergence from equal use in nats (KL), atoms "
        "never used.\n"
    )
    yield from means_table(["rule"], names, study.measured)
    text = "Probabilities of selection, and coefficients of the least and most selected atoms"
    yield f"{picture(_draw_selection(study), out, 'selection', text)}\n"
    yield (
        "Is usage under HEH2019 nearer to equal (a smaller perror)? A paired t-test over the "
        "seeds:\n"
    )
    pairs = [("HEH2019", rule) for rule in RULES if rule != "HEH2019"]
    yield from claims_table(claims_of(study.measured, ("perror", "perror_own"), pairs))


def _draw_selection(study):
    """Selection of atoms, and coefficients of the least and most selected, of the first seed."""
    patches = study.fresh()
    fig = new_figure(figsize=(4 * len(FIGURE_2), 6.5), layout="constrained")
    axs = fig.subplots(2, len(FIGURE_2), sharex="row")
    for (top, bottom), rule in zip(axs.T, FIGURE_2, strict=True):
        model = study.first(rule)
        events = code(model, patches, model.competition_)[0]
        usage, title = events.counts() / len(events), f"{rule}, own competition"
        plot_proba_histogram(usage, color=COLORS[rule], title=title, ax=top)
        plot_coefficients(events.to_csr(), ax=bottom)
    return fig
