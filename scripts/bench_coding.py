"""Coding: against its floor, the product X D^T, and other packages; what is promised of speed;
and photographs with missing pixels.

    python scripts/bench_coding.py speed
    python scripts/bench_coding.py coding              # growth, threads, slow packages, records
    python scripts/bench_coding.py inpainting

Contestants take turns in one process, on one thread and on all.  SPAMS' "OMP" is order-recursive
pursuit, so time and residual are compared, not codes.  What was tried for these times:
docs/performance.md.
"""

from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
from bench_learning import (
    AT_ONCE,
    measure_changes,
    measure_few_samples,
    measure_records,
    measure_step,
)
from rounds import (
    ASKED,
    SIZE,
    alternate,
    clock_of,
    exponent,
    find_peer,
    output_of,
    patches,
    report,
    row,
    run,
    words,
)
from sklearn.datasets import load_sample_image
from sklearn.decomposition import SparseCoder
from threadpoolctl import threadpool_limits

from shl import SparseHebbianLearning, sparse_encode
from shl._base.threads import Threads
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


def fit_rules(X, args):
    """Models of the rules whose codes are timed."""
    options = {"l0_sparseness": L0, "learning_algorithm": "mp", "n_iter": 400, "homeo_fade": None}
    options |= {"batch_size": 256, "random_state": 0, "n_jobs": args.n_jobs}
    make = partial(SparseHebbianLearning, SIZE["n_dictionary"], **options)
    return [make(homeo_method=rule).fit(X) for rule in ("HAP", "HEH")]


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
    yield row(f"product X D^T, {threads}", product, product, "product")
    yield row(f"mp, a gain, events, {threads}", times["events"], product, "product", 1.7)
    yield row(f"mp, a gain, CSR, {threads}", times["csr"], product, "product", 1.7)
    yield row(f"mp, HEH table, dense, {threads}", times["table"], times["gain"], "gain, dense", 1.7)
    yield row(f"omp, CSR, {threads}", times["omp"], product, "product")


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
    if args.no_peers or (spams := find_peer("spams")) is None:
        return
    signals, atoms = np.asfortranarray(X.T), np.asfortranarray(D.T)
    theirs = partial(spams.omp, signals, D=atoms, L=L0, eps=0.0, numThreads=args.n_jobs)
    ours = sparse_encode(X, D, algorithm="omp", l0_sparseness=L0, sparse_output=True)
    for name, code in (("ours", ours), ("spams", theirs().T)):
        print(f"residual of omp, {name}: {np.linalg.norm(X - code @ D) / np.linalg.norm(X):.4f}")
    yield measure_peer(X, D, args, "spams.omp", theirs, 0.35, args.rounds)


def measure_slow_peers(X, D, args):
    """Rows of omp against packages that take many seconds."""
    if args.no_peers:
        return
    coder = SparseCoder(D, transform_algorithm="omp", transform_n_nonzero_coefs=L0, n_jobs=1)
    theirs = partial(coder.transform, X)
    yield measure_peer(X, D, args, "scikit-learn's SparseCoder", theirs, 1 / 50)
    if (dictlearn := find_peer("dictlearn")) is not None:
        options = {"algorithm": "batch_omp", "n_nonzero_coefs": L0}
        arrays = X.astype(np.float64), D.astype(np.float64)
        theirs = partial(dictlearn.sparse_encode, *arrays, **options)
        yield measure_peer(X, D, args, "dictlearn", theirs, 1 / 10)


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
    """Growth with sizes; threads, slow packages, and records, of patches as `speed` codes them."""
    growth = measure_growth(args)
    if args.plot:
        draw(growth, args.plot)
    X = patches(args)
    D, X_coded = fit_rules(X, args)[0].components_, X[: SIZE["n_samples"]]
    rows = [*measure_threads(X_coded, D, args), *measure_slow_peers(X_coded, D, args)]
    report([*rows, *measure_records(X, args)], args)


def run_speed(args):
    """What is promised of speed, in one run: coding, learning steps, and the large dictionary.

    4096 natural patches of 441 pixels in float32, 676 atoms, 21 non-zeros.
    """
    X, rows = patches(args, 32768), []
    plain, fair = fit_rules(X[:8192], args)
    coded = X[: SIZE["n_samples"]]
    for n_jobs in sorted({1, args.n_jobs}):
        rows += measure_ours(coded, plain, fair, n_jobs, args)
    rows += measure_spams(coded, plain.components_, args)
    alone = Namespace(**{**vars(args), "n_jobs": 1})
    with threadpool_limits(1):  # of the products
        rows += measure_step(X, 256, alone, {"but for it": 2.2}, AT_ONCE)
        rows += measure_changes(X, alone)
    with threadpool_limits(args.n_jobs):
        rows += measure_step(X, 4096, args, {"HAP": 3.5, "HEH": 2.0})
        rows += measure_few_samples(args)
    report(rows, args)
    if not args.no_large:  # in a process of its own, for its memory
        script = Path(__file__).with_name("bench_learning.py")
        print("\n" + output_of(script, "large", f"--n-jobs={args.n_jobs}"), end="")


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
    report([row(work, seconds["ours"], seconds[name], name) for name in names], args)


PARTS = {
    "coding": (run_coding, {"plot": {"metavar": "FILE", "help": "write a picture of the growth"}}),
    "speed": (run_speed, {"no-large": {**ASKED, "help": "leave the large dictionary out"}}),
    "inpainting": (
        run_inpainting,
        {
            "share": {"type": float, "default": 0.5, "help": "of the pixels that are missing"},
            "side": {"type": int, "default": 256, "help": "pixels of the photograph"},
            "n-iter": {"type": int, "default": 1000, "help": "steps of learning"},
        },
    ),
}

if __name__ == "__main__":
    run(__doc__, PARTS)
