"""The compiled loops of convolutional pursuit: unfolding, correlations of sparse images, events,
sums over events.

Every kernel is serial, releases the GIL and is cached on disk; threads run it over images or ranges
of atoms.  A map of correlations is `rho (n_rows, n_columns * n_dictionary)`: the atoms of one place
lie side by side, so that a window of places is one contiguous run a row.  A tile is a run of one
row; `tops (n_rows, n_tiles)` holds each tile's best score and `row_tops (n_rows,)` each row's, so
that an event looks only at what it changed and at one number a row.

An arg-max over floats stays scalar in compiled code, a maximum of integers does not, and the bits
of non-negative floats are ordered as integers: `keys`, `tops` and `row_tops` are integers whose
bits are scores.
"""

from typing import NamedTuple

import numpy as np

from .._base.jit import jit


class Contest(NamedTuple):
    """How atoms compete: the score is gain_i max(rho, 0), or gain_i |rho| where signed."""

    gains: np.ndarray  # a tile's worth of the gain of each atom, repeated
    is_signed: bool


class Ranking(NamedTuple):
    """The best scores of the maps of one image, as integers."""

    tops: np.ndarray  # (n_rows, n_tiles): of each tile
    row_tops: np.ndarray  # (n_rows,): of each row
    keys: np.ndarray  # working memory for the scores of a tile


class Slots(NamedTuple):
    """The events of one image, or room for them."""

    atoms: np.ndarray  # (n_events,) int32, as rows and columns
    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray  # (n_events,)


# ------------------------------------------------------------------------------- first correlations


@jit
def unfold(image, first, stride, width, patches):
    """patches[p] = the width x width patch at place p of the rows of places from `first` on, all
    channels.

    image (n_channels, height, width); patches (n_rows * n_columns, n_channels * width^2) is
    written.
    """
    n_columns = (image.shape[2] - width) // stride + 1
    for p_row in range(patches.shape[0] // n_columns):
        for p_column in range(n_columns):
            patch = patches[
                p_row * n_columns + p_column
            ]  # views, so that the inner loop computes no index
            top, left = (first + p_row) * stride, p_column * stride
            for channel in range(image.shape[0]):
                for row in range(width):
                    source = image[channel, top + row, left : left + width]
                    start = (channel * width + row) * width
                    for column in range(width):
                        patch[start + column] = source[column]


@jit
def correlate_sparse(image, stamps, width, first, rho):
    """Add to rho the correlations of an image that is mostly zeros, pixel by pixel; the stride is
    1.

    stamps (n_channels, width, width * n_dictionary): what a pixel of value 1 adds to the places
    above and left of it. rho (n_rows, n_columns * n_dictionary): the rows of places from `first`
    on.
    """
    n_dictionary = stamps.shape[2] // width
    n_columns = rho.shape[1] // n_dictionary
    for channel in range(image.shape[0]):
        for row in range(first, min(first + rho.shape[0] + width - 1, image.shape[1])):
            for column in range(image.shape[2]):
                value = image[channel, row, column]
                if value != 0:
                    top, left = row - first - width + 1, column - width + 1
                    _add_window(rho, value, stamps[channel], top, left, n_dictionary, n_columns)


@jit
def _add_window(rho, value, stamp, top, left, n_dictionary, n_columns):
    """Add value * stamp to rho where they overlap, the stamp's corner at place (top, left)."""
    start = max(0, left) * n_dictionary
    stop = min(n_columns, left + stamp.shape[1] // n_dictionary) * n_dictionary
    for row in range(max(0, top), min(rho.shape[0], top + stamp.shape[0])):
        _add_run(rho[row, start:stop], value, stamp[row - top, start - left * n_dictionary :])


@jit
def _add_run(run, value, other):
    """Add value * other to run."""
    for i in range(run.size):
        run[i] += value * other[i]


# ------------------------------------------------------------------------------------------ pursuit


@jit
def _score(run, contest, scores):
    """Write the scores of a run, never -0."""
    zero = run.dtype.type(0)
    if contest.is_signed:
        for i in range(run.size):
            scores[i] = contest.gains[i] * abs(run[i])
    else:
        for i in range(run.size):
            scores[i] = contest.gains[i] * (run[i] if run[i] > zero else zero)


@jit
def _max_key(keys):
    """The largest of the keys, at least 0."""
    top = keys.dtype.type(0)
    for i in range(keys.size):
        top = max(top, keys[i])
    return top


@jit
def _first(keys, key):
    """Index of the first of the keys that equals key, which is among them."""
    none = np.int32(keys.size)
    first = none
    for i in range(keys.size):  # a minimum without a way out is vectorised
        first = min(first, np.int32(i) if keys[i] == key else none)
    return first


@jit
def rank(rho, contest, first, last, ranking):
    """Write the best score of every tile and of every row, for the rows of places first <= row <
    last.
    """
    n_tiles = ranking.tops.shape[1]
    for row in range(first, last):
        _rank_run(rho[row], contest, 0, n_tiles, ranking.tops[row], ranking.keys)
        ranking.row_tops[row] = _max_key(ranking.tops[row])


@jit
def _rank_run(rho_row, contest, first, last, row_of_tops, keys):
    """Write the best scores of the tiles first <= tile < last of a row."""
    scores, size = keys.view(rho_row.dtype), contest.gains.size
    for tile in range(first, last):
        run = rho_row[tile * size : (tile + 1) * size]
        _score(run, contest, scores)
        row_of_tops[tile] = _max_key(keys[: run.size])


@jit
def _find_best(rho, contest, ranking):
    """Row and index in the row of the best score, the first one on ties; row -1 where no score is
    above 0.
    """
    tops, row_tops, keys = ranking
    top = _max_key(row_tops)
    if top == 0:
        return -1, 0
    row = _first(row_tops, top)
    tile, size = _first(tops[row], top), contest.gains.size
    run = rho[row, tile * size : (tile + 1) * size]
    _score(run, contest, keys.view(rho.dtype))
    return row, tile * size + _first(keys[: run.size], top)


@jit
def pursue(rho, gram, contest, alpha, ranking, slots):
    """Convolutional matching pursuit, one event for each slot; returns how many events were found.

    (i, p) = argmax gain_i z(rho_i(p));   v = alpha rho_i(p);
    rho_j(p + s) -= v G_ij(s) for all j and |s| <= reach

    (Mallat & Zhang 1993, eq. 14, on the atoms at all places.)  Ties go to the first row, then
    column, then atom.

    rho (n_rows, n_columns * n_dictionary) is overwritten; gram (n_dictionary, side,
    side * n_dictionary), side = 2 reach + 1; ranking as `rank` leaves it.  The cost of an event is
    that of its window and of a look at one number a row and the tiles' numbers of its rows.
    """
    n_dictionary, side, size = gram.shape[0], gram.shape[1], contest.gains.size
    n_rows, n_columns = rho.shape[0], rho.shape[1] // n_dictionary
    tops, row_tops, keys = ranking
    for event in range(slots.values.size):
        row, index = _find_best(rho, contest, ranking)
        if row < 0:
            return event
        column, atom = index // n_dictionary, index % n_dictionary
        value = alpha * rho[row, index]
        slots.atoms[event], slots.rows[event], slots.columns[event] = atom, row, column
        slots.values[event] = value
        top, left = row - side // 2, column - side // 2
        start = max(0, left) * n_dictionary
        stop = min(n_columns, left + side) * n_dictionary
        first, last = start // size, (stop - 1) // size + 1
        for y in range(max(0, top), min(n_rows, top + side)):
            _add_run(rho[y, start:stop], -value, gram[atom, y - top, start - left * n_dictionary :])
            _rank_run(rho[y], contest, first, last, tops[y], keys)
            row_tops[y] = _max_key(tops[y])
    return slots.values.size


# --------------------------------------------------------------------------------- sums over events


@jit
def subtract_events(slots, stride, dictionary, residual):
    """Subtract from the residual (n_channels, height, width) value * atom at its place, event by
    event.
    """
    n_channels, width = dictionary.shape[1], dictionary.shape[2]
    for event in range(slots.values.size):
        atom, value = slots.atoms[event], slots.values[event]
        top, left = slots.rows[event] * stride, slots.columns[event] * stride
        for channel in range(n_channels):
            for row in range(width):
                run = residual[channel, top + row, left : left + width]
                _add_run(run, -value, dictionary[atom, channel, row])


@jit
def accumulate(images, slots, stride, residuals, first, last, total):
    """total[i] += the sum of value * residual patch over the events of atom i, for the atoms
    first <= i < last.

    images (n_events,): which of the residuals (n_images, n_channels, height, width) an event is of;
    total (n_dictionary, n_channels, width, width).  The events are walked in order, so the sums
    have the same bits however the atoms are shared out.
    """
    n_channels, width = total.shape[1], total.shape[2]
    for event in range(slots.values.size):
        atom, image, value = slots.atoms[event], images[event], slots.values[event]
        if atom < first or atom >= last:
            continue
        top, left = slots.rows[event] * stride, slots.columns[event] * stride
        for channel in range(n_channels):
            for row in range(width):
                run = residuals[image, channel, top + row, left : left + width]
                _add_run(total[atom, channel, row], value, run)
