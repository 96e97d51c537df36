"""Sparse networks: an evolution of a layer beside one forward and backward pass of it, and the
commands' times.

One thread. The commands run at their default sizes on all cores, in a temporary folder;
`--no-commands` leaves them out.
"""

import argparse
import tempfile
import time

import torch
from rounds import alternate

from shl.cli.main import main as shl
from shl.networks.layers import SparseLinear
from shl.networks.mlp import one_thread

COMMANDS = ("regularization", "group-sparsity", "set")
MOST_MS, MOST_SECONDS = 10, 120


def evolutions(size, rounds):
    """Print the median times of an evolution, at the default and higher densities, beside a pass of
    a batch of 100.
    """
    layers = {"epsilon 11": SparseLinear(size, size)}
    layers |= {
        f"density {density:g}": SparseLinear(size, size, density=density) for density in (0.1, 0.5)
    }
    x = torch.randn(100, size)

    def work(layer):
        return lambda: layer(x).square().mean().backward()

    contestants = {name: layer.evolve for name, layer in layers.items()}
    with one_thread():
        seconds = alternate({**contestants, "pass": work(layers["epsilon 11"])}, rounds)
    for name in contestants:
        most = f"   (at most {MOST_MS})" if name == "epsilon 11" else ""
        print(
            f"evolution of a {size} x {size} layer, {name:<14}{1000 * seconds[name]:>8.2f} ms"
            f"{seconds[name] / seconds['pass']:>8.2f} x a pass of a batch of 100{most}"
        )


def command_times():
    """Print how long each command takes."""
    for name in COMMANDS:
        with tempfile.TemporaryDirectory() as out:
            began = time.perf_counter()
            code = shl([name, "--quiet", "--out", out, "--cache-dir", "none"])
            print(
                f"shl {name:<20}{time.perf_counter() - began:>8.1f} s (at most {MOST_SECONDS}), "
                f"exit code {code}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--no-commands", action="store_true")
    args = parser.parse_args()
    evolutions(args.size, args.rounds)
    if not args.no_commands:
        command_times()
