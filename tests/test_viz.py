"""Figures show the numbers they were given."""

import inspect
import io
import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from dcgan_lib import losses, viz
from dcgan_lib.grids import grid
from dcgan_lib.history import History
from dcgan_lib.viz import (
    plot_history,
    plot_losses,
    plot_probabilities,
    show_progress,
    show_rows,
    show_source,
    to_image,
    to_png,
)


@pytest.fixture
def history() -> History:
    return History(torch.rand(7, 5, generator=torch.Generator().manual_seed(0)))


def curves(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def assert_curve(drawn: np.ndarray, history: History, column: str) -> None:
    np.testing.assert_allclose(drawn, np.stack([np.arange(1, 8), history[column]], 1))


def test_show_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is stored as Markdown and as plain text, so that every viewer of a saved notebook has it."""
    shown = []
    monkeypatch.setattr(viz, "display", lambda bundle, raw: shown.append((bundle, raw)))
    show_source(losses.real_loss, History)
    for item, (bundle, raw) in zip((losses.real_loss, History), shown, strict=True):
        source = inspect.getsource(item)
        assert raw
        assert bundle == {"text/markdown": f"```python\n{source}```", "text/plain": source}


def test_plot_losses(history: History) -> None:
    axes = Figure().subplots()
    plot_losses(history, axes)
    drawn = curves(axes)
    assert_curve(drawn["d_loss"], history, "d_loss")
    assert_curve(drawn["g_loss"], history, "g_loss")
    levels = {line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) == 2}
    assert levels == {2 * math.log(2), math.log(2)}
    assert axes.get_ylim() == (0, 3)


@pytest.mark.parametrize(("highest", "top"), [(2.0, 3.0), (8.0, 8.4), (40.0, 12.0)])
def test_height_of_the_loss_plot(history: History, highest: float, top: float) -> None:
    history.rows[3, 1] = highest
    axes = Figure().subplots()
    plot_losses(history, axes)
    assert axes.get_ylim() == pytest.approx((0, top))


def test_plot_probabilities(history: History) -> None:
    axes = Figure().subplots()
    plot_probabilities(history, axes)
    drawn = curves(axes)
    assert_curve(drawn["D(x)"], history, "d_x")
    assert_curve(drawn["D(G(z))"], history, "d_gz_before")


def test_plot_history(history: History) -> None:
    assert [len(curves(axes)) > 1 for axes in plot_history(history).axes] == [True, True]
    to_png(plot_history(History()))  # before the first step


def test_show_progress(history: History) -> None:
    """Pictures on the left, unsmoothed and enlarged to 64 pixels, curves on the right."""
    images = torch.randint(0, 2, (64, 1, 32, 32), generator=torch.Generator().manual_seed(2)).byte() * 255
    left, right = grid(images, scale=2), to_image(plot_history(history))
    shown = show_progress(history, images).convert("RGB")
    assert shown.width == left.width + 10 + right.width and shown.height == max(left.height, right.height)
    top = (shown.height - left.height) // 2
    assert shown.crop((0, top, left.width, top + left.height)).tobytes() == left.tobytes()


def test_to_png() -> None:
    image = Image.new("RGB", (5, 3), "red")
    with Image.open(io.BytesIO(to_png(image))) as back:
        assert (back.format, back.size, back.getpixel((2, 1))) == ("PNG", (5, 3), (255, 0, 0))
    with Image.open(io.BytesIO(to_png(Figure(figsize=(2, 1))))) as back:
        assert back.format == "PNG"


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
    """Each row is the grid of its pictures, one below the other, behind a margin for the names."""
    rows = {"real": torch.zeros(6, 3, 8, 8), "fake": torch.full((2, 1, 8, 8), 200, dtype=torch.uint8)}
    shown = show_rows(rows, columns=4, scale=3).convert("RGB")
    height, margin = 3 * (8 + 2), shown.width - 3 * (4 * 9 + 1)
    assert shown.height == 2 * height and margin > 20
    for i, images in enumerate(rows.values()):
        expected = grid(images[:4], 4, scale=3)
        box = (margin, i * height, margin + expected.width, (i + 1) * height)
        assert shown.crop(box).tobytes() == expected.tobytes()
        name = shown.crop((0, i * height, margin, (i + 1) * height))
        assert name.getextrema() != ((255, 255),) * 3  # something is written there


def test_rows_of_two_sizes() -> None:
    """A row of half the size is enlarged twice as much; only its borders are broader."""
    shown = show_rows({"a": torch.zeros(2, 1, 16, 16), "b": torch.zeros(2, 1, 8, 8)}, scale=2)
    assert shown.height == 2 * (16 + 2) + 4 * (8 + 2)


def test_long_curves_are_averaged() -> None:
    rows = torch.rand(60, 5, generator=torch.Generator().manual_seed(1))
    axes = Figure().subplots()
    plot_losses(History(rows), axes)
    mean = curves(axes)["g_loss"]
    assert mean[0] == pytest.approx([25, rows[:25, 1].mean().item()], rel=1e-5)
    assert mean[-1] == pytest.approx([60, rows[35:, 1].mean().item()], rel=1e-5)
