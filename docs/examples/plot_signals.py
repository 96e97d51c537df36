"""Waveforms in a long recording
=============================

You will see waveforms found in a recording of two channels that nobody cut into windows: atoms as
curves, and the recording rebuilt from where each of them occurs.
"""

# %%
# A recording of 100 s at 100 Hz, such as of a heart and of breath: a fast and a slow waveform, and a
# rare one, at random times above noise. The channels see them with other amplitudes.

import matplotlib.pyplot as plt
import numpy as np

from shl import show_dico
from shl.convolution import ConvolutionalSHL

RATE, SECONDS, LENGTH = 100, 100, 40
counts = (120, 80, 30)
rng = np.random.default_rng(0)
t = (np.arange(LENGTH) - LENGTH / 2) / RATE
waveforms = np.array(
    [
        np.exp(-((t / 0.02) ** 2)) - 0.4 * np.exp(-(((t - 0.06) / 0.04) ** 2)),
        np.exp(-((t / 0.1) ** 2)) * np.cos(2 * np.pi * 3 * t),
        np.exp(-((t / 0.07) ** 2)) * np.sin(2 * np.pi * 8 * t),
    ]
)
amplitudes = np.array([[1.0, 0.2], [0.3, 1.0], [0.8, 0.8]])
recording = 0.05 * rng.standard_normal((2, RATE * SECONDS))
for waveform, amplitude, count in zip(waveforms, amplitudes, counts, strict=True):
    for time in rng.integers(0, RATE * SECONDS - LENGTH, count):
        recording[:, time : time + LENGTH] += amplitude[:, None] * waveform

# %%
# ``atom_shape`` is the length of an atom. Learning looks for events above a floor that falls to the
# noise, so nothing else has to be chosen.

model = ConvolutionalSHL(n_dictionary=4, atom_shape=LENGTH, random_state=0).fit(recording)
show_dico(model, title="atoms: a curve for each channel")

# %%
# Events: which atom, when, how strong. The first seconds, their reconstruction, and what is left.

code = model.transform(recording)
rebuilt = model.inverse_transform(code)
print(code)
print(f"error {np.linalg.norm(recording - rebuilt) / np.linalg.norm(recording):.2f}")
print("events of each atom:", code.counts(), "planted:", counts)

shown = slice(0, 6 * RATE)
fig, axs = plt.subplots(3, 1, figsize=(9, 5), sharex=True, sharey=True, layout="constrained")
seconds = np.arange(recording.shape[1])[shown] / RATE
pictures = {"recording": recording, "rebuilt": rebuilt, "residual": recording - rebuilt}
for ax, (name, signal) in zip(axs, pictures.items(), strict=True):
    for channel, (values, shift) in enumerate(zip(signal, (0, 2), strict=True)):
        ax.plot(seconds, values[shown] + shift, color=f"C{channel}", lw=0.8)
    ax.set(ylabel=name, yticks=[])
axs[-1].set_xlabel("seconds")

# %%
# Three atoms are the planted waveforms, with the amplitude of each channel. The fourth is a copy that no
# event needs. Of the 230 waveforms, 225 events are found, also of those that overlap. What is left is
# noise, but for two waveforms that came nearly together (at 1.4 s).
