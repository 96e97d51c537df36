"""ConvolutionalSHL: the estimator for images."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._base import constraints
from .._base.checks import as_array, check_array, check_count
from .._base.parameters import estimator
from ..estimators.base import HebbianEstimator
from ..learning.homeostasis import Rule, kind_of, make_rule
from ..learning.optimizers import DecayLike, GradientDescent
from ..learning.replacement import ReplaceLike
from ..learning.state import Plan
from .coding import ConvolutionalCoding, check_filters, check_images, encode_images
from .events import ConvolutionalCode


@estimator
class ConvolutionalSHL(HebbianEstimator):
    """Convolutional dictionary learning by matching pursuit, homeostasis and a Hebbian step.

    An image is coded by few atoms, each at any place: X ~ sum over events of value * atom at (row,
    column).  A step codes a batch of images, adapts the gain of each atom, and moves each atom by
    the residual where it was used::

        g_i = sum over events of i of value * mask * residual patch;   g_i <- g_i - mean g_i
        d_i <- d_i + eta g_i / |g_i|;   d_i <- d_i / |d_i|

    Parameters
    ----------
    n_dictionary : int, default=20
        Atoms.
    patch_width : int, default=9
        Pixels of an atom's side.
    l0_sparseness : int, default=20
        Events an image, at most the number of places.
    n_iter : int, default=500
        Steps, each on one batch.
    eta : float, default=0.05
        Above 0, the length of an atom's move.
    eta_decay : (float, float), optional
        The rate is eta up to the first share of n_iter, then falls along a cosine to the second
        share of eta; None keeps it.
    homeo_method : str or Rule, default='epochEXP'
        A name in `shl.learning.RULES` of a rule that gives a gain, such as 'None', 'shareHAP'
        and 'epochEXP', which are made for images, or a rule of one's own.
    eta_homeo : float, optional
        In [0, 1], the rate of the rule; None is the rule's own.
    replace : bool or Replacement, default=False
        Whether an atom that others explain is replaced by what is badly coded, and how.
    alpha_MP : float, default=1.0
        In (0, 1], the share of a coefficient that one event takes.
    mask : array, optional
        Weights of an atom's pixels while it learns: (patch_width, patch_width), with channels in
        front, or of the shape of components_ (see `gaussian_mask`).
    do_sym : bool, default=False
        True lets values be negative.
    stride : int, default=1
        At most patch_width, pixels between two places.
    batch_size : int, optional
        Images of a step; None is all images.
    record_each : int, default=10
        Steps between records; 0 records nothing.
    record_num_batches : int, default=0
        Images that `fit` holds out of learning for the records; 0 records a step's own batch,
        before the atoms move.
    dict_init : array of shape (n_dictionary, n_channels, patch_width, patch_width), optional
        Start; None is white noise under the mask.
    random_state : int, Generator, RandomState or None, default=None
    n_jobs : int, optional
        Threads; None is 1, -1 all cores.  The result has the same bits for any number.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    components_ : array of shape (n_dictionary, n_channels, patch_width, patch_width)
        Norms 1, float32 if X is, else float64.
    competition_ : Competition
        Under which the next batch would be coded.
    gain_ : array of shape (n_dictionary,) or None
        Its gain.
    counts_ : array of shape (n_dictionary,) or None
        Events of each atom in the last record, under the rule's own competition.
    record_ : History
        Mapping from name to array, first axis the record; 'steps' the step of each (see
        `shl.learning.record`).
    n_iter_, n_channels_in_ : int
        Steps taken; channels.
    n_dead_, n_replaced_ : int
        Atoms that no image of the last pass selected; replacements of atoms so far.
    seconds_ : float
        CPU time of learning.

    References
    ----------
    Perrinet (2019), An adaptive homeostatic algorithm for the unsupervised learning of visual
    features, Vision 3(3):47, annex.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((4, 20, 24))
    >>> model = ConvolutionalSHL(n_dictionary=5, patch_width=7, l0_sparseness=6, n_iter=3)
    >>> model.set_params(random_state=0).fit(X).transform(X)
    ConvolutionalCode(24 events of 5 atoms at 14 x 18 places in 4 images)
    """

    n_dictionary: constraints.Count = 20
    patch_width: constraints.Count = 9
    l0_sparseness: constraints.Count = 20
    n_iter: constraints.Count = 500
    eta: constraints.Positive = 0.05
    eta_decay: DecayLike | None = None
    homeo_method: str | Rule | None = "epochEXP"
    eta_homeo: constraints.Share | None = None
    replace: ReplaceLike = False
    alpha_MP: constraints.PositiveShare = 1.0
    mask: np.ndarray | None = None
    do_sym: constraints.Flag = False
    stride: constraints.Count = 1
    batch_size: constraints.Count | None = None
    record_each: constraints.CountOrZero = 10
    record_num_batches: constraints.CountOrZero = 0
    dict_init: np.ndarray | None = None
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ------------------------------------------------------------------------------ learning

    def plan(self, shape: tuple, dtype, n_steps: int | None = None) -> Plan:
        """The validated `shl.learning.Plan` of the parameters, to learn from images (n_images,
        n_channels, height, width) of a dtype in n_steps; None has no end.
        """
        constraints.check_fields(self)
        how = self._coding(self._mask(shape[1], dtype))
        n_dictionary, _, width, _ = self._shape(shape)
        how.check_fits(shape, width, n_dictionary)
        batch_size = shape[0] if self.batch_size is None else self.batch_size
        batch_size = check_count(
            batch_size, "batch_size", most=shape[0], why="the images to learn from"
        )
        rule = make_rule(
            self.homeo_method, eta_homeo=self.eta_homeo, n_batches=shape[0] // batch_size
        )
        if kind_of(rule, n_dictionary) == "table":
            raise ValueError(
                f"homeo_method must be a rule with a gain, not {self.homeo_method!r}, which gives "
                f"a table P_cum: convolutional pursuit has no quantiles"
            )
        descent = GradientDescent(self.eta, is_normalised=True)
        return Plan(how, rule, descent, batch_size, self._recording(), **self._changes(n_steps))

    def _coding(self, mask=None, l0_sparseness=None):
        """How images are coded."""
        return ConvolutionalCoding(
            self.l0_sparseness if l0_sparseness is None else l0_sparseness,
            self.alpha_MP,
            self.do_sym,
            self.stride,
            mask,
            is_quiet=not self.verbose,
        )

    def _shape(self, shape):
        """(n_dictionary, n_channels, patch_width, patch_width)."""
        width = int(self.patch_width)
        return int(self.n_dictionary), shape[1], width, width

    @staticmethod
    def _check_atoms(dictionary):
        """An error for a dictionary from disk whose atoms are not squares with channels."""
        if np.ndim(dictionary) != 4:
            raise ValueError(f"dictionary must have 4 axes, not shape {np.shape(dictionary)}")
        check_filters(dictionary, dictionary.dtype)

    def _mask(self, n_channels, dtype):
        """The mask as an array that broadcasts to the dictionary, or None."""
        if self.mask is None:
            return None
        shapes = [self._shape((None, n_channels))[start:] for start in (2, 1, 0)]
        mask = as_array(self.mask, "mask")
        if mask.shape not in shapes:
            raise ValueError(
                f"mask must have one of the shapes {', '.join(map(str, shapes))}, not {mask.shape}"
            )
        mask = check_array(mask, "mask", ndim=mask.ndim, dtype=dtype)
        if mask.min() < 0 or not mask.any():
            raise ValueError(
                f"mask must be non-negative and not all 0, its range is {mask.min():.3g} to "
                f"{mask.max():.3g}"
            )
        return mask

    def _validate(self, X, reset):
        """X as images, with the channels and dtype of the atoms where there are some."""
        if reset:
            return check_images(X)
        return check_images(X, dtype=self.components_.dtype, n_channels=self.n_channels_in_)

    def _start_dictionary(self, X, plan, rng):
        """dict_init, or white noise under the mask."""
        shape = self._shape(X.shape)
        dictionary = self._check_start(shape, X.dtype)
        if dictionary is None:
            dictionary = rng.standard_normal(shape).astype(X.dtype)
            if plan.coding.mask is not None:
                dictionary *= plan.coding.mask
        return dictionary, None

    def _set_fitted(self, state, competition):
        """The fitted attributes that are parts of the state."""
        self.n_channels_in_ = state.dictionary.shape[1]
        self.counts_ = state.record["counts_own"][-1] if len(state.record) else None
        return super()._set_fitted(state, competition)

    # --------------------------------------------------------------------------------------- coding

    def transform(self, X, *, l0_sparseness: int | None = None, gain=None) -> ConvolutionalCode:
        """The `ConvolutionalCode` of images X by plain pursuit, or under a competition:
        gain=model.gain_.
        """
        check_is_fitted(self)
        how = self._coding(l0_sparseness=l0_sparseness)
        return encode_images(X, self.components_, how, gain, self.n_jobs, "components_")

    def inverse_transform(self, code, shape: tuple | None = None) -> np.ndarray:
        """The images (n_images, n_channels, height, width) that a code stands for.

        code is a `ConvolutionalCode` or a dense array (n_images, n_dictionary, n_rows, n_columns).
        shape (..., height, width): None is the smallest that has the places of the code, with
        stride 1 the shape of the images.
        """
        check_is_fitted(self)
        if not isinstance(code, ConvolutionalCode):
            code = ConvolutionalCode.from_dense(check_array(code, "code", ndim=4))
        return code.reconstruct(self.components_, shape, self.stride)
