"""Does a rule of homeostasis break down?  Error and usage on new patches, over rates and sizes.

Every rule learns in every cell of a grid of eta x eta_homeo x batch_size on each size and database;
a row gives its error relative to that of plain pursuit, 'None', and the entropy of usage, under
plain pursuit and under the rule's own competition (`own`).  Learnings are kept in the store: a run
that was interrupted goes on, and one with more cells learns the new ones alone.

    python scripts/bench_homeostasis.py --quick
    python scripts/bench_homeostasis.py --steps 300 --datapath DIR --database kodakdb sample
"""

import argparse
import itertools

from shl._base.tables import table
from shl.annex.study import FRESH_SEED, evaluate
from shl.experiments.experiment import SHL
from shl.experiments.scan import SHL_set

RULES = ("HAP", "HEH2019", "HEH")
SIZES = {  # patch_width, n_dictionary, l0_sparseness
    "small": (12, 196, 10),
    "study": (21, 676, 21),
    "dense": (21, 676, 42),
    "wide": (21, 956, 21),
}
GRID = {"eta": (0.005, 0.02, 0.04), "eta_homeo": (0.005, 0.01, 0.05), "batch_size": (64, 256, 1024)}
QUICK = {"eta": (0.02,), "eta_homeo": (0.01, 0.05), "batch_size": (64, 256)}
MOST_ERROR, LEAST_ENTROPY = 0.02, 0.985
N_FRESH, N_HELD_OUT = 4096, 256
COLUMNS = ("error", "error_own", "entropy", "entropy_own", "F", "F_own", "unused")


def main():
    """Learn the cells that the arguments select, and print their rows."""
    args = parse()
    rows = []
    for database, size in itertools.product(args.database, args.size):
        rows += measure_cells(database, size, args)
    report(rows, args)


def parse():
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300, help="of each learning (default 300)")
    parser.add_argument("--quick", action="store_true", help="4 cells of the small size alone")
    parser.add_argument("--size", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rules", nargs="+", default=list(RULES), help="beside None")
    parser.add_argument("--database", nargs="+", default=["sample", "dead_leaves"])
    parser.add_argument("--datapath", default="database/")
    parser.add_argument("--cache-dir", default="cache_dir")
    parser.add_argument("--C", type=float, default=0.0, help="the scale (default 0, adapts)")
    parser.add_argument("--n-jobs", type=int, default=1, help="learnings at a time (default 1)")
    for name, values in GRID.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, nargs="+", type=type(values[0]), help=f"default {values}")
    args = parser.parse_args()
    if args.quick:
        args.size = ["small"]
    grid = QUICK if args.quick else GRID
    args.grid = {name: getattr(args, name) or values for name, values in grid.items()}
    return args


def measure_cells(database, size, args):
    """[database, size, eta, eta_homeo, batch_size, rule, {name: value}] of each learning; None has
    no rate, and learns once for all eta_homeo.
    """
    width, n_dictionary, l0_sparseness = SIZES[size]
    opts = {
        "name_database": database,
        "datapath": args.datapath,
        "cache_dir": args.cache_dir,
        "patch_width": width,
        "n_dictionary": n_dictionary,
        "l0_sparseness": l0_sparseness,
        "N_patches": 16384,
        "n_iter": args.steps,
        "record_each": args.steps,
        "record_num_batches": N_HELD_OUT,
        "one_over_F": False,
        "C": args.C,
    }
    fresh = SHL(**{**opts, "seed": FRESH_SEED, "N_patches": N_FRESH}).get_data()
    rates = args.grid["eta_homeo"]
    for rules, eta_homeo in ((["None"], rates[:1]), (args.rules, rates)):
        values = {**args.grid, "eta_homeo": eta_homeo, "homeo_method": rules}
        experiments = SHL_set(opts, tag="homeostasis", values=values)
        for record in experiments.run(list(values), n_jobs=args.n_jobs, grid=True):
            params = [record["params"][name] for name in values]
            yield [database, size, *params, evaluate(experiments.learned(record), fresh)]


def report(rows, args):
    """All rows, and the worst cells of each rule."""
    none = {cell(row): row[-1]["error"] for row in rows if row[5] == "None"}
    print(f"{args.steps} steps; errors relative to None's, C = {args.C:g}\n")
    for row in rows:
        for own in ("", "_own"):
            row[-1][f"above{own}"] = row[-1][f"error{own}"] / none[cell(row)] - 1
    names = ("above", "above_own", *COLUMNS)
    head = ["database", "size", *args.grid, "rule", *names]
    print(*table(head, [[*row[:6], *(row[-1][name] for name in names)] for row in rows]), sep="\n")
    worst = [summary(rule, rows) for rule in args.rules]
    print(f"Worst cells, and cells with an error more than {MOST_ERROR:.0%} above None's or an ")
    print(f"entropy under {LEAST_ENTROPY}:\n")
    head = ["rule", "cells", "most error", "own", "least entropy", "own", "failing", "own"]
    print(*table(head, worst), sep="\n")


def cell(row):
    """What plain pursuit learns from: all but the rate of homeostasis and the rule."""
    database, size, eta, _, batch_size = row[:5]
    return database, size, eta, batch_size


def summary(rule, rows):
    """The worst of a rule's cells, and how many fail."""
    found = [row[-1] for row in rows if row[5] == rule]
    errors, entropies = (
        [[each[f"{name}{own}"] for each in found] for own in ("", "_own")]
        for name in ("above", "entropy")
    )
    failing = [
        sum(e > MOST_ERROR or h < LEAST_ENTROPY for e, h in zip(*pair, strict=True))
        for pair in zip(errors, entropies, strict=True)
    ]
    return [rule, len(found), *map(max, errors), *map(min, entropies), *failing]


if __name__ == "__main__":
    main()
