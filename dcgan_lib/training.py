"""One step of training.

Taught in notebooks/07_training.ipynb.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dcgan_lib.losses import fake_loss, generator_loss, real_loss
from dcgan_lib.parallel import local


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through the network to its input, and none is computed for its own weights."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        with local(network):
            yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


@dataclass(frozen=True)
class Part:
    """What a part of a step has just done."""

    name: str
    """real, fake, d_update, g_turn or g_update, in this order."""
    images: Tensor
    """The pictures concerned, (N, C, H, W) in [-1, 1]."""
    logits: Tensor
    """What the discriminator said of them, (N,)."""
    row: Tensor | None = None
    """After the last part: the step's row of the history, detached, on the pictures' device; see `history.COLUMNS`."""


def step_parts(
    generator: nn.Module,
    discriminator: nn.Module,
    g_optimizer: Optimizer | None,
    d_optimizer: Optimizer | None,
    real: Tensor,
    z: Tensor,
    dtype: torch.dtype = torch.float32,
    real_label: float = 1.0,
) -> Iterator[Part]:
    """Update the discriminator once, then the generator once (Goodfellow et al. 2014, algorithm 1, with k = 1).

    It stops after each part, so that somebody may look; `train_step` goes through without a stop.

    Args:
        g_optimizer, d_optimizer: None lets that player stand still; its numbers are taken all the same.
        real: pictures (N, C, H, W) in [-1, 1].
        z: (N, latent_dim), the same z for both halves, as the well-known PyTorch example has it.
        dtype: what convolutions are computed in; losses are always float32.
        real_label: see `losses.real_loss`; for the discriminator only.
    """
    autocast = torch.autocast(real.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)

    discriminator.zero_grad()
    with local(discriminator), autocast:
        real_logits = discriminator(real)
        d_real_loss = real_loss(real_logits, real_label)
    if d_optimizer:
        d_real_loss.backward()
    yield Part("real", real, real_logits)
    with autocast:
        fake = generator(z)
        fake_logits = discriminator(fake.detach())  # the generator is not to blame for the discriminator's loss
        d_fake_loss = fake_loss(fake_logits)
    if d_optimizer:
        d_fake_loss.backward()
    yield Part("fake", fake, fake_logits)
    if d_optimizer:
        d_optimizer.step()
    yield Part("d_update", fake, fake_logits)

    generator.zero_grad()
    with frozen(discriminator):
        with autocast:
            new_logits = discriminator(fake)
            g_loss = generator_loss(new_logits)
        if g_optimizer:
            g_loss.backward()
    yield Part("g_turn", fake, new_logits)
    if g_optimizer:
        g_optimizer.step()

    d_x, before, after = (logits.detach().float().sigmoid().mean() for logits in (real_logits, fake_logits, new_logits))
    row = torch.stack([(d_real_loss + d_fake_loss).detach(), g_loss.detach(), d_x, before, after])
    yield Part("g_update", fake, new_logits, row)


def train_step(
    generator: nn.Module,
    discriminator: nn.Module,
    g_optimizer: Optimizer | None,
    d_optimizer: Optimizer | None,
    real: Tensor,
    z: Tensor,
    dtype: torch.dtype = torch.float32,
    real_label: float = 1.0,
) -> Tensor:
    """One whole step, with the arguments of `step_parts`; returns the step's row of the history."""
    game = generator, discriminator, g_optimizer, d_optimizer
    *_, last = step_parts(*game, real, z, dtype, real_label)
    return last.row
