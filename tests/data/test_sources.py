"""Folders, torchvision's layouts and CelebA are found where they are; what is missing ends in one sentence.

No code in a data set is run, and an archive with a wrong checksum is not unpacked.
"""

import io
import tarfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision import datasets
from torchvision.transforms.functional import rgb_to_grayscale, to_pil_image

from dcgan_lib.data import ImageDataset, as_images, decode, load_images
from dcgan_lib.data.sources import find_source

pytestmark = pytest.mark.usefixtures("cache")


def paint(path: Path, colour: str = "red", size: tuple[int, int] = (20, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", Mock(side_effect=URLError("no network")))


@pytest.mark.parametrize(
    ("names", "root", "classes"),
    [
        (["b.png", "a.png"], "", ()),
        (["dogs/1.png", "cats/small/2.png", "cats/3.png"], "", ("cats", "cats", "dogs")),
        (["cats/1.png", "dogs/1.png", "3.png"], "", ("(no folder)", "cats", "dogs")),
        (["set/train/dogs/1.png", "set/train/cats/2.png"], "", ("cats", "dogs")),
        (["set/train/dogs/1.png", "set/train/cats/2.png"], "set/train", ("cats", "dogs")),
    ],
    ids=["flat", "nested", "images beside class folders", "one folder alone, as archives unpack", "the folder itself"],
)
def test_classes_of_a_folder(names: list[str], root: str, classes: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        paint(tmp_path / name)
    dataset = load_images(f"folder:{tmp_path / root}", 16)
    seen = [dataset.values["class"][i] for i in dataset.labels["class"]] if dataset.labels else []
    assert tuple(seen) == classes
    assert len(dataset) == len(names)


@pytest.mark.parametrize("name", ["", "minst", "Faces", "mnist/..", "FOLDER:x"])
def test_no_such_data(name: str, refused) -> None:
    assert refused(lambda: find_source(name)).startswith(f"There is no data called {name!r}: choose faces, ")


def test_a_folder_without_its_word(refused, tmp_path: Path) -> None:
    assert refused(lambda: find_source(str(tmp_path))).endswith(f": it is a folder, so write folder:{tmp_path}.")


def test_digits() -> None:
    dataset = load_images("digits", 8)
    assert dataset.images.shape == (1797, 1, 8, 8)
    assert (dataset.images.min(), dataset.images.max()) == (0, 255)
    assert torch.bincount(dataset.labels["class"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert dataset.values["class"] == tuple("0123456789")
    assert dataset.images[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


@pytest.fixture
def mnist(tmp_path: Path) -> np.ndarray:
    """Five images, in the four idx files of torchvision's own layout."""
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    folder = tmp_path / "data/MNIST/raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        head = bytes([0, 0, 8, 3]) + np.array(images.shape, ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 5, 3, 1, 4, 1, 9]))
    return images


def test_mnist_below_a_read_only_data_root(mnist: np.ndarray, tmp_path: Path, cache: Path) -> None:
    files = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    for path in files:
        path.chmod(0o555)
    before = [path.stat().st_mtime_ns for path in files]
    dataset = load_images("mnist", 28)
    assert [path.stat().st_mtime_ns for path in files] == before
    assert [path.suffix for path in cache.iterdir()] == [".npy"]
    for path in files:
        path.chmod(0o755)
    np.testing.assert_array_equal(dataset.images[:, 0], mnist)
    assert dataset.labels["class"].tolist() == [3, 1, 4, 1, 9]
    assert dataset.values["class"][3] == "3 - three"


@pytest.mark.usefixtures("mnist")
@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03\0\0", b"<!DOCTYPE html><title>Quota exceeded</title>"])
@pytest.mark.parametrize("file", ["images-idx3", "labels-idx1"])
def test_damaged_mnist(file: str, content: bytes, refused, tmp_path: Path, cache: Path) -> None:
    (tmp_path / f"data/MNIST/raw/train-{file}-ubyte").write_bytes(content)
    assert refused(lambda: load_images("mnist", 16)).startswith("mnist could not be opened below ")
    assert not cache.exists()


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "svhn"])
@pytest.mark.parametrize("root", ["data", "file"])
def test_missing_set_without_a_network(name: str, root: str, refused, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DCGAN_DATA", str(tmp_path / root))
    message = refused(lambda: load_images(name, 16))
    assert message.startswith(f"{name} could not be opened below {tmp_path / root} or downloaded (")
    assert "set DCGAN_DATA to its folder" in message


def test_celeba_that_cannot_be_downloaded(refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CelebA, "download", Mock(side_effect=RuntimeError("Google Drive:\nquota")))
    message = refused(lambda: load_images("celeba", 16))
    assert message.startswith(f"celeba could not be opened below {tmp_path / 'data'} or downloaded (Google Drive): ")
    for wanted in ("list_attr_celeba.txt", "identity_CelebA.txt", f"by hand into {tmp_path}", "unzip"):
        assert wanted in message


@pytest.mark.parametrize(
    ("name", "kind", "layout"), [("cifar10", "CIFAR10", (0, 1, 2, 3)), ("svhn", "SVHN", (0, 3, 1, 2))]
)
def test_colour_sets(name: str, kind: str, layout: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    classes = [f"class {i}" for i in range(10)]
    stored = SimpleNamespace(data=images.transpose(layout), targets=[7, 0, 2, 2], labels=[7, 0, 2, 2], classes=classes)
    monkeypatch.setattr(datasets, kind, lambda root, download: stored)
    dataset = load_images(name, 32)
    np.testing.assert_array_equal(dataset.images.permute(0, 2, 3, 1), images)
    assert dataset.labels["class"].tolist() == [7, 0, 2, 2]
    assert dataset.values["class"] == tuple(classes if name == "cifar10" else "0123456789")


@pytest.fixture
def celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images and the text files, in CelebA's layout; of these the real checksums are not asked."""
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
    dataset = load_images("celeba", 16)
    assert dataset.images.shape == (3, 3, 16, 16)
    assert dataset.images[2, :, 8, 8].tolist() == pytest.approx([0, 0, 255], abs=3)
    assert dataset.labels["Male"].tolist() == [0, 1, 1]
    assert dataset.labels["Smiling"].tolist() == [1, 1, 0]
    assert dataset.values["Smiling"] == ("no", "yes")


def test_celeba_with_something_missing(celeba: Path, refused) -> None:
    (celeba / "img_align_celeba/000002.jpg").unlink()
    message = refused(lambda: load_images("celeba", 16))
    assert "000002.jpg cannot be read (No such file or directory): download img_align_celeba.zip" in message
    (celeba / "img_align_celeba.zip").write_text("<!DOCTYPE html><title>Google Drive - Quota exceeded</title>")
    message = refused(lambda: load_images("celeba", 16))
    assert "img_align_celeba.zip is no zip archive but probably Google Drive's quota page: delete it, then" in message


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize("name", ["../outside", "cifar-10-batches-py/data_batch_1"])
def test_an_archive_with_a_wrong_checksum_is_not_unpacked(name: str, refused, tmp_path: Path) -> None:
    member = tarfile.TarInfo(name)
    member.size = 6
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data/cifar-10-python.tar.gz", "w:gz") as archive:
        archive.addfile(member, io.BytesIO(b"pwned!"))
    before = set(tmp_path.rglob("*"))
    assert refused(lambda: load_images("cifar10", 16)).startswith("cifar10 could not be opened below ")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn"])
def test_a_download_with_a_wrong_checksum(name: str, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither unpacked nor read, today or at the next call."""
    page = b"<!DOCTYPE html><title>Quota exceeded</title>"
    answer = type("Page", (io.BytesIO,), {"url": None, "length": len(page)})
    monkeypatch.setattr("urllib.request.urlopen", lambda request: answer(page))
    for _ in range(2):
        message = refused(lambda: load_images(name, 16))
        assert "(File not found or corrupted): " in message or "(Error downloading train-images" in message
        (file,) = (path for path in (tmp_path / "data").rglob("*") if path.is_file())
        assert file.read_bytes() == page


@pytest.mark.usefixtures("unplugged")
def test_no_code_in_files_of_a_set_is_run(refused, tmp_path: Path) -> None:
    """CIFAR's batches are pickles, which torchvision opens only where their checksums are right; so is old MNIST."""
    data, trapped = tmp_path / "data", tmp_path / "trapped"
    trap = type("Trap", (), {"__reduce__": lambda _: (Path.touch, (trapped,))})()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
    for path in [*(data / "cifar-10-batches-py" / name for name in names), data / "MNIST/processed/training.pt"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(trap, path, _use_new_zipfile_serialization=path.suffix == ".pt")
    (data / "MNIST/processed/test.pt").touch()
    for name in ("cifar10", "mnist"):
        assert refused(lambda name=name: load_images(name, 16)).startswith(f"{name} could not be opened below ")
    assert not trapped.exists()


PHOTOS = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Listed(Dataset):
    """A torchvision-style data set, with labels or without."""

    def __init__(self, *items: object) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> object:
        return self.items[number]


TAKEN = {
    "PIL images and labels": Listed(*((to_pil_image(photo), 3) for photo in PHOTOS)),
    "what ToTensor makes": Listed(*(photo / 255 for photo in PHOTOS)),
    "a TensorDataset": TensorDataset(PHOTOS),
    "a Subset": Subset(TensorDataset(PHOTOS), range(6)),
    "a tensor": PHOTOS,
    "a tensor of floats": PHOTOS.double() / 255,
    "an array": PHOTOS.permute(0, 2, 3, 1).numpy(),
    "a list of PIL images": [to_pil_image(photo) for photo in PHOTOS],
}


@pytest.mark.parametrize("case", TAKEN)
def test_any_dataset_of_pictures(case: str) -> None:
    assert torch.equal(as_images(TAKEN[case], 16).images, PHOTOS)
    grey = as_images(TAKEN[case], 16, 1).images[:, 0]
    torch.testing.assert_close(grey.float(), rgb_to_grayscale(PHOTOS)[:, 0].float(), rtol=0, atol=1)


def test_a_dataset_of_grey_pictures_that_are_not_square() -> None:
    """They are cut as files are."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8))
    np.testing.assert_array_equal(as_images([image], 16).images[0], decode(image, 16, 1))
    given = ImageDataset("given", PHOTOS)
    assert as_images(given, 16) is given


def noise(low: float, high: float) -> torch.Tensor:
    return torch.linspace(low, high, 3 * 16 * 16).reshape(3, 16, 16)


REFUSED = {
    "Normalize's": (Listed(noise(-1, 1)), "Number 0 of Listed is no picture (its floats go from -1 to 1, not from"),
    "0 to 255 in floats": ([noise(0, 255)], "Number 0 of list is no picture (its floats go from 0 to 255, not from"),
    "not a number": ([noise(float("nan"), 1)], "Number 0 of list is no picture (its floats go from nan to nan"),
    "a number": ([3], "Number 0 of list is no picture (pic should be"),
    "broken later": (Listed(PHOTOS[0], "a.png"), "Number 1 of Listed is no picture (pic should be"),
    "a DataLoader": (DataLoader(TensorDataset(PHOTOS)), "DataLoader is no dataset of pictures: give one with a length"),
    "a generator": ((photo for photo in PHOTOS), "generator is no dataset of pictures"),
    "nothing": ([], "list is no dataset of pictures"),
    "a path": (Path("photos"), "PosixPath is no dataset of pictures"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_things_are_no_dataset(case: str, refused) -> None:
    pictures, sentence = REFUSED[case]
    assert refused(lambda: as_images(pictures, 16)).startswith(sentence.replace("PosixPath", type(Path()).__name__))


def test_pictures_of_one_colour_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Black to the eye: 12 bits in the 16 of a colour PNG, of which PIL reads the upper 8."""
    shades = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for number, image in enumerate([shades[0], shades[1] // 17, shades[2]]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    paint(tmp_path / "3.png", "white")
    load_images(f"folder:{tmp_path}", 16)
    sentence = "2 of 4 pictures are of a single colour, or nearly, the first is number 2: look at them.\n"
    assert capsys.readouterr().err == sentence
