"""Where pictures come from: embedded sets, torchvision's sets, and any folder, each as a numbered list.

Taught in notebooks/02_data.ipynb.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import datasets

from dcgan_lib import faces
from dcgan_lib.config import InputError, data_root
from dcgan_lib.files import find_pictures, open_picture

FACES_COUNT = 10_000
NO_CLASS = "(no folder)"
"""The class of pictures that lie beside class folders."""
TORCHVISION_SETS = ("mnist", "fashion_mnist", "cifar10", "svhn", "celeba")


@dataclass(frozen=True)
class Source:
    """A numbered list of pictures that are not decoded yet."""

    name: str
    key: str
    """Tells this content from any other: part of the cache's file name."""
    count: int
    channels: int
    """What the pictures have themselves: 1 or 3."""
    read: Callable[[int], Image.Image] | None = None
    """The picture of that number."""
    paint: Callable[[Tensor, int], Tensor] | None = None
    """Instead of `read`: numbers (N,) and a size to uint8 pictures (N, 3, size, size)."""
    paths: list[Path] = field(default_factory=list)
    """The file of each picture, where each has one."""
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
    if name == "faces":
        numbers = torch.arange(FACES_COUNT)
        labels = faces.attributes(0, numbers)
        return Source(
            name,
            f"{FACES_COUNT}-painter{faces.VERSION}",
            FACES_COUNT,
            3,
            paint=lambda i, size: faces.paint(0, i, size),
            labels=labels,
            values=faces.ATTRIBUTES,
        )
    if name == "digits":
        return _digits()
    if name.startswith("folder:"):
        return _folder(name.removeprefix("folder:"))
    if name in TORCHVISION_SETS:
        return _torchvision(name)
    known = ", ".join(("faces", "digits", *TORCHVISION_SETS))
    raise InputError(
        f"There is no data called {name!r}: choose one of {known}, folder:PATH with your own pictures, or shards:PATH "
        "with tar files of them."
    )


def _digits() -> Source:
    from sklearn.datasets import load_digits  # only this source needs scikit-learn

    digits = load_digits()
    images = (digits.images * (255 / 16)).round().astype(np.uint8)  # scikit-learn stores 0 to 16
    return _from_arrays("digits", images, digits.target)


def _from_arrays(
    name: str, images: np.ndarray, labels: np.ndarray | list[int], classes: list[str] | None = None
) -> Source:
    labels = torch.as_tensor(labels, dtype=torch.int64)
    classes = tuple(classes or map(str, range(10)))
    if len(images) != len(labels) or not len(images):
        raise InputError(
            f"{name} has {len(images)} pictures and {len(labels)} labels, and there must be as many of both: delete "
            f"its files below {data_root()}, and get them again."
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise InputError(
            f"{name} has labels from {labels.min()} to {labels.max()} for {len(classes)} classes: delete its files "
            f"below {data_root()}, and get them again."
        )
    channels = 3 if images.ndim == 4 else 1
    return Source(
        name,
        f"{len(images)}",
        len(images),
        channels,
        read=lambda i: Image.fromarray(images[i]),
        labels={"class": labels},
        values={"class": classes},
    )


def _torchvision(name: str) -> Source:
    if name == "celeba":
        return _celeba()
    root = data_root()
    opening = {
        "mnist": lambda download: datasets.MNIST(root, download=download),
        "fashion_mnist": lambda download: datasets.FashionMNIST(root, download=download),
        "cifar10": lambda download: datasets.CIFAR10(root, download=download),
        "svhn": lambda download: datasets.SVHN(root, download=download),
    }[name]
    try:
        try:
            data = opening(False)
        except RuntimeError:  # torchvision's way of saying that the files are not there
            data = opening(True)
    except Exception as error:  # where a file is broken, torchvision lets anything through
        raise InputError(
            f"{name} could not be opened below {root} or downloaded ({_reason(error)}): delete its files there if they "
            "are damaged, set DCGAN_DATA to the folder that holds it, try again with a network, or use faces, which "
            "needs no file."
        ) from error
    images = data.data.numpy() if isinstance(data.data, Tensor) else data.data
    if name == "svhn":
        return _from_arrays(name, images.transpose(0, 2, 3, 1), data.labels)
    return _from_arrays(name, images, data.targets, data.classes)


def _reason(error: BaseException) -> str:
    """The first line of an error's text, without the full stop."""
    return (str(error).strip().splitlines() or ["its files do not hold what they should"])[0].rstrip(".:")


def _celeba() -> Source:
    root = data_root()
    folder = root / "celeba"
    lists = ", ".join(f"list_{name}.txt" for name in ("attr_celeba", "bbox_celeba", "landmarks_align_celeba"))
    wanted = (
        f"download img_align_celeba.zip, {lists}, list_eval_partition.txt and identity_CelebA.txt from CelebA's page "
        f"by hand, put them into {folder}, and unzip the archive there, so that the folder holds the text files and "
        f"{Path('img_align_celeba') / '000001.jpg'} to 202599.jpg"
    )
    archive = folder / "img_align_celeba.zip"
    if os.path.exists(archive) and not is_zipfile(archive):
        raise InputError(
            f"{archive} is not a zip archive but probably the page that says that Google Drive's quota is used up: "
            f"delete it, then {wanted}."
        )
    try:
        try:
            data = datasets.CelebA(root, split="all", download=False)
        except RuntimeError:
            data = datasets.CelebA(root, split="all", download=True)
    except (OSError, RuntimeError, ValueError, ImportError, BadZipFile) as error:
        raise InputError(f"CelebA could not be found or downloaded ({_reason(error)}): {wanted}.") from error
    paths = [folder / "img_align_celeba" / name for name in data.filename]
    missing = next((path for path in paths if not os.path.isfile(path)), None)
    if missing:
        raise InputError(f"CelebA's picture {missing} is missing: {wanted}.")
    labels = {name: data.attr[:, i].long() for i, name in enumerate(n for n in data.attr_names if n)}
    return _from_files("celeba", "all", paths, labels, dict.fromkeys(labels, ("no", "yes")))


def _folder(path: str) -> Source:
    if not path:
        raise InputError("folder: names no folder: write folder:PATH with the folder that holds your pictures.")
    root = Path(os.path.expanduser(path))
    paths = find_pictures(root)
    top = Path(os.path.commonpath([p.parent for p in paths]))  # a folder that holds one folder alone is that folder
    parents = [p.relative_to(top).parts[0] if p.parent != top else NO_CLASS for p in paths]
    classes = tuple(sorted(set(parents)))
    labels = {}
    if len(classes) > 1:
        labels = {"class": torch.tensor([classes.index(parent) for parent in parents])}
    content = "\n".join(f"{p.relative_to(root)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths)
    key = hashlib.sha256(os.fsencode(f"{root.resolve()}\n{content}")).hexdigest()[:16]
    return _from_files(f"folder:{root}", key, paths, labels, {"class": classes} if labels else {})


def _from_files(name: str, key: str, paths: list[Path], labels: dict[str, Tensor], values: dict[str, tuple[str, ...]]):
    return Source(name, key, len(paths), 3, lambda i: open_picture(paths[i]), paths=paths, labels=labels, values=values)
