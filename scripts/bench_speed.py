"""What is promised of speed, in one run: coding, learning steps, and the large dictionary.

The rows of `bench_coding.py` and `bench_learning.py` that have a bound, on one thread and on all.
--page docs/results/speed.md writes them where the page has a place for them.
"""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from bench_coding import learned, measure_ours, measure_spams
from bench_learning import AT_ONCE, measure_changes, measure_few_samples, measure_step
from rounds import SIZE, parse, patches, report
from threadpoolctl import threadpool_limits


def measure_coding(X, args):
    """Rows of coding."""
    plain, fair = (learned(X[:8192], rule, args.n_jobs) for rule in ("HAP", "HEH"))
    X = X[: SIZE["n_samples"]]
    for n_jobs in sorted({1, args.n_jobs}):
        yield from measure_ours(X, plain, fair, n_jobs, args)
    if not args.no_peers:
        yield from measure_spams(X, plain.components_, args)


def measure_learning(X, args):
    """Rows of learning steps."""
    alone = Namespace(**{**vars(args), "n_jobs": 1})
    with threadpool_limits(1):  # of the products
        yield from measure_step(X, 256, alone, {"but for it": 2.2}, AT_ONCE)
        yield from measure_changes(X, alone)
    with threadpool_limits(args.n_jobs):
        yield from measure_step(X, 4096, args, {"HAP": 3.5, "HEH": 2.0})
        yield from measure_few_samples(args)


def measure_large(args):
    """Lines on the large dictionary, learned in a process of its own, for its memory."""
    script = Path(__file__).with_name("bench_learning.py")
    command = [sys.executable, script, "--large", f"--n-jobs={args.n_jobs}"]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(found, end="")
    return found.splitlines()


def main():
    """Print the table."""
    parser = parse(__doc__)
    parser.add_argument("--no-large", action="store_true", help="leave the large dictionary out")
    args = parser.parse_args()
    X = patches(args, 32768)
    rows = [*measure_coding(X, args), *measure_learning(X, args)]
    notes = [] if args.no_large else ["", *measure_large(args)]
    report(rows, args, notes)


if __name__ == "__main__":
    main()
