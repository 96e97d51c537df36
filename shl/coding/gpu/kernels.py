"""The loops that run on a GPU: pursuit, sums over events.

One block of threads codes a sample and takes all its steps in one launch.  Its correlations lie in
shared memory, where they fit (else they stay where they are, and steps take longer).  No sum
depends on the order in which threads come: the same input gives the same bits.  Floats are never
added by atomic operations.

Arg-max and sums of a block go by warps, whose threads exchange registers.  numba's simulator
(NUMBA_ENABLE_CUDASIM=1) has no such exchange: there, and there alone, shared memory stands in, and
a warp has two threads, for its threads are slow.  All else is the same code.

Indices of inner loops are unsigned (`UINT`): for others numba tests each time whether they count
from the end.  The innermost are `while`, as `range` counts what is left beside its index.  Both
were half of the instructions.
"""

import math

import numpy as np
from numba import config, cuda, float64, int32

MOST_WARPS = 32  # of a block
EVERY_LANE = 0xFFFFFFFF
UINT = np.uint64
AHEAD = 4  # numbers of a row of the Gram matrix that a thread asks for before it uses one

# ------------------------------------------------------------------------------------------ blocks

if config.ENABLE_CUDASIM:
    WARP = 2

    @cuda.jit(device=True)
    def _best_of_warp(score, atom):
        """The largest score among the threads of a warp and its atom, the lowest one on ties."""
        scores = cuda.shared.array(MOST_WARPS * WARP, float64)
        atoms = cuda.shared.array(MOST_WARPS * WARP, int32)
        me = cuda.threadIdx.x
        scores[me], atoms[me] = score, atom
        cuda.syncthreads()
        for lane in range(me - me % WARP, me - me % WARP + WARP):
            if scores[lane] > score or (scores[lane] == score and atoms[lane] < atom):
                score, atom = scores[lane], atoms[lane]
        cuda.syncthreads()
        return score, atom

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

    @cuda.jit(device=True)
    def _best_of_warp(score, atom):
        """The largest score among the threads of a warp and its atom, the lowest one on ties."""
        for distance in (16, 8, 4, 2, 1):
            other = cuda.shfl_xor_sync(EVERY_LANE, score, distance)
            rival = cuda.shfl_xor_sync(EVERY_LANE, atom, distance)
            if other > score or (other == score and rival < atom):
                score, atom = other, rival
        return score, atom

    @cuda.jit(device=True)
    def _sum_of_warp(value):
        """The sum over the threads of a warp, with the same bits for each of them."""
        for distance in (16, 8, 4, 2, 1):
            value += cuda.shfl_xor_sync(EVERY_LANE, value, distance)
        return value


@cuda.jit(device=True)
def _best(score, atom, scores, atoms):
    """The atom of a block's largest score, the lowest one on ties, for each of its threads; -1
    where no thread has one.  scores, atoms (MOST_WARPS,) are shared, as scratch.
    """
    warp_score, warp_atom = _best_of_warp(score, atom)
    warp = cuda.threadIdx.x // WARP
    if cuda.threadIdx.x % WARP == 0:
        scores[warp] = warp_score
        atoms[warp] = warp_atom
    cuda.syncthreads()
    first = 0
    for other in range(1, cuda.blockDim.x // WARP):
        is_equal = scores[other] == scores[first]
        if scores[other] > scores[first] or (is_equal and atoms[other] < atoms[first]):
            first = other
    winner = atoms[first]
    cuda.syncthreads()
    return winner


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


@cuda.jit(device=True)
def _quantile(P_cum, i, coefficient, C):
    """P_cum_i at r = 1 - exp(-coefficient / C), linear between its nb_quant points, clamped at both
    ends.
    """
    last = P_cum.shape[1] - 1
    position = (1 - math.exp(-coefficient / C)) * (last + 1)
    k = int(position)
    if k >= last:
        return P_cum[i, last]
    return P_cum[i, k] + P_cum.dtype.type(position - k) * (P_cum[i, k + 1] - P_cum[i, k])


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


@cuda.jit(device=True)
def _fairest(rho, best, gain, is_signed, P_cum, C, levels, bounds, scores, atoms):
    """Lowest atom of the highest quantile: argmax_i P_cum_i(a_i); -1 where none is above 0.

    As on the CPU: the atom `best` of the largest score gives a quantile to beat, and no atom whose
    score lies under its bound at that level can reach it (see `bound_scores`).
    """
    bound = bounds[_level_of(levels, _quantile(P_cum, best, abs(rho[best]), C))]
    top, atom = P_cum.dtype.type(0), np.int32(-1)
    for i in range(UINT(cuda.threadIdx.x), UINT(P_cum.shape[0]), UINT(cuda.blockDim.x)):
        value = abs(rho[i]) if is_signed else rho[i]
        if gain[i] * value >= bound[i]:
            quantile = _quantile(P_cum, i, value, C)
            if quantile > top:
                top, atom = quantile, np.int32(i)
    return _best(top, atom, scores, atoms)


@cuda.jit(device=True)
def _next_atom(rho, row, step, gain, is_signed, has_table, P_cum, C, levels, bounds, scores, atoms):
    """Rho -= step * row, and the atom that wins then; -1 where none scores above 0."""
    me, n_threads, n_dictionary = (
        UINT(cuda.threadIdx.x),
        UINT(cuda.blockDim.x),
        UINT(gain.shape[0]),
    )
    taken = cuda.local.array(AHEAD, gain.dtype)
    top, mine, j = gain.dtype.type(0), np.int32(-1), me
    while j < n_dictionary:
        for ahead in range(AHEAD):
            taken[ahead] = row[min(j + UINT(ahead) * n_threads, n_dictionary - UINT(1))]
        for ahead in range(AHEAD):
            if j < n_dictionary:
                value = rho[j] - step * taken[ahead]
                rho[j] = value
                score = gain[j] * (abs(value) if is_signed else value)
                if score > top:
                    top, mine = score, np.int32(j)
            j += n_threads
    atom = _best(top, mine, scores, atoms)
    if has_table and atom >= 0:
        atom = _fairest(rho, atom, gain, is_signed, P_cum, C, levels, bounds, scores, atoms)
    return atom


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
    reached, k = _reach(P_cum, i, rare, 0, knots, C)
    gain[i] = 1 / min(max(reached, C * eps), knots[nb_quant - 1])
    k = 0
    for j in range(nb_quant):
        coefficient, k = _reach(P_cum, i, levels[j], k, knots, C)
        slack = 16 * eps * (C * nb_quant + coefficient)
        bound = math.inf
        if coefficient < math.inf:
            bound = gain[i] * max(coefficient - slack, 0.0)
        bounds[j, i] = max(bound, least)


@cuda.jit(device=True)
def _reach(P_cum, i, level, k, knots, C):
    """A coefficient under which P_cum_i stays below level, and the point k it lies behind (search
    starts at k).
    """
    last = P_cum.shape[1] - 1
    if P_cum[i, last] < level:
        return math.inf, k
    while k < last and P_cum[i, k + 1] < level:
        k += 1
    if k == last or P_cum[i, k] >= level:
        return knots[k], k
    fraction = (level - P_cum[i, k]) / (P_cum[i, k + 1] - P_cum[i, k])
    return knots[k] + C * fraction / (P_cum.shape[1] - k), k


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


def _pursuit(is_shared):
    """`pursue`, for correlations that fit into shared memory, or not."""

    @cuda.jit
    def pursue(
        correlations,
        residuals,
        dictionary,
        gram,
        scale,
        gain,
        is_signed,
        has_table,
        P_cum,
        C,
        levels,
        bounds,
        n_steps,
        alpha,
        tolerance,
        indices,
        values,
    ):
        """Matching pursuit (Mallat & Zhang 1993, eq. 14) with a competition z between atoms
        (Perrinet 2010, eq. 13), one block a sample.

        i = argmax_i z_i(rho_i);  v = alpha rho_i scale_i;  rho -= v gram_i,  n_steps times

        correlations (n_samples, n_dictionary) may be overwritten; indices, values (zeros) receive
        the events and have a slot for each atom that n_steps can select.  With a tolerance, which
        is then not below 0, residuals (n_samples, n_pixels) start as the samples and are
        overwritten, else they are not looked at.
        """
        n, n_dictionary = UINT(cuda.blockIdx.x), UINT(gram.shape[0])
        if is_shared:
            rho = cuda.shared.array(0, correlations.dtype)
            for j in range(UINT(cuda.threadIdx.x), n_dictionary, UINT(cuda.blockDim.x)):
                rho[j] = correlations[n, j]
        else:
            rho = correlations[n]
        scores = cuda.shared.array(MOST_WARPS, float64)
        atoms = cuda.shared.array(MOST_WARPS, int32)
        last, n_used, step = UINT(0), 0, correlations.dtype.type(0)
        if tolerance >= 0 and _subtract_is_within(
            residuals[n], dictionary[0], step, tolerance, scores
        ):
            return
        for _ in range(n_steps):
            atom = _next_atom(
                rho,
                gram[last],
                step,
                gain,
                is_signed,
                has_table,
                P_cum,
                C,
                levels,
                bounds,
                scores,
                atoms,
            )
            if atom < 0:
                return
            step = alpha * rho[atom] * scale[atom]
            last = UINT(atom)
            n_used = _add_event(indices[n], values[n], n_used, atom, step)
            if tolerance >= 0 and _subtract_is_within(
                residuals[n], dictionary[atom], step, tolerance, scores
            ):
                return

    return pursue


@cuda.jit
def take_step(
    correlations,
    residuals,
    dictionary,
    rows,
    scale,
    gain,
    is_signed,
    has_table,
    P_cum,
    C,
    levels,
    bounds,
    alpha,
    tolerance,
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
    if lasts[n] < 0:
        return
    scores = cuda.shared.array(MOST_WARPS, float64)
    atoms = cuda.shared.array(MOST_WARPS, int32)
    rho, n_used, step = correlations[n], counts[n], steps[n]
    atom = _next_atom(
        rho, rows[n], step, gain, is_signed, has_table, P_cum, C, levels, bounds, scores, atoms
    )
    if atom >= 0:
        step = alpha * rho[atom] * scale[atom]
        n_used = _add_event(indices[n], values[n], n_used, atom, step)
        if tolerance >= 0 and _subtract_is_within(
            residuals[n], dictionary[atom], step, tolerance, scores
        ):
            atom = -1
    if cuda.threadIdx.x == 0:
        lasts[n], steps[n], counts[n] = atom, step, n_used


def _orthogonal_pursuit(is_shared):
    """`pursue_orthogonal`, for correlations that fit into shared memory, or not."""

    @cuda.jit
    def pursue_orthogonal(
        correlations, gram, gain, energies, tolerances, dependent, indices, values, inverses
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

        correlations (n_samples, n_dictionary) may be overwritten; inverses (gridDim, n_slots,
        n_slots) hold M.  A sample ends early where its energy is at most its tolerance, or where
        the chosen atom depends on those before it: p_k <= dependent.
        """
        me, n_threads = UINT(cuda.threadIdx.x), UINT(cuda.blockDim.x)
        n_dictionary, inverse = UINT(gram.shape[0]), inverses[cuda.blockIdx.x]
        n_slots = indices.shape[1]
        zero, one = correlations.dtype.type(0), correlations.dtype.type(1)
        shared = cuda.shared.array(0, correlations.dtype)
        moves, factors = shared[:n_slots], shared[n_slots : 2 * n_slots]
        pivots = shared[2 * n_slots : 3 * n_slots]
        scores = cuda.shared.array(MOST_WARPS, float64)
        atoms = cuda.shared.array(MOST_WARPS, int32)
        for n in range(cuda.blockIdx.x, correlations.shape[0], cuda.gridDim.x):
            if is_shared:
                rho = shared[3 * n_slots :]
                for j in range(me, n_dictionary, n_threads):
                    rho[j] = correlations[n, j]
            else:
                rho = correlations[n]
            energy, n_used = energies[n], 0
            while n_used < n_slots and energy > tolerances[n]:
                top, mine, j = zero, np.int32(-1), me
                while j < n_dictionary:
                    value = rho[j]
                    for k in range(UINT(n_used)):
                        value -= moves[k] * gram[UINT(indices[n, k]), j]
                    rho[j] = value
                    score = gain[j] * abs(value)
                    if score > top:
                        top, mine = score, np.int32(j)
                    j += n_threads
                atom = _best(top, mine, scores, atoms)
                if atom < 0:
                    break
                for j in range(me, n_used, n_threads):
                    product = zero
                    for k in range(j + 1):
                        product += inverse[j, k] * gram[indices[n, k], atom]
                    factors[j] = product / pivots[j]
                cuda.syncthreads()
                pivot = gram[atom, atom]
                for j in range(n_used):
                    pivot -= factors[j] * factors[j] * pivots[j]
                if pivot <= dependent:
                    break
                step = rho[atom] / pivot
                for k in range(me, n_used + 1, n_threads):
                    entry = one if k == n_used else zero
                    for j in range(k, n_used):
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

    return pursue_orthogonal


pursue, pursue_in_place = _pursuit(True), _pursuit(False)
pursue_orthogonal, pursue_orthogonal_in_place = (
    _orthogonal_pursuit(True),
    _orthogonal_pursuit(False),
)


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
