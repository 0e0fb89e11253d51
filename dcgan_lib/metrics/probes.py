"""Witnesses for what a network has learned: where a unit looks, what it tells apart, which way a face leans.

Used in notebooks/10_paper.ipynb.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import rotate

from dcgan_lib.data import ImageDataset, normalize
from dcgan_lib.data.faces import paint
from dcgan_lib.utils.rng import rng


def last_conv(discriminator: nn.Module, images: Tensor, guided: bool = False) -> Tensor:
    """The maps of the last hidden convolution after its activation, (N, channels, 4, 4).

    Args:
        guided: let a gradient on its way back pass an activation only where it is positive and the activation is on:
            guided backpropagation (Springenberg et al. 2015).
    """
    x = images.clone()  # the first activation may work in place
    for layer in discriminator.layers[:-1]:
        x = layer(x)
        if guided and isinstance(layer, nn.LeakyReLU):
            x.register_hook(partial(_positive, on=x.detach() > 0))
    return x


def _positive(gradient: Tensor, on: Tensor) -> Tensor:
    return gradient.clamp(min=0) * on


def guided_gradient(discriminator: nn.Module, image: Tensor, unit: int) -> Tensor:
    """What of an image (C, H, W) makes a unit of the last convolution answer, by guided backpropagation; (C, H, W)."""
    image = image[None].clone().requires_grad_()
    strongest = last_conv(discriminator, image, guided=True)[0, unit].max()
    return torch.autograd.grad(strongest, image)[0][0]


@torch.no_grad()
def hiding_costs(discriminator: nn.Module, image: Tensor, unit: int, size: int = 4) -> Tensor:
    """How much of its answer a unit loses when a square of an image is hidden in grey (Zeiler and Fergus 2014).

    Returns:
        (n, n), for squares that begin at every second row and column.
    """
    places = range(0, image.shape[-1] - size + 1, 2)
    hidden = image.repeat(len(places) ** 2, 1, 1, 1)
    for number, one in enumerate(hidden):
        row, column = places[number // len(places)], places[number % len(places)]
        one[:, row : row + size, column : column + size] = 0
    answers = last_conv(discriminator, torch.cat([image[None], hidden]))[:, unit].amax((1, 2))
    return (answers[0] - answers[1:]).view(len(places), -1)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's: 1 where two sets of numbers of one shape are in the same order, -1 in the opposite one."""
    ranks = [values.flatten().argsort().argsort().double() for values in (a, b)]
    return torch.corrcoef(torch.stack(ranks))[0, 1].item()


def explained_variance(answers: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """The share of each unit's variance that each attribute explains, from 0 to 1 (eta squared).

    Args:
        answers: (N, units).
        labels: for each attribute the value's number, int64 (N,).

    Returns:
        (attributes, units).
    """
    centred = answers - answers.mean(0)
    who = [F.one_hot(values).to(answers.dtype) for values in labels.values()]
    means = [one.T @ centred / one.sum(0)[:, None].clamp(min=1) for one in who]
    between = [one.mean(0) @ mean.square() for one, mean in zip(who, means, strict=True)]
    return torch.stack(between) / centred.square().mean(0).clamp(min=1e-12)


def tilt_meter(n: int = 2000) -> tuple[Callable[[Tensor], Tensor], float]:
    """A linear measure of how far a painted portrait leans, learned from portraits turned by -6 to 6 degrees.

    Args:
        n: how many portraits to learn from, 200 or more; a fifth of them are only for the test.

    Returns:
        A function from uint8 images (N, 3, 64, 64) to degrees (N,), and its correlation with the truth in the test.
    """

    def view(images: Tensor) -> Tensor:  # the middle alone, so that no corner tells the angle
        images = images.float().mean(1, keepdim=True)[..., 8:-8, 8:-8]
        return F.interpolate(images, 24, mode="bilinear").flatten(1) / 50

    angles = torch.arange(-6.0, 7.0)
    upright = paint(11, torch.arange(len(angles) * (n // len(angles))), 64).float().chunk(len(angles))
    turned = [rotate(part, angle) for part, angle in zip(upright, angles.tolist(), strict=True)]
    x, y = view(torch.cat(turned)), angles.repeat_interleave(len(upright[0]))
    mean, held = x.mean(0), torch.arange(len(x)) % 5 == 0
    a = x[~held] - mean
    weights = torch.linalg.solve(a.T @ a + 300 * torch.eye(a.shape[1]), a.T @ y[~held])  # ridge regression
    found = torch.stack([(x[held] - mean) @ weights, y[held]])
    return lambda images: (view(images) - mean) @ weights, torch.corrcoef(found)[0, 1].item()


def semantic_codes(dataset: ImageDataset, steps: int = 400, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """The paper's deduplication (section 4.1): an autoencoder with 128 ReLU units, of which a code keeps on or off.

    Args:
        dataset: images of 32x32 to learn from.

    Returns:
        A function from uint8 images (N, C, 32, 32) to codes of zeros and ones, float32 (N, 128).
    """
    mean = normalize(dataset.images[:2000]).flatten(1).mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        encoder = nn.Sequential(nn.Dropout(0.2), nn.Linear(len(mean), 128), nn.ReLU())
        decoder, noise = nn.Linear(128, len(mean)), rng(seed, "noise")
        optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=5e-4)
        for step in range(steps):
            x = dataset.batch(64, seed, step).flatten(1) - mean
            loss = (decoder(encoder(x + 0.1 * torch.randn(x.shape, generator=noise))) - x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    encoder.eval().requires_grad_(False)
    return lambda images: (encoder(normalize(images).flatten(1) - mean) > 0).float()
