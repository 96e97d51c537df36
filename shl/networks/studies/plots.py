"""Pictures of networks: weight images, connections per input, units left, sparsity against loss.

Arrays in, (fig, ax) out; nothing is shown, and a picture is written only where `fname` is given.
"""

import numpy as np

from ...plotting.figures import drawing, new_figure, save


def make_panels(shape, figsize, fig=None, **options):
    """Return (fig, axs): a grid of axes in a new figure, or in one that is given."""
    fig = fig or new_figure(figsize=figsize, layout="constrained")
    return fig, fig.subplots(*shape, **options)


def plot_weight_images(weights, shape=None, *, fname=None, fig=None, axs=None):
    """Draw the weights that lead to each output as an image, a row of images for each network;
    return (fig, axs).

    Each row has its own scale, symmetric around zero, which its title tells.

    Parameters
    ----------
    weights : dict
        From a title to an array (n_pixels, n_outputs).
    shape : (height, width), optional
        Of the images; None is square.
    axs : array of Axes of shape (n_networks, n_outputs), optional
    """
    n_columns = max(w.shape[1] for w in weights.values())
    if axs is None:
        size = (1.0 * n_columns, 1.25 * len(weights))
        fig, axs = make_panels((len(weights), n_columns), size, fig, squeeze=False)
    for row, (title, w) in zip(axs, weights.items(), strict=True):
        scale = np.abs(w).max() or 1
        for ax, column in zip(row, w.T, strict=False):
            limits = {"vmin": -scale, "vmax": scale, "interpolation": "nearest"}
            ax.imshow(_image(column, shape), cmap="RdBu_r", **limits)
        for ax in row:
            ax.set_axis_off()
        row[0].set_title(f"{title}: {w.min():.2g} to {w.max():.2g}", loc="left", fontsize=9)
    fig = fig or axs[0, 0].figure
    save(fig, fname)
    return fig, axs


def _image(values, shape=None):
    """Values (n_pixels,) as an image."""
    width = round(len(values) ** 0.5)
    if shape is None and width**2 != len(values):
        raise ValueError(f"shape must be given for {len(values)} pixels, which are not a square")
    return np.reshape(values, shape or (width, width))


@drawing((7, 4))
def plot_curves(ax, curves, ylabel, xlabel="epoch"):
    """Draw lines, one for each entry of a dict from a label to (x, y)."""
    for label, (x, y) in curves.items():
        ax.plot(x, y, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(curves) > 1:
        put_legend_beside(ax)


def put_legend_beside(ax):
    """Draw a legend that hides no line."""
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small")


def plot_train_and_test(records, *, fname=None):
    """Draw accuracy and loss over the epochs, of the training set (dotted) and the test set; return
    (fig, (ax, ax)).

    Parameters
    ----------
    records : dict
        From a label to a mapping with steps, train_accuracies, accuracies, train_losses, losses
        (n_records,).
    """
    fig, axs = make_panels((2, 1), (8, 6), sharex=True)
    for ax, name in zip(axs, ("accuracies", "losses"), strict=True):
        for i, (label, record) in enumerate(records.items()):
            ax.plot(record["steps"], record[name], f"C{i}", label=f"{label}, test")
            train = record[f"train_{name}"]
            ax.plot(record["steps"], train, f"C{i}:", label=f"{label}, training")
        put_legend_beside(ax)
    axs[0].set(ylabel="accuracy")
    axs[1].set(xlabel="epoch", ylabel="loss, without the penalty", yscale="log")
    save(fig, fname)
    return fig, axs


@drawing()
def plot_units_left(ax, history, sizes):
    """Draw inputs and hidden units with any weight that is not zero, over the epochs.

    Parameters
    ----------
    history : mapping
        The `history_` of an estimator, or steps (n_records,) and units (n_records, n_layers).
    sizes : sequence of int
        Inputs, and units of each hidden layer.
    """
    for i, (size, units) in enumerate(zip(sizes, np.asarray(history["units"]).T, strict=True)):
        who = f"hidden layer {i}" if i else "inputs"
        ax.plot(history["steps"], units, label=f"{who}, of {size}")
    ax.set(xlabel="epoch", ylabel="left", ylim=(0, 1.45 * max(sizes)))  # room for the legend
    ax.legend(loc="upper right")


@drawing()
def plot_lambda_path(ax, paths):
    """Draw the share of exact zeros against the loss along paths of penalties, with strengths.

    Parameters
    ----------
    paths : dict
        From a label to (shares of weights that are exactly zero, losses, strengths).
    """
    offset = {"textcoords": "offset points", "xytext": (6, -10), "fontsize": 8}
    for label, (sparsity, losses, strengths) in paths.items():
        ax.plot(sparsity, losses, "o-", label=label)
        for alpha, *place in zip(strengths, sparsity, losses, strict=True):
            ax.annotate(f"{alpha:.1g}", place, **offset)
    ax.set(xlabel="share of weights that are exactly zero", yscale="log")
    ax.set_ylabel("loss, without the penalty")
    ax.margins(0.15)
    ax.legend()


# -------------------------------------------------------------------------------------- connections


def plot_connections(
    counts, shape=None, *, title="connections per input", fname=None, fig=None, axs=None
):
    """Draw the connections per input as an image, and their centre trend; return (fig, axs).

    Parameters
    ----------
    counts : array of shape (n_pixels,)
        Connections of each input.
    shape : tuple of int, optional
        Height and width of the image; None is square.
    axs : pair of Axes, optional
        Of the image and of the trend.
    """
    if axs is None:
        fig, axs = make_panels((1, 2), (9, 4), fig)
    image = _image(np.asarray(counts), shape)
    drawn = axs[0].imshow(image, cmap="viridis", vmin=0, interpolation="nearest")
    axs[0].set(title=title, xticks=[], yticks=[])
    axs[0].figure.colorbar(drawn, ax=axs[0])
    axs[1].plot(*centre_trend(image), "o-")
    axs[1].set(xlabel="side of the centred square (pixels)", ylabel="mean connections per input")
    axs[1].set_ylim(0, 1.1 * max(1, image.max()))
    fig = fig or axs[0].figure
    save(fig, fname)
    return fig, axs


def centre_trend(image):
    """Return means over centred squares of growing sides: (sides, means), sides of the image's
    parity up to its shorter side.

    >>> centre_trend(np.array([[0, 0, 0, 0], [0, 4, 4, 0], [0, 4, 4, 0], [0, 0, 0, 0]]))
    (array([2, 4]), array([4., 1.]))
    """
    height, width = image.shape
    sides = np.arange(2 - min(height, width) % 2, min(height, width) + 1, 2)
    means = []
    for side in sides:
        top, left = (height - side) // 2, (width - side) // 2
        means.append(image[top : top + side, left : left + side].mean())
    return sides, np.array(means)


@drawing()
def plot_weight_histogram(ax, weights, bins=60):
    """Draw a histogram of weights for each entry of a dict from a label to an array."""
    edges = np.histogram_bin_edges(np.concatenate([np.ravel(w) for w in weights.values()]), bins)
    for label, w in weights.items():
        ax.hist(np.ravel(w), bins=edges, histtype="step", label=label)
    ax.set(xlabel="weight", ylabel="connections", yscale="log")
    if len(weights) > 1:
        put_legend_beside(ax)
