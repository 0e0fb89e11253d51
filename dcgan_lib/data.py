"""Pictures as uint8 tensors, decoded once and cached; batches in [-1, 1] on the device.

Taught in notebooks/02_data.ipynb.
"""

import contextlib
import os
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import functional as transforms

from dcgan_lib import cache
from dcgan_lib.config import InputError, cache_root
from dcgan_lib.files import READING_ERRORS, reason, require_room
from dcgan_lib.progress import progress
from dcgan_lib.rng import rng
from dcgan_lib.sources import Source, find_source

CACHE_VERSION = 1
"""Raised whenever the same source would be decoded differently, so that old caches are not read."""
CHUNK = 256


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
    in memory what fits.
    """

    name: str
    images: Tensor
    """uint8 (N, C, H, W)."""
    labels: dict[str, Tensor] = field(default_factory=dict)
    """For each attribute the value's number, int64 (N,); empty where nothing is known."""
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each attribute the names of its values."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def image_size(self) -> int:
        return self.images.shape[-1]

    def batch(self, batch_size: int, seed: int, step: int, device: torch.device | str = "cpu") -> Tensor:
        """The real pictures of a step, float32 (batch_size, C, H, W) in [-1, 1].

        Every epoch goes through all pictures in a new order that is a function of (seed, epoch); pictures left
        over after the last full batch wait for the next epoch. They travel to the device as bytes.
        """
        epoch, place = divmod(step, len(self) // batch_size)
        chosen = _order(len(self), seed, epoch)[place * batch_size : (place + 1) * batch_size]
        return normalize(self.images[chosen].to(device, non_blocking=True))


@lru_cache(maxsize=8)
def _order(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=rng(seed, "order", epoch))


def to_mode(image: Image.Image, channels: int) -> Image.Image:
    """The picture upright, with 1 (grey) or 3 (colour) channels: palette, grey, RGBA, CMYK and 16-bit files too.

    Transparent parts become white.
    """
    image.load()
    with contextlib.suppress(*READING_ERRORS):  # where only the EXIF part is broken, the picture is read without it
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, which PIL would clip instead of scaling
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def decode(image: Image.Image, image_size: int, channels: int) -> np.ndarray:
    """One picture as uint8 (channels, image_size, image_size): the shorter side resized, the middle cut out."""
    image = transforms.resize(to_mode(image, channels), image_size)
    pixels = np.asarray(transforms.center_crop(image, image_size))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def load_pictures(name: str = "faces", image_size: int = 64, channels: int | None = None) -> PictureSet:
    """All pictures of a source at one size, decoded at the first call and read from the cache ever after.

    A few files that cannot be read are left out; a sentence on stderr and a report beside the cache name them.

    Args:
        name: faces, digits, mnist, fashion_mnist, cifar10, svhn, celeba or folder:PATH.
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (colour); left out, what the source has.

    Raises:
        InputError: there is no such source, its files are missing, more of them are broken than `skipped.MOST_SKIPPED`
            allows, or the cache cannot be written.
    """
    source = find_source(name)
    channels = channels or source.channels
    label = re.sub(r"\W+", "_", Path(source.name).name)[-40:]  # file names have an end
    path = cache_root() / f"{label}-{source.key}-{image_size}x{image_size}x{channels}-v{CACHE_VERSION}.npy"
    shape = (source.count, channels, image_size, image_size)
    cached = cache.read(path, shape)
    if cached is None:
        cache.write(path, shape, lambda images: _fill(images, source, image_size, channels))
        cached = cache.read(path, shape)
    if cached is None:
        raise InputError(f"The cache file {path} was changed while it was written: try again.")
    images, kept = cached
    labels = source.labels if kept is None else {key: values[kept] for key, values in source.labels.items()}
    return PictureSet(name, images, labels, source.values)


def _fill(images: np.ndarray, source: Source, image_size: int, channels: int) -> cache.Bad:
    bad: cache.Bad = {}

    def fill_chunk(start: int) -> int:
        numbers = range(start, min(start + CHUNK, source.count))
        if source.paint:
            painted = source.paint(torch.tensor(numbers), image_size)
            images[start : numbers.stop] = (painted if channels == 3 else transforms.rgb_to_grayscale(painted)).numpy()
            return len(numbers)
        for number in numbers:
            try:
                with source.read(number) as image:
                    require_room(image, image_size)
                    images[number] = decode(image, image_size, channels)
            except READING_ERRORS as error:
                if not source.paths:
                    raise InputError(f"{source.name} cannot be read ({reason(None, error)}): get it anew.") from error
                path = source.paths[number]
                if getattr(error, "errno", None):  # no fault of the file, and perhaps none tomorrow: nothing to cache
                    raise InputError(f"{path} cannot be read ({reason(path, error)}): change that.") from error
                bad[number] = path, reason(path, error)
        return len(numbers)

    # Threads, not processes: PIL decodes outside Python's lock, and nothing has to be pickled.
    bar = progress(total=source.count, desc=source.name, unit="picture")
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        warnings.filterwarnings("ignore", module="PIL")  # what it reads in spite of a doubt is fine
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # outside the threads, which all share it
        for done in pool.map(fill_chunk, range(0, source.count, CHUNK)):
            bar.update(done)
    return bad
