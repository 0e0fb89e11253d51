"""The relativistic loss and the gradient penalty: notebook 10."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn.functional import logsigmoid, softplus

from dcgan_lib.checks.compare import Faults, behaves_like, brief, close, draws, number
from dcgan_lib.checks.report import Exercise, Fault, call
from dcgan_lib.losses import gradient_penalty, relativistic_loss


def _squares(logits: Tensor, images: Tensor) -> Tensor:
    """The squared length of each image's gradient, (N,)."""
    return grad(logits.sum(), images)[0].square().flatten(1).sum(1)


def _penalty_with(parts: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
    return lambda logits, images, gamma: parts(_squares(logits, images), gamma)


PENALTY_FAULTS: Faults = {
    "a length that is not squared": _penalty_with(lambda s, g: g / 2 * s.sqrt().mean()),
    "a sum over the batch where the penalty has a mean": _penalty_with(lambda s, g: g / 2 * s.sum()),
    "a penalty without the factor 1/2": _penalty_with(lambda s, g: g * s.mean()),
    "a penalty without gamma": _penalty_with(lambda s, g: s.mean() / 2),
    "neither gamma nor the factor 1/2": _penalty_with(lambda s, g: s.mean()),
    "gamma squared": _penalty_with(lambda s, g: g**2 / 2 * s.mean()),
    "a pull towards length 1, as in WGAN-GP, where R1 pulls towards 0": (
        _penalty_with(lambda s, g: g / 2 * (s.sqrt() - 1).square().mean()),
        _penalty_with(lambda s, g: g * (s.sqrt() - 1).square().mean()),
    ),
    "the square of a mean length, where the squares are averaged": _penalty_with(
        lambda s, g: g / 2 * s.sqrt().mean() ** 2
    ),
    "the steepest image alone": _penalty_with(lambda s, g: g / 2 * s.max()),
    "a penalty with a minus: it rewards steep discriminators": _penalty_with(lambda s, g: -g / 2 * s.mean()),
    "a mean over the pixels, where their squares add up": lambda logits, images, g: (
        g / 2 * grad(logits.sum(), images)[0].square().mean()
    ),
    "the gradient of the logits' mean: each image's is N times too small": (
        lambda logits, images, g: g / 2 * grad(logits.mean(), images)[0].square().flatten(1).sum(1).mean(),
        lambda logits, images, g: g / 2 * grad(logits.mean(), images)[0].square().sum(),
    ),
    "absolute values in place of squares": lambda logits, images, g: (
        g / 2 * grad(logits.sum(), images)[0].abs().flatten(1).sum(1).mean()
    ),
    "the squared sum of each gradient's numbers, where the squares are summed": lambda logits, images, g: (
        g / 2 * grad(logits.sum(), images)[0].flatten(1).sum(1).square().mean()
    ),
    "the squared length of the batch's mean gradient": lambda logits, images, g: (
        g / 2 * grad(logits.sum(), images)[0].mean(0).square().sum()
    ),
    "the logits squared, where their gradient belongs": lambda logits, images, g: g / 2 * logits.square().mean(),
    "the gradient of the loss for real images, where the logits' belongs": lambda logits, images, g: (
        g / 2 * _squares(softplus(-logits), images).mean()
    ),
    "the gradient of D's probability, where the logits' belongs": lambda logits, images, g: (
        g / 2 * _squares(logits.sigmoid(), images).mean()
    ),
}


def _steep(gamma: float) -> tuple[Tensor, tuple[Tensor, Tensor, float]]:
    """Weights of a small discriminator, and what the penalty needs: its logits of five images, these, gamma."""
    weights, images = draws(48, 6).requires_grad_(), draws(5, 3, 4, 4, seed=1).requires_grad_()
    logits = (images.flatten(1) @ weights / 7).tanh() @ draws(6, seed=2)
    return weights, (logits, images, gamma)


def judge_penalty(answer: Any) -> None:
    for gamma in (1.0, 10.0):
        probe = f"five images, gamma = {gamma:g}"
        weights, arguments = _steep(gamma)
        result = call(probe, answer, *arguments)
        value = number(probe, result.detach() if isinstance(result, Tensor) else result)
        expected = gradient_penalty(*_steep(gamma)[1])
        if not close(value, expected.detach()):
            faults = {
                name: tuple(
                    lambda gamma, f=f: f(*_steep(gamma)[1]).detach()
                    for f in (functions if isinstance(functions, tuple) else (functions,))
                )
                for name, functions in PENALTY_FAULTS.items()
            }
            raise Fault(probe, brief(expected.detach()), brief(value), behaves_like(faults, value, (gamma,)))
        probe = "the way from the penalty back to D's weights"
        if not isinstance(result, Tensor) or not result.requires_grad:
            name = "a gradient without a graph of its own: `create_graph=True` is missing, or something cuts it off"
            raise Fault(probe, "a tensor that `backward` can start from", "a number without a gradient", name)
        again, arguments = _steep(gamma)
        (wanted,), (found,) = grad(gradient_penalty(*arguments), again), grad(result, weights, allow_unused=True)
        found = torch.zeros_like(weights) if found is None else found
        if not close(found, wanted):
            name = "a penalty that is partly cut off from D's weights by `detach`"
            raise Fault(probe, brief(wanted), brief(found), name)


def _bce(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


RELATIVISTIC_FAULTS: Faults = {
    "the generator's side: real and fake exchanged": lambda r, f: softplus(r - f).mean(),
    "a sum over the batch where the loss has a mean": lambda r, f: softplus(f - r).sum(),
    "every real image paired with every fake": lambda r, f: softplus(f[None] - r[:, None]).mean(),
    "the loss of a mean difference, where the mean is over the losses": lambda r, f: softplus((f - r).mean()),
    "the ordinary loss of D, which judges each image alone": _bce,
    "the ordinary loss of D, halved": lambda r, f: _bce(r, f) / 2,
    "the relativistic average loss, which compares with the other side's mean": (
        lambda r, f: softplus(f.mean() - r).mean() + softplus(f - r.mean()).mean(),
        lambda r, f: (softplus(f.mean() - r).mean() + softplus(f - r.mean()).mean()) / 2,
        lambda r, f: softplus(f.mean() - r).mean(),
    ),
    "the loss without its minus": lambda r, f: logsigmoid(r - f).mean(),
    "Wasserstein's loss: the difference without a logarithm": lambda r, f: (f - r).mean(),
    "a hinge in place of the logarithm": lambda r, f: (1 - (r - f)).relu().mean(),
    "probabilities without a logarithm": lambda r, f: (1 - (r - f).sigmoid()).mean(),
    "a difference of probabilities: the sigmoid comes after the difference": (
        lambda r, f: softplus(f.sigmoid() - r.sigmoid()).mean(),
        lambda r, f: -(r.sigmoid() - f.sigmoid()).sigmoid().log().mean(),
    ),
    "a ratio in place of a difference": lambda r, f: softplus(-r / f).mean(),
    "both sides' losses added": lambda r, f: softplus(f - r).mean() + softplus(r - f).mean(),
    "sorted logits: the pairs are those of the batch": lambda r, f: softplus(f.sort()[0] - r.sort()[0]).mean(),
    "squared differences (least squares)": lambda r, f: (r - f - 1).square().mean(),
}


def judge_relativistic(answer: Any) -> None:
    cases = {
        "logits of five pairs": ([2.0, -1.0, 0.5, 3.0, 0.1], [-2.0, 1.5, 0.3, 0.4, -0.7]),
        "differences of 100 that are right": ([60.0, 10.0], [-40.0, -90.0]),
        "differences of 100 that are wrong": ([-60.0, -10.0], [40.0, 90.0]),
    }
    for probe, numbers in cases.items():
        logits = tuple(torch.tensor(values, requires_grad=True) for values in numbers)
        result = call(probe, answer, *logits)
        value = number(probe, result.detach() if isinstance(result, Tensor) else result)
        expected = relativistic_loss(*logits)
        if not close(value, expected.detach()):
            plain = tuple(logit.detach() for logit in logits)
            name = behaves_like(RELATIVISTIC_FAULTS, value, plain)
            if "100" in probe:
                name = "a loss that overflows far out: the logarithm of a sigmoid needs `softplus` or `logsigmoid`"
            raise Fault(probe, brief(expected.detach()), brief(value), name)
        if not isinstance(result, Tensor) or not result.requires_grad:
            name = "`.item()`, `.detach()` or `no_grad` inside a loss"
            raise Fault(probe, "a tensor that `backward` can start from", "a number without a gradient", name)
        found = grad(result, logits, allow_unused=True)
        for logit, gradient, wanted in zip(logits, found, grad(expected, logits), strict=True):
            gradient = torch.zeros_like(logit) if gradient is None else gradient
            if not close(gradient, wanted):
                name = "a loss that is cut off from some of its logits by `detach`"
                raise Fault(f"the gradient at {probe}", brief(wanted), brief(gradient), name)


EXERCISES = [
    Exercise(
        "10.relativistic",
        judge_relativistic,
        (
            "Each real image meets the fake in the same place: take the difference of their logits.",
            "The discriminator wants real minus fake to be large: the loss is -log of the difference's sigmoid.",
            "`F.softplus(-difference).mean()` is that, and stays finite far out.",
        ),
        "whether the fakes come `detach`ed in D's turn; that is the loop's business.",
    ),
    Exercise(
        "10.r1",
        judge_penalty,
        (
            "First the gradient of the logits at the images; then, for each image, the sum of its squares.",
            "`torch.autograd.grad(logits.sum(), images, create_graph=True)[0]`; images don't influence each other's "
            "logits, so the gradient of the sum holds each image's own.",
            "`gamma / 2 * gradient.square().flatten(1).sum(1).mean()`.",
        ),
        "batch norm in D, which ties a batch together, so that the gradient of the sum is no image's own.",
    ),
]
