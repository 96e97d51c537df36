"""The `shl` command: a thin layer of argparse over the package."""
