"""Memory of `transform` on a memory-mapped file, beyond its input and output; time of a first
`fit`.

Patches of 441 pixels in float32 are written to a temporary file and coded to CSR in a process of
its own, whose peak is read by the operating system: what it was after the import, the output and
pages of the file, which the system may drop, are taken off.  The model, and a fit of 4096 patches,
are in.  The first fit is timed with an empty and with a filled cache of compiled kernels.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rounds import peak

FIRST_FIT = (
    "import shl, numpy as np; X = np.random.default_rng(0).standard_normal((500, 64)).astype('f'); "
    "shl.SparseHebbianLearning(80, l0_sparseness=5, n_iter=10, random_state=0).fit(X).transform(X)"
)


def code_file(path, n_samples):
    """Code the patches of a file and print the bytes beyond input and output."""
    from shl import SparseHebbianLearning

    before = peak()
    X = np.memmap(path, np.float32, "r", shape=(n_samples, 441))
    model = SparseHebbianLearning(
        676, l0_sparseness=21, n_iter=3, random_state=0, sparse_output=True, n_jobs=-1
    )
    model.fit(np.array(X[:4096])).transform(np.array(X[:4096]))
    began = time.perf_counter()
    code = model.transform(X)
    seconds = time.perf_counter() - began
    output = code.data.nbytes + code.indices.nbytes + code.indptr.nbytes
    mapped = resident_file_pages()
    print(
        f"| {n_samples:,} memory-mapped patches to CSR, {output / 1e6:.0f} MB, in {seconds:.1f} s "
        f"| {(peak() - before - output - mapped) / 1e6:.0f} MB beyond input and output | 200 MB |"
    )


def resident_file_pages():
    """Bytes of mapped files that count as resident: pages of the input, which the system may drop
    at any time.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields["RssFile"].split()[0]) * 1024


def first_fit():
    """Time of import and a first small fit, cold and with cached kernels."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for name, most in (("not cached", 30), ("cached", 3)):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", FIRST_FIT], check=True, env=environment)
            print(
                f"| import and first fit of a small problem, compiled code {name} | "
                f"{time.perf_counter() - began:.1f} s | {most} s |",
                flush=True,
            )


def main():
    """Run both measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-samples", type=int, default=1_000_000)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.file:
        return code_file(args.file, args.n_samples)
    print("| work | measured | at most |\n|---|---|---|", flush=True)
    first_fit()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "patches.bin"
        rng = np.random.default_rng(0)
        with open(path, "wb") as file:
            for start in range(0, args.n_samples, 10000):
                rng.standard_normal((min(10000, args.n_samples - start), 441), np.float32).tofile(
                    file
                )
        subprocess.run(
            [sys.executable, __file__, "--file", str(path), "--n-samples", str(args.n_samples)],
            check=True,
        )


if __name__ == "__main__":
    main()
