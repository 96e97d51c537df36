"""What the benchmarks share: contestants that take turns, a table of medians and ratios, the
machine's size.
"""

import argparse
import importlib
import json
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

import joblib
import numpy as np

from shl import SHL

PAUSE = 0.1  # seconds
SIZE = {"n_samples": 4096, "n_pixels": 441, "n_dictionary": 676, "l0_sparseness": 21}


def parse(description):
    """The flags of every benchmark."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=7, help="turns of each contestant (default 7)"
    )
    parser.add_argument(
        "--n-jobs", type=int, default=joblib.cpu_count(), help="threads (default: all cores)"
    )
    parser.add_argument("--database", default="sample")
    parser.add_argument("--datapath", default="database/")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON")
    parser.add_argument("--plot", metavar="FILE", help="write a picture")
    parser.add_argument("--no-peers", action="store_true", help="leave other packages out")
    return parser


def alternate(contestants, rounds):
    """{name: median seconds} of functions that are called in turn, after one call each to warm up.

    A pause before each lets the threads of BLAS, which spin for a while after a product, go to
    sleep.
    """
    seconds = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, function in contestants.items():
            time.sleep(PAUSE)
            began = time.perf_counter()
            function()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def row(work, seconds, unit, unit_name, most):
    """One line of a table: a ratio and the most it may be."""
    return {
        "work": work,
        "ms": 1000 * seconds,
        "ratio": seconds / unit,
        "to": unit_name,
        "at most": most,
    }


def report(rows, args):
    """Print the rows and write them where asked."""
    print(
        f"{platform.machine()}, {joblib.cpu_count()} cores, {args.n_jobs} threads, medians of "
        f"{args.rounds} rounds"
    )
    for entry in rows:
        most = "" if entry["at most"] is None else f"   (at most {entry['at most']:g})"
        digits = 1 if entry["ms"] >= 1 else 5
        print(
            f"{entry['work']:<52}{entry['ms']:>12.{digits}f} ms{entry['ratio']:>9.3f} x "
            f"{entry['to']}{most}"
        )
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)


def patches(args, n_patches=8192, **options):
    """Natural patches (n_patches, 441) float32."""
    return SHL(
        name_database=args.database,
        datapath=args.datapath,
        N_patches=n_patches,
        cache_dir=None,
        batch_size=1024,
        **options,
    ).get_data()


def find_peer(name):
    """A module, or None with a line that says it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed and left out (pip install 'shl[bench]')")
        return None


def peak():
    """The most memory this process has had, bytes, without pages of mapped files where the system
    tells.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def exponent(sizes, seconds):
    """The k of seconds ~ size^k, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
