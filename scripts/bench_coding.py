"""Coding: against its floor, the product X D^T, and other packages; what is promised of speed;
photographs with missing pixels; and whether a rule of homeostasis breaks down.

    python scripts/bench_coding.py coding              # 4096 natural patches, and growth
    python scripts/bench_coding.py speed --page docs/results/speed.md
    python scripts/bench_coding.py inpainting
    python scripts/bench_coding.py homeostasis --quick

Contestants take turns in one process, on one thread and on all.  SPAMS' "OMP" is order-recursive
pursuit, so time and residual are compared, not codes.  What was tried for these times:
docs/performance.md.
"""

import itertools
from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
from bench_learning import AT_ONCE, measure_changes, measure_few_samples, measure_step
from rounds import (
    SIZE,
    alternate,
    clock_of,
    exponent,
    find_peer,
    output_of,
    patches,
    report,
    row,
    run_part,
    words,
)
from sklearn.datasets import load_sample_image
from sklearn.decomposition import SparseCoder
from threadpoolctl import threadpool_limits

from shl import SHL, SHL_set, SparseHebbianLearning, sparse_encode
from shl._base.tables import table
from shl._base.threads import Threads
from shl.annex.study import FRESH_SEED, evaluate
from shl.coding.parameters import Coding
from shl.coding.preparing import prepare
from shl.images.photographs import to_grey
from shl.images.windows import extract, reconstruct

L0 = SIZE["l0_sparseness"]
SLOW_ROUNDS = 3  # of a peer that takes many seconds
GROWTH = {
    "n_samples": (1024, 2048, 4096, 8192),
    "n_dictionary": (256, 512, 1024, 2048),
    "n_pixels": (100, 196, 400, 784),
    "l0_sparseness": (10, 20, 40, 80),
}

# ------------------------------------------------------------------------------ coding and speed


def measure_coding(X, args):
    """Rows of coding on one thread and on all, and the atoms."""
    options = {"l0_sparseness": L0, "learning_algorithm": "mp", "n_iter": 400, "homeo_fade": None}
    options |= {"batch_size": 256, "random_state": 0, "n_jobs": args.n_jobs}
    plain, fair = (
        SparseHebbianLearning(SIZE["n_dictionary"], homeo_method=rule, **options).fit(X)
        for rule in ("HAP", "HEH")
    )
    X, rows = X[: SIZE["n_samples"]], []
    for n_jobs in sorted({1, args.n_jobs}):
        rows += measure_ours(X, plain, fair, n_jobs, args)
    if not args.no_peers:
        rows += measure_spams(X, plain.components_, args)
    return rows, plain.components_


def measure_ours(X, plain, fair, n_jobs, args):
    """Rows of our own coders on some threads."""
    D, threads = plain.components_, words(n_jobs)
    options = {"l0_sparseness": L0, "n_jobs": n_jobs}

    def events():
        with Threads(n_jobs) as threads:
            prepare(Coding(l0_sparseness=L0), D, threads=threads).encode(X, threads)

    with threadpool_limits(n_jobs):  # of the product
        times = alternate(
            {
                "product": lambda: X @ D.T,
                "events": events,
                "csr": lambda: sparse_encode(X, D, gain=plain.gain_, sparse_output=True, **options),
                "gain": lambda: sparse_encode(X, fair.components_, **options),
                "table": lambda: sparse_encode(
                    X, fair.components_, competition=fair.competition_, **options
                ),
                "omp": lambda: sparse_encode(X, D, algorithm="omp", sparse_output=True, **options),
            },
            args.rounds,
            clock_of(args),
        )
    product = times["product"]
    yield row(f"product X D^T, {threads}", product, product, "product", None)
    yield row(f"mp, a gain, events, {threads}", times["events"], product, "product", 1.7)
    yield row(f"mp, a gain, CSR, {threads}", times["csr"], product, "product", 1.7)
    yield row(f"mp, HEH table, dense, {threads}", times["table"], times["gain"], "gain, dense", 1.7)
    yield row(f"omp, CSR, {threads}", times["omp"], product, "product", None)


def measure_threads(X, D, args):
    """A row of all threads against one."""
    if (n := args.n_jobs) > 1:
        code = partial(sparse_encode, X, D, l0_sparseness=L0, sparse_output=True)
        times = alternate({n: partial(code, n_jobs=n), 1: partial(code, n_jobs=1)}, args.rounds)
        yield row(f"mp, {n} threads", times[n], times[1], "1 thread", 0.6)


def measure_peer(X, D, args, name, theirs, most, rounds=SLOW_ROUNDS):
    """A row of omp against a function that codes by another package."""
    options = {"algorithm": "omp", "l0_sparseness": L0, "sparse_output": True}
    ours = partial(sparse_encode, X, D, n_jobs=args.n_jobs, **options)
    times = alternate({"ours": ours, "theirs": theirs}, rounds, clock_of(args))
    return row(f"omp against {name}", times["ours"], times["theirs"], name, most)


def measure_spams(X, D, args):
    """A row of omp against SPAMS."""
    if (spams := find_peer("spams")) is None:
        return
    signals, atoms = np.asfortranarray(X.T), np.asfortranarray(D.T)

    def theirs():
        return spams.omp(signals, D=atoms, L=L0, eps=0.0, numThreads=args.n_jobs)

    ours = sparse_encode(X, D, algorithm="omp", l0_sparseness=L0, sparse_output=True)
    for name, code in (("ours", ours), ("spams", theirs().T)):
        print(f"residual of omp, {name}: {np.linalg.norm(X - code @ D) / np.linalg.norm(X):.4f}")
    yield measure_peer(X, D, args, "spams.omp", theirs, 0.35, args.rounds)


def measure_slow_peers(X, D, args):
    """Rows of omp against packages that take many seconds."""
    coder = SparseCoder(D, transform_algorithm="omp", transform_n_nonzero_coefs=L0, n_jobs=1)
    theirs = {"scikit-learn's SparseCoder": (partial(coder.transform, X), 1 / 50)}
    if (dictlearn := find_peer("dictlearn")) is not None:
        signals, atoms = X.astype(np.float64), D.astype(np.float64)
        options = {"algorithm": "batch_omp", "n_nonzero_coefs": L0}
        theirs["dictlearn"] = partial(dictlearn.sparse_encode, signals, atoms, **options), 1 / 10
    for name, (function, most) in theirs.items():
        yield measure_peer(X, D, args, name, function, most)


def measure_growth(args):
    """{size: (values, seconds of mp)} with one size varied at a time."""
    rng, growth = np.random.default_rng(0), {}
    for name, values in GROWTH.items():
        contestants = {}
        for value in values:
            size = {**SIZE, name: value}
            X, D = (
                rng.standard_normal((size[n_rows], size["n_pixels"]), np.float32)
                for n_rows in ("n_samples", "n_dictionary")
            )
            D /= np.linalg.norm(D, axis=1, keepdims=True)
            options = {"l0_sparseness": size["l0_sparseness"], "n_jobs": args.n_jobs}
            contestants[value] = partial(sparse_encode, X, D, sparse_output=True, **options)
        growth[name] = values, list(alternate(contestants, args.rounds).values())
        print(f"time ~ {name}^{exponent(*growth[name]):.2f}")
    return growth


def draw(growth, fname):
    """Time against each size, on logarithmic axes."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(10, 2.8), layout="constrained")
    axes, ticks = fig.subplots(1, 4, sharey=True), (5, 10, 20, 50, 100)
    for ax, (name, (sizes, seconds)) in zip(axes, growth.items(), strict=True):
        ax.loglog(sizes, 1000 * np.array(seconds), "o-")
        ax.set(xlabel=name, title=f"exponent {exponent(sizes, seconds):.2f}")
        ax.set(xticks=sizes, xticklabels=sizes, yticks=ticks, yticklabels=ticks)
        ax.minorticks_off()
    axes[0].set_ylabel("milliseconds")
    fig.savefig(fname, dpi=150)
    print(f"wrote {fname}")


def run_coding(args):
    """4096 natural patches of 441 pixels in float32, 676 atoms, 21 non-zeros; growth with sizes."""
    X = patches(args)
    rows, D = measure_coding(X, args)
    X = X[: SIZE["n_samples"]]
    rows += measure_threads(X, D, args)
    if not args.no_peers:
        rows += measure_slow_peers(X, D, args)
    report(rows, args)
    if not args.no_growth:
        growth = measure_growth(args)
        if args.plot:
            draw(growth, args.plot)


def run_speed(args):
    """What is promised of speed, in one run: coding, learning steps, and the large dictionary."""
    X = patches(args, 32768)
    rows, _ = measure_coding(X[:8192], args)
    alone = Namespace(**{**vars(args), "n_jobs": 1})
    with threadpool_limits(1):  # of the products
        rows += measure_step(X, 256, alone, {"but for it": 2.2}, AT_ONCE)
        rows += measure_changes(X, alone)
    with threadpool_limits(args.n_jobs):
        rows += measure_step(X, 4096, args, {"HAP": 3.5, "HEH": 2.0})
        rows += measure_few_samples(args)
    notes = []
    if not args.no_large:  # in a process of its own, for its memory
        script = Path(__file__).with_name("bench_learning.py")
        found = output_of(script, "large", f"--n-jobs={args.n_jobs}")
        print(found, end="")
        notes = ["", *found.splitlines()]
    report(rows, args, notes)


# ------------------------------------------------------------------------------------ inpainting

WIDTH, N_ATOMS, N_ACTIVE = 8, 128, 8
PRECISION_RANGE = 0.5, 1.5


def psnr(patches, means, image, is_missing):
    """Of the missing pixels of an image with values in 0..1, in dB."""
    filled = reconstruct(patches, means, image.shape)
    return -10 * np.log10(np.square(filled - image)[is_missing].mean())


def coders(X, D, image, args):
    """{name: function that codes}: masked patches by us and by SPAMS, whole ones by a precision."""
    options = {"l0_sparseness": N_ACTIVE, "n_jobs": args.n_jobs}
    whole, _ = extract(image, WIDTH)
    precision = np.random.default_rng(0).uniform(*PRECISION_RANGE, D.shape).astype(D.dtype)
    ways = {
        "ours": lambda: sparse_encode(X, D, algorithm="omp", missing="mask", **options),
        "precision": lambda: sparse_encode(whole, D, precision, **options),
    }
    spams = None if args.no_peers else find_peer("spams")
    if spams is not None:
        is_seen = ~np.isnan(X)
        arrays = map(np.asfortranarray, (np.where(is_seen, X, 0).T, D.T, is_seen.T))
        signals, atoms, mask = arrays
        options = {"L": N_ACTIVE, "eps": 0.0, "numThreads": args.n_jobs}
        ways["spams"] = lambda: spams.ompMask(signals, atoms, mask, **options).T
    return ways


def run_inpainting(args):
    """A photograph of which a share of the pixels is missing, beside SPAMS' masked coding.

    Patches of 8 x 8 pixels are coded with a dictionary learned from the pixels that are left, and
    whole with a precision, all with as many atoms.  PSNR is that of the missing pixels.
    """
    image = to_grey(load_sample_image("china.jpg"))[: args.side, : args.side].astype(np.float32)
    is_missing = np.random.default_rng(0).random(image.shape) < args.share
    X, means = extract(np.where(is_missing, np.nan, image), WIDTH)
    options = {"missing": "mask", "n_iter": args.n_iter, "random_state": 0}
    D = SparseHebbianLearning(N_ATOMS, l0_sparseness=4, **options).fit(X).components_
    ways = coders(X, D, image, args)
    for name in ways.keys() - {"precision"}:
        print(f"{name}: {psnr(ways[name]() @ D, means, image, is_missing):.2f} dB")
    seconds = alternate(ways, args.rounds, clock_of(args))
    work = f"masked coding of {len(X)} patches"
    names = ways.keys() - {"ours"}
    report([row(work, seconds["ours"], seconds[name], name, None) for name in names], args)


# ----------------------------------------------------------------------------------- homeostasis

RULES = ("HAP", "HEH2019", "HEH")
SIZES = {  # patch_width, n_dictionary, l0_sparseness
    "small": (12, 196, 10),
    "study": (21, 676, 21),
    "dense": (21, 676, 42),
    "wide": (21, 956, 21),
}
GRID = {"eta": (0.005, 0.02, 0.04), "eta_homeo": (0.005, 0.01, 0.05), "batch_size": (64, 256, 1024)}
QUICK = {"eta": (0.02,), "eta_homeo": (0.01, 0.05), "batch_size": (64, 256)}
MOST_ERROR, LEAST_ENTROPY = 0.02, 0.985
N_FRESH, N_HELD_OUT = 4096, 256
COLUMNS = ("error", "error_own", "entropy", "entropy_own", "F", "F_own", "unused")


def run_homeostasis(args):
    """Does a rule of homeostasis break down?  Error and usage on new patches, over rates and sizes.

    Every rule learns in every cell of a grid of eta x eta_homeo x batch_size on each size and
    database; a row gives its error relative to that of plain pursuit, 'None', and the entropy of
    usage, under plain pursuit and under the rule's own competition (`own`).  Learnings are stored:
    a run that was interrupted resumes, and one with more cells learns the new ones alone.
    """
    grid = QUICK if args.quick else GRID
    args.grid = {name: getattr(args, name) or values for name, values in grid.items()}
    sizes, rows = ["small"] if args.quick else args.size, []
    for database, size in itertools.product(args.database, sizes):
        rows += measure_cells(database, size, args)
    none = {cell(row): row[-1]["error"] for row in rows if row[5] == "None"}
    print(f"{args.steps} steps; errors relative to None's, C = {args.C:g}\n")
    for each, own in itertools.product(rows, ("", "_own")):
        each[-1][f"above{own}"] = each[-1][f"error{own}"] / none[cell(each)] - 1
    names = ("above", "above_own", *COLUMNS)
    head = ["database", "size", *args.grid, "rule", *names]
    print(*table(head, [[*row[:6], *(row[-1][name] for name in names)] for row in rows]), sep="\n")
    print(f"Worst cells, and cells with an error more than {MOST_ERROR:.0%} above None's or an ")
    print(f"entropy under {LEAST_ENTROPY}:\n")
    head = ["rule", "cells", "most error", "own", "least entropy", "own", "failing", "own"]
    print(*table(head, [summary(rule, rows) for rule in args.rules]), sep="\n")


def measure_cells(database, size, args):
    """[database, size, eta, eta_homeo, batch_size, rule, {name: value}] of each learning; None has
    no rate, and learns once for all eta_homeo.
    """
    opts = dict(zip(("patch_width", "n_dictionary", "l0_sparseness"), SIZES[size], strict=True))
    opts |= {"name_database": database, "datapath": args.datapath, "cache_dir": args.cache_dir}
    opts |= {"N_patches": 16384, "n_iter": args.steps, "record_each": args.steps, "C": args.C}
    opts |= {"record_num_batches": N_HELD_OUT, "one_over_F": False}
    fresh = SHL(**{**opts, "seed": FRESH_SEED, "N_patches": N_FRESH}).get_data()
    rates = args.grid["eta_homeo"]
    for rules, eta_homeo in ((["None"], rates[:1]), (args.rules, rates)):
        values = {**args.grid, "eta_homeo": eta_homeo, "homeo_method": rules}
        experiments = SHL_set(opts, tag="homeostasis", values=values)
        for record in experiments.run(list(values), n_jobs=args.n_jobs, grid=True):
            params = [record["params"][name] for name in values]
            yield [database, size, *params, evaluate(experiments.learned(record), fresh)]


def cell(row):
    """What plain pursuit learns from: all but the rate of homeostasis and the rule."""
    database, size, eta, _, batch_size = row[:5]
    return database, size, eta, batch_size


def summary(rule, rows):
    """The worst of a rule's cells, and how many fail."""
    found = [row[-1] for row in rows if row[5] == rule]
    errors, entropies = (
        [[each[f"{name}{own}"] for each in found] for own in ("", "_own")]
        for name in ("above", "entropy")
    )
    failing = [
        sum(e > MOST_ERROR or h < LEAST_ENTROPY for e, h in zip(*pair, strict=True))
        for pair in zip(errors, entropies, strict=True)
    ]
    return [rule, len(found), *map(max, errors), *map(min, entropies), *failing]


ASKED = {"action": "store_true"}
PARTS = {
    "coding": (run_coding, {"no-growth": {**ASKED, "help": "leave the growth out"}}),
    "speed": (run_speed, {"no-large": {**ASKED, "help": "leave the large dictionary out"}}),
    "inpainting": (
        run_inpainting,
        {
            "share": {"type": float, "default": 0.5, "help": "of the pixels that are missing"},
            "side": {"type": int, "default": 256, "help": "pixels of the photograph"},
            "n-iter": {"type": int, "default": 1000, "help": "steps of learning"},
        },
    ),
    "homeostasis": (
        run_homeostasis,
        {
            "steps": {"type": int, "default": 300, "help": "of each learning (default 300)"},
            "quick": {**ASKED, "help": "4 cells of the small size alone"},
            "size": {"nargs": "+", "choices": SIZES, "default": list(SIZES)},
            "rules": {"nargs": "+", "default": list(RULES), "help": "beside None"},
            "database": {"nargs": "+", "default": ["sample", "dead_leaves"]},
            "cache-dir": {"default": "cache_dir"},
            "C": {"type": float, "default": 0.0, "help": "the scale (default 0, adapts)"},
            "n-jobs": {"type": int, "default": 1, "help": "learnings at a time (default 1)"},
            **{
                name.replace("_", "-"): {"nargs": "+", "type": type(values[0])}
                for name, values in GRID.items()
            },
        },
    ),
}

if __name__ == "__main__":
    run_part(__doc__, PARTS)
