"""One step written by hand, as a textbook has it, is `train_step` to the last bit."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.training import frozen, train_step

Game = tuple[nn.Module, nn.Module, torch.optim.Optimizer, torch.optim.Optimizer]


def new_game(optimizer: Callable[..., torch.optim.Optimizer] = Adam, unpadded: bool = False, **options) -> Game:
    torch.manual_seed(1)
    size = 64 if unpadded else 16
    generator, discriminator = Generator(8, 4, 3, size), Discriminator(4, 3, size, unpadded=unpadded)
    optimizers = (optimizer(network.parameters(), **options) for network in (generator, discriminator))
    return generator, discriminator, *optimizers


def batches(count: int, size: int = 16) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return [(draw(6, 3, size, size).tanh(), draw(6, 8)) for _ in range(count)]


def step_by_hand(
    generator: nn.Module, discriminator: nn.Module, g_optimizer, d_optimizer, real: Tensor, z: Tensor
) -> Tensor:
    criterion = nn.BCEWithLogitsLoss()

    discriminator.zero_grad()
    real_logits = discriminator(real)
    real_loss = criterion(real_logits, torch.ones_like(real_logits))
    real_loss.backward()
    fake = generator(z)
    fake_logits = discriminator(fake.detach())
    fake_loss = criterion(fake_logits, torch.zeros_like(fake_logits))
    fake_loss.backward()
    d_optimizer.step()

    generator.zero_grad()
    new_logits = discriminator(fake)
    g_loss = criterion(new_logits, torch.ones_like(new_logits))
    g_loss.backward()
    g_optimizer.step()

    means = [torch.sigmoid(logits).mean() for logits in (real_logits, fake_logits, new_logits)]
    return torch.stack([real_loss + fake_loss, g_loss, *means]).detach()


@pytest.mark.parametrize("unpadded", [False, True])
def test_three_steps_by_hand(unpadded: bool) -> None:
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    ours, theirs = new_game(unpadded=unpadded, **adam), new_game(unpadded=unpadded, **adam)
    for real, z in batches(3, 64 if unpadded else 16):
        torch.testing.assert_close(train_step(*ours, real, z), step_by_hand(*theirs, real, z), rtol=0, atol=0)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("idle", [0, 1], ids=["the D step leaves G", "the G step leaves D"])
def test_each_half_changes_one_network(idle: int) -> None:
    """With a learning rate of 0 for one player, only the other player's half can have touched its weights."""
    game = new_game(SGD, lr=0.1)
    game[2 + idle].param_groups[0]["lr"] = 0.0
    before = [[weight.clone() for weight in network.parameters()] for network in game[:2]]
    train_step(*game, *batches(1)[0])
    same = [all(map(torch.equal, old, network.parameters())) for old, network in zip(before, game[:2], strict=True)]
    assert same == [idle == 0, idle == 1]


@pytest.mark.parametrize("idle", [0, 1], ids=["without G's optimiser", "without D's optimiser"])
def test_a_player_without_an_optimiser_stands_still(idle: int) -> None:
    batch, whole, game = batches(1)[0], new_game(lr=1e-3), list(new_game(lr=1e-3))
    game[2 + idle] = None
    before = [[weight.clone() for weight in network.parameters()] for network in game[:2]]
    row, expected = train_step(*game, *batch), train_step(*whole, *batch)
    same = [all(map(torch.equal, old, network.parameters())) for old, network in zip(before, game[:2], strict=True)]
    assert same == [idle == 0, idle == 1]
    known = (0, 2, 3) if idle else (0, 1, 2, 3, 4)  # G's numbers depend on whether D has moved
    assert torch.equal(row[list(known)], expected[list(known)])
    if idle:
        assert torch.equal(row[3], row[4])  # D(G(z)) before and after an update that was none


def test_no_gradient_crosses_over() -> None:
    """D's gradients are those of its own two losses, though G's loss went through D afterwards."""
    (real, z), game = batches(1)[0], new_game(SGD, lr=0.0)
    train_step(*game, real, z)
    generator, discriminator, *_ = new_game(SGD, lr=0.0)
    loss = (
        nn.functional.softplus(-discriminator(real)).mean() + nn.functional.softplus(discriminator(generator(z))).mean()
    )
    expected = torch.autograd.grad(loss, list(discriminator.parameters()))
    torch.testing.assert_close([weight.grad for weight in game[1].parameters()], list(expected))


def test_old_gradients_play_no_part() -> None:
    batch, clean, dirty = batches(1)[0], new_game(lr=1e-3), new_game(lr=1e-3)
    for network in dirty[:2]:
        for weight in network.parameters():
            weight.grad = torch.full_like(weight, 7.0)
    assert torch.equal(train_step(*clean, *batch), train_step(*dirty, *batch))
    torch.testing.assert_close(clean[0].state_dict(), dirty[0].state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(clean[1].state_dict(), dirty[1].state_dict(), rtol=0, atol=0)


def test_row_is_detached_float32() -> None:
    row = train_step(*new_game(), *batches(1)[0])
    assert (row.shape, row.dtype, row.requires_grad) == ((5,), torch.float32, False)


def test_bfloat16_step_is_close_to_float32_and_keeps_float32_weights() -> None:
    full, half = new_game(lr=2e-4), new_game(lr=2e-4)
    for batch in batches(2):
        expected, row = train_step(*full, *batch), train_step(*half, *batch, dtype=torch.bfloat16)
        assert not torch.equal(row, expected)
        torch.testing.assert_close(row, expected, rtol=0, atol=0.02)
    weights = [weight for network in half[:2] for weight in network.parameters()]
    assert {weight.dtype for weight in weights} == {torch.float32}
    for a, b in zip(full[:2], half[:2], strict=True):  # Adam moves a weight by at most about lr a step
        torch.testing.assert_close(list(a.parameters()), list(b.parameters()), rtol=0, atol=1e-3)


def test_frozen_lets_gradients_through_to_the_input_only() -> None:
    discriminator, images = Discriminator(4, 3, 16), torch.randn(2, 3, 16, 16, requires_grad=True)
    with frozen(discriminator):
        discriminator(images).sum().backward()
    assert images.grad.any()
    assert all(weight.grad is None and weight.requires_grad for weight in discriminator.parameters())


def test_frozen_thaws_after_an_error() -> None:
    discriminator = Discriminator(4, 3, 16)
    with pytest.raises(ZeroDivisionError), frozen(discriminator):
        raise ZeroDivisionError
    assert all(weight.requires_grad for weight in discriminator.parameters())
