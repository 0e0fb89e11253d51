"""`train` leaves a folder that is whole at every moment, and goes on with it as if nothing had happened."""

import html
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.kills import differences
from dcgan_lib.cli.options import parse
from dcgan_lib.cli.run_folder import FILES, RunFolder
from dcgan_lib.data import ImageDataset
from dcgan_lib.history import History
from dcgan_lib.lab.session import Session
from dcgan_lib.metrics.verdict import SampleStats, reach_verdict
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils import files

pytestmark = pytest.mark.usefixtures("cache")
Cli = Callable[..., tuple[int, str, str]]


def steps_done(run: Path) -> int:
    return Trainer.load(run / "checkpoint.safetensors").steps_done


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_step(number: int, act: Callable[[], object]) -> Callable[..., object]:
    """`Trainer.step` with something before the step after so many."""
    step = Trainer.step

    def step_with_act(trainer: Trainer, *options: float) -> object:
        if trainer.steps_done == number:
            act()
        return step(trainer, *options)

    return step_with_act


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def run_out_of_memory(*_: object, **__: object) -> None:
    """Ends a process before it saves anything."""
    raise MemoryError


def test_train_leaves_these_files(cli: Cli, train: list[str], tmp_path: Path) -> None:
    status, out, err = cli(*train, "--steps", "3", "--out", tmp_path / "run")
    assert (status, err) == (0, "")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FILES, "progress"}
    data = train[train.index("--data") + 1]
    words = f"3 steps on 150 pictures of {data}. Verdict: Too early to tell (notebook 07)."
    assert re.sub(r"^In \d+:\d\d:\d\d: ", "", out).splitlines() == [
        words,
        "Written, with images of the averaged generator:",
        *(f"  {tmp_path / 'run' / name}" for name in FILES),
    ]
    page = html.unescape((tmp_path / "run/index.html").read_text())
    assert words in page
    assert parse(shlex.split(re.search(r"dcgan_lib (train .*)</pre><h2>", page)[1])).config.to_dict() == json.loads(
        (tmp_path / "run/config.json").read_text()
    )
    table = (tmp_path / "run/history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["step", "1", "2", "3"]
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["image_size"], config["channels"], config["steps"], config["batch_size"]) == (16, 3, 3, 4)
    before = read(tmp_path / "run")
    status, _, err = cli(*train, "--steps", "2", "--out", tmp_path / "run")
    assert (status, "holds config.json already: add --resume" in err) == (2, True)
    assert read(tmp_path / "run") == before


def test_checkpoints_and_frames_on_the_way(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    saved = []
    monkeypatch.setattr(RunFolder, "save", lambda folder, trainer: saved.append(trainer.steps_done))
    cli(*train, "--steps", "28", "--save-every", "10", "--out", tmp_path / "run")
    assert saved == [10, 20, 28]
    assert [int(path.stem) for path in sorted((tmp_path / "run/progress").iterdir())] == [0, 25, 28]


def test_resumed_run_equals_an_uninterrupted_one(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    """Stopped between two frames, in the decay of lr, and again before the first step of the rest."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cli(*train, "--steps", "30", "--out", whole)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", in_step(26, press))
        status, out, _ = cli(*train, "--steps", "30", "--out", parts)
        first, second = out.splitlines()[:2]
        assert (status, first) == (0, "Stopped after step 27, as asked: the run can go on from there.")
        assert ": 27 steps on 150 pictures of " in second
        assert {path.name for path in parts.iterdir()} == {*FILES, "progress"}
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", in_step(27, press))
        cli("train", "--resume", "--out", parts)
    assert steps_done(parts) == 28
    status, out, err = cli("train", "--resume", "--out", parts)
    assert (status, out.splitlines()[0], err) == (0, f"{parts} has 28 steps of 30.", "")
    assert ": 30 steps on 150 pictures of " in out.splitlines()[1]
    assert differences(whole, parts) == []


def test_a_run_that_is_over_can_be_made_longer(cli: Cli, train: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cli(*train, "--lr-decay-share=0", "--steps=5", "--out", whole)
    cli(*train, "--lr-decay-share=0", "--steps=2", "--out", parts)
    assert cli("train", "--resume", "--steps=5", "--out", parts)[0] == 0
    assert differences(whole, parts) == []


def test_the_same_command_again_goes_on(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    """The preset included, and with what has changed by hand in the meantime named."""
    words = [*train, "--preset=laptop", "--steps=3", "--out", tmp_path]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", run_out_of_memory)
        assert cli(*words)[0] == 2
    for done in (0, 3):
        status, out, err = cli(*words, "--resume")
        assert (status, out.splitlines()[0], err) == (0, f"{tmp_path} has {done} steps of 3.", "")
        assert steps_done(tmp_path) == 3
    assert cli("train", "--resume", "--lr=0.5", "--allow-changes", "--out", tmp_path)[0] == 0
    assert "has other options (lr was 0.5 and would be 0.003): add" in cli(*words, "--resume")[2]
    assert (
        "is another run (image_size was 16 and would be 32" in cli("train", "--preset=ci", "--resume", *words[-2:])[2]
    )


def test_a_dead_run_is_told(cli: Cli, train: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the verdict sees is what the lab's session sees, after a resume too."""
    dead, seen = torch.tensor([4e-5, 11.0, 1.0, 0.0, 0.0]), []

    def judged(history: History, samples: list) -> str:
        seen.append((len(history), list(samples)))
        return reach_verdict(history, samples)

    monkeypatch.setattr("dcgan_lib.cli.commands.reach_verdict", judged)
    monkeypatch.setattr("dcgan_lib.training.Step.row", lambda step: dead)
    monkeypatch.setattr("dcgan_lib.cli.commands.measure_samples", lambda *given: SampleStats(1.0, 0.9, 1.0))
    words = [*train, "--steps=80", "--d-lr=0.3", "--out", tmp_path]
    said = "Verdict: D has won: it recognises every fake (notebook 06). Try --d-lr=0.1 --d-steps=1\n"
    for steps in (80, 130):
        status, out, _ = cli(*words, f"--steps={steps}", *(["--resume"] if steps > 80 else []))
        assert (status, said in out) == (0, True), out
    assert [(length, len(samples)) for length, samples in seen] == [(80, 4), (130, 3)]


def test_a_slow_run_is_told_again_at_its_end(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    """Without a step to go the page stays; after a few more steps nobody knows how fast the images change."""
    slow = lambda images, before, real: SampleStats(0.5, float("nan") if before is None else 0.1, 1.0)  # noqa: E731
    monkeypatch.setattr("dcgan_lib.cli.commands.measure_samples", slow)
    monkeypatch.setattr("dcgan_lib.training.Step.row", lambda step: torch.tensor([1.2, 1.0, 0.6, 0.4, 0.4]))
    page, words = tmp_path / "index.html", [*train, "--steps=80", "--out", tmp_path]
    assert "Verdict: Slow" in cli(*words)[1]
    before = page.read_text()
    assert "Nothing is left to do; a larger number of --steps goes on. 80 steps" in cli(*words, "--resume")[1]
    assert page.read_text() == before and "Verdict: Slow" in before
    assert "Verdict: Too early to tell" in cli("train", "--resume", "--steps=84", "--out", tmp_path)[1]
    assert "has 84 steps: give --steps as many or more" in cli(*words, "--resume")[2]
    assert RunFolder(tmp_path).config().steps == 84


def test_a_collapsed_run_is_told_again_at_its_end(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    """Resumed without a step to go."""
    monkeypatch.setattr(Trainer, "sample", lambda trainer, **_: torch.zeros(64, 3, 16, 16))
    monkeypatch.setattr("dcgan_lib.training.Step.row", lambda step: torch.tensor([1.2, 1.0, 0.6, 0.4, 0.4]))
    for words in ((), ("--resume",)):
        out = cli(*train, "--steps=80", "--out", tmp_path, *words)[1]
        assert "Verdict: Collapsed: all pictures are alike (notebook 08). Try --lr=" in out


def test_the_samples_of_the_verdict_are_the_labs(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("dcgan_lib.cli.commands.reach_verdict", lambda _, samples: seen.extend(samples) or "early")
    cli(*train, "--steps=75", "--ema-decay=0.9", "--lr-decay-share=0", "--out", tmp_path)
    trainer = Trainer(RunFolder(tmp_path).config())
    session = Session(trainer)
    session.advance(75)
    np.testing.assert_allclose(seen[2:], session.samples[1:])  # the lab's first has nothing before it


def test_a_run_that_begins_with_anothers_networks(cli: Cli, train: list[str], tmp_path: Path, album: Path, monkeypatch):
    """With its settings, on more pictures; and killed before its first step, it still begins there."""
    old, new, more = (tmp_path / name for name in ("old", "new", "more"))
    cli(*train, "--lr=0.01", "--steps=3", "--out", old)
    shutil.copytree(album, more)
    shutil.copy(album / "000.png", more / "more.png")
    words = ["train", "--init-from", old, "--data", f"folder:{more}", "--steps=2", "--out", new]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", run_out_of_memory)
        assert cli(*words)[0] == 2
    before, now = (Trainer.load(path / "checkpoint.safetensors") for path in (old, new))
    assert (now.steps_done, now.config) == (0, before.config.replace(data=f"folder:{more}", steps=2))
    for name in ("generator", "discriminator", "ema_generator"):
        a, b = (getattr(trainer, name).state_dict() for trainer in (before, now))
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert cli(*words, "--resume")[0] == 0
    assert steps_done(new) == 2
    status, _, err = cli(*words[:-1], tmp_path / "other", "--g-width=3")
    assert (status, "checkpoint.safetensors does not fit the networks of this run (" in err) == (2, True)
    assert not (tmp_path / "other").exists()
    assert (
        "or begin a new run with init_from (--init-from)."
        in cli(*train[:-1], "--data", f"folder:{more}", "--out", old, "--resume", "--allow-changes")[2]
    )


def test_what_may_change_on_resume(cli: Cli, train: list[str], tmp_path: Path) -> None:
    cli(*train, "--steps", "1", "--out", tmp_path)
    before = read(tmp_path)
    resume = ["train", "--resume", "--out", tmp_path]
    status, _, err = cli(*resume, "--seed", "5", "--g-width", "9", "--lr", "0.5", "--allow-changes")
    message = "is another run (g_width was 2 and would be 9, seed was 0 and would be 5): leave these out"
    assert (status, err.startswith(f"dcgan_lib: {tmp_path} {message}")) == (2, True)
    changes = ["--lr=0.5", "--beta1=0.1", "--device=auto", "--steps=2"]
    words = "lr was 0.003 and would be 0.5, beta1 was 0.3 and would be 0.1, device was cpu and would be auto"
    status, out, err = cli(*resume, *changes)
    assert (status, out) == (2, "")
    assert err == f"dcgan_lib: {tmp_path} has other options ({words}): add --allow-changes.\n"
    assert read(tmp_path) == before
    status, out, _ = cli(*resume, *changes, "--allow-changes")
    assert (status, out.splitlines()[1]) == (0, f"From step 2 on: {words.replace('would be', 'is now')}.")
    config = json.loads((tmp_path / "config.json").read_text())
    assert [config[name] for name in ("lr", "beta1", "steps", "device")] == [0.5, 0.1, 2, "auto"]
    assert cli(*resume, "--steps=3")[0] == 0


@pytest.mark.parametrize("steps", [0, 2])
def test_a_change_survives_a_kill(cli: Cli, train: list[str], tmp_path: Path, monkeypatch, steps: int) -> None:
    """The process is gone before it saves anything, and the next one is only asked to go on."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    resume = ["train", "--resume", "--lr=0.5", "--steps=5", "--allow-changes", "--out"]
    for out in (whole, parts):
        if steps:
            cli(*train, "--steps", steps, "--out", out)
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train", run_out_of_memory)
            if not steps:
                cli(*train, "--steps=2", "--out", out)
            if out == parts:
                cli(*resume, out)
    cli(*resume, whole)
    cli("train", "--resume", "--out", parts)
    assert differences(whole, parts) == []
    assert Trainer.load(parts / "checkpoint.safetensors").config.lr == 0.5


def test_images_that_are_gone_changed_or_moved(cli: Cli, train: list[str], tmp_path: Path, album: Path) -> None:
    photos, moved, run = tmp_path / "meine Fotos/日本", tmp_path / "moved", tmp_path / "läufe/erster Lauf"
    shutil.copytree(album, photos)
    train[train.index("--data") + 1] = f"folder:{photos}"
    assert cli(*train, "--steps=1", "--out", run)[0] == 0
    resume, before = ["train", "--resume", "--steps=2", "--out", run], read(run)
    for change in (lambda: shutil.copy(photos / "000.png", photos / "more.png"), (photos / "001.png").unlink):
        change()  # one more, then another in the place of one
        status, _, err = cli(*resume)
        assert (status, err.count("\n"), "was trained on other images than folder:" in err) == (2, 1, True)
        assert read(run) == before
    (photos / "more.png").unlink()
    shutil.copy(album / "001.png", photos)
    photos.rename(moved)
    assert f"There is no folder {photos}" in cli(*resume)[2]
    assert "add --allow-changes" in cli(*resume, f"--data=folder:{moved}")[2]
    assert read(run) == before
    assert cli(*resume, f"--data=folder:{moved}", "--allow-changes")[0] == 0


def test_a_run_goes_on_from_anywhere(cli: Cli, train: list[str], tmp_path: Path, album: Path, monkeypatch) -> None:
    train[train.index("--data") + 1] = f"folder:{album.name}"
    monkeypatch.chdir(album.parent)
    assert cli(*train, "--steps=1", "--out", tmp_path / "run")[0] == 0
    monkeypatch.chdir(tmp_path)
    assert cli("train", "--resume", "--steps=2", "--out", "run")[0] == 0


def test_a_second_ctrl_c_saves_no_more(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    cli(*train, "--steps", "2", "--out", tmp_path / "run")
    monkeypatch.setattr(Trainer, "step", in_step(3, lambda: (press(), press())))
    status, _, err = cli("train", "--resume", "--steps", "9", "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (130, 1)
    assert err.startswith("dcgan_lib: Interrupted at once: what was saved before is whole, and --resume goes on")
    assert steps_done(tmp_path / "run") == 2


def test_ctrl_c_while_images_are_decoded(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    def write_file(path: Path, write: Callable, *advice: str) -> None:
        files.write_file(path, lambda file: (press(), write(file)), *advice)

    monkeypatch.setattr("dcgan_lib.data.cache.write_file", write_file)
    assert cli(*train, "--steps", "1", "--out", tmp_path / "run")[0] == 130
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.rglob("*.dcgan-part"))


def test_what_killed_processes_left_in_the_cache(cli: Cli, train: list[str], tmp_path: Path, cache: Path) -> None:
    """What is younger than a day may be somebody's who is still at it."""
    cache.mkdir()
    old, new, other = (cache / name for name in ("a.npy.4194399.dcgan-part", "b.npy.1.dcgan-part", "film.part"))
    for path in (old, new, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (1, 1))
    assert cli(*train, "--steps", "1", "--out", tmp_path / "run")[0] == 0
    assert [path.exists() for path in (old, new, other)] == [False, True, True]


def test_divergence(cli: Cli, train: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, the history up to there, and everything else as it was at the last good step."""
    batch = ImageDataset.batch

    def poisoned(dataset: ImageDataset, size: int, seed: int, step: int, *where: object) -> torch.Tensor:
        return batch(dataset, size, seed, step, *where) * (float("nan") if step == 6 else 1)

    good, save = [], RunFolder.save
    monkeypatch.setattr(ImageDataset, "batch", poisoned)
    monkeypatch.setattr(RunFolder, "save", lambda *run: (save(*run), good.append(read(tmp_path / "run"))))
    status, out, err = cli(*train, "--steps", "9", "--save-every", "4", "--out", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err == (
        "dcgan_lib: The discriminator has diverged at step 7 (d_loss is nan, g_loss is nan), so the run has stopped: "
        f"go on from its last good checkpoint, {tmp_path / 'run/checkpoint.safetensors'} of step 4, with a lower lr.\n"
    )
    now = read(tmp_path / "run")
    rows = now.pop("history.csv").decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", *"1234567"]
    assert rows[:5] == good[0].pop("history.csv").decode().splitlines()
    assert now == good[0]
