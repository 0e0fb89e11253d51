"""Sliders around a drawing, where nothing trains; one of these drawings is a walk through z.

Only traits of widgets are written, never `Output` areas, because callbacks may run in another thread than cells do.
Where no browser will answer (`DCGAN_HEADLESS`) the same code runs once, in the cell, and shows a still.

Used in notebooks 00 to 08.
"""

import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
import torch
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor, nn

from dcgan_lib.curves import D_COLOUR, G_COLOUR
from dcgan_lib.images import grid, side_by_side, stacked
from dcgan_lib.sampling import sample, sample_latents, slerp
from dcgan_lib.utils.environment import headless
from dcgan_lib.viz.show import HIDE_STILL, show_picture, still, to_png

PARENTS, COLUMNS, STEPS = 24, 6, 9
LARGE, SMALL = 256, 64  # about so many pixels for the image that is made, and for those beside it
NATURAL_SIZE = {"max_width": "100%", "object_fit": "contain", "align_self": "flex-start"}  # a box would stretch it


def explore(
    draw: Callable[..., Figure | Image.Image], alt: str | Callable[..., str], **controls: widgets.Widget
) -> None:
    """Show `draw(name=value, ...)` and draw it again whenever a control moves.

    An error in `draw` is shown below the controls; headless it is raised, so that no test passes over it.

    Args:
        draw: gets every control's value under its name.
        alt: what the first picture shows, for readers who cannot see it; a function gets the values as `draw` does.
        controls: sliders, drop-downs and boxes of ipywidgets; without a description they show their name.
    """

    def values() -> dict[str, Any]:
        return {name: control.value for name, control in controls.items()}

    first = draw(**values()), alt if isinstance(alt, str) else alt(**values())
    if headless():
        show_picture(*first)
        return
    picture = named("explored", widgets.Image(value=to_png(first[0]), layout=NATURAL_SIZE))
    message = widgets.HTML()

    def redraw(_change: Any) -> None:
        try:
            picture.value = to_png(draw(**values()))
            message.value = ""
        except Exception as error:  # in a callback nobody would see it
            message.value = error_text(error)

    for name, control in controls.items():
        control.description = control.description or name.replace("_", " ")
        style_control(name, control)
        control.observe(redraw, "value")
    display(widgets.VBox([*controls.values(), message, picture, widgets.HTML(HIDE_STILL)]))
    display(still(*first), raw=True)


def style_control(name: str, control: widgets.Widget) -> None:
    """Name a control, and give it the width that all have."""
    named(name, control)
    control.style = {"description_width": "9em"}
    control.layout = {"width": "30em", "max_width": "100%"}


def named(name: str, widget: widgets.Widget) -> widgets.Widget:
    """The widget, with a CSS class such as dcgan-one-d-step for the name "One D step"."""
    widget.add_class("dcgan-" + name.lower().replace("_", "-").replace(" ", "-"))
    return widget


def error_text(error: BaseException) -> str:
    """An error as a red line for a widget."""
    return f"<span style='color:#d64545'>{html.escape(f'{type(error).__name__}: {error}')}</span>"


def explore_latent(generator: nn.Module, directions: Mapping[str, Tensor], seed: int = 0) -> None:
    """Pick two parents from a grid, walk from one to the other, and push the result along directions.

    Args:
        generator: trained, with an attribute `latent_dim`.
        directions: name to vector (latent_dim,), a slider each.
        seed: of the 24 parents.
    """
    z = sample_latents(PARENTS, generator.latent_dim, seed, "parents")
    parents = sample(generator, z)
    small, large = (max(1, size // parents.shape[-1]) for size in (SMALL, LARGE))
    walk = torch.linspace(0, 1, STEPS)[:, None]

    def draw(first: int, second: int, path: float, **pushes: float) -> Image.Image:
        push = sum(amount * directions[name] for name, amount in pushes.items())
        a, b = z[first - 1], z[second - 1]
        made = sample(generator, torch.cat([slerp(a, b, path)[None], slerp(a, b, walk)]) + push)
        choice, strip = grid(parents, COLUMNS, small), grid(made[1:], STEPS, small)
        _frame(choice, first - 1, COLUMNS, D_COLOUR)
        _frame(choice, second - 1, COLUMNS, G_COLOUR)
        _frame(strip, round(path * (STEPS - 1)), STEPS, "black")
        return stacked(side_by_side(choice, grid(made[:1], 1, large), gap=16), strip, gap=8)

    explore(
        draw,
        "24 generated pictures, two of them framed as parents; the picture halfway between these, enlarged; and nine "
        "steps from one to the other.",
        first=widgets.IntSlider(1, 1, PARENTS, description="blue parent"),
        second=widgets.IntSlider(2, 1, PARENTS, description="orange parent"),
        path=widgets.FloatSlider(value=0.5, min=0, max=1, step=0.02, description="path"),
        **{name: widgets.FloatSlider(value=0, min=-6, max=6, step=0.25, description=name) for name in directions},
    )


def _frame(image: Image.Image, number: int, columns: int, colour: str) -> None:
    """Draw a frame round an image of a grid, counted from 0."""
    side = image.width // columns
    x, y = number % columns * side, number // columns * side
    ImageDraw.Draw(image).rectangle((x, y, x + side, y + side), outline=colour, width=4)
