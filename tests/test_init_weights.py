"""Networks start with N(0, 0.02) where the paper says so: looked at as built, not only layer by layer."""

import math

import pytest
import torch
from torch import Tensor, nn

from dcgan_lib.config import Config
from dcgan_lib.networks import Discriminator, Generator, build_networks, init_weights


def assert_drawn(weights: Tensor, mean: float, std: float) -> None:
    """These can be draws from N(mean, std): both estimates within five of their standard errors."""
    n = weights.numel()
    assert abs(weights.mean().item() - mean) < 5 * std / math.sqrt(n)
    assert abs(weights.std().item() - std) < 5 * std / math.sqrt(2 * n)


@pytest.mark.parametrize(
    ("network", "options"),
    [
        (Generator, {}),
        (Generator, {"width": 16}),
        (Discriminator, {}),
        (Discriminator, {"width": 16, "sigmoid": True}),
        (Discriminator, {"width": 32, "unpadded": True}),
    ],
)
def test_starting_weights_of_networks_as_built(network: type[nn.Module], options: dict) -> None:
    torch.manual_seed(0)
    layers = list(network(**options).layers)
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert_drawn(layer.weight, 0.0, 0.02)
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    assert_drawn(torch.cat([norm.weight for norm in norms]), 1.0, 0.02)
    assert not any(norm.bias.any() for norm in norms)


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 800, 1), nn.ConvTranspose2d(800, 2, 1)], ids=["Conv2d", "Transpose"])
def test_init_of_layers_whose_default_is_far_from_it(layer: nn.Module) -> None:
    assert layer.weight.std() > 0.3
    init_weights(layer)
    assert_drawn(layer.weight, 0.0, 0.02)


def test_init_sets_the_bias_of_batch_norm_and_leaves_dense_layers() -> None:
    norm, dense = nn.BatchNorm2d(9), nn.Linear(9, 9)
    nn.init.ones_(norm.bias)
    before = dense.weight.clone()
    norm.apply(init_weights), dense.apply(init_weights)
    assert not norm.bias.any()
    assert torch.equal(dense.weight, before)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))


def test_build_networks_follows_the_config(tiny: Config) -> None:
    generator, discriminator = build_networks(tiny.replace(channels=1, g_width=5, d_width=7, latent_dim=9))
    assert [tuple(generator.layers[i].weight.shape) for i in (0, -2)] == [(9, 10, 4, 4), (5, 1, 4, 4)]
    assert discriminator.layers[0].weight.shape == (7, 1, 4, 4)
    assert generator(torch.zeros(2, 9)).shape == (2, 1, 16, 16)
    assert build_networks(tiny)[0](torch.zeros(2, 8)).shape == (2, 3, 16, 16)  # channels left out


def test_seed_and_nothing_else_decides(tiny: Config) -> None:
    first = build_networks(tiny)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert all(map(same, first, build_networks(tiny)))
    assert torch.equal(torch.rand(3), expected)  # the reader's own random numbers stay as they were
    assert not any(map(same, first, build_networks(tiny.replace(seed=4))))
