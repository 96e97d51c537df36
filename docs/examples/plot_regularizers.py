"""What a regulariser does to weights
==================================

**L1 sets 66 % of the weights to exactly zero at an accuracy of 0.960; the group lasso reads only 31
of 64 pixels.** One softmax layer tells ten digits apart under four penalties.
"""

# %%
# The same network and data; only the penalty differs.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from shl.networks import SparseMLPClassifier, shrink

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)
penalties = {None: 0.0, "l2": 1e-2, "l1": 2e-3, "group_lasso": 4e-3}
models = {
    penalty: SparseMLPClassifier(
        (), penalty=penalty, alpha=alpha, learning_rate_init=1e-2, max_iter=100, random_state=0
    ).fit(X_train, y_train)
    for penalty, alpha in penalties.items()
}

# %%
# Each picture is one digit's weights over the 8 x 8 pixels, all on one scale a row.

fig, axs = plt.subplots(len(models), 10, figsize=(9, 4), layout="constrained")
for row, (penalty, model) in zip(axs, models.items(), strict=True):
    weights = model.coefs_[0]
    most = np.abs(weights).max()
    for ax, column in zip(row, weights.T, strict=True):
        ax.imshow(column.reshape(8, 8), cmap="RdBu_r", vmin=-most, vmax=most)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(str(penalty), rotation=0, ha="right", va="center")

# %%
# Exact zeros, pixels that any digit still looks at, and accuracy.

for penalty, model in models.items():
    weights = model.coefs_[0]
    print(
        f"{penalty!s:<12} zeros {np.mean(weights == 0):4.0%}   pixels used "
        f"{weights.any(axis=1).sum():2d} of 64   test accuracy {model.score(X_test, y_test):.3f}"
    )

# %%
# Zeros in whole rows make a smaller network with the same outputs.

model = SparseMLPClassifier(
    (40,), penalty="group_lasso", alpha=1e-3, max_iter=100, random_state=0
).fit(X_train, y_train)
smaller = shrink(model)
print([weights.shape for weights in model.coefs_], "->", smaller)

# %%
# L2 makes weights smooth and hardly a zero; L1 makes most weights zero and loses nothing on the
# test set; the group lasso takes whole pixels away, the same for all digits, first at the border
# where no digit has ink. ``shrink`` turns rows of zeros into a smaller network.
