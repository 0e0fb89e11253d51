"""What each of two processes checks; test_parallel.py starts it under torchrun."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from dcgan_lib import parallel
from dcgan_lib.batch_norm import SyncBatchNorm, synchronise
from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.training import train_step


def close(a: object, b: object) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def the_small_things() -> None:
    rank = dist.get_rank()
    assert (parallel.size(), parallel.is_first()) == (2, rank == 0)
    assert list(range(8)[parallel.rows(8)]) == ([0, 1, 2, 3], [4, 5, 6, 7])[rank]
    assert parallel.agree(rank + 5.25, False) == (5.25, False)
    assert parallel.agree(9.5 - rank, rank == 1) == (9.5, True)
    assert parallel.average(torch.tensor([1.0 + 2 * rank])).item() == 2


def batch_norm_of_halves_is_batch_norm_of_the_whole() -> None:
    torch.manual_seed(0)
    rows = parallel.rows(6)
    images, weights = torch.randn(6, 3, 4, 4).double() * 3 + 5, torch.randn(6, 3, 4, 4).double()
    whole = nn.BatchNorm2d(3).double()
    nn.init.normal_(whole.weight)
    network = synchronise(nn.Sequential(nn.BatchNorm2d(3)).double(), torch.device("cpu"))
    half = network[0].double()
    half.load_state_dict(whole.state_dict())
    assert type(half) is SyncBatchNorm
    mine, theirs = images[rows].clone().requires_grad_(), images.clone().requires_grad_()
    ours, expected = half(mine), whole(theirs)
    (ours * weights[rows]).sum().backward()
    (expected * weights).sum().backward()
    close(ours, expected[rows])
    close(mine.grad, theirs.grad[rows])
    close([half.running_mean, half.running_var], [whole.running_mean, whole.running_var])
    assert half.num_batches_tracked == 1
    close(half.eval()(images), whole.eval()(images))


def a_step_of_two_is_the_step_of_one() -> None:
    """One SGD step of two processes with 4 pictures each, against one with 8, both networks without batch norm."""
    real, z = torch.randn(8, 3, 16, 16).tanh(), torch.randn(8, 8)
    games = []
    for together in (True, False):
        torch.manual_seed(1)
        networks = Generator(8, 4, 3, 16), Discriminator(4, 3, 16)
        for network in networks:
            for name, module in list(network.named_modules()):
                if isinstance(module, nn.BatchNorm2d):
                    network.set_submodule(name, nn.Identity())
            for layer in network.layers:
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                    nn.init.normal_(layer.weight, 0, 0.2)
        optimizers = [torch.optim.SGD(network.parameters(), 0.1) for network in networks]
        players = [parallel.replicate(network) for network in networks] if together else networks
        rows = parallel.rows(8) if together else slice(None)
        for _ in range(2):
            row = train_step(*players, *optimizers, real[rows], z[rows])
        games.append((parallel.average(row) if together else row, [list(n.parameters()) for n in networks]))
    torch.testing.assert_close(games[0], games[1], rtol=1e-4, atol=1e-6)


if __name__ == "__main__":
    with parallel.team():
        the_small_things()
        batch_norm_of_halves_is_batch_norm_of_the_whole()
        a_step_of_two_is_the_step_of_one()
        if parallel.is_first():
            Path(sys.argv[1]).touch()
