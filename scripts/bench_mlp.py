"""`SparseMLPClassifier` without a penalty beside scikit-learn's `MLPClassifier`: mean test accuracy
on digits over splits, at the same epochs, and the difference, which is to be within 0.005.

Both learn with Adam for as many epochs as are given, without an early end.
"""

import argparse
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from shl.networks import SparseMLPClassifier

SIZES = (40, 20)
MOST = 0.005


def accuracies(X, y, seed, epochs):
    """Test accuracies of (scikit-learn, shl) for one split; the seed decides it and the start."""
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
    models = (
        MLPClassifier(SIZES, max_iter=epochs, tol=0, n_iter_no_change=epochs, random_state=seed),
        SparseMLPClassifier(SIZES, max_iter=epochs, record_each=epochs, random_state=seed),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all epochs are wanted
        return [model.fit(X, y).score(X_test, y_test) for model in models]


def compare(name, X, y, splits, epochs):
    """Print both means and the mean difference with its standard error; return the difference."""
    scores = np.array([accuracies(X, y, seed, epochs) for seed in range(splits)])
    theirs, ours = scores.mean(axis=0)
    differences = scores[:, 1] - scores[:, 0]
    error = differences.std(ddof=1) / np.sqrt(splits) if splits > 1 else np.nan
    print(
        f"{name:<14}scikit-learn {theirs:.4f}   shl {ours:.4f}   difference "
        f"{ours - theirs:+.4f} +- {error:.4f}   (at most {MOST})",
        flush=True,
    )
    return ours - theirs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=300)
    args = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    for name, scale in (("pixels 0..1", 16), ("pixels 0..16", 1)):
        compare(name, X / scale, y, args.splits, args.epochs)
