"""Scans: parallel efficiency, the second run of a finished scan, and what store and checkpoints
cost.

Small learnings of the study (144 pixels, 196 atoms, 10 events), each on one thread, in temporary
folders.
"""

import argparse
import tempfile
import time

import joblib

from shl import SHL, SHL_set

OPTS = {
    "patch_width": 12,
    "n_dictionary": 196,
    "l0_sparseness": 10,
    "n_iter": 1025,
    "N_patches": 16384,
    "batch_size": 512,
}


def timed(function):
    """Seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def run(folder, n_jobs, n_scan):
    """Seconds of a scan over seeds."""
    experiments = SHL_set({**OPTS, "cache_dir": folder}, N_scan=n_scan)
    experiments.middle.get_data()
    return timed(lambda: experiments.run(["seed"], n_jobs=n_jobs))


def efficiency(n_learnings):
    """Seconds on one worker / (workers * seconds on all), workers started before."""
    n_jobs = joblib.cpu_count()
    with tempfile.TemporaryDirectory() as folder:
        run(folder, n_jobs, n_jobs)  # a scan's workers are its own, and stay for the next
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as all_cores:
        alone, together = run(one, 1, n_learnings), run(all_cores, n_jobs, n_learnings)
    print(
        f"{n_learnings} learnings: {alone:.1f} s on 1 worker, {together:.1f} s on {n_jobs}: "
        f"efficiency {alone / n_jobs / together:.2f} (at least 0.9)"
    )


def second_run(n_learnings):
    """Seconds of a scan, and of the same scan again."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (run(folder, joblib.cpu_count(), n_learnings) for _ in range(2))
    print(
        f"{n_learnings} learnings: {first:.1f} s, again {second:.2f} s (at most 2), "
        f"{first / second:.0f} times "
        f"faster (at least 100)"
    )


def overhead(rounds):
    """A learning with store and checkpoints every 30 s against one without, in turn."""
    ratios = []
    opts = {**OPTS, "n_iter": 20 * OPTS["n_iter"]}
    data = SHL(**opts, cache_dir=None).get_data()
    for _ in range(rounds):
        without = timed(lambda: SHL(**opts, cache_dir=None).learn_dico(data=data))
        with tempfile.TemporaryDirectory() as folder:
            kept = SHL(**opts, cache_dir=folder)
            ratios.append(
                timed(lambda kept=kept: kept.learn_dico(data=data, matname="x")) / without
            )
    print(
        f"a learning of {without:.0f} s: {sorted(ratios)[len(ratios) // 2]:.3f} of its time with "
        f"store and "
        f"checkpoints (at most 1.03)"
    )


def main():
    """Print the three measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    efficiency(16)
    second_run(36)
    overhead(args.rounds)


if __name__ == "__main__":
    main()
