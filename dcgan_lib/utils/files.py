"""Files that are whole or not there. Used wherever something is written."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from dcgan_lib.utils.errors import InputError, require

UNFINISHED = "dcgan-part"
"""The suffix of what is being written, behind the number of the process: nobody else's files end so."""


def write_file(
    path: Path | str,
    write: Callable[[BinaryIO], object],
    advice: str = "choose a folder with room that you can write to",
) -> None:
    """Write a file that appears under its name when it is complete and on the disk, never before.

    Args:
        write: gets the open binary file.
        advice: what to do where the folder or the disk does not take the file.

    Raises:
        InputError: the path has no name, or the folder or the disk does not take it; an earlier file of that name is
            as it was.
    """
    path = Path(path)
    require(bool(path.name), f"{path} is a folder: add the name of a file to it.")
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise InputError(f"{path} could not be written ({error.strerror or error}): {advice}.") from error
    finally:
        with suppress(OSError):  # where it cannot be deleted, it is not there
            unfinished.unlink()


def write_text(path: Path | str, text: str) -> None:
    """`write_file` for UTF-8 text."""
    write_file(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def remove_unfinished(folder: Path, idle_seconds: float = 0) -> None:
    """Remove what killed processes left unfinished in a folder, if nobody has written to it for so long."""
    for path in folder.glob(f"*.{UNFINISHED}"):
        with suppress(OSError):  # somebody else was faster
            if time.time() - path.stat().st_mtime >= idle_seconds:
                path.unlink()
