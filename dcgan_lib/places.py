"""Where the pictures of tar files lie: looked up once, and kept in the cache folder.

Used by `shards`.
"""

import fnmatch
import glob
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from torchvision.datasets.folder import IMG_EXTENSIONS

from dcgan_lib import cache
from dcgan_lib.config import InputError, cache_root
from dcgan_lib.files import READING_ERRORS, from_system, reason
from dcgan_lib.progress import progress
from dcgan_lib.terminal import printable
from dcgan_lib.writing import write_file

SHARDS = "shards:"
MOST_CLASSES = 65_536
"""Each class up to the largest number gets a name, and those of one number with eleven digits would fill the memory."""


def find_tars(name: str) -> list[Path]:
    """The tar files of shards:PATH, a folder with tar files or a pattern such as train-*.tar, sorted.

    Raises:
        InputError: there is none, or the folder cannot be read.
    """
    if name == SHARDS:
        raise InputError("shards: names no folder: write shards:PATH with a folder of .tar files or a pattern.")
    wanted = Path(os.path.expanduser(name.removeprefix(SHARDS)))
    if os.path.isfile(wanted):
        return [wanted]
    folder, pattern = (wanted, "*.tar") if os.path.isdir(wanted) else (wanted.parent, wanted.name)
    try:
        if os.path.isdir(folder):  # a [ or * in its own name is no pattern
            names = fnmatch.filter(os.listdir(folder), pattern)
            found = [folder / name for name in names if not name.startswith(".")]
        else:
            found = [Path(path) for path in glob.glob(str(wanted))]
    except (OSError, ValueError) as error:
        raise InputError(
            f"The folder {folder} cannot be read ({reason(None, error)}): change its permissions or its name."
        ) from error
    paths = sorted(path for path in found if os.path.isfile(path))
    if not paths:
        raise InputError(f"There is no tar file {wanted}: write shards:PATH with a folder of .tar files or a pattern.")
    return paths


def find_places(paths: list[Path]) -> np.ndarray:
    """Of each picture the number of its file, its first byte there, how many bytes, and its class or -1: int64 (N, 4).

    Raises:
        InputError: a file is compressed or broken, or none holds a picture.
    """
    states = [path.stat() for path in paths]
    content = "\n".join(f"{p.resolve()} {s.st_size} {s.st_mtime_ns}" for p, s in zip(paths, states, strict=True))
    index = cache_root() / f"shards-{hashlib.sha256(os.fsencode(content)).hexdigest()[:16]}.npy"
    table = _kept(index, np.array([state.st_size for state in states]))
    if table is not None:
        return table
    found = [place for i, path in enumerate(progress(paths, desc="shards", unit="file")) for place in _look(i, path)]
    if not found:
        raise InputError(f"No picture is in {paths[0]} or the {len(paths) - 1} other tar files: fill them.")
    table = np.array(found, dtype=np.int64)
    write_file(index, lambda file: np.save(file, table))
    return table


def refusal(what: str, path: Path | None, error: BaseException) -> InputError:
    """What to say of a tar file, or of a picture in one, that cannot be read."""
    advice = "change that" if from_system(error) else "write this shard anew"
    return InputError(f"{what} ({reason(path, error)}): {advice}.")


def _kept(index: Path, lengths: np.ndarray) -> np.ndarray | None:
    """The table of an index file; None where there is none that can be right for files of these lengths."""
    mapped = cache.open_array(index)
    if mapped is None or mapped.dtype != np.int64 or mapped.shape[1:] != (4,) or not len(mapped):
        return None
    table = np.array(mapped)
    file, start, size, label = table.T
    if file.min() < 0 or file.max() >= len(lengths) or label.min() < -1 or label.max() >= MOST_CLASSES:
        return None
    return table if start.min() >= 0 and size.min() >= 0 and (size <= lengths[file] - start).all() else None


def _look(number: int, path: Path) -> Iterator[tuple[int, int, int, int]]:
    """For each picture of a tar file: the file's number, first byte, bytes, and class or -1."""
    found, classes = {}, {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.size < 0:  # tarfile itself goes back, and round for ever
                    raise ValueError("the size of a file in it is below zero")
                if member.issparse():
                    raise ValueError("a file in it is sparse, so its bytes do not lie side by side")
                name = PurePosixPath(member.name)
                if not member.isfile() or name.name.startswith("._"):  # nothing is unpacked, so links are only skipped
                    continue
                kind, stem = name.suffix.lower(), member.name.removesuffix(name.suffix)
                if kind in IMG_EXTENSIONS:
                    found[stem] = member.offset_data, member.size
                elif kind == ".cls":
                    classes[stem] = tar.extractfile(member).read(64)
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(512) != bytes(512):  # at a broken header tarfile stops without a word
                raise ValueError(f"it is cut short, or damaged at byte {tar.offset}")
    except (tarfile.TarError, *READING_ERRORS, RecursionError, MemoryError) as error:  # what a made-up header can do
        raise refusal(f"{path} cannot be read as an uncompressed tar file", path, error) from error
    for stem, (start, size) in found.items():
        yield number, start, size, _class(path, stem, classes[stem]) if stem in classes else -1


def _class(path: Path, stem: str, words: bytes) -> int:
    if not words.strip().isdigit() or int(words) >= MOST_CLASSES:
        raise InputError(
            f"{path} has the class {words.decode(errors='replace')!r:.40} in {printable(stem)}.cls, and a class is a "
            f"number from 0 to {MOST_CLASSES - 1}: write this shard anew."
        )
    return int(words)
