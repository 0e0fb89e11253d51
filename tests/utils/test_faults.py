"""A real full disk, two processes at one cache, workers that are spawned: each once, in earnest."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from processes import Fork

from dcgan_lib.cli.run_folder import RunFolder
from dcgan_lib.config import Config
from dcgan_lib.data import ImageDataset, cache, load_images
from dcgan_lib.speed.textbook_loop import TEXTBOOK, TextbookLoop
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.errors import InputError
from dcgan_lib.utils.files import write_text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can make a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def read(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("fault", "reason"), [("full", "No space left on device"), ("ro", "Read-only file system")])
def test_a_disk_that_takes_no_more(small_disk: Path, tiny: Config, dataset: ImageDataset, fault: str, reason: str):
    folder, trainer = RunFolder(small_disk / "run"), Trainer(tiny, dataset)
    trainer.train(1)
    folder.add_frame(trainer)
    folder.save(trainer)
    if fault == "full":
        room = os.statvfs(small_disk)
        write_text(small_disk / "film", "x" * (room.f_bavail * room.f_frsize - 8192))  # a page is left, and another
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    before = read(small_disk)
    trainer.step()
    with pytest.raises(InputError, match=f"checkpoint.safetensors could not be written .{reason}.: choose a folder"):
        folder.save(trainer)
    assert read(small_disk) == before
    assert Trainer.load(folder.path / "checkpoint.safetensors", dataset).steps_done == 1


def test_a_full_disk_for_the_cache(small_disk: Path, cli: Callable, train: list[str], tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DCGAN_CACHE", str(small_disk))
    train[train.index("--image-size=16")] = "--image-size=32"
    status, out, err = cli(*train, "--steps=1", "--out", tmp_path / "run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "(No space left on device): set DCGAN_CACHE to a folder with room" in err
    assert not (tmp_path / "run").exists()
    assert list(small_disk.iterdir()) == []


def load_together(folder: str) -> None:
    """Load images; wait, in the middle of the cache file, for the other process to be there too."""
    write_file = cache.write_file

    def write_together(path: Path, write: Callable, *advice: str) -> None:
        def wait_and_write(file: object) -> None:
            for _ in range(3000):
                if len(list(path.parent.glob("*.dcgan-part"))) == 2 or path.exists():
                    return write(file)
                time.sleep(0.01)
            raise TimeoutError

        write_file(path, wait_and_write, *advice)

    cache.write_file = write_together
    assert len(load_images(folder, 16)) == 150


def test_two_processes_write_one_cache(album: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    forks = [Fork(load_together, f"folder:{album}", output=tmp_path / name, DCGAN_CACHE=folder) for name in "ab"]
    assert [fork.wait() for fork in forks] == [0, 0], forks[0].stderr + forks[1].stderr
    assert len(list(folder.iterdir())) == 1


def train_with_spawned_workers() -> None:
    """As on macOS and Windows: they import everything anew, and get their images pickled."""
    multiprocessing.set_start_method("spawn", force=True)
    sizes = {"latent_dim": 8, "g_width": 2, "d_width": 2, "image_size": 16, "batch_size": 8}
    noise = ImageDataset("noise", torch.arange(16 * 256).reshape(16, 1, 16, 16).to(torch.uint8))
    loop = TextbookLoop(TEXTBOOK, Config(**sizes, device="cpu"), noise)
    assert all(map(torch.isfinite, map(torch.tensor, loop.step())))


def test_workers_that_are_spawned(tmp_path: Path) -> None:
    fork = Fork(train_with_spawned_workers, output=tmp_path)
    assert fork.wait() == 0, fork.stderr
