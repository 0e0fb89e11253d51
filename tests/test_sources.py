"""Folders, torchvision's layouts and CelebA are found where they are; what is missing ends in one sentence."""

from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from dcgan_lib.config import InputError
from dcgan_lib.data import load_pictures
from dcgan_lib.sources import find_source

pytestmark = pytest.mark.usefixtures("cache")


def paint(path: Path, colour: str = "red", size: tuple[int, int] = (20, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def refusal(name: str) -> str:
    """The message of the InputError, which has to be one sentence on one line."""
    with pytest.raises(InputError) as raised:
        load_pictures(name, 16)
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_flat_folder(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.PNG", "c.Webp", "d.jpeg"):
        paint(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    source = find_source(f"folder:{tmp_path}")
    assert [path.name for path in source.paths] == ["a.PNG", "b.JPG", "c.Webp", "d.jpeg"]
    assert (source.count, source.channels, source.labels, source.values) == (4, 3, {}, {})


def test_nested_folder(tmp_path: Path) -> None:
    for name in ("dogs/1.png", "cats/small/2.png", "cats/3.png"):
        paint(tmp_path / name)
    pictures = load_pictures(f"folder:{tmp_path}", 16)
    assert pictures.labels["class"].tolist() == [0, 0, 1]
    assert pictures.values == {"class": ("cats", "dogs")}


def test_folder_that_holds_one_folder(tmp_path: Path) -> None:
    """As archives unpack; its classes are one level deeper."""
    for name in ("set/train/dogs/1.png", "set/train/cats/2.png"):
        paint(tmp_path / name)
    assert find_source(f"folder:{tmp_path}").values == {"class": ("cats", "dogs")}
    paint(tmp_path / "set/3.png")
    assert find_source(f"folder:{tmp_path}").values == {"class": ("(no folder)", "train")}


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    paint(tmp_path / "photos/1.png")
    assert find_source("folder:~/photos").count == 1


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    assert "There is no folder" in refusal(f"folder:{tmp_path / 'nowhere'}")
    assert "There is no picture below" in refusal(f"folder:{tmp_path}")


def test_unknown_name() -> None:
    assert refusal("minst").startswith("There is no data called 'minst': choose one of faces, digits, mnist")


def test_digits() -> None:
    pictures = load_pictures("digits", 16)
    assert pictures.images.shape == (1797, 1, 16, 16)
    assert (pictures.images.min(), pictures.images.max()) == (0, 255)
    assert torch.bincount(pictures.labels["class"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert pictures.values["class"] == tuple("0123456789")
    assert np.asarray(find_source("digits").read(0))[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def write_mnist(root: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """The four idx files in torchvision's own layout."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        head = bytes([0, 0, 8, 3]) + np.array(images.shape, ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = bytes([0, 0, 8, 1]) + np.array(labels.shape, ">i4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())


@pytest.fixture
def mnist(tmp_path: Path) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    write_mnist(tmp_path / "data", images, np.array([3, 1, 4, 1, 9], np.uint8))
    return images


def test_mnist_below_a_read_only_data_root(mnist: np.ndarray, tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "data"
    stats = lambda: {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}  # noqa: E731
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555)
    before = stats()
    pictures = load_pictures("mnist", 32)
    assert stats() == before
    assert [path.suffix for path in cache.iterdir()] == [".npy"]
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)
    assert pictures.images.shape == (5, 1, 32, 32)
    assert pictures.labels["class"].tolist() == [3, 1, 4, 1, 9]
    assert pictures.values["class"][3] == "3 - three"
    np.testing.assert_array_equal(find_source("mnist").read(2), mnist[2])


@pytest.mark.parametrize("kept", [0, 3, 10, 17, 1000])
@pytest.mark.parametrize("file", ["images-idx3", "labels-idx1"])
def test_broken_mnist_ends_in_a_sentence(mnist: np.ndarray, tmp_path: Path, file: str, kept: int) -> None:
    path = tmp_path / f"data/MNIST/raw/train-{file}-ubyte"
    path.write_bytes(path.read_bytes()[:kept] if kept < path.stat().st_size else b"<!DOCTYPE html>" + bytes(kept))
    assert "mnist" in refusal("mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "svhn"])
def test_missing_set_without_a_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unplugged(*args, **kwargs) -> None:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unplugged)
    message = refusal(name)
    assert message.startswith(f"{name} could not be opened below ")
    assert "set DCGAN_DATA to the folder that holds it" in message


@pytest.mark.parametrize(
    ("name", "dataset", "layout"), [("cifar10", "CIFAR10", (0, 1, 2, 3)), ("svhn", "SVHN", (0, 3, 1, 2))]
)
def test_colour_sets(name: str, dataset: str, layout: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    classes = [f"class {i}" for i in range(10)]
    stored = SimpleNamespace(data=images.transpose(layout), targets=[7, 0, 2, 2], labels=[7, 0, 2, 2], classes=classes)
    monkeypatch.setattr(datasets, dataset, lambda root, download: stored)
    pictures = load_pictures(name, 32)
    np.testing.assert_array_equal(pictures.images.permute(0, 2, 3, 1), images)
    assert pictures.labels["class"].tolist() == [7, 0, 2, 2]
    assert pictures.values["class"] == tuple(classes if name == "cifar10" else "0123456789")


@pytest.fixture
def celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures and the text files, in CelebA's layout; of these the real checksums are not asked."""
    folder = tmp_path / "data" / "celeba"
    names = [f"{i:06d}.jpg" for i in (1, 2, 3)]
    for name, colour in zip(names, ("red", "white", "blue"), strict=True):
        paint(folder / "img_align_celeba" / name, colour, (178, 218))
    tables = {
        "list_attr_celeba": ("3\nMale Smiling \n", ["-1  1", " 1  1", " 1 -1"]),
        "list_bbox_celeba": ("3\nimage_id x_1 y_1 width height\n", ["1 1 9 9"] * 3),
        "list_landmarks_align_celeba": ("3\nlefteye_x lefteye_y\n", ["1 1"] * 3),
        "list_eval_partition": ("", ["0", "1", "2"]),
        "identity_CelebA": ("", ["5", "6", "7"]),
    }
    for table, (head, rows) in tables.items():
        lines = [f"{name} {row}\n" for name, row in zip(names, rows, strict=True)]
        (folder / f"{table}.txt").write_text(head + "".join(lines))
    monkeypatch.setattr(datasets.CelebA, "_check_integrity", lambda self: True)
    return folder


def test_celeba(celeba: Path) -> None:
    pictures = load_pictures("celeba", 16)
    assert pictures.images.shape == (3, 3, 16, 16)
    assert pictures.images[2, :, 8, 8].tolist() == pytest.approx([0, 0, 255], abs=3)
    assert {name: values.tolist() for name, values in pictures.labels.items()} == {
        "Male": [0, 1, 1],
        "Smiling": [1, 1, 0],
    }
    assert pictures.values["Smiling"] == ("no", "yes")


def test_celeba_with_a_picture_missing(celeba: Path) -> None:
    (celeba / "img_align_celeba/000002.jpg").unlink()
    assert "000002.jpg is missing: download img_align_celeba.zip" in refusal("celeba")


def test_celeba_with_the_quota_page_instead_of_the_archive(celeba: Path) -> None:
    (celeba / "img_align_celeba.zip").write_text("<!DOCTYPE html><title>Google Drive - Quota exceeded</title>")
    message = refusal("celeba")
    assert "img_align_celeba.zip is not a zip archive" in message
    assert f"put them into {celeba}" in message


@pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("Google Drive\nquota"), ImportError("gdown")])
def test_celeba_that_cannot_be_downloaded(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: datasets.CelebA) -> None:
        raise error

    monkeypatch.setattr(datasets.CelebA, "download", download)
    message = refusal("celeba")
    for wanted in ("list_attr_celeba.txt", "identity_CelebA.txt", f"put them into {tmp_path}", "000001.jpg to 202599"):
        assert wanted in message
