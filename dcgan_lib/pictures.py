"""Pictures as uint8 tensors, and batches of them in [-1, 1] on the device.

Taught in notebooks/02_data.ipynb.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from dcgan_lib.config import Config, InputError
from dcgan_lib.device import send
from dcgan_lib.rng import rng

ALL = slice(None)
AT_ONCE = 8
"""How many files an epoch goes through side by side, where the pictures lie in several."""


def normalize(images: Tensor) -> Tensor:
    """uint8 pictures in 0..255 -> float32 in [-1, 1], the range of tanh (paper, section 4)."""
    return (images.float() / 255 - 0.5) / 0.5


def denormalize(images: Tensor) -> Tensor:
    """Float pictures in [-1, 1] -> uint8 in 0..255, rounded; values outside are clipped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()


@dataclass(frozen=True)
class PictureSet:
    """Pictures to learn from, all of one size.

    `images` may be a memory-mapped file: then the operating system reads what a batch needs and keeps
    in memory what fits. Or it is something that gives such a tensor for the numbers it is indexed with: see `shards`.
    """

    name: str
    images: Tensor
    """uint8 (N, C, H, W)."""
    labels: dict[str, Tensor] = field(default_factory=dict)
    """For each attribute the value's number, int64 (N,); empty where nothing is known."""
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each attribute the names of its values."""
    blocks: tuple[int, ...] = ()
    """How many pictures each file holds, where it pays to read files one after the other; empty where it does not."""

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def signature(self) -> Tensor:
        """Tells these pictures from others, wherever they lie: float64 (1 + n,).

        Their number, then the mean brightness of at most 256 of them, spread evenly. So it may go unnoticed if one of
        more than these is replaced.
        """
        chosen = torch.arange(min(len(self), 256)) * len(self) // min(len(self), 256)
        pixels = self.images[chosen].cpu().flatten(1)
        return torch.cat([torch.tensor([len(self)]), pixels.sum(1).double() / pixels.shape[1]])

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def image_size(self) -> int:
        return self.images.shape[-1]

    def batch(
        self, batch_size: int, seed: int, step: int, device: torch.device | str = "cpu", rows: slice = ALL
    ) -> Tensor:
        """The real pictures of a step, float32 (batch_size, C, H, W) in [-1, 1].

        Every epoch goes through all pictures in a new order that is a function of (seed, epoch); pictures left
        over after the last full batch wait for the next epoch. They travel to the device as bytes.

        Args:
            rows: which pictures of the batch are wanted; the others are not read.
        """
        images = self.images[send(self._chosen(batch_size, seed, step, rows), self.images.device)]
        if self.blocks:
            self.images.expect(self._chosen(batch_size, seed, step + 1, rows))
        return normalize(send(images, torch.device(device)))

    def _chosen(self, batch_size: int, seed: int, step: int, rows: slice) -> Tensor:
        epoch, place = divmod(step, len(self) // batch_size)
        order = _order(self.blocks or (len(self),), seed, epoch)
        return order[place * batch_size : (place + 1) * batch_size][rows]

    def in_memory(self, most: int = 20_000) -> "PictureSet":
        """Itself; where the pictures lie in shards, at most so many of them, drawn from all, for those who need all."""
        if not self.blocks:
            return self
        chosen = torch.randperm(len(self), generator=rng(0, "in memory"))[:most]
        labels = {name: values[chosen] for name, values in self.labels.items()}
        return PictureSet(self.name, self.images[chosen], labels, self.values)


def require_pictures(pictures: PictureSet, config: Config) -> None:
    """Raises InputError where a run of this config cannot learn these pictures."""
    if pictures.image_size != config.image_size or config.channels not in (None, pictures.channels):
        wanted = f"{config.image_size}, {config.channels or pictures.channels}"
        raise InputError(
            f"The pictures are {pictures.image_size} pixels wide with {pictures.channels} channels, and the config "
            f"asks for {wanted}: load them with load_pictures(config.data, {wanted})."
        )
    if len(pictures) < config.batch_size:
        raise InputError(
            f"{pictures.name} has {len(pictures)} pictures, fewer than one batch of {config.batch_size}: "
            "choose a smaller batch_size or add pictures."
        )


@lru_cache(maxsize=8)
def _order(blocks: tuple[int, ...], seed: int, epoch: int) -> Tensor:
    """All numbers, shuffled; of several blocks, `AT_ONCE` in a new order are shuffled together, then the next ones."""
    draws = rng(seed, "order", epoch)
    if len(blocks) == 1:
        return torch.randperm(blocks[0], generator=draws)
    numbers = torch.arange(sum(blocks)).split(blocks)
    groups = torch.randperm(len(blocks), generator=draws).split(AT_ONCE)
    mixed = [torch.cat([numbers[i] for i in group]) for group in groups]
    return torch.cat([group[torch.randperm(len(group), generator=draws)] for group in mixed])
