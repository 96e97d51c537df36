"""Multi-layer perceptrons with exact sparsity, as scikit-learn estimators trained by skorch."""

import numbers

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch import NeuralNet
from torch import nn

from .._checks import check_choice, check_count, check_flag, check_generator, check_number
from .callbacks import Evolution, ProximalStep, Recorder
from .mlp import MLP, make_generator, one_thread, weight_matrices
from .penalties import make_penalty

PARAMETERS = """
    Parameters
    ----------
    hidden_layer_sizes : sequence of int.  Units of each hidden layer; () for none.
    activation : 'relu', 'leaky_relu', 'tanh', 'sigmoid', 'gelu' or 'identity'.
    penalty : None, 'l1', 'l2', 'group_lasso', 'sparse_group_lasso', or an object with `value(W)`
        and `prox(W, step)`, step a number or an array of W's shape (see `shl.networks.penalties`).
        On the weights of every layer, not on biases, as a proximal step after each step of the
        solver: zeros are exact.  Its step is alpha times learning_rate_init / (1 - momentum) for
        'sgd', learning_rate_init / (sqrt(v) + 1e-8) for 'adam', v Adam's mean of squared gradients:
        so a learning rests at a minimum of loss + alpha R.
    alpha : float, at least 0.  Strength of the penalty.
    solver : 'adam' or 'sgd'.
    learning_rate_init : float above 0.
    momentum : float in [0, 1), of 'sgd'.
    batch_size : int, or 'auto' for min(200, n_samples).
    max_iter : int.  Epochs.
    input_dropout : float in [0, 1).  Share of the inputs that a training step does not see.
    connectivity : 'dense', or 'set': hidden layers with few connections, which evolve
        (`SparseLinear`).
    epsilon, zeta : floats, of `SparseLinear`: number of connections, share that an evolution
        replaces.
    evolve_each : int, epochs between evolutions; or a float below 1, their probability after each
        batch.
    weights : 'free', 'gaussian' (`GaussianLinear`) or 'normalized' (`NormalizedLinear`).
    fit_intercept : bool.  Whether layers have biases.
    record_each : int.  Epochs between the records of `history_`.
    random_state : int, Generator, RandomState or None.

    Attributes
    ----------
    coefs_ : list of arrays (n_in, n_out), the weights of each layer.  A row of zeros is an input or
        unit without use.
    intercepts_ : list of arrays (n_out,).
    history_ : `shl.history.History` with steps (epochs), loss, penalty, score, zeros and units
        (n_records, n_layers), and val_score where `fit` had validation data.
    module_ : the PyTorch network, in evaluation mode.
    loss_ : float, mean training loss of the last epoch, without the penalty.
    n_iter_ : int, epochs.
    n_features_in_ : int; feature_names_in_ where X had names.
"""


class Net(NeuralNet):
    """A skorch net whose batches are slices of tensors, shuffled by a generator of its own."""

    def __init__(self, *args, shuffler=None, **options):
        self.shuffler = shuffler
        super().__init__(*args, **options)

    def get_default_callbacks(self):
        """None: no timer and no log, what there is to know is in the recorder."""
        return []

    def get_iterator(self, dataset, training=False):
        """Batches of a dataset that holds tensors: no loader, no worker, no copy of single
        samples.
        """
        return Batches(dataset.X, dataset.y, self.batch_size, self.shuffler)


class Batches:
    """Batches (X, y) of tensors: each time it is iterated in a new order, which a generator
    draws.
    """

    def __init__(self, X, y, batch_size, shuffler):
        self.X, self.y, self.batch_size, self.shuffler = X, y, batch_size, shuffler

    def __iter__(self):
        order = torch.randperm(len(self.X), generator=self.shuffler)
        return zip(
            self.X[order].split(self.batch_size), self.y[order].split(self.batch_size), strict=True
        )


class HalfSquaredError(nn.Module):
    """The mean of (prediction - target)^2 / 2, as in scikit-learn's MLPRegressor."""

    def forward(self, prediction, target):
        """The scalar loss."""
        return (prediction - target).square().mean() / 2


class _SparseMLP(BaseEstimator):
    """What the classifier and the regressor share."""

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        penalty=None,
        alpha=1e-4,
        solver="adam",
        learning_rate_init=1e-3,
        momentum=0.9,
        batch_size="auto",
        max_iter=200,
        input_dropout=0.0,
        connectivity="dense",
        epsilon=11,
        zeta=0.3,
        evolve_each=1,
        weights="free",
        fit_intercept=True,
        record_each=1,
        random_state=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.penalty = penalty
        self.alpha = alpha
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.input_dropout = input_dropout
        self.connectivity = connectivity
        self.epsilon = epsilon
        self.zeta = zeta
        self.evolve_each = evolve_each
        self.weights = weights
        self.fit_intercept = fit_intercept
        self.record_each = record_each
        self.random_state = random_state

    # ------------------------------------------------------------------------------------- learning

    def fit(self, X, y, X_val=None, y_val=None):
        """Learn from X (n_samples, n_features) and y; X_val and y_val are scored in `history_` and
        nothing else.
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together")
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=self._takes_many_outputs
        )
        target = _tensor(self._encode(y)).to(
            torch.float64 if X.dtype == np.float64 else torch.float32
        )
        if not self._takes_many_outputs:
            target = target.long()
        rng = check_generator(self.random_state, "random_state")
        with one_thread():
            module = self._module(X, rng)
            recorder = Recorder(
                self._scorer((X, y), X_val, y_val),
                check_count(self.record_each, "record_each"),
                self._penalty(module),
                check_number(self.alpha, "alpha", least=0),
            )
            self._train(module, _tensor(X), target, recorder, rng)
        self.history_ = recorder.records
        self.loss_ = float(self.history_["loss"][-1])
        self.n_iter_ = int(self.history_["steps"][-1])
        self._adopt(module.eval())
        return self

    def _module(self, X, rng):
        """The network before learning, in the dtype of X."""
        sizes = self.hidden_layer_sizes
        sizes = [sizes] if isinstance(sizes, numbers.Integral) else list(sizes)
        module = MLP(
            [X.shape[1], *sizes, self._n_outputs()],
            self.activation,
            self.weights,
            self.connectivity,
            self.epsilon,
            self.zeta,
            check_flag(self.fit_intercept, "fit_intercept"),
            self.input_dropout,
            make_generator(rng),
        )
        return module.double() if X.dtype == np.float64 else module

    def _penalty(self, module):
        """The penalty, which the layers can have."""
        penalty = make_penalty(self.penalty)
        if penalty is not None and self.weights != "free":
            raise ValueError(
                f"penalty must be None with weights {self.weights!r}, not {self.penalty!r}: such "
                f"layers "
                "have no weights that a proximal step could set"
            )
        for i, w in enumerate(weight_matrices(module)):
            getattr(penalty, "check", lambda w, name: None)(w, f"coefs_[{i}]")
        return penalty

    def _train(self, module, X, target, recorder, rng):
        """Let skorch train the module."""
        batch_size = (
            min(200, len(X))
            if self.batch_size == "auto"
            else check_count(self.batch_size, "batch_size")
        )
        rate = check_number(self.learning_rate_init, "learning_rate_init", above=0)
        momentum = check_number(self.momentum, "momentum", least=0, below=1)
        if check_choice(self.solver, "solver", ("adam", "sgd")) == "sgd":
            solver = {"optimizer": torch.optim.SGD, "optimizer__momentum": momentum}
        else:
            solver = {"optimizer": torch.optim.Adam}
        callbacks = [("record", recorder)]
        if recorder.penalty is not None:
            callbacks.insert(0, ("prox", ProximalStep(recorder.penalty, recorder.alpha)))
        if self.connectivity == "set":
            callbacks.append(
                ("evolution", Evolution(self._check_evolve_each(), make_generator(rng)))
            )
        net = Net(
            module,
            self._criterion,
            lr=rate,
            max_epochs=check_count(self.max_iter, "max_iter"),
            verbose=0,
            batch_size=batch_size,
            shuffler=make_generator(rng),
            train_split=None,
            callbacks=callbacks,
            **solver,
        )
        # What `net.fit` does, without its keeping of an interrupt to itself: a learning that was
        # stopped must not pass for one that is done.
        net.initialize()
        net.notify("on_train_begin", X=X, y=target)
        net.fit_loop(X, target)
        net.notify("on_train_end", X=X, y=target)

    def _check_evolve_each(self):
        """Epochs as int, or a probability as float."""
        if isinstance(self.evolve_each, numbers.Integral):
            return check_count(self.evolve_each, "evolve_each")
        return check_number(self.evolve_each, "evolve_each", above=0, below=1)

    def _adopt(self, module):
        """Keep the network, and its weights as arrays."""
        self.module_ = module
        self.coefs_ = [np.ascontiguousarray(w.numpy()) for w in weight_matrices(module)]
        self.intercepts_ = [
            np.zeros(w.shape[1], w.dtype)
            if layer.bias is None
            else layer.bias.detach().numpy().copy()
            for layer, w in zip(module.layers, self.coefs_, strict=True)
        ]

    def _scorer(self, training, X_val, y_val):
        """A function from a module in evaluation mode to its scores."""
        sets = {"score": training}
        if X_val is not None:
            sets["val_score"] = (
                validate_data(self, X_val, reset=False, dtype=training[0].dtype),
                np.asarray(y_val),
            )
        return lambda module: {
            name: float(self._metric(y, self._decode(_outputs(module, X))))
            for name, (X, y) in sets.items()
        }

    # ----------------------------------------------------------------------------------- prediction

    def _forward(self, X):
        """The network's outputs (n_samples, n_outputs)."""
        check_is_fitted(self, "module_")
        X = validate_data(self, X, reset=False, dtype=self.coefs_[0].dtype)
        with one_thread():
            return _outputs(self.module_, X)

    def predict(self, X):
        """The predictions for X (n_samples, n_features)."""
        return self._decode(self._forward(X))


@torch.no_grad()
def _outputs(module, X):
    """The outputs of a module for an array, as an array."""
    return module(_tensor(X)).numpy()


def _tensor(X):
    """An array as a tensor that shares its memory, or as a copy where PyTorch could not."""
    return torch.from_numpy(np.require(X, requirements=("C", "W")))


def _documented(cls):
    """Add the parameters, which both estimators share, to the docstring."""
    cls.__doc__ = (cls.__doc__ or "") + PARAMETERS
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

    _criterion = nn.CrossEntropyLoss
    _metric = staticmethod(accuracy_score)
    _takes_many_outputs = False

    def _encode(self, y):
        """Indices of the classes."""
        check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        return indices

    def _n_outputs(self):
        return len(self.classes_)

    def _decode(self, outputs):
        """The classes of largest output."""
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X):
        """The probability of each class (n_samples, n_classes)."""
        outputs = self._forward(X)
        likely = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X):
        """The logarithms of `predict_proba`."""
        outputs = self._forward(X)
        outputs = outputs - outputs.max(axis=1, keepdims=True)
        return outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))


@_documented
class SparseMLPRegressor(RegressorMixin, _SparseMLP):
    """A regressor: (1 / 2n) sum |y - f(x)|^2 + alpha R(W), R a penalty with exact proximal steps.

    Without hidden layers, 'l1' is the Lasso and 'l2' ridge regression.  y may have several columns.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> SparseMLPRegressor((20, 15), penalty="l1", max_iter=3).fit(X, y / 100).coefs_[0].shape
    (10, 20)
    """

    _criterion = HalfSquaredError
    _metric = staticmethod(r2_score)
    _takes_many_outputs = True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _encode(self, y):
        """Y as columns."""
        self._y_shape = y.shape[1:]
        return np.asarray(y, float).reshape(len(y), -1)

    def _n_outputs(self):
        return self._y_shape[0] if self._y_shape else 1

    def _decode(self, outputs):
        """The predictions in the shape of y."""
        return outputs.reshape(len(outputs), *self._y_shape)
