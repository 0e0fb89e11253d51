"""A clock in the browser: `ipywidgets.Play` with ipywidgets 7 (Colab) and 8.

Used by `lab.TrainingLab`.
"""

from collections.abc import Callable

import ipywidgets as widgets

from dcgan_lib.viz.explore import named

INTERVAL = 10  # milliseconds; the browser waits longer while the kernel is busy


class BrowserClock:
    """Calls `on_tick` again and again while it is on.

    Make a new one for every output area: a Play that is shown twice never ticks.

    Args:
        on_tick: called at each tick.
        on_toggle: called with True or False when the reader presses Play's own buttons.
    """

    def __init__(self, on_tick: Callable[[], None], on_toggle: Callable[[bool], None]) -> None:
        self.widget = named("play", widgets.Play(max=2**31 - 2, interval=INTERVAL, show_repeat=False))
        # ipywidgets 8 obeys this trait; in 7 only Play's own buttons start it, so there they are the ones to show
        self.obeys = self.widget.has_trait("playing")
        self._trait = "playing" if self.obeys else "_playing"
        self.widget.layout.display = "none" if self.obeys else ""
        self.widget.observe(lambda _change: on_tick(), "value")
        self.widget.observe(lambda change: on_toggle(change["new"]), self._trait)

    def turn(self, on: bool) -> None:
        """Start or stop the clock."""
        setattr(self.widget, self._trait, on)
