"""All pictures of a source, decoded once and cached.

Taught in notebooks/02_data.ipynb.
"""

import os
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional as transforms

from dcgan_lib import cache
from dcgan_lib.config import Config, InputError, cache_root
from dcgan_lib.decode import decode, to_mode
from dcgan_lib.files import READING_ERRORS, from_system, reason, require_room
from dcgan_lib.pictures import PictureSet, denormalize, normalize, require_pictures
from dcgan_lib.progress import progress
from dcgan_lib.shards import SHARDS, open_shards
from dcgan_lib.sources import Source, find_source

__all__ = ["PictureSet", "decode", "denormalize", "load_pictures", "normalize", "require_pictures", "to_mode"]

CACHE_VERSION = 1
"""Raised whenever the same source would be decoded differently, so that old caches are not read."""
CHUNK = 256
LARGEST = 4096


def load_pictures(name: str = "faces", image_size: int = 64, channels: int | None = None) -> PictureSet:
    """All pictures of a source at one size, decoded at the first call and read from the cache ever after.

    A few files that cannot be read are left out; a sentence on stderr and a report beside the cache name them.

    Args:
        name: faces, digits, mnist, fashion_mnist, cifar10, svhn, celeba, folder:PATH, or shards:PATH, whose pictures
            are decoded whenever they are wanted and never cached.
        image_size: height and width in pixels, from 1 to `LARGEST`.
        channels: 1 (grey) or 3 (colour); left out, what the source has.

    Raises:
        InputError: an argument is out of its range, there is no such source, its files are missing, more of them are
            broken than `skipped.MOST_SKIPPED` allows, or the cache cannot be written.
    """
    Config(data=name, channels=channels)  # what holds for a run holds here too, but for the size
    if not isinstance(image_size, Integral) or not 1 <= image_size <= LARGEST:
        raise InputError(
            f"image_size must be a whole number from 1 to {LARGEST}, and {image_size!r} is not: change its value."
        )
    if name.startswith(SHARDS):
        return open_shards(name, image_size, channels or 3)
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
                if from_system(error):  # perhaps there is none tomorrow: nothing to cache
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
