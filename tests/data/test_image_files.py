"""Every kind of image file becomes the same kind of array; what is none is named with its reason, and never run."""

import io
import os
import struct
import zlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision import transforms

from dcgan_lib.data import decode, normalize, to_mode
from dcgan_lib.data.image_files import ImageError, decode_bytes, find_image_files

RED, BLUE = (Image.new("RGB", (20, 30), colour) for colour in ("red", "blue"))


def saved(image: Image.Image = RED, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file of that kind."""
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def cut(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), kind)
    return whole[: len(whole) // 2]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int = 8, colour: int = 2, pixels: bytes = b"") -> bytes:
    """A PNG file written by hand, whose header may say anything."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(50, 37), (37, 50), (12, 9), (32, 32)])
def test_same_as_torchvision(size: tuple[int, int]) -> None:
    width, height = size
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    crop = [transforms.Resize(32), transforms.CenterCrop(32)]
    scale = [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
    ours = normalize(torch.from_numpy(decode(image, 32, 3).copy()))
    torch.testing.assert_close(ours, transforms.Compose(crop + scale)(image), rtol=0, atol=0)


def half_transparent() -> Image.Image:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    image.paste((200, 40, 90, 255), (0, 0, 4, 2))
    return image


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 40, 90])
    image.info["transparency"] = 0
    return image


PINK, WHITE = (200, 40, 90), (255, 255, 255)
SIXTEEN_BITS = Image.fromarray(np.full((4, 4), 100 * 257, np.uint16))
MODES = {
    "palette": (Image.new("RGB", (4, 4), PINK).quantize(4), ".png", PINK, PINK),
    "palette gif": (Image.new("RGB", (4, 4), PINK).quantize(4), ".gif", PINK, PINK),
    "grey": (Image.new("L", (4, 4), 77), ".png", (77, 77, 77), (77, 77, 77)),
    "black and white": (Image.new("1", (4, 4), 1), ".png", WHITE, WHITE),
    "transparent grey": (Image.new("LA", (4, 4), (77, 0)), ".png", WHITE, WHITE),
    "transparent colour": (half_transparent(), ".png", PINK, WHITE),
    "transparent palette": (palette_with_transparency(), ".png", WHITE, WHITE),
    "cmyk jpg": (Image.new("RGB", (4, 4), PINK).convert("CMYK"), ".jpg", PINK, PINK),
    "16 bits png": (SIXTEEN_BITS, ".png", (100, 100, 100), (100, 100, 100)),
    "16 bits tif": (SIXTEEN_BITS, ".tif", (100, 100, 100), (100, 100, 100)),
}


@pytest.mark.parametrize("case", MODES)
def test_every_mode(case: str, tmp_path: Path) -> None:
    image, suffix, top, bottom = MODES[case]
    image.save(tmp_path / f"file{suffix}", quality=100)
    with Image.open(tmp_path / f"file{suffix}") as opened:
        colour, grey = to_mode(opened, 3), to_mode(opened, 1)
    assert (colour.mode, grey.mode) == ("RGB", "L")
    tolerance = 6 if suffix in (".jpg", ".gif") else 1
    for wanted, place in ((top, (1, 0)), (bottom, (1, 3))):
        np.testing.assert_allclose(colour.getpixel(place), wanted, atol=tolerance)
        assert grey.getpixel(place) == pytest.approx(np.dot(wanted, (0.299, 0.587, 0.114)), abs=tolerance)


def test_exif_orientation() -> None:
    """Orientation 6: the camera stored the image lying on its side; upright, its top is the left of the file."""
    stored, exif = Image.new("RGB", (40, 20), "black"), Image.Exif()
    stored.paste("white", (0, 0, 20, 20))
    exif[0x0112] = 6
    upright = to_mode(Image.open(io.BytesIO(saved(stored, "JPEG", exif=exif, quality=95))), 1)
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) > 250
    assert upright.getpixel((10, 35)) < 5


def test_exif_that_pil_stumbles_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is read as it lies. Which parts PIL stumbles over changes from version to version."""
    monkeypatch.setattr(ImageOps, "exif_transpose", Mock(side_effect=struct.error))
    assert to_mode(Image.new("RGB", (4, 2), "red"), 3).getpixel((3, 1)) == (255, 0, 0)


READ = {
    "1x1": saved(Image.new("RGB", (1, 1), "red")),
    "30,000x10": saved(Image.new("RGB", (30_000, 10), "red")),
    "animated gif": saved(kind="GIF", save_all=True, append_images=[BLUE]),
    "animated webp": saved(kind="WEBP", save_all=True, append_images=[BLUE], lossless=True),
    "tif of two pages": saved(kind="TIFF", save_all=True, append_images=[BLUE]),
    "16 bits a channel": png(2, 2, 16, 2, 2 * (b"\0" + 2 * b"\xff\xff\0\0\0\0")),
    "ycbcr tif": saved(RED.convert("YCbCr"), "TIFF"),
    "exif of noise": saved(kind="JPEG", exif=b"Exif\0\0" + bytes(range(200)), quality=95),
}


@pytest.mark.parametrize("case", READ)
def test_odd_image_is_read(case: str) -> None:
    """All of them are red; of several images it is the first."""
    image = decode_bytes(READ[case], 16, 3)
    assert (image.shape, image.dtype) == ((3, 16, 16), np.uint8)
    np.testing.assert_allclose(image[:, 8, 8], (255, 0, 0), atol=6)


def test_grey_of_16_bits_with_transparency_is_scaled() -> None:
    assert np.unique(decode_bytes(png(1, 1, 16, 4, b"\0\x64\x64\xff\xff"), 16, 1)).tolist() == [100]


BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"once upon a time", "it is not a picture"),
    "web page": (b"<!DOCTYPE html><title>404</title>", "it is not a picture"),
    "postscript, which PIL would run": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is not a picture"),
    "png cut short": (cut("PNG"), "truncated"),
    "jpg cut short": (cut("JPEG"), "truncated"),
    "webp cut short": (cut("WEBP"), ""),
    "damaged header": (png(9, 9).replace(b"IHDR\0", b"IHDR\1"), "it is not a picture"),
    "damaged pixels": (saved().replace(b"IDATx", b"IDATy"), ""),
    "decompression bomb": (png(50_000, 50_000), "exceeds limit"),
    "bomb of text": (saved()[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 27))), ""),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_image_has_a_reason(case: str) -> None:
    """Often in PIL's own words, which change from version to version."""
    content, reason = BAD[case]
    with pytest.raises(ImageError, match=reason or None) as raised:
        decode_bytes(content, 64, 3)
    assert str(raised.value).isprintable() and str(raised.value)[-1] not in ".:"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_which_files_are_found(tmp_path: Path) -> None:
    """A linked file is an image and a linked root a folder; a link to a folder is not gone into, nor a loop."""
    seen = ("B.JPG", "a.webp", "cats/1.png", "cats/deep/2.jpeg")
    touch(tmp_path, *seen, ".a.png", "._1.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "cats/notes.txt")
    (tmp_path / "cats/3.png").symlink_to(tmp_path / "a.webp")
    (tmp_path / "cats/4.png").symlink_to("nowhere.png")
    (tmp_path / "cats/loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "folder.png").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in find_image_files(tmp_path)]
    assert found == sorted([*seen, "cats/3.png"])


@pytest.mark.parametrize("name", ["notes.txt", "photos.zip", "._a.jpg", "jpg"])
def test_a_folder_that_holds_no_image(name: str, refused, tmp_path: Path) -> None:
    touch(tmp_path, name)
    sentence = refused(lambda: find_image_files(tmp_path))
    assert sentence.startswith(f"There is no picture below {tmp_path}: put .jpg, .jpeg, .png, ")


@pytest.mark.parametrize("path", ["nowhere", __file__, "https://example.org/photos", "a\0b", 5000 * "x"])
def test_no_such_folder(path: str, refused) -> None:
    assert refused(lambda: find_image_files(Path(path))).startswith(
        f"There is no folder {Path(path)}: write folder:PATH"
    )


@pytest.mark.parametrize("name", ["album", "album/dogs"])
def test_a_folder_that_may_not_be_read(name: str, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may read all, so the system's answer is played."""
    touch(tmp_path, "album/cats/a.png", "album/dogs/a.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path) == tmp_path / name:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    sentence = f"The folder {tmp_path / name} cannot be read (Permission denied): change its permissions."
    assert refused(lambda: find_image_files(tmp_path / "album")) == sentence
