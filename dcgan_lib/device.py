"""Where a run computes, in which precision, and how its pictures get there."""

import torch
from torch import Tensor, nn
from torch.optim import Adam

from dcgan_lib.config import Config, InputError


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is the accelerator (CUDA, MPS ...) where there is one, else the CPU.

    Raises:
        InputError: this machine has no such device.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # "meta" makes tensors too, but none with numbers in it
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        here = f"cpu or {accelerator.type}" if accelerator else "cpu"
        raise InputError(f"This machine cannot use the device {name!r}: choose {here}.") from error
    return device


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What convolutions are computed in: float32, or bfloat16 where asked for or ("auto") where it is the faster.

    Raises:
        InputError: the device has no bfloat16.
    """
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":  # AMX tiles or AVX512-BF16; elsewhere the CPU emulates bfloat16 slowly
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private, so a missing one counts as no
        fast = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    else:
        fast = False
    if precision == "bfloat16" and not fast and device.type != "cpu":
        raise InputError(f"The device {device} has no bfloat16: choose precision float32 or auto.")
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and fast) else torch.float32


def adam(network: nn.Module, config: Config) -> Adam:
    """The config's Adam for a network that is on its device: one pass over the weights where that one can."""
    fused = next(network.parameters()).device.type in ("cpu", "cuda")  # elsewhere a dozen passes
    return Adam(network.parameters(), config.lr, (config.beta1, config.beta2), fused=fused)


def resident(images: Tensor, device: torch.device) -> Tensor:
    """All pictures in the GPU's memory where they take at most a quarter of what is free there, else as they are."""
    if (
        device.type != "cuda"
        or not isinstance(images, Tensor)
        or 4 * images.nbytes > torch.cuda.mem_get_info(device)[0]
    ):
        return images
    return images.to(device)


def send(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on its way to the device; a GPU goes on computing meanwhile."""
    if device.type == "cuda" and batch.device.type == "cpu":
        batch = batch.pin_memory()  # only from such memory does a GPU fetch by itself
    return batch.to(device, non_blocking=True)
