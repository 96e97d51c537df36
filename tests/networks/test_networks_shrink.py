import numpy as np
import pytest
from sklearn.datasets import load_digits

torch = pytest.importorskip("torch")

from shl.networks import SparseMLPClassifier, SparseMLPRegressor, shrink  # noqa: E402
from shl.networks.mlp import MLP  # noqa: E402


def pruned(activation="relu", bias=True, seed=0):
    """A network 8-7-6-5-3 with inputs, units without outgoing and units without incoming
    weights.
    """
    generator = torch.Generator().manual_seed(seed)
    module = MLP([8, 7, 6, 5, 3], activation, bias=bias, generator=generator).double().eval()
    with torch.no_grad():
        module.layers[0].weight[:, [1, 5]] = 0  # inputs nobody hears
        module.layers[1].weight[:, 2] = 0  # a hidden unit that nobody hears
        module.layers[1].weight[4, :] = 0  # a hidden unit that hears nothing
        module.layers[0].weight[[0, 1, 3, 4, 5, 6], 7] = (
            0  # an input that only the unheard unit hears
        )
        module.layers[3].weight[:, 0] = 0
    return module


@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "identity"]
)
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_stay_and_sizes_fall(activation, bias):
    module = pruned(activation, bias)
    x = torch.randn(50, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    smaller = shrink(module)
    np.testing.assert_allclose(smaller(x).detach(), module(x).detach(), atol=1e-12)
    assert [layer.in_features for layer in smaller.layers] == [5, 6, 5, 4]
    assert smaller.inputs.tolist() == [0, 2, 3, 4, 6]
    again = shrink(smaller)
    assert again.inputs.tolist() == smaller.inputs.tolist()
    assert [layer.in_features for layer in again.layers] == [5, 6, 5, 4]
    x[:, [1, 5, 7]] = torch.inf  # not read at all
    assert torch.isfinite(smaller(x)).all()


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_layer_of_zeros_leaves_a_constant(index):
    module = pruned()
    with torch.no_grad():
        module.layers[index].weight[:] = 0
    x = torch.randn(9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    smaller = shrink(module)
    np.testing.assert_allclose(smaller(x).detach(), module(x).detach(), atol=1e-12)
    assert len(smaller.inputs) == 0 and sum(layer.weight.numel() for layer in smaller.layers) == 0


@pytest.mark.parametrize("penalty", ["group_lasso", "sparse_group_lasso", "l1"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_learned_classifier_shrinks(penalty, dtype):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(dtype)
    model = SparseMLPClassifier(
        (40, 20),
        activation="leaky_relu",
        penalty=penalty,
        alpha=1e-3,
        max_iter=30,
        random_state=0,
        learning_rate_init=3e-3,
        record_each=30,
    ).fit(X, y)
    weights = [w.copy() for w in model.coefs_]
    smaller = shrink(model)
    np.testing.assert_allclose(smaller.predict_proba(X), model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(smaller.predict(X), model.predict(X))
    assert smaller.coefs_[0].shape[0] == len(smaller.inputs_) < 64
    assert smaller.hidden_layer_sizes == tuple(w.shape[1] for w in smaller.coefs_[:-1]) != (40, 20)
    assert sum(w.size for w in smaller.coefs_) < sum(w.size for w in model.coefs_)
    assert all((w != 0).any(axis=1).all() for w in smaller.coefs_)
    assert smaller.predict_proba(X).dtype == dtype
    for before, after in zip(weights, model.coefs_, strict=True):
        np.testing.assert_array_equal(before, after)
    assert model.hidden_layer_sizes == (40, 20)


def test_sparse_connectivity_and_several_targets():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 20))
    y = np.column_stack((X[:, 0], X[:, 1] + X[:, 2]))
    model = SparseMLPRegressor(
        (30, 10), connectivity="set", epsilon=0.5, max_iter=5, random_state=0
    ).fit(X, y)
    smaller = shrink(model)
    np.testing.assert_allclose(smaller.predict(X), model.predict(X), atol=1e-6)
    assert len(smaller.coefs_[0]) < 20


@pytest.mark.parametrize("model", [SparseMLPClassifier(), torch.nn.Linear(3, 2), None])
def test_what_cannot_shrink_is_named(model):
    with pytest.raises(TypeError, match="model must be a fitted SparseMLPClassifier"):
        shrink(model)
