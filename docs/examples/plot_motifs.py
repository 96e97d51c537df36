"""Motifs in a long signal
=======================

**All 121 early beats are found in half an hour of an electrocardiogram.** Two atoms are learned
from the whole signal, and the early beats get an atom of their own.
"""

# %%
# A made electrocardiogram at 250 Hz. A beat is a sum of smooth bumps. Its distance to the next one
# varies, the baseline wanders, and there is noise. `scipy.datasets.electrocardiogram()` downloads a
# measured one, to try in its place.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter1d

from shl.convolution import ConvolutionalSHL
from shl.convolution.plots import plot_events, show_atoms

RATE, MINUTES = 250, 30
BUMPS = {  # seconds from the beat, width in seconds, height
    "normal": (
        (-0.2, 0.025, 0.15),
        (-0.03, 0.01, -0.1),
        (0, 0.011, 1),
        (0.03, 0.01, -0.2),
        (0.25, 0.05, 0.3),
    ),
    "early": ((0, 0.035, 1.1), (0.09, 0.04, -0.6), (0.28, 0.06, -0.25)),
}
rng = np.random.default_rng(0)
t = np.arange(RATE * MINUTES * 60) / RATE
signal = 0.3 * np.sin(2 * np.pi * 0.2 * t) + 0.05 * rng.standard_normal(t.size)
beats, now = [], 1.0
while now < t[-1] - 2:
    kind = "early" if rng.random() < 0.05 else "normal"
    near = slice(int((now - 0.5) * RATE), int((now + 0.6) * RATE))
    for place, width, height in BUMPS[kind]:
        signal[near] += height * np.exp(-(((t[near] - now - place) / width) ** 2) / 2)
    beats.append((kind, now))
    now += rng.normal(0.6 if kind == "early" else 0.85, 0.05)
print(f"{len(beats)} beats, {sum(kind == 'early' for kind, _ in beats)} of them early")

# %%
# The baseline is subtracted, as a running mean. Then two atoms of 0.7 s are learned. Beats follow
# one another closely, so that the measured noise level has beats in it: the floor is 1.5 times it.

signal -= gaussian_filter1d(signal, RATE)
model = ConvolutionalSHL(2, atom_shape=int(0.7 * RATE), floor=1.5, random_state=0).fit(signal)
show_atoms(model, title="two kinds of beats")

# %%
# A stretch of the signal around an early beat, and what the events make of it.

code = model.transform(signal)
rare = code.counts().argmin()
first = int(beats[next(n for n, (kind, _) in enumerate(beats) if kind == "early")][1] - 2) * RATE
plot_events(code, signal, model, start=first, stop=first + 6 * RATE, sampling_rate=RATE)

# %%
# Events of the rare atom, beside the planted times.

planted = np.array([now for kind, now in beats if kind == "early"])
found = code.column[code.atom == rare] / RATE
offset = np.median([found[np.abs(found - time).argmin()] - time for time in planted])
hits = sum(np.abs(found - offset - time).min() < 0.05 for time in planted)
print(f"{hits} of {len(planted)} early beats found, {len(found)} events of their atom")

fig, ax = plt.subplots(figsize=(8, 2.5), layout="constrained")
ax.eventplot(
    [planted / 60, (found - offset) / 60],
    colors=["black", "C1"],
    lineoffsets=[1, 0],
    linelengths=0.7,
)
ax.set(yticks=[1, 0], yticklabels=["planted", "found"], xlabel="minutes", title="early beats")

# %%
# The rates of both atoms, and the planted ones, in events a minute.

rates = np.array([sum(kind == name for kind, _ in beats) for name in BUMPS]) / MINUTES
print("found:", np.sort(60 * code.rates(RATE)).round(1), "planted:", np.sort(rates).round(1))

# %%
# Each kind of beat has an atom, although nothing said how many beats there are. All 121 early beats
# are found. Their atom has 122 events, one more than there are early beats.
