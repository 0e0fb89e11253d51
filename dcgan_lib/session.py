"""A run that somebody steers: its controls, its marks, its looks and its memory. All of the live lab but the widgets.

Used by `lab.TrainingLab`.
"""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.data import normalize
from dcgan_lib.folders import free_folder
from dcgan_lib.grids import grid, save_gif
from dcgan_lib.history import History
from dcgan_lib.interrupt import stop_button
from dcgan_lib.judge import LOOK_EVERY, Look, Verdict, judge, look, spread
from dcgan_lib.runs import CHECKPOINT
from dcgan_lib.trainer import STATEFUL, Trainer
from dcgan_lib.training import Part

CONTROLS = ("lr", "d_lr", "beta1", "d_steps", "label_smoothing")
"""What of the config the lab's widgets change."""
MOST_FRAMES = 200  # of the animation; then every other one is dropped
MOST_PAST = 20  # runs that are remembered after a reset
SAME_MOVE = 10  # a control that moves again within so many steps is still being dragged


@dataclass(frozen=True)
class PastRun:
    """What stays of a run after a reset."""

    config: Config
    steps: int
    verdict: Verdict
    picture: Image.Image
    marks: tuple[tuple[int, str], ...]


class Session:
    """A trainer, the state it began in, and what has happened since."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.past: list[PastRun] = []
        self._begin = {name: copy.deepcopy(getattr(trainer, name).state_dict()) for name in STATEFUL}
        self._begin_rows, self._begin_guard = trainer.history.rows.clone(), copy.copy(trainer.guard)
        self._real_spread = spread(normalize(trainer.pictures.images[:512])) or 1.0
        self._forget()

    def _forget(self) -> None:
        self.marks: list[tuple[int, str]] = []
        self._moved: tuple[int, set[str]] = (0, set())
        self.looks: list[Look] = []
        self.frames = [grid(self.trainer.sample())]
        self._parts: Iterator[Part] | None = None

    def steer(self, **controls: Any) -> None:
        """Use these values of `CONTROLS` from the next step on; a mark remembers what has changed.

        While a slider is dragged there is one mark, at its first step and with its last value.

        Raises:
            InputError: a value is out of its range; then nothing is changed.
        """
        before = self.trainer.config
        changed = {name: value for name, value in controls.items() if value != getattr(before, name)}
        if not changed:
            return
        self.trainer.set(**changed)
        step, words = self.trainer.steps_done, ", ".join(map(_words, changed, changed.values()))
        last, names = self._moved
        if self.marks and names == set(changed) and step - last <= SAME_MOVE:
            self.marks[-1] = (self.marks[-1][0], words)
        else:
            self.marks.append((step, words))
        self._moved = step, set(changed)

    def advance(self, steps: int | None = None, seconds: float | None = None, player: str | None = None) -> None:
        """Train for so many steps, or until so many seconds have passed, at least one step; a look every 25 steps.

        Args:
            player: "generator" or "discriminator" lets only that one learn.

        Raises:
            Diverged: see `Trainer.parts`; after `reset` all is well.
            KeyboardInterrupt: somebody has pressed Ctrl-C or the stop button; the step that was on its way is whole.
        """
        self._finish()
        first, start = self.trainer.steps_done, time.perf_counter()
        with stop_button() as pressed:
            while self.trainer.steps_done - first != steps:
                self.trainer.step(player=player)
                self._look()
                if pressed.is_set():
                    raise KeyboardInterrupt(f"stopped after step {self.trainer.steps_done}, as asked")
                if seconds is not None and time.perf_counter() - start >= seconds:
                    break

    def next_part(self) -> Part:
        """Slow motion: do the next part of a step, and say what it was."""
        parts, self._parts = self._parts or self.trainer.parts(), None  # an error on the way ends the step
        part = next(parts)
        if part.row is None:
            self._parts = parts
        else:
            self._look()
        return part

    def _finish(self) -> None:
        """A step in slow motion comes to its end before anything else happens."""
        while self._parts is not None:
            self.next_part()

    def _look(self) -> None:
        if self.trainer.steps_done % LOOK_EVERY:
            return
        images = self.trainer.sample()
        before = self._looked_at if self.looks else None
        self.looks.append(look(self.trainer.steps_done, images, before, self._real_spread))
        self.frames.append(grid(images))
        if len(self.frames) > MOST_FRAMES:
            del self.frames[1::2]
        self._looked_at: Tensor = images

    def verdict(self) -> Verdict:
        """What `judge` says of the run so far."""
        return judge(self.trainer.history, self.looks)

    def reset(self) -> PastRun | None:
        """Back to the state in which the trainer came, with the controls as they are now.

        Returns:
            What is remembered of the run, unless no step was taken.
        """
        self._finish()
        trainer, run = self.trainer, None
        if trainer.steps_done > len(self._begin_rows):
            picture = grid(trainer.sample())
            run = PastRun(trainer.config, trainer.steps_done, self.verdict(), picture, tuple(self.marks))
            self.past.insert(0, run)
            del self.past[MOST_PAST:]
        for name in STATEFUL:
            getattr(trainer, name).load_state_dict(copy.deepcopy(self._begin[name]))  # an optimiser keeps what it gets
        trainer.history, trainer.guard = History(self._begin_rows.clone()), copy.copy(self._begin_guard)
        self._forget()
        return run

    @cached_property
    def folder(self) -> Path:
        """Where this session writes: a new folder below runs/."""
        return free_folder(self.trainer.config)

    def save_gif(self) -> Path:
        """Write what the fixed z gave at each look, as an animation."""
        save_gif(self.folder / "progress.gif", self.frames)
        return self.folder / "progress.gif"

    def save_checkpoint(self) -> Path:
        """Write the trainer as it is now; `Trainer.load` goes on from there."""
        self._finish()
        self.trainer.save(self.folder / CHECKPOINT)
        return self.folder / CHECKPOINT


def _words(name: str, value: float | None) -> str:
    return f"{name.replace('_', ' ')} {'as G' if value is None else format(value, '.2g')}"
