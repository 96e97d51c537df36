"""Pictures of the teacher-student study: weights side by side, a learning, and a path of
penalties.
"""

import numpy as np

from ...plotting.figures import save
from ..studies.plots import make_panels, put_legend_beside

MOST_NUMBERS = 40  # cells of an image in which numbers can be read


def plot_match(arrays, run, fname=None):
    """Draw the teacher's and the matched student's weights as heat maps; return (fig, axs).

    A column is a layer, whose rows are inputs and whose columns are units, all of them.  Zeros are
    white and, where numbers are written, empty.  Each image has its own scale: a student's weights
    may be much larger than its teacher's.

    Parameters
    ----------
    arrays : dict
        The arrays of `shl.networks.teacher_student.sweep.result_of`.
    run : StudentRun
        Their run.  Of two relu networks the weights that enter a matched hidden unit have the norm
        of the teacher's, which the titles say.
    fname : str or path, default=None
    """
    n_layers = sum(name.startswith("student_map_") for name in arrays)
    widths = [max(2, min(10, arrays[f"student_map_{i}"].shape[2])) for i in range(n_layers)]
    figsize = (3 + 0.8 * sum(widths), 7)
    fig, axs = make_panels((2, n_layers), figsize, squeeze=False, width_ratios=widths)
    for row, who in zip(axs, ("teacher", "student"), strict=True):
        row[0].set_ylabel("input")
        for i, ax in enumerate(row):
            layer = arrays[f"{who}_map_{i}"]
            image = layer.reshape(-1, layer.shape[2])
            fig.colorbar(_draw_weights(ax, image, abs(image).max() or 1.0), ax=ax, shrink=0.8)
            head = f"{who}, layer {i + 1}: {np.count_nonzero(image)} weights"
            if who == "student" and run.teacher_activation == run.student_activation == "relu":
                head += ",\non the teacher's scale"
            ax.set_title(head, fontsize="small")
    fig.suptitle(run.label(), fontsize="medium")
    save(fig, fname)
    return fig, axs


def _draw_weights(ax, weights, limit):
    """One image, with numbers where there is room; returns the artist."""
    image = ax.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    if weights.size <= MOST_NUMBERS:
        style = {"ha": "center", "va": "center", "fontsize": "x-small"}
        for row, column in np.argwhere(weights):
            value = weights[row, column]
            color = "white" if abs(value) > 0.6 * limit else "black"
            ax.text(column, row, f"{value:.3g}", color=color, **style)
    ax.set(xticks=[], yticks=[])
    return image


def plot_learning(arrays, fname=None):
    """What was minimised, held-out loss, and weights left over the epochs; dotted lines part the
    stages; returns (fig, (ax, ax)).
    """
    epochs, stages = arrays["history_steps"], arrays["history_stage"]
    fig, axs = make_panels((2, 1), (8, 5), sharex=True)
    for name, label in (("objective", "training, with penalty"), ("loss", "held out, without")):
        axs[0].semilogy(epochs, np.maximum(arrays[f"history_{name}"], 1e-16), label=label)
    axs[0].set(ylabel="loss")
    counts = arrays["history_weights"]
    for index in range(counts.shape[1]):
        axs[1].plot(epochs, counts[:, index], label=f"layer {index + 1}")
    axs[1].plot(epochs, counts.sum(1), color="black", label="all")
    axs[1].set(xlabel="epoch", ylabel="weights that are not zero", ylim=(0, None))
    for ax in axs:
        put_legend_beside(ax)
        for place in epochs[1:][np.diff(stages) > 0]:
            ax.axvline(place, color="grey", ls=":")
    save(fig, fname)
    return fig, axs


def plot_path(records, fname=None):
    """Weights left and loss against l1_norm, a dot a run and lines of means over seeds; returns
    (fig, (ax, ax)).

    A line for each pair of activations, lr and l2_norm; a column for each where there is one
    l1_norm alone.  The dashed line is the teacher's number of weights.

    Parameters
    ----------
    records : list of dict
        Those of `shl.networks.sweep.sweep`; failed ones are left out.
    """
    done = [record for record in records if record["status"] == "done"]
    fig, axs = make_panels((2, 1), (8.5, 6), sharex=True)
    lines, strengths = _group_lines(done), sorted({record["l1_norm"] for record in done})
    for column, (label, line) in enumerate(lines.items()):
        x = {l1: l1 if len(strengths) > 1 else column for l1 in sorted(line)}
        for ax, name in zip(axs, ("n_weights", "relative_loss"), strict=True):
            means = [np.mean([record[name] for record in line[l1]]) for l1 in x]
            (drawn,) = ax.plot(list(x.values()), means, label=label)
            dots = [(x[l1], record[name]) for l1 in x for record in line[l1]]
            ax.plot(*zip(*dots, strict=True), "o", color=drawn.get_color(), alpha=0.5, ms=4)
    if done:
        axs[0].axhline(sum(done[0]["teacher_weights"]), color="grey", ls="--", label="teacher")
        axs[0].set_title("dashed: the teacher's weights", fontsize="small")
        axs[1].set_yscale("log", nonpositive="clip")
    axs[0].set(ylabel="weights that are not zero", ylim=(0, None))
    axs[1].set(ylabel="loss / var(y), unseen samples")
    if len(strengths) == 1:
        axs[1].set_xlabel(f"l1_norm {strengths[0]:g}")
        axs[1].set_xticks(range(len(lines)), [label.replace(" -> ", "\n-> ") for label in lines])
    elif done:
        axs[1].set_xlabel("l1_norm")
        put_legend_beside(axs[0])
        least = min(filter(None, strengths))
        axs[1].set_xscale("symlog", linthresh=least)  # so that 0 has its place
        axs[1].set_xlim(-0.2 * least, 1.5 * strengths[-1])
    save(fig, fname)
    return fig, axs


def _group_lines(records):
    """{label: {l1_norm: records}}: what varies beside l1_norm and the seed is in the label."""
    names = [name for name in ("lr", "l2_norm") if len({record[name] for record in records}) > 1]
    lines = {}
    for record in records:
        label = f"{record['teacher_activation']} -> {record['student_activation']}"
        label += "".join(f", {name} {record[name]:g}" for name in names)
        lines.setdefault(label, {}).setdefault(record["l1_norm"], []).append(record)
    return lines
