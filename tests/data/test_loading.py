"""Images are decoded once for each size, number of channels and content, and read from the cache ever after."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lib.data import cache as array_files
from dcgan_lib.data import decode, faces, load_images, sources

pytestmark = pytest.mark.usefixtures("cache")
SIZES = [(50, 37), (20, 20), (16, 40)]


def photo(width: int = 50, height: int = 37, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of different sizes."""
    (tmp_path / "album").mkdir()
    for i, size in enumerate(SIZES):
        photo(*size, seed=i).save(tmp_path / f"album/{i}.png")
    return tmp_path / "album"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("faces", 0), "image_size must be from 1 to 4096, and 0 is not"),
        (("shards:x", 10**6), "image_size must be from 1 to 4096, and 1000000 is not"),
        (("digits", 16, 2), "channels must be 1 (grey) or 3 (colour), and 2 is not"),
    ],
)
def test_argument_out_of_range(arguments: tuple, message: str, refused, cache: Path) -> None:
    assert refused(lambda: load_images(*arguments)).startswith(message)
    assert not cache.exists()


@pytest.mark.parametrize("source", ["folder:", "shards:"])
def test_a_source_without_a_path_is_not_the_current_folder(source: str, folder: Path, refused, monkeypatch) -> None:
    (folder / "a.tar").touch()
    monkeypatch.chdir(folder)
    assert refused(lambda: load_images(source, 16)).startswith(f"{source} names no folder: write {source}PATH with ")


def test_mixed_sizes_in_order(folder: Path) -> None:
    dataset = load_images(f"folder:{folder}", 16)
    assert (dataset.images.shape, dataset.images.dtype) == ((3, 3, 16, 16), torch.uint8)
    assert (len(dataset), dataset.channels, dataset.image_size) == (3, 3, 16)
    for i, size in enumerate(SIZES):
        np.testing.assert_array_equal(dataset.images[i], decode(photo(*size, seed=i), 16, 3))
    grey = load_images(f"folder:{folder}", 16, channels=1)
    np.testing.assert_array_equal(grey.images[0], decode(photo(), 16, 1))


def test_one_cache_for_each_size_number_of_channels_and_content(folder: Path, cache: Path) -> None:
    name = f"folder:{folder}"
    for size, channels in ((16, 3), (16, 1), (32, 3)):
        assert load_images(name, size, channels).images.shape == (3, channels, size, size)
    assert len(list(cache.iterdir())) == 3
    (folder / "2.png").unlink()
    assert len(load_images(name, 16)) == 2
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize(("width", "time", "folder"), [(20, 1, "a"), (21, 0, "a"), (20, 0, "b")])
def test_a_file_changed_in_place_is_read_again(tmp_path: Path, width: int, time: int, folder: str) -> None:
    """And so is another one of the same name, size and time."""
    seen = []
    for place, size, colour, changed in (("a", (20, 20), "red", 0), (folder, (width, 20), "blue", time)):
        path = tmp_path / place / "album/picture.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)
        os.utime(path, ns=(changed, changed))
        seen.append(load_images(f"folder:{path.parent}", 16).images[0, :, 3, 3].tolist())
    assert seen == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("place", ["0.png", "0.png/cache", "x" * 5000])
def test_cache_in_no_folder(place: str, folder: Path, refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DCGAN_CACHE", place)
    message = refused(lambda: load_images(f"folder:{folder}", 16))
    assert message.endswith(": set DCGAN_CACHE to a folder with room that you can write to.")
    assert len(list(folder.iterdir())) == 3


def test_faces_are_painted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = array_files.CHUNK + 4  # more than one chunk
    monkeypatch.setattr(sources, "FACES_COUNT", count)
    dataset, numbers = load_images("faces", 16), torch.arange(count)
    assert torch.equal(dataset.images, faces.paint(0, numbers, 16))
    torch.testing.assert_close(dataset.labels, faces.attributes(0, numbers))
    assert dataset.values == faces.ATTRIBUTES
    grey = load_images("faces", 16, channels=1)
    assert grey.images.shape == (count, 1, 16, 16)
    expected = (dataset.images[5] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    torch.testing.assert_close(grey.images[5, 0].float(), expected, rtol=0, atol=1.5)


NAMES = ["照片", "e\u0301te\u0301", b"\xe9t\xe9".decode("utf-8", "surrogateescape"), "--out", "%s{0}", "x" * 200]


@pytest.mark.filterwarnings("error")  # a doubt of PIL's is not worth a word
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_every_kind(name: str, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture) -> None:
    """As a folder's, a class's and a file's name; and again in the report and in the sentence about a bad file."""
    root = tmp_path / "albums" / name
    for parent in (root / name, root / "other"):
        parent.mkdir(parents=True)
        for i in range(6):
            photo().save(parent / f"{name}{i}.png")
    dataset = load_images(f"folder:{root}", 16)
    assert set(dataset.values["class"]) == {name, "other"}
    assert dataset.labels["class"].bincount().tolist() == [6, 6]
    (root / name / f"{name}6.png").write_bytes(b"")
    assert len(load_images(f"folder:{root}", 16)) == 12
    said, (report,) = capsys.readouterr().err, cache.glob("*.txt")
    assert said.startswith("1 of 13 pictures cannot be read and are left out, the first ")
    for text in (said, report.read_text("utf-8").splitlines()[1]):
        assert f"{name}6.png".encode("unicode_escape").decode() in text or f"{name}6.png" in text


def test_a_file_that_may_not_be_read(refused, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not left out for ever. The tests may run as root, so the system's answer is played."""
    opened = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        sentence = f"{folder / '1.png'} cannot be read (Permission denied): change its permissions."
        assert refused(lambda: load_images(f"folder:{folder}", 16)) == sentence
    assert list(cache.iterdir()) == []
    assert len(load_images(f"folder:{folder}", 16)) == 3
