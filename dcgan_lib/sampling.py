"""Pictures from a trained generator."""

import torch
from torch import Tensor, nn

from dcgan_lib.rng import rng


def draw_z(n: int, latent_dim: int, seed: int, owner: str = "sample") -> Tensor:
    """n random vectors from N(0, 1), float32 (n, latent_dim): the same for the same seed and owner."""
    return torch.randn(n, latent_dim, generator=rng(seed, owner))


@torch.no_grad()
def sample(generator: nn.Module, z: Tensor, train_mode: bool = False, chunk: int = 250) -> Tensor:
    """Pictures for z (N, latent_dim): float32 (N, C, H, W) in [-1, 1] on the CPU.

    Batch norm uses its running statistics, so a z gives the same picture whatever stands beside it. With
    `train_mode` it uses the mean and variance of each chunk, as in training, and the running ones stay as they were.
    """
    was_training, device = generator.training, next(generator.parameters()).device
    # only training mode changes them; a graph that still waits for its backward pass needs them untouched
    before = {name: buffer.clone() for name, buffer in generator.named_buffers() if train_mode}
    generator.train(train_mode)
    images = torch.cat([generator(part.to(device)).float().cpu() for part in z.split(chunk)])
    generator.train(was_training)
    for name, value in before.items():
        generator.get_buffer(name).copy_(value)
    return images
