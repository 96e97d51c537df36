"""Atoms anywhere in an image
==========================

**Homeostasis lowers the variation of the atoms' use from 0.409 to 0.024, at the same error.** The
dictionary is convolutional: an atom may sit anywhere, so that one edge is learned once and not at
every place of a patch.
"""

# sphinx_gallery_thumbnail_number = 4

# %%
# Two photographs, with even contrast.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

from shl.convolution import ConvolutionalSHL, gaussian_mask, preprocess
from shl.convolution.plots import show_atoms

whole = [image.mean(axis=2)[:400, :600] for image in load_sample_images().images]
images = [
    image[row : row + 80, column : column + 80]
    for image in whole
    for row in range(0, 400, 160)
    for column in range(0, 480, 120)
]
X = preprocess(np.array(images)).astype(np.float32)
print("images, height, width:", X.shape)

# %%
# Learned without and with homeostasis.

models = {
    method: ConvolutionalSHL(
        n_dictionary=20,
        patch_width=9,
        l0_sparseness=25,
        n_iter=200,
        mask=gaussian_mask(9),
        homeo_method=method,
        random_state=0,
    ).fit(X)
    for method in ("None", "shareHAP")
}
show_atoms(models["None"], title="without homeostasis")
show_atoms(models["shareHAP"], title="with homeostasis")

# %%
# Events of each atom, under the competition that it learned with.

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for method, model in models.items():
    ax.plot(np.sort(model.counts_), "o-", ms=3, label=method)
    spread = model.counts_.std() / model.counts_.mean()
    print(f"{method}: usage varies by {spread:.3f}, error {model.record_['error'][-1]:.3f}")
ax.set(xlabel="atom, in order", ylabel="events", ylim=0)
ax.legend()

# %%
# One image and what 300 events make of it.

model = models["shareHAP"]
code = model.transform(X[:1], l0_sparseness=300)
rebuilt = model.inverse_transform(code)
fig, axs = plt.subplots(1, 2, figsize=(7, 3.5), layout="constrained")
for ax, picture, title in zip(axs, (X[0], rebuilt[0, 0]), ("image", "300 events"), strict=True):
    ax.imshow(picture, cmap="gray", vmin=X[0].min(), vmax=X[0].max())
    ax.set_title(title)
    ax.set_axis_off()
print(code)

# %%
# Atoms became bars, edges and corners. Without homeostasis the most used atom takes several times
# as many events as the least used one; with it all are used alike, at the same error. One image
# is rebuilt, all but its finest grain, from 300 events.
