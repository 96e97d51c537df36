"""The command `shl conv-learn`: a thin layer of argparse over `shl.convolution.study`."""

import time
from pathlib import Path

from .._commands import add_parser, report, write_summary


def add_commands(commands):
    """Add `conv-learn` to the commands of `shl`."""
    add_flags(
        add_parser(
            commands,
            "conv-learn",
            conv_learn_command,
            "learn convolutional atoms from images, without and with homeostasis",
        )
    )


def add_flags(parser):
    """The flags of the study."""
    add = parser.add_argument
    add(
        "--database",
        default="sample",
        metavar="NAME",
        help="'sample' (photographs that scikit-learn ships), 'dead_leaves', 'faces' (Olivetti, "
        "downloaded once), or "
        "a folder of images in --datapath",
    )
    add("--datapath", default="database/", metavar="DIR", help="where database folders are")
    add("--n-images", type=int, default=400, help="images to learn from")
    add("--size", type=int, default=65, help="pixels of an image's side")
    add("--n-dictionary", type=int, default=20, help="atoms")
    add("--patch-width", type=int, default=9, help="pixels of an atom's side")
    add("--l0-sparseness", type=int, default=20, help="events of an image")
    add("--n-iter", type=int, default=300, help="learning steps")
    add("--batch-size", type=int, default=None, help="images of a step (None: all)")
    add("--eta", type=float, default=0.05, help="length of an atom's move")
    add(
        "--homeo-method",
        nargs="+",
        default=["None", "shareHAP", "epochEXP"],
        metavar="RULE",
        help="rules of homeostasis, one run each: those of shl.homeostasis that give a gain",
    )
    add(
        "--eta-homeo",
        type=float,
        default=None,
        help="rate of homeostasis (None: that of each rule)",
    )
    add(
        "--second-n-iter",
        type=int,
        default=200,
        metavar="N",
        help="steps of a second layer on the code of the last rule's atoms (0: no second layer)",
    )
    add("--second-n-dictionary", type=int, default=60, help="atoms of the second layer")
    add("--second-patch-width", type=int, default=19, help="pixels of their side")
    add(
        "--second-eta-homeo",
        type=float,
        default=0.02,
        help="rate of its homeostasis, higher than the first's for its fewer steps",
    )
    add("--seed", type=int, default=42, help="decides every random draw")
    add("--n-jobs", type=int, default=-1, help="threads; -1 is all cores")
    add("--out", default="shl_conv", metavar="DIR", help="folder for models, pictures and summary")
    add("--quiet", action="store_true", help="no progress bar, no summary")
    add("--json", action="store_true", help="print the summary as JSON")


def conv_learn_command(args):
    """Shl conv-learn: models, pictures and a summary in a folder."""
    from . import study

    began = time.perf_counter()
    X = study.load(args.database, args.datapath, args.n_images, args.size, args.seed)
    second = {
        "n_dictionary": args.second_n_dictionary,
        "patch_width": args.second_patch_width,
        "n_iter": args.second_n_iter,
        "l0_sparseness": max(1, args.l0_sparseness // 2),
        "eta": args.eta,
        "eta_homeo": args.second_eta_homeo,
        "batch_size": args.batch_size,
    }
    summary = study.run(
        X,
        args.out,
        methods=args.homeo_method,
        second=second if args.second_n_iter else None,
        n_dictionary=args.n_dictionary,
        patch_width=args.patch_width,
        l0_sparseness=args.l0_sparseness,
        n_iter=args.n_iter,
        batch_size=args.batch_size,
        eta=args.eta,
        eta_homeo=args.eta_homeo,
        random_state=args.seed,
        n_jobs=args.n_jobs,
        verbose=int(not (args.quiet or args.json)),
    )
    summary["seconds"] = time.perf_counter() - began
    write_summary(Path(args.out), summary)
    report(args, summary, _lines(summary, args.out))


def _lines(summary, out):
    """The summary as text."""
    for rule, figures in summary["rules"].items():
        yield (
            f"{rule:<5} plain pursuit: error {figures['error']:.4f}, cv of usage "
            f"{figures['cv']:.3f}   "
            f"own competition: error {figures['error_own']:.4f}, cv {figures['cv_own']:.3f}   "
            f"{figures['seconds']:.1f} s CPU"
        )
    if "second" in summary:
        yield (
            f"second layer, own competition: error {summary['second']['error_own']:.4f}, "
            f"cv of usage {summary['second']['cv_own']:.3f}"
        )
    yield f"{summary['seconds']:.1f} s; models, pictures and summary in {out}/"
