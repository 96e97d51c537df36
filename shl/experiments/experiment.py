"""SHL: an experiment, from the parameters of the data and of the learning to its figures."""

from dataclasses import dataclass, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from .. import plotting, store
from .._base import constraints
from .._base.annex import ADVICE
from .._base.checks import check_choice
from .._base.parameters import check_keywords
from .._base.schema import Field
from .._base.schema import check as check_schema
from .._base.threads import count_threads
from ..coding.encode import sparse_encode
from ..coding.parameters import Algorithm
from ..estimators.dictionary import SparseHebbianLearning
from ..images.patches import Patches, PatchWidth
from ..images.photographs import choose_database
from ..learning import checkpoints
from ..learning.optimizers import DecayLike, OptimizerName, Power
from ..learning.replacement import ReplaceLike
from ..plotting.figures import close, is_shown
from ..store.entries import DEFAULT_FOLDER
from ..store.index import names_changed

# With these, an `SHL` has the study's own settings: a constant rate for three times as many steps.
STUDY = {"n_iter": 4097, "optimizer": "adam", "eta": 0.02, "eta_decay": None, "replace": False}
DATA_PARAMETERS = tuple(field.name for field in fields(Patches))
DOWNSCALED = ("N_patches", "n_iter", "batch_size", "record_num_batches")
OF_CODE = ("plot_variance", "plot_variance_histogram", "plot_coefficients")
OF_RECORD = tuple(f"time_plot_{name}" for name in (*plotting.LABELS, "prob"))
OF_MODEL = ("show_dico", "show_dico_in_order", "show_Pcum", "plot_error", "plot_proba_histogram")
FIGURES = (*OF_MODEL, *OF_CODE, *OF_RECORD)


@dataclass(eq=False)
class SHL:
    """An experiment of sparse Hebbian learning on patches of natural images.

    >>> shl = SHL(homeo_method="HEH")                                         # doctest: +SKIP
    >>> data = shl.get_data()                                                 # doctest: +SKIP
    >>> dico = shl.learn_dico(data=data, list_figures=["show_dico"])          # doctest: +SKIP

    Parameters
    ----------
    height, width : int, default=256
        Size of the crops of images, in pixels.
    patch_width : int, default=21
        Width of a patch in pixels.
    N_patches : int, default=65536
        Number of patches in the data.
    datapath : str, default='database/'
        Folder of databases.
    name_database : str, optional
        Database in the folder.  'sample' (photographs that scikit-learn ships) and 'dead_leaves'
        (synthetic) need no folder.  If None, the one database of a given datapath, else 'sample'.
    do_mask, do_bandpass : bool, default=True
        Whether patches are masked by a disc, and band-passed, see `shl.images.extract_patches`.
    over_patches : int, default=16
        Number of patches that are drawn for each that is kept.
    patch_ds : int, default=1
        Number of pixels, in each direction, that are averaged into one.
    patch_norm : bool, default=False
        Whether each patch is divided by its standard deviation.
    n_image : int, optional
        Number of images to use.  If None, all.
    patch_height : int, default=None
        Height of a patch in pixels.  If None, patch_width.  Sounds have a height of 1 (and crops
        too, `height=1`).
    color : bool, default=False
        Whether to learn from colours.  Patches then have patch_height x patch_width x 3 pixels.
        Channels are filtered alike and scaled together, see `shl.images.extract_patches`.
    n_dictionary : int, default=676
        Number of atoms.
    learning_algorithm : str, default='mp'
        Coder, see `SparseHebbianLearning`.
    fit_tol : float, optional
        Tolerance, penalty or threshold of the coder, see `SparseHebbianLearning`.
    l0_sparseness : int, default=21
        Largest number of atoms per sample.
    alpha_MP : float, default=0.95
        Share of a coefficient that one step of matching pursuit takes.
    one_over_F : bool, default=True
        Whether the dictionary starts from 1/f noise, not from white noise.
    n_iter : int, default=1281
        Number of learning steps.
    optimizer : {'newton', 'adam'}, default='adam'
        How atoms move, see `SparseHebbianLearning`.
    eta : float, default=0.04
        Rate of 'adam'.
    eta_decay : (float, float), default=(0.6, 0.05)
        Share of the steps after which the rate falls, and its end in units of the rate.  If None,
        the rate is constant.
    beta1, beta2 : float, default=0.99
        Decays of 'adam'.
    epsilon : float, default=10
        Epsilon of 'adam' as a power, 10^-epsilon.
    do_precision : bool, default=False
        Whether to learn weights of the pixels of each atom.
    eta_precision : float, default=0.0
        Rate at which these weights are learned.
    homeo_method : str or Rule, default='HAP'
        Rule of homeostasis, see `SparseHebbianLearning`.
    eta_homeo : float, default=0.01
        Rate of the rule per step.
    alpha_homeo : float, default=0.05
        Strength of the rule.
    C : float, default=3.0
        Scale of coefficients in the histograms.  0 adapts it to the data.
    nb_quant : int, default=128
        Number of points of a histogram.
    homeo_fade : (float, float), optional
        Shares of the steps between which the rule fades.  If None, it acts throughout.
    replace : bool or Replacement, default=True
        Whether, and how, redundant atoms are replaced.
    P_cum : array of shape (n_dictionary, nb_quant), optional
        Start of the histograms.
    do_sym : bool, default=False
        Whether coefficients may be negative.
    seed : int, default=42
        Decides crops, patches, the start and the order of samples.
    batch_size : int, default=1024
        Number of samples of a step.
    record_each : int, default=32
        Number of steps between records.
    record_num_batches : int, default=1024
        Number of samples that are held out of learning for the records.
    DEBUG_DOWNSCALE : int, default=1
        Divides N_patches, n_iter, batch_size and record_num_batches, for a quick look.
    verbose : int, default=0
        1 shows progress bars.
    cache_dir : str, Path or None, default='cache_dir'
        Folder of results.  If None, there is no store.  SHL_CACHE_DIR in the environment replaces
        the default.
    checkpoint_each : int, optional
        Number of steps between checkpoints of a learning with a store.  If None, about 30 s.
    n_jobs : int, default=1
        Number of threads.  -1 is all cores.

    Attributes
    ----------
    figures : dict
        From a name to the (fig, ax) of what `list_figures` asked for last.

    Raises
    ------
    TypeError, ValueError
        For an unknown name, or a value out of its range, by name.

    References
    ----------
    Perrinet (2019), Vision 3(3):47.
    """

    height: constraints.Count = Patches.height
    width: constraints.Count = Patches.width
    patch_width: PatchWidth = Patches.patch_width
    N_patches: constraints.Count = Patches.N_patches
    datapath: constraints.PathLike = Patches.datapath
    name_database: constraints.PathLike | None = None
    do_mask: constraints.Flag = Patches.do_mask
    do_bandpass: constraints.Flag = Patches.do_bandpass
    over_patches: constraints.Count = Patches.over_patches
    patch_ds: constraints.Count = Patches.patch_ds
    patch_norm: constraints.Flag = Patches.patch_norm
    n_image: constraints.Count | None = Patches.n_image
    patch_height: constraints.Count | None = Patches.patch_height
    color: constraints.Flag = Patches.color
    n_dictionary: constraints.Count | None = 676
    learning_algorithm: Algorithm | None = "mp"
    fit_tol: constraints.NotNegative | None = None
    l0_sparseness: constraints.Count | None = 21
    alpha_MP: constraints.PositiveShare = 0.95
    one_over_F: constraints.Flag = True
    n_iter: constraints.Count = 1281
    optimizer: OptimizerName = "adam"
    eta: constraints.Positive = 0.04
    eta_decay: DecayLike | None = (0.6, 0.05)
    beta1: constraints.ShareBelowOne = 0.99
    beta2: constraints.ShareBelowOne = 0.99
    epsilon: Power = 10
    do_precision: constraints.Flag = False
    eta_precision: constraints.Share = 0.0
    homeo_method: object = "HAP"
    eta_homeo: constraints.Share = 0.01
    alpha_homeo: constraints.Positive = 0.05
    C: constraints.NotNegative = 3.0
    nb_quant: constraints.Quantiles = 128
    homeo_fade: constraints.Interval | None = None
    replace: ReplaceLike = True
    P_cum: np.ndarray | None = None
    do_sym: constraints.Flag = False
    seed: constraints.CountOrZero = Patches.seed
    batch_size: constraints.Count = 1024
    record_each: constraints.CountOrZero = 32
    record_num_batches: constraints.Count = 1024
    DEBUG_DOWNSCALE: constraints.Count = 1
    verbose: constraints.CountOrZero = 0
    cache_dir: str | Path | None = DEFAULT_FOLDER
    checkpoint_each: constraints.Count | None = None
    n_jobs: int | None = 1

    def __post_init__(self):
        self.figures = {}
        path, self.name_database = choose_database(self.name_database, self.datapath)
        vars(self)["datapath"] = path
        for name, value in self.parameters().items():  # a small integer of NumPy's overflows
            if isinstance(value, np.generic):
                setattr(self, name, value.item())
        constraints.check_fields(self)
        count_threads(self.n_jobs)
        shape = self.patches.shape  # they validate themselves
        model = self._estimator()
        most = max(self._downscaled("N_patches"), self._downscaled("batch_size"))
        model.plan((most, int(np.prod(shape))), np.float32)
        self.store: Any = store.open_store(self.cache_dir)

    def __eq__(self, other):
        if not isinstance(other, SHL):
            return NotImplemented
        return store.key_of(self.parameters()) == store.key_of(other.parameters())

    @property
    def patches(self) -> Patches:
        """What decides the data, downscaled where DEBUG_DOWNSCALE says so."""
        return Patches(**self._parameters(DATA_PARAMETERS))

    def check_enough(self, n_patches: int) -> None:
        """Raise ValueError for fewer patches than one step and the records need."""
        batch = self._downscaled("batch_size")
        held_out = self._downscaled("record_num_batches") if self.record_each else 0
        if n_patches < batch + held_out:
            raise ValueError(
                f"N_patches must be at least {batch + held_out}, not {n_patches}: "
                f"batch_size = {batch} to learn from, and record_num_batches = {held_out} "
                "held out for the records"
            )

    def _downscaled(self, name):
        return max(1, getattr(self, name) // self.DEBUG_DOWNSCALE)

    def _parameters(self, names):
        """The values of some parameters, downscaled where DEBUG_DOWNSCALE says so."""
        return {
            name: self._downscaled(name) if name in DOWNSCALED else getattr(self, name)
            for name in names
        }

    def parameters(self) -> dict[str, Any]:
        """All parameters as a dict: SHL(**shl.parameters()) is the same experiment."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    # ----------------------------------------------------------------------------------------- data

    def get_data(self, matname: str | None = None, patch_width: int | None = None) -> np.ndarray:
        """Patches (N_patches, patch_height * patch_width) float32 of the database, or three times
        as many pixels in colour.

        The store holds their digest alone: to make them takes about a second, and a default set
        would take 116 MB.
        """
        if patch_width is not None and patch_width != self.patch_width:
            return replace(self, patch_width=patch_width).get_data(matname)
        data = self.patches.draw(self.verbose)
        if self.store:
            digest, path = store.digest(data), self._data_path(matname)
            if self.store.get(path, _read_digest) != digest:
                about = {"kind": "data", "digest": digest, "parameters": vars(self.patches)}
                about["changed"] = names_changed(vars(self.patches), _defaults())
                self.store.put(path, {}, about)
        return data

    def data_digest(self) -> str | None:
        """The digest of the patches that `get_data()` keeps in the store, None where they are not
        there yet.
        """
        return self.store.get(self._data_path(None), _read_digest) if self.store else None

    def _data_path(self, matname):
        """Where the patches are kept, or None without a store."""
        tag = matname or self.name_database
        return self.store and self.store.path("data", self.patches.key(), tag)

    # ------------------------------------------------------------------------------------- learning

    def _estimator(self, dictionary=None, precision=None, P_cum=None):
        """The unfitted model of these parameters."""
        shape = self.patches.shape
        model = SparseHebbianLearning(
            **self._parameters(LEARNING_PARAMETERS),
            patch_shape=shape if self.color or shape[0] != shape[1] else None,
            dict_init=dictionary,
            precision_init=precision,
            P_cum_init=self.P_cum if P_cum is None else P_cum,
            random_state=self.seed,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        # A parameter is said to have no effect if the user set it: if it is not the default here.
        model._defaults = _defaults()
        return model

    @constraints.checked
    def learn_dico(
        self,
        data: Any = None,
        dictionary: Any = None,
        precision: Any = None,
        P_cum: Any = None,
        matname: str | None = None,
        list_figures: constraints.Names = (),
        fig_kwargs: dict | None = None,
    ) -> SparseHebbianLearning:
        """A fitted `SparseHebbianLearning` of this experiment.

        Parameters
        ----------
        data : array of shape (n_samples, n_pixels), optional
            Patches; None is `get_data()`.
        dictionary, precision, P_cum : arrays, optional
            Start values.
        matname : str, optional
            Keep the result in the store, under the hash of the parameters, the data and the start
            values, with this name in front; an interrupted learning resumes where it was.
        list_figures : sequence of str, default=()
            Drawn into `figures`: show_dico, show_dico_in_order, show_Pcum, plot_error,
            plot_proba_histogram, plot_variance, plot_variance_histogram, plot_coefficients,
            time_plot_<variable>.
        fig_kwargs : dict, optional
            Passed to the figures that take them.
        """
        for name in list_figures:
            if (variable := name.removeprefix("time_plot_")) in ADVICE:
                raise ValueError(
                    f"list_figures has no figure {name!r}. Write instead: {ADVICE[variable]}"
                )
            check_choice(name, "list_figures", FIGURES)
        self.check_enough(self._downscaled("N_patches") if data is None else len(data))
        _check_options(fig_kwargs or {}, list_figures)
        data = self.get_data() if data is None else data
        model = self._estimator(dictionary, precision, P_cum)
        is_kept = matname is not None and self.store is not None
        dico = self._learn_or_load(model, data, matname) if is_kept else model.fit(data)
        for name in list_figures:
            self.figures[name] = self._draw(name, dico, data, fig_kwargs or {})
        return dico

    def _learn_or_load(self, model, data, matname):
        """The model from the store, or learned, from its last checkpoint on, and stored."""
        digest = store.digest(data)
        path = self.result_path(model, matname=matname, data_digest=digest)
        found = self.stored(path)
        if found is not None:
            return found
        if digest == self.data_digest():
            model._experiment = vars(self.patches)
        return checkpoints.fit(model, data, self.store, path, self.checkpoint_each)

    def stored(self, path: str | Path) -> SparseHebbianLearning | None:
        """The model in the store at a `result_path`, or None; one of a user-defined rule is always
        learned again.
        """
        if not isinstance(self.homeo_method, str):
            return None
        found = self.store.get(path, SparseHebbianLearning.load)
        return found and found.set_params(n_jobs=self.n_jobs, verbose=self.verbose)

    def result_path(
        self,
        model: Any = None,
        data: Any = None,
        matname: str | None = None,
        data_digest: str | None = None,
    ) -> Path:
        """Where the result of a learning is kept: it depends on all parameters, the data and the
        start values.
        """
        model = model or self._estimator()
        parameters = model.get_params(deep=False)
        of_transform = [name for name in parameters if name.startswith("transform_")]
        for name in ("n_jobs", "verbose", "sparse_output", "split_sign", *of_transform):
            parameters.pop(name)
        key = store.key_of({**parameters, "data": data_digest or store.digest(data)}, "experiments")
        return self.store.path("dico", key, matname)

    # --------------------------------------------------------------------------------------- coding

    @constraints.checked
    def code(
        self,
        data: Any,
        dico: Any,
        coding_algorithm: Algorithm = "mp",
        matname: str | None = None,
        P_cum: Any = None,
        fit_tol: float | None = None,
        l0_sparseness: int | None = None,
        gain: Any = None,
    ) -> np.ndarray:
        """The code (n_samples, n_dictionary) of data by a learned dictionary, by plain pursuit
        unless told otherwise.

        coding_algorithm is one of `sparse_encode`; the result is cached when matname is given.
        """
        options = {
            "algorithm": coding_algorithm,
            "P_cum": P_cum,
            "fit_tol": self.fit_tol if fit_tol is None else fit_tol,
            "gain": gain,
            "alpha_MP": self.alpha_MP,
            "l0_sparseness": l0_sparseness or self.l0_sparseness,
            "C": None if P_cum is None else dico.C_,
            "do_sym": self.do_sym,
            "precision": dico.precision if coding_algorithm == "mp" else None,
        }
        is_kept = matname is not None and self.store is not None
        if is_kept:
            made_of = {"data": store.digest(data), "dictionary": store.digest(dico.dictionary)}
            key = store.key_of({**options, **made_of}, "experiments")
            path = self.store.path("code", key, matname)
            if (found := self.store.get(path, _read_code)) is not None:
                return found
        code = sparse_encode(data, dico.dictionary, n_jobs=self.n_jobs, **options)
        if is_kept:
            self.store.put(path, {"code": code}, {"kind": "code"})
        return code

    def decode(self, code: Any, dico: Any) -> np.ndarray:
        """The patches (n_samples, n_pixels) that a code stands for."""
        return dico.inverse_transform(code)

    # -------------------------------------------------------------------------------------- figures

    show_dico = staticmethod(plotting.show_dico)
    show_dico_in_order = staticmethod(plotting.show_dico_in_order)
    show_Pcum = staticmethod(plotting.plot_P_cum)
    plot_error = staticmethod(plotting.plot_error)
    plot_proba_histogram = staticmethod(plotting.plot_proba_histogram)
    plot_coefficients = staticmethod(plotting.plot_coefficients)
    plot_variance = staticmethod(plotting.plot_variance)
    plot_variance_histogram = staticmethod(plotting.plot_variance_histogram)
    time_plot = staticmethod(plotting.time_plot)

    def _draw(self, name, dico, data, options):
        """(fig, ax) of one of FIGURES."""
        options = {key: options[key] for key in options if key in _options_of(name)}
        if name.startswith("time_plot_"):
            options["variable"], name = name.removeprefix("time_plot_"), "time_plot"
        fig, ax = getattr(self, name)(self.code(data, dico) if name in OF_CODE else dico, **options)
        if not is_shown():
            close(fig)
        return fig, ax


def _read_code(path):
    """The code in a file."""
    arrays, _ = store.read(path)
    return check_schema(arrays, {"code": Field(("n_samples", "n_dictionary"))})["code"]


def _read_digest(path):
    """The digest of the patches in a file."""
    return str(store.read_info(path)["digest"])


def _defaults():
    """The defaults of an experiment, and of the seed as its estimator names it."""
    defaults = {field.name: field.default for field in fields(SHL)}
    return defaults | {"random_state": defaults["seed"]}


def _options_of(name):
    """The parameters of one of FIGURES."""
    if name in OF_RECORD:
        return [option for option in signature(SHL.time_plot).parameters if option != "variable"]
    return list(signature(getattr(SHL, name)).parameters)


def _check_options(options, list_figures):
    """An error for options that no figure takes."""
    known = {option for name in list_figures for option in _options_of(name)}
    if unknown := sorted(set(options) - known):
        raise TypeError(
            f"fig_kwargs has {', '.join(unknown)}, which no figure of list_figures has "
            "as a parameter"
        )


made: Any = SHL
made.__init__ = check_keywords(made.__init__)  # which the dataclass has made

# What an experiment hands to its estimator under the same name.
LEARNING_PARAMETERS = tuple(
    field.name
    for field in fields(SHL)
    if field.name in signature(SparseHebbianLearning).parameters
    and field.name not in ("n_jobs", "verbose")
)

__all__ = ["DATA_PARAMETERS", "FIGURES", "SHL", "STUDY"]
