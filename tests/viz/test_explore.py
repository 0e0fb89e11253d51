"""Widgets without a browser: real widget objects, whose values are set as a reader would."""

import importlib
import io

import ipywidgets as widgets
import pytest
from PIL import Image

from dcgan_lib.viz import show
from dcgan_lib.viz.explore import error_text, explore, named

explore_module = importlib.import_module("dcgan_lib.viz.explore")  # dcgan_lib.viz.explore is the function


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was displayed."""
    things = []
    monkeypatch.setattr(explore_module, "display", lambda thing, **_: things.append(thing))
    monkeypatch.setattr(show, "display", things.append)
    return things


def draw(size: int, colour: str = "red") -> Image.Image:
    if size > 10:
        raise ValueError(f"<{size}> is too large")
    return Image.new("RGB", (size, size), colour)


def controls() -> dict[str, widgets.Widget]:
    return {"size": widgets.IntSlider(3, 1, 20), "colour": widgets.Dropdown(options=["blue", "green"])}


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_explore_headless_shows_a_still(shown: list, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    monkeypatch.setattr(explore_module, "show_picture", lambda *given: pictures.append(given))
    explore(draw, "A square.", **controls())
    explore(draw, lambda size, colour: f"A {colour} square of {size} pixels.", **controls())
    assert [alt for _, alt in pictures] == ["A square.", "A blue square of 3 pixels."]
    assert (pictures[0][0].size, pictures[0][0].getpixel((0, 0))) == ((3, 3), (0, 0, 255))
    assert shown == []


@pytest.mark.parametrize("headless", ["1", ""])
def test_explore_raises_where_the_first_drawing_is_broken(
    shown: list, monkeypatch: pytest.MonkeyPatch, headless: str
) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", headless)
    with pytest.raises(ValueError, match="<12> is too large"):
        explore(draw, "A square.", size=widgets.IntSlider(12, 1, 20))
    assert shown == []


def test_explore_draws_again_when_a_value_changes(shown: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)
    given = controls()
    given["size"].description = "how large"
    explore(draw, "A square.", **given)
    box, still = shown
    assert "<img class='dcgan-still' alt='" in still["text/html"]  # which the widget hides as long as it is there
    assert any(
        ".dcgan-still { display: none !important; }" in child.value
        for child in box.children
        if type(child) is widgets.HTML
    )
    size, colour, message, picture, _ = box.children
    assert (size, colour) == tuple(given.values())
    assert (size.description, colour.description) == ("how large", "colour")
    assert opened(picture.value).size == (3, 3)
    size.value = 7
    assert opened(picture.value).size == (7, 7)
    colour.value = "green"
    assert opened(picture.value).getpixel((0, 0)) == (0, 128, 0)
    assert message.value == ""

    size.value = 11  # shown below the controls; the last good picture stays
    assert "ValueError: &lt;11&gt; is too large" in message.value
    assert opened(picture.value).size == (7, 7)
    size.value = 5
    assert (message.value, opened(picture.value).size) == ("", (5, 5))


def test_named() -> None:
    for name, css_class in (("One D step", "dcgan-one-d-step"), ("label_smoothing", "dcgan-label-smoothing")):
        assert css_class in named(name, widgets.HTML())._dom_classes


def test_error_text() -> None:
    assert ">KeyError: &#x27;&lt;b&gt; &amp; c&#x27;<" in error_text(KeyError("<b> & c"))
