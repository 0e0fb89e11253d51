"""A run's folder holds the files that the docstring lists, and never overwrites another run."""

import base64
import errno
import io
import json
import os
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import free_folder, load_generator
from dcgan_lib.cli.run_folder import FILES, RunFolder
from dcgan_lib.config import Config
from dcgan_lib.data import ImageDataset
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.errors import InputError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files(tmp_path: Path, tiny: Config, dataset: ImageDataset) -> None:
    folder, trainer = RunFolder(tmp_path / "runs/one"), Trainer(tiny, dataset)
    folder.add_frame(trainer)
    trainer.train(2)
    folder.add_frame(trainer)
    folder.save(trainer)
    folder.save_gif()
    folder.save_page(trainer, "<b>Balanced</b> & well", "python --data='a b'")
    assert names(folder.path) == {*FILES, "progress"}
    assert names(folder.path / "progress") == {"0000000.png", "0000002.png"}
    assert Config(**json.loads((folder.path / "config.json").read_text())) == trainer.config
    assert (folder.path / "history.csv").read_text() == trainer.history.to_csv()
    generator, config = load_generator(folder.path / "generator.safetensors")
    assert config == trainer.config
    torch.testing.assert_close(generator.state_dict(), trainer.ema_generator.state_dict(), rtol=0, atol=0)
    raw, _ = load_generator(folder.path, raw=True)
    torch.testing.assert_close(raw.state_dict(), trainer.generator.state_dict(), rtol=0, atol=0)
    assert Trainer.load(folder.path / "checkpoint.safetensors", dataset).steps_done == 2
    with Image.open(folder.path / "progress.gif") as animation:
        assert animation.n_frames == 2


class Page(HTMLParser):
    """The pictures of a page, and all its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures, self.words, self.tags = {}, "", set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.add(tag)
        if tag == "img":
            self.pictures[dict(attributes)["src"]] = dict(attributes)["alt"]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path, tiny: Config, dataset: ImageDataset) -> None:
    folder, trainer = RunFolder(tmp_path / "my <run>"), Trainer(tiny, dataset)
    trainer.train(2)
    folder.save_page(trainer, "<b>Balanced</b> & well", "python --data='a b'")
    text = (folder.path / "index.html").read_text("utf-8")
    page = Page(text)
    assert {"script", "link", "b", "iframe"}.isdisjoint(page.tags)
    assert "http" not in text
    samples, animation, curves = page.pictures
    assert (samples, animation) == ("samples.png", "progress.gif")
    assert all(page.pictures.values())
    Image.open(io.BytesIO(base64.b64decode(curves.removeprefix("data:image/png;base64,")))).verify()
    for words in ("my <run>", "<b>Balanced</b> & well", "python --data='a b'"):
        assert words in page.words
    assert json.loads(page.words[page.words.index("{\n") : page.words.rindex("}") + 1]) == trainer.config.to_dict()


@pytest.mark.parametrize(("network", "part"), [("generator", "0.weight"), ("discriminator", "3.running_var")])
def test_a_bad_network_paints_no_frame(
    tmp_path: Path, tiny: Config, dataset: ImageDataset, network: str, part: str
) -> None:
    trainer = Trainer(tiny, dataset)
    getattr(trainer, network).state_dict()[f"layers.{part}"][0] = float("nan")
    with pytest.raises(InputError, match=f"The {network} has diverged by step 0 "):
        RunFolder(tmp_path).add_frame(trainer)
    assert names(tmp_path) == set()


def test_the_checkpoint_knows_the_config_better(tmp_path: Path, tiny: Config, dataset: ImageDataset) -> None:
    """A kill between the two files leaves an older config.json beside a newer checkpoint."""
    folder, trainer = RunFolder(tmp_path), Trainer(tiny, dataset)
    folder.save(trainer)
    trainer.set(lr=0.5)
    trainer.save(tmp_path / "checkpoint.safetensors")
    assert folder.config().lr == 0.5


def test_nothing_stays_open(tmp_path: Path, tiny: Config, dataset: ImageDataset) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("only Linux lists them there")
    folder, trainer, counts = RunFolder(tmp_path, keep=2), Trainer(tiny, dataset), []
    for _ in range(3):
        trainer.step()
        folder.add_frame(trainer)
        folder.save(trainer)
        folder.save_gif()
        Trainer.load(tmp_path / "checkpoint.safetensors", dataset)
        counts.append((len(list(open_files.iterdir())), threading.active_count()))
    assert counts == counts[:1] * 3


@pytest.mark.parametrize("name", [*FILES, "progress"])
def test_what_is_there_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"holds {name} already: add --resume, or choose"):
        RunFolder(tmp_path).require_free()
    assert names(tmp_path) == {"notes.txt", name}


def test_a_checkpoint_that_is_gone_or_damaged(tmp_path: Path, tiny: Config, dataset: ImageDataset) -> None:
    """Nothing begins anew where there was a run."""
    folder, newest = RunFolder(tmp_path), tmp_path / "checkpoint.safetensors"
    folder.save(Trainer(tiny, dataset))
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(InputError, match="checkpoint.safetensors is cut short, damaged or another kind of file"):
        folder.config()
    newest.unlink()
    for act in (folder.config, folder.load):
        with pytest.raises(InputError, match="checkpoint.safetensors is gone: bring it back, or copy a kept one"):
            act()


def test_a_run_without_a_checkpoint_yet_goes_on_from_its_beginning(tmp_path: Path, tiny: Config, cache: Path) -> None:
    config = tiny.replace(data="digits")
    RunFolder(tmp_path).write_config(config)
    assert RunFolder(tmp_path).config() == config
    trainer = RunFolder(tmp_path).load(lr=0.5)
    assert (trainer.steps_done, trainer.config) == (0, config.replace(channels=1, lr=0.5))
    for broken in ("{", '{"lr": -1}', '{"nz": 100}'):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(InputError, match="config.json holds no config of this version"):
            RunFolder(tmp_path).config()
    with pytest.raises(InputError, match="nowhere holds no run: leave --resume out"):
        RunFolder(tmp_path / "nowhere").config()


def test_what_is_made_again_is_removed(tmp_path: Path, tiny: Config, dataset: ImageDataset) -> None:
    """Frames after the last checkpoint or beside the 25 steps, and what a killed process left unfinished."""
    frames = tmp_path / "progress"
    frames.mkdir()
    for name in ("0000025.png", "0000001.png", "9000000.png", "mine.png", "0000025.png.4194399.dcgan-part"):
        (frames / name).touch()
    for name in ("checkpoint.safetensors.4194399.dcgan-part", "film.part"):
        (tmp_path / name).touch()
    RunFolder(tmp_path).tidy(Trainer(tiny, dataset))
    assert (names(frames), names(tmp_path)) == ({"0000000.png", "mine.png"}, {"progress", "film.part"})


@pytest.mark.parametrize(("keep", "kept"), [(1, [5]), (2, [4, 5]), (3, [3, 4, 5]), (9, [0, 1, 2, 3, 4, 5])])
def test_older_checkpoints(tmp_path: Path, tiny: Config, dataset: ImageDataset, keep: int, kept: list[int]) -> None:
    folder, trainer = RunFolder(tmp_path, keep), Trainer(tiny, dataset)
    others = {"checkpoint-best.safetensors"}
    for name in others:
        (tmp_path / name).touch()
    for step in range(6):
        if step:
            trainer.step()
        for _ in range(2):  # the same step twice is one
            folder.save(trainer)
    expected = {f"checkpoint-{step:07d}.safetensors" for step in kept}
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == expected | others
    for step in kept:
        assert Trainer.load(tmp_path / f"checkpoint-{step:07d}.safetensors", dataset).steps_done == step
    assert Trainer.load(tmp_path / "checkpoint.safetensors", dataset).steps_done == 5
    plain = RunFolder(tmp_path)
    trainer.step()
    plain.save(trainer)  # where nobody says how many, none goes and none comes
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == expected | others


def test_a_full_disk_leaves_whole_files(tmp_path: Path, tiny: Config, dataset: ImageDataset, monkeypatch) -> None:
    """The system says so at every call in turn: each file is then the earlier one or the new one."""
    folder, trainer = RunFolder(tmp_path, keep=2), Trainer(tiny, dataset)

    def write() -> dict[Path, object]:
        folder.add_frame(trainer)
        folder.save(trainer)
        folder.save_gif()
        return read()

    def read() -> dict[Path, object]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path: checkpoint.load(path)[2] if "safetensors" in path.name else path.read_bytes() for path in files}

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
            assert "could not be written (No space left on device): choose a folder" in str(error)
            seen.append(read())
    assert refused == len(calls) == 8
    for files in seen:
        assert all(content in (before.get(path), after[path]) for path, content in files.items())
        assert Trainer.load(tmp_path / "checkpoint.safetensors", dataset).steps_done == 1
    assert seen[0] == before


def test_free_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_folder(Config(data="mnist")) == Path("runs/mnist")
    for taken, free in (("mnist", "mnist-2"), ("mnist-2", "mnist-3")):
        Path("runs", taken).mkdir(parents=True)
        assert free_folder(Config(data="mnist")) == Path("runs", free)
    assert free_folder(Config(data="folder:my/holiday photos")) == Path("runs/holiday_photos")
    assert free_folder(Config(data="folder:..")).parent == Path("runs")
