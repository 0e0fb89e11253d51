"""Library code and images in a form that a saved notebook keeps; nothing in here changes a result.

Used in notebooks 00 to 08 and 11.
"""

import base64
import html
import inspect
import io
import math
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from dcgan_lib.curves import D_COLOUR, G_COLOUR, GREY, REAL_COLOUR, plot_history  # noqa: F401  # colours for 01
from dcgan_lib.history import History
from dcgan_lib.images import grid, side_by_side, stacked


def show_source(*objects: Callable[..., Any]) -> None:
    """Show the library's own text of functions and classes."""
    for item in objects:
        source = inspect.getsource(item)
        display({"text/markdown": f"```python\n{source}```", "text/plain": source}, raw=True)


def to_image(picture: Figure | Image.Image, dpi: int = 90) -> Image.Image:
    """A figure as an RGB image with a narrow white margin; an image as it is.

    Drawn once and then cropped; matplotlib's own bbox_inches="tight" would draw it twice.
    """
    if isinstance(picture, Image.Image):
        return picture
    picture.set_dpi(dpi)
    if picture.get_layout_engine() is None and any(axes.get_subplotspec() for axes in picture.axes):
        picture.set_layout_engine("constrained")  # or long labels would end outside the figure
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return ImageOps.expand(image.crop(ImageOps.invert(image).getbbox()), 6, "white")


def to_png(picture: Figure | Image.Image, compress_level: int = 6) -> bytes:
    """A figure (see `to_image`) or an image as the bytes of a PNG file; level 1 is the fastest, 9 the smallest."""
    file = io.BytesIO()
    to_image(picture).save(file, format="PNG", compress_level=compress_level)
    return file.getvalue()


def show_picture(picture: Figure | Image.Image | bytes, alt: str) -> None:
    """Show a picture below the cell, with a text for readers who cannot see it.

    Args:
        picture: a figure, which is closed, an image, or the bytes of a GIF.
        alt: what is to be seen, in one or two sentences; with the run's own numbers where it has some.
    """
    bundle, metadata = described(picture, alt)
    display(bundle, metadata=metadata, raw=True)


def described(picture: Figure | Image.Image | bytes, alt: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """A picture as Jupyter's messages have it: data and metadata by MIME type, the alternative in both."""
    kind, data = ("image/gif", picture) if isinstance(picture, bytes) else ("image/png", to_png(picture))
    if isinstance(picture, Figure):
        plt.close(picture)
    return {kind: base64.b64encode(data).decode(), "text/plain": alt}, {kind: {"alt": alt}}


HIDE_STILL = "<style>.dcgan-still { display: none !important; }</style>"  # JupyterLab styles pictures, too


def still(picture: Figure | Image.Image, alt: str) -> dict[str, str]:
    """For a notebook that is opened again, in place of a widget, which hides it by `HIDE_STILL` while it lives."""
    source = f"data:image/png;base64,{base64.b64encode(to_png(picture)).decode()}"
    return {"text/html": f"<img class='dcgan-still' alt='{html.escape(alt)}' src='{source}'>", "text/plain": alt}


def show_rows(rows: dict[str, Tensor], scale: int = 2) -> Image.Image:
    """Rows of images, each with its name on the left, as one image.

    Args:
        rows: name to images (N, C, H, W), uint8 in 0..255 or float in [-1, 1].
        scale: each pixel becomes scale x scale, unsmoothed; rows of smaller images are enlarged to the same size.
    """
    font = ImageFont.load_default(13)
    margin = max(math.ceil(font.getlength(name)) for name in rows) + 10
    largest = max(images.shape[-1] for images in rows.values())
    labelled = []
    for name, images in rows.items():
        row = grid(images, len(images), scale * largest // images.shape[-1])
        label = Image.new("RGB", (margin, row.height), "white")
        ImageDraw.Draw(label).text((margin - 6, row.height / 2), name, "black", font, anchor="rm")
        labelled.append(side_by_side(label, row))
    return stacked(*labelled)


def show_progress(history: History, images: Tensor, caption: str) -> Image.Image:
    """Images (N, C, H, W) with words below them on the left, the curves of their run on the right, as one image."""
    enlarged = grid(images, scale=max(1, 64 // images.shape[-1]))
    words = Image.new("RGB", (enlarged.width, 22), "white")
    ImageDraw.Draw(words).text((2, 4), caption, GREY, ImageFont.load_default(13))
    return side_by_side(stacked(enlarged, words), to_image(plot_history(history)), gap=10)
