"""The compiled loops: pursuit, sums over events, Adam.

Every kernel is serial, releases the GIL and is cached on disk; parallelism comes from Python
threads that call it on fixed chunks of rows or ranges of atoms (see `shl._base.threads`).  A kernel
never calls a kernel of another module, because numba's disk cache does not notice an edit there.

Events are two arrays of shape (n_samples, n_slots): `indices` (int32), the atoms a sample selected,
each at most once, and `values`, their coefficients.  An unused slot has index 0 and value 0, so
that sums over slots need no test.

An arg-max over floats stays scalar in compiled code; `_subtract_and_find` and `_next_reaching` are
therefore written in LLVM's own instructions, on vectors of 64 bytes that it fits to the processor.
Rows that they read (rho, Gram matrix, gain, bounds) are padded with zeros to whole strips of two
vectors.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from .._base.jit import jit

VECTOR = 64  # bytes
UNROLLED = 2
STRIP = UNROLLED * VECTOR
BLOCK = 32  # items of a loop without a remainder
TILE = 16  # rows and columns that are transposed at once
GROUP = 4  # rows that are subtracted, or added up, in one pass
TILED = 4  # strips of a sum of rows at a time
SPAN = 4  # vectors of a row that sums over events keep in registers
TURNS = 2  # samples that take their steps in turn: one waits for its arg-max while another works


class Atoms(NamedTuple):
    """A dictionary as pursuit sees it, the same for every sample."""

    dictionary: np.ndarray  # (n_dictionary, n_pixels), unit norms
    gram: np.ndarray  # (n_dictionary, n_padded): what one unit of an atom takes off every rho
    scale: np.ndarray  # (n_dictionary,): value of an event / rho; 1 without a precision


class Contest(NamedTuple):
    """How atoms compete: z_i(a) = gain_i a, or P_cum_i(1 - exp(-a / C)) where P_cum has several
    columns.

    Arrays are NumPy's, or tensors on a GPU.
    """

    gain: Any  # (n_padded,): of the score gain_i a, which bounds the quantiles
    P_cum: Any  # (n_dictionary, nb_quant); none or one column for gains alone
    C: float
    levels: Any  # (nb_quant,), see `bound_scores`
    bounds: Any  # (nb_quant, n_padded)
    is_signed: bool  # a is |rho|, else max(rho, 0)
    exponent: int = 0  # samples come divided by 2^exponent, as C is

    @property
    def has_table(self) -> bool:
        """Whether atoms compete by quantiles."""
        return self.P_cum.shape[1] > 1


class ByAtom(NamedTuple):
    """Events ordered by atom, those of one atom by sample; arrays as in `Contest`."""

    starts: Any  # (n_dictionary + 1,): those of atom i are starts[i] to starts[i + 1]
    samples: Any  # (n_events,)
    values: Any  # (n_events,)


# ----------------------------------------------------------------------------------------- vectors


class _Vectors:
    """Writes LLVM's instructions on vectors of one dtype, at numba's place in a kernel."""

    def __init__(self, context, builder, dtype):
        self.context, self.builder, self.bits = context, builder, dtype.bitwidth
        self.lanes, self.strip = 8 * VECTOR // self.bits, 8 * STRIP // self.bits
        self.number, self.integer = context.get_value_type(dtype), ir.IntType(self.bits)
        self.numbers = ir.VectorType(self.number, self.lanes)
        self.integers = ir.VectorType(self.integer, self.lanes)
        self.index = context.get_value_type(types.intp)

    def array(self, signature, args, k):
        """The k-th argument, which has `data` and `nitems`."""
        return self.context.make_array(signature.args[k])(self.context, self.builder, args[k])

    def place(self, data, i):
        """Where the vector begins that starts at the i-th item."""
        return self.builder.bitcast(self.builder.gep(data, [i]), self.numbers.as_pointer())

    def load(self, data, i):
        """Items i to i + lanes."""
        return self.builder.load(self.place(data, i), align=self.bits // 8)

    def store(self, vector, data, i):
        """Items i to i + lanes become the vector's."""
        self.builder.store(vector, self.place(data, i), align=self.bits // 8)

    def repeat(self, value):
        """A vector of one value."""
        one = ir.VectorType(value.type, self.lanes)(ir.Undefined)
        one = self.builder.insert_element(one, value, ir.IntType(32)(0))
        zeros = ir.VectorType(ir.IntType(32), self.lanes)(None)
        return self.builder.shuffle_vector(one, one, zeros)

    def larger(self, a, b):
        """The larger of each pair."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def multiply_add(self, a, b, c):
        """A * b + c, rounded once where the processor has such an instruction."""
        return self.call(f"llvm.fmuladd.v{self.lanes}f{self.bits}", self.numbers, a, b, c)

    def reduce(self, name, vector):
        """One of LLVM's reductions of a vector of integers to one."""
        name = f"llvm.vector.reduce.{name}.v{self.lanes}i{self.bits}"
        return self.call(name, self.integer, vector)

    def call(self, name, result, *values):
        """Call one of LLVM's functions."""
        kind = ir.FunctionType(result, [value.type for value in values])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, values)

    def zeros(self, count):
        """Places of vectors of zeros, which stay in registers."""
        return [cgutils.alloca_once_value(self.builder, self.numbers(None)) for _ in range(count)]

    def add_up(self, vector):
        """The sum of a vector's numbers, by halves."""
        lanes, index = self.lanes, ir.IntType(32)
        while lanes > 1:
            lanes //= 2
            kind = ir.VectorType(index, lanes)
            halves = (kind(list(range(start, start + lanes))) for start in (0, lanes))
            low, high = (self.builder.shuffle_vector(vector, vector, half) for half in halves)
            vector = self.builder.fadd(low, high)
        return self.builder.extract_element(vector, index(0))

    def keep_bits(self, vector, mask):
        """The numbers that the bits of a vector that are set in mask are."""
        bits = self.builder.and_(self.builder.bitcast(vector, self.integers), mask)
        return self.builder.bitcast(bits, self.numbers)

    def score(self, gain, rho, is_signed):
        """Gain * |rho| where signed; else gain * rho, which below 0 is no score."""
        if is_signed:
            without_sign = self.integers([(1 << (self.bits - 1)) - 1] * self.lanes)
            rho = self.keep_bits(rho, without_sign)
        return self.builder.fmul(gain, rho)

    def parts(self, i, n_vectors=UNROLLED):
        """The starts of the vectors from i on, those of a strip or so many."""
        return [self.builder.add(i, self.index(k * self.lanes)) for k in range(n_vectors)]

    def row(self, data, i, size):
        """Where the i-th row of so many items begins."""
        return self.builder.gep(data, [self.builder.mul(i, size)])

    def store_all(self, values, data, i):
        """Store vectors one behind the other, from the i-th item on."""
        for vector, part in zip(values, self.parts(i, len(values)), strict=True):
            self.store(vector, data, part)

    def flags(self, tests):
        """The results of comparing the vectors of a strip, as the bits of one integer."""
        while len(tests) > 1:
            size = 2 * tests[0].type.count
            order = ir.VectorType(ir.IntType(32), size)(list(range(size)))
            pairs = zip(tests[::2], tests[1::2], strict=True)
            tests = [self.builder.shuffle_vector(*pair, order) for pair in pairs]
        flags = self.builder.bitcast(tests[0], ir.IntType(tests[0].type.count))
        return self.builder.zext(flags, ir.IntType(64))

    def strips(self, size, start=None):
        """A loop over the strips of `size` items: its `index` counts strips from `start` on."""
        count = self.builder.sdiv(size, self.index(self.strip))
        return cgutils.for_range(self.builder, count, start, self.index)


@intrinsic
def _subtract_and_find(typing_context, rho, step, gram_row, gain, is_signed):
    """Rho -= step * gram_row, and the index of the largest score, the lowest one on ties; -1 where
    no score is above 0.

    Scores are gain * max(rho, 0), or gain * |rho| where signed.  Each lane keeps its largest score
    and the strip where it first met it.
    """

    def emit(context, builder, signature, args):
        found = cgutils.alloca_once(builder, context.get_value_type(types.intp))
        with builder.if_else(args[4]) as branches:
            for signed, branch in zip((True, False), branches, strict=True):
                with branch:
                    builder.store(search(context, builder, signature, args, signed), found)
        return builder.load(found)

    def search(context, builder, signature, args, signed):
        vectors = _Vectors(context, builder, rho.dtype)
        values, row, gains = (vectors.array(signature, args, k) for k in (0, 2, 3))
        step, strip = vectors.repeat(builder.fneg(args[1])), vectors.index(vectors.strip)
        best = cgutils.alloca_once_value(builder, vectors.numbers(None))
        place = cgutils.alloca_once_value(builder, vectors.integers(None))
        with vectors.strips(values.nitems) as loop:
            scores = []
            for i in vectors.parts(builder.mul(loop.index, strip)):
                row_part, value = vectors.load(row.data, i), vectors.load(values.data, i)
                value = vectors.multiply_add(step, row_part, value)
                vectors.store(value, values.data, i)
                scores.append(vectors.score(vectors.load(gains.data, i), value, signed))
            score, before = functools.reduce(vectors.larger, scores), builder.load(best)
            is_better = builder.fcmp_ordered(">", score, before)
            here = vectors.repeat(builder.trunc(loop.index, vectors.integer))
            builder.store(builder.select(is_better, score, before), best)
            builder.store(builder.select(is_better, here, builder.load(place)), place)
        # Scores are not below 0, and floats of one sign are ordered as their bits are.
        best, place = builder.load(best), builder.load(place)
        top = builder.bitcast(
            vectors.reduce("smax", builder.bitcast(best, vectors.integers)), vectors.number
        )
        tops = vectors.repeat(top)
        is_top = builder.fcmp_ordered("==", best, tops)
        never = vectors.repeat(vectors.integer((1 << (vectors.bits - 1)) - 1))
        place = vectors.reduce("smin", builder.select(is_top, place, never))
        start = builder.mul(builder.sext(place, vectors.index), strip)
        tests = []
        for i in vectors.parts(start):
            score = vectors.score(vectors.load(gains.data, i), vectors.load(values.data, i), signed)
            tests.append(builder.fcmp_ordered("==", score, tops))
        index = builder.add(start, builder.cttz(vectors.flags(tests), ir.IntType(1)(0)))
        is_above = builder.fcmp_ordered(">", top, vectors.number(0))
        return builder.select(is_above, index, vectors.index(-1))

    return types.intp(rho, rho.dtype, gram_row, gain, types.boolean), emit


@intrinsic
def _next_reaching(typing_context, rho, gain, bound, start, is_signed):
    """The first index from `start` on whose score is at least its bound; rho.size where none is."""

    def emit(context, builder, signature, args):
        vectors = _Vectors(context, builder, rho.dtype)
        values, gains, bounds = (vectors.array(signature, args, k) for k in (0, 1, 2))
        strip, every = vectors.index(vectors.strip), ir.IntType(64)(-1)
        all_bits, but_sign = vectors.integer(-1), vectors.integer((1 << (vectors.bits - 1)) - 1)
        mask = vectors.repeat(builder.select(args[4], but_sign, all_bits))
        first, rest = builder.sdiv(args[3], strip), builder.srem(args[3], strip)
        found = cgutils.alloca_once_value(builder, values.nitems)
        wanted = cgutils.alloca_once_value(builder, builder.shl(every, rest))
        with vectors.strips(values.nitems, first) as loop:
            i, tests = builder.mul(loop.index, strip), []
            for part in vectors.parts(i):
                value, bound = (vectors.load(a.data, part) for a in (values, bounds))
                gain = vectors.load(gains.data, part)
                score = builder.fmul(gain, vectors.keep_bits(value, mask))
                tests.append(builder.fcmp_ordered(">=", score, bound))
            flags = builder.and_(vectors.flags(tests), builder.load(wanted))
            builder.store(every, wanted)
            with builder.if_then(builder.icmp_unsigned("!=", flags, every.type(0)), likely=False):
                builder.store(builder.add(i, builder.cttz(flags, ir.IntType(1)(0))), found)
                loop.do_break()
        return builder.load(found)

    return types.intp(rho, gain, bound, types.intp, types.boolean), emit


@intrinsic
def _subtract_rows(typing_context, row, source, rows, first, factors):
    """Row = source - sum of factors_j rows_j over the GROUP of rows j from `first` on."""

    def emit(context, builder, signature, args):
        vectors = _Vectors(context, builder, row.dtype)
        target, start, others = (vectors.array(signature, args, k) for k in (0, 1, 2))
        numbers, terms = vectors.array(signature, args, 4), []
        for k in range(GROUP):
            j = builder.add(args[3], vectors.index(k))
            factor = builder.fneg(builder.load(builder.gep(numbers.data, [j])))
            data = builder.gep(others.data, [builder.mul(j, target.nitems)])
            terms.append((vectors.repeat(factor), data))
        with vectors.strips(target.nitems) as loop:
            for i in vectors.parts(builder.mul(loop.index, vectors.index(vectors.strip))):
                value = vectors.load(start.data, i)
                for factor, data in terms:
                    value = vectors.multiply_add(factor, vectors.load(data, i), value)
                vectors.store(value, target.data, i)
        return context.get_dummy_value()

    return types.void(row, source, rows, types.intp, factors), emit


@intrinsic
def _dot(typing_context, a, i, b, j, size):
    """<a_i, b_j> of two rows, up to a size of whole strips, in as many sums as a strip has numbers:
    one alone would wait for each addition.
    """

    def emit(context, builder, signature, args):
        vectors = _Vectors(context, builder, a.dtype)
        rows = []
        for k in (0, 2):
            array = vectors.array(signature, args, k)
            rows.append(vectors.row(array.data, args[k + 1], builder.extract_value(array.shape, 1)))
        sums = vectors.zeros(UNROLLED)
        with vectors.strips(args[4]) as loop:
            start = builder.mul(loop.index, vectors.index(vectors.strip))
            for part, total in zip(vectors.parts(start), sums, strict=True):
                x, y = (vectors.load(row, part) for row in rows)
                builder.store(vectors.multiply_add(x, y, builder.load(total)), total)
        return vectors.add_up(functools.reduce(builder.fadd, map(builder.load, sums)))

    return a.dtype(a, types.intp, b, types.intp, types.intp), emit


@intrinsic
def _combine_rows(typing_context, total, rows, places, factors, n_rows):
    """Total = sum_k factors_k rows[places_k] over the first n_rows; those behind them up to a
    multiple of GROUP have factors 0.

    A tile of totals stays in registers, and neighbouring rows add to different ones of them, as an
    addition waits for the one before it.
    """

    def emit(context, builder, signature, args):
        vectors = _Vectors(context, builder, total.dtype)
        arrays = [vectors.array(signature, args, k) for k in range(4)]
        size, tiled = arrays[0].nitems, vectors.index(TILED * vectors.strip)
        n_groups = builder.sdiv(
            builder.add(args[4], vectors.index(GROUP - 1)), vectors.index(GROUP)
        )
        n_tiles = builder.sdiv(size, tiled)
        with cgutils.for_range(builder, n_tiles, intp=vectors.index) as loop:
            start = builder.mul(loop.index, tiled)
            add(vectors, arrays, n_groups, start, TILED * UNROLLED, 2)
        with vectors.strips(size, builder.mul(n_tiles, vectors.index(TILED))) as loop:
            start = builder.mul(loop.index, vectors.index(vectors.strip))
            add(vectors, arrays, n_groups, start, UNROLLED, GROUP)
        return context.get_dummy_value()

    def add(vectors, arrays, n_groups, start, n_vectors, n_sums):
        builder, (target, source, where, numbers) = vectors.builder, arrays
        sums = [vectors.zeros(n_vectors) for _ in range(n_sums)]
        starts = vectors.parts(start, n_vectors)
        with cgutils.for_range(builder, n_groups, intp=vectors.index) as loop:
            first = builder.mul(loop.index, vectors.index(GROUP))
            for part in range(GROUP):
                k = builder.add(first, vectors.index(part))
                factor = vectors.repeat(builder.load(builder.gep(numbers.data, [k])))
                place = builder.load(builder.gep(where.data, [k]))
                row = vectors.row(source.data, place, target.nitems)
                for i, one in zip(starts, sums[part % n_sums], strict=True):
                    value = vectors.multiply_add(factor, vectors.load(row, i), builder.load(one))
                    builder.store(value, one)
        for i, *parts in zip(starts, *sums, strict=True):
            value = functools.reduce(builder.fadd, map(builder.load, parts))
            vectors.store(value, target.data, i)

    return types.void(total, rows, places, factors, types.intp), emit


@intrinsic
def _sum_rows(typing_context, target, source, t, rows, places, factors, start, stop):
    """Row t of target = that of source + sum of factors_k rows[places_k] over start <= k < stop.

    Rows have at least SPAN vectors.  Their last SPAN vectors overlap those before: the sums there
    are taken first and written last, as target and source may be one.
    """

    def emit(context, builder, signature, args):
        vectors = _Vectors(context, builder, target.dtype)
        out, base, *terms = (vectors.array(signature, args, k) for k in (0, 1, 3, 4, 5))
        size = builder.extract_value(out.shape, 1)
        width = vectors.index(SPAN * vectors.lanes)
        first, n_terms = args[6], builder.sub(args[7], args[6])
        place, begin = (vectors.row(array.data, args[2], size) for array in (out, base))
        tail = builder.sub(size, width)
        last = add(vectors, begin, tail, size, terms, first, n_terms)
        n_spans = builder.sdiv(builder.sub(size, vectors.index(1)), width)
        with cgutils.for_range(builder, n_spans, intp=vectors.index) as loop:
            i = builder.mul(loop.index, width)
            vectors.store_all(add(vectors, begin, i, size, terms, first, n_terms), place, i)
        vectors.store_all(last, place, tail)
        return context.get_dummy_value()

    def add(vectors, begin, i, size, terms, first, n_terms):
        builder, (others, numbers, weights) = vectors.builder, terms
        parts = vectors.parts(i, SPAN)
        sums = [cgutils.alloca_once_value(builder, vectors.load(begin, part)) for part in parts]
        with cgutils.for_range(builder, n_terms, intp=vectors.index) as loop:
            k = builder.add(first, loop.index)
            number = builder.load(builder.gep(numbers.data, [k]))
            data = vectors.row(others.data, builder.sext(number, vectors.index), size)
            factor = vectors.repeat(builder.load(builder.gep(weights.data, [k])))
            for total, part in zip(sums, parts, strict=True):
                term = vectors.load(data, part)
                builder.store(vectors.multiply_add(factor, term, builder.load(total)), total)
        return [builder.load(total) for total in sums]

    counts = types.intp, types.intp
    return types.void(target, source, types.intp, rows, places, factors, *counts), emit


@intrinsic
def _sum_squares(typing_context, rows, i):
    """The squared norm of row i, lane by lane, as LLVM changes the order of no sum."""

    def emit(context, builder, signature, args):
        vectors = _Vectors(context, builder, rows.dtype)
        array, zero = vectors.array(signature, args, 0), vectors.number(0)
        size, lanes = builder.extract_value(array.shape, 1), vectors.index(vectors.lanes)
        data = vectors.row(array.data, args[1], size)
        sums = cgutils.alloca_once_value(builder, vectors.numbers(None))
        total = cgutils.alloca_once_value(builder, zero)
        n_whole = builder.sdiv(size, lanes)
        with cgutils.for_range(builder, n_whole, intp=vectors.index) as loop:
            part = vectors.load(data, builder.mul(loop.index, lanes))
            builder.store(vectors.multiply_add(part, part, builder.load(sums)), sums)
        rest = builder.mul(n_whole, lanes)
        with cgutils.for_range(builder, size, rest, vectors.index) as loop:
            value = builder.load(builder.gep(data, [loop.index]))
            square = builder.fmul(value, value)
            builder.store(builder.fadd(builder.load(total), square), total)
        lane_sums = builder.load(sums)
        for lane in range(vectors.lanes):
            square = builder.extract_element(lane_sums, ir.IntType(32)(lane))
            builder.store(builder.fadd(builder.load(total), square), total)
        return builder.load(total)

    return rows.dtype(rows, types.intp), emit


if config.DISABLE_JIT:  # for debuggers and coverage: the same, where nothing is compiled

    def _subtract_and_find(rho, step, gram_row, gain, is_signed):
        rho -= step * gram_row
        scores = gain * (np.abs(rho) if is_signed else rho)
        return int(scores.argmax()) if scores.max() > 0 else -1

    def _next_reaching(rho, gain, bound, start, is_signed):
        scores = gain * (np.abs(rho) if is_signed else rho)
        found = np.nonzero(scores[start:] >= bound[start:])[0]
        return start + int(found[0]) if found.size else rho.size

    def _dot(a, i, b, j, size):
        return a[i, :size] @ b[j, :size]

    def _combine_rows(total, rows, places, factors, n_rows):
        total[:] = factors[:n_rows] @ rows[places[:n_rows]]

    def _subtract_rows(row, source, rows, first, factors):
        row[:] = source - factors[first : first + GROUP] @ rows[first : first + GROUP]

    def _sum_squares(rows, i):
        return rows[i] @ rows[i]

    def _sum_rows(target, source, t, rows, places, factors, start, stop):
        target[t] = source[t] + factors[start:stop] @ rows[places[start:stop]]


# ----------------------------------------------------------------------------------------- pursuit


@jit
def quantile(P_cum, i, coefficient, C):
    """P_cum_i at r = 1 - exp(-coefficient / C), linear between its nb_quant points, clamped at both
    ends.
    """
    last = P_cum.shape[1] - 1
    position = (1 - math.exp(-coefficient / C)) * (last + 1)
    k = int(position)
    if k >= last:
        return P_cum[i, last]
    return P_cum[i, k] + P_cum.dtype.type(position - k) * (P_cum[i, k + 1] - P_cum[i, k])


@jit
def _fairest(rho, n, best, contest):
    """Lowest atom of the highest quantile: argmax_i P_cum_i(a_i) for the row n of rho; -1 where
    none is above 0.

    The atom `best` of the largest score gives a quantile q to beat.  With levels[j] <= q, no atom i
    whose score lies under bounds[j, i] reaches q (see `bound_scores`), so the few others are all
    that need the exponential.  (Given the row itself, numba would count a reference to it, and the
    processor would wait for that.)
    """
    P_cum, C = contest.P_cum, contest.C
    target = quantile(P_cum, best, abs(rho[n, best]), C)
    bound = contest.bounds[max(_count_reached(contest.levels, target) - 1, 0)]
    i, atom, top = -1, -1, P_cum.dtype.type(0)
    while True:
        i = _next_reaching(rho[n], contest.gain, bound, i + 1, contest.is_signed)
        if i == rho.shape[1]:
            return atom
        found = target if i == best else quantile(P_cum, i, abs(rho[n, i]), C)
        if found > top:
            atom, top = i, found


@jit
def _count_reached(levels, target):
    """How many levels, of which the lowest is 0, are at most target; in 32 bits, as whole vectors
    are counted.
    """
    n_reached = np.int32(0)
    for i in range(levels.size):
        n_reached += np.int32(levels[i] <= target)
    return n_reached


@jit
def bound_scores(P_cum, C, gain, levels, bounds):
    """For each level and atom the least score gain_i * a at which the quantile P_cum_i(a) can reach
    the level.

    gain (n_padded,), levels (nb_quant,) and bounds (nb_quant, n_padded) are written for the atoms.
    Levels are 0 and the mean of P_cum over atoms; gain_i is the inverse coefficient at which atom i
    reaches a level of rare events, so that the largest score is mostly that of the winner.  Between
    two points the inverse of a -> 1 - exp(-a / C) is bounded by its tangent, which lies below it;
    the margins are wider than rounding, so that the pursuit is exact.  A bound is above 0, so that
    what scores nothing stays under it.
    """
    n_dictionary, nb_quant = P_cum.shape
    zero, eps = P_cum.dtype.type(0), np.finfo(P_cum.dtype).eps
    least = np.nextafter(zero, zero + 1)
    knots = -C * np.log(1 - np.arange(nb_quant) / nb_quant)
    for k in range(nb_quant):
        mean = 0.0
        for i in range(n_dictionary):
            mean += P_cum[i, k]
        levels[k] = mean / n_dictionary if k > 0 else 0
    rare = 1 - 0.3 * (1 - levels[1])
    for i in range(n_dictionary):
        gain[i] = 1 / min(max(reach(P_cum[i], rare, 0, knots, C)[0], C * eps), knots[nb_quant - 1])
        k = 0
        for j in range(nb_quant):
            coefficient, k = reach(P_cum[i], levels[j], k, knots, C)
            slack = 16 * eps * (C * nb_quant + coefficient)
            bounds[j, i] = gain[i] * max(coefficient - slack, 0) if coefficient < np.inf else np.inf
            bounds[j, i] = max(bounds[j, i], least)
    for j in range(1, nb_quant):
        levels[j] += 8 * eps


@jit
def reach(P_cum_row, level, k, knots, C):
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
def pursue(rho, residual, atoms, contest, n_steps, alpha, tolerances, indices, values):
    """Matching pursuit (Mallat & Zhang 1993, eq. 14) with a competition z between atoms
    (Perrinet 2010, eq. 13).

    i = argmax_i z_i(rho_i);  v = alpha rho_i scale_i;  rho -= v gram_i,  n_steps times

    rho (n_samples, n_padded), the correlations, is overwritten; indices, values (zeros) receive the
    events and have a slot for each atom that n_steps can select.  With tolerances (n_samples,) of
    squared norms, residual (n_samples, n_pixels) starts as the samples and is overwritten; without,
    tolerances are (0,).
    Returns how many samples took all steps and did not reach their tolerance.
    """
    n_samples, n_unfinished = rho.shape[0], 0
    has_table, has_tolerance = contest.P_cum.shape[1] > 0, tolerances.size > 0
    slot_of = np.full((TURNS, rho.shape[1]), -1, np.int32)
    last, n_used = np.empty(TURNS, np.intp), np.empty(TURNS, np.intp)  # last: -1 where it has ended
    steps = np.empty(TURNS, rho.dtype)
    for first in range(0, n_samples, TURNS):
        n_turns = min(TURNS, n_samples - first)
        last[:], n_used[:], steps[:] = 0, 0, 0
        for turn in range(n_turns):
            n = first + turn
            if has_tolerance and _subtract_is_within(
                residual[n], atoms.dictionary[0], steps[turn], tolerances[n]
            ):
                last[turn] = -1
        for _ in range(n_steps):
            n_open = 0
            for turn in range(n_turns):
                if last[turn] < 0:
                    continue
                n = first + turn
                row = atoms.gram[last[turn]]
                atom = _subtract_and_find(rho[n], steps[turn], row, contest.gain, contest.is_signed)
                if atom >= 0 and has_table:
                    atom = _fairest(rho, n, atom, contest)
                last[turn] = atom
                if atom < 0:
                    continue
                n_open += 1
                value = alpha * rho[n, atom] * atoms.scale[atom]
                steps[turn] = value
                n_used[turn] = _add_event(
                    indices[n], values[n], slot_of[turn], n_used[turn], atom, value
                )
                if has_tolerance and _subtract_is_within(
                    residual[n], atoms.dictionary[atom], value, tolerances[n]
                ):
                    last[turn] = -1
            if n_open == 0:
                break
        for turn in range(n_turns):
            n_unfinished += has_tolerance and last[turn] >= 0
            for slot in range(n_used[turn]):
                slot_of[turn, indices[first + turn, slot]] = -1
    return n_unfinished


@jit
def _orthogonalise(row, gram_row, basis, factors, n_used):
    """Row = gram_row - sum_j factors_j basis_j: what is new in an atom's correlations.

    Row is the next of the basis, and what follows it has no part: its factors become 0.
    """
    n_padded = max(1, -(-n_used // GROUP)) * GROUP
    factors[n_used:n_padded] = 0
    row[:] = 0
    source = gram_row
    for first in range(0, n_padded, GROUP):
        _subtract_rows(row, source, basis, first, factors)
        source = row


@jit
def pursue_orthogonal(rho, gram, gain, energy, tolerances, least, indices, values):
    """Orthogonal matching pursuit by a progressive Cholesky factor of the Gram matrix (Rubinstein
    et al. 2008).

    Atom i = argmax gain_i |rho_i| joins the support I.  With G_II = L diag(p) L^T, L unit lower
    triangular (no square roots), the rows w_k = G_i_k - sum_{j<k} L_kj w_j are the correlations of
    all atoms with what the k-th one adds:

    L_kj = w_j[i_k] / p_j,   p_k = w_k[i_k],   c_k = rho[i_k] / p_k,
    rho -= c_k w_k,   |r|^2 -= c_k^2 p_k

    Last, L^T v = c gives the coefficients.

    rho (n_samples, n_padded) and energy (n_samples,) float64, the squared norms, are overwritten.
    A sample ends early when its energy is at most its tolerance, or when the chosen atom depends on
    those before it.  least (n_samples,) receives the smallest p_k, or 0 for an atom that depends.
    """
    n_samples, n_padded = rho.shape
    l0_sparseness = indices.shape[1]
    zero = rho.dtype.type(0)
    n_rows = -(-l0_sparseness // GROUP) * GROUP
    basis = np.zeros((n_rows, n_padded), rho.dtype)
    pivots, factors = np.empty(l0_sparseness, rho.dtype), np.empty((n_rows, n_rows), rho.dtype)
    dependent = gram.shape[0] * np.finfo(rho.dtype).eps
    for n in range(n_samples):
        n_used, row, step, least[n] = 0, gram[0], zero, 1
        while n_used < l0_sparseness and energy[n] > tolerances[n]:
            atom = _subtract_and_find(rho[n], step, row, gain, True)
            if atom < 0:
                break
            row = basis[n_used]
            for j in range(n_used):
                factors[n_used, j] = basis[j, atom] / pivots[j]
            _orthogonalise(row, gram[atom], basis, factors[n_used], n_used)
            if row[atom] <= dependent:
                least[n] = 0
                break
            step = rho[n, atom] / row[atom]
            indices[n, n_used] = atom
            values[n, n_used] = step
            pivots[n_used] = row[atom]
            least[n] = min(least[n], row[atom])
            energy[n] -= step * step * row[atom]
            n_used += 1
        for k in range(n_used - 1, -1, -1):
            for j in range(k):
                values[n, j] -= factors[k, j] * values[n, k]


@jit
def transpose(source, target):
    """Target = source.T, tile by tile: in either order, whole lines of one of them are missed."""
    for top in range(0, source.shape[0], TILE):
        for left in range(0, source.shape[1], TILE):
            for j in range(left, min(left + TILE, source.shape[1])):
                for i in range(top, min(top + TILE, source.shape[0])):
                    target[j, i] = source[i, j]


@jit
def _see(X, n, places, residual):
    """Write the places and values of the entries of sample n that are not NaN, zeros behind them;
    return how many there are.
    """
    n_seen = 0
    for pixel in range(X.shape[1]):  # written and maybe kept: a branch would be guessed wrong
        value = X[n, pixel]
        places[n_seen], residual[0, n_seen] = pixel, value
        n_seen += value == value
    places[n_seen:], residual[0, n_seen:] = 0, 0
    return n_seen


@jit
def _orthonormalise(k, basis, factors, n_padded):
    """Subtract from row k of the basis its parts along those before it, and scale it to norm 1;
    return the squared norm it had in between.

    Rounding leaves parts of what was subtracted if little remains: a second pass subtracts these
    (Daniel et al. 1976).
    """
    factors[k, :k] = 0
    start = square = _dot(basis, k, basis, k, n_padded)
    for _ in range(2):
        for j in range(k):
            product = _dot(basis, k, basis, j, n_padded)
            factors[k, j] += product
            for pixel in range(n_padded):
                basis[k, pixel] -= product * basis[j, pixel]
        square = _dot(basis, k, basis, k, n_padded)
        if 2 * square > start:
            break
    factors[k, k] = np.sqrt(square)
    for pixel in range(n_padded):
        basis[k, pixel] /= factors[k, k]
    return square


@jit
def pursue_seen(
    X, dictionary, columns, squares, gain, limits, tolerances, energy, least, indices, values
):
    """Orthogonal matching pursuit by a basis of the atoms themselves, over the entries of each
    sample that are not NaN, s = 1.

    i = argmax gain_i |<d_i, r>| / |s d_i|;   v = s d_i - sum_{j<k} <s d_i, q_j> q_j
    q_k = v / |v|;   c_k = <q_k, r>;   r -= c_k q_k

    Last, the coefficients a solve c_j = sum_{k >= j} <s d_k, q_j> a_k.  columns (n_pixels,
    n_padded) is dictionary.T and squares its square; indices and values, of zeros, receive the
    events.  With limits (least_seen, dependent), a sample ends early when its squared residual is
    at most its tolerance times the share that is seen, or when |v|^2 is at most `dependent`; an
    atom of which less than least_seen of its squared norm is seen is never chosen.  energy and
    least (n_samples,) receive what is left, and the smallest |v|^2, as in `pursue_orthogonal`.

    Residuals are exact where Gram matrices lose digits, but each step takes as long as the first
    correlations.  Vectors over pixels are of those that are seen, so that missing ones cost
    nothing.
    """
    least_seen, dependent = limits
    n_pixels, n_slots, zero = X.shape[1], indices.shape[1], X.dtype.type(0)
    size = STRIP // X.itemsize
    most = -(-n_pixels // size) * size
    places, residual = np.empty(most, np.intp), np.empty((1, most), X.dtype)
    ones, rho, weight = np.ones(most, X.dtype), np.empty_like(gain), np.empty_like(gain)
    basis, factors = np.zeros((n_slots, most), X.dtype), np.empty((n_slots, n_slots), X.dtype)
    for n in range(X.shape[0]):
        n_seen, n_used = _see(X, n, places, residual), 0
        n_padded = -(-n_seen // size) * size
        weight[:] = gain
        if n_seen < n_pixels:
            ones[:n_seen], ones[n_seen:] = 1, 0
            _combine_rows(weight, squares, places, ones, n_seen)
            for i in range(weight.size):
                weight[i] = gain[i] / np.sqrt(weight[i]) if weight[i] >= least_seen else zero
        enough, least[n] = tolerances[n] * n_seen / n_pixels, 1
        energy[n] = _dot(residual, 0, residual, 0, n_padded)
        while n_used < n_slots and energy[n] > enough:
            _combine_rows(rho, columns, places, residual[0], n_seen)
            atom = _subtract_and_find(rho, zero, weight, weight, True)
            if atom < 0:
                break
            for k in range(n_seen):
                basis[n_used, k] = dictionary[atom, places[k]]
            basis[n_used, n_seen:] = 0
            square = _orthonormalise(n_used, basis, factors, n_padded)
            if square <= dependent:
                least[n] = 0
                break
            least[n] = min(least[n], square)
            step = _dot(basis, n_used, residual, 0, n_padded)
            for k in range(n_padded):
                residual[0, k] -= step * basis[n_used, k]
            energy[n] = _dot(residual, 0, residual, 0, n_padded)
            indices[n, n_used], values[n, n_used] = atom, step
            n_used += 1
        for j in range(n_used - 1, -1, -1):
            for k in range(j + 1, n_used):
                values[n, j] -= factors[k, j] * values[n, k]
            values[n, j] /= factors[j, j]


# ------------------------------------------------------------------------------------------- events


@jit
def sort_events(indices, values):
    """Order each sample's events by atom, unused slots last; return how many slots each sample
    uses.
    """
    n_samples, n_slots = indices.shape
    n_used = np.zeros(n_samples, np.int32)
    n_padded = -(-n_slots // BLOCK) * BLOCK
    atoms, ranks = np.zeros(n_padded, np.int32), np.empty(n_padded, np.int32)
    coefficients = np.empty(n_slots, values.dtype)
    for n in range(n_samples):
        k = 0
        for slot in range(n_slots):
            if values[n, slot] != 0:
                atoms[k], coefficients[k] = indices[n, slot], values[n, slot]
                k += 1
        _rank(atoms, k, ranks)
        indices[n], values[n] = 0, 0
        for i in range(k):
            indices[n, ranks[i]] = atoms[i]
            values[n, ranks[i]] = coefficients[i]
        n_used[n] = k
    return n_used


@jit
def _rank(atoms, n_atoms, ranks):
    """ranks[i] = how many of the first n_atoms are below atoms[i]; whole blocks are written, as
    this is all comparisons of vectors.
    """
    n_padded = -(-n_atoms // BLOCK) * BLOCK
    for i in range(n_padded):
        ranks[i] = 0
    for j in range(n_atoms):
        atom = atoms[j]
        for i in range(n_padded):
            ranks[i] += atom < atoms[i]


@jit
def scatter(indices, values, code):
    """code[n, indices[n]] += values[n], on a dense code of zeros (n_samples, n_dictionary)."""
    for n in range(indices.shape[0]):
        for slot in range(indices.shape[1]):
            code[n, indices[n, slot]] += values[n, slot]


@jit
def subtract_reconstruction(indices, values, dictionary, samples, residual):
    """Residual = samples - A D for the code A of the events; the two may be one array."""
    n_samples, n_slots = indices.shape
    atoms, factors = indices.ravel(), -values.ravel()
    for n in range(n_samples):
        start, stop = n * n_slots, (n + 1) * n_slots
        while stop > start and factors[stop - 1] == 0:
            stop -= 1
        _add_rows(residual, samples, n, dictionary, atoms, factors, start, stop)


@jit
def _add_rows(target, source, t, rows, places, factors, start, stop):
    """Row t of target = that of source + sum of factors_k rows[places_k] over start <= k < stop."""
    if rows.shape[1] * rows.itemsize >= SPAN * VECTOR:
        _sum_rows(target, source, t, rows, places, factors, start, stop)
        return
    for pixel in range(rows.shape[1]):
        total = source[t, pixel]
        for k in range(start, stop):
            total += factors[k] * rows[places[k], pixel]
        target[t, pixel] = total


@jit
def order_by_atom(indices, values, n_dictionary):
    """The events of some samples as `ByAtom`."""
    starts = np.zeros(n_dictionary + 1, np.intp)
    for n in range(indices.shape[0]):
        for slot in range(indices.shape[1]):
            starts[indices[n, slot] + 1] += values[n, slot] != 0
    for i in range(n_dictionary):
        starts[i + 1] += starts[i]
    ends = starts[:-1].copy()
    samples, coefficients = np.empty(starts[-1], np.int32), np.empty(starts[-1], values.dtype)
    for n in range(indices.shape[0]):
        for slot in range(indices.shape[1]):
            if values[n, slot] != 0:
                k = ends[indices[n, slot]]
                samples[k], coefficients[k] = n, values[n, slot]
                ends[indices[n, slot]] = k + 1
    return ByAtom(starts, samples, coefficients)


@jit
def accumulate(events, rows, first, last, total):
    """total[i] += sum_n a_ni rows_n for the atoms first <= i < last: a range of the rows of A^T
    rows.
    """
    for i in range(first, last):
        start, stop = events.starts[i], events.starts[i + 1]
        _add_rows(total, total, i, rows, events.samples, events.values, start, stop)


@jit
def follow_quantiles(indices, values, C, rate, P_cum, moved):
    """Moved = (1 - rate) P_cum + rate CDF, the CDF of r = 1 - exp(-max(a, 0) / C) over the equal
    bins of [0, 1], as many as P_cum has columns but for the first, in which it is 0.
    """
    n_dictionary, n_bins = P_cum.shape[0], P_cum.shape[1] - 1
    events = order_by_atom(indices, values, n_dictionary)
    kept, share = P_cum.dtype.type(1 - rate), rate / indices.shape[0]
    below = np.empty(n_bins, np.int32)  # samples in this bin and those before it
    for i in range(n_dictionary):
        start, stop = events.starts[i], events.starts[i + 1]
        below[:] = 0
        below[0] = indices.shape[0] - (stop - start)
        for k in range(start, stop):
            ratio = 1 - math.exp(-max(events.values[k], 0.0) / C)
            below[min(int(ratio * n_bins), n_bins - 1)] += 1
        for b in range(1, n_bins):
            below[b] += below[b - 1]
        moved[i, 0] = kept * P_cum[i, 0]
        for b in range(n_bins):
            moved[i, b + 1] = kept * P_cum[i, b + 1] + P_cum.dtype.type(share * below[b])


@jit
def count_pairs(indices, values, counts):
    """counts[i, j] += samples that use both atoms i and j (n_dictionary, n_dictionary), int64."""
    for n in range(indices.shape[0]):
        for slot in range(indices.shape[1]):
            if values[n, slot] != 0:
                for other in range(indices.shape[1]):
                    if values[n, other] != 0:
                        counts[indices[n, slot], indices[n, other]] += 1


@jit
def sum_squares(rows, squares):
    """Write the squared norm of each row."""
    for n in range(rows.shape[0]):
        squares[n] = _sum_squares(rows, n)


# ----------------------------------------------------------------------------------------- learning


@jit
def adam(dictionary, gradient, unit, moments, decays, rate, epsilon, corrections, moved, norms):
    """One Adam step (Kingma & Ba 2015, algorithm 1) on the gradient over its unit, and norm 1.

    m <- b1 m + (1 - b1) g;  s <- b2 s + (1 - b2) g^2;  d -= eta (m / c1) / (sqrt(s / c2) + epsilon)

    moments (m, s); the new (d, m, s) go to `moved`, the norms of d before it is scaled to `norms`.
    """
    (mean, square), (atoms, new_mean, new_square), (beta1, beta2) = moments, moved, decays
    n_pixels = dictionary.shape[1]
    one = dictionary.dtype.type(1)
    rate, root = rate / corrections[0], one / np.sqrt(corrections[1])
    scale = one / unit  # no division in the loop but one
    for i in range(dictionary.shape[0]):
        # One array is written in each loop: with more, LLVM gives up telling them apart, and the
        # loop stays scalar.
        for pixel in range(n_pixels):
            new_mean[i, pixel] = beta1 * mean[i, pixel] + (one - beta1) * scale * gradient[i, pixel]
        for pixel in range(n_pixels):
            slope = scale * gradient[i, pixel]
            new_square[i, pixel] = beta2 * square[i, pixel] + (one - beta2) * slope * slope
        for pixel in range(n_pixels):
            move = rate * new_mean[i, pixel] / (root * np.sqrt(new_square[i, pixel]) + epsilon)
            atoms[i, pixel] = dictionary[i, pixel] - move
        norms[i] = _scale_to_1(atoms, i)


@jit
def normalise(atoms, norms):
    """Scale rows in place to norm 1, a row of zeros stays; norms receives what they were."""
    for i in range(atoms.shape[0]):
        norms[i] = _scale_to_1(atoms, i)


@jit
def _scale_to_1(atoms, i):
    """Scale row i to norm 1, unless it is of zeros, and return its norm before."""
    norm = np.sqrt(_sum_squares(atoms, i))
    if norm > 0:
        scale = atoms.dtype.type(1) / norm
        for pixel in range(atoms.shape[1]):
            atoms[i, pixel] *= scale
    return norm


@jit
def explain(gram, nearest, rest):
    """For each atom the largest cosine with another, c_i = max_j (G_ij)+, and what that one leaves
    to a second, e_i = max_l (G_il - c_i G_jl)+ with l != i, j.
    """
    others, lanes = np.empty(gram.shape[1], gram.dtype), np.empty(BLOCK, gram.dtype)
    for i in range(gram.shape[0]):
        others[:] = gram[i]
        others[i] = 0
        c = _largest(others, lanes)
        if c > 0:
            j = 0
            while others[j] != c:
                j += 1
            for k in range(others.size):
                others[k] -= c * gram[j, k]
            others[i], others[j] = 0, 0
        nearest[i], rest[i] = c, _largest(others, lanes)


@jit
def _largest(row, lanes):
    """The largest item above 0, or 0; lanes of it are compared at once."""
    lanes[:] = 0
    n_whole = row.size - row.size % BLOCK
    for start in range(0, n_whole, BLOCK):
        for k in range(BLOCK):
            lanes[k] = row[start + k] if row[start + k] > lanes[k] else lanes[k]
    largest = lanes.max()
    for k in range(n_whole, row.size):
        largest = max(largest, row[k])
    return largest
