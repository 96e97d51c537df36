"""A learning step against the product X D^T, what records cost, and learning against other
packages.

A step on 4096 and on 256 natural patches of 441 pixels in float32, 676 atoms, 21 events.  With
--race S, all packages learn from the same patches for S seconds each, and code the same held-out
patches with 21 events: by rectified matching pursuit and by signed omp, ours for every dictionary.

What did not work: Adam over ranges of atoms on threads (handing out a range costs more than it
saves), the dense code and two matrix products for the gradient (twice a product), chunks of 32 rows
(BLAS packs D for each of them).
"""

import time

import numpy as np
from rounds import SIZE, alternate, find_peer, parse, patches, report, row

from shl import SparseHebbianLearning, learning, sparse_encode
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


# ----------------------------------------------------------------------------------------- the race


def ours(rule):
    """Our learning: batches of 1024, one step each, at a rate that suits the time there is."""

    def start(X, args):
        model = SparseHebbianLearning(
            N,
            l0_sparseness=L0,
            homeo_method=rule,
            alpha_MP=0.95,
            batch_size=1024,
            eta=0.005,
            random_state=0,
            n_jobs=args.n_jobs,
        )
        return lambda batch: model.partial_fit(batch).components_

    return start, 4 * 1024


def scikit_learn():
    """MiniBatchDictionaryLearning with its defaults."""

    def start(X, args):
        from sklearn.decomposition import MiniBatchDictionaryLearning

        model = MiniBatchDictionaryLearning(N, batch_size=256, random_state=0, n_jobs=args.n_jobs)
        return lambda batch: model.partial_fit(batch).components_

    return start, 256


def dictlearn():
    """The online learning of dictlearn with the same sparseness."""

    def start(X, args):
        import dictlearn

        model = dictlearn.MiniBatchDictionaryLearning(
            N, n_nonzero_coefs=L0, batch_size=256, random_state=0
        )
        return lambda batch: model.partial_fit(batch.astype(float)).components_

    return start, 256


def learn_until(start, size, X, marks, args):
    """{seconds: dictionary} of a learner that is given batch after batch."""
    rng, step, found, began = np.random.default_rng(0), start(X, args), {}, time.perf_counter()
    for mark in marks:
        while time.perf_counter() - began < mark:
            dictionary = step(X[rng.choice(len(X), size, replace=False)])
        found[mark] = np.ascontiguousarray(dictionary, np.float32).copy()
    return found


def learn_with_spams(X, marks, args):
    """{seconds: dictionary} of spams.trainDL, started anew for each time."""
    import spams

    signals = np.asfortranarray(X.T)
    return {
        mark: np.ascontiguousarray(
            spams.trainDL(
                signals,
                K=N,
                mode=3,
                lambda1=L0,
                iter=-int(mark),
                batchsize=256,
                numThreads=args.n_jobs,
                verbose=False,
            ).T
        )
        for mark in marks
    }


def evaluate(dictionary, X, args):
    """Held-out error by rectified mp and signed omp, atoms unused, and relative entropy of usage
    (both mp).
    """
    dictionary = dictionary / np.maximum(np.linalg.norm(dictionary, axis=1, keepdims=True), 1e-12)
    alive = np.linalg.norm(dictionary, axis=1) > 0.5
    errors, options = [], {"l0_sparseness": L0, "n_jobs": args.n_jobs}
    for algorithm in ("mp", "omp"):
        code = sparse_encode(X, dictionary[alive], algorithm=algorithm, **options)
        errors.append(np.linalg.norm(X - code @ dictionary[alive]) / np.linalg.norm(X))
        if algorithm == "mp":
            share = np.sort((code != 0).sum(axis=0) / (code != 0).sum())
    used = share[share > 0]
    return {
        "mp": errors[0],
        "omp": errors[1],
        "dead": N - len(used),
        "entropy": -(used * np.log(used)).sum() / np.log(N),
    }


def race(X, held_out, args):
    """Lines of a table: each package after each time."""
    learners = {
        "shl, HAP": lambda: learn_until(*ours("HAP"), X, args.race, args),
        "scikit-learn": lambda: learn_until(*scikit_learn(), X, args.race, args),
    }
    if find_peer("dictlearn"):
        learners["dictlearn"] = lambda: learn_until(*dictlearn(), X, args.race, args)
    if find_peer("spams"):
        learners["spams.trainDL"] = lambda: learn_with_spams(X, args.race, args)
    print(
        "| package | seconds | error, mp | error, omp | unused atoms | entropy "
        "|\n|---|---|---|---|---|---|"
    )
    for name, run in learners.items():
        for mark, dictionary in run().items():
            result = evaluate(dictionary, held_out, args)
            print(
                f"| {name} | {mark:g} | {result['mp']:.4f} | {result['omp']:.4f} | "
                f"{result['dead']} | "
                f"{result['entropy']:.4f} |",
                flush=True,
            )


def main():
    """Print the table, and the race if asked."""
    parser = parse(__doc__)
    parser.add_argument(
        "--race", type=float, nargs="*", default=[], metavar="S", help="seconds, e.g. 10 30 60"
    )
    args = parser.parse_args()
    X = patches(args, 65536)
    report([*measure_steps(X[4096:], args), *measure_records(X, args)], args)
    if args.race:
        race(X[4096:], X[:4096], args)


if __name__ == "__main__":
    main()
