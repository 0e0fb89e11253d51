"""Grids and layouts of images, their files, and the animation that many of them make.

Used in notebooks 00, 01, 02, 04 and 08.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from dcgan_lib.data.dataset import denormalize
from dcgan_lib.utils.errors import InputError
from dcgan_lib.utils.files import write_file

GIF_FRAMES, GIF_SECONDS = 80, 8


def grid(images: Tensor, columns: int = 8, scale: int = 1) -> Image.Image:
    """Images side by side with a thin white border, as one RGB image.

    Args:
        images: (N, C, H, W) with 1 or 3 channels, uint8 in 0..255 or float in [-1, 1].
        columns: how many in a row.
        scale: each pixel becomes scale x scale, unsmoothed.
    """
    if images.is_floating_point():
        images = denormalize(images)
    joined = make_grid(images.cpu(), columns, padding=1, pad_value=255)  # grey becomes three equal channels
    image = Image.fromarray(joined.permute(1, 2, 0).numpy())
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def side_by_side(*images: Image.Image, gap: int = 0) -> Image.Image:
    """Images in a row, so many pixels apart, their upper edges level, as one RGB image on white."""
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    joined = Image.new("RGB", (width, max(image.height for image in images)), "white")
    x = 0
    for image in images:
        joined.paste(image, (x, 0))
        x += image.width + gap
    return joined


def stacked(*images: Image.Image, gap: int = 0) -> Image.Image:
    """Images one below the other, so many pixels apart, their left edges level, as one RGB image on white."""
    turned = [image.transpose(Image.Transpose.TRANSPOSE) for image in images]
    return side_by_side(*turned, gap=gap).transpose(Image.Transpose.TRANSPOSE)


def save_grid(path: Path | str, images: Tensor, columns: int = 8) -> None:
    """Write `grid` as a PNG file."""
    write_file(path, lambda file: grid(images, columns).save(file, format="PNG"))


def save_gif(path: Path | str, frames: Sequence[Image.Image], pause: int | None = None) -> None:
    """Write an endless animation: at most 80 frames, evenly chosen, over 8 seconds; the last one stays for 2.

    Args:
        frames: images of one size, at least one.
        pause: milliseconds from frame to frame; then all are taken, and the last one stays no longer.
    """
    every = 1 if pause else max(1, -(-(len(frames) - 1) // (GIF_FRAMES - 1)))  # rounded up; the last comes on top
    chosen = [f.convert("RGB").quantize(64, dither=Image.Dither.NONE) for f in (*frames[:-1][::every], frames[-1])]
    pauses = [GIF_SECONDS * 1000 // len(chosen)] * (len(chosen) - 1) + [2000]
    options = {"save_all": True, "append_images": chosen[1:], "duration": pause or pauses, "loop": 0}
    write_file(path, lambda file: chosen[0].save(file, format="GIF", **options))


def save_mp4(path: Path, frames: Sequence[Image.Image], pause: int) -> None:
    """Write RGB images with even sides, so many milliseconds each, as a video; raises InputError without ffmpeg."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "{}x{}".format(*frames[0].size), "-r", f"{1000 / pause}"]
    words = ["ffmpeg", "-loglevel", "error", "-y", *raw, "-i", "-", "-pix_fmt", "yuv420p", str(path.absolute())]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(words, input=b"".join(frame.tobytes() for frame in frames), check=True)  # noqa: S603
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise InputError(f"{path} could not be written by ffmpeg: install that program, or write a .gif.") from error
