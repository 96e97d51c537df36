"""Scans, the store, and Dask beside one process.

A scan's learnings are small ones of the study (144 pixels, 196 atoms, 10 non-zeros), each on one
thread.  Dask's samples of 144 pixels are drawn on its workers, processes of one thread, in blocks
of 50,000.  Its memory is the sum of the most that the client and each worker had.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import dask.array
import joblib
import numpy as np
from distributed import Client, LocalCluster
from rounds import alternate, measured, peak, run, seconds_of

from shl import SHL, SHL_set, SparseCoder, SparseHebbianLearning
from shl._base.blocks import Blocks

OPTS = {"patch_width": 12, "n_dictionary": 196, "l0_sparseness": 10}
OPTS |= {"n_iter": 1025, "N_patches": 16384, "batch_size": 512}
ROWS, PIXELS, BATCH = 50_000, 144, 1024  # of a block, of a sample, of a step
WORKERS = {"threads_per_worker": 1, "dashboard_address": None}


# ---------------------------------------------------------------------------- scans and the store


def scan(folder, n_jobs, n_learnings):
    """Seconds of a scan over seeds."""
    experiments = SHL_set({**OPTS, "cache_dir": folder}, N_scan=n_learnings)
    experiments.middle.get_data()
    return seconds_of(lambda: experiments.run(["seed"], n_jobs=n_jobs))


def scans(args):
    """Rows of efficiency, of a second run, and of the size of a store."""
    n_jobs, n = joblib.cpu_count(), args.n_learnings
    folders = [tempfile.TemporaryDirectory() for _ in range(8)]
    warm, default, *each = (folder.name for folder in folders)
    scan(warm, n_jobs, n_jobs)  # a scan's workers are its own, and stay for the next
    turns = [(scan(each[i], 1, n), scan(each[i + 1], n_jobs, n)) for i in (0, 2, 4)]
    alone, together = map(min, zip(*turns, strict=True))
    yield f"a scan of {n} learnings: efficiency of {n_jobs} workers", alone / n_jobs / together, 0.9
    again = scan(each[1], n_jobs, n)
    yield "the same scan again, all of it stored, s", again, -2
    opts = {**OPTS, "n_iter": 2 * OPTS["n_iter"], "checkpoint_each": OPTS["n_iter"] // 2}
    data = SHL(**opts, cache_dir=None).get_data()
    learn = {
        "without": lambda: SHL(**opts, cache_dir=None).learn_dico(data=data),
        "with": lambda: _learn_anew(SHL(**opts, cache_dir=warm), data),
    }
    cpu = alternate(learn, args.rounds, time.process_time)
    work = "CPU of a learning with store and 4 checkpoints / without"
    yield work, cpu["with"] / cpu["without"], -1.03
    shl = SHL(n_iter=33, cache_dir=default)
    shl.learn_dico(data=shl.get_data(), matname="learn")
    size = sum(path.stat().st_size for path in Path(default).iterdir())
    yield "store after a learning of the default size, MB", size / 1e6, -40


def _learn_anew(shl, data):
    shl.result_path(data=data, matname="x").unlink(missing_ok=True)
    shl.learn_dico(data=data, matname="x")


# --------------------------------------------------------------------------------------------- Dask


def cpu_of(coder, X):
    """CPU seconds to code X in batches, after a first one."""
    coder.transform(X[:3000])
    batches = [X[start : start + 2560] for start in range(0, len(X), 2560)]
    return seconds_of(lambda: list(map(coder.transform, 8 * batches)), time.process_time)


def warm_up():
    """Load what coding and learning need."""
    X = np.random.default_rng(0).standard_normal((2 * BATCH, PIXELS), np.float32)
    model = SparseHebbianLearning(200, n_iter=2, batch_size=BATCH).fit(X)
    model.transform(X)
    SparseCoder(model.components_, algorithm="mp", l0_sparseness=10).transform(X)


def forget_peak():
    """Let `peak` count anew."""
    Path("/proc/self/clear_refs").write_text("5")


class Measured(NamedTuple):
    """What a call took: seconds, CPU of this process and of the busiest worker, memory."""

    seconds: float
    here: float
    there: float
    GB: float
    result: object


def measure(n_workers, function, prepare=int):
    """What function() takes with workers of its own, after prepare() on each."""
    with LocalCluster(n_workers=n_workers, **WORKERS) as cluster, Client(cluster) as client:
        client.run(prepare)
        forget_peak()
        before = client.run(time.process_time)
        seconds, here = time.perf_counter(), time.process_time()
        result = function()
        seconds, here = time.perf_counter() - seconds, time.process_time() - here
        there = max(cpu - before[name] for name, cpu in client.run(time.process_time).items())
        size = (peak() + sum(client.run(peak).values())) / 1e9
        return Measured(seconds, here, there, size, result)


def samples(n_rows):
    """Samples that are drawn when they are asked for."""
    draw = dask.array.random.default_rng(0).standard_normal
    return draw((n_rows, PIXELS), chunks=(ROWS, PIXELS), dtype="f4")


def learn(X, n_blocks):
    """The atoms after the steps that so many blocks give."""
    options = {"n_iter": n_blocks * -(-ROWS // BATCH), "batch_size": BATCH, "random_state": 0}
    return SparseHebbianLearning(200, **options).fit(X).components_


def dask_arrays(args):
    """Rows of coding and learning through Dask."""
    atoms, X = np.split(
        np.random.default_rng(0).standard_normal((20_200, PIXELS), np.float32), [200]
    )
    coder = SparseCoder(atoms, algorithm="mp", l0_sparseness=10)
    here, there = [], []
    with LocalCluster(n_workers=1, **WORKERS) as cluster, Client(cluster) as client:
        for _ in range(args.rounds):
            here.append(cpu_of(coder, X))
            there.append(client.submit(cpu_of, coder, X, pure=False).result())
    yield "CPU of coding in a worker / in the process, least", min(there) / min(here), -1.1
    ratio = statistics.median(there) / statistics.median(here)
    yield "CPU of coding in a worker / in the process, median", ratio, -1.1

    def code(n_rows):
        return (coder.transform(samples(n_rows)) != 0).sum().compute()

    turns = [[measure(n, lambda: code(args.n_samples), warm_up) for n in (1, 2)] for _ in range(3)]
    work = f"`transform` of {args.n_samples:,} samples"
    one, two = (min(turn[n].seconds for turn in turns) for n in (0, 1))
    yield f"speed of {work}, 2 workers / 1, {two:.1f} s", one / two, 1.8
    one, two = (min(turn[n].there for turn in turns) for n in (0, 1))
    yield "speed by the CPU of the busiest worker, 2 workers / 1", one / two, 1.8
    yield f"{work}, 2 workers, GB", max(turn[1].GB for turn in turns), -1.5
    few, n_blocks = args.n_few, args.n_few // ROWS
    warm_up()
    blocks = [np.asarray(block) for block in Blocks(samples(few), 0)]
    memory, lazy = [], []
    for _ in range(2):
        began = time.process_time()
        memory.append((seconds_of(lambda: learn(blocks, n_blocks)), time.process_time() - began))
        lazy.append(measure(2, lambda: learn(samples(few), n_blocks)))
    ratio = min(turn.seconds for turn in lazy) / min(memory)[0]
    yield f"time of `fit` of {few:,} samples, 2 workers / from memory", ratio, -1.2
    ratio = min(turn.here for turn in lazy) / min(cpu for _, cpu in memory)
    yield "CPU of this process in it / from memory", ratio, -1.2
    blocks.clear()
    size = measure(2, lambda: learn(samples(args.n_samples), n_blocks)).GB
    yield f"`fit` of {args.n_samples:,} samples, steps of {few:,}, 2 workers, GB", size, -1.5
    found = [measure(n, lambda: learn(samples(4 * ROWS), 4)).result for n in (1, 2, 3)]
    found.append(learn(iter(Blocks(samples(4 * ROWS), 0)), 4))
    n_kinds = len({atoms.tobytes() for atoms in found})
    yield "dictionaries of 1, 2, 3 workers and of an iterator that differ", n_kinds - 1, 0


if __name__ == "__main__":
    few = {"n-learnings": {"type": int, "default": 8}}
    many = {"n-samples": 10_000_000, "n-few": 4_000_000}
    many = {name: {"type": int, "default": size} for name, size in many.items()}
    parts = {"scans": (measured(scans), few), "dask": (measured(dask_arrays), many)}
    run(__doc__, parts, shared=("rounds",))
