"""The table of bad input, part 2: folders, torchvision's files and archives, and where things are said to lie."""

import inspect
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.datasets.utils import extract_archive

from dcgan_lib.config import cache_root
from dcgan_lib.data import load_pictures
from dcgan_lib.sources import find_source

pytestmark = pytest.mark.usefixtures("cache")


def paint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), "red").save(path)


def into_itself(root: Path) -> None:
    (root / "again").symlink_to(root, target_is_directory=True)


def fake_picture(root: Path) -> None:
    (root / "a.png").symlink_to("a.png")
    (root / "b.png").symlink_to("nowhere.png")
    (root / "c.png").mkdir()
    os.mkfifo(root / "d.png")


HOLDS_NOTHING = {
    "empty": lambda root: None,
    "other files": lambda root: (root / "notes.txt").write_text("no picture"),
    "a zip archive of pictures": lambda root: (root / "photos.zip").write_bytes(b"PK"),
    "empty class folders": lambda root: [(root / name).mkdir() for name in ("cats", "dogs")],
    "what macOS leaves": lambda root: (root / "._a.jpg").write_bytes(bytes(9)),
    "a suffix that is not taken": lambda root: (root / "a.gif").write_bytes(b"GIF89a"),
    "no suffix": lambda root: (root / "jpg").write_bytes(b"\xff\xd8"),
    "a link to itself": into_itself,
    "links, a folder and a pipe called .png": fake_picture,
}


@pytest.mark.parametrize("case", HOLDS_NOTHING)
def test_folder_that_holds_no_picture(case: str, refused, tmp_path: Path) -> None:
    HOLDS_NOTHING[case](tmp_path)
    assert refused(lambda: load_pictures(f"folder:{tmp_path}", 16)).startswith(
        f"There is no picture below {tmp_path}: put files that end in .jpg, .jpeg, .png, "
    )


NO_FOLDER = {
    "nowhere": "folder:nowhere",
    "a file": f"folder:{__file__}",
    "below a file": f"folder:{__file__}/photos",
    "a user who does not exist": "folder:~nobody.of.that.name/photos",
    "a name of 5,000 letters": "folder:" + 5000 * "x",
    "a name of 300 letters": "folder:" + 300 * "x",
    "a name with a zero": "folder:a\0b",
    "a name that is not Unicode": "folder:\udcff",
    "an address": "folder:https://example.org/photos",
    "an option": "folder:--out",
}


@pytest.mark.parametrize("case", NO_FOLDER)
def test_no_such_folder(case: str, refused) -> None:
    path = NO_FOLDER[case].removeprefix("folder:")
    start = f"There is no folder {path if case != 'an address' else 'https:/example.org/photos'}: write folder:PATH"
    assert refused(lambda: load_pictures(NO_FOLDER[case], 16)).startswith(start)


@pytest.mark.parametrize(("closed", "named"), [(".", "album"), ("album", "album/1.png"), ("album/a", "album/a/2.png")])
def test_folder_that_nobody_may_enter(closed: str, named: str, refused, close, tmp_path: Path) -> None:
    """Its names may be read all the same."""
    for name in ("album/1.png", "album/a/2.png"):
        paint(tmp_path / name)
    close(tmp_path / closed)
    assert refused(lambda: find_source(f"folder:{tmp_path / 'album'}")) == (
        f"{tmp_path / named} cannot be reached (Permission denied): change the permissions of the folders that it lies "
        "in."
    )


@pytest.mark.parametrize(
    "name", ["", " ", "Faces", "faces ", "mnist/..", "FOLDER:x", "folder", "../faces", "写真", "x" * 99]
)
def test_no_such_data(name: str, refused) -> None:
    assert refused(lambda: find_source(name)).startswith(f"There is no data called {name!r}: choose one of faces, ")


def test_folder_without_a_path(refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the current folder."""
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "a.png")
    assert "folder: names no folder" in refused(lambda: load_pictures("folder:", 16))


@pytest.mark.parametrize("name", ["album", "album/dogs"])
def test_folder_that_may_not_be_read(name: str, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may read all, so the system's answer is played."""
    root, closed, scandir = tmp_path / "album", tmp_path / name, os.scandir
    for folder in ("cats", "dogs"):
        paint(root / folder / "a.png")

    def refuse(path: str) -> object:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    or_else = "" if closed == root else f", or take it out of {root}"
    said = f"The folder {closed} cannot be read (Permission denied): change its permissions{or_else}."
    assert refused(lambda: load_pictures(f"folder:{root}", 16)) == said


def test_links(tmp_path: Path) -> None:
    """A linked file is a picture, a linked root is a folder, a link to a folder is not gone into, nor a loop."""
    paint(tmp_path / "album/cats/1.png")
    (tmp_path / "album/cats/2.png").symlink_to(tmp_path / "album/cats/1.png")
    (tmp_path / "album/cats/loop").symlink_to(tmp_path / "album", target_is_directory=True)
    (tmp_path / "linked").symlink_to(tmp_path / "album", target_is_directory=True)
    assert [path.name for path in find_source(f"folder:{tmp_path / 'linked'}").paths] == ["1.png", "2.png"]


def test_pictures_beside_class_folders_have_a_class_with_a_name(tmp_path: Path) -> None:
    for name in ("cats/1.png", "cats/deep/er/2.png", "3.png"):
        paint(tmp_path / name)
    source = find_source(f"folder:{tmp_path}")
    names = [source.values["class"][number] for number in source.labels["class"]]
    assert dict(zip([path.name for path in source.paths], names, strict=True)) == {
        "1.png": "cats",
        "2.png": "cats",
        "3.png": "(no folder)",
    }


def test_one_level_too_many(tmp_path: Path) -> None:
    for name in ("train/cats/1.png", "train/dogs/2.png"):
        paint(tmp_path / name)
    for root in (tmp_path, tmp_path / "train"):
        assert find_source(f"folder:{root}").values == {"class": ("cats", "dogs")}


def idx(kind: int, *shape: int, content: bytes | None = None) -> bytes:
    """A file of MNIST's: magic number, sizes, and as many zeros unless told otherwise."""
    head = b"\0\0" + bytes([kind, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    return head + (bytes(int(np.prod(shape))) if content is None else content)


IMAGES, LABELS = idx(8, 5, 28, 28), idx(8, 5)
NO_SENSE = "mnist could not be opened below "
IDX = {
    "pictures empty": (b"", LABELS, NO_SENSE),
    "pictures of three bytes": (IMAGES[:3], LABELS, NO_SENSE),
    "pictures without sizes": (IMAGES[:4], LABELS, NO_SENSE),
    "pictures cut in the sizes": (IMAGES[:14], LABELS, NO_SENSE),
    "pictures without pixels": (IMAGES[:16], LABELS, NO_SENSE),
    "pictures cut short": (IMAGES[:999], LABELS, NO_SENSE),
    "pictures too long": (IMAGES + b"\0", LABELS, NO_SENSE),
    "labels cut short": (IMAGES, LABELS[:-1], NO_SENSE),
    "labels too long": (IMAGES, LABELS + b"\0", NO_SENSE),
    "wrong magic number": (b"\1\2\3\4" + IMAGES[4:], LABELS, NO_SENSE),
    "of a kind that does not exist": (idx(10, 5, 28, 28), LABELS, NO_SENSE),
    "floats": (idx(13, 5, 28, 28, content=bytes(4 * 5 * 784)), LABELS, NO_SENSE),
    "labels for pictures": (LABELS, LABELS, NO_SENSE),
    "pictures for labels": (IMAGES, IMAGES, NO_SENSE),
    "four dimensions": (idx(8, 5, 2, 2, 7), LABELS, NO_SENSE),
    "still compressed": (b"\x1f\x8b\x08" + bytes(99), LABELS, NO_SENSE),
    "quota page": (b"<!DOCTYPE html><title>Quota exceeded</title>", LABELS, NO_SENSE),
    "billions announced": (idx(8, 2**31, 2**15, 2**15, content=b""), LABELS, NO_SENSE),
    "more pictures than labels": (idx(8, 6, 28, 28), LABELS, "mnist has 6 pictures and 5 labels, and there must be as"),
    "more labels than pictures": (IMAGES, idx(8, 9), "mnist has 5 pictures and 9 labels, and there must be as many"),
    "nothing": (idx(8, 0, 28, 28), idx(8, 0), "mnist"),
    "pictures without width": (idx(8, 5, 28, 0), LABELS, "mnist"),
    "an eleventh digit": (IMAGES, idx(8, 5, content=b"\0\1\2\3\x0a"), "mnist has labels from 0 to 10 for 10 classes"),
}


@pytest.mark.parametrize("case", IDX)
def test_bad_idx_file(case: str, refused, tmp_path: Path, cache: Path) -> None:
    images, labels, message = IDX[case]
    folder = tmp_path / "data/MNIST/raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    assert refused(lambda: load_pictures("mnist", 16)).startswith(message)
    assert list(cache.glob("*")) == []


HOSTILE: dict[str, Callable[[tarfile.TarInfo], None]] = {
    "parent": lambda member: setattr(member, "name", "../outside"),
    "parent in the middle": lambda member: setattr(member, "name", "cifar-10-batches-py/../../outside"),
    "absolute": lambda member: setattr(member, "name", "{outside}"),
    "symbolic link": lambda member: (
        setattr(member, "type", tarfile.SYMTYPE),
        setattr(member, "linkname", "{outside}"),
    ),
    "hard link": lambda member: (setattr(member, "type", tarfile.LNKTYPE), setattr(member, "linkname", "{outside}")),
    "device": lambda member: setattr(member, "type", tarfile.CHRTYPE),
    "pipe": lambda member: setattr(member, "type", tarfile.FIFOTYPE),
}


@pytest.fixture
def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    def unplug(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unplug)


def write_tar(path: Path, case: str, outside: Path) -> None:
    member = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
    HOSTILE[case](member)
    member.name = member.name.format(outside=outside)
    member.linkname = member.linkname.format(outside=outside)
    member.size = 6 if member.type == tarfile.REGTYPE else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member, io.BytesIO(b"pwned!"))


def everything(root: Path) -> set[Path]:
    return {Path(folder, name) for folder, folders, names in os.walk(root) for name in folders + names}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.usefixtures("unplugged")
def test_archive_with_a_wrong_checksum_is_not_extracted(case: str, refused, tmp_path: Path) -> None:
    write_tar(tmp_path / "data/cifar-10-python.tar.gz", case, tmp_path / "outside")
    before = everything(tmp_path)
    assert refused(lambda: load_pictures("cifar10", 16)).startswith("cifar10 could not be opened below ")
    assert everything(tmp_path) == before


FILTERS = hasattr(tarfile, "data_filter") and "filter=" in inspect.getsource(datasets.utils._extract_tar)


@pytest.mark.skipif(not FILTERS, reason="this Python or torchvision relies on the checksum alone")
@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.usefixtures("unplugged")
def test_hostile_archive_with_the_right_checksum(case: str, refused, tmp_path: Path, monkeypatch) -> None:
    """Nobody can make one today. Nothing appears outside the data root, no link, no device."""
    archive, outside = tmp_path / "data/cifar-10-python.tar.gz", tmp_path / "outside"
    write_tar(archive, case, outside)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", datasets.utils.calculate_md5(archive))
    before = everything(tmp_path)
    assert refused(lambda: load_pictures("cifar10", 16)).startswith("cifar10 could not be opened below ")
    new = everything(tmp_path) - before
    assert all(path.is_relative_to(tmp_path / "data") and (path.is_dir() or path.is_file()) for path in new)
    assert not any(path.is_symlink() for path in new)


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "link"])
def test_hostile_zip_stays_inside(name: str, tmp_path: Path) -> None:
    """What torchvision unpacks CelebA with; a link arrives as a text."""
    member = zipfile.ZipInfo(name)
    member.external_attr = (0o120777 if name == "link" else 0o100644) << 16
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        archive.writestr(member, str(tmp_path / "outside"))
    extract_archive(tmp_path / "img_align_celeba.zip", tmp_path / "data/celeba")
    (file,) = (path for path in (tmp_path / "data/celeba").rglob("*") if not path.is_dir())
    assert file.is_file() and not file.is_symlink()
    assert everything(tmp_path) == {
        tmp_path / "img_align_celeba.zip",
        tmp_path / "data",
        *everything(tmp_path / "data"),
    }


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><title>Quota exceeded</title>", b"", b"\x1f\x8b\x08"])
@pytest.mark.parametrize(("name", "file"), [("cifar10", "cifar-10-python.tar.gz"), ("svhn", "train_32x32.mat")])
@pytest.mark.usefixtures("unplugged")
def test_something_else_instead_of_an_archive(name: str, file: str, content: bytes, refused, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / file).write_bytes(content)
    message = refused(lambda: load_pictures(name, 16))
    assert message.startswith(f"{name} could not be opened below {tmp_path / 'data'} or downloaded ")
    assert "try again with a network" in message


class Page(io.BytesIO):
    """What a server answers with: not what was asked for."""

    url, length = None, 45


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "svhn"])
def test_download_with_a_wrong_checksum(name: str, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither unpacked nor read, today or at the next call."""
    page = b"<!DOCTYPE html><title>Quota exceeded</title>"
    monkeypatch.setattr("urllib.request.urlopen", lambda request: Page(page))
    for _ in range(2):
        message = refused(lambda: load_pictures(name, 16))
        assert (
            "(File not found or corrupted): " in message
            or "(Error downloading train-images-idx3-ubyte.gz): " in message
        )
        (file,) = (path for path in (tmp_path / "data").rglob("*") if path.is_file())
        assert file.read_bytes() == page


class Malicious:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.usefixtures("unplugged")
def test_no_code_in_files_of_a_set_is_run(refused, tmp_path: Path) -> None:
    """CIFAR's batches are pickles, which torchvision opens only where their checksums are right; so is old MNIST."""
    trap, data = tmp_path / "trapped", tmp_path / "data"
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
    for path in [*(data / "cifar-10-batches-py" / name for name in names), data / "MNIST/processed/training.pt"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(Malicious(trap), path, _use_new_zipfile_serialization=path.suffix == ".pt")
    (data / "MNIST/processed/test.pt").touch()
    for name in ("cifar10", "mnist"):
        assert refused(lambda name=name: load_pictures(name, 16)).startswith(f"{name} could not be opened below ")
    assert not trap.exists()


PLACES = {
    "a file": "{file}",
    "below a file": "{file}/below",
    "the void": "/dev/null/x",
    "a name of 5,000 letters": "x" * 5000,
    "nowhere that can be made": "/proc/nowhere/x",
}


@pytest.mark.parametrize("case", PLACES)
def test_cache_in_no_folder(case: str, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCGAN_CACHE", PLACES[case].format(file=tmp_path / "file"))
    message = refused(lambda: load_pictures("digits", 16))
    assert message.startswith("The pictures could not be ")
    assert message.endswith(": set DCGAN_CACHE to a folder with room that you can write to.")
    assert everything(tmp_path) == {tmp_path / "file"}


@pytest.mark.parametrize("name", ["mnist", "cifar10", "celeba"])
@pytest.mark.parametrize("case", PLACES)
@pytest.mark.usefixtures("unplugged")
def test_data_in_no_folder(case: str, name: str, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCGAN_DATA", PLACES[case].format(file=tmp_path / "file"))
    start = "CelebA could not be found or downloaded (" if name == "celeba" else f"{name} could not be opened below "
    assert refused(lambda: load_pictures(name, 16)).startswith(start)


def test_no_home(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has no entry in the list of users."""
    for name in ("DCGAN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert refused(cache_root) == ("You have no home folder to keep decoded pictures in: set DCGAN_CACHE to a folder.")
