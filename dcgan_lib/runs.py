"""The folder that a run of the command line leaves behind.

Used by `python -m dcgan_lib`.
"""

import io
import json
import re
from pathlib import Path

from PIL import Image

from dcgan_lib.checkpoint import save_generator, write_text
from dcgan_lib.config import Config, InputError
from dcgan_lib.grids import save_gif, save_grid
from dcgan_lib.trainer import Trainer

CHECKPOINT = "checkpoint.pt"
GENERATOR = "generator.safetensors"


def free_folder(config: Config) -> Path:
    """runs/NAME, or runs/NAME-2, -3 ... where that is taken."""
    stem = re.sub(r"\W+", "_", Path(config.data).name).strip("_") or "run"
    numbered = (Path("runs") / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 1_000_000))
    return next(folder for folder in numbered if not folder.exists())


class RunFolder:
    """Writes a run's files while it trains, each whole or not at all.

    config.json, history.csv, checkpoint.pt, generator.safetensors, samples.png and progress.gif, and in progress/
    the frames of the animation, one PNG for each report.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def require_empty(self) -> None:
        """Raises InputError where the folder holds a run already."""
        if (self.path / CHECKPOINT).exists() or (self.path / "config.json").exists():
            raise InputError(
                f"{self.path} holds a run already: add --resume to go on with it, or choose another folder with --out."
            )

    def add_frame(self, trainer: Trainer) -> None:
        """Write what the fixed z give now."""
        frame = self.path / "progress" / f"{trainer.steps_done:07d}.png"
        save_grid(frame, trainer.sample())

    def save(self, trainer: Trainer) -> None:
        """Write all but the animation; the checkpoint first, so that the rest can always be made again from it."""
        trainer.save(self.path / CHECKPOINT)
        write_text(self.path / "config.json", json.dumps(trainer.config.to_dict(), indent=2) + "\n")
        write_text(self.path / "history.csv", trainer.history.to_csv())
        save_generator(self.path / GENERATOR, trainer.generator, trainer.config)
        save_grid(self.path / "samples.png", trainer.sample())

    def save_gif(self) -> None:
        """Write progress.gif from the frames."""
        frames = sorted((self.path / "progress").glob("*.png"))
        save_gif(self.path / "progress.gif", [Image.open(io.BytesIO(frame.read_bytes())) for frame in frames])

    def drop_frames_after(self, step: int) -> None:
        """Forget frames of steps that a resumed run takes again."""
        for frame in (self.path / "progress").glob("[0-9]" * 7 + ".png"):
            if int(frame.stem) > step:
                frame.unlink()

    def written(self) -> list[Path]:
        """The files that are there, in the order of the docstring above."""
        names = ("config.json", "history.csv", CHECKPOINT, GENERATOR, "samples.png", "progress.gif")
        return [self.path / name for name in names if (self.path / name).exists()]
