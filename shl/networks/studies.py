"""What the studies of `shl.networks` share: data, seeded jobs in parallel, tables, and the flags of
their commands.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from .._checks import check_choice, check_count
from .._commands import add_parser, report, write_summary

DATASETS = ("digits", "mnist")


@lru_cache(maxsize=2)  # to read MNIST takes longer than many a learning
def load_images(name="digits"):
    """Pixels (n, n_pixels) float32 in 0..1 and labels (n,) of 'digits' (ships with scikit-learn) or
    'mnist' (OpenML).

    MNIST is downloaded by `sklearn.datasets.fetch_openml`, which keeps it in its own folder.
    Read-only arrays.
    """
    from sklearn.datasets import fetch_openml, load_digits

    if check_choice(name, "data", DATASETS) == "digits":
        (X, y), white = load_digits(return_X_y=True), 16
    else:
        (X, y), white = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False), 255
    X, y = (X / white).astype(np.float32), y.astype(int)
    X.flags.writeable = y.flags.writeable = False
    return X, y


def split_images(name, seed):
    """(X, X_test, y, y_test) of images, a quarter held out, each class in equal shares."""
    from sklearn.model_selection import train_test_split

    X, y = load_images(name)
    return train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)


def run_jobs(function, jobs, n_jobs=1):
    """`function(**job)` for each job, in order, in `n_jobs` processes."""
    from joblib import Parallel, delayed

    return Parallel(n_jobs=n_jobs)(delayed(function)(**job) for job in jobs)


def summarise(records, key, names):
    """Mean and standard deviation over the seeds: a list of {key, n_seeds, name, name_std}, one for
    each value of key.

    Values are numbers or arrays; those that are not numbers at all are left out by not naming them.
    """
    rows = []
    for value in dict.fromkeys(record[key] for record in records):
        chosen = [record for record in records if record[key] == value]
        row = {key: value, "n_seeds": len(chosen)}
        for name in names:
            numbers = np.array([record[name] for record in chosen], float)
            row[name], row[f"{name}_std"] = (
                numbers.mean(axis=0).tolist(),
                numbers.std(axis=0).tolist(),
            )
        rows.append(row)
    return rows


def format_table(rows, columns):
    """Lines of text: a header, and a row for each dict; columns maps a header to a format string or
    a function.
    """
    cells = [
        [show.format(**row) if isinstance(show, str) else show(row) for show in columns.values()]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [list(columns), *cells]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def count_parameters(model):
    """Exact zeros and weights (without biases) of a fitted network: (n_zeros, n_weights), counted
    as w == 0.
    """
    return sum(int((w == 0).sum()) for w in model.coefs_), sum(w.size for w in model.coefs_)


# ----------------------------------------------------------------------------------------- commands


def add_study(commands, name, run, text, epochs, seeds=(0, 1, 2), n_jobs=-1):
    """A command of a study with the flags that all have; return its parser."""
    parser = add_parser(commands, name, run, text)
    add = parser.add_argument
    add(
        "--epochs",
        type=int,
        default=epochs,
        help="epochs of each learning (None: what suits the data)",
    )
    add(
        "--seeds",
        "--seed",
        type=int,
        nargs="+",
        default=list(seeds),
        metavar="SEED",
        help="one learning for each: decides split, start and order",
    )
    add("--n-jobs", type=int, default=n_jobs, help="processes; -1 is all cores")
    add(
        "--out",
        default=f"shl_{name.replace('-', '_')}",
        metavar="DIR",
        help="folder for pictures and summary.json",
    )
    add("--quiet", action="store_true", help="print nothing")
    add("--json", action="store_true", help="print the summary as JSON")
    return parser


def check_study(args):
    """The study's folder, made, after a check of the flags that all studies have."""
    check_count(args.epochs, "epochs", is_optional=True)
    for seed in args.seeds:
        check_count(seed, "seeds", least=0)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    return out


def finish(args, out, summary, lines):
    """Write summary.json, print the report."""
    write_summary(out, summary)
    report(args, summary, [*lines, f"pictures and summary in {out}/"])
