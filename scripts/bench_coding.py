"""Coding against its floor, the product X D^T, and against other packages; growth with every size.

4096 natural patches of 441 pixels in float32, 676 learned atoms, 21 events.  Contestants take turns
in one process, on one thread and on all.  SPAMS' "OMP" is order-recursive pursuit, so time and
residual are compared, not codes.  What was tried for these times: docs/performance.md.
"""

import numpy as np
from rounds import SIZE, alternate, clock_of, exponent, find_peer, parse, patches, report, row
from threadpoolctl import threadpool_limits

from shl import SparseHebbianLearning, sparse_encode
from shl._base.threads import Threads
from shl.coding.parameters import Coding
from shl.coding.preparing import prepare

L0 = SIZE["l0_sparseness"]
SLOW_ROUNDS = 3  # of a peer that takes many seconds


def learned(X, rule, n_jobs):
    """A dictionary of the study's size after a short learning."""
    return SparseHebbianLearning(
        SIZE["n_dictionary"],
        l0_sparseness=L0,
        learning_algorithm="mp",
        n_iter=400,
        homeo_method=rule,
        homeo_fade=None,
        batch_size=256,
        random_state=0,
        n_jobs=n_jobs,
    ).fit(X)


def measure_ours(X, plain, fair, n_jobs, args):
    """Rows of our own coders on some threads."""
    D, threads = plain.components_, "1 thread" if n_jobs == 1 else f"{n_jobs} threads"
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
    if args.n_jobs > 1:
        times = alternate(
            {
                n: lambda n=n: sparse_encode(X, D, l0_sparseness=L0, sparse_output=True, n_jobs=n)
                for n in (args.n_jobs, 1)
            },
            args.rounds,
        )
        yield row(f"mp, {args.n_jobs} threads", times[args.n_jobs], times[1], "1 thread", 0.6)


def omp_of(X, D, args):
    """Our orthogonal pursuit, as a contestant."""
    options = {"algorithm": "omp", "l0_sparseness": L0, "sparse_output": True}
    return lambda: sparse_encode(X, D, n_jobs=args.n_jobs, **options)


def measure_spams(X, D, args):
    """A row of omp against SPAMS."""
    if (spams := find_peer("spams")) is None:
        return
    signals, atoms = np.asfortranarray(X.T), np.asfortranarray(D.T)

    def theirs():
        return spams.omp(signals, D=atoms, L=L0, eps=0.0, numThreads=args.n_jobs)

    ours = omp_of(X, D, args)
    times = alternate({"ours": ours, "theirs": theirs}, args.rounds, clock_of(args))
    for name, code in (("ours", ours()), ("spams", theirs().T)):
        print(f"residual of omp, {name}: {np.linalg.norm(X - code @ D) / np.linalg.norm(X):.4f}")
    yield row("omp against spams.omp", times["ours"], times["theirs"], "spams", 0.35)


def measure_peers(X, D, args):
    """Rows of omp against packages that take many seconds."""
    ours = omp_of(X, D, args)
    from sklearn.decomposition import SparseCoder

    coder = SparseCoder(D, transform_algorithm="omp", transform_n_nonzero_coefs=L0, n_jobs=1)
    times = alternate(
        {"ours": ours, "theirs": lambda: coder.transform(X)}, SLOW_ROUNDS, clock_of(args)
    )
    yield row(
        "omp against scikit-learn's SparseCoder",
        times["ours"],
        times["theirs"],
        "SparseCoder",
        1 / 50,
    )
    if (dictlearn := find_peer("dictlearn")) is not None:
        signals, atoms = X.astype(np.float64), D.astype(np.float64)
        times = alternate(
            {
                "ours": ours,
                "theirs": lambda: dictlearn.sparse_encode(
                    signals, atoms, algorithm="batch_omp", n_nonzero_coefs=L0
                ),
            },
            SLOW_ROUNDS,
            clock_of(args),
        )
        yield row("omp against dictlearn", times["ours"], times["theirs"], "dictlearn", 1 / 10)


GROWTH = {
    "n_samples": (1024, 2048, 4096, 8192),
    "n_dictionary": (256, 512, 1024, 2048),
    "n_pixels": (100, 196, 400, 784),
    "l0_sparseness": (10, 20, 40, 80),
}


def measure_growth(args):
    """{size: (values, seconds of mp)} with one size varied at a time."""
    rng, growth = np.random.default_rng(0), {}
    for name, values in GROWTH.items():
        contestants = {}
        for value in values:
            size = {**SIZE, name: value}
            X = rng.standard_normal((size["n_samples"], size["n_pixels"]), np.float32)
            D = rng.standard_normal((size["n_dictionary"], size["n_pixels"]), np.float32)
            D /= np.linalg.norm(D, axis=1, keepdims=True)

            def code(X=X, D=D, l0=size["l0_sparseness"]):
                sparse_encode(X, D, l0_sparseness=l0, sparse_output=True, n_jobs=args.n_jobs)

            contestants[value] = code
        growth[name] = values, list(alternate(contestants, args.rounds).values())
        print(f"time ~ {name}^{exponent(*growth[name]):.2f}")
    return growth


def draw(growth, fname):
    """Time against each size, on logarithmic axes."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(10, 2.8), layout="constrained")
    for ax, (name, (sizes, seconds)) in zip(
        fig.subplots(1, 4, sharey=True), growth.items(), strict=True
    ):
        ax.loglog(sizes, 1000 * np.array(seconds), "o-")
        ax.set(
            xlabel=name,
            title=f"exponent {exponent(sizes, seconds):.2f}",
            xticks=sizes,
            xticklabels=sizes,
            yticks=(5, 10, 20, 50, 100),
            yticklabels=(5, 10, 20, 50, 100),
        )
        ax.minorticks_off()
    fig.axes[0].set_ylabel("milliseconds")
    fig.savefig(fname, dpi=150)
    print(f"wrote {fname}")


def main():
    """Print the table and the growth."""
    parser = parse(__doc__)
    parser.add_argument("--no-growth", action="store_true", help="leave the growth out")
    args = parser.parse_args()
    X = patches(args)
    plain, fair = (learned(X, rule, args.n_jobs) for rule in ("HAP", "HEH"))
    X = X[: SIZE["n_samples"]]
    rows = []
    for n_jobs in sorted({1, args.n_jobs}):
        rows += measure_ours(X, plain, fair, n_jobs, args)
    rows += measure_threads(X, plain.components_, args)
    if not args.no_peers:
        rows += measure_spams(X, plain.components_, args)
        rows += measure_peers(X, plain.components_, args)
    report(rows, args)
    if not args.no_growth:
        growth = measure_growth(args)
        if args.plot:
            draw(growth, args.plot)


if __name__ == "__main__":
    main()
