"""Homeostasis: slow rules that keep the competition between atoms fair.

A rule is a small object with parameters; its state is a dict of arrays that learning carries along:

    state = rule.init(n_dictionary, activity, dtype)    before the first batch
    state = rule.update(state, events)                  after each batch
    competition = rule.competition(state)               what pursuit uses next

A rule of one's own that follows the activation probability p of each atom needs one method::

    class Root(ActivationRule):
        def gain(self, p, target):
            return np.sqrt(target / p)

    SparseHebbianLearning(homeo_method=Root(eta_homeo=0.01))

Any object with the three methods will do.
"""

import numpy as np

from . import kernels
from ._checks import check_choice, check_count, check_number
from .coding import Competition, check_P_cum

SCALE_OF_MEAN = 0.5  # C, in units of the mean coefficient, where it adapts to the data


class Plain:
    """No homeostasis ('None'): matching pursuit as it is, z_i(a) = a."""

    def init(self, n_dictionary, activity, dtype):
        """No state."""
        return {}

    def update(self, state, events):
        """No state."""
        return state

    def competition(self, state):
        """Every atom competes with its coefficient."""
        return Competition()


class ActivationRule:
    """Gain control from a running mean of each atom's activation probability.

    p_i <- (1 - eta_homeo) p_i + eta_homeo mean_n(a_ni != 0);   target = mean_i of the batch's
    mean_n(a_ni != 0)

    Subclasses give `gain(p, target)`.

    Parameters
    ----------
    eta_homeo : float in [0, 1], the rate of the running mean.
    alpha_homeo : float > 0, the strength of the gain, in the meaning of each rule.
    """

    def __init__(self, eta_homeo=0.01, alpha_homeo=0.05):
        self.eta_homeo = check_number(eta_homeo, "eta_homeo", least=0, most=1)
        self.alpha_homeo = check_number(alpha_homeo, "alpha_homeo", above=0)

    def init(self, n_dictionary, activity, dtype):
        """p_i = target = `activity`, the probability that an event falls on an atom: equal
        gains.
        """
        return {"p": np.full(n_dictionary, activity, dtype), "target": np.array(activity, dtype)}

    def update(self, state, events):
        """The state after one more batch of events."""
        p = (events.counts() / len(events)).astype(state["p"].dtype)
        return {"p": (1 - self.eta_homeo) * state["p"] + self.eta_homeo * p, "target": p.mean()}

    def competition(self, state):
        """z_i(a) = gain(p_i, target) a, with p kept off 0 and 1 where logarithms and powers end."""
        tiny = np.finfo(state["p"].dtype).eps
        p, target = (np.clip(state[name], tiny, 1 - tiny) for name in ("p", "target"))
        return Competition(gain=self.gain(p, target))

    def gain(self, p, target):
        """The gain of each atom, (n_dictionary,), non-negative; p (n_dictionary,) and target in (0,
        1).
        """
        raise NotImplementedError("an ActivationRule gives gain(p, target)")


class EMP(ActivationRule):
    """Equal matching pursuit (Sandin & Martin-del-Campo 2016): an atom used too often sits out.

    gain_i = 1 if p_i < target (1 + alpha_homeo) else 0

    A target under the mean of p, as after batches whose pursuits ended early, is raised to it: else
    every atom could be over the bound, no event would ever come again, and the target would stay at
    0.
    """

    def gain(self, p, target):
        """1 or 0, and 1 for one atom at least."""
        return (p < max(target, p.mean()) * (1 + self.alpha_homeo)).astype(p.dtype)


class HAP(ActivationRule):
    """Homeostasis on activation probability (Perrinet 2019): gain_i = log p_i / log target."""

    def gain(self, p, target):
        """Above 1 for atoms used less than the target."""
        return np.log(p) / np.log(target)


class EXP(ActivationRule):
    """Exponential gain: gain_i = exp(-(p_i - target) / alpha_homeo)."""

    def gain(self, p, target):
        """Above 1 for atoms used less than the target."""
        return np.exp(-(p - target) / self.alpha_homeo)


class EHAP(ActivationRule):
    """Power-law gain ('eHAP'): gain_i = (p_i / target)^-alpha_homeo."""

    def gain(self, p, target):
        """Above 1 for atoms used less than the target."""
        return (p / target) ** -self.alpha_homeo


class OLS:
    """Gain from the variance of coefficients (Olshausen & Field 1997): gain_i = V_i^-alpha_homeo.

    V_i <- (1 - eta_homeo) V_i + eta_homeo v_i / mean_j v_j with v_i = mean_n a_ni^2.
    """

    def __init__(self, eta_homeo=0.01, alpha_homeo=0.05):
        self.eta_homeo = check_number(eta_homeo, "eta_homeo", least=0, most=1)
        self.alpha_homeo = check_number(alpha_homeo, "alpha_homeo", above=0)

    def init(self, n_dictionary, activity, dtype):
        """V_i = 1, the mean."""
        return {"V": np.ones(n_dictionary, dtype)}

    def update(self, state, events):
        """The state after one more batch of events; a batch without events changes nothing."""
        variance = events.power_sums(2)
        if variance.sum() == 0:
            return state
        relative = (variance / variance.mean()).astype(state["V"].dtype)
        return {"V": (1 - self.eta_homeo) * state["V"] + self.eta_homeo * relative}

    def competition(self, state):
        """z_i(a) = V_i^-alpha_homeo a."""
        return Competition(
            gain=np.maximum(state["V"], np.finfo(state["V"].dtype).eps) ** -self.alpha_homeo
        )


class HEH:
    """Histogram equalisation (Perrinet 2010, eq. 13; 2019): atoms compete by the quantile of their
    coefficient.

    P_cum_i <- (1 - eta_homeo) P_cum_i + eta_homeo CDF_i(batch);   z_i(a) = P_cum_i(1 - exp(-a / C))

    Were the coefficients of each atom distributed as its P_cum says, every atom would win equally
    often.

    Parameters
    ----------
    eta_homeo : float in [0, 1], the rate of the running mean.
    C : float >= 0, the scale of coefficients.  0 adapts it to the data: a running mean, at the same
        rate, of SCALE_OF_MEAN times the mean of the batch's positive coefficients.
    nb_quant : int >= 2, the points of P_cum.
    P_cum : array (n_dictionary, nb_quant), optional: the start, instead of a straight ramp from 0
        to 1; needs a C.
    """

    def __init__(self, eta_homeo=0.01, C=3.0, nb_quant=128, P_cum=None):
        self.eta_homeo = check_number(eta_homeo, "eta_homeo", least=0, most=1)
        self.C = check_number(C, "C", least=0)
        self.nb_quant = check_count(nb_quant, "nb_quant", least=2)
        if P_cum is not None and self.C == 0:
            raise ValueError(
                "P_cum needs the C of its scale, above 0: it cannot start where C adapts to the "
                "data"
            )
        self.P_cum = None if P_cum is None else check_P_cum(P_cum, "P_cum", nb_quant=self.nb_quant)

    def init(self, n_dictionary, activity, dtype):
        """A straight ramp 0..1 for each atom, or the given start, and the scale; 0 is one that is
        not known yet.
        """
        ramp = np.linspace(0, 1, self.nb_quant) if self.P_cum is None else self.P_cum
        return {
            "P_cum": np.broadcast_to(ramp, (n_dictionary, self.nb_quant)).astype(dtype),
            "C": np.array(self.C),
        }

    def update(self, state, events):
        """The state after one more batch of events; without a scale, a batch without events changes
        nothing.
        """
        C = self.C or self._adapt(float(state["C"]), events)
        if C == 0:
            return state
        batch = cumulative_distribution(events, C, self.nb_quant).astype(state["P_cum"].dtype)
        return {
            "P_cum": (1 - self.eta_homeo) * state["P_cum"] + self.eta_homeo * batch,
            "C": np.array(C),
        }

    def _adapt(self, C, events):
        """The scale after one more batch of events."""
        positive = events.values[events.values > 0]
        if not positive.size:
            return C
        wanted = SCALE_OF_MEAN * float(positive.mean(dtype=np.float64))
        return (1 - self.eta_homeo) * C + self.eta_homeo * wanted if C else wanted

    def competition(self, state):
        """z_i(a) = P_cum_i(1 - exp(-a / C))."""
        return Competition(P_cum=state["P_cum"], C=scale(state))


def scale(state):
    """The C of a state of HEH; 1 where none is known yet, as its equal ramps rank by the
    coefficient at any scale.
    """
    return float(state["C"]) or 1.0


class Fading:
    """A rule that acts at first and fades to plain pursuit, for data whose atoms are not used
    equally often.

    z_i(a) = (s gain_i + 1 - s) a,   or   z_i(a) = s P_cum_i(r) + (1 - s) mean_j P_cum_j(r)

    s is 1 up to step `start`, falls linearly, and is 0 from step `stop` on.  Steps are those since
    `init`.

    Parameters
    ----------
    rule : object with init, update and competition: what fades.
    start, stop : floats, learning steps, 0 <= start < stop.
    """

    def __init__(self, rule, start, stop):
        self.rule = rule
        self.start = check_number(start, "start", least=0)
        self.stop = check_number(stop, "stop", above=self.start)

    def init(self, n_dictionary, activity, dtype):
        """The state of the rule, and the steps so far."""
        return {**self.rule.init(n_dictionary, activity, dtype), "fade_step": np.array(0)}

    def update(self, state, events):
        """The state after one more batch of events."""
        return {**self.rule.update(state, events), "fade_step": state["fade_step"] + 1}

    def competition(self, state):
        """The rule's, in part."""
        full = self.rule.competition(state)
        share = float(np.clip((self.stop - state["fade_step"]) / (self.stop - self.start), 0, 1))
        if share == 1:
            return full
        if share == 0:
            return Competition()
        if full.P_cum is None:
            return Competition(gain=None if full.gain is None else share * full.gain + (1 - share))
        return Competition(
            P_cum=share * full.P_cum + (1 - share) * full.P_cum.mean(axis=0), C=full.C
        )


def cumulative_distribution(events, C, nb_quant):
    """CDF of r = 1 - exp(-max(a, 0) / C) for each atom, (n_dictionary, nb_quant) float64.

    Over nb_quant - 1 equal bins of r in [0, 1]; coefficients of 0 count in the first bin; the first
    column is 0.
    """
    counts = np.zeros((events.n_dictionary, nb_quant - 1), np.int64)
    kernels.count_quantiles(events.indices, events.values, C, counts)
    counts[:, 0] += len(events) - counts.sum(axis=1)
    return np.concatenate(
        (np.zeros((len(counts), 1)), np.cumsum(counts, axis=1) / len(events)), axis=1
    )


RULES = {"None": Plain, "OLS": OLS, "EMP": EMP, "HAP": HAP, "EXP": EXP, "eHAP": EHAP, "HEH": HEH}


def make_rule(homeo_method, eta_homeo=0.01, alpha_homeo=0.05, C=3.0, nb_quant=128, P_cum=None):
    """The rule of a name, with these parameters, or the user's own object as it is.

    Raises
    ------
    ValueError
        For an unknown name, or a parameter out of its range.
    TypeError
        For an object without the methods of a rule.
    """
    if homeo_method is None:
        homeo_method = "None"
    if not isinstance(homeo_method, str):
        missing = [
            name
            for name in ("init", "update", "competition")
            if not callable(getattr(homeo_method, name, None))
        ]
        if missing or isinstance(homeo_method, type):
            raise TypeError(
                f"homeo_method must be one of {', '.join(RULES)} or a rule (an object with init, "
                f"update, "
                f"competition), not {homeo_method!r}"
            )
        return homeo_method
    rule = RULES[check_choice(homeo_method, "homeo_method", RULES)]
    if rule is Plain:
        return Plain()
    if rule is HEH:
        return HEH(eta_homeo, C, nb_quant, P_cum)
    return rule(eta_homeo, alpha_homeo)
