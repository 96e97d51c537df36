"""Measure the GPU code on the GPU that is there: tests, times, supports and bits.

    python scripts/gpu_session.py FOLDER [PART ...] [--rounds 5]

Each part runs in a process of its own, has a time limit, and writes its output into the folder.
The session ends when the environment or the first code fails.  Peers that are not installed are
left out.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

FIRST_CODE = """
import importlib.metadata, subprocess, sys, time
import torch
print(subprocess.run(["nvidia-smi"], capture_output=True, text=True).stdout)
for name in ("numpy", "torch", "numba", "numba-cuda", "cuda-bindings", "cuda-core"):
    print(name, importlib.metadata.version(name))
print("Python", sys.version, "CUDA", torch.version.cuda)
from shl import sparse_encode
X, D = torch.randn(64, 100, device="cuda"), torch.randn(200, 100, device="cuda")
D /= D.norm(dim=1, keepdim=True)
for algorithm in ("mp", "omp"):
    options = {"algorithm": algorithm, "l0_sparseness": 5}
    for turn in range(3):
        began = time.perf_counter()
        code = sparse_encode(X, D, **options)
        torch.cuda.synchronize()
        print(f"{algorithm}, call {turn}: {time.perf_counter() - began:.4f} s")
    expected = torch.from_numpy(sparse_encode(X.cpu().numpy(), D.cpu().numpy(), **options))
    assert torch.allclose(code.cpu(), expected, atol=1e-4), "the codes differ"
"""
TESTS = "-m", "pytest", "tests/gpu", "-q", "-m", "", "-p", "no:cacheprovider"
BENCH = "scripts/bench_gpu.py", "--size"
PARTS = {  # seconds, arguments of Python
    "environment": (90, ("-c", FIRST_CODE)),
    "tests": (120, TESTS),
    "small": (60, (*BENCH, "small")),
    "middle": (90, (*BENCH, "middle")),
    "large": (240, (*BENCH, "large")),
}


def main():
    """Run the parts in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.parts or PARTS:
        seconds, command = PARTS[name]
        if command[0] == BENCH[0]:
            command = *command, "--rounds", str(args.rounds)
        status = run(args.folder / f"{name}.txt", seconds, [sys.executable, *command])
        if name == "environment" and status:
            sys.exit("nothing was measured")


def run(log, seconds, command):
    """The status of a command that ends within its time; its output goes to the log."""
    began = time.perf_counter()
    with log.open("w") as file:
        try:
            status = subprocess.run(command, stdout=file, stderr=file, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            status = "time is up"
    print(f"== {log.stem}: {time.perf_counter() - began:.0f} s, status {status}")
    print("\n".join(log.read_text().splitlines()[-30:]), flush=True)
    return status


if __name__ == "__main__":
    main()
