"""What several test files share."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lib import __main__ as command_line
from dcgan_lib.config import Config
from dcgan_lib.data.loading import ImageDataset
from dcgan_lib.utils.errors import InputError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No unit test may need a network: connecting to anything but this machine fails."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a unit test tried to reach {address[0]}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


def git(*arguments: str | Path, cwd: Path) -> None:
    """Run git as somebody whose settings play no part."""
    settings = ["-c", "user.name=test", "-c", "user.email=test", "-c", "commit.gpgsign=false", "-c", "core.hooksPath="]
    subprocess.run(["git", *settings, *map(str, arguments)], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with one commit: this tree as it is now, without what .gitignore names."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("origin") / "repository"
    here = (f"--git-dir={folder}", f"--work-tree={ROOT}")
    git(*here, "init", "--quiet", cwd=ROOT)
    git(*here, "add", "--all", cwd=ROOT)
    git(*here, "commit", "--quiet", "--message", "the tree under test", cwd=ROOT)
    git("config", "core.worktree", folder.parent, cwd=folder)  # from now on nothing in it points at this tree
    return folder


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A clone that a test may change."""
    folder = tmp_path / "checkout"
    git("clone", "--quiet", repository.as_uri(), folder, cwd=tmp_path)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own cache folder, and no data sets; neither is there yet."""
    monkeypatch.setenv("DCGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DCGAN_DATA", str(tmp_path / "data"))
    return tmp_path / "cache"


@pytest.fixture
def tiny() -> Config:
    """A run whose steps take milliseconds."""
    widths = {"latent_dim": 8, "g_width": 4, "d_width": 3, "image_size": 16, "batch_size": 8}
    return Config(**widths, lr=1e-3, steps=6, ema_decay=0.5, seed=3, precision="float32", device="cpu")


@pytest.fixture
def dataset() -> ImageDataset:
    """21 grey pictures of noise in three classes."""
    images = torch.randint(0, 256, (21, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageDataset("noise", images, {"class": torch.arange(21) % 3}, {"class": ("a", "b", "c")})


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 pictures of noise."""
    folder, noise = tmp_path_factory.mktemp("album"), np.random.default_rng(0)
    for i in range(150):
        Image.fromarray(noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture
def train(album: Path) -> list[str]:
    """The words of a small run, without --steps and --out."""
    sizes = ["--image-size=16", "--g-width=2", "--d-width=2", "--batch-size=4", "--latent-dim=8"]
    return ["train", "--data", f"folder:{album}", *sizes, "--precision=float32", "--device=cpu"]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Run `python -m dcgan_lib ARGUMENTS` in this process: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dcgan_lib", *map(str, arguments)])
        try:
            status = command_line.main()
        except SystemExit as stop:
            status = stop.code
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def close(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let nobody into a folder. The tests may run as root, who may go everywhere, so the system's answer is played."""
    see = os.stat

    def close_folder(folder: Path) -> None:
        def refuse(path: os.PathLike | str | int, *arguments: object, **options: object) -> os.stat_result:
            if not isinstance(path, int) and folder in Path(os.fsdecode(path)).parents:
                raise PermissionError(13, "Permission denied", str(path))
            return see(path, *arguments, **options)

        monkeypatch.setattr(os, "stat", refuse)

    return close_folder


@pytest.fixture
def refused() -> Callable[[Callable[[], object]], str]:
    """The message of the InputError that a call ends in, which has to be one sentence on one line."""

    def message_of(act: Callable[[], object]) -> str:
        with pytest.raises(InputError) as raised:
            act()
        message = str(raised.value)
        assert "\n" not in message
        assert message.endswith(".")
        return message

    return message_of
