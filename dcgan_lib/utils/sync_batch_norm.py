"""Batch norm over the batches of all processes, on CPUs too. Taught in notebooks/11_speed_and_scale.ipynb."""

from typing import Any

import torch
from torch import Tensor, nn

from dcgan_lib.utils.distributed import all_reduce_mean, size


class AllReduceMean(torch.autograd.Function):
    """The average over all processes; so is its gradient. torch's own differentiable all_reduce is deprecated."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return all_reduce_mean(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return all_reduce_mean(gradient.clone())


class SyncBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose mean and variance, in training, are those of the batches of all processes together.

    Every process has to hold as many images. torch's own `nn.SyncBatchNorm` does the same on GPUs and refuses CPUs.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape and dtype; statistics are float32 at least."""
        if not self.training:
            return super().forward(images)
        pixels = images.to(torch.promote_types(images.dtype, torch.float32))
        mean = AllReduceMean.apply(pixels.mean((0, 2, 3), keepdim=True))
        centred = pixels - mean
        var = AllReduceMean.apply(centred.square().mean((0, 2, 3), keepdim=True))
        count = pixels[:, 0].numel() * size()
        self.running_mean.lerp_(mean.detach().flatten(), self.momentum)
        self.running_var.lerp_(var.detach().flatten() * count / (count - 1), self.momentum)
        self.num_batches_tracked += 1
        scale = self.weight.view(-1, 1, 1) * (var + self.eps).rsqrt()
        return (centred * scale + self.bias.view(-1, 1, 1)).to(images.dtype)


def synchronise(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with every batch norm synchronised, in place; weights and statistics stay as they are."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            twin = SyncBatchNorm(module.num_features, module.eps, module.momentum)
            twin.load_state_dict(module.state_dict())
            network.set_submodule(name, twin)
    return network
