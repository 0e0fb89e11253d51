"""Several processes that train one run, as torchrun starts them: who does what, and how they agree.

Every step takes the same images and the same z for any number of processes; each process takes its rows of both.
Taught in notebooks/11_speed_and_scale.ipynb.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from threading import Event

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dcgan_lib.utils.errors import InputError, require

LOST = "A process is gone or out of reach: go on with --resume, or name the network in GLOO_ or NCCL_SOCKET_IFNAME."


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started for as long as the block lasts; without torchrun this does nothing.

    The first process that fails raises its error, and so says why; the others leave with status 2, silently.

    Raises:
        InputError: a process is gone or out of reach.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    if dist.get_node_local_rank() < torch.cuda.device_count():
        torch.cuda.set_device(dist.get_node_local_rank())
    store = None
    try:
        store, rank, count = next(dist.rendezvous("env://"))
        dist.init_process_group(store=store, rank=rank, world_size=count)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # sent by torchrun where another process is gone
        yield
        dist.barrier()  # whoever is gone by now was lost before the first one had written everything
        dist.destroy_process_group()
    except (Exception, KeyboardInterrupt) as error:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # it ends already
        with suppress(dist.DistError):  # which means that the store is gone, too
            if store and store.add(f"failures of attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}", 1) > 1:
                sys.exit(2)
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower()):
            raise InputError(LOST) from error
        raise


def require_device(device: torch.device) -> torch.device:
    """The device; raises InputError where several processes cannot each have one of its kind."""
    if size() > 1 and device.type != "cpu":
        gpus, advice = torch.cuda.device_count(), "start torchrun with fewer --nproc-per-node, or add --device cpu."
        words = f"Each process needs a CUDA GPU of its own, and this machine has {gpus}: {advice}"
        require(device.type == "cuda" and dist.get_node_local_rank() < gpus, words)
    return device


def size() -> int:
    """How many processes train this run; 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """True in the one process that shows progress and writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def batch_slice(batch_size: int) -> slice:
    """Which rows of a step's batch are this process's: as many as everybody else's, and nobody else's.

    Raises:
        InputError: the batch does not divide, or leaves a process with fewer than 2 images.
    """
    count, share = size(), batch_size // size()
    advice = f"choose a multiple of {count}, at least {2 * count}, because batch norm compares images"
    fits = share >= 2 and share * count == batch_size
    require(fits, f"A batch of {batch_size} does not go round among {count} processes: {advice}.")
    start = share * (dist.get_rank() if count > 1 else 0)
    return slice(start, start + share)


def wrap_ddp(network: nn.Module) -> nn.Module:
    """The network for use in a step: its backward pass leaves the gradient's average over all processes.

    Batch norm's running statistics, which serve sampling, are the first process's.
    """
    return DistributedDataParallel(network) if dist.is_initialized() else network


def no_sync(network: nn.Module) -> AbstractContextManager:
    """Passes in this block add their gradients up in this process alone; the next backward pass after it averages."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def all_reduce_mean(values: Tensor) -> Tensor:
    """The average over all processes, in place, on the tensor's device."""
    if dist.is_initialized():
        dist.all_reduce(values.div_(size()))
    return values


def sync_stop(seconds: float, pressed: Event) -> tuple[float, bool]:
    """The first process's seconds, and whether any process is to stop: clocks differ, and Ctrl-C may reach one alone.

    Where one is to stop, the button counts as pressed in all of them. On the CPU, so that no accelerator's queue has
    to run empty.
    """
    shared = torch.tensor([seconds if is_first() else 0, pressed.is_set()], dtype=torch.float64)
    if dist.is_initialized():
        dist.all_reduce(shared, dist.ReduceOp.MAX)
    if shared[1]:
        pressed.set()
    return shared[0].item(), bool(shared[1])  # what is pressed after the exchange counts in the next one


@contextmanager
def one_decodes() -> Iterator[None]:
    """One process of each machine goes through the block before the others, so that they find its cache."""
    if dist.is_initialized() and dist.get_node_local_rank() > 0:
        dist.barrier()
    yield
    if dist.is_initialized() and dist.get_node_local_rank() == 0:
        dist.barrier()
