"""Figure 4 of the annex: convolutional atoms without and with homeostasis, their use, and a second
layer.

The command `shl conv-learn` at the study's number of steps; the flags are the same:

    python scripts/annex_cnn.py --database faces --out annex_cnn
"""

import sys

from shl.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["conv-learn", "--n-iter", "500", "--out", "annex_cnn", *sys.argv[1:]]))
