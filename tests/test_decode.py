"""Every kind of file becomes the same kind of picture, and every value comes back."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision import transforms

from dcgan_lib.data import decode, denormalize, normalize, to_mode


def test_all_256_values_come_back() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    scaled = normalize(values)
    assert (scaled.dtype, scaled[0].item(), scaled[-1].item()) == (torch.float32, -1.0, 1.0)
    assert torch.equal(denormalize(scaled), values)
    assert torch.equal(denormalize(values / 127.5 - 1), values)


def test_denormalize_rounds_and_clips() -> None:
    given = torch.tensor([-9.0, -1.0, 0.0, 1.6 / 127.5 - 1, 1.0, 1.01, 9.0])
    assert denormalize(given).tolist() == [0, 0, 128, 2, 255, 255, 255]


@pytest.mark.parametrize("size", [(50, 37), (37, 50), (12, 9), (32, 32)])
def test_same_as_torchvision(size: tuple[int, int]) -> None:
    width, height = size
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    recipe = transforms.Compose(
        [
            transforms.Resize(32),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    ours = normalize(torch.from_numpy(decode(image, 32, 3).copy()))
    torch.testing.assert_close(ours, recipe(image), rtol=0, atol=0)


def with_palette() -> Image.Image:
    return Image.new("RGB", (4, 4), (200, 40, 90)).quantize(4)


def half_transparent() -> Image.Image:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    image.paste((200, 40, 90, 255), (0, 0, 4, 2))
    return image


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 40, 90])
    image.info["transparency"] = 0
    return image


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.full((4, 4), 100 * 257, np.uint16))


@pytest.mark.parametrize(
    ("image", "suffix", "top", "bottom"),
    [
        (with_palette(), ".png", (200, 40, 90), (200, 40, 90)),
        (with_palette(), ".gif", (200, 40, 90), (200, 40, 90)),
        (Image.new("L", (4, 4), 77), ".png", (77, 77, 77), (77, 77, 77)),
        (Image.new("1", (4, 4), 1), ".png", (255, 255, 255), (255, 255, 255)),
        (Image.new("LA", (4, 4), (77, 0)), ".png", (255, 255, 255), (255, 255, 255)),
        (half_transparent(), ".png", (200, 40, 90), (255, 255, 255)),
        (palette_with_transparency(), ".png", (255, 255, 255), (255, 255, 255)),
        (Image.new("RGB", (4, 4), (200, 40, 90)).convert("CMYK"), ".tif", (200, 40, 90), (200, 40, 90)),
        (Image.new("RGB", (4, 4), (200, 40, 90)).convert("CMYK"), ".jpg", (200, 40, 90), (200, 40, 90)),
        (sixteen_bits(), ".png", (100, 100, 100), (100, 100, 100)),
        (sixteen_bits(), ".tif", (100, 100, 100), (100, 100, 100)),
    ],
)
def test_every_mode(image: Image.Image, suffix: str, top: tuple, bottom: tuple, tmp_path: Path) -> None:
    image.save(tmp_path / f"file{suffix}", quality=100)
    with Image.open(tmp_path / f"file{suffix}") as opened:
        colour = to_mode(opened, 3)
        grey = to_mode(opened, 1)
    assert (colour.mode, grey.mode) == ("RGB", "L")
    tolerance = 6 if suffix in (".jpg", ".gif") else 1
    for wanted, place in ((top, (1, 0)), (bottom, (1, 3))):
        np.testing.assert_allclose(colour.getpixel(place), wanted, atol=tolerance)
        assert grey.getpixel(place) == pytest.approx(np.dot(wanted, (0.299, 0.587, 0.114)), abs=tolerance)


def test_exif_orientation(tmp_path: Path) -> None:
    """Orientation 6: the camera stored the picture lying on its side; upright, its top is the left of the file."""
    stored = Image.new("RGB", (40, 20), "black")
    stored.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "turned.jpg") as opened:
        upright = to_mode(opened, 1)
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) > 250
    assert upright.getpixel((10, 35)) < 5


@pytest.mark.parametrize("error", [SyntaxError("not a TIFF file"), struct.error(), KeyError(274), ValueError("no tag")])
def test_exif_that_pil_stumbles_over(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is read as it lies. Which parts PIL stumbles over changes from version to version."""

    def stumble(image: Image.Image) -> Image.Image:
        raise error

    monkeypatch.setattr(ImageOps, "exif_transpose", stumble)
    assert to_mode(Image.new("RGB", (4, 2), "red"), 3).getpixel((3, 1)) == (255, 0, 0)
