import math
import warnings

import numpy as np
import pytest
from ranges import assert_rejects

torch = pytest.importorskip("torch")

from shl._base.constraints import constraints_of  # noqa: E402
from shl.networks.layers import GaussianLinear, NormalizedLinear, SparseLinear, _draw_free  # noqa: E402


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sparse(n_in=40, n_out=30, seed=0, **options):
    return SparseLinear(n_in, n_out, **{"density": 0.2, "generator": generator(seed), **options})


def naive_evolution(weight, mask, zeta):
    """Which connections go, by sorting lists."""
    places, gone = [tuple(map(int, place)) for place in np.argwhere(mask)], set()
    for is_positive in (True, False):
        own = [place for place in places if (weight[place] >= 0) == is_positive]
        own.sort(key=lambda place: abs(weight[place]))
        gone |= set(own[: math.floor(zeta * len(own))])
    return gone


@pytest.mark.parametrize("zeta", [0, 0.1, 0.3, 1])
@pytest.mark.parametrize("density", [0.05, 0.2, 0.6])
def test_an_evolution_replaces_the_weakest(zeta, density):
    layer = sparse(zeta=zeta, density=density)
    weight, mask = layer.weight.detach().numpy().copy(), layer.mask.numpy().copy()
    expected = naive_evolution(weight, mask, zeta)
    n_free = int((mask == 0).sum())
    n_replaced = layer.evolve()
    new_mask = layer.mask.numpy()
    if len(expected) <= n_free:
        removed = np.argwhere((mask == 1) & (new_mask == 0))
        assert {tuple(map(int, place)) for place in removed} == expected
    assert n_replaced == min(len(expected), n_free)
    assert ((mask == 0) & (new_mask == 1)).sum() == n_replaced
    stayed = (mask == 1) & (new_mask == 1)
    np.testing.assert_array_equal(layer.weight.detach().numpy()[stayed], weight[stayed])
    assert (layer.weight[layer.mask == 0] == 0).all() and (layer.weight[layer.mask == 1] != 0).all()


def test_mask_and_connections_agree():
    layer = sparse()
    assert len(layer.connections) == round(0.2 * 1200)
    for _ in range(30):
        layer.evolve()
        assert torch.equal(layer.connections, layer.mask.view(-1).nonzero().view(-1))
        assert len(layer.connections) == round(0.2 * 1200)
        assert torch.equal(layer.connections_per_input(), (layer.mask != 0).sum(0))
    dense = sparse(density=1)
    before = dense.weight.detach().clone()
    assert dense.evolve() == 0 and torch.equal(dense.weight, before)  # nothing is free


@pytest.mark.parametrize("n", [5, 60])
def test_free_pairs_are_equally_likely(n):
    mask = torch.zeros(20, 20)
    mask[:, :5] = 1
    g, n_turns = generator(), 6000 // n
    counts = torch.zeros(400)
    for _ in range(n_turns):
        drawn = _draw_free(mask, 300, n, g)
        assert len(drawn) == n == len(drawn.unique())
        counts[drawn] += 1
    assert (counts[mask.view(-1) == 1] == 0).all()
    free = counts[mask.view(-1) == 0]
    expected = n * n_turns / 300
    chi2 = float(((free - expected) ** 2 / expected).sum())
    assert chi2 < 299 + 5 * math.sqrt(2 * 299)


def test_epsilon_is_the_density_of_the_paper():
    layer = SparseLinear(784, 512, generator=generator())
    assert len(layer.connections) == round(11 * (784 + 512))
    weights = layer.weight.detach().view(-1)[layer.connections]
    assert float(weights.std()) == pytest.approx(math.sqrt(2 / 784), rel=0.03)
    words = "epsilon 11 asks for a density of 2.2 .*clipped to 1"
    with pytest.warns(UserWarning, match=words) as caught:
        assert SparseLinear(10, 10).density == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SparseLinear(1000, 1000)


@pytest.mark.parametrize(
    ("cls", "options"),
    [(torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}), (torch.optim.Adam, {})],
)
def test_training_moves_connections_alone(cls, options):
    """An evolution resets what the optimizer remembers of them."""
    layer, x = sparse(), torch.randn(50, 40, generator=generator(1))
    optimizer = cls(layer.parameters(), lr=0.1, **options)

    def learn():
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
        assert (layer.weight[layer.mask == 0] == 0).all()

    for _ in range(5):
        learn()
    before = layer.mask.clone()
    layer.evolve(optimizer)
    changed = before != layer.mask
    kept = (before == 1) & (layer.mask == 1)
    for value in optimizer.state[layer.weight].values():
        if value.shape == layer.weight.shape:
            assert (value[changed] == 0).all() and (value[kept] != 0).all()
    learn()


@pytest.mark.parametrize("new_weights", ["normal", "zero"])
def test_grown_weights(new_weights):
    layer = sparse(400, 300, zeta=0.5, new_weights=new_weights)
    before = layer.mask.clone()
    layer.evolve()
    grown = layer.weight.detach()[(before == 0) & (layer.mask == 1)]
    expected = math.sqrt(2 / 400) if new_weights == "normal" else 0
    assert float(grown.std()) == pytest.approx(expected, rel=0.05)


def test_a_seed_gives_the_same_bits():
    before = torch.random.get_rng_state()
    layers = [sparse(seed=3), sparse(seed=3), sparse(seed=4)]
    for layer in layers:
        layer.evolve()
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert not torch.equal(layers[0].weight, layers[2].weight)
    for cls in (GaussianLinear, NormalizedLinear):
        first, second = cls(5, 4, generator=generator()), cls(5, 4, generator=generator())
        assert torch.equal(first.effective_weight(), second.effective_weight())
        assert torch.equal(first.bias, second.bias)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_gaussian_weights_are_the_density():
    layer = GaussianLinear(6, 5, init_scale=1.0, generator=generator()).double()
    mu, sigma = layer.mu.detach(), layer.log_sigma.detach().exp()
    density = torch.distributions.Normal(mu, sigma).log_prob(torch.zeros(())).exp()
    np.testing.assert_allclose(layer.effective_weight().detach(), density, rtol=1e-12)
    assert (layer.effective_weight() > 0).all()
    x = torch.randn(3, 6, generator=generator(), dtype=torch.float64)
    assert torch.equal(layer(x), layer(x))
    layer.noise = 2.0
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


def test_normalized_weights_have_norm_one():
    layer = NormalizedLinear(6, 5, bias=False, generator=generator())
    assert layer.effective_weight().detach().norm().item() == pytest.approx(1)
    layer(torch.ones(2, 6)).square().sum().backward()
    assert abs(float((layer.direction.grad * layer.direction.detach()).sum())) < 1e-6


@pytest.mark.parametrize("cls", [SparseLinear, GaussianLinear, NormalizedLinear])
def test_values_out_of_range_are_rejected(cls):
    sizes = {"in_features": 5, "out_features": 5}
    assert_rejects(cls, lambda **values: cls(**sizes | values))
    assert set(sizes) <= set(constraints_of(cls))


def test_zero_connections_sets_the_weakest_to_zero():
    layer = SparseLinear(20, 15, density=0.5, zeta=0.3, generator=generator())
    before, mask = layer.weight.detach().clone(), layer.mask.clone()
    n_zeroed = layer.zero_connections()
    zeroed = ((layer.weight == 0) & (before != 0)).nonzero().tolist()
    assert set(map(tuple, zeroed)) == naive_evolution(before.numpy(), mask.numpy(), 0.3)
    assert len(zeroed) == n_zeroed > 30 and torch.equal(layer.mask, mask)


def test_evolve_works_in_bfloat16_and_refuses_meta():
    layer = sparse().bfloat16()
    before = layer.mask.clone()
    assert layer.evolve() > 0 and not torch.equal(layer.mask, before)
    assert layer.weight.dtype == torch.bfloat16 and (layer.weight[layer.mask == 0] == 0).all()
    with pytest.raises(ValueError, match="device 'meta', where weights have no values. Move it"):
        sparse().to("meta").evolve()


def test_to_csr_computes_the_same_from_few_numbers():
    layer = SparseLinear(50, 30, density=0.1, generator=generator())
    csr, x = layer.to_csr(), torch.randn(7, 50, generator=generator())
    torch.testing.assert_close(csr(x), layer(x).detach())
    assert csr.values.numel() == len(layer.connections) == 150
    assert sum(b.numel() for b in csr.buffers()) < 30 * 50 / 2 and not list(csr.parameters())
    torch.testing.assert_close(layer.to_dense()(x), layer(x))
