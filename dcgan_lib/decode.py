"""One picture file as an array of one size.

Taught in notebooks/02_data.ipynb.
"""

import contextlib

import numpy as np
from PIL import Image, ImageOps
from torchvision.transforms import functional as transforms

from dcgan_lib.files import READING_ERRORS


def to_mode(image: Image.Image, channels: int) -> Image.Image:
    """The picture upright, with 1 (grey) or 3 (colour) channels: palette, grey, RGBA, CMYK and 16-bit files too.

    Transparent parts become white.
    """
    image.load()
    with contextlib.suppress(*READING_ERRORS):  # where only the EXIF part is broken, the picture is read without it
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, which PIL would clip instead of scaling
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def decode(image: Image.Image, image_size: int, channels: int) -> np.ndarray:
    """One picture as uint8 (channels, image_size, image_size): the shorter side resized, the middle cut out."""
    image = transforms.resize(to_mode(image, channels), image_size)
    pixels = np.asarray(transforms.center_crop(image, image_size))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
