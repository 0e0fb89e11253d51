"""The command line: its options, what it leaves behind, and what it prints."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import load_generator
from dcgan_lib.cli.options import field_docs, parse
from dcgan_lib.cli.run_folder import FILES
from dcgan_lib.config import Config, load_config
from dcgan_lib.data import denormalize
from dcgan_lib.metrics import scores
from dcgan_lib.metrics.classifier import load_classifier
from dcgan_lib.metrics.verdict import SampleStats
from dcgan_lib.sampling import sample, sample_latents

pytestmark = pytest.mark.usefixtures("cache")
ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., tuple[int, str, str]]


def test_every_field_of_config_is_an_option() -> None:
    values = {"data": "digits", "image_size": 128, "channels": 1, "latent_dim": 7, "g_width": 5, "d_width": 6}
    values |= {"batch_size": 9, "sync_batch_norm": True, "lr": 0.25, "d_lr": 0.5, "beta1": 0.125, "beta2": 0.75}
    values |= {"d_steps": 2, "label_smoothing": 0.1, "steps": 11, "lr_decay_share": 0.5, "ema_decay": 0.99, "seed": 12}
    values |= {"precision": "bfloat16", "device": "cuda"}
    assert list(values) == [field.name for field in fields(Config)] == list(field_docs())
    words = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words.remove("True")  # a switch has no value
    options = parse(["train", *words])
    assert (options.config, options.given) == (Config(**values), values)
    assert not parse(["train", "--no-sync-batch-norm"]).config.sync_batch_norm


@pytest.mark.parametrize("preset", [None, "paper", "half_hour", "laptop", "ci"])
def test_preset_gives_the_defaults(preset: str | None) -> None:
    """Where a run goes on, the fields in which presets differ count as given."""
    options = parse(["train", *(["--preset", preset] if preset else []), "--seed=3"])
    config = load_config(preset, seed=3)
    assert options.config == config
    names = {"image_size", "g_width", "d_width", "batch_size", "steps"}
    names |= {"lr", "d_lr", "beta1", "lr_decay_share", "ema_decay"}
    assert options.given == {name: getattr(config, name) for name in (names if preset else set()) | {"seed"}}


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert parse(["train", "--out=~/run"]).out == tmp_path / "run"
    for data in ("folder:~/photos", "folder:photos", f"folder:{tmp_path}/photos"):
        assert parse(["train", f"--data={data}"]).config.data == f"folder:{tmp_path}/photos"
    assert parse(["train", "--data=shards:~/*.tar"]).config.data == f"shards:{tmp_path}/*.tar"


def test_help(cli: Cli) -> None:
    status, out, err = cli("train", "--help")
    assert (status, err) == (0, "")
    for field in fields(Config):
        assert f"--{field.name.replace('_', '-')}" in out
    assert "(nz in older tutorials)" in out
    assert all(name in cli("--help")[1] for name in ("train", "sample", "evaluate", "export", "--traceback"))
    assert cli() == cli("--help")


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
    assert out == f"{tmp_path / 'grid.png'}: 4 images of the averaged generator\n"
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (2 * 17 + 1, 2 * 17 + 1)
        np.testing.assert_array_equal(np.array(grid)[1:17, 1:17].transpose(2, 0, 1), a[0])


def test_the_averaged_generator_and_the_raw_one(cli: Cli, train: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert ", with images of the averaged generator:" in cli(*train, "--steps=3", "--ema-decay=0.9", "--out", run)[1]
    assert "Written:\n" in cli(*train, "--steps=1", "--ema-decay=0", "--out", tmp_path / "plain")[1]
    assert "of the raw generator" in cli("sample", "--run", tmp_path / "plain", "--out", tmp_path / "plain.png")[1]
    for words, which in (((), "averaged"), (("--raw",), "raw")):
        _, out, _ = cli("sample", "--run", run, "--out", tmp_path / f"{which}.npy", *words)
        assert out == f"{tmp_path / which}.npy: 64 images of the {which} generator\n"
    averaged, raw = (np.load(tmp_path / f"{which}.npy") for which in ("averaged", "raw"))
    assert not np.array_equal(averaged, raw)
    z = sample_latents(64, 8, seed=0)
    generator, _ = load_generator(run / "checkpoint.safetensors", raw=True)
    np.testing.assert_array_equal(denormalize(sample(generator, z)).numpy(), raw)


def test_evaluate(cli: Cli, run: Path, tmp_path: Path, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "load_classifier", functools.partial(load_classifier, steps=2))
    status, out, _ = cli("evaluate", "--run", run, "--n", "130")
    assert (status, out.count("\n")) == (0, 1)
    result = json.loads(out)
    assert (result["run"], result["data"], result["generator"]) == (str(run), f"folder:{album}", "averaged")
    assert (result["n_fake"], result["n_real"]) == (130, 135)
    assert result["fid"] > 0
    assert result["verdict"] == "Too early to tell"
    shutil.copytree(album, moved := tmp_path / "moved")
    _, out, _ = cli("evaluate", "--run", run, "--n", "130", "--data", f"folder:{moved}")
    assert json.loads(out) == result | {"data": f"folder:{moved}"}


@pytest.mark.parametrize(
    ("row", "verdict"), [((4e-5, 11.0, 1.0, 0.0, 0.0), "D has won"), ((1.2, 1, 0.4, 0.6, 0.6), "D only")]
)
def test_evaluate_tells_what_a_run_died_of(
    cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch, row: tuple, verdict: str
):
    """Where pictures still differ from one another."""
    monkeypatch.setattr(scores, "load_classifier", functools.partial(load_classifier, steps=2))
    monkeypatch.setattr("dcgan_lib.cli.commands.measure_samples", lambda *_: SampleStats(1.0, 0.0, 1.0))
    config, tensors, notes = checkpoint.load(run / "checkpoint.safetensors")
    tensors["history"] = torch.tensor(row).repeat(300, 1)
    checkpoint.save(run / "checkpoint.safetensors", config, tensors)
    assert json.loads(cli("evaluate", "--run", run, "--n", "130")[1])["verdict"].startswith(verdict)


def test_a_generator_alone_has_no_verdict(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "load_classifier", functools.partial(load_classifier, steps=2))
    assert json.loads(cli("evaluate", "--run", run / "generator.safetensors", "--n", "130")[1])["verdict"] is None


def test_one_sequence_of_images(cli: Cli, run: Path, tmp_path: Path) -> None:
    for n in (1, 3, 64):
        cli("sample", "--run", run, "--n", n, "--seed", "5", "--out", tmp_path / f"{n}.npy")
    one, three, many = (np.load(tmp_path / f"{n}.npy").astype(int) for n in (1, 3, 64))
    for few in (one, three):  # but for the rounding of another batch
        np.testing.assert_allclose(few, many[: len(few)], atol=1)


@pytest.mark.parametrize("name", ["fakes", "fakes/", "a/b.c"])
def test_a_folder_of_images(cli: Cli, run: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    if "." in name:
        folder.mkdir(parents=True)  # what is there is a folder, whatever its name
    words = ["sample", "--run", run, "--n", "12", "--out", f"{tmp_path}/{name}"]
    assert cli(*words)[1] == f"{folder}: 12 images of the averaged generator\n"
    cli("sample", "--run", run, "--n", "12", "--out", tmp_path / "all.npy")
    assert [path.name for path in sorted(folder.iterdir())] == [f"{number:05d}.png" for number in range(12)]
    for image, path in zip(np.load(tmp_path / "all.npy"), sorted(folder.iterdir()), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)).transpose(2, 0, 1), image)
    assert f"{folder} holds pictures already: choose another folder, or empty it." in cli(*words)[2]


def test_a_walk(cli: Cli, run: Path, tmp_path: Path) -> None:
    """From the first z of the seed to the next, and so on, and back: 45 frames are three times 15."""
    out = tmp_path / "walk.gif"
    assert cli("sample", "--run", run, "--walk", "45", "--seed", "3", "--out", out)[1].startswith(f"{out}: 45 images")
    generator, _ = load_generator(run)
    ends = denormalize(sample(generator, sample_latents(3, 8, 3)))
    with Image.open(out) as film:
        assert (film.n_frames, film.info["duration"], film.info["loop"]) == (45, 40, 0)
        for end, frame in zip(ends, (0, 15, 30), strict=True):
            film.seek(frame)
            seen = np.asarray(film.convert("RGB").resize((18, 18), Image.Resampling.NEAREST))[1:17, 1:17]
            np.testing.assert_allclose(seen.transpose(2, 0, 1).astype(int), end.numpy(), atol=12)  # 64 colours


def test_a_walk_as_a_video(cli: Cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["sample", "--run", run, "--walk", "5", "--out", tmp_path / "films/walk.mp4"]
    if shutil.which("ffmpeg"):
        assert cli(*words)[0] == 0
        assert (tmp_path / "films/walk.mp4").read_bytes()[4:8] == b"ftyp"
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = cli(*words)
    message = "walk.mp4 could not be written by ffmpeg: install that program, or write a .gif.\n"
    assert (status, err.endswith(message)) == (2, True)


def test_an_earlier_step(cli: Cli, train: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    cli(*train, "--steps=4", "--save-every=2", "--keep=2", "--out", run)
    for words in ((), ("--raw",)):
        for step in (2, 4):
            cli("sample", "--run", run, "--step", step, *words, "--out", tmp_path / f"{step}{len(words)}.npy")
        cli("sample", "--run", run, *words, "--out", tmp_path / f"last{len(words)}.npy")
    files = {name: np.load(tmp_path / f"{name}.npy") for name in ("20", "21", "40", "41", "last0", "last1")}
    assert np.array_equal(files["40"], files["last0"]) and np.array_equal(files["41"], files["last1"])
    assert not any(np.array_equal(files[a], files[b]) for a, b in (("20", "40"), ("21", "41"), ("20", "21")))
    status, _, err = cli("sample", "--run", run, "--step", "3", "--out", tmp_path / "a.npy")
    assert (status, f"{run} has no checkpoint-0000003.safetensors: it kept steps 2, 4, and" in err) == (2, True)


def test_export_for_torch(cli: Cli, run: Path, tmp_path: Path) -> None:
    """In the numbers of the run's own generator, for any batch."""
    out = tmp_path / "there/g.pt2"
    status, words, _ = cli("export", "--run", run, "--out", out)
    assert (status, words.startswith(f"{out}: z, float32 (N, 8), to images in [-1, 1], within ")) == (0, True)
    exported, (generator, _) = torch.export.load(out).module(), load_generator(run)
    for n in (1, 2, 9):
        z = sample_latents(n, 8, seed=n)
        torch.testing.assert_close(exported(z), sample(generator, z), rtol=0, atol=1e-5)


def test_export_as_onnx(cli: Cli, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    assert cli("export", "--run", run, "--out", tmp_path / "g.onnx")[0] == 0
    session, (generator, _) = onnxruntime.InferenceSession(tmp_path / "g.onnx"), load_generator(run)
    for n in (1, 2, 9):
        z = sample_latents(n, 8, seed=n)
        (images,) = session.run(None, {"z": z.numpy()})
        np.testing.assert_allclose(images, sample(generator, z), rtol=0, atol=1e-5)


def test_export_without_onnx(cli: Cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    status, _, err = cli("export", "--run", run, "--out", tmp_path / "g.onnx")
    assert (status, err.count("\n"), (tmp_path / "g.onnx").exists()) == (2, 1, False)
    assert err.endswith(": pip install onnx onnxscript onnxruntime, or write a .pt2.\n")


def test_an_export_with_other_numbers_is_not_written(cli: Cli, run: Path, tmp_path: Path, monkeypatch) -> None:
    wrong = SimpleNamespace(module=lambda: lambda z: torch.zeros(len(z), 3, 16, 16))
    monkeypatch.setattr(torch.export, "load", lambda *_: wrong)
    assert "g.pt2 would differ from PyTorch by " in cli("export", "--run", run, "--out", tmp_path / "g.pt2")[2]
    assert not (tmp_path / "g.pt2").exists()


def test_as_a_command(train: list[str], tmp_path: Path) -> None:
    """In processes of their own; a wrong word is answered before torch is imported."""
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = functools.partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True, env=own)
    done = start([sys.executable, "-m", "dcgan_lib", *train, "--steps", "1", "--out", "run"])
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FILES, "progress"}
    refused = start([sys.executable, "-X", "importtime", "-m", "dcgan_lib", "train", "--bath-size", "4"])
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "dcgan_lib: unrecognized arguments: --bath-size 4: see --help.\n" in refused.stderr
    helped = start([sys.executable, "-X", "importtime", "-m", "dcgan_lib", "train", "--help"])
    for err in (refused.stderr, helped.stderr):
        assert {"torch", "numpy", "PIL"}.isdisjoint(line.rpartition("|")[2].strip() for line in err.splitlines())


def test_ctrl_c_while_torch_is_imported(tmp_path: Path) -> None:
    """A torch of our own stands in for the seconds that the real one takes."""
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    command, own = [sys.executable, "-m", "dcgan_lib", "train"], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert (
        done.stderr
        == "dcgan_lib: Interrupted at once: what was saved before is whole, and --resume goes on from there.\n"
    )
