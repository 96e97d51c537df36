"""What the benchmarks share: contestants that take turns, a table of times and their ratios, what
the machine is.
"""

import argparse
import importlib
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np

from shl import SHL

PLACE = re.compile(  # of a page, for what a command measures
    r"<!-- measured: (?P<command>[^\n]+?) -->\n(?P<block>.*?)<!-- end of measured -->", re.DOTALL
)
PAUSE = 0.1  # seconds
QUIET = 0.15  # the spread of rounds on a machine that does little else
FLAGS = {
    "rounds": {"type": int, "default": 7, "help": "turns of each contestant (default 7)"},
    "n-jobs": {"type": int, "default": joblib.cpu_count(), "help": "threads (default: all cores)"},
    "cpu-time": {
        "action": "store_true",
        "help": "the process's CPU time, for one thread on a machine that is shared",
    },
    "database": {"default": "sample"},
    "datapath": {"default": "database/"},
    "json": {"metavar": "FILE", "help": "write the rows as JSON"},
    "page": {"metavar": "FILE", "help": "write the rows into a page that has a place for them"},
    "plot": {"metavar": "FILE", "help": "write a picture"},
    "no-peers": {"action": "store_true", "help": "leave other packages out"},
}
SIZE = {"n_samples": 4096, "n_pixels": 441, "n_dictionary": 676, "l0_sparseness": 21}


def parse(description):
    """The flags of every benchmark."""
    form = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(description=description, **form)
    for name, options in FLAGS.items():
        parser.add_argument(f"--{name}", **options)
    return parser


def run_part(description, parts):
    """Run what the first argument names, of {name: (function of the flags, {flag: options})}."""
    form = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(description=description, **form)
    choices = parser.add_subparsers(dest="part", required=True)
    for name, (function, flags) in parts.items():
        part = choices.add_parser(name, description=function.__doc__, **form)
        for flag, options in (FLAGS | flags).items():
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


def alternate(contestants, rounds, clock=time.perf_counter):
    """{name: Seconds} of functions that are called in turn, after one call each to warm up.

    A pause before each lets the threads of BLAS, which spin for a while after a product, go to
    sleep.
    """
    seconds = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, function in contestants.items():
            time.sleep(PAUSE)
            began = clock()
            function()
            if turn:
                seconds[name].append(clock() - began)
    return {name: Seconds(values) for name, values in seconds.items()}


def clock_of(args):
    """The clock that the flags ask for."""
    return time.process_time if args.cpu_time else time.perf_counter


def row(work, seconds, unit, unit_name, most):
    """One line of a table: a ratio and the most it may be; of the least times, and of medians."""
    median = getattr(seconds, "median", seconds)
    return {
        "work": work,
        "ms": 1000 * seconds,
        "ratio": seconds / unit,
        "ratio of medians": median / getattr(unit, "median", unit),
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


def report(rows, args, notes=()):
    """Print the rows and write them where asked, with notes on a page."""
    clock = "CPU time" if args.cpu_time else "wall-clock time"
    print(
        f"{machine()}\n{args.n_jobs} threads, {clock}, least (and median) of {args.rounds} rounds"
    )
    for entry in rows:
        most = "" if entry["at most"] is None else f"   (at most {entry['at most']:g})"
        digits = 1 if entry["ms"] >= 1 else 5
        print(
            f"{entry['work']:<52}{entry['ms']:>12.{digits}f} ms{entry['ratio']:>9.3f} "
            f"({entry['ratio of medians']:.3f}) x {entry['to']}{most}"
        )
    worst = max(rows, key=lambda entry: entry["spread"])
    if worst["spread"] > QUIET:
        print(
            f"The machine is busy: the median of {worst['work']!r} is {worst['spread']:.0%} above "
            f"its least time. Ratios hold where the medians are within {QUIET:.0%}."
        )
    if args.page:
        name = f"{Path(sys.argv[0]).name} {getattr(args, 'part', '')}".strip()
        write_block(Path(args.page), name, [*of_machine(args), "", *as_table(rows), *notes])
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"machine": machine(), "rows": rows}, file, indent=1)


def of_machine(args):
    """What a table of times was measured on, and how."""
    clock = "CPU time" if args.cpu_time else "wall-clock time"
    date = time.strftime("%B %Y")
    yield f"{machine()}; {date}; {clock}, least (median) of {args.rounds} alternating rounds:"


def as_table(rows):
    """The lines of a Markdown table of rows, and which of them a busy machine spoiled."""
    yield "| work | ms | least (median) | at most |"
    yield "|---|---|---|---|"
    for entry in rows:
        ratio = f"{entry['ratio']:.3g} ({entry['ratio of medians']:.3g}) x {entry['to']}"
        most = "" if entry["at most"] is None else f"{entry['at most']:g}"
        most += ", **missed**" if most and entry["ratio"] > entry["at most"] else ""
        yield f"| {entry['work']} | {entry['ms']:.3g} | {ratio} | {most} |"
    if busy := [entry["work"] for entry in rows if entry["spread"] > QUIET]:
        yield ""
        yield f"The machine was busy: medians lie more than {QUIET:.0%} above the least times of"
        yield f"{', '.join(busy)}."


def write_block(page, name, lines):
    """Put lines between the marks `<!-- measured: COMMAND -->` and `<!-- end of measured -->` of a
    page, after the command in which the name stands.
    """
    text = page.read_text(encoding="utf-8")
    places = [match for match in PLACE.finditer(text) if name in match["command"]]
    if len(places) != 1:
        raise ValueError(f"{page} has {len(places)} places of a command with {name}, not 1")
    start, stop = places[0].span("block")
    block = "\n".join(["", *lines, "", ""])
    page.write_text(text[:start] + block + text[stop:], encoding="utf-8")


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
