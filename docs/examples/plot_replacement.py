"""Replacement finds what pursuit left
===================================

**Replacement finds 100 % of the planted atoms, and learning without it 66 %.** Some atoms are used
often and most are used rarely, which is the hard case.
"""

# %%
# 96 atoms of 64 pixels; the k-th is used with a probability proportional to 1 / k.

import matplotlib.pyplot as plt
import numpy as np

from shl import SparseHebbianLearning
from shl.datasets import make_sparse_coded_signals, similarity

X, atoms, code = make_sparse_coded_signals(profile="1/rank", random_state=0)
used = (code != 0).mean(axis=0)
print(f"the first atom is in {used[0]:.0%} of the samples, the last in {used[-1]:.1%}")

# %%
# Two atoms on one source, or one atom on two, are local minima that no step of a gradient leaves.
# An atom that others explain is moved there, to a direction that many residuals share.

models = {
    replace: SparseHebbianLearning(
        len(atoms), l0_sparseness=4, homeo_method="None", replace=replace, random_state=1
    ).fit(X)
    for replace in (False, True)
}
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for replace, model in models.items():
    cosines = similarity(model.components_, atoms, is_signed=True)
    ax.plot(np.sort(cosines), label="with replacement" if replace else "without")
    print(f"replace={replace!s:<5}: {np.mean(cosines >= 0.95):.0%} of the atoms are found")
ax.axhline(0.95, color="0.6", linestyle=":")
ax.set(xlabel="planted atom, in order", ylabel="cosine with the nearest learned atom")
ax.legend()

# %%
# Which ones are missed without it? Those that are used most rarely, mostly.

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for replace, model in models.items():
    ax.semilogx(
        np.arange(1, len(atoms) + 1),
        similarity(model.components_, atoms, is_signed=True),
        "o" if replace else "x",
        label="with replacement" if replace else "without",
    )
ax.set(xlabel="rank of the planted atom", ylabel="cosine")
ax.legend()

# %%
# With replacement every planted atom is found, without it two thirds; the missing ones are
# all among the half that is used most rarely.
