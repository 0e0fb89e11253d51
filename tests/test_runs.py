"""A run's folder holds the files that the docstring lists, and never overwrites another run."""

import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from dcgan_lib.checkpoint import load_generator
from dcgan_lib.config import Config, InputError
from dcgan_lib.data import PictureSet
from dcgan_lib.grids import save_grid
from dcgan_lib.runs import RunFolder, free_folder
from dcgan_lib.trainer import Trainer


def test_files(tmp_path: Path, tiny: Config, pictures: PictureSet) -> None:
    folder, trainer = RunFolder(tmp_path / "runs/one"), Trainer(tiny, pictures)
    folder.require_empty()
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


@pytest.mark.parametrize("name", ["config.json", "checkpoint.pt"])
def test_a_run_that_is_there_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    RunFolder(tmp_path).require_empty()
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="holds a run already: add --resume"):
        RunFolder(tmp_path).require_empty()


def test_frames_of_steps_taken_again_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "progress").mkdir()
    for step in (0, 25, 50, 75):
        (tmp_path / "progress" / f"{step:07d}.png").touch()
    RunFolder(tmp_path).drop_frames_after(50)
    assert sorted(int(path.stem) for path in (tmp_path / "progress").iterdir()) == [0, 25, 50]


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
