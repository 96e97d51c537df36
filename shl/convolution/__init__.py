"""Convolutional sparse Hebbian learning: the same learning where an atom may sit anywhere in the
image.

    X = preprocess(images)
    model = ConvolutionalSHL(n_dictionary=20, patch_width=9, mask=gaussian_mask(9)).fit(X)
    code = model.transform(X)          # events: image, atom, row, column, value

Pursuit is exact and costs the same for every event, whatever the image's size.
"""

from .._base.lazy import lazy

_NAMES = {
    "coding": ("convolutional_encode",),
    "estimator": ("ConvolutionalSHL",),
    "events": ("ConvolutionalCode",),
    "preprocessing": (
        "gaussian_mask",
        "normalise_local_contrast",
        "preprocess",
        "radial_window",
        "whiten_recording",
    ),
}

__all__ = [name for names in _NAMES.values() for name in names]
__getattr__, __dir__ = lazy(__name__, _NAMES)
