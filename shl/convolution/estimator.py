"""ConvolutionalSHL: the estimator for images."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from .. import store
from .._checks import check_array, check_count, check_generator, check_number
from .._threads import Threads
from ..learning import one_pass
from . import learning
from .code import ConvolutionalCode
from .coding import check_coding, check_gain, check_images, check_places, encode, prepare
from .homeostasis import gain_of, make_rule

FILE_KIND = "ConvolutionalSHL"


class ConvolutionalSHL(TransformerMixin, BaseEstimator):
    """Convolutional dictionary learning by matching pursuit, homeostasis and a Hebbian step.

    An image is coded by few atoms, each at any place: X ~ sum over events of value * atom at (row,
    column).  A step codes a batch of images, adapts the gain of each atom, and moves each atom by
    the residual where it was used::

        g_i = sum over events of i of value * mask * residual patch;   g_i <- g_i - mean g_i
        d_i <- d_i + eta g_i / |g_i|;   d_i <- d_i / |d_i|

    Parameters
    ----------
    n_dictionary : int.  Atoms.
    patch_width : int.  Pixels of an atom's side.
    l0_sparseness : int.  Events an image, at most the number of places.
    n_iter : int.  Steps, each on one batch.
    eta : float > 0.  Length of an atom's move.
    homeo_method : 'None', 'HAP' (gain_i = log P_i / log P with P_i the probability of an
        activation), 'EXP' (an exponential modulation, once an epoch; see
        `shl.convolution.homeostasis` for both), or a rule of one's own that gives a gain.
    eta_homeo : float in [0, 1], optional.  Rate of homeostasis, a batch ('HAP') or a pass over the
        images ('EXP'); None is 0.05 for HAP and 0.0025 for EXP.
    alpha_MP : float in (0, 1].  Share of a coefficient that one event takes.
    mask : array, optional.  Weights of an atom's pixels while it learns: (patch_width,
        patch_width), with channels in front, or of the shape of components_ (see `gaussian_mask`).
    do_sym : bool.  True lets values be negative.
    stride : int, at most patch_width.  Pixels between two places.
    batch_size : int, optional.  Images of a step; None is all images.
    record_each : int.  Steps between records; 0 records nothing.
    dict_init : array (n_dictionary, n_channels, patch_width, patch_width), optional.  Start; None
        is white noise under the mask.
    random_state : int, Generator, RandomState or None.
    n_jobs : int, optional.  Threads; None is 1, -1 all cores.  The result has the same bits for any
        number.
    verbose : int.  1 shows progress bars.

    Attributes
    ----------
    components_ : array (n_dictionary, n_channels, patch_width, patch_width), norms 1, float32 if X
        is, else float64.
    gain_ : array (n_dictionary,) or None.  The last gain of the competition.
    counts_ : array (n_dictionary,) int64.  Events of each atom in the last record (None without
        records).
    record_ : mapping from name to array, first axis the record, of the step's own batch under the
        rule's own competition: 'steps', 'error_own' |residual| / |X|, 'counts' of events of each
        atom, 'cv' (std / mean of counts), 'entropy' (of usage, 0 to 1), 'gain', 'cputime'.
    n_iter_ : int, steps taken.   n_channels_in_ : int.   seconds_ : float, CPU time of learning.

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

    def __init__(
        self,
        n_dictionary=20,
        patch_width=9,
        l0_sparseness=20,
        n_iter=500,
        eta=0.05,
        homeo_method="EXP",
        eta_homeo=None,
        alpha_MP=1.0,
        mask=None,
        do_sym=False,
        stride=1,
        batch_size=None,
        record_each=10,
        dict_init=None,
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.n_dictionary = n_dictionary
        self.patch_width = patch_width
        self.l0_sparseness = l0_sparseness
        self.n_iter = n_iter
        self.eta = eta
        self.homeo_method = homeo_method
        self.eta_homeo = eta_homeo
        self.alpha_MP = alpha_MP
        self.mask = mask
        self.do_sym = do_sym
        self.stride = stride
        self.batch_size = batch_size
        self.record_each = record_each
        self.dict_init = dict_init
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ------------------------------------------------------------------------------------- learning

    def fit(self, X, y=None, *, on_step=None, resume=None):
        """Learn atoms from images X by n_iter steps.

        Parameters
        ----------
        X : array (n_images, n_channels, height, width), (n_images, height, width) or (height,
            width).
        on_step : callable, optional.  on_step(state) after each step (a
            `shl.convolution.learning.State`); it may raise to stop.
        resume : State, optional.  Where an earlier `fit` of the same parameters and data stopped:
            goes on bit-exactly.

        Returns
        -------
        self
        """
        X = check_images(X)
        plan = self._plan(X)
        state = self._start(X, plan) if resume is None else self._check_resume(resume, X)
        with (
            Threads(self.n_jobs) as threads,
            tqdm(
                total=self.n_iter,
                initial=state.step,
                desc="learning",
                unit="step",
                disable=not self.verbose,
            ) as bar,
        ):

            def step_done(state):
                bar.update()
                if on_step is not None:
                    on_step(state)

            learning.learn(X, state, plan, self.n_iter, threads, step_done)
        return self._adopt(state, plan.rule)

    def partial_fit(self, X, y=None):
        """Go on from the current state with one pass over X in batches of batch_size; one step if X
        is one batch.
        """
        is_first = not hasattr(self, "components_")
        X = check_images(X) if is_first else self._validate(X, self.components_.dtype)
        plan = self._plan(X)
        state = self._start(X, plan) if is_first else self._state
        with Threads(self.n_jobs) as threads:
            for rows in one_pass(len(X), plan.batch_size, state):
                is_recorded = plan.record_each and state.step % plan.record_each == 0
                learning.advance(X, np.sort(rows), state, plan, threads, is_recorded)
        return self._adopt(state, plan.rule)

    def _plan(self, X):
        """The validated `Plan` of these parameters to learn from images X."""
        check_count(self.n_dictionary, "n_dictionary")
        check_count(self.patch_width, "patch_width")
        check_count(self.n_iter, "n_iter")
        check_count(self.record_each, "record_each", least=0)
        check_number(self.eta, "eta", above=0)
        check_coding(self.alpha_MP, self.do_sym, self.stride, self.patch_width)
        check_places(X.shape, self.patch_width, self.stride, self.l0_sparseness)
        batch_size = len(X) if self.batch_size is None else self.batch_size
        check_count(batch_size, "batch_size", most=len(X), why="the images to learn from")
        rule = make_rule(self.homeo_method, self.eta_homeo, len(X) // batch_size)
        return learning.Plan(
            rule,
            self.l0_sparseness,
            self.alpha_MP,
            bool(self.do_sym),
            self.stride,
            self.eta,
            self._mask(X.shape[1], X.dtype),
            batch_size,
            self.record_each,
        )

    def _check_resume(self, state, X):
        """A State of learning whose atoms have the shape of these parameters."""
        if not isinstance(state, learning.State):
            raise TypeError(
                f"resume must be a shl.convolution.learning.State, not {type(state).__name__}"
            )
        if state.dictionary.shape != self._shape(X.shape[1]):
            raise ValueError(
                f"resume must hold atoms of shape {self._shape(X.shape[1])}, not "
                f"{state.dictionary.shape}"
            )
        return state

    def _shape(self, n_channels):
        return self.n_dictionary, n_channels, self.patch_width, self.patch_width

    def _mask(self, n_channels, dtype):
        """The mask as an array that broadcasts to the dictionary, or None."""
        if self.mask is None:
            return None
        shapes = [self._shape(n_channels)[start:] for start in (2, 1, 0)]
        if np.shape(self.mask) not in shapes:
            raise ValueError(
                f"mask must have one of the shapes {', '.join(map(str, shapes))}, not "
                f"{np.shape(self.mask)}"
            )
        mask = check_array(self.mask, "mask", ndim=np.ndim(self.mask), dtype=dtype)
        if mask.min() < 0 or not mask.any():
            raise ValueError(
                f"mask must be non-negative and not all 0, its range is {mask.min():.3g} to "
                f"{mask.max():.3g}"
            )
        return mask

    def _start(self, X, plan):
        """The state before the first step."""
        rng, shape = check_generator(self.random_state, "random_state"), self._shape(X.shape[1])
        seed = int(rng.integers(2**63))
        if self.dict_init is None:
            dictionary = rng.standard_normal(shape).astype(X.dtype)
            dictionary = dictionary if plan.mask is None else dictionary * plan.mask
        else:
            dictionary = check_array(
                self.dict_init, "dict_init", ndim=4, dtype=X.dtype, shape=shape
            )
            if not dictionary.reshape(len(dictionary), -1).any(axis=1).all():
                raise ValueError(
                    "dict_init must have no atom of zeros, an atom must have a direction"
                )
        return learning.start(dictionary, plan, seed)

    def _adopt(self, state, rule):
        """The fitted attributes of a state."""
        self._state = state
        self.components_, self.record_ = state.dictionary, state.record
        self.n_channels_in_ = state.dictionary.shape[1]
        self.gain_ = gain_of(rule, state.homeostasis)
        self.n_iter_, self.seconds_ = state.step, state.seconds
        self.counts_ = state.record["counts"][-1] if len(state.record) else None
        return self

    # --------------------------------------------------------------------------------------- coding

    def transform(self, X, *, l0_sparseness=None, gain=None):
        """The `ConvolutionalCode` of images X by plain pursuit, or under a competition:
        gain=model.gain_.
        """
        check_is_fitted(self)
        X = self._validate(X)
        l0_sparseness = self.l0_sparseness if l0_sparseness is None else l0_sparseness
        check_coding(self.alpha_MP, self.do_sym, self.stride, self.components_.shape[2])
        check_places(X.shape, self.components_.shape[2], self.stride, l0_sparseness)
        gain = check_gain(gain, len(self.components_))
        with Threads(self.n_jobs) as threads:
            coder = prepare(
                self.components_.astype(X.dtype, copy=False),
                gain,
                l0_sparseness=l0_sparseness,
                alpha_MP=self.alpha_MP,
                do_sym=bool(self.do_sym),
                stride=self.stride,
            )
            return encode(X, coder, threads, is_quiet=not self.verbose)

    def _validate(self, X, dtype=None):
        """X as images with the channels of the atoms."""
        return check_images(X, dtype=dtype, n_channels=self.n_channels_in_)

    def inverse_transform(self, code, shape=None):
        """The images (n_images, n_channels, height, width) that a code stands for.

        code is a `ConvolutionalCode` or a dense array (n_images, n_dictionary, n_rows, n_columns).
        shape (..., height, width): None is the smallest that has the places of the code, with
        stride 1 the shape of the images.
        """
        check_is_fitted(self)
        if not isinstance(code, ConvolutionalCode):
            code = ConvolutionalCode.from_dense(check_array(code, "code", ndim=4))
        width = self.components_.shape[2]
        least = [(n - 1) * self.stride + width for n in code.shape[2:]]
        shape = least if shape is None else shape[-2:] if np.ndim(shape) else ()
        if len(shape) != 2:
            raise ValueError("shape must end in (height, width)")
        if code.shape[1] != len(self.components_):
            raise ValueError(f"code must be of {len(self.components_)} atoms, not {code.shape[1]}")
        if shape[0] < least[0] or shape[1] < least[1]:
            raise ValueError(
                f"shape must be at least {least[0]} x {least[1]} to hold the places of the code, "
                f"not "
                f"{shape[0]} x {shape[1]}"
            )
        return code.reconstruct(self.components_, shape, self.stride)

    # ---------------------------------------------------------------------------- the Annex's names

    @property
    def dictionary(self):
        """components_."""
        return self.components_

    @property
    def record(self):
        """record_."""
        return self.record_

    # ----------------------------------------------------------------------------------------- disk

    def save(self, path):
        """Write parameters and the whole learned state to path (npz, no pickle); `load` reads
        it.
        """
        check_is_fitted(self)
        store.write_model(
            path,
            FILE_KIND,
            self,
            learning.to_arrays(self._state),
            starts=("mask", "dict_init"),
            competition={"gain": self.gain_},
        )

    @classmethod
    def load(cls, path, homeo_method=None):
        """The fitted model that `save` wrote to path; it codes and learns on as the saved one.

        homeo_method gives a rule of one's own again, which cannot be written to a file; without it,
        such a model codes as before, but learns on without homeostasis.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is damaged or something else.
        """
        parameters, arrays, info, own = store.read_model(path, FILE_KIND, homeo_method)
        model = cls(**parameters)
        model._adopt(
            learning.from_arrays(arrays, info["state"]),
            make_rule(model.homeo_method, model.eta_homeo),
        )
        if own is not None:
            model.gain_ = own.get("gain")
        return model
