import itertools
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import numpy as np
import pytest
from making import planted
from matplotlib.figure import Figure
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from shl import ConvolutionalSHL, SparseCoder, SparseHebbianLearning, plotting
from shl.learning.homeostasis import RULES
from shl.plotting import figures


@pytest.fixture(scope="module")
def dico():
    X = planted(np.random.default_rng(0), n_samples=600, n_pixels=25, n_atoms=30)[0]
    return SparseHebbianLearning(
        30, l0_sparseness=3, n_iter=20, random_state=0, record_each=5, record_num_batches=100
    ).fit(X)


def shown(ax):
    """The one image of some axes, NaN where nothing is shown."""
    (image,) = ax.images
    return np.ma.filled(image.get_array(), np.nan)


def test_tiles_hold_the_patches(rng):
    patches = rng.standard_normal((5, 16))
    image = plotting.tile(patches, n_columns=3)
    assert image.shape == (11, 16)
    np.testing.assert_allclose(image[6:10, 1:5].ravel(), patches[3] / np.abs(patches[3]).max())
    assert np.isnan(image[6:10, 11:15]).all()
    with pytest.raises(ValueError, match="Each row of patches must be a square .* has 15 pixels"):
        plotting.tile(patches[:, :15])


@pytest.mark.parametrize(
    ("options", "n_columns", "n_shown"),
    [
        ({}, 6, 30),
        ({"order": "index", "title": "atoms"}, 6, 30),
        ({"order": "random", "seed": 1, "dim_graph": (3, 5)}, 5, 15),
        ({"dim_graph": (1, 100)}, 100, 30),
        ({"dim_graph": (2, 4)}, 4, 8),
    ],
)
def test_show_dico_takes_grids_and_orders(dico, options, n_columns, n_shown):
    fig, ax = plotting.show_dico(dico, **options)
    assert fig is ax.figure and ax.get_title() == options.get("title", "")
    ranked, half = np.argsort(dico.record_["prob_active"][-1], kind="stable"), n_shown // 2
    picked = {
        "minmax": np.concatenate((ranked[:half], ranked[-half:])),  # the least and the most used
        "index": np.arange(30),
        "random": np.random.default_rng(1).choice(30, n_shown, replace=False),
    }[options.get("order", "minmax")]
    np.testing.assert_array_equal(shown(ax), plotting.tile(dico.components_[picked], n_columns))


def test_show_dico_takes_arrays(dico):
    _, ax = plotting.show_dico(dico.components_)
    np.testing.assert_array_equal(shown(ax), plotting.tile(dico.components_))
    _, ax = plotting.show_dico_in_order(dico)
    _, same = plotting.show_dico(dico)  # with every atom in it, from the least to the most
    np.testing.assert_array_equal(shown(ax), shown(same))


def test_atoms_have_their_shape(rng):
    atoms = rng.standard_normal((6, 60))
    scaled = atoms / np.abs(atoms).max(axis=1, keepdims=True)
    _, ax = plotting.show_dico(atoms, patch_shape=(5, 12), dim_graph=(2, 3))
    image = shown(ax)
    assert image.shape == (2 * 6 + 1, 3 * 13 + 1)
    np.testing.assert_allclose(image[7:12, 14:26].ravel(), scaled[4])
    _, same = plotting.show_dico(atoms.reshape(6, 5, 12), dim_graph=(2, 3))
    np.testing.assert_array_equal(shown(same), image)
    _, same = plotting.show_dico_in_order(Model(atoms), patch_shape=(5, 12), dim_graph=(2, 3))
    np.testing.assert_array_equal(shown(same), image)
    _, axs = plotting.show_data(atoms, 2, patch_shape=(5, 12))
    np.testing.assert_allclose(shown(axs[1]).ravel(), scaled[1])


class Model:
    """A fitted model whose atoms are used more and more, in their order."""

    def __init__(self, atoms, **attributes):
        vars(self).update(components_=atoms, **attributes)
        self.record_ = {"prob_active": [np.arange(len(atoms))]}


@pytest.mark.parametrize("how", ["patch_shape", "three numbers", "axes", "model", "channels first"])
def test_channels_of_atoms_are_scaled_alike(rng, how):
    atoms = rng.standard_normal((4, 5, 6, 3)) * [1, 2, 4]
    flat = atoms.reshape(4, -1)
    dico, patch_shape = {
        "patch_shape": (flat, (5, 6)),
        "three numbers": (flat, (5, 6, 3)),
        "axes": (atoms, None),
        "model": (Model(flat, patch_shape=(5, 6, 3)), None),
        "channels first": (Model(atoms.transpose(0, 3, 1, 2)), None),
    }[how]
    _, ax = plotting.show_dico(dico, patch_shape=patch_shape, dim_graph=(1, 4))
    image = shown(ax)
    assert image.shape == (7, 4 * 7 + 1, 3)
    expected = (atoms[1] / np.abs(atoms[1]).max() + 1) / 2
    np.testing.assert_allclose(image[1:6, 8:14], expected)
    assert (image[0] == 1).all()  # gaps are white


@pytest.mark.parametrize(
    ("n_features", "options", "n_curves"),
    [(50, {}, 1), (49, {"kind": "signal"}, 1), (49, {"patch_shape": (49,)}, 1)]
    + [(40, {"patch_shape": (1, 20, 2)}, 2), (25, {"patch_shape": (1, 25)}, 1)]
    + [(60, {"kind": "signal", "patch_shape": (20, 3)}, 3)],
)
def test_signals_are_curves(rng, n_features, options, n_curves):
    atoms = rng.standard_normal((6, n_features))
    _, ax = plotting.show_dico(atoms, dim_graph=(2, 3), **options)
    assert not ax.images and len(ax.collections) == 1 + n_curves
    length = n_features // n_curves
    for i, lines in enumerate(ax.collections[1:]):
        curve = lines.get_segments()[4]  # in the second row and column
        assert 1 <= curve[0, 0] < curve[-1, 0] <= 2 and len(curve) == length
        heights = (curve[:, 1] + 1) / 0.45 * np.abs(atoms[4]).max()
        np.testing.assert_allclose(heights, atoms[4].reshape(length, n_curves)[:, i])


def test_signals_of_a_model_have_their_channels_first(rng):
    atoms = rng.standard_normal((6, 2, 30))
    _, ax = plotting.show_dico(Model(atoms), order="index", dim_graph=(2, 3))
    assert len(ax.collections) == 3
    for i, lines in enumerate(ax.collections[1:]):
        heights = lines.get_segments()[1][:, 1] / 0.45 * np.abs(atoms[1]).max()
        np.testing.assert_allclose(heights, atoms[1, i])


@pytest.mark.parametrize("record_each", [0, 2])
@pytest.mark.parametrize(
    ("shape", "options"),
    [((3, 12, 14), {"patch_width": 5}), ((3, 3, 12, 14), {"patch_width": 5})]
    + [((3, 80), {"atom_shape": 7})],
    ids=["grey", "colour", "signal"],
)
def test_convolutional_atoms_are_drawn(rng, shape, options, record_each):
    model = ConvolutionalSHL(4, n_iter=3, record_each=record_each, random_state=0, **options)
    _, ax = plotting.show_dico(model.fit(rng.standard_normal(shape)))
    assert bool(ax.images) == ("patch_width" in options)
    assert plotting.show_dico_in_order(model)[1].has_data()


def test_models_without_records_are_drawn_in_order(rng):
    atoms = rng.standard_normal((12, 9))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    for model in (SparseCoder(atoms), atoms):
        np.testing.assert_array_equal(shown(plotting.show_dico(model)[1]), plotting.tile(atoms))
    coder = SparseCoder(atoms, l0_sparseness=1).fit(atoms)
    _, ax = plotting.show_dico(coder, data=np.repeat(atoms, np.arange(12), axis=0))
    np.testing.assert_array_equal(shown(ax), plotting.tile(atoms))
    with pytest.raises(TypeError, match="does not know how often its atoms are selected"):
        plotting.plot_usage(coder)
    assert plotting.show_dico(PCA(4).fit(rng.standard_normal((20, 9))))[1].images


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch_shape": (5, 11)}, r"patch_shape must be \(height, width\).* of 60 numbers"),
        ({"patch_shape": (5, 6, 2)}, "patch_shape must be"),
        ({"patch_shape": (0, 60)}, "patch_shape must be at least 1"),
        ({"kind": "image"}, "must be a square patch, but has 60 pixels. Pass patch_shape"),
        ({"kind": "curve"}, "kind must be one of"),
    ],
)
def test_a_shape_that_does_not_fit_is_an_error(rng, options, words):
    with pytest.raises(ValueError, match=words):
        plotting.show_dico(rng.standard_normal((4, 60)), **options)


def test_figures_need_a_fitted_model(dico):
    with pytest.raises(TypeError, match="show_dico needs dico, but only an SHL or None was given"):
        plotting.show_dico(Experiment())
    for plot in (plotting.show_dico, plotting.time_plot, plotting.plot_P_cum):
        with pytest.raises(NotFittedError, match="SparseHebbianLearning instance is not fitted"):
            plot(SparseHebbianLearning())


def test_plot_p_cum_has_a_line_for_each_atom(dico):
    style = {"title": "t", "suptitle": "s", "n_yticks": 5, "alpha": 0.1, "c": "b"}
    _, ax = plotting.plot_P_cum(dico.P_cum, ymin=0.9, **style)
    assert len(ax.collections[0].get_segments()) == 30 and len(ax.lines) == 1
    assert ax.get_ylim() == (0.9, 1.001)


# A panel of the Annex: half a column wide, with axes at given places.
SMALL = {"figsize": (3.11, 2.38), "gridspec_kw": {"left": 0.2, "right": 0.95, "bottom": 0.2}}
PANELS = {
    "time_plot": lambda dico, **at: plotting.time_plot(dico, "F", "bits", **at),
    "plot_P_cum": lambda dico, **at: plotting.plot_P_cum(dico, ylabel="functions", **at),
    "plot_usage": lambda dico, **at: plotting.plot_usage(dico, title="HAP", **at),
    "plot_proba_histogram": plotting.plot_proba_histogram,
    "plot_coefficients": lambda dico, **at: plotting.plot_coefficients(np.eye(9), **at),
    "plot_variance": lambda dico, **at: plotting.plot_variance(np.eye(9), **at),
    "plot_scan": lambda dico, **at: plotting.plot_scan([0.5791, 0.5812], [1, 2], "eta", **at),
    "plot_grid": lambda dico, **at: plotting.plot_grid(
        {"eta": [0.1, 0.2], "homeo_method": ["None", "HEH2019"]}, np.eye(2), **at
    ),
}


LAID_OUT = {"figsize": (2.2, 1.6), "layout": "constrained"}


@pytest.mark.parametrize("name", PANELS)
@pytest.mark.parametrize("subplots", [SMALL, LAID_OUT, {"figsize": (6, 4)}], ids=str)
def test_nothing_of_a_panel_is_cut_or_overlaps(dico, name, subplots):
    with plt.rc_context({"font.size": 10}):
        fig, ax = plt.subplots(**subplots)
        PANELS[name](dico, fig=fig, ax=ax)
        fig.canvas.draw()
    texts = [ax.title, *(text for axis in (ax.xaxis, ax.yaxis) for text in texts_of(axis))]
    for text in texts:
        box = text.get_window_extent()
        assert not text.get_text() or fig.bbox.x0 - 1 <= box.x0 and box.x1 <= fig.bbox.x1 + 9, text
        assert not text.get_text() or fig.bbox.y0 - 1 <= box.y0 and box.y1 <= fig.bbox.y1 + 1, text
    for axis in (ax.xaxis, ax.yaxis):
        boxes = [text.get_window_extent() for text in texts_of(axis)[1:]]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def texts_of(axis):
    """The label of an axis, and the labels of those ticks that are in view."""
    low, high = sorted(axis.get_view_interval())
    ticks = axis.get_major_ticks()
    return [axis.label, *(tick.label1 for tick in ticks if low <= tick.get_loc() <= high)]


def test_a_label_shortens_and_keeps_its_unit(dico):
    _, ax = plt.subplots(**SMALL)
    assert plotting.time_plot(dico, "F", "bits", ax=ax)[1].get_ylabel() == "F (bits)"
    assert plotting.time_plot(dico, "F_own", ax=ax)[1].get_ylabel() == "F_own"
    _, ax = plotting.time_plot(dico, "F", "bits")
    assert ax.get_ylabel() == "F = error + 0.0005 qerror, plain pursuit (bits)"


def test_p_cum_has_the_ticks_of_the_study(dico):
    _, ax = plotting.plot_P_cum(dico, ymin=0.95, n_yticks=21)
    np.testing.assert_allclose(ax.get_yticks(), [0.95, 1])
    _, ax = plotting.plot_P_cum(dico, ymin=0, n_yticks=201)
    assert 2 <= len(ax.get_yticks()) <= ax.yaxis.get_tick_space() + 2


def test_lines_with_labels_have_a_legend(dico):
    _, ax = plotting.time_plot(dico, "F", label="plain")
    plotting.time_plot(dico, "F_own", label="own", ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["plain", "own"]
    assert plotting.time_plot(dico, "F")[1].get_legend() is None
    _, ax = plt.subplots(**SMALL)
    for i in range(9):
        plotting.time_plot(dico, "F", label=f"eta = {i / 7:.4f}", ax=ax)
    legend, axes = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert legend.width * legend.height < axes.width * axes.height / 2


def test_a_grid_is_a_heat_map_with_values():
    values = {"eta": [0.1, 0.2, 0.4], "homeo_method": ["None", "HEH"]}
    _, ax = plotting.plot_grid(values, [[1, 2], [3, np.nan], [5, 6]], "entropy")
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == (*values, "entropy")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.1", "0.2", "0.4"]
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells[2, 0] == "5.00" and cells[0, 1] == "2.00" and cells[1, 1] == "failed"
    np.testing.assert_array_equal(shown(ax), [[1, 3, 5], [2, np.nan, 6]])


@pytest.mark.parametrize("variable", plotting.LABELS)
def test_every_variable_has_a_time_plot(dico, variable):
    _, ax = plotting.time_plot(dico, variable, unit="bits", label="run")
    line, values = ax.lines[0], dico.record_[variable]
    np.testing.assert_array_equal(line.get_xdata(), [0, 5, 10, 15, 20])
    assert "bits" in ax.get_ylabel()
    middle = values if values.ndim == 1 else np.nanmedian(values, axis=1)
    np.testing.assert_allclose(line.get_ydata(), middle)


class Experiment:
    """What figures take for an `SHL`."""

    learn_dico = None


@pytest.mark.parametrize("first", [(), (None,), (Experiment(),)], ids=["model", "None", "SHL"])
def test_figures_take_the_model_or_the_annex_order(dico, first):
    assert plotting.show_dico(*first, dico)[1].images
    assert plotting.show_dico(*first, dico, None, dim_graph=(1, 2))[1].images
    assert plotting.show_dico(*first, dico=dico)[1].images
    assert plotting.time_plot(*first, dico, "MC", "a")[1].get_ylabel() == "mutual coherence (a)"
    assert plotting.plot_error(*first, dico, label="run")[1].get_legend()
    for plot in (plotting.plot_P_cum, plotting.plot_usage, plotting.plot_proba_histogram):
        assert plot(*first, dico)[1].has_data()


def test_a_figure_names_an_unknown_parameter(dico):
    with pytest.raises(TypeError, match="time_plot has no parameter 'colour'. Did you mean color"):
        plotting.time_plot(dico, colour="r")
    with pytest.raises(TypeError, match="plot_error has no parameter 'colour'. Did you mean color"):
        plotting.plot_error(dico, colour="r")
    assert plotting.plot_P_cum(dico.P_cum, verbose=False)[1].has_data()  # as in the Annex


def test_no_figure_stays_open():
    open_before = plt.get_fignums()
    for _ in range(22):
        dico = SparseHebbianLearning(4, n_iter=2, random_state=0).fit(np.eye(9))
        fig, _ = plotting.show_dico(dico)
        assert plt.gcf() is fig
    with pytest.raises(ValueError, match="order must be one of 'minmax'"):
        plotting.show_dico(dico, order="best")
    del dico
    assert plt.get_fignums() == open_before
    for _ in range(22):
        fig, _ = plotting.plot_usage(np.ones(3))
        assert plt.gcf() is fig
    assert len(plt.get_fignums()) <= len(open_before) + 20


def test_a_thread_draws_without_pyplot(dico):
    with ThreadPoolExecutor(1) as pool:
        fig, _ = pool.submit(plotting.show_dico, dico).result()
    assert fig.canvas.manager is None


def test_a_figure_is_filled_from_its_free_axes(dico):
    fig = Figure()
    first, second = fig.subplots(1, 2)
    assert plotting.show_dico(dico, fig=fig)[1] is first
    assert plotting.time_plot(dico, "prob", ylabel="p", fig=fig)[1] is second
    assert plotting.time_plot(dico, "F", fig=fig)[1] is second  # none is free
    assert len(second.lines) == 2


def test_an_axis_has_the_label_that_is_asked_for(dico):
    assert plotting.time_plot(dico, "F", ylabel="F")[1].get_ylabel() == "F"
    assert plotting.plot_scan([1, 2], [3, 4], "eta", ylabel="F")[1].get_ylabel() == "F"


def test_colours_of_rules_differ():
    assert set(plotting.COLORS) <= set(RULES)
    assert len(set(plotting.COLORS.values())) == len(plotting.COLORS)


def test_a_figure_is_written_as_png_and_pdf(tmp_path):
    fig, _ = plotting.plot_usage([0.1, 0.3])
    figures.save_both(fig, tmp_path / "usage")
    assert (tmp_path / "usage.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "usage.pdf").read_bytes().startswith(b"%PDF")


def test_variances_usage_error_and_data(dico, rng):
    X = rng.standard_normal((40, 25))
    code = dico.transform(X)
    _, ax = plotting.plot_variance(code)
    variance = (code**2).mean(axis=0) / (code**2).mean()
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], variance, atol=1e-12)
    _, ax = plotting.plot_variance_histogram(code, bins=6)
    heights, edges = np.histogram(variance, bins=6)
    np.testing.assert_array_equal([bar.get_height() for bar in ax.patches], heights)
    np.testing.assert_allclose([bar.get_x() for bar in ax.patches], edges[:-1], atol=1e-12)
    _, ax = plotting.plot_error(dico)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), dico.record_["error"])
    usage = dico.record_["prob_active"][-1]
    _, ax = plotting.plot_usage(usage)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.sort(usage)[::-1])
    _, axs = plotting.show_data(X[:7])
    assert len(axs) == 7
    np.testing.assert_array_equal(shown(axs[3]), plotting.tile(X[3:4], gap=0))


def test_learning_is_four_plots_of_the_record(dico):
    _, axs = plotting.plot_learning(dico)
    drawn = [[line.get_ydata() for line in ax.lines] for ax in axs.flat]
    names = [("F", "F_own"), ("error", "error_own"), ("entropy",), ("qerror",)]
    for lines, variables in zip(drawn, names, strict=True):
        np.testing.assert_array_equal(lines, [dico.record_[name] for name in variables])


def test_a_scan_of_numbers_and_of_names():
    _, ax = plotting.plot_scan([0.01, 0.1, 1.0], [3, 2, 1], "eta")
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "eta"
    _, ax = plotting.plot_scan(["None", "HEH"], [2, 1], "homeo_method")
    assert ax.get_xscale() == "linear"


def test_no_record_is_an_error(rng):
    model = SparseHebbianLearning(4, n_iter=1, random_state=0).fit(rng.standard_normal((20, 4)))
    with pytest.raises(ValueError, match="record_each was 0. Learn again with record_each"):
        plotting.time_plot(model)
    with pytest.raises(ValueError, match="variable must be one of 'F'"):
        plotting.time_plot(model, "G")


def test_plot_proba_histogram_counts_every_atom(dico):
    prob_active = dico.record_["prob_active"][-1]
    _, ax = plotting.plot_proba_histogram(prob_active, title="HAP")
    assert sum(bar.get_height() for bar in ax.patches) == 30
    assert ax.lines[0].get_xdata()[0] == pytest.approx(prob_active.mean())


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_plot_coefficients_takes_least_and_most_used(kind):
    code = np.zeros((40, 6))
    for atom in range(6):
        code[: 4 * (atom + 1), atom] = np.arange(1, 4 * (atom + 1) + 1)
    _, ax = plotting.plot_coefficients(kind(code), n_atoms=2)
    np.testing.assert_array_equal([line.get_xdata().max() for line in ax.lines], [4, 8, 20, 24])
    assert all(line.get_ydata()[0] == 1 for line in ax.lines)


def test_plot_coefficients_leaves_out_unused_atoms():
    code = np.zeros((10, 4))
    code[:, 1], code[:5, 3] = 1.0, 2.0
    _, ax = plotting.plot_coefficients(code, n_atoms=1)
    np.testing.assert_array_equal([line.get_xdata()[0] for line in ax.lines], [2, 1])
    assert len(ax.get_legend().get_texts()) == 2
    _, ax = plotting.plot_coefficients(np.zeros((10, 4)))
    assert not ax.lines


def test_recovery_draws_what_is_active_in_either_code():
    true, found = np.zeros((4, 3)), np.zeros((4, 3))
    true[0, 0], found[0, 0], true[1, 1], found[2, 2] = 1.0, 0.9, 0.5, 0.3
    _, ax = plotting.plot_recovery(true, found)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 0.9], [0.5, 0], [0, 0.3]])
    _, ax = plotting.plot_recovery(np.ones((100, 10)), np.ones((100, 10)), most=100)
    assert len(ax.lines[0].get_xdata()) == 100


def test_gabor_plots_show_the_fits():
    rows = [0.1, 1.6, 1.6], [0.1, 0.2, 0.3], [0.2, 0.4, 0.5], [0.3, 0.6, 0.9], [0.9, 0.8, 0.1]
    fits = dict(zip(("orientation", "frequency", "n_x", "n_y", "r2"), np.array(rows), strict=True))
    _, ax = plotting.plot_orientations(fits, n_bins=2)
    assert ax.patches[0].get_xy()[:, 1].max() == 2
    _, ax = plotting.plot_frequencies(fits, n_bins=2)
    assert set(ax.patches[0].get_xy()[:, 1]) == {0, 1, 2} and ax.get_xlim() == (0, 0.5)
    _, ax = plotting.plot_width_length(fits, references=[("V1", 0.4, 0.45)])
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0.2, 0.3], [0.4, 0.6]])
    assert ax.lines[1].get_label() == "V1"
