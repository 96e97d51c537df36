"""A scan, and the code of an array larger than memory, on a Dask cluster (pip install 'shl[dask]').

Without --scheduler a local cluster of worker processes is started; with it, that of an address such
as tcp://head-node:8786, whose workers have `shl` and see the same store folder.  A Ray cluster
should work the same way through Ray's joblib backend (ray.util.joblib.register_ray, then
parallel_config("ray")); that is untested.
"""

import argparse

import dask.array
import joblib
from distributed import Client, LocalCluster

from shl import SHL, SHL_set, sparse_encode


def scan(args):
    """F for values of eta, each learned by a worker of the cluster."""
    opts = {
        "patch_width": 12,
        "n_dictionary": 196,
        "l0_sparseness": 10,
        "n_iter": args.n_iter,
        "batch_size": 256,
        "N_patches": 16384,
        "cache_dir": args.cache_dir,
    }
    experiments = SHL_set(opts, tag="dask", N_scan=args.n_scan)
    with joblib.parallel_config("dask"):
        for record in experiments.run(["eta"], n_jobs=-1):
            print(
                f"eta = {record['value']:.4g}: F = {record['F']:.4f}"
                + " (stored)" * record["cached"]
            )
    return SHL(**opts)


def transform(shl, n_samples):
    """Code n_samples random patches, a block at a time: no machine ever holds them all."""
    dictionary = shl.learn_dico(matname="dask").dictionary
    X = (
        dask.array.random.default_rng(0)
        .normal(size=(n_samples, 144), chunks=(20_000, 144))
        .astype("float32")
    )
    code = X.map_blocks(
        sparse_encode,
        dictionary,
        l0_sparseness=10,
        dtype=X.dtype,
        chunks=(X.chunks[0], (len(dictionary),)),
    )
    print(f"{n_samples} patches coded, {float((code != 0).mean()):.3%} of coefficients are active")


def main():
    """Scan, then transform."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scheduler", help="address of a cluster (default: one on this machine)")
    parser.add_argument(
        "--n-workers", type=int, default=2, help="processes of the local cluster (default 2)"
    )
    parser.add_argument("--n-scan", type=int, default=5)
    parser.add_argument("--n-iter", type=int, default=513)
    parser.add_argument("--n-samples", type=int, default=200_000)
    parser.add_argument("--cache-dir", default="cache_dir")
    args = parser.parse_args()
    cluster = args.scheduler or LocalCluster(
        n_workers=args.n_workers, threads_per_worker=1, dashboard_address=None
    )
    with Client(cluster):
        transform(scan(args), args.n_samples)
    if args.scheduler is None:
        cluster.close()


if __name__ == "__main__":
    main()
