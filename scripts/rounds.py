"""What the benchmarks share: flags, contestants that take turns, a table of times and their ratios,
what the machine is, and rows that a file keeps.
"""

import argparse
import functools
import importlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from shl import SHL
from shl._base.tables import table

PAUSE = 0.1  # seconds
QUIET = 0.15  # the spread of rounds on a machine that does little else
ASKED = {"action": "store_true"}
FLAGS = {
    "rounds": {"type": int, "default": 7, "help": "turns of each contestant (default 7)"},
    "n-jobs": {"type": int, "default": joblib.cpu_count(), "help": "threads (default: all cores)"},
    "cpu-time": {
        **ASKED,
        "help": "the process's CPU time, for one thread on a machine that is shared",
    },
    "database": {"default": "sample"},
    "datapath": {"default": "database/"},
    "json": {"type": Path, "metavar": "FILE", "help": "write the rows as JSON"},
    "no-peers": {**ASKED, "help": "leave other packages out"},
}
SIZE = {"n_samples": 4096, "n_pixels": 441, "n_dictionary": 676, "l0_sparseness": 21}


def run(description, parts, shared=tuple(FLAGS)):
    """Run what the first argument names, of {name: (function of the flags, {flag: options})}.

    A script of one part has the name None and no such argument.  `shared` names flags of FLAGS.
    """
    common = {flag: FLAGS[flag] for flag in shared}
    form = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(description=description, **form)
    choices = None if None in parts else parser.add_subparsers(dest="part", required=True)
    for name, (function, flags) in parts.items():
        part = choices.add_parser(name, description=function.__doc__, **form) if name else parser
        for flag, options in (common | flags).items():
            part.add_argument(f"--{flag}", **options)
        part.set_defaults(run=function)
    args = parser.parse_args()
    args.run(args)


def output_of(script, *arguments):
    """What a script prints in a process of its own."""
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


class Seconds(float):
    """The least time of some rounds, which neighbours on the machine disturb least; with the median
    of the rounds, and how far that lies above.
    """

    def __new__(cls, rounds):
        """From the seconds of each round."""
        self = super().__new__(cls, min(rounds))
        self.rounds = list(rounds)
        self.median = statistics.median(rounds)
        self.spread = self.median / self - 1
        return self

    def over(self, n_times):
        """The time of each of n_times in a round."""
        return Seconds([seconds / n_times for seconds in self.rounds])


def seconds_of(function, clock=time.perf_counter):
    """Seconds that a call takes."""
    began = clock()
    function()
    return clock() - began


def alternate(contestants, rounds, clock=time.perf_counter, measure=seconds_of):
    """{name: Seconds} of functions that are called in turn, after one call each to warm up.

    A pause before each lets the threads of BLAS, which spin for a while after a product, go to
    sleep.
    """
    seconds = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, function in contestants.items():
            time.sleep(PAUSE)
            took = measure(function, clock)
            if turn:
                seconds[name].append(took)
    return {name: Seconds(values) for name, values in seconds.items()}


def clock_of(args):
    """The clock that the flags ask for."""
    return time.process_time if args.cpu_time else time.perf_counter


def row(work, seconds, unit, unit_name, most=None):
    """One line of a table: a ratio and the most it may be; of the least times, and of medians."""
    return {
        "work": work,
        "ms": 1000 * seconds,
        "ratio": seconds / unit,
        "ratio of medians": getattr(seconds, "median", seconds) / getattr(unit, "median", unit),
        "spread": getattr(seconds, "spread", 0.0),
        "to": unit_name,
        "at most": most,
    }


def machine():
    """The processor, its caches, cores and load, as far as the system tells."""
    name, caches = platform.processor() or platform.machine(), []
    if (cpus := Path("/proc/cpuinfo")).exists():
        lines = [line.partition(":") for line in cpus.read_text().splitlines()]
        name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), name)
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (folder / part).read_text().strip() for part in ("level", "type", "size")
        )
        if kind != "Instruction":
            caches.append(f"L{level} {size}")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{name}, {', '.join(caches) or 'caches unknown'}, {joblib.cpu_count()} cores{load}"


def report(rows, args):
    """Print a table of rows, and which of them a busy machine spoiled; write them where asked."""
    rows, clock = list(rows), "CPU time" if args.cpu_time else "wall-clock time"
    print(f"{machine()}; {clock}, least (median) of {args.rounds} alternating rounds:\n")
    columns = {"work": "work", f"ms of {clock}": lambda row: f"{row['ms']:.3g}"}
    columns |= {"least (median)": _show_ratio, "at most": _show_bound}
    print(*table(columns, rows, is_markdown=True), sep="\n")
    if busy := [entry["work"] for entry in rows if entry["spread"] > QUIET]:
        what = f"Medians are over {QUIET:.0%} above the least times of {', '.join(busy)}"
        print(f"\nThe machine was busy. {what}.")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


def _show_ratio(row):
    return f"{row['ratio']:.3g} ({row['ratio of medians']:.3g}) x {row['to']}"


def _show_bound(row):
    most = "" if row["at most"] is None else f"{row['at most']:g}"
    return most + (", **missed**" if most and row["ratio"] > row["at most"] else "")


def print_measured(rows):
    """Print rows (work, value, bound), a negative bound being the most, as they come."""
    print("| work | measured | bound |\n|---|---|---|", flush=True)
    for work, value, bound in rows:
        print(f"| {work} | {value:.3g} | {judge(('', value, bound))} |", flush=True)


def measured(function):
    """Return what prints the rows that a function of the flags measures, see `print_measured`."""

    @functools.wraps(function)
    def call(args):
        print_measured(function(args))

    return call


def judge(*asked, signs=("at least", "at most")):
    """Bounds from (name, value, least, or minus the most), and which are missed."""
    missed = [name for name, value, bound in asked if (-value if bound <= 0 else value) < bound]
    bounds = [f"{name} {signs[bound <= 0]} {abs(bound):g}".strip() for name, _, bound in asked]
    return ", ".join(bounds) + (f": **missed {', '.join(missed)}".rstrip() + "**" if missed else "")


class Kept:
    """Rows that are measured once, on one thread: a file of JSON lines keeps them, if there is one.

    Parameters
    ----------
    path : Path or None
    """

    def __init__(self, path):
        self.path, self.rows = path, {}
        if path and path.exists():
            self.rows = {tuple(key): row for key, row in map(json.loads, path.open())}

    def get(self, key, measure):
        """The row of a key, from the file, or measured now."""
        if key not in self.rows:
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore")
                self.rows[key] = measure()
            if self.path:
                with self.path.open("a") as file:
                    print(json.dumps([key, self.rows[key]]), file=file)
        return self.rows[key]


def patches(args, n_patches=8192, **options):
    """Natural patches (n_patches, 441) float32."""
    options |= {"name_database": args.database, "datapath": args.datapath}
    return SHL(N_patches=n_patches, cache_dir=None, batch_size=1024, **options).get_data()


def find_peer(name):
    """A module, or None with a line that says it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed and left out (pip install 'shl[bench]')")
        return None


def status(field):
    """Bytes of a field of /proc/self/status, 0 where the system has none."""
    if not (path := Path("/proc/self/status")).exists():
        return 0
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return int(fields[field].split()[0]) * 1024


def peak():
    """The most memory this process has had, bytes, without pages of mapped files where the system
    tells.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    return status("VmHWM") or unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def words(n_jobs):
    """How many threads, in words."""
    return "1 thread" if n_jobs == 1 else f"{n_jobs} threads"


def exponent(sizes, seconds):
    """The k of seconds ~ size^k, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
