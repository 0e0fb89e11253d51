"""A real full disk, two processes at one cache, workers that are spawned: each once, in earnest."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from dcgan_lib.config import Config, InputError
from dcgan_lib.data import PictureSet, load_pictures
from dcgan_lib.runs import RunFolder
from dcgan_lib.trainer import Trainer
from dcgan_lib.writing import write_text

ROOT = Path(__file__).resolve().parent.parent
Cli = Callable[..., tuple[int, str, str]]


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


def test_a_full_disk(small_disk: Path, tiny: Config, pictures: PictureSet) -> None:
    folder, trainer = RunFolder(small_disk / "run"), Trainer(tiny, pictures)
    trainer.train(2)
    folder.save(trainer)
    room = os.statvfs(small_disk)
    write_text(small_disk / "film", "x" * (room.f_bavail * room.f_frsize - 8192))  # a page is left, and another
    before = read(folder.path)
    trainer.step()
    with pytest.raises(InputError, match="checkpoint.pt could not be written .No space left on device.: choose a fold"):
        folder.save(trainer)
    assert read(folder.path) == before
    assert Trainer.load(folder.path / "checkpoint.pt", pictures).steps_done == 2


def test_a_read_only_disk(small_disk: Path, tiny: Config, pictures: PictureSet) -> None:
    folder, trainer = RunFolder(small_disk / "run", keep=2), Trainer(tiny, pictures)
    trainer.train(1)
    folder.add_frame(trainer)
    folder.save(trainer)
    before = read(folder.path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    trainer.step()
    for write in (folder.save, folder.add_frame, lambda _: folder.save_gif()):
        with pytest.raises(InputError, match="could not be written .Read-only file system.: choose a folder"):
            write(trainer)
    assert read(folder.path) == before
    with pytest.raises(InputError, match="Read-only file system"), RunFolder(small_disk / "new").begin(tiny):
        pytest.fail("it was begun")


def test_a_full_disk_for_the_cache(
    small_disk: Path, cli: Cli, train: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages of a mapped file would kill Python where there is no room for them."""
    monkeypatch.setenv("DCGAN_CACHE", str(small_disk))
    train[train.index("--image-size=16")] = "--image-size=32"
    status, out, err = cli(*train, "--steps=1", "--out", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err.endswith(
        f"could not be cached in {small_disk} (No space left on device): set DCGAN_CACHE to a folder with room that "
        "you can write to.\n"
    )
    assert not (tmp_path / "run").exists()
    assert list(small_disk.iterdir()) == []


def python(program: str, *words: object, **environment: str) -> subprocess.Popen:
    """A process of its own, on one thread."""
    own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), *map(str, words)], env=own)


def test_two_processes_write_one_cache(album: Path, tmp_path: Path, cache: Path) -> None:
    """Each waits, in the middle of its own file, for the other to be there too."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    program = """
        import os, sys, time
        from pathlib import Path
        from dcgan_lib import data

        decode, folder, cache = data.decode, *map(Path, sys.argv[1:])

        def together(*picture):
            for _ in range(6000):
                if len(list(cache.glob("*.dcgan-part"))) == 2 or list(cache.glob("*.npy")):
                    return decode(*picture)
                time.sleep(0.01)
            raise TimeoutError

        data.decode = together
        other = os.fork()
        assert len(data.load_pictures(f"folder:{folder}", 16)) == 150
        assert not other or os.waitpid(other, 0)[1] == 0
    """
    assert python(program, album, cache, DCGAN_CACHE=str(cache)).wait() == 0
    (path,) = cache.iterdir()
    seen = load_pictures(f"folder:{album}", 16).images.clone()
    path.unlink()
    assert torch.equal(seen, load_pictures(f"folder:{album}", 16).images)


def test_workers_that_are_spawned(tmp_path: Path) -> None:
    """As on macOS and Windows: they import everything anew, and get their pictures pickled."""
    program = """
        import multiprocessing, sys
        import torch
        from dcgan_lib.config import Config
        from dcgan_lib.data import PictureSet
        from dcgan_lib.ladder import TEXTBOOK, Loop

        multiprocessing.set_start_method("spawn")
        sizes = {"latent_dim": 8, "g_width": 2, "d_width": 2, "image_size": 16, "batch_size": 8}
        pictures = PictureSet("noise", torch.arange(16 * 256).reshape(16, 1, 16, 16).to(torch.uint8))
        loop = Loop(TEXTBOOK, Config(**sizes, device="cpu"), pictures)
        assert all(map(torch.isfinite, map(torch.tensor, loop.step())))
    """
    assert python(program).wait() == 0
