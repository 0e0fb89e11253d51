"""The clock with both kinds of Play, whichever ipywidgets is installed."""

import ipywidgets as widgets
import pytest
from traitlets import Bool, Int

from dcgan_lib.lab.browser_clock import INTERVAL, BrowserClock


class Play7(widgets.BoundedIntText):
    """What Play of ipywidgets 7 has of its own."""

    interval, show_repeat, _playing = Int(100), Bool(True), Bool()


class Play8(widgets.BoundedIntText):
    """What Play of ipywidgets 8 has of its own."""

    interval, show_repeat, playing = Int(100), Bool(True), Bool()


@pytest.fixture(params=["installed", "7", "8"])
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version of ipywidgets that is there, or that is played."""
    if request.param == "installed":
        return widgets.__version__.partition(".")[0]
    monkeypatch.setattr(widgets, "Play", {"7": Play7, "8": Play8}[request.param])
    return request.param


def test_calls_at_each_tick(installed: str) -> None:
    ticks, toggles = [], []
    clock = BrowserClock(lambda: ticks.append(1), toggles.append)
    assert clock.widget.interval == INTERVAL
    for count in (1, 2, 3):
        clock.widget.value += 1
        assert len(ticks) == count
    assert toggles == []


def test_turn(installed: str) -> None:
    toggles = []
    clock = BrowserClock(lambda: None, toggles.append)
    trait = {"7": "_playing", "8": "playing"}[installed]
    assert getattr(clock.widget, trait) is False
    for on in (True, False):
        clock.turn(on)
        assert getattr(clock.widget, trait) is on
    setattr(clock.widget, trait, True)  # the reader presses Play's own button
    assert toggles == [True, False, True]


def test_who_shows_the_buttons(installed: str) -> None:
    """Where only Play's own buttons start it, it has to be seen."""
    clock = BrowserClock(lambda: None, lambda on: None)
    assert clock.obeys == (installed == "8")
    assert (clock.widget.layout.display == "none") == clock.obeys
    assert not clock.widget.show_repeat
