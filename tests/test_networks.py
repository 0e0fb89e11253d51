"""Flat networks with the paper's numbers typed out are the same functions as the library's general form."""

import pytest
import torch
from torch import Tensor, nn

from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.utils.errors import InputError

LAYERS_BEFORE_LAST = {16: [2, 1], 32: [4, 2, 1], 64: [8, 4, 2, 1], 128: [16, 8, 4, 2, 1], 256: [32, 16, 8, 4, 2, 1]}
"""Channels of the generator's hidden layers, in widths, for each image size; the discriminator's, backwards."""


def flat_generator(*before_tanh: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (100, 1, 1)),
        nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False),
        nn.BatchNorm2d(512),
        nn.ReLU(),
        nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False),
        *before_tanh,
        nn.Tanh(),
    )


def flat_discriminator() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Conv2d(128, 256, 4, 2, 1, bias=False),
        nn.BatchNorm2d(256),
        nn.LeakyReLU(0.2),
        nn.Conv2d(256, 512, 4, 2, 1, bias=False),
        nn.BatchNorm2d(512),
        nn.LeakyReLU(0.2),
        nn.Conv2d(512, 1, 4, 1, 0, bias=False),
        nn.Flatten(0),
    )


def flat_unpadded() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, bias=False),
        nn.BatchNorm2d(32),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, bias=False),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Conv2d(128, 1, 4, 2, bias=False),
        nn.Flatten(),
    )


def assert_same_function(network: nn.Module, flat: nn.Module, x: Tensor) -> Tensor:
    """Same weights, same output and same running statistics, to the last bit, in train mode and then in eval mode."""
    flat.load_state_dict(dict(zip(flat.state_dict(), network.state_dict().values(), strict=True)))
    for mode in (True, False):
        output = network.train(mode)(x)
        torch.testing.assert_close(output, flat.train(mode)(x), rtol=0, atol=0)
        states = zip(network.state_dict().values(), flat.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in states)
    return output


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@torch.no_grad()
def test_generator_is_the_flat_one() -> None:
    generator, z = Generator(), torch.randn(3, 100)
    assert parameters(generator) == 3_576_704
    images = assert_same_function(generator, flat_generator(), z)
    assert images.shape == (3, 3, 64, 64)
    torch.testing.assert_close(generator(z[:, :, None, None]), images, rtol=0, atol=0)


@torch.no_grad()
def test_discriminator_is_the_flat_one() -> None:
    discriminator = Discriminator()
    assert parameters(discriminator) == 2_765_568
    logits = assert_same_function(discriminator, flat_discriminator(), torch.rand(3, 3, 64, 64) * 2 - 1)
    assert logits.shape == (3,)


@torch.no_grad()
def test_unpadded_discriminator_is_the_flat_one() -> None:
    discriminator = Discriminator(width=32, unpadded=True)
    logits = assert_same_function(discriminator, flat_unpadded(), torch.rand(3, 3, 64, 64) * 2 - 1)
    assert logits.shape == (3, 16)
    assert len(Discriminator(width=2, image_size=128, unpadded=True)(torch.zeros(3, 3, 128, 128))) == 3


def test_width_128_begins_with_the_papers_1024_channels() -> None:
    with torch.device("meta"):
        assert Generator(width=128).layers[0].out_channels == 1024


@torch.no_grad()
def test_sigmoid_head_gives_bce_the_loss_of_the_logits() -> None:
    plain, headed = Discriminator(5, 3, 16), Discriminator(5, 3, 16, sigmoid=True)
    headed.load_state_dict(plain.state_dict())
    images, target = torch.randn(6, 3, 16, 16), torch.tensor([1.0, 0, 1, 0, 1, 0])
    expected = nn.functional.binary_cross_entropy_with_logits(plain(images), target)
    torch.testing.assert_close(nn.BCELoss()(headed(images), target), expected)
    torch.testing.assert_close(headed(images), plain(images).sigmoid())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", LAYERS_BEFORE_LAST)
@pytest.mark.parametrize("width", [1, 3])
@torch.no_grad()
def test_every_size(size: int, channels: int, width: int) -> None:
    generator, discriminator = Generator(7, width, channels, size), Discriminator(width, channels, size)
    hidden = [width * factor for factor in LAYERS_BEFORE_LAST[size]]
    up = [layer.out_channels for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    down = [layer.out_channels for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
    assert (up, down) == ([*hidden, channels], [*hidden[::-1], 1])
    images = generator(torch.randn(2, 7))
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (2,)


@pytest.mark.parametrize("size", [0, 8, 28, 48, 512])
@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_other_sizes_are_refused(network: type[nn.Module], size: int) -> None:
    with pytest.raises(InputError, match=f"image_size must be 16, 32, 64, 128 or 256, and {size} is not"):
        network(image_size=size)


@pytest.mark.parametrize(
    "network", [Generator(8, 4, 1, 16), Discriminator(4, 1, 16)], ids=["generator", "discriminator"]
)
def test_exported_networks_take_any_batch(network: nn.Module) -> None:
    few, many = (torch.randn(n, *((8,) if isinstance(network, Generator) else (1, 16, 16))) for n in (2, 7))
    network.eval().requires_grad_(False)
    free = {0: torch.export.Dim("N")}
    exported = torch.export.export(network, (few,), dynamic_shapes=(free,)).module()
    for runs in (exported, torch.jit.trace(network, few)):
        for inputs in (few, many, many[:1]):
            torch.testing.assert_close(runs(inputs), network(inputs), rtol=0, atol=1e-5)
