"""A cache file is read where it is whole, and made again where it is not; no code in it is run."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_lib import cache as array_files

SHAPE = (6, 3, 4, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole cache file of six pictures."""
    path = tmp_path / "cache/pictures.npy"
    array_files.write(path, SHAPE, fill)
    return path


def fill(images: np.ndarray) -> array_files.Bad:
    images[:] = np.arange(images.size).reshape(images.shape) % 256
    return {}


def test_what_was_written_is_read(path: Path) -> None:
    images, kept = array_files.read(path, SHAPE)
    assert torch.equal(images, (torch.arange(6 * 48) % 256).byte().reshape(SHAPE))
    assert kept is None
    assert [file.name for file in path.parent.iterdir()] == ["pictures.npy"]


class Malicious:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def spoil_header(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:10] + b"{[(" * 30 + whole[100:])


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "text": lambda path: path.write_text("once upon a time"),
    "a zip archive": lambda path: path.write_bytes(b"PK\3\4" + bytes(99)),
    "noise in the header": lambda path: path.write_bytes(
        path.read_bytes()[:10] + b"{[(" * 30 + path.read_bytes()[100:]
    ),
    "a length below zero": lambda path: path.write_bytes(path.read_bytes().replace(b"(6, 3, ", b"(6, -3,", 1)),
    "another size": lambda path: np.save(path, np.zeros((6, 3, 8, 8), np.uint8)),
    "another type": lambda path: np.save(path, np.zeros(SHAPE, np.float32)),
    "another number": lambda path: np.save(path, np.zeros((5, *SHAPE[1:]), np.uint8)),
    "more": lambda path: np.save(path, np.zeros((7, *SHAPE[1:]), np.uint8)),
    "one number": lambda path: np.save(path, np.uint8(3)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Malicious(path.parent / "trapped"))),
    "objects": lambda path: np.save(path, np.array([Malicious(path.parent / "trapped")]), allow_pickle=True),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_cache_is_not_there(case: str, path: Path) -> None:
    BROKEN[case](path)
    assert array_files.read(path, SHAPE) is None
    assert not (path.parent / "trapped").exists()


def test_no_cache(tmp_path: Path) -> None:
    assert array_files.read(tmp_path / "nowhere/pictures.npy", SHAPE) is None


def test_error_while_filling_leaves_nothing(tmp_path: Path) -> None:
    def fail(images: np.ndarray) -> array_files.Bad:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        array_files.write(tmp_path / "cache/pictures.npy", SHAPE, fail)
    assert list((tmp_path / "cache").iterdir()) == []
