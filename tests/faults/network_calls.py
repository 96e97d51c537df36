"""What networks are asked with odd arguments: as `calls`, and with PyTorch."""

import numpy as np
from calls import LABELS, X, defaults

from shl import networks


def classify(X, y, **parameters):
    model = networks.SparseMLPClassifier(**parameters).fit(X, y)
    return [model.predict_proba(X), *model.coefs_]


def regress(X, y, **parameters):
    model = networks.SparseMLPRegressor(**parameters).fit(X, y)
    return [model.predict(X), *model.coefs_]


def prox_of(kind):
    """A proximal step of a penalty, and the penalty of what it leaves."""

    def prox(w, step):
        penalty = getattr(networks, kind)()
        moved = penalty.prox(w, step)
        return [np.asarray(moved), float(penalty.value(moved))]

    return prox


QUICK = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0, "X": X}
CALLS = {
    "SparseMLPClassifier": (
        classify,
        {**defaults(networks.SparseMLPClassifier.__init__, "verbose"), **QUICK, "y": LABELS},
    ),
    "SparseMLPRegressor": (
        regress,
        {**defaults(networks.SparseMLPRegressor.__init__, "verbose"), **QUICK, "y": X[:, 0]},
    ),
    **{
        kind: (prox_of(kind), {"w": X[:5], "step": 0.1})
        for kind in ("L1", "L2", "GroupLasso", "SparseGroupLasso")
    },
}
