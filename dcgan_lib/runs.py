"""The folder that a run of the command line leaves behind.

Used by `python -m dcgan_lib`.
"""

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import save_generator
from dcgan_lib.config import Config, InputError
from dcgan_lib.grids import save_gif, save_grid
from dcgan_lib.trainer import Trainer
from dcgan_lib.writing import remove_stale, write_file, write_text

CHECKPOINT = "checkpoint.pt"
GENERATOR = "generator.safetensors"
FRAME_EVERY = 25
RESERVED = re.compile(r"(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])", re.IGNORECASE)
"""Names that Windows keeps for itself."""


def free_folder(config: Config) -> Path:
    """runs/NAME, or runs/NAME-2, -3 ... where that is taken; a name that every system takes."""
    stem = re.sub(r"\W+", "_", Path(config.data).name).strip("_")[:60] or "run"
    stem += "_" * bool(RESERVED.fullmatch(stem))
    numbered = (Path("runs") / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 1_000_000))
    return next(folder for folder in numbered if not os.path.exists(folder))


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
            InputError: it holds a run already, or cannot be written.
        """
        if any(os.path.exists(self.path / name) for name in (CHECKPOINT, "config.json")):
            raise InputError(
                f"{self.path} holds a run already: add --resume to go on with it, or choose another folder with --out."
            )
        new = [folder for folder in (self.path, *self.path.parents) if not os.path.exists(folder)]
        self._write_config(config)
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # a folder that somebody else uses by now is not empty
                (self.path / "config.json").unlink()
                for folder in new:
                    folder.rmdir()
            raise

    def config(self) -> Config:
        """What the run was begun with, or steered to.

        Raises:
            InputError: there is no run, or it is broken.
        """
        path = self.path / "config.json"
        if os.path.exists(self.path / CHECKPOINT) or not os.path.exists(path):
            return checkpoint.load(self.path / CHECKPOINT)[0]
        try:
            return Config(**json.loads(path.read_text("utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a whole config of this version: start the run again.") from error

    def load(self, **changes: Any) -> Trainer:
        """The run as its last checkpoint has it, or at its beginning where there is none; see `Trainer.load`."""
        if not os.path.exists(self.path / CHECKPOINT):
            return Trainer(self.config().replace(**changes))
        trainer = Trainer.load(self.path / CHECKPOINT, **changes)
        self._newest = trainer.steps_done
        return trainer

    def tidy(self, step: int) -> None:
        """Remove what a run that goes on at this step makes again, and what processes that were killed left behind.

        A frame between two times 25 steps, with which a run ended, is none of a longer run's.
        """
        for frame in self._frames():
            if int(frame.stem) > step or int(frame.stem) % FRAME_EVERY:
                frame.unlink()
        for folder in (self.path, self.path / "progress"):
            remove_stale(folder)

    def add_frame(self, trainer: Trainer) -> None:
        """Write what the fixed z give now.

        Raises:
            Diverged: a weight of the generator is not finite.
            InputError: see `writing.write_file`.
        """
        trainer.guard.weights(trainer.steps_done, generator=trainer.generator)
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
        old = [path for path in self.path.glob("checkpoint-*.pt") if (n := path.stem[11:]).isdigit() and int(n) < step]
        for path in sorted(old, key=lambda path: int(path.stem[11:]), reverse=True)[self.keep - 1 :]:
            path.unlink()

    def _numbered(self, step: int) -> Path:
        return self.path / f"checkpoint-{step:07d}.pt"

    def save_history(self, trainer: Trainer) -> None:
        """Write history.csv."""
        write_text(self.path / "history.csv", trainer.history.to_csv())

    def save_gif(self) -> None:
        """Write progress.gif from the frames."""
        frames = [Image.open(io.BytesIO(frame.read_bytes())) for frame in self._frames()]
        save_gif(self.path / "progress.gif", frames)

    def _frames(self) -> list[Path]:
        frames = [path for path in (self.path / "progress").glob("*.png") if path.stem.isdigit()]
        return sorted(frames, key=lambda path: int(path.stem))

    def written(self) -> list[Path]:
        """The files that are there, in the order of the docstring above."""
        names = ("config.json", "history.csv", CHECKPOINT, GENERATOR, "samples.png", "progress.gif")
        return [self.path / name for name in names if (self.path / name).exists()]
