"""What the live lab says is what the session holds, and nothing of it is taken for HTML."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor, ImageFont

from dcgan_lib import board
from dcgan_lib.config import Config
from dcgan_lib.data import PictureSet
from dcgan_lib.grids import grid
from dcgan_lib.history import History
from dcgan_lib.judge import VERDICTS, Verdict
from dcgan_lib.panel import Panel
from dcgan_lib.session import Session
from dcgan_lib.trainer import Trainer
from dcgan_lib.training import Part

ODD = Verdict("balanced", "<i>a & b", "<script>", "08_results")


@pytest.fixture
def session(tiny: Config, pictures: PictureSet) -> Session:
    return Session(Trainer(tiny, pictures))


def test_fast_png() -> None:
    noise = torch.randint(0, 256, (40, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image = Image.fromarray(noise.numpy())
    with Image.open(io.BytesIO(board.fast_png(image))) as back:
        assert (back.format, back.mode, back.size) == ("PNG", "RGB", (30, 40))
        assert back.tobytes() == image.tobytes()


@pytest.mark.parametrize(("size", "scale"), [(16, 4), (32, 2), (64, 1), (128, 1)])
def test_pictures(size: int, scale: int) -> None:
    images = torch.rand(70, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    joined = board.pictures(images, board.STILL_WIDTH)
    assert joined.tobytes() == grid(images[:64], columns=8, scale=scale).tobytes()
    assert joined.size == (scale * (8 * (size + 1) + 1),) * 2
    assert board.pictures(images[:3], board.STILL_WIDTH).width == scale * (3 * (size + 1) + 1)


def test_verdict_in_colour() -> None:
    for verdict in VERDICTS.values():
        assert f"color:{board.COLOURS.get(verdict.kind, board.OTHER_COLOUR)}'" in board.verdict_html(verdict)
    text = board.verdict_html(ODD)
    assert ">&lt;i&gt;a &amp; b.</b> &lt;script&gt; <a" in text
    assert "<a href='08_results.ipynb' target='_blank'>Notebook 08</a>" in text


def test_parts() -> None:
    logits = torch.tensor([0.0, 0.0, 1e3, 1e3], dtype=torch.bfloat16, requires_grad=True)  # beliefs 0.5, 0.5, 1, 1
    for i, name in enumerate(("real", "fake", "d_update", "g_turn", "g_update"), start=1):
        text = board.part_html(Part(name, torch.zeros(4, 1, 16, 16), logits))
        assert text.startswith(f"<b>{i} of 5 ")
        assert text.endswith("</b> D(x) = 0.75" if name == "real" else "</b> D(G(z)) = 0.75")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "lr 2.00e-04 · beta1 0.50"),
        ({"lr": 0.0123, "beta1": 0.9}, "lr 1.23e-02 · beta1 0.90"),
        ({"d_lr": 5e-5, "d_steps": 3}, "lr 2.00e-04 · beta1 0.50 · lr of D 5.00e-05 · k 3"),
        ({"label_smoothing": 0.1}, "lr 2.00e-04 · beta1 0.50 · real label 0.90"),
    ],
)
def test_settings(changes: dict, words: str) -> None:
    assert board.settings_html(Config(**changes)) == words


def test_status(session: Session) -> None:
    """The speed is in steps and pictures; the settings are those of the next step, not of the last."""
    session.advance(2)
    assert board.status_html(session, {}, None) == "<code>paused · step 2 · lr 1.00e-03 · beta1 0.50</code>"
    running = board.status_html(session, {"lr": 0.02, "d_steps": 2}, 12.34)
    assert running == (
        "<code>running · step 2 · 12.3 steps/s · 99 images/s · lr 2.00e-02 · beta1 0.50 · k 2</code>"  # batches of 8
    )
    assert "running" in board.status_html(session, {}, 0.0)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("balanced", [1.2, 0.9, 0.6, 0.4, 0.4]),
        ("restless", [1.2, 0.9, 0.6, 0.4, 0.4]),
        ("diverged", [float("nan")] * 5),
    ],
)
def test_still(session: Session, monkeypatch: pytest.MonkeyPatch, kind: str, row: list[float]) -> None:
    """Pictures on the left, curves on the right, and two lines above them."""
    session.trainer.history = History(torch.tensor(row).repeat(80, 1))
    session.marks.append((40, "lr 0.03"))
    monkeypatch.setattr(session, "verdict", lambda: VERDICTS[kind])
    still = board.still(session, Panel()).convert("RGB")
    left, right = (
        board.pictures(session.trainer.sample(), board.STILL_WIDTH),
        Panel().draw(session.trainer.history, session.marks),
    )
    assert still.size == (left.width + 10 + right.width, max(left.height, right.height) + 44)
    for part, x in ((left, 0), (right, left.width + 10)):
        there = np.asarray(still.crop((x, 44, x + part.width, 44 + part.height))).astype(int)
        assert abs(there - np.asarray(part)).mean() < 3  # but for the number of colours
    colour = np.array(ImageColor.getrgb(board.COLOURS.get(kind, board.OTHER_COLOUR)))
    lines = np.asarray(still).astype(int)
    assert (abs(lines[20:44] - colour).max(1 + 1) < 40).sum() > 50
    assert (abs(lines[:20] - colour).max(1 + 1) < 40).sum() == 0
    assert (lines[:20].max(2) < 60).sum() > 50  # black


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_longest_verdict_fits(size: int) -> None:
    width = board.pictures(torch.zeros(64, 1, size, size), board.STILL_WIDTH).width + 10 + 420
    font = ImageFont.load_default(14)
    for verdict in VERDICTS.values():
        assert 2 + font.getlength(f"{verdict.sentence}. {verdict.advice}") <= width, verdict.kind
