import numpy as np
import pytest

from shl.networks.studies import plots
from shl.plotting.figures import new_figure


def test_weight_images_keep_their_signs_and_scales(rng, tmp_path):
    weights = {"first": rng.standard_normal((64, 3)), "second": np.zeros((64, 3))}
    fig, axs = plots.plot_weight_images(weights, fname=tmp_path / "weights.png")
    assert axs.shape == (2, 3) and (tmp_path / "weights.png").stat().st_size > 1000
    image = axs[0, 1].images[0]
    np.testing.assert_array_equal(image.get_array(), weights["first"][:, 1].reshape(8, 8))
    assert image.get_clim() == (-abs(weights["first"]).max(), abs(weights["first"]).max())
    assert axs[0, 0].get_title(loc="left").startswith("first: ")
    fig, axs = plots.plot_weight_images({"wide": np.ones((6, 2))}, shape=(2, 3))
    assert axs[0, 0].images[0].get_array().shape == (2, 3)
    with pytest.raises(ValueError, match="shape must be given for 6 pixels"):
        plots.plot_weight_images({"wide": np.ones((6, 2))})


def naive_trend(image):
    """Means over centred squares, by loops, for an even side."""
    half = len(image) // 2
    sides = [range(half - k, half + k) for k in range(1, half + 1)]
    return [np.mean([image[i, j] for i in side for j in side]) for side in sides]


@pytest.mark.parametrize("side", [2, 8, 28])
def test_the_centre_trend_is_the_mean_over_squares(side, rng):
    image = rng.integers(0, 30, (side, side))
    sides, means = plots.centre_trend(image)
    np.testing.assert_array_equal(sides, np.arange(2, side + 1, 2))
    np.testing.assert_allclose(means, naive_trend(image))


def test_the_centre_trend_of_other_shapes():
    image = np.zeros((5, 7))
    image[2, 3] = 9
    sides, means = plots.centre_trend(image)
    np.testing.assert_array_equal(sides, [1, 3, 5])
    np.testing.assert_allclose(means, [9, 1, 9 / 25])


def test_connections_show_inputs_that_have_none():
    counts = np.zeros(16)
    counts[5] = 3
    fig, axs = plots.plot_connections(counts)
    np.testing.assert_array_equal(axs[0].images[0].get_array().ravel(), counts)
    np.testing.assert_allclose(axs[1].lines[0].get_ydata(), [0.75, 3 / 16])


def test_units_left_have_a_line_a_layer():
    history = {"steps": [1, 2, 3], "units": [[64, 40], [50, 30], [50, 20]]}
    fig, ax = plots.plot_units_left(history, (64, 40), title="l1")
    assert [list(line.get_ydata()) for line in ax.lines] == [[64, 50, 50], [40, 30, 20]]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["inputs, of 64", "hidden layer 1, of 40"]


def test_a_path_names_its_strengths():
    losses = {"l1": 0.4, "l2": 0.5}
    paths = {name: ([0.2, 0.9], [0.1, loss], [1e-4, 1e-3]) for name, loss in losses.items()}
    fig, ax = plots.plot_lambda_path(paths)
    assert [text.get_text() for text in ax.texts] == 2 * ["0.0001", "0.001"]
    assert list(ax.lines[1].get_ydata()) == [0.1, 0.5]


def test_curves_and_histograms_draw_in_given_axes(rng):
    fig = new_figure()
    ax = fig.add_subplot()
    curves = {"a": ([1, 2], [3, 4])}
    assert plots.plot_curves(curves, ylabel="accuracy", fig=fig, ax=ax) == (fig, ax)
    assert ax.get_ylabel() == "accuracy" and len(ax.get_legend().get_texts()) == 1
    weights = {"a": rng.standard_normal((10, 3)), "b": np.zeros(5)}
    fig, ax = plots.plot_weight_histogram(weights, bins=7)
    assert len(ax.get_legend().get_texts()) == 2
