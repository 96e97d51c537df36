"""Learning for the same time by several packages, each as it comes, on four kinds of data.

Every package learns for so many seconds from the same training samples, started anew for each time,
on as many threads as --n-jobs says; of its parameters it is given the sizes alone (atoms, active
atoms where it takes them, threads) and how long to learn: ours the steps that fit into the time,
scikit-learn and dictlearn batch after batch, SPAMS its seconds.  Held-out samples are then coded
with every dictionary by our rectified matching pursuit and signed orthogonal pursuit.
"""

import time
import warnings

import numpy as np
from bench_data import digits, spikes, zipf
from rounds import find_peer, parse, patches

from shl import SparseHebbianLearning, sparse_encode

PROBE = 40  # steps from which the time of a step is estimated


def ours(X, n_atoms, n_active, seconds, args):
    """Our estimator as it comes, with as many steps as fit into the time."""
    options = {"l0_sparseness": n_active, "random_state": 0, "n_jobs": args.n_jobs}

    def learn(n_iter):
        began = time.perf_counter()
        model = SparseHebbianLearning(n_atoms, n_iter=n_iter, **options).fit(X)
        return model.components_, time.perf_counter() - began

    _, probe = learn(PROBE)
    dictionary, took = learn(max(PROBE, int(0.95 * PROBE * (seconds - probe) / probe)))
    return dictionary, took + probe


def until(seconds, step, X, batch_size):
    """Batch after batch until the time is over."""
    rng, began = np.random.default_rng(0), time.perf_counter()
    while time.perf_counter() - began < seconds:
        dictionary = step(X[rng.choice(len(X), min(batch_size, len(X)), replace=False)])
    return dictionary, time.perf_counter() - began


def scikit_learn(X, n_atoms, n_active, seconds, args):
    """MiniBatchDictionaryLearning as it comes."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    model = MiniBatchDictionaryLearning(n_atoms, random_state=0, n_jobs=args.n_jobs)
    return until(seconds, lambda batch: model.partial_fit(batch).components_, X, 256)


def dictlearn(X, n_atoms, n_active, seconds, args):
    """MiniBatchDictionaryLearning of dictlearn as it comes."""
    import dictlearn

    model = dictlearn.MiniBatchDictionaryLearning(n_atoms, n_nonzero_coefs=n_active, random_state=0)
    return until(seconds, lambda batch: model.partial_fit(batch.astype(float)).components_, X, 256)


def spams(X, n_atoms, n_active, seconds, args):
    """spams.trainDL with at most n_active atoms a sample (mode 3)."""
    import spams

    began = time.perf_counter()
    dictionary = spams.trainDL(
        np.asfortranarray(X.T),
        K=n_atoms,
        mode=3,
        lambda1=n_active,
        iter=-int(seconds),
        numThreads=args.n_jobs,
        verbose=False,
    ).T
    return dictionary, time.perf_counter() - began


def evaluate(dictionary, X, n_active):
    """Held-out errors by rectified mp and signed omp."""
    norms = np.linalg.norm(dictionary, axis=1, keepdims=True)
    D = (dictionary / np.maximum(norms, 1e-12))[norms[:, 0] > 1e-9].astype(X.dtype)
    for algorithm in ("mp", "omp"):
        code = sparse_encode(X, D, algorithm=algorithm, l0_sparseness=n_active)
        yield np.linalg.norm(X - code @ D) / np.linalg.norm(X)


def worlds(args):
    """{name: (X, atoms, active atoms)}."""
    rng = np.random.default_rng(0)
    made = {"photographs": (patches(args, 65536), 676, 21)}
    made |= {maker.__name__: maker(rng)[:3] for maker in (digits, zipf, spikes)}
    return {name: made[name] for name in args.worlds or made}


def main():
    """Print a table for each kind of data."""
    parser = parse(__doc__)
    add = parser.add_argument
    add("--seconds", type=float, nargs="+", default=[5, 10, 30, 60], metavar="S")
    add("--worlds", nargs="+", metavar="NAME", help="photographs, digits, zipf, spikes (all)")
    args = parser.parse_args()
    learners = {"shl": ours, "scikit-learn": scikit_learn}
    learners |= {
        name: peer
        for name, peer in (("dictlearn", dictlearn), ("spams", spams))
        if find_peer(name) is not None
    }
    for world, (X, n_atoms, n_active) in worlds(args).items():
        X = np.asarray(X, np.float32)[np.random.default_rng(1).permutation(len(X))]
        n_test = min(4096, len(X) // 5)
        shape = f"{len(X) - n_test} samples of {X.shape[1]}"
        head = f"{world}: {shape}, {n_atoms} atoms, {n_active} active"
        print(f"\n| {head} | " + " | ".join(f"{s:g} s: mp, omp" for s in args.seconds) + " |")
        print("|---" * (1 + len(args.seconds)) + "|")
        for name, learn in learners.items():
            cells = []
            for seconds in args.seconds:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found, took = learn(X[n_test:], n_atoms, n_active, seconds, args)
                mp, omp = evaluate(np.asarray(found), X[:n_test], n_active)
                cells.append(f"{mp:.4f}, {omp:.4f}" + f" ({took:.0f} s)" * (took > 1.1 * seconds))
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
