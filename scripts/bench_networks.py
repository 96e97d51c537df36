"""Networks beside their peers: a Markdown table for each question.

    inputs     10 informative inputs of 50: a path of strengths, and no penalty
    rivals     the same by a path, cold starts, and LassoNet
    shrink     three networks on digits cut to one size three ways, then fine-tuned
    mlp        the estimators without a penalty beside those of scikit-learn
    layers     evolutions, and inference with few connections
    students   weights that no penalty, L2 and L1 leave of students
    record     students under the configurations of the study of 2025, and under the default

One thread; seconds are CPU time.  LassoNet and Torch-Pruning are left out if they are missing.
"""

import argparse
import copy
import time
import warnings
from dataclasses import replace
from fnmatch import filter as matching
from functools import partial

import numpy as np
import torch
from rounds import alternate, find_peer
from sklearn.datasets import load_diabetes, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

from shl._base.tables import summary_of, table
from shl.networks import (
    GroupLasso,
    Proximal,
    SparseLinear,
    SparseMLPClassifier,
    SparseMLPRegressor,
    shrink,
)
from shl.networks.mlp import one_thread
from shl.networks.teacher_student.configs import load_config, single_run, sweep_runs
from shl.networks.teacher_student.sweep import sweep

N_USED, N_INPUTS, SIZES = 10, 50, (40, 20)
EPOCHS, RATE, BATCH_SIZE = 15, 2e-3, 64  # of a network to shrink, in each of three stages
MOST_DIFFERENCE = 0.005  # of accuracies beside scikit-learn's
ACTIVATIONS = ("relu", "tanh", "sigmoid")


def parts_of(X, y, seed):
    """(X, X_test, y, y_test), a quarter held out."""
    stratify = y if y.dtype.kind != "f" else None
    return train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)


def wide_data(seed):
    """The parts of 20,000 standardised samples, whose first 10 of 50 inputs tell the class."""
    X, y = make_classification(
        20_000,
        N_INPUTS,
        n_informative=N_USED,
        n_redundant=0,
        n_clusters_per_class=3,
        shuffle=False,
        random_state=seed,
    )
    X, X_test, y, y_test = parts_of(X, y, seed)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), scaler.transform(X_test), y, y_test


# ------------------------------------------------------------------------------------------- inputs


def select(X, X_test, y, y_test, seed, **penalty):
    """(inputs used, test accuracy) of a network under a penalty."""
    model = SparseMLPClassifier(SIZES, random_state=seed, **penalty).fit(X, y)
    return model.feature_importances_ > 0, model.score(X_test, y_test)


def select_by_lassonet(X, X_test, y, y_test, seed):
    """(inputs used, test accuracy): the fewest inputs whose held-out accuracy is within a standard
    error of the best, as `alpha="path"` chooses.
    """
    from lassonet import LassoNetClassifier

    torch.manual_seed(seed)
    X, X_held, y, y_held = train_test_split(X, y, test_size=0.1, random_state=seed, stratify=y)
    how = {"batch_size": 1000, "n_iters": (200, 20), "path_multiplier": 1.2}
    model = LassoNetClassifier(hidden_dims=SIZES, **how)
    path = model.path(X, y, X_val=X_held, y_val=y_held, return_state_dicts=True)
    scores = []
    for item in path:
        model.load(item.state_dict)
        scores.append(model.score(X_held, y_held))
    error = np.sqrt(max(scores) * (1 - max(scores)) / len(y_held))
    chosen = np.flatnonzero(np.array(scores) >= max(scores) - error)[-1]
    model.load(path[chosen].state_dict)
    return path[chosen].selected.numpy(), model.score(X_test, y_test)


lasso = partial(select, penalty="group_lasso")
WAYS = {
    "no penalty": select,
    "cold start, alpha 0.002": partial(lasso, alpha=2e-3),
    "cold start, alpha 0.006": partial(lasso, alpha=6e-3),
    'alpha="path"': partial(lasso, alpha="path"),
    "LassoNet": select_by_lassonet,
}


def select_inputs(seeds, names):
    """A row for each way to find the inputs."""
    yield "way", "informative, of 10", "others, of 40", "test accuracy", "seconds"
    data = [(*wide_data(seed), seed) for seed in seeds]
    for name in names:
        began = time.process_time()
        used, scores = zip(*(WAYS[name](*parts) for parts in data), strict=True)
        seconds = (time.process_time() - began) / len(data)
        counts = [[u[:N_USED].sum() for u in used], [u[N_USED:].sum() for u in used]]
        lists = (" ".join(map(str, each)) for each in (*counts, [f"{s:.3f}" for s in scores]))
        yield name, *lists, f"{seconds:.0f}"


def compare_rivals(seeds):
    """A row for each way, beside LassoNet where it is installed."""
    return select_inputs(seeds, list(WAYS)[1 : None if find_peer("lassonet") else -1])


# ------------------------------------------------------------------------------------------- shrink


class TwoHeads(nn.Module):
    """Two heads that read the features of an image: the digit, and whether it is even."""

    def add_heads(self, n_features):
        """Draw the heads, after the layers before."""
        self.digit, self.even = nn.Linear(n_features, 10), nn.Linear(n_features, 2)

    def forward(self, x):
        """The logits of both heads."""
        x = self.features(x)
        return self.digit(x), self.even(x)


class Residual(TwoHeads):
    """Two residual blocks."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, padding=1)
        self.inner = nn.ModuleList(nn.Conv2d(24, 32, 3, padding=1) for _ in range(2))
        self.outer = nn.ModuleList(nn.Conv2d(32, 24, 3, padding=1) for _ in range(2))
        self.add_heads(24)

    def features(self, x):
        """The means over places."""
        x = torch.relu(self.stem(x))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + outer(torch.relu(inner(x)))
        return torch.relu(x).mean((2, 3))


class Transformer(TwoHeads):
    """The rows of an image as eight tokens, and a transformer layer."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Linear(8, 32), nn.Parameter(torch.randn(8, 32) / 10)
        self.layer = nn.TransformerEncoderLayer(32, 4, 128, dropout=0.0, batch_first=True)
        self.add_heads(32)

    def features(self, x):
        """The means over tokens."""
        return self.layer(self.embed(x.flatten(1, 2)) + self.place).mean(-2)


class Plain(TwoHeads):
    """16 and 32 filters of 3 x 3."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)
        self.add_heads(128)

    def features(self, x):
        """The largest responses of neighbours."""
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return nn.functional.max_pool2d(x, 2).flatten(1)


NETWORKS = {  # (class, penalised weights, their groups, strength)
    "two convolutions": (Plain, ("first.weight", "second.weight"), "outputs", 6e-3),
    "residual, two heads": (Residual, ("inner.*.weight", "outer.*.weight"), "inputs", 3e-3),
    "transformer layer": (Transformer, ("layer.linear2.weight",), "inputs", 1.5e-2),
}
METHODS = ("neither", "group lasso", "ln_structured", "Torch-Pruning")


def learn(model, data, penalties=(), epochs=EPOCHS):
    """Learn in place."""
    X, _, y, _ = data
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    proximal = Proximal(optimizer, dict(penalties), model.train())
    for _ in range(epochs):
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


def cut_alike(model, sparse, names, dim):
    """A copy in which `ln_structured` makes as many groups zero as there are in each layer of
    another.
    """
    model = copy.deepcopy(model)
    for name in names:
        layer = model.get_submodule(name.removesuffix(".weight"))
        weight = sparse.get_parameter(name)
        n_zero = int((weight.transpose(0, dim).flatten(1) == 0).all(1).sum())
        if n_zero:
            prune.ln_structured(layer, "weight", n_zero, n=2, dim=dim)
            prune.remove(layer, "weight")
    return model


def cut_to(model, data, most, tp):
    """A copy that Torch-Pruning cuts to at most so many parameters."""
    for ratio in np.linspace(0.02, 0.98, 49):
        smaller = copy.deepcopy(model).train()
        has_heads = hasattr(smaller, "layer")
        heads = {"num_heads": {smaller.layer.self_attn: 4}} if has_heads else {}
        pruner = tp.pruner.MetaPruner(
            smaller,
            data[1][:2],
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=float(ratio),
            ignored_layers=[smaller.digit, smaller.even],
            **heads,
        )
        pruner.step()
        if count(smaller) <= most:
            break
    return smaller.eval()


def prune_ways(name, seed, tp, epochs=EPOCHS):
    """Rows (parameters, pruned, fine-tuned, largest difference of outputs) of each of `METHODS`."""
    make, patterns, groups, strength = NETWORKS[name]
    torch.manual_seed(seed)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    data = [torch.from_numpy(part) for part in parts_of(X, y, seed)]
    start = learn(make(), data, epochs=epochs)
    full = learn(copy.deepcopy(start), data, epochs=epochs)
    penalties = {pattern: (GroupLasso(), strength, groups) for pattern in patterns}
    sparse = learn(copy.deepcopy(start), data, penalties, epochs)
    known = [name for name, _ in sparse.named_parameters()]
    names = [name for pattern in patterns for name in matching(known, pattern)]
    cut = cut_alike(full, sparse, names, int(groups == "inputs"))
    smaller = shrink(sparse)
    pairs = [(full, full), (sparse, smaller), (cut, shrink(cut))]
    if tp:
        pruned = cut_to(full, data, count(smaller), tp)
        pairs.append((pruned, pruned))
    rows = []
    for before, after in pairs:
        with torch.no_grad():
            outputs = zip(before(data[1]), after(data[1]), strict=True)
            difference = max(float((a - b).abs().max()) for a, b in outputs)
        row = [count(after), accuracy(after, data)]
        row += [accuracy(learn(after, data, epochs=epochs), data)]
        rows.append([*row, np.nan if before is after else difference])
    return rows


def compare_shrunk(seeds):
    """A row for each network and method."""
    tp = find_peer("torch_pruning")
    yield "network", "method", "parameters", "pruned", "fine-tuned", "outputs differ"
    for name in NETWORKS:
        means = np.mean([prune_ways(name, seed, tp) for seed in seeds], axis=0)
        for method, row in zip(METHODS, means, strict=False):
            differ = "-" if np.isnan(row[3]) else f"{row[3]:.0e}"
            yield name, method, round(row[0]), *(f"{value:.3f}" for value in row[1:3]), differ


# ---------------------------------------------------------------------------------------------- mlp


def mlp_settings():
    """{setting: (X, y, hidden units, batch size, epochs)}."""
    X, y = load_digits(return_X_y=True)
    wide, _, classes, _ = wide_data(0)
    inputs, targets = load_diabetes(return_X_y=True)
    targets = (targets - targets.mean()) / targets.std()
    return {
        "digits, pixels 0..1": (X / 16, y, SIZES, 200, 300),
        "digits, pixels 0..16": (X, y, SIZES, 200, 300),
        "digits, batches of 32": (X / 16, y, (100,), 32, 100),
        "diabetes": (StandardScaler().fit_transform(inputs), targets, (20, 15), 200, 300),
        "15,000 x 50": (wide, classes, SIZES, 200, 20),
    }


def fit_both(X, y, sizes, batch_size, epochs, seed):
    """Rows (score, CPU seconds) of scikit-learn's estimator and ours, at equal epochs."""
    X, X_test, y, y_test = parts_of(X, y, seed)
    theirs, ours = MLPClassifier, SparseMLPClassifier
    if y.dtype.kind == "f":
        theirs, ours = MLPRegressor, SparseMLPRegressor
    same = {"hidden_layer_sizes": sizes, "batch_size": min(batch_size, len(X))}
    same |= {"max_iter": epochs, "random_state": seed}
    models = theirs(tol=0, n_iter_no_change=epochs, **same), ours(record_each=epochs, **same)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all epochs are wanted
        for model in models:
            began = time.process_time()
            model.fit(X, y)
            rows.append((model.score(X_test, y_test), time.process_time() - began))
    return np.array(rows)


def compare_mlp(seeds):
    """A row for each setting: the ratio of seconds is to be at most 2."""
    yield "data", "epochs", "scikit-learn", "shl", "difference", "CPU seconds, ratio (at most 2)"
    for name, setting in mlp_settings().items():
        fit_both(*setting[:-1], 1, seeds[0])  # the first fits of a process are slow
        both = np.array([fit_both(*setting, seed) for seed in seeds])
        scores, seconds = both[:, :, 0], both[:, :, 1].min(axis=0)
        missed = " MISSED" if seconds[1] > 2 * seconds[0] else ""
        times = f"{seconds[1]:.2f} / {seconds[0]:.2f} = {seconds[1] / seconds[0]:.2f}{missed}"
        means = (f"{mean:.4f}" for mean in scores.mean(axis=0))
        yield name, setting[-1], *means, summary_of(scores[:, 1] - scores[:, 0]), times


# ------------------------------------------------------------------------------------------- layers


def time_layers(size=1024, rounds=21):
    """A row for each piece of work."""
    layers = {"epsilon 11": SparseLinear(size, size)}
    layers |= {f"density {share}": SparseLinear(size, size, density=share) for share in (0.1, 0.5)}
    x, images = torch.randn(100, size), torch.randn(100, 784)
    of_images = SparseLinear(784, 512)
    n = len(of_images.connections)
    dense, csr = of_images.to_dense(), of_images.to_csr()

    def inference(layer):
        with torch.no_grad():
            layer(images)

    work = {f"evolution of {size} x {size}, {name}": e.evolve for name, e in layers.items()}
    work |= {
        f"pass and gradient of {size} x {size}": lambda: layers["epsilon 11"](x).sum().backward(),
        f"inference, 784 x 512, {n} connections, masked": lambda: inference(of_images),
        "the same, to_dense": lambda: inference(dense),
        "the same, to_csr": lambda: inference(csr),
    }
    with one_thread():
        seconds = alternate(work, rounds, time.process_time)
    yield "work, batches of 100", "ms"
    for name, value in seconds.items():
        yield name, f"{1000 * value:.2f}"


# ----------------------------------------------------------------------------------------- students

STUDENTS = {  # of no penalty, L2 and L1
    "multiChannelCNN": ("config_record.json", 1500, "baselineCNN", ACTIVATIONS),
    "fcn_128_128": ("config_path_full.json", 60, "baselineCNN", ("relu",)),
}


def compare_penalties(seeds):
    """A row for each student and penalty; L1 has all the epochs of its configuration."""
    yield "student", "activation", "penalty", *STUDENT_COLUMNS
    for kind, (config, epochs, teacher, activations) in STUDENTS.items():
        config = load_config(config)
        free = replace(config, num_epochs=epochs, l1_norm=[0.0], l1_path=[], restarts=1)
        ways = {"none": free, "L2, 1e-5": replace(free, l2_norm=[1e-5]), "L1": config}
        for activation in activations:
            for penalty, way in ways.items():
                names = f"{teacher}_{activation}", f"{kind}_{activation}"
                records = sweep([single_run(way, *names, seed) for seed in seeds])
                yield kind, activation, penalty, *describe(records)


STUDENT_COLUMNS = ("weights left", "of 1e-4 or more", "loss / var(y)", "recovered", "seconds")


def describe(records):
    """The columns of `STUDENT_COLUMNS`, over seeds."""
    names = ("n_weights", "n_large", "relative_loss", "is_recovered", "seconds")
    left, large, losses, recovered, seconds = ([r[name] for r in records] for name in names)
    yield from (" ".join(map(str, counts)) for counts in (left, large))
    yield f"{min(losses):.0e} to {max(losses):.0e}"
    yield f"{sum(recovered)} of {len(records)}"
    yield f"{sum(seconds):.0f}"


def repeat_record(seeds):
    """A row for each configuration and pair of activations."""
    yield "configuration", "teacher -> student", *STUDENT_COLUMNS
    names = {"config_record.json": seeds, "config_path.json": seeds}
    for name, chosen in {**names, "config_cnn_l1_1.json": seeds[:1]}.items():
        records = sweep(sweep_runs(load_config(name), "baselineCNN", "multiChannelCNN", chosen))
        pairs = [f"{r['teacher_activation']} -> {r['student_activation']}" for r in records]
        for pair in dict.fromkeys(pairs):
            found = [r for r, own in zip(records, pairs, strict=True) if own == pair]
            yield name, pair, *describe(found)


TABLES = {  # and their seeds
    "inputs": (lambda seeds: select_inputs(seeds, ("no penalty", 'alpha="path"')), range(5)),
    "rivals": (compare_rivals, (0, 1)),
    "shrink": (compare_shrunk, range(3)),
    "mlp": (compare_mlp, range(10)),
    "layers": (lambda seeds: time_layers(), ()),
    "students": (compare_penalties, (1, 2, 3)),
    "record": (repeat_record, (1, 2, 3, 4, 5)),
}


if __name__ == "__main__":
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--seeds", type=int, nargs="+")
    args = parser.parse_args()
    torch.set_num_threads(1)
    function, seeds = TABLES[args.table]
    columns, *lines = function(args.seeds or seeds)
    print("\n".join(table(list(columns), lines, is_markdown=True)))
