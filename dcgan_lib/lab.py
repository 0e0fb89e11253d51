"""Widgets: sliders around a drawing, and training with a picture that moves.

Only traits of widgets are written, never `Output` areas, because callbacks may run in another thread than cells do.
Where no browser will answer (`DCGAN_HEADLESS`) the same code runs once, in the cell, and shows a still.
"""

import html
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from IPython.display import Image as PngImage
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from dcgan_lib.config import Config, headless
from dcgan_lib.data import PictureSet
from dcgan_lib.grids import grid
from dcgan_lib.trainer import Trainer
from dcgan_lib.viz import show_progress, to_png

LABEL = {"description_width": "9em"}
WIDE = {"width": "30em", "max_width": "100%"}
NATURAL = {"max_width": "100%", "object_fit": "contain", "align_self": "flex-start"}  # a box would stretch a picture


def explore(draw: Callable[..., Figure | Image.Image], **controls: widgets.Widget) -> None:
    """Show `draw(name=value, ...)` and draw it again whenever a control moves.

    An error in `draw` is shown below the controls; headless it is raised, so that no test passes over it.

    Args:
        draw: gets every control's value under its name.
        controls: sliders, drop-downs and boxes of ipywidgets; without a description they show their name.
    """
    values = {name: control.value for name, control in controls.items()}
    if headless():
        display(PngImage(to_png(draw(**values))))
        return
    picture, said, lock = widgets.Image(format="png", value=to_png(draw(**values))), widgets.HTML(), threading.RLock()
    picture.layout = widgets.Layout(**NATURAL)

    def redraw(_change: Any) -> None:
        with lock:
            try:
                picture.value = to_png(draw(**{name: control.value for name, control in controls.items()}))
                said.value = ""
            except Exception as error:  # in a callback nobody would see it
                said.value = _error(error)

    for name, control in controls.items():
        control.description = control.description or name.replace("_", " ")
        control.style, control.layout = LABEL, WIDE
        control.observe(redraw, "value")
    display(widgets.VBox([*controls.values(), said, picture]))


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


def start_runs(config: Config, pictures: PictureSet) -> None:
    """lr and beta1 as sliders, and a button that starts a new run from the same weights with what they say.

    The last two runs stay side by side. Headless, one run with the sliders' first values is shown.
    """
    if headless():
        watch(Trainer(config, pictures))
        return
    lr = widgets.FloatLogSlider(value=config.lr, min=-5, max=-1, step=0.1, description="lr", style=LABEL, layout=WIDE)
    beta1 = widgets.FloatSlider(
        value=config.beta1, min=0, max=0.95, step=0.05, description="beta1", style=LABEL, layout=WIDE
    )
    start, said = widgets.Button(description="Start a new run", button_style="success"), widgets.HTML()
    results = widgets.VBox([])
    lock = threading.RLock()

    def run(_button: widgets.Button) -> None:
        with lock:
            start.disabled = True
            try:
                trainer = Trainer(config.replace(lr=lr.value, beta1=beta1.value), pictures)
                picture = widgets.Image(format="png", value=to_png(grid(trainer.sample())))
                picture.layout = widgets.Layout(**NATURAL)
                title = widgets.HTML(f"<b>lr {lr.value:.1e}, beta1 {beta1.value:.2f}</b>")
                results.children = [widgets.VBox([title, picture]), *results.children[:1]]

                def follow(trainer: Trainer) -> None:
                    picture.value = to_png(show_progress(trainer.history, trainer.sample()))
                    said.value = f"step {trainer.steps_done} of {config.steps}"

                trainer.train(every=25, on_progress=follow)
                said.value = "done: move a slider and start another run to compare"
            except Exception as error:  # in a callback nobody would see it
                said.value = _error(error)
            finally:
                start.disabled = False

    start.on_click(run)
    display(widgets.VBox([lr, beta1, widgets.HBox([start, said]), results]))


def _error(error: Exception) -> str:
    return f"<span style='color:#c0392b'>{html.escape(f'{type(error).__name__}: {error}')}</span>"
