"""The same pursuit on a GPU: arrays on the device in, arrays on the device out (extra `gpu`).

Nothing here is imported, nor are PyTorch and numba's CUDA target, before an array on a GPU is met.
docs/gpu.md is for users.  How it is built:

- Inside, arrays are PyTorch tensors: products are cuBLAS', sorting is PyTorch's, memory is that of
  its allocator, and kernels run on its current stream.  Arrays of other libraries come and go by
  DLPack or the CUDA array interface, without a copy (`launching.tensor_of`, `launching.export`).
- Rules, replacement, metrics and the loop of learning are those of the CPU, written once over
  `shl._base.arrays.namespace`: NumPy, or `shl._base.tensors`, which gives tensors the same
  functions.
- `events` and `coding` have the counterparts of `shl.coding.Events` and `Coder`, `kernels` the
  loops.
- Nothing goes to the host but scalars, with these exceptions: what a record keeps of each atom,
  and the norms of pooled residuals, from which NumPy's generator draws candidates.

The kernels are numba's: one kernel language in the house, and a simulator that runs them without a
GPU (NUMBA_ENABLE_CUDASIM=1), as the tests do.
"""
