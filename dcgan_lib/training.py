"""One step of training.

Taught in notebooks/07_training.ipynb.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dcgan_lib.losses import fake_loss, generator_loss, real_loss


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through the network to its input, and none is computed for its own weights."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def train_step(
    generator: nn.Module,
    discriminator: nn.Module,
    g_optimizer: Optimizer,
    d_optimizer: Optimizer,
    real: Tensor,
    z: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Update the discriminator once, then the generator once (Goodfellow et al. 2014, algorithm 1, with k = 1).

    Args:
        real: pictures (N, C, H, W) in [-1, 1].
        z: (N, latent_dim), the same z for both halves, as the well-known PyTorch example has it.
        dtype: what convolutions are computed in; losses are always float32.

    Returns:
        The step's row of the history, detached, on the pictures' device: see `history.COLUMNS`.
    """
    autocast = torch.autocast(real.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)

    d_optimizer.zero_grad()
    with autocast:
        real_logits = discriminator(real)
        d_real_loss = real_loss(real_logits)
    d_real_loss.backward()
    with autocast:
        fake = generator(z)
        fake_logits = discriminator(fake.detach())  # the generator is not to blame for the discriminator's loss
        d_fake_loss = fake_loss(fake_logits)
    d_fake_loss.backward()
    d_optimizer.step()

    g_optimizer.zero_grad()
    with frozen(discriminator):
        with autocast:
            new_logits = discriminator(fake)
            g_loss = generator_loss(new_logits)
        g_loss.backward()
    g_optimizer.step()

    d_x, before, after = (logits.detach().float().sigmoid().mean() for logits in (real_logits, fake_logits, new_logits))
    return torch.stack([(d_real_loss + d_fake_loss).detach(), g_loss.detach(), d_x, before, after])
