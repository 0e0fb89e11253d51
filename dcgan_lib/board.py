"""What the live lab shows of a session, as pictures and words.

Used by `lab.TrainingLab`.
"""

import html
import io
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.grids import grid
from dcgan_lib.judge import Verdict
from dcgan_lib.panel import Panel
from dcgan_lib.session import Session
from dcgan_lib.training import Part
from dcgan_lib.viz import compact

COLOURS = {"balanced": "#2e9e5b", "early": "#888888", "restless": "#d08700", "collapsing": "#d64545"}
OTHER_COLOUR = "#d64545"
STILL_WIDTH, LIVE_WIDTH = 520, 265  # of the pictures, about; the browser enlarges the live ones
SIDE = {"width": "400px", "max_width": "100%", "object_fit": "contain"}  # two fit beside each other

PARTS = {
    "real": "1 of 5 · A batch of real pictures goes through D. Its loss asks for high logits; the gradient is kept.",
    "fake": "2 of 5 · G paints a batch of fakes, and they go through D. Its gradient is added to the first one.",
    "d_update": "3 of 5 · D's optimiser takes one step along both gradients. G has not changed.",
    "g_turn": "4 of 5 · G's turn: the same fakes go through the new D. The gradient runs back through D into G.",
    "g_update": "5 of 5 · G's optimiser takes one step. D has not changed. Below: what the fixed z give now.",
}


def fast_png(image: Image.Image) -> bytes:
    """The bytes of a PNG file, larger and sooner than the usual ones: for a picture that lives for a moment."""
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue()


def pictures(images: Tensor, width: int = LIVE_WIDTH) -> Image.Image:
    """At most 64 pictures (N, C, H, W) as a grid of about so many pixels."""
    return grid(images[:64], scale=max(1, width // (8 * images.shape[-1])))


def verdict_html(verdict: Verdict) -> str:
    """The verdict in colour, what to try, and the chapter that explains it."""
    colour = COLOURS.get(verdict.kind, OTHER_COLOUR)
    return (
        f"<b style='color:{colour}'>{html.escape(verdict.sentence)}.</b> {html.escape(verdict.advice)} "
        f"<a href='{verdict.chapter}.ipynb' target='_blank'>Notebook {verdict.chapter[:2]}</a> explains it."
    )


def part_html(part: Part) -> str:
    """What a part of a step has just done, and D's mean belief about its pictures."""
    belief = torch.sigmoid(part.logits.detach().float()).mean()
    what = "D(x)" if part.name == "real" else "D(G(z))"
    return f"<b>{PARTS[part.name]}</b> {what} = {belief:.2f}"


def settings_html(config: Config) -> str:
    """The steerable numbers of a config that are worth a word."""
    words = [f"lr {config.lr:.2e}", f"beta1 {config.beta1:.2f}"]
    if config.d_lr:
        words.append(f"lr of D {config.d_lr:.2e}")
    if config.d_steps > 1:
        words.append(f"k {config.d_steps}")
    if config.label_smoothing:
        words.append(f"real label {1 - config.label_smoothing:.2f}")
    return " · ".join(words)


def status_html(session: Session, controls: dict[str, Any], speed: float | None) -> str:
    """Whether the run is running, how far it is, how fast (steps a second), and what the next step will use."""
    config, step = session.trainer.config, session.trainer.steps_done
    fast = "" if speed is None else f" · {speed:.1f} steps/s · {speed * config.batch_size:.0f} images/s"
    state = "paused" if speed is None else "running"
    return f"<code>{state} · step {step}{fast} · {settings_html(config.replace(**controls))}</code>"


def still(session: Session, panel: Panel) -> Image.Image:
    """Pictures, curves and verdict as one image, for where nobody can press a button."""
    trainer, verdict = session.trainer, session.verdict()
    left, right = pictures(trainer.sample(), STILL_WIDTH), panel.draw(trainer.history, session.marks)
    words = f"step {trainer.steps_done} · {settings_html(trainer.config)}"
    joined = Image.new("RGB", (left.width + right.width + 10, max(left.height, right.height) + 44), "white")
    pen, font = ImageDraw.Draw(joined), ImageFont.load_default(14)
    pen.text((2, 2), words, "black", font)
    pen.text((2, 21), f"{verdict.sentence}. {verdict.advice}", COLOURS.get(verdict.kind, OTHER_COLOUR), font)
    joined.paste(left, (0, 44))
    joined.paste(right, (left.width + 10, 44))
    return compact(joined)
