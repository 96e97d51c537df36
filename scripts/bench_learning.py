"""Learning: a large dictionary, memory, and streams; and the steps that `bench_coding.py` times.

    python scripts/bench_learning.py large     # 16,384 atoms of 768 pixels
    python scripts/bench_learning.py memory    # of coding a mapped file, and the first minute
    python scripts/bench_learning.py stream    # learning from a mapped file

Steps are of natural patches of 441 pixels in float32, 676 atoms, 21 non-zeros, by matching pursuit
at a rate that stays, nothing replaced; and one with fewer samples than atoms, of noise.  Steps are
timed several in a row, as `fit` takes them: one writes over the Gram matrix of the last.  What was
tried for these times: docs/performance.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
from rounds import (
    SIZE,
    alternate,
    clock_of,
    output_of,
    peak,
    print_measured,
    row,
    run,
    seconds_of,
    status,
    words,
)

from shl import SparseHebbianLearning
from shl._base.tables import table
from shl._base.threads import Threads
from shl.coding.parameters import Coding
from shl.coding.preparing import prepare
from shl.learning import loop
from shl.learning.state import start_state

L0, N = SIZE["l0_sparseness"], SIZE["n_dictionary"]
FEW = (4096, 32)  # of a step with fewer samples than atoms
AT_ONCE = 10  # steps of 256: of them one may replace an atom
ALL_STEPS = 2000  # of which those that are timed lie where atoms are replaced


def stepper(X, batch_size, args, sizes=(N, L0), warm_up=120, at_once=1, **options):
    """A function that takes some learning steps, after enough of them that homeostasis has
    settled.
    """
    n_dictionary, l0_sparseness = sizes
    fixed = {"learning_algorithm": "mp", "alpha_MP": 0.95, "homeo_fade": None, "eta": 0.02}
    fixed |= {"homeo_method": "HAP", "eta_decay": None, "replace": False, "batch_size": batch_size}
    model = SparseHebbianLearning(n_dictionary, l0_sparseness=l0_sparseness, **{**fixed, **options})
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

    def prepare_again():
        nonlocal former
        with Threads(args.n_jobs) as threads:
            former = prepare(Coding(l0_sparseness=L0), D, threads=threads, former=former)

    return prepare_again


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
    name = f"step of {batch_size}, {words(args.n_jobs)}"
    yield row(f"{name}, HAP", ours, unit, "product", most.get("HAP"))
    yield row(f"its Gram matrix, {words(args.n_jobs)}", times["gram"], unit, "product")
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
    name = f"step of 256, {words(args.n_jobs)}, replacement and decay"
    yield row(name, ours, plain, "without", 1.08)


def measure_few_samples(args, at_once=2):
    """Rows of a step with fewer samples than atoms."""
    rng = np.random.default_rng(0)
    X, D = (rng.standard_normal((n, 512), np.float32) for n in (2048, FEW[0]))
    step = stepper(X, 1024, args, FEW, warm_up=2, at_once=at_once)
    times = alternate(
        {"product": lambda: X[:1024] @ D.T, "gram": preparer(D, args), "step": step},
        max(3, args.rounds // 3),
        clock_of(args),
    )
    unit, ours = times["product"], times["step"].over(at_once)
    yield row(f"step of 1024, 4096 atoms, {words(args.n_jobs)}, HAP", ours, unit, "product", 5)
    yield row(f"its Gram matrix, {words(args.n_jobs)}", times["gram"], unit, "product")


def measure_records(X, args):
    """A row of `fit` with records every 32 steps on 1024 patches against none."""
    options = {"l0_sparseness": L0, "n_iter": 128, "batch_size": 1024, "n_jobs": args.n_jobs}
    none, every = (
        SparseHebbianLearning(N, record_each=each, random_state=0, **options) for each in (0, 32)
    )
    ways = {"none": lambda: none.fit(X), "records": lambda: every.fit(X)}
    times = alternate(ways, max(3, args.rounds // 2))
    yield row("fit with records every 32 steps", times["records"], times["none"], "without", 1.15)


def run_large(args, batch_size=4096, n_steps=3):
    """How fast 16,384 atoms of 768 pixels are learned, and the most memory that takes."""
    X = np.random.default_rng(0).standard_normal((2 * batch_size, 768), np.float32)
    step = stepper(X, batch_size, args, (16384, 32), warm_up=1, at_once=2)
    seconds = min(seconds_of(step) / 2 for _ in range(n_steps))
    work = f"16,384 atoms of 768 pixels, steps of {batch_size}, 32 events, {words(args.n_jobs)}"
    rate = f"{work}: samples a second", batch_size / seconds, 2000
    print_measured([rate, ("its memory, GB", peak() / 1e9, -2.5)])


# ---------------------------------------------------------------------------------------- memory

FIRST_FIT = (
    "import shl, numpy as np; X = np.random.default_rng(0).standard_normal((500, 64)).astype('f'); "
    "shl.SparseHebbianLearning(80, l0_sparseness=5, n_iter=10, random_state=0).fit(X).transform(X)"
)


def run_memory(args):
    """Memory of `transform` on a memory-mapped file, beyond its input and output; a first `fit`.

    Patches of 441 pixels in float32 are written to a temporary file and coded to CSR in a process
    of its own, whose peak is read by the operating system: what it was after the import, the output
    and pages of the file, which the system may drop, are taken off.  The model, and a fit of 4096
    patches, are in.  The first fit is timed with an empty and a filled cache of compiled kernels.
    """
    if args.file:
        return code_file(args.file, args.n_samples)
    print_measured(first_fits_and_file(args))


def first_fits_and_file(args):
    """Rows of two first fits and of the file."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        fit = partial(subprocess.run, [sys.executable, "-c", FIRST_FIT], check=True)
        for name, most in (("not cached", 30), ("cached", 3)):
            work = f"import and first fit of a small problem, compiled code {name}, s"
            yield work, seconds_of(partial(fit, env=environment)), -most
        path = write(Path(folder) / "patches", args.n_samples, 441)
        yield json.loads(output_of(*sys.argv, "--file", path))


def code_file(path, n_samples):
    """Code the patches of a file and print the bytes beyond input and output."""
    before = peak()
    X = np.memmap(path, np.float32, "r", shape=(n_samples, 441))
    options = {"n_iter": 3, "random_state": 0, "sparse_output": True, "n_jobs": -1}
    model = SparseHebbianLearning(676, l0_sparseness=21, **options)
    model.fit(np.array(X[:4096])).transform(np.array(X[:4096]))
    began = time.perf_counter()
    code = model.transform(X)
    seconds = time.perf_counter() - began
    output = code.data.nbytes + code.indices.nbytes + code.indptr.nbytes
    work = f"{n_samples:,} memory-mapped patches to CSR, {output / 1e6:.0f} MB, in {seconds:.1f} s"
    beyond = (peak() - before - output - status("RssFile")) / 1e6
    print(json.dumps([f"{work}: MB beyond input and output", beyond, -200]))


# ---------------------------------------------------------------------------------------- streams

N_PIXELS = 100
WAYS = ("map", "array", "batches")
WRITTEN_ROWS = 100_000


def write(path, n_samples, n_pixels):
    """Write sums of a few multiples of random atoms in parts; return the path."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((200, n_pixels)).astype(np.float32)
    X = np.memmap(path, np.float32, "w+", shape=(n_samples, n_pixels))
    for start in range(0, n_samples, WRITTEN_ROWS):
        rows = X[start : start + WRITTEN_ROWS]
        rows[:] = 0
        for _ in range(5):
            rows += rng.gamma(4, 0.25, (len(rows), 1)) * atoms[rng.integers(0, 200, len(rows))]
    X.flush()
    return path


class Peak:
    """The largest resident memory that no file stands behind while it is open (Linux)."""

    def __enter__(self):
        self.before = self.most = status("RssAnon")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._is_over.set()
        self._thread.join()

    def _look(self):
        while not self._is_over.wait(0.005):
            self.most = max(self.most, status("RssAnon"))


class Parts:
    """An iterable of batches of an array."""

    def __init__(self, X, size):
        self.X, self.size = X, size

    def __iter__(self):
        return (self.X[start : start + self.size] for start in range(0, len(self.X), self.size))


def learn(path, way, args):
    """Print the memory in bytes, CPU and wall seconds of one fit, as JSON."""
    X = np.memmap(path, np.float32, "r", shape=(args.n_samples, N_PIXELS))
    options = {"batch_size": args.batch_size, "random_state": 0, "record_num_batches": 1024}
    model = SparseHebbianLearning(200, l0_sparseness=5, n_iter=5, **options).fit(X[:20_000])
    n_iter = int(args.passes * args.n_samples / args.batch_size)
    model.set_params(n_iter=n_iter, record_each=0 if way == "batches" else n_iter)
    data = np.array(X) if way == "array" else Parts(X, 8 * args.batch_size)
    data = X if way == "map" else data
    with Peak() as peak:
        began = time.process_time()
        wall = seconds_of(lambda: model.fit(data))
        cpu = time.process_time() - began
    print(json.dumps({"bytes": peak.most - peak.before, "cpu": cpu, "wall": wall}))


def run_stream(args):
    """Learning from a memory map: memory beside the file, and speed against an array in memory.

    Random samples of 100 pixels in float32 are written to a temporary file.  Each way of learning
    runs in a process of its own, in turns: `fit` on the map, on the array read into memory, and on
    an iterable of batches of the map.  Memory is the largest anonymous resident set while learning,
    less that before: pages of the file, which the system may drop at any time, do not count.
    """
    if args.learn:
        return learn(*args.learn, args)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "data", args.n_samples, N_PIXELS)
        found = {way: [] for way in WAYS}
        for _ in range(args.rounds):
            for way, runs in found.items():
                runs.append(json.loads(output_of(*sys.argv, "--learn", path, way)))
    print(
        f"{args.n_samples} x {N_PIXELS} float32, {args.passes:g} passes; medians of {args.rounds}"
    )
    rows = {
        way: np.median([list(each.values()) for each in runs], 0) for way, runs in found.items()
    }
    head = "way", "MB beside the data", "CPU, s", "speed by CPU", "speed by the clock"
    lines = [
        [way, size / 1e6, cpu, *(rows["array"][1:] / (cpu, wall))]
        for way, (size, cpu, wall) in rows.items()
    ]
    print(*table(head, lines, is_markdown=True), sep="\n")


N_SAMPLES = {"n-samples": {"type": int, "default": 1_000_000}}
PARTS = {
    "large": (run_large, {}),
    "memory": (run_memory, {**N_SAMPLES, "file": {"help": "one process's part"}}),
    "stream": (
        run_stream,
        {
            **N_SAMPLES,
            "batch-size": {"type": int, "default": 1024},
            "passes": {"type": float, "default": 1.0},
            "rounds": {"type": int, "default": 3},
            "learn": {"nargs": 2, "metavar": ("FILE", "WAY"), "help": "one process's part"},
        },
    ),
}

if __name__ == "__main__":
    run(__doc__, PARTS)
