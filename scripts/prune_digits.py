"""Filters of a small convolutional network on digits, pruned two ways, then shrunk and fine-tuned.

All learn for some epochs without a penalty.  Then 'group lasso' learns as many more with an exact
proximal penalty on filters; 'ln_structured' learns as many more without, and then
`torch.nn.utils.prune` cuts as many filters of each layer, those of smallest norm.  Both are shrunk
and fine-tuned for as many epochs again.  Accuracies are of the test set, means over the seeds; one
thread.
"""

import argparse
import copy
import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils import prune

from shl.networks import GroupLasso, Proximal, shrink

STRENGTHS = (1e-3, 3e-3, 6e-3)
RATE, BATCH_SIZE = 2e-3, 64
COLUMNS = {
    "method": "{method}",
    "strength": "{strength:g}",
    "filters left": "{first:.1f}, {second:.1f}",
    "weights": "{n_weights:.0f}",
    "pruned": "{pruned:.4f}",
    "fine-tuned": "{tuned:.4f} +- {tuned_std:.4f}",
    "outputs differ": "{difference:.0e}",
}


def make_network():
    """16 and 32 filters of 3 x 3 and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def load(seed):
    """(X, X_test, y, y_test) as tensors, a quarter held out."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    parts = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
    return [torch.from_numpy(part) for part in parts]


def learn(model, X, y, epochs, strength=0.0):
    """Learn in place, with a penalty on the filters of both convolutions."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    penalties = {"[02].weight": (GroupLasso(), strength, "outputs")} if strength else {}
    proximal = Proximal(optimizer, penalties, model)
    for _ in range(epochs):
        for places in torch.randperm(len(X)).split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(X[places]), y[places]).backward()
            optimizer.step()
            proximal.step()
    return model


def count_filters(model):
    """Filters of both convolutions with any weight."""
    return [int((model[i].weight != 0).flatten(1).any(1).sum()) for i in (0, 2)]


@torch.no_grad()
def accuracy(model, X, y):
    """Share of samples whose class is right."""
    return float((model(X).argmax(1) == y).float().mean())


def cut_filters(model, left):
    """A copy of which `ln_structured` leaves so many filters."""
    model = copy.deepcopy(model)
    for layer, n_left in zip((model[0], model[2]), left, strict=True):
        n_cut = len(layer.weight) - n_left
        if n_cut:
            prune.ln_structured(layer, "weight", n_cut, n=2, dim=0)
            prune.remove(layer, "weight")
    return model


def finish(method, strength, model, data, epochs):
    """Shrink, fine-tune; what there is to say of it."""
    X, X_test, y, y_test = data
    smaller = shrink(model)
    with torch.no_grad():
        difference = float((smaller(X_test) - model(X_test)).abs().max())
    first, second = count_filters(model)
    record = {"method": method, "strength": strength, "first": first, "second": second}
    record |= {"pruned": accuracy(smaller, X_test, y_test), "difference": difference}
    record["n_weights"] = sum(p.numel() for n, p in smaller.named_parameters() if "weight" in n)
    record["tuned"] = accuracy(learn(smaller, X, y, epochs), X_test, y_test)
    return record


def prune_both_ways(seed, strengths=STRENGTHS, epochs=20):
    """A record for the full network, and for each strength two, with as many filters left."""
    torch.manual_seed(seed)
    data = load(seed)
    X, _, y, _ = data
    start = learn(make_network(), X, y, epochs)
    full = learn(copy.deepcopy(start), X, y, epochs)
    records = [finish("full", 0.0, full, data, epochs)]
    for strength in strengths:
        sparse = learn(copy.deepcopy(start), X, y, epochs, strength)
        cut = cut_filters(full, count_filters(sparse))
        records.append(finish("group lasso", strength, sparse, data, epochs))
        records.append(finish("ln_structured", strength, cut, data, epochs))
    return records


def tabulate(records):
    """Means over the seeds, a row for each strength and method."""
    rows = []
    for key in dict.fromkeys((record["strength"], record["method"]) for record in records):
        chosen = [r for r in records if (r["strength"], r["method"]) == key]
        names = [name for name in chosen[0] if name not in ("method", "strength")]
        row = {name: float(np.mean([r[name] for r in chosen])) for name in names}
        tuned_std = float(np.std([r["tuned"] for r in chosen]))
        rows.append({"strength": key[0], "method": key[1], **row, "tuned_std": tuned_std})
    return rows


def print_table(rows):
    """Print the rows in columns."""
    cells = [list(COLUMNS), *([show.format(**row) for show in COLUMNS.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strengths", type=float, nargs="+", default=list(STRENGTHS))
    parser.add_argument("--epochs", type=int, default=20, help="of each of the three stages")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    records = [
        record
        for seed in args.seeds
        for record in prune_both_ways(seed, args.strengths, args.epochs)
    ]
    print_table(tabulate(records))
    print(f"{len(args.seeds)} seeds, {time.process_time() - began:.0f} CPU seconds")
