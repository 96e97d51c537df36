"""The cells of the study's annex run, with `shl` as the module's name, at a size of seconds."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from making import EXPERIMENT
from PIL import Image

import shl as package
from shl import SHL, SHL_set, plot_P_cum, show_data, show_dico, time_plot
from shl._base.annex import ADVICE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "more" / "coming_from_shl.md"
N_CV, TAG = 2, "ICLR"
fig_width, phi = 450 / 72.27, (np.sqrt(5) + 1) / 2
colors, homeo_methods = ["black", "orange", "blue"], ["None", "OLS", "HEH"]


@pytest.fixture(scope="module")
def opts(tmp_path_factory):
    """In[4]: a folder of several databases."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    for name in ("kodakdb", "other"):
        (folder / "database" / name).mkdir(parents=True)
        pixels = rng.integers(0, 255, (70, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "database" / name / "a.png")
    return {
        "eta": 0.0033,
        "eta_homeo": 0.05,
        "alpha_homeo": 2.5,
        "cache_dir": str(folder / "cache_dir_42"),
        "datapath": str(folder / "database"),
        **EXPERIMENT,
        "n_iter": 9,
    }


@pytest.fixture(scope="module")
def data(opts):
    """In[5], In[6]."""
    shl = SHL(**opts)
    assert shl.name_database == "kodakdb"
    data = shl.get_data(matname=TAG)
    assert data.shape == (600, 64) and data.mean(axis=1).std() >= 0
    return data


@pytest.fixture(scope="module")
def dico(opts, data):
    """In[8]."""
    dico = {}
    for i_cv in range(N_CV):
        dico[i_cv] = {}
        for homeo_method in homeo_methods:
            shl = SHL(homeo_method=homeo_method, seed=42 + i_cv, **opts)
            matname = f"{TAG}_{homeo_method}seed={i_cv}"
            dico[i_cv][homeo_method] = shl.learn_dico(data=data, list_figures=[], matname=matname)
    return dico


def panel(n_rows=1):
    """A panel of the annex, half a column wide."""
    where = {"left": 0.2, "right": 0.95, "bottom": 0.2, "top": 0.95}
    figsize = (fig_width / 2, fig_width / (1 + phi))
    return plt.subplots(n_rows, 1, figsize=figsize, gridspec_kw=where)


def test_in_8_prints_sizes_and_energies(opts, data):
    shl = SHL(homeo_method="OLS", seed=42, **opts)
    figures = ["show_dico", "time_plot_error", "time_plot_logL", "time_plot_MC", "show_Pcum"]
    dico = shl.learn_dico(data=data, list_figures=figures, matname=TAG + "_OLS")
    assert dico.dictionary.shape == (30, 64) and list(shl.figures) == figures
    np.testing.assert_allclose(np.sqrt(np.sum(dico.dictionary**2, axis=1)), 1, rtol=1e-5)


def test_in_12_and_35_show_dictionaries(opts, dico, tmp_path):
    shl, dim_graph = SHL(**opts), (2, 9)
    where = {"left": 0.042, "right": 1.0, "bottom": 0.0, "top": 1.0, "wspace": 0.05, "hspace": 0.05}
    figsize = (fig_width / 2, fig_width / (1 + phi))
    fig, axs = plt.subplots(3, 1, figsize=figsize, gridspec_kw=where)
    for ax, color, homeo_method in zip(axs.ravel(), colors, homeo_methods, strict=True):
        ax.set_facecolor("w")
        fig, drawn = show_dico(shl, dico[0][homeo_method], dim_graph=dim_graph, seed=194, fig=fig)
        assert drawn is ax
        ax.text(-8, 7 * dim_graph[0], homeo_method, fontsize=12, color=color, rotation=90)
    for ext in (".pdf", ".png"):
        fig.savefig(tmp_path / f"panel_A{ext}", dpi=60)


def test_in_18_and_37_compare_rules(opts, dico):
    shl, (fig, ax) = SHL(**opts), panel()
    for i_cv in range(N_CV):
        for color, homeo_method in zip(colors, homeo_methods, strict=True):
            how = {"color": color, "alpha": 0.3, "fig": fig, "ax": ax}
            how |= {"label": homeo_method} if i_cv == 0 else {}
            fig, ax = time_plot(shl, dico[i_cv][homeo_method], variable="F", unit="bits", **how)
    ax.legend(loc="best")
    assert len(ax.lines) == 6 and ax.get_ylabel() == "F (bits)"


def test_in_25_to_27_show_p_cum(opts, data):
    fig, ax = panel()
    for color, homeo_method in zip(colors, homeo_methods, strict=True):
        shl = SHL(homeo_method=homeo_method, **opts)
        dico = shl.learn_dico(data=data, list_figures=["show_Pcum"], matname=f"{TAG}_{color}")
        assert dico.P_cum.shape == (30, 128)
        how = {"title": None, "suptitle": None, "ylabel": "non-linear functions", "verbose": False}
        how |= {"n_yticks": 21, "alpha": 0.02, "c": color, "fig": fig, "ax": ax}
        fig, ax = plot_P_cum(dico.P_cum, ymin=0.95, ymax=1.001, **how)
        ax.plot([0], [0], lw=1, color=color, label=homeo_method, alpha=0.6)
    ax.legend(loc="lower right")
    assert len(ax.get_yticks()) == 2


def test_in_29_scans_rates(opts, data):
    variables, (fig, axs) = ["eta", "eta_homeo"], panel(2)
    for i_ax, variable in enumerate(variables):
        for color, homeo_method in zip(colors, homeo_methods, strict=True):
            opts_ = opts.copy()
            opts_.update(homeo_method=homeo_method, datapath=opts["datapath"])
            experiments = SHL_set(opts_, tag=f"{TAG}_{homeo_method}", N_scan=3)
            experiments.run(variables=[variable], n_jobs=1, verbose=0)
            how = {"color": color, "label": homeo_method, "fig": fig, "ax": axs[i_ax]}
            fig, axs[i_ax] = experiments.scan(
                variable=variable, list_figures=[], display="final", **how
            )
            axs[i_ax].set_xlabel("")
            axs[i_ax].text(0.1, 0.8, variable, transform=axs[i_ax].transAxes)
    fig.legend(loc="lower right")
    assert [len(ax.lines) for ax in axs] == [3, 3]


def test_in_52_to_55_learn_and_ask_for_help(opts, data):
    shl = SHL(**opts)
    dico = shl.learn_dico(
        data=data, list_figures=["show_dico", "show_Pcum", "time_plot_F"], matname=TAG + "_vanilla"
    )
    assert dico.dictionary.mean(axis=1).std() < 0.1
    for name in ("code", "decode", "get_data", "learn_dico", "plot_error", "plot_variance"):
        assert getattr(shl, name).__doc__
    for draw in (shl.plot_variance, shl.plot_variance_histogram, shl.plot_coefficients):
        assert draw(shl.code(data, dico))[1].has_data()
    for draw in (
        shl.plot_error,
        shl.plot_proba_histogram,
        shl.show_Pcum,
        shl.show_dico,
        shl.show_dico_in_order,
    ):
        assert draw(dico)[1].has_data()
    assert shl.time_plot(dico, variable="kurt", N_nosample=1)[1].lines


def test_loading_a_database_with_and_without_mask(opts):
    small = {**opts, "N_patches": 12}
    for do_mask, label in zip([False, True], ["Without mask", "With mask"], strict=True):
        shl = SHL(DEBUG_DOWNSCALE=1, verbose=0, n_image=1, do_mask=do_mask, **small)
        _, axs = show_data(shl.get_data())
        axs[0].set_ylabel(label)
        assert len(axs) == 12


def test_in_56_learns_by_every_algorithm(opts, data):
    fig, ax = None, None
    for algorithm in ["lasso_lars", "lasso_cd", "lars", "omp", "mp"]:
        opts_ = opts.copy()
        opts_.update(homeo_method="None", learning_algorithm=algorithm, verbose=0)
        shl = SHL(**opts_)
        matname = TAG + f" - algorithm={algorithm}"
        dico = shl.learn_dico(data=data, list_figures=[], matname=matname)
        fig, ax = shl.time_plot(dico, variable="F", fig=fig, ax=ax, label=algorithm)
    ax.legend()
    assert len(ax.lines) == 5


@pytest.mark.parametrize("change", [{"one_over_F": False}, {"one_over_F": True}, {"beta1": 0.0}])
def test_in_57_and_after_start_and_learn_otherwise(opts, data, change):
    shl = SHL(**change, **opts)
    dico = shl.learn_dico(data=data, matname=TAG + "_change", list_figures=[])
    fig, ax = shl.time_plot(dico, variable="F", fig=None, ax=None, color="b", label="start")
    ax.legend(loc="best")
    assert ax.lines[0].get_color() == "b"


def test_model_py_scans_seeds(opts):
    experiments = SHL_set(opts, tag=TAG + "_HAP", N_scan=2)
    records = experiments.run(variables=["seed"], n_jobs=1, verbose=0, list_figures=["show_dico"])
    assert [record["seed"] for record in records] == [42, 43]
    assert list(experiments.figures) == [42, 43]
    assert experiments.scan(variable="seed", display="") == (None, None)


# ------------------------------------------------------------------------ what needs another name


@pytest.mark.parametrize("name", ADVICE)
def test_the_page_lists_a_name_that_changes(name):
    assert re.search(rf"\b{name}\b", PAGE.read_text())


def test_an_error_says_what_to_write_instead(opts, data):
    with pytest.raises(ImportError, match="no attribute 'prun'. Write instead: SHL_set"):
        from shl import prun  # noqa: F401
    with pytest.raises(ImportError, match="Write instead: shl.ConvolutionalSHL"):
        from shl.convolution import CHAMP_Layer  # noqa: F401
    with pytest.raises(AttributeError, match="Write instead: shl.classic.inv_quantile"):
        package.inv_quantile  # noqa: B018
    assert not hasattr(package, "print_stats") and not hasattr(package, "anything")
    with pytest.raises(TypeError, match="SHL_set has no parameter 'do_run'. Write instead: run"):
        SHL_set(opts, do_run=True)
    with pytest.raises(TypeError, match="SHL.learn_dico has no parameter 'eta'. Pass it to SHL"):
        SHL(**opts).learn_dico(data, eta=0.1)
    with pytest.raises(ValueError, match="no figure 'time_plot_aerror'. Write instead: time_plot"):
        SHL(**opts).learn_dico(data, list_figures=["time_plot_aerror"])
