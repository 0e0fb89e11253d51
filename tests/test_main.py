"""The command line: what it leaves behind, what it prints, and how it refuses."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_lib import commands, metrics
from dcgan_lib.classifier import load_classifier
from dcgan_lib.config import Config, load_config

pytestmark = pytest.mark.usefixtures("cache")
FILES = {"config.json", "history.csv", "checkpoint.pt", "generator.safetensors", "samples.png", "progress.gif"}
ROOT = Path(__file__).resolve().parent.parent
Cli = Callable[..., tuple[int, str, str]]


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


def test_evaluate(cli: Cli, run: Path, tmp_path: Path, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "load_classifier", functools.partial(load_classifier, steps=2))
    status, out, _ = cli("evaluate", "--run", run, "--n", "130")
    assert (status, out.count("\n")) == (0, 1)
    result = json.loads(out)
    assert (result["data"], result["data"].startswith("folder:")) == (f"folder:{album}", True)
    shutil.copytree(album, moved := tmp_path / "moved")
    _, out, _ = cli("evaluate", "--run", run, "--n", "130", "--data", f"folder:{moved}")
    assert json.loads(out) == result | {"data": f"folder:{moved}"}
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
    assert commands.parse(["train", *words]).config == Config(**values)


@pytest.mark.parametrize("preset", [None, "paper", "laptop", "ci"])
def test_preset_gives_the_defaults(preset: str | None) -> None:
    words = ["--preset", preset] if preset else []
    assert commands.parse(["train", *words, "--seed", "3"]).config == load_config(preset, seed=3)
    assert commands.parse(["train", "--seed=3", *words]).seconds is None


def test_help(cli: Cli) -> None:
    status, out, err = cli("train", "--help")
    assert (status, err) == (0, "")
    for field in fields(Config):
        assert f"--{field.name.replace('_', '-')}" in out
    commands = cli("--help")[1]
    assert all(name in commands for name in ("train", "sample", "evaluate"))


def test_as_a_command(train: list[str], tmp_path: Path) -> None:
    """In processes of their own, and on a terminal that knows no box drawing."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    start = functools.partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True)
    command = [sys.executable, "-m", "dcgan_lib"]
    done = start([*command, *train, "--steps", "1", "--out", "run"], env=environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FILES, "progress"}
    refused = start([*command, "train", "--bath-size", "4"], env={**environment, "PYTHONIOENCODING": "ascii"})
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "Unrecognized options: --bath-size" in refused.stderr


def test_ctrl_c_while_torch_is_imported(tmp_path: Path) -> None:
    """A torch of our own stands in for the seconds that the real one takes."""
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    command, own = [sys.executable, "-m", "dcgan_lib", "train"], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "dcgan_lib: Stopped before there was anything to save.\n"
