"""Where a run computes, in which precision, and on how many threads."""

import os

import torch
from torch import Tensor, nn

from dcgan_lib.utils.errors import InputError

SMALL = 8
"""On a machine with at most so many cores, one of them is left to the browser and everything else."""


def threads(default: int, chosen: bool) -> int:
    """On how many threads torch computes: its own default, less one on a small machine.

    A step is hundreds of short parallel regions, and each waits for its slowest thread. On two cores that share with
    one other busy process, a browser for instance, two threads are many times slower than one. The rule looks at the
    machine and not at its load, because another number of threads rounds differently and would be another run.

    Args:
        default: what torch would take.
        chosen: whether the reader has chosen that number (`OMP_NUM_THREADS`).
    """
    return default - 1 if not chosen and 2 <= default <= SMALL else default


# Once for the process, so that a later torch.set_num_threads of the reader's own stays.
torch.set_num_threads(threads(torch.get_num_threads(), "OMP_NUM_THREADS" in os.environ))


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
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":  # AMX tiles or AVX512-BF16; elsewhere the CPU emulates bfloat16 slowly
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private, so a missing one counts as no
        fast = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    if precision == "bfloat16" and not fast and device.type != "cpu":
        raise InputError(f"The device {device} has no bfloat16: choose precision float32 or auto.")
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and fast) else torch.float32


class Autocast(nn.Module):
    """A network whose forward pass is computed in another precision; its weights, and losses of it, stay float32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.network(inputs)
