"""Learning for the same CPU time by several packages, each with its default parameters.

Every package learns from the same training samples on one thread, anew for each time and seed.  Of
its parameters it is given the sizes (atoms, active atoms if it takes them), the seed, and how long
to learn.  Its functions are called once before, which compiles them, and the time of a call that
does nothing is subtracted.  Held-out samples are then coded with every dictionary by our signed
orthogonal pursuit and by our rectified matching pursuit; the error is |X - A D| / |X|.
"""

import time
import warnings

import numpy as np
from bench_data import digits, spikes, zipf
from rounds import find_peer, machine, parse
from threadpoolctl import threadpool_limits

from shl import SHL, SparseHebbianLearning, sparse_encode

PROBES = (100, 400)  # batches of 256 from which the time of one is estimated
SIZES = {"photographs": (21, 676, 21), "small photographs": (12, 196, 10)}


def for_seconds(seconds, learn):
    """(what learn(n) returns, CPU seconds) with the n that takes so long, but for fixed costs."""
    learn(1)
    took = []
    for n in PROBES:
        began = time.process_time()
        learn(n)
        took.append(time.process_time() - began)
    each = (took[1] - took[0]) / (PROBES[1] - PROBES[0])
    fixed = max(0.0, took[0] - PROBES[0] * each)
    n = max(1, round(seconds / each))
    began = time.process_time()
    return learn(n), time.process_time() - began - fixed


def until(seconds, make, X, seed):
    """(components_ after so many CPU seconds of batches of 256, seconds) of `partial_fit`."""
    rng, size = np.random.default_rng(seed), min(256, len(X))
    make().partial_fit(X[:size])
    model, began = make(), time.process_time()
    while time.process_time() - began < seconds:
        model.partial_fit(X[rng.choice(len(X), size, replace=False)])
    return model.components_, time.process_time() - began


def ours(X, n_atoms, n_active, seconds, seed, **options):
    """Our estimator with its default parameters."""
    sizes = {"n_dictionary": n_atoms, "l0_sparseness": n_active, "random_state": seed}

    def learn(n_iter):
        return SparseHebbianLearning(**sizes, n_iter=n_iter, **options).fit(X).components_

    return for_seconds(seconds, learn)


def ours_adam(X, n_atoms, n_active, seconds, seed):
    """Our estimator with the optimizer of the study."""
    return ours(X, n_atoms, n_active, seconds, seed, optimizer="adam")


def scikit_learn(X, n_atoms, n_active, seconds, seed):
    """MiniBatchDictionaryLearning."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    make = MiniBatchDictionaryLearning
    return until(seconds, lambda: make(n_atoms, random_state=seed, n_jobs=1), X, seed)


def dictlearn(X, n_atoms, n_active, seconds, seed):
    """MiniBatchDictionaryLearning of dictlearn."""
    from dictlearn import MiniBatchDictionaryLearning

    options = {"n_nonzero_coefs": n_active, "random_state": seed}
    make = MiniBatchDictionaryLearning
    return until(seconds, lambda: make(n_atoms, **options), X.astype(float), seed)


def spams(X, n_atoms, n_active, seconds, seed):
    """spams.trainDL with at most n_active atoms a sample (mode 3); its own seed is fixed."""
    import spams

    X = np.asfortranarray(X[np.random.default_rng(seed).permutation(len(X))].T)
    options = {"K": n_atoms, "mode": 3, "lambda1": n_active, "numThreads": 1, "batchsize": 256}

    def learn(n):
        return spams.trainDL(X, iter=n, verbose=False, **options).T

    return for_seconds(seconds, learn)


def evaluate(dictionary, X, n_active):
    """Held-out errors by signed omp and rectified mp."""
    norms = np.linalg.norm(dictionary, axis=1, keepdims=True)
    D = (dictionary / np.maximum(norms, 1e-12))[norms[:, 0] > 1e-9].astype(X.dtype)
    for algorithm in ("omp", "mp"):
        code = sparse_encode(X, D, algorithm=algorithm, l0_sparseness=n_active, sparse_output=True)
        yield np.linalg.norm(X - code @ D) / np.linalg.norm(X)


def draw(world, args):
    """(X, atoms, active atoms) of a world."""
    if world not in SIZES:
        X, n_atoms, n_active = WORLDS[world](np.random.default_rng(0))[:3]
    else:
        width, n_atoms, n_active = SIZES[world]
        data = {"datapath": args.datapath, "name_database": args.database, "cache_dir": None}
        X = SHL(**data, patch_width=width, N_patches=65536).get_data()
    X = np.asarray(X, np.float32)
    return X[np.random.default_rng(1).permutation(len(X))], n_atoms, n_active


WORLDS = {maker.__name__: maker for maker in (digits, zipf, spikes)}
LEARNERS = {"shl": ours, "shl, adam": ours_adam, "scikit-learn": scikit_learn}
PEERS = {"dictlearn": dictlearn, "spams": spams}


def main():
    """Print a table for each kind of data."""
    parser = parse(__doc__)
    add = parser.add_argument
    add("--seconds", type=float, nargs="+", default=[1, 3, 10, 30, 60], metavar="S")
    add("--seeds", type=int, default=3, help="learnings of each (default 3)")
    add("--worlds", nargs="+", choices=[*SIZES, *WORLDS], default=[*SIZES, *WORLDS])
    add("--learners", nargs="+", help="default: all that are installed")
    args = parser.parse_args()
    learners = LEARNERS | {k: v for k, v in PEERS.items() if find_peer(k) is not None}
    learners = {name: learners[name] for name in args.learners or learners}
    print(f"{machine()}; {args.database}, one thread, means over {args.seeds} seeds")
    for world in args.worlds:
        X, n_atoms, n_active = draw(world, args)
        n_test = min(4096, len(X) // 5)
        head = f"{world}: {len(X) - n_test} samples of {X.shape[1]}, {n_atoms} atoms, {n_active} "
        print(f"\n| {head}active | " + " | ".join(f"{s:g} s: omp, mp" for s in args.seconds) + " |")
        print("|---" * (1 + len(args.seconds)) + "|")
        for name, learn in learners.items():
            cells = []
            for seconds in args.seconds:
                rows = []
                for seed in range(args.seeds):
                    with warnings.catch_warnings(), threadpool_limits(1):
                        warnings.simplefilter("ignore")
                        D, took = learn(X[n_test:], n_atoms, n_active, seconds, seed)
                    rows.append([*evaluate(np.asarray(D), X[:n_test], n_active), took])
                omp, mp, took = np.mean(rows, axis=0)
                cells.append(f"{omp:.4f}, {mp:.4f} ({took:.1f} s)")
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
