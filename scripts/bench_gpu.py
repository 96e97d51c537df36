"""Pursuit and learning on a GPU against their floor, the product X D^T on the same device.

Samples are sums of a few random atoms and noise, float32.  Contestants take turns in one process;
each is waited for.  Peers: `orthogonal-matching-pursuit-gpu` (once `batched-omp`), a pursuit in
PyTorch that redoes the product at every step, and this package on the CPU, of whose samples the
supports are compared.  Needs a GPU, and the extra `gpu`;
`--figure` times the paper's figure 1, too.
"""

import sys
from functools import partial

import numpy as np
from rounds import ASKED, alternate, report, row, run, seconds_of

from shl import SparseHebbianLearning, sparse_encode
from shl._base.threads import Threads
from shl.coding.competition import Competition
from shl.coding.parameters import Coding
from shl.coding.preparing import prepare

SIZES = {  # n_samples, n_pixels, n_dictionary, l0_sparseness
    "small": (65536, 441, 676, 21),
    "middle": (65536, 768, 4096, 25),
    "large": (65536, 2304, 16384, 80),
}
AGREE = 2048  # samples whose supports are compared with the CPU's
RULES = ("None", "OLS", "EMP", "HAP", "HEH2019")  # of the paper's figure 1
RUNS, STEPS = 6, 4097
LEAST = 0.1  # seconds that a turn takes at least


def take_turns(contestants, rounds, device):
    """{name: Seconds} of functions that take turns, after one call each to compile.

    The device is idle between contestants and its clock drops, so that each turn begins with a
    call that is not counted; short functions are called again for a while.
    """

    def measure(function, clock):
        once = seconds_of(partial(wait_for, function, device), clock)
        n_calls = min(50, int(LEAST / once))
        again = [seconds_of(partial(wait_for, function, device), clock) for _ in range(n_calls)]
        return sum(again) / n_calls if again else once

    return alternate(contestants, rounds, measure=measure)


def wait_for(function, device):
    """Call a function, and wait for all work of the device."""
    import torch

    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_data(size, device):
    """Samples and atoms of a size."""
    import torch

    n_samples, n_pixels, n_dictionary, l0_sparseness = size
    draw = torch.Generator(device).manual_seed(0)
    options = {"generator": draw, "device": device}
    D = torch.randn((n_dictionary, n_pixels), **options)
    D /= D.norm(dim=1, keepdim=True)
    X = 0.1 * torch.randn((n_samples, n_pixels), **options)
    for _ in range(l0_sparseness):
        atoms = torch.randint(n_dictionary, (n_samples,), **options)
        X += torch.rand((n_samples, 1), **options) * D[atoms]
    return X, D


def pursue_with_products(X, D, l0_sparseness):
    """Matching pursuit that redoes the product at every step, in PyTorch."""
    import torch

    residual, code = X.clone(), X.new_zeros((len(X), len(D)))
    rows = torch.arange(len(X), device=X.device)
    for _ in range(l0_sparseness):
        values, atoms = (residual @ D.T).clamp(min=0).max(dim=1)
        code[rows, atoms] += values
        residual -= values[:, None] * D[atoms]
    return code


def encoder(X, D, l0_sparseness, algorithm="mp", competition=None):
    """A function that gives the events of X, the Gram matrix included."""
    coding = Coding(algorithm, l0_sparseness)
    competition = Competition() if competition is None else competition
    return lambda: prepare(coding, D, competition).encode(X)


def learned(X, n_dictionary, l0_sparseness, rule):
    """A model after one step on all samples."""
    options = {"l0_sparseness": l0_sparseness, "learning_algorithm": "mp", "homeo_method": rule}
    options |= {"homeo_fade": None, "batch_size": len(X), "random_state": 0}
    return SparseHebbianLearning(n_dictionary, **options).partial_fit(X)


def measure(name, size, args, device):
    """Rows of one size."""
    n_samples, _, n_dictionary, l0 = size
    X, D = make_data(size, device)
    fair = learned(X, n_dictionary, l0, "HAP")
    table = learned(X, n_dictionary, l0, "HEH2019")
    contestants = {
        "product": lambda: X @ D.T,
        "gain": encoder(X, D, l0, competition=Competition(gain=fair.gain_)),
        "table": encoder(X, table.components_, l0, competition=table.competition_),
        "omp": encoder(X, D, l0, "omp"),
        "step": lambda: fair.partial_fit(X),
    }
    times = take_turns(contestants, args.rounds, device)
    product = times["product"]
    yield row(f"{name}: product X D^T", product, product, "product")
    most = None if name == "large" else 2.5
    yield row(f"{name}: mp, a gain, events", times["gain"], product, "product", most)
    yield row(f"{name}: mp, HEH table, events", times["table"], product, "product")
    yield row(f"{name}: omp, events", times["omp"], product, "product")
    most = 4.0 if name == "middle" else None
    yield row(f"{name}: learning step", times["step"], product, "product", most)
    least = " (at least 250,000)" if name == "large" else ""
    print(f"{name}: {n_samples / times['gain']:,.0f} samples/s with a gain{least}")
    compare_with_cpu(name, X, D, l0, args)
    if not args.no_peers:
        yield from measure_peers(name, X, D, l0, args, device)


def measure_peers(name, X, D, l0, args, device):
    """Rows against other ways.  The other orthogonal pursuit takes a part of the samples of the
    large size, as all do not fit.
    """
    ours, theirs = encoder(X, D, l0), lambda: pursue_with_products(X, D, l0)
    times = take_turns({"ours": ours, "theirs": theirs}, min(args.rounds, 2), device)
    most = 1 / 20 if name == "large" else None
    work = f"{name}: mp against products at each step"
    yield row(work, times["ours"], times["theirs"], "PyTorch", most)
    try:
        from orthogonal_matching_pursuit_gpu import run_omp
    except ImportError:
        print("orthogonal-matching-pursuit-gpu is not installed and left out")
        return
    part = X[: len(X) // 16] if name == "large" else X
    options = {"n_nonzero_coefs": l0, "normalize": False, "fit_intercept": False}
    ours, theirs = encoder(part, D, l0, "omp"), lambda: run_omp(D.T.contiguous(), part, **options)
    times = take_turns({"ours": ours, "theirs": theirs}, args.rounds, device)
    work = f"{name}: omp against batched-omp"
    yield row(work, times["ours"], times["theirs"], "batched-omp", 1 / 3)


def compare_with_cpu(name, X, D, l0, args):
    """Print how many supports are the CPU's, and whether two runs have the same bits."""
    part, atoms = X[:AGREE].cpu().numpy(), D.cpu().numpy()
    for algorithm in ("mp", "omp"):
        options = {"algorithm": algorithm, "l0_sparseness": l0}
        code, again = (sparse_encode(X[:AGREE], D, **options) for _ in range(2))
        expected = sparse_encode(part, atoms, n_jobs=args.n_jobs, **options)
        found = code.cpu().numpy()
        is_same = ((found != 0) == (expected != 0)).all(axis=1)
        errors = [np.linalg.norm(part - c @ atoms, axis=1)[~is_same] for c in (found, expected)]
        print(
            f"{name}, {algorithm}: {is_same.mean():.3%} of {len(part)} supports are the CPU's, "
            f"errors of the others differ by at most "
            f"{np.abs(errors[0] - errors[1]).max(initial=0):.2g}; "
            f"two runs have {'equal' if bool((code == again).all()) else 'UNEQUAL'} bits"
        )


def measure_cpu(size, args, device):
    """A row of this package's CPU code against the GPU's, on the same samples."""
    X, D = make_data((4096, *size[1:]), device)
    part, atoms = X.cpu().numpy(), D.cpu().numpy()

    def on_cpu():
        with Threads(args.n_jobs) as threads:
            coder = prepare(Coding(l0_sparseness=size[3]), atoms, threads=threads)
            return coder.encode(part, threads)

    contestants = {"gpu": encoder(X, D, size[3]), "cpu": on_cpu}
    times = take_turns(contestants, args.rounds, device)
    yield row("4096 samples: mp on the GPU", times["gpu"], times["cpu"], "CPU")


def learn_figure(X):
    """The runs of the paper's figure 1."""
    options = {"l0_sparseness": 21, "learning_algorithm": "mp", "n_iter": STEPS, "batch_size": 256}
    options |= {"homeo_fade": None, "replace": False}
    for rule in RULES:
        for seed in range(RUNS):
            SparseHebbianLearning(676, homeo_method=rule, random_state=seed, **options).fit(X)


def find_gpu():
    """The GPU, or the end with what is missing."""
    try:
        import torch
    except ImportError:
        sys.exit("bench_gpu.py needs PyTorch and numba-cuda: pip install 'shl[gpu]'")
    if not torch.cuda.is_available():
        sys.exit("bench_gpu.py needs a CUDA GPU, and PyTorch finds none: nothing was measured")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    return torch.device("cuda", torch.cuda.current_device())


def main(args):
    """Print the table."""
    device, rows = find_gpu(), []
    for name in args.size or SIZES:
        rows += measure(name, SIZES[name], args, device)
    if not args.no_peers:
        rows += measure_cpu(SIZES["small"], args, device)
    report(rows, args)
    if args.figure:
        learn_all = partial(learn_figure, make_data(SIZES["small"], device)[0])
        seconds = seconds_of(partial(wait_for, learn_all, device))
        print(f"{RUNS * len(RULES)} runs of {STEPS} steps: {seconds:.0f} s (at most 120)")


FLAGS = {
    "size": {"choices": SIZES, "action": "append", "help": "default: all"},
    "figure": {**ASKED, "help": "time the runs of figure 1, too"},
}

if __name__ == "__main__":
    run(__doc__, {None: (main, FLAGS)})
