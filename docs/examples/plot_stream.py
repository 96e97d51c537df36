"""A stream larger than memory
===========================

**Learning from a file of 120 MB takes 15 MB of memory.** The file is read a few batches at a time.
Then the same is learned from batches that never are in a file.
"""

# %%
# A file of patches, written part by part. This one has 120 MB to keep the example short; nothing
# below would change for a thousand times as much.

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np

from shl import SparseHebbianLearning, show_dico
from shl.datasets import load_sample_patches

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "patches.npy"
n_parts, n_rows, n_pixels = 15, 20000, 100
file = np.lib.format.open_memmap(path, "w+", np.float32, (n_parts * n_rows, n_pixels))
part = load_sample_patches(n_rows, 10)
for index in range(n_parts):
    file[index * n_rows : (index + 1) * n_rows] = np.roll(part, index, axis=0)
file.flush()
print(f"{path.stat().st_size / 1e6:.0f} MB on disk")

# %%
# ``fit`` draws its batches from anywhere in the memory map.

X = np.load(path, mmap_mode="r")
tracemalloc.start()
model = SparseHebbianLearning(n_dictionary=144, l0_sparseness=8, n_iter=500, random_state=0).fit(X)
print(f"fit: at most {tracemalloc.get_traced_memory()[1] / 1e6:.0f} MB of arrays")
tracemalloc.stop()
show_dico(model, data=part, title="fit, 500 batches from anywhere in the file")

# %%
# ``partial_fit`` takes what comes, as from a camera, and keeps nothing of it.


def stream(source, n_batches, rng):
    """Batches of patches, one after another."""
    for _ in range(n_batches):
        yield source[rng.integers(len(source), size=2560)]


online = SparseHebbianLearning(n_dictionary=144, l0_sparseness=8, random_state=0)
for batch in stream(X, 50, np.random.default_rng(0)):
    online.partial_fit(batch)
show_dico(online, data=part, title=f"partial_fit, {online.n_iter_} steps")

# %%
# The errors of both, on patches of other places.

fresh = load_sample_patches(2000, 10, random_state=1)
for name, found in (("fit", model), ("partial_fit", online)):
    rest = fresh - found.inverse_transform(found.transform(fresh))
    print(f"{name:<12} error {np.linalg.norm(rest) / np.linalg.norm(fresh):.3f}")
del X, file
folder.cleanup()

# %%
# The file never was in memory: the arrays of learning take a fifth of its size, and would of one
# a thousand times larger too. A pass of ``partial_fit`` gives atoms like those of ``fit``, with a
# higher error, as its rate does not decay: it knows no end.
