"""Where images come from: embedded sets, torchvision's sets, and any folder, each as a numbered list.

Taught in notebooks/02_data.ipynb.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import datasets
from torchvision.transforms.functional import rgb_to_grayscale, to_pil_image

from dcgan_lib.data import faces
from dcgan_lib.data.dataset import ImageDataset
from dcgan_lib.data.image_files import ImageError, decode, decode_bytes, find_image_files, fingerprint, reason
from dcgan_lib.utils.environment import data_root
from dcgan_lib.utils.errors import InputError, require

FACES_COUNT = 10_000
SETS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "svhn": "SVHN", "celeba": "CelebA"}
"""What torchvision calls its sets."""


@dataclass(frozen=True)
class Source:
    """A numbered list of images that are not decoded yet."""

    name: str
    key: str
    """Tells this content from any other: part of the cache's file name."""
    count: int
    channels: int
    """What the images have themselves: 1 or 3."""
    decode: Callable[[range, int, int], list[np.ndarray | str]]
    """(numbers, image_size, channels) -> for each number its image, uint8 (C, H, W), or what is wrong with its file."""
    labels: dict[str, Tensor] = field(default_factory=dict)
    """For each attribute the value's number, int64 (count,)."""
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each attribute the names of its values."""


def find_source(name: str) -> Source:
    """The source of that name: faces, digits, mnist, fashion_mnist, cifar10, svhn, celeba or folder:PATH.

    Torchvision's sets are looked for below `DCGAN_DATA` and downloaded if they are not there.

    Raises:
        InputError: there is no such source, or its files are missing or broken.
    """
    special = {"faces": _faces, "digits": _digits, "celeba": _celeba}
    if name in special:
        return special[name]()
    if name.startswith("folder:"):
        return _folder(name.removeprefix("folder:"))
    advice = f"choose {', '.join({**special, **SETS})}, folder:PATH or shards:PATH"
    advice = f"it is a folder, so write folder:{name}" if name and Path(name).is_dir() else advice
    require(name in SETS, f"There is no data called {name!r}: {advice}.")
    return _torchvision(name)


def _faces() -> Source:
    def paint(numbers: range, image_size: int, channels: int) -> list[np.ndarray]:
        images = faces.paint(0, torch.tensor(numbers), image_size)
        return list((images if channels == 3 else rgb_to_grayscale(images)).numpy())

    labels = faces.attributes(0, torch.arange(FACES_COUNT))
    return Source("faces", f"{FACES_COUNT}-painter{faces.VERSION}", FACES_COUNT, 3, paint, labels, faces.ATTRIBUTES)


def _digits() -> Source:
    from sklearn.datasets import load_digits  # only this source needs scikit-learn

    digits = load_digits()
    images = (digits.images * (255 / 16)).round().astype(np.uint8)  # scikit-learn stores 0 to 16
    return _from_arrays("digits", images, digits.target)


def _torchvision(name: str) -> Source:
    data = _open_torchvision(name, "delete damaged files there, set DCGAN_DATA to its folder, or try with a network")
    if name == "svhn":
        return _from_arrays(name, data.data.transpose(0, 2, 3, 1), data.labels)
    return _from_arrays(name, np.asarray(data.data), data.targets, tuple(data.classes))


def _open_torchvision(name: str, advice: str, **options: Any) -> Any:
    """torchvision's data set of that name, downloaded if it is not there."""
    try:
        return getattr(datasets, SETS[name])(data_root(), download=True, **options)
    except Exception as error:  # where a file is damaged, torchvision may raise anything
        sentence = f"{name} could not be opened below {data_root()} or downloaded ({reason(error)}): {advice}."
        raise InputError(sentence) from error


def _from_arrays(name: str, images: np.ndarray, labels: Any, names: tuple[str, ...] = tuple("0123456789")) -> Source:
    """Images (N, H, W) or (N, H, W, 3)."""

    def decode_all(numbers: range, image_size: int, channels: int) -> list[np.ndarray]:
        return [decode(Image.fromarray(images[i]), image_size, channels) for i in numbers]

    count, channels = len(images), 3 if images.ndim == 4 else 1
    labels = {"class": torch.as_tensor(labels, dtype=torch.int64)}
    return Source(name, str(count), count, channels, decode_all, labels, {"class": names})


def _celeba() -> Source:
    folder = data_root() / "celeba"
    archive = folder / "img_align_celeba.zip"
    lists = ", ".join(f"list_{name}.txt" for name in ("attr_celeba", "bbox_celeba", "landmarks_align_celeba"))
    files = f"img_align_celeba.zip, {lists}, list_eval_partition.txt and identity_CelebA.txt"
    advice = f"download {files} from CelebA's page by hand into {folder}, and unzip the archive there"
    page = archive.exists() and not is_zipfile(archive)
    require(not page, f"{archive} is no zip archive but probably Google Drive's quota page: delete it, then {advice}.")
    data = _open_torchvision("celeba", advice, split="all")
    paths = [folder / "img_align_celeba" / name for name in data.filename]
    labels = {name: data.attr[:, i].long() for i, name in enumerate(filter(None, data.attr_names))}
    return _from_files("celeba", "all", paths, advice, labels, dict.fromkeys(labels, ("no", "yes")))


def _folder(path: str) -> Source:
    require(bool(path), "folder: names no folder: write folder:PATH with the folder that holds your pictures.")
    root = Path(os.path.expanduser(path))
    paths = find_image_files(root)
    top = Path(os.path.commonpath([p.parent for p in paths]))  # a folder that holds one folder alone is that folder
    parents = [p.relative_to(top).parts[0] if p.parent != top else "(no folder)" for p in paths]
    classes = sorted(set(parents))
    labels = {"class": torch.tensor([classes.index(parent) for parent in parents])} if len(classes) > 1 else {}
    values = dict.fromkeys(labels, tuple(classes))
    return _from_files(f"folder:{root}", fingerprint(paths), paths, "change its permissions", labels, values)


def _from_files(name: str, key: str, paths: list[Path], advice: str, labels: dict, values: dict) -> Source:
    def decode_file(path: Path, image_size: int, channels: int) -> np.ndarray | str:
        try:
            return decode_bytes(path.read_bytes(), image_size, channels)
        except ImageError as error:
            return f"{path} ({error})"
        except OSError as error:  # perhaps it can be read tomorrow, so no cache is made without it
            raise InputError(f"{path} cannot be read ({reason(error)}): {advice}.") from error

    def decode_all(numbers: range, image_size: int, channels: int) -> list[np.ndarray | str]:
        return [decode_file(paths[i], image_size, channels) for i in numbers]

    return Source(name, key, len(paths), 3, decode_all, labels, values)


def as_images(pictures: Any, image_size: int, channels: int | None = None) -> ImageDataset:
    """The pictures of any torchvision-style dataset, read once, transforms included, and decoded as files are.

    Args:
        pictures: gives by number a picture, or a tuple that begins with one: an image of Pillow's, an array (H, W, C),
            or a tensor (C, H, W), uint8 or floats from 0 to 1.
        channels: 1 or 3; left out, what the first picture has.

    Raises:
        InputError: it is something else, or holds something else.
    """
    if isinstance(pictures, ImageDataset):
        return pictures
    name, images = type(pictures).__name__, []
    listed = hasattr(pictures, "__len__") and hasattr(pictures, "__getitem__") and len(pictures)
    require(listed, f"{name} is no dataset of pictures: give one with a length that hands out pictures by number.")
    for number in range(len(pictures)):
        picture = pictures[number]
        picture = picture[0] if isinstance(picture, tuple | list) else picture
        try:
            if isinstance(picture, Tensor) and picture.is_floating_point():
                low, high = picture.min().item(), picture.max().item()
                require(0 <= low <= high <= 1, f"its floats go from {low:.3g} to {high:.3g}, not from 0 to 1")
                picture = (255 * picture).round().byte()
            picture = picture if isinstance(picture, Image.Image) else to_pil_image(picture)
            channels = channels or (1 if picture.mode[0] in "1LIF" else 3)
            images.append(decode(picture, image_size, channels))
        except (ImageError, TypeError, ValueError) as error:
            what = f"Number {number} of {name} is no picture ({reason(error)})"
            raise InputError(f"{what}: leave out Normalize, and give PIL images or what ToTensor makes.") from error
    return ImageDataset(name, torch.from_numpy(np.stack(images)))
