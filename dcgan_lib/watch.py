"""Training with a picture that follows, in a cell that waits for the end.

Taught in notebooks/00_quickstart.ipynb; to steer a run while it trains, see `lab`.
"""

from IPython.display import Image as PngImage
from IPython.display import display
from PIL import Image

from dcgan_lib.config import headless
from dcgan_lib.grids import grid
from dcgan_lib.trainer import Trainer
from dcgan_lib.viz import show_progress, to_png


def watch(
    trainer: Trainer, steps: int | None = None, seconds: float | None = None, every: int = 25
) -> list[Image.Image]:
    """Train, with pictures and curves that follow; returns the frames for `grids.save_gif`.

    Args:
        steps, seconds: how long, whichever ends first; without both, to the end of `trainer.config.steps`.
        every: a new frame after so many steps.
    """
    frames = [grid(trainer.sample())]
    shown = None if headless() else display(PngImage(to_png(frames[0])), display_id=True)

    def follow(trainer: Trainer) -> None:
        images = trainer.sample()
        frames.append(grid(images))
        if shown:
            shown.update(PngImage(to_png(show_progress(trainer.history, images))))

    trainer.train(steps=steps, seconds=seconds, every=every, on_progress=follow)
    if not shown:
        display(PngImage(to_png(show_progress(trainer.history, trainer.sample()))))
    return frames
