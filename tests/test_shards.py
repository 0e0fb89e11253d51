"""Pictures in tar files are the pictures that were put in, in an order that reads a few files at a time."""

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcgan_lib import faces, pictures
from dcgan_lib.config import Config, InputError
from dcgan_lib.data import load_pictures
from dcgan_lib.trainer import Trainer

pytestmark = pytest.mark.usefixtures("cache")


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_shards(folder: Path, images: Tensor, sizes: Sequence[int], labels: Tensor | None = None) -> str:
    folder.mkdir()
    numbers = iter(range(len(images)))
    for shard, size in enumerate(sizes):
        with tarfile.open(folder / f"part-{shard:02}.tar", "w") as tar:
            add(tar, "README.txt", b"not a picture")
            for i in (next(numbers) for _ in range(size)):
                file = io.BytesIO()
                Image.fromarray(images[i].permute(1, 2, 0).numpy()).save(file, "png")
                add(tar, f"some/{i:04}.PNG", file.getvalue())
                if labels is not None:
                    add(tar, f"some/{i:04}.cls", str(int(labels[i])).encode())
    return f"shards:{folder}"


@pytest.fixture(scope="module")
def painted() -> Tensor:
    return faces.paint(0, torch.arange(60), 16)


def test_what_goes_in_comes_out(painted: Tensor, tmp_path: Path) -> None:
    name = write_shards(tmp_path / "my shards", painted, (20, 25, 15), torch.arange(60) % 7)
    for wanted in (name, f"{name}/part-*.tar"):
        given = load_pictures(wanted, 16)
        assert (len(given), given.channels, given.image_size, given.blocks) == (60, 3, 16, (20, 25, 15))
        assert torch.equal(given.images[:], painted)
        assert torch.equal(given.images[torch.tensor([59, 3, 21])], painted[[59, 3, 21]])
        assert torch.equal(given.images[7], painted[7])
        assert given.labels["class"].tolist() == (torch.arange(60) % 7).tolist()
        assert given.values == {"class": tuple("0123456")}
    grey = load_pictures(name, 16, channels=1)
    assert (grey.images[:4].shape, grey.channels) == ((4, 1, 16, 16), 1)
    assert load_pictures(name, 32).images[0].shape == (3, 32, 32)


def test_an_epoch_shows_every_picture_once_and_mixes_a_few_files(painted: Tensor, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(pictures, "AT_ONCE", 2)
    pictures._order.cache_clear()
    given = load_pictures(write_shards(tmp_path / "s", painted, [10] * 6), 16)
    epochs = []
    for epoch in range(2):
        batches = torch.cat([given.batch(10, 5, 6 * epoch + i) for i in range(6)])
        wanted = painted / 127.5 - 1
        numbers = torch.cdist(batches.flatten(1), wanted.flatten(1)).argmin(1)
        assert sorted(numbers.tolist()) == list(range(60))
        files = [set((part // 10).tolist()) for part in numbers.split(20)]
        assert [len(two) for two in files] == [2, 2, 2]
        assert numbers[:20].tolist() != sorted(numbers[:20].tolist())
        epochs.append((numbers.tolist(), files))
    assert epochs[0][1] != epochs[1][1]
    assert epochs[0][0] != epochs[1][0]
    pictures._order.cache_clear()


def test_a_run_on_shards_resumes_exactly(painted: Tensor, tiny: Config, tmp_path: Path) -> None:
    config = tiny.replace(data=write_shards(tmp_path / "s", painted, (30, 30)))
    whole, half = Trainer(config), Trainer(config)
    whole.train(6)
    half.train(2)
    half.save(tmp_path / "run.pt")
    rest = Trainer.load(tmp_path / "run.pt")
    rest.train()
    assert torch.equal(rest.history.rows, whole.history.rows)
    assert torch.equal(rest.sample(), whole.sample())


def test_links_devices_and_what_macos_leaves_are_skipped(painted: Tensor, tmp_path: Path) -> None:
    name = write_shards(tmp_path / "s", painted, (4,))
    with tarfile.open(tmp_path / "s" / "part-00.tar", "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo("../../evil.png")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        add(tar, "some/._0000.PNG", bytes(9))
    assert len(load_pictures(name, 16)) == 4


def test_changed_shards_are_looked_up_again(painted: Tensor, tmp_path: Path) -> None:
    name = write_shards(tmp_path / "s", painted, (4, 4))
    assert len(load_pictures(name, 16)) == 8
    (tmp_path / "s" / "part-00.tar").unlink()
    given = load_pictures(name, 16)
    assert torch.equal(given.images[:], painted[4:8])


def whole(path: Path, **files: bytes) -> bytes:
    """A tar file with twelve files called .png, each of 1,536 bytes with its header, and these files."""
    with tarfile.open(path, "w") as tar:
        for i in range(12):
            add(tar, f"{i:02}.png", b"x" * 600)
        for name, content in files.items():
            add(tar, name.replace("_", "."), content)
    return path.read_bytes()


def compressed(path: Path) -> None:
    path.write_bytes(gzip.compress(whole(path)))


def without_pictures(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        add(tar, "a.txt", b"words")


def cut(length: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(whole(path)[:length])


def headed(path: Path, *heads: tuple[bytes, int]) -> None:
    """A tar file that begins with made-up headers, each of a type and a size, whose checksums are right."""
    members = [tarfile.TarInfo("a.png") for _ in heads]
    for member, head in zip(members, heads, strict=True):
        member.type, member.size = head
    path.write_bytes(b"".join(member.tobuf(tarfile.GNU_FORMAT) for member in members) + bytes(10240))


NO_TAR = "a.tar cannot be read as an uncompressed tar file ("
NO_CLASS = "and a class is a number from 0 to 65535: write this shard anew."
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "another file": (lambda path: path.write_bytes(b"not a tar file" * 100), NO_TAR),
    "empty": (lambda path: path.write_bytes(b""), f"{NO_TAR}the file is empty)"),
    "compressed": (compressed, NO_TAR),
    "without pictures": (without_pictures, "No picture is in"),
    "cut in a header": (cut(7780), f"{NO_TAR}it is cut short, or damaged at byte 7680)"),
    "cut after a picture": (cut(7680), f"{NO_TAR}it is cut short, or damaged at byte 7680)"),
    "cut in a picture": (cut(9000), f"{NO_TAR}unexpected end of data)"),
    "cut in the end": (cut(18432 + 511), f"{NO_TAR}it is cut short, or damaged at byte 18432)"),
    "a damaged header": (
        lambda path: path.write_bytes(whole(path)[:7680] + b"\xff" * 512 + whole(path)[8192:]),
        f"{NO_TAR}it is cut short, or damaged at byte 7680)",
    ),
    "a size that leads back": (
        lambda path: headed(path, (b"0", 0), (b"0", -512)),
        f"{NO_TAR}the size of a file in it is below",
    ),
    "a size below zero": (lambda path: headed(path, (b"0", -1)), f"{NO_TAR}the size of a file in it is below zero)"),
    "a size of 2**80": (lambda path: headed(path, (b"0", 2**80)), NO_TAR),
    "a size of 2**62": (lambda path: headed(path, (b"0", 2**62)), NO_TAR),
    "a long name of 2**62 letters": (lambda path: headed(path, (b"L", 2**62)), NO_TAR),
    "a thousand long names": (lambda path: headed(path, *[(b"L", 0)] * 2000), NO_TAR),
    "a sparse file": (lambda path: headed(path, (b"S", 0)), f"{NO_TAR}a file in it is sparse"),
    "a word for a class": (
        lambda path: whole(path, **{"03_cls": b"cat"}),
        f"a.tar has the class 'cat' in 03.cls, {NO_CLASS}",
    ),
    "no class": (lambda path: whole(path, **{"03_cls": b""}), f"a.tar has the class '' in 03.cls, {NO_CLASS}"),
    "a class below zero": (lambda path: whole(path, **{"03_cls": b"-1"}), f"the class '-1' in 03.cls, {NO_CLASS}"),
    "a class of five digits": (lambda path: whole(path, **{"03_cls": b"65536\n"}), NO_CLASS),
    "a class of eleven digits": (lambda path: whole(path, **{"03_cls": b"9" * 11}), NO_CLASS),
    "a class of thirty digits": (lambda path: whole(path, **{"03_cls": b"9" * 30}), NO_CLASS),
    "a class of 5,000 digits": (lambda path: whole(path, **{"03_cls": b"9" * 5000}), NO_CLASS),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_shards(case: str, refused, tmp_path: Path, cache: Path) -> None:
    make, sentence = BROKEN[case]
    make(tmp_path / "a.tar")
    message = refused(lambda: load_pictures(f"shards:{tmp_path}", 16))
    assert sentence in message
    assert message.endswith((": write this shard anew.", ": fill them."))
    assert not cache.exists()


def test_a_shard_that_may_not_be_read(refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may read all, so the system's answer is played."""
    whole(tmp_path / "a.tar")
    refuse = Mock(side_effect=PermissionError(13, "Permission denied"))
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", refuse)
        message = refused(lambda: load_pictures(f"shards:{tmp_path}", 16))
        assert message.endswith("a.tar cannot be read as an uncompressed tar file (Permission denied): change that.")
    monkeypatch.setattr(os, "listdir", refuse)
    assert refused(lambda: load_pictures(f"shards:{tmp_path}", 16)) == (
        f"The folder {tmp_path} cannot be read (Permission denied): change its permissions or its name."
    )


NO_SHARDS = {
    "nowhere": "nowhere",
    "below a file": f"{__file__}/photos",
    "a user who does not exist": "~nobody.of.that.name/x",
    "a name of 5,000 letters": 5000 * "x",
    "a name with a zero": "a\0b",
    "a name that is not Unicode": "\udcff",
    "a pattern": "photos/*.tar",
    "no files": ".",
}


@pytest.mark.parametrize("case", NO_SHARDS)
def test_no_tar_file(case: str, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe would be waited for without an end."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("a.tar")
    Path("b.tar").symlink_to("nowhere.tar")
    Path("c.tar").mkdir()
    start = f"There is no tar file {NO_SHARDS[case]}: write shards:PATH with a folder of .tar files or a pattern."
    assert refused(lambda: load_pictures(f"shards:{NO_SHARDS[case]}", 16)) == start


def test_no_path(refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole(tmp_path / "a.tar")  # shards: does not mean the current folder
    assert refused(lambda: load_pictures("shards:", 16)).startswith("shards: names no folder: write shards:PATH with ")
    assert "(embedded null byte)" in refused(lambda: load_pictures("shards:a\0b/*.tar", 16))


@pytest.mark.parametrize("wanted", ["", "/", "/a[1].tar", "/a*.tar", "/a[[]1].ta?"])
def test_names_that_look_like_patterns(wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    folder = tmp_path / "br [1]"
    folder.mkdir()
    whole(folder / "a[1].tar")
    assert len(load_pictures(f"shards:~/br [1]{wanted}", 16)) == 12
    assert len(load_pictures(f"shards:{tmp_path}/*/a*.tar", 16)) == 12


def test_a_folder_whose_name_is_not_unicode(tmp_path: Path) -> None:
    folder = tmp_path / "\udcff"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    whole(folder / "a.tar")
    assert len(load_pictures(f"shards:{folder}", 16)) == 12


def indexed(*changes: tuple[int, int, int]) -> Callable[[Path], object]:
    """The index with a number put in a row and a column."""

    def write(path: Path) -> None:
        table = np.load(path)
        for row, column, number in changes:
            table[row, column] = number
        np.save(path, table)

    return write


INDEX: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "text": lambda path: path.write_text("once upon a time"),
    "an archive": lambda path: path.write_bytes(b"PK\3\4" + bytes(99)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps([1, 2])),
    "one number": lambda path: np.save(path, np.int64(3)),
    "one row": lambda path: np.save(path, np.load(path)[0]),
    "no row": lambda path: np.save(path, np.load(path)[:0]),
    "three columns": lambda path: np.save(path, np.load(path)[:, :3]),
    "floats": lambda path: np.save(path, np.load(path).astype(float)),
    "a file too many": indexed((5, 0, 1)),
    "a file below zero": indexed((5, 0, -1)),
    "a place below zero": indexed((5, 1, -1)),
    "a place behind the end": indexed((5, 1, 20480)),
    "a place far away": indexed((5, 1, 2**63 - 1), (5, 2, 2**63 - 1)),
    "a size below zero": indexed((5, 2, -1)),
    "a class below -1": indexed((5, 3, -2)),
    "a class of twelve digits": indexed((5, 3, 10**11)),
}


@pytest.mark.parametrize("case", INDEX)
def test_a_broken_index_is_made_again(case: str, tmp_path: Path, cache: Path) -> None:
    whole(tmp_path / "a.tar")
    load_pictures(f"shards:{tmp_path}", 16)
    (path,) = cache.iterdir()
    before = path.read_bytes()
    INDEX[case](path)
    assert len(load_pictures(f"shards:{tmp_path}", 16)) == 12
    assert path.read_bytes() == before


def test_an_index_that_cannot_be_read(refused, tmp_path: Path, cache: Path) -> None:
    whole(tmp_path / "a.tar")
    load_pictures(f"shards:{tmp_path}", 16)
    (path,) = cache.iterdir()
    path.unlink()
    path.mkdir()
    message = refused(lambda: load_pictures(f"shards:{tmp_path}", 16))
    assert message.startswith(
        f"The pictures could not be read in {cache} (Is a directory): set DCGAN_CACHE to a folder"
    )


def test_shards_that_change_while_they_are_read(painted: Tensor, refused, tmp_path: Path) -> None:
    name = write_shards(tmp_path / "s", painted, (4,))
    given, path = load_pictures(name, 16), tmp_path / "s" / "part-00.tar"
    assert torch.equal(given.images[0], painted[0])
    path.write_bytes(b"")
    message = refused(lambda: given.images[1])
    assert message.endswith(f"of {path} cannot be read (the file is cut short): write this shard anew.")
    path.unlink()
    message = refused(lambda: given.images[2])
    assert message.endswith(f"of {path} cannot be read (No such file or directory): change that.")
    path.parent.rmdir()
    write_shards(path.parent, painted[8:], (20,))
    assert torch.equal(load_pictures(name, 16).images[:], painted[8:28])


def test_a_bad_picture_in_a_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with tarfile.open(tmp_path / "s" / "a.tar", "w") as tar:
        add(tar, "a.png", b"no picture at all")
    given = load_pictures(f"shards:{tmp_path / 's'}", 16)
    with pytest.raises(InputError, match=r"byte 512 of \S*a.tar cannot be read .*: write this shard anew"):
        given.images[0]


def test_the_next_batch_is_decoded_meanwhile(painted: Tensor, tmp_path: Path) -> None:
    given = load_pictures(write_shards(tmp_path / "s", painted, (20, 20, 20)), 16)
    decoded, decode = [], given.images._decode
    given.images._decode = lambda number: decoded.append(number) or decode(number)
    given.batch(10, 0, 0)
    given.images._pool.shutdown()  # waits for what was begun
    assert len(decoded) == 20
    second = given.images[torch.tensor(decoded[10:])]
    assert len(decoded) == 20
    assert torch.equal(second, painted[decoded[10:]])


def test_no_picture_is_decoded_in_vain(painted: Tensor, tiny: Config, tmp_path: Path) -> None:
    """Each of the discriminator's turns has an order of its own, and all of them are decoded ahead."""
    pictures, decoded = load_pictures(write_shards(tmp_path / "s", painted, (20, 20, 20)), 16), []
    decode = pictures.images._decode
    pictures.images._decode = lambda number: decoded.append(number) or decode(number)
    Trainer(tiny.replace(channels=3, d_steps=3), pictures).train(4)
    pictures.images._pool.shutdown()
    assert len(decoded) == 3 * 8 * (4 + 1)  # turns of 8 pictures, in four steps and for the next one


def test_those_who_need_all_get_some(painted: Tensor, tmp_path: Path) -> None:
    given = load_pictures(write_shards(tmp_path / "s", painted, (20, 20, 20), torch.arange(60)), 16)
    some = given.in_memory(15)
    assert torch.equal(some.images, painted[some.labels["class"]])
    assert len(set(some.labels["class"].tolist())) == 15
    assert (some.name, some.values, some.blocks) == (given.name, given.values, ())
    assert some.in_memory(3) is some
