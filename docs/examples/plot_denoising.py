"""Denoising a photograph
======================

You will see noise removed from a photograph by a dictionary that is learned from the noisy image
itself. Each patch is coded by as few atoms as leave a residual of the noise's size.
"""

# %%
# Grey levels in 0..1, and white noise of standard deviation 0.1.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from shl import SparseHebbianLearning, show_dico
from shl.images import to_grey

SIGMA, WIDTH = 0.1, 8
image = to_grey(load_sample_image("china.jpg"))[60:260, 200:460]
noisy = image + SIGMA * np.random.default_rng(0).standard_normal(image.shape)

# %%
# All 8 x 8 patches of the noisy image, less their means.

patches = extract_patches_2d(noisy, (WIDTH, WIDTH)).reshape(-1, WIDTH**2).astype(np.float32)
means = patches.mean(axis=1, keepdims=True)
X = patches - means
model = SparseHebbianLearning(n_dictionary=128, l0_sparseness=4, n_iter=1000, random_state=0).fit(X)
show_dico(model, title="atoms learned from the noisy image")

# %%
# Orthogonal pursuit stops where the residual is as large as the noise; every pixel is the mean of
# the 64 patches that hold it.

code = model.transform(X, fit_tol=(1.1 * SIGMA) ** 2 * WIDTH**2)
rebuilt = (model.inverse_transform(code) + means).reshape(-1, WIDTH, WIDTH)
denoised = reconstruct_from_patches_2d(rebuilt, image.shape)


def psnr(found):
    """Peak signal to noise ratio in dB, for a peak of 1."""
    return -10 * np.log10(np.mean((found - image) ** 2))


pictures = {"noisy": noisy, "denoised": denoised, "original": image}
fig, axs = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for ax, (name, picture) in zip(axs, pictures.items(), strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set_title(name if name == "original" else f"{name}, {psnr(picture):.1f} dB")
    ax.set_axis_off()
print(f"{psnr(noisy):.1f} dB -> {psnr(denoised):.1f} dB")
print(f"{(code != 0).sum(axis=1).mean():.1f} atoms a patch")

# %%
# Noise went down by 7 to 8 dB. Roofs and railings are kept, as atoms repeat them; faint detail of
# the sky and the far shore went with the noise.
