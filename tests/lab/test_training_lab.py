"""The live lab without a browser: ticks, clicks and slider moves come from here, one after another."""

import base64
import io
import signal
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from dcgan_lib.config import Config
from dcgan_lib.curves import LiveCurves
from dcgan_lib.data.dataset import ImageDataset
from dcgan_lib.history import History
from dcgan_lib.lab import render
from dcgan_lib.lab import training_lab as lab_module
from dcgan_lib.lab.session import Session
from dcgan_lib.lab.training_lab import TrainingLab
from dcgan_lib.trainer import Trainer
from dcgan_lib.viz import show
from dcgan_lib.viz.show import to_png

PLACES = [(Session, "advance"), (render, "samples"), (LiveCurves, "draw")]
DRAW = LiveCurves.draw


def sketch(_curves: LiveCurves, history: History, marks: Sequence[tuple[int, str]] = ()) -> Image.Image:
    """In place of curves: another image for another history or other marks, in no time."""
    return Image.frombytes("L", (32, 1), sha256(repr((history.rows.tolist(), list(marks))).encode()).digest())


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was displayed. A tick trains for exactly one step, and every picture is old enough and drawn in no time."""
    things = []

    def display(thing: object, **_: object) -> SimpleNamespace:
        things.append(thing)
        return SimpleNamespace(update=lambda thing, **_: things.append(thing))

    monkeypatch.setattr(LiveCurves, "draw", sketch)
    monkeypatch.setattr(lab_module, "display", display)
    monkeypatch.setattr(show, "display", things.append)
    monkeypatch.setattr(TrainingLab, "_running", None)
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)
    for name in ("TICK", "DRAW_EVERY", "CAPTION_EVERY"):
        monkeypatch.setattr(lab_module, name, 0)
    return things


@pytest.fixture
def make(tiny: Config, dataset: ImageDataset) -> Callable[[], TrainingLab]:
    return lambda: TrainingLab(Trainer(tiny, dataset))


@pytest.fixture
def lab(make: Callable[[], TrainingLab]) -> TrainingLab:
    """A lab that is shown, and that nobody has started."""
    made = make()
    made.show()
    return made


@pytest.fixture
def straight(tiny: Config, dataset: ImageDataset) -> Trainer:
    """The same run outside of a lab."""
    return Trainer(tiny, dataset)


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a test moves; it never stands quite still, as no clock does."""
    clock, looks = SimpleNamespace(now=100.0), count()
    seen = SimpleNamespace(perf_counter=lambda: clock.now + next(looks) * 1e-9)
    monkeypatch.setattr(lab_module, "time", seen)
    return clock


def tick(lab: TrainingLab, times: int = 1) -> None:
    for _ in range(times):
        lab._clock.widget.value += 1


def ticking(lab: TrainingLab) -> bool:
    """Whether the clock in the browser is on."""
    play = lab._clock.widget
    return play.playing if play.has_trait("playing") else play._playing


def steps(lab: TrainingLab) -> int:
    return lab.session.trainer.steps_done


def png(images: torch.Tensor) -> bytes:
    return to_png(render.samples(images), compress_level=1)


def assert_paused(lab: TrainingLab) -> None:
    assert (lab.running, ticking(lab), lab.start.disabled, lab.pause.disabled) == (False, False, False, True)
    assert "paused" in lab.status.value
    before = steps(lab)
    tick(lab)  # one that was on its way
    assert steps(lab) == before


def plant(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ValueError("<planted> & bad")

    monkeypatch.setattr(owner, name, broken)


def inside(widget: widgets.Widget) -> set[widgets.Widget]:
    """A widget and all that lies in it."""
    return {widget}.union(*map(inside, getattr(widget, "children", ())))


def test_trains_only_while_it_runs(lab: TrainingLab) -> None:
    assert_paused(lab)
    lab.start.click()
    assert (lab.running, ticking(lab), lab.start.disabled, lab.pause.disabled) == (True, True, True, False)
    assert steps(lab) == 0  # a click waits for nothing
    for step in (1, 2, 3):
        tick(lab)
        assert steps(lab) == step
        assert f"running · step {step} · " in lab.status.value
    lab.pause.click()
    assert_paused(lab)
    lab.start.click()
    tick(lab)
    assert steps(lab) == 4


def test_play_s_own_buttons(lab: TrainingLab) -> None:
    """With ipywidgets 7 there are no others."""
    lab._clock.turn(True)
    assert (lab.running, lab.pause.disabled) == (True, False)
    tick(lab)
    lab._clock.turn(False)
    assert_paused(lab)
    assert steps(lab) == 1


def test_the_advice_moves_the_sliders(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.advice.layout.display == "none"  # too early for any
    monkeypatch.setattr(lab.session, "advice", lambda: {"lr": 3e-4, "d_lr": 1e-4, "d_steps": 2})
    lab.start.click()
    tick(lab)
    assert lab.advice.layout.display == ""
    lab.advice.click()
    tick(lab)
    config = lab.session.trainer.config
    assert (config.lr, config.d_lr, config.d_steps) == (pytest.approx(3e-4), pytest.approx(1e-4), 2)
    assert (config.beta1, lab.running, steps(lab)) == (0.5, True, 2)


def test_the_raw_generator_and_the_averaged_one(lab: TrainingLab, tiny: Config, dataset: ImageDataset) -> None:
    lab.session.advance(3)
    for raw, words in ((True, "by the raw generator"), (False, "by the averaged generator")):
        lab.raw.value = not raw
        lab.raw.value = raw  # shown at once, also while nothing trains
        assert lab.pictures.value == png(lab.session.trainer.sample(raw=raw))
        assert words in lab.caption.value
    plain = TrainingLab(Trainer(tiny.replace(ema_decay=0.0), dataset))
    plain.show()
    assert (lab.raw.layout.display, plain.raw.layout.display) == ("", "none")
    assert "by the generator" in plain.caption.value


def test_the_very_next_step_uses_the_sliders(lab: TrainingLab) -> None:
    trainer, controls = lab.session.trainer, lab.controls
    lab.start.click()
    tick(lab)
    controls.lr.value, controls.beta1.value, controls.d_steps.value = 5e-3, 0.8, 2
    assert "lr 0.005 · beta1 0.8 · k 2" in lab.status.value  # at once, before the next tick
    assert trainer.config.lr == 1e-3
    tick(lab)
    assert (trainer.config.lr, trainer.config.beta1, trainer.config.d_steps) == (5e-3, 0.8, 2)
    for optimizer in (trainer.g_optimizer, trainer.d_optimizer):
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == (5e-3, (0.8, 0.999))
    assert lab.session.marks == [(1, "lr 0.005, beta1 0.8, k 2")]
    controls.two_rates.value, controls.d_lr.value, controls.label_smoothing.value = True, 2e-3, 0.2
    tick(lab)
    assert [o.param_groups[0]["lr"] for o in (trainer.g_optimizer, trainer.d_optimizer)] == [5e-3, 2e-3]
    assert trainer.config.label_smoothing == 0.2


def test_a_run_in_the_lab_is_the_same_run(lab: TrainingLab, straight: Trainer) -> None:
    lab.start.click()
    tick(lab, 4)
    straight.train(4)
    assert torch.equal(lab.session.trainer.history.rows, straight.history.rows)
    assert lab.pictures.value == png(straight.sample())
    assert lab.curves.value == to_png(sketch(lab._live_curves, straight.history), compress_level=1)


def test_pictures_now_and_then(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch, slow_clock: SimpleNamespace) -> None:
    monkeypatch.setattr(lab_module, "DRAW_EVERY", 0.2)
    drawn, draw = [], lab.draw
    monkeypatch.setattr(lab, "draw", lambda *images: [drawn.append(steps(lab)), draw(*images)])
    lab._drawn_at = slow_clock.now
    lab.start.click()
    for _ in range(9):
        slow_clock.now += 0.0501
        tick(lab)
    assert drawn == [4, 8]
    assert "step 8 · 20.0 steps/s · 160 images/s" in lab.status.value  # in batches of 8
    monkeypatch.setattr(lab_module, "CAPTION_EVERY", 1.5)
    lab.slow.value = True
    for _ in range(9):
        slow_clock.now += 0.501
        tick(lab)
    assert (steps(lab), lab.message.value[:9]) == (10, "<b>3 of 5")


def test_reset(lab: TrainingLab) -> None:
    begun, pictures = lab.pictures.value, []
    lab.reset_button.click()
    assert lab.past.children == ()  # no step has been taken
    for lr in (1e-3, 1e-3, 1e-2):
        lab.controls.lr.value = lr
        lab.start.click()
        tick(lab, 3)
        pictures.append(lab.pictures.value)
        lab.pause.click()
        lab.controls.lr.value = 0.02  # no step of this run was taken with it
        lab.reset_button.click()
        assert_paused(lab)
        assert (steps(lab), lab.pictures.value, lab.session.trainer.config.lr) == (0, begun, 0.02)
    assert pictures[0] == pictures[1] != pictures[2]
    texts = [column.children[1].value for column in lab.past.children]
    assert ["lr 0.01" in text for text in texts] == [True, False, False]  # the newest first
    assert all("<br>3 steps" in text for text in texts)
    for column in lab.past.children:
        assert Image.open(io.BytesIO(column.children[0].value)).width == 8 * 17 + 1


@pytest.mark.parametrize(("button", "player"), [("d_step", "discriminator"), ("g_step", "generator")])
def test_one_step_of_one_player(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch, button: str, player: str) -> None:
    asked, step_alone = [], lab.session.step_alone
    monkeypatch.setattr(lab.session, "step_alone", lambda player: [asked.append(player), step_alone(player)])
    lab.start.click()
    picture = lab.curves.value
    lab.controls.lr.value = 2e-3
    getattr(lab, button).click()
    assert (asked, steps(lab), lab.session.trainer.config.lr) == ([player], 1, 2e-3)
    assert lab.curves.value != picture
    assert_paused(lab)


@pytest.mark.parametrize("paused_after", [None, 1, 3])
def test_slow_motion(lab: TrainingLab, straight: Trainer, dataset: ImageDataset, paused_after: int | None) -> None:
    """Whole steps, each shown in five parts; after a pause it goes on with the next part."""
    lab.slow.value = True
    lab.start.click()
    texts, pictures = [], []
    for number in range(1, 11):
        tick(lab)
        assert steps(lab) == (number + 4) // 5
        texts.append(lab.message.value)
        pictures.append(lab.pictures.value)
        if number == paused_after:
            lab.pause.click()
            assert_paused(lab)
            lab.start.click()
    assert [text[: len("<b>1 of 5")] for text in texts] == [f"<b>{i} of 5" for i in (1, 2, 3, 4, 5)] * 2
    assert pictures[0] == png(dataset.batch(8, straight.config.seed, 0))
    assert pictures[1] == pictures[2] == pictures[3] == png(straight.step().fake)
    assert pictures[4] == png(straight.sample())
    straight.step()
    assert torch.equal(lab.session.trainer.history.rows, straight.history.rows)


@pytest.mark.parametrize("leave", ["slow", "reset_button", "d_step"])
def test_nothing_of_a_slow_step_is_shown_after_other_steps(lab: TrainingLab, leave: str) -> None:
    lab.slow.value = True
    lab.start.click()
    tick(lab, 2)
    if leave == "slow":
        lab.slow.value = False
        tick(lab)
        lab.slow.value = True
    else:
        getattr(lab, leave).click()
    assert lab.message.value == ""
    before = steps(lab)
    lab.start.click()
    tick(lab)
    assert (steps(lab), lab.message.value[:9]) == (before + 1, "<b>1 of 5")


def test_only_one_lab_trains(make: Callable[[], TrainingLab]) -> None:
    first, second = make(), make()
    first.show(), second.show()
    first.start.click()
    second.start.click()
    assert_paused(first)
    assert second.running and ticking(second)
    tick(second)
    first.start.click()
    assert_paused(second)
    assert first.running
    second.show()  # somebody runs its cell again
    assert_paused(first)


def test_shown_again(lab: TrainingLab, shown: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paused, with a clock that ticks; what held the old one is closed."""
    closed, close = [], widgets.Widget.close
    monkeypatch.setattr(widgets.Widget, "close", lambda self: [closed.append(self), close(self)])
    old = lab._clock.widget
    holders = {box for box in inside(shown[0]) if old in inside(box)}
    lab.start.click()
    lab.show()
    assert holders <= set(closed) and old not in inside(boxes(shown)[1])
    kept = {*lab.controls.all, lab.start, lab.pause, lab.reset_button, lab.pictures, lab.curves, lab.status, lab.past}
    assert not kept & set(closed)
    assert kept | {lab._clock.widget} <= inside(boxes(shown)[1])
    assert_paused(lab)
    lab.start.click()
    tick(lab)
    assert steps(lab) == 1


def test_everything_is_shown(lab: TrainingLab, shown: list) -> None:
    mine = {thing for thing in vars(lab).values() if isinstance(thing, widgets.Widget)}
    assert {*mine, *lab.controls.all, lab._clock.widget} <= inside(shown[0])
    assert lab.pictures.value and lab.curves.value and lab.verdict.value
    assert (lab.start.layout.display == lab.pause.layout.display == "") == lab._clock.obeys  # only buttons that work
    names = {name for widget in inside(shown[0]) for name in getattr(widget, "_dom_classes", ())}
    assert {f"dcgan-{name}" for name in ("start", "pause", "one-d-step", "status", "pictures", "lr", "play")} <= names


@pytest.mark.parametrize(("owner", "name"), PLACES)
def test_an_error_is_shown_and_stops_the_run(
    lab: TrainingLab, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    lab.start.click()
    with monkeypatch.context() as planted:
        plant(planted, owner, name)
        tick(lab)
        assert isinstance(lab.error, ValueError)
        assert "ValueError: &lt;planted&gt; &amp; bad" in lab.status.value
        assert_paused(lab)
    lab.start.click()
    assert (lab.running, lab.error) == (True, None)
    assert "planted" not in lab.status.value
    before = steps(lab)
    tick(lab)
    assert steps(lab) == before + 1


@pytest.mark.parametrize("loss", [400.0, float("nan")])
def test_divergence_stops_the_run(lab: TrainingLab, loss: float) -> None:
    lab.start.click()
    tick(lab)
    for value in [1.0] * 40 + [loss] * 9:
        lab.session.trainer.history.append(torch.full((5,), value))
    tick(lab)
    assert_paused(lab)
    assert lab.verdict.value == render.verdict_html("diverged")
    assert ("so the run has stopped" in lab.status.value) == (loss != 400)  # losses that are numbers are no error


def test_the_stop_button_of_the_notebook_stops_the_run(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = ImageDataset.batch
    lab.start.click()
    with monkeypatch.context() as patch:
        patch.setattr(ImageDataset, "batch", lambda *a: (signal.raise_signal(signal.SIGINT), batch(*a))[1])
        tick(lab)
    assert_paused(lab)
    assert (steps(lab), "stopped after step 1, as asked" in lab.status.value) == (1, True)
    lab.start.click()
    tick(lab)
    assert (steps(lab), lab.error) == (2, None)


def test_files(lab: TrainingLab, dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lab.g_step.click()
    for button, name in ((lab.gif, "progress.gif"), (lab.checkpoint, "checkpoint.safetensors")):
        button.click()
        assert lab.message.value == f"Written: <code>{Path('runs', 'faces', name)}</code>"
        assert (tmp_path / "runs/faces" / name).stat().st_size > 0
    assert Trainer.load("runs/faces/checkpoint.safetensors", dataset).steps_done == 1
    monkeypatch.setattr(lab_module, "save_gif", lambda *_: 1 / 0)
    lab.gif.click()
    assert "ZeroDivisionError" in lab.status.value


@pytest.mark.parametrize(("asked", "done"), [({"steps": 3}, 3), ({"steps": 0}, 0), ({}, 2)])
def test_headless(
    tiny: Config, dataset: ImageDataset, shown: list, monkeypatch: pytest.MonkeyPatch, asked: dict, done: int
) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", "1")
    monkeypatch.setattr(LiveCurves, "draw", DRAW)
    monkeypatch.setattr(lab_module, "show_picture", lambda *given: shown.append(given))
    lab, straight = TrainingLab(Trainer(tiny.replace(steps=8), dataset)), Trainer(tiny, dataset)
    lab.show(**asked)
    straight.train(done)
    assert torch.equal(lab.session.trainer.history.rows, straight.history.rows)
    ((still, alt),) = shown
    assert still.tobytes() == render.still(lab.session, LiveCurves()).tobytes()
    assert alt == render.alt(lab.session.trainer, lab.session.verdict())


def test_a_still_beside_the_widgets(lab: TrainingLab, shown: list) -> None:
    """Of when the lab was shown, and of every pause since, for whoever opens the notebook without a kernel."""
    assert [type(thing) for thing in shown] == [type(lab._boxes[0]), dict]
    lab.start.click()
    lab.tick()
    assert len(shown) == 2
    lab.pause.click()
    before, after = shown[1:]
    assert "after 0 steps" in before["text/plain"] and "after 1 steps" in after["text/plain"]
    for still in (before, after):
        assert still["text/html"].startswith("<img class='dcgan-still' alt='")
        png = still["text/html"].partition("base64,")[2].partition("'")[0]
        Image.open(io.BytesIO(base64.b64decode(png))).verify()
    assert any(".dcgan-still { display: none !important; }" in getattr(widget, "value", "") for widget in styles(lab))


def boxes(shown: list) -> list[widgets.Widget]:
    return [thing for thing in shown if isinstance(thing, widgets.Widget)]


def styles(lab: TrainingLab) -> list[widgets.HTML]:
    return [widget for widget in inside(lab._boxes[0]) if isinstance(widget, widgets.HTML)]
