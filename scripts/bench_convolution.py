"""Convolutional pursuit and learning against their floor, the first correlation; growth with the
image's size.

400 images of 65 x 65 pixels in float32, 20 atoms of 9 x 9, 20 events.  The unit is the first
correlation alone: all patches unfolded and one matrix product an image, on all threads.
Contestants take turns in one process.

What did not work: unfolding patch by patch with one loop over places (2.6 times slower than two
loops and views of rows), patches stored pixel by pixel (a transposed product: 1.2 times slower),
NumPy's sliding windows (1.3 times slower), tiles of 60 numbers (1.4 times slower events than 320),
of 200 (1.05) or 640 (the same, 1.2 at 513 x 513); to touch a window before working on it, so that
its rows come into the cache together (1.1 times slower), and to subtract from the whole window
before its tiles are ranked (the same).
"""

import time

import numpy as np
from rounds import (
    ASKED,
    Seconds,
    alternate,
    find_peer,
    output_of,
    peak,
    report,
    row,
    run,
    seconds_of,
)

from shl._base.threads import Threads, chunks, map_serially
from shl.annex import convolution as study
from shl.coding.preparing import prepare
from shl.convolution import ConvolutionalSHL, gaussian_mask, preprocess
from shl.convolution.coding import ConvolutionalCoding
from shl.convolution.kernels import Limits, Slots, pursue
from shl.convolution.maps import places
from shl.images.photographs import load_images
from shl.learning import loop
from shl.learning.state import start_state

SIZES = (65, 129, 257, 513)
PHOTOGRAPH = (3000, 4000)  # pixels


def first_correlation(X, coder, threads):
    """The maps of all images, each thrown away."""

    def correlate(group):
        rho = coder.filters.allocate((1, *X.shape[1:]))[0]
        for image in X[group]:
            map_serially(*coder.filters.correlation(image, rho))

    threads.map(correlate, chunks(len(X), most=16, fewest=1))


def measure_ours(X, model, args):
    """Rows of coding and learning."""
    plan, everything = model.plan(X.shape, X.dtype), [np.arange(len(X))]

    def step(threads):
        state = start_state(model.components_, plan, 0)
        loop.learn(X, everything, state, plan, threads)

    coder = prepare(ConvolutionalCoding(20), model.components_)
    with Threads(args.n_jobs) as threads, Threads(1) as one:
        times = alternate(
            {
                "unit": lambda: first_correlation(X, coder, threads),
                "code": lambda: coder.encode(X, threads),
                "transform": lambda: model.transform(X),
                "step": lambda: step(threads),
                "code, 1": lambda: coder.encode(X, one),
                "step, 1": lambda: step(one),
            },
            args.rounds,
        )
    unit = times["unit"]
    yield row("first correlation", unit, unit, "unit")
    yield row("coding, events", times["code"], unit, "unit", 2.5)
    yield row("transform", times["transform"], unit, "unit", 2.5)
    yield row("a learning step", times["step"], unit, "unit", 4)
    yield row(f"coding, {args.n_jobs} threads", times["code"], times["code, 1"], "1 thread", 0.6)
    yield row(
        f"a learning step, {args.n_jobs} threads", times["step"], times["step, 1"], "1 thread", 0.6
    )


def pursuit(coder, image):
    """A function that finds the next events of an image, on maps that are computed before."""
    rho, ranking, gaps = coder.fill(image[None])
    n_events = coder.coding.l0_sparseness
    slots = Slots(*(np.zeros(n_events, np.int32) for _ in range(4)), np.zeros(n_events, rho.dtype))
    limits = Limits(1 << 62, -np.inf, np.zeros(1, np.int64), np.zeros(1))
    how = coder.filters.gram, coder.contest, rho.dtype.type(1), limits, ranking, gaps
    return lambda: pursue(rho, *how, coder.dictionary, 1, 0, slots)


def measure_sizes(dictionary, args, n_events=200):
    """Rows of an event's cost at several sizes of the image: pursuit alone, on maps that are
    computed before.

    Once with noise all over the image, where the maps outgrow the caches, once in a part of 65 x 65
    pixels amid zeros, where what is left of the growth is the algorithm's own.  The unit is 129 x
    129, for at 65 x 65 a seventh of the windows falls off the map.
    """
    coder = prepare(ConvolutionalCoding(n_events), dictionary)
    states, seconds = {}, {}
    for is_local in (False, True):
        for size in SIZES:
            first = (size - 65) // 2 if is_local else 0
            part = slice(first, size - first)
            image = np.zeros((1, size, size), np.float32)
            image[0, part, part] = np.random.default_rng(size).standard_normal(
                image[0, part, part].shape
            )
            states[is_local, size], seconds[is_local, size] = pursuit(coder, image), []
    for _ in range(4 * args.rounds):  # each call goes on with the next events of the same image
        for key, state in states.items():
            seconds[key].append(seconds_of(state) / n_events)
    medians = {key: Seconds(values).median for key, values in seconds.items()}
    for (is_local, size), median in medians.items():
        where = "in 65 x 65 of" if is_local else "in"
        yield row(f"an event {where} {size} x {size}", median, medians[is_local, 129], "129 x 129")


def measure_peers(X, dictionary, args):
    """Rows of PyTorch's convolution, and of sporco's convolutional basis pursuit."""
    coder = prepare(ConvolutionalCoding(20), dictionary)
    if (torch := find_peer("torch")) is not None:
        torch.set_num_threads(args.n_jobs)
        images, filters = torch.from_numpy(X), torch.from_numpy(dictionary)
        with Threads(args.n_jobs) as threads, torch.inference_mode():
            times = alternate(
                {
                    "unit": lambda: first_correlation(X, coder, threads),
                    "code": lambda: coder.encode(X, threads),
                    "torch": lambda: torch.nn.functional.conv2d(images, filters),
                },
                args.rounds,
            )
        yield row("first correlation", times["unit"], times["torch"], "PyTorch's conv2d")
        yield row("coding, events", times["code"], times["torch"], "PyTorch's conv2d")
    if (cbpdn := find_peer("sporco.admm.cbpdn")) is not None:
        yield from measure_sporco(cbpdn, X[:8], dictionary, args)


def measure_sporco(cbpdn, X, dictionary, args):
    """A row of sporco's ConvBPDN: 100 iterations on a few images, against a pursuit to as many
    coefficients.
    """
    options = cbpdn.ConvBPDN.Options({"Verbose": False, "MaxMainIter": 100, "NonNegCoef": True})
    signals, atoms = X[:, 0].transpose(1, 2, 0), dictionary[:, 0].transpose(1, 2, 0)
    found = {}

    def theirs():
        solver = cbpdn.ConvBPDN(atoms, signals, 1.0, options, dimK=1)
        found["sporco"] = solver.solve(), solver.reconstruct()

    theirs()
    n_used = int((np.abs(found["sporco"][0]) > 1e-3).sum()) // len(X)
    coder = prepare(ConvolutionalCoding(n_used), dictionary)

    def ours():
        with Threads(args.n_jobs) as threads:
            found["ours"] = coder.encode(X, threads)

    times = alternate({"ours": ours, "theirs": theirs}, 1)
    back = found["sporco"][1].squeeze().transpose(2, 0, 1)[:, None]
    backs = found["ours"].reconstruct(dictionary, X.shape), back
    ours_error, their_error = (np.linalg.norm(X - back) / np.linalg.norm(X) for back in backs)
    print(
        f"{n_used} coefficients an image: |residual| / |X| {ours_error:.3f} by pursuit, "
        f"{their_error:.3f} by sporco"
    )
    work = f"coding {len(X)} images, {n_used} events each"
    yield row(work, times["ours"], times["theirs"], "sporco's ConvBPDN, 100 iterations")


def code_photograph(args, n_events=100_000):
    """Code a photograph of 12 megapixels with learned atoms, and print the memory and time it
    takes.

    The photograph is the first sample image and its mirror images side by side: natural at every
    pixel.
    """
    image = load_images("sample")[0][1].astype(np.float32)
    sizes = zip(PHOTOGRAPH, image.shape, strict=True)
    pads = [(0, max(0, wanted - size)) for wanted, size in sizes]
    X = preprocess(np.pad(image, pads, "symmetric"), start_R=max(PHOTOGRAPH))
    model = learn(preprocess(study.load()), 40, args)
    maps = X.itemsize * np.prod((model.n_dictionary, *places(X.shape, (model.patch_width,) * 2, 1)))
    before, began = peak(), time.perf_counter()
    code = model.set_params(verbose=1).transform(X, l0_sparseness=n_events)
    seconds, after = time.perf_counter() - began, peak()
    error = np.linalg.norm(X - model.inverse_transform(code, X.shape)) / np.linalg.norm(X)
    print(
        f"{X.shape[0]} x {X.shape[1]} pixels, {code.n_events} events: {seconds:.1f} s, error "
        f"{error:.3f}; maps {maps / 1e6:.0f} MB, peak of the whole process {before / 1e6:.0f} MB "
        f"before and {after / 1e6:.0f} MB after: {after / maps:.2f} x the maps (at most 4)"
    )


def learn(X, n_iter, args):
    """A model of the study's size."""
    return ConvolutionalSHL(
        n_iter=n_iter, mask=gaussian_mask(9), random_state=0, n_jobs=args.n_jobs
    ).fit(X)


def main(args):
    """Print the table."""
    if args.photograph:
        return code_photograph(args)
    X = preprocess(study.load(args.database, args.datapath))
    model = learn(X, 40, args)
    rows = [*measure_ours(X, model, args), *measure_sizes(model.components_, args)]
    if not args.no_peers:
        rows += measure_peers(X, model.components_, args)
    report(rows, args)
    print(output_of(__file__, "--photograph", "--n-jobs", args.n_jobs), end="")


FLAGS = {"photograph": {**ASKED, "help": "only the 12-megapixel photograph"}}

if __name__ == "__main__":
    run(__doc__, {None: (main, FLAGS)})
