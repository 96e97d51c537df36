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

import logging
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from rounds import Kept, find_peer, machine, patches, run
from sklearn.datasets import load_breast_cancer, load_digits, make_blobs, make_sparse_coded_signal

from shl import SparseHebbianLearning, select, sparse_encode
from shl._base.tables import table
from shl.datasets import (
    load_sample_patches,
    make_sparse_coded_signals,
    make_spikes,
    make_untidy_signals,
    recovered,
)

PROBES = (100, 400)  # batches of 256 from which the time of one is estimated
N_BATCHES = 2000  # of 256, where a package must be told how long to learn
GUESSES = (2, 3, 4)  # times the planted atoms


# ------------------------------------------------------------------------------------- the data


def photographs(rng, args, width=21, n_atoms=676, n_active=21):
    """Whitened patches of photographs."""
    return patches(args, 65536, patch_width=width), n_atoms, n_active, None


def digits(rng, args, is_centred=False):
    """1797 digits of 8 x 8, less their mean if asked."""
    X = load_digits().data
    return X - is_centred * X.mean(axis=0), 64, 6, None


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
    sizes = {"n_samples": 5000, "n_components": 100, "n_features": 40, "n_nonzero_coefs": 4}
    X, atoms, _ = make_sparse_coded_signal(**sizes, random_state=int(rng.integers(2**31)))
    return X, 100, 4, atoms


def zipf(rng, args, is_signed=False):
    """128 atoms of 64 pixels used as 1 / rank, 1 to 7 in a sample."""
    options = {"n_atoms": 128, "noise": 0.03, "profile": "zipf", "is_signed": is_signed}
    X, atoms, _ = make_sparse_coded_signals(random_state=rng, **options)
    return X, 128, 4, atoms


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
    "digits less their mean": partial(digits, is_centred=True),
    "measurements of cancer": cancer,
    "30 Gaussians in 20 dimensions": mixture,
    "documents of 40 topics": documents,
    "make_sparse_coded_signal": coded_signal,
    "atoms used as 1 / rank": zipf,
    "the same, signed": partial(zipf, is_signed=True),
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
        atoms = atoms / np.linalg.norm(atoms, axis=1, keepdims=True)
        found["found"] = float(recovered(D, atoms, 0.95, is_signed=True).mean())
        found["false"] = float(1 - recovered(atoms, D, 0.8, is_signed=True).mean())
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


def runs_of(args):
    """(key, function that measures) of each measurement."""
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for seed, world in product(seeds, args.worlds or TABLES[args.part]):
        if args.part == "auto":
            for guess in GUESSES:
                yield (world, f"{guess} x", seed), partial(measure_sizes, world, guess, seed)
            continue
        for name, seconds in product(
            args.learners, args.seconds if args.part == "race" else (None,)
        ):
            options = ADVICE[world] if name == ADVISED else {}
            learn = partial(LEARNERS.get(name, ours), **options)
            job = partial(measure, TABLES[args.part][world], learn, seconds, seed, args)
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
SIZES = (("n_dictionary", "n_planted"), ("l0_sparseness", "l0_planted"))


def main(args):
    """Measure what is not known, and print a table."""
    logging.getLogger("shl").setLevel(logging.ERROR)
    if args.learners is None:
        peers = [name for name in ("dictlearn", "spams") if find_peer(name) is None]
        args.learners = [name for name in LEARNERS if name not in peers]
        args.learners += [ADVISED] if args.part == "untidy" else []
    kept, cells = Kept(args.rows), {}
    for key, job in runs_of(args):
        world, name, *seconds, _ = key
        is_race = args.part == "race"
        place = (name, f"{seconds[0]:g} s: omp, mp") if is_race else (world, name)
        found = cells.setdefault(world if is_race else "data", {})
        found.setdefault(place, []).append(kept.get(key, job))
    print(f"{machine()}; one thread, means over {args.seeds} seeds\n")
    for title, found in cells.items():
        names, columns = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
        lines = [[name, *(show(found[name, column]) for column in columns)] for name in names]
        print("\n".join(table([title, *columns], lines, is_markdown=True)))
    if args.part == "auto":
        rows = [row for found in cells.values() for rows in found.values() for row in rows]
        shares = [row[found] / row[planted] for row in rows for found, planted in SIZES]
        print(f"{sum(abs(s - 1) <= 0.2 for s in shares)} of {len(shares)} within 20 %")


FLAGS = {
    "seconds": {"type": float, "nargs": "+", "default": [1, 3, 10, 30, 60], "metavar": "S"},
    "seeds": {"type": int, "default": 3, "help": "learnings of each (default 3)"},
    "first-seed": {"type": int, "default": 0},
    "worlds": {"nargs": "+", "help": "default: all of the table"},
    "learners": {"nargs": "+", "help": "default: all that are installed"},
    "rows": {"type": Path, "metavar": "FILE", "help": "of JSON lines, to go on with"},
}

if __name__ == "__main__":
    run(__doc__, dict.fromkeys(TABLES, (main, FLAGS)))
