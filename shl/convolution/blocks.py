"""Pursuit of a long signal by blocks, with the events that the whole signal would give."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import kernels


class Run(NamedTuple):
    """The pursuit of the places first <= place < last alone."""

    first: int
    last: int
    slots: kernels.Slots


def join_blocks(
    code: Callable[[slice], kernels.Slots],
    n_places: int,
    sizes: tuple[int, int, int],
    reach: int,
    run: Callable,
    n: int,
) -> kernels.Slots:
    """The events of a signal that is coded by blocks of places that overlap.

    An event at p changes scores from p - reach to p + reach.  A cut m between two places is sound
    if no event at p <= m reaches beyond m, and none at p > m reaches m.  Pursuit takes the best
    score first, so that events on one side of a sound cut do not depend on those of the other side,
    and both are those of the whole signal.  Two blocks that have no sound cut in common are coded
    again as one.

    Parameters
    ----------
    code : callable
        code(slice of places) returns their events, as if there were no others.
    n_places : int
        Places of the signal.
    sizes : (size, guard, aligned)
        Places of a block, by how many it is longer on either side, and a number at multiples of
        which it begins.
    reach : int
        Places by which two atoms overlap at most.
    run : callable
        run(function, items) returns [function(item) for item in items].
    n : int
        The index of the signal, for its events.
    """

    def code_block(first, last):
        return Run(first, last, code(slice(first, last)))

    size, guard, aligned = sizes
    bounds = [
        (max(0, first - guard) // aligned * aligned, min(n_places, first + size + guard))
        for first in range(0, n_places, size)
    ]
    done: list[Run] = []
    cuts: list[int] = []
    for part in run(lambda bound: code_block(*bound), bounds):
        while done:
            cut = find_cut(done[-1], part, reach)
            if cut is not None:
                cuts.append(cut)
                break
            part = code_block(done.pop().first, part.last)
            del cuts[len(done) - 1 :]
        done.append(part)
    kept = []
    for part, after, until in zip(done, [-1, *cuts], [*cuts, n_places], strict=True):
        is_kept = (part.slots.columns > after) & (part.slots.columns <= until)
        kept.append(kernels.Slots(*(column[is_kept] for column in part.slots)))
    slots = kernels.Slots(*map(np.concatenate, zip(*kept, strict=True)))
    slots.images[:] = n
    return slots


def find_cut(left: Run, right: Run, reach: int) -> int | None:
    """The sound cut of two runs that is nearest to the middle of what they share, or None."""
    shared = right.first, left.last
    places = np.concatenate((left.slots.columns, right.slots.columns))
    places = places[(places >= shared[0] - 2 * reach) & (places < shared[1] + 2 * reach)]
    outside = right.first - 1 - reach, left.last + reach
    places = np.unique(np.concatenate((places, outside)))
    places = places[(places >= outside[0]) & (places <= outside[1])]
    lowest, highest = places[:-1] + reach, places[1:] - reach - 1
    is_sound = lowest <= highest
    if not is_sound.any():
        return None
    middle = np.clip(sum(shared) // 2, lowest[is_sound], highest[is_sound])
    return int(middle[np.abs(middle - sum(shared) // 2).argmin()])
