"""The table of bad input, part 4: checkpoints and generators that are broken, made up, or of something else."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as to_safetensors

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import load, load_generator, save_generator
from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet
from dcgan_lib.networks import Generator
from dcgan_lib.trainer import Trainer

WEIGHT = "layers.0.weight"


@pytest.fixture
def run(tiny: Config, pictures: PictureSet, tmp_path: Path) -> Path:
    """The checkpoint of a step."""
    trainer = Trainer(tiny, pictures)
    trainer.step()
    trainer.save(tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def flipped(content: bytes) -> bytes:
    """One bit changed in a tensor, which torch would not notice."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        place = next(member.header_offset for member in archive.infolist() if member.filename.endswith("/data/0")) + 300
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def deflated(path: Path) -> None:
    """The same archive, compressed: a small file may then become a huge one."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


DAMAGED = "is cut short or damaged: copy it again, or give another checkpoint."
ANOTHER = "is not a checkpoint but another kind of file: give another one."
BYTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda whole: b"", "is empty: give another checkpoint."),
    "a third missing": (lambda whole: whole[: len(whole) * 2 // 3], DAMAGED),
    "the last byte missing": (lambda whole: whole[:-1], DAMAGED),
    "only the beginning": (lambda whole: whole[:4], DAMAGED),
    "the beginning missing": (lambda whole: whole[100:], ANOTHER),
    "a bit flipped": (flipped, DAMAGED),
    "zeros at the end": (lambda whole: whole[:-2000] + bytes(2000), DAMAGED),
    "text": (lambda whole: b"once upon a time", ANOTHER),
    "a web page": (lambda whole: b"<!DOCTYPE html><title>404</title>", ANOTHER),
    "a picture": (lambda whole: b"\x89PNG\r\n\x1a\n" + bytes(99), ANOTHER),
    "a bare pickle": (lambda whole: pickle.dumps({"format": 1}), ANOTHER),
    "a generator": (lambda whole: to_safetensors({"weights": torch.ones(3)}), ANOTHER),
}


@pytest.mark.parametrize("case", BYTES)
def test_bytes_of_a_checkpoint(case: str, run: Path, refused, pictures: PictureSet) -> None:
    change, message = BYTES[case]
    run.write_bytes(change(run.read_bytes()))
    assert refused(lambda: Trainer.load(run, pictures)) == f"{run} {message}"


@pytest.mark.parametrize("name", ["nowhere.pt", ".", "x" * 5000, "a\0b"])
def test_no_checkpoint(name: str, refused, tmp_path: Path) -> None:
    path = tmp_path / name
    said = "the file that save() or `dcgan_lib train` wrote"
    assert refused(lambda: load(path)) == f"There is no checkpoint {path}: give {said}."
    said = "the folder that `dcgan_lib train --out` wrote"
    assert refused(lambda: load_generator(path)) == f"There is no generator {path}: give {said}."


@pytest.mark.parametrize("read", [load, load_generator])
def test_file_that_may_not_be_read(read: Callable, refused, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied", str(run))

    monkeypatch.setattr(checkpoint, "open", refuse, raising=False)
    assert refused(lambda: read(run)) == f"{run} cannot be read (Permission denied): change that."


@pytest.mark.parametrize("read", [load, load_generator])
def test_file_in_a_folder_that_nobody_may_enter(read: Callable, refused, close, run: Path) -> None:
    close(run.parent)
    said = f"{run} cannot be reached (Permission denied): change the permissions of the folders that it lies in."
    assert refused(lambda: read(run)) == said


def test_compressed_checkpoint(run: Path, refused) -> None:
    deflated(run)
    assert refused(lambda: load(run)) == f"{run} {DAMAGED}"


class Malicious:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


PLACES = ["config", "history", "generator", "g_optimizer", "anything", "format"]


@pytest.mark.parametrize("place", PLACES)
def test_code_in_a_checkpoint_is_not_run(place: str, run: Path, refused, tmp_path: Path, pictures: PictureSet) -> None:
    state = torch.load(run, weights_only=True)
    state[place] = {"trap": Malicious(tmp_path / "trapped")}
    torch.save(state, run)
    message = refused(lambda: Trainer.load(run, pictures))
    assert message.startswith(f"{run} holds more than tensors, numbers and text; that may be code and was not run: ")
    assert not (tmp_path / "trapped").exists()
    torch.load(run, weights_only=False)
    assert (tmp_path / "trapped").exists()  # the trap does work where it is let


def within(*keys: Any, value: Any) -> Callable[[dict], None]:
    """A change to one entry of a nested dictionary; None takes it out."""

    def change(state: dict) -> None:
        *path, last = keys
        for key in path:
            state = state[key]
        if value is None:
            del state[last]
        else:
            state[last] = value

    return change


def replaced(*keys: Any, by: Callable[[torch.Tensor], Any]) -> Callable[[dict], None]:
    def change(state: dict) -> None:
        *path, last = keys
        for key in path:
            state = state[key]
        state[last] = by(state[last])

    return change


def poisoned(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def poison(tensor: torch.Tensor) -> torch.Tensor:
        tensor[(0,) * tensor.dim()] = value
        return tensor

    return poison


MISFIT = "does not fit the networks of its own config "
OPTIMISER, OTHER = "(the generator's optimiser: ", "(the other optimiser: "
BROKEN_DOWN = "holds NaN or infinity, so this run had broken down before it was saved): give another one."
CONFIG_WITH = "holds a config in which "
OURS = "holds tensors, but is not a checkpoint of dcgan_lib: give another one."
STATE = {
    "format missing": (within("format", value=None), OURS),
    "config missing": (within("config", value=None), OURS),
    "format 2": (within("format", value=2), "has format 2 and this version reads 1: give another checkpoint."),
    "format of text": (within("format", value="1"), "has format '1' and this version reads 1"),
    "format of a tensor": (within("format", value=torch.ones(9)), "has format tensor("),
    "config of text": (within("config", value="laptop"), "holds no config: give another one."),
    "unknown field": (within("config", "colour", value=1), "holds a config with 'colour', which this version does not"),
    "field without a name": (within("config", 3, value=1), "holds a config with '3', which this version does not know"),
    "field out of range": (
        within("config", "lr", value=-1.0),
        f"{CONFIG_WITH}lr must be a number above 0, and -1.0",
    ),
    "field of text": (within("config", "g_width", value="4"), f"{CONFIG_WITH}g_width must be of type int, and '4' is"),
    "field of a tensor": (within("config", "seed", value=torch.ones(2)), f"{CONFIG_WITH}seed must be of type int, and"),
    "other width": (
        within("config", "g_width", value=5),
        f"{MISFIT}(generator: {WEIGHT} should be 8x10x4x4 of float32 and is 8x8x4x4 of float32): give another one.",
    ),
    "terabytes": (within("config", "g_width", value=65536), "should be 8x131072x4x4 of float32 and is 8x8x4x4"),
    "other latent_dim": (within("config", "latent_dim", value=9), f"{MISFIT}(generator: {WEIGHT} should be 9x8x4x4 of"),
    "other discriminator": (
        within("config", "d_width", value=2),
        f"{MISFIT}(discriminator: {WEIGHT} should be 2x1x4x4 of float32 and is 3x1x4x4 of float32): give another one.",
    ),
    "generator missing": (within("generator", value=None), f"{MISFIT}(generator: generator is missing)"),
    "generator of text": (within("generator", value="x"), f"{MISFIT}(generator: there are no tensors)"),
    "tensor missing": (
        within("generator", WEIGHT, value=None),
        f"{MISFIT}(generator: the tensor {WEIGHT} is missing): give another one.",
    ),
    "tensor too many": (
        within("discriminator", "layers.9.weight", value=torch.ones(3)),
        f"{MISFIT}(discriminator: there is no place for the tensor layers.9.weight): give another one.",
    ),
    "number for a tensor": (within("generator", WEIGHT, value=3), f"{MISFIT}(generator: {WEIGHT} should be 8x8x4x4"),
    "other shape": (replaced("generator", WEIGHT, by=lambda t: t[:, :3]), "and is 8x3x4x4 of float32)"),
    "other order of axes": (replaced("generator", WEIGHT, by=lambda t: t.reshape(-1)), "and is 1024 of float32)"),
    "float64": (replaced("generator", WEIGHT, by=lambda t: t.double()), "and is 8x8x4x4 of float64)"),
    "whole numbers": (replaced("generator", WEIGHT, by=lambda t: t.long()), "and is 8x8x4x4 of int64)"),
    "sparse": (replaced("generator", WEIGHT, by=lambda t: t.to_sparse()), "and is a Tensor)"),
    "nothing behind it": (replaced("generator", WEIGHT, by=lambda t: t.to("meta")), "should be 8x8x4x4"),
    "NaN in a weight": (
        replaced("generator", WEIGHT, by=poisoned(float("nan"))),
        f"{MISFIT}(generator: {WEIGHT} {BROKEN_DOWN}",
    ),
    "infinity in a weight": (
        replaced("discriminator", WEIGHT, by=poisoned(float("-inf"))),
        f"{MISFIT}(discriminator: {WEIGHT} {BROKEN_DOWN}",
    ),
    "NaN in a running mean": (
        replaced("generator", "layers.1.running_mean", by=poisoned(float("nan"))),
        f"{MISFIT}(generator: layers.1.running_mean {BROKEN_DOWN}",
    ),
    "optimiser missing": (within("g_optimizer", value=None), f"{MISFIT}{OPTIMISER}"),
    "optimiser of text": (within("g_optimizer", value="adam"), f"{OPTIMISER}this is not the state of an Adam)"),
    "optimiser without groups": (within("d_optimizer", "param_groups", value=None), f"{OTHER}this is not the state of"),
    "two groups": (within("g_optimizer", "param_groups", value=[{}, {}]), f"{OPTIMISER}this is not the state of an"),
    "group without settings": (within("g_optimizer", "param_groups", value=[{}]), f"{OPTIMISER}its betas is missing)"),
    "other eps": (within("g_optimizer", "param_groups", 0, "eps", value="x"), f"{OPTIMISER}its eps should be 1e-08)"),
    "another algorithm": (
        within("d_optimizer", "param_groups", 0, "amsgrad", value=True),
        f"{OTHER}its amsgrad should be False)",
    ),
    "weights in another order": (
        replaced("g_optimizer", "param_groups", 0, "params", by=lambda numbers: numbers[::-1]),
        f"{OPTIMISER}its params should be [0, 1, 2",
    ),
    "moments of another weight": (
        replaced("g_optimizer", "state", 0, "exp_avg", by=lambda t: t[:2]),
        f"{OPTIMISER}of weight 0 exp_avg should be 8x8x4x4 of float32 and is 2x8x4x4 of float32)",
    ),
    "moments missing": (
        within("g_optimizer", "state", 0, "exp_avg_sq", value=None),
        f"{OPTIMISER}of weight 0 the tensor exp_avg_sq is missing)",
    ),
    "moments without a weight": (within("d_optimizer", "state", 99, value={}), f"{OTHER}its moments are not those of"),
    "moments of one weight missing": (
        within("g_optimizer", "state", 2, value=None),
        f"{OPTIMISER}its moments are not those of these weights): give another one.",
    ),
    "a step before the first": (
        within("g_optimizer", "state", 0, "step", value=torch.tensor(-1.0)),
        f"{OPTIMISER}of weight 0 the steps or the squares are negative)",
    ),
    "a negative square": (
        replaced("d_optimizer", "state", 0, "exp_avg_sq", by=poisoned(-1.0)),
        f"{OTHER}of weight 0 the steps or the squares are negative)",
    ),
    "all moments missing": (
        lambda state: [state[name].update(state={}) for name in ("g_optimizer", "d_optimizer")],
        f"{MISFIT}(history: its 1 steps are not those that the optimisers have taken): give another one.",
    ),
    "moments of text": (within("d_optimizer", "state", 0, value="x"), f"{OTHER}this is not the state of an Adam)"),
    "NaN in a moment": (
        replaced("d_optimizer", "state", 0, "exp_avg", by=poisoned(float("nan"))),
        f"{OTHER}of weight 0 exp_avg {BROKEN_DOWN}",
    ),
    "history missing": (within("history", value=None), f"{MISFIT}(history: it is not a table of 5 columns)"),
    "history emptied": (
        replaced("history", by=lambda t: t[:0]),
        f"{MISFIT}(history: its 0 steps are not those that the optimisers have taken): give another one.",
    ),
    "NaN in the history": (replaced("history", by=poisoned(float("nan"))), f"{MISFIT}(history: {BROKEN_DOWN}"),
    "pictures of text": (within("pictures", value="x"), "was trained on other pictures than noise holds now"),
    "NaN for pictures": (replaced("pictures", by=poisoned(float("nan"))), "was trained on other pictures than noise"),
    "sparse pictures": (replaced("pictures", by=lambda t: t.to_sparse()), "was trained on other pictures than noise"),
    "history of text": (within("history", value="x"), f"{MISFIT}(history: it is not a table of 5 columns)"),
    "history of 4 columns": (within("history", value=torch.ones(2, 4)), f"{MISFIT}(history: it is not a table of 5"),
    "history without columns": (within("history", value=torch.ones(5)), f"{MISFIT}(history: it is not a table of 5"),
    "history of a billion steps": (
        within("history", value=torch.ones(1, 5).expand(10**9, 5)),
        f"{MISFIT}(history: it is not a table of 5 columns): give another one.",
    ),
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("case", STATE)
def test_state_of_a_checkpoint(case: str, run: Path, refused, pictures: PictureSet) -> None:
    change, message = STATE[case]
    state = torch.load(run, weights_only=True)
    change(state)
    torch.save(state, run)
    said = refused(lambda: Trainer.load(run, pictures))
    assert said.startswith(f"{run} ")
    assert message in said


def test_what_may_differ(run: Path, pictures: PictureSet) -> None:
    """Rates are the config's, `fused` is the machine's, and a player who stood still has no moments."""
    state = torch.load(run, weights_only=True)
    group = state["g_optimizer"]["param_groups"][0]
    group |= {"fused": None, "lr": 7.0, "betas": (0.0, 0.0)}
    del group["maximize"]
    state["d_optimizer"]["state"] = {}
    del state["pictures"]  # early checkpoints have none
    torch.save(state, run)
    Trainer.load(run, pictures).step()


def header(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


NO_GENERATOR = "is not a generator but another kind of file: give another one."
CUT = "is cut short or damaged: copy it again, or give another generator."
TWO = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
TENSOR = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
GENERATORS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda whole: b"", "is empty: give another generator."),
    "8 bytes": (lambda whole: whole[:8], NO_GENERATOR),
    "cut in the header": (lambda whole: whole[:100], CUT),
    "cut in the weights": (lambda whole: whole[:-1], CUT),
    "too long": (lambda whole: whole + b"\0", CUT),
    "text": (lambda whole: b"once upon a time", NO_GENERATOR),
    "a web page": (lambda whole: b"<!DOCTYPE html><title>404</title>", NO_GENERATOR),
    "a checkpoint": (lambda whole: b"PK\x03\x04" + bytes(99), NO_GENERATOR),
    "endless header": (lambda whole: struct.pack("<Q", 2**62) + b"{}", CUT),
    "header that is no JSON": (lambda whole: header(b"{not json}"), CUT),
    "overlapping tensors": (
        lambda whole: header(TWO) + bytes(4),
        CUT,
    ),
    "a type that torch has not": (lambda whole: header(TENSOR.replace(b"F32", b"F4")) + bytes(4), CUT),
    "no config": (lambda whole: header(TENSOR) + bytes(4), "holds no config: give another one."),
}


@pytest.mark.parametrize("case", GENERATORS)
def test_bytes_of_a_generator(case: str, refused, tmp_path: Path, tiny: Config) -> None:
    change, message = GENERATORS[case]
    path = tmp_path / "generator.safetensors"
    save_generator(path, Generator(8, 4, 1, 16), tiny.replace(channels=1))
    path.write_bytes(change(path.read_bytes()))
    assert refused(lambda: load_generator(path)) == f"{path} {message}"


FIELDS = {"latent_dim": 8, "g_width": 4, "channels": 1, "image_size": 16}
CONFIGS = {
    "no JSON": ("{", "holds no config: give another one."),
    "endless JSON": ("[" * 99_999, "holds no config: give another one."),
    "a number of 5,000 digits": ("9" * 5000, "holds no config: give another one."),
    "null": ("null", "holds no config: give another one."),
    "a list": ("[1]", "holds no config: give another one."),
    "unknown field": (
        FIELDS | {"colour": 1},
        "holds a config with 'colour', which this version does not know: use",
    ),
    "NaN": (FIELDS | {"lr": float("nan")}, "holds a config in which lr must be a number above 0, and nan is not: give"),
    "text for a number": (FIELDS | {"g_width": "4"}, "holds a config in which g_width must be of type int, and '4' is"),
    "no channels": (FIELDS | {"channels": None}, "holds a config without channels: give another one."),
    "more colours": (FIELDS | {"channels": 3}, "(generator: layers.6.weight should be 4x3x4x4 of float32 and is 4x1"),
    "terabytes": (
        FIELDS | {"g_width": 65536},
        f"(generator: {WEIGHT} should be 8x131072x4x4 of float32 and is 8x8x4x4",
    ),
    "larger pictures": (FIELDS | {"image_size": 32}, f"{MISFIT}(generator: the tensor layers.7.bias is missing)"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_config_of_a_generator(case: str, refused, tmp_path: Path) -> None:
    told, message = CONFIGS[case]
    path, weights = tmp_path / "generator.safetensors", Generator(8, 4, 1, 16).state_dict()
    path.write_bytes(to_safetensors(weights, {"config": told if isinstance(told, str) else json.dumps(told)}))
    said = refused(lambda: load_generator(path))
    assert said.startswith(f"{path} ")
    assert message in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_generator_that_has_broken_down(value: float, refused, tmp_path: Path) -> None:
    path, weights = tmp_path / "generator.safetensors", Generator(8, 4, 1, 16).state_dict()
    weights["layers.3.weight"].flatten()[5] = value
    path.write_bytes(to_safetensors(weights, {"config": json.dumps(FIELDS)}))
    assert refused(lambda: load_generator(path)) == f"{path} {MISFIT}(generator: layers.3.weight {BROKEN_DOWN}"
