"""Files appear whole or not at all, are read without running code, and give back what was saved."""

import errno
import os
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import load, load_generator, save, save_generator
from dcgan_lib.config import Config, InputError
from dcgan_lib.networks import Generator, build_networks
from dcgan_lib.writing import remove_stale, write_file, write_text


def test_write_file_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/file.txt"
    write_text(path, "first")
    write_text(path, "zwölf")
    assert path.read_bytes() == "zwölf".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_error_in_the_middle_leaves_the_earlier_file(tmp_path: Path, error: BaseException) -> None:
    def write(file) -> None:
        file.write(b"half of the n")
        raise error

    path = tmp_path / "file"
    path.write_text("earlier")
    with pytest.raises(InputError if isinstance(error, OSError) else type(error)) as raised:
        write_file(path, write)
    if isinstance(error, OSError):
        assert "file could not be written (No space left on device)" in str(raised.value)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_file_has_no_name_before_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "file", []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(path.exists()))
    write_text(path, "text")
    assert synced[0] is False
    assert synced[1:] == [True] * (os.name == "posix")  # then its name is put there too: the folder


@pytest.mark.parametrize(("number", "refused"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, refused: bool):
    """Some systems do not know how; an error of the disk is one."""
    fsync = os.fsync

    def fail(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(file)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="could not be written") if refused else nullcontext():
        write_text(tmp_path / "file", "text")


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        ours, theirs = (f"run.pt.{process}.dcgan-part" for process in (os.getpid(), alive.pid))
        left = f"run.pt.{gone.pid}.dcgan-part"
        others = ["run.pt", f"run.{gone.pid}", "notes.dcgan-part", "my.notes.dcgan-part"]
        for name in (ours, theirs, left, *others):
            (tmp_path / name).touch()
        remove_stale(tmp_path, idle_seconds=60)
        assert (tmp_path / left).exists()
        os.utime(tmp_path / left, (1, 1))
        remove_stale(tmp_path, idle_seconds=60)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ours, theirs, *others])
        alive.communicate(b"\n")
    remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ours, *others])
    remove_stale(tmp_path / "nowhere")


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="could not be written"):
        write_text(tmp_path / "file" / "below.txt", "text")


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_path_without_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="^[./] is a folder: add the name of a file to it.$"):
        write_text(name, "text")
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tmp_path: Path, tiny: Config) -> None:
    """The limit on a file's size stands in for it."""
    resource: ModuleType = pytest.importorskip("resource")
    path = tmp_path / "run.pt"
    save(path, tiny, {"step": 1})
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(InputError, match="could not be written"):
            save(path, tiny, {"weights": torch.rand(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_round_trip(tmp_path: Path, tiny: Config) -> None:
    state = {"weights": torch.rand(3), "nested": {"numbers": [1, 2.5]}}
    save(tmp_path / "run.pt", tiny, state)
    config, loaded = load(tmp_path / "run.pt")
    assert config == tiny
    torch.testing.assert_close(loaded, state, rtol=0, atol=0)


class Malicious:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path, tiny: Config) -> None:
    content = {"format": checkpoint.FORMAT, "config": tiny.to_dict(), "trap": Malicious(tmp_path / "trapped")}
    torch.save(content, tmp_path / "run.pt")
    with pytest.raises(InputError, match="that may be code and was not run"):
        load(tmp_path / "run.pt")
    assert not (tmp_path / "trapped").exists()
    torch.load(tmp_path / "run.pt", weights_only=False)
    assert (tmp_path / "trapped").exists()  # the trap does work where it is let


def write_broken(path: Path, kind: str, config: dict) -> None:
    torch.save({"format": checkpoint.FORMAT, "config": config}, path)
    if kind == "cut short":
        os.truncate(path, path.stat().st_size * 2 // 3)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("once upon a time")
    elif kind == "tensor":
        torch.save(torch.ones(3), path)
    elif kind == "other format":
        torch.save({"format": checkpoint.FORMAT + 1, "config": config}, path)
    elif kind == "no format":
        torch.save({"config": config}, path)
    elif kind == "unknown field":
        torch.save({"format": checkpoint.FORMAT, "config": config | {"colour": 1}}, path)
    elif kind == "value out of range":
        torch.save({"format": checkpoint.FORMAT, "config": config | {"lr": -1.0}}, path)


BROKEN = {
    "cut short": "is cut short or damaged: copy it again",
    "empty": "is empty",
    "text": "is not a checkpoint but another kind of file",
    "tensor": "is not a checkpoint of dcgan_lib",
    "other format": "has format 2 and this version reads 1",
    "no format": "is not a checkpoint of dcgan_lib",
    "unknown field": "holds a config with 'colour', which this version does not know",
    "value out of range": "holds a config in which lr must be a number above 0, and -1.0 is not: give another one",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_checkpoint(tmp_path: Path, tiny: Config, kind: str) -> None:
    write_broken(tmp_path / "run.pt", kind, tiny.to_dict())
    with pytest.raises(InputError, match=BROKEN[kind]):
        load(tmp_path / "run.pt")


def test_generator_round_trip(tmp_path: Path, tiny: Config) -> None:
    config = tiny.replace(channels=1)
    generator, _ = build_networks(config)
    generator(torch.randn(5, 8))  # running statistics of its own
    save_generator(tmp_path / "g.safetensors", generator.to(memory_format=torch.channels_last), config)
    loaded, loaded_config = load_generator(tmp_path / "g.safetensors")
    assert loaded_config == config
    assert not loaded.training
    torch.testing.assert_close(loaded.state_dict(), generator.state_dict(), rtol=0, atol=0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_generator_in_a_folder_whose_name_is_not_unicode(tmp_path: Path, tiny: Config) -> None:
    path, config = tmp_path / os.fsdecode(b"run\xff") / "g.safetensors", tiny.replace(channels=1)
    save_generator(path, Generator(8, 4, 1, 16), config)
    assert load_generator(path)[1] == config


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut short", "is cut short or damaged"),
        ("empty", "is empty"),
        ("other network", r"does not fit .* \(generator: .* should be 8x8x4x4 of float32 and is 8x10x4x4 of float32\)"),
        ("no config", "holds no config"),
    ],
)
def test_broken_generator(tmp_path: Path, tiny: Config, kind: str, message: str) -> None:
    path, config = tmp_path / "g.safetensors", tiny.replace(channels=1)
    save_generator(path, Generator(8, 5 if kind == "other network" else 4, 1, 16), config)
    if kind == "cut short":
        os.truncate(path, path.stat().st_size // 2)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no config":
        save_file({"weights": torch.ones(2)}, path)
    with pytest.raises(InputError, match=message):
        load_generator(path)


@pytest.mark.parametrize("read", [load, load_generator])
def test_no_such_file(tmp_path: Path, read) -> None:
    for path in (tmp_path / "nothing.pt", tmp_path):
        with pytest.raises(InputError, match="There is no "):
            read(path)
