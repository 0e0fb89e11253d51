"""The value of the game and the two losses: notebooks 01 and 06."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from dcgan_lib.checks.compare import Faults, behaves_like, brief, close, judge_number, number
from dcgan_lib.checks.report import Exercise, Fault, call


def _value(real: Tensor, fake: Tensor) -> Tensor:
    return real.log().mean() + (1 - fake).log().mean()


VALUE_FAULTS: Faults = {
    "a sum over the batch where V has a mean: it grows with the batch": lambda r, f: (
        r.log().sum() + (1 - f).log().sum()
    ),
    "the average of V's two terms, where V is their sum": lambda r, f: _value(r, f) / 2,
    "the discriminator's loss, which is -V: the players' game has no minus": lambda r, f: -_value(r, f),
    "log D(G(z)) in the second term, where V has log(1 - D(G(z)))": lambda r, f: r.log().mean() + f.log().mean(),
    "real and fake exchanged": lambda r, f: _value(f, r),
    "log(1 - D(x)) in the first term, too": lambda r, f: (1 - r).log().mean() + (1 - f).log().mean(),
    "V without its logarithms": lambda r, f: r.mean() + (1 - f).mean(),
    "logarithms of base 2, where V has natural ones": lambda r, f: _value(r, f) / math.log(2),
    "logarithms of base 10, where V has natural ones": lambda r, f: _value(r, f) / math.log(10),
    "the logarithm of a mean, where V has the mean of logarithms": lambda r, f: r.mean().log() + (1 - f.mean()).log(),
    "one mean over both batches together": lambda r, f: torch.cat([r.log(), (1 - f).log()]).mean(),
    "the first term alone": lambda r, f: r.log().mean(),
    "both sums divided by the number of real images": lambda r, f: (r.log().sum() + (1 - f).log().sum()) / len(r),
    "the second term alone": lambda r, f: (1 - f).log().mean(),
    "a minus between the two terms": lambda r, f: r.log().mean() - (1 - f).log().mean(),
    "log(1 + D(G(z))), where V has log(1 - D(G(z)))": lambda r, f: r.log().mean() + f.log1p().mean(),
    "1 - log D(G(z)): the 1 stands outside the logarithm": lambda r, f: r.log().mean() + (1 - f.log()).mean(),
    "a sigmoid on what is a probability already": lambda r, f: _value(r.sigmoid(), f.sigmoid()),
}


def judge_value(answer: Any) -> None:
    probabilities = {
        "probabilities of five real and three fake images": (
            torch.tensor([0.9, 0.6, 0.8, 0.4, 0.7]),
            torch.tensor([0.2, 0.5, 0.1]),
        ),
        "a discriminator that says 0.5 to everything": (torch.full((4,), 0.5), torch.full((4,), 0.5)),
    }
    judge_number(answer, _value, VALUE_FAULTS, probabilities)


def _d_loss(r: Tensor, f: Tensor) -> Tensor:
    return softplus(-r).mean() + softplus(f).mean()


D_LOSS_FAULTS: Faults = {
    "the average of both halves, where the loss is their sum": lambda r, f: _d_loss(r, f) / 2,
    "the half for real images alone": lambda r, f: softplus(-r).mean(),
    "the half for fakes alone": lambda r, f: softplus(f).mean(),
    "swapped labels (or arguments): real counts as 0, fake as 1": lambda r, f: _d_loss(f, r),
    "a sum over the batch where each half is a mean": lambda r, f: softplus(-r).sum() + softplus(f).sum(),
    "one mean over both batches together": lambda r, f: torch.cat([softplus(-r), softplus(f)]).mean(),
    "a sigmoid twice: the loss with logits was given probabilities": lambda r, f: _d_loss(r.sigmoid(), f.sigmoid()),
    "label 1 for the fakes, too": lambda r, f: softplus(-r).mean() + softplus(-f).mean(),
    "label 0 for the real images, too": lambda r, f: softplus(r).mean() + softplus(f).mean(),
    "V itself, without the minus: minimising it trains the discriminator to be wrong": lambda r, f: -_d_loss(r, f),
    "a difference of the two halves": lambda r, f: softplus(-r).mean() - softplus(f).mean(),
    "the difference of the two halves, the other way round": lambda r, f: softplus(f).mean() - softplus(-r).mean(),
    "the hinge loss": lambda r, f: (1 - r).relu().mean() + (1 + f).relu().mean(),
    "Wasserstein's loss, logits without logarithms": lambda r, f: f.mean() - r.mean(),
    "probabilities without logarithms": lambda r, f: (1 - r.sigmoid()).mean() + f.sigmoid().mean(),
    "squared errors of the logits (LSGAN)": lambda r, f: (r - 1).square().mean() + f.square().mean(),
    "squared errors of the probabilities": lambda r, f: (r.sigmoid() - 1).square().mean() + f.sigmoid().square().mean(),
    "logarithms of base 2": lambda r, f: _d_loss(r, f) / math.log(2),
    "smoothed labels, 0.9 for real images: a good idea, but another loss": lambda r, f: _d_loss(r, f) + 0.1 * r.mean(),
    "smoothed labels, 0.8 for real images: a good idea, but another loss": lambda r, f: _d_loss(r, f) + 0.2 * r.mean(),
    "labels of 0.9 and 0.1: smoothing the fakes' side, too": lambda r, f: (
        _d_loss(r, f) + 0.1 * r.mean() - 0.1 * f.mean()
    ),
    "label 0.1 for the fakes: smoothing the wrong side": lambda r, f: _d_loss(r, f) - 0.1 * f.mean(),
    "the logarithm of a mean probability": lambda r, f: -(r.sigmoid().mean().log() + (1 - f.sigmoid().mean()).log()),
}
G_LOSS_FAULTS: Faults = {
    "the saturating loss, log(1 - D(G(z))): it has no gradient where fakes are recognised": lambda f: (
        -softplus(f).mean()
    ),
    "label 0 for the fakes: the generator would help the discriminator": lambda f: softplus(f).mean(),
    "log D(G(z)) without the minus: minimising it makes the fakes worse": lambda f: -softplus(-f).mean(),
    "a sum over the batch where the loss is a mean": lambda f: softplus(-f).sum(),
    "half of the loss": lambda f: softplus(-f).mean() / 2,
    "twice the loss": lambda f: softplus(-f).mean() * 2,
    "a sigmoid twice: the loss with logits was given probabilities": lambda f: softplus(-f.sigmoid()).mean(),
    "Wasserstein's loss, logits without logarithms": lambda f: -f.mean(),
    "1 - D(G(z)) without a logarithm": lambda f: (1 - f.sigmoid()).mean(),
    "-D(G(z)) without a logarithm": lambda f: -f.sigmoid().mean(),
    "squared errors of the logits (LSGAN)": lambda f: (f - 1).square().mean(),
    "squared errors of the probabilities": lambda f: (f.sigmoid() - 1).square().mean(),
    "logarithms of base 2": lambda f: softplus(-f).mean() / math.log(2),
    "label 0.9 for the fakes: smoothing belongs to the discriminator's real images": lambda f: (
        softplus(-f).mean() + 0.1 * f.mean()
    ),
    "the logarithm of a mean probability": lambda f: -f.sigmoid().mean().log(),
    "-log(1 - D) and -log D, both: the generator has one term": lambda f: softplus(-f).mean() + softplus(f).mean(),
}


def _far_fault(value: float) -> str:
    """What goes wrong at logits of 100 only."""
    if math.isfinite(value):
        return "a loss that gives up far out (BCELoss on a sigmoid, an eps in the logarithm, a clamp)"
    return "a logarithm or an exponential that overflows, such as log(sigmoid(x)): use the loss with logits"


def _judge_loss(
    answer: Any, right: Callable[..., Tensor], faults: Faults, cases: dict[str, tuple[list[float], ...]]
) -> None:
    for probe, numbers in cases.items():
        logits = tuple(torch.tensor(values, requires_grad=True) for values in numbers)
        result = call(probe, answer, *logits)
        value = number(probe, result.detach() if isinstance(result, Tensor) else result)
        expected = right(*logits)
        far = max(abs(logit) for values in numbers for logit in values) >= 30
        if not close(value, expected.detach()):
            detached = tuple(logit.detach() for logit in logits)
            name = _far_fault(value) if far else behaves_like(faults, value, detached)
            raise Fault(probe, brief(expected.detach()), brief(value), name)
        if not isinstance(result, Tensor) or not result.requires_grad:
            name = "`.item()`, `.detach()` or `no_grad` inside a loss"
            raise Fault(probe, "a tensor that `backward` can start from", "a number without a gradient", name)
        found = torch.autograd.grad(result, logits, allow_unused=True)
        for logit, gradient, wanted in zip(logits, found, torch.autograd.grad(expected, logits), strict=True):
            gradient = torch.zeros_like(logit) if gradient is None else gradient
            if not close(gradient, wanted):
                cut = "" if gradient.any() else "a loss that is cut off from some of its logits by `detach`"
                name = _far_fault(value) if far else cut
                raise Fault(f"the gradient at {probe}", brief(wanted), brief(gradient), name)


def judge_d_loss(answer: Any) -> None:
    cases = {
        "logits between -2 and 3, five real and three fake": ([2.0, -1.0, 0.5, 3.0, 0.1], [-2.0, 1.5, 0.3]),
        "logits near 0": ([0.1, -0.2], [0.1, 0.3]),
        "logits of 100 that are right": ([100.0, 90.0], [-100.0, -90.0]),
        "logits of 100 that are wrong": ([-100.0, -30.0], [100.0, 30.0]),
    }
    _judge_loss(answer, _d_loss, D_LOSS_FAULTS, cases)


def judge_g_loss(answer: Any) -> None:
    cases = {
        "logits between -2 and 3": ([2.0, -1.0, 0.5, 3.0, -2.0],),
        "logits of 100, fakes that pass": ([100.0, 90.0],),
        "logits of -100, fakes that are recognised": ([-100.0, -30.0],),
    }
    _judge_loss(answer, lambda f: -logsigmoid(f).mean(), G_LOSS_FAULTS, cases)


EXERCISES = [
    Exercise(
        "01.value",
        judge_value,
        (
            "V has two terms: one about the real images, one about the fakes.",
            "Each term is the mean of a logarithm; D(G(z)) enters as 1 - D(G(z)).",
            "`real_probs.log().mean()` is the first term; the second has the same form, and they are added.",
        ),
        "what happens at probabilities of exactly 0 or 1, where the logarithm is infinite; notebook 06 is about that.",
    ),
    Exercise(
        "06.d_loss",
        judge_d_loss,
        (
            "Real images have label 1 and fakes label 0; each half is a mean, and the halves are added.",
            "`F.binary_cross_entropy_with_logits(logits, labels)` takes logits and stays finite.",
            "The labels are `torch.ones_like(real_logits)` and `torch.zeros_like(fake_logits)`.",
        ),
        "half precision, where even a logit of 100 has few digits; the library computes its losses in float32.",
    ),
    Exercise(
        "06.g_loss",
        judge_g_loss,
        (
            "The generator wants its fakes to be called real.",
            "So it is the discriminator's loss for real images, given the fakes' logits.",
            "`F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))`.",
        ),
        "whether you know why it is not log(1 - D(G(z))), which notebook 06 explains.",
    ),
]
