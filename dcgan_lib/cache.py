"""Decoded pictures in one array file, which is whole or not there.

Used by `data.load_pictures` and `places`.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.config import InputError
from dcgan_lib.skipped import read_report, require_few, write_report
from dcgan_lib.writing import UNFINISHED

Bad = dict[int, tuple[Path, str]]
"""For each number of a picture that cannot be read, its file and what is wrong with it."""
NO_ARRAY = (ValueError, EOFError, SyntaxError, TypeError, OverflowError, RecursionError, TokenError)
"""What NumPy lets through where a file is cut short, or something else."""


def read(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, Tensor | None] | None:
    """The pictures of a cache file and the numbers that they have in their source, left out: all of them.

    None where there is no such file, or it does not hold what `write` writes for `shape`; then it is to be made again.

    Raises:
        InputError: the file is there and cannot be opened.
    """
    images = open_array(path)
    if images is None or images.dtype != np.uint8 or images.shape[1:] != shape[1:]:
        return None
    bad = read_report(path) if len(images) < shape[0] else []
    kept = np.setdiff1d(np.arange(shape[0]), bad)
    if len(kept) != len(images):
        return None
    return torch.from_numpy(images), torch.from_numpy(kept) if bad else None


def open_array(path: Path) -> np.ndarray | None:
    """The array of an .npy file, mapped into memory; None where there is no such file, or it is not whole.

    Raises:
        InputError: the file is there and cannot be opened.
    """
    try:
        return np.lib.format.open_memmap(path, mode="c")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(_refusal(path, error, "read")) from error
    except NO_ARRAY:
        return None


def write(path: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray], Bad]) -> None:
    """Fill a new array file; it gets its name when it is complete, so nobody ever reads half a cache.

    Args:
        fill: writes the pictures into an array of `shape` and names those that it could not read. They are left out,
            and the report of `skipped` lists them.

    Raises:
        InputError: there are too many of them, or the folder or the disk does not take the file.
    """
    unfinished, kept = (path.with_suffix(f".{word}{os.getpid()}.{UNFINISHED}") for word in ("", "kept."))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        images = _new(unfinished, shape)
        bad = fill(images)
        if bad:
            require_few(bad, shape[0])
            rows = np.setdiff1d(np.arange(shape[0]), list(bad))
            fewer = _new(kept, (len(rows), *shape[1:]))
            for start in range(0, len(rows), 1024):
                fewer[start : start + 1024] = images[rows[start : start + 1024]]
            write_report(path, bad, shape[0])
            images = fewer
            del fewer
        images.flush()
        del images  # Windows renames no open file
        (kept if bad else unfinished).replace(path)
    except OSError as error:
        raise InputError(_refusal(path, error, "cached")) from error
    finally:
        for file in (unfinished, kept):
            with contextlib.suppress(OSError):  # where it cannot be deleted, it is not there
                file.unlink()


def _new(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a full disk must end in an error here, and not kill Python at a write
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return images


def _refusal(path: Path, error: OSError, done: str) -> str:
    return (
        f"The pictures could not be {done} in {path.parent} ({error.strerror or error}): "
        "set DCGAN_CACHE to a folder with room that you can write to."
    )
