"""The losses are the formulas, in double precision, and finite where the formulas overflow."""

import math

import pytest
import torch
from torch import Tensor

from dcgan_lib.losses import discriminator_loss, fake_loss, generator_loss, real_loss

LOGITS = torch.tensor([[-9.0, -2.5, -0.1], [0.0, 1.75, 6.0]])


def minus_log_sigmoid(x: Tensor) -> Tensor:
    return -torch.log(1 / (1 + torch.exp(-x.double())))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (real_loss, minus_log_sigmoid(LOGITS).mean()),
        (generator_loss, minus_log_sigmoid(LOGITS).mean()),
        (fake_loss, minus_log_sigmoid(-LOGITS).mean()),
        (lambda x: discriminator_loss(x, x + 1), (minus_log_sigmoid(LOGITS) + minus_log_sigmoid(-LOGITS - 1)).mean()),
    ],
    ids=["real", "generator", "fake", "discriminator"],
)
def test_formula(loss, expected: Tensor) -> None:
    torch.testing.assert_close(loss(LOGITS).double(), expected, rtol=1e-6, atol=0)


def test_landmarks_of_a_discriminator_that_knows_nothing() -> None:
    zeros = torch.zeros(5)
    assert generator_loss(zeros).item() == pytest.approx(math.log(2), rel=1e-7)
    assert discriminator_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2), rel=1e-7)


@pytest.mark.parametrize("loss", [real_loss, fake_loss, generator_loss])
@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_extreme_logits(loss, logit: float) -> None:
    """Sure and right costs nothing, sure and wrong costs the logit; the gradient is finite either way."""
    x = torch.tensor([logit], requires_grad=True)
    value = loss(x)
    value.backward()
    wrong = (logit > 0) == (loss is fake_loss)
    assert value.item() == (1000 if wrong else 0)
    assert x.grad.abs().item() == (1 if wrong else 0)


@pytest.mark.parametrize(("loss", "target"), [(real_loss, 1.0), (fake_loss, 0.0), (generator_loss, 1.0)])
def test_gradient(loss, target: float) -> None:
    x = LOGITS.clone().requires_grad_()
    loss(x).backward()
    torch.testing.assert_close(x.grad, (torch.sigmoid(LOGITS) - target) / 6)


@pytest.mark.parametrize("loss", [real_loss, fake_loss, generator_loss])
def test_half_precision_logits_are_computed_in_float32(loss) -> None:
    half = LOGITS.bfloat16()
    assert loss(half).dtype == torch.float32
    assert torch.equal(loss(half), loss(half.float()))


def test_smooth_label_by_the_formula() -> None:
    """-0.9 log D - 0.1 log(1 - D), smallest at D = 0.9."""
    logits = torch.linspace(-4, 6, 2001, dtype=torch.float64)
    d = logits.sigmoid()
    losses = torch.stack([real_loss(logit[None], 0.9) for logit in logits])
    torch.testing.assert_close(losses.double(), -0.9 * d.log() - 0.1 * (1 - d).log(), rtol=1e-5, atol=1e-6)
    assert d[losses.argmin()] == pytest.approx(0.9, abs=2e-3)
