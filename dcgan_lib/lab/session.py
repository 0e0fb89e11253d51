"""A run that somebody steers, with its marks and its samples: all of the live lab but the widgets.

Used by `lab.TrainingLab`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_lib.checkpoint import free_folder
from dcgan_lib.data.dataset import normalize
from dcgan_lib.images import grid
from dcgan_lib.losses import fake_loss, generator_loss, real_loss
from dcgan_lib.metrics.verdict import SAMPLE_EVERY, SampleStats, advised, measure_samples, reach_verdict
from dcgan_lib.trainer import Trainer
from dcgan_lib.training import Step, discriminator_step, generator_step
from dcgan_lib.utils.device import Autocast
from dcgan_lib.utils.stop_button import stop_button

CONTROLS = {"lr": "lr", "d_lr": "lr of D", "beta1": "beta1", "d_steps": "k", "label_smoothing": "label smoothing"}
"""What of the config the lab's widgets change, and its name in words."""
MOST_FRAMES = 200  # of the animation; then every other one is dropped
SAME_MOVE = 10  # a control that moves again within so many steps is still being dragged


class Session:
    """A trainer, the state it came in, and what has happened since."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.first_step = trainer.steps_done
        self._beginning = {name: tensor.clone() for name, tensor in trainer.tensors().items()}
        self._real_images = normalize(trainer.dataset.images[:512])
        self._forget()

    def _forget(self) -> None:
        self.marks: list[tuple[int, str]] = []
        self._moved: set[str] = set()
        self.samples: list[SampleStats] = []
        self._last_images: Tensor | None = None
        self.frames = [grid(self.trainer.sample())]

    def steer(self, **controls: Any) -> None:
        """Use these values of `CONTROLS` from the next step on; a mark remembers what has changed.

        While a slider is dragged there is one mark, with its last value.

        Raises:
            InputError: a value is out of its range; then nothing is changed.
        """
        before, step = self.trainer.config, self.trainer.steps_done
        changed = {name: value for name, value in controls.items() if value != getattr(before, name)}
        if not changed:
            return
        self.trainer.set(**changed)
        if self.marks and self._moved == set(changed) and step - self.marks[-1][0] <= SAME_MOVE:
            del self.marks[-1]
        self.marks.append((step, ", ".join(map(setting, changed, changed.values()))))
        self._moved = set(changed)

    def advance(self, steps: int | None = None, seconds: float | None = None) -> Step | None:
        """Train for so many steps, or until so many seconds have passed, at least one step.

        Returns:
            The last step, if there was one.

        Raises:
            Diverged: see `Trainer.step`; after `reset` all is well.
            KeyboardInterrupt: somebody has pressed Ctrl-C or the stop button; the step that was on its way is whole.
        """
        first, start, step = self.trainer.steps_done, time.perf_counter(), None
        while self.trainer.steps_done - first != steps:
            with self._whole_step():
                step = self.trainer.step()
            if seconds is not None and time.perf_counter() - start >= seconds:
                break
        return step

    def step_alone(self, player: str) -> None:
        """A step in which only one player learns, and the other one gives its numbers; raises as `advance` does.

        Args:
            player: "generator" or "discriminator".
        """
        trainer = self.trainer
        generator, discriminator = (Autocast(n, trainer.dtype) for n in (trainer.generator, trainer.discriminator))
        real_label = 1 - trainer.config.label_smoothing
        with self._whole_step():
            real, z = trainer.begin_step()
            fake = generator(z)
            if player == "discriminator":
                d_loss, *logits = discriminator_step(discriminator, trainer.d_optimizer, real, fake, real_label)
                with torch.no_grad():
                    new_logits = discriminator(fake)
                    g_loss = generator_loss(new_logits)
            else:
                with torch.no_grad():
                    logits = discriminator(real), discriminator(fake)
                    d_loss = real_loss(logits[0], real_label) + fake_loss(logits[1])
                g_loss, new_logits = generator_step(discriminator, generator, trainer.g_optimizer, fake)
            trainer.end_step(Step(fake.detach(), d_loss, *logits, g_loss, new_logits))

    @contextmanager
    def _whole_step(self) -> Iterator[None]:
        """Around one step: the stop button is heard after it, and every 25 steps the fixed z are measured."""
        with stop_button() as pressed:
            yield
            if self.trainer.steps_done % SAMPLE_EVERY == 0:
                images = self.trainer.sample(raw=True)
                self.samples.append(measure_samples(images, self._last_images, self._real_images))
                self.frames.append(grid(self.trainer.sample()))
                self._last_images = images
                if len(self.frames) > MOST_FRAMES:
                    del self.frames[1::2]
        if pressed.is_set():
            raise KeyboardInterrupt(f"stopped after step {self.trainer.steps_done}, as asked")

    def verdict(self) -> str:
        """The verdict on the run so far, one of the keys of `VERDICTS`."""
        return reach_verdict(self.trainer.history, self.samples)

    def advice(self) -> dict[str, Any]:
        """What the verdict would change of `CONTROLS`; empty where it would leave them as they are."""
        return advised(self.verdict(), self.trainer.config)

    def reset(self) -> None:
        """Back to the state in which the trainer came, with the controls as they are now."""
        self.trainer.restore(self._beginning)
        self._forget()

    @cached_property
    def folder(self) -> Path:
        """Where this session writes: a new folder below runs/."""
        return free_folder(self.trainer.config)


def setting(name: str, value: float | None) -> str:
    """A control and its value in words, such as "lr 0.002"."""
    return f"{CONTROLS[name]} {'as G' if value is None else format(value, '.3g')}"
