"""The live lab without a browser: ticks, clicks and slider moves come from here, one after another."""

import html
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
from IPython.display import Image as PngImage
from PIL import Image

from dcgan_lib import board
from dcgan_lib import lab as lab_module
from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet
from dcgan_lib.history import History
from dcgan_lib.judge import VERDICTS
from dcgan_lib.lab import TrainingLab
from dcgan_lib.panel import Panel
from dcgan_lib.session import Session
from dcgan_lib.trainer import Trainer
from dcgan_lib.viz import to_png

PLACES = [(Session, "advance"), (board, "pictures"), (Panel, "draw")]
DRAW = Panel.draw


def sketch(_panel: Panel, history: History, marks: Sequence[tuple[int, str]] = ()) -> Image.Image:
    """In place of curves: another picture for another history or other marks, in no time."""
    return Image.frombytes("L", (32, 1), sha256(repr((history.rows.tolist(), list(marks))).encode()).digest())


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was displayed. A tick trains for exactly one step, and every picture is old enough and drawn in no time."""
    things = []
    monkeypatch.setattr(Panel, "draw", sketch)
    monkeypatch.setattr(lab_module, "display", things.append)
    monkeypatch.setattr(TrainingLab, "_training", lambda: None)
    monkeypatch.delenv("DCGAN_HEADLESS", raising=False)
    for name in ("TICK", "PICTURE_EVERY", "PART_EVERY"):
        monkeypatch.setattr(lab_module, name, 0)
    return things


@pytest.fixture
def make(tiny: Config, pictures: PictureSet) -> Callable[[], TrainingLab]:
    return lambda: TrainingLab(Trainer(tiny, pictures))


@pytest.fixture
def lab(make: Callable[[], TrainingLab]) -> TrainingLab:
    """A lab that is shown, and that nobody has started."""
    made = make()
    made.show()
    return made


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a test moves; it never stands quite still, as no clock does."""
    clock, looks = SimpleNamespace(now=100.0), count()
    seen = SimpleNamespace(perf_counter=lambda: clock.now + next(looks) * 1e-9)
    monkeypatch.setattr(lab_module, "time", seen)
    return clock


def tick(lab: TrainingLab, times: int = 1) -> None:
    for _ in range(times):
        lab._ticker.widget.value += 1


def ticking(lab: TrainingLab) -> bool:
    """Whether the clock in the browser is on."""
    play = lab._ticker.widget
    return play.playing if play.has_trait("playing") else play._playing


def steps(lab: TrainingLab) -> int:
    return lab.session.trainer.steps_done


def weights(lab: TrainingLab) -> dict[str, torch.Tensor]:
    networks = {name: getattr(lab.session.trainer, name) for name in ("generator", "discriminator")}
    return {name: torch.cat([weight.detach().flatten() for weight in n.parameters()]) for name, n in networks.items()}


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
    assert steps(lab) == 0
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
    lab._ticker.turn(True)
    assert (lab.running, lab.pause.disabled) == (True, False)
    tick(lab)
    lab._ticker.turn(False)
    assert_paused(lab)
    assert steps(lab) == 1


@pytest.mark.parametrize("obeys", [True, False])
def test_only_buttons_that_work_are_shown(
    make: Callable[[], TrainingLab], monkeypatch: pytest.MonkeyPatch, obeys: bool
) -> None:
    class Ticker(lab_module.Ticker):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.obeys = obeys

    monkeypatch.setattr(lab_module, "Ticker", Ticker)
    lab = make()
    lab.show()
    assert (lab.start.layout.display, lab.pause.layout.display) == (("", "") if obeys else ("none", "none"))


def test_the_very_next_step_uses_the_sliders(lab: TrainingLab) -> None:
    trainer, controls = lab.session.trainer, lab.controls
    lab.start.click()
    tick(lab)
    controls.lr.value, controls.beta1.value, controls.d_steps.value = 5e-3, 0.8, 2
    assert "lr 5.00e-03 · beta1 0.80 · k 2" in lab.status.value  # at once, before the next tick
    assert trainer.config.lr == 1e-3
    tick(lab)
    assert (trainer.config.lr, trainer.config.beta1, trainer.config.d_steps) == (5e-3, 0.8, 2)
    for optimizer in (trainer.g_optimizer, trainer.d_optimizer):
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == (5e-3, (0.8, 0.999))
    assert lab.session.marks == [(1, "lr 0.005, beta1 0.8, d steps 2")]
    controls.two_rates.value, controls.d_lr.value, controls.label_smoothing.value = True, 2e-3, 0.2
    tick(lab)
    assert [o.param_groups[0]["lr"] for o in (trainer.g_optimizer, trainer.d_optimizer)] == [5e-3, 2e-3]
    assert trainer.config.label_smoothing == 0.2


def test_a_run_in_the_lab_is_the_same_run(lab: TrainingLab, tiny: Config, pictures: PictureSet) -> None:
    lab.start.click()
    tick(lab, 4)
    straight = Trainer(tiny, pictures)
    straight.train(4)
    assert torch.equal(lab.session.trainer.history.rows, straight.history.rows)
    assert lab.pictures.value == board.fast_png(board.pictures(straight.sample()))
    assert lab.curves.value == board.fast_png(sketch(lab.panel, straight.history))
    assert lab.verdict.value == board.verdict_html(lab.session.verdict())


def test_a_hundred_moves_of_a_slider(lab: TrainingLab) -> None:
    lab.start.click()
    for i in range(100):
        lab.controls.lr.value = 1e-4 * (i + 1)
    assert (steps(lab), lab.session.marks) == (0, [])
    tick(lab)
    assert lab.session.trainer.g_optimizer.param_groups[0]["lr"] == pytest.approx(1e-2)
    assert lab.session.marks == [(0, "lr 0.01")]


def test_pictures_now_and_then(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch, slow_clock: SimpleNamespace) -> None:
    monkeypatch.setattr(lab_module, "PICTURE_EVERY", 0.2)
    drawn, draw = [], lab.draw
    monkeypatch.setattr(lab, "draw", lambda *images: [drawn.append(steps(lab)), draw(*images)])
    lab._drawn = slow_clock.now
    lab.start.click()
    for _ in range(9):
        slow_clock.now += 0.0501
        tick(lab)
    assert drawn == [4, 8]
    assert "step 8 · 20.0 steps/s · 160 images/s" in lab.status.value  # in batches of 8
    lab.pause.click()
    slow_clock.now += 60
    lab.start.click()
    for _ in range(5):
        slow_clock.now += 0.1
        tick(lab)
    assert "step 14 · 10.0 steps/s" in lab.status.value  # since the last start


def test_reset(lab: TrainingLab) -> None:
    assert lab.past.children == ()
    begun = lab.pictures.value
    pictures = []
    for lr in (1e-3, 1e-3, 1e-2):
        lab.controls.lr.value = lr
        lab.start.click()
        tick(lab, 3)
        pictures.append((lab.pictures.value, lab.curves.value))
        lab.reset_button.click()
        assert_paused(lab)
        assert (steps(lab), lab.pictures.value) == (0, begun)
    assert pictures[0] == pictures[1] != pictures[2]
    texts = [column.children[1].value for column in lab.past.children]
    assert ["1.00e-02" in text for text in texts] == [True, False, False]  # the newest first
    assert all("<br>3 steps" in text for text in texts)
    for column in lab.past.children:
        assert Image.open(io.BytesIO(column.children[0].value)).width == 8 * 17 + 1


def test_sliders_moved_before_a_reset_belong_to_the_next_run(lab: TrainingLab) -> None:
    lab.start.click()
    tick(lab, 2)
    lab.pause.click()
    lab.controls.lr.value = 0.02
    lab.reset_button.click()
    (run,) = lab.session.past
    assert (run.config.lr, run.steps, run.marks) == (1e-3, 2, ())  # no step was taken with 0.02
    assert lab.session.trainer.config.lr == 0.02
    assert "lr 1.00e-03" in lab.past.children[0].children[1].value


def test_a_reset_before_the_first_step_adds_no_run(lab: TrainingLab) -> None:
    lab.reset_button.click()
    assert lab.past.children == ()


@pytest.mark.parametrize(("button", "player"), [("d_step", "discriminator"), ("g_step", "generator")])
def test_one_step_of_one_player(lab: TrainingLab, button: str, player: str) -> None:
    lab.start.click()
    tick(lab)
    before, picture = weights(lab), lab.curves.value
    lab.controls.lr.value = 2e-3
    getattr(lab, button).click()
    assert {name for name, after in weights(lab).items() if not torch.equal(after, before[name])} == {player}
    assert steps(lab) == 2
    assert lab.session.trainer.config.lr == 2e-3
    assert lab.curves.value != picture
    assert_paused(lab)


def test_slow_motion(lab: TrainingLab, tiny: Config, pictures: PictureSet) -> None:
    lab.slow.value = True
    lab.start.click()
    said, shown = [], []
    for _ in range(10):
        tick(lab)
        said.append(lab.said.value)
        shown.append(lab.pictures.value)
    assert [text[: len("<b>1 of 5")] for text in said] == [f"<b>{i} of 5" for i in (1, 2, 3, 4, 5)] * 2
    straight = Trainer(tiny, pictures)
    assert shown[0] == board.fast_png(board.pictures(pictures.batch(8, tiny.seed, 0)))
    assert shown[1] == shown[2] == shown[3]  # the same fakes
    straight.step()
    assert shown[4] == board.fast_png(board.pictures(straight.sample()))
    straight.step()
    assert torch.equal(lab.session.trainer.history.rows, straight.history.rows)
    lab.slow.value = False
    tick(lab)
    assert (lab.said.value, steps(lab)) == ("", 3)


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_a_pause_in_slow_motion(lab: TrainingLab, tiny: Config, pictures: PictureSet, parts: int) -> None:
    lab.slow.value = True
    lab.start.click()
    tick(lab, parts)
    lab.pause.click()
    assert_paused(lab)
    lab.start.click()
    tick(lab, 5 - parts)
    straight = Trainer(tiny, pictures)
    straight.step()
    assert lab.error is None
    assert torch.equal(lab.session.trainer.history.rows, straight.history.rows)
    assert lab.said.value.startswith("<b>5 of 5")


def test_slow_motion_is_slow(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch, slow_clock: SimpleNamespace) -> None:
    monkeypatch.setattr(lab_module, "PART_EVERY", 1.5)
    parts, next_part = [], lab.session.next_part
    monkeypatch.setattr(lab.session, "next_part", lambda: [parts.append(round(slow_clock.now)), next_part()][1])
    lab._drawn, lab.slow.value = slow_clock.now, True
    lab.start.click()
    for _ in range(7):
        slow_clock.now += 1.01
        tick(lab)
    assert parts == [102, 104, 106]


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


def test_a_lab_that_is_gone_stops_nobody(make: Callable[[], TrainingLab], monkeypatch: pytest.MonkeyPatch) -> None:
    lab = make()
    lab.show()
    monkeypatch.setattr(TrainingLab, "_training", lambda: None)  # what a weak reference to a lost lab gives
    lab.start.click()
    assert TrainingLab._training() is lab
    lab.start.click()
    assert lab.running


@pytest.mark.parametrize("running", [False, True])
def test_shown_again(lab: TrainingLab, shown: list, monkeypatch: pytest.MonkeyPatch, running: bool) -> None:
    closed, close = [], widgets.Widget.close
    monkeypatch.setattr(widgets.Widget, "close", lambda self: [closed.append(self), close(self)])
    old = lab._ticker.widget
    layouts = {widget.layout for widget in lab._mounted}
    if running:
        lab.start.click()
        tick(lab)
    lab.show()
    first, second = shown
    assert lab._ticker.widget is not old
    assert {old, first} | layouts <= set(closed)
    kept = {*lab.controls.all, lab.start, lab.pause, lab.reset_button, lab.pictures, lab.curves, lab.status, lab.past}
    assert not kept & set(closed)
    assert kept | {lab._ticker.widget} <= inside(second)
    assert old not in inside(second)
    assert ticking(lab) == lab.running  # it says what it does
    assert (lab.start.disabled, lab.pause.disabled) == (lab.running, not lab.running)
    if not lab.running:
        lab.start.click()
    before = steps(lab)
    tick(lab)
    assert steps(lab) == before + 1


def test_everything_is_shown(lab: TrainingLab, shown: list) -> None:
    mine = {thing for thing in vars(lab).values() if isinstance(thing, widgets.Widget)}
    assert {*mine, *lab.controls.all, lab._ticker.widget} <= inside(shown[0])
    assert lab.pictures.value and lab.curves.value and lab.verdict.value
    assert steps(lab) == 0


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


def test_slow_motion_works_after_an_error(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.slow.value = True
    lab.start.click()
    with monkeypatch.context() as planted:
        plant(planted, PictureSet, "batch")
        tick(lab)
        assert "planted" in lab.status.value
    lab.start.click()
    tick(lab, 5)
    assert (lab.error, steps(lab)) == (None, 1)


@pytest.mark.parametrize("button", ["d_step", "g_step", "reset_button", "pause"])
def test_an_error_behind_a_button(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch, button: str) -> None:
    lab.start.click()
    plant(monkeypatch, board, "pictures")
    getattr(lab, button).click()
    assert "planted" in lab.status.value
    assert_paused(lab)


def test_divergence_stops_the_run(lab: TrainingLab) -> None:
    lab.start.click()
    tick(lab)
    for value in [1.0] * 40 + [float("nan")]:
        lab.session.trainer.history.append(torch.full((5,), value))
    picture = lab.curves.value
    tick(lab)
    assert_paused(lab)
    assert lab.verdict.value == board.verdict_html(VERDICTS["diverged"])
    assert lab.curves.value != picture
    assert lab.error is None


def test_the_stop_button_of_the_notebook_stops_the_run(lab: TrainingLab, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = PictureSet.batch
    lab.start.click()
    with monkeypatch.context() as patch:
        patch.setattr(PictureSet, "batch", lambda *a: (signal.raise_signal(signal.SIGINT), batch(*a))[1])
        tick(lab)
    assert_paused(lab)
    assert (steps(lab), "stopped after step 1, as asked" in lab.status.value) == (1, True)
    lab.start.click()
    tick(lab)
    assert (steps(lab), lab.error) == (2, None)


def test_files(lab: TrainingLab, pictures: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lab.g_step.click()
    for button, name in ((lab.gif, "progress.gif"), (lab.checkpoint, "checkpoint.pt")):
        button.click()
        assert lab.said.value == f"Written: <code>{Path('runs', 'faces', name)}</code>"
        assert (tmp_path / "runs/faces" / name).stat().st_size > 0
    assert Trainer.load("runs/faces/checkpoint.pt", pictures).steps_done == 1
    monkeypatch.setattr(Session, "save_gif", lambda self: 1 / 0)
    lab.gif.click()
    assert "ZeroDivisionError" in lab.status.value


def test_settings_as_code(lab: TrainingLab) -> None:
    lab.controls.lr.value, lab.controls.two_rates.value, lab.controls.d_lr.value = 5e-3, True, 1e-3
    lab.code.click()
    code = html.unescape(lab.said.value.removeprefix("<pre>").removesuffix("</pre>"))
    config = eval(code, {"Config": Config})
    assert (config.lr, config.d_lr) == (5e-3, 1e-3)
    assert config == lab.session.trainer.config.replace(lr=5e-3, d_lr=1e-3)
    assert steps(lab) == 0


@pytest.mark.parametrize(("asked", "done"), [({"steps": 3}, 3), ({"steps": 0}, 0), ({}, 2)])
def test_headless(
    tiny: Config, pictures: PictureSet, shown: list, monkeypatch: pytest.MonkeyPatch, asked: dict, done: int
) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", "1")
    monkeypatch.setattr(Panel, "draw", DRAW)
    trainer, straight = Trainer(tiny.replace(steps=8), pictures), Trainer(tiny, pictures)
    lab = TrainingLab(trainer)
    lab.show(**asked)
    straight.train(done)
    assert torch.equal(trainer.history.rows, straight.history.rows)
    (still,) = shown
    assert isinstance(still, PngImage)
    assert lab.pictures.value and f"step {done} · " in lab.status.value
    assert still.data == to_png(board.still(lab.session, Panel()))


@pytest.mark.parametrize(("owner", "name"), PLACES)
def test_headless_raises(
    make: Callable[[], TrainingLab], shown: list, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    monkeypatch.setenv("DCGAN_HEADLESS", "1")
    lab = make()
    plant(monkeypatch, owner, name)
    with pytest.raises(ValueError, match="<planted> & bad"):
        lab.show(steps=1)
    assert shown == []
