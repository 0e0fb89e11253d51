"""Exercises whose answer is a step of training: what it does to two small networks is recorded and judged.

Used by notebook 07.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import SGD, Optimizer

from dcgan_lib.checks.compare import brief, close, draws
from dcgan_lib.checks.report import Exercise, Fault, call
from dcgan_lib.networks import Discriminator, Generator

BATCH, LATENT_DIM, LR = 6, 8, 0.1
Gradients = list[Tensor]


@dataclass
class Judged:
    """One pass through the discriminator: which images, in which mode, and what came back to their logits."""

    images: str
    training: bool
    attached: bool
    """Whether the images still hang on the generator."""
    logits: Tensor
    gradient: Tensor | None = None


@dataclass
class Stepped:
    """One step of an optimizer, with the gradients that both networks held then."""

    who: str
    d_gradients: Gradients
    g_gradients: Gradients
    judged: list[Judged]
    """All passes so far, with what had come back to them."""


@dataclass
class Record:
    """All that happened in one call of the reader's step."""

    generated: list[tuple[bool, bool]] = field(default_factory=list)
    """For each pass through the generator: whether it was given z, and its mode."""
    judged: list[Judged] = field(default_factory=list)
    steps: list[Stepped] = field(default_factory=list)


def gradients(network: nn.Module) -> Gradients:
    """The gradients that the network's weights hold; none counts as 0."""
    return [torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for p in network.parameters()]


def same(a: Gradients, b: Gradients) -> bool:
    return all(close(x, y) for x, y in zip(a, b, strict=True))


def total(a: Gradients, b: Gradients, sign: int = 1) -> Gradients:
    return [x + sign * y for x, y in zip(a, b, strict=True)]


def length(values: Gradients) -> str:
    return f"length {torch.cat([value.flatten() for value in values]).norm().item():.4g}"


@contextmanager
def recording(
    generator: nn.Module, discriminator: nn.Module, real: Tensor, z: Tensor, optimizers: dict[str, Optimizer]
) -> Iterator[Record]:
    """Note what happens to the networks meanwhile."""
    record, fakes = Record(), []

    def generated(_module: nn.Module, inputs: Any, output: Tensor) -> None:
        given = inputs[0].shape[0] == len(z) and close(inputs[0].detach().flatten(1), z)
        record.generated.append((given, generator.training))
        fakes.append(output.detach().clone())

    def judged(_module: nn.Module, inputs: Any, output: Tensor) -> None:
        images = inputs[0].detach()
        kinds = {"real": [real], "fake": fakes}
        kind = next((k for k, each in kinds.items() if any(close(images, one) for one in each)), "other")
        kind = "mixed" if len(images) == 2 * len(real) else kind
        seen = Judged(kind, discriminator.training, inputs[0].requires_grad, output.detach().clone())
        record.judged.append(seen)
        if output.requires_grad:
            output.register_hook(lambda gradient: _add(seen, gradient))

    def stepped(who: str) -> Callable[..., None]:
        return lambda *_: record.steps.append(
            Stepped(who, gradients(discriminator), gradients(generator), copy.deepcopy(record.judged))
        )

    hooks = [generator.register_forward_hook(generated), discriminator.register_forward_hook(judged)]
    hooks += [optimizer.register_step_post_hook(stepped(who)) for who, optimizer in optimizers.items()]
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


def _add(seen: Judged, gradient: Tensor) -> None:
    seen.gradient = gradient.detach().clone() if seen.gradient is None else seen.gradient + gradient.detach()


class Table:
    """Two small networks, their optimizers, a batch and z: what the reader's step is played on.

    The optimizers are plain gradient descent, so that a step of the wrong size shows, which Adam would hide.
    """

    def __init__(self) -> None:
        self.generator, self.discriminator = Generator(LATENT_DIM, 4, 3, 16), Discriminator(4, 3, 16)
        for seed, weight in enumerate((*self.generator.parameters(), *self.discriminator.parameters())):
            noise = draws(*weight.shape, seed=seed)
            weight.data = 1 + 0.3 * noise if weight.ndim == 1 else noise / weight[0].numel() ** 0.5
            weight.grad = draws(*weight.shape, seed=seed + 100) / weight.numel() ** 0.5  # left over from the last step
        self.g_optimizer = SGD(self.generator.parameters(), LR)
        self.d_optimizer = SGD(self.discriminator.parameters(), LR)

    def play(self, turn: str, answer: Callable[..., Any], players: tuple[Any, ...], real: bool) -> Record:
        """Call the reader's step with a batch and z of this turn; without the batch where `real` is False."""
        seed = len(turn)
        self.real, self.z = draws(BATCH, 3, 16, 16, seed=seed).clamp(-1, 1), draws(BATCH, LATENT_DIM, seed=seed)
        self.stale = gradients(self.discriminator), gradients(self.generator)
        self.before = copy.deepcopy((self.generator, self.discriminator))
        given = (self.real.clone(), self.z.clone()) if real else (self.z.clone(),)
        optimizers = {"g": self.g_optimizer, "d": self.d_optimizer}
        with recording(self.generator, self.discriminator, self.real, self.z, optimizers) as self.record:
            call(turn, answer, *players, *given)
        if not (self.record.generated or self.record.judged or self.record.steps):
            raise Fault(turn, "a step", "nothing yet: no network was called")
        return self.record


def d_gradients(discriminator: nn.Module, real: Tensor | None, fake: Tensor | None) -> Gradients:
    """Those of the discriminator's loss, of one half of it where the other one is None."""
    network = copy.deepcopy(discriminator).train().requires_grad_()
    network.zero_grad()
    if real is not None:
        softplus(-network(real)).mean().backward()
    if fake is not None:
        softplus(network(fake)).mean().backward()
    return gradients(network)


def g_gradients(generator: nn.Module, discriminator: nn.Module, z: Tensor) -> Gradients:
    """Those of the generator's non-saturating loss."""
    generator, discriminator = copy.deepcopy(generator).train(), copy.deepcopy(discriminator).train()
    generator.zero_grad()
    softplus(-discriminator(generator(z))).mean().backward()
    return gradients(generator)


def stepped_weights(network: nn.Module, values: Gradients) -> Gradients:
    return [p.detach() - LR * value for p, value in zip(network.parameters(), values, strict=True)]


def weights(network: nn.Module) -> Gradients:
    return [p.detach().clone() for p in network.parameters()]


def logit_fault(logits: Tensor, gradient: Tensor, label: float, who: str) -> str:
    """What loss sends this gradient to these logits, where the right one has this label and a mean."""
    n, p = len(logits), logits.sigmoid()
    right = (p - label) / n
    ratio = gradient / right
    implied = p - n * gradient
    twice = p.sigmoid()
    if close(gradient, (twice - label) * p * (1 - p) / n):
        return "a sigmoid twice: the loss with logits was given probabilities"
    if close(ratio, torch.full_like(ratio, ratio.mean().item()), 1e-3):
        factor = ratio.mean().item()
        names = {
            float(n): "a sum over the batch, where the loss is a mean",
            0.5: "half of the loss",
            -1.0: "the loss with the wrong sign",
        }
        return next(
            (name for value, name in names.items() if abs(factor - value) < 1e-2), f"{factor:.3g} times the loss"
        )
    if close(implied, torch.full_like(implied, implied.mean().item()), 1e-3):
        found = implied.mean().item()
        if abs(found - (1 - label)) < 1e-2:
            return f"label {1 - label:.0f} for the {who}"
        return f"label {found:.2g} for the {who}, where it is {label:.0f}"
    if label == 1 and close(gradient, -p / n):
        return "the saturating loss, log(1 - D(G(z))), whose gradient vanishes where fakes are recognised"
    if close(gradient.abs(), torch.full_like(gradient, gradient.abs().mean().item())):
        return "Wasserstein's loss, logits without logarithms"
    return "another loss than binary cross entropy"


EVALUATION = "a step in evaluation mode (`eval`): batch norm uses running averages"
CHANGED = "images that were changed on the way"
NO_BACKWARD = "a step without `backward`"
NO_STEP = "a step that never calls `step` of the optimizer it was given"
TOO_EARLY = "an optimizer that steps before `backward`"
OTHER_MEANS = "a step that changes weights by other means than the optimizer, such as clipping"
BOTH = {"real": "a step that never shows real images", "fake": "a step that never shows the fakes"}
NAMES = {"real": "the real images", "fake": "the fakes"}


def judge_passes(record: Record, wanted: dict[str, str]) -> None:
    """How the networks were asked: z, modes, batches.

    Args:
        wanted: the kinds of images that the discriminator has to be asked about, with the fault's name if it isn't.
    """
    if not record.generated:
        raise Fault("the generator", "one pass with z", "no pass", "a step without fakes")
    if not all(given for given, _ in record.generated):
        raise Fault("the generator's input", "the z that was given", "another one", "a step that draws its own z")
    modes = {"generator": [training for _, training in record.generated]}
    modes["discriminator"] = [seen.training for seen in record.judged]
    for who, training in modes.items():
        if not all(training):
            raise Fault(f"the {who}'s mode", "training", "evaluation", EVALUATION)
    kinds = [seen.images for seen in record.judged]
    if "mixed" in kinds:
        name = "real images and fakes mixed in one batch: batch norm then sees both at once"
        raise Fault("the discriminator's batches", "real and fake apart", "one batch of both", name)
    for kind, name in wanted.items():
        if kind not in kinds:
            came, name = ("changed images", CHANGED) if "other" in kinds else ("none", name)
            raise Fault("the discriminator's batches", f"a pass with {NAMES[kind]}", came, name)


def judge_logits(judged: list[Judged], kind: str, label: float, who: str) -> None:
    """What came back to the logits of that kind of images."""
    found = [seen for seen in judged if seen.images == kind and seen.gradient is not None]
    probe = f"the gradient at the logits of {NAMES[kind]}"
    if not found:
        if all(seen.gradient is None for seen in judged):
            raise Fault(probe, "a gradient", "none", NO_BACKWARD)
        raise Fault(probe, "a gradient", "none", f"a loss without {NAMES[kind]}, or with their logits detached")
    logits, gradient = found[-1].logits, found[-1].gradient
    right = (logits.sigmoid() - label) / len(logits)
    if not close(gradient, right):
        raise Fault(probe, brief(right), brief(gradient), logit_fault(logits, gradient, label, who))


def judge_gradients(step: Stepped, right: Gradients, stale: Gradients, halves: dict[str, Gradients], who: str) -> None:
    """The gradients that an optimizer was given."""
    came = step.d_gradients if who == "discriminator" else step.g_gradients
    if same(came, right):
        return
    probe = f"the {who}'s gradients when its optimizer steps"
    known = [
        ("a step without `zero_grad` before it: the old gradients are added to the new ones", total(stale, right)),
        ("`zero_grad` between `backward` and the optimizer's step: nothing is left", total(right, right, -1)),
        (TOO_EARLY, stale),
        ("a loss that goes backward twice", total(right, right)),
    ]
    for kind, half in halves.items():
        other = NAMES["fake" if kind == "real" else "real"]
        known += [
            (f"`zero_grad` between the two halves: the gradient of {NAMES[kind]} alone is left", half),
            (f"a loss without {other}, and without `zero_grad`", total(stale, half)),
        ]
    name = next((name for name, value in known if same(came, value)), "")
    if all(seen.gradient is None for seen in step.judged):
        name = TOO_EARLY
    raise Fault(probe, length(right), length(came), name)


def judge_rest(table: Table) -> None:
    """What a step leaves behind: modes, and weights that can still be trained."""
    for name, network in (("generator", table.generator), ("discriminator", table.discriminator)):
        if not network.training:
            left = "a step that leaves a network in evaluation mode"
            raise Fault(f"the {name}'s mode afterwards", "training", "evaluation", left)
        if not all(p.requires_grad for p in network.parameters()):
            left = "a step that freezes a network and never frees it"
            raise Fault(f"the {name} afterwards", "weights that can be trained", "frozen ones", left)


def judge_count(record: Record, who: str) -> None:
    """One backward pass at least, and one step."""
    if not record.steps:
        name = NO_BACKWARD if all(seen.gradient is None for seen in record.judged) else NO_STEP
        raise Fault("the optimizer", "one step", "none", name)
    if all(seen.gradient is None for seen in record.judged):
        raise Fault("the logits' gradients", "a gradient", "none", NO_BACKWARD)
    if all(seen.gradient is None for seen in record.steps[0].judged):
        raise Fault("what came back when the optimizer stepped", "a gradient", "none", TOO_EARLY)
    if len(record.steps) > 1:
        name = f"a {who} that is updated {len(record.steps)} times, where one step has all of the loss"
        raise Fault("the optimizer", "one step", f"{len(record.steps)} steps", name)


def judge_attached(judged: list[Judged], what: str) -> None:
    """The generator's turn needs a way back into it."""
    if not any(seen.attached for seen in judged):
        name = f"`detach` or `no_grad` on {what}: no gradient reaches the generator"
        raise Fault(what, "attached to the generator", "cut off from it", name)


def judge_d_turn(table: Table, step: Stepped) -> Gradients:
    """The discriminator's turn, as its optimizer saw it; gives the right gradients."""
    generator, discriminator = table.before
    judge_logits(step.judged, "real", 1.0, "real images")
    judge_logits(step.judged, "fake", 0.0, "fakes")
    fake = copy.deepcopy(generator)(table.z).detach()
    right = d_gradients(discriminator, table.real, fake)
    halves = {"real": d_gradients(discriminator, table.real, None), "fake": d_gradients(discriminator, None, fake)}
    judge_gradients(step, right, table.stale[0], halves, "discriminator")
    return right


def judge_weights(name: str, network: nn.Module, expected: Gradients, fault: str) -> None:
    if not same(weights(network), expected):
        others = f"{length(total(weights(network), expected, -1))} away from that"
        raise Fault(f"the {name}'s weights afterwards", "what its optimizer makes of them", others, fault)


def judge_untouched(name: str, network: nn.Module, before: nn.Module) -> None:
    if not same(weights(network), weights(before)):
        raise Fault(f"the {name}'s weights", "unchanged", "changed", f"a step that also updates the {name}")


def judge_d_step(answer: Any) -> None:
    table = Table()
    table.generator.zero_grad()
    for turn in ("the first step", "the second step"):
        record = table.play(turn, answer, (table.generator, table.discriminator, table.d_optimizer), real=True)
        generator, discriminator = table.before
        judge_untouched("generator", table.generator, generator)
        judge_passes(record, BOTH)
        judge_count(record, "discriminator")
        right = judge_d_turn(table, record.steps[0])
        if not same(gradients(table.generator), table.stale[1]):
            name = "a step without `detach`: the generator holds gradients afterwards"
            raise Fault("the generator's gradients afterwards", "none", length(gradients(table.generator)), name)
        judge_weights("discriminator", table.discriminator, stepped_weights(discriminator, right), OTHER_MEANS)
        judge_rest(table)


def judge_g_step(answer: Any) -> None:
    table = Table()
    for turn in ("the first step", "the second step"):
        record = table.play(turn, answer, (table.generator, table.discriminator, table.g_optimizer), real=False)
        generator, discriminator = table.before
        judge_untouched("discriminator", table.discriminator, discriminator)
        judge_passes(record, {"fake": "a step that never asks the discriminator"})
        judge_attached(record.judged, "the fakes")
        judge_count(record, "generator")
        judge_logits(record.judged, "fake", 1.0, "fakes")
        right = g_gradients(generator, discriminator, table.z)
        judge_gradients(record.steps[0], right, table.stale[1], {}, "generator")
        judge_weights("generator", table.generator, stepped_weights(generator, right), OTHER_MEANS)
        judge_rest(table)


def judge_train_step(answer: Any) -> None:
    table = Table()
    for turn in ("the first step", "the second step"):
        players = table.generator, table.discriminator, table.g_optimizer, table.d_optimizer
        try:
            record = table.play(turn, answer, players, real=True)
        except Fault:
            if any(step.who == "g" for step in table.record.steps[:1]):  # before the error, something else was wrong
                judge_order(table.record)
            raise
        generator, discriminator = table.before
        judge_passes(record, BOTH)
        judge_order(record)
        d_step, g_step = record.steps
        later = [seen for seen in record.judged[len(d_step.judged) :] if seen.images == "fake"]
        if not later:
            name = "a generator that learns from logits of before the discriminator's update"
            raise Fault("the discriminator in the generator's turn", "asked again", "not asked", name)
        if not same(d_step.g_gradients, table.stale[1]) and any(value.any() for value in d_step.g_gradients):
            name = "a step without `detach`: the discriminator's loss goes back into the generator, too"
            raise Fault(
                "the generator's gradients in the discriminator's turn", "none", length(d_step.g_gradients), name
            )
        right = judge_d_turn(table, d_step)
        judge_attached(later, "the fakes in the generator's turn")
        judge_logits(later, "fake", 1.0, "fakes in the generator's turn")
        updated = copy.deepcopy(discriminator)
        for weight, value in zip(updated.parameters(), stepped_weights(discriminator, right), strict=True):
            weight.data = value
        g_right = g_gradients(generator, updated, table.z)
        judge_gradients(g_step, g_right, table.stale[1], {}, "generator")
        judge_weights("discriminator", table.discriminator, weights(updated), OTHER_MEANS)
        judge_weights("generator", table.generator, stepped_weights(generator, g_right), OTHER_MEANS)
        judge_rest(table)


def judge_order(record: Record) -> None:
    """First the discriminator, then the generator, each once."""
    order = [step.who for step in record.steps]
    if order == ["d", "g"]:
        return
    judged = record.steps[0].judged if order else record.judged
    if not order:
        name = NO_BACKWARD if all(seen.gradient is None for seen in judged) else NO_STEP
    elif order == ["d"]:
        name = "a step in which the generator never steps"
    elif set(order) == {"g"} and len(judged) == len(record.judged):
        name = "a step in which the discriminator never steps"
    elif order not in (["g"], ["g", "d"]):
        name = "a player that is updated more than once"
    elif not any(seen.images == "real" and seen.gradient is not None for seen in judged):
        name = "the generator's turn before the discriminator's"
    elif len(judged) == len(record.judged):
        name = "updates that wait until both losses are there"
    else:
        name = "exchanged optimizers: one player's steps on the other's loss"
    players = {"d": "discriminator", "g": "generator"}
    came = ", ".join(players[who] for who in order) or "no step"
    raise Fault("the order of the optimizers' steps", "discriminator, generator", came, name)


EXERCISES = [
    Exercise(
        "07.d_step",
        judge_d_step,
        (
            "In this order: clear D's gradients, make fakes, judge real and fake apart, go backward, step.",
            "The generator is not to blame for D's loss: `generator(z).detach()`.",
            "`d_loss(discriminator(real), discriminator(fake)).backward()` comes after `d_optimizer.zero_grad()` and "
            "before `d_optimizer.step()`.",
        ),
        "half precision, several processes, and how long it takes.",
    ),
    Exercise(
        "07.g_step",
        judge_g_step,
        (
            "Clear G's gradients, make fakes, ask D, go backward with G's own loss, and step.",
            "This time the fakes stay attached: the gradient has to travel through D into G.",
            "`g_loss(discriminator(generator(z))).backward()`; the optimizer is G's alone, so D stays as it is.",
        ),
        "that D's weights collect gradients, too, which its next turn must clear.",
    ),
    Exercise(
        "07.train_step",
        judge_train_step,
        (
            "D's turn comes first, then G's, and each clears its own gradients.",
            "G has to ask the D that has just been updated, so the fakes go through D a second time.",
            "`fake = generator(z)`; D's turn with `fake.detach()`, then G's turn with `fake`.",
        ),
        "whether you made the fakes once or twice: the weights are the same, the second time costs a pass.",
    ),
]
