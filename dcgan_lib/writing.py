"""Files that are whole or not there.

Used wherever something is written.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from dcgan_lib.config import InputError

UNFINISHED = "dcgan-part"
"""The suffix of what is being written, behind the number of the process: nobody else's files end so."""


def write_file(path: Path | str, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that appears under its name when it is complete and on the disk, never before.

    Args:
        write: gets the open binary file.

    Raises:
        InputError: the path has no name, or the folder or the disk does not take it; an earlier file of that name is
            as it was.
    """
    path = Path(path)
    if not path.name:
        raise InputError(f"{path} is a folder: add the name of a file to it.")
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error}): choose a folder with room that you can write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # where it cannot be deleted, it is not there
            unfinished.unlink()


def write_text(path: Path | str, text: str) -> None:
    """`write_file` for UTF-8 text."""
    write_file(path, lambda file: file.write(text.encode()))


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk too, where the system lets a folder be opened for that."""
    if os.name != "posix":
        return
    try:
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def remove(path: Path) -> None:
    """Remove a file of ours.

    Raises:
        InputError: the system does not let us.
    """
    try:
        path.unlink()
    except OSError as error:
        raise InputError(f"{path} could not be removed ({error.strerror or error}): change that.") from error


def remove_stale(folder: Path, idle_seconds: float = 0) -> None:
    """Remove what processes of this machine that were killed left unfinished: *.PID.dcgan-part files.

    Those of a process that lives stay, and so do all that somebody has written to in the last `idle_seconds`: in a
    folder that machines share, a process of another one cannot be seen from here.
    """
    for unfinished in folder.glob(f"*.*.{UNFINISHED}"):
        number = unfinished.name.split(".")[-2]
        with contextlib.suppress(OSError):  # somebody else was faster, or on Windows it is open
            idle = time.time() - unfinished.stat().st_mtime
            if number.isdecimal() and not _lives(int(number)) and idle >= idle_seconds:
                unfinished.unlink()


def _lives(process: int) -> bool:
    if os.name != "posix":
        return process == os.getpid()  # there a file that is open cannot be removed, and a signal would kill
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's
    return True
