"""Names of the Annex, of the study's code and of CHAMP that have another name here."""

import sys

# The name there: what to write here.  docs/more/coming_from_shl.md lists them.
ADVICE = {
    "get_data": "SHL(...).get_data()",
    "get_record": "dico.record, or dico.record.to_frame()",
    "prun": "SHL_set(...).run(variables, n_jobs=4)",
    "print_stats": "data.shape, data.mean(), data.std() of NumPy",
    "compute_RMSE": "shl.metrics.reconstruction_error(data, data - dico.inverse_transform(code))",
    "plot_scatter_MpVsTrue": "shl.plotting.plot_recovery(code_true, code_found)",
    "plot_dist_max_min": "shl.plot_coefficients(code)",
    "plot_coeff_distribution": "shl.plot_coefficients(code)",
    "plot_variance_and_proxy": "shl.plot_variance(code) and shl.plot_usage(dico)",
    "mp": "shl.classic.mp(X, D)",
    "quantile": "shl.classic.quantile(P_cum, r)",
    "rescaling": "shl.classic.rescaling(code, C)",
    "inv_quantile": "shl.classic.inv_quantile(P_cum, z)",
    "inv_rescaling": "shl.classic.inv_rescaling(r, C)",
    "data_matname": "get_data(matname=...), or nothing: the key of patches is all that makes them",
    "do_run": "run(variables)",
    "do_tiles": "nothing: atoms are always drawn as tiles",
    "aerror": "time_plot_error, or time_plot_error_own under the rule's own competition",
    "LoadData": "shl.annex.convolution.load('faces')",
    "LocalContrastNormalization": "shl.convolution.preprocess(X), which normalises and filters",
    "FilterInputData": "shl.convolution.preprocess(X), which normalises and filters",
    "GenerateMask": "shl.convolution.gaussian_mask(width)",
    "CHAMP_Layer": "shl.ConvolutionalSHL(n_dictionary=20, l0_sparseness=20, patch_width=9)",
    "TrainLayer": "model.fit(X)",
    "SaveNetwork": "model.save(path)",
    "LoadNetwork": "shl.ConvolutionalSHL.load(path)",
    "DisplayDico": "shl.show_dico(model)",
    "DisplayConvergenceCHAMP": "shl.plot_error(model), or shl.convolution.plots.plot_counts(model)",
    "DisplayWhere": "shl.convolution.plots.show_where(code)",
    "Rebuilt": "model.inverse_transform(code)",
}


def missing_name(package: str, name: str) -> Exception:
    """Return the error for a name that a package does not have.

    An `import` statement would replace an AttributeError by an error of its own: it gets an
    ImportError, if there is advice.
    """
    text = f"module {package!r} has no attribute {name!r}"
    if name not in ADVICE:
        return AttributeError(text)
    is_import = sys._getframe(2).f_code.co_name == "_handle_fromlist"
    kind = ImportError if is_import else AttributeError
    return kind(f"{text}. Write instead: {ADVICE[name]}")
