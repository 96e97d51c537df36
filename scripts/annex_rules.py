"""The rules of homeostasis side by side on natural images, at the size of the study: a table and the curves of F.

One learning a rule (441 pixels, 676 atoms, 21 events, 4097 steps of 256 patches, a white-noise start), with records on
4096 held-out patches.  `error` and `F` are under plain pursuit, `own` under the rule's own competition.
"""

import argparse
from pathlib import Path

from shl import SHL_set
from shl.plotting import time_plot

RULES = ("None", "OLS", "EMP", "HAP", "HEH")
COLUMNS = ("seconds", "error", "qerror", "F", "error_own", "F_own", "entropy")


def main():
    """Learn, print the table, write the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="sample")
    parser.add_argument("--datapath", default="database/")
    parser.add_argument("--n-iter", type=int, default=4097)
    parser.add_argument("--n-jobs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", default="annex_rules")
    args = parser.parse_args()
    opts = {"name_database": args.database, "datapath": args.datapath, "n_iter": args.n_iter, "seed": args.seed,
            "batch_size": 256, "one_over_F": False, "record_each": 128, "record_num_batches": 4096}
    experiments = SHL_set(opts, tag="rules", values={"homeo_method": RULES})
    records = experiments.run(["homeo_method"], n_jobs=args.n_jobs, verbose=1)
    print("| rule | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1))
    fig, ax = None, None
    for record in records:
        print(f"| {record['value']} | " + " | ".join(f"{record[name]:.4g}" for name in COLUMNS) + " |")
        fig, ax = time_plot(None, experiments.learned(record), label=record["value"], N_nosample=2, fig=fig, ax=ax)
    ax.legend()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    fig.savefig(out / "F.png", dpi=150)
    experiments.to_csv(out / "rules.csv")
    print(f"wrote {out}/F.png and {out}/rules.csv")


if __name__ == "__main__":
    main()
