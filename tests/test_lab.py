"""Widgets without a browser: real widget objects, whose values are set as a reader would."""

import io
from types import SimpleNamespace

import ipywidgets as widgets
import pytest
from IPython.display import Image as PngImage
from PIL import Image

from dcgan_lib import lab
from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet
from dcgan_lib.grids import grid
from dcgan_lib.trainer import Trainer


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was displayed, or updated later."""
    things = []

    def display(thing, display_id: bool = False) -> SimpleNamespace | None:
        things.append(thing)
        return SimpleNamespace(update=things.append) if display_id else None

    monkeypatch.setattr(lab, "display", display)
    return things


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)


def draw(size: int, colour: str = "red") -> Image.Image:
    if size > 10:
        raise ValueError(f"<{size}> is too large")
    return Image.new("RGB", (size, size), colour)


def controls() -> dict[str, widgets.Widget]:
    return {"size": widgets.IntSlider(3, 1, 20), "colour": widgets.Dropdown(options=["blue", "green"])}


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_explore_headless_shows_a_still(shown: list) -> None:
    lab.explore(draw, **controls())
    (still,) = shown
    assert isinstance(still, PngImage)
    assert opened(still.data).size == (3, 3)
    assert opened(still.data).getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("headless", ["1", ""])
def test_explore_raises_where_the_first_drawing_is_broken(
    shown: list, monkeypatch: pytest.MonkeyPatch, headless: str
) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", headless)
    with pytest.raises(ValueError, match="<12> is too large"):
        lab.explore(draw, size=widgets.IntSlider(12, 1, 20))
    assert shown == []


@pytest.mark.usefixtures("browser")
def test_explore_draws_again_when_a_value_changes(shown: list) -> None:
    given = controls()
    given["size"].description = "how large"
    lab.explore(draw, **given)
    (box,) = shown
    size, colour, said, picture = box.children
    assert (size, colour) == tuple(given.values())
    assert (size.description, colour.description) == ("how large", "colour")
    assert opened(picture.value).size == (3, 3)
    size.value = 7
    assert opened(picture.value).size == (7, 7)
    colour.value = "green"
    assert opened(picture.value).getpixel((0, 0)) == (0, 128, 0)
    assert said.value == ""

    size.value = 11  # shown below the controls; the last good picture stays
    assert "ValueError: &lt;11&gt; is too large" in said.value
    assert opened(picture.value).size == (7, 7)
    size.value = 5
    assert (said.value, opened(picture.value).size) == ("", (5, 5))


@pytest.mark.parametrize("headless", ["1", "0"])
def test_watch(shown: list, tiny: Config, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch, headless: str) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", headless)
    trainer, other = Trainer(tiny, pictures), Trainer(tiny, pictures)
    frames = lab.watch(trainer, steps=5, every=2)
    expected = [grid(other.sample())]
    other.train(5, every=2, on_progress=lambda other: expected.append(grid(other.sample())))
    assert [frame.tobytes() for frame in frames] == [frame.tobytes() for frame in expected]
    assert len(frames) == 4  # before the first step, after 2, 4 and 5
    assert trainer.steps_done == 5
    assert len(shown) == (1 if headless == "1" else 4)
    assert all(isinstance(thing, PngImage) for thing in shown)


def test_start_runs_headless_trains_once(shown: list, tiny: Config, pictures: PictureSet) -> None:
    lab.start_runs(tiny, pictures)
    assert [type(thing) for thing in shown] == [PngImage]


@pytest.mark.usefixtures("browser")
def test_button_starts_a_run_with_what_the_sliders_say(
    shown: list, tiny: Config, pictures: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Remembered(Trainer):
        def __init__(self, *args) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(lab, "Trainer", Remembered)
    lab.start_runs(tiny, pictures)
    lr, beta1, row, results = shown[0].children
    start, said = row.children
    assert (lr.value, beta1.value, made, results.children) == (tiny.lr, tiny.beta1, [], ())
    monkeypatch.setattr(lab, "show_progress", lambda history, images: grid(images, columns=len(history)))
    start.click()
    lr.value, beta1.value = 1e-2, 0.9
    start.click()
    assert [trainer.config for trainer in made] == [
        tiny.replace(channels=1),
        tiny.replace(channels=1, lr=1e-2, beta1=0.9),
    ]
    assert [trainer.steps_done for trainer in made] == [6, 6]
    assert said.value.startswith("done")
    assert not start.disabled
    start.click()
    assert len(results.children) == 2  # the last two, the newest first
    title, picture = results.children[1].children
    assert title.value == "<b>lr 1.0e-02, beta1 0.90</b>"
    assert opened(picture.value).width == 6 * 17 + 1  # 6 steps


@pytest.mark.usefixtures("browser")
def test_button_says_what_went_wrong(shown: list, tiny: Config, pictures: PictureSet) -> None:
    lab.start_runs(tiny.replace(batch_size=50), pictures)
    start, said = shown[0].children[2].children
    start.click()
    assert "noise has 21 pictures, fewer than one batch of 50" in said.value
    assert not start.disabled
