import copy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso
from sklearn.preprocessing import scale

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from shl.networks import L1, L2, GroupLasso, Penalize, Proximal, SparseGroupLasso  # noqa: E402


class Mine(torch.optim.Adam):
    """A subclass counts as its parent."""


OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "nesterov": (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    "adam": (torch.optim.Adam, {"lr": 6e-3}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.02, "amsgrad": True}),
    "adamw": (torch.optim.AdamW, {"lr": 6e-3, "weight_decay": 0.0}),
    "mine": (Mine, {"lr": 6e-3}),
    "nadam": (torch.optim.NAdam, {"lr": 6e-3}),
    "radam": (torch.optim.RAdam, {"lr": 0.012}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.2, "lr_decay": 1e-4}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 2e-3}),
    "rmsprop momentum": (torch.optim.RMSprop, {"lr": 6e-4, "momentum": 0.9}),
}


def cnn(seed=0):
    torch.manual_seed(seed)
    features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 2))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(5 * 4, 3))


def learn_a_step(model, optimizer, proximal=None, seed=0):
    """One step on random samples."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(20, 1, 7 - 2, 7 - 2, generator=generator)
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()
    if proximal is not None:
        proximal.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_rest_at_the_lasso(name):
    X, y = (scale(part) for part in load_diabetes(return_X_y=True, scaled=False))
    lasso = Lasso(alpha=0.1).fit(X, y)
    model = nn.Linear(10, 1).double()
    nn.init.zeros_(model.weight)
    make, options = OPTIMIZERS[name]
    optimizer = make(model.parameters(), **options)
    proximal = Proximal(optimizer, {model.weight: (L1(), 0.1)})
    X, y = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    for _ in range(700):
        optimizer.zero_grad()
        ((model(X) - y) ** 2).mean().div(2).backward()
        optimizer.step()
        proximal.step()
    found = model.weight.detach().numpy()[0]
    np.testing.assert_array_equal(found == 0, lasso.coef_ == 0)
    np.testing.assert_allclose(found, lasso.coef_, atol=2e-3)
    assert 0 < (found == 0).sum() < 10
    assert proximal.value() == pytest.approx(0.1 * abs(found).sum())


@pytest.mark.parametrize("groups", ["outputs", "inputs"])
@pytest.mark.parametrize("penalty", [GroupLasso(), SparseGroupLasso(), L1(), L2()], ids=repr)
def test_step_is_that_of_each_filter_or_channel(penalty, groups):
    model, free = cnn(), cnn()
    options = {"lr": 0.5}
    optimizer = torch.optim.SGD(model.parameters(), **options)
    proximal = Proximal(optimizer, {"0.2.weight": (penalty, 0.05, groups)}, model)
    learn_a_step(free, torch.optim.SGD(free.parameters(), **options))
    learn_a_step(model, optimizer, proximal)
    before, after = (net[0][2].weight.detach().numpy() for net in (free, model))
    value = 0.0
    for i in range(before.shape[0] if groups == "outputs" else before.shape[1]):
        place = i if groups == "outputs" else (slice(None), i)
        row, moved = (w[place].reshape(1, -1) for w in (before, after))
        np.testing.assert_allclose(moved, penalty.prox(row, 0.025), rtol=1e-5, atol=1e-8)
        value += 0.05 * float(penalty.value(moved))
    assert proximal.value() == pytest.approx(value, rel=1e-5)
    for name in ("0.0.weight", "0.2.bias", "2.weight"):
        assert torch.equal(model.get_parameter(name), free.get_parameter(name))


def test_a_large_penalty_makes_zeros_of_groups():
    model = cnn()
    optimizer, strong = torch.optim.Adam(model.parameters(), lr=1e-3), ("group_lasso", 1e6)
    penalties = {model[0][2].weight: strong, "2.weight": ("sparse_group_lasso", 1e6, "inputs")}
    learn_a_step(model, optimizer, Proximal(optimizer, penalties, model))
    assert (model[0][2].weight == 0).all() and (model[2].weight == 0).all()
    assert (model[0][0].weight != 0).all()


@pytest.mark.parametrize("name", ["momentum", "adam", "rmsprop"])
def test_each_group_of_parameters_has_its_own_step(name):
    make, options = OPTIMIZERS[name]
    model, free = cnn(), cnn()
    optimizers = []
    for net in (model, free):
        rates = [{"params": net[0].parameters(), "lr": 1e-2}, {"params": net[2].parameters()}]
        optimizers.append(make(rates, **{**options, "lr": 1e-3}))
    proximal = Proximal(optimizers[0], {"*.weight": (L1(), 0.5)}, model)
    learn_a_step(model, optimizers[0])
    learn_a_step(free, optimizers[1])
    optimizers[0].param_groups[1]["lr"] = 2e-3  # as a scheduler does
    proximal.step()
    for before, after, rate in ((free[0][0], model[0][0], 1e-2), (free[2], model[2], 2e-3)):
        state = optimizers[0].state[after.weight]
        if name == "momentum":
            step = rate * 0.5 / 0.1
        elif name == "adam":
            step = rate / ((state["exp_avg_sq"] / (1 - 0.999)).sqrt() + 1e-8)
        else:
            step = rate / (state["square_avg"].sqrt() + 1e-8)
        expected = L1().prox(before.weight.detach().numpy(), np.asarray(0.5 * step) + 0.0)
        np.testing.assert_allclose(after.weight.detach(), expected, rtol=1e-5, atol=1e-7)


def test_frozen_or_unmoved_parameters_stay():
    model = cnn()
    optimizer = torch.optim.Adam(model.parameters())
    proximal = Proximal(optimizer, {"*.weight": (L1(), 1e3)}, model)
    start = copy.deepcopy(model.state_dict())
    proximal.step()  # Adam has moved nothing
    assert all(torch.equal(start[name], p) for name, p in model.state_dict().items())
    learn_a_step(model, optimizer)
    optimizer.load_state_dict(optimizer.state_dict())  # replaces groups and state
    optimizer.param_groups[0]["lr"] = 0.0
    kept = copy.deepcopy(model.state_dict())
    proximal.step()
    assert all(torch.equal(kept[name], p) for name, p in model.state_dict().items())
    optimizer.param_groups[0]["lr"] = 1.0
    model[2].weight.requires_grad_(False)
    proximal.step()
    assert (model[0][0].weight == 0).all() and torch.equal(model[2].weight, kept["2.weight"])


@pytest.mark.parametrize(
    ("penalties", "words"),
    [
        ({"features.*": (L1(), 1)}, r"pattern 'features.\*', which matches none of 0.0.weight, "),
        ({"0.0.*": (GroupLasso(), 1)}, r"0.0.bias has shape \(4,\), which has no groups"),
        ({"0.*": (L1(), 1), "*.bias": (L1(), 1)}, "each parameter once, but 0.0.bias is twice"),
        ({"0.0.weight": (L1(), -1)}, "strength in .* must be at least 0, not -1"),
        ({"0.0.weight": ("l3", 1)}, "penalty must be one of"),
        ({"0.0.weight": (None, 1)}, "must have a penalty, not None"),
        ({"0.0.weight": (L1(), 1, "rows")}, "groups in .* must be one of 'outputs', 'inputs'"),
        ({"0.0.weight": L1()}, r"must be \(penalty, strength\)"),
        ({0: (L1(), 1)}, "parameters or patterns of names as keys, not 0"),
        ({nn.Parameter(torch.ones(2)): (L1(), 1)}, r"shape \(2,\) must be a parameter of the opti"),
    ],
)
def test_bad_penalties_are_named(penalties, words):
    model = cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises((ValueError, TypeError), match=words):
        Proximal(optimizer, penalties, model)


def test_unknown_optimizers_are_refused_by_name():
    model = cnn()
    for make, options, key, words in (
        (torch.optim.Adadelta, {}, model[2].weight, "Adadelta, whose .* Use one of SGD"),
        (torch.optim.LBFGS, {}, model[2].weight, "LBFGS, whose .* Use one of SGD"),
        (torch.optim.SGD, {}, "2.weight", "model must be given for the pattern"),
        (torch.optim.SGD, {"maximize": True}, model[2].weight, "maximize must be False for a para"),
    ):
        with pytest.raises(ValueError, match=words):
            Proximal(make(model.parameters(), lr=1, **options), {key: (L1(), 1)})


def test_the_callback_serves_any_net_of_skorch():
    from skorch import NeuralNetClassifier

    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 8)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)),
        **{"criterion": nn.CrossEntropyLoss, "optimizer": torch.optim.RMSprop, "train_split": None},
        **{"lr": 0.01, "max_epochs": 40, "verbose": 0},
        callbacks=[Penalize({"0.weight": (GroupLasso(), 0.05, "inputs")})],
    ).fit(X, y)
    left = (net.module_[0].weight != 0).any(0)
    assert left[0] and left.sum() < 5
    assert net.score(X, y) > 0.9
    assert clone(net).callbacks[0].penalties.keys() == {"0.weight"}
