"""The compiled loops: pursuit, sums over events, Adam.

Every kernel is serial, releases the GIL and is cached on disk; parallelism comes from Python
threads that call it on fixed chunks of rows or ranges of atoms (see `shl._threads`).  A kernel
never calls a kernel of another module, because numba's disk cache does not notice an edit there.

Events are two arrays of shape (n_samples, n_slots): `indices` (int32), the atoms a sample selected,
each at most once, and `values`, their coefficients.  An unused slot has index 0 and value 0, so
that sums over slots need no test.

An arg-max over floats stays scalar in compiled code, a maximum of integers does not, and the bits
of non-negative floats are ordered as integers: `keys` is an integer array whose memory is read as
scores (`keys.view(dtype)`).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

jit = njit(nogil=True, cache=True, error_model="numpy")

BLOCK = 32  # atoms that share one test in the search for candidates


class Atoms(NamedTuple):
    """A dictionary as pursuit sees it, the same for every sample."""

    dictionary: np.ndarray  # (n_dictionary, n_pixels), unit norms
    gram: np.ndarray  # (n_dictionary, n_dictionary): what one unit of an atom takes off every rho
    scale: np.ndarray  # (n_dictionary,): value of an event / rho; 1 without a precision


class Contest(NamedTuple):
    """How atoms compete: z_i(a) = gain_i a, or P_cum_i(1 - exp(-a / C)) where P_cum has columns."""

    gain: np.ndarray  # (n_dictionary,): of the score gain_i a, which bounds the quantiles
    P_cum: np.ndarray  # (n_dictionary, nb_quant), or (n_dictionary, 0) for gains alone
    C: float
    levels: np.ndarray  # (nb_quant,), see `bound_scores`
    bounds: np.ndarray  # (nb_quant, n_dictionary) as integers
    rectified: float  # a is rectified * rho + mirrored * |rho|: (1/2, 1/2) is max(rho, 0),
    mirrored: float  # (0, 1) is |rho|


class Limits(NamedTuple):
    """When a sample ends: after n_steps, or where its squared residual is at most tolerance."""

    n_steps: int
    alpha: float  # share of a coefficient that one step takes
    tolerance: float  # below 0: none


# ------------------------------------------------------------------------------------------ pursuit


@jit
def _subtract_and_score(rho, step, gram_row, gain, rectified, mirrored, scores):
    """Rho -= step * gram_row;  scores = gain * (rectified * rho + mirrored * |rho|), never -0."""
    for i in range(rho.size):
        value = rho[i] - step * gram_row[i]
        rho[i] = value
        scores[i] = gain[i] * (rectified * value + mirrored * abs(value))


@jit
def _argmax(keys):
    """Index of the largest score, the lowest one on ties; -1 where no score is above 0."""
    top = keys.dtype.type(0)
    for i in range(keys.size):
        top = max(top, keys[i])
    if top == 0:
        return -1
    none = np.int32(keys.size)
    first = none
    for i in range(keys.size):
        first = min(first, np.int32(i) if keys[i] == top else none)
    return first


@jit
def _quantile(P_cum_row, coefficient, C):
    """P_cum_row at r = 1 - exp(-coefficient / C), linear between its nb_quant points, clamped at
    both ends.
    """
    position = (1 - math.exp(-coefficient / C)) * P_cum_row.size
    k = int(position)
    if k >= P_cum_row.size - 1:
        return P_cum_row[P_cum_row.size - 1]
    return P_cum_row[k] + P_cum_row.dtype.type(position - k) * (P_cum_row[k + 1] - P_cum_row[k])


@jit
def _fairest(rho, keys, best, contest):
    """Lowest atom of the highest quantile: argmax_i P_cum_i(a_i); -1 where none is above 0.

    The atom `best` of the largest score gives a quantile q to beat.  With levels[j] <= q, no atom i
    whose score lies under bounds[j, i] reaches q (see `bound_scores`), so the few others are all
    that need the exponential.
    """
    P_cum, C = contest.P_cum, contest.C
    target = _quantile(P_cum[best], abs(rho[best]), C)
    low, high = 0, contest.levels.size
    while low < high:  # the highest level that is surely reached
        middle = (low + high) // 2
        if contest.levels[middle] <= target:
            low = middle + 1
        else:
            high = middle
    bound = contest.bounds[max(low - 1, 0)]  # the lowest level is 0
    atom, top = -1, P_cum.dtype.type(0)
    for start in range(0, keys.size, BLOCK):
        if _margin(keys[start : start + BLOCK], bound[start : start + BLOCK]) < 0:
            continue
        for i in range(start, min(start + BLOCK, keys.size)):
            if keys[i] >= bound[i] and keys[i] > 0:
                quantile = _quantile(P_cum[i], abs(rho[i]), C)
                if quantile > top:
                    atom, top = i, quantile
    return atom


@jit
def _margin(keys, bound):
    """The most by which a key exceeds its bound.  (A function of its own: inlined by hand, the loop
    stays scalar.)
    """
    margin = keys[0] - bound[0]
    for i in range(keys.size):
        margin = max(margin, keys[i] - bound[i])
    return margin


@jit
def bound_scores(P_cum, C, gain, levels, bounds):
    """For each level and atom the least score gain_i * a at which the quantile P_cum_i(a) can reach
    the level.

    gain (n_dictionary,), levels (nb_quant,) and bounds (nb_quant, n_dictionary) are written.
    Levels are 0 and the mean of P_cum over atoms; gain_i is the inverse coefficient at which atom i
    reaches a level of rare events, so that the largest score is mostly that of the winner.  Between
    two points the inverse of a -> 1 - exp(-a / C) is bounded by its tangent, which lies below it;
    the margins are wider than rounding, so that the pursuit is exact.
    """
    n_dictionary, nb_quant = P_cum.shape
    eps = np.finfo(P_cum.dtype).eps
    knots = -C * np.log(1 - np.arange(nb_quant) / nb_quant)
    for k in range(nb_quant):
        mean = 0.0
        for i in range(n_dictionary):
            mean += P_cum[i, k]
        levels[k] = mean / n_dictionary if k > 0 else 0
    rare = 1 - 0.3 * (1 - levels[1])
    for i in range(n_dictionary):
        gain[i] = 1 / min(max(_reach(P_cum[i], rare, 0, knots, C)[0], C * eps), knots[nb_quant - 1])
        k = 0
        for j in range(nb_quant):
            coefficient, k = _reach(P_cum[i], levels[j], k, knots, C)
            slack = 16 * eps * (C * nb_quant + coefficient)
            bounds[j, i] = gain[i] * max(coefficient - slack, 0) if coefficient < np.inf else np.inf
    for j in range(1, nb_quant):
        levels[j] += 8 * eps


@jit
def _reach(P_cum_row, level, k, knots, C):
    """A coefficient under which P_cum_row stays below level, and the point k it lies behind (search
    starts at k).
    """
    last = P_cum_row.size - 1
    if P_cum_row[last] < level:
        return np.inf, k
    while k < last and P_cum_row[k + 1] < level:
        k += 1
    if k == last or P_cum_row[k] >= level:
        return knots[k], k
    fraction = (level - P_cum_row[k]) / (P_cum_row[k + 1] - P_cum_row[k])
    return knots[k] + C * fraction / (P_cum_row.size - k), k


@jit
def _add_event(indices, values, slot_of, n_used, atom, value):
    """Write an event, or add it to the slot where this sample already has the atom; return the
    slots in use.
    """
    slot = slot_of[atom]
    if slot < 0:
        slot_of[atom] = n_used
        indices[n_used] = atom
        values[n_used] = value
        return n_used + 1
    values[slot] += value
    return n_used


@jit
def _subtract_is_within(residual, atom, value, tolerance):
    """Residual -= value * atom; True if its squared norm is then at most tolerance."""
    energy = residual.dtype.type(0)
    for pixel in range(residual.size):
        residual[pixel] -= value * atom[pixel]
        energy += residual[pixel] * residual[pixel]
    return energy <= tolerance


@jit
def pursue(rho, residual, atoms, contest, limits, indices, values, keys):
    """Matching pursuit (Mallat & Zhang 1993, eq. 14) with a competition z between atoms
    (Perrinet 2010, eq. 13).

    i = argmax_i z_i(rho_i);  v = alpha rho_i scale_i;  rho -= v gram_i,  n_steps times

    rho (n_samples, n_dictionary), the correlations, is overwritten; indices, values (zeros) receive
    the events and have a slot for each atom that n_steps can select.  With a tolerance, residual
    (n_samples, n_pixels) starts as the samples and is overwritten, else it is not looked at.  keys
    (n_dictionary,) is working memory of integers of rho's item size.
    """
    n_samples, n_dictionary = rho.shape
    scores = keys.view(rho.dtype)
    slot_of = np.full(n_dictionary, -1, np.int32)
    zero = rho.dtype.type(0)
    has_table, has_tolerance = contest.P_cum.shape[1] > 0, limits.tolerance >= 0
    for n in range(n_samples):
        if has_tolerance and _subtract_is_within(
            residual[n], atoms.dictionary[0], zero, limits.tolerance
        ):
            continue
        n_used, atom, value = 0, 0, zero
        for _ in range(limits.n_steps):
            _subtract_and_score(
                rho[n],
                value,
                atoms.gram[atom],
                contest.gain,
                contest.rectified,
                contest.mirrored,
                scores,
            )
            atom = _argmax(keys)
            if atom >= 0 and has_table:
                atom = _fairest(rho[n], keys, atom, contest)
            if atom < 0:
                break
            value = limits.alpha * rho[n, atom] * atoms.scale[atom]
            n_used = _add_event(indices[n], values[n], slot_of, n_used, atom, value)
            if has_tolerance and _subtract_is_within(
                residual[n], atoms.dictionary[atom], value, limits.tolerance
            ):
                break
        for slot in range(n_used):
            slot_of[indices[n, slot]] = -1


@jit
def _orthogonalise(row, gram_row, basis, factors):
    """Row = gram_row - sum_j factors_j basis_j: what is new in an atom's correlations.

    Eight at once, for fewer passes over row: the time is that of reading basis, which is larger
    than the first cache.
    """
    k = factors.size
    first = k % 8
    for i in range(row.size):
        row[i] = gram_row[i]
    for j in range(first):
        factor, other = factors[j], basis[j]
        for i in range(row.size):
            row[i] -= factor * other[i]
    for j in range(first, k, 8):
        a, b, c, d = factors[j], factors[j + 1], factors[j + 2], factors[j + 3]
        e, f, g, h = factors[j + 4], factors[j + 5], factors[j + 6], factors[j + 7]
        p, q, r, s = basis[j], basis[j + 1], basis[j + 2], basis[j + 3]
        t, u, v, w = basis[j + 4], basis[j + 5], basis[j + 6], basis[j + 7]
        for i in range(row.size):
            row[i] -= ((a * p[i] + b * q[i]) + (c * r[i] + d * s[i])) + (
                (e * t[i] + f * u[i]) + (g * v[i] + h * w[i])
            )


@jit
def pursue_orthogonal(rho, gram, gain, energy, tolerance, indices, values, keys):
    """Orthogonal matching pursuit by a progressive Cholesky factor of the Gram matrix (Rubinstein
    et al. 2008).

    Atom i = argmax gain_i |rho_i| joins the support I.  With G_II = L diag(p) L^T, L unit lower
    triangular (no square roots), the rows w_k = G_i_k - sum_{j<k} L_kj w_j are the correlations of
    all atoms with what the k-th one adds:

    L_kj = w_j[i_k] / p_j,   p_k = w_k[i_k],   c_k = rho[i_k] / p_k,
    rho -= c_k w_k,   |r|^2 -= c_k^2 p_k

    Last, L^T v = c gives the coefficients.

    rho (n_samples, n_dictionary) and energy (n_samples,), the squared norms, are overwritten.  A
    sample ends early where its energy is at most tolerance, or where the chosen atom depends on
    those before it.
    """
    n_samples, n_dictionary = rho.shape
    l0_sparseness = indices.shape[1]
    scores = keys.view(rho.dtype)
    zero, one = rho.dtype.type(0), rho.dtype.type(1)
    basis = np.empty((l0_sparseness, n_dictionary), rho.dtype)
    pivots, factors = np.empty(l0_sparseness, rho.dtype), np.empty(l0_sparseness, rho.dtype)
    dependent = n_dictionary * np.finfo(rho.dtype).eps
    for n in range(n_samples):
        n_used, row, step = 0, gram[0], zero
        while n_used < l0_sparseness and energy[n] > tolerance:
            _subtract_and_score(rho[n], step, row, gain, zero, one, scores)
            atom = _argmax(keys)
            if atom < 0:
                break
            row = basis[n_used]
            for j in range(n_used):
                factors[j] = basis[j, atom] / pivots[j]
            _orthogonalise(row, gram[atom], basis, factors[:n_used])
            if row[atom] <= dependent:
                break
            step = rho[n, atom] / row[atom]
            indices[n, n_used] = atom
            values[n, n_used] = step
            pivots[n_used] = row[atom]
            energy[n] -= step * step * row[atom]
            n_used += 1
        for k in range(n_used - 1, -1, -1):
            for j in range(k + 1, n_used):
                values[n, k] -= basis[k, indices[n, j]] / pivots[k] * values[n, j]


@jit
def _dot(a, b):
    """<a, b>, in eight sums: one alone would wait for each addition."""
    zero = a.dtype.type(0)
    s0, s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero, zero
    whole = a.size - a.size % 8
    for i in range(0, whole, 8):
        s0 += a[i] * b[i]
        s1 += a[i + 1] * b[i + 1]
        s2 += a[i + 2] * b[i + 2]
        s3 += a[i + 3] * b[i + 3]
        s4 += a[i + 4] * b[i + 4]
        s5 += a[i + 5] * b[i + 5]
        s6 += a[i + 6] * b[i + 6]
        s7 += a[i + 7] * b[i + 7]
    for i in range(whole, a.size):
        s0 += a[i] * b[i]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@jit
def _score_seen(rho, weight, scores):
    """Scores = weight * |rho|."""
    for i in range(rho.size):
        scores[i] = weight[i] * abs(rho[i])


@jit
def _subtract(row, factor, other):
    """Row -= factor * other."""
    for i in range(row.size):
        row[i] -= factor * other[i]


@jit
def take_seen_atoms(
    rho,
    weight,
    dictionary,
    seen,
    tolerance,
    residual,
    energy,
    indices,
    values,
    basis,
    factors,
    keys,
    k,
):
    """Step k of orthogonal matching pursuit over the entries of each sample that are seen, s = 1.

    i = argmax weight_i |rho_i|;   v = s d_i - sum_{j<k} <s d_i, q_j> q_j;   q_k = v / |v|
    c_k = <q_k, r>;   r -= c_k q_k

    rho (n_samples, n_dictionary) are correlations with the residuals and weight is 1 over the norm
    of an atom's seen entries, 0 for one that may not be taken.  residual (n_samples, n_pixels) is 0
    where nothing is seen, and energy (n_samples,) its squared norm.  basis (n_samples, n_slots,
    n_pixels) receives q_k, factors (n_samples, n_slots, n_slots) <s d_i, q_j> and, at j = k, |v|.
    values[:, k] is c_k until `solve_seen_atoms`.  keys (n_dictionary,) is working memory of
    integers of rho's item size.  A sample ends where its energy is at most tolerance_n, or where
    the atom depends on those before it.  Returns how many go on.
    """
    n_samples, n_pixels = residual.shape
    scores = keys.view(rho.dtype)
    dependent = n_pixels * np.finfo(rho.dtype).eps
    n_going = 0
    for n in range(n_samples):
        if energy[n] <= tolerance[n] or (k > 0 and values[n, k - 1] == 0):
            continue
        _score_seen(rho[n], weight[n], scores)
        atom = _argmax(keys)
        if atom < 0:
            continue
        new = basis[n, k]
        for pixel in range(n_pixels):
            new[pixel] = seen[n, pixel] * dictionary[atom, pixel]
        for j in range(k):
            factors[n, k, j] = _dot(new, basis[n, j])
            _subtract(new, factors[n, k, j], basis[n, j])
        square = _dot(new, new)
        if square <= dependent:
            continue
        length = np.sqrt(square)
        for pixel in range(n_pixels):
            new[pixel] /= length
        share = _dot(new, residual[n])
        _subtract(residual[n], share, new)
        energy[n] -= share * share
        factors[n, k, k], indices[n, k], values[n, k] = length, atom, share
        n_going += share != 0
    return n_going


@jit
def solve_seen_atoms(factors, indices, values):
    """Values from c to the coefficients a, c_j = sum_{k >= j} factors_kj a_k."""
    for n in range(values.shape[0]):
        n_used = 0
        while n_used < values.shape[1] and values[n, n_used] != 0:
            n_used += 1
        for j in range(n_used - 1, -1, -1):
            for k in range(j + 1, n_used):
                values[n, j] -= factors[n, k, j] * values[n, k]
            values[n, j] /= factors[n, j, j]


# ------------------------------------------------------------------------------------------- events


@jit
def sort_events(indices, values):
    """Order each sample's events by atom, unused slots last; return how many slots each sample
    uses.
    """
    n_samples, n_slots = indices.shape
    n_used = np.zeros(n_samples, np.int32)
    for n in range(n_samples):
        for slot in range(n_slots):
            index, value = indices[n, slot], values[n, slot]
            if value == 0:
                continue
            place = n_used[n]
            while place > 0 and indices[n, place - 1] > index:
                indices[n, place] = indices[n, place - 1]
                values[n, place] = values[n, place - 1]
                place -= 1
            indices[n, place] = index
            values[n, place] = value
            n_used[n] += 1
        for slot in range(n_used[n], n_slots):
            indices[n, slot] = 0
            values[n, slot] = 0
    return n_used


@jit
def scatter(indices, values, code):
    """code[n, indices[n]] += values[n], on a dense code of zeros (n_samples, n_dictionary)."""
    for n in range(indices.shape[0]):
        for slot in range(indices.shape[1]):
            code[n, indices[n, slot]] += values[n, slot]


@jit
def subtract_reconstruction(indices, values, dictionary, residual):
    """Residual -= A D for the code A of the events: samples in, their residuals out."""
    for n in range(indices.shape[0]):
        for slot in range(indices.shape[1]):
            value, atom = values[n, slot], dictionary[indices[n, slot]]
            if value != 0:
                for pixel in range(residual.shape[1]):
                    residual[n, pixel] -= value * atom[pixel]


@jit
def accumulate(indices, values, rows, first, last, total):
    """total[i] += sum_n a_ni rows_n for the atoms first <= i < last: a range of the rows of A^T
    rows.
    """
    for n in range(indices.shape[0]):
        row = rows[n]
        for slot in range(indices.shape[1]):
            i, value = indices[n, slot], values[n, slot]
            if first <= i < last and value != 0:
                for pixel in range(row.size):
                    total[i, pixel] += value * row[pixel]


@jit
def accumulate_squares(indices, values, rows, first, last, total):
    """total[i] += sum over the samples n that use atom i of rows_n^2, for the atoms first <= i <
    last.
    """
    for n in range(indices.shape[0]):
        row = rows[n]
        for slot in range(indices.shape[1]):
            i = indices[n, slot]
            if first <= i < last and values[n, slot] != 0:
                for pixel in range(row.size):
                    total[i, pixel] += row[pixel] * row[pixel]


@jit
def count_quantiles(indices, values, C, counts):
    """counts[i, b] += samples whose coefficient of atom i has 1 - exp(-max(a, 0) / C) in the b-th
    of equal bins.

    counts (n_dictionary, n_bins), int64.  Samples that do not use an atom are not counted here.
    """
    n_bins = counts.shape[1]
    for n in range(indices.shape[0]):
        for slot in range(indices.shape[1]):
            value = values[n, slot]
            if value != 0:
                ratio = 1 - math.exp(-max(value, 0.0) / C)
                counts[indices[n, slot], min(int(ratio * n_bins), n_bins - 1)] += 1


@jit
def count_pairs(indices, values, counts):
    """counts[i, j] += samples that use both atoms i and j (n_dictionary, n_dictionary), int64."""
    for n in range(indices.shape[0]):
        for slot in range(indices.shape[1]):
            if values[n, slot] != 0:
                for other in range(indices.shape[1]):
                    if values[n, other] != 0:
                        counts[indices[n, slot], indices[n, other]] += 1


# ----------------------------------------------------------------------------------------- learning


@jit
def adam(dictionary, gradient, mean, square, beta1, beta2, eta, epsilon, correction1, correction2):
    """One Adam step in place (Kingma & Ba 2015, algorithm 1) on some rows.

    m <- b1 m + (1 - b1) g;  s <- b2 s + (1 - b2) g^2;  d -= eta (m / c1) / (sqrt(s / c2) + epsilon)
    """
    one = dictionary.dtype.type(1)
    for i in range(dictionary.shape[0]):
        for pixel in range(dictionary.shape[1]):
            slope = gradient[i, pixel]
            mean[i, pixel] = beta1 * mean[i, pixel] + (one - beta1) * slope
            square[i, pixel] = beta2 * square[i, pixel] + (one - beta2) * slope * slope
            spread = np.sqrt(square[i, pixel] / correction2) + epsilon
            dictionary[i, pixel] -= eta * (mean[i, pixel] / correction1) / spread
