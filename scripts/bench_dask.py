"""Dask: CPU of coding in a worker against this process, and memory of an array larger than memory.

Random samples of 144 pixels in float32 are made on the workers, coded and learned from.
"""

import argparse
import os
import threading
import time
from pathlib import Path

import dask.array
import numpy as np
from distributed import Client, LocalCluster

from shl import SparseCoder, SparseHebbianLearning


def resident(pid):
    """Bytes of memory of a process (Linux)."""
    return 4096 * int(Path(f"/proc/{pid}/statm").read_text().split()[1])


class Peaks:
    """The largest memory of processes while it is open."""

    def __init__(self, pids):
        self.most, self._over = dict.fromkeys(pids, 0), threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self.began = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.05):
            self.most = {pid: max(most, resident(pid)) for pid, most in self.most.items()}

    def __str__(self):
        sizes = " + ".join(f"{most / 1e6:.0f}" for most in self.most.values())
        return f"{time.perf_counter() - self.began:.0f} s, client + workers {sizes} MB"


def cpu_of(coder, X):
    """CPU seconds to code X in batches, after a first one."""
    coder.transform(X[:3000])
    began = time.process_time()
    for _ in range(8):
        for start in range(0, len(X), 2560):
            coder.transform(X[start : start + 2560])
    return time.process_time() - began


def main():
    """Print the three measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-samples", type=int, default=10**7)
    parser.add_argument("--n-workers", type=int, default=2)
    args = parser.parse_args()
    atoms, X = np.split(np.random.default_rng(0).standard_normal((20_200, 144), np.float32), [200])
    coder = SparseCoder(atoms, algorithm="mp", l0_sparseness=10)
    options = {"n_workers": args.n_workers, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        here, there = [], []
        for _ in range(5):
            here.append(cpu_of(coder, X))
            there.append(client.submit(cpu_of, coder, X, pure=False).result())
        print(f"CPU in a worker / in this process: {min(there) / min(here):.2f} (at most 1.1)")
        pids = [os.getpid(), *(worker.pid for worker in cluster.workers.values())]
        shape, chunks = (args.n_samples, 144), (50_000, 144)
        X = dask.array.random.default_rng(0).standard_normal(shape, chunks=chunks, dtype="f4")
        with Peaks(pids) as peaks:
            (coder.transform(X) != 0).sum().compute()
            print(f"transform: {peaks}", flush=True)
        with Peaks(pids) as peaks:
            n_iter = args.n_samples // 1024
            model = SparseHebbianLearning(200, n_iter=n_iter, batch_size=1024, random_state=0)
            model.fit(X)
            print(f"fit of {n_iter} steps: {peaks}")


if __name__ == "__main__":
    main()
