"""Filling in a photograph of which a share of the pixels is missing, beside SPAMS' masked coding.

Patches of 8 x 8 pixels, a dictionary learned from the pixels that are left alone; the same patches
are then coded by us and by SPAMS' ompMask, and coded whole with a precision, all with the same
dictionary and as many atoms.  PSNR is that of the missing pixels.
"""

import numpy as np
from rounds import alternate, clock_of, find_peer, parse, report, row
from sklearn.datasets import load_sample_image

from shl import SparseHebbianLearning, sparse_encode
from shl.images.photographs import to_grey
from shl.images.windows import extract, reconstruct

WIDTH, N_ATOMS, N_ACTIVE = 8, 128, 8
PRECISION_RANGE = 0.5, 1.5


def psnr(patches, means, image, is_missing):
    """Of the missing pixels of an image with values in 0..1, in dB."""
    filled = reconstruct(patches, means, image.shape)
    return -10 * np.log10(np.square(filled - image)[is_missing].mean())


def coders(X, D, image, args):
    """{name: function that codes}: masked patches by us and by SPAMS, whole ones by a precision."""
    options = {"algorithm": "omp", "l0_sparseness": N_ACTIVE, "n_jobs": args.n_jobs}
    ways = {"ours": lambda: sparse_encode(X, D, missing="mask", **options)}
    whole, _ = extract(image, WIDTH)
    precision = np.random.default_rng(0).uniform(*PRECISION_RANGE, D.shape).astype(D.dtype)
    ways["precision"] = lambda: sparse_encode(
        whole, D, precision, l0_sparseness=N_ACTIVE, n_jobs=args.n_jobs
    )
    spams = None if args.no_peers else find_peer("spams")
    if spams is not None:
        is_seen = ~np.isnan(X)
        signals = np.asfortranarray(np.where(is_seen, X, 0).T)
        atoms, mask = np.asfortranarray(D.T), np.asfortranarray(is_seen.T)
        ways["spams"] = lambda: (
            spams.ompMask(signals, atoms, mask, L=N_ACTIVE, eps=0.0, numThreads=args.n_jobs).T
        )
    return ways


def measure(args):
    """The rows of the table; prints the PSNR of each."""
    image = to_grey(load_sample_image("china.jpg"))[: args.side, : args.side].astype(np.float32)
    is_missing = np.random.default_rng(0).random(image.shape) < args.share
    X, means = extract(np.where(is_missing, np.nan, image), WIDTH)
    model = SparseHebbianLearning(
        N_ATOMS, l0_sparseness=4, missing="mask", n_iter=args.n_iter, random_state=0
    ).fit(X)
    D = model.components_
    ways = coders(X, D, image, args)
    for name in ways.keys() - {"precision"}:
        print(f"{name}: {psnr(ways[name]() @ D, means, image, is_missing):.2f} dB")
    seconds = alternate(ways, args.rounds, clock_of(args))
    for name in ways.keys() - {"ours"}:
        yield row(f"masked coding of {len(X)} patches", seconds["ours"], seconds[name], name, None)


def main():
    """Print the table."""
    parser = parse(__doc__)
    parser.add_argument("--share", type=float, default=0.5, help="of the pixels that are missing")
    parser.add_argument("--side", type=int, default=256, help="pixels of the photograph")
    parser.add_argument("--n-iter", type=int, default=1000, help="steps of learning")
    args = parser.parse_args()
    report(list(measure(args)), args)


if __name__ == "__main__":
    main()
