"""Pictures for notebooks; nothing in here changes a result."""

import inspect
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from dcgan_lib.grids import grid
from dcgan_lib.history import History

D_COLOUR, G_COLOUR, REAL_COLOUR = "#2f6db3", "#d9742b", "#3a8f57"
"""The discriminator is blue, the generator orange and real data green, in every figure."""
MEAN_OF = 25
"""Over how many steps long curves are averaged."""


def show_source(*objects: Callable[..., Any]) -> None:
    """Show the library's own text of functions and classes, in a form that a saved notebook keeps."""
    for item in objects:
        source = inspect.getsource(item)
        display({"text/markdown": f"```python\n{source}```", "text/plain": source}, raw=True)


def to_png(picture: Figure | Image.Image) -> bytes:
    """A figure (without its white margins) or an image as the bytes of a PNG file."""
    file = io.BytesIO()
    (to_image(picture) if isinstance(picture, Figure) else picture).save(file, format="PNG")
    return file.getvalue()


def to_image(figure: Figure, dpi: int = 90) -> Image.Image:
    """A figure as an RGB image, without its white margins.

    Drawn once and then cropped; matplotlib's own bbox_inches="tight" would draw it twice.
    """
    figure.set_dpi(dpi)
    if figure.get_layout_engine() is None and any(axes.get_subplotspec() for axes in figure.axes):
        figure.set_layout_engine("constrained")  # or long labels would end outside the figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    left, top, right, bottom = ImageOps.invert(image).getbbox() or (0, 0, *image.size)
    return ImageOps.expand(image.crop((left, top, right, bottom)), 6, "white")


def compact(image: Image.Image) -> Image.Image:
    """The same image with at most 256 colours: a third of the bytes in a stored notebook, and nothing to see of it."""
    return image.quantize(256, dither=Image.Dither.NONE)


def show_rows(rows: dict[str, Tensor], columns: int | None = None, scale: int = 2) -> Image.Image:
    """Rows of pictures, each with its name on the left, as one image.

    Args:
        rows: name to pictures (N, C, H, W), uint8 in 0..255 or float in [-1, 1].
        columns: at most so many of each; left out, all.
        scale: each pixel becomes scale x scale, unsmoothed; rows of smaller pictures are enlarged to the same size.
    """
    font = ImageFont.load_default(13)
    margin = max(math.ceil(font.getlength(name)) for name in rows) + 10
    largest = max(images.shape[-1] for images in rows.values())
    grids = [grid(i[:columns], len(i[:columns]), scale * largest // i.shape[-1]) for i in rows.values()]
    joined = Image.new("RGB", (margin + max(row.width for row in grids), sum(row.height for row in grids)), "white")
    pen, y = ImageDraw.Draw(joined), 0
    for name, row in zip(rows, grids, strict=True):
        joined.paste(row, (margin, y))
        pen.text((margin - 6, y + row.height / 2), name, "black", font, anchor="rm")
        y += row.height
    return compact(joined)


def _curve(axes: Axes, history: History, column: str, name: str, colour: str) -> None:
    """One column against the step; a long one pale, with its mean over 25 steps drawn over it."""
    steps, values = history["step"], history[column]
    long = len(values) >= 2 * MEAN_OF
    axes.plot(steps, values, color=colour, lw=0.8, alpha=0.3 if long else 1, label=None if long else name)
    if long:
        means = np.convolve(values, np.full(MEAN_OF, 1 / MEAN_OF), mode="valid")
        axes.plot(steps[MEAN_OF - 1 :], means, color=colour, lw=1.5, label=name)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, frameon=False, fontsize=9)


def plot_losses(history: History, axes: Axes) -> None:
    """Both losses against the step, with the landmarks of a discriminator that knows nothing."""
    _curve(axes, history, "d_loss", "d_loss", D_COLOUR)
    _curve(axes, history, "g_loss", "g_loss", G_COLOUR)
    for value, name, colour in ((2 * math.log(2), "2 ln 2", D_COLOUR), (math.log(2), "ln 2", G_COLOUR)):
        axes.axhline(value, color=colour, lw=0.8, ls=":")
        axes.annotate(f" {name}", (1, value), xycoords=("axes fraction", "data"), fontsize=8, va="center", color=colour)
    top = max(3.0, 1.05 * float(max(history["d_loss"].max(), history["g_loss"].max()))) if len(history) else 3.0
    axes.set_ylim(0, min(top, 12))
    _finish(axes, "losses")


def plot_probabilities(history: History, axes: Axes) -> None:
    """D(x) and D(G(z)) against the step, with the line at 1/2 where the discriminator can only guess."""
    _curve(axes, history, "d_x", "D(x)", REAL_COLOUR)
    _curve(axes, history, "d_gz_before", "D(G(z))", G_COLOUR)
    axes.axhline(0.5, color="grey", lw=0.8, ls=":")
    axes.set(ylim=(0, 1), xlabel="step")
    _finish(axes, "what the discriminator believes")


def plot_history(history: History) -> Figure:
    """The curves of a run: losses above, probabilities below."""
    figure = Figure(figsize=(6, 5.6), layout="constrained")
    top, bottom = figure.subplots(2, sharex=True)
    plot_losses(history, top)
    plot_probabilities(history, bottom)
    return figure


def show_progress(history: History, images: Tensor) -> Image.Image:
    """Pictures (N, C, H, W) on the left, the curves of their run on the right, as one image."""
    pictures, curves = grid(images, scale=max(1, 64 // images.shape[-1])), to_image(plot_history(history))
    height = max(pictures.height, curves.height)
    joined = Image.new("RGB", (pictures.width + curves.width + 10, height), "white")
    joined.paste(pictures, (0, (height - pictures.height) // 2))
    joined.paste(curves, (pictures.width + 10, (height - curves.height) // 2))
    return compact(joined)
