"""The command line: what it leaves behind, what it prints, and how it refuses."""

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lib import __main__ as command_line
from dcgan_lib import checkpoint, metrics
from dcgan_lib.classifier import load_classifier
from dcgan_lib.config import Config, load_config
from dcgan_lib.runs import RunFolder
from dcgan_lib.trainer import Trainer

pytestmark = pytest.mark.usefixtures("cache")
SMALL = ["--image-size=16", "--g-width=2", "--d-width=2", "--batch-size=4", "--latent-dim=8"]
PLAIN = ["--precision=float32", "--device=cpu"]
FILES = {"config.json", "history.csv", "checkpoint.pt", "generator.safetensors", "samples.png", "progress.gif"}
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 pictures of noise."""
    folder, noise = tmp_path_factory.mktemp("album"), np.random.default_rng(0)
    for i in range(150):
        Image.fromarray(noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture
def train(album: Path) -> list[str]:
    """The words of a small run, without --steps and --out."""
    return ["train", "--data", f"folder:{album}", *SMALL, *PLAIN]


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


def test_interrupted_run_is_saved(cli: Cli, train: list[str], tmp_path: Path, monkeypatch) -> None:
    step = Trainer.step

    def interrupted(trainer: Trainer, heat: float) -> None:
        if trainer.steps_done == 2:
            signal.raise_signal(signal.SIGINT)
        step(trainer, heat)

    monkeypatch.setattr(Trainer, "step", interrupted)
    status, out, _ = cli(*train, "--steps", "9", "--out", tmp_path / "run")
    said = ["Stopped after step 3, as asked: the run can go on from there.", "3 steps done. Written:"]
    assert (status, out.splitlines()[:2]) == (0, said)
    assert {path.name for path in (tmp_path / "run").iterdir()} >= FILES


def test_resumed_run_equals_an_uninterrupted_one(cli: Cli, train: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cli(*train, "--steps", "5", "--out", whole)
    cli(*train, "--steps", "2", "--out", parts)
    status, out, err = cli("train", "--resume", "--steps", "5", "--out", parts)
    assert (status, out.splitlines()[0], err) == (0, "5 steps done. Written:", "")
    for name in FILES - {"progress.gif", "checkpoint.pt"}:
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    (config, a), (other, b) = (checkpoint.load(folder / "checkpoint.pt") for folder in (whole, parts))
    assert config == other
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_resume_takes_another_lr_and_nothing_that_makes_it_another_run(cli: Cli, train: list[str], tmp_path) -> None:
    cli(*train, "--steps", "1", "--out", tmp_path)
    status, _, err = cli("train", "--resume", "--out", tmp_path, "--seed", "5", "--g-width", "9")
    assert (status, "was trained with another g_width and seed" in err) == (2, True)
    assert (
        cli("train", "--resume", "--allow-changes", "--out", tmp_path, "--steps", "2", "--lr", "0.5", "--beta1", "0.1")[
            0
        ]
        == 0
    )
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["lr"], config["beta1"], config["steps"]) == (0.5, 0.1, 2)


def test_refuses_to_overwrite(cli: Cli, train: list[str], tmp_path: Path) -> None:
    cli(*train, "--steps", "1", "--out", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    status, _, err = cli(*train, "--steps", "2", "--out", tmp_path)
    assert (status, "holds a run already: add --resume" in err) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.fixture
def run(cli: Cli, train: list[str], tmp_path: Path) -> Path:
    cli(*train, "--steps", "1", "--out", tmp_path / "run")
    return tmp_path / "run"


def test_sample(cli: Cli, run: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("sample", "--run", run, "--n", "7", "--seed", seed, "--out", tmp_path / f"{name}.npy")[0] == 0
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert (a.shape, a.dtype) == ((7, 3, 16, 16), np.uint8)
    assert a.max() > a.min()
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    _, out, _ = cli("sample", "--run", run, "--n", "4", "--seed", "1", "--out", tmp_path / "grid.png")
    assert out == f"{tmp_path / 'grid.png'}\n"
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (2 * 17 + 1, 2 * 17 + 1)
        np.testing.assert_array_equal(np.array(grid)[1:17, 1:17].transpose(2, 0, 1), a[0])


def test_evaluate(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "load_classifier", functools.partial(load_classifier, steps=2))
    status, out, _ = cli("evaluate", "--run", run, "--n", "130")
    assert (status, out.count("\n")) == (0, 1)
    result = json.loads(out)
    assert (result["run"], result["n_fake"], result["n_real"]) == (str(run), 130, 135)
    assert result["fid"] > 0


def test_every_field_of_config_is_an_option() -> None:
    values = {"data": "digits", "image_size": 128, "channels": 1, "latent_dim": 7, "g_width": 5, "d_width": 6}
    values |= {"batch_size": 9, "sync_batch_norm": True, "lr": 0.25, "d_lr": 0.5, "beta1": 0.125, "beta2": 0.75}
    values |= {"d_steps": 2, "label_smoothing": 0.1, "steps": 11, "cool_down": 0.5, "seed": 12}
    values |= {"precision": "bfloat16", "device": "cuda"}
    assert list(values) == [field.name for field in fields(Config)]
    words = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words.remove("True")  # a switch has no value
    assert command_line.parse(["train", *words]).config == Config(**values)


@pytest.mark.parametrize("preset", [None, "paper", "laptop", "ci"])
def test_preset_gives_the_defaults(preset: str | None) -> None:
    words = ["--preset", preset] if preset else []
    assert command_line.parse(["train", *words, "--seed", "3"]).config == load_config(preset, seed=3)
    assert command_line.parse(["train", "--seed=3", *words]).seconds is None


def test_help(cli: Cli) -> None:
    status, out, err = cli("train", "--help")
    assert (status, err) == (0, "")
    for field in fields(Config):
        assert f"--{field.name.replace('_', '-')}" in out
    commands = cli("--help")[1]
    assert all(name in commands for name in ("train", "sample", "evaluate"))


def test_as_a_command(train: list[str], tmp_path: Path) -> None:
    """In processes of their own, and on a terminal that knows no box drawing."""
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    start = functools.partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True)
    command = [sys.executable, "-m", "dcgan_lib"]
    done = start([*command, *train, "--steps", "1", "--out", "run"], env=environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FILES, "progress"}
    refused = start([*command, "train", "--bath-size", "4"], env={**environment, "PYTHONIOENCODING": "ascii"})
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "Unrecognized options: --bath-size" in refused.stderr
