"""Trainers with one wrong line, for a reader to find.

Used in notebook 09; `checks.hunt` judges the answers.
"""

import inspect
from types import SimpleNamespace
from typing import Any

import torch

from dcgan_lib.clinic.loop import changed, play
from dcgan_lib.data import ImageDataset
from dcgan_lib.utils.rng import rng

FAULTS = (
    ("real = data.batch(32, seed, step)", "real = data.batch(32, seed, 0)"),
    ("real = data.batch(32, seed, step)", "real = data.batch(32, seed, step) / 2 + 0.5"),
    ("generator=dice)", "generator=dice.manual_seed(seed))"),
    ("fake = generator(z)", "fake = generator.eval()(z)"),
    ("Discriminator(16, 3, 32)", "Discriminator(16, 3, 32, sigmoid=True)"),
    ("lr=0.001, betas", "lr=0.1, betas"),
    ("lr=0.002, betas=(0.3", "lr=0.002, betas=(0.99"),
    ("        d_optimizer.zero_grad()", "        g_optimizer.zero_grad()"),
    ("        g_optimizer.zero_grad()", "        d_optimizer.zero_grad()"),
    ("fake_logits = discriminator(fake.detach())", "fake_logits = discriminator(real)"),
    ("bce(real_logits, 1.0) + bce(fake_logits, 0.0)", "bce(real_logits, 0.0) + bce(fake_logits, 1.0)"),
    ("        d_loss.backward()", "        (-d_loss).backward()"),
    ("new_logits = discriminator(fake)", "new_logits = discriminator(fake.detach())"),
    ("g_loss = bce(new_logits, 1.0)", "g_loss = bce(new_logits, 0.0)"),
    ("        g_optimizer.step()", "        d_optimizer.step()"),
)
"""A piece of one line of `play`, and what stands there in a broken one."""


def fault(seed: int) -> tuple[str, str]:
    """The fault of this seed; the first fifteen seeds have all of them, and so have the next fifteen."""
    order = torch.randperm(len(FAULTS), generator=rng(seed // len(FAULTS), "hunt"))
    return FAULTS[order[seed % len(FAULTS)]]


def line_number(piece: str) -> int:
    """The line of `play`, counted from 1, in which this text stands."""
    source = inspect.getsource(play)
    return source[: source.index(piece)].count("\n") + 1


class BrokenTrainer:
    """A trainer that plays `play` with one wrong line.

    Args:
        data: 32x32 images in colour.
        seed: of the fault.
    """

    def __init__(self, data: ImageDataset, seed: int) -> None:
        self._run = changed(play, fault(seed))(data, seed)

    def step(self) -> SimpleNamespace:
        """One step; gives everything that has a name in the loop: networks, optimizers, z, fakes, logits, losses."""
        return next(self._run)

    def train(self, steps: int) -> SimpleNamespace:
        """So many steps; gives what the last one does."""
        for _ in range(steps):
            seen = self.step()
        return seen


def numbered(loop: Any = play) -> str:
    """The text of a loop, with the number of each line."""
    return "\n".join(f"{i:2} {line}" for i, line in enumerate(inspect.getsource(loop).splitlines(), 1))
