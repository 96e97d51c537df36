import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from shl.networks import SparseMLPClassifier, SparseMLPRegressor, shrink  # noqa: E402


def mlp():
    first = nn.Linear(8, 7), nn.Tanh(), nn.Dropout(0.3), nn.Linear(7, 6, bias=False)
    last = nn.BatchNorm1d(6), nn.Sigmoid(), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3)
    return nn.Sequential(*first, *last, nn.LogSoftmax(1))


def cnn(padding=0, pool=None, mode="zeros"):
    how = {"padding": padding, "padding_mode": mode}
    first = nn.Conv2d(2, 6, 3, **how), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, **how)
    then = nn.LeakyReLU(inplace=True), pool or nn.MaxPool2d(2)
    third = nn.Conv2d(8, 5, 2, bias=False, **how), nn.Softplus()
    features = nn.Sequential(*first, *then, *third, nn.AdaptiveAvgPool2d(2), nn.Dropout2d())
    last = nn.Linear(20, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
    return nn.Sequential(features, nn.Flatten(), *last)


def signal():
    first = nn.Conv1d(2, 4, 3, padding="same"), nn.BatchNorm1d(4), nn.ELU()
    last = nn.Conv1d(4, 5, 3, padding="valid"), nn.Tanh(), nn.Flatten(), nn.BatchNorm1d(15)
    return nn.Sequential(*first, nn.AvgPool1d(2, padding=1), *last, nn.Linear(15, 2))


def repeated():
    act = nn.Sigmoid()
    return nn.Sequential(nn.Linear(8, 7), act, nn.Linear(7, 6), act, nn.Linear(6, 2), act)


class Residual(nn.Module):
    """Two residual blocks, one with a projection, and two heads."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.inner, self.outer = nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)
        self.project, self.wide = nn.Conv2d(6, 10, 1), nn.Conv2d(6, 10, 1)
        self.scores, self.places = nn.Linear(10, 3), nn.Linear(20, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = x + self.outer(nn.functional.relu(self.inner(x)))
        y = nn.functional.silu(self.project(x).add(self.wide(x)))
        pooled = nn.functional.max_pool2d(y, 2).mean((2, 3))
        both = torch.cat([pooled, nn.functional.avg_pool2d(y, 3).mean((-1, -2))], 1)
        return {"scores": self.scores(pooled), "places": self.places(both)}


class Decoder(nn.Module):
    """Transposed convolutions, PReLU, and a sum with what came before."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(2, 6, 2, stride=2)
        self.act = nn.PReLU(6)
        self.up = nn.ConvTranspose2d(6, 5, 2, stride=2)
        self.side = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(6, 5, 1))
        self.last = nn.ConvTranspose2d(5, 1, 3, padding=1)
        self.top = nn.Linear(64, 3)

    def forward(self, x):
        low = self.act(self.down(x))
        x = self.last(torch.tanh(self.up(low)) * 0.5 - self.side(low))
        return self.top(x.view(x.size(0), -1))


class Attention(nn.Module):
    """A transformer layer written out, and one of PyTorch."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(8), nn.LayerNorm(8)])
        self.feed = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.embed(x.flatten(2).transpose(1, 2))
        x = self.norms[0](x + self.attend(x, x, x, need_weights=False)[0])
        x = self.layer(self.norms[1](x + self.feed(x)))
        return self.head(x[:, 0])


def average(**options):
    return lambda: cnn(0, nn.AvgPool2d(2, **options))


IMAGE = (2, 9, 9)
NETWORKS = {
    "repeated": (repeated, (8,)),
    "mlp": (mlp, (8,)),
    "cnn": (cnn, IMAGE),
    "zero padding": (lambda: cnn(1), IMAGE),
    "replicate": (lambda: cnn(1, mode="replicate"), IMAGE),
    "average": (average(padding=1, ceil_mode=True), IMAGE),
    "without zeros": (average(padding=1, ceil_mode=True, count_include_pad=False), IMAGE),
    "average of others": (average(divisor_override=3), IMAGE),
    "signal": (signal, (2, 8)),
    "residual": (Residual, (2, 8, 8)),
    "decoder": (Decoder, (2, 8, 8)),
    "attention": (Attention, (2, 3, 3)),
}
QUIET = pytest.mark.filterwarnings("ignore:shrink cannot follow")


def weighted(model):
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return [m for m in model.modules() if isinstance(m, kinds)]


def outputs_of(model, x):
    found = model(x)
    return torch.cat(list(found.values()), 1) if isinstance(found, dict) else found


def sizes_of(model):
    """Units or filters of each layer."""
    return [layer.weight.shape[0] for layer in weighted(model)]


def form_of(model):
    """Modules, and the shapes of what they hold."""
    return repr(model), {name: tensor.shape for name, tensor in model.state_dict().items()}


def assert_alike(smaller, model, *shape, atol=1e-10):
    """The networks have the same outputs."""
    dtype = next(model.parameters()).dtype
    x = torch.randn(4, *shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    expected = outputs_of(model, x)
    atol *= 1 + float(expected.abs().max())
    np.testing.assert_allclose(outputs_of(smaller, x), expected, rtol=0, atol=atol)


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


@QUIET
@pytest.mark.parametrize("name", NETWORKS)
@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]))
@torch.no_grad()
def test_shrink_keeps_the_outputs(name, seed, share):
    make, shape = NETWORKS[name]
    model = draw(make, seed, share)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    smaller = shrink(model)
    assert_alike(smaller, model, *shape)
    assert all(torch.equal(kept[key], value) for key, value in model.state_dict().items())
    pairs = zip(weighted(smaller), weighted(model), strict=True)
    assert all(one.weight.numel() <= other.weight.numel() for one, other in pairs)
    assert form_of(shrink(smaller)) == form_of(smaller)
    assert_alike(shrink(model.float()), model, *shape, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@QUIET
def test_shrink_leaves_a_full_network_alone(name):
    model = draw(NETWORKS[name][0], 0, 0.0)
    assert form_of(shrink(model)) == form_of(model)


@torch.no_grad()
def test_shrink_leaves_the_sizes_found_by_hand():
    model = draw(cnn, 0, 0.0)
    first, second, third, dense, last = weighted(model)
    first.weight[1] = 0  # constant after batch normalization: folds
    second.weight[:, 2] = 0  # filter 2 of the first is not read
    model[0][1].weight[3] = 0  # a scale of zero: the filter is constant
    second.weight[5], third.weight[:, 6] = 0, 0  # 5 is constant, 6 is not read
    dense.weight[:, 4:8] = 0  # the four places of filter 1 of the third
    dense.weight[2] = 0
    smaller = shrink(model)
    shapes = [tuple(layer.weight.shape) for layer in weighted(smaller)]
    assert shapes == [(3, 2, 3, 3), (6, 3, 3, 3), (4, 6, 2, 2), (5, 16), (3, 5)]
    assert smaller[0][1].num_features == 3 and smaller[3].num_features == 5
    assert weighted(smaller)[2].bias is not None  # it had none, and takes the constant
    assert (first.weight.shape, third.bias) == ((6, 2, 3, 3), None)
    assert_alike(smaller, model, *IMAGE)


@torch.no_grad()
def test_shrink_of_graphs_leaves_sizes_by_hand():
    model = draw(Residual, 0, 0.0)
    model.inner.weight[:, 2], model.project.weight[:, 2], model.wide.weight[:, 2] = 0, 0, 0
    model.inner.weight[3] = 0  # relu makes its bias constant
    model.outer.weight[:, 4] = 0
    for columns in ([7], [7, 17]):
        model.places.weight[:, columns] = 0
        sizes = sizes_of(shrink(model))
        # The bias of unit 3 is zero beyond the border only if it is not above zero.
        assert sizes[:3] == [5, 7 if model.inner.bias[3] > 0 else 6, 5] and sizes[3:5] == [10, 10]
    model.scores.weight[:, 7] = 0
    assert sizes_of(shrink(model))[3:] == [9, 9, 3, 4]
    model = draw(Attention, 0, 0.0)
    model.feed[3].weight[:, :9], model.layer.linear2.weight[:, 4:] = 0, 0
    smaller = shrink(model)
    assert smaller.feed[0].out_features == 7 and smaller.layer.linear1.out_features == 4
    assert smaller.embed.out_features == 8


@torch.no_grad()
def test_shrink_folds_no_constant_before_zero_padding():
    model = draw(lambda: cnn(1), 0, 0.0)
    first, norm = model[0][0], model[0][1]
    first.weight[:2] = 0
    norm.weight[2] = 0
    norm.bias[0], first.bias[0], norm.running_mean[0] = -1.0, 0.0, 0.0  # relu makes it 0
    norm.bias[1], first.bias[1], norm.running_mean[1] = 1.0, 0.0, 0.0
    norm.bias[2] = 0.5
    smaller = shrink(model)
    assert len(smaller[0][0].weight) == 5
    assert_alike(smaller, model, *IMAGE)


@torch.no_grad()
def test_shrink_frees_what_a_constant_read():
    first, last = (nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1)), nn.Conv2d(2, 1, 3, padding=1)
    model = nn.Sequential(*first, nn.BatchNorm2d(2), last).eval()
    model[2].weight[0], model[2].bias[0] = 0, 1  # filter 0 says 1 always, and has to stay
    model[1].weight[1, 1:] = 0  # filter 1 reads only filter 0 before it
    smaller = shrink(model)
    assert sizes_of(smaller) == [1, 2, 1]
    assert_alike(smaller, model, 1, 5, 5, atol=1e-6)


def test_a_shrunk_network_learns_on():
    model = draw(cnn, 0, 0.2).float()
    model[0][0].weight.requires_grad_(False)
    smaller = shrink(model.train())
    assert smaller.training and not smaller[0][0].weight.requires_grad
    optimizer = torch.optim.Adam([p for p in smaller.parameters() if p.requires_grad], lr=0.01)
    x = torch.randn(64, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append(nn.functional.cross_entropy(smaller(x), (x[:, 0].mean((1, 2)) > 0).long()))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


# ---------------------------------------------------------------------------- what is not followed


def shared(is_layer):
    """Two layers that are one, or have one weight."""
    first, second, third = (nn.Linear(3, 3) for _ in range(3))
    third.weight = second.weight
    return first, nn.ReLU(), second, nn.ReLU(), second if is_layer else third


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: (nn.Linear(3, 3), nn.LSTM(3, 2)), r"_1 \(lstm\)"),
        (lambda: (nn.Conv1d(3, 4, 1), nn.Conv1d(4, 4, 1, groups=2)), r"\(conv1d\)"),
        (
            lambda: (nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)),
            r"\(batchnorm1d\)",
        ),
        (lambda: shared(True), r"_2 \(linear\)"),
        (lambda: shared(False), r"_2 \(linear\)"),
    ],
)
@torch.no_grad()
def test_shrink_names_what_it_cannot_follow(make, words):
    model = nn.Sequential(*make()).eval()
    for parameter in model.parameters():
        parameter[: len(parameter) // 2] = 0
    with pytest.warns(UserWarning, match=f"shrink cannot follow .*{words}"):
        smaller = shrink(model)
    x = torch.randn(5, 3, 3)[:, 0] if not isinstance(model[0], nn.Conv1d) else torch.randn(5, 3, 3)
    for a, b in zip(smaller(x), model(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6) if torch.is_tensor(a) else None


@pytest.mark.parametrize(
    "make",
    [
        lambda: (nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2)),
        lambda: (nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2)),
        lambda: (nn.Conv1d(2, 2, 1), nn.Linear(2, 3)),
        lambda: (nn.Linear(2, 4), nn.MaxPool1d(2), nn.Linear(2, 2)),
        lambda: (nn.Linear(2, 4), nn.Flatten(0), nn.Unflatten(0, (8, 1))),
    ],
)
@pytest.mark.filterwarnings("ignore:shrink cannot follow")
@torch.no_grad()
def test_shrink_keeps_units_that_are_mixed(make):
    model = nn.Sequential(*make()).eval()
    model[0].weight[:1] = 0
    if hasattr(model[-1], "weight"):
        model[-1].weight[:, 0] = 0
    x = torch.randn(2, 2, 2)[: 1 if isinstance(model[-1], nn.Unflatten) else 2]
    smaller = shrink(model)
    np.testing.assert_allclose(smaller(x), model(x), atol=1e-6)
    assert len(smaller[0].weight) == len(model[0].weight)


class Branch(nn.Module):
    def forward(self, x):
        return -x if x.sum() > 0 else x


def test_shrink_rejects_what_it_cannot_trace():
    from torch.nn.utils import prune

    with pytest.raises(TypeError, match="Branch cannot be traced by torch.fx: .*branches on value"):
        shrink(Branch())
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    prune.ln_structured(model[0], "weight", 0.3, n=2, dim=0)
    with pytest.raises(ValueError, match="weight of 0 is computed from others"):
        shrink(model)
    for other in (SparseMLPClassifier(), None):
        with pytest.raises(TypeError, match="shrink needs a PyTorch module or a fitted Sparse"):
            shrink(other)


# --------------------------------------------------------------------------------- the estimators


@pytest.mark.parametrize("penalty", ["group_lasso", "sparse_group_lasso", "l1"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shrink_keeps_a_classifier(penalty, dtype):
    X, y = load_digits(return_X_y=True)
    X = (X[::2] / 16).astype(dtype)
    options = {"penalty": penalty, "alpha": 2e-3, "learning_rate_init": 0.01, "random_state": 0}
    model = SparseMLPClassifier((40, 20), activation="leaky_relu", max_iter=20, **options)
    weights = [w.copy() for w in model.fit(X, y[::2]).coefs_]
    smaller = shrink(model)
    np.testing.assert_allclose(smaller.predict_proba(X), model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(smaller.predict(X), model.predict(X))
    assert smaller.coefs_[0].shape[0] == len(smaller.inputs_) < 64
    assert smaller.hidden_layer_sizes == tuple(w.shape[1] for w in smaller.coefs_[:-1]) != (40, 20)
    assert sum(w.size for w in smaller.coefs_) < sum(w.size for w in model.coefs_)
    assert all((w != 0).any(axis=1).all() for w in smaller.coefs_)
    assert smaller.predict_proba(X).dtype == dtype
    again = shrink(smaller)
    np.testing.assert_array_equal(again.inputs_, smaller.inputs_)
    X[:, np.setdiff1d(np.arange(64), smaller.inputs_)] = 99  # columns that are not read
    np.testing.assert_array_equal(again.predict_proba(X), smaller.predict_proba(X))
    for before, after in zip(weights, model.coefs_, strict=True):
        np.testing.assert_array_equal(before, after)
    assert model.hidden_layer_sizes == (40, 20)


def test_shrink_keeps_several_targets_and_constants():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 20))
    y = np.column_stack((X[:, 0], X[:, 1] + X[:, 2]))
    few = {"connectivity": "set", "epsilon": 0.5, "random_state": 0}
    model = SparseMLPRegressor((30, 10), max_iter=5, **few).fit(X, y)
    smaller = shrink(model)
    np.testing.assert_allclose(smaller.predict(X), model.predict(X), atol=1e-6)
    assert len(smaller.coefs_[0]) < 20
    model = SparseMLPRegressor((9, 7), penalty="l1", alpha=9.0, max_iter=20).fit(X, y)
    smaller = shrink(model)
    assert [w.shape for w in smaller.coefs_] == [(0, 1), (1, 1), (1, 2)]
    np.testing.assert_allclose(smaller.predict(X), model.predict(X), atol=1e-12)
