"""A draw depends on who draws, and on nothing else."""

import torch

from dcgan_lib.utils.rng import rng


def draws(seed: int = 1, owner: str = "z", step: int = 2) -> torch.Tensor:
    return torch.randn(4, generator=rng(seed, owner, step))


def test_same_owner_same_numbers() -> None:
    first = draws()
    torch.manual_seed(5)
    torch.rand(3)
    assert torch.equal(draws(), first)


def test_seed_owner_and_step_all_matter() -> None:
    others = [draws(), draws(seed=2), draws(owner="order"), draws(step=3), draws(seed=12, step=0), draws(seed=-1)]
    assert torch.unique(torch.stack(others)).numel() == 4 * len(others)
