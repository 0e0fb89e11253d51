"""A run on disk: written whole or not at all, read without running any code in it, resumed exactly.

Used in notebooks/07_training.ipynb.
"""

import contextlib
import errno
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from dcgan_lib.config import Config, InputError
from dcgan_lib.networks import Generator

FORMAT = 1


def write_file(path: Path | str, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that appears under its name when it is complete and on the disk, never before.

    Args:
        write: gets the open binary file.

    Raises:
        InputError: the folder or the disk does not take it; an earlier file of that name is as it was.
    """
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error}): choose a folder with room that you can write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # where it cannot be deleted, it is not there
            unfinished.unlink()


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk too, where the system lets a folder be opened for that."""
    if os.name != "posix":
        return
    try:
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def remove_stale(folder: Path, idle_seconds: float = 0) -> None:
    """Remove what processes of this machine that were killed left unfinished: *.PID.part files.

    Those of a process that lives stay, and so do all that somebody has written to in the last `idle_seconds`: in a
    folder that machines share, a process of another one cannot be seen from here.
    """
    for unfinished in folder.glob("*.*.part"):
        number = unfinished.name.split(".")[-2]
        with contextlib.suppress(OSError):  # somebody else was faster, or on Windows it is open
            idle = time.time() - unfinished.stat().st_mtime
            if number.isdigit() and not _lives(int(number)) and idle >= idle_seconds:
                unfinished.unlink()


def _lives(process: int) -> bool:
    if os.name != "posix":
        return process == os.getpid()  # there a file that is open cannot be removed, and a signal would kill
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def write_text(path: Path | str, text: str) -> None:
    """`write_file` for UTF-8 text."""
    write_file(path, lambda file: file.write(text.encode()))


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
    if not Path(path).is_file():
        raise InputError(f"There is no checkpoint {path}: give the file that save() or `dcgan_lib train` wrote.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state.pop("format") != FORMAT:
            raise ValueError("another format")
        return Config(**state.pop("config")), state
    except Exception as error:  # a broken file can fail anywhere in the reader
        raise InputError(f"{path} is not a whole checkpoint of this version: give another one.") from error


def save_generator(path: Path | str, generator: nn.Module, config: Config) -> None:
    """Write the generator's weights, with the config in the file's metadata, as safetensors."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in generator.state_dict().items()}
    write_file(path, lambda file: file.write(to_safetensors(weights, {"config": json.dumps(config.to_dict())})))


def load_generator(path: Path | str) -> tuple[Generator, Config]:
    """The generator that `save_generator` wrote, in eval mode on the CPU, and the config of its run.

    Raises:
        InputError: there is no such file, or it holds no generator of ours.
    """
    if not Path(path).is_file():
        raise InputError(f"There is no generator {path}: give the folder that `dcgan_lib train --out` wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            config = Config(**json.loads(file.metadata()["config"]))
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        generator = Generator(config.latent_dim, config.g_width, config.channels, config.image_size)
        generator.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is not a whole generator of this version: give another one.") from error
    return generator.eval(), config
