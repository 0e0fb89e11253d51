"""Batch norm over the batches of all processes, on CPUs too.

Taught in notebooks/11_speed_and_scale.ipynb.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Average(torch.autograd.Function):
    """The average over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _averaged(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _averaged(gradient)


def _averaged(values: Tensor) -> Tensor:
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


class SyncBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose mean and variance, in training, are those of the batches of all processes together.

    Every process has to hold as many pictures. torch's own `nn.SyncBatchNorm` does the same on GPUs and refuses CPUs.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape and dtype; statistics are float32 at least."""
        if not self.training:
            return super().forward(images)
        pixels = images.to(torch.promote_types(images.dtype, torch.float32))
        mean = _Average.apply(pixels.mean((0, 2, 3)))
        centred = pixels - mean.view(1, -1, 1, 1)
        var = _Average.apply(centred.square().mean((0, 2, 3)))
        count = pixels.numel() / pixels.shape[1] * dist.get_world_size()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (var + self.eps).rsqrt()
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(images.dtype)


def synchronise(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with every batch norm synchronised, in place; weights and statistics stay as they are."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for name, module in list(network.named_modules()):
        if type(module) is nn.BatchNorm2d:
            twin = SyncBatchNorm(module.num_features, module.eps, module.momentum).to(device)
            twin.load_state_dict(module.state_dict())
            network.set_submodule(name, twin)
    return network
