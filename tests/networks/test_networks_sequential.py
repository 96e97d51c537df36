import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from shl.networks import shrink  # noqa: E402
from shl.networks.mlp import one_thread  # noqa: E402


@pytest.fixture(autouse=True)
def on_one_thread():
    with one_thread():
        yield


def mlp():
    return nn.Sequential(
        nn.Linear(8, 7),
        nn.Tanh(),
        nn.Dropout(0.3),
        nn.Linear(7, 6, bias=False),
        nn.BatchNorm1d(6),
        nn.Sigmoid(),
        nn.Linear(6, 5),
        nn.GELU(),
        nn.Linear(5, 3),
        nn.LogSoftmax(1),
    )


def cnn(padding=0, pool=None, mode="zeros"):
    features = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=padding, padding_mode=mode),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=padding, padding_mode=mode),
        nn.LeakyReLU(inplace=True),
        pool or nn.MaxPool2d(2),
        nn.Conv2d(8, 5, 2, padding=padding, padding_mode=mode, bias=False),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(2),
        nn.Dropout2d(0.2),
    )
    return nn.Sequential(
        features, nn.Flatten(), nn.Linear(20, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
    )


def signal():
    return nn.Sequential(
        nn.Conv1d(2, 4, 3, padding="same"),
        nn.BatchNorm1d(4),
        nn.ELU(),
        nn.AvgPool1d(2, padding=1),
        nn.Conv1d(4, 5, 3, padding="valid"),
        nn.Tanh(),
        nn.Flatten(),
        nn.BatchNorm1d(15),
        nn.Linear(15, 2),
    )


def repeated():
    act = nn.Sigmoid()
    return nn.Sequential(nn.Linear(8, 7), act, nn.Linear(7, 6), act, nn.Linear(6, 2), act)


NETWORKS = {
    "repeated": (repeated, (8,)),
    "mlp": (mlp, (8,)),
    "cnn": (cnn, (2, 9, 9)),
    "zero padding": (lambda: cnn(1), (2, 9, 9)),
    "replicate": (lambda: cnn(1, mode="replicate"), (2, 9, 9)),
    "average": (lambda: cnn(0, nn.AvgPool2d(2, padding=1, ceil_mode=True)), (2, 9, 9)),
    "average without zeros": (
        lambda: cnn(0, nn.AvgPool2d(2, padding=1, ceil_mode=True, count_include_pad=False)),
        (2, 9, 9),
    ),
    "average of others": (lambda: cnn(0, nn.AvgPool2d(2, divisor_override=3)), (2, 9, 9)),
    "signal": (signal, (2, 8)),
}


def weighted(model):
    return [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d))]


@torch.no_grad()
def draw(make, seed, share):
    """A network with random weights and statistics, of which a share of rows, columns, single
    weights and scales are zero.
    """
    generator = torch.Generator().manual_seed(seed)

    def hit(n):
        return torch.rand(n, generator=generator) < share

    model = make().double().eval()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype == torch.float64:
            tensor.normal_(generator=generator).div_(max(1.0, tensor[0].numel() ** 0.5))
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.running_var.abs_().add_(0.1)
            module.weight[hit(len(module.weight))] = 0
        elif module in weighted(model):
            module.weight[hit(len(module.weight))] = 0
            module.weight[:, hit(module.weight.shape[1])] = 0
            module.weight[torch.rand(module.weight.shape, generator=generator) < share / 2] = 0
    return model


@pytest.mark.parametrize("name", NETWORKS)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]))
def test_outputs_stay(name, seed, share):
    make, shape = NETWORKS[name]
    model = draw(make, seed, share)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.randn(4, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    smaller = shrink(model)
    expected = model(x).detach()
    np.testing.assert_allclose(
        smaller(x).detach(), expected, rtol=1e-10, atol=1e-10 * (1 + float(expected.abs().max()))
    )
    assert all(torch.equal(kept[key], value) for key, value in model.state_dict().items())
    n_weights = sum(layer.weight.numel() for layer in weighted(model))
    assert sum(layer.weight.numel() for layer in weighted(smaller)) <= n_weights
    again = shrink(smaller)
    assert [m.weight.shape for m in weighted(again)] == [m.weight.shape for m in weighted(smaller)]
    assert repr(shrink(draw(make, seed, 0.0))) == repr(draw(make, seed, 0.0))  # nothing to do


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_agrees_to_its_rounding(name):
    make, shape = NETWORKS[name]
    for seed in range(5):
        model = draw(make, seed, 0.3).float()
        x = torch.randn(50, *shape, generator=torch.Generator().manual_seed(1))
        expected = model(x).detach()
        difference = (shrink(model)(x).detach() - expected).abs().max()
        assert difference <= 1e-5 * expected.abs().max()


@torch.no_grad()
def test_sizes_by_hand():
    model = draw(cnn, 0, 0.0)
    first, second, third, dense, last = weighted(model)
    first.weight[1] = 0  # constant after batch normalization: folds
    second.weight[:, 2] = 0  # filter 2 of the first is not heard
    model[0][1].weight[3] = 0  # a scale of zero: the filter is constant
    second.weight[5], third.weight[:, 6] = 0, 0  # 5 is constant, 6 is not heard
    dense.weight[:, 4:8] = 0  # the four places of filter 1 of the third
    dense.weight[2] = 0
    smaller = shrink(model)
    shapes = [tuple(layer.weight.shape) for layer in weighted(smaller)]
    assert shapes == [(3, 2, 3, 3), (6, 3, 3, 3), (4, 6, 2, 2), (5, 16), (3, 5)]
    assert smaller[0][1].num_features == 3 and smaller[3].num_features == 5
    assert weighted(smaller)[2].bias is not None  # it had none, and takes the constant
    assert (first.weight.shape, third.bias) == ((6, 2, 3, 3), None)
    x = torch.randn(4, 2, 9, 9, dtype=torch.float64)
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-10)


@torch.no_grad()
def test_before_zero_padding_a_constant_filter_stays_unless_it_is_zero():
    model = draw(lambda: cnn(1), 0, 0.0)
    first, norm = model[0][0], model[0][1]
    first.weight[:2] = 0
    norm.weight[2] = 0
    norm.bias[0], first.bias[0], norm.running_mean[0] = -1.0, 0.0, 0.0  # relu makes it 0
    norm.bias[1], first.bias[1], norm.running_mean[1] = 1.0, 0.0, 0.0
    norm.bias[2] = 0.5
    smaller = shrink(model)
    assert len(smaller[0][0].weight) == 5
    x = torch.randn(4, 2, 9, 9, dtype=torch.float64)
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-10)


@torch.no_grad()
def test_a_constant_that_stays_frees_what_it_heard():
    model = nn.Sequential(
        nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 3, padding=1)
    ).eval()
    model[2].weight[0], model[2].bias[0] = 0, 1  # filter 0 says 1 always, and has to stay
    model[1].weight[1, 1:] = 0  # filter 1 hears only filter 0 before it
    smaller = shrink(model)
    assert [m.weight.shape[0] for m in weighted(smaller)] == [1, 2, 1]
    x = torch.randn(3, 1, 5, 5)
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-6)


def test_a_smaller_network_learns_on():
    model = draw(cnn, 0, 0.2).float()
    model[0][0].weight.requires_grad_(False)
    smaller = shrink(model).train()
    assert smaller.training and not smaller[0][0].weight.requires_grad
    optimizer = torch.optim.Adam([p for p in smaller.parameters() if p.requires_grad], lr=0.01)
    x = torch.randn(64, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0].mean((1, 2)) > 0).long()
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(smaller(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def shared():
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


def masked():
    from torch.nn.utils import prune

    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    prune.ln_structured(model[0], "weight", 0.3, n=2, dim=0)
    return model


def own_forward():
    class Own(nn.Sequential):
        def forward(self, x):
            return -super().forward(x)

    return Own(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), "but 1 is LayerNorm"),
        (lambda: nn.Sequential(nn.Sequential(nn.LSTM(2, 2))), "but 0.0 is LSTM"),
        (lambda: nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)), "groups of 0 must be 1, not 2"),
        (
            lambda: nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)),
            "track_running_stats of 0 must be True",
        ),
        (lambda: nn.Sequential(nn.Flatten(0)), "0 must flatten all axes but the first"),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2)),
            "Softmax must stand after the last layer of model, not before 2",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(3, 3)),
            "1 is Linear, which cannot read what Conv2d makes",
        ),
        (
            lambda: nn.Sequential(nn.Linear(3, 4), nn.MaxPool1d(2), nn.Linear(2, 2)),
            "MaxPool1d must stand before Flatten and Linear",
        ),
        (shared, "2 must stand once in model"),
        (masked, "weight of 0 must be a parameter"),
        (own_forward, "not Own"),
    ],
)
def test_what_cannot_shrink_is_named(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        shrink(make())
