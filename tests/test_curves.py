"""The curves are where the numbers are, and nothing of an earlier drawing is left over."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from dcgan_lib.curves import LABEL, PLOTS, LiveCurves, plot_history, running_mean
from dcgan_lib.history import History
from dcgan_lib.images import grid
from dcgan_lib.viz.show import show_progress, to_image

LEVELS = {"d_loss": 2.2, "g_loss": 1.1, "d_x": 0.85, "d_gz_before": 0.2}
COLOURS = {column: colour for curves in PLOTS.values() for column, _, colour in curves}


def flat(steps: int) -> History:
    """Every curve is a level line; the last column is not drawn."""
    return History(torch.tensor([*LEVELS.values(), 0.6]).repeat(steps, 1))


def noise(steps: int) -> History:
    return History(torch.rand(steps, 5, generator=torch.Generator().manual_seed(0)))


def has_colour(image: Image.Image, box: tuple[float, float, float, float], colour: str) -> bool:
    """Whether a pixel in the box is nearly of this colour."""
    pixels = np.asarray(image.crop(tuple(map(round, box)))).astype(int).reshape(-1, 3)
    return bool((abs(pixels - ImageColor.getrgb(colour)).max(1) < 24).any())


def at(live: LiveCurves, lower: int, step: float, value: float, image: Image.Image) -> tuple[float, float]:
    """The pixel of a point of the upper or lower axes, counted from the image's upper left corner."""
    x, y = live._figure.axes[lower].transData.transform((step, value))
    return x, image.height - y


def drawn(live: LiveCurves, image: Image.Image, lower: int, step: float, value: float, colour: str) -> bool:
    x, y = at(live, lower, step, value, image)
    return has_colour(image, (x - 2, y - 2, x + 2, y + 2), colour)


def test_running_mean() -> None:
    values = torch.rand(60, generator=torch.Generator().manual_seed(1)).numpy()
    expected = [values[max(0, i - 24) : i + 1].mean() for i in range(60)]
    np.testing.assert_allclose(running_mean(values), expected, rtol=1e-5)
    assert len(running_mean(values[:0])) == 0


def test_plot_history() -> None:
    """Each number at its step, its running mean over it, and the landmarks."""
    history = noise(60)
    upper, lower = plot_history(history).axes
    for axes, columns in ((upper, ("d_loss", "g_loss")), (lower, ("d_x", "d_gz_before"))):
        lines = [line.get_xydata() for line in axes.lines if len(line.get_xydata()) == 60]
        for column in columns:
            for values in (history[column], running_mean(history[column])):
                expected = np.stack([np.arange(1, 61), values], 1)
                assert any(np.allclose(line, expected) for line in lines), column
        assert len(lines) == 4
    levels = {line.get_ydata()[0] for line in upper.lines if len(line.get_ydata()) == 2}
    assert levels == {2 * math.log(2), math.log(2)}
    names = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in (upper, lower)]
    assert names == [["d_loss", "g_loss"], ["D(x)", "D(G(z))"]]
    assert len(plot_history(History()).axes) == 2  # before the first step


@pytest.mark.parametrize(("column", "highest", "top"), [(0, 2.0, 3), (1, 5.0, 6), (0, 11.0, 12), (0, 400.0, 12)])
def test_height(column: int, highest: float, top: int) -> None:
    """High enough for the mean of both losses, up to 12; one outlier plays no part."""
    history, live = flat(40), LiveCurves()
    history.rows[:, column] = highest
    history.rows[20, 0] = max(12.0, highest)
    live.draw(history)
    for figure in (live._figure, plot_history(history)):
        assert [axes.get_ylim() for axes in figure.axes] == [(0, top), (0, 1)]


def test_show_progress() -> None:
    """Samples on the left, unsmoothed and enlarged to 64 pixels, curves on the right."""
    images = torch.randint(0, 2, (64, 1, 32, 32), generator=torch.Generator().manual_seed(2)).byte() * 255
    left, right = grid(images, scale=2), to_image(plot_history(noise(7)))
    shown = show_progress(noise(7), images, "sixty-four").convert("RGB")
    assert shown.size == (left.width + 10 + right.width, max(left.height + 22, right.height))
    words = shown.crop((0, left.height, left.width, left.height + 22)).convert("L")
    assert words.getextrema()[0] < 150
    assert shown.crop((0, 0, *left.size)).tobytes() == left.tobytes()


@pytest.mark.parametrize(("steps", "wide"), [(30, 100), (100, 100), (101, 200), (450, 800)])
def test_live_curves_are_where_the_numbers_are(steps: int, wide: int) -> None:
    live = LiveCurves()
    image = live.draw(flat(steps))
    assert [axes.get_xlim() for axes in live._figure.axes] == [(0, wide)] * 2
    for (column, level), lower in zip(LEVELS.items(), (0, 0, 1, 1), strict=True):
        for step in np.linspace(2, steps, 7):
            assert drawn(live, image, lower, step, level, COLOURS[column]), (column, step)
        assert not drawn(live, image, 1 - lower, steps / 2, level, COLOURS[column])
        x, y = at(live, lower, steps, level, image)
        assert not has_colour(image, (x + 4, y - 2, x + 20, y + 2), COLOURS[column])  # no step has been taken there


def test_marks() -> None:
    live, marks = LiveCurves(), [(20, "lr 0.03"), (70, "k 5")]
    plain, marked = live.draw(flat(90)), live.draw(flat(90), marks)
    changed = np.asarray(plain) != np.asarray(marked)
    for lower, value in ((0, 0.3), (1, 0.5)):
        for step, _ in marks:
            x, y = at(live, lower, step, value, marked)
            column = changed[round(y) - 8 : round(y) + 8, round(x) - 1 : round(x) + 2]
            assert column.any(2).any(1).all()
        x, y = at(live, lower, 45, value, marked)
        assert not changed[round(y) - 8 : round(y) + 8, round(x) - 20 : round(x) + 20].any()
    assert has_colour(marked, (0, 0, *marked.size), LABEL["color"])
    x, y = at(live, 0, 20, 2.9, marked)
    assert changed[round(y) : round(y) + 40, round(x) + 3 : round(x) + 12].any()  # the words, right of the line


def test_only_the_last_three_marks_have_words() -> None:
    live, steps = LiveCurves(), (10, 25, 40, 55, 70)
    images = [
        np.asarray(live.draw(flat(90), [(step, "x" if i in worded else "") for i, step in enumerate(steps)]))
        for worded in ((0, 1, 2, 3, 4), (2, 3, 4), (3, 4))
    ]
    assert (images[0] == images[1]).all()
    assert (images[1] != images[2]).any()


def test_drawing_again_leaves_nothing_behind() -> None:
    """Not of other curves, other marks, a longer run or higher losses."""
    live, marks = LiveCurves(), [(5, "lr 0.03")]
    first = live.draw(noise(60), marks)
    lines = len(live._figure.axes[0].lines)
    assert live.draw(noise(60), marks).tobytes() == first.tobytes()
    assert len(live._figure.axes[0].lines) == lines
    for history, other in (
        (noise(95), [(2, "lr 0.5"), (80, "k 5")]),
        (noise(900), []),
        (History(7 * noise(60).rows), []),
    ):
        live.draw(history, other)
    assert live.draw(noise(60), marks).tobytes() == first.tobytes()
    assert live.draw(noise(60)).tobytes() == LiveCurves().draw(noise(60)).tobytes() != first.tobytes()


@pytest.mark.filterwarnings("error")
def test_numbers_out_of_every_range() -> None:
    live = LiveCurves()
    first = live.draw(flat(60)).tobytes()
    for bad in (float("nan"), float("inf"), 3e38):
        for steps in (1, 24, 60):
            history = flat(steps)
            history.rows[steps // 2 :] = bad
            live.draw(history)
        history.rows[-1] = -bad
        live.draw(history)
    assert live.draw(flat(60)).tobytes() == first


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_good_part_of_a_spoiled_run_is_drawn(bad: float) -> None:
    history, live = flat(80), LiveCurves()
    history.rows[70:] = bad
    image = live.draw(history)
    for (column, level), lower in zip(LEVELS.items(), (0, 0, 1, 1), strict=True):
        assert drawn(live, image, lower, 50, level, COLOURS[column])
    assert live._figure.axes[0].get_ylim() == (0, 3)


def test_before_the_first_step() -> None:
    live = LiveCurves()
    empty = live.draw(History())
    assert LiveCurves((3, 2), dpi=50).draw(History()).size == (150, 100)
    assert empty.tobytes() != live.draw(flat(3)).tobytes()
    assert empty.tobytes() != live.draw(History(), [(0, "lr 0.03")]).tobytes()


def test_transparent_curves_are_the_same_on_any_page() -> None:
    history = History(torch.rand(30, 5, generator=torch.Generator().manual_seed(0)))
    plain, clear = LiveCurves().draw(history), LiveCurves(transparent=True).draw(history)
    assert (plain.mode, clear.mode, clear.getpixel((0, 0))[3]) == ("RGB", "RGBA", 0)
    on_white = Image.new("RGBA", clear.size, "white")
    on_white.alpha_composite(clear)
    difference = np.asarray(on_white.convert("RGB")).astype(int) - np.asarray(plain).astype(int)
    assert abs(difference).max() < 12
