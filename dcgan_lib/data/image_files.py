"""Image files: found below a folder, and decoded to one size without trusting what is in them.

Taught in notebooks/02_data.ipynb.
"""

import contextlib
import hashlib
import io
import os
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torchvision.transforms import functional as transforms

from dcgan_lib.utils.console import tell
from dcgan_lib.utils.errors import InputError, require

Image.init()  # PIL knows some formats only after this
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # 64 MB instead of 1: no reason to lose the pixels
with contextlib.suppress(ImportError):
    import pillow_heif  # a package of its own, which reads what iPhones write

    pillow_heif.register_heif_opener()
# EPS is for Ghostscript, which is a program, and IPTC may hold an EPS; the others PIL does not decode by itself.
FORMATS = sorted(set(Image.OPEN) - {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
"""What a file may be, whatever its suffix says."""
SUFFIXES = tuple(suffix for suffix, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO"))
LEFT_BEHIND = (".", "__MACOSX", "__pycache__", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume", "lost+found")


class ImageError(Exception):
    """Bytes that are no image; the message says what is wrong with them in a few words."""


def find_image_files(root: Path) -> list[Path]:
    """Every image file below a folder, sorted; a sentence on stderr counts the other files there.

    Hidden files and folders are skipped. Links to folders are followed, but into no folder twice, and not upwards.

    Raises:
        InputError: there is no such folder, it or one below cannot be read, or it holds no image.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"The folder {error.filename} cannot be read ({error.strerror}): change its permissions.")

    advice = "write folder:PATH with the one that holds your pictures, and unpack archives first"
    require(os.path.isdir(root), f"There is no folder {root}: {advice}.")
    paths, others, todo = [], Counter(), [str(root)]
    seen = {str(parent) for parent in Path(os.path.realpath(root)).parents}
    while todo:  # links wait until all that lies in the folder itself has been seen
        for folder, subfolders, names in os.walk(todo.pop(0), onerror=refuse):
            subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
            if (place := os.path.realpath(folder)) in seen:
                subfolders.clear()
                continue
            seen.add(place)
            todo += [link for name in subfolders if os.path.islink(link := os.path.join(folder, name))]
            files = [Path(folder, name) for name in names if not is_hidden(name)]
            paths += [file for file in files if is_picture(file.name) and file.is_file()]
            others.update(file.suffix.lower() or "without a suffix" for file in files if not is_picture(file.name))
    left_out = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items())) or "no file"
    left_out += " (pip install pillow-heif reads these)" if ".heic" in others else ""
    require(bool(paths), f"There is no picture below {root} but {left_out}: put .jpg, .png or .tif files into it.")
    if others:
        tell(f"{len(paths)} pictures below {root}; what is not read as one is left out: {left_out}.")
    return sorted(paths)


def is_picture(name: str) -> bool:
    """Whether a file has a suffix of one of `FORMATS`, in any case."""
    return name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether a file or folder was left by a program: .ipynb_checkpoints, ._photo.jpg, __MACOSX."""
    return name.startswith(LEFT_BEHIND)


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
    """The picture upright, with 1 (grey) or 3 (colour) channels: palette, RGBA, CMYK, 16-bit and float files too.

    Transparent parts become white; raises ImageError where floats are in no usual range.
    """
    image.load()
    with contextlib.suppress(Exception):  # where only the EXIF part is broken, the picture is read without it
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # which PIL would clip instead of scaling
        image = to_8_bits(np.asarray(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def to_8_bits(pixels: np.ndarray) -> Image.Image:
    """Whole numbers or floats, scaled from the smallest usual range that holds them; ImageError where none does."""
    low, high, floats = float(pixels.min()), float(pixels.max()), pixels.dtype.kind == "f"
    tops = (1, 255, 1023, 4095, 16383, 65535)[not floats :]  # 8, 10, 12, 14 and 16 bits
    top = next((top for top in tops if high <= top * (1.1 if floats else 1)), np.nan)  # resampled floats may overshoot
    if not low >= -0.1 * top or (floats and 1.1 < high < 16):  # NaN is in no range, and 16 of 255 is nearly black
        raise ImageError(f"its values go from {low:.4g} to {high:.4g}: scale them to 0..1 or 0..255")
    return Image.fromarray((pixels * (255 / top)).round().clip(0, 255).astype(np.uint8))
