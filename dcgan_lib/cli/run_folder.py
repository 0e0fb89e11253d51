"""The folder that a run of the command line leaves behind."""

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from dcgan_lib import checkpoint
from dcgan_lib.checkpoint import CHECKPOINT, GENERATOR, NUMBER, checkpoint_name
from dcgan_lib.config import Config
from dcgan_lib.curves import plot_history
from dcgan_lib.images import save_gif, save_grid
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.environment import writable
from dcgan_lib.utils.errors import require
from dcgan_lib.utils.files import remove_unfinished, write_text

FILES = ("config.json", "history.csv", CHECKPOINT, GENERATOR, "samples.png", "progress.gif", "index.html")
FRAME_EVERY = 25
PAGE = (Path(__file__).parent / "page.html").read_text("utf-8")


class RunFolder:
    """Writes a run's files while it trains, each whole or not at all: `FILES`, and the frames of the animation in
    progress/, a PNG for every 25 steps.

    Args:
        keep: of how many saves the checkpoint stays as checkpoint-0000500.safetensors, too; left out, none of these is
            added or removed.
    """

    def __init__(self, path: Path | str, keep: int | None = None) -> None:
        self.path, self.keep = Path(path), keep

    def require_free(self) -> None:
        """Raises InputError where the folder holds files that a run would overwrite, or cannot be written."""
        require(writable(self.path), f"{self.path} cannot be written: choose another folder with --out.")
        taken = next((name for name in (*FILES, "progress") if (self.path / name).exists()), None)
        require(taken is None, f"{self.path} holds {taken} already: add --resume, or choose another folder with --out.")

    def config(self) -> Config:
        """What the run was begun with, or steered to.

        Raises:
            InputError: there is no run, or it is broken.
        """
        newest, path = self.path / CHECKPOINT, self.path / "config.json"
        if newest.exists():
            return checkpoint.load(newest)[0]
        require(not (self.path / GENERATOR).exists(), f"{newest} is gone: bring it back, or copy a kept one there.")
        require(path.exists(), f"{self.path} holds no run: leave --resume out to begin one, or change --out.")
        return checkpoint.parse_config(path, path.read_text("utf-8", "replace"))

    def load(self, **changes: Any) -> Trainer:
        """The run as its last checkpoint has it, or at its beginning where there is none; see `Trainer.load`."""
        if not (self.path / CHECKPOINT).exists():
            return Trainer(self.config().replace(**changes))
        return Trainer.load(self.path / CHECKPOINT, **changes)

    def tidy(self, trainer: Trainer) -> None:
        """Make ready for the next step: remove what will be made again, and what a killed process left unfinished.

        A frame between two times 25 steps, with which a run ended, is none of a longer run's.
        """
        for frame in self._frames():
            if int(frame.stem) > trainer.steps_done or int(frame.stem) % FRAME_EVERY:
                frame.unlink()
        for folder in (self.path, self.path / "progress"):
            remove_unfinished(folder)
        if trainer.steps_done == 0:
            self.add_frame(trainer)

    def add_frame(self, trainer: Trainer) -> None:
        """Write what the fixed z give now.

        Raises:
            Diverged: a weight or a running statistic is not finite.
            InputError: see `utils.files.write_file`.
        """
        trainer.require_finite_weights()
        save_grid(self.path / "progress" / f"{trainer.steps_done:07d}.png", trainer.sample())

    def save(self, trainer: Trainer) -> None:
        """Write all but the animation; the checkpoint first, so that the rest can always be made again from it.

        Raises:
            Diverged, InputError: see `Trainer.save`; then none of the files is written.
        """
        self._save_checkpoint(trainer)
        self.write_config(trainer.config)
        self.save_history(trainer)
        checkpoint.save_generator(self.path / GENERATOR, trainer.best_generator, trainer.config)
        save_grid(self.path / "samples.png", trainer.sample())

    def _save_checkpoint(self, trainer: Trainer) -> None:
        if self.keep:
            trainer.save(self.path / checkpoint_name(trainer.steps_done))
            for path in sorted(self.path.glob(f"checkpoint-{NUMBER}.safetensors"))[: -self.keep]:
                path.unlink()
        trainer.save(self.path / CHECKPOINT)

    def write_config(self, config: Config) -> None:
        """Write config.json: from now on, and whatever becomes of this process, `load` can go on with the run."""
        write_text(self.path / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")

    def save_history(self, trainer: Trainer) -> None:
        """Write history.csv."""
        write_text(self.path / "history.csv", trainer.history.to_csv())

    def save_gif(self) -> None:
        """Write progress.gif from the frames."""
        frames = [Image.open(io.BytesIO(path.read_bytes())) for path in self._frames()]  # so that no file stays open
        save_gif(self.path / "progress.gif", frames)

    def save_page(self, trainer: Trainer, words: str, command: str) -> None:
        """Write index.html, which shows the run in a browser: these words, its pictures and curves, and the command."""
        png, settings = io.BytesIO(), json.dumps(trainer.config.to_dict(), indent=2)
        plot_history(trainer.history).savefig(png, format="png")
        texts = {"name": self.path.name, "words": words, "command": command, "settings": settings}
        texts = {key: html.escape(text) for key, text in texts.items()}
        curves = base64.b64encode(png.getvalue()).decode()
        write_text(self.path / "index.html", PAGE.format(**texts, curves=curves, steps=trainer.steps_done))

    def words(self) -> str:
        """What index.html says of the run; nothing where it is older than the checkpoint."""
        page, newest = self.path / "index.html", self.path / CHECKPOINT
        if not (page.exists() and newest.exists() and page.stat().st_mtime_ns >= newest.stat().st_mtime_ns):
            return ""
        return html.unescape(page.read_text("utf-8").partition("<p>")[2].partition("</p>")[0])

    def _frames(self) -> list[Path]:
        return sorted((self.path / "progress").glob(f"{NUMBER}.png"))
