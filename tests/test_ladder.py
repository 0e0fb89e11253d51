"""Every rung is the same step: exactly where only the order of work changes, within rounding elsewhere."""

import pytest
import torch
from test_training import step_by_hand
from torch import Tensor
from torch.optim import Adam

from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet
from dcgan_lib.ladder import CHANGES, TEXTBOOK, Loop, PerSample, Rung, ladder
from dcgan_lib.networks import build_networks
from dcgan_lib.training import train_step


def batches(config: Config) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(5)
    return [(torch.randn(8, 1, 16, 16, generator=draw).tanh(), torch.randn(8, 8, generator=draw)) for _ in range(3)]


def rows(rung: Rung, config: Config, pictures: PictureSet) -> Tensor:
    loop = Loop(rung, config, pictures)
    return torch.stack([torch.as_tensor(loop.update(*batch)) for batch in batches(config)])


def test_the_ladder() -> None:
    names, rungs = zip(*ladder(), strict=True)
    assert names == ("textbook", *CHANGES)
    assert (rungs[0], rungs[-1]) == (TEXTBOOK, Rung(*[True] * len(CHANGES)))
    assert [sum(vars(rung).values()) for rung in rungs] == list(range(len(rungs)))


@pytest.mark.parametrize("name", ["textbook", *CHANGES])
def test_every_rung_is_the_step_by_hand(tiny: Config, pictures: PictureSet, name: str) -> None:
    config = tiny.replace(channels=1)
    networks = build_networks(config)
    optimizers = [Adam(network.parameters(), config.lr, (config.beta1, config.beta2)) for network in networks]
    wanted = torch.stack([step_by_hand(*networks, *optimizers, *batch) for batch in batches(config)])
    exact = name in ("logits", "quiet", "frozen")
    tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(rows(dict(ladder())[name], config, pictures), wanted, **tolerance)


def test_the_last_rung_is_ours(tiny: Config, pictures: PictureSet) -> None:
    config = tiny.replace(channels=1, precision="bfloat16")
    loop, networks = Loop(Rung(*[True] * len(CHANGES)), config, pictures), build_networks(config)
    for network in networks:
        network.to(memory_format=torch.channels_last)
    optimizers = [Adam(n.parameters(), config.lr, (config.beta1, config.beta2), fused=True) for n in networks]
    for batch in batches(config):
        ours = train_step(*networks, *optimizers, *batch, dtype=torch.bfloat16)
        torch.testing.assert_close(loop.update(*batch), ours, rtol=0, atol=0)


def test_bfloat16_stays_close(tiny: Config, pictures: PictureSet) -> None:
    """Rounding to 8 bits moves the numbers of the first step by less than a hundredth."""
    last = Rung(*[True] * len(CHANGES))
    full, reduced = (rows(last, tiny.replace(precision=p), pictures)[0] for p in ("float32", "bfloat16"))
    torch.testing.assert_close(reduced, full, rtol=1e-2, atol=1e-2)
    assert not torch.equal(reduced, full)


@pytest.mark.parametrize("cached", [False, True])
def test_both_ways_to_load_give_every_picture_once(tiny: Config, pictures: PictureSet, cached: bool) -> None:
    loop = Loop(Rung(cached=cached), tiny.replace(batch_size=7), pictures)
    seen = torch.cat([next(loop._batches) for _ in range(3)])
    wanted = pictures.images / 127.5 - 1
    torch.testing.assert_close(
        seen[torch.cdist(wanted.flatten(1), seen.flatten(1)).argmin(1)], wanted, rtol=0, atol=1e-6
    )


def test_per_sample_resizes_colour_and_grey() -> None:
    for channels in (1, 3):
        images = PerSample(torch.full((2, channels, 20, 30), 255, dtype=torch.uint8), 16)
        assert torch.equal(images[1], torch.ones(channels, 16, 16))
    assert len(images) == 2


def test_a_loop_is_repeatable(tiny: Config, pictures: PictureSet) -> None:
    first, second = (Loop(TEXTBOOK, tiny, pictures) for _ in range(2))
    assert [first.step() for _ in range(3)] == [second.step() for _ in range(3)]
    assert first.steps_done == 3
