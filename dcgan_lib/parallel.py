"""Several processes that train one run, as torchrun starts them: who does what, and how they agree.

Every step takes the same pictures and the same z for any number of processes; each process takes its rows of both.
Taught in notebooks/11_speed_and_scale.ipynb.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dcgan_lib.config import InputError

GO_ON = (
    "--resume with --out goes on from the last whole checkpoint in the run's folder, with any number of processes; "
    "where no folder is left, start again without it."
)
APART = (
    "The processes of this run cannot reach each other, or one of them is gone: if they are on several machines, set "
    "GLOO_SOCKET_IFNAME, and for GPUs NCCL_SOCKET_IFNAME, on each machine to the network interface that leads to the "
    "others, such as eth0, and start again."
)
LOST = f"A process of this run is gone, so the others have stopped: {GO_ON}"
STOPPED = f"Ctrl-C has stopped the processes of this run between two pieces of its work: {GO_ON}"


@contextmanager
def team() -> Iterator[None]:
    """Join the processes that torchrun started for as long as the block lasts; without torchrun this does nothing.

    Of several processes that fail, the first alone raises its error; the others leave with status 2, silently.

    Raises:
        InputError: torchrun's variables are not whole, another process is gone or out of reach, or somebody has
            pressed Ctrl-C outside of `interrupt.stop_button`.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    try:
        store, rank, count = next(dist.rendezvous("env://"))
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"The processes of this run cannot meet where torchrun's variables say ({str(error).splitlines()[0]}): "
            "start with torchrun, or unset TORCHELASTIC_RUN_ID to train in one process."
        ) from error
    if os.environ.get("LOCAL_WORLD_SIZE") == str(count):  # torchrun's restarts find what the last attempt left here
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT')}", store)
    try:
        signal.signal(signal.SIGTERM, _stop)  # torchrun's way of telling that another process is gone
        signal.signal(signal.SIGINT, _stop)
        if dist.get_node_local_rank() < torch.cuda.device_count():
            torch.cuda.set_device(dist.get_node_local_rank())
        store.set(f"here {rank}", "")
        while not store.check([f"here {other}" for other in range(count)]):  # torch's own waiting hears no signal
            time.sleep(0.1)
        try:
            dist.init_process_group(store=store, rank=rank, world_size=count)
        except RuntimeError as error:
            raise InputError(APART) from error
        try:
            yield
            dist.barrier()  # whoever is gone by now was lost before the first one had written everything
        except RuntimeError as error:
            if not any(word in str(error) for word in ("gloo", "Gloo", "NCCL", "Connection")):
                raise
            raise InputError(LOST) from error
        dist.destroy_process_group()
    except Exception:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # it ends already
        if store.add("mistakes told", 1) > 1:
            sys.exit(2)
        raise


def _stop(number: int, _frame: Any) -> None:
    raise InputError(STOPPED if number == signal.SIGINT else LOST)


def own(device: torch.device) -> torch.device:
    """The device, if each process of this machine can have one of its kind.

    Raises:
        InputError: it cannot.
    """
    if size() > 1 and device.type == "cuda" and dist.get_node_local_rank() >= (gpus := torch.cuda.device_count()):
        raise InputError(
            f"This machine has too few GPUs: start torchrun with --nproc-per-node {gpus} at most, or add --device cpu."
        )
    if size() > 1 and device.type not in ("cpu", "cuda"):
        raise InputError(f"Several processes cannot share a run on {device.type}: add --device cpu.")
    return device


def wait_for_first() -> None:
    """Until the first process comes to the same place, or is gone, which is an error."""
    dist.barrier()


def size() -> int:
    """How many processes train this run; 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """True in the one process that shows progress and writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def rows(batch_size: int) -> slice:
    """Which rows of a step's batch are this process's: as many as everybody else's, and nobody else's.

    Raises:
        InputError: the batch does not divide, or leaves a process with fewer than 2 pictures.
    """
    share, rest = divmod(batch_size, size())
    if rest or share < 2:
        raise InputError(
            f"A batch of {batch_size} does not go round among {size()} processes: choose a batch_size that is "
            f"a multiple of {size()} and at least {2 * size()}, because batch norm compares pictures."
        )
    start = dist.get_rank() * share if dist.is_initialized() else 0
    return slice(start, start + share)


def replicate(network: nn.Module) -> nn.Module:
    """The network for use in a step: its backward pass leaves the gradient's average over all processes.

    Batch norm's running statistics, which serve sampling, are the first process's.
    """
    return DistributedDataParallel(network) if dist.is_initialized() else network


def local(network: nn.Module) -> AbstractContextManager:
    """Forward passes in this block keep their gradients to this process until the next pass outside of it."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def average(values: Tensor) -> Tensor:
    """The average over all processes, on the tensor's device."""
    if dist.is_initialized():
        dist.all_reduce(values)
        values /= size()
    return values


def agree(seconds: float, stop: bool) -> tuple[float, bool]:
    """The first process's seconds, and whether any process is to stop: clocks differ, and Ctrl-C may reach one alone.

    On the CPU, so that no accelerator's queue has to run empty.
    """
    if not dist.is_initialized():
        return seconds, stop
    shared = torch.tensor([seconds if is_first() else 0, stop], dtype=torch.float64)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return shared[0].item(), bool(shared[1])


@contextmanager
def one_decodes() -> Iterator[None]:
    """One process of each machine goes through the block before the others, so that they find its cache."""
    if dist.is_initialized() and dist.get_node_local_rank() > 0:
        dist.barrier()
    yield
    if dist.is_initialized() and dist.get_node_local_rank() == 0:
        dist.barrier()
