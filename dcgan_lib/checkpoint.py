"""A run on disk: safetensors files that are whole or not there, hold no code, and resume exactly.

Used in notebooks/07_training.ipynb.
"""

import hashlib
import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.optim import Adam

from dcgan_lib.config import Config
from dcgan_lib.networks import Generator
from dcgan_lib.utils.errors import InputError, require
from dcgan_lib.utils.files import write_file

CHECKPOINT = "checkpoint.safetensors"
"""All that a run needs to go on, in its folder."""
GENERATOR = "generator.safetensors"
"""The generator alone, in a run's folder."""
TRAINED = Path(__file__).resolve().parent.parent / "assets" / "generators"
NUMBER = "[0-9]" * 7
"""The number of a step in a file's name."""
NETWORKS = ("generator", "discriminator", "ema_generator")
MISFIT = "does not fit the networks of its own config ({}): give another one."
FORMAT = "dcgan_lib 2"


def save(path: Path | str, config: Config, tensors: dict[str, Tensor], **notes: Any) -> None:
    """Write tensors, a config and notes under a name that appears when the file is complete.

    Raises:
        InputError: see `utils.files.write_file`.
    """
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    metadata = {name: str(value) for name, value in notes.items()}
    metadata |= {"format": FORMAT, "config": json.dumps(config.to_dict()), "sha256": _checksum(tensors)}
    write_file(path, lambda file: file.write(to_safetensors(tensors, metadata)))


def load(path: Path | str) -> tuple[Config, dict[str, Tensor], dict[str, str]]:
    """Read a file that `save` wrote: its config, its tensors on the CPU, and its notes.

    Raises:
        InputError: there is no such file, or it is not one of ours, damaged, or of another version.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give the folder that train wrote.") from error
    try:
        tensors = from_safetensors(content)
        notes = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    except SafetensorError as error:
        raise InputError(f"{path} is cut short, damaged or another kind of file: give another one.") from error
    require(notes.get("format") == FORMAT, f"{path} is no file of this version of dcgan_lib: give another one.")
    require(notes["sha256"] == _checksum(tensors), f"{path} is damaged: copy it again, or give another one.")
    return parse_config(path, notes["config"]), {bare(name): values for name, values in tensors.items()}, notes


def bare(name: str) -> str:
    """A tensor's name without what `DataParallel`, `DistributedDataParallel` and `torch.compile` put into it."""
    return re.sub(r"(?<![^.])(module|_orig_mod)\.", "", name)


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def parse_config(path: Path | str, text: str) -> Config:
    """The config in a file's JSON; raises InputError where it is none of this version."""
    try:
        return Config(**json.loads(text))
    except (TypeError, ValueError) as error:
        fault = str(error).partition(":")[0].removeprefix("Config.__init__() ")
        raise InputError(f"{path} holds no config of this version ({fault}): give another file.") from error


def tensors_of(**parts: nn.Module | Adam) -> dict[str, Tensor]:
    """What networks and optimizers consist of, such as "generator.layers.0.weight" or "g_optimizer.0.exp_avg".

    These are no copies: writing into them changes the network or the optimizer.
    """
    tensors = {}
    for name, part in parts.items():
        state = part.state_dict()
        if isinstance(part, Adam):
            state = {f"{i}.{key}": values for i, moments in state["state"].items() for key, values in moments.items()}
        tensors |= {bare(f"{name}.{key}"): values for key, values in state.items()}
    return tensors


def require_fit(path: Path | str, tensors: dict[str, Tensor], expected: dict[str, Tensor], end: str = MISFIT) -> None:
    """Refuse a file before anything of it is loaded; the sentence's `end` has {} for the fault.

    Raises:
        InputError: a tensor is missing, there is no place for one, one has another shape or type than the expected
            one, or holds NaN or infinity.
    """
    fault = next((f"there is no place for {name}" for name in tensors if name not in expected), None)
    for name, like in expected.items():
        if name not in tensors:
            fault = f"{name} is missing"
        elif (tensors[name].shape, tensors[name].dtype) != (like.shape, like.dtype):
            fault = f"{name} should be {_describe(like)} and is {_describe(tensors[name])}"
        elif not tensors[name].isfinite().all():
            fault = f"{name} holds NaN or infinity, so this run had broken down before it was saved"
        if fault:
            raise InputError(f"{path} {end.format(fault)}")


def _describe(tensor: Tensor) -> str:
    return f"{'x'.join(map(str, tensor.shape)) or 'one number'} of {str(tensor.dtype).removeprefix('torch.')}"


def save_generator(path: Path | str, generator: nn.Module, config: Config, half: bool = False) -> None:
    """Write a generator alone: the weights that `load_generator` and other tools read.

    Args:
        half: round them to float16, which takes half the space and changes no picture that one could tell.
    """
    tensors = generator.state_dict()
    save(path, config, {name: t.half() if half and t.is_floating_point() else t for name, t in tensors.items()})


def load_weights(run: Path | str, file: str) -> tuple[Path, Config, dict[str, Tensor]]:
    """A run's file, its config, and its networks' weights, float32, such as "discriminator.layers.0.weight".

    Args:
        run: a file that `save_generator` or `Trainer.save` wrote, the folder of a run, or the name of one of
            `trained_generators()`; the first and the last hold a generator alone.
        file: which one of the folder.

    Raises:
        InputError: there is no such run, file or name, or it is broken.
    """
    path = _file(Path(run), file)
    config, tensors, _ = load(path)
    prefix = "" if "history" in tensors else "generator."
    weights = {f"{prefix}{name}": t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    return path, config, {name: t for name, t in weights.items() if name.partition(".")[0] in NETWORKS}


def load_generator(run: Path | str, raw: bool = False, step: int | None = None) -> tuple[Generator, Config]:
    """A trained generator, in eval mode on the CPU, float32, and the config of its run.

    Args:
        run: see `load_weights`.
        raw: of a run whose config has `ema_decay`, the trained generator instead of the averaged one.
        step: of the folder of a run, an earlier step whose checkpoint has been kept.

    Raises:
        InputError: there is no such run, file, name or step, or it holds no such generator.
    """
    path, config, weights = load_weights(run, checkpoint_name(step) if raw or step is not None else GENERATOR)
    whole = any(name.startswith("discriminator.") for name in weights)
    require(whole or not (raw and config.ema_decay), f"{path} holds the averaged generator alone: leave --raw out.")
    prefix = "ema_generator." if whole and config.ema_decay and not raw else "generator."
    tensors = {name.removeprefix(prefix): t for name, t in weights.items() if name.startswith(prefix)}
    generator = Generator(config.latent_dim, config.g_width, config.channels or 3, config.image_size)
    require_fit(path, tensors, generator.state_dict())
    generator.load_state_dict(tensors)
    return generator.eval(), config


def checkpoint_name(step: int | None = None) -> str:
    """The file of the checkpoint that was kept of a step; left out, of the last one."""
    return CHECKPOINT if step is None else f"checkpoint-{step:07d}.safetensors"


def trained_generators() -> dict[str, Path]:
    """The generators that come with the project, by name (`make generators` trains them)."""
    return {path.stem: path for path in sorted(TRAINED.glob("*.safetensors"))}


def _file(run: Path, file: str) -> Path:
    here = (run / file).exists() or file in (CHECKPOINT, GENERATOR)
    kept = ", ".join(str(int(path.stem.partition("-")[2])) for path in sorted(run.glob("checkpoint-*.safetensors")))
    advice = (
        f"it kept steps {kept}, and the last one needs no --step"
        if kept
        else "name the folder of a run, and a step that --keep has kept there"
    )
    require(here, f"{run} has no {file}: {advice}.")
    if run.is_dir():
        return run / file
    names = trained_generators()
    known = run.exists() or str(run) in names or run.suffix
    others = ", or one of " + ", ".join(names) if names else ""  # an installed wheel has none
    require(known, f"There is no run {run}: give the folder that train wrote{others}.")
    return names.get(str(run), run)


def free_folder(config: Config) -> Path:
    """Where a new run is written: runs/NAME, or runs/NAME-2, -3 ... where that is taken."""
    stem = re.sub(r"\W+", "_", Path(config.data).name).strip("_")[:60] or "run"
    numbered = (Path("runs") / (stem if i == 1 else f"{stem}-{i}") for i in count(1))
    return next(folder for folder in numbered if not folder.exists())
