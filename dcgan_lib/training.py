"""One step of training: the discriminator's turn, the generator's turn, and both.

Taught in notebooks/07_training.ipynb.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dcgan_lib.losses import fake_loss, generator_loss, real_loss
from dcgan_lib.utils.distributed import no_sync


def discriminator_step(
    discriminator: nn.Module, optimizer: Optimizer, real: Tensor, fake: Tensor, real_label: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Update the discriminator once (Goodfellow et al. 2014, algorithm 1).

    Args:
        real, fake: images (N, C, H, W) in [-1, 1]; the generator that made the fakes gets no gradient.
        real_label: see `losses.real_loss`.

    Returns:
        The loss, and the logits of the real and of the fake images (N,), all from before the update.
    """
    discriminator.zero_grad()
    with no_sync(discriminator):  # several processes average both gradients at once, in the second backward pass
        real_logits = discriminator(real)
        loss_on_real = real_loss(real_logits, real_label)
        loss_on_real.backward()
    fake_logits = discriminator(fake.detach())  # the generator is not to blame for the discriminator's loss
    loss_on_fake = fake_loss(fake_logits)
    loss_on_fake.backward()
    optimizer.step()
    return (loss_on_real + loss_on_fake).detach(), real_logits.detach(), fake_logits.detach()


def generator_step(
    discriminator: nn.Module, generator: nn.Module, optimizer: Optimizer, fake: Tensor
) -> tuple[Tensor, Tensor]:
    """Update the generator once, with its non-saturating loss.

    Args:
        fake: images (N, C, H, W) that the generator has just made, still attached to it.

    Returns:
        The loss, and the fakes' logits (N,) that it was computed from.
    """
    generator.zero_grad()
    with frozen(discriminator):
        fake_logits = discriminator(fake)
        loss = generator_loss(fake_logits)
        loss.backward()
    optimizer.step()
    return loss.detach(), fake_logits.detach()


class Step(NamedTuple):
    """What happened in one step; nothing in it has a gradient."""

    fake: Tensor
    """The images that the generator made from z, (N, C, H, W) in [-1, 1]."""
    d_loss: Tensor
    real_logits: Tensor
    fake_logits: Tensor
    """Before the discriminator's update, (N,)."""
    g_loss: Tensor
    new_logits: Tensor
    """Of the same fakes after the discriminator's update, (N,)."""

    def row(self) -> Tensor:
        """The step's row of the history, float32 (5,), on its device: see `history.COLUMNS`."""
        beliefs = [logits.float().sigmoid().mean() for logits in (self.real_logits, self.fake_logits, self.new_logits)]
        return torch.stack([self.d_loss, self.g_loss, *beliefs])


def train_step(
    generator: nn.Module,
    discriminator: nn.Module,
    g_optimizer: Optimizer,
    d_optimizer: Optimizer,
    real: Tensor,
    z: Tensor,
    real_label: float = 1.0,
) -> Step:
    """Update the discriminator once, then the generator once (Goodfellow et al. 2014, algorithm 1, with k = 1).

    Args:
        real: images (N, C, H, W) in [-1, 1].
        z: (N, latent_dim); both halves use the same fakes, as the well-known PyTorch example has it.
        real_label: for the discriminator only.
    """
    fake = generator(z)
    d_loss, real_logits, fake_logits = discriminator_step(discriminator, d_optimizer, real, fake, real_label)
    g_loss, new_logits = generator_step(discriminator, generator, g_optimizer, fake)
    return Step(fake.detach(), d_loss, real_logits, fake_logits, g_loss, new_logits)


@torch.no_grad()
def update_average(average: nn.Module, generator: nn.Module, ema_decay: float, step: int) -> None:
    """Move the weights of `average`, and its batch norm's statistics, a little towards the generator's (Yazici 2019).

    average = decay * average + (1 - decay) * generator, where the decay grows from 0.1 to `ema_decay`, as
    (1 + step) / (10 + step), so that the random weights of the beginning are soon forgotten.

    Args:
        step: how many steps came before this one.
    """
    decay = min(ema_decay, (1 + step) / (10 + step))
    for slow, fast in zip(average.state_dict().values(), generator.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)  # batch norm's count of batches


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through the network to its input, and none is computed for its own weights."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        with no_sync(network):
            yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
