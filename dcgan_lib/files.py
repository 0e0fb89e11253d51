"""The reader's own picture files: found below a folder, and opened without trusting what is in them.

Used by `sources`, `data`, `places` and `checkpoint`.
"""

import errno
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from torchvision.datasets.folder import IMG_EXTENSIONS

from dcgan_lib.config import InputError
from dcgan_lib.terminal import printable

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What a file may be, whatever its suffix says. PIL would also hand a file to Ghostscript, which is a program."""
MOST_PIXELS = 89_478_485
"""What PIL itself takes for a decompression bomb, here for a picture that is resized before it is cropped."""
READING_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What PIL lets through when a file is broken, old versions more than new ones; benchmarks/fuzz.py looks for more."""


def kind_of(path: Path | str) -> int:
    """What lies there, as `stat.S_IFMT` has it; 0 where nothing does.

    Raises:
        InputError: a folder on the way is closed to the reader, which os.path takes for "nothing".
    """
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except PermissionError as error:
        raise InputError(
            f"{path} cannot be reached ({error.strerror}): change the permissions of the folders that it lies in."
        ) from error
    except (OSError, ValueError):  # any name is taken, such as one with a zero
        return 0


def find_pictures(root: Path) -> list[Path]:
    """Every picture file below a folder, sorted; links to files count, links to folders are not followed.

    Names that begin with "._" are not pictures but what macOS leaves beside them on foreign drives.

    Raises:
        InputError: there is no such folder, it or one below cannot be read, or it holds no picture.
    """

    def refuse(error: OSError) -> None:
        or_else = "" if error.filename == str(root) else f", or take it out of {root}"
        raise InputError(
            f"The folder {error.filename} cannot be read ({error.strerror}): change its permissions{or_else}."
        ) from error

    if kind_of(root) != stat.S_IFDIR:
        raise InputError(f"There is no folder {root}: write folder:PATH with the folder that holds your pictures.")
    paths = [
        Path(folder, name)
        for folder, _, names in os.walk(root, onerror=refuse)
        for name in names
        if name.lower().endswith(IMG_EXTENSIONS) and not name.startswith("._")
    ]
    paths = sorted(path for path in paths if kind_of(path) == stat.S_IFREG)
    if not paths:
        raise InputError(
            f"There is no picture below {root}: put files that end in {', '.join(IMG_EXTENSIONS)} into it, "
            "directly or in one folder for each class."
        )
    return paths


def open_picture(file: Path | BinaryIO) -> Image.Image:
    """The picture of a file, not decoded yet; of an animation the first one."""
    if not Image.OPEN.keys() >= set(FORMATS):
        Image.init()  # PIL knows some formats only after this, and old versions not all of them
    return Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])


def require_room(image: Image.Image, image_size: int) -> None:
    """Raises for a picture so large, or so long and thin, that decoding it or resizing it would fill the memory."""
    if image.width * image.height > MOST_PIXELS:
        raise Image.DecompressionBombError
    short, long = sorted(image.size)
    if long * image_size * image_size > MOST_PIXELS * short:
        raise ValueError(f"{image.width}x{image.height} is too long and thin to be resized to {image_size} pixels")


def from_system(error: BaseException) -> bool:
    """Whether the system refused a file, and may not tomorrow: a broken one only sends its reader to no place in it."""
    return getattr(error, "errno", None) not in (None, errno.EINVAL, errno.EOVERFLOW)


def reason(path: Path | None, error: BaseException) -> str:
    """Why a file is no picture, in a few words on one line without the file's name."""
    if path and os.path.isfile(path) and os.path.getsize(path) == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is not a picture"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {MOST_PIXELS:,} pixels"
    if "truncated" in str(error):
        return "the file is cut short"
    words = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return printable(words.splitlines()[0].rstrip(".:"))
