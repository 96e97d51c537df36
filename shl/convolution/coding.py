"""Convolutional sparse coding: images or signals and a dictionary in, events out.

`convolutional_encode` is the public edge.  Inside, a `ConvolutionalCoding` (what the user chose)
turns a dictionary and a `shl.coding.Competition` into a `ConvolutionalCoder`, in the protocol that
`shl.coding.coder` describes.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from .._base.checks import as_array, check_array, check_choice
from .._base.threads import Threads
from ..coding.competition import PLAIN, check_competition
from ..coding.encode import check_norms
from ..coding.preparing import prepare
from .coder import ConvolutionalCoder
from .events import ConvolutionalCode
from .layout import read
from .maps import Filters
from .parameters import ConvolutionalCoding


@prepare.register(ConvolutionalCoding)
def _(coding, dictionary, competition=PLAIN, precision=None, threads=None, former=None):
    """Return the `ConvolutionalCoder` of a dictionary (n_dictionary, n_channels, height, width), or
    (n_dictionary, n_channels, n_times).

    Images have no precision of pixels, and nothing of a former coder can be used again.
    """
    if competition.kind == "table":
        raise ValueError(
            "homeo_method must be a rule with a gain, such as 'HAP', not one with a "
            "table P_cum. Convolutional pursuit has no quantiles."
        )
    return ConvolutionalCoder(coding, Filters.of(dictionary, coding.stride), competition)


# ---------------------------------------------------------------------------------- the public edge


def check_filters(dictionary, dtype, name="dictionary"):
    """A dictionary (n_dictionary, n_channels, height, width), or (n_dictionary, n_channels,
    n_times), of unit norms.
    """
    dictionary = as_array(dictionary, name)
    check_choice(dictionary.ndim, f"the number of axes of {name}", (3, 4))
    dictionary = check_array(dictionary, name, ndim=dictionary.ndim, dtype=dtype)
    check_norms(dictionary.reshape(len(dictionary), -1), name)
    return np.ascontiguousarray(dictionary)


def _axes_of(X, dictionary):
    """(axes of an atom, dictionary with channels) that X and a dictionary leave no doubt about."""
    dictionary = as_array(dictionary, "dictionary")
    check_choice(dictionary.ndim, "the number of axes of dictionary", (3, 4))
    if dictionary.ndim != 3:
        return 2, dictionary
    shape = np.shape(X[0]) if isinstance(X, (list, tuple)) else np.shape(X)
    _, first, last = dictionary.shape
    n_channels = shape[-2] if len(shape) > 1 else 1
    may_be_signal = n_channels == first and len(shape) < 4 and shape[-1:] >= (last,)
    may_be_image = first == last and len(shape) > 1 and min(shape[-2:]) >= last
    if may_be_signal and may_be_image:
        raise ValueError(
            f"dictionary of shape {dictionary.shape} and X of shape {shape} may be signals of "
            f"{first} channels or images of {shape[-2]} rows. Give dictionary[:, None] for images, "
            f"or dictionary[:, :, None] and X with one row for signals."
        )
    return (1, dictionary) if may_be_signal else (2, dictionary[:, None])


def convolutional_encode(
    X: Any,
    dictionary: Any,
    *,
    l0_sparseness: int | None = None,
    alpha_MP: float = 1.0,
    gain: Any = None,
    do_sym: bool = False,
    stride: int = 1,
    n_jobs: int | None = None,
    verbose: int = 0,
    fit_tol: float | None = None,
    floor: float | None = None,
) -> ConvolutionalCode:
    """Code images or signals by atoms, each at any place: X ~ sum over events of value * atom at
    (row, column), or at a time.

    Matching pursuit repeats::

        (i, p) = argmax gain_i max(rho_i(p), 0) / f_i;   a = alpha_MP rho_i(p)
        rho_j(p + s) -= a G_ij(s)

    with rho_i(p) = <image, d_i at place p> and G_ij(s) = <d_i, d_j shifted by s>.  Ties go to the
    first row, then column, then atom.  f_i is 1, or with `floor` it is floor * sigma_i, where
    sigma_i = median |rho_i| / .6745 is the noise level of atom i.  Pursuit of an image ends after
    `l0_sparseness` events, when its squared residual norm is at most `fit_tol`, or when no score is
    above 1 with `floor`, else above 0.  With `floor`, an event that overlaps with a larger one must
    exceed a fifth of it: less is what an imperfect atom leaves.  An event changes a window of the
    maps and its cost does not depend on the image's size.

    An atom that reaches over missing entries competes by what is seen of it: rho_i(p) is over the
    norm n_i(p) of that part, and the value is over n_i(p) once more.

    Parameters
    ----------
    X : array of shape (n_images, n_channels, height, width)
        Images, also (n_images, height, width) or (height, width).  With a dictionary of 3 axes,
        signals (n_signals, n_channels, n_times) or (n_channels, n_times).  Also a list of images or
        signals of several sizes.  Float32 or float64 (other dtypes become float64), in the units of
        the values.  NaN marks missing entries.
    dictionary : array of shape (n_dictionary, n_channels, height, width)
        Atoms of unit norm.  Of signals, (n_dictionary, n_channels, n_times).
    l0_sparseness : int, optional
        Largest number of events per image, at most the number of places.  A place may be selected
        again.
    alpha_MP : float, default=1.0
        Share of a coefficient that one event takes, in (0, 1].
    gain : array of shape (n_dictionary,), optional
        At least 0.  If None, 1.
    do_sym : bool, default=False
        True lets values be negative: the score is gain_i |rho_i(p)|.
    stride : int, default=1
        Pixels or samples between two places, at most the width of an atom.
    n_jobs : int, optional
        Threads.  If None, 1; -1 is all cores.  The result has the same bits for any number.
    verbose : int, default=0
        1 shows progress bars for large images.
    fit_tol : float, optional
        Squared residual norm of an image at which its pursuit ends, above 0.  It also ends where no
        event would lower that by more than a millionth of fit_tol.
    floor : float, optional
        Noise levels that an event must exceed, above 0.  If l0_sparseness, fit_tol and floor are
        all None, signals have a floor of 5.5 and images 20 events.

    Returns
    -------
    code : ConvolutionalCode
        Events in the order of selection.  Of signals with a floor, in the order of time.

    Raises
    ------
    ValueError, TypeError
        Naming the parameter, its value and its range.

    References
    ----------
    Mallat & Zhang (1993), IEEE Trans. Signal Process. 41(12), eq. 14-20; Perrinet (2019), Vision
    3(3):47.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((5, 6))
    >>> image[2, 3] = 2.0
    >>> code = convolutional_encode(image, np.ones((1, 1, 1, 1)), l0_sparseness=1)
    >>> code.row, code.column, code.value
    (array([2], dtype=int32), array([3], dtype=int32), array([2.]))
    """
    coding = ConvolutionalCoding(
        l0_sparseness, alpha_MP, do_sym, stride, None, not verbose, fit_tol, floor
    )
    n_axes, dictionary = _axes_of(X, dictionary)
    return encode_images(X, dictionary, coding, n_axes, gain, n_jobs)


def encode_images(X, dictionary, coding, n_axes, gain=None, n_jobs=None, name="dictionary"):
    """The `ConvolutionalCode` of what the user gave."""
    X, layout = read(X, n_axes, n_channels=dictionary.shape[1])
    dictionary = check_filters(dictionary, X.dtype, name)
    atom = (1, *dictionary.shape[2:])[-2:]
    coding = coding.of_axes(n_axes)
    coding.check_fits(layout.sizes, atom, len(dictionary))
    competition = check_competition(gain, None, None, len(dictionary), None)
    coder = prepare(coding.in_units_of(layout.exponent), dictionary, competition)
    with Threads(n_jobs) as threads:
        code = replace(coder, exponent=layout.exponent).encode(X, threads)
    return replace(code, layout=layout)
