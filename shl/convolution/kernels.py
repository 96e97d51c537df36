"""The compiled loops of convolutional pursuit: unfolding, correlations of sparse images, events,
sums over events.

Every kernel is serial, releases the GIL and is cached on disk; threads run it over images or ranges
of atoms.  A signal is an image of one row.  The maps of correlations are `rho (n_images, n_rows,
n_columns * n_dictionary)`: the atoms of one place lie side by side, so that a window of places is
one contiguous run a row.  A tile is a run of one row; `tops (n_images, n_rows, n_tiles)` holds each
tile's best score and `row_tops (n_images, n_rows)` each row's, so that an event looks only at what
it changed and at one number a row.

An arg-max over floats stays scalar in compiled code, a maximum of integers does not, and the bits
of non-negative floats are ordered as integers: `keys`, `tops` and `row_tops` are integers whose
bits are scores.
"""

from typing import Any, NamedTuple

import numpy as np

from .._base.jit import jit


class Contest(NamedTuple):
    """How atoms compete: the score is gain_i max(rho, 0), or gain_i |rho| where signed."""

    gains: np.ndarray  # a tile's worth of the gain of each atom, repeated
    is_signed: bool
    share: float  # of an event that another one must exceed to overlap with it
    least: Any  # the bits of the score that an event must exceed


class Ranking(NamedTuple):
    """The best scores of the maps, as integers."""

    tops: np.ndarray  # (n_images, n_rows, n_tiles): of each tile
    row_tops: np.ndarray  # (n_images, n_rows): of each row
    keys: np.ndarray  # working memory for the scores of a tile
    shades: np.ndarray  # what rho must exceed, of its shape; or no column where nothing is asked


class Slots(NamedTuple):
    """Events, or room for them."""

    images: np.ndarray  # (n_events,) int32, as atoms, rows and columns
    atoms: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray  # (n_events,)


class Limits(NamedTuple):
    """When the pursuit of an image ends, other than by a score."""

    most: int  # events of an image
    tol: float  # its squared residual norm
    n_found: np.ndarray  # (n_images,) int64: events so far
    energies: np.ndarray  # (n_images,) float64: squared residual norms so far


class Gaps(NamedTuple):
    """Of one image with missing entries: the places where an atom is seen in part; places is empty
    where all entries are there.
    """

    residual: np.ndarray  # (n_channels, height, width), 0 where an entry is missing
    is_seen: np.ndarray  # of the same shape
    places: np.ndarray  # (n_rows, n_columns) int32: which place seen in part, -1 for a whole one
    scales: np.ndarray  # (n_in_part, n_dictionary): 1 / norm of what is seen of an atom, or 0


# ------------------------------------------------------------------------------- first correlations


@jit
def unfold(image, first, stride, height, width, patches):
    """patches[p] = the height x width patch at place p of the rows of places from `first` on, all
    channels.

    image (n_channels, height, width); patches (n_rows * n_columns, n_channels * height * width) is
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
                for row in range(height):
                    source = image[channel, top + row, left : left + width]
                    start = (channel * height + row) * width
                    for column in range(width):
                        patch[start + column] = source[column]


@jit
def correlate_sparse(image, stamps, width, first, rho):
    """Add to rho the correlations of an image that is mostly zeros, pixel by pixel; the stride is
    1.

    stamps (n_channels, height, width * n_dictionary): what a pixel of value 1 adds to the places
    above and left of it. rho (n_rows, n_columns * n_dictionary): the rows of places from `first`
    on.
    """
    n_dictionary, height = stamps.shape[2] // width, stamps.shape[1]
    n_columns = rho.shape[1] // n_dictionary
    for channel in range(image.shape[0]):
        for row in range(first, min(first + rho.shape[0] + height - 1, image.shape[1])):
            for column in range(image.shape[2]):
                value = image[channel, row, column]
                if value != 0:
                    top, left = row - first - height + 1, column - width + 1
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
def _shade(run, shades, scores):
    """Set the scores to 0 where a run does not exceed its shades."""
    for i in range(run.size):
        scores[i] = scores[i] if abs(run[i]) > shades[i] else scores.dtype.type(0)


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
    """Write the best score of every tile and of every row of the maps, for the rows of places
    first <= row < last.
    """
    for image in range(len(rho)):
        tops, row_tops = ranking.tops[image], ranking.row_tops[image]
        for row in range(first, last):
            maps, shades = rho[image, row], ranking.shades[image, row]
            _rank_run(maps, shades, contest, 0, tops.shape[1], tops[row], ranking.keys)
            row_tops[row] = _max_key(tops[row])


@jit
def _rank_run(rho_row, shades, contest, first, last, row_of_tops, keys):
    """Write the best scores of the tiles first <= tile < last of a row."""
    scores, size = keys.view(rho_row.dtype), contest.gains.size
    for tile in range(first, last):
        run = rho_row[tile * size : (tile + 1) * size]
        _score(run, contest, scores)
        if shades.size:
            _shade(run, shades[tile * size : (tile + 1) * size], scores)
        row_of_tops[tile] = _max_key(keys[: run.size])


@jit
def _find_best(rho, shades, contest, tops, row_tops, keys):
    """Row and index in the row of the best score, the first one on ties; row -1 where no score is
    large enough.
    """
    top = _max_key(row_tops)
    if top <= contest.least:
        return -1, 0
    row = _first(row_tops, top)
    tile, size = _first(tops[row], top), contest.gains.size
    run = rho[row, tile * size : (tile + 1) * size]
    _score(run, contest, keys.view(rho.dtype))
    if shades.shape[1]:
        _shade(run, shades[row, tile * size : (tile + 1) * size], keys.view(rho.dtype))
    return row, tile * size + _first(keys[: run.size], top)


@jit
def pursue(rho, gram, contest, alpha, limits, ranking, gaps, dictionary, stride, first, slots):
    """Convolutional matching pursuit of images, one event for each slot.

    (i, p) = argmax gain_i z(rho_i(p));   v = alpha rho_i(p);
    rho_j(p + s) -= v G_ij(s) for all j and |s| <= reach

    (Mallat & Zhang 1993, eq. 14, on the atoms at all places.)  Ties go to the first row, then
    column, then atom.  The rho of an event that overlaps with others must exceed a share of that of
    each, unless it is one of them again.  Where an atom is seen in part, rho is over the norm of
    what is seen, the value is v over it, too, and rho is computed again from the residual.

    rho (n_images, n_rows, n_columns * n_dictionary) is overwritten; gram (n_dictionary, side of
    rows, side of columns * n_dictionary), side = 2 reach + 1; ranking as `rank` leaves it.  Begins
    with the image `first`; returns how many events were found, and the image to go on with, which
    is n_images at the end.  The cost of an event is that of its window and of a look at one number
    a row and the tiles' numbers of its rows.
    """
    n_dictionary, size = gram.shape[0], contest.gains.size
    high, wide = gram.shape[1], gram.shape[2] // n_dictionary
    n_rows, n_columns = rho.shape[1], rho.shape[2] // n_dictionary
    event = 0
    for image in range(first, len(rho)):
        maps, tops, row_tops = rho[image], ranking.tops[image], ranking.row_tops[image]
        shades = ranking.shades[image]
        while limits.n_found[image] < limits.most and limits.energies[image] > limits.tol:
            if event == slots.values.size:
                return event, image
            row, index = _find_best(maps, shades, contest, tops, row_tops, ranking.keys)
            if row < 0:
                break
            column, atom = index // n_dictionary, index % n_dictionary
            value, height = alpha * maps[row, index], abs(maps[row, index])
            limits.energies[image] -= (2 - alpha) * np.float64(value) * maps[row, index]
            if gaps.places.size:
                if gaps.places[row, column] >= 0:
                    value *= gaps.scales[gaps.places[row, column], atom]
                _subtract(gaps.residual, value, dictionary[atom], row * stride, column * stride)
            slots.images[event], slots.atoms[event] = image, atom
            slots.rows[event], slots.columns[event] = row, column
            slots.values[event] = value
            event += 1
            limits.n_found[image] += 1
            top, left = row - high // 2, column - wide // 2
            start = max(0, left) * n_dictionary
            stop = min(n_columns, left + wide) * n_dictionary
            tile, last = start // size, (stop - 1) // size + 1
            if shades.shape[1]:
                own, shade = shades[row, index], contest.share * height  # again at its own place
                for y in range(max(0, top), min(n_rows, top + high)):
                    for x in range(start, stop):
                        shades[y, x] = max(shades[y, x], shade)
                shades[row, index] = own
            for y in range(max(0, top), min(n_rows, top + high)):
                run = gram[atom, y - top, start - left * n_dictionary :]
                _add_run(maps[y, start:stop], -value, run)
                if gaps.places.size:
                    places = range(start // n_dictionary, stop // n_dictionary)
                    _correlate_in_part(maps[y], gaps, dictionary, stride, y, places)
                _rank_run(maps[y], shades[y], contest, tile, last, tops[y], ranking.keys)
                row_tops[y] = _max_key(tops[y])
    return event, len(rho)


@jit
def _correlate_in_part(rho_row, gaps, dictionary, stride, row, places):
    """Correlations, from the residual, at those places of a row where an atom is seen in part."""
    n_dictionary, _, height, width = dictionary.shape
    for column in places:
        place = gaps.places[row, column]
        if place >= 0:
            top, left = row * stride, column * stride
            window = gaps.residual[:, top : top + height, left : left + width]
            seen = gaps.is_seen[:, top : top + height, left : left + width]
            for atom in range(n_dictionary):
                total = _seen_product(window, seen, dictionary[atom])
                rho_row[column * n_dictionary + atom] = total * gaps.scales[place, atom]


@jit
def _seen_product(window, seen, atom):
    """The inner product over the entries that are seen."""
    total = np.float64(0)
    for channel in range(atom.shape[0]):
        for row in range(atom.shape[1]):
            for column in range(atom.shape[2]):
                if seen[channel, row, column]:
                    total += window[channel, row, column] * atom[channel, row, column]
    return total


@jit
def measure_gaps(gaps, dictionary, stride, least, rho):
    """Write the scales of the places seen in part, 0 where the squared norm of what is seen of an
    atom is below `least`, and correlations there into the maps rho of an image.
    """
    height, width = dictionary.shape[2:]
    for row in range(gaps.places.shape[0]):
        for column in range(gaps.places.shape[1]):
            place, top, left = gaps.places[row, column], row * stride, column * stride
            if place >= 0:
                seen = gaps.is_seen[:, top : top + height, left : left + width]
                for atom in range(len(dictionary)):
                    square = _seen_product(dictionary[atom], seen, dictionary[atom])
                    scale = 1 / np.sqrt(square) if square >= least else 0.0
                    gaps.scales[place, atom] = scale
        places = range(gaps.places.shape[1])
        _correlate_in_part(rho[row], gaps, dictionary, stride, row, places)


# --------------------------------------------------------------------------------- sums over events


@jit
def _subtract(residual, value, atom, top, left):
    """Subtract value * atom at a place from the residual (n_channels, height, width)."""
    for channel in range(atom.shape[0]):
        for row in range(atom.shape[1]):
            run = residual[channel, top + row, left : left + atom.shape[2]]
            _add_run(run, -value, atom[channel, row])


@jit
def subtract_events(slots, stride, dictionary, residuals):
    """Subtract from the residuals (n_images, n_channels, height, width) value * atom at its place,
    event by event.
    """
    for event in range(slots.values.size):
        top, left = slots.rows[event] * stride, slots.columns[event] * stride
        atom, residual = dictionary[slots.atoms[event]], residuals[slots.images[event]]
        _subtract(residual, slots.values[event], atom, top, left)


@jit
def accumulate(slots, stride, residuals, first, last, total):
    """total[i] += the sum of value * residual patch over the events of atom i, for the atoms
    first <= i < last.

    residuals (n_images, n_channels, height, width); total (n_dictionary, n_channels, atom's height,
    width).  The events are walked in order, so the sums have the same bits however the atoms are
    shared out.
    """
    n_channels, height, width = total.shape[1:]
    for event in range(slots.values.size):
        atom, image, value = slots.atoms[event], slots.images[event], slots.values[event]
        if atom < first or atom >= last:
            continue
        top, left = slots.rows[event] * stride, slots.columns[event] * stride
        for channel in range(n_channels):
            for row in range(height):
                run = residuals[image, channel, top + row, left : left + width]
                _add_run(total[atom, channel, row], value, run)
