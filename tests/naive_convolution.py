"""Slow and obvious: convolutional pursuit by an arg-max over the whole map, on the image itself; and small cases."""

import numpy as np

from shl.convolution import ConvolutionalSHL


def draw_atoms(rng, n_dictionary=7, n_channels=1, width=5):
    """White-noise atoms of unit norm."""
    atoms = rng.standard_normal((n_dictionary, n_channels, width, width))
    return atoms / np.sqrt((atoms**2).sum(axis=(1, 2, 3), keepdims=True))


def draw_images():
    """Nine white-noise images, not square."""
    return np.random.default_rng(1).standard_normal((9, 1, 19, 23)).astype(np.float32)


def small_model(**options):
    """An estimator for them that learns in milliseconds."""
    parameters = {"n_dictionary": 6, "patch_width": 5, "l0_sparseness": 5, "n_iter": 6, "record_each": 2,
                  "random_state": 0}
    return ConvolutionalSHL(**{**parameters, **options})


def correlate(image, dictionary, stride=1):
    """(n_rows, n_columns, n_dictionary): <image, atom at place>, place by place, in float64."""
    width = dictionary.shape[2]
    n_rows, n_columns = ((size - width) // stride + 1 for size in image.shape[1:])
    rho = np.zeros((n_rows, n_columns, len(dictionary)))
    for row in range(n_rows):
        for column in range(n_columns):
            top, left = row * stride, column * stride
            rho[row, column] = (dictionary * image[:, top:top + width, left:left + width]).sum(axis=(1, 2, 3))
    return rho


def pursue(image, dictionary, n_events, gain=None, alpha=1.0, do_sym=False, stride=1):
    """Events (atom, row, column, value) of one image and its residual: every event correlates all again."""
    residual, width, events = image.astype(float), dictionary.shape[2], []
    gain = np.ones(len(dictionary)) if gain is None else gain
    for _ in range(n_events):
        rho = correlate(residual, dictionary, stride)
        score = gain * (np.abs(rho) if do_sym else np.maximum(rho, 0))
        if score.max() <= 0:
            break
        row, column, atom = np.unravel_index(np.argmax(score), score.shape)
        value = alpha * rho[row, column, atom]
        top, left = row * stride, column * stride
        residual[:, top:top + width, left:left + width] -= value * dictionary[atom]
        events.append((atom, row, column, value))
    return events, residual


def gradient(images, dictionary, n_events, **options):
    """The sum over events of value * residual patch, by atom."""
    total, width, stride = np.zeros_like(dictionary, float), dictionary.shape[2], options.get("stride", 1)
    for image in images:
        events, residual = pursue(image, dictionary, n_events, **options)
        for atom, row, column, value in events:
            top, left = row * stride, column * stride
            total[atom] += value * residual[:, top:top + width, left:left + width]
    return total
