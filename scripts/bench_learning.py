"""A learning step against the product X D^T, and what records cost.

A step on 4096 and on 256 natural patches of 441 pixels in float32, 676 atoms, 21 events.

What did not work: Adam over ranges of atoms on threads (handing out a range costs more than it
saves), the dense code and two matrix products for the gradient (twice a product), chunks of 32 rows
(BLAS packs D for each of them).
"""

import numpy as np
from rounds import SIZE, alternate, parse, patches, report, row

from shl import SparseHebbianLearning, learning
from shl._threads import Threads

L0, N = SIZE["l0_sparseness"], SIZE["n_dictionary"]


def stepper(X, rule, batch_size, n_jobs):
    """A function that takes one learning step, after enough of them that homeostasis has
    settled.
    """
    model = SparseHebbianLearning(
        N, l0_sparseness=L0, alpha_MP=0.95, homeo_method=rule, batch_size=batch_size
    )
    plan = model.plan(X.shape, X.dtype)
    start = np.random.default_rng(0).standard_normal((N, X.shape[1])).astype(np.float32)
    state = learning.start(start, plan, seed=0)
    batches = learning.Batches(len(X), batch_size, 0)
    with Threads(n_jobs) as threads:
        learning.learn(X, batches.steps(0, 300), state, plan, threads)

    def step():
        with Threads(n_jobs) as threads:
            learning.learn(X, [batches(state.step)], state, plan, threads)

    return step


def measure_steps(X, args):
    """Rows of one learning step."""
    D = np.random.default_rng(0).standard_normal((N, X.shape[1])).astype(np.float32)
    for batch_size, most in ((4096, (3.5, 2.0)), (256, (None, None))):
        batch = X[:batch_size]
        steps = {rule: stepper(X, rule, batch_size, args.n_jobs) for rule in ("HAP", "HEH")}
        times = alternate({"product": lambda batch=batch: batch @ D.T, **steps}, args.rounds)
        yield row(f"step of {batch_size}, HAP", times["HAP"], times["product"], "product", most[0])
        yield row(f"step of {batch_size}, HEH", times["HEH"], times["HAP"], "HAP's", most[1])


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
    """Print the table."""
    args = parse(__doc__).parse_args()
    X = patches(args, 65536)
    report([*measure_steps(X[4096:], args), *measure_records(X, args)], args)


if __name__ == "__main__":
    main()
