"""Slow, obvious NumPy readings of what the kernels compute: oracles, one sample and one loop at a
time.
"""

import numpy as np


def rectify(a, do_sym):
    return np.abs(a) if do_sym else np.maximum(a, 0)


def quantile(P_cum, a, C):
    """P_cum_i at r = 1 - exp(-a_i / C), for each atom i."""
    nb_quant = P_cum.shape[1]
    position = (1 - np.exp(-a / C)) * nb_quant
    k = np.minimum(position.astype(int), nb_quant - 1)
    above = np.minimum(k + 1, nb_quant - 1)
    atoms = np.arange(len(P_cum))
    return P_cum[atoms, k] + (position - k) * (P_cum[atoms, above] - P_cum[atoms, k])


def matching_pursuit(
    X,
    dictionary,
    l0_sparseness,
    alpha_MP=1.0,
    gain=None,
    P_cum=None,
    C=3.0,
    do_sym=False,
    precision=None,
    fit_tol=None,
):
    """The dense code of X, by the definition: correlations from the residual, an arg-max over all
    atoms.
    """
    code = np.zeros((len(X), len(dictionary)))
    weights = np.ones_like(dictionary) if precision is None else precision
    norms = np.sqrt((weights * dictionary**2).sum(axis=1))
    filters = weights * dictionary / norms[:, None]
    for n, x in enumerate(X):
        residual = x.astype(float)
        for _ in range(l0_sparseness if fit_tol is None else 100000):
            if fit_tol is not None and residual @ residual <= fit_tol:
                break
            rho = filters @ residual
            a = rectify(rho, do_sym)
            z = quantile(P_cum, a, C) if P_cum is not None else a if gain is None else gain * a
            z = np.where(a > 0, z, 0)
            i = np.argmax(z)
            if z[i] <= 0:
                break
            value = alpha_MP * rho[i] / norms[i]
            code[n, i] += value
            residual = residual - value * dictionary[i]
    return code


def penalised(X, dictionary, p, q, is_positive=False, n_sweeps=700):
    """argmin_c |x - c D|^2 / 2 + p |c|_1 + q |c|^2 / 2 of each sample, atom by atom."""
    code, residual = np.zeros((len(X), len(dictionary))), X.copy()
    for _ in range(n_sweeps):
        for i, atom in enumerate(dictionary):
            z = residual @ atom + code[:, i]
            new = np.maximum((z if is_positive else np.abs(z)) - p, 0) * np.sign(z) / (1 + q)
            residual += np.outer(code[:, i] - new, atom)
            code[:, i] = new
    return code


def orthogonal_pursuit(X, dictionary, l0_sparseness, fit_tol=0.0, gain=1.0, least_seen=0.05):
    """The dense code of X by the entries that are not NaN: least squares after each choice."""
    code = np.zeros((len(X), len(dictionary)))
    for n, x in enumerate(X):
        seen, support = ~np.isnan(x), []
        D, residual = dictionary[:, seen], x[seen]
        norms = np.linalg.norm(D, axis=1)
        while len(support) < l0_sparseness and residual @ residual > fit_tol * seen.mean():
            scores = gain * np.abs(D @ residual) / np.maximum(norms, 1e-300)
            support.append(int(np.argmax(np.where(norms**2 >= least_seen, scores, -1))))
            values = np.linalg.lstsq(D[support].T, x[seen], rcond=None)[0]
            residual = x[seen] - values @ D[support]
        if support:
            code[n, support] = values
    return code


def cumulative_distribution(code, C, nb_quant):
    """CDF of 1 - exp(-max(a, 0) / C) for each atom, over nb_quant - 1 bins, first column 0."""
    ratio = 1 - np.exp(-np.maximum(code, 0) / C)
    counts = [np.histogram(column, bins=nb_quant - 1, range=(0, 1))[0] for column in ratio.T]
    return np.column_stack((np.zeros(len(counts)), np.cumsum(counts, axis=1) / len(code)))


def surprise(P_cum, q):
    """-a log T_i(a) at the coefficients a (in units of C) where r = 1 - exp(-a) is a point of
    P_cum, with T_i = 1 - P_cum_i drawn to the mean over atoms by the pseudo-probability q.
    """
    nb_quant, least = P_cum.shape[1], np.finfo(P_cum.dtype).eps
    z = np.zeros(P_cum.shape)
    for k in range(nb_quant):
        a = -np.log(1 - k / nb_quant)
        T = 1 - P_cum[:, k]
        T = T.mean() * (T + q) / (T.mean() + q) if T.mean() > 0 else T
        z[:, k] = -a * np.log(np.clip(T, least, 1 - least))
    return z


def gradient(X, code, dictionary):
    return -code.T @ (X - code @ dictionary) / len(X)


def variance(X, code, dictionary):
    """Mean over the samples that use atom i of (x - a_i d_i)^2."""
    rows = [
        ((X - np.outer(a, atom))[a != 0] ** 2).mean(axis=0)
        for a, atom in zip(code.T, dictionary, strict=True)
    ]
    return np.array(rows)


def adam(dictionary, gradients, eta, beta1, beta2, epsilon):
    """The dictionary after Adam on some gradients."""
    mean, square = np.zeros_like(dictionary), np.zeros_like(dictionary)
    for t, slope in enumerate(gradients, start=1):
        mean = beta1 * mean + (1 - beta1) * slope
        square = beta2 * square + (1 - beta2) * slope**2
        dictionary = dictionary - eta * (mean / (1 - beta1**t)) / (
            np.sqrt(square / (1 - beta2**t)) + 10.0**-epsilon
        )
        dictionary = dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)
    return dictionary


# -------------------------------------------------------------------------------------- convolution


def correlate_places(image, dictionary, stride=1, least_seen=0.05):
    """(n_rows, n_columns, n_dictionary): <image, atom at place> over the norm of what is seen of
    the atom, 0 where that is too little; place by place, in float64.
    """
    return _correlate_and_scale(image, dictionary, stride, least_seen)[0]


def _correlate_and_scale(image, dictionary, stride, least_seen=0.05):
    height, width = dictionary.shape[2:]
    n_rows = (image.shape[1] - height) // stride + 1
    n_columns = (image.shape[2] - width) // stride + 1
    rho = np.zeros((n_rows, n_columns, len(dictionary)))
    scale = np.ones_like(rho)
    for row in range(n_rows):
        for column in range(n_columns):
            top, left = row * stride, column * stride
            window = image[:, top : top + height, left : left + width]
            seen = ~np.isnan(window)
            if not seen.all():
                squares = (dictionary**2 * seen).sum(axis=(1, 2, 3))
                is_seen = squares >= least_seen
                scale[row, column] = np.where(is_seen, 1 / np.sqrt(np.maximum(squares, 1e-9)), 0)
            products = (dictionary * np.where(seen, window, 0)).sum(axis=(1, 2, 3))
            rho[row, column] = products * scale[row, column]
    return rho, scale


def convolutional_pursuit(
    image,
    dictionary,
    n_events=10**6,
    gain=None,
    alpha=1.0,
    do_sym=False,
    stride=1,
    floors=None,
    fit_tol=0.0,
    share=0.0,
):
    """Events (atom, row, column, value) of one image and its residual: every event correlates all
    again, and overlaps with those before if it exceeds a share of them.
    """
    residual, events, shades = image.astype(float), [], 0
    height, width = dictionary.shape[2:]
    gain = np.ones(len(dictionary)) if gain is None else gain
    least = 0 if floors is None else 1
    gain = gain if floors is None else gain / floors
    for _ in range(n_events):
        rho, scale = _correlate_and_scale(residual, dictionary, stride)
        score = gain * (np.abs(rho) if do_sym else np.maximum(rho, 0)) * (np.abs(rho) > shades)
        if score.max() <= least or np.nansum(residual**2) <= fit_tol:
            break
        row, column, atom = np.unravel_index(np.argmax(score), score.shape)
        value = alpha * rho[row, column, atom] * scale[row, column, atom]
        top, left = row * stride, column * stride
        residual[:, top : top + height, left : left + width] -= value * dictionary[atom]
        events.append((atom, row, column, value))
        own = np.broadcast_to(shades, rho.shape)[row, column, atom]
        rows, columns, _ = np.ogrid[: rho.shape[0], : rho.shape[1], :1]
        is_near = (abs(rows - row) * stride < height) & (abs(columns - column) * stride < width)
        shades = np.maximum(shades, np.where(is_near, share * abs(rho[row, column, atom]), 0))
        shades = np.broadcast_to(shades, rho.shape).copy()
        shades[row, column, atom] = own
    return events, residual


def convolutional_gradient(images, dictionary, n_events, **options):
    """The sum over events of value * residual patch, by atom."""
    total, stride = np.zeros_like(dictionary, float), options.get("stride", 1)
    height, width = dictionary.shape[2:]
    for image in images:
        events, residual = convolutional_pursuit(image, dictionary, n_events, **options)
        for atom, row, column, value in events:
            top, left = row * stride, column * stride
            window = residual[:, top : top + height, left : left + width]
            total[atom] += value * np.nan_to_num(window)
    return total


def unexplained(D, is_signed):
    """1 - c^2 - e^2 of each atom, from its two nearest others."""
    G = np.abs(D @ D.T) if is_signed else D @ D.T
    left = []
    for i in range(len(D)):
        others = [j for j in range(len(D)) if j != i]
        j = max(others, key=lambda j: G[i, j])
        c = max(G[i, j], 0)
        rest = [G[i, n] - c * (0 if n == j else G[j, n]) for n in others]
        left.append(max(1 - c**2 - max(0, *rest) ** 2, 0))
    return np.array(left)


def proposal(D, energy, pool, least_cosine, is_signed):
    """(atom to replace, what takes its place, gain) when every residual is a candidate."""
    gains, atoms = [], []
    for k, r in enumerate(pool):
        u, gain, atom = r / np.linalg.norm(r), 0.0, r * np.linalg.norm(r)
        for n, other in enumerate(pool):
            share = u @ other
            cosine = share / np.linalg.norm(other)
            if n != k and (abs(cosine) if is_signed else cosine) >= least_cosine:
                gain += share**2 / len(pool)
                atom = atom + share * other
        gains.append(gain)
        atoms.append(atom / np.linalg.norm(atom))
    best = int(np.argmax(gains))
    return int(np.argmin(energy * unexplained(D, is_signed))), atoms[best], gains[best]


def student_responses(weights, sizes, activation, X):
    """The outputs of a network of the teacher-student study by PyTorch, patch by patch.

    weights are tensors (n_filters, n_in * kernel, n_out), sizes (n_in, n_out, kernel, n_filters).
    """
    import torch

    f = {
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "gelu": torch.nn.functional.gelu,
    }[activation]
    units = X.reshape(len(X), -1, sizes[0][0])
    for W, (n_in, n_out, kernel, n_filters) in zip(weights, sizes, strict=True):
        filters = W.reshape(n_filters, n_in, kernel, n_out)
        patches = [units[:, start : start + kernel] for start in range(0, units.shape[1], kernel)]
        units = torch.stack(
            [
                f(torch.einsum("bkc,cko->bo", patch, filters[place % n_filters]))
                for place, patch in enumerate(patches)
            ],
            1,
        )
    return units.reshape(len(X))
