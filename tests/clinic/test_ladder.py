"""Every rung and every broken guideline is what its name says, and trains."""

import pytest
import torch
from torch import nn

from dcgan_lib.clinic.ladder import GUIDELINES, LADDER, break_guideline, ladder, spectral
from dcgan_lib.data import load_images
from dcgan_lib.losses import gradient_penalty, relativistic_loss
from dcgan_lib.networks import Discriminator


@pytest.mark.parametrize("name", LADDER)
def test_rungs(name: str) -> None:
    run = ladder()[name](load_images("faces", 32), 0)
    seen = [next(run) for _ in range(3)][-1]
    assert seen.d_loss.isfinite() and seen.g_loss.isfinite()
    normalised = any(isinstance(layer, nn.BatchNorm2d) for layer in seen.discriminator.modules())
    place = list(LADDER).index(name)
    assert normalised == (place < 3) and hasattr(seen, "average") == (place > 0)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in (seen.g_optimizer, seen.d_optimizer)]
    assert rates == [0.002, 0.002 if place < 2 else 0.001]


def test_spectral_norm() -> None:
    d = spectral(Discriminator(8, 3, 32))
    for _ in range(20):
        d(torch.randn(4, 3, 32, 32))  # each call improves the estimate
    for layer in d.layers:
        if hasattr(layer, "weight"):
            assert abs(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2) - 1) < 0.05


@pytest.mark.parametrize("name", GUIDELINES)
def test_guidelines(name: str) -> None:
    seen = next(break_guideline(name)(load_images("faces", 32), 0))
    assert seen.fake.shape == seen.real.shape and seen.g_loss.isfinite()
    kinds = [{type(layer) for layer in net.modules()} for net in (seen.generator, seen.discriminator)]
    kept = {nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, nn.Tanh} <= kinds[0]
    kept &= {nn.BatchNorm2d, nn.LeakyReLU} <= kinds[1]
    kept &= not ({nn.Linear, nn.Upsample, nn.AvgPool2d} & (kinds[0] | kinds[1]))
    assert kept == (name == "all kept")


def test_gradient_penalty_of_a_linear_discriminator() -> None:
    weights, images = torch.randn(3, 8, 8), torch.randn(5, 3, 8, 8, requires_grad=True)
    logits = (images * weights).sum((1, 2, 3))
    torch.testing.assert_close(gradient_penalty(logits, images, 4.0), 2 * weights.square().sum())


def test_relativistic_loss() -> None:
    logits = torch.tensor([1.0, -2.0])
    assert abs(relativistic_loss(logits, logits) - torch.tensor(2.0).log()) < 1e-6
    assert relativistic_loss(logits + 50, logits) < 1e-6
    assert abs(relativistic_loss(logits, logits + 50) - 50) < 1e-4
