"""Decoded images in one array file, which is whole or not there, and beside it the report of those left out.

Used by `load_images`.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from dcgan_lib.utils.console import progress, tell
from dcgan_lib.utils.errors import require
from dcgan_lib.utils.files import write_file, write_text

ADVICE = "set DCGAN_CACHE to a folder with room that you can write to"
CHUNK = 256
"""How many images a thread decodes at a time."""
MOST_SKIPPED = 0.10
"""The largest share of a source's images that may be left out."""
Decode = Callable[[range], list[np.ndarray | str]]
"""Gives for each number its image, uint8 (C, H, W); where that cannot be read, its file and what is wrong with it."""


def load(path: Path, shape: tuple[int, ...], decode: Decode, name: str) -> tuple[Tensor, Tensor]:
    """The images of a cache file. It is written first where it is not there, not whole, or not of this shape.

    Args:
        shape: (N, C, H, W), those that cannot be read counted too.
        name: for the progress bar.

    Returns:
        The images that can be read, uint8 (n, C, H, W), mapped from the file, and their numbers of N, int64 (n,).

    Raises:
        InputError: too many of them cannot be read, or the folder or the disk does not take the file.
    """
    if read(path, shape) is None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # what it reads in spite of a doubt is fine
            write_file(path, lambda file: _write(file, path, shape, _decode_all(decode, shape[0], name)), ADVICE)
    return read(path, shape)


def read(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, Tensor] | None:
    """What `load` returns; None where the file has to be written first."""
    try:
        images = np.lib.format.open_memmap(path, mode="c")  # which never unpickles
        report = report_of(path).read_text(encoding="utf-8") if len(images) < shape[0] else ""
        kept = np.delete(np.arange(shape[0]), [int(line.split("\t")[0]) for line in report.splitlines()[1:]])
    except Exception:  # where a file is damaged, NumPy may raise anything
        return None
    fits = images.dtype == np.uint8 and images.shape == (len(kept), *shape[1:])
    return (torch.from_numpy(images), torch.from_numpy(kept)) if fits else None


def _decode_all(decode: Decode, count: int, name: str) -> Iterator[np.ndarray | str]:
    """In order, on all cores."""
    workers, starts = os.cpu_count() or 1, range(0, count, CHUNK)
    # Threads, not processes: PIL decodes outside Python's lock, and nothing has to be pickled.
    with ThreadPoolExecutor(workers) as pool, progress(total=count, desc=name, unit="picture") as bar:
        for i in range(0, len(starts), workers):  # a slow disk must not let decoded images fill the memory
            chunks = [range(start, min(start + CHUNK, count)) for start in starts[i : i + workers]]
            for images in pool.map(decode, chunks):
                yield from images
                bar.update(len(images))


def _write(file: BinaryIO, path: Path, shape: tuple[int, ...], images: Iterator[np.ndarray | str]) -> None:
    _write_header(file, shape)
    bad, flat = {}, []
    for number, image in enumerate(images):
        if isinstance(image, str):
            bad[number] = image
        else:
            file.write(image.tobytes())
            if (image.max((1, 2)) - image.min((1, 2)) < 16).all():  # of 255 grey levels, which no eye tells apart
                flat.append(number + 1)
    if bad:
        _write_report(report_of(path), bad, shape[0])
        file.seek(0)
        _write_header(file, (shape[0] - len(bad), *shape[1:]))  # as long as the first: NumPy leaves room for digits
    if flat:
        flat_ones = f"{len(flat)} of {shape[0]} pictures are of a single colour, or nearly"
        tell(f"{flat_ones}, the first is number {flat[0]}: look at them.")


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def report_of(path: Path) -> Path:
    """The report file that lies beside a cache file."""
    return path.with_suffix(".skipped.txt")


def _write_report(report: Path, bad: dict[int, str], count: int) -> None:
    """List the bad images of a source, by number, and say so on stderr; raises InputError where they are too many."""
    words, first = f"{len(bad)} of {count} pictures cannot be read", bad[min(bad)]
    limit = f"{len(bad) / count:.0%} where at most {MOST_SKIPPED:.0%} may be left out"
    advice = "repair these files or take them out"
    require(len(bad) <= MOST_SKIPPED * count, f"{words}, {limit}, and the first is {first}: {advice}.")
    write_text(report, f"{words}:\n" + "".join(f"{number}\t{file}\n" for number, file in bad.items()))
    tell(f"{words} and are left out, the first {first}: {report} lists them all.")
