"""Figure 4 of the annex: convolutional atoms without and with homeostasis, their use, and a second layer.

The same as `shl conv-learn --second 200`; see its flags.
"""

import argparse

from shl.convolution import cli

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    cli.add_flags(parser)
    parser.set_defaults(second=200, out="annex_cnn")
    cli.conv_learn_command(parser.parse_args())
