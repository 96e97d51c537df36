"""A learning step against the product X D^T, and what records cost.

Steps on 4096 and on 256 natural patches of 441 pixels in float32, 676 atoms, 21 events, by matching
pursuit at a rate that stays, nothing replaced; and one with fewer samples than atoms, of noise.
--large learns 16,384 atoms of 768 pixels and tells samples a second and memory.  What was tried for
these times: docs/performance.md.
"""

import time

import numpy as np
from rounds import SIZE, alternate, clock_of, parse, patches, peak, report, row
from threadpoolctl import threadpool_limits

from shl import SparseHebbianLearning, learning
from shl._threads import Threads
from shl.coding import Coding

L0, N = SIZE["l0_sparseness"], SIZE["n_dictionary"]


def stepper(X, rule, batch_size, args, n_dictionary=N, l0_sparseness=L0, warm_up=100):
    """A function that takes one learning step, after enough of them that homeostasis has
    settled.
    """
    model = SparseHebbianLearning(
        n_dictionary,
        learning_algorithm="mp",
        l0_sparseness=l0_sparseness,
        alpha_MP=0.95,
        homeo_method=rule,
        homeo_fade=None,
        eta=0.02,
        eta_decay=None,
        replace=False,
        batch_size=batch_size,
    )
    plan = model.plan(X.shape, X.dtype)
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((n_dictionary, X.shape[1]), np.float32)
    state = learning.start(atoms, plan, seed=0)
    batches = learning.Batches(len(X), batch_size, 0)
    with Threads(args.n_jobs) as threads:
        learning.learn(X, batches.steps(0, warm_up), state, plan, threads)

    def step():
        with Threads(args.n_jobs) as threads:
            learning.learn(X, [batches(state.step)], state, plan, threads)

    return step


def prepare(D, args):
    """What a step does once, whatever the batch: above all the Gram matrix."""
    with Threads(args.n_jobs) as threads:
        Coding(l0_sparseness=L0).prepare(D, threads=threads)


def measure_steps(X, args):
    """Rows of one learning step."""
    D = np.random.default_rng(0).standard_normal((N, X.shape[1]), np.float32)
    for batch_size, most in ((4096, (3.5, 2.0)), (256, (None, None))):
        batch = X[:batch_size]
        steps = {rule: stepper(X, rule, batch_size, args) for rule in ("HAP", "HEH")}
        times = alternate(
            {"product": lambda batch=batch: batch @ D.T, "gram": lambda: prepare(D, args), **steps},
            args.rounds,
            clock_of(args),
        )
        unit, rest = times["product"], times["HAP"] - times["gram"]
        yield row(f"step of {batch_size}, HAP", times["HAP"], unit, "product", most[0])
        yield row(f"step of {batch_size}, HAP, but for the Gram matrix", rest, unit, "product", 2.2)
        yield row(f"step of {batch_size}, HEH", times["HEH"], times["HAP"], "HAP's", most[1])


def measure_few_samples(args):
    """Rows of a step with fewer samples than atoms."""
    rng = np.random.default_rng(0)
    X, D = (rng.standard_normal((n, 512), np.float32) for n in (2048, 4096))
    step = stepper(X, "HAP", 1024, args, len(D), 32, warm_up=2)
    times = alternate(
        {"product": lambda: X[:1024] @ D.T, "gram": lambda: prepare(D, args), "step": step},
        max(3, args.rounds // 3),
        clock_of(args),
    )
    unit = times["product"]
    yield row("step of 1024, 4096 atoms, HAP", times["step"], unit, "product", 5)
    yield row("its Gram matrix", times["gram"], unit, "product", None)


def measure_large(args, batch_size=4096, n_steps=3):
    """Print how fast 16,384 atoms are learned, and the most memory that took."""
    X = np.random.default_rng(0).standard_normal((2 * batch_size, 768), np.float32)
    step = stepper(X, "HAP", batch_size, args, 16384, 32, warm_up=1)
    seconds = []
    for _ in range(n_steps):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    print(
        f"16,384 atoms of 768 pixels, batches of {batch_size}, 32 events, {args.n_jobs} threads: "
        f"{batch_size / min(seconds):.0f} samples a second (at least 2000), steps of "
        f"{', '.join(f'{s:.2f}' for s in seconds)} s; {peak() / 1e9:.2f} GB (at most 2.5)"
    )


def measure_records(X, args):
    """A row of `fit` with records every 32 steps on 1024 patches against none."""

    def fit(record_each):
        SparseHebbianLearning(
            N,
            l0_sparseness=L0,
            n_iter=128,
            batch_size=1024,
            record_each=record_each,
            random_state=0,
            n_jobs=args.n_jobs,
        ).fit(X)

    times = alternate(
        {"none": lambda: fit(0), "records": lambda: fit(32)}, max(3, args.rounds // 2)
    )
    yield row("fit with records every 32 steps", times["records"], times["none"], "without", 1.15)


def main():
    """Print the table, or how the large dictionary does."""
    parser = parse(__doc__)
    parser.add_argument("--large", action="store_true", help="the large dictionary alone")
    args = parser.parse_args()
    if args.large:
        measure_large(args)
        return
    X = patches(args, 65536)
    with threadpool_limits(args.n_jobs):  # of the products
        steps = [*measure_steps(X[4096:], args), *measure_few_samples(args)]
    report([*steps, *measure_records(X, args)], args)


if __name__ == "__main__":
    main()
