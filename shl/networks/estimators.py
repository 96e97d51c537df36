"""Multi-layer perceptrons with exact sparsity, as scikit-learn estimators."""

import numbers
from dataclasses import KW_ONLY
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin, RegressorMixin, is_classifier
from sklearn.metrics import r2_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import nn

from .._base import constraints as of
from .._base.checks import check_generator, wants_numbers
from .._base.parameters import NamedEstimator, estimator
from ..learning.history import History
from . import mlp, training


@estimator
class _SparseMLP(NamedEstimator):
    """What the classifier and the regressor share.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(100,)
        Units of each hidden layer; () for none.
    activation : {'relu', 'leaky_relu', 'tanh', 'sigmoid', 'gelu', 'identity'}, default='relu'
    penalty : {'l1', 'l2', 'group_lasso', 'sparse_group_lasso'}, object or None, default=None
        On the weights of every layer, not on biases, as a proximal step after each step of the
        solver: zeros are exact (see `shl.networks.Proximal`).  An object has `value(W)` and
        `prox(W, step)`, W (n_in, n_out), step a number or an array of W's shape.
    alpha : float, 'path', sequence or callable, default=1e-4
        Strength of the penalty, at least 0.  'path' searches it: `fit` holds `validation_fraction`
        of its samples out, trains `max_iter` epochs without the penalty, then `max_iter` // 10
        epochs under each of a path of strengths that grow, from the weights before.  It chooses the
        strongest whose held-out score is not below that without the penalty.  A sequence, or a
        function of X and y, gives strengths of your own.
    solver : {'adam', 'sgd'}, default='adam'
    learning_rate_init : float, default=1e-3
    momentum : float, default=0.9
        In [0, 1), of 'sgd'.
    batch_size : int or 'auto', default='auto'
        'auto' is min(200, n_samples), and up to 1,000 for a path of strengths.
    max_iter : int, default=200
        Epochs of `fit`: all of them, where `early_stopping` is False.
    connectivity : {'dense', 'set'}, default='dense'
        'set' is hidden layers with few connections, which evolve (`SparseLinear`).
    epsilon, zeta : float, default=11 and 0.3
        Of `SparseLinear`: number of connections, share that an evolution replaces.
    evolve_each : int or float, default=1
        Epochs between evolutions; a float below 1 is their probability after each batch.
    record_each : int, default=1
        Epochs between the records of `history_`.
    early_stopping : bool, default=False
        Whether `fit` holds `validation_fraction` of its samples out (of each class in equal
        shares), ends when their score has not risen by `tol` for more than `n_iter_no_change`
        epochs in a row, and goes back to the network of the best score.
    validation_fraction : float, default=0.1
        In (0, 1).
    n_iter_no_change : int, default=10
    tol : float, default=1e-4
    warm_start : bool, default=False
        Whether `fit` resumes from the network of the last `fit`, or of `shrink`, with a new
        optimizer; its form cannot change.
    verbose : bool, default=False
        Whether a progress bar shows the epochs.
    random_state : int, Generator, RandomState or None, default=None

    Attributes
    ----------
    coefs_ : list of arrays (n_in, n_out)
        The weights of each layer.  A row of zeros is an input or unit without use.
    intercepts_ : list of arrays (n_out,)
    history_ : shl.learning.History
        steps (epochs), loss, penalty, score, zeros and units (n_records, n_layers), and val_score
        and val_loss where `fit` had X_val.  A `partial_fit` adds to it.
    module_ : the PyTorch network, in evaluation mode
    loss_ : float
        Mean training loss of the last epoch, without the penalty.
    n_iter_ : int
        Epochs of the last `fit` or `partial_fit`.
    alpha_ : float
        The strength that was used.
    path_ : dict of arrays (n_strengths,)
        With a path: alpha, score (held-out) and n_inputs (inputs left).
    feature_importances_ : array (n_features,)
        Norm of the weights that leave each input.  It is zero for an input that is not used.
    validation_scores_, best_validation_score_ : list of float, and float
        With `early_stopping`: the scores after each epoch.
    n_features_in_ : int; feature_names_in_ where X had names

    Notes
    -----
    Start values, batches and Adam are those of scikit-learn's `MLPClassifier` and `MLPRegressor`,
    but for sigmoid, which starts from smaller weights there.  Sample weights are divided by their
    mean over all samples, there by that over each batch.
    """

    hidden_layer_sizes: object = (100,)
    activation: Annotated[str, of.choice(mlp.ACTIVATIONS)] = "relu"
    _: KW_ONLY
    penalty: object = None
    alpha: object = 1e-4
    solver: Annotated[str, of.choice(training.OPTIMIZERS)] = "adam"
    learning_rate_init: of.Positive = 1e-3
    momentum: of.ShareBelowOne = 0.9
    batch_size: int | str = "auto"
    max_iter: of.Count = 200
    connectivity: Annotated[str, of.choice(("dense", "set"))] = "dense"
    epsilon: of.Positive = 11
    zeta: of.Share = 0.3
    evolve_each: float = 1
    record_each: of.Count = 1
    early_stopping: of.Flag = False
    validation_fraction: of.InnerShare = 0.1
    n_iter_no_change: of.Count = 10
    tol: of.NotNegative = 1e-4
    warm_start: of.Flag = False
    verbose: of.Flag = False
    random_state: object = None

    # ------------------------------------------------------------------------------------- learning

    def fit(
        self,
        X: Any,
        y: Any,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from X (n_samples, n_features) and y, weighted by sample_weight (n_samples,).

        X_val and y_val are scored in `history_` and nothing else.
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together")
        goes_on = self.warm_start and hasattr(self, "module_")
        samples = self._check_samples(X, y, sample_weight, goes_on)
        validation = None
        if X_val is not None:
            X_val = validate_data(self, X_val, reset=False, dtype=samples.X.dtype)
            y_val = np.asarray(y_val)
            validation = training.Supervised(X_val, y_val, self._encode_known(y_val))
        return self._learn(samples, goes_on, self.max_iter, validation)

    def _partial_fit(self, X, y, sample_weight, **known):
        """One epoch more."""
        if self.early_stopping:
            raise ValueError("early_stopping must be False for partial_fit, which has no end")
        if training.is_path(self.alpha):
            raise ValueError(
                f"alpha is {self.alpha!r}, but partial_fit needs one strength. Give a number."
            )
        goes_on = hasattr(self, "module_")
        samples = self._check_samples(X, y, sample_weight, goes_on, **known)
        return self._learn(samples, goes_on, 1, before=self._training if goes_on else None)

    def _check_samples(self, X, y, sample_weight, goes_on, **known):
        """The samples; when learning resumes they fit what it had before."""
        of.check_fields(self)
        dtype = self.coefs_[0].dtype if goes_on else [np.float64, np.float32]
        with wants_numbers("X"):
            X, y = validate_data(
                self, X, y, dtype=dtype, multi_output=self._takes_many_outputs, reset=not goes_on
            )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=X.dtype, ensure_non_negative=True
            )
        return training.Supervised(X, y, self._encode(y, X.dtype, goes_on, **known), sample_weight)

    @mlp.one_thread()
    def _learn(self, samples, goes_on, epochs, validation=None, before=None):
        """Train the network, a new one or that which is there."""
        rng = check_generator(self.random_state, "random_state")
        module = self._same_module() if goes_on else self._module(samples.X, rng)
        held, searches = None, training.is_path(self.alpha)
        if self.early_stopping or searches:
            if searches and self.early_stopping:
                raise ValueError(
                    f"early_stopping is True and alpha is {self.alpha!r}, but only one of them can "
                    "use the held-out samples. Set early_stopping=False."
                )
            samples, held = training.hold_out(
                samples, self.validation_fraction, is_classifier(self), rng
            )
        trainer = training.Trainer(self, module, samples, validation, rng)
        if searches:
            trained, self.path_, chosen = trainer.train_path(epochs, held)
            self.alpha_ = float(self.path_["alpha"][chosen])
        else:
            trained = trainer.train(epochs, held, before)
            self.alpha_ = float(self.alpha)
        self.history_, self.loss_ = trained.records, trained.loss
        self.n_iter_ = trained.n_epochs
        if self.early_stopping:
            self.validation_scores_ = trained.scores
            self.best_validation_score_ = max(trained.scores)
        self._training = trained
        self._adopt(module.eval())
        return self

    def _module(self, X, rng):
        """The network before learning, in the dtype of X."""
        module = mlp.make_mlp(
            [X.shape[1], *self._sizes(), self._n_outputs()],
            activation=self.activation,
            connectivity=self.connectivity,
            epsilon=self.epsilon,
            zeta=self.zeta,
            generator=mlp.make_generator(rng),
        )
        self._architecture = self._form()
        vars(self).pop("inputs_", None)  # of a shrunk network
        return module.double() if X.dtype == np.float64 else module

    def _same_module(self):
        """The network that is there, if the parameters still describe it."""
        for name, value in self._form().items():
            if value != self._architecture[name]:
                raise ValueError(
                    f"{name} must stay {self._architecture[name]!r} when learning resumes, not "
                    f"{value!r}"
                )
        return self.module_

    def _form(self):
        """The parameters that decide what the network is."""
        names = ("activation", "connectivity")
        return {"hidden_layer_sizes": self._sizes()} | {name: getattr(self, name) for name in names}

    def _encode_known(self, y):
        """Targets of labels that are only scored; None where a class is unknown."""
        if is_classifier(self):
            known = np.isin(y, self.classes_).all()
            return np.searchsorted(self.classes_, y) if known else None
        return y.reshape(len(y), -1)

    def _sizes(self):
        """Units of each hidden layer, a list."""
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, numbers.Integral):
            return [sizes]
        if not isinstance(sizes, (list, tuple, np.ndarray)):
            raise TypeError(
                f"hidden_layer_sizes must be an integer or a sequence of them, not {sizes!r}"
            )
        return list(sizes)

    def _adopt(self, module):
        """Keep the network, and its weights as arrays."""
        self.module_ = module
        self.coefs_ = [np.array(w.numpy(), order="C") for w in mlp.weight_matrices(module)]
        self.intercepts_ = [layer.bias.detach().numpy().copy() for layer in mlp.layers_of(module)]

    def _adopt_shrunk(self, layers, keep):
        """Keep smaller layers, of which the first reads some inputs; parameters describe them."""
        self.inputs_ = getattr(self, "inputs_", np.arange(self.n_features_in_))[keep.numpy()]
        self._adopt(nn.Sequential(mlp.Columns(torch.from_numpy(self.inputs_)), *layers).eval())
        sizes = tuple(w.shape[1] for w in self.coefs_[:-1])
        self.set_params(hidden_layer_sizes=sizes, connectivity="dense")
        self._architecture, self._training = self._form(), None
        self.history_ = History(self.history_)  # the larger one's may grow

    def _rate(self, module, samples):
        """The score of a module in evaluation mode, a float."""
        outputs = _outputs(module, samples.X)
        if not np.isfinite(outputs).all():
            raise ArithmeticError(
                "Learning diverged: the outputs are not finite. Use a smaller "
                "learning_rate_init, or scale the data."
            )
        return float(self._metric(samples.y, self._decode(outputs), sample_weight=samples.weight))

    # ----------------------------------------------------------------------------------- prediction

    def _forward(self, X):
        """The network's outputs (n_samples, n_outputs)."""
        check_is_fitted(self, "module_")
        X = validate_data(self, X, reset=False, dtype=self.coefs_[0].dtype)
        with mlp.one_thread():
            return _outputs(self.module_, X)

    @property
    def feature_importances_(self) -> np.ndarray:
        """The norm of the weights that leave each input (n_features,)."""
        check_is_fitted(self, "module_")
        found = np.zeros(self.n_features_in_, self.coefs_[0].dtype)
        found[getattr(self, "inputs_", slice(None))] = np.sqrt((self.coefs_[0] ** 2).sum(axis=1))
        return found

    def predict(self, X: Any) -> np.ndarray:
        """The predictions for X (n_samples, n_features)."""
        return self._decode(self._forward(X))


@torch.no_grad()
def _outputs(module, X):
    """The outputs of a module for an array, as an array."""
    return module(training.as_tensor(X)).numpy()


def _documented(cls):
    """Add the parameters, which both estimators share, to the docstring."""
    if cls.__doc__:  # python -OO has none
        cls.__doc__ += _SparseMLP.__doc__.partition("\n")[2]
    return cls


@_documented
class SparseMLPClassifier(ClassifierMixin, _SparseMLP):
    """A classifier: softmax outputs, cross-entropy + alpha R(W), R a penalty with exact proximal
    steps.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SparseMLPClassifier((40, 20), penalty="group_lasso", alpha=1e-3, max_iter=3)
    >>> model.fit(X / 16, y).coefs_[0].shape
    (64, 40)

    `classes_` (n_classes,) are the labels, in the order of `predict_proba`'s columns.
    """

    _loss_of = staticmethod(training.mean_cross_entropy)

    @staticmethod
    def _metric(y, predictions, sample_weight=None):
        """The accuracy; scikit-learn's function takes longer than an epoch of few samples."""
        return np.average(y == predictions, weights=sample_weight)

    _takes_many_outputs = False

    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: Any = None
    ) -> Self:
        """One epoch more over X (n_samples, n_features) and y, with the optimizer as it was.

        classes are all labels that will ever come: needed in the first call, where nothing is
        fitted.
        """
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError("classes must be given in the first call of partial_fit")
        return self._partial_fit(X, y, sample_weight, classes=classes)

    def _encode(self, y, dtype, goes_on, classes=None):
        """Indices of the classes."""
        check_classification_targets(y)
        if not goes_on:
            self.classes_ = np.unique(y if classes is None else classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes must stay {self.classes_}, not {np.unique(classes)}")
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y must have classes of {self.classes_}, not {unknown}")
        return np.searchsorted(self.classes_, y)

    def _n_outputs(self):
        return len(self.classes_)

    def _decode(self, outputs):
        """The classes of largest output."""
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (n_samples, n_classes)."""
        return softmax(self._forward(X), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of `predict_proba`."""
        return log_softmax(self._forward(X), axis=1)


@_documented
class SparseMLPRegressor(RegressorMixin, _SparseMLP):
    """A regressor: (1 / 2n) sum |y - f(x)|^2 + alpha R(W), R a penalty with exact proximal steps.

    Without hidden layers, 'l1' is the Lasso and 'l2' ridge regression.  y may have several columns.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> SparseMLPRegressor((20, 15), penalty="l1", max_iter=3).fit(X, y / 100).coefs_[0].shape
    (10, 20)
    """

    _loss_of = staticmethod(training.mean_half_squared_error)
    _metric = staticmethod(r2_score)
    _takes_many_outputs = True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """One epoch more over X (n_samples, n_features) and y, with the optimizer as it was."""
        return self._partial_fit(X, y, sample_weight)

    def _encode(self, y, dtype, goes_on):
        """Y as columns."""
        if goes_on and y.shape[1:] != self._y_shape:
            raise ValueError(f"y must have shape (n_samples, *{self._y_shape}), not {y.shape}")
        self._y_shape = y.shape[1:]
        return np.asarray(y, dtype).reshape(len(y), -1)

    def _n_outputs(self):
        return self._y_shape[0] if self._y_shape else 1

    def _decode(self, outputs):
        """The predictions in the shape of y."""
        return outputs.reshape(len(outputs), *self._y_shape)
