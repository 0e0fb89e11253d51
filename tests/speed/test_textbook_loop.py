"""Every loop takes the same step: exactly where only the order of work changes, within rounding elsewhere."""

import pytest
import torch
from test_training import step_by_hand
from torch import Tensor
from torch.optim import Adam
from torch.utils.flop_counter import FlopCounterMode

from dcgan_lib.config import Config
from dcgan_lib.data.dataset import ImageDataset
from dcgan_lib.networks import build_networks
from dcgan_lib.speed.textbook_loop import CHANGES, TEXTBOOK, LoopOptions, PerSample, TextbookLoop, speedups
from dcgan_lib.speed.timing import step_flops
from dcgan_lib.training import train_step
from dcgan_lib.utils.device import Autocast

OURS = LoopOptions(*[True] * len(CHANGES))


def batches() -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(5)
    return [(torch.randn(8, 1, 16, 16, generator=draw).tanh(), torch.randn(8, 8, generator=draw)) for _ in range(3)]


def rows(options: LoopOptions, config: Config, dataset: ImageDataset) -> Tensor:
    loop = TextbookLoop(options, config, dataset)
    return torch.stack([torch.as_tensor(loop.update(*batch)) for batch in batches()])


def test_each_of_the_speedups_adds_one_change() -> None:
    names, steps = zip(*speedups().items(), strict=True)
    assert names == ("textbook", *CHANGES)
    assert (steps[0], steps[-1]) == (TEXTBOOK, OURS)
    assert [sum(vars(options).values()) for options in steps] == list(range(len(steps)))


@pytest.mark.parametrize("name", ["textbook", *CHANGES])
def test_every_loop_takes_the_step_by_hand(tiny: Config, dataset: ImageDataset, name: str) -> None:
    config = tiny.replace(channels=1)
    networks = build_networks(config)
    optimizers = [Adam(network.parameters(), config.lr, (config.beta1, config.beta2)) for network in networks]
    expected = torch.stack([step_by_hand(*networks, *optimizers, *batch) for batch in batches()])
    exact = name in ("logits", "no_item_sync", "frozen_discriminator")
    tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(rows(speedups()[name], config, dataset), expected, **tolerance)


def test_the_last_loop_is_ours(tiny: Config, dataset: ImageDataset) -> None:
    config = tiny.replace(channels=1, precision="bfloat16")
    loop, networks = TextbookLoop(OURS, config, dataset), build_networks(config)
    for network in networks:
        network.to(memory_format=torch.channels_last)
    optimizers = [Adam(n.parameters(), config.lr, (config.beta1, config.beta2), fused=True) for n in networks]
    networks = [Autocast(network, torch.bfloat16) for network in networks]
    for batch in batches():
        ours = train_step(*networks, *optimizers, *batch).row()
        torch.testing.assert_close(loop.update(*batch), ours, rtol=0, atol=0)


def test_only_a_frozen_discriminator_saves_operations(tiny: Config, dataset: ImageDataset) -> None:
    """And with it, a step has as many as torch counts in `train_step`."""
    counted = {}
    for name, options in speedups().items():
        with FlopCounterMode(display=False) as counter:
            TextbookLoop(options, tiny, dataset).update(*batches()[0])
        counted[name] = counter.get_total_flops()
    ours = step_flops(tiny.replace(channels=1))
    lean = CHANGES[CHANGES.index("frozen_discriminator") :]
    assert all((flops == ours) == (name in lean) for name, flops in counted.items())
    assert min(counted.values()) == ours


def test_bfloat16_stays_close(tiny: Config, dataset: ImageDataset) -> None:
    """Rounding to 8 bits moves the numbers of the first step by less than a hundredth."""
    full, reduced = (rows(OURS, tiny.replace(precision=p), dataset)[0] for p in ("float32", "bfloat16"))
    torch.testing.assert_close(reduced, full, rtol=1e-2, atol=1e-2)
    assert not torch.equal(reduced, full)


@pytest.mark.parametrize("cached", [False, True])
def test_both_ways_to_load_give_every_image_once(tiny: Config, dataset: ImageDataset, cached: bool) -> None:
    loop = TextbookLoop(LoopOptions(cached=cached), tiny.replace(batch_size=7), dataset)
    seen = torch.cat([next(loop.batches) for _ in range(3)])
    expected = dataset.images / 127.5 - 1
    nearest = torch.cdist(expected.flatten(1), seen.flatten(1)).argmin(1)
    torch.testing.assert_close(seen[nearest], expected, rtol=0, atol=1e-6)


def test_per_sample_resizes_colour_and_grey() -> None:
    for channels in (1, 3):
        images = PerSample(torch.full((2, channels, 20, 30), 255, dtype=torch.uint8), 16)
        assert torch.equal(images[1], torch.ones(channels, 16, 16))
    assert len(images) == 2


def test_a_loop_is_repeatable(tiny: Config, dataset: ImageDataset) -> None:
    first, second = (TextbookLoop(TEXTBOOK, tiny, dataset) for _ in range(2))
    assert [first.step() for _ in range(3)] == [second.step() for _ in range(3)]
    assert first.steps_done == 3
