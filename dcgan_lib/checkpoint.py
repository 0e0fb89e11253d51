"""A run on disk: written whole or not at all, read without running any code in it, resumed exactly.

Used in notebooks/07_training.ipynb.
"""

import io
import json
import stat
from dataclasses import fields
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from dcgan_lib.config import Config, InputError
from dcgan_lib.files import kind_of
from dcgan_lib.networks import Generator
from dcgan_lib.terminal import printable
from dcgan_lib.verify import refuse, tensors_fault
from dcgan_lib.writing import write_file

FORMAT = 1
ZIP = b"PK\x03\x04"
"""How the files of torch.save begin; those of long ago were one pickle, and are not opened."""


def save(path: Path | str, config: Config, state: dict[str, Any]) -> None:
    """Write a checkpoint: the config and a dictionary of tensors, numbers and state_dicts."""
    content = {"format": FORMAT, "config": config.to_dict(), **state}
    whole = io.BytesIO()  # writing to a full disk, torch would turn the OSError into a RuntimeError
    torch.save(content, whole)
    write_file(path, lambda file: file.write(whole.getbuffer()))


def load(path: Path | str) -> tuple[Config, dict[str, Any]]:
    """Read a checkpoint, tensors onto the CPU; no code in the file is run (`weights_only`).

    Raises:
        InputError: there is no such file, or it is no checkpoint of ours.
    """
    _require_file(path, "checkpoint", "the file that save() or `dcgan_lib train` wrote", ZIP)
    if not _whole_zip(path):
        raise InputError(f"{path} is cut short or damaged: copy it again, or give another checkpoint.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors, numbers and text; that may be code and was not run: give another "
            "checkpoint, from somebody whom you trust."
        ) from error
    except Exception as error:  # a file that somebody made up can fail anywhere in the reader
        raise InputError(f"{path} is damaged inside: copy it again, or give another checkpoint.") from error
    if not isinstance(state, dict) or "format" not in state or "config" not in state:
        raise InputError(f"{path} holds tensors, but is not a checkpoint of dcgan_lib: give another one.")
    if (form := repr(state.pop("format"))) != repr(FORMAT):  # whatever it is, it has a text
        raise InputError(
            f"{path} has format {printable(form):.40} and this version reads {FORMAT}: give another checkpoint."
        )
    return _config(path, state.pop("config")), state


def _require_file(path: Path | str, kind: str, which: str, beginning: bytes, place: int = 0) -> None:
    """Raises InputError unless there is a file that can be read and has `beginning` at that place."""
    if kind_of(path) != stat.S_IFREG:
        raise InputError(f"There is no {kind} {path}: give {which}.")
    try:
        with open(path, "rb") as file:
            start = file.read(place + len(beginning))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): change that.") from error
    if not start:
        raise InputError(f"{path} is empty: give another {kind}.")
    if start[place:] != beginning:
        raise InputError(f"{path} is not a {kind} but another kind of file: give another one.")


def _whole_zip(path: Path | str) -> bool:
    """Whether a zip archive is complete, as torch writes it, and holds what its checksums say: torch asks neither."""
    try:
        with ZipFile(path) as archive:
            return all(member.compress_type == ZIP_STORED for member in archive.infolist()) and not archive.testzip()
    except (BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError):  # made up, or gone by now
        return False


def _config(path: Path | str, values: Any) -> Config:
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no config: give another one.")
    if unknown := sorted(map(str, values.keys() - {field.name for field in fields(Config)})):
        raise InputError(
            f"{path} holds a config with {unknown[0]!r:.40}, which this version does not know: use the version of "
            "dcgan_lib that wrote it."
        )
    try:
        return Config(**values)
    except InputError as error:
        raise InputError(
            f"{path} holds a config in which {str(error).rpartition(':')[0]}: give another one."
        ) from error


def save_generator(path: Path | str, generator: nn.Module, config: Config) -> None:
    """Write the generator's weights, with the config in the file's metadata, as safetensors."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in generator.state_dict().items()}
    write_file(path, lambda file: file.write(to_safetensors(weights, {"config": json.dumps(config.to_dict())})))


def load_generator(path: Path | str) -> tuple[Generator, Config]:
    """The generator that `save_generator` wrote, in eval mode on the CPU, and the config of its run.

    Raises:
        InputError: there is no such file, or it holds no generator of ours.
    """
    _require_file(path, "generator", "the folder that `dcgan_lib train --out` wrote", b"{", place=8)
    try:
        content = Path(path).read_bytes()  # safetensors opens no file whose name is not Unicode
        weights: dict[str, Tensor] = from_safetensors(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        told = (header.get("__metadata__") or {}).get("config", "null")
    except Exception as error:  # a file that somebody made up can fail anywhere in the reader
        raise InputError(f"{path} is cut short or damaged: copy it again, or give another generator.") from error
    try:
        values = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} holds no config: give another one.") from error
    config = _config(path, values)
    if config.channels is None:
        raise InputError(f"{path} holds a config without channels: give another one.")
    sizes = config.latent_dim, config.g_width, config.channels, config.image_size
    with torch.device("meta"):  # shapes alone: the sizes are only what the file says
        expected = Generator(*sizes).state_dict()
    refuse(path, "generator", tensors_fault(expected, weights))
    generator = Generator(*sizes)
    generator.load_state_dict(weights)
    return generator.eval(), config
