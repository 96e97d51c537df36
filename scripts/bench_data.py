"""Dictionaries of ten kinds of data that are not all photographs, learned by several packages as
they come.

Each learns from the same training samples; every dictionary, its rows scaled to norm 1, codes the
same held-out samples by our signed orthogonal pursuit with the same number of atoms, and the error
|X - A D| / |X| is compared, and the share of planted atoms found (cosine .95 up to sign) where
there are some.  Means over seeds.  Each learning has a process of its own and a limit of CPU time.
"""

import multiprocessing
import resource
import time
import warnings
from pathlib import Path

import numpy as np
from rounds import find_peer, machine, parse
from sklearn.datasets import load_breast_cancer, load_digits, make_blobs, make_sparse_coded_signal

from shl import SparseHebbianLearning, sparse_encode
from shl._base.tables import table
from shl.datasets import load_sample_patches, make_sparse_coded_signals, make_spikes


def digits(rng):
    """1797 digits of 8 x 8."""
    return load_digits().data, 64, 6, None


def digits_centred(rng):
    """1797 digits of 8 x 8, less their mean."""
    X = load_digits().data
    return X - X.mean(axis=0), 64, 6, None


def cancer(rng):
    """569 samples of 30 standardised measurements."""
    X = load_breast_cancer().data
    return (X - X.mean(axis=0)) / X.std(axis=0), 40, 3, None


def mixture(rng):
    """A mixture of 30 Gaussians in 20 dimensions."""
    X, _ = make_blobs(5000, 20, centers=30, random_state=int(rng.integers(2**31)))
    return X, 40, 2, None


def documents(rng):
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


def coded_signal(rng):
    """scikit-learn's make_sparse_coded_signal: 100 atoms of 40 pixels, 4 active."""
    X, atoms, _ = make_sparse_coded_signal(
        n_samples=5000,
        n_components=100,
        n_features=40,
        n_nonzero_coefs=4,
        random_state=int(rng.integers(2**31)),
    )
    return X, 100, 4, atoms


def zipf(rng, is_signed=False):
    """128 atoms of 64 pixels used as 1 / rank, 1 to 7 in a sample."""
    options = {"n_atoms": 128, "noise": 0.03, "profile": "zipf", "is_signed": is_signed}
    X, atoms, _ = make_sparse_coded_signals(random_state=rng, **options)
    return X, 128, 4, atoms


def zipf_signed(rng):
    """128 atoms of 64 pixels used as 1 / rank, with coefficients of either sign."""
    return zipf(rng, is_signed=True)


def spikes(rng):
    """Waveforms of 40 samples: 30 templates, of which 1 to 3 overlap."""
    X, templates = make_spikes(random_state=rng)
    return X, 30, 2, templates


def natural(rng):
    """Whitened patches of 12 x 12 pixels of the photographs that scikit-learn ships."""
    return load_sample_patches(random_state=int(rng.integers(2**31))), 196, 10, None


WORLDS = (
    digits,
    digits_centred,
    cancer,
    mixture,
    documents,
    coded_signal,
    zipf,
    zipf_signed,
    spikes,
    natural,
)


def ours(**options):
    """Our estimator with some parameters."""

    def learn(X, n_atoms, n_active, seed):
        sizes = {"n_dictionary": n_atoms, "l0_sparseness": n_active, "random_state": seed}
        return SparseHebbianLearning(**(sizes | options)).fit(X).components_

    return learn


def scikit_learn(X, n_atoms, n_active, seed):
    """MiniBatchDictionaryLearning as it comes."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    return MiniBatchDictionaryLearning(n_atoms, random_state=seed).fit(X).components_


def learn_dictlearn(X, n_atoms, n_active, seed):
    """Dictlearn's online learner as it comes."""
    import dictlearn

    return dictlearn.DictionaryLearning(n_atoms, random_state=seed).fit(X).components_


def evaluate(dictionary, X, n_active, atoms):
    """(error, share of planted atoms found)."""
    norms = np.linalg.norm(dictionary, axis=1)
    D = dictionary[norms > 1e-9] / norms[norms > 1e-9, None]
    code = sparse_encode(X, D.astype(X.dtype), algorithm="omp", l0_sparseness=n_active)
    error = np.linalg.norm(X - code @ D) / np.linalg.norm(X)
    if atoms is None:
        return error, np.nan
    planted = atoms / np.linalg.norm(atoms, axis=1, keepdims=True)
    return error, (np.abs(planted @ D.T).max(axis=1) >= 0.95).mean()


def within(limit, learn, *args):
    """(what learn returns, its CPU seconds), from a process that may use so many; None if it used
    them up.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run():
        warnings.simplefilter("ignore")
        began = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (limit + int(began) + 1,) * 2)
        sender.send((learn(*args), time.process_time() - began))

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:  # the process was ended
        return None
    finally:
        child.join()


def measure(world, learn, seeds, limit):
    """Mean (error, share found, CPU seconds) over seeds; None where a learning met its limit."""
    found = []
    for seed in seeds:
        X, n_atoms, n_active, atoms = world(np.random.default_rng([7, seed]))
        order = np.random.default_rng(seed).permutation(len(X))
        X, n_test = X[order].astype(np.float32), min(2000, len(X) // 5)
        learned = within(limit, learn, X[n_test:], n_atoms, n_active, seed)
        if learned is None:
            return None
        D, seconds = learned
        found.append((*evaluate(np.asarray(D), X[:n_test], n_active, atoms), seconds))
    return np.mean(found, axis=0)


def show(found, limit):
    """'error', with '/share' where atoms were planted, and its seconds."""
    if found is None:
        return f"more than {limit} s"
    error, share, seconds = found
    return f"{error:.3f}" + ("" if np.isnan(share) else f"/{share:.2f}") + f" ({seconds:.0f} s)"


def compare(learners, seeds, limit, worlds=WORLDS):
    """A row for each kind of data, as it is done: its name, and what each learner reached."""
    for world in worlds:
        cells = [show(measure(world, learn, seeds, limit), limit) for learn in learners.values()]
        print(world.__name__, *cells, sep="  ", flush=True)
        yield world.__doc__.strip().rstrip("."), *cells


def main():
    """Print the table, and write it where asked."""
    parser = parse(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="data sets of each kind (default 3)")
    parser.add_argument("--limit", type=int, default=300, help="CPU seconds of each learning")
    parser.add_argument("--out", type=Path, help="a Markdown file, such as docs/results/data.md")
    args = parser.parse_args()
    learners = {"shl": ours()}
    if not args.no_peers:
        learners["scikit-learn"] = scikit_learn
        if find_peer("dictlearn") is not None:
            learners["dictlearn"] = learn_dictlearn
    rows = list(compare(learners, range(args.seeds), args.limit))
    lines = [
        "# Ten kinds of data",
        "",
        " ".join(__doc__.split()),
        "",
        f"`scripts/bench_data.py --seeds {args.seeds} --limit {args.limit}`, {machine()}.",
        "",
        *table(["data", *(f"{name}: error/found (CPU)" for name in learners)], rows, True),
    ]
    if args.out:
        args.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
