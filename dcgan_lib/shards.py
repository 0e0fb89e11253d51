"""Pictures in tar files, read where they lie: for data that no disk or cache of one machine could hold.

The form is that of the webdataset tools: a tar file, uncompressed, with pictures in it, and beside NAME.jpg perhaps a
NAME.cls with the number of its class. Nothing is unpacked. Taught in notebooks/11_speed_and_scale.ipynb.
"""

import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.decode import decode
from dcgan_lib.files import READING_ERRORS, open_picture, require_room
from dcgan_lib.pictures import PictureSet
from dcgan_lib.places import SHARDS, find_places, find_tars, refusal

__all__ = ["SHARDS", "Shards", "open_shards"]

MOST_EXPECTED = 8
"""Batches that are decoded ahead: one for each of the discriminator's turns in a step."""


class Shards:
    """Indexed with numbers, it gives the pictures of these numbers, decoded on all cores: uint8 (n, C, H, W).

    Args:
        paths: the tar files.
        places: int64 (N, 3), of each picture the number of its file, where its bytes begin there, and how many.
    """

    device = torch.device("cpu")

    def __init__(self, paths: list[Path], places: np.ndarray, image_size: int, channels: int) -> None:
        self.paths, self.places = paths, places
        self.shape = (len(places), channels, image_size, image_size)
        self._pool = ThreadPoolExecutor(os.cpu_count())  # PIL decodes outside Python's lock
        self._expected: dict[tuple[int, ...], list[Future[np.ndarray]]] = {}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        numbers = torch.arange(len(self))[index]
        wanted = tuple(numbers.reshape(-1).tolist())
        if wanted not in self._expected:
            self.expect(numbers)
        images = [future.result() for future in self._expected.pop(wanted)]
        return torch.from_numpy(np.stack(images)).reshape(*numbers.shape, *self.shape[1:])

    def expect(self, numbers: Tensor) -> None:
        """Begin to decode what will be asked for soon; what was expected long ago is forgotten."""
        wanted = tuple(numbers.reshape(-1).tolist())
        self._expected[wanted] = [self._pool.submit(self._decode, number) for number in wanted]
        if len(self._expected) > MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]

    def _decode(self, number: int) -> np.ndarray:
        file, start, size = self.places[number]
        path = self.paths[file]
        try:
            with path.open("rb") as tar:  # not mapped: a file that is cut meanwhile would kill Python
                tar.seek(start)
                content = tar.read(size)
            if len(content) < size:
                raise EOFError("the file is cut short")
            with open_picture(io.BytesIO(content)) as image:
                require_room(image, self.shape[-1])
                return decode(image, self.shape[-1], self.shape[1])
        except READING_ERRORS as error:
            raise refusal(f"The picture at byte {start} of {path} cannot be read", None, error) from error


def open_shards(name: str, image_size: int, channels: int) -> PictureSet:
    """The pictures of shards:PATH, a folder with tar files or a pattern such as train-*.tar.

    Raises:
        InputError: there is no tar file, one is compressed or broken, or none holds a picture.
    """
    paths = find_tars(name)
    table = find_places(paths)
    blocks = tuple(np.bincount(table[:, 0], minlength=len(paths)).tolist())
    classes = torch.from_numpy(table[:, 3].copy())
    labelled = bool((classes >= 0).all())
    values = {"class": tuple(map(str, range(int(classes.max()) + 1)))} if labelled else {}
    images = Shards(paths, table[:, :3], image_size, channels)
    return PictureSet(name, images, {"class": classes} if labelled else {}, values, blocks)
