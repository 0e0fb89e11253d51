"""One step written by hand, line by line, is `train_step` to the last bit."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from dcgan_lib.networks import Discriminator, Generator
from dcgan_lib.training import discriminator_step, frozen, generator_step, train_step
from dcgan_lib.utils.device import Autocast

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
        torch.testing.assert_close(train_step(*ours, real, z).row(), step_by_hand(*theirs, real, z), rtol=0, atol=0)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


def weights(network: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in network.parameters()]


def test_each_half_changes_one_network() -> None:
    generator, discriminator, g_optimizer, d_optimizer = new_game(SGD, lr=0.1)
    real, z = batches(1)[0]
    fake, before = generator(z), weights(generator)
    discriminator_step(discriminator, d_optimizer, real, fake)
    assert all(map(torch.equal, before, generator.parameters()))
    assert all(weight.grad is None for weight in generator.parameters())
    before, gradients = weights(discriminator), [weight.grad.clone() for weight in discriminator.parameters()]
    generator_step(discriminator, generator, g_optimizer, fake)
    assert all(map(torch.equal, before, discriminator.parameters()))
    assert all(map(torch.equal, gradients, [weight.grad for weight in discriminator.parameters()]))
    assert all(weight.grad.any() for weight in generator.parameters())


def test_what_the_halves_return() -> None:
    """Losses and logits from before the update, without a gradient; a smooth label is the discriminator's alone."""
    real, z = batches(1)[0]
    generator, discriminator, g_optimizer, d_optimizer = new_game(SGD, lr=0.1)
    twin, critic, *_ = new_game(SGD, lr=0.1)
    real_logits, fake_logits = critic(real), critic(twin(z))
    smooth = nn.BCEWithLogitsLoss()(real_logits, torch.full_like(real_logits, 0.75))
    expected = (smooth + nn.functional.softplus(fake_logits).mean(), real_logits, fake_logits)
    fake = generator(z)
    given = discriminator_step(discriminator, d_optimizer, real, fake, real_label=0.75)
    torch.testing.assert_close(given, tuple(t.detach() for t in expected))
    critic.load_state_dict(discriminator.state_dict())
    new_logits = critic(fake)
    loss, logits = generator_step(discriminator, generator, g_optimizer, fake)
    torch.testing.assert_close(
        (loss, logits), (nn.functional.softplus(-new_logits).mean().detach(), new_logits.detach())
    )


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
    assert torch.equal(train_step(*clean, *batch).row(), train_step(*dirty, *batch).row())
    torch.testing.assert_close(clean[0].state_dict(), dirty[0].state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(clean[1].state_dict(), dirty[1].state_dict(), rtol=0, atol=0)


def test_nothing_of_a_step_has_a_gradient() -> None:
    step = train_step(*new_game(), *batches(1)[0])
    assert not any(values.requires_grad for values in step)
    assert (step.row().shape, step.row().dtype, step.fake.shape) == ((5,), torch.float32, (6, 3, 16, 16))


def test_bfloat16_step_is_close_to_float32_and_keeps_float32_weights() -> None:
    full, (generator, discriminator, *optimizers) = new_game(lr=2e-4), new_game(lr=2e-4)
    half = Autocast(generator, torch.bfloat16), Autocast(discriminator, torch.bfloat16), *optimizers
    for batch in batches(2):
        expected, row = train_step(*full, *batch).row(), train_step(*half, *batch).row()
        assert not torch.equal(row, expected)
        torch.testing.assert_close(row, expected, rtol=0, atol=0.02)
    for a, b in zip(full[:2], (generator, discriminator), strict=True):  # Adam moves a weight by about lr a step
        assert {weight.dtype for weight in b.parameters()} == {torch.float32}
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
