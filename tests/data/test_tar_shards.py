"""Images in tar files are the images that were put in, in an order that reads a few files at a time."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.data import dataset as datasets
from dcgan_lib.data import faces, load_images
from dcgan_lib.data.tar_shards import ShardDataset
from dcgan_lib.trainer import Trainer

pytestmark = pytest.mark.usefixtures("cache")


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def png(image: Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "png")
    return file.getvalue()


def write_shards(folder: Path, images: Tensor, sizes: Sequence[int]) -> str:
    folder.mkdir()
    numbers = iter(range(len(images)))
    for shard, size in enumerate(sizes):
        with tarfile.open(folder / f"part-{shard:02}.tar", "w") as tar:
            add(tar, "README.txt", b"no image")
            for i in (next(numbers) for _ in range(size)):
                add(tar, f"some/{i:04}.PNG", png(images[i]))
    return f"shards:{folder}"


@pytest.fixture(scope="module")
def painted() -> Tensor:
    return faces.paint(0, torch.arange(60), 16)


@pytest.fixture
def shards(painted: Tensor, tmp_path: Path) -> ShardDataset:
    return load_images(write_shards(tmp_path / "shards", painted, (20, 20, 20)), 16)


@pytest.fixture
def decoded(shards: ShardDataset) -> list[int]:
    """The numbers of all images that `shards` has decoded."""
    seen, decode = [], shards.images._decode
    shards.images._decode = lambda number: seen.append(number) or decode(number)
    return seen


def test_what_goes_in_comes_out(painted: Tensor, tmp_path: Path) -> None:
    name = write_shards(tmp_path / "my shards", painted, (20, 25, 15))
    for wanted in (name, f"{name}/part-*.tar"):
        given = load_images(wanted, 16)
        assert (len(given), given.channels, given.image_size) == (60, 3, 16)
        assert torch.equal(given.images[:], painted)
        assert torch.equal(given.images[torch.tensor([59, 3, 21])], painted[[59, 3, 21]])
        assert torch.equal(given.images[7], painted[7])


@pytest.mark.parametrize(("image_size", "channels"), [(16, 1), (32, None)])
def test_same_images_as_in_a_folder(painted: Tensor, tmp_path: Path, image_size: int, channels: int | None) -> None:
    name, folder = write_shards(tmp_path / "shards", painted[:9], (4, 5)), tmp_path / "folder"
    folder.mkdir()
    for i in range(9):
        (folder / f"{i}.png").write_bytes(png(painted[i]))
    given, expected = (load_images(source, image_size, channels) for source in (name, f"folder:{folder}"))
    assert torch.equal(given.images[:], expected.images)
    assert torch.equal(given.signature, expected.signature)
    assert given.labels == {}


def test_an_epoch_shows_every_image_once_and_mixes_a_few_files(painted: Tensor, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(datasets, "AT_ONCE", 2)
    datasets.shuffled.cache_clear()
    given = load_images(write_shards(tmp_path / "s", painted, [10] * 6), 16)
    epochs = []
    for epoch in range(2):
        batches = torch.cat([given.batch(10, 5, 6 * epoch + i) for i in range(6)])
        numbers = torch.cdist(batches.flatten(1), (painted / 127.5 - 1).flatten(1)).argmin(1)
        assert sorted(numbers.tolist()) == list(range(60))
        files = [set((part // 10).tolist()) for part in numbers.split(20)]
        assert [len(two) for two in files] == [2, 2, 2]
        assert numbers[:20].tolist() != sorted(numbers[:20].tolist())
        assert torch.equal(given.batch(10, 5, 6 * epoch + 3), batches[30:40])  # whatever was asked for before
        epochs.append((numbers.tolist(), files))
    assert epochs[0][1] != epochs[1][1]
    assert epochs[0][0] != epochs[1][0]
    datasets.shuffled.cache_clear()


def test_a_run_on_shards_resumes_exactly(painted: Tensor, tiny: Config, tmp_path: Path) -> None:
    config = tiny.replace(data=write_shards(tmp_path / "s", painted, (30, 30)))
    whole, half = Trainer(config), Trainer(config)
    whole.train(6)
    half.train(2)
    half.save(tmp_path / "run.safetensors")
    rest = Trainer.load(tmp_path / "run.safetensors")
    rest.train()
    assert torch.equal(rest.history.rows, whole.history.rows)
    assert torch.equal(rest.sample(), whole.sample())


def test_the_next_batch_is_decoded_meanwhile(painted: Tensor, shards: ShardDataset, decoded: list[int]) -> None:
    shards.batch(10, 0, 0)
    shards.images._pool.shutdown()  # waits for what was begun
    assert len(decoded) == 20
    second = shards.images[torch.tensor(decoded[10:])]
    assert len(decoded) == 20
    assert torch.equal(second, painted[decoded[10:]])


def test_no_image_is_decoded_in_vain(shards: ShardDataset, decoded: list[int], tiny: Config) -> None:
    """Each of the discriminator's turns has an order of its own, and all of them are decoded ahead."""
    Trainer(tiny.replace(channels=3, d_steps=3), shards).train(4)
    shards.images._pool.shutdown()
    assert len(decoded) == 3 * 8 * (4 + 1)  # turns of 8 images, in four steps and for the next one


def test_those_who_need_all_get_some(painted: Tensor, shards: ShardDataset) -> None:
    some = shards.in_memory(15)
    alike = (some.images[:, None] == painted).flatten(2).all(2)
    assert (alike.any(1).sum(), alike.any(0).sum()) == (15, 15)  # each of them is one of these, and no two are the same
    assert (some.name, some.values) == (shards.name, shards.values)
    assert some.in_memory(3) is some
    assert shards.to_gpu_if_it_fits(torch.device("cuda")) is shards


def test_links_and_what_macos_leaves_are_skipped(painted: Tensor, tmp_path: Path) -> None:
    name = write_shards(tmp_path / "s", painted, (4,))
    with tarfile.open(tmp_path / "s" / "part-00.tar", "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo("../../evil.png")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        add(tar, "some/._0000.PNG", bytes(9))
    assert len(load_images(name, 16)) == 4


def test_changed_shards_are_looked_up_again(painted: Tensor, tmp_path: Path) -> None:
    name, path = write_shards(tmp_path / "s", painted, (4, 4)), tmp_path / "s" / "part-00.tar"
    assert len(load_images(name, 16)) == 8
    os.utime(path, ns=(1, 1))
    assert len(load_images(name, 16)) == 8
    path.unlink()
    assert torch.equal(load_images(name, 16).images[:], painted[4:8])
    (tmp_path / "s" / "part-01.tar").unlink()
    (tmp_path / "s").rmdir()
    write_shards(tmp_path / "s", painted[8:], (20,))
    assert torch.equal(load_images(name, 16).images[:], painted[8:28])


def write(path: Path, **files: bytes) -> bytes:
    """A tar file with twelve files called .png, each of 1,536 bytes with its header, and these files."""
    with tarfile.open(path, "w") as tar:
        for i in range(12):
            add(tar, f"{i:02}.png", b"x" * 600)
        for name, content in files.items():
            add(tar, name.replace("_", "."), content)
    return path.read_bytes()


def without_images(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        add(tar, "a.txt", b"words")


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "another file": (lambda path: path.write_bytes(b"not a tar file" * 100), "a.tar cannot be read ("),
    "empty": (lambda path: path.write_bytes(b""), "a.tar cannot be read (empty file)"),
    "compressed": (lambda path: path.write_bytes(gzip.compress(write(path))), "anew as an uncompressed tar"),
    "cut short": (lambda path: path.write_bytes(write(path)[:9000]), "a.tar cannot be read (unexpected end of data)"),
    "without images": (without_images, "No picture is in"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_shards(case: str, refused, tmp_path: Path, cache: Path) -> None:
    make, words = BROKEN[case]
    make(tmp_path / "a.tar")
    assert words in refused(lambda: load_images(f"shards:{tmp_path}", 16))
    assert not cache.exists()


@pytest.mark.parametrize("path", ["nowhere", f"{__file__}/photos", "a\0b", "photos/*.tar", "."])
def test_no_tar_file(path: str, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b.tar").symlink_to("nowhere.tar")
    Path("c.tar").mkdir()
    start = f"There is no tar file {path}: write shards:PATH with a folder of .tar files or a pattern."
    assert refused(lambda: load_images(f"shards:{path}", 16)) == start


@pytest.mark.parametrize("wanted", ["~/br [1]", "{}/*/a*.tar"])
def test_names_that_look_like_patterns(wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "br [1]").mkdir()
    write(tmp_path / "br [1]" / "a[1].tar")
    assert len(load_images(f"shards:{wanted.format(tmp_path)}", 16)) == 12


@pytest.mark.parametrize("content", [b"", b"once upon a time", None], ids=["empty", "another file", "cut short"])
def test_a_broken_index_is_made_again(content: bytes | None, tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "a.tar")
    load_images(f"shards:{tmp_path}", 16)
    (path,) = cache.iterdir()
    before = path.read_bytes()
    path.write_bytes(before[:-1] if content is None else content)
    assert len(load_images(f"shards:{tmp_path}", 16)) == 12
    assert path.read_bytes() == before
    assert np.load(path).dtype.names == ("file", "start", "size")


def test_an_image_that_cannot_be_read(refused, tmp_path: Path) -> None:
    """It is named, whether it is none or its shard has changed meanwhile."""
    path = tmp_path / "a.tar"
    write(path)
    given = load_images(f"shards:{tmp_path}", 16)
    start = f"The picture at byte 2048 of {path} cannot be read"
    assert refused(lambda: given.images[1]) == f"{start} (it is not a picture): write this shard anew."
    path.write_bytes(b"")
    assert refused(lambda: given.images[1]) == f"{start} (the file is empty): write this shard anew."
    path.unlink()
    assert refused(lambda: given.images[1]) == f"{start} (No such file or directory): write this shard anew."


def test_every_suffix_and_no_hidden_folder(painted: Tensor, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("1.jfif", "./2.TGA", ".ipynb_checkpoints/1-checkpoint.jpg", "__MACOSX/2.png", "x/@eaDir/3.png"):
            add(tar, name, png(painted[0]))  # what it is, its content says
    assert torch.equal(load_images(f"shards:{tmp_path}", 16).images[:], painted[[0, 0]])
