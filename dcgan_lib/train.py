"""`python -m dcgan_lib train`: begin a run or go on with one, and leave a folder that is whole at every moment."""

import os
from contextlib import nullcontext
from dataclasses import dataclass, fields
from math import gcd
from pathlib import Path
from typing import Literal

import tyro

from dcgan_lib import parallel
from dcgan_lib.config import Config, InputError, cache_root
from dcgan_lib.divergence import Diverged
from dcgan_lib.folders import free_folder
from dcgan_lib.runs import FRAME_EVERY, RunFolder
from dcgan_lib.terminal import printable
from dcgan_lib.trainer import MOVABLE, STEERABLE, Trainer
from dcgan_lib.writing import remove_stale

A_DAY = 24 * 3600


def from_anywhere(data: str) -> str:
    """The same pictures for a process that is started in another folder: where they are, their path from the root."""
    kind, _, path = data.partition(":")
    whole = os.path.abspath(os.path.expanduser(path))
    there = path and (os.path.exists(whole) or any(sign in path for sign in "*?["))
    return f"{kind}:{whole}" if there else data


@dataclass
class Train:
    """Train a DCGAN and leave a folder with its weights, history and pictures."""

    config: tyro.conf.OmitArgPrefixes[Config]
    preset: Literal["paper", "laptop", "ci"] = "laptop"
    """Where the options below get their defaults from."""
    seconds: float | None = None
    """Stop after so many seconds instead of after --steps."""
    out: Path | None = None
    """The folder to write; left out: a new one below runs/."""
    resume: bool = False
    """Go on with the run in --out, with its own options, to its --steps or for more --seconds."""
    allow_changes: bool = False
    """Let --resume go on with another lr, d_lr, beta1, d_steps, label_smoothing, cool_down, device or precision, or
    with --data that names another place of the same pictures."""
    save_every: int = 500
    """Write a checkpoint every so many steps, besides the one at the end."""
    keep: int | None = None
    """How many checkpoints stay: checkpoint.pt, and the ones before it as checkpoint-0000500.pt and so on. Left out:
    checkpoint.pt, and what an earlier --keep has left."""

    def __post_init__(self) -> None:
        self.config = self.config.replace(data=from_anywhere(self.config.data))
        for name, value in (("save_every", self.save_every), ("keep", self.keep)):
            if value is not None and not 1 <= value < 2**63:
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"{option} must be at least 1, and below 2**63, and {value} is not: change its value.")
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise InputError(f"--seconds must be 0 or more, and {self.seconds:g} is not: change its value.")
        if self.allow_changes and not self.resume:
            raise InputError("--allow-changes is about a run to go on with: add --resume, or leave it out.")

    def main(self) -> None:
        """Train to the end, or until Ctrl-C; a second Ctrl-C saves no more.

        Raises:
            InputError: the run cannot begin, cannot go on or cannot be written.
            Diverged: its numbers are not finite any more; its checkpoint and pictures are those before.
        """
        folder = RunFolder(self.out or free_folder(self.config), self.keep)
        try:
            self._train(folder)
        except KeyboardInterrupt as error:
            raise InputError(
                f"Interrupted at once: {folder.path} holds what was saved before; go on with --resume, or start again "
                "where that finds no run."
            ) from error

    def _train(self, folder: RunFolder) -> None:
        first = parallel.is_first()
        if self.resume:
            trainer = self._load(folder)
        else:
            with folder.begin(self.config) if first else nullcontext():
                trainer = Trainer(self.config)
        if first:
            remove_stale(cache_root(), A_DAY)
            folder.tidy(trainer.steps_done)
            if not trainer.steps_done:
                folder.add_frame(trainer)
        if parallel.size() > 1 and first:
            batch = trainer.config.batch_size
            print(f"{parallel.size()} processes with {batch // parallel.size()} of each batch's {batch} pictures.")

        def report(trainer: Trainer) -> None:
            if not first:
                return
            if trainer.steps_done % FRAME_EVERY == 0:
                folder.add_frame(trainer)
            if trainer.steps_done % self.save_every == 0:
                folder.save(trainer)

        try:
            trainer.train(seconds=self.seconds, every=gcd(FRAME_EVERY, self.save_every), on_progress=report)
            if first:
                folder.add_frame(trainer)
                folder.save(trainer)
                folder.save_gif()
                written = (printable(str(path)) for path in folder.written())
                print(f"{trainer.steps_done} steps done. Written:", *written, sep="\n  ")
        except Diverged:
            if first:
                folder.save_history(trainer)
            else:
                parallel.wait_for_first()  # it knows the last good checkpoint, and tells
            raise

    def _load(self, folder: RunFolder) -> Trainer:
        """The run in the folder with what the options change of it.

        Raises:
            InputError: there is none, or the options would make it another one.
        """
        old, new = folder.config(), self.config
        old = old.replace(data=from_anywhere(old.data))
        changed = [field.name for field in fields(Config) if getattr(new, field.name) != getattr(old, field.name)]
        differences = {name: f"{name} was {getattr(old, name)} and would be {getattr(new, name)}" for name in changed}
        if fixed := [name for name in changed if name not in (*STEERABLE, *MOVABLE)]:
            raise InputError(
                f"{folder.path} was trained with another {' and '.join(fixed)} "
                f"({', '.join(differences[name] for name in fixed)}): leave these options out to go on with "
                "it, or start a new run without --resume."
            )
        differences.pop("steps", None)
        if differences and not self.allow_changes:
            raise InputError(
                f"{folder.path} was trained with other options: {', '.join(differences.values())}: add --allow-changes "
                "to go on with the new ones, or leave them out."
            )
        trainer = folder.load(**{name: getattr(new, name) for name in changed})
        if not parallel.is_first():
            return trainer
        if changed:
            folder.adopt(trainer)
        if not trainer.steps_done:
            print(f"{folder.path} holds no checkpoint yet: the run begins at step 1.")
        elif self.seconds is None and trainer.steps_done >= new.steps:
            print(f"{folder.path} has {trainer.steps_done} steps and --steps is {new.steps}: nothing is left to train.")
        if differences:
            said = ", ".join(differences.values()).replace("would be", "is now")
            print(f"From step {trainer.steps_done + 1} on: {said}.")
        return trainer
