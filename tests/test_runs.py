"""A run's folder holds the files that the docstring lists, and never overwrites another run."""

import errno
import json
import os
import re
import threading
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from dcgan_lib.checkpoint import load_generator
from dcgan_lib.config import Config, InputError
from dcgan_lib.data import PictureSet
from dcgan_lib.folders import free_folder
from dcgan_lib.grids import save_grid
from dcgan_lib.runs import RunFolder
from dcgan_lib.trainer import Trainer


def test_files(tmp_path: Path, tiny: Config, pictures: PictureSet) -> None:
    folder, trainer = RunFolder(tmp_path / "runs/one"), Trainer(tiny, pictures)
    folder.add_frame(trainer)
    trainer.train(2)
    folder.add_frame(trainer)
    folder.save(trainer)
    folder.save_gif()
    names = ["config.json", "history.csv", "checkpoint.pt", "generator.safetensors", "samples.png", "progress.gif"]
    assert [path.name for path in folder.written()] == names
    assert {path.name for path in folder.path.iterdir()} == {*names, "progress"}
    assert [path.name for path in sorted((folder.path / "progress").iterdir())] == ["0000000.png", "0000002.png"]
    assert Config(**json.loads((folder.path / "config.json").read_text())) == trainer.config
    assert (folder.path / "history.csv").read_text() == trainer.history.to_csv()
    generator, config = load_generator(folder.path / "generator.safetensors")
    assert config == trainer.config
    torch.testing.assert_close(generator.state_dict(), trainer.generator.state_dict(), rtol=0, atol=0)
    assert Trainer.load(folder.path / "checkpoint.pt", pictures).steps_done == 2
    with Image.open(folder.path / "progress.gif") as animation:
        assert animation.n_frames == 2


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("network", "part"), [("generator", "0.weight"), ("discriminator", "3.running_var")])
def test_a_bad_network_paints_no_frame(
    tmp_path: Path, tiny: Config, pictures: PictureSet, network: str, part: str
) -> None:
    trainer = Trainer(tiny, pictures)
    getattr(trainer, network).state_dict()[f"layers.{part}"][0] = float("nan")
    with pytest.raises(InputError, match=f"The {network} has diverged by step 0 "):
        RunFolder(tmp_path).add_frame(trainer)
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoint_knows_the_config_better(tmp_path: Path, tiny: Config, pictures: PictureSet) -> None:
    """A kill between the two files leaves an older config.json beside a newer checkpoint."""
    folder, trainer = RunFolder(tmp_path), Trainer(tiny, pictures)
    folder.save(trainer)
    trainer.set(lr=0.5)
    trainer.save(tmp_path / "checkpoint.pt")
    assert folder.config().lr == 0.5


def test_nothing_stays_open(tmp_path: Path, tiny: Config, pictures: PictureSet) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("only Linux lists them there")
    folder, trainer, counts = RunFolder(tmp_path, keep=2), Trainer(tiny, pictures), []
    for _ in range(3):
        trainer.step()
        folder.add_frame(trainer)
        folder.save(trainer)
        folder.save_gif()
        Trainer.load(tmp_path / "checkpoint.pt", pictures)
        counts.append((len(list(open_files.iterdir())), threading.active_count()))
    assert counts == counts[:1] * 3


@pytest.mark.parametrize("name", ["config.json", "checkpoint.pt"])
def test_a_run_that_is_there_is_not_overwritten(tmp_path: Path, tiny: Config, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="holds a run already: add --resume"), RunFolder(tmp_path).begin(tiny):
        pytest.fail("it was begun")
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", name}


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt])
def test_a_run_that_cannot_begin_leaves_nothing(tmp_path: Path, tiny: Config, error: type[BaseException]) -> None:
    for path in (tmp_path / "new/runs/one", tmp_path):
        with pytest.raises(error), RunFolder(path).begin(tiny):
            assert (path / "config.json").exists()
            raise error
        assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_write_its_config_leaves_nothing(tmp_path: Path, tiny: Config, monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(InputError, match="No space left"), RunFolder(tmp_path / "new/run").begin(tiny):
        pytest.fail("it was begun")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["history.csv", "samples.png", "generator.safetensors", "progress.gif", "progress"])
def test_files_that_no_run_has_left_are_not_overwritten(tmp_path: Path, tiny: Config, name: str) -> None:
    (tmp_path / name).touch()
    said = f"{name} is there already and no run is: choose another folder with --out."
    with pytest.raises(InputError, match=re.escape(said)), RunFolder(tmp_path).begin(tiny):
        pytest.fail("it was begun")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_checkpoint_that_is_gone_or_damaged(tmp_path: Path, tiny: Config, pictures: PictureSet) -> None:
    """Nothing begins anew where there was a run, and what is left to go on with is named."""
    folder, trainer, newest = RunFolder(tmp_path, keep=3), Trainer(tiny, pictures), tmp_path / "checkpoint.pt"
    for _ in range(3):
        trainer.step()
        folder.save(trainer)
    older = tmp_path / "checkpoint-0000002.pt"
    newest.write_bytes(b"PK\x03\x04")
    for act in (folder.config, folder.load):
        with pytest.raises(InputError, match="cut short or damaged") as raised:
            act()
    assert str(raised.value).endswith("give another checkpoint.")  # whoever loads a file has no folder to look in
    with pytest.raises(InputError) as raised:
        folder.config()
    assert str(raised.value) == f"{newest} is cut short or damaged: copy {older} to its name, and go on from there."
    newest.unlink()
    for words in (f"copy {older} to that name", "bring it back"):
        for act in (folder.config, folder.load):
            with pytest.raises(InputError) as raised:
                act()
            assert str(raised.value) == f"{newest} is gone: {words}, or begin a new run in another folder with --out."
        for path in tmp_path.glob("checkpoint-*.pt"):
            path.unlink()


def test_frames_that_somebody_has_damaged_are_left_out(tmp_path: Path) -> None:
    for step in (0, 25, 50, 75):
        save_grid(tmp_path / "progress" / f"{step:07d}.png", torch.full((1, 3, 4, 4), step, dtype=torch.uint8))
    (tmp_path / "progress/0000025.png").write_bytes(b"")
    whole = (tmp_path / "progress/0000050.png").read_bytes()
    (tmp_path / "progress/0000050.png").write_bytes(whole[:45])
    (tmp_path / "progress/0000100.png").mkdir()
    (tmp_path / "progress/².png").touch()
    RunFolder(tmp_path).save_gif()
    with Image.open(tmp_path / "progress.gif") as animation:
        assert animation.n_frames == 2


def test_files_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "progress").mkdir()
    (frame := tmp_path / "progress/0000060.png").touch()

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(InputError) as raised:
        RunFolder(tmp_path).tidy(50)
    assert str(raised.value) == f"{frame} could not be removed (Read-only file system): change that."


def test_a_run_without_a_checkpoint_yet_goes_on_from_its_beginning(tmp_path: Path, tiny: Config, cache: Path) -> None:
    config = tiny.replace(data="digits")
    with RunFolder(tmp_path).begin(config):
        pass
    assert RunFolder(tmp_path).config() == config
    trainer = RunFolder(tmp_path).load(lr=0.5)
    assert (trainer.steps_done, trainer.config) == (0, config.replace(channels=1, lr=0.5))
    for broken in ("{", "[" * 99_999):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(InputError, match="config.json is not a whole config .* delete it, and start the run"):
            RunFolder(tmp_path).config()
    with pytest.raises(InputError, match="There is no checkpoint"):
        RunFolder(tmp_path / "nowhere").config()


def test_frames_that_are_made_again_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "progress").mkdir()
    for step in (0, 25, 37, 50, 75, 10_000_000):
        (tmp_path / "progress" / f"{step:07d}.png").touch()
    (tmp_path / "progress/mine.png").touch()
    RunFolder(tmp_path).tidy(50)
    assert {path.stem for path in (tmp_path / "progress").iterdir()} == {"0000000", "0000025", "0000050", "mine"}


@pytest.mark.parametrize(("keep", "kept"), [(1, []), (2, [4]), (3, [3, 4]), (9, [0, 1, 2, 3, 4])])
def test_older_checkpoints(tmp_path: Path, tiny: Config, pictures: PictureSet, keep: int, kept: list[int]) -> None:
    folder, trainer = RunFolder(tmp_path, keep), Trainer(tiny, pictures)
    (tmp_path / "checkpoint-best.pt").touch()
    (tmp_path / "checkpoint-0000099.pt").touch()  # of a run that was longer: not ours to remove
    for step in range(6):
        if step:
            trainer.step()
        for _ in range(2):  # the same step twice is one
            folder.save(trainer)
    older = {path.name for path in tmp_path.glob("checkpoint-*.pt")} - {"checkpoint-best.pt", "checkpoint-0000099.pt"}
    assert older == {f"checkpoint-{step:07d}.pt" for step in kept}
    assert len(list(tmp_path.glob("checkpoint-*.pt"))) == len(kept) + 2
    for step in kept:
        assert Trainer.load(tmp_path / f"checkpoint-{step:07d}.pt", pictures).steps_done == step
    assert Trainer.load(tmp_path / "checkpoint.pt", pictures).steps_done == 5


def test_older_checkpoints_stay_where_nobody_says_how_many(tmp_path: Path, tiny: Config, pictures: PictureSet) -> None:
    kept, plain, trainer = RunFolder(tmp_path, keep=3), RunFolder(tmp_path), Trainer(tiny, pictures)
    for folder in (kept, kept, kept, plain, plain):
        trainer.step()
        folder.save(trainer)
    assert {path.name for path in tmp_path.glob("checkpoint-*.pt")} == {f"checkpoint-{n:07d}.pt" for n in (1, 2)}


def test_a_full_disk_leaves_whole_files(
    tmp_path: Path, tiny: Config, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system says so at every call in turn: each file is then the earlier one or the new one."""
    folder, trainer = RunFolder(tmp_path, keep=2), Trainer(tiny, pictures)

    def write() -> dict[Path, bytes]:
        folder.add_frame(trainer)
        folder.save(trainer)
        folder.save_gif()
        return read()

    def read() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before = write()
    trainer.step()
    fsync, calls, refused = os.fsync, [], 0

    def full(file: int) -> None:
        calls.append(file)
        if len(calls) == refused + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    seen, after = [], None
    while after is None:
        calls.clear()
        try:
            after = write()
        except InputError as error:
            refused += 1
            assert "could not be written (No space left on device): choose a folder with room" in str(error)
            seen.append(read())
    assert refused == len(calls) == 14  # seven files, each with its folder
    for files in seen:
        assert all(content in (before.get(path), after[path]) for path, content in files.items())
        assert Trainer.load(tmp_path / "checkpoint.pt", pictures).steps_done == 1
    assert seen[0] == before


def test_animation_of_more_frames_than_files_may_be_open(tmp_path: Path) -> None:
    resource: ModuleType = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = 20
    for step in range(2 * room):
        save_grid(tmp_path / "progress" / f"{step:07d}.png", torch.full((1, 3, 4, 4), 5 * step, dtype=torch.uint8))
    lowest_free = os.open(tmp_path, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + room, limits[1]))
    try:
        RunFolder(tmp_path).save_gif()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with Image.open(tmp_path / "progress.gif") as animation:
        assert animation.n_frames == 2 * room


def test_free_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_folder(Config(data="mnist")) == Path("runs/mnist")
    for taken, free in (("mnist", "mnist-2"), ("mnist-2", "mnist-3")):
        Path("runs", taken).mkdir(parents=True)
        assert free_folder(Config(data="mnist")) == Path("runs", free)
    assert free_folder(Config(data="folder:my/holiday photos")) == Path("runs/holiday_photos")
    assert free_folder(Config(data="folder:..")).parent == Path("runs")


@pytest.mark.parametrize(
    "name", ["con", "NUL", "Aux", "com1", "lpt9", 'a<b>:"|?*', "dots...", "trailing ", "x" * 255, "ü" * 127, "日本語"]
)
def test_names_that_every_system_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("", "-2"):
        stem = free_folder(Config(data=f"folder:photos/{name}")).name
        assert not set('<>:"/\\|?*') & set(stem)
        assert stem.upper() not in {"CON", "NUL", "AUX", "COM1", "LPT9"}
        assert stem.strip(". ") == stem
        assert stem.endswith(folder)
        Path("runs", stem).mkdir(parents=True)
