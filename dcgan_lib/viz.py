"""Pictures for notebooks; nothing in here changes a result."""

import inspect
import io
import math
from collections.abc import Callable
from typing import Any

from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from dcgan_lib.grids import grid
from dcgan_lib.history import History

D_COLOUR, G_COLOUR, REAL_COLOUR = "#2f6db3", "#d9742b", "#3a8f57"
"""The discriminator is blue, the generator orange and real data green, in every figure."""


def show_source(*objects: Callable[..., Any]) -> None:
    """Show the library's own text of functions and classes, in a form that a saved notebook keeps."""
    for item in objects:
        source = inspect.getsource(item)
        display({"text/markdown": f"```python\n{source}```", "text/plain": source}, raw=True)


def to_png(picture: Figure | Image.Image) -> bytes:
    """A figure or an image as the bytes of a PNG file."""
    file = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(file, format="png", dpi=90, bbox_inches="tight", facecolor="white")
    else:
        picture.save(file, format="PNG")
    return file.getvalue()


def show_rows(rows: dict[str, Tensor], columns: int | None = None, size: float = 0.7) -> Figure:
    """Rows of pictures, each with its name on the left.

    Args:
        rows: name to pictures (N, C, H, W), uint8 in 0..255 or float in [-1, 1].
        columns: at most so many of each; left out, all.
        size: height and width of one picture, in inches.
    """
    count = max(len(images[:columns]) for images in rows.values())
    figure = Figure(figsize=(size * count, size * len(rows) * 1.03))
    for axes, (name, images) in zip(figure.subplots(len(rows), squeeze=False)[:, 0], rows.items(), strict=True):
        axes.imshow(grid(images[:columns], columns=len(images[:columns])), interpolation="nearest")
        axes.set_yticks([images.shape[-2] / 2], [name], fontsize=9)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_anchor("W")
    figure.subplots_adjust(hspace=0.03)
    return figure


def plot_losses(history: History, axes: Axes) -> None:
    """Both losses against the step, with the landmarks of a discriminator that knows nothing."""
    axes.plot(history["step"], history["d_loss"], color=D_COLOUR, lw=0.8, label="d_loss")
    axes.plot(history["step"], history["g_loss"], color=G_COLOUR, lw=0.8, label="g_loss")
    for value, name, colour in ((2 * math.log(2), "2 ln 2", D_COLOUR), (math.log(2), "ln 2", G_COLOUR)):
        axes.axhline(value, color=colour, lw=0.8, ls=":")
        axes.annotate(name, (1, value), xycoords=("axes fraction", "data"), fontsize=8, va="center", color=colour)
    top = max(3.0, 1.05 * float(max(history["d_loss"].max(), history["g_loss"].max()))) if len(history) else 3.0
    axes.set(ylim=(0, min(top, 12)), title="losses")
    axes.legend(loc="upper right", fontsize=8)


def plot_probabilities(history: History, axes: Axes) -> None:
    """D(x) and D(G(z)) against the step, with the line at 1/2 where the discriminator can only guess."""
    axes.plot(history["step"], history["d_x"], color=REAL_COLOUR, lw=0.8, label="D(x)")
    axes.plot(history["step"], history["d_gz_before"], color=G_COLOUR, lw=0.8, label="D(G(z))")
    axes.axhline(0.5, color="grey", lw=0.8, ls=":")
    axes.set(ylim=(0, 1), title="what the discriminator believes", xlabel="step")
    axes.legend(loc="upper right", fontsize=8)


def plot_history(history: History, images: Tensor | None = None) -> Figure:
    """The curves of a run, and beside them pictures (N, C, H, W) where some are given."""
    figure = Figure(figsize=(10.5, 4.6) if images is not None else (8, 4.6), layout="constrained")
    curves = figure
    if images is not None:
        left, curves = figure.subfigures(1, 2, width_ratios=(1, 1.15))
        shown = left.subplots()
        shown.imshow(grid(images), interpolation="nearest")
        shown.set_axis_off()
        shown.set_title(f"the same z, step {len(history)}", fontsize=10)
    top, bottom = curves.subplots(2, sharex=True)
    plot_losses(history, top)
    plot_probabilities(history, bottom)
    return figure
