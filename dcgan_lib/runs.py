"""The folder that a run of the command line leaves behind.

Used by `python -m dcgan_lib`.
"""

import contextlib
import glob
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import save_generator
from dcgan_lib.config import Config, InputError
from dcgan_lib.files import READING_ERRORS
from dcgan_lib.grids import save_gif, save_grid
from dcgan_lib.trainer import Trainer
from dcgan_lib.writing import remove, remove_stale, write_file, write_text

CHECKPOINT = "checkpoint.pt"
GENERATOR = "generator.safetensors"
FILES = ("config.json", "history.csv", CHECKPOINT, GENERATOR, "samples.png", "progress.gif")
FRAME_EVERY = 25


class RunFolder:
    """Writes a run's files while it trains, each whole or not at all.

    config.json, history.csv, checkpoint.pt, generator.safetensors, samples.png and progress.gif, and in progress/
    the frames of the animation, one PNG for each 25 steps.

    Args:
        keep: how many checkpoints stay: checkpoint.pt, and the ones before it as checkpoint-0000500.pt; left out, it
            alone is written and no other is removed.
    """

    def __init__(self, path: Path | str, keep: int | None = None) -> None:
        self.path, self.keep = Path(path), keep
        self._newest: int | None = None

    @contextlib.contextmanager
    def begin(self, config: Config) -> Iterator[None]:
        """Claim the folder: from now on, and whatever becomes of this process, `load` can go on with the run.

        An error in the block, which makes the trainer, gives the folder back as it was.

        Raises:
            InputError: it holds a run or files that a run would overwrite, or cannot be written.
        """
        if any(os.path.exists(self.path / name) for name in (CHECKPOINT, "config.json")):
            raise InputError(
                f"{self.path} holds a run already: add --resume to go on with it, or choose another folder with --out."
            )
        if taken := [self.path / name for name in (*FILES, "progress") if os.path.exists(self.path / name)]:
            raise InputError(f"{taken[0]} is there already and no run is: choose another folder with --out.")
        new = [folder for folder in (self.path, *self.path.parents) if not os.path.exists(folder)]
        try:
            self._write_config(config)
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # a folder that somebody else uses by now is not empty
                (self.path / "config.json").unlink(missing_ok=True)
                for folder in new:
                    folder.rmdir()
            raise

    def config(self) -> Config:
        """What the run was begun with, or steered to.

        Raises:
            InputError: there is no run, or it is broken.
        """
        path, newest = self.path / "config.json", self.path / CHECKPOINT
        kept = max(self._kept(), default=None)
        if not os.path.exists(newest) and (kept or os.path.exists(self.path / GENERATOR)):
            way = f"copy {kept[1]} to that name" if kept else "bring it back"
            raise InputError(f"{newest} is gone: {way}, or begin a new run in another folder with --out.")
        if os.path.exists(newest) or not os.path.exists(path):
            try:
                return checkpoint.load(newest)[0]
            except InputError as error:
                if not kept:
                    raise
                what = str(error).rpartition(":")[0]
                raise InputError(f"{what}: copy {kept[1]} to its name, and go on from there.") from error
        try:
            return Config(**json.loads(path.read_text("utf-8")))
        except (OSError, TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"{path} is not a whole config of this version, and there is no checkpoint yet: delete it, and start "
                "the run again."
            ) from error

    def load(self, **changes: Any) -> Trainer:
        """The run as its last checkpoint has it, or at its beginning where there is none; see `Trainer.load`."""
        if not os.path.exists(self.path / CHECKPOINT):
            return Trainer(self.config().replace(**changes))
        trainer = Trainer.load(self.path / CHECKPOINT, **changes)
        self._newest = trainer.steps_done
        return trainer

    def adopt(self, trainer: Trainer) -> None:
        """Write what a resume has changed at once: a run that is killed now goes on with it, too."""
        if trainer.steps_done:
            self.save(trainer)
        else:
            self._write_config(trainer.config)

    def tidy(self, step: int) -> None:
        """Remove what a run that goes on at this step makes again, and what processes that were killed left behind.

        A frame between two times 25 steps, with which a run ended, is none of a longer run's.
        """
        for frame in self._frames():
            if int(frame.stem) > step or int(frame.stem) % FRAME_EVERY:
                remove(frame)
        for folder in (self.path, self.path / "progress"):
            remove_stale(folder)

    def add_frame(self, trainer: Trainer) -> None:
        """Write what the fixed z give now.

        Raises:
            Diverged: a weight or a running statistic is not finite.
            InputError: see `writing.write_file`.
        """
        trainer.guard.weights(trainer.steps_done, generator=trainer.generator, discriminator=trainer.discriminator)
        frame = self.path / "progress" / f"{trainer.steps_done:07d}.png"
        save_grid(frame, trainer.sample())

    def save(self, trainer: Trainer) -> None:
        """Write all but the animation; the checkpoint first, so that the rest can always be made again from it.

        Raises:
            Diverged, InputError: see `Trainer.save`; then none of the files is written.
        """
        self._save_checkpoint(trainer)
        self._write_config(trainer.config)
        self.save_history(trainer)
        save_generator(self.path / GENERATOR, trainer.generator, trainer.config)
        save_grid(self.path / "samples.png", trainer.sample())

    def _write_config(self, config: Config) -> None:
        write_text(self.path / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")

    def _save_checkpoint(self, trainer: Trainer) -> None:
        newest, step = self.path / CHECKPOINT, trainer.steps_done
        if self.keep not in (None, 1) and self._newest not in (None, step) and newest.exists():
            with newest.open("rb") as whole:  # a copy, and no link: not every file system has links
                write_file(self._numbered(self._newest), lambda file: shutil.copyfileobj(whole, file))
        self._newest = None  # an error on the way leaves the old one or the new one
        trainer.save(newest)
        self._newest = step
        if self.keep is None:
            return
        old = sorted(((number, path) for number, path in self._kept() if number < step), reverse=True)
        for _, path in old[self.keep - 1 :]:
            remove(path)

    def _kept(self) -> list[tuple[int, Path]]:
        """The steps and files of the checkpoints before the newest, in no order."""
        paths = [self.path / name for name in glob.glob("checkpoint-*.pt", root_dir=self.path)]  # takes any folder
        found = [(path.stem.removeprefix("checkpoint-"), path) for path in paths]
        return [(int(number), path) for number, path in found if number.isdecimal() and os.path.isfile(path)]

    def _numbered(self, step: int) -> Path:
        return self.path / f"checkpoint-{step:07d}.pt"

    def save_history(self, trainer: Trainer) -> None:
        """Write history.csv."""
        write_text(self.path / "history.csv", trainer.history.to_csv())

    def save_gif(self) -> None:
        """Write progress.gif from the frames; one that somebody has damaged is left out."""
        frames = []
        for path in self._frames():
            with contextlib.suppress(*READING_ERRORS):
                frame = Image.open(io.BytesIO(path.read_bytes()))
                frame.load()
                frames.append(frame)
        save_gif(self.path / "progress.gif", frames)

    def _frames(self) -> list[Path]:
        frames = (self.path / "progress").glob("*.png")
        return sorted((p for p in frames if p.stem.isdecimal() and p.is_file()), key=lambda path: int(path.stem))

    def written(self) -> list[Path]:
        """The files that are there, in the order of the docstring above."""
        return [self.path / name for name in FILES if (self.path / name).exists()]
