"""Whether what a file holds fits what it is to be loaded into: names, shapes, kinds, and only finite numbers.

Used by `checkpoint` and `trainer`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from dcgan_lib.config import InputError
from dcgan_lib.history import COLUMNS
from dcgan_lib.pictures import PictureSet

MOMENTS = ("exp_avg", "exp_avg_sq")
NEEDED = {"params", "lr", "betas", "eps", "weight_decay"}
"""What of Adam's settings every torch writes; for the others there are defaults."""
OWN_SETTINGS = ("lr", "betas", "fused")
"""What of them follows from the config or the machine, and may be another one in a file."""

BROKEN = "holds NaN or infinity, so this run had broken down before it was saved"


def require_fit(path: Path | str, state: dict[str, Any], targets: dict[str, Any]) -> None:
    """Refuse a checkpoint before anything of it is loaded.

    Args:
        state: what the file holds.
        targets: for each name the network or the optimiser that is to take the entry of that name.

    Raises:
        InputError: an entry is missing, does not fit, or holds NaN or infinity.
    """
    for name, target in targets.items():
        if name not in state:
            fault = f"{name} is missing"
        elif isinstance(target, nn.Module):
            fault = tensors_fault(target.state_dict(), state[name])
        else:
            fault = _adam_fault(target, state[name]) if isinstance(target, Adam) else None
        refuse(path, name, fault)
    rows = state.get("history")
    if _kind(rows) != (torch.float32, 2, "cpu") or rows.shape[1] != len(COLUMNS) or not rows.is_contiguous():
        refuse(path, "history", f"it is not a table of {len(COLUMNS)} columns")
    if not rows.isfinite().all():
        refuse(path, "history", BROKEN)
    if bool(len(rows)) != any(state[name]["state"] for name, target in targets.items() if isinstance(target, Adam)):
        refuse(path, "history", f"its {len(rows)} steps are not those that the optimisers have taken")


def require_same(path: Path | str, saved: Any, pictures: PictureSet) -> None:
    """Raises InputError where the signature in a checkpoint, which early ones have not, is not these pictures'.

    Processors and versions of PIL round differently, so half a grey level is no difference.
    """
    ours = pictures.signature
    if saved is not None and (_tensor_fault(ours, saved) or (saved - ours).abs().max() >= 0.5):
        raise InputError(
            f"{path} was trained on other pictures than {pictures.name} holds now, so it cannot go on as the same run: "
            "bring back those, or start a new run."
        )


def require_changeable(changes: Iterable[str], free: tuple[str, ...]) -> None:
    """Raises InputError where a field of a config is to change that is not among the free ones."""
    if fixed := [name for name in changes if name not in free]:
        raise InputError(f"{fixed[0]} cannot change during a run: start a new Trainer with it.")


def refuse(path: Path | str, name: str, fault: str | None) -> None:
    """Raises InputError where there is a fault."""
    if fault:
        name = name.replace("g_optimizer", "the generator's optimiser").replace("d_optimizer", "the other optimiser")
        raise InputError(f"{path} does not fit the networks of its own config ({name}: {fault}): give another one.")


def tensors_fault(expected: dict[str, Tensor], given: Any) -> str | None:
    """What keeps tensors from being loaded into those of `expected`, in a few words; None where nothing does."""
    if not isinstance(given, dict):
        return "there are no tensors"
    if missing := sorted(expected.keys() - given.keys()):
        return f"the tensor {missing[0]} is missing"
    if extra := sorted(map(str, given.keys() - expected.keys())):
        return f"there is no place for the tensor {extra[0]}"
    for name, tensor in expected.items():
        if fault := _tensor_fault(tensor, given[name]):
            return f"{name} {fault}"
    return None


def _tensor_fault(expected: Tensor, given: Any) -> str | None:
    if _kind(given) != (expected.dtype, expected.dim(), "cpu") or given.shape != expected.shape:
        return f"should be {_describe(expected)} and is {_describe(given)}"
    if not given.isfinite().all():
        return BROKEN
    return None


def _adam_fault(optimizer: Adam, given: Any) -> str | None:
    own = optimizer.state_dict()["param_groups"][0]
    weights = optimizer.param_groups[0]["params"]
    try:
        (theirs,), state = given["param_groups"], given["state"]
        moments = {int(number): dict(entry) for number, entry in state.items()}
        settings = {key: theirs[key] for key in own if key in theirs and key not in OWN_SETTINGS}
    except (TypeError, KeyError, ValueError, AttributeError, RuntimeError):
        return "this is not the state of an Adam"
    if missing := sorted(NEEDED - theirs.keys()):
        return f"its {missing[0]} is missing"
    for key, value in settings.items():
        if repr(value) != repr(own[key]):  # whatever it is, it has a text
            return f"its {key} should be {own[key]!r}"
    if moments and moments.keys() != set(range(len(weights))):  # none at all: this player has stood still
        return "its moments are not those of these weights"
    for number, entry in moments.items():
        wanted = {"step": torch.tensor(0.0)} | dict.fromkeys(MOMENTS, weights[number])
        if fault := tensors_fault(wanted, entry):
            return f"of weight {number} {fault}"
        if entry["step"] < 1 or entry["exp_avg_sq"].min() < 0:
            return f"of weight {number} the steps or the squares are negative"
    return None


def _kind(given: Any) -> tuple[torch.dtype, int, str] | None:
    """Type, number of dimensions and place of an ordinary tensor; None for all else."""
    plain = isinstance(given, Tensor) and given.layout is torch.strided
    return (given.dtype, given.dim(), given.device.type) if plain else None


def _describe(given: Any) -> str:
    if _kind(given) is None:
        return f"a {type(given).__name__}"
    shape = "x".join(map(str, given.shape)) or "one number"
    return f"{shape} of {str(given.dtype).removeprefix('torch.')}"
