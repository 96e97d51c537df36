"""A learning step against the product X D^T, and what records cost.

Steps on 4096 and on 256 natural patches of 441 pixels in float32, 676 atoms, 21 events, by matching
pursuit at a rate that stays, nothing replaced; and one with fewer samples than atoms, of noise.
--large learns 16,384 atoms of 768 pixels and tells samples a second and memory.  Steps are timed
several in a row, as `fit` takes them: one writes over the Gram matrix of the last.  What was tried
for these times: docs/performance.md.
"""

import time

import numpy as np
from rounds import SIZE, alternate, clock_of, parse, patches, peak, report, row
from threadpoolctl import threadpool_limits

from shl import SparseHebbianLearning
from shl._base.threads import Threads
from shl.coding.parameters import Coding
from shl.learning import loop
from shl.learning.state import start_state

L0, N = SIZE["l0_sparseness"], SIZE["n_dictionary"]


FEW = {"n_dictionary": 4096, "l0_sparseness": 32}  # of a step with fewer samples than atoms
AT_ONCE = 10  # steps of 256: of them one may replace an atom
ALL_STEPS = 2000  # of which those that are timed lie where atoms are replaced


def stepper(
    X, batch_size, args, n_dictionary=N, l0_sparseness=L0, warm_up=120, at_once=1, **options
):
    """A function that takes some learning steps, after enough of them that homeostasis has
    settled.
    """
    model = SparseHebbianLearning(
        n_dictionary,
        learning_algorithm="mp",
        l0_sparseness=l0_sparseness,
        alpha_MP=0.95,
        homeo_fade=None,
        eta=0.02,
        batch_size=batch_size,
        **{"homeo_method": "HAP", "eta_decay": None, "replace": False} | options,
    )
    plan = model.plan(X.shape, X.dtype, ALL_STEPS)
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((n_dictionary, X.shape[1]), np.float32)
    state = start_state(atoms, plan, seed=0)
    batches = loop.Batches(len(X), batch_size, 0)

    def advance(n_steps):
        with Threads(args.n_jobs) as threads:
            rows = batches.steps(state.step, state.step + n_steps)
            loop.learn(X, rows, state, plan, threads)

    advance(warm_up)
    return lambda: advance(at_once)


def preparer(D, args):
    """A function that does what a step does once, whatever the batch: above all the Gram matrix."""
    former = None

    def prepare():
        nonlocal former
        with Threads(args.n_jobs) as threads:
            former = prepare(Coding(l0_sparseness=L0), D, threads=threads, former=former)

    return prepare


def measure_step(X, batch_size, args, most, at_once=1):
    """Rows of one learning step of so many samples."""
    D, batch = np.random.default_rng(0).standard_normal((N, X.shape[1]), np.float32), X[:batch_size]
    rules = ("HAP", "HEH")
    steps = {
        rule: stepper(X, batch_size, args, at_once=at_once, homeo_method=rule) for rule in rules
    }
    unlike = {"product": lambda: batch @ D.T, "gram": preparer(D, args)}
    times = alternate({**unlike, **steps}, args.rounds, clock_of(args))
    unit, (ours, fair) = times["product"], (times[rule].over(at_once) for rule in rules)
    name = f"step of {batch_size}, {threads_of(args)}"
    yield row(f"{name}, HAP", ours, unit, "product", most.get("HAP"))
    yield row(f"its Gram matrix, {threads_of(args)}", times["gram"], unit, "product", None)
    rest = ours - times["gram"]
    yield row(f"{name}, HAP, but for it", rest, unit, "product", most.get("but for it"))
    yield row(f"{name}, HEH", fair, ours, "HAP's", most.get("HEH"))


def measure_changes(X, args):
    """A row of replacement and a rate that decays, in steps of 256."""
    changes = {"without": {}, "with": {"replace": True, "eta_decay": (0.6, 0.05)}}
    steps = {
        name: stepper(X, 256, args, at_once=AT_ONCE, **options) for name, options in changes.items()
    }
    times = alternate(steps, args.rounds, clock_of(args))
    ours, plain = (times[name].over(AT_ONCE) for name in ("with", "without"))
    name = f"step of 256, {threads_of(args)}, replacement and decay"
    yield row(name, ours, plain, "without", 1.08)


def measure_few_samples(args, at_once=2):
    """Rows of a step with fewer samples than atoms."""
    rng = np.random.default_rng(0)
    X, D = (rng.standard_normal((n, 512), np.float32) for n in (2048, FEW["n_dictionary"]))
    step = stepper(X, 1024, args, **FEW, warm_up=2, at_once=at_once)
    times = alternate(
        {"product": lambda: X[:1024] @ D.T, "gram": preparer(D, args), "step": step},
        max(3, args.rounds // 3),
        clock_of(args),
    )
    unit, ours = times["product"], times["step"].over(at_once)
    yield row(f"step of 1024, 4096 atoms, {threads_of(args)}, HAP", ours, unit, "product", 5)
    yield row(f"its Gram matrix, {threads_of(args)}", times["gram"], unit, "product", None)


def threads_of(args):
    """How many threads, in words."""
    return "1 thread" if args.n_jobs == 1 else f"{args.n_jobs} threads"


def measure_large(args, batch_size=4096, n_steps=3):
    """Print how fast 16,384 atoms are learned, and the most memory that took."""
    X = np.random.default_rng(0).standard_normal((2 * batch_size, 768), np.float32)
    step = stepper(X, batch_size, args, 16384, 32, warm_up=1, at_once=2)
    seconds = []
    for _ in range(n_steps):
        began = time.perf_counter()
        step()
        seconds.append((time.perf_counter() - began) / 2)
    print(
        f"16,384 atoms of 768 pixels, batches of {batch_size}, 32 events, {threads_of(args)}: "
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
    rows = []
    with threadpool_limits(args.n_jobs):  # of the products
        rows += measure_step(X[4096:], 4096, args, {"HAP": 3.5, "HEH": 2.0})
        rows += measure_step(X[4096:], 256, args, {"but for it": 2.2}, AT_ONCE)
        rows += measure_changes(X[4096:], args)
        rows += measure_few_samples(args)
    report([*rows, *measure_records(X, args)], args)


if __name__ == "__main__":
    main()
