"""Figures and images reach the reader whole."""

import base64
import inspect
import io

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from dcgan_lib import losses
from dcgan_lib.history import History
from dcgan_lib.images import grid
from dcgan_lib.viz import show
from dcgan_lib.viz.show import show_picture, show_rows, show_source, to_image, to_png


def test_show_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is stored as Markdown and as plain text, so that every viewer of a saved notebook has it."""
    shown = []
    monkeypatch.setattr(show, "display", lambda bundle, raw: shown.append((bundle, raw)))
    show_source(losses.real_loss, History)
    for item, (bundle, raw) in zip((losses.real_loss, History), shown, strict=True):
        source = inspect.getsource(item)
        assert raw
        assert bundle == {"text/markdown": f"```python\n{source}```", "text/plain": source}


def test_to_png() -> None:
    noise = torch.randint(0, 256, (40, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image = Image.fromarray(noise.numpy())
    for level in (1, 6):
        with Image.open(io.BytesIO(to_png(image, level))) as back:
            assert (back.format, back.mode, back.size) == ("PNG", "RGB", (30, 40))
            assert back.tobytes() == image.tobytes()
    with Image.open(io.BytesIO(to_png(Figure(figsize=(2, 1))))) as back:
        assert back.format == "PNG"


def test_show_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(show, "display", lambda data, metadata, raw: shown.append((data, metadata, raw)))
    show_picture(Image.new("RGB", (5, 3), "red"), "All red.")
    show_picture(Figure(figsize=(2, 1)), "Nothing.")
    show_picture(b"GIF89a", "A GIF.")
    kinds = ["image/png", "image/png", "image/gif"]
    for (data, metadata, raw), kind, alt in zip(shown, kinds, ("All red.", "Nothing.", "A GIF."), strict=True):
        assert (set(data), data["text/plain"], metadata, raw) == ({kind, "text/plain"}, alt, {kind: {"alt": alt}}, True)
    with Image.open(io.BytesIO(base64.b64decode(shown[0][0]["image/png"]))) as back:
        assert (back.mode, back.size) == ("RGB", (5, 3))
        assert back.convert("RGB").getpixel((2, 1)) == (255, 0, 0)


def test_to_image_has_a_white_margin() -> None:
    figure = Figure(figsize=(1, 1))
    figure.patches.append(Rectangle((0, 0), 1, 1, transform=figure.transFigure, color="black"))  # to the very edge
    image = to_image(figure, dpi=20)
    assert image.size == (20 + 12, 20 + 12)
    assert image.crop((6, 6, 26, 26)).getextrema() == ((0, 0),) * 3
    assert {image.getpixel(corner) for corner in ((0, 0), (31, 0), (0, 31), (31, 31))} == {(255, 255, 255)}


def test_to_image_keeps_labels_whole() -> None:
    """A label that the default layout would cut off is moved into the figure."""
    figure = Figure(figsize=(3, 1.2))
    axes = figure.subplots()
    axes.set_xlabel("below", fontsize=30)
    to_image(figure)
    label = axes.xaxis.label.get_window_extent()
    assert label.y0 >= 0 and label.y1 <= figure.bbox.y1


def test_show_rows() -> None:
    """Each row is the grid of its images, one below the other, behind a margin for the names."""
    rows = {"real": torch.zeros(4, 3, 8, 8), "fake": torch.full((2, 1, 8, 8), 200, dtype=torch.uint8)}
    shown = show_rows(rows, scale=3).convert("RGB")
    height, margin = 3 * (8 + 2), shown.width - 3 * (4 * 9 + 1)
    assert shown.height == 2 * height and margin > 20
    for i, images in enumerate(rows.values()):
        expected = grid(images, 4, scale=3)
        box = (margin, i * height, margin + expected.width, (i + 1) * height)
        assert shown.crop(box).tobytes() == expected.tobytes()
        name = shown.crop((0, i * height, margin, (i + 1) * height))
        assert name.getextrema() != ((255, 255),) * 3  # something is written there


def test_rows_of_two_sizes() -> None:
    """A row of half the size is enlarged twice as much; only its borders are broader."""
    shown = show_rows({"a": torch.zeros(2, 1, 16, 16), "b": torch.zeros(2, 1, 8, 8)}, scale=2)
    assert shown.height == 2 * (16 + 2) + 4 * (8 + 2)
