"""Learning from a memory map: memory beside the file, and speed against the same array in memory.

Random samples of 100 pixels in float32 are written to a temporary file.  Each way of learning runs
in a process of its own, in turns: `fit` on the map, `fit` on the array read into memory, and `fit`
on an iterable of batches of the map.  Memory is the largest anonymous resident set while learning,
less that before: pages of the file, which the system may drop at any time, do not count.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

N_PIXELS = 100
WAYS = ("map", "array", "batches")
WRITTEN_ROWS = 100_000


def write(path, n_samples):
    """Sums of a few multiples of random atoms, written in parts."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((200, N_PIXELS)).astype(np.float32)
    X = np.memmap(path, np.float32, "w+", shape=(n_samples, N_PIXELS))
    for start in range(0, n_samples, WRITTEN_ROWS):
        rows = X[start : start + WRITTEN_ROWS]
        rows[:] = 0
        for _ in range(5):
            rows += rng.gamma(4, 0.25, (len(rows), 1)) * atoms[rng.integers(0, 200, len(rows))]
    X.flush()


def anonymous():
    """Bytes of resident memory that no file stands behind (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


class Peak:
    """The largest `anonymous` while it is open, looked at every few milliseconds."""

    def __enter__(self):
        self.before = self.most = anonymous()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._is_over.set()
        self._thread.join()

    def _look(self):
        while not self._is_over.wait(0.005):
            self.most = max(self.most, anonymous())


class Parts:
    """An iterable of batches of an array."""

    def __init__(self, X, size):
        self.X, self.size = X, size

    def __iter__(self):
        return (self.X[start : start + self.size] for start in range(0, len(self.X), self.size))


def learn(path, way, args):
    """Print the memory in bytes, CPU and wall seconds of one fit, as JSON."""
    from shl import SparseHebbianLearning

    X = np.memmap(path, np.float32, "r", shape=(args.n_samples, N_PIXELS))
    options = {"batch_size": args.batch_size, "random_state": 0, "record_num_batches": 1024}
    model = SparseHebbianLearning(200, l0_sparseness=5, n_iter=5, **options).fit(X[:20_000])
    n_iter = int(args.passes * args.n_samples / args.batch_size)
    model.set_params(n_iter=n_iter, record_each=0 if way == "batches" else n_iter)
    data = np.array(X) if way == "array" else Parts(X, 8 * args.batch_size)
    data = X if way == "map" else data
    with Peak() as peak:
        cpu, wall = time.process_time(), time.perf_counter()
        model.fit(data)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"bytes": peak.most - peak.before, "cpu": cpu, "wall": wall}))


def main():
    """Write the file, learn from it in each way, print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-samples", type=int, default=1_000_000)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--passes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--learn", nargs=2, metavar=("FILE", "WAY"), help="one process's part")
    args = parser.parse_args()
    if args.learn:
        learn(*args.learn, args)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        write(path, args.n_samples)
        found = {way: [] for way in WAYS}
        for _ in range(args.rounds):
            for way in WAYS:
                command = [sys.executable, *sys.argv, "--learn", str(path), way]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[way].append(json.loads(done.stdout))
    print(
        f"{args.n_samples} x {N_PIXELS} float32, {args.passes:g} passes; medians of {args.rounds}"
    )
    middle = {
        way: {name: np.median([run[name] for run in runs]) for name in runs[0]}
        for way, runs in found.items()
    }
    for way, run in middle.items():
        speeds = (middle["array"][clock] / run[clock] for clock in ("cpu", "wall"))
        print(
            f"{way:<8} {run['bytes'] / 1e6:6.0f} MB beside the data, {run['cpu']:.1f} s CPU; speed "
            f"against the array in memory: CPU {next(speeds):.2f}, wall {next(speeds):.2f}"
        )


if __name__ == "__main__":
    main()
