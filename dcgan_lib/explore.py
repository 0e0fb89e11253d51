"""Sliders around a drawing, where nothing trains.

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

from dcgan_lib.config import headless
from dcgan_lib.viz import compact, to_image, to_png

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
        still = draw(**values)
        display(PngImage(to_png(compact(still if isinstance(still, Image.Image) else to_image(still)))))
        return
    picture, said, lock = widgets.Image(format="png", value=to_png(draw(**values))), widgets.HTML(), threading.RLock()
    picture.layout = widgets.Layout(**NATURAL)
    picture.add_class("dcgan-explored")

    def redraw(_change: Any) -> None:
        with lock:
            try:
                picture.value = to_png(draw(**{name: control.value for name, control in controls.items()}))
                said.value = ""
            except Exception as error:  # in a callback nobody would see it
                said.value = error_text(error)

    for name, control in controls.items():
        control.description = control.description or name.replace("_", " ")
        control.style, control.layout = LABEL, WIDE
        control.observe(redraw, "value")
        control.add_class(f"dcgan-{name.replace('_', '-').replace(' ', '-')}")
    display(widgets.VBox([*controls.values(), said, picture]))


def error_text(error: BaseException) -> str:
    """An error as a red line for a widget."""
    return f"<span style='color:#d64545'>{html.escape(f'{type(error).__name__}: {error}')}</span>"
