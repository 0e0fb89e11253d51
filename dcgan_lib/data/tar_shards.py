"""Images in tar files, read where they lie: for data that no disk or cache of one machine could hold.

The form is that of the webdataset tools: uncompressed tar files with images in them. Nothing is unpacked.

Taught in notebooks/11_speed_and_scale.ipynb.
"""

import contextlib
import glob
import os
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.data import cache
from dcgan_lib.data.dataset import ImageDataset, shuffled
from dcgan_lib.data.image_files import ImageError, decode_bytes, fingerprint, is_hidden, is_picture, reason
from dcgan_lib.utils.console import progress
from dcgan_lib.utils.environment import cache_root
from dcgan_lib.utils.errors import InputError, require
from dcgan_lib.utils.files import write_file
from dcgan_lib.utils.rng import rng

SHARDS = "shards:"
INDEX = np.dtype([("file", np.int64), ("start", np.int64), ("size", np.int64)])
"""Of an image the number of its file, where its bytes begin there, and how many."""


class Shards:
    """Indexed with numbers, it gives the images with these numbers, decoded on all cores: uint8 (n, C, H, W).

    Args:
        paths: the tar files.
        index: where the images lie in them, `INDEX` (N,).
    """

    def __init__(self, paths: list[Path], index: np.ndarray, image_size: int, channels: int) -> None:
        self.paths, self.index = paths, index
        self.shape = (len(index), channels, image_size, image_size)
        self.blocks = tuple(np.bincount(index["file"], minlength=len(paths)).tolist())  # how many each file holds
        self._pool = ThreadPoolExecutor(os.cpu_count())  # PIL decodes outside Python's lock
        self._expected: dict[tuple[int, ...], list[Future[np.ndarray]]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        numbers = torch.arange(len(self))[index]
        images = [future.result() for future in self._expected.pop(self.prefetch(numbers))]
        return torch.from_numpy(np.stack(images)).reshape(*numbers.shape, *self.shape[1:])

    def prefetch(self, numbers: Tensor) -> tuple[int, ...]:
        """Begin to decode what will be asked for soon."""
        wanted = tuple(numbers.flatten().tolist())
        if wanted not in self._expected:
            self._expected[wanted] = [self._pool.submit(self._decode, number) for number in wanted]
        return wanted

    def _decode(self, number: int) -> np.ndarray:
        place = self.index[number]
        path = self.paths[place["file"]]
        try:
            with path.open("rb") as tar:
                tar.seek(place["start"])
                return decode_bytes(tar.read(place["size"]), self.shape[-1], self.shape[1])
        except (OSError, ImageError) as error:
            where = f"The picture at byte {place['start']} of {path}"
            raise InputError(f"{where} cannot be read ({reason(error)}): write this shard anew.") from error


class ShardDataset(ImageDataset):
    """Images in tar files: an epoch reads a few files at a time, and the next batch is decoded during the step."""

    images: Shards

    def _read(self, numbers: Tensor, upcoming: Tensor) -> Tensor:
        images = self.images[numbers]
        self.images.prefetch(upcoming)
        return images

    def _order(self, seed: int, owner: str, epoch: int) -> Tensor:
        return shuffled(self.images.blocks, seed, owner, epoch)

    def to_gpu_if_it_fits(self, device: torch.device) -> ImageDataset:
        """Itself: images in tar files are decoded when they are wanted."""
        return self

    def in_memory(self, most: int = 20_000) -> ImageDataset:
        """At most so many of the images, drawn from all."""
        chosen = torch.randperm(len(self), generator=rng(0, "in memory"))[:most]
        return ImageDataset(self.name, self.images[chosen])


def open_shards(name: str, image_size: int, channels: int) -> ShardDataset:
    """The images of shards:PATH, a folder with tar files or a pattern such as train-*.tar.

    Raises:
        InputError: there is no tar file, one is compressed or broken, or none holds an image.
    """
    paths = _find_tars(name.removeprefix(SHARDS))
    return ShardDataset(name, Shards(paths, _load_index(paths), image_size, channels))


def _find_tars(path: str) -> list[Path]:
    wanted, advice = os.path.expanduser(path), "write shards:PATH with a folder of .tar files or a pattern."
    require(bool(path), f"shards: names no folder: {advice}")
    pattern = os.path.join(glob.escape(wanted), "*.tar") if os.path.isdir(wanted) else wanted
    paths = sorted(Path(path) for path in glob.glob(pattern) if os.path.isfile(path))
    require(len(paths) > 0, f"There is no tar file {wanted}: {advice}")
    return paths


def _load_index(paths: list[Path]) -> np.ndarray:
    """Where the images lie, `INDEX` (N,): kept in the cache folder until a file's size or time changes."""
    file = cache_root() / f"tar-index-{fingerprint(paths)}-v2.npy"
    with contextlib.suppress(Exception):  # it is not there or damaged, where NumPy may raise anything
        return np.load(file)
    bar = progress(paths, desc="shards", unit="file")
    index = np.array([place for number, path in enumerate(bar) for place in _scan(number, path)], dtype=INDEX)
    require(len(index) > 0, f"No picture is in {paths[0]} or the {len(paths) - 1} other tar files: fill them.")
    write_file(file, lambda opened: np.save(opened, index), cache.ADVICE)
    return index


def _scan(number: int, path: Path) -> list[tuple[int, int, int]]:
    """The rows of `INDEX` for the images of a tar file."""
    places = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                hidden = any(map(is_hidden, Path(member.name).parts))
                if member.isfile() and not hidden and is_picture(member.name):
                    places.append((number, member.offset_data, member.size))
    except (tarfile.TarError, OSError, ValueError) as error:
        advice = "write it anew as an uncompressed tar file"
        raise InputError(f"{path} cannot be read ({reason(error)}): {advice}.") from error
    return places
