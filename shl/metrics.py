"""Metrics of a code and a dictionary: arrays or events in, scalars (or one number per atom) out."""

import numpy as np

from .gabor import fit_gabor, orientation_entropy


def reconstruction_error(X, residual):
    """Error = |X - A D| / |X|, Frobenius norms; 0 where X is all zeros."""
    norm = np.linalg.norm(X)
    return float(np.linalg.norm(residual) / norm) if norm else 0.0


def quantization_error(P_cum):
    """Qerror = sum_ik |P_cum_ik - mean_j P_cum_jk|: how unlike the atoms' distributions are."""
    return float(np.abs(P_cum - P_cum.mean(axis=0)).sum())


def usage(events):
    """Each atom's share of the events, (n_dictionary,), of sum 1; NaN where there are no events."""
    counts = events.counts()
    return counts / counts.sum() if counts.sum() else np.full(len(counts), np.nan)


def usage_entropy(events):
    """Entropy = -sum_i q_i log q_i / log n, q the atoms' shares of the events: 1 if all are used
    equally.
    """
    shares = usage(events)
    used = shares[shares > 0]
    return (
        float(-(used * np.log(used)).sum() / np.log(len(shares)))
        if used.size and len(shares) > 1
        else np.nan
    )


def usage_variation(events):
    """Cv = std_i k_i / mean_i k_i, k the events of each atom: 0 if all are used equally, NaN if
    none is used.
    """
    counts = events.counts()
    return float(counts.std() / counts.mean()) if counts.any() else np.nan


def probability_error(events):
    """Perror = sum_i |q_i - 1/n| / 2, q the atoms' shares: how many events would have to move for
    equal usage.
    """
    shares = usage(events)
    return float(np.abs(shares - 1 / len(shares)).sum() / 2)


def log_likelihood(events):
    """LogL = mean_i log N(k_i; mean k, sqrt(N p (1 - p))), p = mean k / N: how likely equal use
    makes the counts k.

    The normal approximation of a binomial with one probability for all atoms, N samples.  NaN if no
    or every coefficient is active.
    """
    counts, n_samples = events.counts(), max(events.n_draws, 1)
    variance = counts.mean() * (1 - counts.mean() / n_samples)
    if variance <= 0:
        return np.nan
    return float(
        np.mean(-((counts - counts.mean()) ** 2) / (2 * variance))
        - np.log(2 * np.pi * variance) / 2
    )


def mutual_information(events):
    """MI = sum_ij P_ij log(P_ij / (q_i q_j)), nats: dependence of the atoms' activations.

    P_ij is the share of (sample, i, j) with both atoms active (i = j included) and q_i atom i's
    share of the events (Cover & Thomas 2006, eq. 2.28).
    """
    pairs = events.count_pairs()
    i, j = np.nonzero(pairs)
    if not len(i):
        return np.nan
    joint, shares = pairs[i, j] / pairs.sum(), usage(events)
    return float((joint * np.log(joint / (shares[i] * shares[j]))).sum())


def mutual_coherence(dictionary, do_sym=False):
    """MC = max_{i != j} <d_i, d_j>, of the absolute value if `do_sym` (Donoho & Elad 2003)."""
    gram = dictionary @ dictionary.T
    np.fill_diagonal(gram, 0)
    return float(np.abs(gram).max() if do_sym else gram.max())


def kurtosis(events):
    """kurt_i = mean_n a_ni^4 / (mean_n a_ni^2)^2 - 3, zeros counted, (n_dictionary,); NaN for an
    unused atom.
    """
    second, fourth = (events.power_sums(power) / max(events.n_draws, 1) for power in (2, 4))
    return np.divide(fourth, second**2, out=np.full(len(second), np.nan), where=second > 0) - 3


def activation_probability(events):
    """prob_active_i = mean_n(a_ni != 0), (n_dictionary,)."""
    return events.counts() / max(events.n_draws, 1)


def variance(events):
    """var_i = mean_n a_ni^2, zeros counted, (n_dictionary,)."""
    return events.power_sums(2) / max(events.n_draws, 1)


def kl_divergence(events):
    """KL = sum_i q_i log(q_i n), nats, q the atoms' shares of the events: their distance from equal
    usage.

    It is (1 - entropy) log n (Cover & Thomas 2006, eq. 2.94); NaN where there are no events.
    """
    shares = usage(events)
    used = shares[shares > 0]
    return float((used * np.log(used * len(shares))).sum()) if used.size else np.nan


def ks_distance(P_cum):
    """KS_i = max_k |P_cum_ik - mean_j P_cum_jk|, (n_dictionary,): Kolmogorov & Smirnov's distance
    to the mean.
    """
    return np.abs(P_cum - P_cum.mean(axis=0)).max(axis=1)


__all__ = [
    "activation_probability",
    "fit_gabor",
    "kl_divergence",
    "ks_distance",
    "kurtosis",
    "log_likelihood",
    "mutual_coherence",
    "mutual_information",
    "orientation_entropy",
    "probability_error",
    "quantization_error",
    "reconstruction_error",
    "usage",
    "usage_entropy",
    "usage_variation",
    "variance",
]
