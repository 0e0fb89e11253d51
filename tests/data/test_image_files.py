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


def floats(low: float, high: float, kind: str = "TIFF") -> bytes:
    """A picture with values evenly from the one to the other, as scanners and scientists write them."""
    return saved(Image.fromarray(np.linspace(low, high, 256, dtype=np.float32).reshape(16, 16)), kind)


def whole(high: int, kind: str) -> bytes:
    """A picture with 16 bits a pixel, of which a sensor uses those up to `high`."""
    return saved(Image.fromarray(np.linspace(0, high, 256).round().astype(np.uint16).reshape(16, 16)), kind)


@pytest.mark.parametrize(
    "content",
    [floats(0, 1), floats(0, 255), floats(0, 65535), *(whole(2**bits - 1, "TIFF") for bits in (8, 10, 12, 14, 16))]
    + [whole(4095, "PNG"), floats(0, 1, "PPM")],
)
def test_deep_grey_is_scaled_by_what_the_file_holds(content: bytes) -> None:
    """From black to white, in even steps."""
    for channels in (1, 3):
        pixels = decode_bytes(content, 16, channels)
        np.testing.assert_allclose(pixels[0].flatten(), np.arange(256), atol=1)


def test_deep_grey_is_not_stretched() -> None:
    """What is half bright stays half bright, and a hair beyond the range is resampling."""
    assert decode_bytes(floats(0.5, 0.5), 16, 1)[0, 0, 0] == 128
    assert decode_bytes(whole(3000, "PNG"), 16, 1).max() == round(3000 / 4095 * 255)
    np.testing.assert_allclose(decode_bytes(floats(-0.02, 1.02), 16, 1).flatten()[[0, 128, 255]], [0, 128, 255], atol=1)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 5), (0, 1e6), (np.nan, np.nan), (0, np.inf)])
def test_floats_in_no_usual_range_are_refused(low: float, high: float) -> None:
    with pytest.raises(ImageError, match=r"its values go from .* to .*: scale them to 0\.\.1 or 0\.\.255"):
        decode_bytes(floats(low, high), 16, 1)


def with_chunk(name: bytes, content: bytes) -> bytes:
    """A red PNG file that holds this, too, before its pixels."""
    return saved()[:33] + chunk(name, content) + saved()[33:]


LARGE = os.urandom(4) + bytes(5_000_000)  # unpacked
WORDY = {
    "text": with_chunk(b"tEXt", b"workflow\0" + 3_000_000 * b"x"),
    "compressed text": with_chunk(b"zTXt", b"workflow\0\0" + zlib.compress(LARGE)),
    "international text": with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LARGE)),
    "colour profile": with_chunk(b"iCCP", b"scanner\0\0" + zlib.compress(LARGE)),
}


@pytest.mark.parametrize("case", WORDY)
def test_png_with_much_beside_its_pixels_is_read(case: str) -> None:
    np.testing.assert_array_equal(decode_bytes(WORDY[case], 16, 3)[:, 8, 8], (255, 0, 0))


READ = {
    "1x1": saved(Image.new("RGB", (1, 1), "red")),
    "30,000x10": saved(Image.new("RGB", (30_000, 10), "red")),
    "animated gif": saved(kind="GIF", save_all=True, append_images=[BLUE]),
    "animated webp": saved(kind="WEBP", save_all=True, append_images=[BLUE], lossless=True),
    "tif of two pages": saved(kind="TIFF", save_all=True, append_images=[BLUE]),
    "16 bits a channel": png(2, 2, 16, 2, 2 * (b"\0" + 2 * b"\xff\xff\0\0\0\0")),
    "ycbcr tif": saved(RED.convert("YCbCr"), "TIFF"),
    "tga": saved(kind="TGA"),
    "jpeg 2000": saved(kind="JPEG2000"),
    "icns": saved(RED.resize((32, 32)), "ICNS"),
    "ico": saved(kind="ICO"),
    "sgi": saved(kind="SGI"),
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
    """A linked file is an image, and a linked folder is gone into once, but in no circle and not upwards."""
    seen = ("B.JPG", "a.webp", "cats/1.png", "cats/deep/2.jpeg", "c.jfif", "d.Jp2", "e.tga", "f.mpo")
    touch(tmp_path, *seen, ".a.png", "._1.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "cats/notes.txt")
    touch(tmp_path, "@eaDir/a.png", "$RECYCLE.BIN/a.png", "System Volume Information/a.png", "lost+found/a.png")
    touch(tmp_path.parent / "elsewhere", "1.png", "2/3.png")
    (tmp_path / "cats/3.png").symlink_to(tmp_path / "a.webp")
    (tmp_path / "cats/4.png").symlink_to("nowhere.png")
    links = {"cats/loop": tmp_path, "cats/up": tmp_path.parent, "all cats": tmp_path / "cats"}
    for name, place in {**links, "dogs": tmp_path.parent / "elsewhere", "again": tmp_path / "dogs"}.items():
        (tmp_path / name).symlink_to(place, target_is_directory=True)
    (tmp_path / "folder.png").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in find_image_files(tmp_path)]
    assert found == sorted([*seen, "cats/3.png", "again/1.png", "again/2/3.png"])


def test_what_is_left_out_is_counted_by_suffix(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    touch(tmp_path, "1.jpg", "2.jfif", ".hidden.txt")
    find_image_files(tmp_path)
    assert capsys.readouterr() == ("", "")
    touch(tmp_path, "a.heic", "b.HEIC", "sub/c.heic", "d.txt", "scan")
    assert len(find_image_files(tmp_path)) == 2
    out, err = capsys.readouterr()
    left_out = "3 .heic, 1 .txt, 1 without a suffix (pip install pillow-heif reads these)"
    assert err == f"2 pictures below {tmp_path}; what is not read as one is left out: {left_out}.\n"


@pytest.mark.parametrize(
    ("name", "what"),
    [("notes.txt", "1 .txt"), ("photos.zip", "1 .zip"), ("._a.jpg", "no file"), ("jpg", "1 without a suffix")],
)
def test_a_folder_that_holds_no_image(name: str, what: str, refused, tmp_path: Path) -> None:
    touch(tmp_path, name)
    sentence = refused(lambda: find_image_files(tmp_path))
    assert sentence == f"There is no picture below {tmp_path} but {what}: put .jpg, .png or .tif files into it."


@pytest.mark.parametrize("path", ["nowhere", __file__, "https://example.org/photos", "a\0b", 5000 * "x"])
def test_no_such_folder(path: str, refused) -> None:
    """Nor is an archive one."""
    advice = "write folder:PATH with the one that holds your pictures, and unpack archives first"
    assert refused(lambda: find_image_files(Path(path))) == f"There is no folder {Path(path)}: {advice}."


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
