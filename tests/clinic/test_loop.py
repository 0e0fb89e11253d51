"""The bare loop is the library's step; a changed one differs from it in what was changed and nothing else."""

import copy
import inspect

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector
from torch.optim import Adam

from dcgan_lib.clinic import changed, play, show_change
from dcgan_lib.clinic.cases import CASES, MEDICINES, NAMES, SICK, MinibatchStd, loop_with
from dcgan_lib.data import ImageDataset, load_images
from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.training import train_step
from dcgan_lib.utils.errors import InputError


@pytest.fixture(scope="module")
def data() -> ImageDataset:
    faces = load_images("faces", 32)
    return ImageDataset("some faces", faces.images[:64])


def steps(loop, data: ImageDataset, count: int = 2):
    run = loop(data, 3)
    return [next(run) for _ in range(count)][-1]


def weights(*networks: nn.Module) -> torch.Tensor:
    return parameters_to_vector(nn.ModuleList(networks).parameters()).detach()


def test_is_the_library_s_step(data: ImageDataset) -> None:
    seen = steps(play, data, 3)
    torch.manual_seed(3)
    generator, discriminator = Generator(100, 24, 3, 32), Discriminator(16, 3, 32)
    adams = (
        Adam(generator.parameters(), lr=0.002, betas=(0.3, 0.999)),
        Adam(discriminator.parameters(), lr=0.001, betas=(0.3, 0.999)),
    )
    dice = torch.Generator().manual_seed(3)
    for step in range(3):
        z = torch.randn(32, 100, generator=dice)
        theirs = train_step(generator, discriminator, *adams, data.batch(32, 3, step), z)
    torch.testing.assert_close(seen.generator.state_dict(), generator.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(seen.discriminator.state_dict(), discriminator.state_dict(), rtol=0, atol=0)
    assert torch.equal(seen.g_loss, theirs.g_loss) and torch.equal(seen.d_loss, theirs.d_loss)


def test_two_runs_do_not_disturb_each_other(data: ImageDataset) -> None:
    alone = steps(play, data)
    one, two = play(data, 3), play(data, 4)
    for _ in range(2):
        seen, _ = next(one), next(two)
    assert torch.equal(weights(seen.generator), weights(alone.generator))


@pytest.mark.parametrize("name", [*CASES, *(f"medicine {name}" for name in MEDICINES)])
def test_every_change_is_one(name: str, data: ImageDataset) -> None:
    """It runs, and unless it is none it ends with other weights, or, where it only averages, with an average."""
    medicine, loop = name.removeprefix("medicine "), play
    changes = CASES[medicine].changes if medicine in CASES else MEDICINES[medicine]
    if name.startswith("medicine"):
        loop = loop_with(*CASES[SICK].changes)
    seen, healthy = steps(changed(loop, *changes, **NAMES) if changes else loop, data), steps(loop, data)
    after, before = (weights(s.generator, s.discriminator) for s in (seen, healthy))
    same = before.shape == after.shape and torch.equal(before, after)
    assert same == (not changes or medicine == "averaging")
    assert hasattr(seen, "average") == (medicine == "averaging")


def test_changes_add_up_and_keep_their_source() -> None:
    once = changed(play, ("lr=0.002", "lr=0.02"))
    twice = changed(once, ("real = data.batch(32, seed, step)", "real = double(data.batch(32, seed, step))"), double=2)
    source = inspect.getsource(twice)
    assert "lr=0.02," in source and "double(data" in source and inspect.getsource(play).count("lr=0.002") == 1
    assert twice.__globals__["double"] == 2 and "double" not in play.__globals__


@pytest.mark.parametrize("old", ["lr=0.3", "betas=(0.3"])
def test_what_cannot_be_changed(old: str) -> None:
    with pytest.raises(InputError, match=r"occurs [02] times in play, not once"):
        changed(play, (old, "x"))


def test_show_change(capsys: pytest.CaptureFixture[str]) -> None:
    show_change(play, loop_with(*CASES["sigmoid twice"].changes))
    shown = capsys.readouterr().out
    assert "-    generator, discriminator = Generator(100, 24, 3, 32), Discriminator(16, 3, 32)" in shown
    assert "+    generator, discriminator = Generator(100, 24, 3, 32), Discriminator(16, 3, 32, sigmoid=True)" in shown


def test_minibatch_std() -> None:
    features = torch.randn(6, 4, 2, 2)
    wider = MinibatchStd()(features)
    assert torch.equal(wider[:, :4], features)
    torch.testing.assert_close(wider[:, 4], features.numpy().std(0).mean() * torch.ones(6, 2, 2))


def test_leaves_the_healthy_loop_alone(data: ImageDataset) -> None:
    before = copy.copy(inspect.getsource(play))
    steps(loop_with(*CASES["no batch norm"].changes), data)
    assert inspect.getsource(play) == before
