"""Image files: found below a folder, and decoded to one size without trusting what is in them.

Taught in notebooks/02_data.ipynb.
"""

import contextlib
import hashlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import functional as transforms

from dcgan_lib.utils.errors import InputError, require

Image.init()  # PIL knows some formats only after this
FORMATS = [name for name in ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP") if name in Image.OPEN]
"""What a file may be, whatever its suffix says. PIL would also hand a file to Ghostscript, which is a program."""


class ImageError(Exception):
    """Bytes that are no image; the message says what is wrong with them in a few words."""


def find_image_files(root: Path) -> list[Path]:
    """Every image file below a folder, sorted; hidden files and folders are skipped, links to folders not followed.

    Raises:
        InputError: there is no such folder, it or one below cannot be read, or it holds no image.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"The folder {error.filename} cannot be read ({error.strerror}): change its permissions.")

    require(os.path.isdir(root), f"There is no folder {root}: write folder:PATH with the one that holds your pictures.")
    paths = []
    for folder, subfolders, names in os.walk(root, onerror=refuse):
        subfolders[:] = [name for name in subfolders if not is_hidden(name)]
        files = [os.path.join(folder, name) for name in names if not is_hidden(name)]
        paths += [Path(file) for file in files if file.lower().endswith(IMG_EXTENSIONS) and os.path.isfile(file)]
    require(bool(paths), f"There is no picture below {root}: put {', '.join(IMG_EXTENSIONS)} files into it.")
    return sorted(paths)


def is_hidden(name: str) -> bool:
    """Whether a file or folder was left by a program: .ipynb_checkpoints, ._photo.jpg, __MACOSX."""
    return name.startswith((".", "__MACOSX"))


def fingerprint(paths: list[Path]) -> str:
    """A word that differs where one of the files lies elsewhere, or its size or its time of change differs."""
    states = [f"{path.absolute()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths]
    return hashlib.sha256(os.fsencode("\n".join(states))).hexdigest()[:16]


def decode_bytes(content: bytes, image_size: int, channels: int) -> np.ndarray:
    """`decode` for what is in an image file; of an animation the first image.

    Raises:
        ImageError: it is no image, it is damaged, or it has so many pixels that PIL refuses it.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return decode(image, image_size, channels)
    except Exception as error:  # where a file is damaged, PIL may raise anything
        raise ImageError(reason(error) if content else "the file is empty") from error


def reason(error: BaseException) -> str:
    """What an error says, on one line and without the full stop."""
    if isinstance(error, UnidentifiedImageError):
        return "it is not a picture"
    words = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return words.splitlines()[0].rstrip(".:")


def decode(image: Image.Image, image_size: int, channels: int) -> np.ndarray:
    """One picture as uint8 (channels, image_size, image_size): the shorter side resized, the middle cut out."""
    image = transforms.resize(to_mode(image, channels), image_size)
    pixels = np.asarray(transforms.center_crop(image, image_size))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def to_mode(image: Image.Image, channels: int) -> Image.Image:
    """The picture upright, with 1 (grey) or 3 (colour) channels: palette, grey, RGBA, CMYK and 16-bit files too.

    Transparent parts become white.
    """
    image.load()
    with contextlib.suppress(Exception):  # where only the EXIF part is broken, the picture is read without it
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, which PIL would clip instead of scaling
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")
