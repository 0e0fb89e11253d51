"""The curves are where the numbers are, and nothing of an earlier drawing is left over."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from dcgan_lib.history import History
from dcgan_lib.panel import CURVES, MARK_COLOUR, Panel

LEVELS = {"d_loss": 2.2, "g_loss": 1.1, "d_x": 0.85, "d_gz_before": 0.2}


def flat(steps: int) -> History:
    """Every curve is a level line; the last column is not drawn."""
    return History(torch.tensor([*LEVELS.values(), 0.6]).repeat(steps, 1))


def noise(steps: int) -> History:
    return History(torch.rand(steps, 5, generator=torch.Generator().manual_seed(0)))


def has_colour(image: Image.Image, box: tuple[float, float, float, float], colour: str) -> bool:
    """Whether a pixel in the box is nearly of this colour."""
    pixels = np.asarray(image.crop(tuple(map(round, box)))).astype(int).reshape(-1, 3)
    return bool((abs(pixels - ImageColor.getrgb(colour)).max(1) < 24).any())


def at(panel: Panel, lower: int, step: float, value: float, image: Image.Image) -> tuple[float, float]:
    """The pixel of a point of the upper or lower axes, counted from the picture's upper left corner."""
    x, y = panel._axes[lower].transData.transform((step, value))
    return x, image.height - y


def drawn(panel: Panel, image: Image.Image, lower: int, step: float, value: float, colour: str) -> bool:
    x, y = at(panel, lower, step, value, image)
    return has_colour(image, (x - 2, y - 2, x + 2, y + 2), colour)


@pytest.mark.parametrize("steps", [30, 100, 450])
def test_curves_are_where_the_numbers_are(steps: int) -> None:
    panel = Panel()
    image = panel.draw(flat(steps))
    assert image.mode == "RGB"
    for (column, level), lower in zip(LEVELS.items(), (0, 0, 1, 1), strict=True):
        for step in np.linspace(25, steps, 7):
            assert drawn(panel, image, lower, step, level, CURVES[column]), (column, step)
        assert not drawn(panel, image, 1 - lower, steps / 2, level, CURVES[column])
        x, y = at(panel, lower, steps, level, image)
        assert not has_colour(image, (x + 4, y - 2, x + 20, y + 2), CURVES[column])  # no step has been taken there


def test_halves_of_the_picture() -> None:
    """Losses above, probabilities below, whatever matplotlib thinks of the places."""
    panel = Panel()
    with_curves, without = (np.asarray(panel.draw(history)).astype(int) for history in (flat(90), History()))
    rows, middle = abs(with_curves - without).sum(2).any(1), len(without) // 2
    for half, columns in ((slice(middle), ("d_loss", "g_loss")), (slice(middle, None), ("d_x", "d_gz_before"))):
        assert rows[half].sum() > 4
        new = with_curves[half][rows[half]].reshape(-1, 3)
        for column, colour in CURVES.items():
            near = abs(new - ImageColor.getrgb(colour)).max(1) < 24
            expected = column in columns or colour in [CURVES[name] for name in columns]
            assert near.sum() > 100 if expected else near.sum() == 0, column


def test_mean_of_25_steps() -> None:
    """One outlier among 60 steps moves the bold line by a 25th of its height, for 25 steps."""
    history, panel = flat(60), Panel()
    history.rows[:, 1] = 0.25
    history.rows[30, 1] = 25 + 0.25  # step 31
    image = panel.draw(history)
    for step, value in ((29, 0.25), (33, 1.25), (53, 1.25), (58, 0.25)):
        assert drawn(panel, image, 0, step, value, CURVES["g_loss"]), step
    for step in (33, 53):
        assert not drawn(panel, image, 0, step, 0.25, CURVES["g_loss"])


def test_height() -> None:
    """High enough for the mean of both losses, up to 12; one outlier plays no part."""
    history, panel = flat(40), Panel()
    history.rows[20, 0] = 12
    for column, highest, top in ((0, 2.0, 3), (1, 5.0, 6), (0, 11.0, 12), (0, 400.0, 12)):
        history.rows[:20, column] = history.rows[21:, column] = highest
        panel.draw(history)
        assert [axes.get_ylim() for axes in panel._axes] == [(0, top), (0, 1)], highest


def test_width() -> None:
    panel = Panel()
    for steps, wide in ((0, 100), (100, 100), (101, 200), (200, 200), (1500, 1600)):
        panel.draw(flat(steps))
        assert [axes.get_xlim() for axes in panel._axes] == [(0, wide)] * 2, steps


def test_marks() -> None:
    panel, marks = Panel(), [(20, "lr 0.03"), (70, "k 5")]
    plain, marked = panel.draw(flat(90)), panel.draw(flat(90), marks)
    changed = np.asarray(plain) != np.asarray(marked)
    for lower, value in ((0, 0.3), (1, 0.5)):
        for step, _ in marks:
            x, y = at(panel, lower, step, value, marked)
            column = changed[round(y) - 8 : round(y) + 8, round(x) - 1 : round(x) + 2]
            assert column.any(2).any(1).all()
        x, y = at(panel, lower, 45, value, marked)
        assert not changed[round(y) - 8 : round(y) + 8, round(x) - 20 : round(x) + 20].any()
    assert has_colour(marked, (0, 0, *marked.size), MARK_COLOUR)
    x, y = at(panel, 0, 20, 2.9, marked)
    assert changed[round(y) : round(y) + 40, round(x) - 12 : round(x) - 3].any()  # the words, left of the line
    lines = np.asarray(panel.draw(flat(90), [(20, ""), (70, "")]))
    assert (lines != np.asarray(marked)).any()


def test_only_the_last_three_marks_have_words() -> None:
    panel, steps = Panel(), (10, 25, 40, 55, 70)
    images = [
        np.asarray(panel.draw(flat(90), [(step, "x" if i in worded else "") for i, step in enumerate(steps)]))
        for worded in ((0, 1, 2, 3, 4), (2, 3, 4), (3, 4))
    ]
    assert (images[0] == images[1]).all()
    assert (images[1] != images[2]).any()


def test_drawing_again_leaves_nothing_behind() -> None:
    panel, marks = Panel(), [(5, "lr 0.03")]
    first = panel.draw(noise(60), marks)
    lines = len(panel._axes[0].lines)
    assert panel.draw(noise(60), marks).tobytes() == first.tobytes()
    assert len(panel._axes[0].lines) == lines
    panel.draw(noise(95), [(2, "lr 0.5"), (80, "k 5")])
    assert panel.draw(noise(60), marks).tobytes() == first.tobytes()
    assert panel.draw(noise(60)).tobytes() == Panel().draw(noise(60)).tobytes()


def test_a_change_of_range_is_as_a_fresh_panel() -> None:
    panel, long, high = Panel(), noise(900), History(7 * noise(60).rows)
    for history in (high, long, noise(60)):
        image = panel.draw(history, [(3, "lr 1")])
    assert image.tobytes() == Panel().draw(noise(60), [(3, "lr 1")]).tobytes()
    assert panel.draw(high).tobytes() == Panel().draw(high).tobytes()


@pytest.mark.filterwarnings("error")
def test_numbers_out_of_every_range() -> None:
    panel = Panel()
    first = panel.draw(flat(60)).tobytes()
    for bad in (float("nan"), float("inf"), float("-inf"), 3e38):
        for steps in (1, 24, 60):
            history = flat(steps)
            history.rows[steps // 2 :] = bad
            panel.draw(history)
        history.rows[-1] = -bad
        panel.draw(history)
    assert panel.draw(flat(60)).tobytes() == first


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_good_part_of_a_spoiled_run_is_drawn(bad: float) -> None:
    history, panel = flat(80), Panel()
    history.rows[70:] = bad
    image = panel.draw(history)
    for (column, level), lower in zip(LEVELS.items(), (0, 0, 1, 1), strict=True):
        assert drawn(panel, image, lower, 50, level, CURVES[column])
    assert panel._axes[0].get_ylim() == (0, 3)


def test_empty() -> None:
    panel = Panel()
    empty = panel.draw(History())
    assert Panel((3, 2), dpi=50).draw(History()).size == (150, 100)
    assert empty.tobytes() != panel.draw(flat(3)).tobytes()
    assert empty.tobytes() != panel.draw(History(), [(0, "lr 0.03")]).tobytes()
    assert empty.tobytes() == panel.draw(History()).tobytes()
