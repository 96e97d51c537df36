"""Spikes in a recording
=====================

You will see the waveforms of neurons found in a recording of four channels, and when each fired.
Spikes overlap in time; pursuit takes them apart.
"""

# %%
# A recording of 20 s at 10 kHz: six neurons, each a waveform with an amplitude on each channel,
# fire at random, above white noise.

import matplotlib.pyplot as plt
import numpy as np

from shl import SparseHebbianLearning
from shl.datasets import make_spikes, similarity

RATE, SECONDS, WIDTH, N_NEURONS, N_CHANNELS = 10_000, 20, 40, 6, 4
rng = np.random.default_rng(1)
_, waveforms = make_spikes(1, N_NEURONS, random_state=rng)
templates = rng.uniform(0, 1, (N_NEURONS, N_CHANNELS, 1)) ** 2 * waveforms[:, None]
templates *= 2 / np.linalg.norm(templates, axis=(1, 2), keepdims=True)
recording = 0.05 * rng.standard_normal((N_CHANNELS, RATE * SECONDS))
fired = []
for neuron in range(N_NEURONS):
    for time in rng.choice(RATE * SECONDS - WIDTH, 200, replace=False):
        recording[:, time : time + WIDTH] += rng.lognormal(0, 0.1) * templates[neuron]
        fired.append((time, neuron))

# %%
# Windows around the troughs of the mean over channels, one after another: a sample is a window of
# all channels.

mean = recording.mean(axis=0)
is_trough = (mean[1:-1] < mean[:-2]) & (mean[1:-1] <= mean[2:]) & (mean[1:-1] < -0.12)
troughs = np.nonzero(is_trough)[0] + 1
troughs = troughs[(troughs > WIDTH) & (troughs < mean.size - WIDTH)]
centres = np.round(np.argmin(templates.mean(axis=1), axis=1)).astype(int)
offsets = np.arange(WIDTH) - int(np.median(centres))
X = recording[:, troughs[:, None] + offsets].transpose(1, 0, 2).reshape(len(troughs), -1)
print(f"{len(fired)} spikes, {len(troughs)} windows of {N_CHANNELS} x {WIDTH} samples")

# %%
# Coefficients are positive: rectified matching pursuit, no homeostasis, as neurons do not have to
# fire alike; one atom a window, as most hold a single spike. A few more atoms than neurons leave
# room for overlaps.

model = SparseHebbianLearning(
    10, learning_algorithm="mp", l0_sparseness=1, homeo_method="None", n_iter=1000, random_state=0
).fit(X)
shifted = np.zeros((N_NEURONS, N_CHANNELS, WIDTH))
for neuron, centre in enumerate(centres):
    shifted[neuron] = np.roll(templates[neuron], int(np.median(centres)) - centre, axis=1)
planted = shifted.reshape(N_NEURONS, -1)
planted /= np.linalg.norm(planted, axis=1, keepdims=True)
cosines = planted @ model.components_.T
best = cosines.argmax(axis=1)
print("cosine of each neuron with its atom:", np.round(similarity(model.components_, planted), 3))

fig, axs = plt.subplots(2, N_NEURONS, figsize=(10, 3.5), layout="constrained", sharey=True)
for neuron in range(N_NEURONS):
    axs[0, neuron].plot(planted[neuron].reshape(N_CHANNELS, WIDTH).T, color="0.3")
    axs[1, neuron].plot(model.components_[best[neuron]].reshape(N_CHANNELS, WIDTH).T, color="C0")
    axs[0, neuron].set(xticks=[], yticks=[], title=f"neuron {neuron}")
    axs[1, neuron].set(xticks=[], yticks=[])
axs[0, 0].set_ylabel("planted")
axs[1, 0].set_ylabel("learned")

# %%
# When each neuron fired in the first half second, and where its atom, of two a window, has a
# coefficient of at least half the size of a spike.

code = model.transform(X, l0_sparseness=2)
fig, ax = plt.subplots(figsize=(9, 2.8), layout="constrained")
shown = 0.5 * RATE
for neuron, atom in enumerate(best):
    true = [time + centres[neuron] for time, who in fired if who == neuron and time < shown]
    found = troughs[(code[:, atom] > 1) & (troughs < shown)]
    ax.plot(np.array(true) / RATE, np.full(len(true), neuron) + 0.15, "|k", ms=10)
    ax.plot(found / RATE, np.full(len(found), neuron) - 0.15, "|C0", ms=10)
ax.set(xlabel="seconds", ylabel="neuron", yticks=range(N_NEURONS))
ax.set_title("planted (black) and found (blue)")

# %%
# Four of the six neurons have an atom that is their waveform on the four channels (cosine .99), and
# their spikes are found at their times, but for some that overlap with others. Neurons 1 and 2,
# whose waveforms are alike, share an atom: marks of both stand where either fired.
