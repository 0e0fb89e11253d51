"""A cache file is whole or not there, nothing in it is run; a few bad images are left out and listed, more stop it."""

import pickle
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lib.data import ImageDataset, image_files, load_images
from dcgan_lib.data import cache as array_files
from dcgan_lib.utils.errors import InputError

SHAPE = (6, 3, 4, 4)
IMAGES = (np.arange(6 * 48) % 256).astype(np.uint8).reshape(SHAPE)


def load(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    return array_files.load(path, SHAPE, lambda numbers: [IMAGES[i] for i in numbers], "noise")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole cache file of six images."""
    load(tmp_path / "cache/noise.npy")
    return tmp_path / "cache/noise.npy"


def test_what_was_written_is_read(path: Path) -> None:
    images, kept = array_files.read(path, SHAPE)
    assert torch.equal(images, torch.from_numpy(IMAGES))
    assert kept.tolist() == list(range(6))
    assert np.array_equal(np.load(path), IMAGES)
    assert [file.name for file in path.parent.iterdir()] == ["noise.npy"]
    images.zero_()  # which stays in the memory of this process
    assert torch.equal(load(path)[0], torch.from_numpy(IMAGES))


def trap(path: Path) -> object:
    """Unpickling it leaves a file beside this one."""
    return type("Trap", (), {"__reduce__": lambda _: (Path.touch, (path.with_name("trapped"),))})()


BROKEN = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "another kind of file": lambda path: path.write_bytes(b"PK\3\4" + bytes(99)),
    "damaged header": lambda path: path.write_bytes(path.read_bytes().replace(b"(6, 3", b"((6,", 1)),
    "another size": lambda path: np.save(path, np.zeros((6, 3, 8, 8), np.uint8)),
    "another type": lambda path: np.save(path, np.zeros(SHAPE, np.float32)),
    "fewer images": lambda path: np.save(path, IMAGES[:5]),
    "more images": lambda path: np.save(path, np.concatenate([IMAGES, IMAGES])),
    "one number": lambda path: np.save(path, np.uint8(3)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(trap(path))),
    "objects": lambda path: np.save(path, np.array([trap(path)]), allow_pickle=True),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_cache_is_made_again(case: str, path: Path) -> None:
    BROKEN[case](path)
    assert array_files.read(path, SHAPE) is None
    assert torch.equal(load(path)[0], torch.from_numpy(IMAGES))
    assert not (path.parent / "trapped").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_an_error_while_decoding_leaves_nothing(error: type, tmp_path: Path) -> None:
    with pytest.raises(error):
        array_files.load(tmp_path / "cache/noise.npy", SHAPE, Mock(side_effect=error), "noise")
    assert list((tmp_path / "cache").iterdir()) == []


def test_images_of_many_chunks_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "CHUNK", 3)
    numbered = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    images, _ = array_files.load(tmp_path / "a.npy", numbered.shape, lambda part: [numbered[i] for i in part], "a")
    assert images.flatten().tolist() == list(range(100))


def make_album(root: Path, count: int, *bad: int) -> str:
    """Images in two classes, each in the grey of its number; the bad ones are empty files."""
    for i in range(count):
        path = root / "album" / "ab"[i % 2] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (i, i, i)).save(path)
        if i in bad:
            path.write_bytes(b"")
    return f"folder:{root / 'album'}"


def shown(dataset: ImageDataset) -> list[tuple[int, str]]:
    """What each image is, and the class that it is said to have."""
    classes = [dataset.values["class"][number] for number in dataset.labels["class"]]
    return list(zip(dataset.images[:, 0, 8, 8].tolist(), classes, strict=True))


def expected(count: int, *bad: int) -> list[tuple[int, str]]:
    return [(i, "ab"[i % 2]) for i in [*range(0, count, 2), *range(1, count, 2)] if i not in bad]


def test_images_and_labels_still_fit(tmp_path: Path, cache: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    name, decoded, decode = make_album(tmp_path, 40, 3, 10, 38), [], image_files.decode
    monkeypatch.setattr(image_files, "decode", lambda *image: decoded.append(image) or decode(*image))
    assert shown(load_images(name, 16)) == expected(40, 3, 10, 38)
    (report,) = cache.glob("*.txt")
    first = f"{tmp_path / 'album/a/010.png'} (the file is empty)"
    sentence = f"3 of 40 pictures cannot be read and are left out, the first {first}: {report} lists them all.\n"
    grey = "37 of 40 pictures are of a single colour, or nearly, the first is number 1: look at them.\n"
    assert capsys.readouterr().err == sentence + grey
    head, *lines = report.read_text("utf-8").splitlines()
    assert head == "3 of 40 pictures cannot be read:"
    bad = ((5, "a/010.png"), (19, "a/038.png"), (21, "b/003.png"))
    assert lines == [f"{number}\t{tmp_path / 'album' / file} (the file is empty)" for number, file in bad]
    assert sorted(path.suffix for path in cache.iterdir()) == [".npy", ".txt"]
    assert len(decoded) == 37  # each once
    assert shown(load_images(name, 16)) == expected(40, 3, 10, 38)  # from the cache, and without a word
    assert (len(decoded), capsys.readouterr().err) == (37, "")


@pytest.mark.parametrize(("count", "bad"), [(9, 1), (40, 5)])
def test_more_than_a_tenth_stop_the_load(count: int, bad: int, refused, tmp_path: Path, cache: Path, capsys) -> None:
    name = make_album(tmp_path, count, *range(bad))
    assert refused(lambda: load_images(name, 16)) == (
        f"{bad} of {count} pictures cannot be read, {bad / count:.0%} where at most 10% may be left out, and the first "
        f"is {tmp_path / 'album/a/000.png'} (the file is empty): repair these files or take them out."
    )
    assert list(cache.iterdir()) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("report", [None, "head\nnoise\n", "head\n1\n2\n3\n", "head\n5\n", "head\n5\n99\n"])
def test_a_cache_whose_report_does_not_fit_is_made_again(report: str | None, tmp_path: Path, cache: Path) -> None:
    """Anything in a cache may be deleted, but labels never slip against the images."""
    name = make_album(tmp_path, 40, 3, 10)
    load_images(name, 16)
    (path,) = cache.glob("*.skipped.txt")
    whole = path.read_text("utf-8")
    path.unlink() if report is None else path.write_text(report)
    assert shown(load_images(name, 16)) == expected(40, 3, 10)
    assert path.read_text("utf-8") == whole


def test_the_array_is_named_last(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its name is, all else is."""
    seen, replace = [], Path.replace

    def watched(path: Path, target: Path) -> Path:
        seen.append((Path(target).suffix, [file.suffix for file in cache.glob("*.npy")]))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    load_images(make_album(tmp_path, 20, 3), 16)
    assert seen == [(".txt", []), (".npy", [])]


@pytest.mark.usefixtures("cache")
def test_repaired_images_come_back(tmp_path: Path) -> None:
    name = make_album(tmp_path, 20, 3, 5)  # a tenth may be left out
    assert len(load_images(name, 16)) == 18
    Image.new("RGB", (16, 16), (3, 3, 3)).save(tmp_path / "album/b/003.png")
    assert torch.equal(load_images(name, 16).labels["class"].bincount(), torch.tensor([10, 9]))
