"""The loops that run on a GPU: pursuit, sums over events.

One block of threads codes a sample and takes all its steps in one launch.  A thread keeps the
correlations of its atoms in registers.  If there are too many atoms, correlations stay in global
memory, and steps take longer.  Kernels of pursuit are therefore made for a number of atoms per
thread and of threads per block: all offsets are constants, and loops over atoms are unrolled.

No sum depends on the order in which threads come: the same input gives the same bits.  Floats are
never added by atomic operations.

Arg-max and sums of a block go by warps, whose threads exchange registers.  numba's simulator
(NUMBA_ENABLE_CUDASIM=1) has no such exchange: there, and there alone, shared memory stands in, and
a warp has two threads, for its threads are slow.  All else is the same code.

Indices of inner loops are unsigned (`UINT`), because numba tests for signed ones each time whether
they count from the end.
"""

import math
from functools import cache

import numpy as np
from numba import config, cuda, float64, int32

from .. import kernels as host

MOST_WARPS = 32  # of a block
SCRATCH = 2 * MOST_WARPS  # numbers that `_best` uses
EVERY_LANE = 0xFFFFFFFF
UINT = np.uint64
AHEAD = 16  # numbers of a row of the Gram matrix that a thread requests before it uses one

# ------------------------------------------------------------------------------------------ blocks

if config.ENABLE_CUDASIM:
    WARP, LIMITS = 2, {}

    @cuda.jit(device=True)
    def _best_of_warp(score, atom, value):
        """The largest score of a warp, its atom (the lowest one on ties) and its value."""
        scores = cuda.shared.array(MOST_WARPS * WARP, float64)
        atoms = cuda.shared.array(MOST_WARPS * WARP, int32)
        values = cuda.shared.array(MOST_WARPS * WARP, float64)
        me = cuda.threadIdx.x
        scores[me], atoms[me], values[me] = score, atom, value
        cuda.syncthreads()
        for lane in range(me - me % WARP, me - me % WARP + WARP):
            if scores[lane] > score or (scores[lane] == score and atoms[lane] < atom):
                score, atom = scores[lane], atoms[lane]
                value = type(value)(values[lane])
        cuda.syncthreads()
        return score, atom, value

    @cuda.jit(device=True)
    def _sum_of_warp(value):
        """The sum over the threads of a warp."""
        values = cuda.shared.array(MOST_WARPS * WARP, float64)
        me = cuda.threadIdx.x
        values[me] = value
        cuda.syncthreads()
        value = values[me - me % WARP : me - me % WARP + WARP].sum()
        cuda.syncthreads()
        return value

else:
    WARP = 32
    LIMITS = {"max_registers": 128}  # so that a processor has room for 512 threads

    @cuda.jit(device=True)
    def _best_of_warp(score, atom, value):
        """The largest score of a warp, its atom (the lowest one on ties) and its value."""
        for distance in (16, 8, 4, 2, 1):
            other = cuda.shfl_xor_sync(EVERY_LANE, score, distance)
            rival = cuda.shfl_xor_sync(EVERY_LANE, atom, distance)
            theirs = cuda.shfl_xor_sync(EVERY_LANE, value, distance)
            if other > score or (other == score and rival < atom):
                score, atom, value = other, rival, theirs
        return score, atom, value

    @cuda.jit(device=True)
    def _sum_of_warp(value):
        """The sum over the threads of a warp, with the same bits for each of them."""
        for distance in (16, 8, 4, 2, 1):
            value += cuda.shfl_xor_sync(EVERY_LANE, value, distance)
        return value


@cuda.jit(device=True)
def _best(score, atom, value, turn, scores, atoms, values):
    """The atom of a block's largest score, the lowest one on ties, and its value, for each of its
    threads; the atom is -1 if no thread has a score above 0.

    scores, atoms, values (SCRATCH,) are shared, as scratch.  Calls with turn 0 and 1
    alternate, so that one barrier a call is enough.
    """
    score, atom, value = _best_of_warp(score, atom, value)
    n_warps, first = cuda.blockDim.x // WARP, turn * MOST_WARPS
    warp, lane = cuda.threadIdx.x // WARP, cuda.threadIdx.x % WARP
    if lane == 0:
        scores[first + warp], atoms[first + warp], values[first + warp] = score, atom, value
    cuda.syncthreads()
    if n_warps == 1:
        return atom, value
    score, atom, value = scores.dtype.type(0), np.int32(-1), values.dtype.type(0)
    if lane < n_warps:
        score, atom, value = scores[first + lane], atoms[first + lane], values[first + lane]
    score, atom, value = _best_of_warp(score, atom, value)
    return atom, value


@cuda.jit(device=True)
def _total(value, sums):
    """The sum over a block, float64, for each of its threads; sums (MOST_WARPS,) are shared, as
    scratch.
    """
    warp_sum = _sum_of_warp(value)
    if cuda.threadIdx.x % WARP == 0:
        sums[cuda.threadIdx.x // WARP] = warp_sum
    cuda.syncthreads()
    total = 0.0
    for warp in range(cuda.blockDim.x // WARP):
        total += sums[warp]
    cuda.syncthreads()
    return total


# ----------------------------------------------------------------------------------------- pursuit


def _on_device(kernel):
    """The same function of the CPU's kernels, for a GPU."""
    return cuda.jit(device=True)(getattr(kernel, "py_func", kernel))


_quantile, _reach = _on_device(host.quantile), _on_device(host.reach)


@cuda.jit(device=True)
def _level_of(levels, target):
    """The last level that is at most target, levels[0] = 0, by bisection."""
    low, high = 0, levels.shape[0]
    while high - low > 1:
        middle = (low + high) // 2
        if levels[middle] <= target:
            low = middle
        else:
            high = middle
    return low


def _steps_of(n_own, n_threads, is_resident, has_table):
    """`next_atom` for blocks of n_threads threads, each of which takes n_own atoms at a time.

    If is_resident, they are all atoms of the thread: atoms me + k n_threads for k < n_own.  Their
    correlations are in the local array `own`, which becomes registers.  Else they stay in `rho`.
    """
    stride, n_ahead = UINT(n_own * n_threads), min(n_own, AHEAD)

    @cuda.jit(device=True)
    def find_fairest(best, value, own, rho, gain, is_signed, P_cum, C, levels, bounds, scratch):
        """Lowest atom of the highest quantile argmax_i P_cum_i(a_i), and its correlation; the atom
        is -1 if none is above 0.

        As on the CPU: the atom `best` of the largest score gives a quantile to beat, and no atom
        whose score lies under its bound at that level can reach it (see `bound_scores`).
        """
        bound = bounds[_level_of(levels, _quantile(P_cum, best, abs(value), C))]
        zero, n_dictionary = P_cum.dtype.type(0), UINT(P_cum.shape[0])
        top, mine, found, first = zero, np.int32(-1), zero, UINT(cuda.threadIdx.x)
        while first < n_dictionary:
            rivals = UINT(0)  # a bit an atom
            for k in range(n_own):
                j = first + UINT(k * n_threads)
                if j < n_dictionary:
                    value = own[k] if is_resident else rho[j]
                    if gain[j] * (abs(value) if is_signed else value) >= bound[j]:
                        rivals |= UINT(1) << UINT(k)
            while rivals:
                j, value, rest = first, zero, rivals
                for k in range(n_own - 1, -1, -1):
                    if rivals >> UINT(k) & UINT(1):
                        j = first + UINT(k * n_threads)
                        value = own[k] if is_resident else rho[j]
                        rest = rivals & ~(UINT(1) << UINT(k))
                rivals = rest
                quantile = _quantile(P_cum, j, abs(value) if is_signed else value, C)
                if quantile > top:
                    top, mine, found = quantile, np.int32(j), value
            first += stride
        return _best(top, mine, found, 1, *scratch)

    @cuda.jit(device=True)
    def next_atom(own, rho, row, step, turn, gain, is_signed, P_cum, C, levels, bounds, scratch):
        """Rho -= step * row; return the atom that is then selected and its correlation, -1 if none
        scores above 0.
        """
        zero, n_dictionary = gain.dtype.type(0), UINT(gain.shape[0])
        taken = cuda.local.array(n_ahead, gain.dtype)
        top, mine, found, first = zero, np.int32(-1), zero, UINT(cuda.threadIdx.x)
        while first < n_dictionary:
            for start in range(0, n_own, n_ahead):
                for k in range(n_ahead):
                    j = first + UINT((start + k) * n_threads)
                    is_there = is_resident and start + k < n_own - 1
                    if start + k < n_own and (is_there or j < n_dictionary):
                        taken[k] = row[j]
                for k in range(n_ahead):
                    j = first + UINT((start + k) * n_threads)
                    is_there = is_resident and start + k < n_own - 1
                    if start + k < n_own and (is_there or j < n_dictionary):
                        value = (own[start + k] if is_resident else rho[j]) - step * taken[k]
                        if is_resident:
                            own[start + k] = value
                        else:
                            rho[j] = value
                        score = gain[j] * (abs(value) if is_signed else value)
                        if score > top:
                            top, mine, found = score, np.int32(j), value
            if is_resident:
                break
            first += stride
        atom, value = _best(top, mine, found, 0 if has_table else turn, *scratch)
        if has_table and atom >= 0:
            atom, value = find_fairest(
                atom, value, own, rho, gain, is_signed, P_cum, C, levels, bounds, scratch
            )
        return atom, value

    return next_atom


@cuda.jit
def bound_scores(P_cum, C, knots, levels, eps, least, gain, bounds):
    """For each level and atom the least score gain_i * a at which the quantile P_cum_i(a) can reach
    the level: one thread an atom, `shl.coding.kernels.bound_scores` says why.

    knots (nb_quant,), float64, are the coefficients of the points of P_cum; eps is that of its
    dtype and least the smallest number above 0.
    """
    i, nb_quant = cuda.grid(1), P_cum.shape[1]
    if i >= P_cum.shape[0]:
        return
    rare = 1 - 0.3 * (1 - levels[1])
    reached, k = _reach(P_cum[i], rare, 0, knots, C)
    gain[i] = 1 / min(max(reached, C * eps), knots[nb_quant - 1])
    k = 0
    for j in range(nb_quant):
        coefficient, k = _reach(P_cum[i], levels[j], k, knots, C)
        slack = 16 * eps * (C * nb_quant + coefficient)
        bound = math.inf
        if coefficient < math.inf:
            bound = gain[i] * max(coefficient - slack, 0.0)
        bounds[j, i] = max(bound, least)


@cuda.jit(device=True)
def _add_event(indices, values, n_used, atom, value):
    """Write an event, or add it to the slot where this sample already has the atom; return the
    slots in use.
    """
    is_there = np.int32(0)
    for slot in range(cuda.threadIdx.x, n_used, cuda.blockDim.x):
        if indices[slot] == atom:
            values[slot] += value
            is_there = np.int32(1)
    if cuda.syncthreads_or(is_there):
        return n_used
    if cuda.threadIdx.x == 0:
        indices[n_used] = atom
        values[n_used] = value
    return n_used + 1


@cuda.jit(device=True)
def _subtract_is_within(residual, atom, value, tolerance, sums):
    """Residual -= value * atom; True if its squared norm is then at most tolerance."""
    energy = 0.0
    for pixel in range(UINT(cuda.threadIdx.x), UINT(atom.shape[0]), UINT(cuda.blockDim.x)):
        residual[pixel] -= value * atom[pixel]
        energy += float64(residual[pixel]) * float64(residual[pixel])
    return _total(energy, sums) <= tolerance


@cache
def make_pursuit(n_own, n_threads, is_resident, has_table):
    """`pursue` for a number of atoms per thread and of threads per block, as in `_steps_of`."""
    next_atom = _steps_of(n_own, n_threads, is_resident, has_table)
    n_kept = n_own if is_resident else 1

    @cuda.jit(**LIMITS)
    def pursue(
        correlations,
        residuals,
        dictionary,
        gram,
        scale,
        gain,
        is_signed,
        P_cum,
        C,
        levels,
        bounds,
        n_steps,
        alpha,
        tolerances,
        indices,
        values,
    ):
        """Matching pursuit (Mallat & Zhang 1993, eq. 14) with a competition z between atoms
        (Perrinet 2010, eq. 13), one block a sample.

        i = argmax_i z_i(rho_i);  v = alpha rho_i scale_i;  rho -= v gram_i,  n_steps times

        correlations (n_samples, n_dictionary) may be overwritten; indices, values (zeros) receive
        the events and have a slot for each atom that n_steps can select.  Tolerances (n_samples,)
        below 0 are none, and a sample that takes all steps and does not reach its own gets one.
        With tolerances, residuals (n_samples, n_pixels) start as the samples and are overwritten.
        """
        n, me, n_dictionary = UINT(cuda.blockIdx.x), UINT(cuda.threadIdx.x), UINT(gram.shape[0])
        own = cuda.local.array(n_kept, correlations.dtype)
        used = cuda.shared.array(0, int32)  # a bit an atom
        sums = cuda.shared.array(MOST_WARPS, float64)
        scratch = (
            cuda.shared.array(SCRATCH, correlations.dtype),
            cuda.shared.array(SCRATCH, int32),
            cuda.shared.array(SCRATCH, correlations.dtype),
        )
        rho, tolerance = correlations[n], tolerances[n]
        if is_resident:
            for k in range(n_own):
                j = me + UINT(k * n_threads)
                own[k] = rho[j] if j < n_dictionary else correlations.dtype.type(0)
        for word in range(me, (n_dictionary + UINT(31)) // UINT(32), UINT(n_threads)):
            used[word] = 0
        last, n_used, step = np.int32(-1), 0, correlations.dtype.type(0)
        if tolerance >= 0 and _subtract_is_within(
            residuals[n], dictionary[0], step, tolerance, sums
        ):
            return
        for turn in range(n_steps):
            row = gram[UINT(max(last, 0))]
            atom, value = next_atom(
                own, rho, row, step, turn & 1, gain, is_signed, P_cum, C, levels, bounds, scratch
            )
            if atom < 0:
                return
            step = alpha * value * scale[atom]
            # The bit of the last atom is set now, after the barrier: no thread looks for it.
            if atom == last or used[atom >> 5] >> (atom & 31) & 1:
                for slot in range(me, UINT(n_used), UINT(n_threads)):
                    if indices[n, slot] == atom:
                        values[n, slot] += step
            else:
                if me == 0:
                    indices[n, n_used] = atom
                    values[n, n_used] = step
                n_used += 1
            if me == 0 and last >= 0:
                used[last >> 5] |= np.int32(1) << (last & 31)
            last = atom
            if tolerance >= 0 and _subtract_is_within(
                residuals[n], dictionary[atom], step, tolerance, sums
            ):
                return
        if me == 0:
            tolerances[n] = -1

    return pursue


@cache
def make_step(n_own, n_threads, has_table):
    """`take_step` for a number of atoms that a thread takes at a time, and of threads."""
    next_atom = _steps_of(n_own, n_threads, False, has_table)

    @cuda.jit
    def take_step(
        correlations,
        residuals,
        dictionary,
        rows,
        scale,
        gain,
        is_signed,
        P_cum,
        C,
        levels,
        bounds,
        alpha,
        tolerances,
        indices,
        values,
        lasts,
        steps,
        counts,
    ):
        """One step of `pursue` for each sample, where there is no Gram matrix: rows (n_samples,
        n_dictionary) are its rows of the samples' last atoms.

        lasts (n_samples,), the last atoms, -1 where a sample has ended; steps, their values; and
        counts, the slots in use, go from step to step.
        """
        n = cuda.blockIdx.x
        tolerance = tolerances[n]
        if lasts[n] < 0:
            return
        sums = cuda.shared.array(MOST_WARPS, float64)
        scratch = (
            cuda.shared.array(SCRATCH, correlations.dtype),
            cuda.shared.array(SCRATCH, int32),
            cuda.shared.array(SCRATCH, correlations.dtype),
        )
        own = cuda.local.array(1, correlations.dtype)
        n_used, step = counts[n], steps[n]
        atom, value = next_atom(
            own,
            correlations[n],
            rows[n],
            step,
            0,
            gain,
            is_signed,
            P_cum,
            C,
            levels,
            bounds,
            scratch,
        )
        if atom >= 0:
            step = alpha * value * scale[atom]
            n_used = _add_event(indices[n], values[n], n_used, atom, step)
            if tolerance >= 0 and _subtract_is_within(
                residuals[n], dictionary[atom], step, tolerance, sums
            ):
                atom = -1
        if cuda.threadIdx.x == 0:
            lasts[n], steps[n], counts[n] = atom, step, n_used

    return take_step


@cache
def make_orthogonal_pursuit(n_own, n_threads, is_resident):
    """`pursue_orthogonal` for a number of atoms per thread and of threads per block, as in
    `_steps_of`.
    """
    stride, n_ahead = UINT(n_own * n_threads), min(n_own, AHEAD)

    @cuda.jit(**LIMITS)
    def pursue_orthogonal(
        correlations, gram, gain, energies, tolerances, dependent, least, indices, values, scratch
    ):
        """Orthogonal matching pursuit by the inverse of a progressive Cholesky factor of the Gram
        matrix, one block for every gridDim-th sample.

        Atom i = argmax gain_i |rho_i| joins the support I as its k-th.  With G_II = L diag(p) L^T,
        L unit lower triangular, and M = L^-1:

        f_j = (sum_{l<=j} M_jl G_I_l,i) / p_j,   p_k = G_ii - sum_j f_j^2 p_j
        M_kl = -sum_{j>=l} f_j M_jl,   M_kk = 1,   c = rho_i / p_k
        a_l += c M_kl,   rho -= sum_l c M_kl G_I_l,   |r|^2 -= c^2 p_k

        There is no sum in it that waits for another, as there is in the factor L itself (which the
        CPU takes), and the rows of the Gram matrix serve all samples.

        correlations (n_samples, n_dictionary) may be overwritten; scratch (gridDim, n_slots + 4,
        n_slots) holds M and four vectors.  A sample ends early where its energy is at most its
        tolerance, or where the chosen atom depends on those before it: p_k <= dependent.
        """
        me, n_dictionary = UINT(cuda.threadIdx.x), UINT(gram.shape[0])
        n_slots, inverse = indices.shape[1], scratch[cuda.blockIdx.x]
        moves, factors = inverse[n_slots], inverse[n_slots + 1]
        pivots, column = inverse[n_slots + 2], inverse[n_slots + 3]
        zero, one = correlations.dtype.type(0), correlations.dtype.type(1)
        own = cuda.local.array(n_own, correlations.dtype)
        taken = cuda.local.array(n_ahead, correlations.dtype)
        scores = cuda.shared.array(SCRATCH, correlations.dtype)
        atoms = cuda.shared.array(SCRATCH, int32)
        found = cuda.shared.array(SCRATCH, correlations.dtype)
        for n in range(cuda.blockIdx.x, correlations.shape[0], cuda.gridDim.x):
            rho, energy, n_used, smallest = correlations[n], energies[n], 0, least[n]
            while n_used < n_slots and energy > tolerances[n]:
                top, mine, best, first = zero, np.int32(-1), zero, me
                while first < n_dictionary:
                    if n_used == 0 or not is_resident:
                        for k in range(n_own):
                            j = first + UINT(k * n_threads)
                            own[k] = rho[j] if j < n_dictionary else zero
                    for slot in range(UINT(n_used)):
                        row, move = gram[UINT(indices[n, slot])], moves[slot]
                        for start in range(0, n_own, n_ahead):
                            for k in range(n_ahead):
                                j = first + UINT((start + k) * n_threads)
                                is_there = is_resident and start + k < n_own - 1
                                if start + k < n_own and (is_there or j < n_dictionary):
                                    taken[k] = row[j]
                            for k in range(n_ahead):
                                if start + k < n_own:
                                    own[start + k] -= move * taken[k]
                    for k in range(n_own):
                        j = first + UINT(k * n_threads)
                        if j < n_dictionary:
                            value = own[k]
                            if not is_resident:
                                rho[j] = value
                            score = gain[j] * abs(value)
                            if score > top:
                                top, mine, best = score, np.int32(j), value
                    first += stride
                atom, best = _best(top, mine, best, n_used & 1, scores, atoms, found)
                if atom < 0:
                    break
                for k in range(me, UINT(n_used), UINT(n_threads)):
                    column[k] = gram[UINT(indices[n, k]), UINT(atom)]
                cuda.syncthreads()
                for j in range(me, UINT(n_used), UINT(n_threads)):
                    product = zero
                    for k in range(j + UINT(1)):
                        product += inverse[j, k] * column[k]
                    factors[j] = product / pivots[j]
                cuda.syncthreads()
                pivot = gram[UINT(atom), UINT(atom)]
                for j in range(UINT(n_used)):
                    pivot -= factors[j] * factors[j] * pivots[j]
                smallest = min(smallest, float64(pivot) if pivot > dependent else 0.0)
                if pivot <= dependent:
                    break
                step = best / pivot
                for k in range(me, UINT(n_used + 1), UINT(n_threads)):
                    entry = one if k == n_used else zero
                    for j in range(k, UINT(n_used)):
                        entry -= factors[j] * inverse[j, k]
                    inverse[n_used, k] = entry
                    moves[k] = step * entry
                    values[n, k] += moves[k]
                if me == 0:
                    pivots[n_used] = pivot
                    indices[n, n_used] = atom
                energy -= step * step * pivot
                n_used += 1
                cuda.syncthreads()
            cuda.syncthreads()
            if me == 0:
                energies[n], least[n] = energy, smallest

    return pursue_orthogonal


# ------------------------------------------------------------------------------------------- events


@cuda.jit
def scatter(indices, values, code):
    """code[n, indices[n]] = values[n], on a dense code of zeros, one block a sample."""
    n = cuda.blockIdx.x
    for slot in range(cuda.threadIdx.x, indices.shape[1], cuda.blockDim.x):
        if values[n, slot] != 0:
            code[n, indices[n, slot]] = values[n, slot]


@cuda.jit
def subtract_reconstruction(indices, values, dictionary, residual):
    """Residual -= A D for the code A of the events, one block a sample."""
    n = cuda.blockIdx.x
    for pixel in range(UINT(cuda.threadIdx.x), UINT(residual.shape[1]), UINT(cuda.blockDim.x)):
        total = residual[n, pixel]
        for slot in range(UINT(indices.shape[1])):
            total -= values[n, slot] * dictionary[UINT(indices[n, slot]), pixel]
        residual[n, pixel] = total


@cuda.jit
def accumulate(starts, samples, values, rows, total):
    """total[i] = sum_n a_ni rows_n: A^T rows, the events of atom i being those from starts[i] to
    starts[i + 1], in order; blocks (i, part of the pixels).
    """
    i, first = cuda.blockIdx.x, cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    for pixel in range(UINT(first), UINT(rows.shape[1]), UINT(cuda.gridDim.y * cuda.blockDim.x)):
        entry = rows.dtype.type(0)
        for k in range(UINT(starts[i]), UINT(starts[i + 1])):
            entry += values[k] * rows[UINT(samples[k]), pixel]
        total[i, pixel] = entry


@cuda.jit
def accumulate_squares(starts, samples, rows, total):
    """total[i] = sum of rows_n^2 over the samples n that use atom i; else as `accumulate`."""
    i, first = cuda.blockIdx.x, cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    for pixel in range(UINT(first), UINT(rows.shape[1]), UINT(cuda.gridDim.y * cuda.blockDim.x)):
        entry = rows.dtype.type(0)
        for k in range(UINT(starts[i]), UINT(starts[i + 1])):
            value = rows[UINT(samples[k]), pixel]
            entry += value * value
        total[i, pixel] = entry


@cuda.jit
def sum_segments(starts, values, total):
    """total[i] = sum of the values from starts[i] to starts[i + 1], in float64, one block each."""
    i, entry = cuda.blockIdx.x, 0.0
    sums = cuda.shared.array(MOST_WARPS, float64)
    for k in range(starts[i] + cuda.threadIdx.x, starts[i + 1], cuda.blockDim.x):
        entry += values[k]
    entry = _total(entry, sums)
    if cuda.threadIdx.x == 0:
        total[i] = entry
