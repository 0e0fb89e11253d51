"""Images as uint8 tensors, and batches of them in [-1, 1] on the device.

Taught in notebooks/02_data.ipynb.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.utils.errors import require
from dcgan_lib.utils.rng import rng

CPU, ALL = torch.device("cpu"), slice(None)
AT_ONCE = 8
"""How many blocks, such as tar files, an epoch goes through side by side."""


def normalize(images: Tensor) -> Tensor:
    """uint8 pictures in 0..255 -> float32 in [-1, 1], the range of tanh (paper, section 4)."""
    return (images.float() / 255 - 0.5) / 0.5


def denormalize(images: Tensor) -> Tensor:
    """Float pictures in [-1, 1] -> uint8 in 0..255, rounded; values outside are clipped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on its way to the device; a GPU goes on computing meanwhile."""
    if device.type == "cuda" and batch.device.type == "cpu":
        batch = batch.pin_memory()  # only from such memory does a GPU fetch by itself
    return batch.to(device, non_blocking=True)


@dataclass(frozen=True)
class ImageDataset:
    """Images to learn from, all of one size.

    `images` may be a memory-mapped file: then the operating system reads what a batch needs and keeps in memory what
    fits. For images that lie in tar files see `tar_shards.ShardDataset`, which does the same with its own `images`.
    """

    name: str
    images: Tensor
    """uint8 (N, C, H, W)."""
    labels: dict[str, Tensor] = field(default_factory=dict)
    """For each attribute the value's number, int64 (N,); empty where nothing is known."""
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each attribute the names of its values."""

    def __post_init__(self) -> None:
        kind, shape = getattr(self.images, "dtype", torch.uint8), tuple(self.images.shape)  # in tar files they are
        fits = kind == torch.uint8 and len(shape) == 4 and shape[1] in (1, 3) and shape[2] == shape[3]
        wanted = "a tensor of uint8 (N, C, H, W) from 0 to 255 with C 1 or 3 and H = W; floats from 0 to 1"
        require(fits, f"{self.name} is of {kind} {shape} and not {wanted} become it by (255 * x).round().byte().")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def image_size(self) -> int:
        return self.images.shape[-1]

    @cached_property
    def signature(self) -> Tensor:
        """Tells these images from others, wherever they lie: float64 (1 + n,).

        Their number, then the mean brightness of at most 256 of them, spread evenly. So it may go unnoticed if one of
        more than these is replaced.
        """
        chosen = torch.arange(min(len(self), 256)) * len(self) // min(len(self), 256)
        pixels = self.images[chosen].cpu().flatten(1)
        return torch.cat([torch.tensor([len(self)]), pixels.sum(1).double() / pixels.shape[1]])

    def batch(
        self, batch_size: int, seed: int, step: int, device: torch.device = CPU, rows: slice = ALL, owner: str = "order"
    ) -> Tensor:
        """The real images of a step, float32 (batch_size, C, H, W) in [-1, 1].

        Every epoch goes through all images in a new order that is a function of (seed, epoch); images left
        over after the last full batch wait for the next epoch. They travel to the device as bytes.

        Args:
            rows: which images of the batch are wanted; the others are not read.
            owner: who draws the order; another owner gets another one.
        """
        now, later = (self._numbers(batch_size, seed, i, owner)[rows] for i in (step, step + 1))
        return normalize(to_device(self._read(now, later), device))

    def _numbers(self, batch_size: int, seed: int, step: int, owner: str) -> Tensor:
        """Which images are in the batch of a step, int64 (batch_size,)."""
        epoch, place = divmod(step, len(self) // batch_size)
        return self._order(seed, owner, epoch)[place * batch_size : (place + 1) * batch_size]

    def _read(self, numbers: Tensor, upcoming: Tensor) -> Tensor:
        """The images with these numbers; what comes next is told too, for those who can begin to read it."""
        return self.images[to_device(numbers, self.images.device)]

    def _order(self, seed: int, owner: str, epoch: int) -> Tensor:
        return shuffled((len(self),), seed, owner, epoch)

    def to_gpu_if_it_fits(self, device: torch.device) -> "ImageDataset":
        """With all images in the GPU's memory where they take at most a quarter of what is free there; else itself."""
        if device.type != "cuda" or 4 * self.images.nbytes > torch.cuda.mem_get_info(device)[0]:
            return self
        return replace(self, images=self.images.to(device))

    def in_memory(self, most: int = 20_000) -> "ImageDataset":
        """Itself; where the images lie in tar files, at most so many of them, for those who need all at once."""
        return self


@lru_cache(maxsize=8)
def shuffled(blocks: tuple[int, ...], seed: int, owner: str, epoch: int) -> Tensor:
    """All numbers of several blocks: `AT_ONCE` blocks, in a new order, are shuffled together, then the next ones."""
    draws = rng(seed, owner, epoch)
    numbers = torch.arange(sum(blocks)).split(blocks)
    groups = torch.randperm(len(blocks), generator=draws).split(AT_ONCE)
    mixed = [torch.cat([numbers[i] for i in group]) for group in groups]
    return torch.cat([group[torch.randperm(len(group), generator=draws)] for group in mixed])


def require_dataset_fits(dataset: ImageDataset, config: Config) -> None:
    """Raises InputError where a run of this config cannot learn these images."""
    ours = f"{dataset.image_size}, {dataset.channels}"
    wanted = f"{config.image_size}, {config.channels or dataset.channels}"
    words = f"The pictures have size and channels {ours}, and the config asks for {wanted}"
    require(ours == wanted, f"{words}: load them with load_images(config.data, {wanted}).")
    few = f"{dataset.name} has {len(dataset)} pictures, fewer than one batch of {config.batch_size}"
    require(len(dataset) >= config.batch_size, f"{few}: choose a smaller batch_size or add pictures.")
