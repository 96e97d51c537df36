"""Waveforms in a recording
========================

**Of the spikes of six neurons, 98 % or more are found in a raw recording of four channels.** Spikes
overlap, have different sizes, and the noise is coloured.
"""

# %%
# A recording of 20 s at 10 kHz. Six neurons fire at random and at different rates. Each has a
# waveform with its own size on each channel.

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import lfilter

from shl.convolution import ConvolutionalSHL
from shl.convolution.plots import plot_events, show_atoms
from shl.datasets import make_spikes

RATE, SECONDS, WIDTH, N_NEURONS, N_CHANNELS = 10_000, 20, 40, 6, 4
rng = np.random.default_rng(1)
_, waveforms = make_spikes(1, N_NEURONS, random_state=rng)
templates = rng.uniform(0, 1, (N_NEURONS, N_CHANNELS, 1)) ** 2 * waveforms[:, None]
templates *= 2 / np.linalg.norm(templates, axis=(1, 2), keepdims=True)

white = rng.standard_normal((N_CHANNELS, RATE * SECONDS))
noise = lfilter([1], [1, -0.8], white)  # more power at low frequencies
recording = (0.05 * noise / noise.std()).astype(np.float32)
fired = []
for neuron, n_spikes in enumerate((100, 150, 200, 300, 400, 600)):
    for time in rng.choice(RATE * SECONDS - WIDTH, n_spikes, replace=False):
        recording[:, time : time + WIDTH] += rng.lognormal(0, 0.15) * templates[neuron]
        fired.append((neuron, time))
fired = np.array(fired)
print(f"{len(fired)} spikes on {N_CHANNELS} channels of {recording.shape[1]} samples")

# %%
# The whole recording is learned from, with no window cut by hand. A waveform has 40 samples; atoms
# are given 50, as they settle in the middle of their window.

model = ConvolutionalSHL(N_NEURONS, atom_shape=50, random_state=0).fit(recording)
show_atoms(model, title="learned waveforms, four channels each")

# %%
# `transform` gives the spikes: the atom, the time and the size of each.

code = model.transform(recording)
print(code.to_frame().head())
plot_events(code, recording, model, start=20_000, stop=21_500, sampling_rate=RATE)

# %%
# Each neuron is matched with the atom that fires with it. A spike is found if its atom has an event
# at the same distance, give or take 3 samples.


def count_hits(times, found, shift):
    """How many times have an event within 3 samples, after a shift."""
    return sum(np.abs(found - shift - time).min(initial=9) <= 3 for time in times)


shares = np.zeros((N_NEURONS, N_NEURONS))
for neuron in range(N_NEURONS):
    times = fired[fired[:, 0] == neuron, 1]
    for atom in range(N_NEURONS):
        found = code.column[code.atom == atom]
        hits = [count_hits(times, found, shift) for shift in range(-20, 21, 2)]
        shares[neuron, atom] = max(hits) / len(times)
partner = shares.argmax(axis=1)
for neuron, atom in enumerate(partner):
    rate = code.rates(RATE)[atom]
    true = (fired[:, 0] == neuron).sum() / SECONDS
    print(f"neuron {neuron}, atom {atom}: {shares[neuron, atom]:.0%} of its spikes found, ", end="")
    print(f"{rate:.1f} events a second ({true:.1f} planted)")

# %%
# The sizes of the spikes: planted sizes have a median of 2, the norm of a template.

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for atom in range(N_NEURONS):
    ax.hist(code.value[code.atom == atom], bins=40, histtype="step", label=f"atom {atom}")
ax.set(xlabel="size of a spike", ylabel="spikes")
ax.legend(fontsize="small")

# %%
# The six waveforms are found, and nearly all spikes of each neuron, although rates differ six times.
# No number of spikes was given: an event counts where it exceeds 5.5 noise levels of its atom.
