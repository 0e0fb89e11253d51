"""What the live lab says is what the session holds, and nothing of it is taken for HTML."""

import numpy as np
import pytest
import torch
from PIL import ImageColor, ImageFont

from dcgan_lib.config import Config
from dcgan_lib.curves import LiveCurves
from dcgan_lib.history import History
from dcgan_lib.images import grid
from dcgan_lib.lab import render
from dcgan_lib.lab.session import Session
from dcgan_lib.metrics.verdict import VERDICTS, Verdict
from dcgan_lib.training import Step


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> str:
    """A verdict with words that HTML would take for its own."""
    monkeypatch.setitem(VERDICTS, "early", Verdict("<i>a & b", "<script>", "08_results"))
    return "early"


@pytest.mark.parametrize(("size", "scale"), [(16, 4), (64, 1), (128, 1)])
def test_samples(size: int, scale: int) -> None:
    images = torch.rand(70, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    joined = render.samples(images, render.STILL_WIDTH)
    assert joined.tobytes() == grid(images[:64], columns=8, scale=scale).tobytes()
    assert render.samples(images[:3], render.STILL_WIDTH).width == scale * (3 * (size + 1) + 1)


def test_verdict_in_colour(odd: str) -> None:
    for kind in VERDICTS:
        assert f"color:{render.COLOURS.get(kind, render.RED)}'" in render.verdict_html(kind)
    text = render.verdict_html(odd)
    assert ">&lt;i&gt;a &amp; b.</b> <span>&lt;script&gt; <a" in text
    assert "<a href='08_results.ipynb' target='_blank'>Notebook 08</a>" in text


@pytest.mark.parametrize(("d_x", "d_gz", "percent"), [(0.9, 0.2, 85), (0.5, 0.5, 50), (0.1, 0.9, 10)])
def test_scale(d_x: float, d_gz: float, percent: int) -> None:
    history = History(torch.cat([torch.full((9, 5), 0.3), torch.tensor([1, 1, d_x, d_gz, 0]).repeat(50, 1)]))
    assert f"left:{percent}%" in render.scale_html(history)
    assert f"D is right, {percent} %" in render.scale_html(history)
    assert "50 %" in render.scale_html(History())


def test_captions() -> None:
    """Five of them, each with the images that it speaks of, and the belief about them at that time."""
    real, fake, made = (torch.full((4, 1, 16, 16), value) for value in (0.0, 0.5, 1.0))
    mean = {0.75: torch.tensor([0.0, 0.0, 1e3, 1e3]), 0.5: torch.zeros(4), 0.25: torch.tensor([0.0, 0.0, -1e3, -1e3])}
    step = Step(fake, torch.tensor(1.0), mean[0.75], mean[0.5], torch.tensor(1.0), mean[0.25])
    shown = render.captions(step, real, made)
    assert [images[0, 0, 0, 0].item() for images, _ in shown] == [0, 0.5, 0.5, 0.5, 1]
    assert [text[: len("<b>1 of 5")] for _, text in shown] == [f"<b>{i} of 5" for i in (1, 2, 3, 4, 5)]
    beliefs = [text.partition("</b> ")[2] for _, text in shown]
    assert beliefs == ["D(x) = 0.75"] + ["D(G(z)) = 0.50"] * 2 + ["D(G(z)) = 0.25"] * 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "lr 0.0002 · beta1 0.5"),
        ({"lr": 0.0123, "beta1": 0.9}, "lr 0.0123 · beta1 0.9"),
        ({"d_lr": 5e-5, "d_steps": 3}, "lr 0.0002 · lr of D 5e-05 · beta1 0.5 · k 3"),
        ({"label_smoothing": 0.1}, "lr 0.0002 · beta1 0.5 · label smoothing 0.1"),
    ],
)
def test_settings(changes: dict, words: str) -> None:
    assert render.settings_html(Config(**changes)) == words


def test_status(tiny: Config) -> None:
    assert render.status_html(tiny, 2, None) == "<code>paused · step 2 · lr 0.001 · beta1 0.5</code>"
    running = render.status_html(tiny, 2, 12.34)
    assert (
        running == "<code>running · step 2 · 12.3 steps/s · 99 images/s · lr 0.001 · beta1 0.5</code>"
    )  # batches of 8


def test_past_run(session: Session, odd: str) -> None:
    session.steer(d_steps=2)
    session.marks.append((40, "k 2"))
    settings = "<b>lr 0.001 · beta1 0.5 · k 2</b>"
    assert render.past_run_html(session) == f"{settings}<br>0 steps, moved at step 0, 40<br>&lt;i&gt;a &amp; b"


@pytest.mark.parametrize(("kind", "loss"), [("balanced", 0.9), ("diverged", float("nan"))])
def test_still(session: Session, monkeypatch: pytest.MonkeyPatch, kind: str, loss: float) -> None:
    """Samples on the left, curves on the right, and two lines above them."""
    session.trainer.history = History(torch.tensor([1.2, loss, 0.6, 0.4, 0.4]).repeat(80, 1))
    session.marks.append((40, "lr 0.03"))
    monkeypatch.setattr(session, "verdict", lambda: kind)
    still = render.still(session, LiveCurves())
    left = render.samples(session.trainer.sample(), render.STILL_WIDTH)
    right = LiveCurves().draw(session.trainer.history, session.marks)
    assert still.size == (left.width + 10 + right.width, max(left.height, right.height) + 44)
    for part, x in ((left, 0), (right, left.width + 10)):
        assert still.crop((x, 44, x + part.width, 44 + part.height)).tobytes() == part.tobytes()
    colour = np.array(ImageColor.getrgb(render.COLOURS.get(kind, render.RED)))
    first, second = (np.asarray(still.crop((0, y, still.width, y + 20))).astype(int) for y in (0, 20))
    assert (abs(second - colour).max(2) < 40).sum() > 50
    assert (abs(first - colour).max(2) < 40).sum() == 0
    assert (first.max(2) < 60).sum() > 50  # black


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_longest_verdict_fits(size: int) -> None:
    width = render.samples(torch.zeros(64, 1, size, size), render.STILL_WIDTH).width + 10 + 420
    font = ImageFont.load_default(14)
    for verdict in VERDICTS.values():
        assert 2 + font.getlength(f"{verdict.sentence}. {verdict.advice}") <= width
