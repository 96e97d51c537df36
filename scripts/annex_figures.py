"""Figures 1 to 3 of the Annex with their panels, its controls, and every claim answered by a
measured number.

The command `shl annex`; the flags are the same:

    python scripts/annex_figures.py --scale paper --database kodakdb --n-jobs -1 --out annex

Results are kept in `--cache-dir`: a run that was stopped goes on where it was.
"""

import sys

from shl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["annex", *sys.argv[1:]]))
