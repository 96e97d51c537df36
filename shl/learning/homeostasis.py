"""Homeostasis: slow rules that keep the competition between atoms fair.

A rule is a small object with parameters; its state is a dict of arrays that learning carries along:

    state = rule.init(n_dictionary, activity, dtype)    before the first batch
    state = rule.update(state, code)                    after each batch
    competition = rule.competition(state)               what pursuit uses next

`code` is that of a batch of patches (`shl.coding.Events`) or of images
(`shl.convolution.ConvolutionalCode`).  A user-defined rule that follows the activation probability
p of each atom needs one method::

    class Root(ActivationRule):
        def gain(self, p, target):
            return np.sqrt(target / p)

    SparseHebbianLearning(homeo_method=Root(eta_homeo=0.01))

Any object with the three methods will do; a fourth, `renew(state, i)`, gives the state after atom i
was replaced (`shl.learning`).  To add a rule to the package, write its class and name
it in `RULES`.
"""

from inspect import signature
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike

from .._base.arrays import astype, beside, copy_of, namespace
from .._base.checks import check_choice, check_number
from .._base.constraints import Count, NotNegative, Positive, Quantiles, Share, checked
from .._base.devices import is_tensor
from ..coding.competition import Competition, check_competition, check_P_cum

SCALE_OF_MEAN = 3.0  # C, in units of the mean coefficient, where it adapts to the data
PRIOR_EVENTS = 100  # of HEH: events with which an atom's distribution counts as much as the mean's


@runtime_checkable
class Rule(Protocol):
    """What learning asks of a rule of homeostasis."""

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """The state before the first batch; activity: the probability that a draw is an atom's."""

    def update(self, state: dict, code: Any) -> dict:
        """The state after one more batch."""

    def competition(self, state: dict) -> Competition:
        """How atoms compete for the next batch."""


class Plain:
    """No homeostasis ('None'): matching pursuit as it is, z_i(a) = a."""

    gives = "plain"

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """No state."""
        return {}

    def update(self, state: dict, code: Any) -> dict:
        """No state."""
        return state

    def competition(self, state: dict) -> Competition:
        """Every atom competes with its coefficient."""
        return Competition()


class _Renewing:
    """A rule whose state has values of each atom, by the names in `of_atoms`."""

    of_atoms: tuple[str, ...] = ()

    def renew(self, state: dict, i: int) -> dict:
        """Return the state after atom i was replaced: its values are the mean of all atoms."""
        new = {name: copy_of(state[name]) for name in self.of_atoms}
        for values in new.values():
            values[i] = values.mean(axis=0)
        return {**state, **new}


class _WithRate(_Renewing):
    """A rule with a rate and a strength."""

    gives = "gain"

    @checked
    def __init__(self, eta_homeo: Share = 0.01, alpha_homeo: Positive = 0.05):
        self.eta_homeo, self.alpha_homeo = eta_homeo, alpha_homeo


class ActivationRule(_WithRate):
    """Gain control from a running mean of each atom's activation probability.

    p_i <- (1 - eta_homeo) p_i + eta_homeo k_i / n_draws;   target = mean_i k_i / n_draws

    with k_i the counts of the batch.  In patches a draw is a sample, which uses an atom or not; in
    images, which may use an atom many times, it is an event.  A batch without draws changes
    nothing.  Subclasses give `gain(p, target)`.

    Parameters
    ----------
    eta_homeo : float, default=0.01
        In [0, 1], the rate of the running mean.
    alpha_homeo : float, default=0.05
        Above 0, the strength of the gain, in the meaning of each rule.
    """

    of_atoms = ("p",)

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """p_i = target = `activity`: equal gains."""
        return {"p": np.full(n_dictionary, activity, dtype), "target": np.array(activity, dtype)}

    def update(self, state: dict, code: Any) -> dict:
        """The state after one more batch."""
        if not code.n_draws:
            return state
        p = astype(code.counts() / code.n_draws, state["p"].dtype)
        return {"p": (1 - self.eta_homeo) * state["p"] + self.eta_homeo * p, "target": p.mean()}

    def competition(self, state: dict) -> Competition:
        """z_i(a) = gain(p_i, target) a, with p kept off 0 and 1 where logarithms and powers end."""
        xp = namespace(state["p"])
        tiny = xp.finfo(state["p"].dtype).eps
        p = xp.clip(state["p"], tiny, 1 - tiny)
        target = xp.clip(beside(state["target"], p), tiny, 1 - tiny)
        return Competition(gain=self.gain(p, target))

    def gain(self, p: np.ndarray, target: float) -> np.ndarray:
        """The gains (n_dictionary,), non-negative; p (n_dictionary,) and target in (0, 1)."""
        raise NotImplementedError("A subclass of ActivationRule must define gain(p, target).")


class EMP(ActivationRule):
    """Equal matching pursuit (Sandin & Martin-del-Campo 2016): an atom used too often sits out.

    gain_i = 1 if p_i < target (1 + alpha_homeo) else 0

    If pursuits of a batch ended early, the target may be below the mean of p.  It is then raised to
    that mean, because otherwise all atoms could sit out for ever.

    Parameters
    ----------
    eta_homeo : float, default=0.01
        In [0, 1], the rate of the running mean.
    alpha_homeo : float, default=0.05
        Above 0, the share above the target from which an atom sits out.
    """

    def gain(self, p: np.ndarray, target: float) -> np.ndarray:
        """1 or 0, and 1 for one atom at least."""
        return astype(p < max(target, p.mean()) * (1 + self.alpha_homeo), p.dtype)


class HAP(ActivationRule):
    """Homeostasis on activation probability (Perrinet 2019): gain_i = log p_i / log target.

    Parameters
    ----------
    eta_homeo : float, default=0.01
        In [0, 1], the rate of the running mean.
    alpha_homeo : float, default=0.05
        Not used.
    """

    def gain(self, p: np.ndarray, target: float) -> np.ndarray:
        """Above 1 for atoms used less than the target."""
        xp = namespace(p)
        return xp.log(p) / xp.log(target)


class ShareHAP(ActivationRule):
    """HAP on an atom's share of the events ('shareHAP'), for samples with room for many events.

    gain_i = log P_i / log P;   P_i = 1 - exp(-p_i / target),   P = 1 - exp(-1)

    P_i is the probability that atom i is among n_dictionary events that fall on atoms with these
    shares.  It does not depend on the size of images, and 1 % more use costs an atom 1.3 % of its
    gain.  With p_i itself as the probability, as in 'HAP', it would be 0.3 % for 20 atoms, and
    usage is left three times as uneven (standard deviation over mean .06 instead of .02 on the
    sample images); the share of images that use the atom does not even out atoms that some images
    use many times (.16).

    Parameters
    ----------
    eta_homeo : float, default=0.05
        In [0, 1], the rate of the running mean.
    alpha_homeo : float, default=0.05
        Not used.
    """

    @checked
    def __init__(self, eta_homeo: Share = 0.05, alpha_homeo: Positive = 0.05):
        super().__init__(eta_homeo, alpha_homeo)

    def gain(self, p: np.ndarray, target: float) -> np.ndarray:
        """Above 1 for atoms used less than the mean."""
        xp = namespace(p)
        among = xp.maximum(-xp.expm1(-p / target), xp.finfo(p.dtype).eps)
        return xp.log(among) / float(np.log(-np.expm1(-1.0)))


class EXP(ActivationRule):
    """Exponential gain: gain_i = exp(-(p_i - target) / alpha_homeo).

    Parameters
    ----------
    eta_homeo : float, default=0.01
        In [0, 1], the rate of the running mean.
    alpha_homeo : float, default=0.05
        Above 0, the difference in p that changes a gain by a factor e.
    """

    def gain(self, p: np.ndarray, target: float) -> np.ndarray:
        """Above 1 for atoms used less than the target."""
        return namespace(p).exp(-(p - target) / self.alpha_homeo)


class EHAP(ActivationRule):
    """Power-law gain ('eHAP'): gain_i = (p_i / target)^-alpha_homeo.

    Parameters
    ----------
    eta_homeo : float, default=0.01
        In [0, 1], the rate of the running mean.
    alpha_homeo : float, default=0.05
        Above 0, the exponent.
    """

    def gain(self, p: np.ndarray, target: float) -> np.ndarray:
        """Above 1 for atoms used less than the target."""
        return (p / target) ** -self.alpha_homeo


class EpochEXP(_Renewing):
    """Exponential modulation, once an epoch ('epochEXP'): atoms used more than the mean lose gain.

    log g_i <- (1 - eta_homeo) log g_i - eta_homeo (n_i - mean n) / tau,
    tau = -(max n - mean n) / log 0.1

    with n_i the activations of atom i in the epoch: the most used atom moves by log 10 times
    eta_homeo.

    Parameters
    ----------
    eta_homeo : float, default=0.0025
        In [0, 1], the rate.
    n_batches : int, default=1
        The batches of an epoch.
    """

    gives, of_atoms = "gain", ("log_gain", "counts")

    @checked
    def __init__(self, eta_homeo: Share = 0.0025, n_batches: Count = 1):
        self.eta_homeo, self.n_batches = eta_homeo, n_batches

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """Gains 1, nothing counted."""
        return {
            "log_gain": np.zeros(n_dictionary, dtype),
            "counts": np.zeros(n_dictionary, np.int64),
            "n_seen": np.int64(0),
        }

    def update(self, state: dict, code: Any) -> dict:
        """The state after one more batch; the gain moves after the last batch of an epoch."""
        counts, n_seen = state["counts"] + code.counts(), state["n_seen"] + 1
        if n_seen < self.n_batches:
            return {**state, "counts": counts, "n_seen": n_seen}
        old = state["log_gain"]
        new = (1 - self.eta_homeo) * old - self.eta_homeo * self._excess(counts)
        return {
            "log_gain": astype(new, old.dtype),
            "counts": counts - counts,
            "n_seen": np.int64(0),
        }

    @staticmethod
    def _excess(counts):
        """(n - mean n) / tau: -log 0.1 for the most used atom; 0 where all are used alike."""
        above = counts - counts.mean()
        return above if above.max() == 0 else float(-np.log(0.1)) * above / above.max()

    def competition(self, state: dict) -> Competition:
        """z_i(a) = g_i a."""
        return Competition(gain=namespace(state["log_gain"]).exp(state["log_gain"]))


class OLS(_WithRate):
    """Gain from the variance of coefficients (Olshausen & Field 1997): gain_i = V_i^-alpha_homeo.

    V_i <- (1 - eta_homeo) V_i + eta_homeo v_i / mean_j v_j with v_i = mean_n a_ni^2.

    Parameters
    ----------
    eta_homeo : float, default=0.01
        In [0, 1], the rate of the running mean.
    alpha_homeo : float, default=0.05
        Above 0, the exponent.
    """

    of_atoms = ("V",)

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """V_i = 1, the mean."""
        return {"V": np.ones(n_dictionary, dtype)}

    def update(self, state: dict, code: Any) -> dict:
        """The state after one more batch; a batch without events changes nothing."""
        variance = code.power_sums(2)
        if variance.sum() == 0:
            return state
        relative = astype(variance / variance.mean(), state["V"].dtype)
        return {"V": (1 - self.eta_homeo) * state["V"] + self.eta_homeo * relative}

    def competition(self, state: dict) -> Competition:
        """z_i(a) = V_i^-alpha_homeo a."""
        xp = namespace(state["V"])
        tiny = xp.finfo(state["V"].dtype).eps
        return Competition(gain=xp.maximum(state["V"], tiny) ** -self.alpha_homeo)


class HEH2019(_Renewing):
    """Histogram equalisation as published (Perrinet 2010, eq. 13; 2019): atoms compete by the
    quantile of their coefficient.

    P_cum_i <- (1 - eta_homeo) P_cum_i + eta_homeo CDF_i(batch);   z_i(a) = P_cum_i(1 - exp(-a / C))

    If the coefficients of each atom were distributed as its P_cum says, all atoms would be selected
    equally often.

    P_cum counts the zeros too: z_i(0) = 1 - p_i with p_i the activation probability.  If all
    coefficients of a sample are small, as late in its pursuit, p_i alone decides.  An atom used a
    little less than the others is then selected with any coefficient above 0.  P_cum answers
    1 / eta_homeo batches later, so usage oscillates, driven by the noise of p_i, which is
    relatively sqrt(eta_homeo / (2 batch_size p_i)).  In batches of 256, eta_homeo must be at most
    .005, and less for codes of more coefficients.  'HEH' has no such limit.

    Parameters
    ----------
    eta_homeo : float, default=0.01
        In [0, 1], the rate of the running mean.
    C : float, default=3.0
        At least 0, the scale of coefficients.  0 adapts it to the data: a running mean, at the same
        rate, of SCALE_OF_MEAN times the mean of the batch's positive coefficients.
    nb_quant : int, default=128
        At least 2, the points of P_cum.
    P_cum : array of shape (n_dictionary, nb_quant), optional
        The start, instead of a straight ramp from 0 to 1; needs a C.
    """

    gives = "table"  # though plain before an adapting scale is known
    of_atoms = ("P_cum",)

    @checked
    def __init__(
        self,
        eta_homeo: Share = 0.01,
        C: NotNegative = 3.0,
        nb_quant: Quantiles = 128,
        P_cum: np.ndarray | None = None,
    ):
        self.eta_homeo, self.C, self.nb_quant = eta_homeo, C, nb_quant
        if P_cum is not None and self.C == 0:
            raise ValueError(
                "P_cum needs the C of its scale, above 0, because it cannot start where C "
                "adapts to the data"
            )
        self.P_cum = None if P_cum is None else check_P_cum(P_cum, "P_cum", nb_quant=self.nb_quant)

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """A straight ramp 0..1 for each atom, or the given start, and the scale, 0 if not known."""
        ramp = np.linspace(0, 1, self.nb_quant) if self.P_cum is None else self.P_cum
        P_cum = np.broadcast_to(ramp, (n_dictionary, self.nb_quant)).astype(dtype)
        return {"P_cum": P_cum, "C": np.array(self.C)}

    def update(self, state: dict, code: Any) -> dict:
        """The state after one more batch; one without events gives no scale."""
        C = self.C or self._adapt(float(state["C"]), code)
        if C == 0:
            return state
        return {"P_cum": self._follow(state["P_cum"], code, C), "C": np.array(C)}

    def _follow(self, P_cum, code, C):
        """P_cum after one more batch."""
        if code.weight is None and not is_tensor(P_cum):
            return code.follow_quantiles(P_cum, C, self.eta_homeo)
        batch = astype(cumulative_distribution(code, C, self.nb_quant), P_cum.dtype)
        return (1 - self.eta_homeo) * P_cum + self.eta_homeo * batch

    def _adapt(self, C, code):
        """The scale after one more batch."""
        mean = code.mean_positive()
        if not mean:
            return C
        wanted = SCALE_OF_MEAN * mean
        return (1 - self.eta_homeo) * C + self.eta_homeo * wanted if C else wanted

    def competition(self, state: dict) -> Competition:
        """z_i(a) = P_cum_i(1 - exp(-a / C)); plain as long as no scale is known."""
        if state["C"] == 0:
            return Competition()
        return Competition(P_cum=self.table(state), C=float(state["C"]))

    def table(self, state: dict) -> np.ndarray:
        """The z at the points of P_cum, (n_dictionary, nb_quant)."""
        return state["P_cum"]


class HEH(HEH2019):
    """Histogram equalisation that cannot break down: the coefficient times its surprise.

    z_i(a) = -a log T_i(a)

    with T_i(a) = 1 - P_cum_i(1 - exp(-a / C)) the probability that a sample uses atom i with a
    coefficient above a.  Atoms that are used alike above each level have equal T_i, and compete by
    their coefficient.  The published 1 - T_i(a) ranks atoms as -log T_i(a) does, which does not
    vanish with a: where T_i is wrong by a factor 1 + e, log a moves by e / (a h(a)), with h the
    hazard rate -T_i' / T_i, without a bound as a -> 0.  Here it moves by
    e / (|log T_i(a)| + a h(a)), never more than under 'HAP', -a log p_i, which is the limit for
    small a.

    e is the less, the fewer events T_i is known from:

    T_i <- mean_j T_j (T_i + q) / (mean_j T_j + q),   q = PRIOR_EVENTS eta_homeo / ((2 - eta_homeo)
    n_draws)

    as if each atom had been used PRIOR_EVENTS times more, as the mean is, in the
    (2 - eta_homeo) n_draws / eta_homeo samples that a running mean of batches of n_draws is worth.

    Parameters
    ----------
    eta_homeo : float, default=0.01
        In [0, 1], the rate of the running mean.
    C : float, default=3.0
        At least 0, the scale of coefficients; 0 adapts it to the data, as in `HEH2019`.
    nb_quant : int, default=128
        At least 2, the points of P_cum.
    P_cum : array of shape (n_dictionary, nb_quant), default=None
        The start, as in `HEH2019`.
    """

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """As of HEH2019, and q: 0, a given start is trusted."""
        return {**super().init(n_dictionary, activity, dtype), "q": np.array(0.0)}

    def update(self, state: dict, code: Any) -> dict:
        """The state after one more batch; a batch without draws changes nothing."""
        if not code.n_draws:
            return state
        q = PRIOR_EVENTS * self.eta_homeo / ((2 - self.eta_homeo) * code.n_draws)
        return {**super().update(state, code), "q": np.array(q)}

    def table(self, state: dict) -> np.ndarray:
        """-a log T_i(a), divided by its largest value."""
        P_cum, q = state["P_cum"], float(state["q"])
        xp, nb_quant = namespace(P_cum), P_cum.shape[1]
        tiny = xp.finfo(P_cum.dtype).eps
        tail = xp.maximum(1 - astype(P_cum, xp.float64), 0)
        mean = xp.maximum(tail.mean(axis=0), tiny)
        tail = xp.clip(mean * (tail + q) / (mean + q), tiny, 1 - tiny)
        z = beside(np.log1p(-np.arange(nb_quant) / nb_quant), P_cum) * xp.log(tail)
        return astype(z / z.max(), P_cum.dtype)


def scale(state: dict) -> float:
    """Return the C of a state of HEH, 1 if none is known yet."""
    return float(state["C"]) or 1.0


class Fading:
    """A rule that acts at first and fades to plain pursuit, for data whose atoms are not used
    equally often.

    z_i(a) = (s gain_i + 1 - s) a,   or   z_i(a) = s P_cum_i(r) + (1 - s) mean_j P_cum_j(r)

    s is 1 up to step `start`, falls linearly, and is 0 from step `stop` on.  Steps are those since
    `init`.

    Parameters
    ----------
    rule : Rule
        What fades.
    start, stop : float
        Learning steps, 0 <= start < stop.
    """

    @checked
    def __init__(self, rule: Rule, start: NotNegative, stop: Positive):
        self.rule = rule
        if hasattr(rule, "gives"):
            self.gives = rule.gives
        self.start, self.stop = start, check_number(stop, "stop", above=start)

    def init(self, n_dictionary: int, activity: float, dtype: DTypeLike) -> dict:
        """The state of the rule, and the steps so far."""
        return {**self.rule.init(n_dictionary, activity, dtype), "fade_step": np.array(0)}

    def update(self, state: dict, code: Any) -> dict:
        """The state after one more batch."""
        return {**self.rule.update(state, code), "fade_step": state["fade_step"] + 1}

    def renew(self, state: dict, i: int) -> dict:
        """As the rule's."""
        return {**state, **self.rule.renew(state, i)} if hasattr(self.rule, "renew") else state

    def competition(self, state: dict) -> Competition:
        """The rule's, in part."""
        full = self.rule.competition(state)
        left = (self.stop - state["fade_step"]) / (self.stop - self.start)
        share = float(np.clip(left, 0, 1))
        if share == 1:
            return full
        if share == 0 or full.kind == "plain":
            return Competition()
        if full.kind == "gain":
            return Competition(gain=share * full.gain + (1 - share))
        P_cum = share * full.P_cum + (1 - share) * full.P_cum.mean(axis=0)
        return Competition(P_cum=P_cum, C=full.C)


def cumulative_distribution(code: Any, C: float, nb_quant: int) -> np.ndarray:
    """Return the CDF of r = 1 - exp(-max(a, 0) / C) for each atom, (n_dictionary, nb_quant)
    float64.

    Over nb_quant - 1 equal bins of r in [0, 1]; coefficients of 0 count in the first bin; the first
    column is 0.
    """
    counts = code.count_quantiles(C, nb_quant - 1)
    xp = namespace(counts)
    shares = xp.cumsum(counts, axis=1) / code.n_draws
    return xp.concatenate((0 * shares[:, :1], shares), axis=1)


RULES = {
    "None": Plain,
    "OLS": OLS,
    "EMP": EMP,
    "HAP": HAP,
    "EXP": EXP,
    "eHAP": EHAP,
    "HEH": HEH,
    "HEH2019": HEH2019,
    "shareHAP": ShareHAP,
    "epochEXP": EpochEXP,
}


def make_rule(homeo_method: Any, **parameters: Any) -> Rule:
    """Return the rule of a name, or the user's own object unchanged.

    Parameters
    ----------
    homeo_method : str, Rule or None
        A name in `RULES`; None is 'None'.
    **parameters
        Of any rule, each of which takes its own; None leaves a rule its default.

    Raises
    ------
    ValueError
        For an unknown name, or a parameter out of its range.
    TypeError
        For an object without the methods of a rule.
    """
    if homeo_method is None or isinstance(homeo_method, str):
        rule = RULES[check_choice(homeo_method or "None", "homeo_method", RULES)]
        known = signature(rule).parameters
        return rule(**{k: v for k, v in parameters.items() if k in known and v is not None})
    if isinstance(homeo_method, type) or not isinstance(homeo_method, Rule):
        raise TypeError(
            f"homeo_method must be one of {', '.join(RULES)} or a rule (an object with init, "
            f"update, competition), not {homeo_method!r}"
        )
    return homeo_method


def kind_of(rule: Rule, n_dictionary: int) -> str:
    """Tell how a rule lets atoms compete: by a 'gain', a 'table' or as 'plain' pursuit."""
    if hasattr(rule, "gives"):
        return rule.gives
    state = rule.init(n_dictionary, 1 / n_dictionary, np.float32)
    return check_competition_of(rule, state, n_dictionary, np.float32).kind


def check_competition_of(
    rule: Rule, state: dict, n_dictionary: int, dtype: DTypeLike
) -> Competition:
    """What a rule says of the next batch, or an error where it is no competition of these atoms."""
    competition, name = rule.competition(state), type(getattr(rule, "rule", rule)).__name__
    if not isinstance(competition, Competition):
        raise TypeError(
            f"homeo_method: {name}.competition must return a Competition, not {competition!r}"
        )
    try:
        check_competition(competition.gain, competition.P_cum, competition.C, n_dictionary, dtype)
    except (ValueError, TypeError) as error:
        raise type(error)(
            f"homeo_method: the competition of {name} is not valid, {error}"
        ) from None
    return competition


__all__ = [
    "EHAP",
    "EMP",
    "EXP",
    "HAP",
    "HEH",
    "HEH2019",
    "OLS",
    "RULES",
    "ActivationRule",
    "EpochEXP",
    "Fading",
    "Plain",
    "Rule",
    "ShareHAP",
    "cumulative_distribution",
    "kind_of",
    "make_rule",
    "scale",
]
