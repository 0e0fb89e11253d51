"""`train` leaves a folder that is whole at every moment, and goes on with it as if nothing had happened."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_lib import checkpoint
from dcgan_lib.data import PictureSet
from dcgan_lib.runs import RunFolder
from dcgan_lib.trainer import Trainer

pytestmark = pytest.mark.usefixtures("cache")
FILES = {"config.json", "history.csv", "checkpoint.pt", "generator.safetensors", "samples.png", "progress.gif"}
Cli = Callable[..., tuple[int, str, str]]


def test_train_leaves_these_files(cli: Cli, train: list[str], tmp_path: Path) -> None:
    status, out, err = cli(*train, "--steps", "3", "--out", tmp_path / "run")
    assert (status, err) == (0, "")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FILES, "progress"}
    assert out.startswith("3 steps done.")
    assert {Path(line.strip()) for line in out.splitlines()[1:]} == {tmp_path / "run" / name for name in FILES}
    table = (tmp_path / "run/history.csv").read_text().splitlines()
    assert table[0].split(",")[0] == "step"
    assert [line.split(",")[0] for line in table[1:]] == ["1", "2", "3"]
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["image_size"], config["channels"], config["steps"], config["batch_size"]) == (16, 3, 3, 4)


def test_checkpoints_and_frames_on_the_way(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    saved = []
    monkeypatch.setattr(RunFolder, "save", lambda folder, trainer: saved.append(trainer.steps_done))
    cli(*train, "--steps", "28", "--save-every", "10", "--out", tmp_path / "run")
    assert saved == [10, 20, 28]
    assert [int(path.stem) for path in sorted((tmp_path / "run/progress").iterdir())] == [0, 25, 28]


def pressing_at(step: int) -> Callable[[Trainer, float], torch.Tensor]:
    """`Trainer.step` with a Ctrl-C in the one after so many."""
    take = Trainer.step

    def press(trainer: Trainer, heat: float) -> torch.Tensor:
        if trainer.steps_done == step:
            signal.raise_signal(signal.SIGINT)
        return take(trainer, heat)

    return press


def test_interrupted_run_is_saved(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Trainer, "step", pressing_at(2))
    status, out, _ = cli(*train, "--steps", "9", "--out", tmp_path / "run")
    said = ["Stopped after step 3, as asked: the run can go on from there.", "3 steps done. Written:"]
    assert (status, out.splitlines()[:2]) == (0, said)
    assert {path.name for path in (tmp_path / "run").iterdir()} >= FILES


def test_resumed_run_equals_an_uninterrupted_one(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    """Stopped between two frames, in the cool-down, and again before the first step of the rest."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cli(*train, "--steps", "30", "--out", whole)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", pressing_at(26))
        cli(*train, "--steps", "30", "--out", parts)
        patch.setattr(Trainer, "step", pressing_at(27))
        cli("train", "--resume", "--out", parts)
    assert Trainer.load(parts / "checkpoint.pt").steps_done == 28
    status, out, err = cli("train", "--resume", "--out", parts)
    assert (status, out.splitlines()[0], err) == (0, "30 steps done. Written:", "")
    assert differences(whole, parts) == []


def test_a_run_that_is_over_can_be_made_longer(cli: Cli, train: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cli(*train, "--cool-down=0", "--steps=5", "--out", whole)
    cli(*train, "--cool-down=0", "--steps=2", "--out", parts)
    assert cli("train", "--resume", "--steps=5", "--out", parts)[0] == 0
    assert differences(whole, parts) == []


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (0, "holds no checkpoint yet: the run begins at step 1."),
        (3, "has 3 steps and --steps is 3: nothing is left to train."),
    ],
)
def test_a_resumed_run_says_where_it_is(
    cli: Cli, train: list[str], tmp_path: Path, monkeypatch, before: int, said: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        if not before:
            patch.setattr(Trainer, "train", killed)
        cli(*train, "--steps=3", "--out", tmp_path)
    status, out, _ = cli("train", "--resume", "--out", tmp_path)
    assert (status, out.splitlines()[0]) == (0, f"{tmp_path} {said}")
    assert Trainer.load(tmp_path / "checkpoint.pt").steps_done == 3


def differences(a: Path, b: Path) -> list[str]:
    """The files that two runs do not share, bit for bit; of checkpoints what is in them, for a zip file has a date."""
    names = [{path.relative_to(run) for path in run.rglob("*") if path.is_file()} for run in (a, b)]
    found = [str(name) for name in names[0] ^ names[1]]
    found += [str(name) for name in names[0] & names[1] if (a / name).read_bytes() != (b / name).read_bytes()]
    if "checkpoint.pt" in found:
        (config, one), (other, two) = (checkpoint.load(run / "checkpoint.pt") for run in (a, b))
        assert config == other
        torch.testing.assert_close(one, two, rtol=0, atol=0)
        found.remove("checkpoint.pt")
    return found


def test_what_may_change_on_resume(cli: Cli, train: list[str], tmp_path: Path) -> None:
    cli(*train, "--steps", "1", "--out", tmp_path)
    before = read(tmp_path)
    resume = ["train", "--resume", "--out", tmp_path]
    status, _, err = cli(*resume, "--seed", "5", "--g-width", "9", "--lr", "0.5", "--allow-changes")
    said = "was trained with another g_width and seed (g_width was 2 and would be 9, seed was 0 and would be 5)"
    assert (status, err.startswith(f"dcgan_lib: {tmp_path} {said}: leave these options out")) == (2, True)
    changes = ["--lr=0.5", "--beta1=0.1", "--device=auto", "--steps=2"]
    words = "lr was 0.002 and would be 0.5, beta1 was 0.5 and would be 0.1, device was cpu and would be auto"
    status, out, err = cli(*resume, *changes)
    assert (status, out) == (2, "")
    assert err == (
        f"dcgan_lib: {tmp_path} was trained with other options: {words}: add --allow-changes to go on with "
        "the new ones, or leave them out.\n"
    )
    assert read(tmp_path) == before
    status, out, _ = cli(*resume, *changes, "--allow-changes")
    assert (status, out.splitlines()[0]) == (0, f"From step 2 on: {words.replace('would be', 'is now')}.")
    config = json.loads((tmp_path / "config.json").read_text())
    assert [config[name] for name in ("lr", "beta1", "steps", "device")] == [0.5, 0.1, 2, "auto"]
    assert cli(*resume, "--steps=3")[0] == 0


@pytest.mark.parametrize("steps", [0, 2])
def test_a_change_survives_a_kill(cli: Cli, train: list[str], tmp_path: Path, monkeypatch, steps: int) -> None:
    """The process is gone before it saves anything, and the next one is told nothing but to go on."""

    def killed(*_: object, **__: object) -> None:
        raise MemoryError

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    resume = ["train", "--resume", "--lr=0.5", "--steps=5", "--allow-changes", "--out"]
    for out in (whole, parts):
        if steps:
            cli(*train, "--steps", steps, "--out", out)
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "train", killed)
            if not steps:
                cli(*train, "--steps=2", "--out", out)
            if out == parts:
                cli(*resume, out)
    cli(*resume, whole)
    cli("train", "--resume", "--out", parts)
    assert differences(whole, parts) == []
    assert Trainer.load(parts / "checkpoint.pt").config.lr == 0.5


def test_other_pictures_are_another_run(cli: Cli, train: list[str], tmp_path: Path, album: Path) -> None:
    photos, moved = tmp_path / "photos", tmp_path / "moved"
    shutil.copytree(album, photos)
    train[train.index("--data") + 1] = f"folder:{photos}"
    cli(*train, "--steps=1", "--out", tmp_path / "run")
    resume = ["train", "--resume", "--steps=2", "--out", tmp_path / "run"]
    before = read(tmp_path / "run")
    for change in (lambda: shutil.copy(photos / "000.png", photos / "more.png"), (photos / "001.png").unlink):
        change()  # one more, then another in the place of one
        status, _, err = cli(*resume)
        assert (status, err.count("\n")) == (2, 1)
        assert "was trained on other pictures than folder:" in err
        assert read(tmp_path / "run") == before
    (photos / "more.png").unlink()
    shutil.copy(album / "001.png", photos)
    photos.rename(moved)
    assert "There is no folder" in cli(*resume)[2]
    assert "add --allow-changes" in cli(*resume, f"--data=folder:{moved}")[2]
    assert cli(*resume, f"--data=folder:{moved}", "--allow-changes")[0] == 0


def test_a_run_goes_on_from_anywhere(cli: Cli, train: list[str], tmp_path: Path, album: Path, monkeypatch) -> None:
    train[train.index("--data") + 1] = f"folder:{album.name}"
    monkeypatch.chdir(album.parent)
    assert cli(*train, "--steps=1", "--out", tmp_path / "run")[0] == 0
    monkeypatch.chdir(tmp_path)
    assert cli("train", "--resume", "--steps=2", "--out", "run")[0] == 0


def test_a_relative_folder_of_an_earlier_version(cli: Cli, train: list[str], tmp_path: Path, album: Path, monkeypatch):
    monkeypatch.chdir(album.parent)
    train[train.index("--data") + 1] = f"folder:{album.name}"
    with monkeypatch.context() as patch:
        patch.setattr("dcgan_lib.train.from_anywhere", lambda data: data)
        assert cli(*train, "--steps=1", "--out", tmp_path / "run")[0] == 0
    assert cli("train", "--resume", "--steps=2", "--out", tmp_path / "run")[0] == 0


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_refuses_to_overwrite(cli: Cli, train: list[str], tmp_path: Path) -> None:
    cli(*train, "--steps", "1", "--out", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    status, _, err = cli(*train, "--steps", "2", "--out", tmp_path)
    assert (status, "holds a run already: add --resume" in err) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_second_ctrl_c_saves_no_more(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    def impatient(trainer: Trainer, heat: float) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    cli(*train, "--steps", "2", "--out", tmp_path / "run")
    before = read(tmp_path / "run")
    monkeypatch.setattr(Trainer, "step", impatient)
    status, _, err = cli("train", "--resume", "--steps", "9", "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"dcgan_lib: Interrupted at once: {tmp_path / 'run'} holds what was saved before; go on with")
    del before["progress/0000002.png"]  # the last frame of the shorter run
    after = read(tmp_path / "run")
    assert after.keys() == before.keys()
    told = {"config.json", "checkpoint.pt", "generator.safetensors"}  # which say --steps 9 now
    assert {name for name in before if after[name] != before[name]} == told


def test_ctrl_c_while_pictures_are_decoded(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    presses = [signal.SIGINT]

    def press_once(*_: object) -> np.ndarray:
        if presses:
            signal.raise_signal(presses.pop())
        return np.zeros((3, 16, 16), np.uint8)

    with monkeypatch.context() as patch:
        patch.setattr("dcgan_lib.data.decode", press_once)
        patch.setattr("os.cpu_count", lambda: 1)
        assert cli(*train, "--steps", "1", "--out", tmp_path / "run")[0] == 2
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.rglob("*.dcgan-part"))


def test_a_run_that_was_killed_before_its_first_checkpoint(cli: Cli, train: list[str], tmp_path: Path) -> None:
    """While it decoded, say: config.json is there from the first moment."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cli(*train, "--steps", "3", "--out", whole)
    parts.mkdir()
    config = json.loads((whole / "config.json").read_text()) | {"channels": None}
    (parts / "config.json").write_text(json.dumps(config))
    (parts / "progress").mkdir()
    (parts / "progress/0000025.png").touch()
    assert "add --resume" in cli(*train, "--steps", "3", "--out", parts)[2]
    assert cli("train", "--resume", "--out", parts)[0] == 0
    assert differences(whole, parts) == []


def test_what_a_killed_run_left_unfinished_is_removed(cli: Cli, train: list[str], tmp_path: Path, cache: Path) -> None:
    cli(*train, "--steps", "1", "--out", tmp_path / "run")
    left = [tmp_path / "run/checkpoint.pt.4194399.dcgan-part", tmp_path / "run/progress/0000025.png.4194399.dcgan-part"]
    left += [cache / "faces.4194399.dcgan-part", cache / "digits.4194399.dcgan-part"]
    left += [tmp_path / "run/film.7z.4194399.part", tmp_path / "run/notes.².dcgan-part"]
    for path in left:
        path.touch()
    os.utime(left[2], (1, 1))
    assert cli("train", "--resume", "--out", tmp_path / "run")[0] == 0
    # another machine may be writing the fourth, and the last two are not ours
    assert [path.exists() for path in left] == [False, False, False, True, True, True]


def test_divergence(cli: Cli, train: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, the history up to there, and everything else as it was at the last good step."""
    batch = PictureSet.batch

    def poisoned(pictures: PictureSet, size: int, seed: int, step: int, *where) -> torch.Tensor:
        return batch(pictures, size, seed, step, *where) * (float("nan") if step == 6 else 1)

    monkeypatch.setattr(PictureSet, "batch", poisoned)
    good = []
    save = RunFolder.save
    monkeypatch.setattr(RunFolder, "save", lambda *run: (save(*run), good.append(read(tmp_path / "run"))))
    status, out, err = cli(*train, "--steps", "9", "--save-every", "4", "--out", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err == (
        "dcgan_lib: The discriminator has diverged at step 7 (d_loss is nan, g_loss is nan), so the run has stopped: "
        f"go on from its last good checkpoint, {tmp_path / 'run/checkpoint.pt'} of step 4, with a lower lr.\n"
    )
    now = read(tmp_path / "run")
    rows = now.pop("history.csv").decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", *"1234567"]
    assert rows[:5] == good[0].pop("history.csv").decode().splitlines()
    assert now == good[0]


def test_pictures_that_are_gone(cli: Cli, train: list[str], tmp_path: Path, cache: Path, album: Path) -> None:
    photos = tmp_path / "meine Fotos/Übersee, 日本"
    shutil.copytree(album, photos)
    run = tmp_path / "läufe/erster Lauf"
    train[train.index("--data") + 1] = f"folder:{photos}"
    assert cli(*train, "--steps", "1", "--out", run)[0] == 0
    before = read(run)
    shutil.rmtree(photos)
    status, out, err = cli("train", "--resume", "--steps", "2", "--out", run)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"There is no folder {photos}" in err
    assert read(run) == before


@pytest.mark.parametrize("name", ["--keep", "--save-every"])
def test_at_least_one(cli: Cli, name: str) -> None:
    status, _, err = cli("train", f"{name}=0")
    said = f"dcgan_lib: {name} must be at least 1, and below 2**63, and 0 is not: change its value."
    assert (status, said in err) == (2, True)


def test_allow_changes_alone(cli: Cli) -> None:
    assert "--allow-changes is about a run to go on with: add --resume" in cli("train", "--allow-changes")[2]
