"""Dictionaries of several packages, learned with their default parameters.

    python scripts/bench_race.py race      # photographs: errors after the same CPU time
    python scripts/bench_race.py data      # ten kinds of data
    python scripts/bench_race.py untidy    # planted atoms in worlds that are not tidy
    python scripts/bench_race.py auto      # sizes that `shl.select` finds from three first guesses

Every package learns from the same training samples on one thread.  Of its parameters it is given
the sizes (atoms, active atoms if it takes them), the seed, and in a race how long to learn.  Its
functions are called once before, which compiles them, and the time of a call that does nothing is
subtracted.  Held-out samples are then coded with every dictionary by our signed orthogonal pursuit
and by our rectified matching pursuit; the error is |X - A D| / |X|.  A planted atom is found if a
learned one has a cosine of .95 with it, up to sign; a learned atom is false if it has less than .8
with all of them.  Means over seeds.

With --rows, each measurement is appended to a file, and those that the file has are not repeated.
"""

import json
import logging
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from rounds import find_peer, machine, parse
from sklearn.datasets import load_breast_cancer, load_digits, make_blobs, make_sparse_coded_signal
from threadpoolctl import threadpool_limits

from shl import SHL, SparseHebbianLearning, select, sparse_encode
from shl._base.tables import table
from shl.datasets import (
    load_sample_patches,
    make_sparse_coded_signals,
    make_spikes,
    make_untidy_signals,
)

PROBES = (100, 400)  # batches of 256 from which the time of one is estimated
N_BATCHES = 2000  # of 256, where a package must be told how long to learn
GUESSES = (2, 3, 4)  # times the planted atoms


# ------------------------------------------------------------------------------------- the data


def photographs(rng, args, width=21, n_atoms=676, n_active=21):
    """Whitened patches of photographs."""
    data = {"datapath": args.datapath, "name_database": args.database, "cache_dir": None}
    return SHL(**data, patch_width=width, N_patches=65536).get_data(), n_atoms, n_active, None


def digits(rng, args):
    """1797 digits of 8 x 8."""
    return load_digits().data, 64, 6, None


def digits_centred(rng, args):
    """1797 digits of 8 x 8, less their mean."""
    X = load_digits().data
    return X - X.mean(axis=0), 64, 6, None


def cancer(rng, args):
    """569 samples of 30 standardised measurements."""
    X = load_breast_cancer().data
    return (X - X.mean(axis=0)) / X.std(axis=0), 40, 3, None


def mixture(rng, args):
    """A mixture of 30 Gaussians in 20 dimensions."""
    X, _ = make_blobs(5000, 20, centers=30, random_state=int(rng.integers(2**31)))
    return X, 40, 2, None


def documents(rng, args):
    """Bags of words of invented topics, reduced by a singular value decomposition to 50."""
    topics = rng.dirichlet(np.full(2000, 0.02), 40)
    shares = rng.dirichlet(np.full(40, 0.08), 4000)
    lengths = rng.poisson(120, 4000)
    counts = np.array(
        [rng.multinomial(n, p / p.sum()) for n, p in zip(lengths, shares @ topics, strict=True)]
    )
    weights = np.log1p(counts)
    U, s, _ = np.linalg.svd(weights - weights.mean(axis=0), full_matrices=False)
    return U[:, :50] * s[:50], 80, 5, None


def coded_signal(rng, args):
    """scikit-learn's make_sparse_coded_signal: 100 atoms of 40 pixels, 4 active."""
    X, atoms, _ = make_sparse_coded_signal(
        n_samples=5000,
        n_components=100,
        n_features=40,
        n_nonzero_coefs=4,
        random_state=int(rng.integers(2**31)),
    )
    return X, 100, 4, atoms


def zipf(rng, args, is_signed=False):
    """128 atoms of 64 pixels used as 1 / rank, 1 to 7 in a sample."""
    options = {"n_atoms": 128, "noise": 0.03, "profile": "zipf", "is_signed": is_signed}
    X, atoms, _ = make_sparse_coded_signals(random_state=rng, **options)
    return X, 128, 4, atoms


def zipf_signed(rng, args):
    """128 atoms of 64 pixels used as 1 / rank, with coefficients of either sign."""
    return zipf(rng, args, is_signed=True)


def spikes(rng, args):
    """Waveforms of 40 samples: 30 templates, of which 1 to 3 overlap."""
    X, templates = make_spikes(random_state=rng)
    return X, 30, 2, templates


def natural(rng, args):
    """Whitened patches of 12 x 12 pixels of the photographs that scikit-learn ships."""
    return load_sample_patches(random_state=int(rng.integers(2**31))), 196, 10, None


def untidy(kind, rng, args):
    """Planted atoms in a world of a kind."""
    X, atoms = make_untidy_signals(kind, random_state=rng)
    return X, 128, 4, atoms


RACE = {"photographs": photographs}
RACE["small photographs"] = partial(photographs, width=12, n_atoms=196, n_active=10)
DATA = {
    "digits of 8 x 8": digits,
    "digits less their mean": digits_centred,
    "measurements of cancer": cancer,
    "30 Gaussians in 20 dimensions": mixture,
    "documents of 40 topics": documents,
    "make_sparse_coded_signal": coded_signal,
    "atoms used as 1 / rank": zipf,
    "the same, signed": zipf_signed,
    "spikes": spikes,
    "whitened patches": natural,
}
TOGETHER = {"learning_algorithm": "mp", "l0_sparseness": 10}  # what a log message advises
ADVICE = {"pairs": TOGETHER, "hierarchy": TOGETHER, "outliers": {}, "shifts": {}}
ADVICE["pixel scale"] = {"whiten": "zca"}  # what a warning advises
UNTIDY = {kind: partial(untidy, kind) for kind in ADVICE}
PLANTED = {
    "equal": {},
    "half stronger": {"profile": "half stronger"},
    "1/rank": {"profile": "1/rank"},
    "zipf": {"profile": "zipf"},
    "equal, noise .1": {"noise": 0.1},
    "equal, 4,000 samples": {"n_samples": 4000},
    "equal, signed": {"is_signed": True},
    "30 atoms of 20 pixels": {"n_pixels": 20, "n_atoms": 30, "n_active": 2},
}


# --------------------------------------------------------------------------------- the learners


def for_seconds(seconds, learn):
    """(what learn(n) returns, CPU seconds) with the n that takes so long, but for fixed costs."""
    learn(1)
    took = []
    for n in PROBES if seconds else ():
        began = time.process_time()
        learn(n)
        took.append(time.process_time() - began)
    each = (took[1] - took[0]) / (PROBES[1] - PROBES[0]) if seconds else 0
    fixed = max(0.0, took[0] - PROBES[0] * each) if seconds else 0
    n = max(1, round(seconds / each)) if seconds else N_BATCHES
    began = time.process_time()
    return learn(n), time.process_time() - began - fixed


def until(seconds, make, X, seed):
    """(components_, CPU seconds) of `partial_fit` to batches of 256, or of `fit` if no seconds."""
    rng, size = np.random.default_rng(seed), min(256, len(X))
    make().partial_fit(X[:size])
    model, began = make(), time.process_time()
    if not seconds:
        model.fit(X)
    while time.process_time() - began < (seconds or 0):
        model.partial_fit(X[rng.choice(len(X), size, replace=False)])
    return model.components_, time.process_time() - began


def ours(X, n_atoms, n_active, seconds, seed, **options):
    """Our estimator, by default with its default parameters."""
    sizes = {"n_dictionary": n_atoms, "l0_sparseness": n_active, "random_state": seed} | options

    def learn(n_iter):
        return SparseHebbianLearning(**sizes, n_iter=n_iter).fit(X).components_

    return for_seconds(seconds, learn)


def scikit_learn(X, n_atoms, n_active, seconds, seed):
    """MiniBatchDictionaryLearning."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    make = partial(MiniBatchDictionaryLearning, n_atoms, random_state=seed, n_jobs=1)
    return until(seconds, make, X, seed)


def dictlearn(X, n_atoms, n_active, seconds, seed):
    """MiniBatchDictionaryLearning of dictlearn."""
    from dictlearn import MiniBatchDictionaryLearning

    options = {"n_nonzero_coefs": n_active, "random_state": seed}
    make = partial(MiniBatchDictionaryLearning, n_atoms, **options)
    return until(seconds, make, X.astype(float), seed)


def spams(X, n_atoms, n_active, seconds, seed):
    """spams.trainDL with at most n_active atoms a sample (mode 3); its own seed is fixed."""
    import spams

    X = np.asfortranarray(X[np.random.default_rng(seed).permutation(len(X))].T)
    options = {"K": n_atoms, "mode": 3, "lambda1": n_active, "numThreads": 1, "batchsize": 256}
    return for_seconds(seconds, lambda n: spams.trainDL(X, iter=n, verbose=False, **options).T)


LEARNERS = {"shl": ours, "shl, adam": partial(ours, optimizer="adam")}
LEARNERS |= {"scikit-learn": scikit_learn, "dictlearn": dictlearn, "spams": spams}
ADVISED = "shl, advised"  # by its warnings, of untidy worlds


# ------------------------------------------------------------------------------ the measurements


def evaluate(dictionary, X, n_active, atoms):
    """{omp, mp: held-out errors; found, false: shares of planted and of learned atoms}."""
    norms = np.linalg.norm(dictionary, axis=1, keepdims=True)
    D = (dictionary / np.maximum(norms, 1e-12))[norms[:, 0] > 1e-9].astype(X.dtype)
    found = {}
    for algorithm in ("omp", "mp"):
        code = sparse_encode(X, D, algorithm=algorithm, l0_sparseness=n_active, sparse_output=True)
        found[algorithm] = float(np.linalg.norm(X - code @ D) / np.linalg.norm(X))
    if atoms is not None:
        cosines = np.abs(atoms / np.linalg.norm(atoms, axis=1, keepdims=True) @ D.T)
        found["found"] = float((cosines.max(axis=1) >= 0.95).mean())
        found["false"] = float((cosines.max(axis=0) < 0.8).mean())
    return found


def measure(make, learn, seconds, seed, args):
    """What a learner reaches on the data of a seed."""
    X, n_atoms, n_active, atoms = make(np.random.default_rng([7, seed]), args)
    X = np.asarray(X, np.float32)[np.random.default_rng([1, seed]).permutation(len(X))]
    n_test = min(4096, len(X) // 5)
    D, took = learn(X[n_test:], n_atoms, n_active, seconds, seed)
    return evaluate(np.asarray(D), X[:n_test], n_active, atoms) | {"seconds": took}


def measure_sizes(world, guess, seed):
    """Sizes that `select` finds, beside the planted ones."""
    options = {"n_samples": 12000, "noise": 0.05, **PLANTED[world], "random_state": 3 + seed}
    X, atoms, code = make_sparse_coded_signals(**options)
    found = select(X, guess * len(atoms), n_iter=1000, random_state=seed)
    planted = np.quantile((code != 0).sum(axis=1), 0.9)
    sizes = {"n_dictionary": found.n_dictionary, "l0_sparseness": found.l0_sparseness}
    return sizes | {"n_planted": len(atoms), "l0_planted": planted}


def rows_of(args):
    """The measurements of a table, from the file or made now: (world, learner, time), row."""
    known = {}
    if args.rows and args.rows.exists():
        known = {tuple(key): row for key, row in map(json.loads, args.rows.open())}
    for key, run in runs_of(args):
        if key not in known:
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore")
                known[key] = run()
            if args.rows:
                with args.rows.open("a") as file:
                    print(json.dumps([key, known[key]]), file=file)
        yield key, known[key]


def runs_of(args):
    """(key, function that measures) of each measurement."""
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for world in args.worlds or TABLES[args.table]:
            if args.table == "auto":
                for guess in GUESSES:
                    yield (world, f"{guess} x", seed), partial(measure_sizes, world, guess, seed)
                continue
            for name in args.learners:
                for seconds in args.seconds if args.table == "race" else (None,):
                    options = ADVICE[world] if name == ADVISED else {}
                    learn = partial(LEARNERS.get(name, ours), **options)
                    job = partial(measure, TABLES[args.table][world], learn, seconds, seed, args)
                    yield (world, name, seconds, seed), job


def show(rows):
    """The means of rows as a cell."""
    mean = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
    if "n_planted" in mean:
        return f"{mean['n_dictionary']:.0f}, {mean['l0_sparseness']:.2g}"
    if "found" in mean:
        return f"{mean['omp']:.4f}, {mean['found']:.2f}/{mean['false']:.2f}"
    return f"{mean['omp']:.4f}, {mean['mp']:.4f} ({mean['seconds']:.1f} s)"


TABLES = {"race": RACE, "data": DATA, "untidy": UNTIDY, "auto": PLANTED}


def main():
    """Measure what is not known, and print a table."""
    parser = parse(__doc__)
    add = parser.add_argument
    add("table", choices=TABLES)
    add("--seconds", type=float, nargs="+", default=[1, 3, 10, 30, 60], metavar="S")
    add("--seeds", type=int, default=3, help="learnings of each (default 3)")
    add("--first-seed", type=int, default=0)
    add("--worlds", nargs="+", help="default: all of the table")
    add("--learners", nargs="+", help="default: all that are installed")
    add("--rows", type=Path, metavar="FILE", help="of JSON lines, to go on with")
    args = parser.parse_args()
    logging.getLogger("shl").setLevel(logging.ERROR)
    if args.learners is None:
        peers = [name for name in ("dictlearn", "spams") if find_peer(name) is None]
        args.learners = [name for name in LEARNERS if name not in peers]
        args.learners += [ADVISED] if args.table == "untidy" else []
    cells = {}
    for key, row in rows_of(args):
        world, name, *seconds, _ = key
        place = (name, f"{seconds[0]:g} s: omp, mp") if args.table == "race" else (world, name)
        cells.setdefault(world if args.table == "race" else "data", {}).setdefault(
            place, []
        ).append(row)
    print(f"{machine()}; one thread, means over {args.seeds} seeds\n")
    for title, found in cells.items():
        names, columns = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
        lines = [[name, *(show(found[name, column]) for column in columns)] for name in names]
        print("\n".join(table([title, *columns], lines, is_markdown=True)))
    if args.table == "auto":
        rows = [row for found in cells.values() for rows in found.values() for row in rows]
        shares = ((row[f"{a}"], row[f"{b}"]) for row in rows for a, b in SIZES)
        print(f"{sum(abs(f / p - 1) <= 0.2 for f, p in shares)} of {2 * len(rows)} within 20 %")


SIZES = (("n_dictionary", "n_planted"), ("l0_sparseness", "l0_planted"))


if __name__ == "__main__":
    main()
