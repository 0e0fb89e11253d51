"""Grids put every pixel where it belongs; animations show the last frame, and no more than 80."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lib.data.dataset import normalize
from dcgan_lib.images import grid, save_gif, save_grid, side_by_side, stacked


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_grid(channels: int) -> None:
    images = torch.randint(0, 256, (5, channels, 4, 6), dtype=torch.uint8)
    joined = grid(images, columns=3)
    assert (joined.mode, joined.size) == ("RGB", (3 * 7 + 1, 2 * 5 + 1))
    expected = torch.full((3, 11, 22), 255, dtype=torch.uint8)
    for i, image in enumerate(images):
        top, left = 1 + 5 * (i // 3), 1 + 7 * (i % 3)
        expected[:, top : top + 4, left : left + 6] = image
    assert torch.equal(pixels(joined), expected)
    assert torch.equal(pixels(grid(normalize(images), columns=3)), expected)
    larger = pixels(grid(images, columns=3, scale=2))
    assert torch.equal(larger, expected.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_side_by_side_and_stacked() -> None:
    """Each image is where it belongs, and all the rest is white."""
    red, blue = Image.new("RGB", (3, 5), "red"), Image.new("RGB", (4, 2), "blue")
    expected = torch.full((3, 5, 9), 255, dtype=torch.uint8)
    expected[:, :, :3], expected[:, :2, 5:] = pixels(red), pixels(blue)
    assert torch.equal(pixels(side_by_side(red, blue, gap=2)), expected)
    expected = torch.full((3, 8, 4), 255, dtype=torch.uint8)
    expected[:, :5, :3], expected[:, 6:] = pixels(red), pixels(blue)
    assert torch.equal(pixels(stacked(red, blue, gap=1)), expected)
    assert side_by_side(red).tobytes() == stacked(red).tobytes() == red.tobytes()


def test_save_grid(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (4, 1, 4, 4), dtype=torch.uint8)
    save_grid(tmp_path / "new/grid.png", images, columns=2)
    with Image.open(tmp_path / "new/grid.png") as saved:
        assert saved.format == "PNG"
        assert torch.equal(pixels(saved), pixels(grid(images, columns=2)))


@pytest.mark.parametrize("given", [1, 2, 79, 80, 81, 159, 160, 1000])
def test_save_gif(given: int, tmp_path: Path) -> None:
    """The colour of a frame is its number, in base 256; a white corner gives it a second colour."""
    frames = []
    for i in range(given):
        frames.append(Image.new("RGB", (4, 4), (i % 256, i // 256, 100)))
        frames[-1].putpixel((0, 0), (255, 255, 255))
    save_gif(tmp_path / "run.gif", frames)
    with Image.open(tmp_path / "run.gif") as saved:
        shades, pauses = [], []
        for number in range(saved.n_frames):
            saved.seek(number)
            red, green, _ = saved.convert("RGB").getpixel((2, 2))
            shades.append(256 * green + red)
            pauses.append(saved.info["duration"])
        kept = saved.n_frames
        assert saved.info["loop"] == 0
    assert kept == given if given <= 80 else 40 <= kept <= 80
    every = shades[1] - shades[0] if given > 2 else 1
    assert shades[:-1] == list(range(0, given - 1, every))
    assert shades[-1] == given - 1
    assert pauses[-1] == 2000
    assert all(abs(pause - 8000 / kept) <= 10 for pause in pauses[:-1])
