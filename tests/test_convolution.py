import naive_convolution as naive
import numpy as np
import pytest

from shl.convolution import coding

CASES = {
    "plain": {}, "symmetric": {"do_sym": True}, "alpha": {"alpha_MP": 0.6},
    "stride 2": {"stride": 2}, "stride 3, symmetric": {"stride": 3, "do_sym": True},
    "gain": {"gain": np.linspace(0.5, 1.5, 7)},
}


def draw_atoms(rng, n_dictionary=7, n_channels=1, width=5):
    atoms = rng.standard_normal((n_dictionary, n_channels, width, width))
    return atoms / np.sqrt((atoms**2).sum(axis=(1, 2, 3), keepdims=True))


def as_naive(options):
    return {{"alpha_MP": "alpha"}.get(name, name): value for name, value in options.items()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n_channels, shape", [(1, (17, 17)), (3, (13, 22)), (2, (5, 40)), (1, (30, 5))])
def test_codes_equal_the_oracle(case, n_channels, shape):
    rng = np.random.default_rng(0)
    dictionary, X = draw_atoms(rng, n_channels=n_channels), rng.standard_normal((3, n_channels, *shape))
    options = CASES[case]
    l0 = min(12, int(np.prod(coding.places(shape, 5, options.get("stride", 1)))))
    code = coding.convolutional_encode(X, dictionary, l0_sparseness=l0, **options)
    for n, image in enumerate(X):
        events, _ = naive.pursue(image, dictionary, l0, **as_naive(options))
        of_image = code.image == n
        assert of_image.sum() == len(events)
        atom, row, column, value = np.transpose(events)
        np.testing.assert_array_equal(np.c_[code.atom, code.row, code.column][of_image], np.c_[atom, row, column])
        np.testing.assert_allclose(code.value[of_image], value, rtol=0, atol=1e-12)
