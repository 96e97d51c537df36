"""Pictures of networks: weight images, connections per input, units left, sparsity against loss.

Arrays in, (fig, ax) out; nothing is shown, and a picture is written only where `fname` is given.
"""

import numpy as np

from ...plotting.figures import get_axes, new_figure, save


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
        fig = fig or new_figure(
            figsize=(1.0 * n_columns, 1.25 * len(weights)), layout="constrained"
        )
        axs = fig.subplots(len(weights), n_columns, squeeze=False)
    for row, (title, w) in zip(axs, weights.items(), strict=True):
        scale = np.abs(w).max() or 1
        for ax, column in zip(row, w.T, strict=False):
            ax.imshow(
                _image(column, shape),
                cmap="RdBu_r",
                vmin=-scale,
                vmax=scale,
                interpolation="nearest",
            )
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


def plot_curves(curves, *, ylabel, xlabel="epoch", fname=None, fig=None, ax=None):
    """Draw a line for each entry of a dict from a label to (x, y); return (fig, ax)."""
    fig, ax = get_axes(fig, ax, figsize=(7, 4))
    for label, (x, y) in curves.items():
        ax.plot(x, y, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(curves) > 1:
        put_legend_beside(ax)
    save(fig, fname)
    return fig, ax


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
    fig = new_figure(figsize=(8, 6), layout="constrained")
    axs = fig.subplots(2, 1, sharex=True)
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


def plot_units_left(history, sizes, *, title=None, fname=None, fig=None, ax=None):
    """Draw the inputs and hidden units with any non-zero weight over the epochs; return (fig, ax).

    Parameters
    ----------
    history : mapping
        The `history_` of an estimator, or steps (n_records,) and units (n_records, n_layers).
    sizes : sequence of int
        Inputs, and units of each hidden layer.
    """
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    for i, (size, units) in enumerate(zip(sizes, np.asarray(history["units"]).T, strict=True)):
        ax.plot(
            history["steps"],
            units,
            label=f"inputs, of {size}" if i == 0 else f"hidden layer {i}, of {size}",
        )
    ax.set(xlabel="epoch", ylabel="left", title=title or "")
    ax.set_ylim(0, 1.45 * max(sizes))  # room for the legend
    ax.legend(loc="upper right")
    save(fig, fname)
    return fig, ax


def plot_lambda_path(paths, *, fname=None, fig=None, ax=None):
    """Draw the share of exact zeros against the loss along paths of penalties, the strength beside
    each point; returns (fig, ax).

    Parameters
    ----------
    paths : dict
        From a label to (shares of weights that are exactly zero, losses, strengths).
    """
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    for label, (sparsity, losses, strengths) in paths.items():
        ax.plot(sparsity, losses, "o-", label=label)
        for alpha, *place in zip(strengths, sparsity, losses, strict=True):
            text, offset = f"{alpha:.1g}", {"textcoords": "offset points", "xytext": (6, -10)}
            ax.annotate(text, place, **offset, fontsize=8)
    ax.set(
        xlabel="share of weights that are exactly zero",
        ylabel="loss, without the penalty",
        yscale="log",
    )
    ax.margins(0.15)
    ax.legend()
    save(fig, fname)
    return fig, ax


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
        fig = fig or new_figure(figsize=(9, 4), layout="constrained")
        axs = fig.subplots(1, 2)
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
    means = [
        image[(height - side) // 2 :][:side, (width - side) // 2 :][:, :side].mean()
        for side in sides
    ]
    return sides, np.array(means)


def plot_weight_histogram(weights, *, title=None, bins=60, fname=None, fig=None, ax=None):
    """Draw a histogram of weights for each entry of a dict from a label to weights; return (fig,
    ax).
    """
    fig, ax = get_axes(fig, ax, figsize=(6, 4))
    edges = np.histogram_bin_edges(np.concatenate([np.ravel(w) for w in weights.values()]), bins)
    for label, w in weights.items():
        ax.hist(np.ravel(w), bins=edges, histtype="step", label=label)
    ax.set(xlabel="weight", ylabel="connections", yscale="log", title=title or "")
    if len(weights) > 1:
        put_legend_beside(ax)
    save(fig, fname)
    return fig, ax
