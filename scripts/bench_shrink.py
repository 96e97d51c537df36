"""A residual network of two heads and a transformer layer on digits, pruned two ways to one size.

A group lasso, then `shrink`; and Torch-Pruning, which cuts an unpenalised network by magnitude to
about as many parameters.  Both are fine-tuned.  Accuracies are of the digit on the test set, means
over the seeds; one thread.  Needs torch-pruning.
"""

import argparse
import copy

import numpy as np
import torch
import torch_pruning as tp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import cross_entropy

from shl._base.tables import table
from shl.networks import GroupLasso, Proximal, shrink

EPOCHS, RATE, BATCH_SIZE = 15, 2e-3, 64
COLUMNS = ("network", "method", "parameters", "pruned", "fine-tuned", "outputs differ")


class Residual(nn.Module):
    """Two residual blocks and two heads: the digit, and whether it is even."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, padding=1)
        self.inner = nn.ModuleList(nn.Conv2d(24, 32, 3, padding=1) for _ in range(2))
        self.outer = nn.ModuleList(nn.Conv2d(32, 24, 3, padding=1) for _ in range(2))
        self.digit, self.even = nn.Linear(24, 10), nn.Linear(24, 2)

    def forward(self, x):
        """The logits of both heads."""
        x = torch.relu(self.stem(x))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + outer(torch.relu(inner(x)))
        x = torch.relu(x).mean((2, 3))
        return self.digit(x), self.even(x)


class Transformer(nn.Module):
    """The rows of an image as eight tokens, a transformer layer, and the same heads."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Linear(8, 32), nn.Parameter(torch.randn(8, 32) / 10)
        self.layer = nn.TransformerEncoderLayer(32, 4, 128, dropout=0.0, batch_first=True)
        self.digit, self.even = nn.Linear(32, 10), nn.Linear(32, 2)

    def forward(self, x):
        """The logits of both heads."""
        x = self.layer(self.embed(x.flatten(1, 2)) + self.place).mean(-2)
        return self.digit(x), self.even(x)


NETWORKS = {
    "residual, two heads": (Residual, ("inner.*.weight", "outer.*.weight"), 3e-3),
    "transformer layer": (Transformer, ("layer.linear2.weight",), 1.5e-2),
}


def learn(model, data, patterns=(), strength=0.0):
    """Learn in place, with a penalty on what the layers of the patterns read."""
    X, _, y, _ = data
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    penalties = {pattern: (GroupLasso(), strength, "inputs") for pattern in patterns}
    proximal = Proximal(optimizer, penalties, model.train())
    for _ in range(EPOCHS):
        for places in torch.randperm(len(X)).split(BATCH_SIZE):
            optimizer.zero_grad()
            digit, even = model(X[places])
            loss = cross_entropy(digit, y[places]) + cross_entropy(even, y[places] % 2) / 5
            loss.backward()
            optimizer.step()
            proximal.step()
    return model.eval()


@torch.no_grad()
def accuracy(model, data):
    """Share of digits that are right."""
    return float((model(data[1])[0].argmax(1) == data[3]).float().mean())


def count(model):
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in model.parameters())


def cut(model, data, most):
    """A copy that Torch-Pruning cuts to at most so many parameters."""
    for ratio in np.linspace(0.02, 0.98, 49):
        smaller = copy.deepcopy(model).train()
        has_heads = hasattr(smaller, "layer")
        heads = {"num_heads": {smaller.layer.self_attn: 4}} if has_heads else {}
        tp.pruner.MetaPruner(
            smaller,
            data[1][:2],
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=float(ratio),
            ignored_layers=[smaller.digit, smaller.even],
            **heads,
        ).step()
        if count(smaller) <= most:
            break
    return smaller.eval()


def compare(name, seed):
    """Rows (parameters, pruned, fine-tuned, difference) of no pruning, shrink, Torch-Pruning."""
    make, patterns, strength = NETWORKS[name]
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    parts = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
    data = [torch.from_numpy(part) for part in parts]
    start = learn(make(), data)
    full = learn(copy.deepcopy(start), data)
    sparse = learn(copy.deepcopy(start), data, patterns, strength)
    smaller = shrink(sparse)
    with torch.no_grad():
        pairs = zip(sparse(data[1]), smaller(data[1]), strict=True)
        difference = max(float((a - b).abs().max()) for a, b in pairs)
    rows = []
    for model in (full, smaller, cut(full, data, count(smaller))):
        row = [count(model), accuracy(model, data)]
        rows.append([*row, accuracy(learn(model, data), data), 0.0])
    rows[1][3] = difference
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for name in NETWORKS:
        means = np.mean([compare(name, seed) for seed in args.seeds], axis=0)
        for method, row in zip(("neither", "shl", "Torch-Pruning"), means, strict=True):
            differ = f"{row[3]:.0e}" if method == "shl" else "-"
            lines.append([name, method, round(row[0]), *(f"{v:.3f}" for v in row[1:3]), differ])
    print("\n".join(table(list(COLUMNS), lines, is_markdown=True)))
