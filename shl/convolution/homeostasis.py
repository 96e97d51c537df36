"""Homeostasis of convolutional learning: rules that give a gain, in the protocol of
`shl.homeostasis`.

The activation probability of an atom is its share of the events: an image may use an atom many
times.
"""

import numpy as np

from .. import homeostasis
from .._checks import check_choice, check_count, check_number
from ..coding import Competition

METHODS = ("None", "HAP", "EXP")
RATES = {"HAP": 0.05, "EXP": 0.0025}  # the default eta_homeo


class HAP(homeostasis.HAP):
    """Homeostasis on activation probability (Perrinet 2019) where a sample has room for many events
    ('HAP').

    gain_i = log P_i / log P;   P_i = 1 - exp(-q_i / q),   P = 1 - exp(-1)

    with q_i the running mean of atom i's share of the events and q the mean of all: P_i is the
    probability that atom i is among n_dictionary events that fall on atoms with these shares.  It
    does not depend on the size of images, and 1 % more use costs an atom 1.3 % of its gain.  With
    q_i itself as the probability it would be 0.3 % for 20 atoms, and usage is left three times as
    uneven (standard deviation over mean .06 instead of .02 on the sample images); the share of
    images that use the atom does not even out atoms that some images use many times (.16).
    """

    def gain(self, p, target):
        """Above 1 for atoms used less than the mean."""
        tiny = np.finfo(p.dtype).eps
        return np.log(np.maximum(-np.expm1(-p / target), tiny)) / np.log(-np.expm1(-1.0)).astype(
            p.dtype
        )


class EpochModulation:
    """Exponential modulation, once an epoch ('EXP'): atoms used more than the mean lose gain.

    log g_i <- (1 - eta_homeo) log g_i - eta_homeo (n_i - mean n) / tau,   tau = -(max n - mean n) /
    log 0.1

    with n_i the activations of atom i in the epoch: the most used atom moves by log 10 times
    eta_homeo.

    Parameters
    ----------
    eta_homeo : float in [0, 1], the rate.
    n_batches : int, the batches of an epoch.
    """

    def __init__(self, eta_homeo=0.0025, n_batches=1):
        self.eta_homeo = check_number(eta_homeo, "eta_homeo", least=0, most=1)
        self.n_batches = check_count(n_batches, "n_batches")

    def init(self, n_dictionary, activity, dtype):
        """Gains 1, nothing counted."""
        return {
            "log_gain": np.zeros(n_dictionary, dtype),
            "counts": np.zeros(n_dictionary, np.int64),
            "n_seen": np.int64(0),
        }

    def update(self, state, events):
        """The state after one more batch; the gain moves after the last batch of an epoch."""
        counts, n_seen = state["counts"] + events.counts(), state["n_seen"] + 1
        if n_seen < self.n_batches:
            return {**state, "counts": counts, "n_seen": n_seen}
        old = state["log_gain"]
        new = (1 - self.eta_homeo) * old - self.eta_homeo * _excess(counts)
        return {**self.init(len(counts), None, old.dtype), "log_gain": new.astype(old.dtype)}

    def competition(self, state):
        """z_i(a) = g_i a."""
        return Competition(gain=np.exp(state["log_gain"]))


def _excess(counts):
    """(n - mean n) / tau: -log 0.1 for the most used atom; 0 where all are used alike."""
    above = counts - counts.mean()
    return np.zeros(len(counts)) if above.max() == 0 else -np.log(0.1) * above / above.max()


def make_rule(homeo_method, eta_homeo=None, n_batches=1):
    """The rule of a name with the rate eta_homeo (None: its own, see `RATES`), or the user's own
    object as it is.

    Raises
    ------
    ValueError
        For an unknown name, or a parameter out of its range.
    TypeError
        For an object without the methods of a rule.
    """
    if homeo_method is None or isinstance(homeo_method, str):
        check_choice("None" if homeo_method is None else homeo_method, "homeo_method", METHODS)
        check_number(eta_homeo, "eta_homeo", least=0, most=1, is_optional=True)
        eta_homeo = RATES.get(homeo_method, 0.0) if eta_homeo is None else eta_homeo
        if homeo_method == "EXP":
            return EpochModulation(eta_homeo, n_batches)
        return HAP(eta_homeo) if homeo_method == "HAP" else homeostasis.Plain()
    return homeostasis.make_rule(homeo_method)


def gain_of(rule, state):
    """The gain of each atom under a rule's state, or None for plain pursuit; an error for a table
    of quantiles.
    """
    competition = rule.competition(state)
    if competition.P_cum is not None:
        raise ValueError(
            "homeo_method must be a rule with a gain, not a table P_cum: convolutional pursuit "
            "has no "
            "quantiles"
        )
    return competition.gain
