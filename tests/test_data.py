"""The cache is whole or not there, and read instead of the pictures; batches cover all of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lib import data, faces, sources
from dcgan_lib.config import InputError
from dcgan_lib.data import PictureSet, decode, denormalize, load_pictures

pytestmark = pytest.mark.usefixtures("cache")


def photo(width: int = 50, height: int = 37, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of different sizes."""
    for i, size in enumerate([(50, 37), (20, 20), (16, 40)]):
        (tmp_path / "album").mkdir(exist_ok=True)
        photo(*size, seed=i).save(tmp_path / f"album/{i}.png")
    return tmp_path / "album"


def test_mixed_sizes_in_order(folder: Path) -> None:
    pictures = load_pictures(f"folder:{folder}", 16)
    assert (pictures.images.shape, pictures.images.dtype) == ((3, 3, 16, 16), torch.uint8)
    assert (len(pictures), pictures.channels, pictures.image_size) == (3, 3, 16)
    for i, size in enumerate([(50, 37), (20, 20), (16, 40)]):
        np.testing.assert_array_equal(pictures.images[i], decode(photo(*size, seed=i), 16, 3))
    grey = load_pictures(f"folder:{folder}", 16, channels=1)
    np.testing.assert_array_equal(grey.images[0], decode(photo(), 16, 1))


def test_second_call_opens_no_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_pictures(f"folder:{folder}", 16)
    monkeypatch.setattr(sources.Image, "open", lambda path, **kw: pytest.fail(f"{path} was opened"))
    monkeypatch.setattr(data.cache, "write", lambda *args: pytest.fail("the cache was written again"))
    assert torch.equal(load_pictures(f"folder:{folder}", 16).images, first.images)


def test_one_cache_for_each_size_number_of_channels_and_content(folder: Path, cache: Path) -> None:
    name = f"folder:{folder}"
    for size, channels in ((16, 3), (16, 1), (32, 3)):
        assert load_pictures(name, size, channels).images.shape == (3, channels, size, size)
    assert len(list(cache.iterdir())) == 3
    Image.new("RGB", (20, 20), "red").save(folder / "1.png")
    os.utime(folder / "1.png", ns=(1, 1))
    assert load_pictures(name, 16).images[1, :, 3, 3].tolist() == [255, 0, 0]
    (folder / "2.png").unlink()
    assert len(load_pictures(name, 16)) == 2
    assert len(list(cache.iterdir())) == 5


@pytest.mark.parametrize(("width", "time"), [(20, 1), (21, 0)], ids=["as many bytes, later", "more bytes, no later"])
def test_a_file_changed_in_place_is_read_again(tmp_path: Path, width: int, time: int) -> None:
    path, seen = tmp_path / "picture.bmp", []
    for size, colour, changed in (((20, 20), "red", 0), ((width, 20), "blue", time)):
        Image.new("RGB", size, colour).save(path)
        os.utime(path, ns=(changed, changed))
        seen.append(load_pictures(f"folder:{tmp_path}", 16).images[0, :, 3, 3].tolist())
    assert seen == [[255, 0, 0], [0, 0, 255]]


def test_changes_to_a_loaded_set_stay_out_of_the_cache(folder: Path) -> None:
    first = load_pictures(f"folder:{folder}", 16).images
    expected = first.clone()
    first.zero_()
    assert torch.equal(load_pictures(f"folder:{folder}", 16).images, expected)


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "cut short"])
def test_broken_file_is_named_and_leaves_no_cache(folder: Path, cache: Path, content: bytes | None) -> None:
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(InputError, match=r"1 of 3 .* first is .*1\.png \(.*\): repair .* out\.$"):
        load_pictures(f"folder:{folder}", 16)
    assert list(cache.iterdir()) == []


def test_interrupted_write_leaves_nothing(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(data, "decode", interrupted)
        load_pictures(f"folder:{folder}", 16)
    assert list(cache.iterdir()) == []
    assert len(load_pictures(f"folder:{folder}", 16)) == 3


def test_cache_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCGAN_CACHE", str(folder / "0.png" / "cache"))
    with pytest.raises(InputError, match="set DCGAN_CACHE to a folder"):
        load_pictures(f"folder:{folder}", 16)


def test_faces_are_painted_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FACES_COUNT", data.CHUNK + 4)  # more than one chunk
    pictures, numbers = load_pictures("faces", 16), torch.arange(data.CHUNK + 4)
    assert torch.equal(pictures.images, faces.paint(0, numbers, 16))
    torch.testing.assert_close(pictures.labels, faces.attributes(0, numbers))
    assert pictures.values == faces.ATTRIBUTES
    grey = load_pictures("faces", 16, channels=1)
    assert grey.images.shape == (len(numbers), 1, 16, 16)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    expected = (pictures.images[5] * weights).sum(0)
    torch.testing.assert_close(grey.images[5, 0].float(), expected, rtol=0, atol=1.5)


def test_epoch_order(pictures: PictureSet) -> None:
    """21 pictures in batches of 4: five batches and a picture that waits."""
    numbered = PictureSet("numbered", torch.arange(21, dtype=torch.uint8).reshape(21, 1, 1, 1))

    def epoch(number: int, seed: int = 0) -> list[int]:
        batches = [numbered.batch(4, seed, 5 * number + place) for place in range(5)]
        return denormalize(torch.cat(batches)).flatten().tolist()

    first, second = epoch(0), epoch(1)
    for order in (first, second):
        assert len(set(order)) == 20
        assert sorted(order) != order
    assert first != second
    assert first != epoch(0, seed=1)
    assert first == epoch(0)
    batch = pictures.batch(8, 0, 0)
    assert (batch.shape, batch.dtype) == ((8, 1, 16, 16), torch.float32)
