"""Atoms of natural images
=======================

**White noise becomes small oriented edges, which code held-out patches with an error of 0.236.**
The data are whitened patches of two photographs, and ten atoms code each.
"""

# sphinx_gallery_thumbnail_number = 2

# %%
# Patches of 12 x 12 pixels, whitened, so that coarse shadows do not drown fine edges.

import matplotlib.pyplot as plt
import numpy as np

from shl import SparseHebbianLearning, plot_usage, show_data, show_dico
from shl.datasets import load_sample_patches

X = load_sample_patches(n_patches=20000, patch_width=12)
show_data(X)

# %%
# 196 atoms for 144 pixels; each patch may use 10 of them. What is not said has its default: signed
# orthogonal pursuit, homeostasis (HAP) at first, replacement of redundant atoms.

model = SparseHebbianLearning(
    n_dictionary=196, l0_sparseness=10, n_iter=1000, record_each=50, random_state=0
).fit(X)
show_dico(model, title="from the least (top) to the most selected")

# %%
# How often each atom is selected, and how the error of patches that were held out fell.

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
plot_usage(model.record_["prob_active"][-1], ax=left)
right.plot(model.record_["steps"], model.record_["error"])
right.set(xlabel="step", ylabel="error |X - AD| / |X|, held out", ylim=0)

# %%
# Four patches, and what 10 atoms make of them.

code = model.transform(X[:4])
fig, axs = plt.subplots(2, 4, figsize=(6, 3), layout="constrained")
show_data(X[:4], axs=axs[0])
show_data(model.inverse_transform(code), axs=axs[1])
axs[0, 0].set_ylabel("patch")
axs[1, 0].set_ylabel("10 atoms")
print(f"coefficients that are 0: {np.mean(code == 0):.0%}")
print(f"error on held-out patches: {model.record_['error'][-1]:.3f}, unused atoms {model.n_dead_}")

# %%
# White noise became short edges and lines of all orientations, and the stripes of one
# photograph's roof. Every atom is used, the most used one about four times as often as the least,
# and ten of them leave a quarter of a held-out patch's norm unexplained.
