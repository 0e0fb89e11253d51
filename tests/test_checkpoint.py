"""A checkpoint gives back what was saved, and a file that is anything else is refused in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import load, load_generator, save, save_generator
from dcgan_lib.config import Config
from dcgan_lib.data import ImageDataset
from dcgan_lib.networks import Generator, build_networks
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.errors import InputError

WEIGHT, MEAN = "generator.layers.0.weight", "generator.layers.1.running_mean"
MISFIT = "does not fit the networks of its own config"


@pytest.fixture
def run(tiny: Config, dataset: ImageDataset, tmp_path: Path) -> Path:
    """The checkpoint of a step."""
    trainer = Trainer(tiny, dataset)
    trainer.step()
    trainer.save(tmp_path / checkpoint.CHECKPOINT)
    return tmp_path / checkpoint.CHECKPOINT


def test_round_trip(tmp_path: Path, tiny: Config) -> None:
    tensors = {
        "a": torch.rand(3, 4, 2, 2).to(memory_format=torch.channels_last),
        "b": torch.tensor(7),
        "c": torch.empty(0, 5),
    }
    save(tmp_path / "run", tiny, tensors, threads=3)
    config, loaded, notes = load(tmp_path / "run")
    assert (config, notes["threads"]) == (tiny, "3")
    torch.testing.assert_close(loaded, tensors, rtol=0, atol=0)


def test_generator_round_trip(tmp_path: Path, tiny: Config) -> None:
    config = tiny.replace(channels=1)
    generator, _ = build_networks(config)
    generator(torch.randn(5, 8))  # running statistics of its own
    save_generator(tmp_path / "g", generator.to(memory_format=torch.channels_last), config)
    loaded, loaded_config = load_generator(tmp_path / "g")
    assert (loaded_config, loaded.training) == (config, False)
    torch.testing.assert_close(loaded.state_dict(), generator.state_dict(), rtol=0, atol=0)
    save_generator(tmp_path / "half", generator, config, half=True)
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "g").stat().st_size
    rounded, _ = load_generator(tmp_path / "half")
    torch.testing.assert_close(rounded.state_dict(), generator.state_dict(), rtol=1e-3, atol=1e-6)


def test_full_disk(run: Path, tiny: Config) -> None:
    """The limit on a file's size stands in for it."""
    resource: ModuleType = pytest.importorskip("resource")
    before, limits = run.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(InputError, match="could not be written"):
            save(run, tiny, {"weights": torch.rand(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run.read_bytes() == before
    assert list(run.parent.iterdir()) == [run]


class Malicious:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("read", [load, load_generator])
def test_code_is_not_run(read: Callable, refused, tmp_path: Path, tiny: Config) -> None:
    path, trap = tmp_path / "run", tmp_path / "trapped"
    torch.save({"config": tiny.to_dict(), "trap": Malicious(trap)}, path)
    assert "another kind of file: give another one." in refused(lambda: read(path))
    assert not trap.exists()
    torch.load(path, weights_only=False)
    assert trap.exists()  # the trap does work where it is let


def flipped(whole: bytes) -> bytes:
    """One bit of the last tensor changed, which safetensors itself does not notice."""
    return whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]


OTHER_KIND = "is cut short, damaged or another kind of file: give another one."
BYTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda whole: b"", OTHER_KIND),
    "cut short": (lambda whole: whole[: len(whole) * 2 // 3], OTHER_KIND),
    "a web page": (lambda whole: b"<!DOCTYPE html><title>404</title>", OTHER_KIND),
    "a bit flipped": (flipped, "is damaged: copy it again, or give another one."),
    "somebody else's": (
        lambda whole: to_safetensors({"w": torch.ones(3)}),
        "is no file of this version of dcgan_lib: give another one.",
    ),
}


@pytest.mark.parametrize("case", BYTES)
@pytest.mark.parametrize("read", [load, load_generator])
def test_bytes(read: Callable, case: str, run: Path, refused) -> None:
    change, message = BYTES[case]
    run.write_bytes(change(run.read_bytes()))
    assert refused(lambda: read(run)) == f"{run} {message}"


@pytest.mark.parametrize(("name", "why"), [("nowhere", "No such file or directory"), (".", "Is a directory")])
def test_no_such_file(name: str, why: str, refused, tmp_path: Path) -> None:
    path = tmp_path / name
    assert refused(lambda: load(path)) == f"{path} cannot be read ({why}): give the folder that train wrote."


def test_no_such_generator(refused, tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    advice = "give the folder that train wrote, or one of faces64, mnist32."
    assert refused(lambda: load_generator(path)) == f"There is no run {path}: {advice}"
    assert refused(lambda: load_generator("faces46")) == f"There is no run faces46: {advice}"
    for raw, name in ((False, checkpoint.GENERATOR), (True, checkpoint.CHECKPOINT)):
        message = f"{tmp_path / name} cannot be read (No such file or directory): give the folder that train wrote."
        assert refused(lambda raw=raw: load_generator(tmp_path, raw)) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "1"}, "is no file of this version of dcgan_lib: give another one."),
        (
            {"colour": 1},
            "holds no config of this version (got an unexpected keyword argument 'colour'): give another file.",
        ),
        (
            {"lr": -1.0},
            "holds no config of this version (lr must be a number above 0, and -1.0 is not): give another file.",
        ),
        (
            {"g_width": "4"},
            "holds no config of this version (g_width must be a whole number, and '4' is not): give another file.",
        ),
    ],
)
def test_config(changes: dict, message: str, refused, tmp_path: Path, tiny: Config, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", changes.pop("format", checkpoint.FORMAT))
    monkeypatch.setattr(Config, "to_dict", lambda config: vars(config) | changes)
    save(tmp_path / "run", tiny, {"w": torch.ones(2)})
    monkeypatch.undo()
    assert refused(lambda: load(tmp_path / "run")).startswith(f"{tmp_path / 'run'} {message}")


def poisoned(tensor: Tensor) -> Tensor:
    tensor.flatten()[0] = float("nan")
    return tensor


BROKEN_DOWN = "holds NaN or infinity, so this run had broken down before it was saved"
TENSORS: dict[str, tuple[str, Callable[[Tensor], Tensor | None], str]] = {
    "missing": (WEIGHT, lambda t: None, f"{MISFIT} ({WEIGHT} is missing): give another one."),
    "one too many": ("generator.x", lambda t: torch.ones(3), f"{MISFIT} (there is no place for generator.x)"),
    "other shape": (WEIGHT, lambda t: t[:, :3], f"({WEIGHT} should be 8x8x4x4 of float32 and is 8x3x4x4 of float32)"),
    "other type": (WEIGHT, lambda t: t.double(), "and is 8x8x4x4 of float64)"),
    "NaN in a weight": (WEIGHT, poisoned, f"({WEIGHT} {BROKEN_DOWN})"),
    "NaN in a running mean": (MEAN, poisoned, f"({MEAN} {BROKEN_DOWN})"),
    "moment missing": ("g_optimizer.0.exp_avg_sq", lambda t: None, "(g_optimizer.0.exp_avg_sq is missing)"),
    "moment of another weight": ("d_optimizer.0.exp_avg", lambda t: t[:2], "exp_avg should be 3x1x4x4 of"),
    "NaN in a moment": ("d_optimizer.0.exp_avg", poisoned, f"(d_optimizer.0.exp_avg {BROKEN_DOWN})"),
    "history missing": ("history", lambda t: None, "(history is missing)"),
    "NaN in the history": ("history", poisoned, f"(history {BROKEN_DOWN})"),
    "other images": ("images", lambda t: t + 1, "was trained on other images than noise holds now, so it cannot go on"),
    "fewer images": ("images", lambda t: t[:5], "was trained on other images than noise holds now, so it cannot go on"),
}  # fmt: skip


@pytest.mark.parametrize("case", TENSORS)
def test_tensors(case: str, run: Path, refused, dataset: ImageDataset) -> None:
    name, change, message = TENSORS[case]
    config, tensors, _ = load(run)
    changed = change(tensors.pop(name, torch.empty(0)))
    save(run, config, tensors | ({} if changed is None else {name: changed}))
    answer = refused(lambda: Trainer.load(run, dataset))
    assert answer.startswith(f"{run} ")
    assert message in answer


def test_generator_of_other_sizes(refused, tmp_path: Path, tiny: Config) -> None:
    save_generator(tmp_path / "g", Generator(8, 5, 1, 16), tiny.replace(channels=1))
    message = f"{MISFIT} (layers.0.weight should be 8x8x4x4 of float32 and is 8x10x4x4 of float32)"
    assert message in refused(lambda: load_generator(tmp_path / "g"))


def test_free_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config(data="folder:/some/where/my cats (2024)")
    assert checkpoint.free_folder(config) == Path("runs/my_cats_2024")
    Path("runs/my_cats_2024").mkdir(parents=True)
    assert checkpoint.free_folder(config) == Path("runs/my_cats_2024-2")


def test_metadata_is_what_other_tools_read(run: Path) -> None:
    """A safetensors file's header is JSON behind eight bytes that give its length."""
    content = run.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["config"])["g_width"] == 4
    assert header[WEIGHT]["shape"] == [8, 8, 4, 4]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_names_that_wrappers_give(prefix: str, tmp_path: Path, tiny: Config) -> None:
    config = tiny.replace(channels=1)
    generator, _ = build_networks(config)
    save(tmp_path / "g", config, {f"{prefix}{name}": tensor for name, tensor in generator.state_dict().items()})
    loaded, _ = load_generator(tmp_path / "g")
    torch.testing.assert_close(loaded.state_dict(), generator.state_dict(), rtol=0, atol=0)


def test_only_whole_parts_of_a_name_are_taken_out() -> None:
    names = ["module.layers.0.weight", "generator.module.0._orig_mod.bias", "submodule.my_module.weight"]
    assert [checkpoint.bare(name) for name in names] == ["layers.0.weight", "generator.0.bias", names[2]]


def test_a_checkpoint_has_both_generators(run: Path, refused) -> None:
    _, tensors, _ = load(run)
    for raw, prefix in ((False, "ema_generator."), (True, "generator.")):
        for source in (run, run.parent):
            if source == run or raw:  # the folder has no generator.safetensors
                state = load_generator(source, raw)[0].state_dict()
                expected = {name: tensors[f"{prefix}{name}"] for name in state}
                torch.testing.assert_close(dict(state), expected, rtol=0, atol=0)
    message = "has no checkpoint-0000007.safetensors: name the folder of a run, and a step that --keep has kept there."
    assert refused(lambda: load_generator(run.parent, step=7)) == f"{run.parent} {message}"
    assert refused(lambda: load_generator("faces64", step=7)) == f"faces64 {message}"
    assert refused(lambda: load_generator("faces64", raw=True)).endswith("averaged generator alone: leave --raw out.")
