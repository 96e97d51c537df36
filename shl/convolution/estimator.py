"""ConvolutionalSHL: the estimator for images."""

import dataclasses
from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.utils.validation import check_is_fitted

from .._base import constraints
from .._base.checks import as_array, check_array, check_count
from .._base.constraints import Constraint
from .._base.parameters import estimator
from ..estimators.base import HebbianEstimator
from ..learning.homeostasis import Rule, kind_of, make_rule
from ..learning.optimizers import Decay, DecayLike, GradientDescent, Newton
from ..learning.replacement import ReplaceLike
from ..learning.state import Plan
from .coding import check_filters, encode_images
from .events import ConvolutionalCode
from .layout import Windows, read, scaled
from .parameters import ConvolutionalCoding
from .recordings import (
    DECAY,
    FLOOR,
    LENGTHS,
    N_ITER,
    N_WINDOWS,
    Centred,
    FallingFloor,
    TwinReplacement,
)


def _check_atom_shape(value, name):
    """A number of samples, or (height, width)."""
    sides = value if isinstance(value, (tuple, list)) else (value,)
    if len(sides) not in (1, 2):
        raise ValueError(
            f"{name} must be an int for signals or (height, width) for images, not {value!r}"
        )
    return tuple(check_count(side, name) for side in sides)


AtomShape = Annotated[
    int | tuple[int, ...],
    Constraint(
        _check_atom_shape,
        "an integer at least 1 for signals, or a pair (height, width) for images",
        good=(3, (3,), (3, 4)),
        bad=(0, (3, 0), (1, 2, 3), 2.5, "3", ()),
    ),
]


@estimator
class ConvolutionalSHL(HebbianEstimator):
    """Convolutional dictionary learning of images or signals.

    X is coded by atoms, each at any place: X ~ sum over events of value * atom at (row, column), or
    at a time.  A step codes a batch and moves each atom by the residual where it was used.  Two
    ways of learning suit two kinds of data.

    Images are coded by a fixed number of events, homeostasis adapts the gain of each atom, and
    atoms move along the normalised gradient::

        g_i = sum over events of i of value * mask * residual patch;   g_i <- g_i - mean g_i
        d_i <- d_i + eta g_i / |g_i|;   d_i <- d_i / |d_i|

    Signals, and images if `floor` is given, are coded by the events that exceed both the noise and
    a share of the mean event.  That share falls from 1 to 0.4 while the dictionary is learned.
    Atoms move by a diagonal Newton step, are centred in their window, and are replaced if they are
    shifted copies of one another::

        V_i <- keep V_i + sum value^2;   d_i <- normalise(d_i + g_i / V_i)

    Parameters
    ----------
    n_dictionary : int, default=20
        Number of atoms.
    patch_width : int, default=9
        Side of square atoms of images, in pixels.  `atom_shape` takes precedence.
    l0_sparseness : int, optional
        Largest number of events per image or signal, at most the number of places.  If
        l0_sparseness, fit_tol and floor are all None, it is 20 for images.  Learning from signals
        does not use it.
    n_iter : int, optional
        Steps, each on one batch.  If None, 500 for images and 120 for signals.
    eta : float, default=0.05
        Length of an atom's move, above 0.  Signals do not use it.
    eta_decay : (float, float), optional
        The rate is constant up to the first share of n_iter, then falls along a cosine to the
        second share of its value.  If None, it is constant for images and (0.7, 0.06) for signals.
    homeo_method : str or Rule, default='auto'
        Name in `shl.learning.RULES` of a rule that gives a gain, or a user-defined rule.  'auto' is
        'epochEXP' for images and 'None' for signals, whose atoms may occur at different rates.
    eta_homeo : float, optional
        Rate of the rule, in [0, 1].  If None, the rule's own.
    replace : bool or Replacement, optional
        Whether, and how, redundant atoms are replaced by what is badly coded.  If None, not in
        images, and by `TwinReplacement` in signals.
    alpha_MP : float, default=1.0
        Share of a coefficient that one event takes, in (0, 1].
    mask : array, optional
        Weights of an atom's entries while it learns: of the shape of an atom without channels, with
        channels in front, or of the shape of components_ (see `gaussian_mask`).
    do_sym : bool, default=False
        True lets values be negative.
    stride : int, default=1
        Pixels or samples between two places, at most the width of an atom.
    batch_size : int, optional
        Images of a step, or windows of signals.  If None, all images, or 64 windows.
    record_each : int, default=10
        Steps between records.  0 records nothing.
    record_num_batches : int, default=0
        Images that `fit` holds out of learning for the records.  0 records a step's own batch,
        before the atoms move.
    dict_init : array of the shape of components_, optional
        Start.  If None, white noise under the mask.
    random_state : int, Generator, RandomState or None, default=None
    n_jobs : int, optional
        Threads.  If None, 1; -1 is all cores.  The result has the same bits for any number.
    verbose : int, default=0
        1 shows progress bars.
    atom_shape : int or (int, int), optional
        Shape of an atom.  An int is a number of samples: X is a signal (n_channels, n_times), or
        (n_signals, n_channels, n_times).  A pair is (height, width): X is an image (height, width),
        or (n_images, height, width), or (n_images, n_channels, height, width).  Either may be a
        list of arrays of several sizes, of images (height, width) or (n_channels, height, width).
        If None, (patch_width, patch_width).  NaN marks missing entries.
    fit_tol : float, optional
        Squared residual norm of an image or signal at which its pursuit ends, above 0.
    floor : float, optional
        Noise levels that an event must exceed, above 0.  Signals have 5.5 if l0_sparseness, fit_tol
        and floor are all None, and 5 while they are learned from.

    Attributes
    ----------
    components_ : array of shape (n_dictionary, n_channels, height, width)
        Atoms of norm 1, float32 if X is, else float64.  Of signals, (n_dictionary, n_channels,
        n_times).
    competition_ : Competition
        Competition under which the next batch would be coded.
    gain_ : array of shape (n_dictionary,) or None
        Gains of that competition.
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

    A recording of two channels, in which a waveform occurs twenty times:

    >>> recording = 0.01 * np.random.default_rng(0).standard_normal((2, 4000))
    >>> for time in range(100, 4000, 200):
    ...     recording[:, time : time + 32] += np.hanning(32)
    >>> model = ConvolutionalSHL(1, atom_shape=40, random_state=0).fit(recording)
    >>> model.transform(recording).n_events
    20
    """

    n_dictionary: constraints.Count = 20
    patch_width: constraints.Count = 9
    l0_sparseness: constraints.Count | None = None
    n_iter: constraints.Count | None = None
    eta: constraints.Positive = 0.05
    eta_decay: DecayLike | None = None
    homeo_method: str | Rule | None = "auto"
    eta_homeo: constraints.Share | None = None
    replace: ReplaceLike | None = None
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
    atom_shape: AtomShape | None = None
    fit_tol: constraints.Positive | None = None
    floor: constraints.Positive | None = None

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ------------------------------------------------------------------------------ learning

    def plan(self, shape: tuple, dtype: DTypeLike, n_steps: int | None = None) -> Plan:
        """The validated `shl.learning.Plan` of the parameters, to learn from images (n_images,
        n_channels, height, width) of a dtype in n_steps; None has no end.
        """
        constraints.check_fields(self)
        how = self._coding(self._mask(shape[1], dtype))
        if self._is_of_events:
            how = dataclasses.replace(
                how, l0_sparseness=None, fit_tol=None, floor=self.floor or FLOOR
            )
        how.check_fits([shape], self._atom, int(self.n_dictionary))
        batch_size = min(shape[0], N_WINDOWS) if self._atom_axes == 1 else shape[0]
        batch_size = batch_size if self.batch_size is None else self.batch_size
        batch_size = check_count(
            batch_size, "batch_size", most=shape[0], why="the images to learn from"
        )
        rule = make_rule(
            self._by_geometry("homeo_method", "auto", "None", "epochEXP"),
            eta_homeo=self.eta_homeo,
            n_batches=shape[0] // batch_size,
        )
        if kind_of(rule, self.n_dictionary) == "table":
            raise ValueError(
                "homeo_method must be a rule with a gain, such as 'HAP', not "
                f"{self.homeo_method!r}, which gives a table P_cum. Convolutional pursuit "
                "has no quantiles."
            )
        optimizer = GradientDescent(self.eta, is_normalised=True)
        if self._is_of_events:
            rule = FallingFloor(rule, n_steps or self._n_steps(shape))
            optimizer = Centred(Newton(most_move=10.0, first_rate=0.5))
        return Plan(how, rule, optimizer, batch_size, self._recording(), **self._changes(n_steps))

    @property
    def _atom(self):
        """(height, width) of an atom."""
        if self.atom_shape is None:
            return (int(self.patch_width),) * 2
        return (1, *np.atleast_1d(self.atom_shape).tolist())[-2:]

    @property
    def _atom_axes(self):
        """1 for signals, 2 for images."""
        return 2 if self.atom_shape is None else np.size(self.atom_shape)

    @property
    def _is_of_events(self):
        """Whether learning looks for events above a floor: in signals, or where there is one."""
        return self._atom_axes == 1 or self.floor is not None

    def _by_geometry(self, name, default, of_events, of_images):
        """A parameter; where it is `default`, what suits the data."""
        value = getattr(self, name)
        if value is not default and value != default:
            return value
        return of_events if self._is_of_events else of_images

    def _n_steps(self, shape, is_stream=False):
        """Return the steps of a fit."""
        return int(self._by_geometry("n_iter", None, N_ITER, 500))

    def _changes(self, n_steps):
        """The parts of a plan by which the rate and the atoms change on the way."""
        changes = super()._changes(n_steps)
        if self._is_of_events and self.eta_decay is None:
            changes["decay"] = Decay(*DECAY)
        if self._is_of_events and self.replace in (None, True):
            changes["replacement"] = TwinReplacement()
        return changes

    def _coding(self, mask=None, **sparsity):
        """How images are coded; sparsity: what `transform` was given in place of the parameters."""
        names = "l0_sparseness", "fit_tol", "floor"
        if all(value is None for value in sparsity.values()):
            sparsity = {name: getattr(self, name) for name in names}
        coding = ConvolutionalCoding(
            alpha_MP=self.alpha_MP,
            do_sym=self.do_sym,
            stride=self.stride,
            mask=mask,
            is_quiet=not self.verbose,
            **sparsity,
        )
        return coding.of_axes(self._atom_axes)

    def _shape(self, shape):
        """(n_dictionary, n_channels, height, width), of signals without the height."""
        return int(self.n_dictionary), shape[1], *self._atom[-self._atom_axes :]

    @staticmethod
    def _check_atoms(dictionary):
        """An error for a dictionary from disk whose atoms are not squares with channels."""
        if np.ndim(dictionary) not in (3, 4):
            raise ValueError(f"dictionary must have 3 or 4 axes, not shape {np.shape(dictionary)}")
        check_filters(dictionary, dictionary.dtype)

    def _mask(self, n_channels, dtype):
        """The mask as an array that broadcasts to the dictionary, or None."""
        if self.mask is None:
            return None
        whole = self._shape((None, n_channels))
        shapes = [whole[start:] for start in (2, 1, 0)]
        mask = as_array(self.mask, "mask")
        if mask.shape not in shapes:
            raise ValueError(
                f"mask must have one of the shapes {', '.join(map(str, shapes))}, not {mask.shape}"
            )
        mask = check_array(mask, "mask", ndim=mask.ndim, dtype=dtype)
        if mask.min() < 0 or not mask.any():
            raise ValueError(
                f"mask must be at least 0 and not all 0, but its range is {mask.min():.3g} "
                f"to {mask.max():.3g}"
            )
        return mask

    _n_axes = 4  # of a batch of images: lists of arrays with fewer axes are images or signals

    def _read(self, X, reset, state=None):
        """Return (images or windows of signals, exponent) of X, divided by 2^exponent: that of a
        state, if given.  They have the channels and dtype of the atoms where there are some.
        """
        constraints.check_fields(self)
        has_atoms = not reset and hasattr(self, "components_")
        n_channels = self.n_channels_in_ if has_atoms else None
        dtype = self.components_.dtype if has_atoms else None
        images, layout = read(X, self._atom_axes, n_channels, dtype)
        how = dataclasses.replace(self._coding(), l0_sparseness=None)
        how.check_fits(layout.sizes, self._atom, int(self.n_dictionary))
        exponent = layout.exponent if state is None else state.exponent
        if self._atom_axes == 1:
            return Windows(images, LENGTHS * self._atom[1], images.dtype, exponent), exponent
        return scaled(images, -exponent), exponent

    def _energy(self, X, rows, weight):
        """Return 1: atoms move by steps that have no unit."""
        return 1.0

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

    def transform(
        self,
        X: Any,
        *,
        l0_sparseness: int | None = None,
        gain: Any = None,
        fit_tol: float | None = None,
        floor: float | None = None,
    ) -> ConvolutionalCode:
        """The `ConvolutionalCode` of images or signals X by plain pursuit, or under a competition:
        gain=model.gain_.

        l0_sparseness, fit_tol or floor replace the model's.
        """
        check_is_fitted(self)
        constraints.check_fields(self)
        how = self._coding(l0_sparseness=l0_sparseness, fit_tol=fit_tol, floor=floor)
        return encode_images(
            X, self.components_, how, self._atom_axes, gain, self.n_jobs, "components_"
        )

    def inverse_transform(
        self, code: Any, shape: tuple | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """What a code stands for, laid out as the X that was coded.

        code is a `ConvolutionalCode` or a dense array (n_images, n_dictionary, n_rows, n_columns),
        of signals (n_signals, n_dictionary, n_times).  shape (..., height, width): None is that of
        the X that was coded; of a dense array, the smallest that has its places.
        """
        check_is_fitted(self)
        if not isinstance(code, ConvolutionalCode):
            code = check_array(code, "code", ndim=2 + self._atom_axes)
            code = ConvolutionalCode.from_dense(code if code.ndim == 4 else code[:, :, None])
        return code.reconstruct(self.components_, shape, self.stride)
