"""All images of a source, decoded once and cached.

Taught in notebooks/02_data.ipynb.
"""

import re
from pathlib import Path

from dcgan_lib.data import cache
from dcgan_lib.data.dataset import ImageDataset
from dcgan_lib.data.sources import find_source
from dcgan_lib.data.tar_shards import SHARDS, open_shards
from dcgan_lib.utils.environment import cache_root
from dcgan_lib.utils.errors import require

CACHE_VERSION = 2
"""Raised whenever the same source would be decoded differently, so that old caches are not read."""
LARGEST = 4096


def load_images(name: str = "faces", image_size: int = 64, channels: int | None = None) -> ImageDataset:
    """All images of a source at one size, decoded at the first call and read from the cache ever after.

    A few files that cannot be read are left out; a sentence on stderr and a report beside the cache name them.

    Args:
        name: faces, digits, mnist, fashion_mnist, cifar10, svhn, celeba, folder:PATH, or shards:PATH, whose images
            are decoded whenever they are wanted and never cached.
        image_size: height and width in pixels, from 1 to `LARGEST`.
        channels: 1 (grey) or 3 (colour); left out, what the source has.

    Raises:
        InputError: an argument is out of its range, there is no such source, its files are missing, more of them are
            broken than `cache.MOST_SKIPPED` allows, or the cache cannot be written.
    """
    require(1 <= image_size <= LARGEST, f"image_size must be from 1 to {LARGEST}, and {image_size} is not: change it.")
    require(channels in (None, 1, 3), f"channels must be 1 (grey) or 3 (colour), and {channels!r} is not: change that.")
    if name.startswith(SHARDS):
        return open_shards(name, image_size, channels or 3)
    source = find_source(name)
    channels = channels or source.channels
    label = re.sub(r"\W+", "_", Path(source.name).name)[-40:]  # no file name may be much longer
    path = cache_root() / f"{label}-{source.key}-{image_size}x{image_size}x{channels}-v{CACHE_VERSION}.npy"
    shape = (source.count, channels, image_size, image_size)
    images, kept = cache.load(path, shape, lambda numbers: source.decode(numbers, image_size, channels), source.name)
    return ImageDataset(name, images, {key: labels[kept] for key, labels in source.labels.items()}, source.values)
