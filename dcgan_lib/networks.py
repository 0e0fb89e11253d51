"""The two networks of DCGAN for any power-of-two size, and the pair of MLPs before them.

Taught in notebooks 01 (the MLPs), 03 (`init_weights`), 04 (`Generator`) and 05 (`Discriminator`).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dcgan_lib.config import Config
from dcgan_lib.utils.errors import InputError


def init_weights(module: nn.Module) -> None:
    """Draw one layer's starting weights; use as `network.apply(init_weights)`.

    Convolutions: N(0, 0.02), as the paper says (section 4). Batch norm: scale N(1, 0.02), bias 0, as
    the authors' code and everyone's since has it. Other layers keep what PyTorch gave them.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def _doublings(image_size: int) -> int:
    """How often 4x4 is doubled on the way to image_size, less the last time: 3 for 64x64."""
    if image_size not in (16, 32, 64, 128, 256):
        raise InputError(f"image_size must be 16, 32, 64, 128 or 256, and {image_size} is not: choose one of these.")
    return image_size.bit_length() - 4


class Generator(nn.Module):
    """From z to a picture: transposed convolutions, batch norm and ReLU, tanh at the end (paper, figure 1).

    Args:
        latent_dim: length of z.
        width: channels of the last hidden layer; each layer before has twice as many. With 64x64
            pictures, width 64 begins with 512 channels, and width 128 with the 1,024 of the paper's figure 1.
        channels: 1 (grey) or 3 (colour).
        image_size: 16, 32, 64, 128 or 256.

    Raises:
        InputError: image_size is not one of the five.
    """

    def __init__(self, latent_dim: int = 100, width: int = 64, channels: int = 3, image_size: int = 64) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        widths = [width * 2**i for i in reversed(range(_doublings(image_size) + 1))]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(zip([latent_dim, *widths], [*widths, channels], strict=True)):
            stride, padding = (1, 0) if i == 0 else (2, 1)  # 1x1 becomes 4x4, then every layer doubles
            layers.append(nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False))
            last = i == len(widths)
            if not last:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.Tanh() if last else nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)
        self.apply(init_weights)

    def forward(self, z: Tensor) -> Tensor:
        """z (N, latent_dim) or (N, latent_dim, 1, 1) -> pictures (N, channels, image_size, image_size) in [-1, 1]."""
        return self.layers(z.reshape(-1, self.latent_dim, 1, 1))


class Discriminator(nn.Module):
    """From a picture to a logit: strided convolutions, batch norm (not in the first layer) and LeakyReLU.

    Args:
        width: channels of the first layer; each layer after has twice as many.
        channels: 1 (grey) or 3 (colour).
        image_size: 16, 32, 64, 128 or 256.
        sigmoid: give probabilities, for `nn.BCELoss`, instead of logits.
        unpadded: the block-builder form of several courses, usually with width 32: strides 2, 2, 1, 2,
            no padding, batch norm in every block but the last, several logits per image; from 64x64.

    Raises:
        InputError: image_size is not one of the five.
    """

    def __init__(
        self, width: int = 64, channels: int = 3, image_size: int = 64, sigmoid: bool = False, unpadded: bool = False
    ) -> None:
        super().__init__()
        hidden = _doublings(image_size) + 1
        strides = [2, 2, 1, 2] if unpadded else [2] * hidden + [1]
        widths = [width * 2**i for i in range(len(strides) - 1)]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(zip([channels, *widths], [*widths, 1], strict=True)):
            last = i == len(widths)
            padding = 0 if unpadded or last else 1
            layers.append(nn.Conv2d(inputs, outputs, 4, strides[i], padding, bias=False))
            if not last:
                if i > 0 or unpadded:
                    layers.append(nn.BatchNorm2d(outputs))
                layers.append(nn.LeakyReLU(0.2, inplace=True))
        if sigmoid:
            layers.append(nn.Sigmoid())
        self.layers = nn.Sequential(*layers)
        self.apply(init_weights)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (N, channels, H, W) in [-1, 1] -> logits (N,), or (N, K) where unpadded gives K a picture."""
        return self.layers(images).flatten(1).squeeze(1)


class MLPGenerator(nn.Module):
    """From z to a picture through dense layers: latent_dim-256-512-1024-pixels, LeakyReLU, dropout, tanh."""

    def __init__(self, latent_dim: int = 100, image_size: int = 28, channels: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.latent_dim, self.shape = latent_dim, (channels, image_size, image_size)
        hidden = _dense([latent_dim, 256, 512, 1024], dropout)
        self.layers = nn.Sequential(*hidden, nn.Linear(1024, channels * image_size**2), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """z (N, latent_dim) -> pictures (N, channels, image_size, image_size) in [-1, 1]."""
        return self.layers(z.flatten(1)).unflatten(1, self.shape)


class MLPDiscriminator(nn.Module):
    """From a picture to a logit through dense layers: pixels-1024-512-256-1, LeakyReLU, dropout."""

    def __init__(self, image_size: int = 28, channels: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_dense([channels * image_size**2, 1024, 512, 256], dropout), nn.Linear(256, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (N, channels, image_size, image_size) in [-1, 1] -> logits (N,)."""
        return self.layers(images.flatten(1)).squeeze(1)


def _dense(widths: list[int], dropout: float) -> list[nn.Module]:
    return [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2), nn.Dropout(dropout))]


def build_networks(config: Config) -> tuple[Generator, Discriminator]:
    """The pair that a config describes, with starting weights drawn from its seed; channels left out count as 3."""
    channels = config.channels or 3
    with torch.random.fork_rng(devices=[]):  # the reader's own random numbers stay as they were
        torch.default_generator.manual_seed(config.seed)
        generator = Generator(config.latent_dim, config.g_width, channels, config.image_size)
        discriminator = Discriminator(config.d_width, channels, config.image_size)
    return generator, discriminator
