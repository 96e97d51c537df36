"""Waveforms planted in recordings of 200,000 samples: what is found, beside alphacsc and sporco.

Six waveforms of 64 samples.  A waveform is found if a learned atom has a cosine of .95 with it, up
to shift and sign.  Recall and precision are those of events, within 2 samples of the planted times,
after the best match of atoms.  Peers give dense codes: of their local maxima as many are taken as
there are planted events, the largest, which is more than they could know; every event of ours
counts.  They have the settings of their examples.  One thread, CPU time, means over seeds.

alphacsc 0.4.1 needs an environment of its own: NumPy 2.2.6, SciPy 1.14.1, this package.
"""

import tempfile
import time
import tracemalloc
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from rounds import Kept, find_peer, judge, machine, run
from scipy.ndimage import maximum_filter1d
from scipy.optimize import linear_sum_assignment
from scipy.signal import lfilter

from shl.convolution import ConvolutionalSHL, whiten_recording
from shl.datasets import make_recording

WIDTH, N_ATOMS, NEAR, FIRST_SEED = 64, 6, 2, 2000
CELLS = {  # channels, noise and overlap
    f"{c} ch., {snr} dB, {overlap:.0%}": {"n_channels": c, "snr": snr, "overlap": overlap}
    for c, snr, overlap in product((1, 4), (3, 10, 20), (0.05, 0.3))
}
WORLDS = {  # at 30 %, and at 10 dB if not said otherwise
    "coloured noise (.8)": {"colour": 0.8},
    "coloured noise (.8), whitened": {"colour": 0.8},
    "rates as 1/rank": {"profile": "1/rank"},
    "either sign": {"is_signed": True},
    "20 % missing": {},
    "coloured noise (.8), 3 dB": {"colour": 0.8, "snr": 3},
    "coloured noise (.8), 3 dB, whitened": {"colour": 0.8, "snr": 3},
}
HEAD = "found | recall | precision | fit, s | code, s"
LONG = {"1 channel": (1, 40_000_000), "4 channels": (4, 10_000_000)}


# ------------------------------------------------------------------------------------ learners


def ours(X, seed, n_atoms=N_ATOMS, **options):
    """ConvolutionalSHL."""
    model = ConvolutionalSHL(n_atoms, atom_shape=WIDTH, record_each=0, random_state=seed, **options)
    yield model.fit(X).components_
    code = model.transform(X)
    yield code.column, code.atom


def of_alphacsc(kind, X, seed, n_events):
    """A learner of alphacsc, with the settings of its example of a recording."""
    import alphacsc
    from alphacsc.utils.signal import split_signal

    options = {"window": True, "unbiased_z_hat": True, "D_init": "chunk", "lmbd_max": "scaled"}
    options |= {"reg": 0.1, "solver_z": "lgcd", "solver_d_kwargs": {"max_iter": 300}, "verbose": 0}
    options |= {"solver_z_kwargs": {"tol": 1e-2, "max_iter": 10_000}, "random_state": seed}
    if len(X) > 1:
        options |= {"rank1": True, "uv_constraint": "separate"}
    if kind != "OnlineCDL":
        options |= {"n_iter": 100, "eps": 1e-4}
    model = getattr(alphacsc, kind)(N_ATOMS, WIDTH, **{"rank1": False, **options})
    model.fit(split_signal(X.astype(float), 10))
    yield model.D_hat_
    yield largest(model.transform(X[None].astype(float))[0], n_events)


def of_sporco(X, seed, n_events):
    """ConvBPDNDictLearn, with the settings of its example but for the penalty, which is a tenth of
    the largest norm of a window.
    """
    from sporco.admm.cbpdn import ConvBPDN
    from sporco.dictlrn.cbpdndl import ConvBPDNDictLearn

    windows = np.lib.stride_tricks.sliding_window_view((X**2).sum(axis=0), WIDTH)
    penalty = 0.1 * float(windows.sum(axis=1).max()) ** 0.5
    coding = {"rho": 50 * penalty + 0.5, "NonNegCoef": True}
    start = np.random.default_rng(seed).standard_normal((WIDTH, len(X), N_ATOMS))
    signal = X.T.astype(float)
    if len(X) == 1:
        start, signal = start[:, 0], signal[:, 0]
    options = {"MaxMainIter": 200, "CBPDN": coding, "CCMOD": {"rho": 10.0}}
    options = ConvBPDNDictLearn.Options(options, dmethod="cns")
    atoms = ConvBPDNDictLearn(start, signal, penalty, options, dmethod="cns", dimK=0, dimN=1)
    atoms = atoms.solve().reshape(WIDTH, len(X), N_ATOMS)
    yield atoms.transpose(2, 1, 0)
    options = ConvBPDN.Options({"MaxMainIter": 200, **coding})
    atoms = atoms[:, 0] if len(X) == 1 else atoms
    code = ConvBPDN(atoms, signal, penalty, options, dimK=0, dimN=1).solve()
    yield largest(code.reshape(-1, N_ATOMS).T, n_events)


def largest(code, n_events):
    """(times, which) of the largest local maxima of a dense code (n_atoms, n_times)."""
    code = np.where(code == maximum_filter1d(code, 2 * NEAR + 1, axis=1), code, 0)
    which, times = np.unravel_index(np.argsort(code, axis=None)[::-1][:n_events], code.shape)
    is_event = code[which, times] > 0
    return times[is_event], which[is_event]


PEERS = {kind: partial(of_alphacsc, kind) for kind in ("OnlineCDL", "BatchCDL", "GreedyCDL")}
PEERS["sporco"] = of_sporco


# -------------------------------------------------------------------------------------- scores


def score(atoms, times, which, learned, found):
    """Share of waveforms found, and recall and precision of events."""
    size = 2 * max(atoms.shape[2], learned.shape[2])
    spectra = [np.fft.rfft(a.astype(float), size) for a in (atoms, learned)]
    norms = [np.sqrt((a.astype(float) ** 2).sum(axis=(1, 2))) for a in (atoms, learned)]
    products = np.fft.irfft(np.einsum("icf,jcf->ijf", spectra[0], spectra[1].conj()))
    cosines = np.abs(products) / np.maximum(np.multiply.outer(*norms), 1e-300)[..., None]
    rows, partners = linear_sum_assignment(-cosines.max(axis=2))
    shifts = (cosines.argmax(axis=2) + size // 2) % size - size // 2
    n_hits = 0
    for atom, partner in zip(rows, partners, strict=True):
        at = np.sort(found[0][found[1] == partner]) - shifts[atom, partner]
        n_hits += count_hits(times[which == atom], at)
    best = cosines.max(axis=2)[rows, partners]
    return (best >= 0.95).mean(), n_hits / len(times), n_hits / max(1, len(found[0]))


def count_hits(planted, found):
    """How many planted times have a found time of their own within NEAR samples; both ascend."""
    n_hits, n = 0, 0
    for time_ in planted:
        while n < len(found) and found[n] < time_ - NEAR:
            n += 1
        if n < len(found) and found[n] <= time_ + NEAR:
            n_hits, n = n_hits + 1, n + 1
    return n_hits


def measure(name, seed, world="", n_times=200_000, **options):
    """Found, recall, precision, and CPU seconds of fit and of code."""
    X, atoms, (times, which, _) = make_recording(
        n_times, N_ATOMS, width=WIDTH, random_state=seed, **options
    )
    if "missing" in world:
        rng = np.random.default_rng(seed)
        for channel in X.reshape(len(X), -1, 100):  # stretches of 100 samples
            channel[rng.random(len(channel)) < 0.2] = np.nan
    if "whitened" in world:
        X, filters = whiten_recording(X)
        padded = np.pad(atoms, ((0, 0), (0, 0), (0, filters.shape[1] - 1)))
        rows = [lfilter(taps, 1, padded[:, c]) for c, taps in enumerate(filters)]
        atoms = np.stack(rows, axis=1)
    if name == "shl":
        steps = ours(X, seed, do_sym=options.get("is_signed", False))
    else:
        steps = PEERS[name](X, seed, len(times))
    clocks, parts = [time.process_time()], []
    for part in steps:
        parts.append(part)
        clocks.append(time.process_time())
    return [*score(atoms, times, which, *parts), *np.diff(clocks).tolist()]


def measure_long(n_channels, n_times, seed, folder):
    """The same of a memory map with 100,000 events of 8 waveforms, and MB beyond the recording."""
    overlap = -np.expm1(-2 * WIDTH * 100_000 / n_times)
    X, atoms, (times, which, _) = make_recording(
        n_times, 8, n_channels, WIDTH, overlap=overlap, random_state=seed
    )
    np.save(Path(folder) / "recording.npy", X)
    del X
    X = np.load(Path(folder) / "recording.npy", mmap_mode="r")
    clocks = [time.process_time()]
    for _ in ours(X, seed, n_atoms=8):
        clocks.append(time.process_time())
    tracemalloc.start()  # which takes time: another run
    learned, found = ours(X, seed, n_atoms=8)
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return [*score(atoms, times, which, learned, found), *np.diff(clocks).tolist(), megabytes]


# -------------------------------------------------------------------------------------- tables


def main(args):
    """Print three tables."""
    kept, compiled = Kept(args.json), set()
    peers = [] if args.no_peers else [name for name in PEERS if has(name)]

    def mean(function, *key, n_seeds=args.seeds, name="", **options):
        """Means over seeds of what is measured, each once."""

        def run_once(seed):
            if name and name not in compiled:
                compiled.add(name)
                measure(name, 0, n_times=12_800)
            return function(seed=seed, **options)

        seeds = range(FIRST_SEED, FIRST_SEED + n_seeds)
        return np.mean([kept.get((*key, s), partial(run_once, s)) for s in seeds], axis=0)

    print(f"{machine()}; one thread, CPU time, means over {args.seeds} recordings")
    print(f"\n| recording | learner | {HEAD} | asked |\n{'|---' * 8}|")
    for cell, options in CELLS.items():
        rows = {}
        for name in ["shl", *(peers if "10 dB, 30%" in cell else ())]:  # a peer takes minutes
            rows[name] = mean(partial(measure, name), name, cell, name=name, **options)
            asked = compare(rows) if name == "OnlineCDL" else ask(name, cell, rows[name])
            print(f"| {cell} | {name} | {show(rows[name])} | {asked} |", flush=True)
    print(f"\n| recording, 30% | {HEAD} |\n{'|---' * 6}|")
    for c, (world, options) in product((1, 4), WORLDS.items()):
        row = mean(
            partial(measure, "shl"),
            "shl",
            f"{c} ch., {world}",
            name="shl",
            n_channels=c,
            world=world,
            **options,
        )
        print(f"| {c} ch., {world} | {show(row)} |", flush=True)
    print(f"\n| 100,000 events, 8 atoms | {HEAD} | MB beyond X | asked |\n{'|---' * 8}|")
    for label, (n_channels, n_times) in LONG.items():
        with tempfile.TemporaryDirectory() as folder:
            sizes = {"n_channels": n_channels, "n_times": n_times, "folder": folder}
            row = mean(measure_long, label, n_seeds=1, **sizes)
        asked = ("fit", row[3], -2), ("code", row[4], -1.5), ("MB", row[5], -50)
        asked = judge(*asked, signs=(">", "<"))
        print(f"| {label} x {n_times:.0e} | {show(row)} | {row[5]:.0f} | {asked} |", flush=True)


def ask(name, cell, row):
    """What is asked of our row of the first table."""
    if name != "shl" or "3 dB, 30%" in cell:
        return ""
    asked = [("found", row[0], 0.9 if "3 dB" in cell else 0.95)]
    if "10 dB, 30%" in cell:
        asked += [("recall", row[1], 0.95), ("precision", row[2], 0.9)]
    return judge(*asked, signs=(">", "<"))


def compare(rows):
    """Our CPU time over that of a peer, of which a tenth is asked."""
    fit, code = rows["shl"][3:5] / rows["OnlineCDL"][3:5]
    asked = judge(("fit", fit, -0.1), ("code", code, -0.1), signs=(">", "<"))
    return f"shl's time is {fit:.2f} of its fit, {code:.3f} of its code; {asked}"


def has(name):
    """Whether the package of a peer is installed."""
    return find_peer("sporco" if name == "sporco" else "alphacsc") is not None


def show(row):
    """The columns that all tables have."""
    found, recall, precision, fit, code = row[:5]
    return f"{found:.2f} | {recall:.3f} | {precision:.3f} | {fit:.2f} | {code:.3f}"


FLAGS = {"seeds": {"type": int, "default": 3, "help": "recordings of a cell (default 3)"}}

if __name__ == "__main__":
    run(__doc__, {None: (main, FLAGS)})
