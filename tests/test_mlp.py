"""The pair of dense networks, layer by layer."""

import torch
from torch import nn

from dcgan_lib.networks import MLPDiscriminator, MLPGenerator


def test_generator_layers() -> None:
    expected = nn.Sequential(
        nn.Linear(100, 256),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.2),
        nn.Linear(256, 512),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.2),
        nn.Linear(512, 1024),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.2),
        nn.Linear(1024, 784),
        nn.Tanh(),
    )
    assert str(MLPGenerator().layers) == str(expected)


def test_discriminator_layers() -> None:
    expected = nn.Sequential(
        nn.Linear(784, 1024),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.2),
        nn.Linear(1024, 512),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.2),
        nn.Linear(256, 1),
    )
    assert str(MLPDiscriminator().layers) == str(expected)


@torch.no_grad()
def test_pictures_and_logits() -> None:
    generator, discriminator = MLPGenerator(7, 16, 3, dropout=0.5).eval(), MLPDiscriminator(16, 3, dropout=0.5).eval()
    images = generator(torch.randn(4, 7))
    assert images.shape == (4, 3, 16, 16)
    assert images.abs().max() <= 1
    logits = discriminator(images)
    assert logits.shape == (4,)
    assert torch.equal(logits, discriminator.layers(images.reshape(4, 768))[:, 0])
    layers = [*generator.layers, *discriminator.layers]
    assert {layer.p for layer in layers if isinstance(layer, nn.Dropout)} == {0.5}
