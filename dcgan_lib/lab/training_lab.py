"""The live lab: a run that obeys sliders and buttons while it trains; and one that is only watched.

Used in notebooks 00, 07 and 08.

Ticks come from the browser, and each one trains for a moment: no thread, and a slider is never more than a moment late.
Callbacks write traits of widgets and nothing else, because they may run in another thread than cells do. Where no
browser will answer (`DCGAN_HEADLESS`) the cell trains and shows a still.
"""

import html
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import display
from PIL import Image
from torch import Tensor

from dcgan_lib.checkpoint import CHECKPOINT
from dcgan_lib.config import Config
from dcgan_lib.images import grid, save_gif
from dcgan_lib.lab import render
from dcgan_lib.lab.browser_clock import BrowserClock
from dcgan_lib.lab.session import Session
from dcgan_lib.lab.sliders import Controls
from dcgan_lib.trainer import Trainer
from dcgan_lib.utils.environment import headless
from dcgan_lib.viz import LiveCurves, described, error_text, named, show_picture, show_progress, still, to_png

TICK, DRAW_EVERY, CAPTION_EVERY = 0.03, 0.12, 1.5  # seconds: of training, between pictures, and in slow motion
WHOLE = {"width": "100%", "object_fit": "contain"}
HALF = {"flex": "1 1 250px", "max_width": "410px", "min_width": "250px"}  # two fit beside each other
WRAP = {"flex_flow": "row wrap"}


class TrainingLab:
    """Sliders and buttons around a trainer, which go on acting while it trains.

    Args:
        trainer: any `Trainer`, fresh or not. Reset takes it back to the state in which it came.
    """

    _running: "TrainingLab | None" = None  # of all labs, the one that trains

    def __init__(self, trainer: Trainer) -> None:
        self.session = Session(trainer)
        self.controls = Controls(trainer.config)
        self.error: BaseException | None = None
        self._still: Any = None  # beside the widgets, once they are shown
        self._live_curves = LiveCurves(transparent=not headless())
        self._captions: list[tuple[Tensor, str]] = []  # of a step in slow motion, those still to show
        self._lock = threading.RLock()
        self._drawn_at = 0.0
        self._started_at = (0.0, 0)  # seconds, and the step
        self.start = self._button("Start", "play", self.play)
        self.start.button_style = "success"
        self.pause = self._button("Pause", "pause", self.stop)
        self.reset_button = self._button("Reset", "undo", self.reset)
        self.d_step = self._button("One D step", "step-forward", lambda: self._step_alone("discriminator"))
        self.g_step = self._button("One G step", "step-forward", lambda: self._step_alone("generator"))
        self.advice = self._button("Take the advice", "check", self._take_advice)
        self.gif = self._button("Save GIF", "film", lambda: self._save("progress.gif", self._save_gif))
        self.checkpoint = self._button("Save checkpoint", "download", lambda: self._save(CHECKPOINT, trainer.save))
        self.slow = self._switch("slow motion", self._end_slow_step)
        self.raw = self._switch("raw generator", self.draw)
        self.raw.layout.display = "" if trainer.ema_generator else "none"
        self.status = named("status", widgets.HTML())
        self.verdict = named("verdict", widgets.HTML())
        self.message = named("said", widgets.HTML())
        self.scale, self.caption = named("scale", widgets.HTML()), named("caption", widgets.HTML())
        self.pictures = named("pictures", widgets.Image(layout=WHOLE))
        self.curves = named("curves", widgets.Image(layout=WHOLE))
        self.past = named("past", render.PastRuns())
        for control in self.controls.all:
            control.observe(lambda _change: self._show_state(), "value")
        self._boxes: list[widgets.Widget] = []
        self._mount()

    def _button(self, words: str, icon: str, act: Callable[[], Any]) -> widgets.Button:
        button = named(words, widgets.Button(description=words, icon=icon, layout={"width": "auto"}))
        button.on_click(lambda _button: self._guarded(act))
        return button

    def _switch(self, words: str, act: Callable[[], Any]) -> widgets.Checkbox:
        switch = named(words, widgets.Checkbox(description=words, indent=False, layout={"width": "9em"}))
        switch.observe(lambda _change: self._guarded(act), "value")
        return switch

    def _guarded(self, act: Callable[[], Any]) -> None:
        """Do what a reader asked for; an error stops the run and is shown, for nobody sees a callback's."""
        with self._lock:
            try:
                self.error = None
                act()
            except (Exception, KeyboardInterrupt) as error:
                self.error = error
                self._pause()
                self._show_state()

    @property
    def running(self) -> bool:
        """Whether this lab trains at every tick."""
        return TrainingLab._running is self

    def play(self) -> None:
        """Train at every tick from now on; another lab that trains stops."""
        if TrainingLab._running:
            TrainingLab._running.stop()
        TrainingLab._running = self
        self._started_at = time.perf_counter(), self.session.trainer.steps_done
        self._show_state()

    def stop(self) -> None:
        """Train no more until somebody presses Start."""
        self._pause()
        self.draw()
        if self._still:
            self._still.update(still(*self._last_picture()), raw=True)

    def _last_picture(self) -> tuple[Image.Image, str]:
        """Samples, curves and verdict, and their text alternative, for where there is no widget."""
        return render.still(self.session, LiveCurves()), render.alt(self.session.trainer, self.session.verdict())

    def _pause(self) -> None:
        if self.running:
            TrainingLab._running = None

    def reset(self) -> None:
        """Back to the beginning with the sliders as they are; the run so far joins the list below."""
        self._pause()
        if self.session.trainer.steps_done > self.session.first_step:
            self.past.add(self.session)
        self.session.reset()
        self._steer()
        self._end_slow_step()
        self.draw()

    def tick(self) -> None:
        """Train for a moment with what the sliders say, and draw if the last picture is old enough."""
        if not self.running:
            return
        self._steer()
        if not self.slow.value:
            self.session.advance(seconds=TICK)
            if time.perf_counter() - self._drawn_at >= DRAW_EVERY:
                self.draw()
        elif time.perf_counter() - self._drawn_at >= CAPTION_EVERY:
            self._show_caption()
        if self.session.verdict() == "diverged":
            self.stop()

    def _steer(self) -> None:
        self.session.steer(**self.controls.values())

    def _show_caption(self) -> None:
        """Slow motion: take a whole step, then show its parts one after the other."""
        if not self._captions:
            trainer = self.session.trainer
            real = trainer.dataset.batch(trainer.config.batch_size, trainer.config.seed, trainer.steps_done)
            self._captions = render.captions(self.session.advance(1), real, trainer.sample())
        images, self.message.value = self._captions.pop(0)
        self.draw(images)

    def _end_slow_step(self) -> None:
        self._captions = []
        self.message.value = ""

    def _take_advice(self) -> None:
        """Move the sliders as the verdict advises; a run that trains goes on with them."""
        self.controls.move(self.session.advice())
        self._show_state()

    def _step_alone(self, player: str) -> None:
        self._pause()
        self._steer()
        self._end_slow_step()
        self.session.step_alone(player)
        self.draw()

    def draw(self, images: Tensor | None = None) -> None:
        """Show these images (N, C, H, W) in [-1, 1], or what the fixed z give now, and the curves."""
        trainer = self.session.trainer
        samples = render.samples(trainer.sample(raw=self.raw.value) if images is None else images)
        curves = self._live_curves.draw(trainer.history, self.session.marks)
        self.pictures.value = to_png(samples, compress_level=1)
        self.curves.value = to_png(curves, compress_level=1)
        self._drawn_at = time.perf_counter()
        self._show_state()

    def _show_state(self) -> None:
        """Status, verdict, buttons and clock follow the run and the sliders."""
        config, steps = self._next_config(), self.session.trainer.steps_done
        seconds, step = self._started_at
        speed = (steps - step) / (time.perf_counter() - seconds) if self.running else None
        error = f"<br>{error_text(self.error)}" if self.error else ""
        self.status.value = render.status_html(config, steps, speed) + error
        self.verdict.value = render.verdict_html(self.session.verdict())
        self.scale.value = render.scale_html(self.session.trainer.history)
        self.caption.value = render.caption(self.session.trainer, self.raw.value)
        self.advice.layout.display = "" if self.session.advice() else "none"
        self.start.disabled = self.running
        self.pause.disabled = not self.running
        self._clock.turn(self.running)

    def _next_config(self) -> Config:
        return self.session.trainer.config.replace(**self.controls.values())

    def _save_gif(self, path: Path) -> None:
        save_gif(path, self.session.frames)

    def _save(self, name: str, write: Callable[[Path], None]) -> None:
        write(path := self.session.folder / name)
        self.message.value = f"Written: <code>{html.escape(str(path))}</code>"

    def show(self, steps: int | None = None) -> None:
        """Show the lab below the cell. Headless, train so many steps (left out, a quarter of the run's) for a still."""
        if headless():
            self._steer()
            self.session.advance(self.session.trainer.config.steps // 4 if steps is None else steps)
            show_picture(*self._last_picture())
            return
        if TrainingLab._running:
            TrainingLab._running.stop()
        self._mount()
        self.draw()
        display(self._boxes[0])
        self._still = display(still(*self._last_picture()), raw=True, display_id=True)

    def _mount(self) -> None:
        """A fresh clock in fresh boxes; the old ones are closed, or a page that is loaded again would show nothing."""
        for widget in self._boxes:
            widget.close()
        self._clock = clock = BrowserClock(lambda: self._guarded(self.tick), self._toggle)
        self.start.layout.display = self.pause.layout.display = "" if clock.obeys else "none"
        buttons = [self.start, self.pause, clock.widget, self.reset_button, self.d_step, self.g_step]
        left = widgets.VBox([self.pictures, self.caption], layout=HALF)
        right = widgets.VBox([self.curves, self.scale], layout=HALF)
        rows = [
            widgets.HTML(render.STYLE),
            named("controls", widgets.Box(self.controls.all, layout=WRAP)),
            widgets.Box([*buttons, self.slow, self.raw], layout=WRAP),
            widgets.Box([self.verdict, self.advice], layout=WRAP | {"align_items": "center"}),
            widgets.VBox([self.status, self.message]),
            widgets.Box([left, right], layout=WRAP),
            widgets.Box([self.gif, self.checkpoint], layout=WRAP),
        ]
        self._boxes = [named("lab", widgets.VBox([*rows, self.past])), *rows, left, right, clock.widget]

    def _toggle(self, on: bool) -> None:
        if on != self.running:
            self._guarded(self.play if on else self.stop)


def watch(
    trainer: Trainer, steps: int | None = None, seconds: float | None = None, every: int = 25
) -> list[Image.Image]:
    """Train, with samples and curves that follow; returns the frames for `images.save_gif`.

    Args:
        steps, seconds: how long, whichever ends first; without both, to the end of `trainer.config.steps`.
        every: a new frame after so many steps.
    """
    frames = [grid(trainer.sample())]
    first = described(frames[0], "What the generator paints before the first step.")
    shown = None if headless() else display(first[0], metadata=first[1], raw=True, display_id=True)

    def follow(trainer: Trainer) -> None:
        frames.append(grid(trainer.sample()))
        if shown:
            bundle, metadata = described(*_progress(trainer))
            shown.update(bundle, metadata=metadata, raw=True)

    trainer.train(steps=steps, seconds=seconds, every=every, on_progress=follow)
    if not shown:
        show_picture(*_progress(trainer))
    return frames


def _progress(trainer: Trainer) -> tuple[Image.Image, str]:
    """What the fixed z give now, beside the curves so far, and its text alternative."""
    picture = show_progress(trainer.history, trainer.sample(), render.caption(trainer))
    return picture, render.alt(trainer)
