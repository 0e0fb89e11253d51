"""Pictures from a trained generator, and ways through its latent space.

Taught in notebooks/08_results.ipynb.
"""

import torch
from torch import Tensor, nn

from dcgan_lib.utils.rng import rng


def sample_latents(n: int, latent_dim: int, seed: int, owner: str = "sample") -> Tensor:
    """n random vectors from N(0, 1), float32 (n, latent_dim): the first n of one sequence for each seed and owner."""
    size = n * latent_dim  # torch draws by 16, and ends otherwise where fewer are left
    return torch.randn(size + -size % 16, generator=rng(seed, owner))[:size].reshape(n, latent_dim)


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


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """The point at t on the arc from a to b (Shoemake 1985): t = 0 gives a, t = 1 gives b.

    Args:
        a, b: (..., latent_dim), not in opposite directions.
        t: a number, or a tensor that broadcasts against a and b.
    """
    cosine = torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1)
    angle = torch.acos(cosine)[..., None]
    arc = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    return torch.where(angle < 1e-4, torch.lerp(a, b, torch.as_tensor(t, dtype=a.dtype)), arc)


def principal_directions(generator: nn.Module, count: int) -> Tensor:
    """Unit vectors (count, latent_dim) along which the generator's first layer changes most (Shen and Zhou 2021).

    Args:
        generator: a network whose `layers` begin with a transposed convolution.
    """
    weight = generator.layers[0].weight.detach().cpu().flatten(1)
    return torch.linalg.svd(weight, full_matrices=False).U.T[:count].contiguous()
