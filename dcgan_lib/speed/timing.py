"""How fast something is, and how fast it could be.

Used in notebooks/11_speed_and_scale.ipynb and by benchmarks/bench.py.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from dcgan_lib.config import Config
from dcgan_lib.networks import build_networks
from dcgan_lib.training import train_step


def compare(calls: list[Callable], seconds: float = 1, rounds: int = 3) -> list[float]:
    """Seconds that one call of each takes, the median of some rounds.

    They take turns in every round, so that whatever else the machine does hits all of them alike.

    Args:
        calls: what to measure.
        seconds: about how long each is called in each round, at least twice.
    """
    counts = [max(2, round(seconds / min(_time(call, 1), _time(call, 1)))) for call in calls]
    times = [[_time(call, count) for call, count in zip(calls, counts, strict=True)] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def _time(call: Callable[[], object], count: int) -> float:
    """Seconds a call, until an accelerator has done all of it."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return (time.perf_counter() - start) / count


def step_flops(config: Config) -> int:
    """Floating point operations of one `train_step` by torch's own count: convolutions, forwards and backwards.

    An addition and a multiplication count as two.
    """
    config = config.replace(channels=config.channels or 3)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:  # tensors without numbers: nothing to compute
        generator, discriminator = build_networks(config)
        optimizers = [torch.optim.SGD(network.parameters()) for network in (generator, discriminator)]
        real = torch.zeros(config.batch_size, config.channels, config.image_size, config.image_size)
        train_step(generator, discriminator, *optimizers, real, torch.zeros(config.batch_size, config.latent_dim))
    return counter.get_total_flops()


def matmul_speed(dtype: torch.dtype, device: torch.device, size: int = 2048) -> float:
    """Floating point operations a second in a product of two square matrices: what the device can do at its best.

    It is computed as a matrix product and as a convolution with kernel 1, because two libraries do these; the faster
    one counts.

    Args:
        size: rows and columns of both, a multiple of 4.
    """
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    images = a.T.reshape(1, size, 4, size // 4).contiguous(memory_format=torch.channels_last)
    kernels = b.T.reshape(size, size, 1, 1).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * size**3 / min(compare([lambda: a @ b, lambda: torch.conv2d(images, kernels)], 0.3, rounds=5))
