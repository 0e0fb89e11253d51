"""The live lab: a run that obeys sliders and buttons while it trains. Used in notebooks 00 and 07.

Ticks come from the browser, and each one trains for a moment: no thread, and a slider is never more than a moment late.
Callbacks write traits of widgets and nothing else, because they may run in another thread than cells do. Where no
browser will answer (`DCGAN_HEADLESS`) the cell trains and shows a still.
"""

import html
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as widgets
from IPython.display import Image as PngImage
from IPython.display import display
from torch import Tensor

from dcgan_lib import board
from dcgan_lib.config import headless
from dcgan_lib.controls import Controls
from dcgan_lib.explore import error_text
from dcgan_lib.panel import Panel
from dcgan_lib.past import PastRuns, discard
from dcgan_lib.session import Session
from dcgan_lib.ticker import Ticker
from dcgan_lib.trainer import Trainer
from dcgan_lib.viz import to_png

TICK, PICTURE_EVERY, PART_EVERY = 0.03, 0.12, 1.5  # seconds: of training, between pictures, for a part in slow motion


class TrainingLab:
    """Sliders and buttons around a trainer, which go on acting while it trains.

    Args:
        trainer: any `Trainer`, fresh or not. Reset takes it back to the state in which it came.
    """

    _training: ClassVar[Callable[[], "TrainingLab | None"]] = lambda: None  # of all labs, the one that trains

    def __init__(self, trainer: Trainer) -> None:
        self.session, self.controls, self.panel = Session(trainer), Controls(trainer.config), Panel()
        self._lock, self._drawn, self._speed_from = threading.RLock(), 0.0, (0.0, 0)
        self.running, self.error = False, None
        self.start, self.pause = self._button("Start", self.play), self._button("Pause", self.stop)
        self.reset_button = self._button("Reset", self.reset)
        self.d_step = self._button("One D step", lambda: self._one("discriminator"))
        self.g_step = self._button("One G step", lambda: self._one("generator"))
        self.start.button_style = "success"
        self.slow = widgets.Checkbox(description="slow motion", indent=False, layout={"width": "9em"})
        self.gif = self._button("Save GIF", lambda: self._save(self.session.save_gif))
        self.checkpoint = self._button("Save checkpoint", lambda: self._save(self.session.save_checkpoint))
        self.code = self._button("Settings as code", self._show_settings)
        self.status, self.verdict, self.said = (widgets.HTML() for _ in range(3))
        self.pictures, self.curves = (widgets.Image(format="png", layout=board.SIDE) for _ in range(2))
        self.past = PastRuns()
        for name in ("status", "verdict", "said", "pictures", "curves", "past", "slow"):
            getattr(self, name).add_class(f"dcgan-{name}")
        for control in self.controls.all:
            control.observe(lambda _change: self._say(), "value")
        self._ticker = self._new_ticker()
        self._mounted: list[widgets.Widget] = [self._ticker.widget]

    def _button(self, words: str, act: Callable[[], Any]) -> widgets.Button:
        button = widgets.Button(description=words, layout={"width": "auto"})
        button.on_click(lambda _button: self._guarded(act))
        button.add_class(f"dcgan-{words.lower().replace(' ', '-')}")
        return button

    def _guarded(self, act: Callable[[], Any]) -> None:
        """Do something that a reader asked for; an error stops the run and is shown, for nobody sees a callback's."""
        with self._lock:
            try:
                self.error = None
                act()
            except (Exception, KeyboardInterrupt) as error:
                self.error = error
                self._rest()
                if headless():
                    raise

    def play(self) -> None:
        """Train at every tick from now on; another lab that trains stops."""
        self._stop_the_others()
        TrainingLab._training = weakref.ref(self)
        self.running, self._speed_from = True, (time.perf_counter(), self.session.trainer.steps_done)
        self._ticker.turn(True)
        self._say()

    def _stop_the_others(self) -> None:
        if (other := TrainingLab._training()) is not None and other is not self and other.running:
            other.stop()

    def stop(self) -> None:
        """Train no more until somebody presses Start."""
        self._rest()
        self.draw()

    def _rest(self) -> None:
        self.running = False
        self._ticker.turn(False)
        self.verdict.value = board.verdict_html(self.session.verdict())
        self._say()

    def reset(self) -> None:
        """Back to the beginning with the sliders as they are; the run so far joins the list below."""
        self._rest()
        if run := self.session.reset():
            self.past.add(run)
        self.session.steer(**self.controls.values())
        self.said.value = ""
        self.draw()

    def tick(self) -> None:
        """Train for a moment with what the sliders say, and draw if the last picture is old enough."""
        if not self.running:
            return
        self.session.steer(**self.controls.values())
        if self.slow.value:
            if time.perf_counter() - self._drawn >= PART_EVERY:
                part = self.session.next_part()
                self.draw(None if part.row is not None else part.images)
                self.said.value = board.part_html(part)
        else:
            self.session.advance(seconds=TICK)
        if self.session.verdict().kind == "diverged":
            self.stop()
        elif not self.slow.value and time.perf_counter() - self._drawn >= PICTURE_EVERY:
            self.said.value = ""
            self.draw()

    def _one(self, player: str) -> None:
        self.stop()
        self.session.steer(**self.controls.values())
        self.session.advance(1, player=player)
        self.draw()

    def draw(self, images: Tensor | None = None) -> None:
        """Show these pictures, or those of the fixed z, and the curves."""
        trainer = self.session.trainer
        self.pictures.value = board.fast_png(board.pictures(trainer.sample() if images is None else images))
        self.curves.value = board.fast_png(self.panel.draw(trainer.history, self.session.marks))
        self.verdict.value = board.verdict_html(self.session.verdict())
        self._drawn = time.perf_counter()
        self._say()

    def _say(self) -> None:
        began, first = self._speed_from
        speed = (self.session.trainer.steps_done - first) / (time.perf_counter() - began) if self.running else None
        self.status.value = board.status_html(self.session, self.controls.values(), speed)
        if self.error:
            self.status.value += f"<br>{error_text(self.error)}"
        self.start.disabled, self.pause.disabled = self.running, not self.running

    def _save(self, write: Callable[[], Path]) -> None:
        self.said.value = f"Written: <code>{html.escape(str(write()))}</code>"

    def _show_settings(self) -> None:
        config = self.session.trainer.config.replace(**self.controls.values())
        self.said.value = f"<pre>{html.escape(config.to_code())}</pre>"

    def show(self, steps: int | None = None) -> None:
        """Show the lab below the cell. Headless, train so many steps (left out, a quarter of the run's) for a still."""
        trainer = self.session.trainer
        if headless():
            self.session.steer(**self.controls.values())
            self.session.advance(trainer.config.steps // 4 if steps is None else steps)
            self.draw()
            display(PngImage(to_png(board.still(self.session, self.panel))))
            return
        self._stop_the_others()
        self._rest()
        self._mount()
        self.draw()
        display(self._mounted[0])

    def _mount(self) -> None:
        """A fresh clock in fresh boxes; the old ones are closed, or a page that is loaded again would show nothing."""
        discard(*self._mounted)
        self._ticker = ticker = self._new_ticker()
        self.start.layout.display = self.pause.layout.display = "" if ticker.obeys else "none"
        buttons = [self.start, self.pause, ticker.widget, self.reset_button, self.d_step, self.g_step, self.slow]
        words, files = [self.status, self.verdict, self.said], [self.gif, self.checkpoint, self.code]
        rows = [
            widgets.Box(row, layout={"flex_flow": "row wrap"})
            for row in (self.controls.all, buttons, [widgets.VBox(words)], [self.pictures, self.curves], files)
        ]
        self._mounted = [widgets.VBox([*rows, self.past]), *rows, ticker.widget]

    def _new_ticker(self) -> Ticker:
        return Ticker(lambda: self._guarded(self.tick), self._toggle)

    def _toggle(self, on: bool) -> None:
        if on != self.running:
            self._guarded(self.play if on else self.stop)
