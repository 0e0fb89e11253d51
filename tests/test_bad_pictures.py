"""The table of bad input, part 1: picture files, and what they are called."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_lib import sources
from dcgan_lib.data import load_pictures

pytestmark = pytest.mark.usefixtures("cache")
RED = Image.new("RGB", (20, 30), "red")


def saved(image: Image.Image = RED, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a picture file of that kind."""
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int = 8, colour: int = 2, pixels: bytes = b"") -> bytes:
    """A PNG file written by hand, whose header may say anything."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def cut(kind: str, share: float = 0.5) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), kind)
    return whole[: int(len(whole) * share)]


def exif(part: bytes) -> bytes:
    """A red JPEG with that EXIF part."""
    return saved(RED, "JPEG", exif=b"Exif\0\0" + part, quality=95)


def orientation(kind: int, value: bytes) -> bytes:
    """An EXIF part with the orientation alone, of that kind (3: a number of two bytes, 2: text)."""
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12" + struct.pack(">HI", kind, 1) + value.ljust(4, b"\0") + bytes(4)


ARGUMENTS = {
    "a size of 0": (("faces", 0), "image_size must be a whole number from 1 to 4096, and 0 is not"),
    "a negative size": (("faces", -3), "image_size must be a whole number from 1 to 4096, and -3 is not"),
    "half a pixel": (("faces", 16.5), "image_size must be a whole number from 1 to 4096, and 16.5 is not"),
    "a size of text": (("faces", "16"), "image_size must be a whole number from 1 to 4096, and '16' is not"),
    "a size for no disk": (("faces", 10**6), "image_size must be a whole number from 1 to 4096, and 1000000 is not"),
    "a size for no shards": (("shards:x", 0), "image_size must be a whole number from 1 to 4096, and 0 is not"),
    "two channels": (("digits", 16, 2), "channels must be 1 (grey) or 3 (colour), and 2 is not"),
    "seven channels": (("faces", 16, 7), "channels must be 1 (grey) or 3 (colour), and 7 is not"),
    "channels of text": (("faces", 16, "3"), "channels must be of type int, and '3' is not"),
    "no name": ((None, 16), "data must be of type str, and None is not"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_argument_out_of_range(case: str, refused, cache: Path) -> None:
    arguments, message = ARGUMENTS[case]
    assert refused(lambda: load_pictures(*arguments)) == f"{message}: change its value."
    assert not cache.exists()


PIL_WORDS = ""
"""The reason is in PIL's own words, which change from version to version."""
BAD = {
    "empty jpg": ("a.jpg", b"", "the file is empty"),
    "empty png": ("a.png", b"", "the file is empty"),
    "text renamed to jpg": ("a.jpg", b"once upon a time", "it is not a picture"),
    "text renamed to webp": ("a.webp", b"RIFF0000WEBP", "it is not a picture"),
    "web page": ("a.png", b"<!DOCTYPE html><title>404</title>", "it is not a picture"),
    "zip archive": ("a.png", b"PK\x03\x04" + bytes(60), "it is not a picture"),
    "svg": ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is not a picture"),
    "pdf": ("a.jpg", b"%PDF-1.7 and so on", "it is not a picture"),
    "postscript, which PIL would run": (
        "a.jpg",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) print\n",
        "it is not a picture",
    ),
    "noise": ("a.bmp", bytes(range(256)) * 4, "it is not a picture"),
    "png cut short": ("a.png", cut("PNG"), "the file is cut short"),
    "png without pixels": ("a.png", png(9, 9), "the file is cut short"),
    "png of 8 bytes": ("a.png", b"\x89PNG\r\n\x1a\n", "it is not a picture"),
    "jpg cut short": ("a.jpg", cut("JPEG"), "the file is cut short"),
    "jpg of 2 bytes": ("a.jpg", b"\xff\xd8", "it is not a picture"),
    "tif cut short": ("a.tif", cut("TIFF", 0.9), "the file is cut short"),
    "tif that begins where no file ends": ("a.tif", b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**62), PIL_WORDS),
    "webp cut short": ("a.webp", cut("WEBP"), PIL_WORDS),
    "bmp cut short": ("a.bmp", cut("BMP"), "the file is cut short"),
    "ppm cut short": ("a.ppm", cut("PPM"), "the file is cut short"),
    "gif cut short": ("a.png", cut("GIF"), "the file is cut short"),
    "png with a wrong checksum": ("a.png", png(9, 9).replace(b"IHDR\0", b"IHDR\1"), "it is not a picture"),
    "png with broken pixels": ("a.png", saved().replace(b"IDATx", b"IDATy"), PIL_WORDS),
    "png of no width": ("a.png", png(0, 9), "it is not a picture"),
    "ppm of no height": ("a.ppm", b"P6 5 0 255\n", "it is not a picture"),
    "ppm of negative width": ("a.ppm", b"P6 -5 5 255\n", "it is not a picture"),
    "ppm without numbers": ("a.ppm", b"P6 wide high 255\n", PIL_WORDS),
    "png bomb": ("a.png", png(12_000, 8_000), "it has more than 89,478,485 pixels"),
    "png of two gigabytes": ("a.png", png(50_000, 50_000), "it has more than 89,478,485 pixels"),
    "ppm bomb": ("a.ppm", b"P6 60000 60000 255\n", "it has more than 89,478,485 pixels"),
    "bomb of text": ("a.png", saved()[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 27))), PIL_WORDS),
    "30,000 pixels and one": (
        "a.png",
        saved(Image.new("1", (30_000, 1))),
        "30000x1 is too long and thin to be resized to 64 pixels",
    ),
    "one and 30,000 pixels": (
        "a.png",
        saved(Image.new("1", (1, 30_000))),
        "1x30000 is too long and thin to be resized to 64 pixels",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_picture_is_named_with_its_reason(case: str, refused, tmp_path: Path, cache: Path) -> None:
    name, content, reason = BAD[case]
    path = tmp_path / "album" / name
    path.parent.mkdir()
    path.write_bytes(content)
    message = refused(lambda: load_pictures(f"folder:{tmp_path / 'album'}", 64))
    start = "1 of 1 pictures cannot be read, 100% where at most 10% may be left out, and the first is "
    assert message.startswith(f"{start}{path} ({reason}")
    assert message.endswith(f"{reason and reason + '): '}repair these files or take them out.")
    assert list(cache.iterdir()) == []


def half(kind: str, **options: object) -> bytes:
    """Two frames, red and blue; the red one is the first."""
    return saved(RED, kind, save_all=True, append_images=[Image.new("RGB", RED.size, "blue")], **options)


READ = {
    "png called jpg": ("a.jpg", saved()),
    "gif called png": ("a.png", saved(kind="GIF")),
    "suffix in capitals": ("A.JPEG", saved(kind="JPEG", quality=95)),
    "1x1": ("a.png", saved(Image.new("RGB", (1, 1), "red"))),
    "30,000x10": ("a.png", saved(Image.new("RGB", (30_000, 10), "red"))),
    "10x30,000": ("a.png", saved(Image.new("RGB", (10, 30_000), "red"))),
    "animated png": ("a.png", half("PNG")),
    "animated webp": ("a.webp", half("WEBP", lossless=True)),
    "animated gif": ("a.png", half("GIF")),
    "tif of two pages": ("a.tiff", half("TIFF")),
    "16 bits a channel": ("a.png", png(2, 2, 16, 2, 2 * (b"\0" + 2 * b"\xff\xff\0\0\0\0"))),
    "palette": ("a.png", saved(RED.quantize(2))),
    "transparent palette": ("a.png", saved(RED.quantize(2), transparency=1)),
    "half transparent": ("a.png", saved(Image.new("RGBA", (9, 9), (255, 0, 0, 255)))),
    "cmyk jpg": ("a.jpg", saved(RED.convert("CMYK"), "JPEG", quality=95)),
    "cmyk tif": ("a.tif", saved(RED.convert("CMYK"), "TIFF")),
    "ycbcr tif": ("a.tif", saved(RED.convert("YCbCr"), "TIFF")),
    "progressive jpg": ("a.jpg", saved(kind="JPEG", progressive=True, quality=95)),
    "words after the end": ("a.png", saved() + b"once upon a time"),
    "exif upright": ("a.jpg", exif(orientation(3, b"\0\x01"))),
    "exif lying": ("a.jpg", exif(orientation(3, b"\0\x06"))),
    "exif with a ninth orientation": ("a.jpg", exif(orientation(3, b"\0\x09"))),
    "exif with a word for an orientation": ("a.jpg", exif(orientation(2, b"up"))),
    "exif of noise": ("a.jpg", exif(bytes(range(200)))),
    "exif cut short": ("a.jpg", exif(b"MM\0*\0\0\0\x08\0\x09\x01")),
    "exif that points outside": ("a.jpg", exif(b"II*\0\xff\xff\xff\x7f")),
    "name with a line break": ("a\nb.png", saved()),
}


@pytest.mark.filterwarnings("error")  # a doubt of PIL's is not worth a word
@pytest.mark.parametrize("case", READ)
def test_odd_picture_is_read(case: str, tmp_path: Path) -> None:
    """All of them are red."""
    name, content = READ[case]
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / name).write_bytes(content)
    (image,) = load_pictures(f"folder:{tmp_path / 'album'}", 16).images
    np.testing.assert_allclose(image[:, 8, 8], (255, 0, 0), atol=6)


@pytest.mark.parametrize(
    ("depth", "colour", "pixels", "grey"),
    [(16, 0, b"\x64\x64", 100), (1, 0, b"\x80", 255), (2, 0, b"\x80", 170), (16, 4, b"\x64\x64\xff\xff", 100)],
    ids=["16 bits", "1 bit", "2 bits", "16 bits and transparency"],
)
def test_odd_grey_picture_is_read(depth: int, colour: int, pixels: bytes, grey: int, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "album/a.png").write_bytes(png(1, 1, depth, colour, b"\0" + pixels))
    assert load_pictures(f"folder:{tmp_path / 'album'}", 16, 1).images.unique().tolist() == [grey]


NAMES = {
    "German": "Grüße",
    "Greek": "φωτογραφία",
    "Russian": "фото",
    "Arabic": "صورة",
    "Hebrew": "תמונה",
    "Hindi": "तस्वीर",
    "Thai": "รูปภาพ",
    "Chinese": "照片",
    "Japanese": "写真",
    "Korean": "사진",
    "accents apart": "e\u0301te\u0301",
    "emoji": "🙂📷",
    "not Unicode": b"\xe9t\xe9".decode("utf-8", "surrogateescape"),
    "spaces around": "  two  ",
    "option": "--out",
    "percent and braces": "%s{0}$HOME",
    "quotes": "a'b\"c`d",
    "markup": "<script>alert(1)<",
    "long": "x" * 200,
}


@pytest.mark.parametrize("script", NAMES)
def test_names_in_every_script(
    script: str, refused, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture
) -> None:
    """As a folder's, a class's and a file's name; and again in the report and in the sentence about a bad file."""
    name = NAMES[script]
    root = tmp_path / "albums" / name
    for parent in (root / name, root / "other"):
        parent.mkdir(parents=True)
        for i in range(6):
            (parent / f"{name}{i}.png").write_bytes(saved())
    pictures = load_pictures(f"folder:{root}", 16)
    assert set(pictures.values["class"]) == {name, "other"}
    assert pictures.labels["class"].bincount().tolist() == [6, 6]
    (root / name / f"{name}6.png").write_bytes(b"")
    assert len(load_pictures(f"folder:{root}", 16)) == 12
    said, (report,) = capsys.readouterr().err, cache.glob("*.txt")
    assert said.startswith("1 of 13 pictures cannot be read and are left out, the first ")
    for text in (said, report.read_text("utf-8").splitlines()[1]):
        assert f"{name}6.png".encode("unicode_escape").decode() in text or f"{name}6.png" in text


def test_file_that_may_not_be_read(refused, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One among many, and yet it is not left out for ever. The tests may run as root, so the answer is played."""
    opened = sources.open_picture

    def refuse(path: Path) -> Image.Image:
        if path.name == "7.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path)

    (tmp_path / "album").mkdir()
    for i in range(20):
        (tmp_path / f"album/{i}.png").write_bytes(saved())
    with monkeypatch.context() as patch:
        patch.setattr(sources, "open_picture", refuse)
        said = f"{tmp_path / 'album/7.png'} cannot be read (Permission denied): change that."
        assert refused(lambda: load_pictures(f"folder:{tmp_path / 'album'}", 16)) == said
    assert list(cache.iterdir()) == []
    assert len(load_pictures(f"folder:{tmp_path / 'album'}", 16)) == 20
