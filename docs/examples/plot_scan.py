"""One parameter scanned in parallel
=================================

**From a rate of learning of 0.01 to 0.16 the cost F falls from 0.410 to 0.390.** Each value is a
run of its own, on several workers. Every run is stored: called again, the scan only draws.
"""

# %%
# A small experiment; its parameters are the middle of the scan.

import tempfile
import time

from shl import SHL_set

folder = tempfile.TemporaryDirectory()
options = {
    "patch_width": 10,
    "N_patches": 8192,
    "n_dictionary": 100,
    "l0_sparseness": 8,
    "n_iter": 257,
    "batch_size": 256,
    "record_each": 64,
    "cache_dir": folder.name,
}
experiments = SHL_set(options, tag="scan", N_scan=5, base=4)

# %%
# Five rates from a quarter to four times the default. With ``n_jobs=-1`` every core learns.

began = time.perf_counter()
records = experiments.run(variables="eta", n_jobs=-1)
print(f"five learnings: {time.perf_counter() - began:.1f} s")
for record in records:
    print(f"eta {record['value']:.3f}   F {record['F']:.3f}   error {record['error']:.4f}")
fig, ax = experiments.scan(variable="eta")

# %%
# Again: all five are found in the store, in this process or in one of tomorrow.

began = time.perf_counter()
records = SHL_set(options, tag="scan", N_scan=5, base=4).run(variables="eta")
print(f"again: {time.perf_counter() - began:.2f} s, {sum(r['cached'] for r in records)} stored")
folder.cleanup()

# %%
# Every rate in this range learns; here, with few steps, the larger ones reach the lower cost. The
# second scan took no time, as nothing was learned again.
