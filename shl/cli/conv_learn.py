"""The command `shl conv-learn`: a thin layer of argparse over `shl.annex.convolution`."""

import time

from .._base.checks import check_count
from . import flags

FLAGS = ("n_dictionary", "patch_width", "l0_sparseness", "batch_size", "eta", "eta_homeo")
SECOND_FLAGS = {
    "n_iter": "steps of a second layer on the code of the last rule's atoms (0: no second layer)",
    "n_dictionary": "atoms of the second layer",
    "patch_width": "pixels of their side",
    "eta_homeo": "rate of its homeostasis, higher than the first's for its fewer steps",
}


def _add_flags(parser):
    """The flags of the command."""
    from ..annex import convolution as study
    from ..convolution.estimator import ConvolutionalSHL
    from ..convolution.parameters import L0_OF_IMAGES

    flags.add_database(parser, study.load, more="'faces' (Olivetti, downloaded once), ")
    flags.add_parameter(parser, study.load, "n_images", "images to learn from")
    flags.add_parameter(parser, study.load, "size", "pixels of an image's side")
    text = "a recording (.npy, .npz, .mat, .csv or .wav) to learn waveforms from, not images"
    parser.add_argument("--recording", metavar="FILE", help=text)
    text = "samples of a waveform"
    parser.add_argument("--atom-shape", type=int, default=64, metavar="N", help=text)
    text = "samples a second of the recording, for times and rates"
    parser.add_argument("--sampling-rate", type=float, default=1.0, metavar="RATE", help=text)
    text = "noise levels that an event of the recording must exceed"
    parser.add_argument("--floor", type=float, default=None, help=text)
    for name in FLAGS:
        options = {"default": L0_OF_IMAGES} if name == "l0_sparseness" else {}
        flags.add_parameter(parser, ConvolutionalSHL, name, **options)
    flags.add_parameter(parser, ConvolutionalSHL, "n_iter", default=300)
    text = f"rules of homeostasis, one learning each: {', '.join(study.METHODS)}"
    flags.add_parameter(parser, study.run, "methods", text, "--homeo-method", metavar="RULE")
    for name, text in SECOND_FLAGS.items():
        options = {"default": study.SECOND[name], "dest": f"second_{name}"}
        options |= {"type": int} if name == "n_iter" else {}  # 0 is none
        flag = f"--second-{name.replace('_', '-')}"
        flags.add_parameter(parser, ConvolutionalSHL, name, text, flag, **options)
    seed = flags.default_of(study.load, "seed")
    flags.add_shared(parser, "n_jobs", "cache_dir", "quiet", "json", seed=seed, out="shl_conv")


def conv_learn_command(args):
    """Shl conv-learn: models, pictures and a summary in a folder."""
    from ..annex import convolution as study
    from ..convolution.estimator import ConvolutionalSHL

    began = time.perf_counter()
    if args.recording is not None:
        X, out = study.load_recording(args.recording), flags.claim_folder(args)
        summary = study.run_recording(
            X,
            out,
            args.sampling_rate,
            n_dictionary=args.n_dictionary,
            atom_shape=args.atom_shape,
            floor=args.floor,
            random_state=args.seed,
            n_jobs=args.n_jobs,
            verbose=flags.verbosity(args),
        )
        summary["seconds"] = time.perf_counter() - began
        seconds, n_events = summary["seconds"], summary["n_events"]
        line = f"{n_events} events of {args.n_dictionary} atoms; {seconds:.1f} s; see {args.out}/"
        return flags.write_report(args, out, summary, [line])
    check_count(args.size, "size", least=args.patch_width)
    X = study.load(**flags.given(args, study.load))
    out = flags.claim_folder(args)
    of_recordings = {"atom_shape": None, "floor": None}
    parameters = flags.given(args, ConvolutionalSHL, random_state=args.seed, **of_recordings)
    second = {name: getattr(args, f"second_{name}") for name in SECOND_FLAGS}
    second |= {name: parameters[name] for name in ("eta", "batch_size")}
    second["l0_sparseness"] = max(1, args.l0_sparseness // 2)
    how = {"second": second if args.second_n_iter else None, "cache_dir": flags.cache_folder(args)}
    summary = study.run(X, out, methods=args.methods, **how, **parameters)
    summary["seconds"] = time.perf_counter() - began
    flags.write_report(args, out, summary, _lines(summary, args.out))


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


COMMANDS = {"conv-learn": (_add_flags, conv_learn_command)}
